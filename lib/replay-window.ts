// Remembers which of the latest counters have been taken, as RFC 6479 does: a ring of bits that moves by whole words, so that
// nothing is ever shifted. One word more than the window, because the newest word is only partly used.
import { REPLAY_WINDOW } from './limits.ts';

const BITS = 32;
const WORDS = REPLAY_WINDOW / BITS + 1;

export class ReplayWindow {
  readonly #ring = new Uint32Array(WORDS);
  #highest = 0;
  #floor: number;

  /** @param floor counters up to it count as taken */
  constructor(floor = 0) {
    this.#floor = floor;
  }

  /** Takes nothing; `accept` does, once the datagram has proved genuine. */
  isFresh(counter: number): boolean {
    if (counter <= this.#floor) return false;
    if (counter > this.#highest) return true;
    if (this.#highest - counter >= REPLAY_WINDOW) return false;
    return ((this.#ring[this.#wordOf(counter)] as number) & this.#bitOf(counter)) === 0;
  }

  /** Takes a counter that is fresh. */
  accept(counter: number): void {
    if (counter > this.#highest) {
      const from = Math.floor(this.#highest / BITS);
      const steps = Math.min(Math.floor(counter / BITS) - from, WORDS);
      for (let i = 1; i <= steps; i++) this.#ring[(from + i) % WORDS] = 0;
      // a leap beyond the ring has emptied it all, whatever the words were called
      this.#highest = counter;
    }
    const word = this.#wordOf(counter);
    this.#ring[word] = (this.#ring[word] as number) | this.#bitOf(counter);
  }

  /** Everything up to `floor` counts as taken from now on. */
  raise(floor: number): void {
    this.#floor = Math.max(this.#floor, floor);
  }

  #wordOf(counter: number): number {
    return Math.floor(counter / BITS) % WORDS;
  }

  #bitOf(counter: number): number {
    return 1 << (counter % BITS);
  }
}
