// Many sorted sets of numbers, most of them tiny and a few very long: which songs have a word in their title, which songs a
// release has. A set of one costs no room beyond its two header numbers; larger ones lie in an arena with room for the next
// power of two. Adding in ascending order, as loading does, is a plain append; anywhere else it is one memory move.
import { Arena, grown, powerOfTwoFrom } from './arena.ts';

export type Compare = (a: number, b: number) => number;

export class Lists {
  readonly #compare: Compare;
  readonly #arena = new Arena();
  /** Where the set of a key begins; of a set of one, its only number. */
  #at = new Uint32Array(256) as Uint32Array;
  #length = new Uint32Array(256) as Uint32Array;

  constructor(compare: Compare = (a, b) => a - b) {
    this.#compare = compare;
  }

  length(key: number): number {
    return key < this.#length.length ? (this.#length[key] as number) : 0;
  }

  /** @param index below `length(key)` */
  get(key: number, index: number): number {
    const at = this.#at[key] as number;
    return this.#length[key] === 1 ? at : (this.#arena.words[at + index] as number);
  }

  /** @returns false when it was there already */
  add(key: number, value: number): boolean {
    this.#at = grown(this.#at, key + 1);
    this.#length = grown(this.#length, key + 1);
    const length = this.#length[key] as number;
    const index = this.#indexOf(key, value);
    if (index >= 0) return false;
    this.#resize(key, length, length + 1);
    this.#length[key] = length + 1;
    if (length === 0) {
      this.#at[key] = value;
      return true;
    }
    const { words } = this.#arena;
    const at = this.#at[key] as number;
    const place = at + ~index;
    if (~index < length) words.copyWithin(place + 1, place, at + length);
    words[place] = value;
    return true;
  }

  /** @returns false when it was not there */
  remove(key: number, value: number): boolean {
    const length = this.length(key);
    const index = this.#indexOf(key, value);
    if (index < 0) return false;
    if (length > 1) {
      const at = this.#at[key] as number;
      this.#arena.words.copyWithin(at + index, at + index + 1, at + length);
      this.#resize(key, length, length - 1);
    }
    this.#length[key] = length - 1;
    return true;
  }

  /** The index of `value`, or the complement of where it belongs. */
  #indexOf(key: number, value: number): number {
    const length = this.length(key);
    let low = 0;
    let high = length;
    if (length > 0 && this.#compare(this.get(key, length - 1), value) < 0) return ~length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = this.#compare(this.get(key, middle), value);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return ~low;
  }

  /** Moves the numbers that both lengths keep to room that fits the new one. */
  #resize(key: number, from: number, to: number): void {
    const old = from < 2 ? 0 : powerOfTwoFrom(from);
    const room = to < 2 ? 0 : powerOfTwoFrom(to);
    if (old === room) return;
    const at = this.#at[key] as number;
    const keep = Math.min(from, to);
    if (room === 0) {
      this.#at[key] = this.#arena.words[at] as number;
    } else {
      const place = this.#arena.allocate(room);
      if (old === 0) this.#arena.words[place] = at;
      else this.#arena.words.copyWithin(place, at, at + keep);
      this.#at[key] = place;
    }
    if (old !== 0) this.#arena.free(at, old);
  }
}
