// The ledger: what this peer holds of every origin, and the one queue through which all of it changes. What gathers while a
// batch is on its way to the disk becomes the next batch (group commit), so a thousand writers cost few syncs.
//
// Invariants: a head moves only in the batch that holds what it claims; a batch is written only after the one before it is on
// the disk; nothing shows before its batch is there. So whatever a power cut takes is the end of the log and never a part
// of its middle. A large delta is merged in pieces, which claim nothing until the last one moves the heads.
//
// A pure machine: the disk is an effect, and its answer an input.
import { DIGEST_BYTES } from '../../lib/digest.ts';
import type { EpochId, NetworkId, PeerId } from '../../lib/ids.ts';
import { isUserData, unitedNetwork } from '../../lib/kinds.ts';
import { type Lamport, LAMPORT_MAX, LamportClock } from '../../lib/lamport.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../../lib/limits.ts';
import type { Operation } from '../../lib/operation.ts';
import { PeerError } from '../../lib/errors.ts';
import { EMPTY_VECTOR, hashVector, headOf, type Vector } from '../../lib/vector.ts';
import type { Merging, OperationBatch, RegisterId, StoredState } from '../../storage/operation-batch.ts';
import { type Change, type Delta, registerName, type RegisterChange, Transaction } from './transaction.ts';

/** Who waits for a task; 0 when nobody does. */
export type TaskId = number;

export type Task =
  /** Own changes, as one batch. */
  | { readonly kind: 'write'; readonly id: TaskId; readonly changes: readonly Change[] }
  /** Operations that came alone, in order of their seq. Those that are not the next of their epoch are left. */
  | { readonly kind: 'append'; readonly id: TaskId; readonly operations: readonly Operation[] }
  | { readonly kind: 'apply'; readonly id: TaskId; readonly delta: Delta; readonly network: NetworkId | null }
  /** A delta whose operations lie aside on the disk, in pieces. */
  | { readonly kind: 'merge'; readonly id: TaskId; readonly delta: Omit<Delta, 'operations'>; readonly aside: string; readonly pieces: number; readonly network: NetworkId | null }
  /** A moment in which nothing is under way, for reading what is held of an origin. */
  | { readonly kind: 'view'; readonly id: TaskId; readonly origin: PeerId }
  /** The network gets this id. Where others wrote in the one before, or it was united, everything replicated is dropped: it stays there. */
  | { readonly kind: 'enter'; readonly id: TaskId; readonly network: NetworkId };

export type LedgerInput =
  | { readonly kind: 'task'; readonly task: Task }
  /** What was asked for by `read`: the held operation of each register in that order, and the piece. */
  | { readonly kind: 'read'; readonly held: readonly (Operation | undefined)[]; readonly piece: PieceRead | null }
  | { readonly kind: 'committed' }
  | { readonly kind: 'failed'; readonly error: unknown };

/** A piece of a delta that lay aside, with what is held of its registers. */
export interface PieceRead {
  readonly operations: readonly Operation[];
  readonly held: readonly (Operation | undefined)[];
}

export type Outcome =
  | { readonly kind: 'wrote'; readonly operations: readonly Operation[] }
  | { readonly kind: 'appended' }
  | { readonly kind: 'applied' }
  | { readonly kind: 'viewed'; readonly vector: Vector }
  | { readonly kind: 'entered' };

export type LedgerEffect =
  /** Read the held operations of these, and the next piece of what lies aside with what is held of it. */
  | { readonly kind: 'read'; readonly registers: readonly RegisterId[]; readonly piece: Merging | null }
  /** Put this on the disk and sync it, whole or not at all. */
  | { readonly kind: 'commit'; readonly batch: OperationBatch }
  | { readonly kind: 'done'; readonly task: TaskId; readonly outcome: Outcome }
  | { readonly kind: 'refused'; readonly task: TaskId; readonly error: unknown }
  /** On disk, and so in effect. */
  | { readonly kind: 'changed'; readonly changes: readonly RegisterChange[]; readonly moved: readonly PeerId[] }
  /** Everything replicated is gone: another network has begun. */
  | { readonly kind: 'dropped' }
  /** Operations of others with times too far ahead: kept and passed on, not attached. */
  | { readonly kind: 'leapt'; readonly operations: readonly Operation[] };

