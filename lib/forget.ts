// `forget/<PeerId>`: somebody said that this peer will not return, and what it has is not shown. `here`: that peer's answer, which
// it gives when it meets a forget of itself. It names the Lamport time that it answers, because a forget whose clock leaps far
// ahead of everybody's is not followed, and an ordinary later write would not come after it.
import { checker } from './check.ts';
import { decode, encode } from './codec.ts';
import type { PeerId } from './ids.ts';
import type { Lamport } from './lamport.ts';
import type { Operation, Value } from './operation.ts';

const FORGET = 'forget/';
export const HERE_KEY = 'here';
/** CBOR true. */
export const FORGET_VALUE: Value = Uint8Array.of(0xf5);

export const forgetKey = (peer: PeerId): string => `${FORGET}${peer}`;
export const forgottenPeer = (key: string): PeerId | undefined => (key.startsWith(FORGET) ? (key.slice(FORGET.length) as PeerId) : undefined);

const HERE_BYTES_MAX = 64;
const check = checker('BAD_OPERATION');

/** @param answered the greatest time of a forget that is met */
export const encodeHere = (answered: Lamport): Value => encode([answered]);

/** The time up to which a peer's `here` answers forgets of it; 0 without one. */
export function answeredUntil(here: Operation | undefined): Lamport {
  if (!here?.value) return 0;
  try {
    const [answered] = check.list(decode(here.value, { bytesMax: HERE_BYTES_MAX, code: 'BAD_OPERATION' }), 1);
    return Math.max(here.lamport, check.lamport(answered));
  } catch {
    // a newer version's says at least when it was written
    return here.lamport;
  }
}

/** The greatest time at which somebody told the network to forget this peer; 0 when nobody did. */
export const forgottenAt = (forgets: Iterable<Operation>): Lamport => {
  let latest = 0;
  for (const { value, lamport } of forgets) if (value) latest = Math.max(latest, lamport);
  return latest;
};
