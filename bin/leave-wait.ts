// How long somebody waits who wants to switch a machine off: as long as songs go over to others, and not much longer.
import type { LeavingJson } from '../peer/http/copy-schemas.ts';
import type { Millis } from '../lib/time.ts';

/** Nothing has gone over for so long, and nobody is fetching: whoever coordinates copies has looked again by then, for the first time that
 *  nobody had room. */
export const STUCK_MS: Millis = 45_000;
/** Likewise while others are fetching, from wherever: one large song takes long. */
export const SLOW_MS: Millis = 300_000;

type Facts = Pick<LeavingJson, 'total' | 'unconfirmed' | 'others' | 'inSync' | 'scanning'>;

export class LeaveWait {
  #least = Number.POSITIVE_INFINITY;
  #progressAt: Millis = 0;

  /** What the machine says now. `stuck`: it will not come to an end by waiting. `withdrawn`: it does not say any more that it leaves. */
  step(leaving: Facts & Pick<LeavingJson, 'leaving' | 'underWay'>, now: Millis): 'done' | 'waiting' | 'stuck' | 'withdrawn' {
    const { total, unconfirmed, underWay, scanning } = leaving;
    // others rely on it again, whatever they have
    if (!leaving.leaving) return 'withdrawn';
    if (isDone(leaving)) return 'done';
    // only the sum says that it goes on: that others have room, or fetch something, does not
    const left = total + unconfirmed;
    if (left < this.#least) this.#progressAt = now;
    // what a scan finds is more to do, and no step back
    this.#least = scanning ? Number.POSITIVE_INFINITY : Math.min(this.#least, left);
    return now - this.#progressAt > (underWay > 0 ? SLOW_MS : STUCK_MS) ? 'stuck' : 'waiting';
  }
}

/** May the machine be switched off? Without another one there is nobody to have what it has. */
export const isDone = ({ total, unconfirmed, others, inSync, scanning }: Facts): boolean => others > 0 && inSync > 0 && total === 0 && unconfirmed === 0 && !scanning;
