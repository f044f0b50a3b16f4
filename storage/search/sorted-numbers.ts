// One long sorted sequence that takes new members cheaply: those wait in a short row beside it and are merged a few hundred
// at a time, each merge being one pass of memory moves. (A log-structured merge tree with two levels; O'Neil et al., 1996.)
import { grown } from './arena.ts';
import type { Compare } from './lists.ts';

/** Sorting so many takes half a millisecond, and so few keep the moves of a merge rare. */
const WAITING_MAX = 512;

export class SortedNumbers {
  readonly #compare: Compare;
  #sorted = new Uint32Array(256) as Uint32Array;
  #length = 0;
  #waiting: number[] = [];

  /** @param compare a total order that never says 0 of two different members */
  constructor(compare: Compare) {
    this.#compare = compare;
  }

  /** @param member one that is not there */
  add(member: number): void {
    this.#waiting.push(member);
    if (this.#waiting.length >= WAITING_MAX) this.#merge();
  }

  /** @param member one that is there, and can still be compared */
  remove(member: number): void {
    const waiting = this.#waiting.indexOf(member);
    if (waiting >= 0) {
      this.#waiting.splice(waiting, 1);
      return;
    }
    const index = this.#firstNotBelow((other) => this.#compare(other, member), this.#length);
    this.#sorted.copyWithin(index, index + 1, this.#length);
    this.#length -= 1;
  }

  get length(): number {
    this.#merge();
    return this.#length;
  }

  /** @param index below `length`, which has been read since the last change */
  at(index: number): number {
    return this.#sorted[index] as number;
  }

  /** The index of the first member of which `order` is not negative; `order` must rise along the sequence. */
  search(order: (member: number) => number): number {
    this.#merge();
    return this.#firstNotBelow(order, this.#length);
  }

  #firstNotBelow(order: (member: number) => number, end: number): number {
    let low = 0;
    let high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (order(this.#sorted[middle] as number) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #merge(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting.sort(this.#compare);
    this.#waiting = [];
    this.#sorted = grown(this.#sorted, this.#length + waiting.length);
    // From the last to the first, so that everything is moved once and straight to its place.
    let end = this.#length;
    for (let i = waiting.length - 1; i >= 0; i--) {
      const member = waiting[i] as number;
      const index = this.#firstNotBelow((other) => this.#compare(other, member), end);
      this.#sorted.copyWithin(index + i + 1, index, end);
      this.#sorted[index + i] = member;
      end = index;
    }
    this.#length += waiting.length;
  }
}
