// What peers ask each other for music, one request and one reply at a time. Params are CBOR tuples, replies are raw bytes
// that fit one frame:
//
//     manifest  [payload, offset]        at most 128 KiB of the payload's manifest from `offset`
//     chunk     [payload, index, urgency]  the chunk, verified by its sender; who waits for nobody comes after who does
//     have      [payload]                CBOR [bitmap or null, [peer, …]]: which chunks are here (null is all), who asked lately
//     edge      [file, edge, offset]     at most 128 KiB of what precedes (0) or follows (1) the file's payload
//
// Ids are 16 bytes; urgency is 0 when a listener needs it soon, 1 later, 2 for a copy, and 0 where it is missing. Refusals carry codes: BAD_MESSAGE (not such a tuple), NOT_FOUND (nothing of that is here),
// CHUNK_UNAVAILABLE (a partly cached song without that chunk), FILE_CHANGED (it was here until just now).
import { decode, encode } from '../../lib/codec.ts';
import { bitmapBytes } from '../../lib/content.ts';
import { PeerError } from '../../lib/errors.ts';
import { type FileId, ID_BYTES, idFromBytes, idToBytes, type PayloadId, type PeerId } from '../../lib/ids.ts';
import { RECEIVERS_MAX } from '../../lib/limits.ts';
import type { Edge } from '../../storage/local-files.ts';

/** A connection to one provider. */
export interface ChunkLink {
  readonly peer: PeerId;
  requestBytes(method: string, params: unknown, options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<Uint8Array>;
}

/** Who can be asked, at this moment. */
export interface Providers {
  /** Peers that hold all of a payload, as the catalog says. */
  ofPayload(payload: PayloadId): readonly ChunkLink[];
  /** Peers that hold that very file. */
  ofFile(file: FileId): readonly ChunkLink[];
  /** A peer of whom another said that it fetches what we fetch, if it can be asked. */
  linkTo(peer: PeerId): ChunkLink | undefined;
  /** Calls `changed` when its list may be another one. @returns how to stop that */
  watch(id: PayloadId | FileId, changed: () => void): () => void;
}

/** Refusals that asking again would not change. */
const FINAL = new Set(['BAD_FRAME', 'BAD_MESSAGE', 'CHUNK_WRONG', 'FILE_CHANGED', 'FORBIDDEN', 'NOT_FOUND', 'TOO_LARGE', 'UNSUPPORTED']);

export const isFinal = (code: string | undefined): boolean => code !== undefined && FINAL.has(code);

export const MANIFEST_METHOD = 'manifest';
export const CHUNK_METHOD = 'chunk';
export const EDGE_METHOD = 'edge';
export const HAVE_METHOD = 'have';

const EDGES: readonly Edge[] = ['prefix', 'suffix'];

/** How much a chunk matters to whoever asks: a listener needs it soon, later, or it is a copy that somebody is to keep. */
export const URGENCIES = ['soon', 'later', 'background'] as const;
export type Urgency = (typeof URGENCIES)[number];

/** Which chunks somebody has: all, or those whose bits are set (bit i of byte i >> 3). */
export type Holds = 'all' | Uint8Array;

/** What a peer holds of a payload, and who else fetches it from there. */
export interface Survey {
  readonly holds: Holds;
  readonly receivers: readonly PeerId[];
}

export const manifestParams = (payload: PayloadId, offset: number): unknown => [idToBytes(payload), offset];
export const chunkParams = (payload: PayloadId, index: number, urgency: Urgency): unknown => [idToBytes(payload), index, URGENCIES.indexOf(urgency)];
export const haveParams = (payload: PayloadId): unknown => [idToBytes(payload)];
export const edgeParams = (file: FileId, edge: Edge, offset: number): unknown => [idToBytes(file), EDGES.indexOf(edge), offset];

/** @throws PeerError BAD_MESSAGE */
export function parsePayloadParams(params: unknown): { readonly payload: PayloadId; readonly number: number } {
  const [payload, number] = tuple(params, 2);
  return { payload: id<PayloadId>(payload), number: count(number) };
}

/** @throws PeerError BAD_MESSAGE */
export function parseChunkParams(params: unknown): { readonly payload: PayloadId; readonly index: number; readonly urgency: Urgency } {
  const { payload, number: index } = parsePayloadParams(params);
  const [, , given = 0] = params as readonly unknown[];
  // One that a later version invents is not in a hurry for us.
  return { payload, index, urgency: URGENCIES[count(given)] ?? 'background' };
}

/** @throws PeerError BAD_MESSAGE */
export function parseHaveParams(params: unknown): PayloadId {
  const [payload] = tuple(params, 1);
  return id<PayloadId>(payload);
}

export const encodeSurvey = ({ holds, receivers }: Survey): Uint8Array => encode([holds === 'all' ? null : holds, receivers.map(idToBytes)]);

/** @throws PeerError BAD_MESSAGE */
export function decodeSurvey(bytes: Uint8Array, chunks: number): Survey {
  const [bitmap, peers] = tuple(decode(bytes, { bytesMax: bitmapBytes(chunks) + RECEIVERS_MAX * 2 * ID_BYTES, code: 'BAD_MESSAGE' }), 2);
  if (bitmap !== null && (!(bitmap instanceof Uint8Array) || bitmap.byteLength !== bitmapBytes(chunks))) throw new PeerError('BAD_MESSAGE', 'a bitmap of another length');
  return { holds: bitmap ?? 'all', receivers: tuple(peers, 0).slice(0, RECEIVERS_MAX).map((peer) => id<PeerId>(peer)) };
}

/** @throws PeerError BAD_MESSAGE */
export function parseEdgeParams(params: unknown): { readonly file: FileId; readonly edge: Edge; readonly offset: number } {
  const [file, side, offset] = tuple(params, 3);
  const edge = EDGES[count(side)];
  if (edge === undefined) throw new PeerError('BAD_MESSAGE', 'a file has two edges');
  return { file: id<FileId>(file), edge, offset: count(offset) };
}

const tuple = (params: unknown, length: number): readonly unknown[] => {
  if (!Array.isArray(params) || params.length < length) throw new PeerError('BAD_MESSAGE', 'a short tuple');
  return params;
};

const id = <T extends string>(value: unknown): T => {
  if (!(value instanceof Uint8Array) || value.byteLength !== ID_BYTES) throw new PeerError('BAD_MESSAGE', 'not an id');
  return idFromBytes<T>(value);
};

const count = (value: unknown): number => {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new PeerError('BAD_MESSAGE', 'not a count');
  return value as number;
};
