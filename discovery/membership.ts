// Who is here. A member is alive while it is heard, by whatever way; silent for four of its beats it is suspect, and
// asked directly; it is dead when it does not answer, and left when it said goodbye. Suspicion with a chance to refute it
// is SWIM's (Das, Gupta, Motivala, 2002); doubting oneself first is Lifeguard's (Dadgar, Phillips, Currey, 2017).
//
// Invariants: a member that is heard at least once in four of its beats is never dead; one that is silent is dead within
// SILENCE_BEATS of its period, a verdict's wait and twice POSTPONE_MAX_MS; nobody is forgotten by age.
//
// A pure machine: it takes inputs that carry `now` and returns effects. A timer armed again replaces the one of the same
// name, and one that fires for an old reason only looks at the clock again, so nothing ever needs to be cancelled.
import type { BootId, PeerId } from '../lib/ids.ts';
import { MEMBERS_MAX } from '../lib/limits.ts';
import type { Random } from '../lib/random.ts';
import type { Millis } from '../lib/time.ts';
import type { Address } from './address.ts';

export type MemberState = 'alive' | 'suspect' | 'dead' | 'left';
/** How something of a peer's reached us. */
export type Via = 'multicast' | 'unicast' | 'stream';
/** How this peer and the others meet, for `status`. */
export type Mode = 'multicast' | 'names' | 'unicast';

/** What a beat says for membership. */
export interface Beat {
  /** The sender's period: after four of them in silence it may be suspected. */
  readonly everyMs: Millis;
  /** Some of those whom the sender hears, in rotation. */
  readonly hears: readonly PeerId[];
  /** "I do not hear your multicast": the receiver shall send its beats here by unicast. */
  readonly asks: boolean;
}

export interface Member {
  readonly peer: PeerId;
  bootId: BootId;
  state: MemberState;
  /** Where it was last heard from, at its own port. */
  address: Address | undefined;
  everyMs: Millis;
  lastHeardAt: Millis;
  lastMulticastAt: Millis;
  /** When it last asked for unicast beats. */
  lastAskedAt: Millis;
  /** Its beats since one of them named us. */
  beatsUnnamed: number;
  /** Boots that a later one has replaced, newest last: their late datagrams are no restart. */
  formerBoots: readonly BootId[];
  /** While suspect: since when, since when in this round of probes, and how many probes it has had in it. */
  suspectAt: Millis;
  roundAt: Millis;
  probes: number;
  /** When its timer is due. */
  watchAt: Millis;
}

export interface Membership {
  readonly self: PeerId;
  readonly random: Random;
  readonly members: Map<PeerId, Member>;
  startedAt: Millis;
  beatAt: Millis;
  lastBeatAt: Millis;
  /** Whose turn it is to be named. */
  rotation: number;
  lastHeardAt: Millis;
  lastMulticastAt: Millis;
  lastNamesAt: Millis;
  /** When this process was last found to have been asleep. */
  stalledAt: Millis;
}

export type Timer = { readonly kind: 'beat' } | { readonly kind: 'watch'; readonly peer: PeerId };

export type Input =
  | { readonly kind: 'started'; readonly now: Millis }
  /** A verified datagram or stream message; with its beat, when it is one. */
  | {
      readonly kind: 'heard';
      readonly peer: PeerId;
      readonly bootId: BootId;
      readonly via: Via;
      readonly address?: Address;
      readonly beat?: Beat;
      readonly now: Millis;
    }
  | { readonly kind: 'goodbye'; readonly peer: PeerId; readonly bootId: BootId; readonly now: Millis }
  /** A stream ended; `refused` when reconnecting was refused too, so that the process is gone. */
  | { readonly kind: 'closed'; readonly peer: PeerId; readonly bootId: BootId; readonly refused: boolean; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: Timer; readonly now: Millis }
  /** This process or machine was asleep, by a clock that the timers here cannot see. */
  | { readonly kind: 'stalled'; readonly now: Millis }
  /** DNS-SD named a candidate. */
  | { readonly kind: 'named'; readonly now: Millis };

