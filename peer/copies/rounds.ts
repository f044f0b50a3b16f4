// When the holder of the role `music` looks for songs that lack copies. A pure machine. A look goes through all songs, so it
// waits until changes have come to rest, but not for long, and a large catalog is looked at more seldom: looking takes at most a
// twentieth of the time. Nothing is looked at while nothing changes; but where something is left to do, there is a next time.
import type { Millis } from '../../lib/time.ts';

/** Changes come in bursts: a scan writes hundreds of songs in a row. */
export const QUIET_MS: Millis = 500;
/** Of a burst that does not end. */
export const LATE_MS: Millis = 1_500;
/** Looks take 1/20 of the time at most. */
export const REST_FACTOR = 20;
export const REST_MS_MIN: Millis = 1_000;
/** While songs are on their way. */
export const SOON_MS: Millis = 3_000;
/** While no machine has room, or one does not answer, which nobody tells; doubled each time as long as nothing changes. */
export const LATER_MS: Millis = 30_000;
export const LATER_MS_MAX: Millis = 240_000;

/** `soon`: songs are on their way, or more can be given out; `later`: some lack copies and nobody can take them, or somebody did not
 *  answer who might; `nothing`. */
export type Left = 'soon' | 'later' | 'nothing';

export type RoundsInput =
  | { readonly kind: 'held'; readonly now: Millis }
  | { readonly kind: 'dropped'; readonly now: Millis }
  /** Songs, copies, machines or the setting are others than before. */
  | { readonly kind: 'changed'; readonly now: Millis }
  | { readonly kind: 'looked'; readonly tookMs: Millis; readonly left: Left; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: 'look'; readonly now: Millis };

export type RoundsEffect = { readonly kind: 'look' } | { readonly kind: 'arm'; readonly timer: 'look'; readonly ms: Millis };

export interface Rounds {
  held: boolean;
  looking: boolean;
  /** The first and the latest change that no look has seen. */
  changed: { readonly since: Millis; at: Millis } | undefined;
  /** When there is something left to do. */
  againAt: Millis;
  /** How long it is left to itself the next time. */
  laterMs: Millis;
  restUntil: Millis;
}

export const createRounds = (): Rounds => ({ held: false, looking: false, changed: undefined, againAt: Number.POSITIVE_INFINITY, laterMs: LATER_MS, restUntil: 0 });

export function step(state: Rounds, input: RoundsInput): RoundsEffect[] {
  const { now } = input;
  switch (input.kind) {
    case 'held':
      if (state.held) return [];
      state.held = true;
      state.changed = { since: now, at: now };
      return next(state, now);
    case 'dropped':
      state.held = false;
      state.changed = undefined;
      state.againAt = Number.POSITIVE_INFINITY;
      return [];
    case 'changed':
      if (!state.held) return [];
      state.laterMs = LATER_MS;
      if (state.changed) state.changed.at = now;
      else state.changed = { since: now, at: now };
      return next(state, now);
    case 'looked':
      state.looking = false;
      state.restUntil = now + Math.max(REST_MS_MIN, REST_FACTOR * input.tookMs);
      if (!state.held) return [];
      state.againAt = input.left === 'nothing' ? Number.POSITIVE_INFINITY : now + (input.left === 'soon' ? SOON_MS : state.laterMs);
      state.laterMs = input.left === 'later' ? Math.min(LATER_MS_MAX, 2 * state.laterMs) : LATER_MS;
      return next(state, now);
    case 'expired':
      return next(state, now);
  }
}

function next(state: Rounds, now: Millis): RoundsEffect[] {
  if (!state.held || state.looking) return [];
  const { changed } = state;
  const settledAt = changed ? Math.min(changed.at + QUIET_MS, changed.since + LATE_MS) : Number.POSITIVE_INFINITY;
  const dueAt = Math.max(state.restUntil, Math.min(settledAt, state.againAt));
  if (dueAt === Number.POSITIVE_INFINITY) return [];
  if (dueAt > now) return [{ kind: 'arm', timer: 'look', ms: dueAt - now }];
  state.looking = true;
  state.changed = undefined;
  state.againAt = Number.POSITIVE_INFINITY;
  return [{ kind: 'look' }];
}
