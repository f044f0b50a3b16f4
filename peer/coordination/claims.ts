// Who holds which role, as everybody can hear it: each pulse says what its sender holds, and under which coordinator. This is whom
// calls go to and what `status` shows, and it is what a new coordinator finds.
import type { Pulse } from '../../lib/coordination-messages.ts';
import type { PeerId } from '../../lib/ids.ts';
import { compareTokens, type FencingToken, type Role } from '../../lib/roles.ts';
import type { Millis } from '../../lib/time.ts';

export interface HeardClaim {
  readonly peer: PeerId;
  /** Unknown while it holds the role by an earlier coordinator's grant. */
  readonly token: FencingToken | null;
  /** Of this grant, as far as heard. */
  readonly since: Millis;
  readonly heardAt: Millis;
}

export interface FormerHolder {
  readonly peer: PeerId;
  /** expired: it lives, and let go; be it that its coordinator had died, and renewed nothing. */
  readonly why: 'died' | 'left' | 'expired';
}

export class Claims {
  readonly #roles = new Map<Role, Map<PeerId, HeardClaim>>();
  readonly #former = new Map<Role, FormerHolder>();

  /** @returns whether it holds something else than before */
  hear(from: PeerId, { coordinator, term, claims }: Pulse, now: Millis): boolean {
    let changed = false;
    for (const [role, claimants] of this.#roles) {
      if (claims.some((claim) => claim.role === role) || !claimants.delete(from)) continue;
      changed = true;
      this.#former.set(role, { peer: from, why: 'expired' });
    }
    for (const { role, number } of claims) {
      let claimants = this.#roles.get(role);
      if (!claimants) this.#roles.set(role, (claimants = new Map()));
      const before = claimants.get(from);
      // what it held before it took another coordinator for its own, it holds by the token of then
      const token = number > 0 && coordinator !== null ? { term, coordinator, number } : (before?.token ?? null);
      const same = before !== undefined && (before.token === token || (before.token !== null && token !== null && compareTokens(before.token, token) === 0));
      this.#former.delete(role);
      claimants.set(from, { peer: from, token, since: same ? before.since : now, heardAt: now });
      changed ||= before === undefined;
    }
    return changed;
  }

  /** Its process has ended, so it holds nothing; of one that is only silent nobody can say so.
   *  @returns whether it held anything */
  ended(peer: PeerId, why: 'died' | 'left'): boolean {
    let held = false;
    for (const [role, claimants] of this.#roles) {
      if (!claimants.delete(peer)) continue;
      held = true;
      this.#former.set(role, { peer, why });
    }
    return held;
  }

  /** Who held the role last, when nobody does. */
  former(role: Role): FormerHolder | undefined {
    return this.#former.get(role);
  }

  of(role: Role): HeardClaim[] {
    return [...(this.#roles.get(role)?.values() ?? [])];
  }

  /** The one of the greatest token. */
  holder(role: Role, counts: (peer: PeerId) => boolean = () => true): HeardClaim | undefined {
    return this.of(role).filter(({ peer }) => counts(peer)).reduce<HeardClaim | undefined>((best, claim) => (best === undefined || isGreater(claim, best) ? claim : best), undefined);
  }
}

function isGreater(a: HeardClaim, b: HeardClaim): boolean {
  if (a.token === null || b.token === null) return a.token !== null || (b.token === null && a.heardAt > b.heardAt);
  return compareTokens(a.token, b.token) > 0;
}
