// Room for millions of small things of changing size, without a JavaScript object for each: one typed array that gives out
// stretches of words (4 bytes) and takes them back into a free list for each size ("segregated storage", Wilson et al.,
// "Dynamic Storage Allocation", 1995). Freed room is reused, never moved, so that no change ever has to wait for a tidying.

/** Up to here every size has its own free list; larger ones are rounded up to powers of two. */
const EXACT_WORDS_MAX = 32;
const CLASSES = EXACT_WORDS_MAX + 32;

/** The least power of two that is not below `n`, for 1 <= n <= 2^31. */
export const powerOfTwoFrom = (n: number): number => (n <= 1 ? 1 : (1 << (32 - Math.clz32(n - 1))) >>> 0);

const roomOf = (size: number): number => (size <= EXACT_WORDS_MAX ? size : powerOfTwoFrom(size));
const classOf = (room: number): number => (room <= EXACT_WORDS_MAX ? room : EXACT_WORDS_MAX + 31 - Math.clz32(room));

/** `column`, or a copy that holds at least `length` numbers. Untouched zero pages cost no memory, so it doubles freely. */
export function grown(column: Uint32Array, length: number): Uint32Array {
  if (length <= column.length) return column;
  const larger = new Uint32Array(Math.max(length, column.length * 2));
  larger.set(column);
  return larger;
}

export class Arena {
  /** Replaced when it grows: read it again after every `allocate`. */
  words = new Uint32Array(256);
  /** The same memory in bytes. */
  bytes = new Uint8Array(this.words.buffer);
  /** The first word is never given out, so that 0 can mean nothing. */
  #used = 1;
  /** The first free stretch of each class; the others follow through their first words. */
  readonly #free = new Uint32Array(CLASSES);

  /** @returns where `size` words begin; they hold old content */
  allocate(size: number): number {
    const room = roomOf(size);
    const kind = classOf(room);
    const free = this.#free[kind] as number;
    if (free !== 0) {
      this.#free[kind] = this.words[free] as number;
      return free;
    }
    const at = this.#used;
    this.#used += room;
    if (this.#used > this.words.length) {
      this.words = grown(this.words, this.#used) as Uint32Array<ArrayBuffer>;
      this.bytes = new Uint8Array(this.words.buffer);
    }
    return at;
  }

  /** @param size as it was allocated */
  free(at: number, size: number): void {
    const kind = classOf(roomOf(size));
    this.words[at] = this.#free[kind] as number;
    this.#free[kind] = at;
  }
}
