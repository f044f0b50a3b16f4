// Texts without their letters: a title or name is kept as the numbers of its words, 1 to 3 bytes each (LEB128), which is all
// that ranking, ordering and removal need of it. Each `Texts` also knows which of its texts have a word.
//
// Layout: count, words…, then (first, count, word) for each joined spelling to the end.
import { mix } from '../../lib/mix.ts';
import { Arena, grown } from './arena.ts';
import { Lists } from './lists.ts';
import { THE, type Vocabulary } from './vocabulary.ts';
import type { Words } from './words.ts';

/** A text of TAG_CHARACTERS_MAX characters has at most 512 words of 5 bytes, and half as many joined spellings of three numbers. */
const ENCODED_BYTES_MAX = 16 * 1024;
const HEADER_BYTES = 2;

const roomOf = (bytes: number): number => (HEADER_BYTES + bytes + 3) >>> 2;

/** A text that is being written, or read: the words in order, and second spellings of some of them. */
export class WordNumbers {
  words = new Uint32Array(64) as Uint32Array;
  count = 0;
  /** Triples of first, count, word. */
  joined = new Uint32Array(48) as Uint32Array;
  joinedCount = 0;

  fill(text: Words, vocabulary: Vocabulary): void {
    this.count = text.words.length;
    this.joinedCount = text.joined.length;
    this.words = grown(this.words, this.count);
    this.joined = grown(this.joined, this.joinedCount * 3);
    for (let i = 0; i < this.count; i++) this.words[i] = vocabulary.intern(text.words[i] as string);
    text.joined.forEach(({ first, count, word }, i) => {
      this.joined[i * 3] = first;
      this.joined[i * 3 + 1] = count;
      this.joined[i * 3 + 2] = vocabulary.intern(word);
    });
  }
}

