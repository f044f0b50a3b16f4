// Which peer gets a role that nobody holds, and whether one should pass from a peer with much to one with little. A pure function of
// what the coordinator knows, so that it can be reasoned about and every coordinator decides alike.
import type { PeerId } from '../../lib/ids.ts';
import { ROLES, type Role } from '../../lib/roles.ts';

export interface Candidate {
  readonly peer: PeerId;
  /** What it may hold. */
  readonly roles: readonly Role[];
  /** Roles that it holds, and what else its machine does, counted in roles; to coordinate counts as one. */
  readonly load: number;
  /** The greater, the longer it has been up. */
  readonly stability: number;
  /** Has it been up for a minute, and does it have what the others have? */
  readonly ready: boolean;
}

/** A planned hand-over is worth its gap only where loads differ by so much. */
export const HAND_OVER_DIFFERENCE = 2;

/** The one of least load; of those the longest up, of those the smallest id. One that is not ready comes after all that are. */
export function chooseHolder(role: Role, candidates: readonly Candidate[]): PeerId | null {
  const able = candidates.filter(({ roles }) => roles.includes(role));
  return able.reduce<Candidate | null>((best, one) => (best === null || compare(one, best) < 0 ? one : best), null)?.peer ?? null;
}

const compare = (a: Candidate, b: Candidate): number =>
  Number(b.ready) - Number(a.ready) || a.load - b.load || b.stability - a.stability || (a.peer < b.peer ? -1 : 1);

/** A role that should pass from the most loaded holder to the least loaded peer, if their loads differ by HAND_OVER_DIFFERENCE. */
export function chooseHandOver(holders: ReadonlyMap<Role, PeerId>, candidates: readonly Candidate[]): { readonly role: Role; readonly from: PeerId; readonly to: PeerId } | null {
  const byPeer = new Map(candidates.map((candidate) => [candidate.peer, candidate]));
  let best: { readonly role: Role; readonly from: PeerId; readonly to: PeerId; readonly difference: number } | null = null;
  for (const role of ROLES) {
    const from = byPeer.get(holders.get(role) as PeerId);
    if (!from) continue;
    const ready = candidates.filter((candidate) => candidate.ready && candidate.peer !== from.peer);
    const to = byPeer.get(chooseHolder(role, ready) as PeerId);
    const difference = from.load - (to?.load ?? from.load);
    if (to && difference >= HAND_OVER_DIFFERENCE && difference > (best?.difference ?? 0)) best = { role, from: from.peer, to: to.peer, difference };
  }
  return best && { role: best.role, from: best.from, to: best.to };
}
