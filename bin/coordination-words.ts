// What people read of elections, hand-overs and leases: in `events`, and in the lines of `start`. One table for each kind of reason;
// a reason of a newer version is shown as it is called.
import type { ElectionReason } from '../peer/coordination/election.ts';
import type { HandOverReason } from '../peer/coordination/grants.ts';

/** @param before who coordinated before, by name */
const ELECTION: Readonly<Record<ElectionReason, (before: string) => string>> = {
  first: () => 'nobody did before',
  died: (before) => `${before}'s process has ended`,
  silent: (before) => `${before} did not answer any more`,
  left: (before) => `${before} has left`,
  deaf: (before) => `${before} heard nobody any more`,
  'stepped-down': (before) => `${before} did no longer`,
  greater: (before) => `it met ${before}, and has the greater term`,
  promised: () => 'a greater term than its last had been claimed',
  slept: () => 'after a sleep',
};

/** @param holder who had it, by name */
const HAND_OVER: Readonly<Record<HandOverReason, (holder: string) => string>> = {
  first: () => 'nobody held it',
  died: (holder) => `${holder}'s process has ended`,
  left: (holder) => `${holder} has left`,
  silent: (holder) => `${holder} did not answer any more`,
  unheard: (holder) => `${holder} was not heard to hold it`,
  balance: () => 'so that the work is shared',
  revoked: (holder) => `it was taken back from ${holder}`,
  leaving: (holder) => `${holder} is leaving`,
  failed: (holder) => `it failed again and again on ${holder}`,
  expired: (holder) => `the lease of ${holder} had run out`,
  unable: (holder) => `${holder} may not hold it any more`,
  superseded: () => 'it was granted anew meanwhile',
};

const wordsOf = (table: Readonly<Record<string, (name: string) => string>>, reason: string, name: string): string =>
  Object.hasOwn(table, reason) ? (table[reason] as (name: string) => string)(name) : reason;

/** Why somebody coordinates: follows on `kitchen coordinates now: `. */
export const electionWords = (reason: string, before: string | undefined): string => wordsOf(ELECTION, reason, before ?? 'the one before');

/** Why a role passed, or ended: follows on `users passed from study to attic: `. */
export const handOverWords = (why: string, holder: string | undefined): string => wordsOf(HAND_OVER, why, holder ?? 'its holder');

/** 'users passed from study to attic', 'users and music went to attic', 'users went to attic again'. */
export function passedWords(roles: readonly string[], { from, to, again = false }: { readonly from: string | undefined; readonly to: string; readonly again?: boolean }): string {
  const what = listed(roles);
  if (again) return `${what} went to ${to} again`;
  return from === undefined ? `${what} went to ${to}` : `${what} passed from ${from} to ${to}`;
}

/** 'gateway', 'gateway and users', 'gateway, users and music'. */
export const listed = (words: readonly string[]): string => [words.slice(0, -1).join(', '), ...words.slice(-1)].filter(Boolean).join(' and ');
