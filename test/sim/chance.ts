// Chance of a simulation: a generator for each thing that draws (a pair of hosts, a boot, the workload), all from one seed. What
// one of them draws shifts no other, so a run without one of its faults is still the same run elsewhere, and can be shrunk.
import { type Random, seededRandom } from '../../lib/random.ts';
import type { Millis } from '../../lib/time.ts';

const FNV_PRIME = 0x01000193;
const FNV_BASIS = 0x811c9dc5;

/** FNV-1a (Fowler, Noll, Vo), 32 bits. */
export function fnv1a(text: string, basis: number = FNV_BASIS): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), FNV_PRIME);
  return hash >>> 0;
}

/** The generator of one name, such as `network/0/3`. */
export function chance(seed: number, name: string): Random {
  const text = `${seed}/${name}`;
  const low = fnv1a(text);
  // 52 bits, which a number holds exactly
  return seededRandom((fnv1a(text, low) >>> 12) * 0x1_0000_0000 + low);
}

const GOLDEN = 0x9e3779b9;

/** A generator whose numbers follow from the time at which they are drawn, and not from how many were drawn before: a crash that
 *  found a batch half written finds it so as well when the writes of the minute before are left out. */
export function momentary(seed: number, name: string, now: () => Millis): Random {
  const basis = fnv1a(`${seed}/${name}`);
  let at = -1;
  let drawn = 0;
  return () => {
    const time = now();
    drawn = time === at ? drawn + 1 : 1;
    at = time;
    const micros = Math.round(time * 1_000);
    return mix(mix(basis ^ micros ^ (micros / 0x1_0000_0000)) + Math.imul(drawn, GOLDEN)) / 0x1_0000_0000;
  };
}

/** The end of MurmurHash3 (Appleby): every bit of the number moves every bit of the hash. */
export function mix(number: number): number {
  let mixed = Math.imul(number ^ (number >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** `digits` hexadecimal digits: ids and epochs, which are drawn from node:crypto outside of simulations. */
export function hexDigits(random: Random, digits: number): string {
  let text = '';
  while (text.length < digits) text += Math.floor(random() * 0x1_0000_0000).toString(16).padStart(8, '0');
  return text.slice(0, digits);
}

export const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
