// How operations lie in the database, row by row: the names and bytes that the store writes and salvage reads. Four sections of
// each network:
//   registers    `key \0 origin`      -> the winning operation of that register, [epoch, seq, lamport, value]
//   log          `origin epoch seq`   -> the key, for winners only: what a delta walks through
//   vectors      `origin epoch`       -> head
//   replication  digest, lamport, and what commit-log.ts and salvage.ts keep there
// Rows of a key lie together whatever their origin, because views merge a key over all origins.
import { checker } from '../lib/check.ts';
import { decode, encode } from '../lib/codec.ts';
import { type EpochId, idToBytes, isEpochId, isId, type PeerId } from '../lib/ids.ts';
import { VALUE_BYTES_MAX } from '../lib/limits.ts';
import type { Operation } from '../lib/operation.ts';
import { type Database, type Section, section } from './database.ts';

export interface OperationSections {
  readonly registers: Section;
  readonly log: Section;
  readonly vectors: Section;
  readonly meta: Section;
}

/** @param network the hash of its key: each network a peer was ever in keeps its own operations, so that none leak into
 *  another, not even of the same name */
export const operationSections = (database: Database, network: string): OperationSections => ({
  registers: section(database, `registers@${network}`),
  log: section(database, `log@${network}`),
  vectors: section(database, `vectors@${network}`),
  meta: section(database, `replication@${network}`),
});

export interface RegisterId {
  readonly origin: PeerId;
  readonly key: string;
}

const ID_DIGITS = 32;
const SEQ_DIGITS = 11;
const ROW_BYTES_MAX = VALUE_BYTES_MAX + 64;
const check = checker('BAD_OPERATION');

export const registerRow = ({ origin, key }: RegisterId): string => `${key}\0${origin}`;

export function registerOf(row: string): RegisterId {
  const end = row.length - ID_DIGITS;
  return { key: row.slice(0, end - 1), origin: row.slice(end) as PeerId };
}

/** Base 36, fixed width: rows sort by number. */
const seqText = (seq: number): string => seq.toString(36).padStart(SEQ_DIGITS, '0');
export const logRow = ({ origin, epoch, seq }: Pick<Operation, 'origin' | 'epoch' | 'seq'>): string => `${origin}${epoch}${seqText(seq)}`;

export const vectorRow = ({ origin, epoch }: Pick<Operation, 'origin' | 'epoch'>): string => `${origin}${epoch}`;

export function vectorOf(row: string): Pick<Operation, 'origin' | 'epoch'> {
  const origin = row.slice(0, ID_DIGITS);
  const epoch = row.slice(ID_DIGITS);
  if (!isId(origin) || !isEpochId(epoch)) check.fail('a vector row');
  return { origin: origin as PeerId, epoch: epoch as EpochId };
}

export const encodeOperation = (operation: Operation): Buffer =>
  encode([idToBytes(operation.epoch), operation.seq, operation.lamport, operation.value]);

/** @throws PeerError BAD_OPERATION */
export function decodeOperation({ origin, key }: RegisterId, row: Uint8Array): Operation {
  const [epoch, seq, lamport, value] = check.list(decode(row, { bytesMax: ROW_BYTES_MAX, code: 'BAD_OPERATION' }), 4);
  return {
    origin,
    key,
    epoch: check.epoch(epoch),
    seq: check.count(seq, 1),
    lamport: check.lamport(lamport),
    value: value === null ? null : check.bytes(value, { atMost: VALUE_BYTES_MAX }),
  };
}

/** @throws PeerError BAD_OPERATION */
export const decodeCount = (bytes: Uint8Array): number => check.count(decode(bytes, { bytesMax: 16, code: 'BAD_OPERATION' }));
