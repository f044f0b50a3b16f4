// How long what a reader waits for is waited for, each item by itself: what one reader misses says nothing of the others, and
// that others get what they want does not bring what this one misses.
//
// A player lives off what it has, so its patience begins when that is played: the later a chunk is due, the longer it is waited for.
// Whoever writes a file has none in hand, and its patience begins with the trouble. What is wanted for the cache alone is in
// nobody's way: it is given up as one, when nothing of it comes any more.
import type { Millis } from '../../lib/time.ts';
import { type Wanted, WHENEVER } from './wanted.ts';

/** With nobody to ask: time for a peer to return, or for another to announce its copy. Members that live are providers, connected
 *  or not, and are waited for as long as STALL_MS. */
export const PROVIDERS_WAIT_MS: Millis = 5_000;
/** Providers that answer, but never with a right chunk, are given up too. */
export const STALL_MS: Millis = 30_000;

/** Nobody waits longer for what he is in no hurry for, however long others say that a song is. */
const IN_HAND_MS_MAX: Millis = 900_000;

export class Patience {
  /** When anything came that was right. */
  #progressAt: Millis = 0;
  /** Since when nobody can be asked for anything. */
  #starvingSince: Millis | undefined;
  /** No reader's patience ends before; looking for the first end at each step would cost more than looking in vain now and then. */
  #noneBefore: Millis = Number.POSITIVE_INFINITY;

  /** Whatever was waited for before, from now on it is waited anew. */
  begin(now: Millis): void {
    this.#progressAt = now;
    this.#starvingSince = undefined;
  }

  progressed(now: Millis): void {
    this.#progressAt = now;
  }

  /** Is something missing, and nothing under way? */
  starves(starving: boolean, now: Millis): void {
    if (!starving) this.#starvingSince = undefined;
    else this.#starvingSince ??= now;
  }

  /** It is to be called when a reader comes to want it, or something has begun to stand against its coming. */
  heed(wanted: Wanted): void {
    if (wanted.due !== WHENEVER) this.#noneBefore = Math.min(this.#noneBefore, this.#endOf(wanted));
  }

  /** When to look whether anything is to be given up. @param listened whether a reader waits for anything */
  lookAt(listened: boolean): Millis {
    return listened ? this.#noneBefore : Math.min((this.#starvingSince ?? Number.POSITIVE_INFINITY) + PROVIDERS_WAIT_MS, this.#progressAt + STALL_MS);
  }

  /** @returns what readers are not to wait for any longer, of all that is wanted */
  lost(all: Iterable<Wanted>, now: Millis): Wanted[] {
    const lost: Wanted[] = [];
    this.#noneBefore = Number.POSITIVE_INFINITY;
    for (const wanted of all) {
      if (wanted.due !== WHENEVER && this.#endOf(wanted) <= now) lost.push(wanted);
      else this.heed(wanted);
    }
    return lost;
  }

  #endOf({ since, missedAt, awaitedAt, orphanedAt, failedAt }: Wanted): Millis {
    const from = Math.max(since, Math.min(missedAt, since + IN_HAND_MS_MAX));
    let end = Math.max(from, this.#progressAt) + STALL_MS;
    if (orphanedAt !== undefined) end = Math.min(end, Math.max(from, orphanedAt) + PROVIDERS_WAIT_MS);
    // It is asked for before all else its reader wants, so that others come in the meantime excuses nobody.
    if (failedAt !== undefined && awaitedAt !== undefined) end = Math.min(end, Math.max(from, failedAt, awaitedAt) + STALL_MS);
    return end;
  }
}