export type Reason = 'joined' | 'restarted' | 'returned' | 'refuted' | 'silent' | 'closed' | 'refused' | 'unanswered' | 'goodbye';

export type Effect =
  | { readonly kind: 'arm'; readonly timer: Timer; readonly ms: Millis }
  /** Multicast a beat. */
  | ({ readonly kind: 'beat' } & Beat)
  /** Send a beat by unicast too. */
  | ({ readonly kind: 'beatTo'; readonly peer: PeerId; readonly address: Address | undefined } & Beat)
  /** Ask by unicast whether it lives; any answer counts as heard. Attempts count from 1. */
  | { readonly kind: 'probe'; readonly peer: PeerId; readonly address: Address | undefined; readonly attempt: number }
  | { readonly kind: 'changed'; readonly peer: PeerId; readonly from: MemberState | 'unknown'; readonly to: MemberState; readonly reason: Reason };

/** The slowest beat of those without a role; above 20 members all of them together beat 20 times a second. */
const BEAT_EVERY_MS: Millis = 1_000;
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
/** 30% loss takes four beats in a row once in 120; a probe then refutes the suspicion. */
const SILENCE_BEATS = 4;
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
const NEVER = Number.NEGATIVE_INFINITY;

export const createMembership = ({ self, random }: { readonly self: PeerId; readonly random: Random }): Membership => ({
  self,
  random,
  members: new Map(),
  startedAt: NEVER,
  beatAt: Number.POSITIVE_INFINITY,
  lastBeatAt: NEVER,
  rotation: 0,
  lastHeardAt: NEVER,
  lastMulticastAt: NEVER,
  lastNamesAt: NEVER,
  stalledAt: NEVER,
});

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

export const isHere = (member: Member): boolean => member.state === 'alive' || member.state === 'suspect';

const hasOthers = (state: Membership): boolean => [...state.members.values()].some(isHere);

const othersHere = (state: Membership, but?: Member): Member[] => [...state.members.values()].filter((member) => member !== but && isHere(member));

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

/** Whoever names everybody in turn and never us does not hear us, though we hear it (a one-way link). That is no reason
 *  to suspect it; a probe lets it hear us, and find out about its own side. */
function doubtMulticast(state: Membership, member: Member, beat: Beat | undefined): Effect[] {
  const rotation = Math.ceil((othersHere(state).length + 1) / NAMED_PER_BEAT);
  if (beat === undefined || member.beatsUnnamed < UNNAMED_ROTATIONS * rotation) return [];
  member.beatsUnnamed = 0;
  return [{ kind: 'probe', peer: member.peer, address: member.address, attempt: 1 }];
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

// --- beating

function beat(state: Membership, now: Millis): Effect[] {
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
  const nextMs = START_BEATS_MS.find((ms) => state.startedAt + ms > now);
  // A little apart from each other, or all that heard one newcomer would beat together for ever.
  const regularAt = now + Math.round(everyMs * (0.9 + 0.2 * state.random()));
  effects.push(armBeat(state, nextMs === undefined ? regularAt : Math.min(regularAt, state.startedAt + nextMs), now));
  return effects;
}

const periodOf = (state: Membership): Millis => Math.max(BEAT_EVERY_MS, Math.round(((othersHere(state).length + 1) * 1_000) / BEATS_PER_SECOND));

/** Beats soon, because somebody is new: it shall not wait a whole period to know us. */
function answer(state: Membership, now: Millis): Effect[] {
  const count = othersHere(state).length + 1;
  const spacingMs = Math.max(ANSWER_SPACING_MS, (count * 1_000) / ANSWERS_PER_SECOND);
  const spreadMs = (Math.max(0, count - ANSWER_AT_ONCE_MAX) * 1_000) / ANSWERS_PER_SECOND;
  const at = Math.max(now + Math.round(state.random() * spreadMs), state.lastBeatAt + spacingMs);
  if (at <= now) return beat(state, now);
  return at < state.beatAt ? [armBeat(state, at, now)] : [];
}

function armBeat(state: Membership, at: Millis, now: Millis): Effect {
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
