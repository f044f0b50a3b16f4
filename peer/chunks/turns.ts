// Of several that fetch the same song at the same time from one that has it, each begins with other chunks, so that soon they have
// something to give each other, and each chunk leaves its holder once. Nobody hands out the chunks: whoever knows the same receivers
// finds the same order of them for each chunk, and takes first those of which he is the first (rendezvous hashing: Thaler and
// Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998). Where they know different ones, or one of them is slow, some
// chunk is asked for twice; nothing rests on it.
import type { PeerId } from '../../lib/ids.ts';
import { mix } from '../../lib/mix.ts';

/** Hexadecimal digits of an id: 32 bits. */
const DIGITS = 8;

export class Turns {
  readonly #self: number;
  #others: readonly number[] = [];
  readonly #turns = new Map<number, number>();

  constructor(self: PeerId) {
    this.#self = bitsOf(self);
  }

  /** Who fetches it too. */
  set others(peers: readonly PeerId[]) {
    this.#others = peers.map(bitsOf);
    this.#turns.clear();
  }

  /** How many of the others are to fetch the chunk before this peer does. */
  of(chunk: number): number {
    let turn = this.#turns.get(chunk);
    if (turn === undefined) {
      const spread = mix(chunk + 1);
      const mine = mix(this.#self ^ spread);
      turn = 0;
      for (const other of this.#others) if (mix(other ^ spread) > mine) turn++;
      this.#turns.set(chunk, turn);
    }
    return turn;
  }
}

const bitsOf = (peer: PeerId): number => Number.parseInt(peer.slice(-DIGITS), 16);
