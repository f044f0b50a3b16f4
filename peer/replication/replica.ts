// The replica: the driver of replication on a real disk. It feeds the machine (replication.ts), carries its reads and commits
// out on the store, tells callers what became of their writes, and hands everything else to whoever sits on the network.
import { messageOf, PeerError } from '../../lib/errors.ts';
import { hex, type NetworkId, type PeerId, randomEpochId, randomId } from '../../lib/ids.ts';
import type { Lamport, LamportClock } from '../../lib/lamport.ts';
import type { ReplicaBeat } from '../../lib/messages.ts';
import type { Operation } from '../../lib/operation.ts';
import type { Random } from '../../lib/random.ts';
import type { Clock } from '../../lib/time.ts';
import type { Vector } from '../../lib/vector.ts';
import type { Aside } from '../../storage/aside.ts';
import type { Merging } from '../../storage/operation-batch.ts';
import type { OperationStore } from '../../storage/operation-store.ts';
import type { Salvaged } from '../../storage/salvage.ts';
import { Driver } from '../runtime.ts';
import type { Acknowledgement } from './acknowledgement.ts';
import type { Outcome, PieceRead } from './ledger.ts';
import type { Meeting } from './networks.ts';
import { operationsOf } from './delta-frames.ts';
import { Replication, type ReplicationEffect, type ReplicationInput, type ReplicationTimer } from './replication.ts';
import type { Change, Delta, RegisterChange } from './transaction.ts';

/** What the replica does not carry out itself. */
export type NetworkEffect = Exclude<ReplicationEffect, { readonly kind: 'arm' | 'read' | 'commit' | 'done' | 'refused' | 'acknowledged' | 'changed' | 'dropped' }>;

/** What of the machine's input comes from the network; the time is added here. */
export type NetworkInput = Untimed<Extract<ReplicationInput, { readonly kind: 'started' | 'beat' | 'operations' | 'asked' | 'answered' | 'linked' | 'gone' | 'behind' | 'pulled' | 'cloned' }>>;
type Untimed<T> = T extends { readonly now: number } ? Omit<T, 'now'> : never;

/** A delta that is being read. */
export interface OpenDelta {
  readonly vector: Vector;
  readonly operations: AsyncGenerator<Operation[]>;
  close(): Promise<void>;
}

export interface ReplicaListener {
  /** Registers got other winners, on disk. */
  changed(changes: readonly RegisterChange[]): void;
  /** Everything is gone: another network has begun. */
  dropped(): void;
}

export interface ReplicaOptions {
  readonly self: PeerId;
  readonly store: OperationStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly carryOut: (effect: NetworkEffect) => void;
}

const CLOSED_LINE = 'nothing was written, because this peer is stopping or changes its network; try again in a moment';

interface Waiter {
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

export class Replica {
  readonly self: PeerId;
  /** What the disk had lost at this start, and what was done about it. */
  readonly salvaged: Salvaged | null;
  readonly #store: OperationStore;
  readonly #machine: Replication;
  readonly #driver: Driver<Replication, ReplicationTimer, ReplicationInput, ReplicationEffect>;
  readonly #carryOut: (effect: NetworkEffect) => void;
  readonly #listeners = new Set<ReplicaListener>();
  readonly #waiters = new Map<number, Waiter>();
  readonly #users = new Map<number, { readonly resolve: (how: Acknowledgement) => void; readonly reject: (error: unknown) => void }>();
  #lastTask = 0;
  /** What lies aside of the delta that is being merged. */
  #merging: string | undefined;
  /** The read or commit under way. */
  #disk: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor({ self, store, clock, carryOut, salvaged }: ReplicaOptions & { readonly salvaged: Salvaged | null }, machine: Replication) {
    this.self = self;
    this.salvaged = salvaged;
    this.#store = store;
    this.#machine = machine;
    this.#carryOut = carryOut;
    this.#driver = new Driver(
      { state: machine, step: (state, input) => state.step(input) },
      { clock, carryOut: (effect) => this.#effect(effect), expired: (timer) => ({ kind: 'expired', timer }) },
    );
  }

  static async open(options: ReplicaOptions): Promise<Replica> {
    const { self, store, random } = options;
    let stored = await store.load();
    const salvaged = stored.missing ? await store.salvage(self) : null;
    if (salvaged) stored = await store.load();
    return new Replica({ ...options, salvaged }, new Replication({ self, stored, random, newEpoch: randomEpochId, newNetwork: randomId<NetworkId> }));
  }

