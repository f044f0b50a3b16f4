// What one swarm wants, whom it has asked for it, and by when somebody misses it.
import type { PeerId } from '../../lib/ids.ts';
import type { Millis } from '../../lib/time.ts';
import type { Urgency } from './provider-link.ts';
import type { Turns } from './turns.ts';

/** What can be asked for: a chunk by its index, or the manifest. */
export type Item = number;
export const MANIFEST: Item = -1;
/** No reader waits for it. */
export const WHENEVER: Millis = Number.POSITIVE_INFINITY;
/** From then on readers wait for it whose music no clock plays, as those do that write a file: behind all that a clock waits for,
 *  whose order is that of the sums of this and small numbers. */
export const NO_HURRY: Millis = 2 ** 50;

export interface Wanted {
  readonly item: Item;
  readonly bytes: number;
  /** When the first of its readers needs it. */
  due: Millis;
  /** Until then the last of its readers has other music; 0 without one that plays. */
  missedAt: Millis;
  /** When its last reader came to want it. */
  since: Millis;
  /** Since when a reader takes nothing else before. It may have music enough, but nobody knows. */
  awaitedAt: Millis | undefined;
  /** Since when nobody is known who has it. */
  orphanedAt: Millis | undefined;
  /** When somebody who says that he has it did not give it, for the first time. */
  failedAt: Millis | undefined;
  /** Of several that are as rare, and whose turn it is as much, one by chance: receivers that all chose the same would have nothing to give each other. */
  readonly lot: number;
  readonly requests: Set<Request>;
  /** Arrived, and waits for its verdict. */
  arrived: boolean;
}

export interface Request {
  readonly id: number;
  readonly wanted: Wanted;
  readonly peer: PeerId;
  readonly urgency: Urgency;
  readonly sentAt: Millis;
  /** From then on a second provider may be asked, if a listener waits. */
  readonly doubtAt: Millis;
  readonly lateAt: Millis;
  /** When it is given up; a manifest's comes nearer piece by piece, and each has its time. */
  expiresAt: Millis;
  late: boolean;
}

export const isAsked = ({ requests }: Wanted, peer: PeerId): boolean => {
  for (const request of requests) if (request.peer === peer) return true;
  return false;
};

export const isAskedSoon = ({ requests }: Wanted): boolean => {
  for (const { urgency } of requests) if (urgency === 'soon') return true;
  return false;
};

/** What is due within it is fetched in order. */
export const SOON_MS: Millis = 3_000;

/** From then on it is needed soon: a player comes to it early when it has room for more, and then has nothing else to play. */
export const soonAt = ({ due, awaitedAt }: Wanted): Millis => (due < NO_HURRY ? Math.min(due - SOON_MS, awaitedAt ?? due) : due - SOON_MS);

/** What is known of those that fetch the same. */
export interface Sharing {
  /** Of each chunk, how many of those who hold only some have it. */
  readonly partial: Uint16Array;
  readonly turns: Turns;
}

/** Is it to be asked for before the other? @param sharing undefined while nobody else is known who fetches it */
export function isBefore(a: Wanted, b: Wanted, { now, sharing }: { readonly now: Millis; readonly sharing: Sharing | undefined }): boolean {
  const [soonA, soonB] = [now >= soonAt(a), now >= soonAt(b)];
  if (soonA || soonB || sharing === undefined) return soonA === soonB || sharing === undefined ? a.due < b.due || (a.due === b.due && a.item < b.item) : soonA;
  const { partial, turns } = sharing;
  const rarer = (partial[a.item] ?? 0) - (partial[b.item] ?? 0);
  if (rarer !== 0) return rarer < 0;
  const sooner = turns.of(a.item) - turns.of(b.item);
  return sooner < 0 || (sooner === 0 && a.lot < b.lot);
}
