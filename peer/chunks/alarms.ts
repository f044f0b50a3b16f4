// What waits in the exchange of chunks is woken by this, so that tests need not wait as long as people do.
import type { Millis } from '../../lib/time.ts';

export interface Alarms {
  now(): Millis;
  /** @returns how to call it off */
  after(ms: Millis, ring: () => void): () => void;
}

/** A longer one would ring at once; one that rings early is looked at and set again. */
const TIMER_MS_MAX: Millis = 2 ** 31 - 1;

export const systemAlarms: Alarms = {
  now: () => performance.now(),
  after: (ms, ring) => {
    const timer = setTimeout(ring, Math.min(ms, TIMER_MS_MAX));
    return () => clearTimeout(timer);
  },
};
