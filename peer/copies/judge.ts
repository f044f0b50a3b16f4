// What a song in the cache is worth to the network: whether it may be dropped for another. Machines drop without asking each
// other, and two may do so in one moment, each trusting the other. So all who hold a song are ranked, and the first of them never
// drops it, whatever the others do. Who leaves is passed over, and drops nothing itself: so at least one remains also where not
// everybody has heard of it yet. That is so among machines that see the same holders and hear each other; those that do not, the
// two sides of a cut, each keep one as soon as they see it, and what one dropped before that is gone.
import type { PeerId } from '../../lib/ids.ts';
import type { Judge } from '../../storage/eviction.ts';

/** What may be dropped: `free` first, then `wanted` if that is not enough, `last` never. */
export type Worth = ReturnType<Judge>;

/** Who holds a song so that all of it plays, its own file or a copy with what surrounds it; whoever is away included. */
export interface Holders {
  /** By a file on their disks: they do not drop it. */
  readonly owners: readonly PeerId[];
  readonly copiers: readonly PeerId[];
}

export interface Judged extends Holders {
  readonly self: PeerId;
  /** Is every chunk of it here? It may still lack what surrounds it, and then `self` is no copier. */
  readonly complete: boolean;
  /** Is this machine here, and has not said that it leaves? */
  readonly stays: (peer: PeerId) => boolean;
  /** Machines for each song. */
  readonly wanted: number;
}

export function worthOf({ self, complete, owners, copiers, stays, wanted }: Judged): Worth {
  // it plays from the file
  if (owners.includes(self)) return 'free';
  // those who have not heard of it yet may be dropping theirs, and rely on this one
  if (!stays(self)) return complete ? 'last' : 'wanted';
  const others = (peers: readonly PeerId[]): PeerId[] => peers.filter((peer) => peer !== self && stays(peer));
  const copies = others(copiers);
  const ranked = copiers.includes(self);
  // who does not count itself comes behind all who do
  const ahead = others(owners).length + (ranked ? copies.filter((peer) => peer < self).length : copies.length);
  if (!ranked) return ahead > 0 ? 'free' : complete ? 'last' : 'wanted';
  if (ahead === 0) return 'last';
  return ahead < wanted ? 'wanted' : 'free';
}

/** Does this song stay when `self` is gone for good? The first of those who hold it and stay never drops it, once it knows that `self` leaves:
 *  whether it does, it has to have confirmed. */
export function keptWithout(
  self: PeerId,
  { owners, copiers, stays, confirms }: Holders & Pick<Judged, 'stays'> & { readonly confirms: (peer: PeerId) => boolean },
): 'yes' | 'unconfirmed' | 'no' {
  const others = (peers: readonly PeerId[]): PeerId[] => peers.filter((peer) => peer !== self && stays(peer));
  const first = others(owners);
  if (first.length === 0) first.push(...others(copiers).sort().slice(0, 1));
  if (first.length === 0) return 'no';
  return first.some(confirms) ? 'yes' : 'unconfirmed';
}
