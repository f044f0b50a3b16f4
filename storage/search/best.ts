// The first few of very many, in order, without sorting the many: a heap that holds the best so far with the worst on top
// (Williams, "Algorithm 232: Heapsort", 1964).
import type { Compare } from './lists.ts';

export class Best {
  readonly #size: number;
  readonly #keys: number[] = [];
  readonly #members: number[] = [];
  readonly #compareEqual: Compare;

  /** @param compareEqual the order of members with one key */
  constructor(size: number, compareEqual: Compare) {
    this.#size = size;
    this.#compareEqual = compareEqual;
  }

  /** @param key the lower the better */
  offer(key: number, member: number): void {
    const count = this.#members.length;
    if (count < this.#size) {
      this.#siftUp(count, key, member);
    } else if (count > 0 && this.#isBefore(key, member, this.#keys[0] as number, this.#members[0] as number)) {
      this.#siftDown(count, key, member);
    }
  }

  /** Takes everything out, the best first. */
  drain(): number[] {
    const sorted = new Array<number>(this.#members.length);
    for (let i = sorted.length - 1; i >= 0; i--) {
      sorted[i] = this.#members[0] as number;
      const key = this.#keys.pop() as number;
      const member = this.#members.pop() as number;
      if (i > 0) this.#siftDown(i, key, member);
    }
    return sorted;
  }

  #isBefore(key: number, member: number, otherKey: number, other: number): boolean {
    return key === otherKey ? this.#compareEqual(member, other) < 0 : key < otherKey;
  }

  #isOneBefore(a: number, b: number): boolean {
    return this.#isBefore(this.#keys[a] as number, this.#members[a] as number, this.#keys[b] as number, this.#members[b] as number);
  }

  #siftUp(from: number, key: number, member: number): void {
    let i = from;
    while (i > 0) {
      const parent = (i - 1) >>> 1;
      const parentKey = this.#keys[parent] as number;
      const above = this.#members[parent] as number;
      if (!this.#isBefore(parentKey, above, key, member)) break;
      this.#keys[i] = parentKey;
      this.#members[i] = above;
      i = parent;
    }
    this.#keys[i] = key;
    this.#members[i] = member;
  }

  /** Puts a member in place of the top of the first `count`. */
  #siftDown(count: number, key: number, member: number): void {
    let i = 0;
    for (let child = 1; child < count; child = i * 2 + 1) {
      if (child + 1 < count && this.#isOneBefore(child, child + 1)) child += 1;
      if (!this.#isBefore(key, member, this.#keys[child] as number, this.#members[child] as number)) break;
      this.#keys[i] = this.#keys[child] as number;
      this.#members[i] = this.#members[child] as number;
      i = child;
    }
    this.#keys[i] = key;
    this.#members[i] = member;
  }
}
