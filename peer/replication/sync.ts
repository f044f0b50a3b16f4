// Anti-entropy on a wire: runs the coroutine that decides what to ask (pull.ts), and answers the questions of others. Both
// sides of every question name their network, because a connection outlives the moment in which one of them changes it.
import { checker } from '../../lib/check.ts';
import { encode } from '../../lib/codec.ts';
import { codeOf, PeerError } from '../../lib/errors.ts';
import { type EpochId, type NetworkId, type PeerId, idToBytes, randomId } from '../../lib/ids.ts';
import { DELTA_BYTES_MAX, NETWORKS_MAX, OPERATIONS_PER_FRAME, ORIGINS_MAX } from '../../lib/limits.ts';
import { fromTuple, type Operation, toTuple } from '../../lib/operation.ts';
import { EMPTY_VECTOR, type Vector, vectorFromTuples, vectorToTuples } from '../../lib/vector.ts';
import type { Connection, Handler, RequestContext } from '../stream/connection.ts';
import { deltaFrames, operationsOf, unframe } from './delta-frames.ts';
import { type Answer, ORIGINS_PER_QUESTION, pull, type Question } from './pull.ts';
import type { Replica } from './replica.ts';

/** What it needs of the other peer. */
export type SyncLink = Pick<Connection, 'request' | 'requestStream' | 'notify'>;

const check = checker('BAD_MESSAGE');

/** A delta of more frames than this is put aside on the disk before it is merged. */
const IN_MEMORY_FRAMES = 8;
/** Of one user's write, sent along with the question to keep it. More come by a pull. */
const KEEP_OPERATIONS_MAX = OPERATIONS_PER_FRAME;
const KEEP_BYTES_MAX = 64 * 1024;

export interface SyncEvents {
  /** This peer of our network holds more than we do. */
  readonly behind: (peer: PeerId) => void;
  /** A peer wants to know when its write is on this disk; tell by `answer`. */
  readonly asked: (asked: { readonly from: PeerId; readonly epoch: EpochId; readonly seq: number; readonly operations: readonly Operation[]; readonly answer: (held: boolean) => void }) => void;
}

/** The requests that a peer answers, by method; each begins with the ids of the asker's network:
 *  - `sync.hashes` [networks, root]: frames of [[origin, hash], …], every origin that is known; none where roots are equal
 *  - `sync.vectors` [networks, origin, …]: a frame [[epoch, head], …] for each, in that order
 *  - `sync.delta` [networks, origin, base]: first frame the vector, then frames of operation tuples
 *  - `sync.behind` [networks]: a notice that the sender holds more than we do
 *  - `sync.keep` [networks, epoch, seq, [operation, …]]: true once the sender's own log is on this disk up to there */
export function syncHandlers(replica: Replica, events: SyncEvents): ReadonlyMap<string, Handler> {
  const handlers = new Map<string, Handler>();
  const handle = (method: string, answer: (params: readonly unknown[], context: RequestContext) => ReturnType<Handler>): void => {
    handlers.set(method, (params, context) => {
      const [networks, ...rest] = check.list(params, 1);
      checkNetworks(replica, networks);
      return answer(rest, context);
    });
  };
  handle('sync.hashes', ([root]) => ({ kind: 'stream', frames: hashFrames(replica, check.bytes(root, { atMost: 32 })) }));
  handle('sync.vectors', (origins) => {
    if (origins.length > ORIGINS_PER_QUESTION) check.fail('too many origins');
    return { kind: 'stream', frames: vectorFrames(replica, origins.map((origin) => check.id<PeerId>(origin))) };
  });
  handle('sync.delta', ([origin, base]) => ({ kind: 'stream', frames: framesOf(replica, check.id<PeerId>(origin), vectorFromTuples(base)) }));
  handle('sync.behind', (_params, { peer }) => {
    events.behind(peer);
    return { kind: 'value', value: null };
  });
  handle('sync.keep', ([epoch, seq, tuples], { peer: from }) => {
    const list = check.list(tuples);
    if (list.length > KEEP_OPERATIONS_MAX) check.fail('too many operations');
    const asked = { from, epoch: check.epoch(epoch), seq: check.count(seq, 1), operations: list.map((tuple) => fromTuple(from, tuple)) };
    return new Promise((resolve) => events.asked({ ...asked, answer: (held) => resolve({ kind: 'value', value: held }) }));
  });
  return handlers;
}

