// What this peer holds. A lease runs from when the beat was sent that the coordinator echoes: however long the answer was on its
// way, the coordinator, which counts from when it heard that beat, never believes that a lease has ended before its holder does
// (Gray and Cheriton, "Leases", SOSP 1989). Leases make it rare that two act at once; that it does no harm is the fencing tokens'.
//
// Invariant: of the grants of one coordinator in one term, at most one per role is live at any moment, on all peers together.
//
// A pure machine. `now` is of a clock that counts while the machine sleeps (lib/awake.ts).
import type { Claim, GrantMessage, ReleaseMessage, ReleaseReason, Renewal } from '../../lib/coordination-messages.ts';
import type { PeerId } from '../../lib/ids.ts';
import { compareTokens, type FencingToken, type Role, type Term } from '../../lib/roles.ts';
import type { Millis } from '../../lib/time.ts';

export const LEASE_MS: Millis = 1_500;
/** With less left than this, every ASK_EVERY_MS it is asked for a renewal. */
const ASK_BELOW_MS: Millis = 900;
const ASK_EVERY_MS: Millis = 100;
/** With less left than this a grant is not taken up but asked for anew: a renewal or two may be lost, and a role that is let go moves. */
const TAKE_UP_MS: Millis = 500;
/** A release is said so often: one that is lost costs its role seconds. */
const RELEASES_MS: readonly Millis[] = [0, 60, 200];
/** Pulses whose times are remembered: those of a lease's time, which are many while a peer answers 200 that have just come. */
const SENT_KEPT = 1_024;

export type LeaseTimer = 'lease' | 'release';

export type LeaseEffect =
  | { readonly kind: 'arm'; readonly timer: LeaseTimer; readonly ms: Millis }
  | { readonly kind: 'send'; readonly to: PeerId; readonly message: ReleaseMessage }
  | { readonly kind: 'speak' }
  /** Ask the coordinator by a pulse of its own for renewals. */
  | { readonly kind: 'ask'; readonly coordinator: PeerId }
  /** The role is this peer's now; a service that runs already is told of its new token. */
  | { readonly kind: 'hold'; readonly role: Role; readonly token: FencingToken }
  | { readonly kind: 'drop'; readonly role: Role; readonly why: ReleaseReason };

export interface Lease {
  readonly token: FencingToken;
  readonly until: Millis;
  /** Of the role, over all its tokens. */
  readonly since: Millis;
}

interface Release {
  readonly to: PeerId;
  readonly message: ReleaseMessage;
  said: number;
  readonly from: Millis;
}

export class Leases {
  readonly self: PeerId;
  readonly #held = new Map<Role, Lease>();
  /** The greatest token of each role that was held and is not any more: a grant that was overtaken by its own end does not count. */
  readonly #former = new Map<Role, FencingToken>();
  readonly #sent = new Map<number, Millis>();
  #releases: Release[] = [];
  #askedAt: Millis = Number.NEGATIVE_INFINITY;
  #armedFor: Millis = Number.POSITIVE_INFINITY;

  constructor(self: PeerId) {
    this.self = self;
  }

  get held(): ReadonlyMap<Role, Lease> {
    return this.#held;
  }

