// What the disk's part of replication costs: own durable writes of many writers, and operations of others applied from decoded
// deltas, with the share of each layer. Processor time beside the clock, because disks and neighbours differ.
//   node build/bench/replication-writes.js [rounds]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode, encode } from '../lib/codec.ts';
import { type PeerId, randomEpochId, randomId } from '../lib/ids.ts';
import { fromTuple, type Operation, toTuple } from '../lib/operation.ts';
import { EMPTY_VECTOR, type Vector } from '../lib/vector.ts';
import { Replica } from '../peer/replication/replica.ts';
import { replicaOptions } from '../test/fixtures/replica.ts';
import { openDatabase } from '../storage/database.ts';
import { OperationStore } from '../storage/operation-store.ts';
import { quantile, summary } from './figures.ts';

const ROUNDS = Number(process.argv[2] ?? 5);
const WRITERS = 100;
const WRITES_PER_WRITER = 150;
const DELTA_OPERATIONS = 2_048;
const DELTAS = 16;
/** A song's description. */
const VALUE = Buffer.alloc(220, 7);
const NETWORK = '0123456789abcdef';

interface Measured {
  readonly perSecond: number;
  readonly cpuMicros: number;
  readonly waits: readonly number[];
}

async function measured(operations: number, work: (store: OperationStore, replica: Replica) => Promise<number[]>): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-replication-'));
  const database = await openDatabase(folder);
  const store = new OperationStore(database, NETWORK);
  const replica = await Replica.open(replicaOptions(randomId<PeerId>(), store));
  const startedAt = performance.now();
  const cpu = process.cpuUsage();
  const waits = await work(store, replica);
  const ms = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpu);
  await replica.close();
  await database.close();
  await rm(folder, { recursive: true });
  return { perSecond: (operations / ms) * 1_000, cpuMicros: (user + system) / operations, waits };
}

async function ownWrites(_store: OperationStore, replica: Replica): Promise<number[]> {
  const waits: number[] = [];
  await Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      for (let i = 0; i < WRITES_PER_WRITER; i++) {
        const askedAt = performance.now();
        await replica.write([{ key: `star/${writer}/${i}`, value: VALUE }]);
        waits.push(performance.now() - askedAt);
      }
    }),
  );
  return waits;
}

const origin = randomId<PeerId>();
const epoch = randomEpochId();

const operationsFrom = (first: number): Operation[] =>
  Array.from({ length: DELTA_OPERATIONS }, (_, i) => {
    const seq = first + i;
    return { origin, epoch, seq, lamport: seq, key: `holding/${seq.toString(16).padStart(32, '0')}/${seq.toString(16).padStart(32, '1')}`, value: VALUE };
  });

/** As they lie in frames. */
const frames = Array.from({ length: DELTAS }, (_, i) => {
  const operations = operationsFrom(1 + i * DELTA_OPERATIONS);
  return Array.from({ length: DELTA_OPERATIONS / 256 }, (_, frame) => encode(operations.slice(frame * 256, frame * 256 + 256).map(toTuple)));
});

const read = (delta: readonly Buffer[]): Operation[] =>
  delta.flatMap((frame) => (decode(frame, { bytesMax: 1 << 24, code: 'BAD_OPERATION' }) as unknown[]).map((tuple) => fromTuple(origin, tuple)));

async function decodedAndApplied(_store: OperationStore, replica: Replica): Promise<number[]> {
  const waits: number[] = [];
  let base: Vector = EMPTY_VECTOR;
  for (const [i, delta] of frames.entries()) {
    const askedAt = performance.now();
    const vector = new Map([[epoch, (i + 1) * DELTA_OPERATIONS]]);
    await replica.apply({ origin, base, vector, operations: read(delta) }, null);
    waits.push(performance.now() - askedAt);
    base = vector;
  }
  return waits;
}

const deltas = frames.map(read);

async function committed(store: OperationStore): Promise<number[]> {
  const waits: number[] = [];
  for (const [i, puts] of deltas.entries()) {
    const askedAt = performance.now();
    await store.commit({ puts, superseded: [], heads: [{ origin, epoch, head: (i + 1) * DELTA_OPERATIONS }], digest: Buffer.alloc(32), lamport: i + 1 });
    waits.push(performance.now() - askedAt);
  }
  return waits;
}

async function looked(store: OperationStore): Promise<number[]> {
  const waits: number[] = [];
  for (const operations of deltas) {
    const askedAt = performance.now();
    await store.held(operations);
    waits.push(performance.now() - askedAt);
  }
  return waits;
}

async function decoded(): Promise<number[]> {
  return frames.map((delta) => {
    const askedAt = performance.now();
    read(delta);
    return performance.now() - askedAt;
  });
}

const foreign = DELTAS * DELTA_OPERATIONS;
const parts = [
  ['own durable writes, 100 writers', WRITERS * WRITES_PER_WRITER, ownWrites],
  [`foreign operations, decoded and applied in deltas of ${DELTA_OPERATIONS}`, foreign, decodedAndApplied],
  ['  of that: decoded', foreign, decoded],
  ['  of that: looked up, nothing held yet (OperationStore.held)', foreign, looked],
  ['  of that: written (OperationStore.commit)', foreign, committed],
] as const;
for (const [label, operations, work] of parts) {
  const rounds: Measured[] = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push(await measured(operations, work));
  const rate = quantile(rounds.map(({ perSecond }) => perSecond), 0.5).toFixed(0);
  const cpu = quantile(rounds.map(({ cpuMicros }) => cpuMicros), 0.5).toFixed(1);
  console.log(`${label}: ${rate}/s, ${cpu} us of processor each; wait, ms: ${summary(rounds.flatMap(({ waits }) => waits))}`);
}
