// Duties that are to be done by exactly one peer of the network, and the tokens that tell one holder of a role from the next.
import type { PeerId } from './ids.ts';

/** On the wire a role is its place in this list; new ones are appended. */
export const ROLES = ['gateway', 'users', 'music', 'recommendations'] as const;

/** `gateway`: owns the LAN's web address. `users`: serialises what may be decided only once. `music`: sees to copies.
 *  `recommendations`: computes them once for everybody. */
export type Role = (typeof ROLES)[number];

export const isRole = (text: unknown): text is Role => ROLES.includes(text as Role);

/** Counts coordinators: each claims one above every term that it has heard of. 0 is before the first. */
export type Term = number;

/** One for each grant of a role, and greater for each later one as long as its coordinators can hear of each other. A reader of
 *  what a role wrote keeps the greatest it has seen and refuses what carries a smaller one (Lamport's and Chubby's sequencers;
 *  Kleppmann's fencing tokens): a lease alone cannot stop a holder that slept through its end. */
export interface FencingToken {
  readonly term: Term;
  readonly coordinator: PeerId;
  /** Counts the grants of that coordinator in that term, from 1. */
  readonly number: number;
}

/** A claim to be coordinator. Of two the greater counts: that of the greater term, then of the greater id. */
export interface Coordinatorship {
  readonly term: Term;
  /** null: unknown, and less than any. */
  readonly coordinator: PeerId | null;
}

export function compareClaims(a: Coordinatorship, b: Coordinatorship): number {
  if (a.term !== b.term) return a.term - b.term;
  const [one, other] = [a.coordinator ?? '', b.coordinator ?? ''];
  return one < other ? -1 : one > other ? 1 : 0;
}

export const compareTokens = (a: FencingToken, b: FencingToken): number => compareClaims(a, b) || a.number - b.number;

/** As people, logs and other programs see it; sorts only within one term. */
export const tokenText = ({ term, coordinator, number }: FencingToken): string => `${term}.${coordinator.slice(0, 8)}.${number}`;
