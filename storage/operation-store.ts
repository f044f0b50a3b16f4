// Where operations lie on disk: registers, the log that is their index by origin, and heads, always written together in one synced
// and numbered commit. How a row looks is in operation-rows.ts, how lost commits are noticed in commit-log.ts.
import type { AbstractSnapshot as Snapshot } from 'abstract-level';
import { strict as assert } from 'node:assert';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { checker } from '../lib/check.ts';
import { encode } from '../lib/codec.ts';
import { type EpochId, type NetworkId, type PeerId, randomEpochId } from '../lib/ids.ts';
import { isEvent, kindOf, unitedNetwork, USER_DATA_RANGES } from '../lib/kinds.ts';
import type { Operation } from '../lib/operation.ts';
import { stampToText } from '../lib/stamp-text.ts';
import type { Vector } from '../lib/vector.ts';
import { Aside } from './aside.ts';
import { CommitLog, type Missing } from './commit-log.ts';
import type { Database } from './database.ts';
import { EventLog, WHOLE } from './event-log.ts';
import type { OperationBatch, RegisterId, StoredState } from './operation-batch.ts';
import {
  decodeCount,
  decodeMerging,
  decodeOperation,
  decodeState,
  encodeMerging,
  encodeOperation,
  encodeState,
  logRow,
  type OperationSections,
  operationSections,
  registerOf,
  registerRow,
  type StateRow,
  vectorOf,
  vectorRow,
} from './operation-rows.ts';
import { type Salvaged, salvage, unfinished } from './salvage.ts';

const READ_AT_ONCE = 512;
const GENERATIONS_SWEPT = 8;
/** Rows put together before the event loop gets its turn: some 5 ms, while beats go every 300. */
const ROWS_PER_TURN = 512;
const check = checker('BAD_OPERATION');

export class OperationStore {
  readonly #database: Database;
  readonly #network: string;
  readonly #commits: CommitLog;
  /** Where large deltas lie on their way in. */
  readonly aside: Aside;
  readonly eventLog: EventLog;
  #sections: OperationSections;
  #state: StateRow = decodeState(undefined);
  #missing: Missing | null = null;

  /** @param network the hash of its key */
  constructor(database: Database, network: string) {
    this.#database = database;
    this.#network = network;
    this.#sections = operationSections(database, network, 0);
    this.eventLog = new EventLog({ database, held: this, rows: this.#sections.stamps });
    this.#commits = new CommitLog(database, network);
    this.aside = new Aside(join(dirname(database.location), 'aside', network));
  }

  async load(): Promise<StoredState> {
    const { meta } = this.#sections;
    const [digest, state, merging, lamportOfBefore] = await meta.getMany(['digest', 'state', 'merging', 'lamport']);
    this.#state = decodeState(state);
    // databases of before kept this alone
    if (!state && lamportOfBefore) this.#state = { ...this.#state, lamport: decodeCount(lamportOfBefore) };
    const { generation, lamport, network } = this.#state;
    this.#enter(operationSections(this.#database, this.#network, generation));
    const lost = await this.#commits.load();
    this.#missing = lost ?? (await unfinished(this.#sections))?.missing ?? null;
    if (!this.#missing) await this.eventLog.complete();
    // a crash may have left several
    for (let old = Math.max(0, generation - GENERATIONS_SWEPT); old < generation; old++) await this.#sweep(old);
    const halfMerged = merging ? decodeMerging(merging) : null;
    await this.aside.clear(halfMerged?.aside);
    // an origin that can never be merged to its end holds operations that no head claims, and nobody would ever notice
    if (halfMerged && !(await this.aside.isWhole(halfMerged.aside, halfMerged.pieces))) this.#missing ??= { first: 0, commits: 0 };
    return {
      vectors: await this.#vectors(),
      digest: digest ?? null,
      lamport,
      network,
      united: await this.#united(),
      user: await this.#holdsUserData(),
      merging: halfMerged,
      missing: this.#missing,
    };
  }

  #enter(sections: OperationSections): void {
    this.#sections = sections;
    this.eventLog.rows = sections.stamps;
  }

  async #vectors(): Promise<Map<PeerId, Map<EpochId, number>>> {
    const vectors = new Map<PeerId, Map<EpochId, number>>();
    for await (const [row, bytes] of this.#sections.vectors.iterator()) {
      const { origin, epoch } = vectorOf(row);
      const vector = vectors.get(origin) ?? new Map<EpochId, number>();
      vectors.set(origin, vector.set(epoch, decodeCount(bytes)));
    }
    return vectors;
  }

  async #united(): Promise<NetworkId[]> {
    const united: NetworkId[] = [];
    for await (const operations of this.registers('unite/')) {
      for (const { key, value } of operations) {
        const id = value && unitedNetwork(key);
        if (id) united.push(id);
      }
    }
    return united;
  }

  async #holdsUserData(): Promise<boolean> {
    for (const range of USER_DATA_RANGES) for await (const _ of this.#sections.registers.keys({ ...range, limit: 1 })) return true;
    return false;
  }

