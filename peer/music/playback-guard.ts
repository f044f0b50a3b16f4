// Music that plays goes before everything that can wait: scanning, reading the cache again, copying. This knows whether any is read for
// somebody, here or elsewhere.
import type { Millis } from '../../lib/time.ts';

/** Players read ahead and pause; shorter than this is no end. */
export const QUIET_MS: Millis = 2_000;

export class PlaybackGuard {
  readonly #listeners = new Set<(playing: boolean) => void>();
  #quiet: NodeJS.Timeout | undefined;

  /** Tells how it is now, too: whoever comes when a network is changed comes while music plays. @returns what ends it */
  onChange(listener: (playing: boolean) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#quiet !== undefined);
    return () => this.#listeners.delete(listener);
  }

  /** Some music was read just now. */
  touch(): void {
    if (this.#quiet) {
      this.#quiet.refresh();
      return;
    }
    this.#tell(true);
    this.#quiet = setTimeout(() => {
      this.#quiet = undefined;
      this.#tell(false);
    }, QUIET_MS).unref();
  }

  #tell(playing: boolean): void {
    for (const listener of [...this.#listeners]) listener(playing);
  }
}
