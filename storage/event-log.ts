// The event log: what people did, in the order of stamps, which is the same on every peer (Lamport 1978: the total order of
// events). It holds nothing of its own: one section is an index from stamps to keys, for the operations that people made and
// that won their registers, written in the same batch as these. So it is a function of the winners, like every view, and a
// million plays cost no memory. What needs history, such as a play, has a key of its own for each operation.
import { kindOf, isEvent } from '../lib/kinds.ts';
import { compareStamps, type Operation, type Stamp } from '../lib/operation.ts';
import { stampFromText, stampToText } from '../lib/stamp-text.ts';
import { type Database, type Section, written } from './database.ts';
import type { RegisterId } from './operation-batch.ts';

/** Where the operations themselves are read; the store. */
export interface HeldOperations {
  held(registers: readonly RegisterId[]): Promise<(Operation | undefined)[]>;
  /** The first parts of all keys there are. */
  kinds(): AsyncIterable<string>;
  registers(prefix: string): AsyncIterable<Operation[]>;
}

const READ_AT_ONCE = 512;
/** Half a megabyte; each is synced, because the mark must not outlive rows that it vouches for. */
const REBUILT_AT_ONCE = 4_096;
/** In the section of the index, after all rows: written when the index is whole. */
export const WHOLE = '~whole';

export class EventLog {
  readonly #database: Database;
  readonly #held: HeldOperations;
  /** stamp as text -> key. Whoever commits operations keeps it: a row for each event that wins, none for what it supersedes. */
  rows: Section;

  constructor({ database, held, rows }: { readonly database: Database; readonly held: HeldOperations; readonly rows: Section }) {
    this.#database = database;
    this.#held = held;
    this.rows = rows;
  }

  /** At most `limit` events later than `stamp` (null: from the first on), in order. Fewer are all that there are. */
  after(stamp: Stamp | null, limit: number): Promise<Operation[]> {
    return this.#read({ ...(stamp && { gt: stampToText(stamp) }), lt: WHOLE }, limit);
  }

  /** The latest `count` events, in order. */
  async last(count: number): Promise<Operation[]> {
    return (await this.#read({ lt: WHOLE, reverse: true }, count)).reverse();
  }

  /** Builds the index of a database that has none, or lost it in the middle of being built. */
  async complete(): Promise<void> {
    if (!(await this.rows.get(WHOLE))) await this.rebuild();
  }

  /** Makes the index anew from the registers, while nothing is committed. A crash in between is mended by `complete`. */
  async rebuild(): Promise<void> {
    await written(this.#database, () => this.#database.batch().del(WHOLE, { sublevel: this.rows }).write({ sync: true }));
    await this.rows.clear();
    let batch = this.#database.batch();
    for await (const kind of this.#held.kinds()) {
      if (!isEvent(kind)) continue;
      for await (const operations of this.#held.registers(kind)) {
        for (const operation of operations) {
          // kinds that merely begin alike come in their own turn
          if (kindOf(operation.key) === kind) batch.put(stampToText(operation), Buffer.from(operation.key), { sublevel: this.rows });
        }
        if (batch.length < REBUILT_AT_ONCE) continue;
        const full = batch;
        await written(this.#database, () => full.write({ sync: true }));
        batch = this.#database.batch();
      }
    }
    await written(this.#database, () => batch.put(WHOLE, new Uint8Array(0), { sublevel: this.rows }).write({ sync: true }));
  }

  async #read(range: { readonly gt?: string; readonly lt: string; readonly reverse?: boolean }, limit: number): Promise<Operation[]> {
    const events: Operation[] = [];
    const rows = this.rows.iterator(range);
    try {
      while (events.length < limit) {
        const found = await rows.nextv(Math.min(READ_AT_ONCE, limit - events.length));
        if (found.length === 0) break;
        const wanted = found.map(([row, key]) => ({ ...stampFromText(row), key: Buffer.from(key).toString() }));
        for (const [i, operation] of (await this.#held.held(wanted)).entries()) {
          // one that was superseded while this was read stands farther on
          if (operation && compareStamps(operation, wanted[i] as Stamp) === 0) events.push(operation);
        }
      }
    } finally {
      await rows.close();
    }
    return events;
  }
}
