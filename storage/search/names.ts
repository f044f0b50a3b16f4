// The names of artists and albums, each once however many songs have it. Names that fold to the same words ("Beyoncé",
// "BEYONCE") are one name: people mean one artist, and counts and lists should show one.
import { grown } from './arena.ts';
import { NumberTable } from './number-table.ts';
import { Texts, WordNumbers } from './texts.ts';
import type { Vocabulary } from './vocabulary.ts';
import { wordsOf } from './words.ts';

/** Songs come album by album, so a few spellings remembered spare most of the folding. */
const SPELLINGS_MAX = 4096;

export class Names {
  readonly texts: Texts;
  readonly #vocabulary: Vocabulary;
  readonly #table = new NumberTable((name) => this.texts.hashOf(name));
  readonly #isPrepared = (name: number): boolean => this.texts.holds(name);
  readonly #spellings = new Map<string, number>();
  readonly #words = new WordNumbers();
  #holders = new Uint32Array(256) as Uint32Array;
  #count = 0;
  readonly #free: number[] = [];

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
    this.texts = new Texts(vocabulary);
  }

  /** One more than the greatest number of a name. */
  get end(): number {
    return this.#count;
  }

  /** How many names are in use. */
  get size(): number {
    return this.#count - this.#free.length;
  }

  /** The number of `name`, held once more; every one is to be released. */
  retain(name: string): number {
    const number = this.#spellings.get(name) ?? this.#intern(name);
    this.#holders[number] = (this.#holders[number] as number) + 1;
    return number;
  }

  hold(name: number): void {
    this.#holders[name] = (this.#holders[name] as number) + 1;
  }

  release(name: number): void {
    const holders = (this.#holders[name] as number) - 1;
    this.#holders[name] = holders;
    if (holders > 0) return;
    this.#spellings.clear();
    this.#table.remove(this.texts.hashOf(name), name);
    this.texts.delete(name);
    this.#free.push(name);
  }

  #intern(name: string): number {
    this.#words.fill(wordsOf(name), this.#vocabulary);
    this.texts.prepare(this.#words);
    const hash = this.texts.preparedHash;
    let number = this.#table.find(hash, this.#isPrepared);
    if (number < 0) {
      number = this.#free.pop() ?? this.#count++;
      this.#holders = grown(this.#holders, this.#count);
      this.#holders[number] = 0;
      this.texts.set(number);
      this.#table.add(hash, number);
    }
    if (this.#spellings.size >= SPELLINGS_MAX) this.#spellings.clear();
    this.#spellings.set(name, number);
    return number;
  }
}
