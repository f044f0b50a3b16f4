// Who is here. A member is alive while it is heard, by whatever way; silent for four of its beats it is suspect, and
// asked directly; it is dead when it does not answer, and left when it said goodbye. Suspicion with a chance to refute it
// is SWIM's (Das, Gupta, Motivala, 2002); doubting oneself first is Lifeguard's (Dadgar, Phillips, Currey, 2017).
//
// Invariants: a member that is heard at least once in four of its beats is never dead; one that is silent is dead within
// SILENCE_BEATS of its period, a verdict's wait and twice POSTPONE_MAX_MS; nobody is forgotten by age.
//
// A pure machine, without clock, timers, sockets and chance of its own.
import type { BootId } from '../lib/ids.ts';
import { MEMBERS_MAX } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';
import { answer, armBeat, beat, doubtMulticast } from './beats.ts';
import {
  BEAT_EVERY_MS,
  type Effect,
  hasOthers,
  type Input,
  isHere,
  type Member,
  type Membership,
  type MemberState,
  type Mode,
  NEVER,
  othersHere,
  type Reason,
  SILENCE_BEATS,
  type Timer,
} from './members.ts';

// To its users the machine and its words are one thing.
export { createMembership, isHere } from './members.ts';
export type { Beat, Effect, Input, Member, Membership, MemberState, Mode, Reason, Timer, Via } from './members.ts';

/** What a beat may claim as its sender's period. */
const PERIOD_MIN_MS: Millis = 100;
const PERIOD_MAX_MS: Millis = 60_000;
/** Five chances, so that 30% loss of questions and of answers leaves 4% of probed live members unheard per round. */
const PROBES_AT_MS: readonly Millis[] = [0, 80, 160, 240, 320];
const VERDICT_MS: Millis = 400;
/** With few others to tell a dead member from a bad minute of our own, wait longer. */
const VERDICT_FEW_MS: Millis = 900;
const FEW_OTHERS = 3;
/** A timer so late says that this process stood still, and heard nobody for that reason. */
const STALL_MS: Millis = 250;
/** Nothing heard from anybody for so long, when something was due, is our own fault until POSTPONE_MAX_MS have passed. */
const DEAF_MS: Millis = 500;
const POSTPONE_MAX_MS: Millis = 3_000;
const FORMER_BOOTS_MAX = 8;
const MULTICAST_MODE_MS: Millis = 10_000;
/** Three questions of DNS-SD's browser, which asks every minute. */
const NAMES_MODE_MS: Millis = 180_000;

export function step(state: Membership, input: Input): Effect[] {
  switch (input.kind) {
    case 'started':
      state.startedAt = input.now;
      return beat(state, input.now);
    case 'heard':
      return input.peer === state.self ? [] : heard(state, input);
    case 'goodbye':
    case 'closed':
      return departed(state, input);
    case 'expired':
      return expired(state, input.timer, input.now);
    case 'stalled':
      state.stalledAt = input.now;
      return [];
    case 'named':
      state.lastNamesAt = input.now;
      return [];
  }
}

export function modeOf(state: Membership, now: Millis): Mode {
  if (now - state.lastMulticastAt <= MULTICAST_MODE_MS || !hasOthers(state)) return 'multicast';
  return now - state.lastNamesAt <= NAMES_MODE_MS ? 'names' : 'unicast';
}

// --- being heard

function heard(state: Membership, input: Extract<Input, { kind: 'heard' }>): Effect[] {
  const { peer, bootId, now } = input;
  const known = state.members.get(peer);
  if (known !== undefined && isLate(known, bootId)) return [];
  if (known === undefined && !makeRoom(state)) return [];
  state.lastHeardAt = now;
  const member = known ?? newMember(input);
  state.members.set(peer, member);
  const from = known?.state ?? 'unknown';
  const restarted = member.bootId !== bootId;
  if (restarted) restart(member, bootId);
  note(state, member, input);
  member.state = 'alive';
  const effects: Effect[] = [];
  if (restarted || from !== 'alive') {
    const reason = from === 'unknown' ? 'joined' : restarted ? 'restarted' : from === 'suspect' ? 'refuted' : 'returned';
    effects.push({ kind: 'changed', peer, from, to: 'alive', reason });
    if (reason !== 'refuted') effects.push(...answer(state, now));
  }
  if (silentAt(state, member) < member.watchAt || member.watchAt <= now) effects.push(watchAt(member, silentAt(state, member), now));
  effects.push(...doubtMulticast(state, member, input.beat));
  return effects;
}

/** Does this come from a process that is gone? */
const isLate = (member: Member, bootId: BootId): boolean =>
  // Of a peer that said goodbye nothing more can follow but what was on its way.
  (member.state === 'left' && member.bootId === bootId) ||
  // Former boots count again when the later one is gone: two machines with one copied key, of which one has stopped.
  (isHere(member) && member.formerBoots.includes(bootId));

const newMember = ({ peer, bootId, now }: Extract<Input, { kind: 'heard' }>): Member => ({
  peer,
  bootId,
  state: 'alive',
  address: undefined,
  everyMs: BEAT_EVERY_MS,
  lastHeardAt: now,
  lastMulticastAt: NEVER,
  lastAskedAt: NEVER,
  beatsUnnamed: 0,
  formerBoots: [],
  suspectAt: NEVER,
  roundAt: NEVER,
  probes: 0,
  watchAt: NEVER,
});

