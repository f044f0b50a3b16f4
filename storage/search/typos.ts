// How many typing errors lie between two words: a letter too many, missing, wrong, or two swapped (optimal string alignment,
// a restricted Damerau-Levenshtein distance). All cells of a row of the classic table are computed at once in the bits of one
// number: Myers 1999, with Hyyrö's swap of 2003 ("A bit-vector algorithm for computing Levenshtein and Damerau edit
// distances"). Before that, two words are compared by which letters they have at all: each error takes away and adds at most one.

/** Words longer than this are taken as they are; the bits of one small integer have to hold a word. */
export const TYPO_LETTERS_MAX = 28;

/** Errors that a word of so many letters may have: short words have too many neighbours, and years are not misspelled. */
export function typosAllowed(word: string): number {
  const letters = lettersOf(word);
  if (letters > TYPO_LETTERS_MAX || /^\p{N}*$/u.test(word)) return 0;
  return letters >= 8 ? 2 : letters >= 4 ? 1 : 0;
}

/** How many letters a word has. */
export const lettersOf = (word: string): number => {
  let letters = 0;
  for (const _ of word) letters += 1;
  return letters;
};

/** Which letters a word has, as 32 bits; a to z fall apart. */
export function signatureOf(word: string): number {
  let bits = 0;
  for (const letter of word) bits |= 1 << ((letter.codePointAt(0) as number) & 31);
  return bits >>> 0;
}

/** How many letters of `a` are not in `b`, by their signatures. (Population count, Hacker's Delight, 5-1.) */
export function lettersMissing(a: number, b: number): number {
  let bits = a & ~b;
  bits -= (bits >>> 1) & 0x5555_5555;
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** The distance of words to one word. */
export class TypoPattern {
  readonly #positions = new Map<number, number>();
  readonly #ascii = new Int32Array(128);
  readonly #letters: number;

  /** @param word of at least one and at most TYPO_LETTERS_MAX letters */
  constructor(word: string) {
    const letters = Array.from(word, (character) => character.codePointAt(0) as number);
    this.#letters = letters.length;
    letters.forEach((letter, i) => {
      const positions = (this.#positions.get(letter) ?? 0) | (1 << i);
      this.#positions.set(letter, positions);
      if (letter < 128) this.#ascii[letter] = positions;
    });
  }

  /** @param bytes UTF-8 of the word from `start` to `end` */
  distance(bytes: Uint8Array, start: number, end: number): number {
    const last = 1 << (this.#letters - 1);
    let distance = this.#letters;
    let more = -1;
    let less = 0;
    let diagonal = 0;
    let previous = 0;
    for (let i = start; i < end; ) {
      let letter = bytes[i++] as number;
      if (letter >= 0x80) {
        const rest = letter >= 0xf0 ? 3 : letter >= 0xe0 ? 2 : 1;
        letter &= 0x3f >> rest;
        for (const stop = i + rest; i < stop; i++) letter = (letter << 6) | ((bytes[i] as number) & 0x3f);
      }
      const here = letter < 128 ? (this.#ascii[letter] as number) : (this.#positions.get(letter) ?? 0);
      const swapped = ((~diagonal & here) << 1) & previous;
      diagonal = ((((here & more) + more) | 0) ^ more) | here | less | swapped;
      const up = less | ~(diagonal | more);
      const down = diagonal & more;
      if (up & last) distance += 1;
      else if (down & last) distance -= 1;
      const shifted = (up << 1) | 1;
      more = (down << 1) | ~(diagonal | shifted);
      less = diagonal & shifted;
      previous = here;
    }
    return distance;
  }
}
