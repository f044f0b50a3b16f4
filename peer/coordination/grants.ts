// The coordinator's side of roles: to whom each is granted, and when it may be granted to another. It keeps no record that outlives
// it: a new coordinator finds the holders by their claims, and adopts those that live, so that a takeover moves no role.
//
// Invariant: a role is granted to another only after its holder has said that it let go, or its process is known to have ended, or
// its lease has run out by the clock of whoever heard the beat that it was counted from, and CLOCKS_APART_MS more.
//
// A pure machine. `now` is of a clock that counts while the machine sleeps.
import type { GrantMessage, LeaseTalk, Pulse, ReleaseMessage, ReleaseReason, Renewal, RevokeMessage } from '../../lib/coordination-messages.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import { ROLES, type Role, type Term } from '../../lib/roles.ts';
import type { Millis } from '../../lib/time.ts';
import { type Candidate, chooseHandOver, chooseHolder } from './assignment.ts';
import type { Claims } from './claims.ts';
import { LEASE_MS } from './leases.ts';

/** Clocks of two machines run at different speeds: 300 ms in 1.5 s is a thousand times what any does. */
const CLOCKS_APART_MS: Millis = 300;
/** A grant is said again until its holder claims it. */
const GRANT_EVERY_MS: Millis = 100;
/** A holder whose claim is not heard for so long is asked to let go, and another gets the role. */
const UNCONFIRMED_MS: Millis = 4_000;
const BARRED_MS: Millis = 30_000;
/** A machine on which a service failed three times is not tried again soon. */
export const FAILED_MS: Millis = 600_000;
/** Between two planned hand-overs; and that long after a takeover, while everybody is still coming. */
const HAND_OVER_EVERY_MS: Millis = 600_000;
const SETTLED_MS: Millis = 60_000;
const TICK_MS: Millis = 100;

export type HandOverReason = 'first' | 'died' | 'left' | 'silent' | 'unheard' | 'balance' | ReleaseReason;

export type GrantTimer = 'grants';

export type GrantEffect =
  | { readonly kind: 'arm'; readonly timer: GrantTimer; readonly ms: Millis }
  | { readonly kind: 'send'; readonly to: PeerId; readonly message: Exclude<LeaseTalk, ReleaseMessage> }
  /** A role has another holder than before. */
  | { readonly kind: 'granted'; readonly role: Role; readonly from: PeerId | null; readonly to: PeerId; readonly number: number; readonly why: HandOverReason };

/** What the coordinator knows of a peer that may hold roles, itself included. */
export interface Offerer {
  readonly roles: readonly Role[];
  /** Without the roles that it holds. */
  readonly load: number;
  readonly stability: number;
  readonly ready: boolean;
}

/** The latest pulse of a peer, the own ones included. */
export interface HeardPulse {
  readonly bootId: BootId;
  readonly pulse: Pulse;
  readonly heardAt: Millis;
}

interface Slot {
  readonly holder: PeerId;
  readonly number: number;
  readonly bootId: BootId;
  saidAt: Millis;
  /** When a pulse claimed it, or it was granted. */
  confirmedAt: Millis;
  claimed: boolean;
  /** Its lease ends then at the latest. */
  heldUntil: Millis;
}

interface Vacancy {
  /** Since when nobody can hold it. */
  readonly freeAt: Millis;
  readonly former: PeerId | null;
  /** The former holder's grant; 0 if it was an earlier coordinator's. */
  readonly number: number;
  readonly why: HandOverReason;
  /** Who gets it, in a planned hand-over. */
  readonly next: PeerId | null;
}

interface Bar {
  readonly until: Millis;
  /** What it said of itself ends with its process: who has left and come back may hold what it held. */
  readonly ofProcess: boolean;
}

export class Grants {
  readonly self: PeerId;
  readonly term: Term;
  readonly #claims: Claims;
  readonly #offers: ReadonlyMap<PeerId, Offerer>;
  readonly #pulses: ReadonlyMap<PeerId, HeardPulse>;
  readonly #isDeaf: () => boolean;
  readonly #slots = new Map<Role, Slot>();
  readonly #vacancies = new Map<Role, Vacancy>();
  /** Until when a peer does not get a role. */
  readonly #barred = new Map<string, Bar>();
  readonly #since: Millis;
  #handedOverAt: Millis;
  #number = 0;

