// Who is here. A member is alive while it is heard, by us or by somebody who tells us; silent for four of its beats it is
// suspect, and asked, by us and through others; it is dead when it does not answer, and left when it said goodbye. Suspicion
// with a chance to refute it, and asking through others, are SWIM's (Das, Gupta, Motivala, 2002); doubting oneself first is
// Lifeguard's (Dadgar, Phillips, Currey, 2017).
//
// Invariants: a member that is heard at least once in four of its beats, by us or by somebody who tells us, is never dead,
// unless its stream ended or somebody else found it dead, and it answers no question. One that is silent is dead within
// SILENCE_BEATS of its period, a verdict's wait and twice POSTPONE_MAX_MS, counted from when this process last was asleep. Nobody
// is suspected for not naming us. Nobody is forgotten by age.
//
// A pure machine, without clock, timers, sockets and chance of its own.
import type { BootId } from '../lib/ids.ts';
import { MEMBERS_MAX } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';
import { raise, scoreAt } from './awareness.ts';
import { announce, answer, doubtMulticast, hasStarted, nextSayingAt, pace, say, speak } from './beats.ts';
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
import { answerAskers, asked } from './relays.ts';

// To its users the machine and its words are one thing.
export { wantsUnicast } from './beats.ts';
export { createMembership, isHere } from './members.ts';
export type { Beat, Effect, Input, Member, Membership, MemberState, Mode, Reason, Timer, Via } from './members.ts';

/** What a beat may claim as its sender's period. */
const PERIOD_MIN_MS: Millis = 100;
const PERIOD_MAX_MS: Millis = 60_000;
/** Five chances, so that 30% loss of questions and of answers leaves 4% of probed live members unheard per round. */
const PROBES_AT_MS: readonly Millis[] = [0, 80, 160, 240, 320];
/** Through one other member each. The first is later than what a relay takes for fresh, so that what it says was after the suspicion;
 *  the last leaves half of the wait for two ways there and two back. */
const RELAYS_AT_MS: readonly Millis[] = [120, 200];
const VERDICT_MS: Millis = 400;
/** With few others to tell a dead member from a bad minute of our own, wait longer. */
const VERDICT_FEW_MS: Millis = 900;
const FEW_OTHERS = 3;
/** A machine that refuses connections is asked whether the process is still there, by datagrams: a firewall may have been switched on.
 *  Not for long, as a dead one holds roles. */
const REFUSED_PROBES_AT_MS: readonly Millis[] = [0, 20, 40];
const REFUSED_VERDICT_MS: Millis = 60;
/** Silence of so many periods makes somebody else's word enough to suspect a member: one lost beat does not. */
const DOUBTED_BEATS = 1.5;
/** What somebody heard is told by a datagram, which may have waited so long on its way. A stream's end is noticed sooner than that. */
const HEARSAY_LATE_MS: Millis = 100;
/** Heard not later than so long after its death, a member was heard by datagrams of before it that were long on their way. */
const REVIVED_AFTER_MS: Millis = 300;
/** A timer so late says that this process stood still, and heard nobody for that reason. */
const STALL_MS: Millis = 250;
/** So late, everything has been missed meanwhile: everybody is given his full patience anew, without a bound. */
const JUMP_MS: Millis = 1_000;
/** Nothing heard from anybody for so long, when something was due, is our own fault until POSTPONE_MAX_MS have passed. */
const DEAF_MS: Millis = 500;
const POSTPONE_MAX_MS: Millis = 3_000;
const FORMER_BOOTS_MAX = 8;
const MULTICAST_MODE_MS: Millis = 10_000;
/** Three questions of DNS-SD's browser, which asks every minute. */
const NAMES_MODE_MS: Millis = 180_000;

interface Question {
  readonly ms: Millis;
  readonly attempt: number;
  /** Through another member. */
  readonly isRelayed: boolean;
}

const questionsAt = (times: readonly Millis[], isRelayed: boolean): Question[] => times.map((ms, i) => ({ ms, attempt: i + 1, isRelayed }));

/** A round of questions. */
const QUESTIONS: readonly Question[] = [...questionsAt(PROBES_AT_MS, false), ...questionsAt(RELAYS_AT_MS, true)].sort((a, b) => a.ms - b.ms);
const REFUSED_QUESTIONS = questionsAt(REFUSED_PROBES_AT_MS, false);

