// What counts as the same letters: a person types "bjork", "Motorhead" or "straße" as their keyboard lets them. Compatibility
// decomposition (Unicode NFKD, UAX #15) turns full-width and ligature forms into plain ones and takes accents off; what
// Unicode does not decompose stands in a table. Marks that are letters to their readers (Thai, Indic, the Japanese voicing
// marks) stay.

/** Accents, Hebrew points, Arabic vowel signs and stretching, variation selectors, and characters that do not show. */
const UNSEEN =
  /[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\p{Cf}]/gu;

/** Letters that are one to Unicode and another to a keyboard. */
const LETTERS: Readonly<Record<string, string>> = {
  ß: 'ss', ø: 'o', ł: 'l', æ: 'ae', œ: 'oe', đ: 'd', ð: 'd', þ: 'th', ı: 'i', ħ: 'h', ŧ: 't', ŋ: 'n', ĸ: 'k', ƶ: 'z', ς: 'σ',
};
const SPECIAL = new RegExp(`[${Object.keys(LETTERS).join('')}]`, 'gu');
const KATAKANA = /[\u30a1-\u30f6]/gu;
const HIRAGANA_BELOW_KATAKANA = 0x60;
const ASCII = /^[\0-\x7f]*$/;

/** @returns `text` in small letters without accents. Texts that people take for equal become equal; nothing is shown of it. */
export function fold(text: string): string {
  if (ASCII.test(text)) return text.toLowerCase();
  return text
    .replace(/[™℠]/gu, '')
    .normalize('NFKD')
    .toLowerCase()
    .replace(UNSEEN, '')
    .replace(SPECIAL, (letter) => LETTERS[letter] as string)
    .normalize('NFC')
    .replace(KATAKANA, (kana) => String.fromCharCode(kana.charCodeAt(0) - HIRAGANA_BELOW_KATAKANA));
}
