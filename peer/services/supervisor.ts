// Decides what becomes of one service: when it is asked whether it is well, when its thread is ended and started anew, and when
// this machine gives it up, so that the coordinator moves the role. Pure: what happens comes in with the time, what to do goes
// out; holding.ts carries it out.
//
// Restarts are those of Erlang/OTP's supervisors: at once, and no more than so many within a period, because most failures are
// gone with the state that led to them, and one that is not is somebody else's to deal with.
import type { Millis } from '../../lib/time.ts';
import type { Health } from './service.ts';

export interface SupervisionTimes {
  /** Between an answer and the next question. */
  readonly askEveryMs: Millis;
  /** Without an answer a service hangs after this; one that says for so long that it is unwell counts the same. */
  readonly silentMs: Millis;
  /** For loading and `start`. Longer, since a disk may have to spin up. */
  readonly startMs: Millis;
  /** Failures further apart have nothing to do with each other. */
  readonly forgetMs: Millis;
}

export const SUPERVISION_TIMES: SupervisionTimes = { askEveryMs: 1_000, silentMs: 2_000, startMs: 5_000, forgetMs: 5 * 60_000 };

/** The first may be chance and the second its consequence. */
const FAILURES_MAX = 3;
const TIMES_IN_WORDS = ['', '', ', twice', ', three times'];
/** A timer as late as this says that our own event loop stood still, and with it the answers that lie in its queue. */
const STALL_MS: Millis = 250;

export type SupervisorInput =
  /** Somebody needs the service. */
  | { readonly kind: 'wanted'; readonly now: Millis }
  | { readonly kind: 'ready'; readonly thread: number; readonly now: Millis }
  | { readonly kind: 'answered'; readonly thread: number; readonly health: Health; readonly now: Millis }
  | { readonly kind: 'died'; readonly thread: number; readonly why: string; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: 'look'; readonly now: Millis };

export type SupervisorEffect =
  | { readonly kind: 'spawn'; readonly thread: number }
  | { readonly kind: 'ask'; readonly thread: number }
  /** Its calls are refused. It may have ended by itself. */
  | { readonly kind: 'terminate'; readonly thread: number; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string }
  /** The last effect of all. */
  | { readonly kind: 'gave-up'; readonly why: string }
  | { readonly kind: 'arm'; readonly timer: 'look'; readonly ms: Millis };

export interface Supervisor {
  readonly times: SupervisionTimes;
  /** `idle`: was never needed; `given-up` is for ever. */
  phase: 'idle' | 'starting' | 'well' | 'asked' | 'given-up';
  /** The latest, from 1. What is heard of an earlier one counts for nothing. */
  thread: number;
  /** When the timer is to expire. */
  lookAt: Millis;
  unwellSince: Millis | undefined;
  /** Oldest first; fewer than FAILURES_MAX while the service runs. */
  readonly failures: { readonly at: Millis; readonly why: string }[];
}

export const createSupervisor = (times: SupervisionTimes = SUPERVISION_TIMES): Supervisor => ({ times, phase: 'idle', thread: 0, lookAt: 0, unwellSince: undefined, failures: [] });

export function step(state: Supervisor, input: SupervisorInput): SupervisorEffect[] {
  const { now } = input;
  switch (input.kind) {
    case 'wanted':
      return state.phase === 'idle' ? spawn(state, now) : [];
    case 'ready':
      if (input.thread !== state.thread || state.phase !== 'starting') return [];
      state.phase = 'well';
      return [look(state, now, state.times.askEveryMs)];
    case 'answered':
      if (input.thread !== state.thread || state.phase !== 'asked') return [];
      return answered(state, input.health, now);
    case 'died':
      if (input.thread !== state.thread || state.phase === 'idle' || state.phase === 'given-up') return [];
      return fail(state, input.why, now);
    case 'expired':
      return expired(state, now);
  }
}

function spawn(state: Supervisor, now: Millis): SupervisorEffect[] {
  state.phase = 'starting';
  state.thread += 1;
  state.unwellSince = undefined;
  return [{ kind: 'spawn', thread: state.thread }, look(state, now, state.times.startMs)];
}

function look(state: Supervisor, now: Millis, ms: Millis): SupervisorEffect {
  state.lookAt = now + ms;
  return { kind: 'arm', timer: 'look', ms };
}

function answered(state: Supervisor, health: Health, now: Millis): SupervisorEffect[] {
  if (health.healthy) state.unwellSince = undefined;
  else {
    state.unwellSince ??= now;
    if (now - state.unwellSince >= state.times.silentMs) return fail(state, health.why, now);
  }
  state.phase = 'well';
  return [look(state, now, state.times.askEveryMs)];
}

function expired(state: Supervisor, now: Millis): SupervisorEffect[] {
  const { startMs, silentMs } = state.times;
  const stalled = now - state.lookAt > STALL_MS;
  switch (state.phase) {
    case 'idle':
    case 'given-up':
      return [];
    case 'well':
      state.phase = 'asked';
      return [{ kind: 'ask', thread: state.thread }, look(state, now, silentMs)];
    case 'starting':
      return stalled ? [look(state, now, startMs)] : fail(state, `did not start within ${startMs / 1000} s`, now);
    case 'asked':
      return stalled ? [look(state, now, silentMs)] : fail(state, `did not answer for ${silentMs / 1000} s`, now);
  }
}

function fail(state: Supervisor, why: string, now: Millis): SupervisorEffect[] {
  const { failures } = state;
  while (failures[0] !== undefined && now - failures[0].at >= state.times.forgetMs) failures.shift();
  failures.push({ at: now, why });
  const effects: SupervisorEffect[] = [
    { kind: 'terminate', thread: state.thread, why },
    { kind: 'failed', why },
  ];
  if (failures.length < FAILURES_MAX) return [...effects, ...spawn(state, now)];
  state.phase = 'given-up';
  return [...effects, { kind: 'gave-up', why: summary(failures.map((failure) => failure.why)) }];
}

/** 'did not answer for 2 s, twice; ended by itself' */
function summary(reasons: readonly string[]): string {
  return [...new Set(reasons)].map((why) => why + TIMES_IN_WORDS[reasons.filter((each) => each === why).length]).join('; ');
}