  constructor(options: {
    readonly self: PeerId;
    readonly term: Term;
    readonly claims: Claims;
    /** Of members that are here, and itself. */
    readonly offers: ReadonlyMap<PeerId, Offerer>;
    readonly pulses: ReadonlyMap<PeerId, HeardPulse>;
    /** Does this coordinator hear nobody, though others are there? */
    readonly isDeaf?: () => boolean;
    readonly now: Millis;
  }) {
    this.self = options.self;
    this.term = options.term;
    this.#claims = options.claims;
    this.#offers = options.offers;
    this.#pulses = options.pulses;
    this.#isDeaf = options.isDeaf ?? (() => false);
    this.#since = options.now;
    this.#handedOverAt = options.now;
    for (const role of ROLES) this.#vacancies.set(role, this.#inherited(role, options.now));
  }

  /** What the coordinator before may have granted. */
  #inherited(role: Role, now: Millis): Vacancy {
    const latest = Math.max(...this.#claims.of(role).map(({ heardAt }) => heardAt));
    const freeAt = latest + LEASE_MS + CLOCKS_APART_MS;
    const former = this.#claims.former(role);
    // one that fell silent long ago is still among the claimants, for nobody knows that it ended; others have held the role since
    const claimant = freeAt > now || former === undefined ? this.#claims.holder(role)?.peer : undefined;
    if (claimant !== undefined) return { freeAt, former: claimant, number: 0, why: 'silent', next: null };
    // whose lease ran out when its coordinator fell silent has the role again, rather than that it moves
    const next = former?.why === 'expired' ? former.peer : null;
    return { freeAt: now, former: former?.peer ?? null, number: 0, why: former?.why ?? 'first', next };
  }

