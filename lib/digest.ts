// The digest of replicated content: the exclusive or of a hash of each winner. It undoes itself and does not mind the order, so a
// change costs two hashes, and equal digests mean equal winners whatever their histories were.
import { hash } from 'node:crypto';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from './limits.ts';
import type { Operation } from './operation.ts';

export const DIGEST_BYTES = 32;
/** Two ids and two numbers beside key and value. */
const STAMP_BYTES_MAX = 128;
/** What is hashed is put together here: this runs for every operation that is ever applied, and one call without an object of its
 *  own takes half of the time. */
const winner = Buffer.alloc(STAMP_BYTES_MAX + KEY_BYTES_MAX + VALUE_BYTES_MAX);

/** The digest of these winners, computed anew. */
export function digestOf(winners: Iterable<Operation>): Uint8Array {
  const digest = new Uint8Array(DIGEST_BYTES);
  for (const operation of winners) foldWinner(digest, operation);
  return digest;
}

/** Takes a winner into `digest`, or out of it again. */
export function foldWinner(digest: Uint8Array, { origin, epoch, seq, lamport, key, value }: Operation): void {
  const textBytes = winner.write(`${origin}${epoch}${seq},${lamport},${value === null ? '-' : '+'}${key}\0`);
  if (value) winner.set(value, textBytes);
  const hashed = hash('sha256', winner.subarray(0, textBytes + (value?.byteLength ?? 0)), 'buffer');
  for (let i = 0; i < DIGEST_BYTES; i++) digest[i] = (digest[i] as number) ^ (hashed[i] as number);
}
