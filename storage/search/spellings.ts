// Where to look for words that are spelled nearly like another: words by their length, each with the letters that it has, so that
// of hundreds of thousands a few hundred are left to be compared letter by letter. A scan of small numbers in a row is quicker
// and ten times smaller here than an index of all deletions (SymSpell) would be.
import { grown } from './arena.ts';
import { lettersMissing, lettersOf, signatureOf, TYPO_LETTERS_MAX, typosAllowed } from './typos.ts';

/** Words of one length. */
interface Shelf {
  signatures: Uint32Array;
  words: Uint32Array;
  count: number;
}

/** No query's word can have more letters than this and still be near. */
const LETTERS_MAX = TYPO_LETTERS_MAX + 2;

export class Spellings {
  readonly #shelves: Shelf[] = Array.from({ length: LETTERS_MAX + 1 }, () => ({
    signatures: new Uint32Array(4),
    words: new Uint32Array(4),
    count: 0,
  }));

  add(word: number, spelling: string): void {
    const shelf = this.#shelves[lettersOf(spelling)];
    if (shelf === undefined) return;
    const index = shelf.count++;
    shelf.signatures = grown(shelf.signatures, shelf.count);
    shelf.words = grown(shelf.words, shelf.count);
    shelf.signatures[index] = signatureOf(spelling);
    shelf.words[index] = word;
  }

  remove(word: number, spelling: string): void {
    const shelf = this.#shelves[lettersOf(spelling)];
    if (shelf === undefined) return;
    const index = shelf.words.indexOf(word);
    const last = --shelf.count;
    shelf.signatures[index] = shelf.signatures[last] as number;
    shelf.words[index] = shelf.words[last] as number;
  }

  /** Calls `visit` with every word that may be as near to `spelling` as typos are allowed, and with some that are not. */
  forEachNear(spelling: string, visit: (word: number) => void): void {
    const errors = typosAllowed(spelling);
    const letters = lettersOf(spelling);
    const signature = signatureOf(spelling);
    for (let length = letters - errors; length <= letters + errors; length++) {
      const { signatures, words, count } = this.#shelves[length] as Shelf;
      // A letter too many can take none away: of the errors, as many as the lengths differ do only one of the two.
      const lost = errors - Math.max(0, length - letters);
      const gained = errors - Math.max(0, letters - length);
      for (let i = 0; i < count; i++) {
        const other = signatures[i] as number;
        if (lettersMissing(signature, other) <= lost && lettersMissing(other, signature) <= gained) visit(words[i] as number);
      }
    }
  }
}