  get holders(): ReadonlyMap<Role, PeerId> {
    return new Map([...this.#slots].map(([role, { holder }]) => [role, holder]));
  }

  start(now: Millis): GrantEffect[] {
    return [...this.#adoptOwn(now), ...this.#plan(now), this.#tick()];
  }

  /** Of what the coordinator granted to itself, or for its pulse: of what others hold. */
  renewals(whose: 'own' | 'others', now: Millis): Renewal[] {
    const renewals: Renewal[] = [];
    for (const { holder, number, bootId, claimed, confirmedAt } of this.#slots.values()) {
      if ((holder === this.self) !== (whose === 'own')) continue;
      const heard = this.#pulses.get(holder);
      if (claimed && heard?.bootId === bootId && this.#follows(heard.pulse) && now - confirmedAt < LEASE_MS) renewals.push({ number, echo: heard.pulse.number });
    }
    return renewals;
  }

  /** A pulse came, or an own one is on its way. `pulses` holds it already. */
  heard(from: PeerId, now: Millis): GrantEffect[] {
    const { pulse, bootId } = this.#pulses.get(from) as HeardPulse;
    return [...ROLES.flatMap((role) => this.#heardOf(role, { from, bootId, pulse }, now)), ...this.#plan(now)];
  }

  #follows({ coordinator, term }: Pulse): boolean {
    return coordinator === this.self && term === this.term;
  }

  #heardOf(role: Role, { from, bootId, pulse }: { readonly from: PeerId; readonly bootId: BootId; readonly pulse: Pulse }, now: Millis): GrantEffect[] {
    const claim = pulse.claims.find((one) => one.role === role);
    const slot = this.#slots.get(role);
    const follows = this.#follows(pulse);
    if (slot?.holder === from) {
      if (slot.bootId !== bootId) this.#vacate(role, { freeAt: now, why: 'died' });
      else if (claim && follows && claim.number === slot.number) {
        slot.claimed = true;
        slot.confirmedAt = now;
        slot.heldUntil = now + LEASE_MS;
        // it has let go, and its word for it was lost
      } else if (!claim && slot.claimed && follows) this.#vacate(role, { freeAt: now, why: 'expired' });
      // of what the grant echoed nothing is left
      else if (!slot.claimed && follows && pulse.asks) return this.#say(role, slot, now);
      return [];
    }
    if (!claim) {
      // what an earlier coordinator granted it, it has let go of; it takes no grant of that one's any more
      const vacancy = this.#vacancies.get(role);
      if (follows && vacancy?.former === from && vacancy.number === 0 && vacancy.freeAt > now) this.#free(role, { why: 'expired', next: from }, now);
      return [];
    }
    // granted by nobody that this coordinator has to mind: the first one that is heard keeps it
    if (!slot && follows && claim.number === 0 && this.#mayKeep(role, from, now)) return this.#adopt(role, from, now);
    if (follows) return [this.#revoke(role, from)];
    this.#await(role, from, now);
    return [];
  }

  /** Its holder lives, and follows nobody or somebody else: it may just not have heard of this coordinator. */
  #await(role: Role, from: PeerId, now: Millis): void {
    const vacancy = this.#vacancies.get(role);
    if (!vacancy || vacancy.next !== null || now - this.#since > UNCONFIRMED_MS) return;
    this.#vacancies.set(role, { ...vacancy, former: from, why: 'silent', freeAt: Math.max(vacancy.freeAt, now + LEASE_MS + CLOCKS_APART_MS) });
  }

  /** Until when somebody else may hold it, under a coordinator before: each side of a cut had its own holder. Grants of this one are
   *  known without. */
  #othersUntil(role: Role, but: PeerId | null): Millis {
    const others = this.#claims.of(role).filter(({ peer, token }) => peer !== but && !(token?.coordinator === this.self && token.term === this.term));
    return Math.max(...others.map(({ heardAt }) => heardAt + LEASE_MS + CLOCKS_APART_MS));
  }

  #revoke(role: Role, from: PeerId): GrantEffect {
    return { kind: 'send', to: from, message: { kind: 'revoke', role, term: this.term } satisfies RevokeMessage };
  }

  released(from: PeerId, { role, term, number, why }: ReleaseMessage, now: Millis): GrantEffect[] {
    const slot = this.#slots.get(role);
    const vacancy = this.#vacancies.get(role);
    // of a grant that came later it may not have heard yet, and take it up
    const released = term === this.term ? number : 0;
    if (slot?.holder === from && slot.number === released) {
      this.#bar(role, from, why, now);
      this.#vacate(role, { freeAt: now, why });
    } else if (vacancy?.former === from && vacancy.number === released && vacancy.freeAt > now) {
      this.#bar(role, from, why, now);
      this.#free(role, { why }, now);
    }
    return this.#plan(now);
  }

  #bar(role: Role, peer: PeerId, why: ReleaseReason, now: Millis): void {
    if (why === 'failed') this.#barred.set(`${role}/${peer}`, { until: now + FAILED_MS, ofProcess: false });
    if (why === 'leaving' || why === 'unable') this.#barred.set(`${role}/${peer}`, { until: now + BARRED_MS, ofProcess: true });
  }

  gone(peer: PeerId, why: 'died' | 'left' | 'silent', now: Millis): GrantEffect[] {
    const proven = why !== 'silent';
    for (const role of proven ? ROLES : []) if (this.#barred.get(`${role}/${peer}`)?.ofProcess) this.#barred.delete(`${role}/${peer}`);
    for (const [role, slot] of [...this.#slots]) {
      if (slot.holder === peer) this.#vacate(role, { freeAt: proven ? now : slot.heldUntil + CLOCKS_APART_MS, why });
    }
    for (const [role, vacancy] of this.#vacancies) {
      if (vacancy.former === peer && proven) this.#free(role, { why }, now);
    }
    return this.#plan(now);
  }

  /** What may be held by whom has changed. */
  offered(now: Millis): GrantEffect[] {
    return this.#plan(now);
  }

  expired(now: Millis): GrantEffect[] {
    const effects: GrantEffect[] = [];
    for (const [role, slot] of [...this.#slots]) {
      if (now - slot.confirmedAt > UNCONFIRMED_MS) {
        // who does not confirm one role confirms no other
        for (const every of ROLES) this.#barred.set(`${every}/${slot.holder}`, { until: now + BARRED_MS, ofProcess: false });
        effects.push(this.#revoke(role, slot.holder));
        this.#vacate(role, { freeAt: Math.max(slot.heldUntil, now) + CLOCKS_APART_MS, why: 'unheard' });
      } else if (!this.#offers.get(slot.holder)?.roles.includes(role) && this.#offers.has(slot.holder)) {
        effects.push(this.#revoke(role, slot.holder));
      } else if (!slot.claimed && now - slot.saidAt >= GRANT_EVERY_MS) effects.push(...this.#say(role, slot, now));
    }
    return [...effects, ...this.#balance(now), ...this.#plan(now), this.#tick()];
  }

  /** Somebody has much and somebody little: one role passes. */
  #balance(now: Millis): GrantEffect[] {
    if (now - this.#since < SETTLED_MS || now - this.#handedOverAt < HAND_OVER_EVERY_MS) return [];
    const handOver = chooseHandOver(this.holders, this.#candidates());
    if (!handOver) return [];
    const { role, from, to } = handOver;
    this.#handedOverAt = now;
    const slot = this.#slots.get(role) as Slot;
    this.#slots.delete(role);
    this.#vacancies.set(role, { freeAt: slot.heldUntil + CLOCKS_APART_MS, former: from, number: slot.number, why: 'balance', next: to });
    return [this.#revoke(role, from)];
  }

  #vacate(role: Role, { freeAt, why }: Pick<Vacancy, 'freeAt' | 'why'>): void {
    const { holder: former, number } = this.#slots.get(role) as Slot;
    this.#slots.delete(role);
    this.#vacancies.set(role, { freeAt, former, number, why, next: null });
  }

  /** Who had it last has let go of it, or is gone. */
  #free(role: Role, change: Pick<Vacancy, 'why'> & Partial<Pick<Vacancy, 'next'>>, now: Millis): void {
    const vacancy = this.#vacancies.get(role) as Vacancy;
    this.#vacancies.set(role, { ...vacancy, ...change, freeAt: Math.min(vacancy.freeAt, now) });
  }

  #mayHold(role: Role, peer: PeerId, now: Millis): boolean {
    return this.#offers.has(peer) && this.#mayKeep(role, peer, now);
  }

  /** Who holds it may hold it, as far as is known: pulses are heard sooner than the beats that say so. */
  #mayKeep(role: Role, peer: PeerId, now: Millis): boolean {
    return (this.#offers.get(peer)?.roles.includes(role) ?? true) && (this.#barred.get(`${role}/${peer}`)?.until ?? now) <= now;
  }

  /** Can it hear of a grant? Who says that it hears nobody cannot. */
  #hears(peer: PeerId): boolean {
    const heard = this.#pulses.get(peer);
    return heard !== undefined && (peer === this.self || !heard.pulse.lone);
  }

  /** Grants what is free; of one that is deaf nothing, for others have a coordinator by now. */
  #plan(now: Millis): GrantEffect[] {
    if (this.#isDeaf()) return [];
    const effects: GrantEffect[] = [];
    for (const [role, { freeAt, next, former, why }] of [...this.#vacancies]) {
      if (Math.max(freeAt, this.#othersUntil(role, former)) > now) continue;
      const candidates = this.#candidates().filter(({ peer }) => this.#mayHold(role, peer, now) && this.#hears(peer));
      // one whose lease ran out while this coordinator lived may not hear it: anybody else first
      const others = why === 'expired' ? candidates.filter(({ peer }) => peer !== former) : candidates;
      const holder = candidates.some(({ peer }) => peer === next) ? next : (chooseHolder(role, others) ?? chooseHolder(role, candidates));
      if (holder !== null) effects.push(...this.#grant(role, holder, now));
    }
    return effects;
  }

  #candidates(): Candidate[] {
    const held = [...this.#slots.values()].map(({ holder }) => holder);
    return [...this.#offers].map(([peer, { roles, load, stability, ready }]) => ({
      peer,
      roles,
      stability,
      ready,
      load: load + held.filter((holder) => holder === peer).length + (peer === this.self ? 1 : 0),
    }));
  }

  #grant(role: Role, holder: PeerId, now: Millis): GrantEffect[] {
    const vacancy = this.#vacancies.get(role) as Vacancy;
    const slot = this.#put(role, holder, now);
    return [{ kind: 'granted', role, from: vacancy.former, to: holder, number: slot.number, why: vacancy.why }, ...this.#say(role, slot, now)];
  }

  #adoptOwn(now: Millis): GrantEffect[] {
    return ROLES.filter((role) => this.#claims.holder(role)?.peer === this.self && this.#mayHold(role, this.self, now)).flatMap((role) =>
      this.#adopt(role, this.self, now),
    );
  }

  #adopt(role: Role, holder: PeerId, now: Millis): GrantEffect[] {
    return this.#say(role, this.#put(role, holder, now), now);
  }

  #put(role: Role, holder: PeerId, now: Millis): Slot {
    const { bootId } = this.#pulses.get(holder) as HeardPulse;
    this.#number += 1;
    this.#vacancies.delete(role);
    const slot: Slot = { holder, number: this.#number, bootId, saidAt: Number.NEGATIVE_INFINITY, confirmedAt: now, claimed: false, heldUntil: now };
    this.#slots.set(role, slot);
    return slot;
  }

  #say(role: Role, slot: Slot, now: Millis): GrantEffect[] {
    const heard = this.#pulses.get(slot.holder);
    if (!heard) return [];
    slot.saidAt = now;
    // counted from when that pulse was sent, which was no later than when it was heard
    slot.heldUntil = Math.max(slot.heldUntil, heard.heardAt + LEASE_MS);
    return [{ kind: 'send', to: slot.holder, message: { kind: 'grant', role, term: this.term, number: slot.number, boot: heard.bootId, echo: heard.pulse.number } satisfies GrantMessage }];
  }

  #tick(): GrantEffect {
    return { kind: 'arm', timer: 'grants', ms: TICK_MS };
  }
}