/** Operations of small tasks that share one batch and its sync. */
export const BATCH_OPERATIONS_MAX = 2_048;

interface Turn {
  /** The clock's time when it began. */
  readonly since: Lamport;
  readonly tasks: readonly Task[];
  readonly touches: readonly RegisterId[];
  readonly outcomes: Map<Task, Outcome>;
  readonly refusals: Map<Task, unknown>;
  transaction: Transaction | undefined;
  merging: Merging | null;
  /** Goes everything? */
  readonly drop: boolean;
}

const sizeOf = (task: Task): number =>
  task.kind === 'write' ? task.changes.length : task.kind === 'append' ? task.operations.length : task.kind === 'apply' ? task.delta.operations.length : 0;

export class Ledger {
  readonly self: PeerId;
  readonly clock: LamportClock;
  readonly #newEpoch: () => EpochId;
  #vectors: Map<PeerId, Vector>;
  #hashes = new Map<PeerId, Buffer>();
  #digest: Uint8Array;
  #root = Buffer.alloc(8);
  #network: NetworkId | null;
  #united: Set<NetworkId>;
  #user: boolean;
  /** Drawn at the first write of this start: what a backup or a copy brings back is never continued. */
  #epoch: EpochId | undefined;
  #queue: Task[] = [];
  #turn: Turn | undefined;
  /** The large delta that is being merged; whoever waits for it. */
  #merging: Merging | null;
  #mergingTask: TaskId = 0;
  #failure: { readonly error: unknown } | undefined;

