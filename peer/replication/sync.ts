// Anti-entropy over a stream: hashes of every origin, vectors of those that differ, deltas of those where the other side
// holds more. Each side pulls for itself; who finds that it holds more says so, and the other comes to pull.
import { checker } from '../../lib/check.ts';
import { decode, encode } from '../../lib/codec.ts';
import { type PeerId, idToBytes } from '../../lib/ids.ts';
import { DELTA_BYTES_MAX, FRAME_BYTES_MAX, OPERATIONS_PER_FRAME, ORIGINS_MAX } from '../../lib/limits.ts';
import { fromTuple, type Operation, toTuple } from '../../lib/operation.ts';
import { covers, type Vector, vectorFromTuples, vectorToTuples } from '../../lib/vector.ts';
import type { Connection, Handler } from '../stream/connection.ts';
import type { Replica } from './replica.ts';

/** What it needs of the other peer. */
export type SyncLink = Pick<Connection, 'requestStream' | 'notify'>;

const check = checker('BAD_MESSAGE');
const unframe = (frame: Uint8Array): unknown => decode(frame, { bytesMax: FRAME_BYTES_MAX, code: 'BAD_MESSAGE' });

/** Pairs of (origin, hash) in one frame of some 36 KB. */
const HASHES_PER_FRAME = 1_000;
/** Values can be 8 KiB: a frame closes at this size even with few operations. */
const DELTA_FRAME_BYTES = FRAME_BYTES_MAX / 2;

/** The requests that a peer answers, by method:
 *  - `sync.hashes` []: frames of [[origin, hash], …], every origin that is known
 *  - `sync.vectors` [origin, …]: a frame [[epoch, head], …] for each, in that order
 *  - `sync.delta` [origin, base]: first frame the vector, then frames of operation tuples
 *  - `sync.behind` []: a notice that the sender holds more than we do */
export function syncHandlers(replica: Replica, onBehind: (peer: PeerId) => void): ReadonlyMap<string, Handler> {
  return new Map<string, Handler>([
    ['sync.hashes', () => ({ kind: 'stream', frames: hashFrames(replica) })],
    [
      'sync.vectors',
      (params) => {
        const origins = check.list(params);
        if (origins.length > HASHES_PER_FRAME) check.fail('too many origins');
        return { kind: 'stream', frames: vectorFrames(replica, origins.map((origin) => check.id<PeerId>(origin))) };
      },
    ],
    [
      'sync.delta',
      (params) => {
        const [origin, base] = check.list(params, 2);
        return { kind: 'stream', frames: deltaFrames(replica, check.id<PeerId>(origin), vectorFromTuples(base)) };
      },
    ],
    [
      'sync.behind',
      (_params, { peer }) => {
        onBehind(peer);
        return { kind: 'value', value: null };
      },
    ],
  ]);
}

async function* hashFrames(replica: Replica): AsyncGenerator<Uint8Array> {
  const hashes = [...replica.hashes];
  for (let i = 0; i < hashes.length; i += HASHES_PER_FRAME) {
    yield encode(hashes.slice(i, i + HASHES_PER_FRAME).map(([origin, hash]) => [idToBytes(origin), hash]));
  }
}

async function* vectorFrames(replica: Replica, origins: readonly PeerId[]): AsyncGenerator<Uint8Array> {
  for (const origin of origins) yield encode(vectorToTuples(replica.vector(origin)));
}

async function* deltaFrames(replica: Replica, origin: PeerId, base: Vector): AsyncGenerator<Uint8Array> {
  const { vector, operations, close } = await replica.delta(origin, base);
  try {
    yield encode(vectorToTuples(vector));
    let tuples: unknown[] = [];
    let bytes = 0;
    for await (const some of operations) {
      for (const operation of some) {
        tuples.push(toTuple(operation));
        bytes += operation.key.length + (operation.value?.byteLength ?? 0);
        if (tuples.length >= OPERATIONS_PER_FRAME || bytes >= DELTA_FRAME_BYTES) {
          yield encode(tuples);
          tuples = [];
          bytes = 0;
        }
      }
    }
    if (tuples.length > 0) yield encode(tuples);
  } finally {
    await operations.return(undefined);
    await close();
  }
}

/** Pulls everything that the peer behind `connection` holds more, or of `origin` alone.
 *  @returns how many operations came */
export async function pull(replica: Replica, connection: SyncLink, origin: PeerId | null): Promise<number> {
  if (origin) return pullOrigin(replica, connection, origin);
  const differing = await differingOrigins(replica, connection);
  let holdsMore = false;
  const missing: { readonly origin: PeerId; readonly operations: number }[] = [];
  for (let i = 0; i < differing.length; i += HASHES_PER_FRAME) {
    const asked = differing.slice(i, i + HASHES_PER_FRAME);
    const answers: Vector[] = [];
    for await (const frame of connection.requestStream('sync.vectors', asked.map(idToBytes))) {
      answers.push(vectorFromTuples(unframe(frame)));
      if (answers.length > asked.length) check.fail('more vectors than were asked for');
    }
    for (const [j, differs] of asked.entries()) {
      const theirs = answers[j] ?? check.fail('a vector is missing');
      const ours = replica.vector(differs);
      if (!covers(ours, theirs)) missing.push({ origin: differs, operations: distance(ours, theirs) });
      if (!covers(theirs, ours)) holdsMore = true;
    }
  }
  if (holdsMore) connection.notify('sync.behind', []);
  // what people wrote comes before what scanners found
  missing.sort((a, b) => a.operations - b.operations);
  let pulled = 0;
  for (const { origin: behind } of missing) pulled += await pullOrigin(replica, connection, behind);
  return pulled;
}

const distance = (ours: Vector, theirs: Vector): number => {
  let operations = 0;
  for (const [epoch, head] of theirs) operations += Math.max(0, head - (ours.get(epoch) ?? 0));
  return operations;
};

async function differingOrigins(replica: Replica, connection: SyncLink): Promise<PeerId[]> {
  const theirs = new Map<PeerId, Uint8Array>();
  for await (const frame of connection.requestStream('sync.hashes', [])) {
    for (const pair of check.list(unframe(frame))) {
      const [origin, hash] = check.list(pair, 2);
      theirs.set(check.id<PeerId>(origin), check.bytes(hash, { exactly: 16 }));
    }
    if (theirs.size > ORIGINS_MAX) check.fail('too many origins');
  }
  const differing = new Set<PeerId>();
  for (const [origin, hash] of theirs) if (!replica.hashes.get(origin)?.equals(hash)) differing.add(origin);
  for (const origin of replica.origins.keys()) if (!theirs.has(origin)) differing.add(origin);
  return [...differing];
}

async function pullOrigin(replica: Replica, connection: SyncLink, origin: PeerId): Promise<number> {
  const base = replica.vector(origin);
  let vector: Vector | undefined;
  const operations: Operation[] = [];
  let bytes = 0;
  for await (const frame of connection.requestStream('sync.delta', [idToBytes(origin), vectorToTuples(base)])) {
    bytes += frame.byteLength;
    if (vector) for (const tuple of check.list(unframe(frame))) operations.push(fromTuple(origin, tuple));
    else vector = vectorFromTuples(unframe(frame));
    if (bytes > DELTA_BYTES_MAX) check.fail('an endless delta');
  }
  // a stream that ends early throws; only a whole delta comes here
  if (vector) await replica.apply({ origin, base, vector, operations });
  return operations.length;
}
