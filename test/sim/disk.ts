// One machine's disk, with what can go wrong on it. A batch reaches it whole, some milliseconds after it was given; a crash in
// between leaves it whole or absent, and what was given later absent too. That is what a synced LevelDB promises
// (storage/operation-store.ts). What it does not promise can be had for mutations: without syncs any subset of the last batches
// may be lost, because LevelDB's recovery may skip a damaged record in the middle and keep later ones.
import { PeerError } from '../../lib/errors.ts';
import type { PeerId } from '../../lib/ids.ts';
import { integerBetween, type Random } from '../../lib/random.ts';
import type { Coordinatorship, Term } from '../../lib/roles.ts';
import type { Millis } from '../../lib/time.ts';
import { peerOf } from '../../lib/identity.ts';
import type { Operation } from '../../lib/operation.ts';
import type { OperationBatch } from '../../storage/operation-batch.ts';
import { hexDigits } from './chance.ts';
import { MemoryOperations } from './memory-operations.ts';
import type { Happening, Scheduler } from './scheduler.ts';

export interface DiskModel {
  readonly leastMs: Millis;
  readonly mostMs: Millis;
  /** For mutations: batches are reported as done, and are lost in any subset by a crash within the next second. */
  readonly syncless: boolean;
}

/** Everything in it is written at once or not at all. */
export interface DiskBatch {
  /** Operations of the network whose key has this name. */
  readonly operations?: { readonly network: string; readonly batch: OperationBatch };
  /** A large delta on its way in, by name, in pieces; null removes. */
  readonly aside?: { readonly name: string; readonly pieces: readonly (readonly Operation[])[] | null };
  /** Another identity from now on. */
  readonly publicKey?: Uint8Array;
  /** The greatest claim to coordinate that was made or followed. */
  readonly claim?: Coordinatorship;
}

/** What a peer may read, at any time: its batches that are done. */
export interface DiskView {
  readonly identity: PeerId;
  /** 32 bytes; the identity is their hash. */
  readonly publicKey: Uint8Array;
  readonly claim: Coordinatorship;
  operations(network: string): MemoryOperations;
  piece(name: string, index: number): readonly Operation[];
}

/** What lies on a disk, and can be copied to another. */
export class DiskImage implements DiskView {
  #publicKey: Uint8Array;
  #identity: PeerId;
  #claim: Coordinatorship = { term: 0, coordinator: null };
  readonly #operations = new Map<string, MemoryOperations>();
  readonly #aside = new Map<string, readonly (readonly Operation[])[]>();

  constructor(publicKey: Uint8Array) {
    this.#publicKey = publicKey;
    this.#identity = peerOf(publicKey);
  }

  get identity(): PeerId {
    return this.#identity;
  }

  get publicKey(): Uint8Array {
    return this.#publicKey;
  }

  get claim(): Coordinatorship {
    return this.#claim;
  }

  operations(network: string): MemoryOperations {
    const held = this.#operations.get(network);
    if (held !== undefined) return held;
    const empty = new MemoryOperations();
    this.#operations.set(network, empty);
    return empty;
  }

  piece(name: string, index: number): readonly Operation[] {
    const piece = this.#aside.get(name)?.[index];
    if (piece === undefined) throw new Error('what a batch counts on does not lie aside');
    return piece;
  }

  apply({ operations, aside, publicKey, claim }: DiskBatch): void {
    if (claim !== undefined) this.#claim = claim;
    if (operations !== undefined) this.operations(operations.network).commit(operations.batch);
    if (aside?.pieces === null) this.#aside.delete(aside.name);
    else if (aside !== undefined) this.#aside.set(aside.name, aside.pieces);
    if (publicKey === undefined) return;
    this.#publicKey = publicKey;
    this.#identity = peerOf(publicKey);
  }

