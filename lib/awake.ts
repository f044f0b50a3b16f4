// A clock for leases: one that counts while the machine sleeps. Linux's monotonic clock, and so Node's, stands still while a laptop's
// lid is closed; the time since boot does not. The two tick alike otherwise, so what they differ by is sleep.
import { uptime } from 'node:os';
import type { Clock, Millis } from './time.ts';

/** The time since boot is told in hundredths of a second. */
const RESOLUTION_MS: Millis = 50;

/** @param sinceBootMs time since the machine started, sleep included */
export function awakeClock(clock: Clock, sinceBootMs: () => Millis = () => uptime() * 1_000): Clock {
  const apart = (): Millis => sinceBootMs() - clock.now();
  const base = apart();
  let sleptMs: Millis = 0;
  return {
    now: () => {
      const more = apart() - base;
      // never back: what was slept stays slept
      if (more > sleptMs + RESOLUTION_MS) sleptMs = more;
      return clock.now() + sleptMs;
    },
    wall: () => clock.wall(),
  };
}
