// An operation is one replicated change: origin X, in its epoch E, as its seq-th there, set `key` to `value` (or deleted
// it) at Lamport time `lamport`. Every register (origin, key) has one writer; the operation with the greatest stamp wins.
import { checker } from './check.ts';
import { type EpochId, idToBytes, type PeerId } from './ids.ts';
import type { Lamport } from './lamport.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from './limits.ts';

/** What replicates a register's content: CBOR of anything, opaque to replication, so that kinds of data which this
 *  version does not know pass through it untouched. */
export type Value = Uint8Array;

export interface Operation {
  readonly origin: PeerId;
  readonly epoch: EpochId;
  /** 1, 2, 3, … within its epoch. */
  readonly seq: number;
  readonly lamport: Lamport;
  readonly key: string;
  /** null is a tombstone. */
  readonly value: Value | null;
}

/** The total order of operations: (lamport, origin, epoch, seq). */
export type Stamp = Pick<Operation, 'lamport' | 'origin' | 'epoch' | 'seq'>;

/** Negative when `a` is before `b`; zero only for the same operation. */
export function compareStamps(a: Stamp, b: Stamp): number {
  if (a.lamport !== b.lamport) return a.lamport - b.lamport;
  if (a.origin !== b.origin) return a.origin < b.origin ? -1 : 1;
  if (a.epoch !== b.epoch) return a.epoch < b.epoch ? -1 : 1;
  return a.seq - b.seq;
}

/** The form on wires and disks: without the origin, which every container of operations names once. */
export type OperationTuple = readonly [epoch: Uint8Array, seq: number, lamport: number, key: string, value: Uint8Array | null];

export const toTuple = (operation: Operation): OperationTuple => [
  idToBytes(operation.epoch),
  operation.seq,
  operation.lamport,
  operation.key,
  operation.value,
];

const check = checker('BAD_OPERATION');

/** @throws PeerError BAD_OPERATION. Further elements (a newer version's) are ignored: what has to survive relaying
 *  lives inside the value. */
export function fromTuple(origin: PeerId, tuple: unknown): Operation {
  const [epoch, seq, lamport, key, value] = check.list(tuple, 5);
  const checkedKey = check.text(key, KEY_BYTES_MAX);
  // register rows end their key with a NUL and the origin
  if (checkedKey === '' || Buffer.byteLength(checkedKey) > KEY_BYTES_MAX || checkedKey.includes('\0')) check.fail('a key');
  return {
    origin,
    epoch: check.epoch(epoch),
    seq: check.count(seq, 1),
    lamport: check.lamport(lamport),
    key: checkedKey,
    value: value === null ? null : check.bytes(value, { atMost: VALUE_BYTES_MAX }),
  };
}
