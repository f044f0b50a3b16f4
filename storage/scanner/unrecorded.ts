// Changes that the store did not take, told to a person as one line with a count: a full disk fails every file of a library.
import type { Clock, Millis } from '../../lib/time.ts';

/** The first failure is rarely the only one. */
const GATHER_MS = 200;
const TELL_EVERY_MS = 60_000;

export class Unrecorded {
  readonly #clock: Clock;
  readonly #onTrouble: (line: string) => void;
  /** Since a person was last told. */
  readonly #paths = new Set<string>();
  #why = '';
  #toldAt: Millis = -TELL_EVERY_MS;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { readonly clock: Clock; onTrouble(line: string): void }) {
    this.#clock = options.clock;
    this.#onTrouble = options.onTrouble;
  }

  /** @param why one line that says what to do */
  add(paths: readonly string[], why: string): void {
    for (const path of paths) this.#paths.add(path);
    this.#why = why;
    this.#timer ??= setTimeout(() => this.#tell(), Math.max(GATHER_MS, this.#toldAt + TELL_EVERY_MS - this.#clock.now())).unref();
  }

  /** What succeeded before anybody was told is not worth a line. */
  delete(paths: readonly string[]): void {
    for (const path of paths) this.#paths.delete(path);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #tell(): void {
    this.#timer = undefined;
    const count = this.#paths.size;
    if (count === 0) return;
    this.#paths.clear();
    this.#toldAt = this.#clock.now();
    this.#onTrouble(`${count} changed music file${count === 1 ? '' : 's'} could not be recorded, which is tried again about every minute: ${this.#why}`);
  }
}
