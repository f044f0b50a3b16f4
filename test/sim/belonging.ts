// Which network people's words belong to: nothing passes from one to another before a person unites them, and nobody who changes
// networks gives up what a person made.
import type { NetworkId } from '../../lib/ids.ts';
import { isUserData, unitedNetwork } from '../../lib/kinds.ts';
import type { Operation } from '../../lib/operation.ts';
import { type Check, lifeOf } from './look.ts';
import type { Fact } from './replicating-peer.ts';

const placeOf = ({ origin, epoch, seq }: Operation): string => `${origin}${epoch}${seq}`;

export function belongs(): Check {
  /** Where each was written; before its writer knew a network, in none. */
  const births = new Map<string, NetworkId>();
  /** Of ids that were united, however few have heard of it, one that stands for all. */
  const unions = new Map<NetworkId, NetworkId>();
  const unionOf = (id: NetworkId): NetworkId => {
    const next = unions.get(id);
    return next === undefined ? id : unionOf(next);
  };
  return {
    name: 'what people wrote stays in its network',
    told: (machine, fact) => {
      const { self, replication: { ledger } } = lifeOf(machine);
      if ((fact as Fact).kind === 'dropped') return ledger.user ? `${machine.name} dropped what people made` : null;
      if ((fact as Fact).kind !== 'changed') return null;
      for (const { after } of (fact as Extract<Fact, { kind: 'changed' }>).changes) {
        const isNew = after.origin === self && after.epoch === ledger.head?.epoch;
        if (isNew && ledger.network !== null && isUserData(after.key)) births.set(placeOf(after), ledger.network);
        const united = after.value && unitedNetwork(after.key);
        if (!united) continue;
        for (const id of ledger.networks) if (unionOf(id) !== unionOf(united)) unions.set(unionOf(id), unionOf(united));
      }
      return null;
    },
    healed: ({ running }) => {
      for (const machine of running) {
        const { store, replication: { ledger: { network } } } = lifeOf(machine);
        if (network === null) continue;
        for (const operation of store.registers('')) {
          const birth = births.get(placeOf(operation));
          if (birth !== undefined && unionOf(birth) !== unionOf(network)) return `${machine.name} is in ${network.slice(0, 4)} and holds ${operation.key}@${operation.lamport}, written in ${birth.slice(0, 4)}`;
        }
      }
      return null;
    },
  };
}
