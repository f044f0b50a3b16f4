// Of several that fetch the same song at the same time from one that has it, each begins with other chunks, so that soon they have
// something to give each other, and few chunks leave their holder twice. Nobody hands out the chunks: whoever knows the same peers
// finds the same order of them for each chunk, and takes first those of which he is the first himself (rendezvous hashing: Thaler and
// Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998). Where they know different ones, or one of them is slow or
// fetches nothing any more, some chunks are asked for twice, as by chance; nothing rests on it.
import type { PeerId } from '../../lib/ids.ts';
import { mix } from '../../lib/mix.ts';

/** Hexadecimal digits of an id: 32 bits. */
const DIGITS = 8;
/** More than are wanted at once, as a rule. */
const REMEMBERED_MAX = 1_024;

export class Turns {
  readonly #self: number;
  #others: readonly number[] = [];
  readonly #turns = new Map<number, number>();

  constructor(self: PeerId) {
    this.#self = bitsOf(self);
  }

  /** From now on they are the others. */
  among(others: readonly PeerId[]): void {
    this.#others = others.map(bitsOf);
    this.#turns.clear();
  }

  /** How many of the others are to fetch the chunk before this peer does. */
  of(chunk: number): number {
    const known = this.#turns.get(chunk);
    if (known !== undefined) return known;
    const spread = mix(chunk + 1);
    const mine = mix(this.#self ^ spread);
    let turn = 0;
    for (const other of this.#others) if (mix(other ^ spread) > mine) turn++;
    if (this.#turns.size >= REMEMBERED_MAX) this.#turns.clear();
    this.#turns.set(chunk, turn);
    return turn;
  }
}

const bitsOf = (peer: PeerId): number => Number.parseInt(peer.slice(-DIGITS), 16);
