// What happened in a run, one line for each thing, for a person to read: virtual time in milliseconds, host, what. The last lines
// are kept and shown on failure (in the manner of etcd raft's testdata). Runs by the thousand keep none and are played again
// with a trace when they fail, since one seed is one trace; the hash over all lines shows that it is.
import type { Millis } from '../../lib/time.ts';
import { fnv1a } from './chance.ts';

export class Trace {
  readonly #now: () => Millis;
  readonly #linesMax: number;
  readonly #lines: string[] = [];
  #count = 0;
  #hash = fnv1a('');

  constructor(now: () => Millis, { linesMax }: { readonly linesMax: number }) {
    this.#now = now;
    this.#linesMax = linesMax;
  }

  /** @param who a host's name, or '' when it concerns the whole world */
  add(who: string, what: string): void {
    const line = `${this.#now().toFixed(3).padStart(11)} ${who.padEnd(2)} ${what}`;
    this.#hash = fnv1a(line, this.#hash);
    this.#lines[this.#count % this.#linesMax] = line;
    this.#count += 1;
  }

  /** Equal for equal runs, however long they were. */
  get hash(): number {
    return this.#hash;
  }

  /** The lines that are kept, oldest first. */
  get tail(): readonly string[] {
    const start = this.#count % this.#linesMax;
    return this.#count <= this.#linesMax ? [...this.#lines] : [...this.#lines.slice(start), ...this.#lines.slice(0, start)];
  }

  toString(): string {
    const left = this.#count - this.#lines.length;
    return [...(left > 0 ? [`… ${left} lines before these`] : []), ...this.tail].join('\n');
  }
}

/** A, B, …, Z, AA, AB, … */
export function hostName(host: number): string {
  const letter = String.fromCharCode(65 + (host % 26));
  return host < 26 ? letter : hostName(Math.floor(host / 26) - 1) + letter;
}
