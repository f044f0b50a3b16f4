// When to beat and when to pulse, to whom, and whom to name. Both are multicast; they go by unicast too to members that multicast
// does not reach. A pulse is the small part of a beat that coordination lives on; to membership it only says that its sender lives.
import type { PeerId } from '../lib/ids.ts';
import type { Millis } from '../lib/time.ts';
import { BEAT_EVERY_MS, type Beat, type Effect, type Member, type Membership, NEVER, othersHere, QUICK_EVERY_MS, SILENCE_BEATS } from './members.ts';

/** Above 18 members, all of them together beat so often: at a Wi-Fi basic rate more would fill the air. With NAMED_PER_BEAT, it
 *  keeps each of 20 idle peers below 150 bytes a second. */
const BEATS_PER_SECOND = 18;
/** A peer that starts, or that changes its pace or its interfaces, is heard soon even when datagrams are lost. */
const START_BEATS_MS: readonly Millis[] = [250, 600, 1_100];
/** A newcomer is answered at once, but many newcomers together: with at most 10 beats a second of each peer, 200 in all. */
const ANSWER_SPACING_MS: Millis = 100;
const ANSWERS_PER_SECOND = 200;
/** Up to so many members answer a newcomer at once; more spread their answers by 5 ms each. */
const ANSWER_AT_ONCE_MAX = 10;
const NAMED_PER_BEAT = 4;
const UNNAMED_ROTATIONS = 5;
/** Changes that follow each other so closely are said by one pulse. */
const SPEAK_SPACING_MS: Millis = 20;
/** The quick say once more what has changed, as it may have been lost: what nobody has heard of nobody finds. */
const SPEAK_AGAIN_MS: Millis = 100;
/** A beat that is due so soon is said in the place of a pulse: half of QUICK_EVERY_MS, as it could as well be said with the next. */
const SOON_MS: Millis = 150;

/** @param dueAt when it is later than now, the beat is said early and stands for the one that is due then */
export function beat(state: Membership, now: Millis, dueAt: Millis = now): Effect[] {
  const periodMs = periodOf(state);
  const said = { everyMs: state.quick ? QUICK_EVERY_MS : periodMs, hears: nextNamed(state, now) };
  state.lastBeatAt = now;
  state.lastSaidAt = now;
  const effects: Effect[] = [{ kind: 'beat', ...said, asks: false }];
  for (const member of othersHere(state)) {
    const asks = isUnheard(state, member, now);
    // It is not heard, or does not hear us: a beat that asks is answered, and one that only answers asks for nothing,
    // so that two peers stop when multicast is back.
    if (asks || wantsUnicast(state, member, now)) effects.push({ kind: 'beatTo', peer: member.peer, address: member.address, ...said, asks });
  }
  state.beatAt = nextBeatAt(state, periodMs, Math.max(now, dueAt));
  state.pulseAt = nextPulseAt(state, now);
  effects.push(armBeat(state, now));
  return effects;
}

/** Says the little that is to be said more often than a beat is due. */
function pulse(state: Membership, now: Millis): Effect[] {
  if (state.beatAt <= now + SOON_MS) return beat(state, now, state.beatAt);
  state.lastSaidAt = now;
  state.pulseAt = nextPulseAt(state, now);
  const effects: Effect[] = [{ kind: 'pulse' }];
  for (const member of othersHere(state)) {
    if (isUnheard(state, member, now) || wantsUnicast(state, member, now)) effects.push({ kind: 'pulseTo', peer: member.peer, address: member.address });
  }
  effects.push(armBeat(state, now));
  return effects;
}

/** The timer ran out. */
export function say(state: Membership, now: Millis): Effect[] {
  if (now >= state.beatAt) return beat(state, now);
  return now >= state.pulseAt ? pulse(state, now) : [armBeat(state, now)];
}

/** What coordination says has changed. */
export function speak(state: Membership, now: Millis): Effect[] {
  if (!hasStarted(state)) return [];
  state.spokenAt = now;
  state.pulseAt = Math.min(state.pulseAt, Math.max(now, state.lastSaidAt + SPEAK_SPACING_MS));
  return say(state, now);
}

