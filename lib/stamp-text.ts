// A stamp as a text of fixed width that sorts as stamps do: the row of an event on disk, and the cursor of who reads the log.
import { PeerError } from './errors.ts';
import type { EpochId, PeerId } from './ids.ts';
import { isLamport } from './lamport.ts';
import type { Stamp } from './operation.ts';

/** Digits in base 36 of any whole number below 2^53. */
const DIGITS = 11;
export const STAMP_TEXT_PATTERN = '^[0-9a-z]{11}[0-9a-f]{48}[0-9a-z]{11}$';
const STAMP_TEXT = new RegExp(STAMP_TEXT_PATTERN);

const sortable = (number: number): string => number.toString(36).padStart(DIGITS, '0');

export const stampToText = ({ lamport, origin, epoch, seq }: Stamp): string => `${sortable(lamport)}${origin}${epoch}${sortable(seq)}`;

/** @throws PeerError BAD_USAGE */
export function stampFromText(text: string): Stamp {
  const lamport = Number.parseInt(text.slice(0, 11), 36);
  const seq = Number.parseInt(text.slice(59), 36);
  if (!STAMP_TEXT.test(text) || !isLamport(lamport) || !Number.isSafeInteger(seq)) throw new PeerError('BAD_USAGE', 'this is no place in the event log');
  return { lamport, origin: text.slice(11, 43) as PeerId, epoch: text.slice(43, 59) as EpochId, seq };
}
