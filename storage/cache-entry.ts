// What one cached payload looks like on disk: a single sparse file, so that eviction is one unlink. The edges of its files
// lie beside it (cache-edges.ts).
//
//     0   magic, 8 bytes
//     8   payloadBytes, u64
//     16  the first 8 bytes of SHA-256 of the payload's id and payloadBytes: where the rest lies depends on them
//     24  when it was last used, milliseconds since 1970, f64
//     32  bitmap: bit i of byte i >> 3 says that chunk i was written
//     ..  manifest
//     ..  at the next multiple of 4 KiB: the chunks, each at its place; what was not written is a hole
//
// Nothing here is synced. The bitmap is written after the chunks it speaks of, yet a power loss may keep the one and
// lose the other, so it is only a hint: whoever reads a chunk checks its hash, and the manifest is checked by its id.
import { chunkCount, chunkLength, HASH_BYTES, sha256 } from '../lib/content.ts';
import { type FileId, idToBytes, type PayloadId } from '../lib/ids.ts';
import { CHUNK_BYTES, MANIFEST_BYTES_MAX } from '../lib/limits.ts';
import type { WallClock } from '../lib/time.ts';
import { blockBytes, BLOCK_BYTES, type EdgesHeader } from './cache-edges.ts';

const MAGIC = Buffer.from('SPchunk1', 'latin1');
const SUM_AT = 16;
const LAST_USED_AT = 24;
const BITMAP_AT = 32;

/** Holds the header of every payload below 2 GiB. */
export const HEADER_GUESS_BYTES = BLOCK_BYTES;

/** What may go to make room for it: others' copies that are safe elsewhere, or also those that the network wants here. */
export type Evictable = 'free' | 'wanted';

export class CacheEntry {
  readonly payload: PayloadId;
  readonly payloadBytes: number;
  readonly chunks: number;
  readonly bitmap: Uint8Array;
  /** Chunks on their way to the disk. */
  readonly writing = new Set<number>();
  /** Files whose edges are here, and those whose edges are on their way to the disk. */
  readonly edges = new Map<FileId, EdgesHeader>();
  readonly keeping = new Map<FileId, Promise<boolean>>();
  /** Chunks that are not here and whose blocks are taken all the same: damaged ones, until they are written again, since Node.js punches no holes. */
  readonly #damaged = new Set<number>();
  evict: Evictable = 'wanted';
  lastUsed: WallClock;
  /** What it and its edges take of the disk, in whole blocks, what is damaged and reservations for `writing` and `keeping` included. */
  bytes: number;
  #held = 0;

  constructor(payload: PayloadId, payloadBytes: number, lastUsed: WallClock, bitmap?: Uint8Array) {
    this.payload = payload;
    this.payloadBytes = payloadBytes;
    this.lastUsed = lastUsed;
    this.chunks = chunkCount(payloadBytes);
    this.bitmap = bitmap ?? new Uint8Array(bitmapBytes(this.chunks));
    // Bits of no chunk: damaged, and nobody else is to see them.
    if (this.chunks % 8 !== 0) this.bitmap[this.bitmap.byteLength - 1]! &= (1 << this.chunks % 8) - 1;
    this.bytes = dataOffset(this.chunks);
    for (let index = 0; index < this.chunks; index++) {
      if (!this.has(index)) continue;
      this.#held++;
      this.bytes += this.diskBytesOf(index);
    }
  }

  /** What it takes of the disk when it is whole, edges not counted. */
  get bytesWhole(): number {
    return wholeDiskBytes(this.payloadBytes);
  }

  /** Chunks that are not here, those on their way to the disk included. */
  get missing(): number {
    return this.chunks - this.#held;
  }

  get complete(): boolean {
    return this.#held === this.chunks;
  }

