// Who coordinates: Bully (Garcia-Molina, "Elections in a Distributed Computing System", IEEE Transactions on Computers 1982), with
// what a network that loses messages asks of it. ELECTION goes to all; whoever is higher ANSWERs and takes over; the highest claims
// as COORDINATOR, with a term that is on its disk before anybody hears of it.
//
// What differs from the paper: a living coordinator is never pre-empted, rank and id decide vacancies only; the greater (term, id)
// decides between two coordinators. Every pulse says whom its sender follows and how long ago that one was heard, so whom anybody
// hears, all hear. Only the highest few start, or two hundred would. A candidate that is not the highest there is, because it has not
// heard of the highest, is told so by witnesses.
//
// Invariants: after a bounded time without faults a component has one coordinator, whom all of it follow; the terms that a peer claims
// grow, over restarts too.
//
// A pure machine, without clock, timers, disk, sockets and chance of its own.
import type { CoordinatorMessage, ElectionMessage, ElectionTalk, Pulse, Rank } from '../../lib/coordination-messages.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import { TERM_LEAP_MAX, TERM_MAX } from '../../lib/limits.ts';
import { type Random, integerBetween } from '../../lib/random.ts';
import { compareClaims, type Coordinatorship, type Term } from '../../lib/roles.ts';
import type { Millis } from '../../lib/time.ts';

/** After its start a peer listens so long for a coordinator: as long as its beats at 0, 250, 600 and 1,100 ms need to be answered. */
export const LISTEN_MS: Millis = 1_500;
/** A candidate that is not the highest it knows waits so long for an answer. */
const ANSWER_WAIT_MS: Millis = 300;
/** Time for a witness to speak: longer where more of them take care not to speak at once. */
const WITNESS_LEAST_MS: Millis = 60;
/** Who has been answered waits for a coordinator; different candidates differently long. */
const COORDINATOR_WAIT_MS = [600, 800] as const;
const BACKOFF_MS = [100, 400] as const;
/** The second highest gives the highest so long, the third twice that. */
const TURN_MS: Millis = 150;
const STARTERS = 3;
/** When a claim is said: it is told by every pulse afterwards. */
const SAID_AT_MS: readonly Millis[] = [0, 100, 300];
/** A coordinator heard of later than this is not followed anew: four of its beats. */
const FRESH_MS: Millis = 1_200;
/** One that is known by hearsay only is given up after its silence and the time of a verdict. */
const HEARSAY_MS: Millis = 2_000;
/** How late word of a dead coordinator may be; what was heard later shows that it lives. */
const LATE_MS: Millis = 300;
/** Who hears nobody for so long, although others were here, asks some of them; who hears nobody then does not count as coordinator. */
const LONE_MS: Millis = 3_000;
const ASKED_MAX = 4;
const ASKED_MS: Millis = 500;
/** Up to so many others, every change of coordinator is said at once. */
const SPEAKERS_MAX = 10;
const TICK_MS: Millis = 300;
/** A tick later than this says that the process or the machine slept. */
export const JUMP_MS: Millis = 1_000;
/** Between two to one peer. */
const REPLY_EVERY_MS: Millis = 200;

/** Why there was no coordinator, or why there is another: for people. */
export type ElectionReason = 'first' | 'died' | 'silent' | 'left' | 'deaf' | 'stepped-down' | 'greater' | 'promised' | 'slept';

export type ElectionTimer = 'election' | 'witness' | 'say' | 'tick';

