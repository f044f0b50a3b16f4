// Every different word of all titles and names, once, as a small number. Words lie as UTF-8 bytes in an arena, are found by a
// hash table, and stand in byte order (which is code point order) for prefixes. A word lives as long as a text has it.
import { mix } from '../../lib/mix.ts';
import { Arena, grown } from './arena.ts';
import { NumberTable } from './number-table.ts';
import { SortedNumbers } from './sorted-numbers.ts';
import { Spellings } from './spellings.ts';
import { TypoPattern, typosAllowed } from './typos.ts';

/** "the" is always this number: an article in front counts neither for the order of names nor against a full match. */
export const THE = 0;

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;

export class Vocabulary {
  readonly #arena = new Arena();
  /** The word of the arena in which a word begins with the byte that counts its bytes. */
  #at = new Uint32Array(256) as Uint32Array;
  readonly #spellings = new Spellings();
  #holders = new Uint32Array(256) as Uint32Array;
  #count = 0;
  readonly #free: number[] = [];
  readonly #sorted = new SortedNumbers((a, b) => this.compareBytes(a, b));
  readonly #table = new NumberTable((word) => this.#hash(this.#arena.bytes, this.#start(word), this.#end(word)));
  /** The word that is looked for. Words are cut long before they fill it. */
  readonly #sought = Buffer.alloc(255);
  #soughtBytes = 0;
  readonly #isSought = (word: number): boolean => this.#compareSought(word) === 0;

  constructor() {
    this.retain(this.intern('the'));
  }

  /** One more than the greatest number of a word. */
  get end(): number {
    return this.#count;
  }

  /** The number of `word`, a new one if need be. It stays only if somebody retains it. */
  intern(word: string): number {
    this.#seek(word);
    const hash = this.#hash(this.#sought, 0, this.#soughtBytes);
    const known = this.#table.find(hash, this.#isSought);
    if (known >= 0) return known;
    const number = this.#free.pop() ?? this.#count++;
    this.#at = grown(this.#at, this.#count);
    this.#holders = grown(this.#holders, this.#count);
    const at = this.#arena.allocate((this.#soughtBytes >>> 2) + 1);
    this.#at[number] = at;
    this.#arena.bytes[at * 4] = this.#soughtBytes;
    this.#arena.bytes.set(this.#sought.subarray(0, this.#soughtBytes), at * 4 + 1);
    this.#spellings.add(number, word);
    this.#table.add(hash, number);
    this.#sorted.add(number);
    return number;
  }

  retain(word: number): void {
    this.#holders[word] = (this.#holders[word] as number) + 1;
  }

  release(word: number): void {
    const holders = (this.#holders[word] as number) - 1;
    this.#holders[word] = holders;
    if (holders > 0) return;
    const start = this.#start(word);
    const end = this.#end(word);
    this.#sorted.remove(word);
    this.#spellings.remove(word, Buffer.from(this.#arena.bytes.buffer, start, end - start).toString());
    this.#table.remove(this.#hash(this.#arena.bytes, start, end), word);
    this.#arena.free(this.#at[word] as number, ((end - start) >>> 2) + 1);
    this.#free.push(word);
  }

  /** Calls `visit` with every word that begins with `prefix`, in byte order; the word that equals it comes first. */
  withPrefix(prefix: string, visit: (word: number, exact: boolean) => void): void {
    this.#seek(prefix);
    const { length } = this.#sorted;
    for (let i = this.#sorted.search((word) => this.#compareSought(word)); i < length; i++) {
      const word = this.#sorted.at(i);
      if (!this.#startsWithSought(word)) return;
      visit(word, this.#end(word) - this.#start(word) === this.#soughtBytes);
    }
  }

  /** Calls `visit` with every other word that is as near to `word` as typing errors are allowed in it. */
  near(word: string, visit: (word: number, errors: number) => void): void {
    const errors = typosAllowed(word);
    if (errors === 0) return;
    const pattern = new TypoPattern(word);
    this.#spellings.forEachNear(word, (other) => {
      const distance = pattern.distance(this.#arena.bytes, this.#start(other), this.#end(other));
      if (distance > 0 && distance <= errors) visit(other, distance);
    });
  }

  compareBytes(a: number, b: number): number {
    const { bytes } = this.#arena;
    const startA = this.#start(a);
    const startB = this.#start(b);
    const lengthA = this.#end(a) - startA;
    const lengthB = this.#end(b) - startB;
    for (let i = 0; i < lengthA && i < lengthB; i++) {
      const difference = (bytes[startA + i] as number) - (bytes[startB + i] as number);
      if (difference !== 0) return difference;
    }
    return lengthA - lengthB;
  }

  /** As people expect it of a list: numbers before words and by value (2 before 10), words by code point. */
  compare(a: number, b: number): number {
    const digitsA = this.#significantDigits(a);
    const digitsB = this.#significantDigits(b);
    if (digitsA < 0 && digitsB < 0) return this.compareBytes(a, b);
    if (digitsA < 0 || digitsB < 0) return digitsA < 0 ? 1 : -1;
    if (digitsA !== digitsB) return digitsA - digitsB;
    const { bytes } = this.#arena;
    const startA = this.#end(a) - digitsA;
    const startB = this.#end(b) - digitsB;
    for (let i = 0; i < digitsA; i++) {
      const difference = (bytes[startA + i] as number) - (bytes[startB + i] as number);
      if (difference !== 0) return difference;
    }
    return this.compareBytes(a, b);
  }

  /** Digits after leading zeros, or -1 of what is not a number. */
  #significantDigits(word: number): number {
    const { bytes } = this.#arena;
    const end = this.#end(word);
    let start = this.#start(word);
    if (!isDigit(bytes[start] as number)) return -1;
    for (let i = start; i < end; i++) if (!isDigit(bytes[i] as number)) return -1;
    while (start < end && bytes[start] === 0x30) start++;
    return end - start;
  }

  #start(word: number): number {
    return (this.#at[word] as number) * 4 + 1;
  }

  #end(word: number): number {
    const at = (this.#at[word] as number) * 4;
    return at + 1 + (this.#arena.bytes[at] as number);
  }

  #seek(word: string): void {
    const { length } = word;
    const sought = this.#sought;
    for (let i = 0; i < length; i++) {
      const unit = word.charCodeAt(i);
      if (unit >= 0x80) {
        this.#soughtBytes = sought.write(word);
        return;
      }
      sought[i] = unit;
    }
    this.#soughtBytes = length;
  }

  #compareSought(word: number): number {
    const { bytes } = this.#arena;
    const start = this.#start(word);
    const length = this.#end(word) - start;
    for (let i = 0; i < length && i < this.#soughtBytes; i++) {
      const difference = (bytes[start + i] as number) - (this.#sought[i] as number);
      if (difference !== 0) return difference;
    }
    return length - this.#soughtBytes;
  }

  #startsWithSought(word: number): boolean {
    const { bytes } = this.#arena;
    const start = this.#start(word);
    if (this.#end(word) - start < this.#soughtBytes) return false;
    for (let i = 0; i < this.#soughtBytes; i++) if (bytes[start + i] !== this.#sought[i]) return false;
    return true;
  }

  /** FNV-1a (Fowler, Noll, Vo). */
  #hash(bytes: Uint8Array, start: number, end: number): number {
    let hash = 0x811c_9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x0100_0193);
    return mix(hash);
  }
}
