// How much a scenario of chance does. `npm test` runs each for some seconds and `npm run soak` for minutes; both print the seed that draws the same again.
// The faults are then the same, and come in the same order; what the machines do meanwhile is not, since their time is real.
import type { Test } from 'tap';
import { type Random, seededRandom } from '../../lib/random.ts';

/** Set by `npm run soak`. */
export const isLong = process.env['SPOTIFY_PEER_LAB_LONG'] !== undefined;

export const effort = <T>({ short, long }: { readonly short: T; readonly long: T }): T => (isLong ? long : short);

/** From SEED, or drawn; said in any case. */
export function seeded(t: Test): Random {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32));
  t.comment(`SEED=${seed}${isLong ? ' SPOTIFY_PEER_LAB_LONG=1' : ''}`);
  return seededRandom(seed);
}

export const oneOf = <T>(random: Random, choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T;
