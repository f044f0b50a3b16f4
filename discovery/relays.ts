// Asking in somebody else's place: a peer that suspects a member and gets no answer asks others whether they hear it (SWIM's
// indirect probe), so that a broken way between two peers kills neither.
//
// Invariant: who is told "it lives" is told the truth of after it asked, less FRESH_MS.
import type { PeerId } from '../lib/ids.ts';
import { RELAYS_PENDING_MAX } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';
import { type Effect, isHere, type Member, type Membership } from './members.ts';

/** `by` wants to know about a member that is asked here. */
export interface Relaying {
  readonly by: PeerId;
  readonly about: PeerId;
  readonly until: Millis;
}

/** Heard so lately a member need not be asked. Less than the first of RELAYS_AT_MS, so that it was after the suspicion. */
const FRESH_MS: Millis = 100;
/** The verdict of who asked falls sooner, unless it is postponed. */
const RELAY_WAIT_MS: Millis = 500;

export function asked(state: Membership, { by, about, now }: { readonly by: PeerId; readonly about: PeerId; readonly now: Millis }): Effect[] {
  const member = state.members.get(about);
  const asker = state.members.get(by);
  if (member === undefined || asker === undefined || by === about || !isHere(member)) return [];
  if (now - member.lastDirectAt <= FRESH_MS) return [{ kind: 'relayed', to: by, peer: about, bootId: member.bootId, address: asker.address }];
  const others = state.relaying.filter((relaying) => relaying.until >= now && (relaying.by !== by || relaying.about !== about));
  state.relaying = [...others, { by, about, until: now + RELAY_WAIT_MS }].slice(-RELAYS_PENDING_MAX);
  return [{ kind: 'probe', peer: about, address: member.address, attempt: 1 }];
}

/** The member is heard: whoever asked about it is told. */
export function answerAskers(state: Membership, { peer, bootId }: Member, now: Millis): Effect[] {
  if (state.relaying.length === 0) return [];
  const waiting = state.relaying.filter(({ about }) => about === peer);
  state.relaying = state.relaying.filter(({ about, until }) => about !== peer && until >= now);
  return waiting.filter(({ until }) => until >= now).map(({ by }) => ({ kind: 'relayed', to: by, peer, bootId, address: state.members.get(by)?.address }));
}
