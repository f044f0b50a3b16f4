// What waits in the exchange of chunks is woken by this, so that tests need not wait as long as people do.
import type { Millis } from '../../lib/time.ts';

export interface Alarms {
  now(): Millis;
  /** @returns how to call it off */
  after(ms: Millis, ring: () => void): () => void;
}

export const systemAlarms: Alarms = {
  now: () => performance.now(),
  after: (ms, ring) => {
    const timer = setTimeout(ring, ms);
    return () => clearTimeout(timer);
  },
};
