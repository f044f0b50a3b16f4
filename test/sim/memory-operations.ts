// The in-memory twin of storage/operation-store.ts, for simulated disks: the same three sections and the same answers, at once
// instead of by promises. test/unit/operation-stores.ts holds both to one suite of claims.
import type { EpochId, NetworkId, PeerId } from '../../lib/ids.ts';
import { isUserData, unitedNetwork } from '../../lib/kinds.ts';
import type { Lamport } from '../../lib/lamport.ts';
import type { Operation } from '../../lib/operation.ts';
import type { Vector } from '../../lib/vector.ts';
import type { Merging, OperationBatch, RegisterId, StoredState } from '../../storage/operation-batch.ts';

/** seq -> key, for winners only. */
type Log = Map<number, string>;
type Sections = {
  /** `key \0 origin` -> winner */
  readonly registers: Map<string, Operation>;
  readonly logs: Map<PeerId, Map<EpochId, Log>>;
  readonly vectors: Map<PeerId, Map<EpochId, number>>;
  digest: Uint8Array | null;
  lamport: Lamport;
  network: NetworkId | null;
  merging: Merging | null;
};

const EMPTY: Pick<Sections, 'digest' | 'lamport' | 'network' | 'merging'> = { digest: null, lamport: 0, network: null, merging: null };
const sections = (): Sections => ({ registers: new Map(), logs: new Map(), vectors: new Map(), ...EMPTY });

/** A view that later commits do not change. */
export interface MemorySnapshot {
  readonly sections: Sections;
}

const registerRow = ({ origin, key }: RegisterId): string => `${key}\0${origin}`;

export class MemoryOperations {
  #sections: Sections = sections();
  /** Counts commits. */
  revision = 0;
  /** Does a copy or a snapshot look at these sections too? Then the next commit changes sections of its own. */
  #shared = false;

  load(): StoredState {
    const { vectors, registers, digest, lamport, network, merging } = this.#sections;
    const united = [...registers.values()].flatMap(({ key, value }) => (value && unitedNetwork(key)) || []);
    const user = [...registers.values()].some(({ key }) => isUserData(key));
    return { vectors: new Map([...vectors].map(([origin, vector]) => [origin, new Map(vector)])), digest, lamport, network, united, user, merging, missing: null };
  }

  held(registers: readonly RegisterId[]): (Operation | undefined)[] {
    return registers.map((register) => this.#sections.registers.get(registerRow(register)));
  }

  commit(batch: OperationBatch): void {
    if (this.#shared) {
      this.#sections = copyOf(this.#sections);
      this.#shared = false;
    }
    this.revision += 1;
    if (batch.drop) this.#sections = { ...sections(), network: this.#sections.network };
    const { registers, vectors } = this.#sections;
    for (const { origin, epoch, seq } of batch.superseded) this.#log(origin, epoch).delete(seq);
    for (const operation of batch.puts) {
      registers.set(registerRow(operation), operation);
      this.#log(operation.origin, operation.epoch).set(operation.seq, operation.key);
    }
    for (const { origin, epoch, head } of batch.heads) {
      const vector = vectors.get(origin) ?? new Map<EpochId, number>();
      vectors.set(origin, vector.set(epoch, head));
    }
    this.#sections.digest = Uint8Array.from(batch.digest);
    this.#sections.lamport = batch.lamport;
    if (batch.network) this.#sections.network = batch.network;
    if (batch.merging !== undefined) this.#sections.merging = batch.merging;
  }

  snapshot(): MemorySnapshot {
    this.#shared = true;
    return { sections: this.#sections };
  }

  /** Every held operation of `origin` beyond `base`, by epoch and seq. */
  beyond(origin: PeerId, base: Vector, until: Vector, snapshot: MemorySnapshot = { sections: this.#sections }): Operation[] {
    const { logs, registers } = snapshot.sections;
    const found: Operation[] = [];
    for (const [epoch, head] of until) {
      const log = logs.get(origin)?.get(epoch);
      const from = (base.get(epoch) ?? 0) + 1;
      if (log === undefined || from > head) continue;
      for (const seq of seqsBetween(log, from, head)) {
        const operation = registers.get(registerRow({ origin, key: log.get(seq) as string }));
        if (operation === undefined) throw new Error('a log row without its register');
        found.push(operation);
      }
    }
    return found;
  }

  /** All registers whose key starts with `prefix`, ordered by key and origin. */
  registers(prefix: string): Operation[] {
    const rows = [...this.#sections.registers].filter(([row]) => row.startsWith(prefix)).map(([row, operation]) => ({ bytes: Buffer.from(row), operation }));
    // as LevelDB orders: by the bytes of UTF-8, which is another order than that of JavaScript's texts
    return rows.sort((a, b) => Buffer.compare(a.bytes, b.bytes)).map(({ operation }) => operation);
  }

  /** As if the files were copied aside. */
  copy(): MemoryOperations {
    const copy = new MemoryOperations();
    copy.#sections = this.#sections;
    copy.#shared = true;
    this.#shared = true;
    return copy;
  }

  #log(origin: PeerId, epoch: EpochId): Log {
    const { logs } = this.#sections;
    const epochs = logs.get(origin) ?? new Map<EpochId, Log>();
    const log = epochs.get(epoch) ?? new Map<number, string>();
    logs.set(origin, epochs.set(epoch, log));
    return log;
  }
}

/** Walks the shorter of the two: the range or the log. */
function seqsBetween(log: Log, from: number, to: number): number[] {
  if (to - from >= log.size) return [...log.keys()].filter((seq) => seq >= from && seq <= to).sort((a, b) => a - b);
  const seqs: number[] = [];
  for (let seq = from; seq <= to; seq++) if (log.has(seq)) seqs.push(seq);
  return seqs;
}

const copyOf = ({ registers, logs, vectors, ...rest }: Sections): Sections => ({
  ...rest,
  registers: new Map(registers),
  logs: new Map([...logs].map(([origin, epochs]) => [origin, new Map([...epochs].map(([epoch, log]) => [epoch, new Map(log)]))])),
  vectors: new Map([...vectors].map(([origin, vector]) => [origin, new Map(vector)])),
});
