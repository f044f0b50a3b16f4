// Coordination, whole: the election, what the coordinator grants, what this peer holds, and what it hears others hold, wired to each
// other. A step is whole: what one of them says to another of the same peer needs no network.
//
// Nothing here is consensus. Leases make it rare that a role is held twice; where it may not be harmful, what the holder writes
// carries its fencing token (docs/ROLES.md).
//
// A pure machine, without clock, timers, disk, sockets and chance of its own. `now` is of a clock that counts while the machine
// sleeps.
import type { DiedMessage, ElectionTalk, LeaseTalk, Pulse, ReleaseReason } from '../../lib/coordination-messages.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import type { Offer } from '../../lib/messages.ts';
import type { Random } from '../../lib/random.ts';
import type { Coordinatorship, FencingToken, Role, Term } from '../../lib/roles.ts';
import type { Millis } from '../../lib/time.ts';
import { Claims, type HeardClaim } from './claims.ts';
import { Election, type ElectionEffect, type ElectionInput, type ElectionReason, type ElectionTimer } from './election.ts';
import { FAILED_MS, type GrantEffect, Grants, type GrantTimer, type HandOverReason, type HeardPulse, type Offerer } from './grants.ts';
import { type Lease, type LeaseEffect, Leases, type LeaseTimer } from './leases.ts';

export type CoordinationTimer = ElectionTimer | GrantTimer | LeaseTimer;

/** What a pulse message is made of is asked for with `pulse`; relays are membership's. */
export type Talk = ElectionTalk | LeaseTalk | DiedMessage;

export type CoordinationInput =
  | { readonly kind: 'started'; readonly now: Millis }
  /** Of a member that is here. `offer` where it came in a whole beat. */
  | { readonly kind: 'pulse'; readonly from: PeerId; readonly bootId: BootId; readonly pulse: Pulse; readonly offer?: Offer; readonly now: Millis }
  | { readonly kind: 'message'; readonly from: PeerId; readonly message: Talk; readonly now: Millis }
  /** A member answered a question of membership's. */
  | { readonly kind: 'answered'; readonly peer: PeerId; readonly now: Millis }
  | { readonly kind: 'alive'; readonly peer: PeerId; readonly now: Millis }
  | { readonly kind: 'gone'; readonly peer: PeerId; readonly why: 'died' | 'left' | 'silent'; readonly now: Millis }
  | { readonly kind: 'persisted'; readonly claim: Coordinatorship; readonly ok: boolean; readonly now: Millis }
  /** What this machine may hold now, and how it is. */
  | { readonly kind: 'able'; readonly offer: Offer; readonly ready: boolean; readonly now: Millis }
  /** Are there living streams to other members? A coordinator that hears no datagram while there are is deaf, not alone. */
  | { readonly kind: 'linked'; readonly links: number; readonly now: Millis }
  /** The service of a role has failed for good. */
  | { readonly kind: 'failed'; readonly role: Role; readonly now: Millis }
  | { readonly kind: 'slept'; readonly now: Millis }
  /** Roles pass to others, and nothing is claimed any more. */
  | { readonly kind: 'leaving'; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: CoordinationTimer; readonly now: Millis };

/** For people. */
export type CoordinationNews =
  | { readonly kind: 'coordinator'; readonly coordinator: PeerId | null; readonly term: Term; readonly reason: ElectionReason }
  | { readonly kind: 'handOver'; readonly role: Role; readonly from: PeerId | null; readonly to: PeerId; readonly token: FencingToken; readonly why: HandOverReason }
  | { readonly kind: 'insaneTerm'; readonly peer: PeerId; readonly term: Term };

