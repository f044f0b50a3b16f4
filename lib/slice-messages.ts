// The three messages by which an answer travels in slices that fit datagrams, where a stream would stand still. They are
// declared apart from the other messages because the machine that handles them (peer/slices/receiver.ts) knows no others.
import type { Checker } from './check.ts';
import { FRAME_BYTES_MAX, SLICE_BYTES, SLICES_PER_FETCH_MAX } from './limits.ts';

/** An answer is at most as long as on a stream. */
export const SLICES_MAX = Math.ceil(FRAME_BYTES_MAX / SLICE_BYTES);
/** Requests and editions are numbered in 32 bits. */
const NUMBER_MAX = 0xffff_ffff;
/** Serials take one byte. */
export const SERIALS = 256;
const METHOD_CHARACTERS_MAX = 64;
const MESSAGE_CHARACTERS_MAX = 512;

/** "Send me these slices of the answer to this." The receiver answers the request, once for each id, and sends the slices
 *  that there are; or a refusal. */
export interface Fetch {
  readonly kind: 'fetch';
  /** Of the request, by its asker; the same whenever more of its answer is fetched. */
  readonly id: number;
  /** Of this fetch among those of the request, modulo SERIALS. */
  readonly serial: number;
  readonly method: string;
  readonly params: unknown;
  /** In order, at most SLICES_PER_FETCH_MAX. */
  readonly slices: readonly number[];
}

/** "This is one slice of the answer that you fetch." */
export interface Slice {
  readonly kind: 'slice';
  readonly id: number;
  /** Drawn when the answer was made: slices of two answers are not put together. */
  readonly edition: number;
  /** Of the fetch that it answers: so the round trip is measured although much is asked for twice. */
  readonly serial: number;
  /** Slices of the answer, at least one. */
  readonly count: number;
  readonly index: number;
  /** SLICE_BYTES; of the last slice as many as are left. */
  readonly bytes: Uint8Array;
}

/** "There is no answer." */
export interface Refusal {
  readonly kind: 'refusal';
  readonly id: number;
  readonly code: string;
  readonly message: string;
}

export const fetchTuple = ({ id, serial, method, params, slices }: Fetch): unknown[] => [id, serial, method, params, bitmapOf(slices)];

export const sliceTuple = ({ id, edition, serial, count, index, bytes }: Slice): unknown[] => [id, edition, serial, count, index, bytes];

export const refusalTuple = ({ id, code, message }: Refusal): unknown[] => [id, code, message.slice(0, MESSAGE_CHARACTERS_MAX)];

export function fetchOf(tuple: readonly unknown[], check: Checker): Fetch {
  const slices = numbersIn(check.bytes(tuple[4], { atMost: Math.ceil(SLICES_MAX / 8) }));
  if (slices.length === 0 || slices.length > SLICES_PER_FETCH_MAX) check.fail(`${slices.length} slices`);
  const [id, serial] = [number(tuple[0], check), serialOf(tuple[1], check)];
  return { kind: 'fetch', id, serial, method: check.text(tuple[2], METHOD_CHARACTERS_MAX), params: tuple[3], slices };
}

export function sliceOf(tuple: readonly unknown[], check: Checker): Slice {
  const count = check.count(tuple[3], 1);
  const index = check.count(tuple[4]);
  const bytes = check.bytes(tuple[5], { atMost: SLICE_BYTES });
  if (count > SLICES_MAX || index >= count || (index < count - 1 && bytes.byteLength !== SLICE_BYTES)) check.fail('a slice');
  return { kind: 'slice', id: number(tuple[0], check), edition: number(tuple[1], check), serial: serialOf(tuple[2], check), count, index, bytes };
}

export function refusalOf(tuple: readonly unknown[], check: Checker): Refusal {
  const code = check.text(tuple[1], 32);
  if (!/^[A-Z_]+$/.test(code)) check.fail('a code');
  const message = check.text(tuple[2], MESSAGE_CHARACTERS_MAX).replace(/\p{Cc}/gu, ' ');
  return { kind: 'refusal', id: number(tuple[0], check), code, message };
}

const number = (value: unknown, check: Checker): number => {
  const count = check.count(value);
  return count <= NUMBER_MAX ? count : check.fail('a number of 32 bits');
};

const serialOf = (value: unknown, check: Checker): number => {
  const serial = check.count(value);
  return serial < SERIALS ? serial : check.fail('a serial');
};

/** Slice i is bit i % 8 of byte i / 8, the lowest first. */
function bitmapOf(slices: readonly number[]): Uint8Array {
  const bitmap = Buffer.alloc(Math.floor((slices.at(-1) ?? 0) / 8) + 1);
  for (const index of slices) bitmap[index >> 3] = (bitmap[index >> 3] as number) | (1 << (index & 7));
  return bitmap;
}

function numbersIn(bitmap: Uint8Array): number[] {
  const numbers: number[] = [];
  for (let index = 0; index < bitmap.byteLength * 8; index++) if (((bitmap[index >> 3] as number) >> (index & 7)) & 1) numbers.push(index);
  return numbers;
}
