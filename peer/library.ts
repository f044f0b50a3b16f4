// What this machine shares: keeps the own `holding`, `copy` and `leaving` registers equal to what is really so. The scanner and
// the cache report changes one by one; `reconcile` compares the whole, after a scan and when a backup of ours brought
// back registers that the disk contradicts. Copies are compared before the first beat already: others drop theirs, and say what is
// safe, by what this machine says of itself.
import { codeOf } from '../lib/errors.ts';
import { answeredUntil, encodeHere, forgetKey, forgottenAt, HERE_KEY } from '../lib/forget.ts';
import type { FileId, PayloadId, SongId } from '../lib/ids.ts';
import { LEAVING_KEY, LEAVING_VALUE } from '../lib/leaving.ts';
import { copyKey, encodeCopy, encodeHolding, type FileDescription, holdingKey, parseCopyKey } from '../lib/song.ts';
import type { Value } from '../lib/operation.ts';
import type { FileStore } from '../storage/file-store.ts';
import type { OperationStore } from '../storage/operation-store.ts';
import type { Replica } from './replication/replica.ts';
import type { Change } from './replication/transaction.ts';

/** Registers in one write, so that songs show while a long scan still runs. */
const CHANGES_MAX = 256;

export class Library {
  readonly #replica: Replica;
  readonly #store: OperationStore;
  readonly #files: FileStore;
  readonly #copies: () => Iterable<readonly [PayloadId, readonly FileId[]]>;
  readonly #onCopyGone: (payload: PayloadId) => void;
  #leaving = false;
  readonly #pending = new Map<string, Value | null>();
  /** Registers that were reported while a reconciliation reads: what it read of them may be older. */
  #reported: Set<string> | undefined;
  #reconciling: Promise<void> = Promise.resolve();
  #writing: Promise<void> | undefined;
  /** Writes that failed, and how many of these had failed when a comparison began that has ended since: what they lacked is said. */
  #failed = 0;
  #madeGood = 0;
  readonly #onError: (error: unknown) => void;

  constructor(options: {
    readonly replica: Replica;
    readonly store: OperationStore;
    readonly files: FileStore;
    /** Payloads that the cache holds whole, each with the files that can be given whole. */
    readonly copies: () => Iterable<readonly [PayloadId, readonly FileId[]]>;
    /** A copy that this machine had said to have is not whole any more. */
    readonly onCopyGone: (payload: PayloadId) => void;
    readonly onError: (error: unknown) => void;
  }) {
    this.#replica = options.replica;
    this.#store = options.store;
    this.#files = options.files;
    this.#copies = options.copies;
    this.#onCopyGone = options.onCopyGone;
    this.#onError = options.onError;
  }

  found(description: FileDescription): void {
    this.#report(holdingKey(description.song, description.file), encodeHolding(description));
  }

  /** A path is gone; its file may have another one. */
  async lost({ song, file }: { readonly song: SongId; readonly file: FileId }): Promise<void> {
    if ((await this.#files.pathsOfFile(file)).length === 0) this.#report(holdingKey(song, file), null);
  }

  /** @param files those that can be given whole */
  cached(payload: PayloadId, files: readonly FileId[]): void {
    this.#report(copyKey(payload), encodeCopy(files));
  }

  evicted(payload: PayloadId): void {
    this.#report(copyKey(payload), null);
  }

  /** Whether this machine leaves is a matter of this start: the next one is here to stay. Resolves when it is on disk; where it cannot be
   *  written nobody is told, and all is as before. @throws PeerError DISK_FULL, DATA_FOLDER_UNUSABLE, CLONE */
  async setLeaving(leaving: boolean): Promise<void> {
    const before = this.#leaving;
    this.#leaving = leaving;
    // a comparison that is under way takes what was true when it began
    this.#reported?.add(LEAVING_KEY);
    this.#pending.delete(LEAVING_KEY);
    try {
      await this.#replica.write([{ key: LEAVING_KEY, value: leaving ? LEAVING_VALUE : null }]);
    } catch (error) {
      this.#leaving = before;
      throw error;
    }
  }

  get leaving(): boolean {
    return this.#leaving;
  }

  /** Writes whatever the own registers say otherwise than the disk does. */
  reconcile(): Promise<void> {
    return this.#enqueue({ files: true });
  }

  /** Likewise of `copy` and `leaving` alone, whose truth is known without a scan. */
  reconcileCopies(): Promise<void> {
    return this.#enqueue({ files: false });
  }

  #enqueue(what: { readonly files: boolean }): Promise<void> {
    this.#reconciling = this.#reconciling.catch(() => undefined).then(() => this.#compare(what));
    return this.#reconciling;
  }

  async #compare({ files: withFiles }: { readonly files: boolean }): Promise<void> {
    const reported = new Set<string>();
    this.#reported = reported;
    const failed = this.#failed;
    const correct = (key: string, value: Value | null): void => {
      if (!reported.has(key)) this.#set(key, value);
    };
    const truth = new Map<string, Value>();
    if (withFiles) {
      for await (const { description } of this.#files.all()) {
        if (description) truth.set(holdingKey(description.song, description.file), encodeHolding(description));
      }
    }
    for (const [payload, files] of this.#copies()) truth.set(copyKey(payload), encodeCopy(files));
    if (this.#leaving) truth.set(LEAVING_KEY, LEAVING_VALUE);
    for (const prefix of [...(withFiles ? ['holding/'] : []), 'copy/', `${LEAVING_KEY}\0`]) {
      for await (const operations of this.#store.registers(prefix)) {
        for (const { origin, key, value } of operations) {
          if (origin !== this.#replica.self) continue;
          const real = truth.get(key) ?? null;
          truth.delete(key);
          const same = real === value || (real !== null && value !== null && Buffer.compare(real, value) === 0);
          if (!same) correct(key, real);
          const payload = parseCopyKey(key);
          if (payload && value && !real) this.#onCopyGone(payload);
        }
      }
    }
    for (const [key, value] of truth) correct(key, value);
    if (withFiles) await this.#answerForgets();
    this.#reported = undefined;
    await this.settled();
    if (withFiles) this.#madeGood = failed;
  }

  /** Somebody told the network that this machine would not return, and it is here. */
  async #answerForgets(): Promise<void> {
    const { self } = this.#replica;
    const [here] = await this.#store.held([{ origin: self, key: HERE_KEY }]);
    let forgotten = 0;
    for await (const operations of this.#store.registers(forgetKey(self))) forgotten = Math.max(forgotten, forgottenAt(operations));
    if (answeredUntil(here) < forgotten) this.#set(HERE_KEY, encodeHere(forgotten));
  }

  /** Is everything that was reported on disk, as far as is known? What failed is not before all was compared again to the end. */
  get isSettled(): boolean {
    return this.#writing === undefined && this.#failed === this.#madeGood;
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
        this.#failed += 1;
        if (codeOf(error) !== 'CLONE') this.#onError(error);
      }
    }
    this.#writing = undefined;
  }
}