/** Beats now and some times soon, because everybody shall know of it. */
export function announce(state: Membership, now: Millis): Effect[] {
  state.announcedAt = now;
  return beat(state, now);
}

/** Others miss a peer after four of the periods that it last said. So both changes are announced: a quick one that is still
 *  thought slow would be missed late, and a slow one that is still thought quick would be suspected without cause. */
export function pace(state: Membership, quick: boolean, now: Millis): Effect[] {
  if (quick === state.quick) return [];
  state.quick = quick;
  return hasStarted(state) ? announce(state, now) : [];
}

export const hasStarted = (state: Membership): boolean => state.announcedAt !== NEVER;

/** Who was away asks nobody whom multicast once reached for unicast before multicast has had its time: many would answer. */
const isUnheard = ({ jumpedAt }: Membership, { lastMulticastAt, everyMs }: Member, now: Millis): boolean =>
  lastMulticastAt === NEVER || now - Math.max(lastMulticastAt, jumpedAt) > SILENCE_BEATS * everyMs;

/** Did it say that it does not hear our multicast? It says so in beats only, and those of the quick are as far apart as ours. */
export const wantsUnicast = (state: Membership, { everyMs, lastAskedAt }: Member, now: Millis): boolean =>
  now - lastAskedAt <= SILENCE_BEATS * Math.max(everyMs, state.periodMs);

/** What is said between regular beats does not move them. Members shall beat at different times, or most of a long period passes in
 *  silence, and what was missed goes unnoticed in it. So they drift, and a network that has just come together, all of whose
 *  members find their period grown at once, spreads over the new one. */
function nextBeatAt(state: Membership, periodMs: Millis, now: Millis): Millis {
  const startMs = START_BEATS_MS.find((ms) => state.announcedAt + ms > now);
  if (startMs !== undefined) return state.announcedAt + startMs;
  if (now < state.regularAt) state.regularAt = Math.min(state.regularAt, now + periodMs);
  else {
    const spreadMs = Math.max(0.2 * periodMs, periodMs - state.periodMs);
    state.regularAt = now + Math.round(1.1 * periodMs - spreadMs * (1 - state.random()));
  }
  state.periodMs = periodMs;
  return state.regularAt;
}

/** Drifting as beats do. */
function nextPulseAt(state: Membership, now: Millis): Millis {
  if (!state.quick) return Number.POSITIVE_INFINITY;
  const againAt = state.spokenAt + SPEAK_AGAIN_MS;
  return againAt > now ? againAt : now + Math.round(QUICK_EVERY_MS * (0.9 + 0.2 * state.random()));
}

const periodOf = (state: Membership): Millis => Math.max(BEAT_EVERY_MS, Math.round(((othersHere(state).length + 1) * 1_000) / BEATS_PER_SECOND));

/** Beats soon, because somebody is new: it shall not wait a whole period to know us. */
export function answer(state: Membership, now: Millis): Effect[] {
  const count = othersHere(state).length + 1;
  const spacingMs = Math.max(ANSWER_SPACING_MS, (count * 1_000) / ANSWERS_PER_SECOND);
  const spreadMs = (Math.max(0, count - ANSWER_AT_ONCE_MAX) * 1_000) / ANSWERS_PER_SECOND;
  const at = Math.max(now + Math.round(state.random() * spreadMs), state.lastBeatAt + spacingMs);
  if (at <= now) return beat(state, now);
  if (at >= state.beatAt) return [];
  state.beatAt = at;
  return [armBeat(state, now)];
}

/** When the timer is due. */
export const nextSayingAt = (state: Membership): Millis => Math.min(state.beatAt, state.pulseAt);

const armBeat = (state: Membership, now: Millis): Effect => ({ kind: 'arm', timer: { kind: 'beat' }, ms: Math.max(0, nextSayingAt(state) - now) });

/** Members that we hear ourselves: others may vouch for one whose datagrams do not reach us, and it shall find that out. */
function nextNamed(state: Membership, now: Millis): PeerId[] {
  const isHeard = ({ state, lastDirectAt, everyMs }: Member): boolean => state === 'alive' && now - lastDirectAt <= SILENCE_BEATS * everyMs;
  const heardOf = [...state.members.values()].filter(isHeard).map(({ peer }) => peer);
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