  /** Does a lease of this role run now? To be asked before each thing that only its holder may do. */
  holds(role: Role, now: Millis): boolean {
    return (this.#held.get(role)?.until ?? Number.NEGATIVE_INFINITY) > now;
  }

  /** As pulses say it. */
  claims(coordinator: PeerId | null, term: Term, now: Millis): Claim[] {
    return [...this.#held]
      .filter(([role]) => this.holds(role, now))
      .map(([role, { token }]) => ({ role, number: token.coordinator === coordinator && token.term === term ? token.number : 0 }));
  }

  /** A pulse goes out. The leases that a coordinator gives itself go on with it. */
  sent(number: number, now: Millis): void {
    this.#sent.set(number, now);
    for (const [old, at] of this.#sent) {
      if (at + LEASE_MS > now && this.#sent.size <= SENT_KEPT) break;
      this.#sent.delete(old);
    }
  }

  granted(from: PeerId, { role, term, number, echo }: GrantMessage, now: Millis): LeaseEffect[] {
    const token = { term, coordinator: from, number };
    const held = this.#held.get(role);
    const former = this.#former.get(role);
    if ((held && compareTokens(token, held.token) < 0) || (former && compareTokens(token, former) <= 0)) return [];
    const until = (this.#sent.get(echo) ?? Number.NEGATIVE_INFINITY) + LEASE_MS;
    const renews = held !== undefined && compareTokens(token, held.token) === 0;
    // it beats more rarely than a lease lasts, and its latest beats may be lost: what asks is answered by a grant that echoes it
    if (!renews && until - now < TAKE_UP_MS) return this.#ask(from, now);
    this.#held.set(role, { token, until: Math.max(until, renews ? held.until : until), since: held?.since ?? now });
    // said again: its coordinator has not heard the claim
    if (renews) return [...this.#ask(from, now), ...this.#watch(now)];
    return [{ kind: 'hold', role, token }, { kind: 'speak' }, ...this.#watch(now)];
  }

  /** The coordinator's pulse came. */
  renewed(from: PeerId, term: Term, renewals: readonly Renewal[], now: Millis): LeaseEffect[] {
    for (const { number, echo } of renewals) {
      const sentAt = this.#sent.get(echo);
      if (sentAt === undefined) continue;
      for (const [role, lease] of this.#held) {
        const { token, until } = lease;
        // one that has run out is not held any more, whether its timer has fired or not
        if (token.coordinator !== from || token.term !== term || token.number !== number || until <= now) continue;
        this.#held.set(role, { ...lease, until: Math.max(until, sentAt + LEASE_MS) });
      }
    }
    return this.#watch(now);
  }

  revoked(from: PeerId, role: Role, term: Term, now: Millis): LeaseEffect[] {
    const token = this.#held.get(role)?.token;
    if (!token || token.term > term || (token.term === term && token.coordinator > from)) return [];
    return this.drop(role, 'revoked', from, now);
  }

  /** Somebody claims the role by another token. */
  contested(role: Role, token: FencingToken, coordinator: PeerId | null, now: Millis): LeaseEffect[] {
    const held = this.#held.get(role);
    return held && compareTokens(token, held.token) > 0 ? this.drop(role, 'superseded', coordinator, now) : [];
  }

  /** @param coordinator who is to know of it */
  drop(role: Role, why: ReleaseReason, coordinator: PeerId | null, now: Millis): LeaseEffect[] {
    const held = this.#held.get(role);
    if (!held) return [];
    this.#held.delete(role);
    this.#former.set(role, held.token);
    const { term, number, coordinator: grantor } = held.token;
    if (coordinator !== null) this.#releases.push({ to: coordinator, message: { kind: 'release', role, term, number: grantor === coordinator ? number : 0, why }, said: 0, from: now });
    // why it let go is heard before a pulse without the role, if nothing overtakes it
    return [{ kind: 'drop', role, why }, ...this.#sayReleases(now), { kind: 'speak' }];
  }

  /** The terms of what was granted cannot be: what is granted from now on does not have to be greater. */
  forget(now: Millis): LeaseEffect[] {
    const dropped = this.dropAll('superseded', null, now);
    this.#former.clear();
    return dropped;
  }

  dropAll(why: ReleaseReason, coordinator: PeerId | null, now: Millis): LeaseEffect[] {
    return [...this.#held.keys()].flatMap((role) => this.drop(role, why, coordinator, now));
  }

  expired(timer: LeaseTimer, coordinator: PeerId | null, now: Millis): LeaseEffect[] {
    if (timer === 'release') return this.#sayReleases(now);
    this.#armedFor = Number.POSITIVE_INFINITY;
    return this.check(coordinator, now);
  }

  /** Lets go of what has run out, and asks for what soon will. */
  check(coordinator: PeerId | null, now: Millis): LeaseEffect[] {
    const over = [...this.#held].filter(([, { until }]) => until <= now).flatMap(([role]) => this.drop(role, 'expired', coordinator, now));
    const least = Math.min(...[...this.#held.values()].map(({ until }) => until));
    return [...over, ...(least - now < ASK_BELOW_MS ? this.#ask(coordinator, now) : []), ...this.#watch(now)];
  }

  #ask(coordinator: PeerId | null, now: Millis): LeaseEffect[] {
    if (coordinator === null || coordinator === this.self || now - this.#askedAt < ASK_EVERY_MS) return [];
    this.#askedAt = now;
    return [{ kind: 'ask', coordinator }];
  }

  #watch(now: Millis): LeaseEffect[] {
    if (this.#held.size === 0) return [];
    const least = Math.min(...[...this.#held.values()].map(({ until }) => until));
    const at = least - now >= ASK_BELOW_MS ? least - ASK_BELOW_MS + 1 : Math.min(least, Math.max(now, this.#askedAt) + ASK_EVERY_MS);
    if (at === this.#armedFor) return [];
    this.#armedFor = at;
    return [{ kind: 'arm', timer: 'lease', ms: Math.max(0, at - now) }];
  }

  #sayReleases(now: Millis): LeaseEffect[] {
    const effects: LeaseEffect[] = [];
    for (const release of this.#releases) {
      if (now < release.from + (RELEASES_MS[release.said] ?? Number.POSITIVE_INFINITY)) continue;
      release.said += 1;
      effects.push({ kind: 'send', to: release.to, message: release.message });
    }
    this.#releases = this.#releases.filter(({ said }) => said < RELEASES_MS.length);
    const next = Math.min(...this.#releases.map(({ from, said }) => from + (RELEASES_MS[said] as Millis)));
    if (this.#releases.length > 0) effects.push({ kind: 'arm', timer: 'release', ms: Math.max(0, next - now) });
    return effects;
  }
}
