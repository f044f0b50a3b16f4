// Random access to a file's bytes, bounded and synchronous. Finding a payload and parsing tags jump about in the first and
// last kilobytes; blocks that were read are kept, so both cost two reads of the disk for most files. It is synchronous
// because it runs in a worker whose only task is this one file.
import { readSync } from 'node:fs';
import { SCAN_BLOCK_BYTES } from '../../lib/limits.ts';

export interface ByteSource {
  readonly size: number;
  /** @returns up to `length` bytes at `offset`: fewer at the end of the file, none beyond it. Valid until the next read. */
  read(offset: number, length: number): Buffer;
}

export const bufferSource = (bytes: Buffer): ByteSource => ({
  size: bytes.byteLength,
  read: (offset, length) => (offset < 0 ? Buffer.alloc(0) : bytes.subarray(offset, offset + length)),
});

/** Reads `length` bytes or up to the end of the file into `into`. @returns bytes read */
export function readFully(descriptor: number, into: Buffer, { offset, length }: { readonly offset: number; readonly length: number }): number {
  let done = 0;
  while (done < length) {
    const bytes = readSync(descriptor, into, done, length - done, offset + done);
    if (bytes === 0) break;
    done += bytes;
  }
  return done;
}

/** Blocks kept: the head, the tail, and what lies between two of a parser's jumps. */
const BLOCKS_KEPT = 4;

/** A file that is open, its first `size` bytes. */
export class FileSource implements ByteSource {
  readonly size: number;
  readonly #descriptor: number;
  readonly #blocks = new Map<number, Buffer>();

  constructor(descriptor: number, size: number) {
    this.#descriptor = descriptor;
    this.size = size;
  }

  read(offset: number, length: number): Buffer {
    const end = Math.min(this.size, offset + length);
    if (offset < 0 || offset >= end) return Buffer.alloc(0);
    const block = Math.floor(offset / SCAN_BLOCK_BYTES);
    if (end <= (block + 1) * SCAN_BLOCK_BYTES) {
      const start = offset - block * SCAN_BLOCK_BYTES;
      return this.#block(block).subarray(start, start + end - offset);
    }
    const bytes = Buffer.allocUnsafe(end - offset);
    return bytes.subarray(0, readFully(this.#descriptor, bytes, { offset, length: end - offset }));
  }

  #block(index: number): Buffer {
    const known = this.#blocks.get(index);
    if (known !== undefined) return known;
    const offset = index * SCAN_BLOCK_BYTES;
    const length = Math.min(SCAN_BLOCK_BYTES, this.size - offset);
    const bytes = Buffer.allocUnsafe(length);
    const block = bytes.subarray(0, readFully(this.#descriptor, bytes, { offset, length }));
    if (this.#blocks.size >= BLOCKS_KEPT) this.#blocks.delete(this.#blocks.keys().next().value as number);
    this.#blocks.set(index, block);
    return block;
  }
}
