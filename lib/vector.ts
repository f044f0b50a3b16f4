// How much of one origin somebody holds: {epoch: head}. A head claims: of every operation of that epoch up to it, I
// hold it or a greater one of the same origin and key. Seq is dense within an epoch, so a number says it all.
import { createHash } from 'node:crypto';
import { checker } from './check.ts';
import { type EpochId, idToBytes, type PeerId } from './ids.ts';
import { EPOCHS_PER_ORIGIN_MAX } from './limits.ts';

export type Vector = ReadonlyMap<EpochId, number>;

export const EMPTY_VECTOR: Vector = new Map();

export const headOf = (vector: Vector, epoch: EpochId): number => vector.get(epoch) ?? 0;

/** Does `a` hold everything that `b` does? */
export function covers(a: Vector, b: Vector): boolean {
  for (const [epoch, head] of b) if (headOf(a, epoch) < head) return false;
  return true;
}

export type VectorTuples = readonly (readonly [epoch: Uint8Array, head: number])[];

/** Sorted by epoch, so that equal vectors have equal bytes. */
export const vectorToTuples = (vector: Vector): VectorTuples =>
  [...vector].sort(([a], [b]) => (a < b ? -1 : 1)).map(([epoch, head]) => [idToBytes(epoch), head]);

const check = checker('BAD_MESSAGE');

/** @throws PeerError BAD_MESSAGE */
export function vectorFromTuples(raw: unknown): Vector {
  const pairs = check.list(raw);
  if (pairs.length > EPOCHS_PER_ORIGIN_MAX) check.fail('too many epochs');
  return new Map(
    pairs.map((pair) => {
      const [epoch, head] = check.list(pair, 2);
      return [check.epoch(epoch), check.count(head, 1)];
    }),
  );
}

export const VECTOR_HASH_BYTES = 16;

/** VECTOR_HASH_BYTES that are equal when an origin's vectors are; of the empty vector all zero, as if the origin were unknown. */
export function hashVector(origin: PeerId, vector: Vector): Buffer {
  if (vector.size === 0) return Buffer.alloc(VECTOR_HASH_BYTES);
  const hash = createHash('sha256').update(origin);
  for (const [epoch, head] of vectorToTuples(vector)) hash.update(epoch).update(String(head)).update(';');
  return hash.digest().subarray(0, VECTOR_HASH_BYTES);
}