export type CoordinationEffect =
  | { readonly kind: 'arm'; readonly timer: CoordinationTimer; readonly ms: Millis }
  | { readonly kind: 'multicast'; readonly message: Talk }
  | { readonly kind: 'send'; readonly to: PeerId; readonly message: Talk }
  /** Send a pulse of now to this peer. */
  | { readonly kind: 'pulseTo'; readonly peer: PeerId; readonly asks: boolean }
  /** Send a pulse to all, in a moment. */
  | { readonly kind: 'speak' }
  /** Beat quickly, or as the others do. */
  | { readonly kind: 'pace'; readonly quick: boolean }
  | { readonly kind: 'persist'; readonly claim: Coordinatorship }
  | { readonly kind: 'doubt'; readonly peer: PeerId }
  /** Somebody hears this member, whether it is heard here or not. */
  | { readonly kind: 'vouched'; readonly peer: PeerId; readonly agoMs: Millis }
  /** The process or the machine slept: whoever hears others has missed them for that reason, and what waits in queues is old. */
  | { readonly kind: 'slept' }
  | { readonly kind: 'hold'; readonly role: Role; readonly token: FencingToken }
  | { readonly kind: 'drop'; readonly role: Role; readonly why: ReleaseReason }
  /** Something that is shown or asked is another than before. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'tell'; readonly news: CoordinationNews };

export interface CoordinationOptions {
  readonly self: PeerId;
  readonly bootId: BootId;
  readonly random: Random;
  readonly stored: Coordinatorship;
}

/** What others wait for goes out before services are started and the event log is written. */
const SENDS: ReadonlySet<CoordinationEffect['kind']> = new Set(['persist', 'multicast', 'send', 'pulseTo', 'speak', 'pace']);
const sendsFirst = (effects: readonly CoordinationEffect[]): CoordinationEffect[] => [...effects.filter(({ kind }) => SENDS.has(kind)), ...effects.filter(({ kind }) => !SENDS.has(kind))];

const NOTHING: Offer = { roles: [], load: 0, stability: 0 };
const LEASE_TIMERS: ReadonlySet<string> = new Set<LeaseTimer>(['lease', 'release']);

export class Coordination {
  readonly self: PeerId;
  readonly #bootId: BootId;
  readonly #election: Election;
  readonly #leases: Leases;
  readonly #claims = new Claims();
  readonly #offers = new Map<PeerId, Offerer>();
  readonly #pulses = new Map<PeerId, HeardPulse>();
  readonly #failedAt = new Map<Role, Millis>();
  #grants: Grants | null = null;
  #offer: Offer = NOTHING;
  #number = 0;
  #links = 0;
  #quick = false;
  #leaving = false;

  constructor({ self, bootId, random, stored }: CoordinationOptions) {
    this.self = self;
    this.#bootId = bootId;
    this.#election = new Election({ self, random, stored });
    this.#leases = new Leases(self);
    this.#offers.set(self, { ...NOTHING, ready: false });
  }

  // --- what others see of it

  get coordinator(): PeerId | null {
    return this.#election.coordinator;
  }

  get term(): Term {
    return this.#election.term;
  }

  get isCoordinator(): boolean {
    return this.#election.isCoordinator;
  }

  get isLone(): boolean {
    return this.#election.isLone;
  }

  /** It hears nobody, and is not alone: others have a coordinator by now, and other holders. */
  get isDeaf(): boolean {
    return this.isLone && this.#links > 0;
  }

  get phase(): Election['phase'] {
    return this.#election.phase;
  }

  get held(): ReadonlyMap<Role, Lease> {
    return this.#leases.held;
  }

  /** Does a lease of this role run now? To be asked before each thing that only its holder may do. */
  holds(role: Role, now: Millis): boolean {
    return this.#leases.holds(role, now);
  }

