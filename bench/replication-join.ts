// A peer joins a network whose hundred thousand songs lie with one living peer: how long from its connection until it holds and
// can find all of them, and how much more memory that takes than joining a network without songs. Real processes on this machine.
//   node build/bench/replication-join.js [rounds] [origins] [songs]
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type NetworkId, randomId } from '../lib/ids.ts';
import { CATALOG, readCatalog } from './catalog-rows.ts';
import { quantile } from './figures.ts';
import { foreignLogs, writeForeignLogs } from './foreign-songs.ts';
import { memoryOf, startProgram, type Started } from './program.ts';

const ROUNDS = Number(process.argv[2] ?? 5);
const ORIGINS = Number(process.argv[3] ?? 3);
const SONGS = Number(process.argv[4] ?? 100_000);
const LOOK_EVERY_MS = 20;
const GIVE_UP_MS = 60_000;

interface Status {
  readonly catalog: { readonly songs: number };
  readonly replication: { readonly digest: string };
  readonly members: readonly unknown[];
}

const statusOf = async ({ http }: Started): Promise<Status> => (await (await fetch(`${http}/api/status`)).json()) as Status;

async function until(peer: Started, isSo: (status: Status) => boolean): Promise<number> {
  for (const deadline = performance.now() + GIVE_UP_MS; performance.now() < deadline; await pause(LOOK_EVERY_MS)) {
    if (isSo(await statusOf(peer))) return performance.now();
  }
  throw new Error('the peer never held everything');
}

interface Joined {
  readonly ms: number;
  readonly peakMiB: number;
}

/** From the start of its process to its holding what the other holds. */
async function joinOnce(folder: string, network: string, other: Started, songs: number): Promise<Joined> {
  const { digest } = (await statusOf(other)).replication;
  const data = mkdtempSync(join(folder, 'joiner-'));
  const peer = await startProgram(['--data', data, '--network', network]);
  try {
    const readyAt = performance.now();
    const completeAt = await until(peer, ({ catalog, replication, members }) => members.length > 0 && catalog.songs === songs && replication.digest === digest);
    return { ms: completeAt - readyAt, peakMiB: memoryOf(peer.child).peak };
  } finally {
    await peer.stop();
    rmSync(data, { recursive: true });
  }
}

if (!existsSync(CATALOG)) throw new Error(`there is no ${CATALOG}; name the folder in which catalogs lies by SPOTIFY_PEER_SHARED`);
const folder = mkdtempSync(join(tmpdir(), 'bench-join-'));
try {
  const peaks: number[] = [];
  for (const songs of [0, SONGS]) {
    const network = `join-${songs}-${process.pid}`;
    const data = join(folder, network);
    const logs = songs === 0 ? [] : foreignLogs(readCatalog(CATALOG).slice(0, songs), ORIGINS);
    await writeForeignLogs(data, { network, id: randomId<NetworkId>(), logs });
    const holder = await startProgram(['--data', data, '--network', network]);
    const joined: Joined[] = [];
    try {
      await until(holder, ({ catalog }) => catalog.songs === songs);
      for (let round = 0; round < ROUNDS; round++) joined.push(await joinOnce(folder, network, holder, songs));
    } finally {
      await holder.stop();
    }
    const ms = joined.map((one) => one.ms);
    peaks.push(quantile(joined.map(({ peakMiB }) => peakMiB), 0.5));
    console.log(`joining a network of ${songs} songs, from being ready to being complete, ms: median ${quantile(ms, 0.5).toFixed(0)}, worst ${Math.max(...ms).toFixed(0)} (n ${ROUNDS}); goal 5000`);
    console.log(`  memory at most, MiB: median ${peaks.at(-1)?.toFixed(0)}`);
  }
  const [without, withSongs] = peaks as [number, number];
  console.log(`more memory for ${SONGS} songs, MiB: ${(withSongs - without).toFixed(0)}; goal 150`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