export type ElectionInput =
  | { readonly kind: 'started'; readonly now: Millis }
  | { readonly kind: 'pulse'; readonly from: PeerId; readonly bootId: BootId; readonly pulse: Pulse; readonly now: Millis }
  | { readonly kind: 'message'; readonly from: PeerId; readonly message: ElectionTalk; readonly now: Millis }
  /** A member answered a question. */
  | { readonly kind: 'answered'; readonly peer: PeerId; readonly now: Millis }
  /** A member came, or came back. */
  | { readonly kind: 'alive'; readonly peer: PeerId; readonly now: Millis }
  /** `died`: its process has ended; `left`: it said goodbye. Both are proven; `silent` is not. */
  | { readonly kind: 'gone'; readonly peer: PeerId; readonly why: 'died' | 'left' | 'silent'; readonly now: Millis }
  /** The claim is on the disk; or cannot be written. */
  | { readonly kind: 'persisted'; readonly claim: Coordinatorship; readonly ok: boolean; readonly now: Millis }
  /** Up for a minute, and has what the others have. */
  | { readonly kind: 'ready'; readonly ready: boolean; readonly now: Millis }
  /** The process or the machine slept for more than JUMP_MS. */
  | { readonly kind: 'slept'; readonly now: Millis }
  /** From now on this peer claims nothing. */
  | { readonly kind: 'leaving'; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: ElectionTimer; readonly now: Millis };

export type ElectionEffect =
  | { readonly kind: 'arm'; readonly timer: ElectionTimer; readonly ms: Millis }
  | { readonly kind: 'multicast'; readonly message: ElectionTalk }
  | { readonly kind: 'send'; readonly to: PeerId; readonly message: ElectionTalk }
  /** Send a pulse to this peer. */
  | { readonly kind: 'pulseTo'; readonly peer: PeerId }
  /** Send a pulse to all, soon. */
  | { readonly kind: 'speak' }
  /** Write the claim durably, and say `persisted`. */
  | { readonly kind: 'persist'; readonly claim: Coordinatorship }
  /** Somebody found this member dead: look whether it is. */
  | { readonly kind: 'doubt'; readonly peer: PeerId }
  /** Another coordinator, another term of it, or none. */
  | { readonly kind: 'follows'; readonly coordinator: PeerId | null; readonly term: Term; readonly reason: ElectionReason }
  /** A term that cannot be. */
  | { readonly kind: 'insane'; readonly from: PeerId; readonly term: Term };

interface Rival {
  readonly peer: PeerId;
  rank: Rank;
  lone: boolean;
  heardAt: Millis;
  /** Its latest pulse, and of which process: older ones of the same come late. */
  bootId: BootId | null;
  number: number;
  follows: PeerId | null;
  repliedAt: Millis;
}

interface View {
  readonly coordinator: PeerId;
  readonly term: Term;
  readonly since: Millis;
  /** When it was last heard, by whomever. */
  heardAt: Millis;
  /** The same by this peer itself. Only that is told to others: hearsay of hearsay would get younger on its way, and never age. */
  earAt: Millis;
}

/** A coordinator that is no more. */
interface Buried {
  readonly term: Term;
  readonly at: Millis;
  /** Whatever others say of it, it does not count until it speaks itself and hears. */
  readonly deaf: boolean;
}

type Phase =
  /** Just started, or woken. */
  | 'listening'
  | 'following'
  /** There is no coordinator, and it is somebody else's turn first. */
  | 'turn'
  /** ELECTION is said. */
  | 'electing'
  /** Somebody higher has answered. */
  | 'answered'
  /** The term is on its way to the disk. */
  | 'claiming'
  | 'coordinating';

export interface ElectionOptions {
  readonly self: PeerId;
  readonly random: Random;
  /** The greatest claim that was ever stored here. */
  readonly stored: Coordinatorship;
}

const NEVER = Number.NEGATIVE_INFINITY;