  /** Whom it follows, and for how long nobody has been heard to hear that one. */
  view(now: Millis): { readonly coordinator: PeerId | null; readonly term: Term; readonly silenceMs: Millis } {
    return { coordinator: this.coordinator, term: this.term, silenceMs: this.#election.silenceMs(now) };
  }

  /** Who holds it, as far as is known here, among those of whom `counts` says so. */
  holder(role: Role, counts: (peer: PeerId) => boolean = () => true): HeardClaim | undefined {
    return this.#claims.holder(role, counts);
  }

  /** May anybody who is here hold it? */
  hasCandidate(role: Role): boolean {
    return this.#offer.roles.includes(role) || this.hasSuccessor(role);
  }

  /** May somebody else who is here hold it? */
  hasSuccessor(role: Role): boolean {
    return [...this.#offers].some(([peer, { roles }]) => peer !== this.self && roles.includes(role));
  }

  get offer(): Offer {
    return this.#offer;
  }

  /** The pulse that goes out now; leases are counted from it. */
  pulse(now: Millis, { asks = false }: { readonly asks?: boolean } = {}): Pulse {
    const { coordinator, term, rank, isLone } = this.#election;
    this.#number += 1;
    const pulse: Pulse = {
      number: this.#number,
      coordinator,
      term,
      ageMs: this.#election.ageMs(now),
      rank,
      lone: isLone,
      asks,
      claims: this.#leases.claims(coordinator, term, now),
      renewals: this.#grants?.renewals('others', now) ?? [],
    };
    this.#leases.sent(this.#number, now);
    this.#pulses.set(this.self, { bootId: this.#bootId, pulse, heardAt: now });
    this.#claims.hear(this.self, pulse, now);
    return pulse;
  }

  // --- inputs

  step(input: CoordinationInput): CoordinationEffect[] {
    const { now } = input;
    const slept = input.kind !== 'slept' && input.kind !== 'started' && this.#election.overslept(now);
    // a lease that ran out while its timer was late is not held for the moment that the timer takes
    const ended = slept ? this.#slept(now) : this.#lease(this.#leases.check(this.coordinator, now), now);
    return [...ended, ...sendsFirst([...this.#take(input), ...this.#repace()])];
  }

  #take(input: CoordinationInput): CoordinationEffect[] {
    const { now } = input;
    switch (input.kind) {
      case 'started':
      case 'persisted':
      case 'answered':
      case 'alive':
        return this.#elect(input, now);
      case 'pulse':
        return this.#pulse(input);
      case 'message':
        return this.#message(input.from, input.message, now);
      case 'gone':
        return this.#gone(input);
      case 'able':
        return this.#able(input);
      case 'linked':
        this.#links = input.links;
        return [];
      case 'failed':
        this.#failedAt.set(input.role, now);
        return this.#lease(this.#leases.drop(input.role, 'failed', this.coordinator, now), now);
      case 'slept':
        return this.#slept(now);
      case 'leaving':
        return this.#leave(now);
      case 'expired':
        return this.#expired(input.timer, now);
    }
  }

  #pulse({ from, bootId, pulse, offer, now }: Extract<CoordinationInput, { kind: 'pulse' }>): CoordinationEffect[] {
    const before = this.#pulses.get(from);
    const isLate = before?.bootId === bootId && pulse.number <= before.pulse.number;
    const effects: CoordinationEffect[] = [];
    // whom it names it has heard, or heard of
    const { coordinator } = pulse;
    if (coordinator !== null && coordinator !== from && coordinator !== this.self && !this.#isBehind(pulse)) {
      effects.push({ kind: 'vouched', peer: coordinator, agoMs: pulse.ageMs });
    }
    if (isLate) return effects;
    if (before !== undefined && before.bootId !== bootId && this.#claims.ended(from, 'died')) effects.push({ kind: 'changed' });
    this.#pulses.set(from, { bootId, pulse, heardAt: now });
    const known = this.#offers.get(from);
    if (offer || known) this.#offers.set(from, { ...(offer ?? (known as Offerer)), ready: pulse.rank > 0 });
    effects.push(...this.#elect({ kind: 'pulse', from, bootId, pulse, now }, now));
    // what is claimed under a term that cannot be would be greater than everything: it counts as nothing
    if (this.#claims.hear(from, this.#election.isSane(pulse.term) ? pulse : { ...pulse, claims: [] }, now)) effects.push({ kind: 'changed' });
    if (this.coordinator === from && pulse.coordinator === from && pulse.term === this.term && !pulse.lone) effects.push(...this.#lease(this.#leases.renewed(from, pulse.term, pulse.renewals, now), now));
    // what others hold under a coordinator that does not count here is no business of this peer's
    if (coordinator !== null && coordinator === this.coordinator && pulse.term === this.term) {
      for (const { role, number } of pulse.claims) {
        if (number > 0) effects.push(...this.#lease(this.#leases.contested(role, { term: pulse.term, coordinator, number }, coordinator, now), now));
      }
    }
    if (this.#grants) effects.push(...this.#grant(this.#grants.heard(from, now), now));
    if (pulse.asks && this.isCoordinator) effects.push({ kind: 'pulseTo', peer: from, asks: false });
    return effects;
  }

  /** Of a coordinator that has been replaced its followers say nothing new. */
  #isBehind({ term }: Pulse): boolean {
    return term < this.term;
  }

  #message(from: PeerId, message: Talk, now: Millis): CoordinationEffect[] {
    switch (message.kind) {
      case 'grant': {
        // it is the coordinator's word, whether its COORDINATOR was lost or not
        const effects = from === this.self ? [] : this.#elect({ kind: 'message', from, message: { kind: 'coordinator', term: message.term }, now }, now);
        // it was for the process before, whose beats had the same numbers
        if (message.boot !== this.#bootId) return effects;
        if (this.coordinator !== from || this.term !== message.term) return effects;
        const why = this.#refusal(message.role, now);
        if (why !== null) return [...effects, ...this.#send(from, { kind: 'release', role: message.role, term: message.term, number: message.number, why }, now)];
        return [...effects, ...this.#lease(this.#leases.granted(from, message, now), now)];
      }
      case 'revoke':
        return this.#lease(this.#leases.revoked(from, message.role, message.term, now), now);
      case 'release':
        return this.#grants ? this.#grant(this.#grants.released(from, message, now), now) : [];
      case 'died':
        return this.isCoordinator && this.#pulses.get(message.peer)?.bootId === message.boot ? [{ kind: 'doubt', peer: message.peer }] : [];
      default:
        return this.#elect({ kind: 'message', from, message, now }, now);
    }
  }

  /** Why it does not hold this role. That its service failed is remembered here too: a pulse without the role may overtake the word
   *  that says why, and a new coordinator has never heard it. */
  #refusal(role: Role, now: Millis): ReleaseReason | null {
    if (now - (this.#failedAt.get(role) ?? Number.NEGATIVE_INFINITY) < FAILED_MS) return 'failed';
    return this.#offer.roles.includes(role) ? null : 'unable';
  }

  #gone({ peer, why, now }: Extract<CoordinationInput, { kind: 'gone' }>): CoordinationEffect[] {
    const bootId = this.#pulses.get(peer)?.bootId;
    this.#pulses.delete(peer);
    this.#offers.delete(peer);
    const held = why !== 'silent' && this.#claims.ended(peer, why);
    const effects = this.#elect({ kind: 'gone', peer, why, now }, now);
    if (this.#grants) effects.push(...this.#grant(this.#grants.gone(peer, why, now), now));
    else if (why === 'died' && held && bootId !== undefined && this.coordinator !== null && this.#election.isOneOfFew) effects.push({ kind: 'send', to: this.coordinator, message: { kind: 'died', peer, boot: bootId } });
    return held ? [...effects, { kind: 'changed' }] : effects;
  }

  #able({ offer, ready, now }: Extract<CoordinationInput, { kind: 'able' }>): CoordinationEffect[] {
    if (this.#leaving) return [];
    this.#offer = offer;
    this.#offers.set(this.self, { ...offer, ready });
    const effects = this.#elect({ kind: 'ready', ready, now }, now);
    for (const role of [...this.#leases.held.keys()]) {
      if (!offer.roles.includes(role)) effects.push(...this.#lease(this.#leases.drop(role, 'unable', this.coordinator, now), now));
    }
    if (this.#grants) effects.push(...this.#grant(this.#grants.offered(now), now));
    return effects;
  }

  #slept(now: Millis): CoordinationEffect[] {
    return [{ kind: 'slept' }, ...this.#lease(this.#leases.dropAll('expired', null, now), now), ...this.#elect({ kind: 'slept', now }, now)];
  }

  #leave(now: Millis): CoordinationEffect[] {
    this.#leaving = true;
    this.#offer = NOTHING;
    this.#offers.set(this.self, { ...NOTHING, ready: false });
    return [...this.#elect({ kind: 'leaving', now }, now), ...this.#lease(this.#leases.dropAll('leaving', this.coordinator, now), now)];
  }

  #expired(timer: CoordinationTimer, now: Millis): CoordinationEffect[] {
    if (timer === 'grants') {
      if (!this.#grants) return [];
      return [...this.#selfRenewal(now), ...this.#grant(this.#grants.expired(now), now)];
    }
    if (LEASE_TIMERS.has(timer)) return this.#lease(this.#leases.expired(timer as LeaseTimer, this.coordinator, now), now);
    return this.#elect({ kind: 'expired', timer: timer as ElectionTimer, now }, now);
  }

  /** What the coordinator holds itself it renews as it does for others: by what its latest pulse was answered with. */
  #selfRenewal(now: Millis): CoordinationEffect[] {
    if (!this.#grants || this.#leases.held.size === 0) return [];
    if (this.isDeaf) return this.#lease(this.#leases.dropAll('expired', this.self, now), now);
    const effects = this.#grant(this.#grants.heard(this.self, now), now);
    return [...effects, ...this.#lease(this.#leases.renewed(this.self, this.term, this.#grants.renewals('own', now), now), now)];
  }

  // --- effects of the parts

  #elect(input: ElectionInput, now: Millis): CoordinationEffect[] {
    return this.#election.step(input).flatMap((effect) => this.#fromElection(effect, now));
  }

  #fromElection(effect: ElectionEffect, now: Millis): CoordinationEffect[] {
    switch (effect.kind) {
      case 'follows': {
        const { coordinator, term, reason } = effect;
        const told: CoordinationEffect[] = [{ kind: 'changed' }, { kind: 'tell', news: { kind: 'coordinator', coordinator, term, reason } }];
        if (coordinator !== this.self) {
          this.#grants = null;
          // a new coordinator adopts those whom it hears
          return this.#leases.held.size > 0 ? [...told, { kind: 'speak' }] : told;
        }
        this.#grants = new Grants({ self: this.self, term, claims: this.#claims, offers: this.#offers, pulses: this.#pulses, isDeaf: () => this.isDeaf, now });
        // its own claims count, and it can grant to itself
        this.pulse(now);
        return [...told, ...this.#grant(this.#grants.start(now), now)];
      }
      case 'pulseTo':
        return [{ ...effect, asks: false }];
      case 'insane':
        return [...(effect.from === this.self ? this.#lease(this.#leases.forget(now), now) : []), { kind: 'tell', news: { kind: 'insaneTerm', peer: effect.from, term: effect.term } }];
      default:
        return [effect];
    }
  }

  #lease(effects: readonly LeaseEffect[], now: Millis): CoordinationEffect[] {
    return effects.flatMap((effect): CoordinationEffect[] => {
      switch (effect.kind) {
        case 'send':
          return this.#send(effect.to, effect.message, now);
        case 'ask':
          return [{ kind: 'pulseTo', peer: effect.coordinator, asks: true }];
        case 'hold':
        case 'drop':
          return [effect, { kind: 'changed' }];
        default:
          return [effect];
      }
    });
  }

  #grant(effects: readonly GrantEffect[], now: Millis): CoordinationEffect[] {
    return effects.flatMap((effect): CoordinationEffect[] => {
      switch (effect.kind) {
        case 'send':
          return this.#send(effect.to, effect.message, now);
        case 'granted': {
          const { role, from, to, why, number } = effect;
          return [{ kind: 'tell', news: { kind: 'handOver', role, from, to, why, token: { term: this.term, coordinator: this.self, number } } }];
        }
        default:
          return [effect];
      }
    });
  }

  /** To itself without a network. */
  #send(to: PeerId, message: Talk, now: Millis): CoordinationEffect[] {
    return to === this.self ? this.#message(this.self, message, now) : [{ kind: 'send', to, message }];
  }

  #repace(): CoordinationEffect[] {
    const quick = this.isCoordinator || this.#leases.held.size > 0;
    if (quick === this.#quick) return [];
    this.#quick = quick;
    return [{ kind: 'pace', quick }];
  }
}
