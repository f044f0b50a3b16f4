// Operations packed into datagrams: runs of one origin, as many as fit.
import { DATAGRAM_BYTES_MAX } from '../../lib/limits.ts';
import type { Operation } from '../../lib/operation.ts';

/** What a datagram has left for operations after its seal and the message's own frame. */
const ROOM_BYTES = DATAGRAM_BYTES_MAX - 112;
/** CBOR heads, epoch, seq and lamport of one tuple. */
const TUPLE_BYTES = 32;

const sizeOf = ({ key, value }: Operation): number => TUPLE_BYTES + Buffer.byteLength(key) + (value?.byteLength ?? 0);

/** Operations too large for any datagram are left out: the beats' heads bring them. */
export function packOperations(operations: readonly Operation[]): Operation[][] {
  const packs: Operation[][] = [];
  let room = 0;
  for (const operation of operations) {
    const size = sizeOf(operation);
    if (size > ROOM_BYTES) continue;
    const pack = packs.at(-1);
    if (pack && size <= room && pack[0]?.origin === operation.origin) {
      pack.push(operation);
      room -= size;
    } else {
      packs.push([operation]);
      room = ROOM_BYTES - size;
    }
  }
  return packs;
}
