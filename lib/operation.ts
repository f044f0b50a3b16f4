// An operation is one replicated change: origin X, in its epoch E, as its seq-th there, set `key` to `value` (or deleted
// it) at Lamport time `lamport`. Every register (origin, key) has one writer; the operation with the greatest stamp wins.
import { decode, encode } from './codec.ts';
import { PeerError } from './errors.ts';
import { type EpochId, hex, idFromBytes, idToBytes, isEpochId, type PeerId } from './ids.ts';
import { isLamport, type Lamport } from './lamport.ts';
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

/** @throws PeerError BAD_OPERATION. Unknown further elements (a newer version's) are ignored here and kept nowhere:
 *  what has to survive relaying lives inside the value. */
export function fromTuple(origin: PeerId, tuple: unknown): Operation {
  const fail = (what: string): never => {
    throw new PeerError('BAD_OPERATION', `operation with a bad ${what}`);
  };
  if (!Array.isArray(tuple) || tuple.length < 5) return fail('shape');
  const [epochBytes, seq, lamport, key, value] = tuple as unknown[];
  const epoch = epochBytes instanceof Uint8Array ? hex(epochBytes) : undefined;
  if (!isEpochId(epoch)) return fail('epoch');
  if (!Number.isSafeInteger(seq) || (seq as number) < 1) return fail('seq');
  if (!isLamport(lamport)) return fail('lamport');
  if (typeof key !== 'string' || key.length === 0 || Buffer.byteLength(key) > KEY_BYTES_MAX || key.includes('\0')) return fail('key');
  if (value !== null && !(value instanceof Uint8Array && value.byteLength <= VALUE_BYTES_MAX)) return fail('value');
  return { origin, epoch, seq: seq as number, lamport, key, value: value as Uint8Array | null };
}

/** Several operations of one origin, as they travel: [origin, [tuple, …]]. */
export const encodeOperations = (origin: PeerId, operations: readonly Operation[]): Buffer =>
  encode([idToBytes(origin), operations.map(toTuple)]);

export function decodeOperations(bytes: Uint8Array, bytesMax: number): Operation[] {
  const raw = decode(bytes, { bytesMax, code: 'BAD_OPERATION' });
  if (!Array.isArray(raw) || !(raw[0] instanceof Uint8Array) || !Array.isArray(raw[1])) {
    throw new PeerError('BAD_OPERATION', 'not a list of operations');
  }
  const origin = idFromBytes<PeerId>(raw[0]);
  return raw[1].map((tuple) => fromTuple(origin, tuple));
}
