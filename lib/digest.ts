// The digest of replicated content: the exclusive or of a hash of each winner. It undoes itself and does not mind the order, so a
// change costs two hashes, and equal digests mean equal winners whatever their histories were.
import { createHash } from 'node:crypto';
import type { Operation } from './operation.ts';

export const DIGEST_BYTES = 32;

/** Takes a winner into `digest`, or out of it again. */
export function foldWinner(digest: Uint8Array, operation: Operation): void {
  const hash = hashWinner(operation);
  for (let i = 0; i < DIGEST_BYTES; i++) digest[i] = (digest[i] as number) ^ (hash[i] as number);
}

function hashWinner({ origin, epoch, seq, lamport, key, value }: Operation): Buffer {
  // one write instead of three: this runs for every operation that is ever applied
  const text = Buffer.from(`${origin}${epoch}${seq},${lamport},${value === null ? '-' : '+'}${key}\0`);
  return createHash('sha256')
    .update(value === null ? text : Buffer.concat([text, value]))
    .digest();
}
