// What becomes true after a while is awaited by asking again. When it does not, the message has what was seen last.
import { setTimeout as sleep } from 'node:timers/promises';

const PAUSE_MS = 150;
const SEEN_CHARACTERS_MAX = 4000;

/**
 * Reads until `holds` agrees. @param withinMs counts to the start of the last reading
 * @returns the value, and how long it took
 */
export async function until<T>(
  claim: string,
  withinMs: number,
  read: () => T | Promise<T>,
  holds: (value: T) => boolean,
): Promise<{ readonly value: T; readonly ms: number }> {
  const start = performance.now();
  for (let readings = 1; ; readings += 1) {
    const asked = performance.now() - start;
    const value = await read();
    if (holds(value)) return { value, ms: Math.round(performance.now() - start) };
    if (asked >= withinMs) {
      const seen = typeof value === 'string' ? value : JSON.stringify(value);
      throw new Error(`not within ${withinMs} ms (${readings} readings): ${claim}; last seen: ${String(seen).slice(0, SEEN_CHARACTERS_MAX)}`);
    }
    await sleep(Math.max(0, Math.min(PAUSE_MS, withinMs - asked)));
  }
}