  /** @param newEpoch 8 random bytes */
  constructor(self: PeerId, stored: StoredState, newEpoch: () => EpochId) {
    this.self = self;
    this.#newEpoch = newEpoch;
    this.#vectors = new Map(stored.vectors);
    this.#digest = stored.digest ?? new Uint8Array(DIGEST_BYTES);
    this.clock = new LamportClock(stored.lamport);
    this.#network = stored.network;
    this.#united = new Set(stored.united);
    this.#user = stored.user;
    this.#merging = stored.merging;
    for (const [origin, vector] of this.#vectors) this.#rehash(origin, vector);
  }

  /** Equal digests mean equal winners; 32 bytes. */
  get digest(): Uint8Array {
    return this.#digest;
  }

  /** 8 bytes over all origins' vectors. */
  get root(): Uint8Array {
    return this.#root;
  }

  /** The end of this start's own log, or null before its first write. */
  get head(): { readonly epoch: EpochId; readonly seq: number } | null {
    const seq = this.#epoch ? headOf(this.vector(this.self), this.#epoch) : 0;
    return this.#epoch && seq > 0 ? { epoch: this.#epoch, seq } : null;
  }

  /** Every own operation up to this time is on disk and covered by `head`, and every later write gets a greater one. The clock
   *  itself may be ahead of it by what is on its way to the disk: a beat with that time and the older head would claim too much. */
  get committedTime(): Lamport {
    return this.#turn?.since ?? this.clock.time;
  }

  get vectors(): ReadonlyMap<PeerId, Vector> {
    return this.#vectors;
  }

  /** 16 bytes of each origin's vector. */
  get hashes(): ReadonlyMap<PeerId, Buffer> {
    return this.#hashes;
  }

  /** Of ids that were united the smallest is everybody's. */
  get network(): NetworkId | null {
    let least = this.#network;
    if (least !== null && this.#united.has(least)) for (const id of this.#united) if (id < least) least = id;
    return least;
  }

  /** Every id that our network goes by. */
  get networks(): ReadonlySet<NetworkId> {
    return this.#network === null ? this.#united : new Set([...this.#united, this.#network]);
  }

  /** The disk cannot be written any more. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Is anything held that a person made, of whatever origin, deleted or not? */
  get user(): boolean {
    return this.#user;
  }

  vector(origin: PeerId): Vector {
    return this.#vectors.get(origin) ?? EMPTY_VECTOR;
  }

  /** Goes on with what a crash interrupted. */
  start(): LedgerEffect[] {
    return this.#begin();
  }

  step(input: LedgerInput): LedgerEffect[] {
    switch (input.kind) {
      case 'task':
        this.#queue.push(input.task);
        return this.#begin();
      case 'read':
        return this.#carryOut(input.held, input.piece);
      case 'committed':
        return this.#publish();
      case 'failed':
        return this.#fail(input.error);
    }
  }

  /** A disk that failed once is written no more until the next start, which also goes on with what is half merged. */
  #fail(error: unknown): LedgerEffect[] {
    this.#failure = { error };
    const tasks = this.#turn?.tasks ?? [];
    this.#turn = undefined;
    const waiting = [...tasks.map(({ id }) => id), this.#mergingTask];
    this.#mergingTask = 0;
    return [...waiting.filter((task) => task !== 0).map((task) => ({ kind: 'refused' as const, task, error })), ...this.#begin()];
  }

  /** The next turn, if none is under way and there is something to do. */
  #begin(): LedgerEffect[] {
    if (this.#turn) return [];
    const effects: LedgerEffect[] = [];
    // nothing is under way, so what is held of an origin and its vector belong together
    for (const task of this.#queue) if (task.kind === 'view') effects.push(...this.#view(task));
    this.#queue = this.#queue.filter(({ kind }) => kind !== 'view');
    if (this.#failure) {
      const { error } = this.#failure;
      return [...effects, ...this.#queue.splice(0).flatMap(({ id }) => (id === 0 ? [] : [{ kind: 'refused' as const, task: id, error }]))];
    }
    const [first] = this.#queue;
    if (first?.kind === 'enter') return [...effects, ...this.#enter(this.#queue.shift() as typeof first)];
    if (!first && !this.#merging) return effects;
    const tasks = this.#take();
    const touches = tasks.flatMap((task): readonly RegisterId[] => {
      if (task.kind === 'write') return task.changes.map(({ key }) => ({ origin: this.self, key }));
      if (task.kind === 'append') return task.operations;
      return task.kind === 'apply' ? task.delta.operations : [];
    });
    this.#turn = { since: this.clock.time, tasks, touches, outcomes: new Map(), refusals: new Map(), transaction: undefined, merging: this.#merging, drop: false };
    return [...effects, { kind: 'read', registers: touches, piece: this.#merging }];
  }

  /** While an origin is half merged its operations go beyond its heads, and nobody else may take them for whole. */
  #view({ id, origin }: Extract<Task, { kind: 'view' }>): LedgerEffect[] {
    if (this.#merging?.origin === origin) return [{ kind: 'refused', task: id, error: new PeerError('BUSY', 'this origin is being merged') }];
    return [{ kind: 'done', task: id, outcome: { kind: 'viewed', vector: this.vector(origin) } }];
  }

  #take(): Task[] {
    const taken: Task[] = [];
    const left: Task[] = [];
    let operations = 0;
    // one large delta at a time; others wait for it, and nothing else does
    let merging = this.#merging !== null;
    for (const task of this.#queue) {
      const size = sizeOf(task);
      const isFull = left.some(({ kind }) => kind !== 'merge') || (taken.length > 0 && operations + size > BATCH_OPERATIONS_MAX);
      if (isFull || task.kind === 'enter' || (task.kind === 'merge' && merging)) left.push(task);
      else {
        taken.push(task);
        operations += size;
        merging ||= task.kind === 'merge';
      }
    }
    this.#queue = left;
    return taken;
  }

  #carryOut(held: readonly (Operation | undefined)[], piece: PieceRead | null): LedgerEffect[] {
    const turn = this.#turn as Turn;
    const registers = new Map<string, Operation | undefined>();
    for (const [i, { origin, key }] of turn.touches.entries()) registers.set(registerName(origin, key), held[i]);
    if (piece) for (const [i, { origin, key }] of piece.operations.entries()) registers.set(registerName(origin, key), piece.held[i]);
    const transaction = new Transaction({ self: this.self, vectors: this.#vectors, digest: this.#digest, clock: this.clock }, registers);
    turn.transaction = transaction;
    if (piece && turn.merging) turn.merging = mergePiece(transaction, turn.merging, piece.operations);
    for (const task of turn.tasks) {
      try {
        const outcome = this.#run(task, transaction, turn);
        if (outcome) turn.outcomes.set(task, outcome);
      } catch (error) {
        turn.refusals.set(task, error);
      }
    }
    const changes = transaction.changes();
    const heads = transaction.heads();
    if (changes.length === 0 && heads.length === 0 && turn.merging === this.#merging) return this.#publish();
    const batch: OperationBatch = {
      puts: changes.map(({ after }) => after),
      superseded: changes.flatMap(({ before }) => before ?? []),
      heads,
      digest: transaction.digest,
      lamport: this.clock.time,
      ...(turn.merging !== this.#merging && { merging: turn.merging }),
    };
    return [{ kind: 'commit', batch }];
  }

  #run(task: Task, transaction: Transaction, turn: Turn): Outcome | undefined {
    switch (task.kind) {
      case 'write':
        this.#checkOwn(task.changes);
        this.#epoch ??= this.#newEpoch();
        return { kind: 'wrote', operations: transaction.write(this.#epoch, task.changes) };
      case 'append':
        for (const operation of task.operations) transaction.append(operation);
        return { kind: 'appended' };
      case 'apply':
        this.#checkNetwork(task.network);
        transaction.apply(task.delta);
        return { kind: 'applied' };
      case 'merge': {
        this.#checkNetwork(task.network);
        transaction.checkBase(task.delta);
        const { origin, vector } = task.delta;
        turn.merging = { aside: task.aside, origin, vector, pieces: task.pieces, done: 0 };
        return undefined;
      }
      case 'view':
      case 'enter':
        throw new Error(`a ${task.kind} has no part in a batch`);
    }
  }

  /** What nobody could read, here neither, is not written; and nothing of it where not all of it has a time. */
  #checkOwn(changes: readonly Change[]): void {
    for (const { key, value } of changes) {
      if (Buffer.byteLength(key) > KEY_BYTES_MAX || (value?.byteLength ?? 0) > VALUE_BYTES_MAX) {
        throw new PeerError('TOO_LARGE', 'this is more than one entry can hold; nothing was written');
      }
    }
    if (this.clock.time + changes.length >= LAMPORT_MAX) throw new PeerError('BUSY', 'the logical clock of this network has run out; nothing can be written any more');
  }

  /** What was asked for in one network is not merged into another. */
  #checkNetwork(network: NetworkId | null): void {
    if (network !== null && !this.networks.has(network)) throw new PeerError('STALE_DELTA', 'a delta of another network');
  }

  #publish(): LedgerEffect[] {
    const turn = this.#turn as Turn;
    const { tasks, transaction, outcomes, refusals, merging } = turn;
    this.#turn = undefined;
    const effects = transaction ? this.#show(transaction) : this.#entered(turn);
    for (const task of tasks) {
      const outcome = outcomes.get(task);
      if (refusals.has(task)) effects.push({ kind: 'refused', task: task.id, error: refusals.get(task) });
      else if (outcome) effects.push({ kind: 'done', task: task.id, outcome });
      else this.#mergingTask = task.id;
    }
    if (this.#merging && !merging && this.#mergingTask !== 0) {
      effects.push({ kind: 'done', task: this.#mergingTask, outcome: { kind: 'applied' } });
      this.#mergingTask = 0;
    }
    this.#merging = merging;
    return [...effects.filter((effect) => !('task' in effect) || effect.task !== 0), ...this.#begin()];
  }

  #show(transaction: Transaction): LedgerEffect[] {
    const changes = transaction.changes();
    this.#digest = transaction.digest;
    for (const [origin, vector] of transaction.vectors()) {
      this.#vectors.set(origin, vector);
      this.#rehash(origin, vector);
    }
    for (const { after } of changes) {
      this.#user ||= isUserData(after.key);
      const united = after.value && unitedNetwork(after.key);
      if (united) this.#united.add(united);
    }
    const effects: LedgerEffect[] = [];
    const moved = [...transaction.vectors().keys()];
    if (changes.length > 0 || moved.length > 0) effects.push({ kind: 'changed', changes, moved });
    if (transaction.leaps.length > 0) effects.push({ kind: 'leapt', operations: transaction.leaps });
    return effects;
  }

  #enter(task: Extract<Task, { kind: 'enter' }>): LedgerEffect[] {
    // somebody here may have written in the moment between
    if (this.#network !== null && this.#user) return [{ kind: 'refused', task: task.id, error: new PeerError('CANCELLED', 'this network has user data by now') }, ...this.#begin()];
    const outcomes = new Map<Task, Outcome>([[task, { kind: 'entered' }]]);
    // what others wrote belongs to that network, and so does what a person said of it: kept, it would bridge the next one to others
    const isShared = this.#merging !== null || this.#united.size > 0 || [...this.#vectors.keys()].some((origin) => origin !== this.self);
    const drop = this.#network !== null && isShared;
    this.#turn = { since: this.clock.time, tasks: [task], touches: [], outcomes, refusals: new Map(), transaction: undefined, merging: null, drop };
    const kept = { digest: drop ? new Uint8Array(DIGEST_BYTES) : this.#digest, lamport: this.clock.time };
    return [{ kind: 'commit', batch: { puts: [], superseded: [], heads: [], ...kept, network: task.network, drop } }];
  }

  #entered({ tasks, drop }: Turn): LedgerEffect[] {
    const [task] = tasks;
    if (task?.kind !== 'enter') return [];
    const isFirst = this.#network === null;
    this.#network = task.network;
    if (isFirst) return [];
    if (drop) {
      this.#vectors = new Map();
      this.#hashes = new Map();
      this.#root = Buffer.alloc(8);
      this.#digest = new Uint8Array(DIGEST_BYTES);
      this.#united = new Set();
      this.#epoch = undefined;
    }
    // what others said in the network before has no place in this one
    const foreign = this.#queue.filter(({ kind }) => kind === 'append' || kind === 'apply' || kind === 'merge');
    this.#queue = this.#queue.filter((queued) => !foreign.includes(queued));
    const error = new PeerError('STALE_DELTA', 'this peer has changed networks');
    const refused = [...foreign.map(({ id }) => id), this.#mergingTask].map((id) => ({ kind: 'refused' as const, task: id, error }));
    this.#mergingTask = 0;
    return drop ? [{ kind: 'dropped' }, ...refused] : refused;
  }

  /** The root is the exclusive or of all origins' hashes, so that one origin's move costs one hash. */
  #rehash(origin: PeerId, vector: Vector): void {
    const before = this.#hashes.get(origin);
    const after = hashVector(origin, vector);
    this.#hashes.set(origin, after);
    // a buffer of its own each time: beats under way keep the one that they were given
    const root = Buffer.from(this.#root);
    for (let i = 0; i < root.length; i++) root[i] = (root[i] as number) ^ (before?.[i] ?? 0) ^ (after[i] as number);
    this.#root = root;
  }
}

/** Merges one piece; with the last one the heads move. */
function mergePiece(transaction: Transaction, merging: Merging, operations: readonly Operation[]): Merging | null {
  transaction.merge(operations);
  if (merging.done + 1 < merging.pieces) return { ...merging, done: merging.done + 1 };
  transaction.raise(merging);
  return null;
}
