// Music that plays goes before music that is scanned: while chunks are read for somebody, the scanner takes a quarter of its time.
import type { Millis } from '../lib/time.ts';

/** Players read ahead and pause; shorter than this is no end. */
const QUIET_MS: Millis = 2_000;

export class PlaybackGuard {
  readonly #setYielding: (yielding: boolean) => void;
  #quiet: NodeJS.Timeout | undefined;

  constructor(setYielding: (yielding: boolean) => void) {
    this.#setYielding = setYielding;
  }

  /** Some music was read just now. */
  touch(): void {
    if (this.#quiet) {
      this.#quiet.refresh();
      return;
    }
    this.#setYielding(true);
    this.#quiet = setTimeout(() => {
      this.#quiet = undefined;
      this.#setYielding(false);
    }, QUIET_MS).unref();
  }
}
