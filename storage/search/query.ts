// What a person asked for, as terms that all have to match, and for each word of the catalog how well it matches each term.
import { QUERY_CHARACTERS_MAX, QUERY_WORDS_MAX } from '../../lib/limits.ts';
import type { Vocabulary } from './vocabulary.ts';
import { wordsOf } from './words.ts';

/** How a word of the catalog matches a term; the greater the better. */
export const NONE = 0;
export const TWO_TYPOS = 1;
export const ONE_TYPO = 2;
export const PREFIX = 3;
export const EXACT = 4;

/** One word of the query, with the joined spellings that it is part of: `ac/dc` is (ac or acdc) and (dc or acdc). */
export type Term = readonly [word: string, ...joined: string[]];

/** The different terms of a query. A word said twice asks for no more than once. */
export function termsOf(query: string): Term[] {
  const { words, joined } = wordsOf(query.slice(0, QUERY_CHARACTERS_MAX));
  const terms = new Map<string, Term>();
  words.slice(0, QUERY_WORDS_MAX).forEach((word, i) => {
    const spellings = joined.filter(({ first, count }) => i >= first && i < first + count).map((spelling) => spelling.word);
    terms.set([word, ...spellings].join(' '), [word, ...spellings]);
  });
  return [...terms.values()];
}

/** A term looked up in the vocabulary. */
export interface Match {
  /** By the number of a word: NONE to EXACT. */
  readonly qualities: Uint8Array;
  /** The words that match at all. */
  readonly words: readonly number[];
}

/** @param options.typos also words with typing errors, but never in place of a better match
 *  @param options.qualities zeros for all words */
export function matchTerm(
  term: Term,
  vocabulary: Vocabulary,
  { typos, qualities }: { readonly typos: boolean; readonly qualities: Uint8Array },
): Match {
  const words: number[] = [];
  const note = (word: number, quality: number): void => {
    const known = qualities[word] as number;
    if (known === NONE) words.push(word);
    if (quality > known) qualities[word] = quality;
  };
  for (const spelling of term) vocabulary.withPrefix(spelling, (word, exact) => note(word, exact ? EXACT : PREFIX));
  if (typos) vocabulary.near(term[0], (word, errors) => note(word, errors === 1 ? ONE_TYPO : TWO_TYPOS));
  return { qualities, words };
}
