// How far this peer trusts its own ears. Whoever stands still now and then, or has had to take back what it suspected, asks
// longer before it finds anybody dead: Lifeguard's local health multiplier (Dadgar, Phillips, Currey, 2017; memberlist's
// awareness.go). A score of 0 is health and changes nothing.
//
// Invariant: the score is at most SCORE_MAX, and 0 once nothing has spoken against this peer for SCORE_MAX times CALM_MS.
import type { Millis } from '../lib/time.ts';

export interface Awareness {
  /** As of `raisedAt`; it falls with time, and counts rounded up. */
  score: number;
  raisedAt: Millis;
}

/** Nine times the wait. More would make no difference: waits are bounded by POSTPONE_MAX_MS of membership.ts anyway. */
const SCORE_MAX = 8;
/** A point is forgotten after so long. Shorter, and a machine that stalls every other second counts as well in between and
 *  accuses others; longer, and one bad moment delays the next true verdict, by one wait for each point. At 30% loss a peer takes
 *  back a suspicion every four to seven seconds, whatever the size of the network, and mostly has no point. */
const CALM_MS: Millis = 2_000;
/** One stall makes many suspicions, which are all taken back together: together they are one reason. */
const ONE_REASON_MS: Millis = 500;

export const createAwareness = (): Awareness => ({ score: 0, raisedAt: Number.NEGATIVE_INFINITY });

/** From 0, which is well, to SCORE_MAX. */
export const scoreAt = (awareness: Awareness, now: Millis): number => Math.ceil(remainsAt(awareness, now));

const remainsAt = ({ score, raisedAt }: Awareness, now: Millis): number => Math.max(0, score - (now - raisedAt) / CALM_MS);

/** Something spoke against this peer's own health. */
export function raise(awareness: Awareness, now: Millis): void {
  if (now - awareness.raisedAt < ONE_REASON_MS) return;
  awareness.score = Math.min(remainsAt(awareness, now) + 1, SCORE_MAX);
  awareness.raisedAt = now;
}
