// Where operations lie on disk: registers, the log that is their index by origin, and heads, always written together in one synced
// and numbered commit. How a row looks is in operation-rows.ts, how lost commits are noticed in commit-log.ts.
import type { AbstractSnapshot as Snapshot } from 'abstract-level';
import { strict as assert } from 'node:assert';
import { setImmediate } from 'node:timers/promises';
import { checker } from '../lib/check.ts';
import { encode } from '../lib/codec.ts';
import { type EpochId, type PeerId, randomEpochId } from '../lib/ids.ts';
import type { Lamport } from '../lib/lamport.ts';
import type { Operation } from '../lib/operation.ts';
import type { Vector } from '../lib/vector.ts';
import { CommitLog, type Missing } from './commit-log.ts';
import type { Database } from './database.ts';
import {
  decodeCount,
  decodeOperation,
  encodeOperation,
  logRow,
  type OperationSections,
  operationSections,
  type RegisterId,
  registerOf,
  registerRow,
  vectorOf,
  vectorRow,
} from './operation-rows.ts';
import { type Salvaged, salvage, unfinished } from './salvage.ts';

export type { RegisterId } from './operation-rows.ts';

/** What one commit changes. */
export interface OperationBatch {
  readonly puts: readonly Operation[];
  /** Log rows of operations that `puts` supersede. */
  readonly superseded: readonly Operation[];
  readonly heads: readonly { readonly origin: PeerId; readonly epoch: EpochId; readonly head: number }[];
  readonly digest: Uint8Array;
  readonly lamport: Lamport;
}

export interface StoredState {
  readonly vectors: Map<PeerId, Map<EpochId, number>>;
  readonly digest: Uint8Array | null;
  readonly lamport: Lamport;
  /** Commits that the disk lost: nothing else here may be relied on, nor anything written, before `salvage` and another `load`. */
  readonly missing: Missing | null;
}

const READ_AT_ONCE = 512;
/** Rows put together before the event loop gets its turn: some 5 ms, while beats go every 300. */
const ROWS_PER_TURN = 512;
const check = checker('BAD_OPERATION');

export class OperationStore {
  readonly #database: Database;
  readonly #sections: OperationSections;
  readonly #commits: CommitLog;
  #missing: Missing | null = null;

  /** @param network the hash of its key */
  constructor(database: Database, network: string) {
    this.#database = database;
    this.#sections = operationSections(database, network);
    this.#commits = new CommitLog(database, network);
  }

  async load(): Promise<StoredState> {
    const lost = await this.#commits.load();
    this.#missing = lost ?? (await unfinished(this.#sections))?.missing ?? null;
    const vectors = new Map<PeerId, Map<EpochId, number>>();
    for await (const [row, bytes] of this.#sections.vectors.iterator()) {
      const { origin, epoch } = vectorOf(row);
      const vector = vectors.get(origin) ?? new Map<EpochId, number>();
      vectors.set(origin, vector.set(epoch, decodeCount(bytes)));
    }
    const [digest, lamport] = await this.#sections.meta.getMany(['digest', 'lamport']);
    return { vectors, digest: digest ?? null, lamport: lamport ? decodeCount(lamport) : 0, missing: this.#missing };
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
    const [registers, log, vectors, meta] = [this.#sections.registers.prefix, this.#sections.log.prefix, this.#sections.vectors.prefix, this.#sections.meta.prefix];
    const rows = this.#commits.begin();
    let count = 0;
    for (const operation of batch.superseded) {
      rows.del(log + logRow(operation));
      if (++count % ROWS_PER_TURN === 0) await setImmediate();
    }
    for (const operation of batch.puts) {
      rows.put(registers + registerRow(operation), encodeOperation(operation));
      rows.put(log + logRow(operation), Buffer.from(operation.key));
      if (++count % ROWS_PER_TURN === 0) await setImmediate();
    }
    for (const moved of batch.heads) rows.put(vectors + vectorRow(moved), encode(moved.head));
    rows.put(`${meta}digest`, batch.digest);
    rows.put(`${meta}lamport`, encode(batch.lamport));
    await this.#commits.commit(rows);
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
      const rows = this.#sections.log.values(range);
      try {
        for (let keys = await rows.nextv(READ_AT_ONCE); keys.length > 0; keys = await rows.nextv(READ_AT_ONCE)) {
          const registers = keys.map((key) => ({ origin, key: Buffer.from(key).toString() }));
          const found = await this.#sections.registers.getMany(registers.map(registerRow), { snapshot });
          yield found.map((row, i) => decodeOperation(registers[i] as RegisterId, row ?? check.fail('a log row without its register')));
        }
      } finally {
        await rows.close();
      }
    }
  }

  /** All registers whose key starts with `prefix`, ordered by key and origin: what views are built from. */
  async *registers(prefix: string): AsyncGenerator<Operation[]> {
    const rows = this.#sections.registers.iterator({ gte: prefix, lt: `${prefix}\uffff` });
    try {
      for (let found = await rows.nextv(READ_AT_ONCE); found.length > 0; found = await rows.nextv(READ_AT_ONCE)) {
        yield found.map(([row, bytes]) => decodeOperation(registerOf(row), bytes));
      }
    } finally {
      await rows.close();
    }
  }
}
