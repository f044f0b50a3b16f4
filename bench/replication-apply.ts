// How many operations of others a peer takes in: deltas of a real catalog's songs, decoded, applied durably and indexed for search,
// in one process with nothing else to do.
//   node build/bench/replication-apply.js [rounds] [songs]
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encode } from '../lib/codec.ts';
import { OPERATIONS_PER_FRAME } from '../lib/limits.ts';
import { type PeerId, randomId } from '../lib/ids.ts';
import { toTuple } from '../lib/operation.ts';
import { EMPTY_VECTOR } from '../lib/vector.ts';
import { operationsOf } from '../peer/replication/delta-frames.ts';
import { Replica } from '../peer/replication/replica.ts';
import { Catalog } from '../storage/catalog.ts';
import { openDatabase } from '../storage/database.ts';
import { OperationStore } from '../storage/operation-store.ts';
import { replicaOptions } from '../test/fixtures/replica.ts';
import { CATALOG, readCatalog } from './catalog-rows.ts';
import { quantile } from './figures.ts';
import { type ForeignLog, foreignLogs } from './foreign-songs.ts';

const ROUNDS = Number(process.argv[2] ?? 5);
const SONGS = Number(process.argv[3] ?? 100_000);
const FRAMES_PER_DELTA = 8;

function framesOf({ operations }: ForeignLog): Buffer[] {
  const frames: Buffer[] = [];
  for (let i = 0; i < operations.length; i += OPERATIONS_PER_FRAME) frames.push(encode(operations.slice(i, i + OPERATIONS_PER_FRAME).map(toTuple)));
  return frames;
}

interface Measured {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

async function takeIn({ origin, epoch }: ForeignLog, frames: readonly Buffer[]): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-apply-'));
  const database = await openDatabase(folder);
  const store = new OperationStore(database, '0123456789abcdef');
  const self = randomId<PeerId>();
  const replica = await Replica.open(replicaOptions(self, store));
  const catalog = new Catalog({ store, self, onError: (error) => console.error(error) });
  replica.listen({ changed: (changes) => catalog.refresh(changes.map(({ after }) => after)), dropped: () => catalog.load() });
  catalog.load();
  await catalog.loaded;
  const startedAt = performance.now();
  const cpu = process.cpuUsage();
  for (let i = 0, head = 0; i < frames.length; i += FRAMES_PER_DELTA) {
    const operations = frames.slice(i, i + FRAMES_PER_DELTA).flatMap((frame) => operationsOf(origin, frame));
    const base = head === 0 ? EMPTY_VECTOR : new Map([[epoch, head]]);
    head += operations.length;
    await replica.apply({ origin, base, vector: new Map([[epoch, head]]), operations }, null);
  }
  await catalog.settled();
  const ms = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpu);
  if (catalog.counts.songs !== SONGS) throw new Error(`${catalog.counts.songs} of ${SONGS} songs are indexed`);
  await replica.close();
  await database.close();
  rmSync(folder, { recursive: true });
  return { perSecond: (SONGS / ms) * 1_000, cpuMicros: (user + system) / SONGS };
}

if (!existsSync(CATALOG)) throw new Error(`there is no ${CATALOG}; name the folder in which catalogs lies by SPOTIFY_PEER_SHARED`);
const [log] = foreignLogs(readCatalog(CATALOG).slice(0, SONGS), 1) as [ForeignLog];
const frames = framesOf(log);
const rounds: Measured[] = [];
for (let round = 0; round < ROUNDS; round++) rounds.push(await takeIn(log, frames));
const rates = rounds.map(({ perSecond }) => perSecond);
console.log(`operations of others, decoded, applied and indexed: median ${quantile(rates, 0.5).toFixed(0)}/s, best ${Math.max(...rates).toFixed(0)}/s, ${quantile(rounds.map(({ cpuMicros }) => cpuMicros), 0.5).toFixed(1)} us of processor each (n ${ROUNDS}); goal 60000/s`);
