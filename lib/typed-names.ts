// Names that people type, made comparable: the same word typed on two keyboards has to be the same name, or a household has
// two of everything. One form is shown (Unicode's NFC, white space trimmed and folded), another one compares (in lower case).
import { PeerError } from './errors.ts';

/** Controls would part lines of a terminal, half a character cannot be written as UTF-8, and some codes are none by definition. */
const REFUSED = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u;

export interface NameOptions {
  /** As in "a playlist's name". */
  readonly what: string;
  readonly charactersMax: number;
}

/** The form that is shown.
 *  @throws PeerError BAD_USAGE when it is empty, too long or holds what is no character of a text */
export function typedName(text: string, { what, charactersMax }: NameOptions): string {
  // bounded before the work; composing makes texts shorter, hardly ever longer
  const name = text.length > 4 * charactersMax ? text : text.normalize('NFC').trim().replace(/\s+/gu, ' ');
  if (name === '') throw new PeerError('BAD_USAGE', `${what} is empty`);
  if (name.length > charactersMax) throw new PeerError('BAD_USAGE', `${what} has at most ${charactersMax} characters`);
  if (REFUSED.test(name)) throw new PeerError('BAD_USAGE', `${what} consists of letters, digits and signs`);
  return name;
}

/** The form that compares; of a name as `typedName` returns it. */
export const comparable = (name: string): string => name.toLowerCase().normalize('NFC');
