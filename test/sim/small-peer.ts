// A peer of a small world, for the search of every schedule (exhaustive.ts): what it holds as a value that never changes, so that a
// thousand worlds share it. What merges is the real ledger. Between two turns a ledger follows from its disk, its clock and its
// epoch; so each turn has a new one that begins from those three, and is afterwards only looked at.
//
// Nothing is seen of a batch before it is on the disk. So a turn is one step here: a crash in the middle of it is either a crash
// before it, or after it and before anything was said of it. What can happen within a turn is for small-pieces.ts.
import { hex, type EpochId, type NetworkId, type PeerId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import type { Vector } from '../../lib/vector.ts';
import { Ledger, type LedgerEffect, type Outcome, type Task } from '../../peer/replication/ledger.ts';
import { pull } from '../../peer/replication/pull.ts';
import type { Delta } from '../../peer/replication/transaction.ts';
import { MemoryOperations } from './memory-operations.ts';

/** Ids that people can tell apart: 1 is aaaa…, 2 bbbb…. */
export const smallId = <T extends PeerId | NetworkId>(number: number): T => (number + 9).toString(16).repeat(32) as T;
/** As a person reads it in a trace. */
export const nameOf = (id: PeerId | NetworkId): string => (id[0] as string).toUpperCase();
/** The first of its origin sorts in the middle; others before all that there were, or after. */
export const smallEpoch = (number: number, { isBelow }: { readonly isBelow: boolean }): EpochId =>
  (8 + (isBelow ? -number : number)).toString(16).repeat(16) as EpochId;

/** What is asked of an origin. */
export interface DeltaQuestion {
  readonly origin: PeerId;
  readonly base: Vector;
}

export interface Turned {
  readonly peer: SmallPeer;
  /** null: refused. */
  readonly outcome: Outcome | null;
}

/** Nothing is merged in pieces here. */
const WHOLE = { merging: null };

const noEpoch = (): never => {
  throw new Error('only writes draw epochs');
};

export class SmallPeer {
  readonly self: PeerId;
  readonly store: MemoryOperations;
  readonly ledger: Ledger;
  /** Of this start, once it has written. */
  readonly epoch: EpochId | null;
  #text: string | undefined;

  private constructor({ store, ledger, epoch }: Pick<SmallPeer, 'store' | 'ledger' | 'epoch'>) {
    this.self = ledger.self;
    this.store = store;
    this.ledger = ledger;
    this.epoch = epoch;
  }

  /** @param lamport where the clock begins */
  static start(self: PeerId, store: MemoryOperations, lamport: number = store.load().lamport): SmallPeer {
    return new SmallPeer({ store, epoch: null, ledger: new Ledger(self, { ...store.load(), ...WHOLE, lamport }, noEpoch) });
  }

  static empty(self: PeerId): SmallPeer {
    return SmallPeer.start(self, new MemoryOperations());
  }

  /** One turn of the ledger, from the task to what is on the disk. */
  run(task: Task, newEpoch: () => EpochId = noEpoch): Turned {
    const store = this.store.copy();
    let { epoch } = this;
    const ledger = new Ledger(this.self, { ...store.load(), ...WHOLE, lamport: this.ledger.clock.time }, () => (epoch ??= newEpoch()));
    let outcome: Outcome | null = null;
    const effects: LedgerEffect[] = ledger.step({ kind: 'task', task });
    for (let effect = effects.shift(); effect; effect = effects.shift()) {
      if (effect.kind === 'read') effects.push(...ledger.step({ kind: 'read', held: store.held(effect.registers), piece: null }));
      if (effect.kind === 'commit') {
        store.commit(effect.batch);
        effects.push(...ledger.step({ kind: 'committed' }));
      }
      if (effect.kind === 'done') outcome = effect.outcome;
      if (effect.kind === 'dropped') epoch = null;
    }
    return { peer: new SmallPeer({ store, ledger, epoch }), outcome };
  }

  /** @returns this peer with the delta, or as it was when it is refused */
  apply(delta: Delta, network: NetworkId | null = null): SmallPeer {
    const { peer, outcome } = this.run({ kind: 'apply', id: 1, delta, network });
    return outcome ? peer : this;
  }

  /** Everything of an origin that a base does not cover. */
  answer({ origin, base }: DeltaQuestion): Delta {
    const vector = this.ledger.vector(origin);
    return { origin, base, vector, operations: this.store.beyond(origin, base, vector) };
  }

  /** What the real pull asks `other` for, if nothing comes in between. */
  questionsTo({ ledger: theirs }: SmallPeer): DeltaQuestion[] {
    if (Buffer.compare(this.ledger.root, theirs.root) === 0) return [];
    const questions: DeltaQuestion[] = [];
    const pulling = pull(this.ledger, null);
    for (let next = pulling.next(); !next.done; ) {
      const question = next.value;
      switch (question.kind) {
        case 'hashes':
          next = pulling.next({ kind: 'hashes', hashes: theirs.hashes });
          break;
        case 'vectors':
          next = pulling.next({ kind: 'vectors', vectors: question.origins.map((origin) => theirs.vector(origin)) });
          break;
        case 'delta':
          questions.push(question);
          next = pulling.next({ kind: 'delta', operations: 0 });
          break;
        case 'behind':
          next = pulling.next({ kind: 'behind' });
      }
    }
    return questions;
  }

  held(origin: PeerId, key: string): Operation | undefined {
    return this.store.held([{ origin, key }])[0];
  }

  /** All winners, by key and origin. */
  get winners(): Operation[] {
    return this.store.registers('');
  }

  /** Equal for peers that will do the same. */
  toString(): string {
    return (this.#text ??= [
      nameOf(this.self),
      this.epoch?.[0] ?? '-',
      this.ledger.clock.time,
      this.store.load().lamport,
      [...this.ledger.networks].sort().map(nameOf).join(''),
      [...this.ledger.vectors].map(([origin, vector]) => `${nameOf(origin)}${vectorText(vector)}`).sort().join(' '),
      this.winners.map(operationText).join(' '),
    ].join('|'));
  }
}

export const vectorText = (vector: Vector): string => `{${[...vector].map(([epoch, head]) => `${epoch[0]}:${head}`).sort().join(' ')}}`;

const texts = new WeakMap<Operation, string>();
/** All that there is to it; the same for the same. */
export function operationText(operation: Operation): string {
  const known = texts.get(operation);
  if (known !== undefined) return known;
  const { origin, epoch, seq, lamport, key, value } = operation;
  const text = `${nameOf(origin)}${epoch[0]}:${seq}@${lamport} ${key}${value === null ? ' gone' : `=${hex(value)}`}`;
  texts.set(operation, text);
  return text;
}

export const deltaText = ({ origin, base, vector, operations }: Delta): string =>
  `${nameOf(origin)}${vectorText(base)}${vectorText(vector)}${operations.map(operationText).join(',')}`;
