// Everything that was ever written in a simulated world, by whomever it was first seen: what the invariants compare peers with.
import { compareStamps, type Operation } from '../../lib/operation.ts';
import type { EpochId, PeerId } from '../../lib/ids.ts';
import type { Vector } from '../../lib/vector.ts';
import { registerName } from '../../peer/replication/transaction.ts';

const contentOf = ({ lamport, key, value }: Operation): string => `${lamport} ${key} ${value === null ? '-' : Buffer.from(value).toString('latin1')}`;

export class Oracle {
  /** By origin and epoch, the operation of each seq. */
  readonly #written = new Map<PeerId, Map<EpochId, Map<number, Operation>>>();

  /** @returns what is wrong: one place in a log with two contents */
  see(operation: Operation): string | null {
    const { origin, epoch, seq } = operation;
    let epochs = this.#written.get(origin);
    if (!epochs) this.#written.set(origin, (epochs = new Map()));
    let log = epochs.get(epoch);
    if (!log) epochs.set(epoch, (log = new Map()));
    const seen = log.get(seq);
    if (!seen) log.set(seq, operation);
    else if (contentOf(seen) !== contentOf(operation)) return `${origin.slice(0, 4)} ${epoch.slice(0, 4)} ${seq} is '${contentOf(seen)}' and '${contentOf(operation)}'`;
    return null;
  }

  /** Does the vector of this origin claim anything that is not held, by itself or by a greater one of its register?
   *  @returns what is missing */
  missing(origin: PeerId, vector: Vector, held: (origin: PeerId, key: string) => Operation | undefined): string | null {
    for (const [epoch, log] of this.#written.get(origin) ?? []) {
      const head = vector.get(epoch) ?? 0;
      for (const [seq, operation] of log) {
        if (seq > head) continue;
        const winner = held(origin, operation.key);
        if (!winner || compareStamps(winner, operation) < 0) return `head ${head} of ${origin.slice(0, 4)} ${epoch.slice(0, 4)} claims seq ${seq}, ${contentOf(operation)}`;
      }
    }
    return null;
  }
}

/** The greatest of each register. */
export class Winners {
  readonly #winners = new Map<string, Operation>();

  add(operation: Operation): void {
    const name = registerName(operation.origin, operation.key);
    const known = this.#winners.get(name);
    if (!known || compareStamps(known, operation) < 0) this.#winners.set(name, operation);
  }

  [Symbol.iterator](): IterableIterator<Operation> {
    return this.#winners.values();
  }
}