  /** Equal digests mean equal winners; hex. */
  get digest(): string {
    return hex(this.#machine.ledger.digest);
  }

  /** 8 bytes over all origins' vectors. */
  get root(): Uint8Array {
    return this.#machine.ledger.root;
  }

  /** The end of this start's own log, or null before its first write. */
  get head() {
    return this.#machine.ledger.head;
  }

  get clock(): LamportClock {
    return this.#machine.ledger.clock;
  }

  /** Every own operation up to this time is on disk and covered by `head`, and every later write gets a greater one. */
  get committedTime(): Lamport {
    return this.#machine.ledger.committedTime;
  }

  get origins(): ReadonlyMap<PeerId, Vector> {
    return this.#machine.ledger.vectors;
  }

  /** 16 bytes of each origin's vector. */
  get hashes(): ReadonlyMap<PeerId, Buffer> {
    return this.#machine.ledger.hashes;
  }

  /** The network's id; null until it is minted or heard of. */
  get network(): NetworkId | null {
    return this.#machine.ledger.network;
  }

  /** Every id that the network goes by. */
  get networks(): ReadonlySet<NetworkId> {
    return this.#machine.ledger.networks;
  }

  /** Is anything held that a person made? What is merely heard of is not passed on, or two would keep each other believing it. */
  get user(): boolean {
    return this.#machine.ledger.user;
  }

  /** The latest beat of each living member of the network. */
  get beats(): ReadonlyMap<PeerId, ReplicaBeat> {
    return this.#machine.beats;
  }

  /** Where large deltas lie on their way in. */
  get aside(): Aside {
    return this.#store.aside;
  }

  /** Writes of users that no other peer confirmed in time, since the start. */
  get localOnly(): number {
    return this.#machine.localOnly;
  }

  /** Does it hold all that is held here, and no more, as its latest beat says? */
  isInSync(peer: PeerId): boolean {
    const beat = this.beats.get(peer);
    return beat !== undefined && Buffer.compare(beat.root, this.root.subarray(0, beat.root.byteLength)) === 0;
  }

  vector(origin: PeerId): Vector {
    return this.#machine.ledger.vector(origin);
  }

  meeting(beat: Pick<ReplicaBeat, 'network' | 'user'>): Meeting {
    return this.#machine.meeting(beat);
  }

  /** @returns a function that ends the listening */
  listen(listener: ReplicaListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  feed(input: NetworkInput): void {
    this.#driver.feed(input as Untimed<ReplicationInput>);
  }

  /** Own changes, on disk when it resolves. */
  async write(changes: readonly Change[]): Promise<readonly Operation[]> {
    const outcome = await this.#task((id) => ({ kind: 'write', id, changes, user: false }));
    return outcome.kind === 'wrote' ? outcome.operations : [];
  }

  /** What a person changed. */
  writeForUser(changes: readonly Change[]): Promise<Acknowledgement> {
    return new Promise((resolve, reject) => {
      const id = this.#nextTask(reject);
      this.#users.set(id, { resolve, reject });
      this.#driver.feed({ kind: 'write', id, changes, user: true });
    });
  }

  /** Operations that came alone, in order of their seq; those that are not the next of their epoch are left. */
  async append(operations: readonly Operation[]): Promise<void> {
    await this.#task((id) => ({ kind: 'task', task: { kind: 'append', id, operations } }));
  }

  /** @param network what it was asked for in
   *  @throws PeerError STALE_DELTA */
  async apply(delta: Delta, network: NetworkId | null): Promise<void> {
    await this.#task((id) => ({ kind: 'task', task: { kind: 'apply', id, delta, network } }));
  }

  /** Merges a delta whose frames lie aside, in pieces; others' tasks go on between them.
   *  @throws PeerError STALE_DELTA */
  async merge(delta: Omit<Delta, 'operations'>, { aside, pieces, network }: { readonly aside: string; readonly pieces: number; readonly network: NetworkId | null }): Promise<void> {
    await this.#task((id) => ({ kind: 'task', task: { kind: 'merge', id, delta, aside, pieces, network } }));
  }

  /** What `base` does not cover of `origin`. The vector is known at once, the operations are read as they are taken, all
   *  from one snapshot, so that no operation beyond the vector slips in. Close it: an open snapshot keeps LevelDB from
   *  forgetting anything.
   *  @throws PeerError BUSY while that origin is half merged */
  async delta(origin: PeerId, base: Vector): Promise<OpenDelta> {
    let snapshot: ReturnType<OperationStore['snapshot']> | undefined;
    // in the moment in which the vector is told no batch is under way, so snapshot and vector belong together
    const outcome = await this.#task((id) => ({ kind: 'task', task: { kind: 'view', id, origin } }), () => (snapshot = this.#store.snapshot()));
    if (outcome.kind !== 'viewed' || !snapshot) throw new Error('a view shows a vector');
    const taken = snapshot;
    return { vector: outcome.vector, operations: this.#store.beyond(origin, base, outcome.vector, taken), close: () => taken.close() };
  }

  /** Resolves when everything queued so far is on disk or refused, and everybody who waits for something has been told. */
  async close(): Promise<void> {
    this.#driver.quiet();
    // each answer of the disk may begin the next batch
    for (let last: Promise<void> | undefined; last !== this.#disk; ) {
      last = this.#disk;
      await last;
    }
    this.#closed = true;
    this.#driver.stop();
    await this.#store.aside.close();
    const closed = new PeerError('CLOSED', CLOSED_LINE);
    for (const { reject } of this.#waiters.values()) reject(closed);
    // nobody else's word comes any more for what is on this disk
    for (const [id, { resolve, reject }] of this.#users) if (this.#machine.hasWritten(id)) resolve('local only'); else reject(closed);
    this.#waiters.clear();
    this.#users.clear();
  }

  #nextTask(reject: (error: unknown) => void): number {
    if (this.#closed) reject(new PeerError('CLOSED', CLOSED_LINE));
    this.#lastTask += 1;
    return this.#lastTask;
  }

  #task(inputOf: (id: number) => Untimed<ReplicationInput>, onDone?: () => void): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const id = this.#nextTask(reject);
      const done = (outcome: Outcome): void => {
        onDone?.();
        resolve(outcome);
      };
      this.#waiters.set(id, { resolve: done, reject });
      this.#driver.feed(inputOf(id));
    });
  }

  #effect(effect: Exclude<ReplicationEffect, { kind: 'arm' }>): void {
    switch (effect.kind) {
      case 'read':
        this.#onDisk(async () => {
          const [held, piece] = [await this.#store.held(effect.registers), effect.piece && (await this.#piece(effect.piece))];
          return { kind: 'read', held, piece };
        });
        return;
      case 'commit':
        this.#onDisk(async () => {
          const { batch } = effect;
          await this.#store.commit(batch);
          if (batch.merging) this.#merging = batch.merging.aside;
          else if (this.#merging && (batch.merging === null || batch.drop)) await this.#store.aside.remove(this.#merging);
          return { kind: 'committed' };
        });
        return;
      case 'done':
        this.#waiters.get(effect.task)?.resolve(effect.outcome);
        this.#waiters.delete(effect.task);
        return;
      case 'refused':
        this.#waiters.get(effect.task)?.reject(effect.error);
        this.#waiters.delete(effect.task);
        this.#users.get(effect.task)?.reject(effect.error);
        this.#users.delete(effect.task);
        return;
      case 'acknowledged':
        this.#users.get(effect.task)?.resolve(effect.how);
        this.#users.delete(effect.task);
        return;
      case 'changed':
        for (const listener of this.#listeners) listener.changed(effect.changes);
        return;
      case 'dropped':
        for (const listener of this.#listeners) listener.dropped();
        return;
      default:
        this.#carryOut(effect);
    }
  }

  /** One at a time: the ledger asks for nothing else before it has its answer. */
  #onDisk(work: () => Promise<Extract<ReplicationInput, { kind: 'disk' }>['input']>): void {
    this.#disk = work().then(
      (input) => this.#driver.feed({ kind: 'disk', input }),
      (error: unknown) => {
        this.#carryOut({ kind: 'tell', news: { kind: 'disk', why: messageOf(error) } });
        this.#driver.feed({ kind: 'disk', input: { kind: 'failed', error } });
      },
    );
  }

  async #piece({ aside, origin, done }: Merging): Promise<PieceRead> {
    const frames = await this.#store.aside.piece(aside, done);
    const operations = frames.flatMap((frame) => operationsOf(origin, frame));
    return { operations, held: await this.#store.held(operations) };
  }
}