export class Texts {
  /** Which texts have a word, in their order or as a joined spelling. */
  readonly withWord = new Lists();
  readonly #vocabulary: Vocabulary;
  readonly #arena = new Arena();
  #at = new Uint32Array(256) as Uint32Array;
  readonly #encoded = new Uint8Array(ENCODED_BYTES_MAX);
  #encodedBytes = 0;
  #prepared = new WordNumbers();
  #cursor = 0;
  readonly #one = new WordNumbers();
  readonly #other = new WordNumbers();

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
  }

  /** Prepares `text` for `holds`, `preparedHash`, `set` and `replace`. */
  prepare(text: WordNumbers): void {
    this.#prepared = text;
    this.#cursor = 0;
    this.#write(text.count);
    for (let i = 0; i < text.count; i++) this.#write(text.words[i] as number);
    for (let i = 0; i < text.joinedCount * 3; i++) this.#write(text.joined[i] as number);
    this.#encodedBytes = this.#cursor;
  }

  get preparedHash(): number {
    return this.#hash(this.#encoded, 0, this.#encodedBytes);
  }

  hashOf(id: number): number {
    const start = this.#start(id);
    return this.#hash(this.#arena.bytes, start, start + this.#bytesOf(id));
  }

  /** Whether text `id` is the prepared one. */
  holds(id: number): boolean {
    if (this.#bytesOf(id) !== this.#encodedBytes) return false;
    const start = this.#start(id);
    for (let i = 0; i < this.#encodedBytes; i++) if (this.#arena.bytes[start + i] !== this.#encoded[i]) return false;
    return true;
  }

  /** Keeps the prepared text as `id`, which is not in use. */
  set(id: number): void {
    this.#store(id);
    this.#forEachWord(this.#prepared, (word) => {
      if (this.withWord.add(word, id)) this.#vocabulary.retain(word);
    });
  }

  /** Keeps the prepared text as `id` in place of another. New words come before old ones go: what both have must not vanish. */
  replace(id: number): void {
    const old = this.read(id, this.#one);
    this.#free(id);
    this.set(id);
    const now = new Set<number>();
    this.#forEachWord(this.#prepared, (word) => now.add(word));
    this.#forEachWord(old, (word) => {
      if (!now.has(word) && this.withWord.remove(word, id)) this.#vocabulary.release(word);
    });
  }

  delete(id: number): void {
    this.#forEachWord(this.read(id, this.#one), (word) => {
      if (this.withWord.remove(word, id)) this.#vocabulary.release(word);
    });
    this.#free(id);
  }

  isEmpty(id: number): boolean {
    return this.#arena.bytes[this.#start(id)] === 0;
  }

  /** @returns `text`, filled */
  read(id: number, text: WordNumbers): WordNumbers {
    this.#cursor = this.#start(id);
    const end = this.#cursor + this.#bytesOf(id);
    text.count = this.#next();
    text.words = grown(text.words, text.count);
    for (let i = 0; i < text.count; i++) text.words[i] = this.#next();
    let numbers = 0;
    while (this.#cursor < end) {
      text.joined = grown(text.joined, numbers + 3);
      text.joined[numbers++] = this.#next();
    }
    text.joinedCount = numbers / 3;
    return text;
  }

  /** The order of lists: word by word without an article in front, empty texts last; 0 only for equal texts. */
  compare(a: number, b: number): number {
    if (a === b) return 0;
    const one = this.read(a, this.#one);
    const other = this.read(b, this.#other);
    if (one.count === 0 || other.count === 0) return (one.count === 0 ? 1 : 0) - (other.count === 0 ? 1 : 0);
    const articleA = one.count > 1 && one.words[0] === THE ? 1 : 0;
    const articleB = other.count > 1 && other.words[0] === THE ? 1 : 0;
    const countA = one.count - articleA;
    const countB = other.count - articleB;
    for (let i = 0; i < countA && i < countB; i++) {
      const wordA = one.words[articleA + i] as number;
      const wordB = other.words[articleB + i] as number;
      if (wordA !== wordB) return this.#vocabulary.compare(wordA, wordB);
    }
    if (countA !== countB) return countA - countB;
    if (articleA !== articleB) return articleA - articleB;
    for (let i = 0; i < one.joinedCount * 3 && i < other.joinedCount * 3; i++) {
      const numberA = one.joined[i] as number;
      const numberB = other.joined[i] as number;
      if (numberA !== numberB) return i % 3 === 2 ? this.#vocabulary.compare(numberA, numberB) : numberA - numberB;
    }
    return one.joinedCount - other.joinedCount;
  }

  #store(id: number): void {
    this.#at = grown(this.#at, id + 1);
    const at = this.#arena.allocate(roomOf(this.#encodedBytes));
    this.#at[id] = at;
    const { bytes } = this.#arena;
    bytes[at * 4] = this.#encodedBytes & 0xff;
    bytes[at * 4 + 1] = this.#encodedBytes >>> 8;
    const start = at * 4 + HEADER_BYTES;
    for (let i = 0; i < this.#encodedBytes; i++) bytes[start + i] = this.#encoded[i] as number;
  }

  #free(id: number): void {
    this.#arena.free(this.#at[id] as number, roomOf(this.#bytesOf(id)));
  }

  #forEachWord(text: WordNumbers, visit: (word: number) => void): void {
    for (let i = 0; i < text.count; i++) visit(text.words[i] as number);
    for (let i = 0; i < text.joinedCount; i++) visit(text.joined[i * 3 + 2] as number);
  }

  #start(id: number): number {
    return (this.#at[id] as number) * 4 + HEADER_BYTES;
  }

  #bytesOf(id: number): number {
    const at = (this.#at[id] as number) * 4;
    return (this.#arena.bytes[at] as number) | ((this.#arena.bytes[at + 1] as number) << 8);
  }

  #write(number: number): void {
    let rest = number;
    for (; rest >= 0x80; rest >>>= 7) this.#encoded[this.#cursor++] = (rest & 0x7f) | 0x80;
    this.#encoded[this.#cursor++] = rest;
  }

  #next(): number {
    const { bytes } = this.#arena;
    let byte = bytes[this.#cursor++] as number;
    if (byte < 0x80) return byte;
    let number = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = bytes[this.#cursor++] as number;
      number |= (byte & 0x7f) << shift;
    }
    return number;
  }

  #hash(bytes: Uint8Array, start: number, end: number): number {
    let hash = 0x811c_9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x0100_0193);
    return mix(hash);
  }
}
