// The rule of salvage (docs/decisions/0012-salvage.md) in a model without disks: peers whose state is what their surviving commits
// say, random commits of which are lost at every restart. The disk's side of it is in durability.ts.
import t from 'tap';
import type { EpochId, PeerId } from '../../lib/ids.ts';
import { isUserData } from '../../lib/kinds.ts';
import { LamportClock } from '../../lib/lamport.ts';
import { compareStamps, type Operation } from '../../lib/operation.ts';
import { integerBetween, type Random, seededRandom } from '../../lib/random.ts';
import { EMPTY_VECTOR, headOf, type Vector } from '../../lib/vector.ts';
import { DIGEST_BYTES } from '../../lib/digest.ts';
import { registerName, Transaction } from '../../peer/replication/transaction.ts';

interface Commit {
  readonly puts: readonly Operation[];
  readonly heads: ReturnType<Transaction['heads']>;
  readonly lamport: number;
}

class ModelPeer {
  readonly self: PeerId;
  readonly world: World;
  commits: Commit[] = [];
  registers = new Map<string, Operation>();
  vectors = new Map<PeerId, Vector>();
  digest: Uint8Array = new Uint8Array(DIGEST_BYTES);
  clock = new LamportClock();
  epoch: EpochId;

  constructor(self: PeerId, world: World) {
    this.self = self;
    this.world = world;
    this.epoch = world.newEpoch();
  }

  change(run: (transaction: Transaction) => void): void {
    const registers = new Map<string, Operation | undefined>(this.registers);
    const transaction = new Transaction(this, registers);
    run(transaction);
    const puts = transaction.changes().map(({ after }) => after);
    this.commits.push({ puts, heads: transaction.heads(), lamport: this.clock.time });
    this.registers = registers as Map<string, Operation>;
    this.digest = transaction.digest;
    for (const [origin, vector] of transaction.vectors()) this.vectors.set(origin, vector);
  }

  write(key: string, value: Uint8Array | null): void {
    this.change((transaction) => this.world.written.push(...transaction.write(this.epoch, [{ key, value }])));
  }

  pull(from: ModelPeer): void {
    for (const [origin, vector] of from.vectors) {
      const base = this.vectors.get(origin) ?? EMPTY_VECTOR;
      const operations = [...from.registers.values()].filter((held) => held.origin === origin && held.seq > headOf(base, held.epoch));
      this.change((transaction) => transaction.apply({ origin, base, vector, operations }));
    }
  }

  /** A start after commits in the middle were lost: rows are what the last surviving commit that wrote them says. */
  restart(isLost: (commit: number) => boolean): void {
    const latest = this.commits.length - 1;
    const left = this.commits.filter((_, i) => i === latest || !isLost(i));
    const lost = left.length < this.commits.length;
    this.commits = left;
    this.registers = new Map(left.flatMap(({ puts }) => puts.map((put) => [registerName(put.origin, put.key), put] as const)));
    this.vectors = new Map();
    for (const { origin, epoch, head } of left.flatMap(({ heads }) => heads)) {
      this.vectors.set(origin, new Map(this.vectors.get(origin)).set(epoch, head));
    }
    this.clock = new LamportClock(left.at(-1)?.lamport ?? 0);
    this.epoch = this.world.newEpoch();
    if (lost) this.#salvage([...this.registers.values()]);
  }

  #salvage(held: readonly Operation[]): void {
    const epoch = this.world.newEpoch();
    const heads = new Map<PeerId, number>();
    const kept = held
      .filter(({ origin, key }) => origin === this.self || isUserData(key))
      .map((operation) => {
        const seq = (heads.get(operation.origin) ?? 0) + 1;
        heads.set(operation.origin, seq);
        return { ...operation, epoch, seq };
      });
    this.world.written.push(...kept);
    this.registers = new Map();
    this.vectors = new Map();
    this.digest = new Uint8Array(DIGEST_BYTES);
    this.commits = [];
    const time = this.clock.time;
    this.change((transaction) => {
      for (const operation of kept) transaction.append(operation);
    });
    this.clock = new LamportClock(time);
  }
}

class World {
  readonly random: Random;
  /** Every operation that ever was, under every name. */
  readonly written: Operation[] = [];
  readonly peers: readonly ModelPeer[];
  #epochs = 0;

  constructor(random: Random) {
    this.random = random;
    this.peers = ['a', 'b', 'c'].map((id) => new ModelPeer(id.repeat(32) as PeerId, this));
  }

  /** By chance, so that a new one sorts before or after the old ones. */
  newEpoch(): EpochId {
    this.#epochs += 1;
    return `${integerBetween(this.random, 0, 255).toString(16).padStart(2, '0')}${this.#epochs.toString(16).padStart(14, '0')}` as EpochId;
  }

  any(): ModelPeer {
    return this.peers[integerBetween(this.random, 0, this.peers.length - 1)] as ModelPeer;
  }

  step(): void {
    const peer = this.any();
    const chance = this.random();
    const key = `${this.random() < 0.5 ? 'star' : 'holding'}/${integerBetween(this.random, 1, 3)}`;
    if (chance < 0.5) peer.write(key, this.random() < 0.3 ? null : Buffer.from(String(this.written.length)));
    else if (chance < 0.85) peer.pull(this.any());
    else peer.restart(() => this.random() < 0.3);
  }
}

const content = (operation: Operation): string => `${operation.value === null ? '-' : Buffer.from(operation.value)}`;

t.test('whatever commits are lost: heads are true, nothing that anybody has left is hidden, and peers agree', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
  t.comment(`seed ${seed} (SEED=${seed} replays it)`);
  for (let i = 0; i < 1_500; i++) {
    const world = new World(seededRandom(seed + i));
    const faults: string[] = [];
    const check = (when: string): void => {
      for (const { self, vectors, registers } of world.peers) {
        for (const operation of world.written) {
          if (operation.seq > headOf(vectors.get(operation.origin) ?? EMPTY_VECTOR, operation.epoch)) continue;
          const held = registers.get(registerName(operation.origin, operation.key));
          if (!held || compareStamps(held, operation) < 0) faults.push(`${when}, ${self[0]} claims ${operation.origin[0]} ${operation.key} @${operation.lamport}`);
        }
      }
    };
    for (let step = 0; step < 25; step++) {
      world.step();
      check(`step ${step}`);
    }
    const left = world.peers.flatMap(({ registers }) => [...registers.values()]);
    for (let round = 0; round < 2; round++) for (const to of world.peers) for (const from of world.peers) to.pull(from);
    check('at the end');
    const [first, ...others] = world.peers as [ModelPeer, ...ModelPeer[]];
    for (const other of others) if (Buffer.compare(first.digest, other.digest) !== 0) faults.push('the digests differ');
    for (const operation of left) {
      const held = first.registers.get(registerName(operation.origin, operation.key)) as Operation;
      if (held.lamport < operation.lamport) faults.push(`${operation.key} @${operation.lamport} was left and is hidden`);
      if (held.lamport === operation.lamport && content(held) !== content(operation)) faults.push(`${operation.key} @${operation.lamport} has two contents`);
    }
    if (faults.length === 0) continue;
    t.fail(`SEED=${seed + i}: ${faults.slice(0, 4).join('; ')}`);
    break;
  }
});
