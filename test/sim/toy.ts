// The smallest peer worth simulating: registers of several writers, told by multicast and made equal by whole exchanges over
// streams. The ground of the simulator is tested with it, above all with its bugs, which must be found.
import { type EpochId, type PeerId } from '../../lib/ids.ts';
import { compareStamps, type Operation } from '../../lib/operation.ts';
import { fnv1a, hexDigits } from './chance.ts';
import type { Machine } from './host.ts';
import type { SimEnv, SimInput, SimPeer, StreamId } from './peer.ts';
import type { Invariant, Subject, World } from './world.ts';

export type ToyBug =
  /** Orders writes by the time of day. */
  | 'wall clock'
  /** Says that a write is done before it is on the disk. */
  | 'early acknowledgement'
  /** Sees a whole exchange only once, however much comes later. */
  | 'one exchange'
  /** Fails when a stream is closed. */
  | 'throws';

type Said = { readonly kind: 'beat'; readonly hash: number } | { readonly kind: 'operations'; readonly operations: readonly Operation[] };

export interface Acknowledged {
  readonly kind: 'acknowledged';
  readonly operation: Operation;
}

const NETWORK = 'toy';
const BEAT_MS = 500;

const rowOf = ({ key, origin }: Operation): string => `${key} ${origin}`;
const textOf = (operation: Operation): string => `${rowOf(operation)} ${operation.epoch} ${operation.seq} ${operation.lamport}`;

function isNews(winners: ReadonlyMap<string, Operation>, operation: Operation): boolean {
  const held = winners.get(rowOf(operation));
  return held === undefined || compareStamps(held, operation) < 0;
}

export class ToyPeer implements SimPeer {
  readonly winners = new Map<string, Operation>();
  /** Winners of what the disk was given. */
  readonly #given = new Map<string, Operation>();
  readonly #env: SimEnv;
  readonly #bug: ToyBug | null;
  readonly #epoch: EpochId;
  readonly #commits = new Map<number, { readonly operations: readonly Operation[]; readonly own: boolean }>();
  readonly #dialled = new Set<StreamId>();
  #exchanges = 0;
  #tokens = 0;
  #seq = 0;
  #time = 0;

  constructor(env: SimEnv, bug: ToyBug | null) {
    this.#env = env;
    this.#bug = bug;
    this.#epoch = hexDigits(env.random, 16) as EpochId;
    for (const operation of env.disk.operations(NETWORK).registers('')) {
      this.#given.set(rowOf(operation), operation);
      this.#merge(operation);
    }
  }

  get hash(): number {
    let hash = 0;
    for (const operation of this.winners.values()) hash ^= fnv1a(textOf(operation));
    return hash;
  }

