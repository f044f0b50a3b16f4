// A set of songs by their numbers, one bit each: membership in an instant, and visits in the order of numbers, in which
// everything about a song lies in memory.

export class SongSet {
  readonly #bits: Uint32Array;

  /** @param end one more than the greatest number that a song can have; sets that meet have the same */
  constructor(end: number) {
    this.#bits = new Uint32Array((end >>> 5) + 1);
  }

  clear(): void {
    this.#bits.fill(0);
  }

  addAll(others: SongSet): void {
    for (let i = 0; i < this.#bits.length; i++) this.#bits[i] = (this.#bits[i] as number) | (others.#bits[i] as number);
  }

  has(song: number): boolean {
    return ((this.#bits[song >>> 5] as number) & (1 << (song & 31))) !== 0;
  }

  add(song: number): void {
    this.#bits[song >>> 5] = (this.#bits[song >>> 5] as number) | (1 << (song & 31));
  }

  /** Keeps only the songs that `others` has too. */
  intersect(others: SongSet): void {
    for (let i = 0; i < this.#bits.length; i++) this.#bits[i] = (this.#bits[i] as number) & (others.#bits[i] as number);
  }

  /** How many there are. */
  count(): number {
    let count = 0;
    this.forEach(() => {
      count += 1;
    });
    return count;
  }

  forEach(visit: (song: number) => void): void {
    for (let i = 0; i < this.#bits.length; i++) {
      for (let bits = this.#bits[i] as number; bits !== 0; bits &= bits - 1) visit(i * 32 + 31 - Math.clz32(bits & -bits));
    }
  }
}
