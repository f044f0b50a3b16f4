// How much of one origin somebody holds: {epoch: head}. A head claims: of every operation of that epoch up to it, I
// hold it or a greater one of the same origin and key. Seq is dense within an epoch, so a number says it all.
import { createHash } from 'node:crypto';
import { PeerError } from './errors.ts';
import { type EpochId, hex, idToBytes, isEpochId } from './ids.ts';
import { EPOCHS_PER_ORIGIN_MAX } from './limits.ts';

export type Vector = ReadonlyMap<EpochId, number>;

export const EMPTY_VECTOR: Vector = new Map();

export const headOf = (vector: Vector, epoch: EpochId): number => vector.get(epoch) ?? 0;

/** Does `a` hold everything that `b` does? */
export function covers(a: Vector, b: Vector): boolean {
  for (const [epoch, head] of b) if (headOf(a, epoch) < head) return false;
  return true;
}

/** The greatest head of each epoch. */
export function join(a: Vector, b: Vector): Vector {
  const joined = new Map(a);
  for (const [epoch, head] of b) if (head > headOf(joined, epoch)) joined.set(epoch, head);
  return joined;
}

export type VectorTuples = readonly (readonly [epoch: Uint8Array, head: number])[];

/** Sorted by epoch, so that equal vectors have equal bytes. */
export const vectorToTuples = (vector: Vector): VectorTuples =>
  [...vector].sort(([a], [b]) => (a < b ? -1 : 1)).map(([epoch, head]) => [idToBytes(epoch), head]);

/** @throws PeerError BAD_MESSAGE */
export function vectorFromTuples(raw: unknown): Vector {
  if (!Array.isArray(raw) || raw.length > EPOCHS_PER_ORIGIN_MAX) throw new PeerError('BAD_MESSAGE', 'not a vector');
  const vector = new Map<EpochId, number>();
  for (const pair of raw) {
    const epoch = Array.isArray(pair) && pair[0] instanceof Uint8Array ? hex(pair[0]) : undefined;
    const head = Array.isArray(pair) ? pair[1] : undefined;
    if (!isEpochId(epoch) || !Number.isSafeInteger(head) || head < 1) throw new PeerError('BAD_MESSAGE', 'a bad head in a vector');
    vector.set(epoch, head);
  }
  return vector;
}

/** 16 bytes that are equal when vectors are. */
export function hashVector(vector: Vector): Buffer {
  const hash = createHash('sha256');
  for (const [epoch, head] of vectorToTuples(vector)) hash.update(epoch).update(String(head)).update(';');
  return hash.digest().subarray(0, 16);
}
