// The replica: what this peer holds of every origin, over its store. All writes pass through one queue; what gathers while
// a batch is on its way to the disk becomes the next batch (group commit), so a thousand writers cost few syncs.
import { setImmediate } from 'node:timers/promises';
import type { EpochId, PeerId } from '../../lib/ids.ts';
import { randomEpochId } from '../../lib/ids.ts';
import { type Lamport, LamportClock } from '../../lib/lamport.ts';
import type { Operation } from '../../lib/operation.ts';
import { EMPTY_VECTOR, hashVector, headOf, type Vector } from '../../lib/vector.ts';
import type { OperationStore } from '../../storage/operation-store.ts';
import { type Change, type Delta, DIGEST_BYTES, registerName, Transaction } from './transaction.ts';

/** A register that got another winner. */
export interface RegisterChange {
  readonly before: Operation | undefined;
  readonly after: Operation;
}

/** A delta that is being read. */
export interface OpenDelta {
  readonly vector: Vector;
  readonly operations: AsyncGenerator<Operation[]>;
  close(): Promise<void>;
}

export type ChangeListener = (changes: readonly RegisterChange[]) => void;

interface Task {
  readonly touches: readonly { readonly origin: PeerId; readonly key: string }[];
  /** Runs against the transaction, in steps if it is long; a throw before the first step ends refuses this task alone. */
  run(transaction: Transaction): Iterable<void> | void;
  done(error?: unknown): void;
}

/** Operations of small tasks that share one batch and its sync; a large delta has a batch to itself. */
const BATCH_OPERATIONS_MAX = 2_048;

export class Replica {
  readonly self: PeerId;
  readonly clock: LamportClock;
  readonly #store: OperationStore;
  readonly #vectors: Map<PeerId, Vector>;
  readonly #hashes = new Map<PeerId, Buffer>();
  readonly #listeners = new Set<ChangeListener>();
  #digest: Uint8Array;
  #root: Buffer;
  /** Drawn at the first write of this start: what a backup or a copy brings back is never continued. */
  #epoch: EpochId | undefined;
  /** The clock's time when the batch under way began. */
  #batchSince: Lamport | undefined;
  #queue: Task[] = [];
  #draining: Promise<void> | undefined;

  private constructor(self: PeerId, store: OperationStore, state: Awaited<ReturnType<OperationStore['load']>>) {
    this.self = self;
    this.#store = store;
    this.#vectors = state.vectors;
    this.#digest = state.digest ?? new Uint8Array(DIGEST_BYTES);
    this.clock = new LamportClock(state.lamport);
    this.#root = Buffer.alloc(8);
    for (const [origin, vector] of this.#vectors) this.#rehash(origin, vector);
  }

  static async open(self: PeerId, store: OperationStore): Promise<Replica> {
    return new Replica(self, store, await store.load());
  }

  /** Equal digests mean equal winners; hex. */
  get digest(): string {
    return Buffer.from(this.#digest).toString('hex');
  }

  /** 8 bytes over all origins' vectors. */
  get root(): Uint8Array {
    return this.#root;
  }

  /** The end of this start's own log, or null before its first write. */
  get head(): { readonly epoch: EpochId; readonly seq: number } | null {
    if (!this.#epoch) return null;
    return { epoch: this.#epoch, seq: headOf(this.vector(this.self), this.#epoch) };
  }

  /** Every own operation up to this time is on disk and covered by `head`, and every later write gets a greater one. The clock
   *  itself may be ahead of it by what is on its way to the disk: a beat with that time and the older head would claim too much. */
  get committedTime(): Lamport {
    return this.#batchSince ?? this.clock.time;
  }

  get origins(): ReadonlyMap<PeerId, Vector> {
    return this.#vectors;
  }

  /** 16 bytes of each origin's vector. */
  get hashes(): ReadonlyMap<PeerId, Buffer> {
    return this.#hashes;
  }

  vector(origin: PeerId): Vector {
    return this.#vectors.get(origin) ?? EMPTY_VECTOR;
  }

  /** @returns a function that ends the listening */
  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Own changes, on disk when it resolves. */
  async write(changes: readonly Change[]): Promise<readonly Operation[]> {
    this.#epoch ??= randomEpochId();
    const epoch = this.#epoch;
    let written: readonly Operation[] = [];
    await this.#enqueue(
      changes.map(({ key }) => ({ origin: this.self, key })),
      (transaction) => {
        written = transaction.write(this.self, epoch, changes);
      },
    );
    return written;
  }

  /** Operations that came alone, in order of their seq. @returns those that were not the next of their epoch */
  async append(operations: readonly Operation[]): Promise<readonly Operation[]> {
    let refused: readonly Operation[] = [];
    await this.#enqueue(operations, (transaction) => {
      refused = operations.filter((operation) => !transaction.append(operation));
    });
    return refused;
  }

  /** @throws PeerError STALE_DELTA */
  async apply(delta: Delta): Promise<void> {
    await this.#enqueue(delta.operations, (transaction) => transaction.apply(delta));
  }

  /** What `base` does not cover of `origin`. The vector is known at once, the operations are read as they are taken, all
   *  from one snapshot, so that no operation beyond the vector slips in. Close it: an open snapshot keeps LevelDB from
   *  forgetting anything. */
  async delta(origin: PeerId, base: Vector): Promise<OpenDelta> {
    let vector = EMPTY_VECTOR;
    let snapshot: ReturnType<OperationStore['snapshot']> | undefined;
    // inside the queue no batch is under way, so snapshot and vector belong together
    await this.#enqueue([], () => {
      vector = this.vector(origin);
      snapshot = this.#store.snapshot();
    });
    const taken = snapshot as NonNullable<typeof snapshot>;
    return { vector, operations: this.#store.beyond(origin, base, vector, taken), close: () => taken.close() };
  }

