// What this machine shares: keeps the own `holding` and `copy` registers equal to what is really on its disk. The scanner and
// the cache report changes one by one; `reconcile` compares the whole, after a scan and when a backup of ours brought
// back registers that the disk contradicts.
import { codeOf } from '../lib/errors.ts';
import { answeredUntil, encodeHere, forgetKey, forgottenAt, HERE_KEY } from '../lib/forget.ts';
import type { FileId, PayloadId, SongId } from '../lib/ids.ts';
import { copyKey, encodeHolding, type FileDescription, holdingKey } from '../lib/song.ts';
import type { Value } from '../lib/operation.ts';
import type { FileStore } from '../storage/file-store.ts';
import type { OperationStore } from '../storage/operation-store.ts';
import type { Replica } from './replication/replica.ts';
import { TRUE } from './replication/replication.ts';
import type { Change } from './replication/transaction.ts';

/** Registers in one write, so that songs show while a long scan still runs. */
const CHANGES_MAX = 256;

export class Library {
  readonly #replica: Replica;
  readonly #store: OperationStore;
  readonly #files: FileStore;
  readonly #cached: () => Iterable<PayloadId>;
  readonly #pending = new Map<string, Value | null>();
  /** Registers that were reported while a reconciliation reads: what it read of them may be older. */
  #reported: Set<string> | undefined;
  #reconciling: Promise<void> = Promise.resolve();
  #writing: Promise<void> | undefined;
  readonly #onError: (error: unknown) => void;

  constructor(options: {
    readonly replica: Replica;
    readonly store: OperationStore;
    readonly files: FileStore;
    /** Payloads that the cache holds whole. */
    readonly cached: () => Iterable<PayloadId>;
    readonly onError: (error: unknown) => void;
  }) {
    this.#replica = options.replica;
    this.#store = options.store;
    this.#files = options.files;
    this.#cached = options.cached;
    this.#onError = options.onError;
  }

  found(description: FileDescription): void {
    this.#report(holdingKey(description.song, description.file), encodeHolding(description));
  }

  /** A path is gone; its file may have another one. */
  async lost({ song, file }: { readonly song: SongId; readonly file: FileId }): Promise<void> {
    if ((await this.#files.pathsOfFile(file)).length === 0) this.#report(holdingKey(song, file), null);
  }

  cached(payload: PayloadId): void {
    this.#report(copyKey(payload), TRUE);
  }

  evicted(payload: PayloadId): void {
    this.#report(copyKey(payload), null);
  }

  /** Writes whatever the own registers say otherwise than the disk does. */
  reconcile(): Promise<void> {
    this.#reconciling = this.#reconciling.catch(() => undefined).then(() => this.#compare());
    return this.#reconciling;
  }

  async #compare(): Promise<void> {
    const reported = new Set<string>();
    this.#reported = reported;
    const correct = (key: string, value: Value | null): void => {
      if (!reported.has(key)) this.#set(key, value);
    };
    const truth = new Map<string, Value>();
    for await (const { description } of this.#files.all()) {
      if (description) truth.set(holdingKey(description.song, description.file), encodeHolding(description));
    }
    for (const payload of this.#cached()) truth.set(copyKey(payload), TRUE);
    for (const prefix of ['holding/', 'copy/']) {
      for await (const operations of this.#store.registers(prefix)) {
        for (const { origin, key, value } of operations) {
          if (origin !== this.#replica.self) continue;
          const real = truth.get(key) ?? null;
          truth.delete(key);
          const same = real === value || (real !== null && value !== null && Buffer.compare(real, value) === 0);
          if (!same) correct(key, real);
        }
      }
    }
    for (const [key, value] of truth) correct(key, value);
    await this.#answerForgets();
    this.#reported = undefined;
    await this.settled();
  }

  /** Somebody told the network that this machine would not return, and it is here. */
  async #answerForgets(): Promise<void> {
    const { self } = this.#replica;
    const [here] = await this.#store.held([{ origin: self, key: HERE_KEY }]);
    let forgotten = 0;
    for await (const operations of this.#store.registers(forgetKey(self))) forgotten = Math.max(forgotten, forgottenAt(operations));
    if (answeredUntil(here) < forgotten) this.#set(HERE_KEY, encodeHere(forgotten));
  }

  /** Resolves when everything reported so far is on disk. */
  async settled(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  #report(key: string, value: Value | null): void {
    this.#reported?.add(key);
    this.#set(key, value);
  }

  #set(key: string, value: Value | null): void {
    this.#pending.set(key, value);
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    while (this.#pending.size > 0) {
      const changes: Change[] = [];
      for (const [key, value] of this.#pending) {
        changes.push({ key, value });
        if (changes.length === CHANGES_MAX) break;
      }
      for (const { key } of changes) this.#pending.delete(key);
      try {
        await this.#replica.write(changes);
      } catch (error) {
        // the next reconciliation finds what is missing; among clones it waits until only one is left
        if (codeOf(error) !== 'CLONE') this.#onError(error);
      }
    }
    this.#writing = undefined;
  }
}
