// Cuts a text into the words that it is found by. Titles, names and queries are all cut by this one function, so that what
// a person sees written can be typed as it is written.
//
// - Letters, digits and marks make words; everything else parts them.
// - What stands together between spaces is also found in one: "AC/DC" is `ac`, `dc` and `acdc`, "don't" is `don`, `t` and
//   `dont`. Letters that are drawn as signs are read: "P!nk" is `pink`, "Ke$ha" `kesha`, "Joey Bada$$" `badass`.
// - Scripts that put no spaces between words give every pair of neighbours, and the last character alone (the bigrams of
//   Lucene's CJKAnalyzer; since a word is found by its beginning, single characters need no words of their own).
// - Signs standing alone ("÷", "I ♥ NY") are words; punctuation only where a text has nothing else ("!!!").
import { TAG_CHARACTERS_MAX, WORD_CHARACTERS_MAX } from '../../lib/limits.ts';
import { fold } from './fold.ts';

export interface Words {
  readonly words: readonly string[];
  /** Second spellings: `words[first .. first + count - 1]` written in one. */
  readonly joined: readonly Joined[];
}

export interface Joined {
  readonly first: number;
  readonly count: number;
  readonly word: string;
}

const SPACE = 1;
const LETTER = 2;
const UNSPACED = 3;
const SIGN = 4;
const PUNCTUATION = 5;

const SPACES = /[\s\p{Z}]/u;
const WORD_CHARACTER = /[\p{L}\p{N}\p{M}]/u;
const UNSPACED_SCRIPTS = ['sc=Han', 'scx=Hira', 'scx=Kana', 'sc=Hang', 'sc=Thai', 'sc=Lao', 'sc=Khmer', 'sc=Myanmar'];
const UNSPACED_SCRIPT = new RegExp(`[${UNSPACED_SCRIPTS.map((script) => `\\p{${script}}`).join('')}]`, 'u');
/** Plain-text arrows, pipes and pluses separate, as in "A | B"; the signs that people mean are further up. */
const MEANT_SIGN = /[^\0-\x7f]/u;
const SIGNS = /\p{S}/u;

function classify(codePoint: number): number {
  const character = String.fromCodePoint(codePoint);
  if (SPACES.test(character)) return SPACE;
  if (WORD_CHARACTER.test(character)) return UNSPACED_SCRIPT.test(character) ? UNSPACED : LETTER;
  return SIGNS.test(character) && MEANT_SIGN.test(character) ? SIGN : PUNCTUATION;
}

/** Regular expressions are asked once for each character of the basic plane. */
const classes = new Uint8Array(0x1_0000);
function classOf(codePoint: number): number {
  if (codePoint >= classes.length) return classify(codePoint);
  return (classes[codePoint] ||= classify(codePoint));
}

/** Parts of more pieces than this are addresses or drawings, and nobody types them in one. */
const JOINED_PARTS_MAX = 8;

const cut = (word: string): string => (word.length > WORD_CHARACTERS_MAX ? word.slice(0, WORD_CHARACTERS_MAX) : word);

/** Every character of the unspaced `run` with its neighbour, then the last alone. */
function pushPairs(run: string, words: string[]): void {
  const characters = Array.from(run);
  for (let i = 0; i < characters.length; i++) words.push((characters[i] as string) + (characters[i + 1] ?? ''));
}

/** Whether the letter before or after a sign makes it a letter too. `$` is one anywhere, `!` and `@` only between letters. */
function letterOfSign(sign: string, before: number, after: number): string {
  if (sign === '$') return before === LETTER || after === LETTER || before === PUNCTUATION ? 's' : '';
  if (before !== LETTER || after !== LETTER) return '';
  return sign === '!' ? 'i' : sign === '@' ? 'a' : '';
}

/** Cuts what stands between two spaces. */
function cutChunk(chunk: string, words: string[], joined: Joined[]): void {
  const first = words.length;
  let spelled = '';
  let unspaced = false;
  let signs = false;
  let start = 0;
  let previous = PUNCTUATION;
  for (let i = 0; i <= chunk.length; ) {
    const codePoint = i < chunk.length ? (chunk.codePointAt(i) as number) : -1;
    const kind = codePoint < 0 ? PUNCTUATION : classOf(codePoint);
    const units = codePoint > 0xffff ? 2 : 1;
    if (kind !== previous || kind > UNSPACED) {
      if (previous === LETTER) words.push(cut(chunk.slice(start, i)));
      else if (previous === UNSPACED) pushPairs(chunk.slice(start, i), words);
      if (previous === LETTER) spelled += chunk.slice(start, i);
      start = i;
    }
    if (kind === UNSPACED) unspaced = true;
    if (kind === SIGN) signs = true;
    if (kind === PUNCTUATION && i < chunk.length) {
      const after = i + 1 < chunk.length ? classOf(chunk.codePointAt(i + 1) as number) : SPACE;
      spelled += letterOfSign(chunk[i] as string, i === 0 ? SPACE : previous, after);
    }
    previous = kind;
    i += units;
  }
  const count = words.length - first;
  if (count === 0) {
    if (signs) words.push(cut(chunk));
  } else if (!unspaced && count <= JOINED_PARTS_MAX) {
    const word = cut(spelled);
    if (count > 1 || word !== words[first]) joined.push({ first, count, word });
  }
}

/** @param text anything, unpaired surrogates included; no more of it counts than a tag may have */
export function wordsOf(text: string): Words {
  const words: string[] = [];
  const joined: Joined[] = [];
  const folded = fold(text.slice(0, TAG_CHARACTERS_MAX));
  const chunks: string[] = [];
  let start = 0;
  let plain = true;
  for (let i = 0; i <= folded.length; i++) {
    const kind = i < folded.length ? classOf(folded.charCodeAt(i)) : SPACE;
    if (kind === LETTER) continue;
    if (kind !== SPACE) {
      plain = false;
      continue;
    }
    if (i > start) {
      const chunk = folded.slice(start, i);
      if (plain) words.push(cut(chunk));
      else {
        cutChunk(chunk, words, joined);
        chunks.push(chunk);
      }
    }
    start = i + 1;
    plain = true;
  }
  if (words.length === 0) for (const chunk of chunks) words.push(cut(chunk));
  return { words, joined };
}