  /** Resolves when everything queued so far is on disk or refused. */
  async close(): Promise<void> {
    await this.#draining;
  }

  #enqueue(touches: Task['touches'], run: Task['run']): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ touches, run, done: (error) => (error === undefined ? resolve() : reject(error)) });
      this.#draining ??= this.#drain();
    });
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const tasks = this.#take();
      this.#batchSince = this.clock.time;
      try {
        await this.#commit(tasks);
      } catch (error) {
        for (const task of tasks) task.done(error);
      }
      this.#batchSince = undefined;
    }
    // in the same turn as the last look at the queue: a later one would strand what is queued in between
    this.#draining = undefined;
  }

  #take(): Task[] {
    let operations = 0;
    let count = 0;
    while (count < this.#queue.length && (count === 0 || operations < BATCH_OPERATIONS_MAX)) {
      operations += (this.#queue[count] as Task).touches.length;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  async #commit(tasks: readonly Task[]): Promise<void> {
    const registers = new Map<string, Operation | undefined>();
    const wanted = tasks.flatMap((task) => task.touches);
    for (const [i, held] of (await this.#store.held(wanted)).entries()) {
      const { origin, key } = wanted[i] as Task['touches'][number];
      registers.set(registerName(origin, key), held);
    }
    const transaction = new Transaction({ self: this.self, vectors: this.#vectors, digest: this.#digest, clock: this.clock }, registers);
    const refusals = new Map<Task, unknown>();
    for (const task of tasks) {
      try {
        for (const _ of task.run(transaction) ?? []) await setImmediate();
      } catch (error) {
        refusals.set(task, error);
      }
    }
    const changes = transaction.changes();
    const heads = transaction.heads();
    if (changes.length > 0 || heads.length > 0) {
      await this.#store.commit({
        puts: changes.map(({ after }) => after),
        superseded: changes.flatMap(({ before }) => before ?? []),
        heads,
        digest: transaction.digest,
        lamport: this.clock.time,
      });
      this.#digest = transaction.digest;
      for (const [origin, vector] of transaction.vectors()) {
        this.#vectors.set(origin, vector);
        this.#rehash(origin, vector);
      }
      for (const listener of this.#listeners) listener(changes);
    }
    for (const task of tasks) task.done(refusals.get(task));
  }

  /** The root is the exclusive or of all origins' hashes, so that one origin's move costs one hash. */
  #rehash(origin: PeerId, vector: Vector): void {
    const before = this.#hashes.get(origin);
    const after = hashVector(origin, vector);
    this.#hashes.set(origin, after);
    for (let i = 0; i < this.#root.length; i++) {
      this.#root[i] = (this.#root[i] as number) ^ (before?.[i] ?? 0) ^ (after[i] as number);
    }
  }
}
