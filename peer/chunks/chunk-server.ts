// Gives others what they ask for, from one's own files first, else from the cache. Nothing leaves unverified: a file
// may have changed a moment ago, and a peer that sends a wrong chunk is put aside by everybody who notices. Who asks what is
// here of a payload is told who else has asked: they fetch the same, and can give each other what they have.
import { LRUCache } from 'lru-cache';
import { PeerError } from '../../lib/errors.ts';
import type { PayloadId, PeerId } from '../../lib/ids.ts';
import { PAYLOADS_SERVED_MAX, PIECE_BYTES_MAX, RECEIVERS_MAX } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { LocalFiles } from '../../storage/local-files.ts';
import { type Alarms, systemAlarms } from './alarms.ts';
import { CHUNK_METHOD, EDGE_METHOD, encodeSurvey, HAVE_METHOD, type Holds, MANIFEST_METHOD, parseChunkParams, parseEdgeParams, parseHaveParams, parsePayloadParams } from './provider-link.ts';
import { UploadGate } from './upload-gate.ts';

export interface Asker {
  readonly peer: PeerId;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

export interface ServedBytes {
  readonly bytes: Uint8Array;
  /** To be called when they are with the kernel, or with the reason why they will not be sent. */
  readonly sent?: (failure?: Error | null) => void;
}

export type ByteHandler = (params: unknown, asker: Asker) => Promise<ServedBytes>;

/** Who asked what is here of a payload is taken for a receiver of it for so long; it asks several times a second. */
const RECEIVER_LIFE_MS: Millis = 1_500;

export interface ChunkServerOptions {
  readonly local: LocalFiles;
  readonly cache: ChunkCache;
  /** Somebody fetches to listen, and not for a copy. */
  readonly onListened?: () => void;
  /** Of a chunk or an edge, so much went out. */
  readonly onSent?: (bytes: number) => void;
  readonly alarms?: Alarms;
}

/** @returns a handler for each method of provider-link.ts; each throws PeerErrors with the codes that are listed there */
export function chunkHandlers({ local, cache, onListened = () => {}, onSent = () => {}, alarms = systemAlarms }: ChunkServerOptions): ReadonlyMap<string, ByteHandler> {
  const gate = new UploadGate(alarms);
  const receivers = new Receivers(alarms);

  const manifest: ByteHandler = async (params) => {
    const { payload, number: offset } = parsePayloadParams(params);
    const whole = (await local.manifestOf(payload)) ?? (await cache.manifestOf(payload));
    if (whole === null) throw new PeerError('NOT_FOUND', 'that payload is not here');
    return { bytes: whole.subarray(offset, offset + PIECE_BYTES_MAX) };
  };

  const read = async (payload: PayloadId, index: number): Promise<Uint8Array> => {
    let changed: unknown;
    const own = await local.read(payload, index).catch((error: unknown) => {
      changed = error;
      return null;
    });
    const bytes = own ?? (await cache.read(payload, index));
    if (bytes !== null) return bytes;
    if (changed !== undefined) throw changed;
    if (cache.has(payload)) throw new PeerError('CHUNK_UNAVAILABLE', 'that chunk is not here');
    throw new PeerError('NOT_FOUND', 'that payload is not here');
  };

  /** What is cancelled, or asked for of a connection that is gone, was not given to anybody. */
  const counted = (bytes: Uint8Array, leave?: (sent: boolean) => void): ServedBytes => ({
    bytes,
    sent: (failure) => {
      leave?.(!failure);
      if (!failure) onSent(bytes.byteLength);
    },
  });

  const chunk: ByteHandler = async (params, { peer, signal }) => {
    const { payload, index, urgency } = parseChunkParams(params);
    if (urgency !== 'background') onListened();
    const leave = await gate.enter(peer, urgency, signal);
    try {
      const bytes = await read(payload, index);
      return counted(bytes, leave);
    } catch (error) {
      leave(false);
      throw error;
    }
  };

  const have: ByteHandler = async (params, { peer }) => {
    const payload = parseHaveParams(params);
    const others = receivers.met(payload, peer);
    const own = await local.manifestOf(payload).catch(() => null);
    const holds: Holds | undefined = own !== null || cache.complete(payload) ? 'all' : cache.bitmapOf(payload);
    if (holds === undefined) throw new PeerError('NOT_FOUND', 'that payload is not here');
    return { bytes: encodeSurvey({ holds, receivers: others }) };
  };

  const edge: ByteHandler = async (params) => {
    const { file, edge: side, offset } = parseEdgeParams(params);
    let changed: unknown;
    const own = await local.readEdge(file, side, offset).catch((error: unknown) => {
      changed = error;
      return null;
    });
    const bytes = own ?? (await cache.readEdgePiece(file, side, offset));
    if (bytes !== null) return counted(bytes);
    throw changed ?? new PeerError('NOT_FOUND', 'that file is not here');
  };

  return new Map([
    [MANIFEST_METHOD, manifest],
    [CHUNK_METHOD, chunk],
    [HAVE_METHOD, have],
    [EDGE_METHOD, edge],
  ]);
}

/** Who fetches what from here, as far as they said lately. */
class Receivers {
  readonly #alarms: Alarms;
  readonly #askedAt = new LRUCache<PayloadId, Map<PeerId, Millis>>({ max: PAYLOADS_SERVED_MAX });

  constructor(alarms: Alarms) {
    this.#alarms = alarms;
  }

  /** @returns the others */
  met(payload: PayloadId, asker: PeerId): PeerId[] {
    const now = this.#alarms.now();
    const askedAt = this.#askedAt.get(payload) ?? new Map<PeerId, Millis>();
    for (const [peer, at] of askedAt) if (peer === asker || now - at > RECEIVER_LIFE_MS) askedAt.delete(peer);
    const others = [...askedAt.keys()].slice(-RECEIVERS_MAX);
    askedAt.set(asker, now);
    this.#askedAt.set(payload, askedAt);
    return others;
  }
}