export class Election {
  readonly self: PeerId;
  readonly #random: Random;
  readonly #rivals = new Map<PeerId, Rival>();
  readonly #buried = new Map<PeerId, Buried>();
  /** Higher ones that answered in this vacancy, and did not claim. */
  readonly #idle = new Set<PeerId>();
  /** Whose terms cannot be. */
  readonly #insane = new Set<PeerId>();
  /** The greatest claim made here or heard of. */
  #greatest: Coordinatorship;
  #stored: Coordinatorship;
  #view: View | null = null;
  #phase: Phase = 'listening';
  /** When the phase ends by itself. */
  #until: Millis = Number.POSITIVE_INFINITY;
  #reason: ElectionReason = 'first';
  /** Is the last coordinator's process known to have ended? */
  #proven = false;
  #round = 0;
  #claim: Term = 0;
  #said = 0;
  #saidFrom: Millis = NEVER;
  #tickDueAt: Millis = Number.POSITIVE_INFINITY;
  #ready = false;
  #leaving = false;
  /** Can its disk keep a term? */
  #able = true;
  /** Was anybody here since the start? */
  #hadOthers = false;
  #earAt: Millis = NEVER;
  #lone = false;
  /** When it asked whether anybody hears it; null while it hears somebody. */
  #askedAt: Millis | null = null;
  #higherAnswered: PeerId | null = null;
  #witness: { readonly candidate: PeerId; readonly higher: PeerId } | null = null;

  constructor({ self, random, stored }: ElectionOptions) {
    this.self = self;
    this.#random = random;
    // nothing could be claimed above the end of the range
    this.#stored = stored.term < TERM_MAX ? stored : { term: 0, coordinator: null };
    this.#greatest = this.#stored;
  }

  get coordinator(): PeerId | null {
    return this.#view?.coordinator ?? null;
  }

  /** Of the coordinator that it follows, or 0. */
  get term(): Term {
    return this.#view?.term ?? 0;
  }

