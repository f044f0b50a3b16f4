// What a person decides for a whole network: `setting/<name>`. The newest word of any machine counts.
import { checker } from './check.ts';
import { decode, encode } from './codec.ts';
import { COPIES_MAX } from './limits.ts';
import { compareStamps, type Operation, type Value } from './operation.ts';

/** On how many machines each song is to be, the owner's included. 1 makes no copies. */
export const COPIES_SETTING = 'setting/copies';
/** One machine may be switched off at any moment. */
export const COPIES_DEFAULT = 2;

const VALUE_BYTES = 64;
const check = checker('BAD_OPERATION');

export const encodeCopies = (machines: number): Value => encode([machines]);

/** @throws PeerError BAD_OPERATION */
export function decodeCopies(value: Value): number {
  const [machines] = check.list(decode(value, { bytesMax: VALUE_BYTES, code: 'BAD_OPERATION' }), 1);
  const count = check.count(machines, 1);
  return count <= COPIES_MAX ? count : check.fail('more copies than anybody makes');
}

/** @param winners of COPIES_SETTING, one for each origin. What cannot be read is as if it were not there. */
export function mergeCopies(winners: Iterable<Operation>): number {
  let newest: { readonly operation: Operation; readonly machines: number } | undefined;
  for (const operation of winners) {
    if (newest && compareStamps(operation, newest.operation) < 0) continue;
    try {
      newest = { operation, machines: operation.value ? decodeCopies(operation.value) : COPIES_DEFAULT };
    } catch {
      continue;
    }
  }
  return newest?.machines ?? COPIES_DEFAULT;
}