export function step(state: Membership, input: Input): Effect[] {
  switch (input.kind) {
    case 'started':
      return announce(state, input.now);
    case 'pace':
      return pace(state, input.quick, input.now);
    case 'speak':
      return speak(state, input.now);
    case 'interfaces':
      return hasStarted(state) ? announce(state, input.now) : [];
    case 'heard':
      return input.peer === state.self ? [] : heard(state, input);
    case 'vouched':
      return vouched(state, input);
    case 'doubted':
      return doubted(state, input);
    case 'refused':
      return refused(state, input);
    case 'asked':
      return asked(state, input);
    case 'goodbye':
    case 'closed':
      return departed(state, input);
    case 'expired':
      return expired(state, input.timer, input.now);
    case 'stalled':
      return [...jump(state, input.now), ...(hasStarted(state) ? answer(state, input.now) : [])];
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
  if (known !== undefined && isLate(known, input)) return [];
  if (known === undefined && !makeRoom(state)) return [];
  state.lastHeardAt = now;
  const member = known ?? newMember(input);
  state.members.set(peer, member);
  const from = known?.state ?? 'unknown';
  const restarted = member.bootId !== bootId;
  const isRefusal = asksForRefusal(member);
  if (restarted) restart(member, bootId);
  note(state, member, input);
  const effects: Effect[] = [];
  if (restarted || from !== 'alive') {
    const reason = from === 'unknown' ? 'joined' : restarted ? 'restarted' : from === 'suspect' ? 'refuted' : 'returned';
    effects.push({ ...change(member, { to: 'alive', reason, now }), from });
    // of what its machine refused we are no judge
    if (reason === 'refuted' && !isRefusal) raise(state.awareness, now);
    else if (reason !== 'refuted') effects.push(...answer(state, now));
  }
  effects.push(...watchSilence(state, member, now), ...doubtMulticast(state, member, input.beat), ...answerAskers(state, member, now));
  return effects;
}

/** Somebody else heard it. That says nothing about our own ears, good or bad: we hear those who tell us. */
function vouched(state: Membership, { peer, bootId, heardAt: toldAt, now }: Extract<Input, { kind: 'vouched' }>): Effect[] {
  const member = state.members.get(peer);
  if (member === undefined || (bootId !== undefined && bootId !== member.bootId)) return [];
  const heardAt = Math.min(toldAt, now);
  if (!isHere(member) && !isRevived(member, heardAt)) return [];
  member.lastHeardAt = Math.max(member.lastHeardAt, heardAt);
  // a stream's end, or a refusal, is noticed at once
  const lateMs = member.why === 'closed' || asksForRefusal(member) ? HEARSAY_LATE_MS : 0;
  if (member.state === 'suspect' && heardAt <= member.since + lateMs) return [];
  const effects: Effect[] = [];
  if (member.state !== 'alive') effects.push(change(member, { to: 'alive', reason: 'vouched', now }));
  effects.push(...watchSilence(state, member, now));
  return effects;
}

/** Of a process that is gone, hearsay can only be late. What has come in its place speaks for itself, as another boot. */
const isRevived = (member: Member, heardAt: Millis): boolean =>
  member.state === 'dead' && !isGone(member) && heardAt > member.since + REVIVED_AFTER_MS;

/** Somebody else found it dead. When it is silent here too, it is asked as a suspect. */
function doubted(state: Membership, { peer, now }: Extract<Input, { kind: 'doubted' }>): Effect[] {
  const member = state.members.get(peer);
  // who has been asked for that reason and not been heard since is not asked again: others say it often
  if (member?.state !== 'alive' || isDoubted(state, member)) return [];
  member.doubtedAt = now;
  if (now >= silentAt(state, member)) return suspect(state, member, 'doubted', now);
  return [{ kind: 'probe', peer, address: member.address, attempt: 1 }, ...watchSilence(state, member, now)];
}

/** Nothing listens there any more, it seems. It is asked, and dead at once when it does not answer. */
function refused(state: Membership, { peer, bootId, now }: Extract<Input, { kind: 'refused' }>): Effect[] {
  const member = state.members.get(peer);
  if (member === undefined || member.bootId !== bootId || !isHere(member)) return [];
  // many may say so one after the other
  if (member.state === 'suspect' && asksForRefusal(member)) return [];
  member.refusedAt = now;
  if (member.state === 'alive') return suspect(state, member, 'doubted', now);
  beginRound(member, now);
  return question(state, member, now);
}

/** Does this come from a process that is gone? */
const isLate = (member: Member, { bootId, via, now }: Extract<Input, { kind: 'heard' }>): boolean =>
  // Of a peer that said goodbye nothing more can follow but what was on its way.
  (member.state === 'left' && member.bootId === bootId) ||
  // An access point keeps multicast back for sleeping stations: the last of a process that is gone comes after its end.
  (isGone(member) && member.bootId === bootId && via !== 'stream' && now <= member.since + REVIVED_AFTER_MS) ||
  (member.state === 'suspect' && asksForRefusal(member) && member.bootId === bootId && via === 'multicast') ||
  // Former boots count again when the later one is gone: two machines with one copied key, of which one has stopped.
  (isHere(member) && member.formerBoots.includes(bootId));

const isGone = ({ state, why }: Member): boolean => state === 'dead' && why === 'refused';

const newMember = ({ peer, bootId, now }: Extract<Input, { kind: 'heard' }>): Member => ({
  peer,
  bootId,
  state: 'alive',
  address: undefined,
  everyMs: BEAT_EVERY_MS,
  lastHeardAt: now,
  lastDirectAt: now,
  lastMulticastAt: NEVER,
  lastAskedAt: NEVER,
  beatsUnnamed: 0,
  formerBoots: [],
  since: now,
  why: 'joined',
  doubtedAt: NEVER,
  refusedAt: NEVER,
  roundAt: NEVER,
  questions: 0,
  relays: [],
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
  member.lastDirectAt = now;
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
  const { now } = input;
  if (input.kind === 'goodbye') return [change(member, { to: 'left', reason: 'goodbye', now })];
  if (!isHere(member)) return [];
  if (input.refused) return [change(member, { to: 'dead', reason: 'refused', now })];
  return member.state === 'alive' ? suspect(state, member, 'closed', now) : [];
}

function change(member: Member, { to, reason, now }: { readonly to: MemberState; readonly reason: Reason; readonly now: Millis }): Extract<Effect, { kind: 'changed' }> {
  const from = member.state;
  member.state = to;
  member.since = now;
  member.why = reason;
  return { kind: 'changed', peer: member.peer, from, to, reason };
}

// --- silence

function expired(state: Membership, timer: Timer, now: Millis): Effect[] {
  const watched = timer.kind === 'watch' ? state.members.get(timer.peer) : undefined;
  const lateMs = now - (timer.kind === 'beat' ? nextSayingAt(state) : (watched?.watchAt ?? now));
  const effects = lateMs > JUMP_MS ? jump(state, now) : [];
  if (lateMs > STALL_MS) stall(state, now);
  if (timer.kind === 'beat') effects.push(...say(state, now));
  else if (watched?.state === 'alive') effects.push(...look(state, watched, now));
  else if (watched?.state === 'suspect') effects.push(...question(state, watched, now));
  return effects;
}

function stall(state: Membership, now: Millis): void {
  state.stalledAt = now;
  raise(state.awareness, now);
}

/** This process was away. What it suspected before is void, and silence counts from now. */
function jump(state: Membership, now: Millis): Effect[] {
  stall(state, now);
  state.jumpedAt = now;
  return [...state.members.values()]
    .filter((member) => member.state === 'suspect')
    .flatMap((member) => [change(member, { to: 'alive', reason: 'stalled', now }), watchAt(member, silentAt(state, member), now)]);
}

/** Is it silent already? */
function look(state: Membership, member: Member, now: Millis): Effect[] {
  const dueAt = silentAt(state, member);
  if (now < dueAt) return [watchAt(member, dueAt, now)];
  return suspect(state, member, isDoubted(state, member) ? 'doubted' : 'silent', now);
}

/** Since when its silence counts: since it was heard, or since we woke up, but not for ever, if we were not away altogether. */
const silentSince = ({ stalledAt, jumpedAt }: Membership, { lastHeardAt }: Member): Millis =>
  Math.max(lastHeardAt, jumpedAt, Math.min(stalledAt, lastHeardAt + POSTPONE_MAX_MS));

const isDoubted = (state: Membership, member: Member): boolean => member.doubtedAt > silentSince(state, member);

/** When silence becomes suspicion. */
const silentAt = (state: Membership, member: Member): Millis =>
  silentSince(state, member) + (isDoubted(state, member) ? DOUBTED_BEATS : SILENCE_BEATS) * member.everyMs;

/** The timer that is armed for later only looks at the clock again when it fires: it need not be moved each time. */
function watchSilence(state: Membership, member: Member, now: Millis): Effect[] {
  const dueAt = silentAt(state, member);
  return dueAt < member.watchAt || member.watchAt <= now ? [watchAt(member, dueAt, now)] : [];
}

function suspect(state: Membership, member: Member, reason: Reason, now: Millis): Effect[] {
  const changed = change(member, { to: 'suspect', reason, now });
  beginRound(member, now);
  return [changed, ...question(state, member, now)];
}

/** Is this a round of questions to one whose machine refuses connections? */
const asksForRefusal = ({ refusedAt, roundAt }: Member): boolean => refusedAt !== NEVER && refusedAt === roundAt;

function beginRound(member: Member, now: Millis): void {
  member.roundAt = now;
  member.questions = 0;
  member.relays = [];
}

/** Asks a suspect, and others about it, until the verdict is due. Doubts about ourselves lengthen this and not the patience
 *  before it: a suspicion costs some questions, a verdict everything that was under way with that member. */
function question(state: Membership, member: Member, now: Millis): Effect[] {
  const others = othersHere(state, member).filter(({ state }) => state === 'alive');
  const isRefusal = asksForRefusal(member);
  const verdictMs = isRefusal ? REFUSED_VERDICT_MS : others.length < FEW_OTHERS ? VERDICT_FEW_MS : VERDICT_MS;
  if (now >= member.roundAt + verdictMs) {
    const mayPostpone = now - member.since < POSTPONE_MAX_MS;
    const isUnwell = !isRefusal && now < member.since + verdictMs * (1 + scoreAt(state.awareness, now));
    // those who missed us have closed their streams, and our own network may take some seconds to be back
    const hasJustWoken = now < state.jumpedAt + SILENCE_BEATS * member.everyMs;
    if (!hasJustWoken && !(mayPostpone && (isUnwell || blamesItself(state, member, now)))) return [change(member, { to: 'dead', reason: isRefusal ? 'refused' : 'unanswered', now })];
    beginRound(member, now);
  }
  const effects: Effect[] = [];
  const unasked = relaysFor(state, member, others);
  const next = nextQuestion(member, unasked);
  if (next !== undefined && now >= member.roundAt + next.ms) {
    member.questions += 1;
    if (next.isRelayed) effects.push(askThroughAnother(state, member, unasked));
    else effects.push({ kind: 'probe', peer: member.peer, address: member.address, attempt: next.attempt });
  }
  const nextMs = Math.min(nextQuestion(member, unasked)?.ms ?? verdictMs, verdictMs);
  effects.push(watchAt(member, member.roundAt + nextMs, now));
  return effects;
}

/** Those for which there is nobody are left out. */
function nextQuestion(member: Member, unasked: readonly Member[]): Question | undefined {
  const questions = asksForRefusal(member) ? REFUSED_QUESTIONS : QUESTIONS;
  while (questions[member.questions]?.isRelayed && !unasked.some(({ peer }) => !member.relays.includes(peer))) member.questions += 1;
  return questions[member.questions];
}

/** When most are suspect the fault is ours or everybody's, and asking about each through others would flood what is left. */
function relaysFor({ members }: Membership, { relays }: Member, others: readonly Member[]): Member[] {
  const suspects = [...members.values()].filter(({ state }) => state === 'suspect').length;
  return suspects > others.length ? [] : others.filter(({ peer }) => !relays.includes(peer));
}

function askThroughAnother(state: Membership, member: Member, unasked: readonly Member[]): Effect {
  const relay = unasked[Math.floor(state.random() * unasked.length)] as Member;
  member.relays = [...member.relays, relay.peer];
  return { kind: 'probeVia', peer: member.peer, via: relay.peer, address: relay.address };
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