  has(index: number): boolean {
    // An index from a stranger may be so large that shifting wraps it.
    return index < this.chunks && ((this.bitmap[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }

  add(index: number): void {
    if (this.has(index)) return;
    this.#damaged.delete(index);
    this.bitmap[index >> 3]! |= 1 << (index & 7);
    this.#held++;
  }

  remove(index: number): void {
    if (!this.has(index)) return;
    this.bitmap[index >> 3]! &= ~(1 << (index & 7));
    this.#held--;
  }

  /** It is not here, and its blocks are. */
  damage(index: number): void {
    this.remove(index);
    this.#damaged.add(index);
  }

  /** What writing this chunk takes of the disk. */
  growthOf(index: number): number {
    return this.#damaged.has(index) ? 0 : this.diskBytesOf(index);
  }

  diskBytesOf(index: number): number {
    return blockBytes(chunkLength(this.payloadBytes, index));
  }

  /** Where the last chunk that is here ends: the file is no longer than that. */
  get end(): number {
    let last = this.chunks - 1;
    while (last >= 0 && !this.has(last)) last--;
    return last < 0 ? dataOffset(this.chunks) : this.positionOf(last) + chunkLength(this.payloadBytes, last);
  }

  get manifestAt(): number {
    return BITMAP_AT + bitmapBytes(this.chunks);
  }

  positionOf(index: number): number {
    return dataOffset(this.chunks) + index * CHUNK_BYTES;
  }

  /** All that precedes the manifest; written again whenever the bitmap has changed. */
  header(): Buffer {
    const header = Buffer.alloc(BITMAP_AT + this.bitmap.byteLength);
    MAGIC.copy(header);
    header.writeBigUInt64BE(BigInt(this.payloadBytes), MAGIC.byteLength);
    checksum(this.payload, header).copy(header, SUM_AT);
    header.writeDoubleBE(this.lastUsed, LAST_USED_AT);
    header.set(this.bitmap, BITMAP_AT);
    return header;
  }
}

/** @returns the entry; or how many bytes of the file must be read to tell; or null when this is none of ours */
export function entryFromHeader(payload: PayloadId, bytes: Uint8Array): CacheEntry | number | null {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (header.byteLength < BITMAP_AT || !header.subarray(0, MAGIC.byteLength).equals(MAGIC)) return null;
  if (!checksum(payload, header).equals(header.subarray(SUM_AT, LAST_USED_AT))) return null;
  const payloadBytes = Number(header.readBigUInt64BE(MAGIC.byteLength));
  const chunks = chunkCount(payloadBytes);
  if (chunks < 1 || chunks * HASH_BYTES > MANIFEST_BYTES_MAX) return null;
  const end = BITMAP_AT + bitmapBytes(chunks);
  if (header.byteLength < end) return header.byteLength < HEADER_GUESS_BYTES ? null : end;
  const lastUsed = header.readDoubleBE(LAST_USED_AT);
  return new CacheEntry(payload, payloadBytes, Number.isFinite(lastUsed) ? lastUsed : 0, Uint8Array.from(header.subarray(BITMAP_AT, end)));
}

/** What a payload takes of the disk when it is whole, edges not counted. */
export const wholeDiskBytes = (payloadBytes: number): number => dataOffset(chunkCount(payloadBytes)) + blockBytes(payloadBytes);

/** @param fileBytes of a file that holds the last chunk @returns how large its payload is; undefined where no payload makes such a file */
export function payloadBytesOf(fileBytes: number): number | undefined {
  const about = Math.floor(fileBytes / (CHUNK_BYTES + HASH_BYTES));
  for (let chunks = Math.max(1, about - 1); chunks <= about + 2; chunks++) {
    const payloadBytes = fileBytes - dataOffset(chunks);
    if (payloadBytes > 0 && chunkCount(payloadBytes) === chunks) return payloadBytes;
  }
  return undefined;
}

const checksum = (payload: PayloadId, header: Buffer): Buffer =>
  sha256(Buffer.concat([idToBytes(payload), header.subarray(MAGIC.byteLength, SUM_AT)])).subarray(0, LAST_USED_AT - SUM_AT);

const bitmapBytes = (chunks: number): number => Math.ceil(chunks / 8);

const dataOffset = (chunks: number): number => blockBytes(BITMAP_AT + bitmapBytes(chunks) + chunks * HASH_BYTES);
