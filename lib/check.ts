// Small checks for what was decoded from outside: each returns its argument with the type that it proves, or throws a
// PeerError with the code of the thing that was being read. Tuples from the wire are read through these and nothing else.
import { type ErrorCode, PeerError } from './errors.ts';
import { EPOCH_BYTES, type EpochId, hex, ID_BYTES } from './ids.ts';
import { isLamport, type Lamport } from './lamport.ts';

export interface Checker {
  /** An array of at least `least` elements; more are a newer version's business. */
  list(value: unknown, least?: number): unknown[];
  /** A whole number of at least `least` (0). */
  count(value: unknown, least?: number): number;
  text(value: unknown, charactersMax: number): string;
  bytes(value: unknown, length: { readonly exactly: number } | { readonly atMost: number }): Uint8Array;
  /** 16 bytes. */
  id<T extends string>(value: unknown): T;
  epoch(value: unknown): EpochId;
  lamport(value: unknown): Lamport;
  fail(what: string): never;
}

export function checker(code: ErrorCode): Checker {
  const fail = (what: string): never => {
    throw new PeerError(code, `malformed: ${what}`);
  };
  const bytes: Checker['bytes'] = (value, length) => {
    if (!(value instanceof Uint8Array)) return fail('no bytes');
    if ('exactly' in length ? value.byteLength !== length.exactly : value.byteLength > length.atMost) return fail(`${value.byteLength} bytes`);
    return value;
  };
  return {
    fail,
    bytes,
    list: (value, least = 0) => (Array.isArray(value) && value.length >= least ? value : fail('a list')),
    count: (value, least = 0) => (Number.isSafeInteger(value) && (value as number) >= least ? (value as number) : fail('a count')),
    text: (value, charactersMax) => (typeof value === 'string' && value.length <= charactersMax ? value : fail('a text')),
    id: <T extends string>(value: unknown) => hex(bytes(value, { exactly: ID_BYTES })) as T,
    epoch: (value) => hex(bytes(value, { exactly: EPOCH_BYTES })) as EpochId,
    lamport: (value) => (isLamport(value) ? value : fail('a Lamport time')),
  };
}
