// Networks with the key of ours that are here and hold user data as ours does: they began apart, nothing passes between their peers and
// those of ours, and only a person can say that they are one.
import { PeerError } from '../lib/errors.ts';
import type { NetworkId, PeerId } from '../lib/ids.ts';
import { uniteKey } from '../lib/kinds.ts';
import { NETWORKS_MAX } from '../lib/limits.ts';
import type { Beat } from '../lib/messages.ts';
import type { Presence } from './presence.ts';
import type { Replica } from './replication/replica.ts';
import { TRUE } from './replication/replication.ts';

export class OtherNetworks {
  readonly #replica: Replica;
  readonly #presence: Pick<Presence, 'living' | 'lives'>;
  /** Of members whose latest beat was another network's. */
  readonly #of = new Map<PeerId, NetworkId>();
  /** All that were here since the start: a person may unite one whose peers are away for a moment. */
  readonly #met = new Set<NetworkId>();

  constructor({ replica, presence }: { readonly replica: Replica; readonly presence: Pick<Presence, 'living' | 'lives'> }) {
    this.#replica = replica;
    this.#presence = presence;
  }

  /** @returns whether it is in ours for certain: one that says nothing of its network yet is in none */
  meet(peer: PeerId, beat: Beat): boolean {
    const meeting = this.#replica.meeting(beat);
    if (meeting === 'apart') this.#of.set(peer, beat.network as NetworkId);
    else this.#of.delete(peer);
    return meeting === 'one';
  }

  /** A network is apart from ours. */
  told(network: NetworkId): void {
    this.#met.add(network);
  }

  gone(peer: PeerId): void {
    this.#of.delete(peer);
  }

  /** The network that a member is in, if that is another than ours. */
  of(peer: PeerId): NetworkId | undefined {
    const network = this.#of.get(peer);
    return network !== undefined && this.#replica.networks.has(network) ? undefined : network;
  }

  /** Each that is here, with a peer of it. */
  get present(): ReadonlyMap<NetworkId, PeerId> {
    const present = new Map<NetworkId, PeerId>();
    for (const peer of this.#presence.living()) {
      const network = this.of(peer);
      if (network !== undefined) present.set(network, peer);
    }
    return present;
  }

  /** Those that a person may unite with ours: all that were here since the start. */
  get met(): readonly NetworkId[] {
    return [...this.#met].filter((id) => !this.#replica.networks.has(id));
  }

  /** Living members of ours. */
  *living(): Generator<PeerId> {
    for (const peer of this.#presence.living()) if (this.of(peer) === undefined) yield peer;
  }

  /** Is it a living member of ours? */
  lives(peer: PeerId): boolean {
    return this.#presence.lives(peer) && this.of(peer) === undefined;
  }

  /** A person says that the two networks are one: each gets what the other holds.
   *  @throws PeerError BUSY, TOO_LARGE */
  async unite(other: NetworkId): Promise<void> {
    const { network, networks } = this.#replica;
    if (network === null) throw new PeerError('BUSY', 'this peer is still looking for its network; try again in a moment');
    if (networks.size >= NETWORKS_MAX) throw new PeerError('TOO_LARGE', `no more than ${NETWORKS_MAX} networks can be made one`);
    await this.#replica.write([network, other].map((id) => ({ key: uniteKey(id), value: TRUE })));
  }
}