  input(input: SimInput): void {
    const env = this.#env;
    switch (input.kind) {
      case 'started':
        return env.arm('beat', env.random() * BEAT_MS);
      case 'expired':
        env.multicast({ kind: 'beat', hash: this.hash } satisfies Said, 100);
        return env.arm('beat', BEAT_MS);
      case 'datagram': {
        const said = input.content as Said;
        if (said.kind === 'operations') this.#take(said.operations);
        else if (said.hash !== this.hash && this.#dialled.size === 0 && !(this.#bug === 'one exchange' && this.#exchanges > 0)) this.#dialled.add(env.open(input.from));
        return;
      }
      case 'streamOpened':
        return env.write(input.stream, { kind: 'operations', operations: [...this.winners.values()] } satisfies Said, 100 * this.winners.size);
      case 'streamFrame':
        this.#exchanges += 1;
        this.#take((input.content as Extract<Said, { kind: 'operations' }>).operations);
        if (this.#dialled.delete(input.stream)) env.close(input.stream);
        return;
      case 'streamClosed':
        this.#dialled.delete(input.stream);
        if (this.#bug === 'throws') throw new Error('a stream was closed');
        return;
      case 'diskDone':
        return this.#done(input.token, input.error !== null);
      case 'command':
        if (input.command.kind === 'write') this.#write(input.command.key, input.command.value);
        return;
      case 'stopping':
        return;
    }
  }

  #write(key: string, value: string | null): void {
    const lamport = this.#bug === 'wall clock' ? Math.round(this.#env.wall()) : this.#time + 1;
    const operation = { origin: this.#env.identity, epoch: this.#epoch, seq: ++this.#seq, lamport, key, value: value === null ? null : Buffer.from(value) };
    this.#time = lamport;
    if (this.#bug === 'early acknowledgement') this.#env.tell({ kind: 'acknowledged', operation } satisfies Acknowledged);
    this.#commit([operation], true);
  }

  #take(operations: readonly Operation[]): void {
    const news = operations.filter((operation) => isNews(this.#given, operation));
    if (news.length > 0) this.#commit(news, false);
  }

  #commit(operations: readonly Operation[], own: boolean): void {
    const token = ++this.#tokens;
    this.#commits.set(token, { operations, own });
    const puts = operations.filter((operation) => isNews(this.#given, operation));
    for (const operation of puts) this.#given.set(rowOf(operation), operation);
    this.#env.commit(token, { operations: { network: NETWORK, batch: { puts, superseded: [], heads: [], digest: new Uint8Array(32), lamport: this.#time } } });
  }

  #done(token: number, failed: boolean): void {
    const commit = this.#commits.get(token);
    this.#commits.delete(token);
    if (commit === undefined || failed) return;
    for (const operation of commit.operations) this.#merge(operation);
    if (!commit.own) return;
    for (const operation of commit.operations) if (this.#bug !== 'early acknowledgement') this.#env.tell({ kind: 'acknowledged', operation } satisfies Acknowledged);
    this.#env.multicast({ kind: 'operations', operations: commit.operations } satisfies Said, 200);
  }

  #merge(operation: Operation): void {
    this.#time = Math.max(this.#time, operation.lamport);
    if (isNews(this.winners, operation)) this.winners.set(rowOf(operation), operation);
  }
}

const isAcknowledgement = (fact: unknown): fact is Acknowledged => (fact as { kind?: unknown } | null)?.kind === 'acknowledged';

/** Equal on all that run. */
const converges = (): Invariant<ToyPeer> => ({
  name: 'all hold the same',
  healed: (world: World<ToyPeer>) => {
    const hashes = new Set(world.running.map(({ peer }) => peer?.hash));
    return hashes.size > 1 ? `${hashes.size} states among ${world.running.length} peers` : null;
  },
});

/** What was acknowledged is held, or what came after it, unless the disk was lost or set back. */
function keeps(): Invariant<ToyPeer> {
  /** By register, in the order of the acknowledgements. */
  const acknowledged = new Map<string, string[]>();
  return {
    name: 'what was acknowledged is kept',
    told: (_machine: Machine<ToyPeer>, fact: unknown) => {
      if (!isAcknowledgement(fact)) return null;
      const row = rowOf(fact.operation);
      acknowledged.set(row, [...(acknowledged.get(row) ?? []), textOf(fact.operation)]);
      return null;
    },
    healed: (world: World<ToyPeer>) => {
      if (world.scenario.faults.some(({ kind }) => ['wipe', 'loseTail', 'restore', 'clone', 'fullDisk'].includes(kind))) return null;
      for (const { name, peer } of world.running) {
        for (const [row, texts] of acknowledged) {
          const held = peer?.winners.get(row);
          const last = texts.at(-1) as string;
          // one that is not among them was written later, and its process ended before it could say so
          if (held === undefined || (textOf(held) !== last && texts.includes(textOf(held)))) return `${name} does not hold ${last}`;
        }
      }
      return null;
    },
  };
}

export const toySubject = (bug: ToyBug | null = null): Subject<ToyPeer> => ({
  make: (env) => new ToyPeer(env, bug),
  invariants: () => [converges(), keeps()],
  healMs: 20_000,
  quietMs: 2_000,
  show: (content) => {
    const said = content as Said;
    return said.kind === 'beat' ? `beat ${said.hash.toString(16)}` : `operations ${said.operations.map((operation) => `${operation.key}@${operation.lamport}`).join(' ')}`;
  },
});

/** An origin, for tests that make operations by hand. */
export const toyOrigin = (digit: string): PeerId => digit.repeat(32) as PeerId;
