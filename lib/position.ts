// Where an item stands in its playlist: a text between its neighbours' texts, so that an insert writes one register and leaves all
// others alone. The scheme is fractional indexing (David Greenspan, "Implementing Fractional Indexing", 2020), by the
// package of that name. What comes from outside is checked here first, since the package throws on it or answers with junk.
import { generateNKeysBetween } from 'fractional-indexing';
import { POSITION_CHARACTERS_MAX } from './limits.ts';

export type Position = string & { readonly __brand: 'Position' };

/** The first character says how many belong to the integer: `a` two, `b` three, …, and down from `Z` two, `Y` three, …. */
const FORM = /^[A-Za-z][0-9A-Za-z]*$/;
/** No integer is smaller, so nothing could stand before it. */
const SMALLEST = `A${'0'.repeat(26)}`;

const integerLength = (head: string): number => (head >= 'a' ? head.charCodeAt(0) - 'a'.charCodeAt(0) : 'Z'.charCodeAt(0) - head.charCodeAt(0)) + 2;

export function isPosition(text: unknown): text is Position {
  if (typeof text !== 'string' || text.length > POSITION_CHARACTERS_MAX || !FORM.test(text) || text === SMALLEST) return false;
  const integer = integerLength(text[0] as string);
  return text.length === integer || (text.length > integer && !text.endsWith('0'));
}

/** `count` positions in order, after `before` and before `after`; null is an end of the list.
 *  @returns undefined when there is no room: equal neighbours, or positions that would become too long */
export function positionsBetween(before: Position | null, after: Position | null, count: number): readonly Position[] | undefined {
  if (before !== null && after !== null && before >= after) return undefined;
  let found: readonly string[];
  try {
    found = generateNKeysBetween(before, after, count);
  } catch {
    return undefined; // past the smallest or the greatest integer
  }
  return found.every(isPosition) ? found : undefined;
}
