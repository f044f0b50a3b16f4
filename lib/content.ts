// How bytes get their ids. The manifest of a payload is the concatenation of the SHA-256 of its 64 KiB chunks; its hash is the
// payload's id, so a manifest from a stranger is checked by the id that was asked for, and every chunk by the manifest.
import { hash } from 'node:crypto';
import { PeerError } from './errors.ts';
import { contentId, type FileId, idToBytes, type PayloadId } from './ids.ts';
import { CHUNK_BYTES, MANIFEST_BYTES_MAX } from './limits.ts';

export const HASH_BYTES = 32;

export const sha256 = (bytes: Uint8Array): Buffer => hash('sha256', bytes, 'buffer');

export const chunkCount = (payloadBytes: number): number => Math.ceil(payloadBytes / CHUNK_BYTES);

/** @returns bytes of chunk `index`: 65,536, and what is left over for the last */
export const chunkLength = (payloadBytes: number, index: number): number =>
  Math.max(0, Math.min(CHUNK_BYTES, payloadBytes - index * CHUNK_BYTES));

/** A bitmap of chunks has bit i in bit i & 7 of byte i >> 3. @returns its bytes for so many chunks */
export const bitmapBytes = (chunks: number): number => Math.ceil(chunks / 8);

/** @param index one beyond the end, and so large that shifting wraps it, is no chunk */
export const hasBit = (bitmap: Uint8Array, index: number): boolean =>
  index < bitmap.byteLength * 8 && (((bitmap[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;

export const payloadIdOf = (manifest: Uint8Array): PayloadId => contentId<PayloadId>('payload', manifest);

export const fileIdOf = (parts: {
  readonly prefixHash: Uint8Array;
  readonly payload: PayloadId;
  readonly suffixHash: Uint8Array;
}): FileId => contentId<FileId>('file', parts.prefixHash, idToBytes(parts.payload), parts.suffixHash);

/** @throws PeerError CHUNK_WRONG when `manifest` is not that of `payload` */
export function verifyManifest(payload: PayloadId, payloadBytes: number, manifest: Uint8Array): void {
  if (
    manifest.byteLength > MANIFEST_BYTES_MAX ||
    manifest.byteLength !== chunkCount(payloadBytes) * HASH_BYTES ||
    payloadIdOf(manifest) !== payload
  ) {
    throw new PeerError('CHUNK_WRONG', 'a manifest that is not what its id says');
  }
}

export const isChunk = (manifest: Uint8Array, index: number, chunk: Uint8Array): boolean =>
  sha256(chunk).equals(manifest.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES));
