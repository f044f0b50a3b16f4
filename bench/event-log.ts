// What the index of the event log costs when plays are committed, and how long a page of it takes.
//   node build/bench/event-log.js [events]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PeerId, randomEpochId, randomId } from '../lib/ids.ts';
import type { Operation } from '../lib/operation.ts';
import { openDatabase } from '../storage/database.ts';
import { OperationStore } from '../storage/operation-store.ts';
import { summary } from './figures.ts';

const EVENTS = Number(process.argv[2] ?? 100_000);
const COMMITTED = 10_000;
const BATCH = 2_000;
const ROUNDS = 9;
const PAGE = 1_000;

const folder = mkdtempSync(join(tmpdir(), 'bench-events-'));
try {
  const database = await openDatabase(folder);
  const store = new OperationStore(database, 'bench');
  await store.load();
  const origin = randomId<PeerId>();
  const epoch = randomEpochId();
  let lamport = 0;
  const operation = (kind: string): Operation => {
    lamport += 1;
    return { origin, epoch, seq: lamport, lamport, key: `${kind}/anna/${randomId()}/${randomEpochId()}`, value: new Uint8Array(16) };
  };
  const commit = async (kind: string, count: number): Promise<number> => {
    const operations = Array.from({ length: count }, () => operation(kind));
    const startedAt = performance.now();
    for (let i = 0; i < count; i += BATCH) {
      await store.commit({ puts: operations.slice(i, i + BATCH), superseded: [], heads: [{ origin, epoch, head: lamport }], digest: new Uint8Array(32), lamport });
    }
    return performance.now() - startedAt;
  };
  // the same keys of a kind that is no event: without the index
  const times: Record<'play' | 'copy', number[]> = { play: [], copy: [] };
  for (let round = 0; round < ROUNDS; round++) for (const kind of ['play', 'copy'] as const) times[kind].push(await commit(kind, COMMITTED));
  console.log(`${COMMITTED} plays committed in batches of ${BATCH}, ms: ${summary(times.play)}`);
  console.log(`the same without the index, ms: ${summary(times.copy)}`);

  if (EVENTS > ROUNDS * COMMITTED) await commit('play', EVENTS - ROUNDS * COMMITTED);
  const all = await store.eventLog.after(null, EVENTS);
  const pages: number[] = [];
  const lasts: number[] = [];
  for (let i = 0; i < 50; i++) {
    const from = all[Math.floor(Math.random() * (all.length - PAGE))] as Operation;
    let startedAt = performance.now();
    await store.eventLog.after(from, PAGE);
    pages.push(performance.now() - startedAt);
    startedAt = performance.now();
    await store.eventLog.last(PAGE);
    lasts.push(performance.now() - startedAt);
  }
  console.log(`a page of ${PAGE} of ${all.length} events from anywhere, ms: ${summary(pages)}`);
  console.log(`the latest ${PAGE}, ms: ${summary(lasts)}`);
  const startedAt = performance.now();
  await store.eventLog.rebuild();
  console.log(`the index made anew, ms: ${Math.round(performance.now() - startedAt)}`);
  await database.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
