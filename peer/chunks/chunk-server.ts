// Gives others what they ask for, from one's own files first, else from the cache. Nothing leaves unverified: a file
// may have changed a moment ago, and a peer that sends a wrong chunk is put aside by everybody who notices.
import { PeerError } from '../../lib/errors.ts';
import { PIECE_BYTES_MAX } from '../../lib/limits.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { LocalFiles } from '../../storage/local-files.ts';
import { CHUNK_METHOD, EDGE_METHOD, MANIFEST_METHOD, parseEdgeParams, parsePayloadParams } from './provider-link.ts';

export type ByteHandler = (params: unknown) => Promise<Uint8Array>;

/** @returns a handler for each method of provider-link.ts; each throws PeerErrors with the codes that are listed there */
export function chunkHandlers({ local, cache }: { readonly local: LocalFiles; readonly cache: ChunkCache }): ReadonlyMap<string, ByteHandler> {
  const manifest: ByteHandler = async (params) => {
    const { payload, number: offset } = parsePayloadParams(params);
    const whole = (await local.manifestOf(payload)) ?? (await cache.manifestOf(payload));
    if (whole === null) throw new PeerError('NOT_FOUND', 'that payload is not here');
    return whole.subarray(offset, offset + PIECE_BYTES_MAX);
  };

  const chunk: ByteHandler = async (params) => {
    const { payload, number: index } = parsePayloadParams(params);
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

  const edge: ByteHandler = async (params) => {
    const { file, edge: side, offset } = parseEdgeParams(params);
    let changed: unknown;
    const own = await local.readEdge(file, side, offset).catch((error: unknown) => {
      changed = error;
      return null;
    });
    if (own !== null) return own;
    const copied = await cache.readEdge(file, side);
    if (copied !== null) return copied.subarray(offset, offset + PIECE_BYTES_MAX);
    throw changed ?? new PeerError('NOT_FOUND', 'that file is not here');
  };

  return new Map([
    [MANIFEST_METHOD, manifest],
    [CHUNK_METHOD, chunk],
    [EDGE_METHOD, edge],
  ]);
}
