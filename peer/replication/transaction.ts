// The merge, pure: what a set of operations does to what is held. A transaction starts from committed state, is changed in
// memory, and ends as one batch. Nothing in it waits, draws chance or reads a clock, so the simulator runs the same code.
//
// The rule behind it (docs/PROTOCOL.md): per register (origin, key) the greatest stamp wins, and a head of an origin's
// epoch claims that of every operation up to it we hold that one or a greater one of its register.
import { createHash } from 'node:crypto';
import type { EpochId, PeerId } from '../../lib/ids.ts';
import type { LamportClock } from '../../lib/lamport.ts';
import { compareStamps, type Operation, type Value } from '../../lib/operation.ts';
import { covers, EMPTY_VECTOR, headOf, type Vector } from '../../lib/vector.ts';
import { PeerError } from '../../lib/errors.ts';

export const DIGEST_BYTES = 32;

/** All of one origin that a receiver's vector did not cover. */
export interface Delta {
  readonly origin: PeerId;
  /** The receiver's vector when it asked. */
  readonly base: Vector;
  /** The sender's vector when it answered. */
  readonly vector: Vector;
  readonly operations: readonly Operation[];
}

export interface Change {
  readonly key: string;
  /** null deletes the register. */
  readonly value: Value | null;
}

/** A register that got another winner. */
export interface RegisterChange {
  readonly before: Operation | undefined;
  readonly after: Operation;
}

/** The committed state that a transaction reads. */
export interface Committed {
  readonly self: PeerId;
  readonly vectors: ReadonlyMap<PeerId, Vector>;
  readonly digest: Uint8Array;
  readonly clock: LamportClock;
}

/** Names a register in maps; keys hold no NUL. */
export const registerName = (origin: PeerId, key: string): string => `${key}\0${origin}`;

export class Transaction {
  readonly #committed: Committed;
  /** Registers as this transaction leaves them; every one it may touch was read beforehand. */
  readonly #registers: Map<string, Operation | undefined>;
  readonly #vectors = new Map<PeerId, Map<EpochId, number>>();
  readonly #touched = new Map<string, { readonly before: Operation | undefined; after: Operation }>();
  /** Operations of others whose times leap too far ahead to be attached. */
  readonly leaps: Operation[] = [];
  readonly digest: Buffer;

  constructor(committed: Committed, registers: Map<string, Operation | undefined>) {
    this.#committed = committed;
    this.#registers = registers;
    this.digest = Buffer.from(committed.digest);
  }

  vector(origin: PeerId): Vector {
    return this.#vectors.get(origin) ?? this.#committed.vectors.get(origin) ?? EMPTY_VECTOR;
  }

  /** Own writes: the next seqs of `epoch`, each an internal event of the Lamport clock. */
  write(epoch: EpochId, changes: readonly Change[]): Operation[] {
    const { self, clock } = this.#committed;
    return changes.map(({ key, value }) => {
      const operation = { origin: self, epoch, seq: headOf(this.vector(self), epoch) + 1, lamport: clock.increment(), key, value };
      this.#merge(operation);
      this.#raise(self, epoch, operation.seq);
      return operation;
    });
  }

  /** An operation that came alone. It counts only as its epoch's next one: otherwise the head would claim what lies between.
   *  @returns false when it is not the next */
  append(operation: Operation): boolean {
    const { origin, epoch, seq } = operation;
    if (seq !== headOf(this.vector(origin), epoch) + 1) return false;
    this.merge([operation]);
    this.#raise(origin, epoch, seq);
    return true;
  }

  /** Merges a delta whole: operations, then heads.
   *  @throws PeerError STALE_DELTA when what the delta leaves out is not held here */
  apply(delta: Delta): void {
    this.checkBase(delta);
    this.merge(delta.operations);
    this.raise(delta);
  }

  /** @throws PeerError STALE_DELTA when what a delta on this base leaves out is not held here */
  checkBase({ origin, base }: Pick<Delta, 'origin' | 'base'>): void {
    if (!covers(this.vector(origin), base)) throw new PeerError('STALE_DELTA', 'a delta on a base that is not held');
  }

  /** Operations without their heads: a part of a delta, which claims nothing until `raise`. */
  merge(operations: readonly Operation[]): void {
    const { clock, self } = this.#committed;
    for (const operation of operations) {
      if (!clock.witness(operation.lamport, { own: operation.origin === self })) this.leaps.push(operation);
      this.#merge(operation);
    }
  }

  /** Each head becomes the greater of the two: a delta may have been overtaken, and replaces nothing. */
  raise({ origin, vector }: Pick<Delta, 'origin' | 'vector'>): void {
    for (const [epoch, head] of vector) this.#raise(origin, epoch, head);
  }

  /** Registers that changed, each with the operation it had at first and has at last. */
  changes(): RegisterChange[] {
    return [...this.#touched.values()];
  }

  heads(): { readonly origin: PeerId; readonly epoch: EpochId; readonly head: number }[] {
    const heads = [];
    for (const [origin, vector] of this.#vectors) {
      for (const [epoch, head] of vector) {
        if (head > headOf(this.#committed.vectors.get(origin) ?? EMPTY_VECTOR, epoch)) heads.push({ origin, epoch, head });
      }
    }
    return heads;
  }

  /** Those that moved. */
  vectors(): ReadonlyMap<PeerId, Vector> {
    return this.#vectors;
  }

  #merge(operation: Operation): void {
    const name = registerName(operation.origin, operation.key);
    const held = this.#registers.get(name);
    if (held && compareStamps(held, operation) >= 0) return;
    if (held) this.#fold(held);
    this.#fold(operation);
    this.#registers.set(name, operation);
    const touched = this.#touched.get(name);
    if (touched) touched.after = operation;
    else this.#touched.set(name, { before: held, after: operation });
  }

  /** Into the digest, or out of it again: exclusive or undoes itself, and does not mind the order. */
  #fold(operation: Operation): void {
    const hash = hashWinner(operation);
    for (let i = 0; i < DIGEST_BYTES; i++) this.digest[i] = (this.digest[i] as number) ^ (hash[i] as number);
  }

  #raise(origin: PeerId, epoch: EpochId, head: number): void {
    let vector = this.#vectors.get(origin);
    if (!vector) {
      vector = new Map(this.#committed.vectors.get(origin));
      this.#vectors.set(origin, vector);
    }
    if (head > headOf(vector, epoch)) vector.set(epoch, head);
  }
}

function hashWinner({ origin, epoch, seq, lamport, key, value }: Operation): Buffer {
  // one write instead of three: this runs for every operation that is ever applied
  const text = Buffer.from(`${origin}${epoch}${seq},${lamport},${value === null ? '-' : '+'}${key}\0`);
  return createHash('sha256')
    .update(value === null ? text : Buffer.concat([text, value]))
    .digest();
}