  get #term(): Term {
    return this.#greatest.term;
  }

  get isCoordinator(): boolean {
    return this.#view?.coordinator === this.self;
  }

  get isLone(): boolean {
    return this.#lone;
  }

  get phase(): Phase {
    return this.#phase;
  }

  get rank(): Rank {
    if (this.isCoordinator) return 2;
    return this.#ready ? 1 : 0;
  }

  /** How long ago the coordinator was heard here; Infinity if it never was. */
  ageMs(now: Millis): Millis {
    if (this.#view === null || this.isCoordinator) return 0;
    return Math.max(0, now - this.#view.earAt);
  }

  /** How long ago it was heard by anybody, as far as is known here. */
  silenceMs(now: Millis): Millis {
    return this.#view === null || this.isCoordinator ? 0 : Math.max(0, now - this.#view.heardAt);
  }

  step(input: ElectionInput): ElectionEffect[] {
    switch (input.kind) {
      case 'started':
        return [...this.#listen(input.now), this.#tick(input.now)];
      case 'pulse':
        return this.#pulse(input);
      case 'message':
        this.#hear(input.from, input.now);
        return this.#message(input.from, input.message, input.now);
      case 'answered':
        this.#hear(input.peer, input.now);
        return [];
      case 'alive':
        this.#rivalOf(input.peer, input.now);
        return [];
      case 'gone':
        return this.#gone(input);
      case 'persisted':
        return this.#persisted(input);
      case 'ready':
        this.#ready = input.ready;
        return [];
      case 'slept':
        return this.#slept(input.now);
      case 'leaving':
        this.#leaving = true;
        return [];
      case 'expired':
        return this.#expired(input.timer, input.now);
    }
  }

  // --- hearing

  #rivalOf(peer: PeerId, now: Millis): Rival {
    let rival = this.#rivals.get(peer);
    if (!rival) {
      rival = { peer, rank: 0, lone: false, heardAt: now, bootId: null, number: 0, follows: null, repliedAt: NEVER };
      this.#rivals.set(peer, rival);
      this.#hadOthers = true;
    }
    return rival;
  }

  #hear(peer: PeerId, now: Millis): Rival {
    const rival = this.#rivalOf(peer, now);
    rival.heardAt = now;
    this.#earAt = now;
    this.#askedAt = null;
    return rival;
  }

  #pulse({ from, bootId, pulse, now }: Extract<ElectionInput, { kind: 'pulse' }>): ElectionEffect[] {
    const rival = this.#hear(from, now);
    // one that was overtaken says what was
    if (rival.bootId === bootId && pulse.number <= rival.number) return [];
    rival.bootId = bootId;
    rival.number = pulse.number;
    rival.rank = pulse.rank;
    rival.lone = pulse.lone;
    const effects: ElectionEffect[] = [];
    if (this.#lone) {
      this.#lone = false;
      effects.push({ kind: 'speak' });
    }
    const { coordinator, term } = pulse;
    if (coordinator === from && pulse.lone) return [...effects, ...this.#deaf(from, term, now)];
    const buried = this.#buried.get(from);
    if (coordinator === from && buried?.deaf) this.#buried.delete(from);
    // it was the coordinator, and is not any more; unless this was on its way when it claimed
    if (this.#view?.coordinator === from && coordinator !== from && now - this.#view.since >= LATE_MS) effects.push(...this.#vacate('stepped-down', { proven: true }, now));
    // somebody else follows it no more, and may know that it is dead
    const lost = rival.follows !== null && rival.follows === this.#view?.coordinator && coordinator === null && !this.isCoordinator;
    rival.follows = coordinator;
    if (lost && this.isOneOfFew) effects.push({ kind: 'doubt', peer: (this.#view as View).coordinator });
    if (coordinator !== null && coordinator !== this.self) effects.push(...this.#claimed(coordinator, { term, heardAt: now - pulse.ageMs, from }, now));
    if (coordinator === null && this.isCoordinator) effects.push(...this.#reply(from, { kind: 'pulseTo', peer: from }, now));
    return effects;
  }

  /** Somebody coordinates, it says, or others say. */
  #claimed(coordinator: PeerId, { term, heardAt, from }: { readonly term: Term; readonly heardAt: Millis; readonly from: PeerId }, now: Millis): ElectionEffect[] {
    if (!this.isSane(term)) return this.#tellInsane(from, term);
    const isDirect = coordinator === from;
    if (this.#isBuried(coordinator, term, heardAt)) return [];
    const effects: ElectionEffect[] = isDirect && this.#term > term + TERM_LEAP_MAX ? this.#comeDown(term) : [];
    const view = this.#view;
    this.#raise({ term, coordinator });
    if (isDirect && view?.coordinator === coordinator && compareClaims(this.#greatest, { term, coordinator }) > 0) effects.push(...this.#object(coordinator, now));
    if (view?.coordinator === coordinator) {
      if (term < view.term) return effects;
      if (term > view.term) return [...effects, ...this.#follow(coordinator, { term, heardAt, from }, 'promised', now)];
      view.heardAt = Math.max(view.heardAt, heardAt);
      if (isDirect) view.earAt = heardAt;
      return effects;
    }
    if (now - heardAt > FRESH_MS) return effects;
    const greater = view === null || compareClaims({ term, coordinator }, view) > 0;
    if (greater) return [...effects, ...this.#follow(coordinator, { term, heardAt, from }, view === null ? this.#reason : 'greater', now)];
    if (isDirect && this.isCoordinator) effects.push(...this.#reply(coordinator, { kind: 'pulseTo', peer: coordinator }, now));
    return effects;
  }

  #isBuried(coordinator: PeerId, term: Term, heardAt: Millis): boolean {
    const buried = this.#buried.get(coordinator);
    return buried !== undefined && term <= buried.term && (buried.deaf || heardAt <= buried.at + LATE_MS);
  }

  /** Can it be one that others have come to by counting? */
  isSane(term: Term): boolean {
    return term <= this.#term + TERM_LEAP_MAX;
  }

  /** Once of each: it is in every pulse. */
  #tellInsane(from: PeerId, term: Term): ElectionEffect[] {
    if (this.#insane.has(from)) return [];
    this.#insane.add(from);
    return [{ kind: 'insane', from, term }];
  }

  #raise(claim: Coordinatorship): void {
    if (compareClaims(claim, this.#greatest) > 0) this.#greatest = claim;
  }

  /** A greater claim than the coordinator's was made: what is written under its tokens must not be older than what was written
   *  before. */
  #object(coordinator: PeerId, now: Millis): ElectionEffect[] {
    return this.#reply(coordinator, { kind: 'send', to: coordinator, message: { kind: 'promised', term: this.#term } }, now);
  }

  /** The own term cannot be, for nobody else comes near it: they ignore what is claimed so far above theirs, and the faulty one
   *  comes back to them. */
  #comeDown(term: Term): ElectionEffect[] {
    const insane = this.#term;
    this.#greatest = { term, coordinator: null };
    this.#claim = 0;
    if (this.#view !== null && this.#view.term > term + TERM_LEAP_MAX) this.#view = null;
    return [{ kind: 'insane', from: this.self, term: insane }];
  }

  #reply(peer: PeerId, effect: ElectionEffect, now: Millis): ElectionEffect[] {
    const rival = this.#rivalOf(peer, now);
    if (now - rival.repliedAt < REPLY_EVERY_MS) return [];
    rival.repliedAt = now;
    return [effect];
  }

  #follow(coordinator: PeerId, { term, heardAt, from }: { readonly term: Term; readonly heardAt: Millis; readonly from: PeerId }, reason: ElectionReason, now: Millis): ElectionEffect[] {
    const before = this.#view?.coordinator === coordinator ? this.#view.earAt : NEVER;
    this.#view = { coordinator, term, since: now, heardAt, earAt: from === coordinator ? heardAt : before };
    this.#phase = 'following';
    this.#until = Number.POSITIVE_INFINITY;
    this.#forgetVacancy();
    const effects: ElectionEffect[] = [{ kind: 'follows', coordinator, term, reason }, ...this.#speak()];
    if (compareClaims({ term, coordinator }, this.#stored) > 0) {
      this.#stored = { term, coordinator };
      effects.push({ kind: 'persist', claim: this.#stored });
    }
    return effects;
  }

  /** Of many, only those who would be next ask a coordinator that somebody doubts, or tell it of a death: all at once would fill its
   *  queue. */
  get isOneOfFew(): boolean {
    return this.#rivals.size <= SPEAKERS_MAX || this.#successors().slice(0, STARTERS).includes(this.self);
  }

  /** Of many, each beat tells enough soon enough; all at once would fill the air. */
  #speak(): ElectionEffect[] {
    return this.#rivals.size <= SPEAKERS_MAX ? [{ kind: 'speak' }] : [];
  }

  #forgetVacancy(): void {
    this.#idle.clear();
    this.#round = 0;
    this.#higherAnswered = null;
    this.#witness = null;
    this.#proven = false;
  }

  /** The coordinator says that it hears nobody. */
  #deaf(peer: PeerId, term: Term, now: Millis): ElectionEffect[] {
    this.#buried.set(peer, { term, at: now, deaf: true });
    return this.#view?.coordinator === peer ? this.#vacate('deaf', { proven: true }, now) : [];
  }

  #gone({ peer, why, now }: Extract<ElectionInput, { kind: 'gone' }>): ElectionEffect[] {
    this.#rivals.delete(peer);
    this.#insane.delete(peer);
    if (this.#rivals.size === 0 && why !== 'silent') this.#hadOthers = false;
    if (this.#view?.coordinator === peer) {
      // whom it does not hear itself may be heard by others all the same; their word is as old as it says
      if (why !== 'silent') this.#buried.set(peer, { term: this.#view.term, at: now, deaf: false });
      return this.#vacate(why, { proven: why !== 'silent' }, now);
    }
    // whom it waited for may have been this one
    if (this.#phase === 'turn' || this.#phase === 'answered') return this.#begin(now);
    return [];
  }

  #slept(now: Millis): ElectionEffect[] {
    const had = this.#view;
    if (had !== null) this.#view = null;
    this.#reason = 'slept';
    return [...(had ? [{ kind: 'follows', coordinator: null, term: 0, reason: 'slept' } as const] : []), ...this.#listen(now), this.#tick(now)];
  }

  // --- vacancies

  #listen(now: Millis): ElectionEffect[] {
    this.#forgetVacancy();
    this.#earAt = now;
    return this.#enter('listening', LISTEN_MS, now);
  }

  #enter(phase: Phase, ms: Millis, now: Millis): ElectionEffect[] {
    this.#phase = phase;
    this.#until = now + ms;
    return [{ kind: 'arm', timer: 'election', ms }];
  }

  #vacate(reason: ElectionReason, { proven }: { readonly proven: boolean }, now: Millis): ElectionEffect[] {
    const suspect = this.#view;
    this.#view = null;
    this.#forgetVacancy();
    this.#reason = reason;
    this.#proven = proven;
    const effects: ElectionEffect[] = [{ kind: 'follows', coordinator: null, term: 0, reason }, ...this.#speak()];
    if (suspect && reason === 'silent') effects.push(...this.#hint(suspect));
    return [...effects, ...this.#begin(now)];
  }

  /** Those who would be next learn of it, and ask the coordinator themselves. */
  #hint({ coordinator, term }: View): ElectionEffect[] {
    const first = this.#candidates().slice(0, STARTERS);
    if (first.includes(this.self)) return [];
    return first.map((to) => ({ kind: 'send', to, message: { kind: 'suspect', coordinator, term } }));
  }

  /** Those who would be next, whether the coordinator lives or not. */
  #successors(): PeerId[] {
    return this.#candidates().filter((peer) => peer !== this.#view?.coordinator);
  }

  /** Who may coordinate, the highest first. */
  #candidates(): PeerId[] {
    const others = [...this.#rivals.values()].filter(({ peer, lone }) => !lone && !this.#idle.has(peer));
    const all = others.map(({ peer, rank }) => ({ peer, rank }));
    if (this.#able && !this.#leaving) all.push({ peer: this.self, rank: this.rank });
    return all.sort((a, b) => -comparePriorities(a, b)).map(({ peer }) => peer);
  }

  #begin(now: Millis): ElectionEffect[] {
    const place = this.#candidates().indexOf(this.self);
    if (place === -1) return this.#enter('turn', COORDINATOR_WAIT_MS[1], now);
    // whose process is known to have ended cannot be heard by anybody; and where nobody is, nobody can object
    if (place === 0 && (this.#proven || this.#rivals.size === 0)) return this.#claimNow();
    if (place === 0) return this.#elect(this.#witnessMs, now);
    if (place < STARTERS * 2 ** this.#round) return this.#enter('turn', place * TURN_MS, now);
    return this.#enter('turn', STARTERS * TURN_MS + this.#draw(COORDINATOR_WAIT_MS) + this.#draw(BACKOFF_MS), now);
  }

  get #witnessMs(): Millis {
    return Math.max(WITNESS_LEAST_MS, this.#rivals.size + 1);
  }

  #draw([low, high]: readonly [number, number]): Millis {
    return integerBetween(this.#random, low, high);
  }

  #elect(waitMs: Millis, now: Millis): ElectionEffect[] {
    const message: ElectionMessage = { kind: 'election', rank: this.rank, term: this.#term };
    return [{ kind: 'multicast', message }, ...this.#enter('electing', waitMs, now)];
  }

  #claimNow(): ElectionEffect[] {
    this.#phase = 'claiming';
    this.#until = Number.POSITIVE_INFINITY;
    return this.#persist(this.#term + 1);
  }

  #persist(term: Term): ElectionEffect[] {
    this.#claim = term;
    return [{ kind: 'persist', claim: { term, coordinator: this.self } }];
  }

  #persisted({ claim, ok, now }: Extract<ElectionInput, { kind: 'persisted' }>): ElectionEffect[] {
    const { term } = claim;
    if (claim.coordinator !== this.self || term !== this.#claim) return [];
    if (ok) this.#stored = claim;
    if (!ok) {
      this.#able = false;
      return this.#phase === 'claiming' ? this.#begin(now) : [];
    }
    const reclaims = this.isCoordinator && term > (this.#view as View).term;
    if (this.#phase !== 'claiming' && !reclaims) return [];
    // before, nobody has heard of it, and nothing was granted under it
    this.#raise(claim);
    const reason = reclaims ? 'promised' : this.#reason;
    const deaf = !reclaims && this.#hadOthers && now - this.#earAt > FRESH_MS;
    this.#view = { coordinator: this.self, term, since: now, heardAt: now, earAt: now };
    this.#phase = 'coordinating';
    this.#until = Number.POSITIVE_INFINITY;
    this.#forgetVacancy();
    // who finds everybody silent may be the one who is deaf, and is heard by those who have a coordinator
    this.#lone ||= deaf;
    this.#said = 0;
    this.#saidFrom = now;
    return [{ kind: 'follows', coordinator: this.self, term, reason }, ...this.#say(now)];
  }

  #say(now: Millis): ElectionEffect[] {
    if (!this.isCoordinator || this.#lone) return [];
    const message: CoordinatorMessage = { kind: 'coordinator', term: (this.#view as View).term };
    this.#said += 1;
    const next = SAID_AT_MS[this.#said];
    const again: ElectionEffect[] = next === undefined ? [] : [{ kind: 'arm', timer: 'say', ms: Math.max(0, this.#saidFrom + next - now) }];
    return [{ kind: 'multicast', message }, ...again];
  }

  // --- messages

  #message(from: PeerId, message: ElectionTalk, now: Millis): ElectionEffect[] {
    switch (message.kind) {
      case 'election':
        return this.#election(from, message, now);
      case 'answer':
        if (this.#witness?.candidate === message.candidate) this.#witness = null;
        return message.candidate === this.self ? this.#answered(message.higher, now) : [];
      case 'coordinator':
        return this.#claimed(from, { term: message.term, heardAt: now, from }, now);
      case 'suspect':
        return this.#view?.coordinator === message.coordinator && this.#view.term === message.term && !this.isCoordinator ? [{ kind: 'doubt', peer: message.coordinator }] : [];
      case 'promised':
        return this.#promised(message.term, from);
    }
  }

  #election(from: PeerId, { rank, term }: ElectionMessage, now: Millis): ElectionEffect[] {
    const rival = this.#rivalOf(from, now);
    rival.rank = rank;
    if (this.isSane(term)) this.#raise({ term, coordinator: null });
    // the candidate has not heard of the coordinator lately, and hears of it now
    if (this.#view !== null && (this.isCoordinator || now - this.#view.heardAt < FRESH_MS)) return [{ kind: 'pulseTo', peer: from }];
    // silent for a while, and not yet found dead: whoever follows it holds the candidate back as long as it takes to ask
    const doubt: ElectionEffect[] = this.#view === null ? [] : [{ kind: 'doubt', peer: this.#view.coordinator }];
    const candidates = this.#successors();
    const [highest] = candidates;
    if (highest === undefined || highest === from) return doubt;
    const places = [candidates.indexOf(this.self), candidates.indexOf(from)] as const;
    if (places[0] !== -1 && places[0] < places[1]) {
      const answer: ElectionEffect = { kind: 'multicast', message: { kind: 'answer', candidate: from, higher: this.self } };
      const waits = this.#phase === 'turn' || this.#phase === 'listening';
      return waits ? [answer, ...this.#begin(now)] : [answer, ...doubt];
    }
    // a higher one is known here, and maybe not to the candidate
    if (now - (this.#rivals.get(highest)?.heardAt ?? NEVER) > this.#latelyMs) return doubt;
    this.#witness = { candidate: from, higher: highest };
    return [...doubt, { kind: 'arm', timer: 'witness', ms: Math.round(this.#random() * 0.7 * this.#witnessMs) }];
  }

  /** Those without a role beat once a second, or more rarely where they are many. */
  get #latelyMs(): Millis {
    return 1_500 + 75 * this.#rivals.size;
  }

  #answered(higher: PeerId, now: Millis): ElectionEffect[] {
    if (this.#phase !== 'electing' || this.#idle.has(higher) || higher === this.self) return [];
    this.#higherAnswered = higher;
    return this.#enter('answered', this.#draw(COORDINATOR_WAIT_MS), now);
  }

  #promised(term: Term, from: PeerId): ElectionEffect[] {
    if (!this.isCoordinator || term < (this.#view as View).term || term < this.#claim) return [];
    if (!this.isSane(term)) return this.#tellInsane(from, term);
    return this.#persist(Math.max(term, this.#term) + 1);
  }

  // --- timers

  #expired(timer: ElectionTimer, now: Millis): ElectionEffect[] {
    switch (timer) {
      case 'election':
        return now < this.#until ? [] : this.#over(now);
      case 'say':
        return this.#say(now);
      case 'witness': {
        const witness = this.#witness;
        this.#witness = null;
        if (!witness || this.isCoordinator) return [];
        return [{ kind: 'multicast', message: { kind: 'answer', ...witness } }];
      }
      case 'tick':
        return [...this.#look(now), this.#tick(now)];
    }
  }

  /** The phase has lasted as long as it may. */
  #over(now: Millis): ElectionEffect[] {
    switch (this.#phase) {
      case 'listening':
        return this.#begin(now);
      case 'turn':
        return this.#turn(now);
      case 'electing':
        return this.#claimNow();
      case 'answered':
        // it answered, and did nothing: it is passed over in this vacancy
        if (this.#higherAnswered) this.#idle.add(this.#higherAnswered);
        this.#higherAnswered = null;
        return this.#enter('turn', this.#draw(BACKOFF_MS), now);
      case 'following':
      case 'claiming':
      case 'coordinating':
        return [];
    }
  }

  #turn(now: Millis): ElectionEffect[] {
    const place = this.#candidates().indexOf(this.self);
    if (place === 0) return this.#elect(this.#witnessMs, now);
    if (place > 0 && place < STARTERS * 2 ** this.#round) return this.#elect(ANSWER_WAIT_MS, now);
    this.#round += 1;
    return this.#begin(now);
  }

  #tick(now: Millis): ElectionEffect {
    this.#tickDueAt = now + TICK_MS;
    return { kind: 'arm', timer: 'tick', ms: TICK_MS };
  }

  /** Did more time pass than a timer needs? */
  overslept(now: Millis): boolean {
    return now > this.#tickDueAt + JUMP_MS;
  }

  #look(now: Millis): ElectionEffect[] {
    const view = this.#view;
    if (view === null) return [];
    if (view.coordinator === this.self) {
      if (this.#lone || !this.#hadOthers || now - this.#earAt <= LONE_MS) return [];
      if (this.#askedAt === null) {
        this.#askedAt = now;
        return [...this.#rivals.keys()].slice(0, ASKED_MAX).map((peer) => ({ kind: 'doubt', peer }));
      }
      if (now - this.#askedAt < ASKED_MS) return [];
      this.#lone = true;
      return [{ kind: 'speak' }];
    }
    if (now - view.heardAt <= HEARSAY_MS || this.#isHeard(view.coordinator)) return [];
    return this.#vacate('silent', { proven: false }, now);
  }

  /** Was it ever heard here itself? Then membership finds out when it dies. */
  #isHeard(peer: PeerId): boolean {
    return (this.#rivals.get(peer)?.number ?? 0) > 0;
  }
}

const comparePriorities = (a: { readonly peer: PeerId; readonly rank: Rank }, b: { readonly peer: PeerId; readonly rank: Rank }): number =>
  a.rank - b.rank || (a.peer < b.peer ? -1 : a.peer > b.peer ? 1 : 0);
