// Where operations lie on disk. Four sections, always written together in one synced batch:
//   registers  `key \0 origin`         -> the winning operation of that register, [epoch, seq, lamport, value]
//   log        `origin epoch seq`      -> the key, for winners only: what a delta walks through
//   stamps     stamp                   -> the key, for winners that people made: the event log (event-log.ts)
//   vectors    `origin epoch`          -> head
// Rows of a key lie together whatever their origin, because views merge a key over all origins.
import type { AbstractSnapshot as Snapshot } from 'abstract-level';
import { join, dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { checker } from '../lib/check.ts';
import { decode, encode } from '../lib/codec.ts';
import { type EpochId, hex, idToBytes, isEpochId, isId, type NetworkId, type PeerId } from '../lib/ids.ts';
import { isEvent, kindOf, unitedNetwork, USER_DATA_RANGES } from '../lib/kinds.ts';
import { VALUE_BYTES_MAX } from '../lib/limits.ts';
import type { Operation } from '../lib/operation.ts';
import { stampToText } from '../lib/stamp-text.ts';
import { type Vector, vectorFromTuples, vectorToTuples } from '../lib/vector.ts';
import { Aside } from './aside.ts';
import { type Database, type Section, section, written } from './database.ts';
import { EventLog, WHOLE } from './event-log.ts';
import type { Merging, OperationBatch, RegisterId, StoredState } from './operation-batch.ts';

const ROW_BYTES_MAX = VALUE_BYTES_MAX + 64;
/** A vector of EPOCHS_PER_ORIGIN_MAX. */
const MERGING_BYTES_MAX = 256 * 1024;
const SEQ_DIGITS = 11;
const READ_AT_ONCE = 512;
/** Rows put together before the event loop gets its turn: some 5 ms, while beats go every 300. */
const ROWS_PER_TURN = 512;
const check = checker('BAD_OPERATION');

const registerRow = ({ origin, key }: RegisterId): string => `${key}\0${origin}`;
/** Base 36, fixed width: rows sort by number. */
const seqText = (seq: number): string => seq.toString(36).padStart(SEQ_DIGITS, '0');
const logRow = ({ origin, epoch, seq }: Pick<Operation, 'origin' | 'epoch' | 'seq'>): string => `${origin}${epoch}${seqText(seq)}`;

const encodeRow = (operation: Operation): Buffer => encode([idToBytes(operation.epoch), operation.seq, operation.lamport, operation.value]);

function decodeRow({ origin, key }: RegisterId, row: Uint8Array): Operation {
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

const encodeMerging = ({ aside, origin, vector, pieces, done }: Merging): Buffer => encode([aside, idToBytes(origin), vectorToTuples(vector), pieces, done]);

function decodeMerging(row: Uint8Array): Merging {
  const [aside, origin, vector, pieces, done] = check.list(decode(row, { bytesMax: MERGING_BYTES_MAX, code: 'BAD_OPERATION' }), 5);
  return { aside: check.text(aside, 64), origin: check.id<PeerId>(origin), vector: vectorFromTuples(vector), pieces: check.count(pieces, 1), done: check.count(done) };
}

export class OperationStore {
  readonly #database: Database;
  readonly #network: string;
  readonly #meta: Section;
  /** Counts how often everything was dropped. The sections of a count that is over are deleted at leisure, so that dropping is
   *  one small batch, whole or not at all. */
  #generation = 0;
  #registers: Section;
  #log: Section;
  #vectors: Section;
  /** Where large deltas lie on their way in. */
  readonly aside: Aside;
  readonly eventLog: EventLog;

  /** @param network the hash of its key: each network a peer was ever in keeps its own operations, so that none leak into
   *  another, not even of the same name */
  constructor(database: Database, network: string) {
    this.#database = database;
    this.#network = network;
    let stamps: Section;
    [this.#registers, this.#log, this.#vectors, stamps] = this.#sections(0);
    this.eventLog = new EventLog({ database, held: this, rows: stamps });
    this.#meta = section(database, `replication@${network}`);
    this.aside = new Aside(join(dirname(database.location), 'aside', network));
  }

  #sections(generation: number): [registers: Section, log: Section, vectors: Section, stamps: Section] {
    const suffix = generation === 0 ? this.#network : `${this.#network}.${generation}`;
    const database = this.#database;
    return [section(database, `registers@${suffix}`), section(database, `log@${suffix}`), section(database, `vectors@${suffix}`), section(database, `stamps@${suffix}`)];
  }

  async load(): Promise<StoredState> {
    const generation = await this.#meta.get('generation');
    this.#generation = generation ? this.#number(generation) : 0;
    [this.#registers, this.#log, this.#vectors, this.eventLog.rows] = this.#sections(this.#generation);
    await this.eventLog.complete();
    if (this.#generation > 0) await this.#sweep(this.#generation - 1);
    const vectors = new Map<PeerId, Map<EpochId, number>>();
    for await (const [row, bytes] of this.#vectors.iterator()) {
      const origin = row.slice(0, 32);
      const epoch = row.slice(32);
      if (!isId(origin) || !isEpochId(epoch)) check.fail('a vector row');
      const vector = vectors.get(origin as PeerId) ?? new Map<EpochId, number>();
      vectors.set(origin as PeerId, vector.set(epoch as EpochId, this.#number(bytes)));
    }
    const [digest, lamport, network, merging] = await this.#meta.getMany(['digest', 'lamport', 'network', 'merging']);
    const united: NetworkId[] = [];
    for await (const operations of this.registers('unite/')) {
      for (const { key, value } of operations) {
        const id = value && unitedNetwork(key);
        if (id) united.push(id);
      }
    }
    const halfMerged = merging ? decodeMerging(merging) : null;
    await this.aside.clear(halfMerged?.aside);
    return {
      vectors,
      digest: digest ?? null,
      lamport: lamport ? this.#number(lamport) : 0,
      network: network ? (hex(network) as NetworkId) : null,
      united,
      user: await this.#holdsUserData(),
      merging: halfMerged,
    };
  }

  async #holdsUserData(): Promise<boolean> {
    for (const range of USER_DATA_RANGES) for await (const _ of this.#registers.keys({ ...range, limit: 1 })) return true;
    return false;
  }

  /** The held operation of each register, or undefined, in the order asked. */
  async held(registers: readonly RegisterId[]): Promise<(Operation | undefined)[]> {
    const held: (Operation | undefined)[] = [];
    for (let i = 0; i < registers.length; i += READ_AT_ONCE) {
      const some = registers.slice(i, i + READ_AT_ONCE);
      const rows = await this.#registers.getMany(some.map(registerRow));
      for (const [j, row] of rows.entries()) held.push(row && decodeRow(some[j] as RegisterId, row));
    }
    return held;
  }

  /** Resolves when the batch is on the disk, not merely written: a head must never run ahead of what it claims. */
  async commit(batch: OperationBatch): Promise<void> {
    const chain = this.#database.batch();
    const next = batch.drop ? this.#sections(this.#generation + 1) : undefined;
    if (next) {
      chain.put('generation', encode(this.#generation + 1), { sublevel: this.#meta }).del('merging', { sublevel: this.#meta });
      // of nothing the index is whole
      chain.put(WHOLE, new Uint8Array(0), { sublevel: next[3] });
    }
    let rows = 0;
    for (const operation of batch.superseded) {
      chain.del(logRow(operation), { sublevel: this.#log });
      if (isEvent(operation.key)) chain.del(stampToText(operation), { sublevel: this.eventLog.rows });
      if (++rows % ROWS_PER_TURN === 0) await setImmediate();
    }
    for (const operation of batch.puts) {
      chain.put(registerRow(operation), encodeRow(operation), { sublevel: this.#registers });
      const key = Buffer.from(operation.key);
      chain.put(logRow(operation), key, { sublevel: this.#log });
      if (isEvent(operation.key)) chain.put(stampToText(operation), key, { sublevel: this.eventLog.rows });
      if (++rows % ROWS_PER_TURN === 0) await setImmediate();
    }
    for (const { origin, epoch, head } of batch.heads) chain.put(`${origin}${epoch}`, encode(head), { sublevel: this.#vectors });
    chain.put('digest', batch.digest, { sublevel: this.#meta });
    chain.put('lamport', encode(batch.lamport), { sublevel: this.#meta });
    if (batch.network) chain.put('network', idToBytes(batch.network), { sublevel: this.#meta });
    if (batch.merging) chain.put('merging', encodeMerging(batch.merging), { sublevel: this.#meta });
    else if (batch.merging === null) chain.del('merging', { sublevel: this.#meta });
    await written(this.#database, () => chain.write({ sync: true }));
    if (!next) return;
    this.#generation += 1;
    [this.#registers, this.#log, this.#vectors, this.eventLog.rows] = next;
    // what a crash leaves of it, the next start sweeps
    this.#sweep(this.#generation - 1).catch(() => undefined);
  }

  async #sweep(generation: number): Promise<void> {
    await Promise.all(this.#sections(generation).map((old) => old.clear()));
  }

  /** A view of the store that later commits do not change. Close it. */
  snapshot(): Snapshot {
    return this.#database.snapshot();
  }

  /** Every held operation of `origin` beyond `base`, in no order that matters, some hundred at a time. */
  async *beyond(origin: PeerId, base: Vector, until: Vector, snapshot: Snapshot): AsyncGenerator<Operation[]> {
    for (const [epoch, head] of until) {
      const from = (base.get(epoch) ?? 0) + 1;
      if (from > head) continue;
      const range = { gte: logRow({ origin, epoch, seq: from }), lte: logRow({ origin, epoch, seq: head }), snapshot };
      const rows = this.#log.values(range);
      try {
        for (let keys = await rows.nextv(READ_AT_ONCE); keys.length > 0; keys = await rows.nextv(READ_AT_ONCE)) {
          const registers = keys.map((key) => ({ origin, key: Buffer.from(key).toString() }));
          const found = await this.#registers.getMany(registers.map(registerRow), { snapshot });
          yield found.map((row, i) => decodeRow(registers[i] as RegisterId, row ?? check.fail('a log row without its register')));
        }
      } finally {
        await rows.close();
      }
    }
  }

  /** All registers whose key starts with `prefix`, ordered by key and origin: what views are built from. */
  async *registers(prefix: string): AsyncGenerator<Operation[]> {
    // U+10FFFF is no character and the last of UTF-8; U+FFFF would leave out keys that go on with an emoji
    const rows = this.#registers.iterator({ gte: prefix, lt: `${prefix}\u{10ffff}` });
    try {
      for (let found = await rows.nextv(READ_AT_ONCE); found.length > 0; found = await rows.nextv(READ_AT_ONCE)) {
        yield found.map(([row, bytes]) => {
          const end = row.length - 32;
          return decodeRow({ key: row.slice(0, end - 1), origin: row.slice(end) as PeerId }, bytes);
        });
      }
    } finally {
      await rows.close();
    }
  }

  /** The kinds of all keys, by leaps from one to the next: what there are a million of costs one step. */
  async *kinds(): AsyncGenerator<string> {
    const seen = new Set<string>();
    let from = '';
    for (;;) {
      const [row] = await this.#registers.keys({ gte: from, limit: 1 }).all();
      if (row === undefined) return;
      const key = row.slice(0, row.length - 33);
      const kind = kindOf(key);
      if (!seen.has(kind)) yield kind;
      seen.add(kind);
      // past everything that begins with the kind and a slash, or past the key that is the kind alone
      from = key === kind ? `${kind}\x01` : `${kind}0`;
    }
  }

  #number(bytes: Uint8Array): number {
    return check.count(decode(bytes, { bytesMax: 16, code: 'BAD_OPERATION' }));
  }
}
