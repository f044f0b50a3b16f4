// Edges are given out piece by piece, and one hash covers a whole edge, which may have 64 MiB. So it is read through once and its
// hash looked at, and meanwhile the hash of each piece is taken; from then on a piece is read alone, and checked by its own.
// No byte goes out that was not what it should be at that moment, and what is kept in memory is 32 bytes for 128 KiB.
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { HASH_BYTES, sha256 } from '../lib/content.ts';
import { EDGE_SUMS_CACHED_BYTES, PIECE_BYTES_MAX } from '../lib/limits.ts';

export interface EdgeOnDisk {
  /** Names the edge, and the version of the file that it is read from. */
  readonly key: string;
  readonly bytes: number;
  /** SHA-256 of all of it. */
  readonly hash: Uint8Array;
  /** @param offset within the edge @returns fewer bytes where the file ends */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export class EdgePieces {
  /** Also those that are being taken: an edge is asked for in several pieces at once. */
  readonly #sums = new LRUCache<string, Promise<Uint8Array | null>>({ maxSize: EDGE_SUMS_CACHED_BYTES });

  /** @returns what a piece has from `offset` on, pieces being cut every 128 KiB; null when the edge is not what its hash says. Throws what `read` throws */
  async read(edge: EdgeOnDisk, offset: number): Promise<Uint8Array | null> {
    const { key, bytes, hash, read } = edge;
    if (offset >= bytes) return new Uint8Array();
    const index = Math.floor(offset / PIECE_BYTES_MAX);
    const start = index * PIECE_BYTES_MAX;
    const sums = bytes <= PIECE_BYTES_MAX ? hash : await this.#sumsOf(edge);
    if (sums === null) return null;
    const piece = await read(start, Math.min(PIECE_BYTES_MAX, bytes - start));
    if (sha256(piece).equals(sums.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES))) return piece.subarray(offset - start);
    this.#sums.delete(key);
    return null;
  }

  #sumsOf(edge: EdgeOnDisk): Promise<Uint8Array | null> {
    const known = this.#sums.get(edge.key);
    if (known !== undefined) return known;
    const sums = takeSums(edge);
    this.#sums.set(edge.key, sums, { size: Math.ceil(edge.bytes / PIECE_BYTES_MAX) * HASH_BYTES });
    const drop = (): void => void (this.#sums.peek(edge.key) === sums && this.#sums.delete(edge.key));
    sums.then((taken) => taken ?? drop(), drop);
    return sums;
  }
}

async function takeSums({ bytes, hash, read }: EdgeOnDisk): Promise<Uint8Array | null> {
  const whole = createHash('sha256');
  const sums: Uint8Array[] = [];
  for (let offset = 0; offset < bytes; offset += PIECE_BYTES_MAX) {
    const piece = await read(offset, Math.min(PIECE_BYTES_MAX, bytes - offset));
    whole.update(piece);
    sums.push(sha256(piece));
  }
  return whole.digest().equals(hash) ? Buffer.concat(sums) : null;
}
