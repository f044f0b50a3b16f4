// A peer of a small world that may be in the middle of a turn, as a value that never changes. A ledger cannot be copied; so what is
// kept of it is the disk that it began its turns from, and the inputs since then, which lead to the same ledger again.
import type { EpochId, PeerId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import { Ledger, type LedgerInput } from '../../peer/replication/ledger.ts';
import type { OperationBatch } from '../../storage/operation-batch.ts';
import type { MemoryOperations } from './memory-operations.ts';
import type { SmallMemory } from './small-memory.ts';
import { nameOf, operationText, smallId, SmallPeer, vectorText } from './small-peer.ts';

export const MERGER = smallId<PeerId>(2);

/** One whose ledger may be in the middle of a turn. */
export interface Merger {
  /** The disk when nothing was under way last, with the clock of that moment. */
  readonly since: MemoryOperations;
  readonly lamport: number;
  /** Of this start, whether it has written or not. */
  readonly epoch: EpochId;
  readonly inputs: readonly LedgerInput[];
  /** The disk now. */
  readonly disk: MemoryOperations;
  /** Large deltas by name, each in its pieces. */
  readonly aside: ReadonlyMap<string, readonly (readonly Operation[])[]>;
  /** On its way to the disk. */
  readonly pending: OperationBatch | null;
}

export class Mergers {
  readonly #memory: SmallMemory;
  /** Does a start forget what was half merged? */
  readonly #forgets: boolean;
  readonly #ledgers = new WeakMap<Merger, Ledger>();
  readonly #peers = new WeakMap<MemoryOperations, SmallPeer>();
  readonly #numbers = new WeakMap<Merger, number>();

  constructor(memory: SmallMemory, { forgets }: { readonly forgets: boolean }) {
    this.#memory = memory;
    this.#forgets = forgets;
  }

  /** Before its start. */
  boot({ since, lamport, epoch }: Merger): Ledger {
    const stored = since.load();
    return new Ledger(MERGER, { ...stored, lamport, merging: this.#forgets ? null : stored.merging }, () => epoch);
  }

  /** One of its own, to be led on. */
  ledgerOf(merger: Merger): Ledger {
    const ledger = this.boot(merger);
    ledger.start();
    for (const input of merger.inputs) ledger.step(input);
    return ledger;
  }

  /** Only to be looked at. */
  look(merger: Merger): Ledger {
    const known = this.#ledgers.get(merger) ?? this.ledgerOf(merger);
    this.#ledgers.set(merger, known);
    return known;
  }

  /** What would start from this disk. */
  held(disk: MemoryOperations): SmallPeer {
    const known = this.#peers.get(disk) ?? this.#memory.same(SmallPeer.start(MERGER, disk));
    this.#peers.set(disk, known);
    return known;
  }

  /** Equal for mergers that will do the same. */
  numberOf(merger: Merger): number {
    const known = this.#numbers.get(merger) ?? this.#memory.numberOf(this.#textOf(merger));
    this.#numbers.set(merger, known);
    return known;
  }

  #textOf({ since, lamport, epoch, inputs, disk, aside }: Merger): string {
    return [
      this.#diskText(since),
      lamport,
      epoch,
      inputs.map(inputText).join(' '),
      this.#diskText(disk),
      [...aside].map(([name, pieces]) => `${name}:${pieces.flat().map(operationText).join(' ')}`).join(' '),
    ].join('|');
  }

  #diskText(disk: MemoryOperations): string {
    const { merging } = disk.load();
    return `${this.#memory.number(this.held(disk))} ${merging ? `${merging.aside} ${vectorText(merging.vector)} ${merging.done} of ${merging.pieces}` : ''}`;
  }
}

/** Reads follow from the disk. */
function inputText(input: LedgerInput): string {
  if (input.kind !== 'task') return input.kind;
  const { task } = input;
  switch (task.kind) {
    case 'merge':
      return `merge ${task.aside} ${vectorText(task.delta.base)}${vectorText(task.delta.vector)}`;
    case 'append':
      return `append ${task.operations.map(operationText).join()}`;
    case 'view':
      return `view ${task.id} ${nameOf(task.origin)}`;
    default:
      return task.kind;
  }
}
