// A delta on a wire: one frame with the sender's vector, then frames of operations.
import { checker } from '../../lib/check.ts';
import { decode, encode } from '../../lib/codec.ts';
import type { PeerId } from '../../lib/ids.ts';
import { FRAME_BYTES_MAX, OPERATIONS_PER_FRAME } from '../../lib/limits.ts';
import { fromTuple, type Operation, toTuple } from '../../lib/operation.ts';
import { type Vector, vectorToTuples } from '../../lib/vector.ts';

/** Values can be 8 KiB: a frame closes at this size even with few operations. */
const FRAME_BYTES = FRAME_BYTES_MAX / 2;
const check = checker('BAD_MESSAGE');

/** @throws PeerError BAD_MESSAGE */
export const unframe = (frame: Uint8Array): unknown => decode(frame, { bytesMax: FRAME_BYTES_MAX, code: 'BAD_MESSAGE' });

export async function* deltaFrames(vector: Vector, operations: AsyncIterable<readonly Operation[]>): AsyncGenerator<Uint8Array> {
  yield encode(vectorToTuples(vector));
  let tuples: unknown[] = [];
  let bytes = 0;
  for await (const some of operations) {
    for (const operation of some) {
      tuples.push(toTuple(operation));
      bytes += operation.key.length + (operation.value?.byteLength ?? 0);
      if (tuples.length >= OPERATIONS_PER_FRAME || bytes >= FRAME_BYTES) {
        yield encode(tuples);
        tuples = [];
        bytes = 0;
      }
    }
  }
  if (tuples.length > 0) yield encode(tuples);
}

/** @throws PeerError BAD_MESSAGE, BAD_OPERATION */
export function operationsOf(origin: PeerId, frame: Uint8Array): Operation[] {
  const tuples = check.list(unframe(frame));
  if (tuples.length > OPERATIONS_PER_FRAME) check.fail('too many operations in a frame');
  return tuples.map((tuple) => fromTuple(origin, tuple));
}