  copy(): DiskImage {
    const copy = new DiskImage(this.#publicKey);
    copy.#claim = this.#claim;
    for (const [network, operations] of this.#operations) copy.#operations.set(network, operations.copy());
    for (const [name, pieces] of this.#aside) copy.#aside.set(name, pieces);
    return copy;
  }
}

interface Pending {
  readonly batch: DiskBatch;
  readonly happening: Happening;
}

/** So many of the last batches can be lost by `loseTail`. */
export const TAIL_BATCHES = 16;
/** Of the time that a batch takes, the most that it may already be there, for whoever reads: a disk's answer comes late. */
const TELLING = 0.3;
const UNSYNCED_MS: Millis = 1_000;
const KEPT_BY_CRASH = 0.5;

/** Stands for a key pair: whoever knows the public half signs for it (see crypto.ts). */
export const randomKey = (random: Random): Uint8Array => Buffer.from(hexDigits(random, 64), 'hex');

export class Disk {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #model: DiskModel;
  #image: DiskImage;
  /** What it was before `#tail`. */
  #before: DiskImage;
  #tail: { readonly batch: DiskBatch; readonly at: Millis }[] = [];
  #pending: Pending[] = [];
  /** A batch that is there, whose writer has not heard so yet. */
  #telling: Happening | null = null;
  #idleAt: Millis = 0;
  #isFull = false;
  /** Of this boot: after a write that failed every other is refused, as storage/database.ts does. */
  #failed: PeerError | null = null;
  /** The batch that could not be written may have reached the log all the same. */
  #torn: DiskBatch | null = null;

  constructor(options: { readonly scheduler: Scheduler; readonly random: Random; readonly model: DiskModel; readonly image?: DiskImage }) {
    this.#scheduler = options.scheduler;
    this.#random = options.random;
    this.#model = options.model;
    this.#image = options.image ?? new DiskImage(randomKey(options.random));
    this.#before = this.#image.copy();
  }

  get view(): DiskImage {
    return this.#image;
  }

  /** Nothing can be written until the process has been started anew. */
  get hasFailed(): boolean {
    return this.#failed !== null;
  }

  commit(batch: DiskBatch, done: (error: PeerError | null) => void): void {
    const { leastMs, mostMs } = this.#model;
    const takesMs = leastMs + this.#random() * (mostMs - leastMs);
    const toldAt = Math.max(this.#scheduler.now, this.#idleAt) + takesMs;
    this.#idleAt = toldAt;
    const happening = this.#scheduler.at(toldAt - this.#random() * TELLING * takesMs, () => {
      this.#pending.shift();
      const error = this.#write(batch);
      this.#telling = this.#scheduler.at(toldAt, () => done(error));
    });
    this.#pending.push({ batch, happening });
  }

  /** What it kept of terms is damaged. */
  promise(term: Term): void {
    this.#image.apply({ claim: { term, coordinator: null } });
  }

  /** From now on writes fail, until there is room again and the process has been started anew. */
  fill(): void {
    this.#isFull = true;
  }

  makeRoom(): void {
    this.#isFull = false;
  }

  /** The process ends without warning. Batches on their way are kept or lost, and after one that is lost all are. */
  crash(): void {
    const pending = this.#drop();
    const kept = pending.findIndex(() => this.#random() >= KEPT_BY_CRASH);
    for (const { batch } of kept < 0 ? pending : pending.slice(0, kept)) if (this.#failed === null) this.#put(batch);
    if (this.#torn !== null && this.#random() < KEPT_BY_CRASH) this.#put(this.#torn);
    this.#close();
    if (this.#model.syncless) this.#loseUnsynced();
  }

  /** The last `batches` were never there, although they were reported as done: a disk that lies, and a power cut. */
  loseTail(batches: number): void {
    this.#drop();
    this.#close();
    this.#rebuild(this.#tail.slice(0, Math.max(0, this.#tail.length - batches)));
  }

  /** What a backup would hold now. */
  copy(): DiskImage {
    return this.#image.copy();
  }

  /** The process does not run. */
  restore(image: DiskImage): void {
    this.#drop();
    this.#close();
    this.#tail = [];
    this.#before = image.copy();
    this.#image = image.copy();
  }

  wipe({ keepsIdentity }: { readonly keepsIdentity: boolean }): void {
    this.restore(new DiskImage(keepsIdentity ? this.#image.publicKey : randomKey(this.#random)));
  }

  #write(batch: DiskBatch): PeerError | null {
    if (this.#failed !== null) return this.#failed;
    if (!this.#isFull) {
      this.#put(batch);
      return null;
    }
    this.#torn = batch;
    this.#failed = new PeerError('DISK_FULL', 'the disk is full; make room, then start again');
    return this.#failed;
  }

  #put(batch: DiskBatch): void {
    this.#image.apply(batch);
    this.#tail.push({ batch, at: this.#scheduler.now });
    if (this.#tail.length > TAIL_BATCHES) this.#before.apply((this.#tail.shift() as { readonly batch: DiskBatch }).batch);
  }

  /** Takes back what has not happened yet. */
  #drop(): Pending[] {
    const pending = this.#pending;
    for (const { happening } of pending) this.#scheduler.cancel(happening);
    if (this.#telling) this.#scheduler.cancel(this.#telling);
    this.#telling = null;
    this.#pending = [];
    this.#idleAt = 0;
    return pending;
  }

  #close(): void {
    this.#failed = null;
    this.#torn = null;
  }

  #loseUnsynced(): void {
    const syncedUntil = this.#scheduler.now - UNSYNCED_MS;
    const kept = this.#tail.filter(({ at }) => at <= syncedUntil || integerBetween(this.#random, 0, 1) === 1);
    if (kept.length < this.#tail.length) this.#rebuild(kept);
  }

  #rebuild(kept: readonly { readonly batch: DiskBatch; readonly at: Millis }[]): void {
    this.#tail = [...kept];
    this.#image = this.#before.copy();
    for (const { batch } of kept) this.#image.apply(batch);
  }
}
