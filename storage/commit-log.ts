// Commits are numbered, so that a lost one is noticed. LevelDB's recovery drops the records of its log that a damaged page
// touches, and keeps the later ones without a word: heads would then claim operations that are gone. A commit is one record
// (docs/decisions/0011-commit-ring.md), so it is there whole or not at all; commit n leaves its number in slot n mod
// COMMITS_KEPT, and a number that is not in its slot at the next start is a commit that was lost.
import { strict as assert } from 'node:assert';
import { type Batch, type Database, type Section, section, written } from './database.ts';

/** Commits that can still lie in LevelDB's log, and so be lost with a page of it: what lies in tables is no longer there. A log
 *  ends when its memtable holds 4 MiB, and two are alive at most. The smallest commit, of one head alone, puts five rows into
 *  the memtable: 172 bytes, five times the network's hash (16), and for each row 26 bytes of the table itself; 382 bytes in
 *  all. So two logs hold less than 22,000 commits. */
export const COMMITS_KEPT = 32_768;

/** Commits that are gone although later ones are there. */
export interface Missing {
  /** The number of the first. */
  readonly first: number;
  readonly commits: number;
}

const SLOT_DIGITS = 4;
const READ_AT_ONCE = 4_096;

/** Base 36, fixed width: slots sort by number. */
const slotRow = (number: number): string => (number % COMMITS_KEPT).toString(36).padStart(SLOT_DIGITS, '0');

export class CommitLog {
  readonly #database: Database;
  readonly #slots: Section;
  readonly #meta: Section;
  /** The number of the latest commit, once it was read. */
  #latest: number | undefined;
  /** What the next commit writes down: up to this number nothing need be looked for. */
  #settled: number | undefined;

  constructor(database: Database, network: string) {
    this.#database = database;
    this.#slots = section(database, `commits@${network}`);
    this.#meta = section(database, `replication@${network}`);
  }

  /** Looks for commits that are missing. All slots are looked at, some 15 ms when all are taken, and not those alone that were
   *  written since the last start and can still lie in a log: whole tables are lost where the list of tables is damaged. */
  async load(): Promise<Missing | null> {
    const [latest, settled] = (await this.#meta.getMany(['commit', 'settled'], { valueEncoding: 'utf8' })).map((text) => Number(text ?? 0));
    this.#latest = latest as number;
    return this.#missing(settled as number, this.#latest);
  }

  /** What is missing is known from now on: the next commit writes down that it need not be looked for. */
  settle(): void {
    this.#settled = this.#latest;
  }

  begin(): Batch {
    return this.#database.batch();
  }

  /** Writes `batch` as the next commit; one at a time. Resolves when it is on the disk, not merely written: a head must never
   *  run ahead of what it claims. */
  async commit(batch: Batch): Promise<void> {
    assert(this.#latest !== undefined, 'a commit before the numbers were read');
    const number = this.#latest + 1;
    const text = Buffer.from(String(number));
    batch.put(this.#slots.prefix + slotRow(number), text);
    batch.put(`${this.#meta.prefix}commit`, text);
    if (this.#settled !== undefined) batch.put(`${this.#meta.prefix}settled`, Buffer.from(String(this.#settled)));
    await written(this.#database, () => batch.write({ sync: true }));
    this.#latest = number;
    this.#settled = undefined;
  }

  async #missing(settled: number, latest: number): Promise<Missing | null> {
    const before = Math.max(settled, latest - COMMITS_KEPT);
    const present = new Uint8Array(latest - before);
    if (present.length === 0) return null;
    const [from, to] = [slotRow(before + 1), slotRow(latest)];
    for (const range of from <= to ? [{ gte: from, lte: to }] : [{ gte: from }, { lte: to }]) {
      const numbers = this.#slots.values({ ...range, valueEncoding: 'utf8' });
      try {
        for (let some = await numbers.nextv(READ_AT_ONCE); some.length > 0; some = await numbers.nextv(READ_AT_ONCE)) {
          for (const number of some) if (Number(number) > before) present[Number(number) - before - 1] = 1;
        }
      } finally {
        await numbers.close();
      }
    }
    const gap = present.indexOf(0);
    return gap < 0 ? null : { first: before + 1 + gap, commits: present.filter((one) => one === 0).length };
  }
}
