// How often all folders may be looked at: a look costs a second per 20,000 files, and whoever finds a file changed may ask for one
// with every chunk of it. Looking takes a bounded share of the time, however often it is asked for.
import type { Clock, Millis } from '../../lib/time.ts';

/** Of all time, what looking may take when a library is so large that a look takes minutes. */
const LOOK_SHARE_MAX = 0.05;

export class LookPace {
  readonly #clock: Clock;
  #restedAt: Millis = 0;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** For how long the next look still has to wait. */
  get restMs(): Millis {
    return Math.max(0, this.#restedAt - this.#clock.now());
  }

  /** A look that began at `begun` has just ended. */
  ended(begun: Millis): void {
    const now = this.#clock.now();
    this.#restedAt = now + (now - begun) / LOOK_SHARE_MAX;
  }

  /** @returns when the next look may begin, or on close. One caller at a time. */
  rested(): Promise<void> {
    const { restMs } = this;
    if (restMs === 0 || this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, restMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }
}