/** @throws PeerError OTHER_NETWORK when the asker and we have no id in common */
function checkNetworks(replica: Replica, raw: unknown): void {
  const networks = check.list(raw);
  if (networks.length > NETWORKS_MAX) check.fail('too many networks');
  const ours = replica.networks;
  if (!networks.some((network) => ours.has(check.id<NetworkId>(network)))) throw new PeerError('OTHER_NETWORK', 'this peer belongs to another network of the same name');
}

/** The smallest first: it is the one that everybody goes by. */
const networksOf = (replica: Replica): Buffer[] => [...replica.networks].sort().slice(0, NETWORKS_MAX).map(idToBytes);

async function* hashFrames(replica: Replica, root: Uint8Array): AsyncGenerator<Uint8Array> {
  if (Buffer.compare(root, replica.root) === 0) return;
  const hashes = [...replica.hashes];
  // one at least: nothing at all means that roots are equal
  for (let i = 0; i === 0 || i < hashes.length; i += ORIGINS_PER_QUESTION) {
    yield encode(hashes.slice(i, i + ORIGINS_PER_QUESTION).map(([origin, hash]) => [idToBytes(origin), hash]));
  }
}

async function* vectorFrames(replica: Replica, origins: readonly PeerId[]): AsyncGenerator<Uint8Array> {
  for (const origin of origins) yield encode(vectorToTuples(replica.vector(origin)));
}

async function* framesOf(replica: Replica, origin: PeerId, base: Vector): AsyncGenerator<Uint8Array> {
  const { vector, operations, close } = await replica.delta(origin, base);
  try {
    yield* deltaFrames(vector, operations);
  } finally {
    await operations.return(undefined);
    await close();
  }
}

export interface Pulled {
  readonly operations: number;
  /** Was everything had that the other side held more? */
  readonly whole: boolean;
}

/** Pulls everything that the peer behind `link` holds more, or of `origin` alone. */
export async function pullFrom(replica: Replica, link: SyncLink, origin: PeerId | null): Promise<Pulled> {
  const pulling = pull(replica, origin);
  let whole = true;
  for (let next = pulling.next(); ; ) {
    if (next.done) return { operations: next.value, whole };
    next = pulling.next(await ask(replica, link, next.value, () => (whole = false)));
  }
}

/** Asks the peer behind `link` to keep these own operations. @returns whether they are on its disk */
export async function askToKeep(replica: Replica, link: SyncLink, operations: readonly Operation[]): Promise<boolean> {
  const last = operations.at(-1) as Operation;
  const bytes = operations.reduce((sum, { key, value }) => sum + key.length + (value?.byteLength ?? 0), 0);
  const sent = operations.length <= KEEP_OPERATIONS_MAX && bytes <= KEEP_BYTES_MAX ? operations : [];
  return (await link.request('sync.keep', [networksOf(replica), idToBytes(last.epoch), last.seq, sent.map(toTuple)])) === true;
}

/** @param skip says that an origin cannot be had now */
async function ask(replica: Replica, link: SyncLink, question: Question, skip: () => void): Promise<Answer> {
  const networks = networksOf(replica);
  switch (question.kind) {
    case 'hashes':
      return { kind: 'hashes', hashes: await hashes(link, [networks, replica.root]) };
    case 'vectors': {
      const vectors: Vector[] = [];
      for await (const frame of link.requestStream('sync.vectors', [networks, ...question.origins.map(idToBytes)])) {
        vectors.push(readableVector(frame, skip));
        if (vectors.length > question.origins.length) check.fail('more vectors than were asked for');
      }
      if (vectors.length < question.origins.length) check.fail('a vector is missing');
      return { kind: 'vectors', vectors };
    }
    case 'delta':
      try {
        return { kind: 'delta', operations: await new IncomingDelta(replica, question).pull(link, networks) };
      } catch (error) {
        if (!OF_ONE_ORIGIN.has(codeOf(error) ?? '')) throw error;
        skip();
        return { kind: 'delta', operations: 0 };
      }
    case 'behind':
      link.notify('sync.behind', [networks]);
      return { kind: 'behind' };
  }
}