  /** Puts right what `load` found: see salvage.ts. A crash on the way is found by the next `load`.
   *  @param self whose operations are kept whatever they are */
  async salvage(self: PeerId, epoch: EpochId = randomEpochId()): Promise<Salvaged> {
    assert(this.#missing, 'a salvage of what is whole');
    return salvage({ sections: this.#sections, commits: this.#commits, missing: this.#missing, self, epoch });
  }

  /** The held operation of each register, or undefined, in the order asked. */
  async held(registers: readonly RegisterId[]): Promise<(Operation | undefined)[]> {
    const held: (Operation | undefined)[] = [];
    for (let i = 0; i < registers.length; i += READ_AT_ONCE) {
      const some = registers.slice(i, i + READ_AT_ONCE);
      const rows = await this.#sections.registers.getMany(some.map(registerRow));
      for (const [j, row] of rows.entries()) held.push(row && decodeOperation(some[j] as RegisterId, row));
    }
    return held;
  }

  /** Resolves when the batch is on the disk, not merely written: a head must never run ahead of what it claims. One at a time,
   *  after `load`. */
  async commit(batch: OperationBatch): Promise<void> {
    assert(!this.#missing, 'a commit onto heads that claim what is gone');
    const { registers: { prefix: registers }, log: { prefix: log }, vectors: { prefix: vectors }, stamps: { prefix: stamps }, meta: { prefix: meta } } = this.#sections;
    const rows = this.#commits.begin();
    let count = 0;
    for (const operation of batch.superseded) {
      rows.del(log + logRow(operation));
      if (isEvent(operation.key)) rows.del(stamps + stampToText(operation));
      if (++count % ROWS_PER_TURN === 0) await setImmediate();
    }
    for (const operation of batch.puts) {
      rows.put(registers + registerRow(operation), encodeOperation(operation));
      const key = Buffer.from(operation.key);
      rows.put(log + logRow(operation), key);
      if (isEvent(operation.key)) rows.put(stamps + stampToText(operation), key);
      if (++count % ROWS_PER_TURN === 0) await setImmediate();
    }
    for (const moved of batch.heads) rows.put(vectors + vectorRow(moved), encode(moved.head));
    const { network = this.#state.network } = batch;
    const state = { lamport: batch.lamport, network, generation: this.#state.generation + (batch.drop ? 1 : 0) };
    rows.put(`${meta}digest`, batch.digest);
    rows.put(`${meta}state`, encodeState(state));
    if (batch.merging) rows.put(`${meta}merging`, encodeMerging(batch.merging));
    else if (batch.merging === null || batch.drop) rows.del(`${meta}merging`);
    const next = batch.drop ? operationSections(this.#database, this.#network, state.generation) : undefined;
    // of nothing the index is whole
    if (next) rows.put(next.stamps.prefix + WHOLE, new Uint8Array(0));
    await this.#commits.commit(rows);
    this.#state = state;
    if (!next) return;
    this.#enter(next);
    // what a crash leaves of it, the next start sweeps
    this.#sweep(state.generation - 1).catch(() => undefined);
  }

  async #sweep(generation: number): Promise<void> {
    const { registers, log, vectors, stamps } = operationSections(this.#database, this.#network, generation);
    await Promise.all([registers, log, vectors, stamps].map((old) => old.clear()));
  }

  /** A view of the store that later commits do not change. Close it. */
  snapshot(): Snapshot {
    return this.#database.snapshot();
  }

  /** Every held operation of `origin` beyond `base`, in no order that matters, some hundred at a time. */
  beyond(origin: PeerId, base: Vector, until: Vector, snapshot: Snapshot): AsyncGenerator<Operation[]> {
    // those of this moment, which is the snapshot's: what is read later may be another network's
    return this.#beyond({ origin, base, until, snapshot }, this.#sections);
  }

  async *#beyond(
    { origin, base, until, snapshot }: { readonly origin: PeerId; readonly base: Vector; readonly until: Vector; readonly snapshot: Snapshot },
    sections: OperationSections,
  ): AsyncGenerator<Operation[]> {
    for (const [epoch, head] of until) {
      const from = (base.get(epoch) ?? 0) + 1;
      if (from > head) continue;
      const range = { gte: logRow({ origin, epoch, seq: from }), lte: logRow({ origin, epoch, seq: head }), snapshot };
      const rows = sections.log.values(range);
      try {
        for (let keys = await rows.nextv(READ_AT_ONCE); keys.length > 0; keys = await rows.nextv(READ_AT_ONCE)) {
          const registers = keys.map((key) => ({ origin, key: Buffer.from(key).toString() }));
          const found = await sections.registers.getMany(registers.map(registerRow), { snapshot });
          yield found.map((row, i) => decodeOperation(registers[i] as RegisterId, row ?? check.fail('a log row without its register')));
        }
      } finally {
        await rows.close();
      }
    }
  }

  /** All registers whose key starts with `prefix`, ordered by key and origin: what views are built from. */
  async *registers(prefix: string): AsyncGenerator<Operation[]> {
    // U+10FFFF is no character and the last of UTF-8; U+FFFF would leave out keys that go on with an emoji
    const rows = this.#sections.registers.iterator({ gte: prefix, lt: `${prefix}\u{10ffff}` });
    try {
      for (let found = await rows.nextv(READ_AT_ONCE); found.length > 0; found = await rows.nextv(READ_AT_ONCE)) {
        yield found.map(([row, bytes]) => decodeOperation(registerOf(row), bytes));
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
      const [row] = await this.#sections.registers.keys({ gte: from, limit: 1 }).all();
      if (row === undefined) return;
      const { key } = registerOf(row);
      const kind = kindOf(key);
      if (!seen.has(kind)) yield kind;
      seen.add(kind);
      // past everything that begins with the kind and a slash, or past the key that is the kind alone
      from = key === kind ? `${kind}\x01` : `${kind}0`;
    }
  }
}
