// A manifest comes in pieces, a few at a time, each with its own deadline: one of the longest recording takes ten seconds at
// 13 Mbit/s. Only the whole can be verified, so pieces of one sender are never put together with another's, and what has come is
// kept for the next time that he is asked.
import type { PeerId } from '../../lib/ids.ts';
import { MANIFEST_BYTES_MAX, PIECE_BYTES_MAX, PIECES_IN_FLIGHT_MAX } from '../../lib/limits.ts';

/** Senders whose pieces are kept: the one that is asked, and two that it is hedged with. */
const ASSEMBLED_MAX = 3;

export class ManifestPieces {
  /** How many there are, if the manifest is as long as it should be. */
  readonly #count: number;
  readonly #piecesOf = new Map<PeerId, (Uint8Array | undefined)[]>();

  /** @param bytes how long the manifest should be */
  constructor(bytes: number) {
    this.#count = Math.ceil(bytes / PIECE_BYTES_MAX);
  }

  /** @param ask for the piece at an offset @param onPiece is called when one of those that must be there has come
   *  @returns the manifest as its sender has it, which may be of another length, and is not verified @throws what `ask` does */
  async fetch(peer: PeerId, ask: (offset: number) => Promise<Uint8Array>, onPiece: () => void): Promise<Uint8Array> {
    const pieces = this.#piecesOf.get(peer) ?? [];
    this.#keep(peer, pieces);
    const piece = async (at: number): Promise<Uint8Array> => (await ask(at * PIECE_BYTES_MAX)).subarray(0, PIECE_BYTES_MAX);
    let next = 0;
    const puller = async (): Promise<void> => {
      while (next < this.#count) {
        const at = next++;
        if (pieces[at] !== undefined) continue;
        pieces[at] = await piece(at);
        onPiece();
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(PIECES_IN_FLIGHT_MAX, this.#count) }, puller));
    } finally {
      // What is under way is kept when it comes, and after a failure nothing more is asked for.
      next = this.#count;
    }
    // Only a piece that is not full shows where the sender's ends.
    for (let at = this.#count; pieces[at - 1]?.byteLength === PIECE_BYTES_MAX && at * PIECE_BYTES_MAX < MANIFEST_BYTES_MAX; at++) {
      pieces[at] = await piece(at);
    }
    return Buffer.concat(pieces as Uint8Array[]);
  }

  /** What it has sent was wrong. */
  forget(peer: PeerId): void {
    this.#piecesOf.delete(peer);
  }

  clear(): void {
    this.#piecesOf.clear();
  }

  #keep(peer: PeerId, pieces: (Uint8Array | undefined)[]): void {
    this.#piecesOf.delete(peer);
    this.#piecesOf.set(peer, pieces);
    for (const oldest of this.#piecesOf.keys()) {
      if (this.#piecesOf.size <= ASSEMBLED_MAX) return;
      this.#piecesOf.delete(oldest);
    }
  }
}
