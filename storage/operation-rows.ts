// How operations lie in the database, row by row: the names and bytes that the store writes and salvage reads. Sections of each
// network:
//   registers    `key \0 origin`      -> the winning operation of that register, [epoch, seq, lamport, value]
//   log          `origin epoch seq`   -> the key, for winners only: what a delta walks through
//   vectors      `origin epoch`       -> head
//   stamps       event-log.ts
//   replication  digest, state, merging, and what commit-log.ts and salvage.ts keep there
// Rows of a key lie together whatever their origin, because views merge a key over all origins.
import { checker } from '../lib/check.ts';
import { decode, encode } from '../lib/codec.ts';
import { type EpochId, idToBytes, isEpochId, isId, type NetworkId, type PeerId } from '../lib/ids.ts';
import type { Lamport } from '../lib/lamport.ts';
import { VALUE_BYTES_MAX } from '../lib/limits.ts';
import type { Operation } from '../lib/operation.ts';
import { vectorFromTuples, vectorToTuples } from '../lib/vector.ts';
import { type Database, type Section, section } from './database.ts';
import type { Merging, RegisterId } from './operation-batch.ts';

export interface OperationSections {
  readonly registers: Section;
  readonly log: Section;
  readonly vectors: Section;
  /** The event log's. */
  readonly stamps: Section;
  readonly meta: Section;
}

/** @param network the hash of its key: each network a peer was ever in keeps its own operations, so that none leak into
 *  another, not even of the same name
 *  @param generation counts how often everything was dropped. The sections of one that is over are deleted at leisure, so that
 *  dropping is one small batch, whole or not at all. */
export function operationSections(database: Database, network: string, generation: number): OperationSections {
  const held = generation === 0 ? network : `${network}.${generation}`;
  return {
    registers: section(database, `registers@${held}`),
    log: section(database, `log@${held}`),
    vectors: section(database, `vectors@${held}`),
    stamps: section(database, `stamps@${held}`),
    meta: section(database, `replication@${network}`),
  };
}

/** What belongs to the state as a whole: in one row that every commit writes, so that it is as true as the latest commit. */
export interface StateRow {
  readonly lamport: Lamport;
  readonly network: NetworkId | null;
  readonly generation: number;
}

const ID_DIGITS = 32;
const SEQ_DIGITS = 11;
const ROW_BYTES_MAX = VALUE_BYTES_MAX + 64;
const STATE_BYTES_MAX = 64;
/** A vector of EPOCHS_PER_ORIGIN_MAX. */
const MERGING_BYTES_MAX = 256 * 1024;
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

export const encodeState = ({ lamport, network, generation }: StateRow): Buffer => encode([lamport, network && idToBytes(network), generation]);

/** @throws PeerError BAD_OPERATION */
export function decodeState(row: Uint8Array | undefined): StateRow {
  if (!row) return { lamport: 0, network: null, generation: 0 };
  const [lamport, network, generation] = check.list(decode(row, { bytesMax: STATE_BYTES_MAX, code: 'BAD_OPERATION' }), 3);
  return { lamport: check.count(lamport), network: network === null ? null : check.id<NetworkId>(network), generation: check.count(generation) };
}

export const encodeMerging = ({ aside, origin, vector, pieces, done }: Merging): Buffer => encode([aside, idToBytes(origin), vectorToTuples(vector), pieces, done]);

/** @throws PeerError BAD_OPERATION */
export function decodeMerging(row: Uint8Array): Merging {
  const [aside, origin, vector, pieces, done] = check.list(decode(row, { bytesMax: MERGING_BYTES_MAX, code: 'BAD_OPERATION' }), 5);
  return { aside: check.text(aside, 64), origin: check.id<PeerId>(origin), vector: vectorFromTuples(vector), pieces: check.count(pieces, 1), done: check.count(done) };
}

/** @throws PeerError BAD_OPERATION */
export const decodeCount = (bytes: Uint8Array): number => check.count(decode(bytes, { bytesMax: 16, code: 'BAD_OPERATION' }));