function restart(member: Member, bootId: BootId): void {
  member.formerBoots = [...member.formerBoots.filter((former) => former !== bootId), member.bootId].slice(-FORMER_BOOTS_MAX);
  member.bootId = bootId;
  member.everyMs = BEAT_EVERY_MS;
  member.lastMulticastAt = NEVER;
  member.lastAskedAt = NEVER;
  member.beatsUnnamed = 0;
}

function note(state: Membership, member: Member, { via, address, beat, now }: Extract<Input, { kind: 'heard' }>): void {
  member.lastHeardAt = now;
  if (address !== undefined) member.address = address;
  if (via === 'multicast') {
    member.lastMulticastAt = now;
    state.lastMulticastAt = now;
  }
  if (beat === undefined) return;
  member.everyMs = Math.min(Math.max(beat.everyMs, PERIOD_MIN_MS), PERIOD_MAX_MS);
  if (beat.asks) member.lastAskedAt = now;
  member.beatsUnnamed = beat.hears.includes(state.self) ? 0 : member.beatsUnnamed + 1;
}

/** Is there a place for one more member? The one that is gone longest makes it. */
function makeRoom(state: Membership): boolean {
  if (state.members.size < MEMBERS_MAX) return true;
  let oldest: Member | undefined;
  for (const member of state.members.values()) {
    if (!isHere(member) && member.lastHeardAt < (oldest?.lastHeardAt ?? Number.POSITIVE_INFINITY)) oldest = member;
  }
  if (oldest !== undefined) state.members.delete(oldest.peer);
  return oldest !== undefined;
}

// --- leaving

function departed(state: Membership, input: Extract<Input, { kind: 'goodbye' | 'closed' }>): Effect[] {
  const member = state.members.get(input.peer);
  if (member === undefined || member.bootId !== input.bootId || member.state === 'left') return [];
  if (input.kind === 'goodbye') return [change(member, 'left', 'goodbye')];
  if (!isHere(member)) return [];
  if (input.refused) return [change(member, 'dead', 'refused')];
  return member.state === 'alive' ? suspect(state, member, 'closed', input.now) : [];
}

function change(member: Member, to: MemberState, reason: Reason): Effect {
  const from = member.state;
  member.state = to;
  return { kind: 'changed', peer: member.peer, from, to, reason };
}

// --- silence

function expired(state: Membership, timer: Timer, now: Millis): Effect[] {
  const member = timer.kind === 'watch' ? state.members.get(timer.peer) : undefined;
  const dueAt = timer.kind === 'beat' ? state.beatAt : (member?.watchAt ?? now);
  if (now - dueAt > STALL_MS) state.stalledAt = now;
  if (timer.kind === 'beat') return now < state.beatAt ? [armBeat(state, state.beatAt, now)] : beat(state, now);
  if (member?.state === 'alive') {
    const dueNext = silentAt(state, member);
    return now < dueNext ? [watchAt(member, dueNext, now)] : suspect(state, member, 'silent', now);
  }
  return member?.state === 'suspect' ? question(state, member, now) : [];
}

/** When silence becomes suspicious: four beats after it was heard, or after we woke up, but not for ever. */
function silentAt(state: Membership, { lastHeardAt, everyMs }: Member): Millis {
  const patienceMs = SILENCE_BEATS * everyMs;
  return Math.max(lastHeardAt, Math.min(state.stalledAt, lastHeardAt + POSTPONE_MAX_MS)) + patienceMs;
}

function suspect(state: Membership, member: Member, reason: Reason, now: Millis): Effect[] {
  member.suspectAt = now;
  member.roundAt = now;
  member.probes = 0;
  return [change(member, 'suspect', reason), ...question(state, member, now)];
}

/** Probes a suspect, until the verdict is due. */
function question(state: Membership, member: Member, now: Millis): Effect[] {
  const others = othersHere(state, member).filter(({ state }) => state === 'alive').length;
  const verdictMs = others < FEW_OTHERS ? VERDICT_FEW_MS : VERDICT_MS;
  if (now >= member.roundAt + verdictMs) {
    const mayPostpone = now - member.suspectAt < POSTPONE_MAX_MS;
    if (!mayPostpone || !blamesItself(state, member, now)) return [change(member, 'dead', 'unanswered')];
    member.roundAt = now;
    member.probes = 0;
  }
  const effects: Effect[] = [];
  if (now >= member.roundAt + (PROBES_AT_MS[member.probes] ?? Number.POSITIVE_INFINITY)) {
    member.probes += 1;
    effects.push({ kind: 'probe', peer: member.peer, address: member.address, attempt: member.probes });
  }
  const nextMs = Math.min(PROBES_AT_MS[member.probes] ?? verdictMs, verdictMs);
  effects.push(watchAt(member, member.roundAt + nextMs, now));
  return effects;
}

/** Was it our own sleep, or is it that we hear nobody at all, though others are here who should be heard? */
function blamesItself(state: Membership, member: Member, now: Millis): boolean {
  if (state.stalledAt > member.roundAt) return true;
  const others = othersHere(state, member);
  if (others.length === 0) return false;
  const fastestMs = Math.min(...others.map(({ everyMs }) => everyMs));
  return now - state.lastHeardAt > Math.max(DEAF_MS, 1.5 * fastestMs);
}

function watchAt(member: Member, at: Millis, now: Millis): Effect {
  member.watchAt = at;
  return { kind: 'arm', timer: { kind: 'watch', peer: member.peer }, ms: Math.max(0, at - now) };
}
