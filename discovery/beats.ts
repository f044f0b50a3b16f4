// When to beat, to whom, and whom to name. Beats are multicast; they go by unicast too to members that multicast does not reach.
import type { PeerId } from '../lib/ids.ts';
import type { Millis } from '../lib/time.ts';
import { BEAT_EVERY_MS, type Beat, type Effect, type Member, type Membership, othersHere, SILENCE_BEATS } from './members.ts';

/** Above 20 members, all of them together beat so often: at a Wi-Fi basic rate more would fill the air. */
const BEATS_PER_SECOND = 20;
/** A peer that starts is heard soon even when datagrams are lost. */
const START_BEATS_MS: readonly Millis[] = [250, 600, 1_100];
/** A newcomer is answered at once, but many newcomers together: with at most 10 beats a second of each peer, 200 in all. */
const ANSWER_SPACING_MS: Millis = 100;
const ANSWERS_PER_SECOND = 200;
/** Up to so many members answer a newcomer at once; more spread their answers by 5 ms each. */
const ANSWER_AT_ONCE_MAX = 10;
const NAMED_PER_BEAT = 6;
const UNNAMED_ROTATIONS = 5;

export function beat(state: Membership, now: Millis): Effect[] {
  const everyMs = periodOf(state);
  const said = { everyMs, hears: nextNamed(state) };
  state.lastBeatAt = now;
  const effects: Effect[] = [{ kind: 'beat', ...said, asks: false }];
  for (const member of othersHere(state)) {
    const patienceMs = SILENCE_BEATS * member.everyMs;
    const asks = now - member.lastMulticastAt > patienceMs;
    // It is not heard, or does not hear us: a beat that asks is answered, and one that only answers asks for nothing,
    // so that two peers stop when multicast is back.
    if (asks || now - member.lastAskedAt <= patienceMs) effects.push({ kind: 'beatTo', peer: member.peer, address: member.address, ...said, asks });
  }
  effects.push(armBeat(state, nextBeatAt(state, everyMs, now), now));
  return effects;
}

/** What is said between regular beats does not move them. Members shall beat at different times, or most of a long period passes in
 *  silence, and what was missed goes unnoticed in it. So they drift, and a network that has just come together, all of whose
 *  members find their period grown at once, spreads over the new one. */
function nextBeatAt(state: Membership, everyMs: Millis, now: Millis): Millis {
  const startMs = START_BEATS_MS.find((ms) => state.startedAt + ms > now);
  if (startMs !== undefined) return state.startedAt + startMs;
  if (now < state.regularAt) state.regularAt = Math.min(state.regularAt, now + everyMs);
  else {
    const spreadMs = Math.max(0.2 * everyMs, everyMs - state.everyMs);
    state.regularAt = now + Math.round(1.1 * everyMs - spreadMs * (1 - state.random()));
  }
  state.everyMs = everyMs;
  return state.regularAt;
}

const periodOf = (state: Membership): Millis => Math.max(BEAT_EVERY_MS, Math.round(((othersHere(state).length + 1) * 1_000) / BEATS_PER_SECOND));

/** Beats soon, because somebody is new: it shall not wait a whole period to know us. */
export function answer(state: Membership, now: Millis): Effect[] {
  const count = othersHere(state).length + 1;
  const spacingMs = Math.max(ANSWER_SPACING_MS, (count * 1_000) / ANSWERS_PER_SECOND);
  const spreadMs = (Math.max(0, count - ANSWER_AT_ONCE_MAX) * 1_000) / ANSWERS_PER_SECOND;
  const at = Math.max(now + Math.round(state.random() * spreadMs), state.lastBeatAt + spacingMs);
  if (at <= now) return beat(state, now);
  return at < state.beatAt ? [armBeat(state, at, now)] : [];
}

export function armBeat(state: Membership, at: Millis, now: Millis): Effect {
  state.beatAt = at;
  return { kind: 'arm', timer: { kind: 'beat' }, ms: Math.max(0, at - now) };
}

function nextNamed(state: Membership): PeerId[] {
  const heardOf = [...state.members.values()].filter(({ state }) => state === 'alive').map(({ peer }) => peer);
  const count = Math.min(NAMED_PER_BEAT, heardOf.length);
  const named = Array.from({ length: count }, (_, i) => heardOf[(state.rotation + i) % heardOf.length] as PeerId);
  state.rotation = heardOf.length === 0 ? 0 : (state.rotation + count) % heardOf.length;
  return named;
}

/** Whoever names everybody in turn and never us does not hear us, though we hear it (a one-way link). That is no reason
 *  to suspect it; a probe lets it hear us, and find out about its own side. */
export function doubtMulticast(state: Membership, member: Member, beat: Beat | undefined): Effect[] {
  // every beat of everybody passes here: members are counted only where the bound, a multiple of this, can have been reached
  if (beat === undefined || member.beatsUnnamed === 0 || member.beatsUnnamed % UNNAMED_ROTATIONS !== 0) return [];
  const rotation = Math.ceil((othersHere(state).length + 1) / NAMED_PER_BEAT);
  if (member.beatsUnnamed < UNNAMED_ROTATIONS * rotation) return [];
  member.beatsUnnamed = 0;
  return [{ kind: 'probe', peer: member.peer, address: member.address, attempt: 1 }];
}