/** One origin that cannot be had now, that has moved on here meanwhile, or that nobody can read holds up no other: the next beats
 *  tell what is missing. */
const OF_ONE_ORIGIN = new Set(['BAD_MESSAGE', 'BAD_OPERATION', 'BUSY', 'STALE_DELTA']);

function readableVector(frame: Uint8Array, skip: () => void): Vector {
  try {
    return vectorFromTuples(unframe(frame));
  } catch {
    skip();
    return EMPTY_VECTOR;
  }
}

/** @returns null where roots are equal */
async function hashes(link: SyncLink, params: readonly unknown[]): Promise<ReadonlyMap<PeerId, Uint8Array> | null> {
  let theirs: Map<PeerId, Uint8Array> | null = null;
  for await (const frame of link.requestStream('sync.hashes', params)) {
    theirs ??= new Map();
    for (const pair of check.list(unframe(frame))) {
      const [origin, hash] = check.list(pair, 2);
      theirs.set(check.id<PeerId>(origin), check.bytes(hash, { exactly: 16 }));
    }
    if (theirs.size > ORIGINS_MAX) check.fail('too many origins');
  }
  return theirs;
}

/** A delta on its way in: in memory while it is small, aside on the disk when it grows. Only a whole one is applied: a stream
 *  that ends early throws. */
class IncomingDelta {
  readonly #replica: Replica;
  readonly #origin: PeerId;
  readonly #base: Vector;

  constructor(replica: Replica, { origin, base }: Extract<Question, { kind: 'delta' }>) {
    this.#replica = replica;
    this.#origin = origin;
    this.#base = base;
  }

  /** @returns how many operations came */
  async pull(link: SyncLink, networks: readonly Buffer[]): Promise<number> {
    const { network } = this.#replica;
    const frames = link.requestStream('sync.delta', [networks, idToBytes(this.#origin), vectorToTuples(this.#base)]);
    const first = await frames.next();
    if (first.done) return 0;
    const vector = vectorFromTuples(unframe(first.value));
    const small: Uint8Array[] = [];
    for (let next = await frames.next(); !next.done; next = await frames.next()) {
      small.push(next.value);
      if (small.length > IN_MEMORY_FRAMES) return this.#large(vector, small, frames, network);
    }
    const operations = small.flatMap((frame) => operationsOf(this.#origin, frame));
    await this.#replica.apply({ origin: this.#origin, base: this.#base, vector, operations }, network);
    return operations.length;
  }

  async #large(vector: Vector, begun: readonly Uint8Array[], rest: AsyncGenerator<Uint8Array>, network: NetworkId | null): Promise<number> {
    const name = randomId();
    const writer = await this.#replica.aside.create(name);
    let bytes = 0;
    let operations = 0;
    let pieces = 0;
    const add = async (frame: Uint8Array): Promise<void> => {
      bytes += frame.byteLength;
      if (bytes > DELTA_BYTES_MAX) check.fail('an endless delta');
      // a malformed operation has to be met before anything is merged
      operations += operationsOf(this.#origin, frame).length;
      await writer.add(frame);
    };
    try {
      for (const frame of begun) await add(frame);
      for await (const frame of rest) await add(frame);
      pieces = await writer.finish();
    } finally {
      await writer.close();
    }
    try {
      await this.#replica.merge({ origin: this.#origin, base: this.#base, vector }, { aside: name, pieces, network });
    } catch (error) {
      // refused before it began; one that a disk stopped in the middle goes on at the next start
      if (codeOf(error) === 'STALE_DELTA') await this.#replica.aside.remove(name);
      throw error;
    }
    return operations;
  }
}
