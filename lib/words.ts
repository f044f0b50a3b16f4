// Bytes that a person reads aloud and types: 16 bits are a word of five letters, consonant-vowel-consonant-vowel-consonant.
// The scheme is Wilkerson's proquint ("A Proposal for Proquints: Identifiers that are Readable, Spellable, and
// Pronounceable", 2009): no digits, no capitals, no letter that looks like another, and no word list to ship.

const CONSONANTS = 'bdfghjklmnprstvz';
const VOWELS = 'aiou';
/** Alphabet of each letter, with its bits: 4 + 2 + 4 + 2 + 4. */
const LETTERS = [CONSONANTS, VOWELS, CONSONANTS, VOWELS, CONSONANTS] as const;

export const WORD_LETTERS = LETTERS.length;

/** @param number of 16 bits */
export function wordOf(number: number): string {
  let word = '';
  for (const alphabet of [...LETTERS].reverse()) {
    word = (alphabet[number % alphabet.length] as string) + word;
    number = Math.floor(number / alphabet.length);
  }
  return word;
}

/** @returns the number of 16 bits, or undefined when `word` is none of ours */
export function numberOf(word: string): number | undefined {
  if (word.length !== WORD_LETTERS) return undefined;
  let number = 0;
  for (const [i, alphabet] of LETTERS.entries()) {
    const digit = alphabet.indexOf(word[i] as string);
    if (digit < 0) return undefined;
    number = number * alphabet.length + digit;
  }
  return number;
}

/** Every word that differs from `word` in one letter: what a person may have meant. */
export function* neighbours(word: string): Generator<string> {
  for (const [i, alphabet] of LETTERS.entries()) {
    for (const letter of alphabet) {
      if (letter !== word[i]) yield word.slice(0, i) + letter + word.slice(i + 1);
    }
  }
}

/** @param bytes an even number of them */
export function wordsOf(bytes: Uint8Array): string[] {
  const words: string[] = [];
  for (let i = 0; i < bytes.byteLength; i += 2) words.push(wordOf(((bytes[i] as number) << 8) | (bytes[i + 1] as number)));
  return words;
}
