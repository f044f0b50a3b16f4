// What two peers with one key do when they belong to networks of different ids, which were minted apart. A pure function of
// what both know of themselves, so that the two sides of a meeting decide alike without asking each other.
//
// Invariant: what a person made is never dropped, and never merged into somebody else's without a person's word. So a
// network without user data gives way to one that has some, of two without the greater id gives way, and two with user data
// stay apart until a person unites them. An id never comes back, so no two can give way to each other for ever: whoever
// gives way goes to a network that has user data, which lasts, or to a smaller id.
import type { NetworkId } from '../../lib/ids.ts';

/** A network as one of its peers sees it. */
export interface NetworkView {
  /** null: this peer knows none yet, and has never exchanged anything. */
  readonly id: NetworkId | null;
  /** Holds it anything that a person made, of whatever peer, deleted or not? */
  readonly user: boolean;
}

export type Meeting =
  /** Both are of one network: operations pass. */
  | 'one'
  /** We know no network yet and take theirs, with all that we hold: nobody else has seen it. */
  | 'take'
  /** We drop what is replicated here and become part of theirs. */
  | 'adopt'
  /** They are about to become part of ours. */
  | 'wait'
  /** Both hold what people made: only a person may unite them. */
  | 'apart';

/** @param united ids that a person has declared one with ours */
export function meet(ours: NetworkView & { readonly united: ReadonlySet<NetworkId> }, theirs: NetworkView): Meeting {
  if (theirs.id === null) return 'wait';
  if (ours.id === null) return 'take';
  if (ours.id === theirs.id || ours.united.has(theirs.id)) return 'one';
  if (ours.user && theirs.user) return 'apart';
  if (ours.user) return 'wait';
  return theirs.user || theirs.id < ours.id ? 'adopt' : 'wait';
}
