// Finds the number of a thing by the thing's content, where a JavaScript Map would keep an object or a string for each of a
// million. Open addressing with linear probing and deletion by shifting back (Knuth, TAOCP 3, 6.4, algorithm R). It is cut
// into shards that grow one at a time: doubling a single table of a million would hold up everything else for 100 ms.

const SHARD_BITS = 6;
const SHARDS = 1 << SHARD_BITS;
const SHARD_SLOTS_MIN = 8;

export class NumberTable {
  /** The well-mixed hash of the content of a number that is in the table. */
  readonly #hashOf: (number: number) => number;
  /** Numbers plus one; 0 is an empty slot. */
  readonly #shards: Uint32Array[] = Array.from({ length: SHARDS }, () => new Uint32Array(SHARD_SLOTS_MIN));
  readonly #used = new Uint32Array(SHARDS);

  constructor(hashOf: (number: number) => number) {
    this.#hashOf = hashOf;
  }

  /** @returns the number with this hash that `matches`, or -1 */
  find(hash: number, matches: (number: number) => boolean): number {
    const slots = this.#shards[hash >>> (32 - SHARD_BITS)] as Uint32Array;
    const mask = slots.length - 1;
    for (let i = hash & mask; ; i = (i + 1) & mask) {
      const entry = slots[i] as number;
      if (entry === 0) return -1;
      if (matches(entry - 1)) return entry - 1;
    }
  }

  /** @param number one that is not in the table */
  add(hash: number, number: number): void {
    const shard = hash >>> (32 - SHARD_BITS);
    let slots = this.#shards[shard] as Uint32Array;
    const used = (this.#used[shard] as number) + 1;
    this.#used[shard] = used;
    if (used * 3 > slots.length * 2) {
      const old = slots;
      slots = new Uint32Array(old.length * 2);
      this.#shards[shard] = slots;
      for (const entry of old) if (entry !== 0) this.#place(slots, this.#hashOf(entry - 1), entry);
    }
    this.#place(slots, hash, number + 1);
  }

  /** @param number one that is in the table, and whose hash this is */
  remove(hash: number, number: number): void {
    const shard = hash >>> (32 - SHARD_BITS);
    const slots = this.#shards[shard] as Uint32Array;
    const mask = slots.length - 1;
    let hole = hash & mask;
    while (slots[hole] !== number + 1) hole = (hole + 1) & mask;
    for (let i = (hole + 1) & mask; slots[i] !== 0; i = (i + 1) & mask) {
      const home = this.#hashOf((slots[i] as number) - 1) & mask;
      // An entry may move back into the hole unless its home lies behind the hole, on its way to where it is.
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      slots[hole] = slots[i] as number;
      hole = i;
    }
    slots[hole] = 0;
    this.#used[shard] = (this.#used[shard] as number) - 1;
  }

  #place(slots: Uint32Array, hash: number, entry: number): void {
    const mask = slots.length - 1;
    let i = hash & mask;
    while (slots[i] !== 0) i = (i + 1) & mask;
    slots[i] = entry;
  }
}
