// What invariants look at in a simulated machine.
import type { PeerId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import type { Machine } from './host.ts';
import type { ReplicatingPeer } from './replicating-peer.ts';
import type { Fault } from './scenario.ts';
import type { Invariant } from './world.ts';

export type Check = Invariant<ReplicatingPeer>;

export const lifeOf = (machine: Machine<ReplicatingPeer>) => (machine.peer as ReplicatingPeer).life;
export const held = (machine: Machine<ReplicatingPeer>) => (origin: PeerId, key: string): Operation | undefined => lifeOf(machine).store.held([{ origin, key }])[0];
export const valueText = ({ value }: Operation): string => (value === null ? 'x' : Buffer.from(value).toString('latin1'));

/** The disk of its host is not what it was. */
export const setsBack = (fault: Fault): fault is Extract<Fault, { kind: 'wipe' | 'loseTail' | 'restore' }> => ['wipe', 'loseTail', 'restore'].includes(fault.kind);
