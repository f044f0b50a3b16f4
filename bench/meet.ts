// Two peers started together on two hosts: how long until each holds the other's catalog.
//   node build/bench/meet.js [rounds]
import { skip } from '../test/lab/world.ts'; // first: it runs this file again in a world of its own
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Lab } from '../test/lab/lab.ts';
import { type Peer, startPeer } from '../test/lab/peers.ts';
import { summary } from './figures.ts';
import { writeSongs } from './songs.ts';

const ROUNDS = Number(process.argv[2] ?? 20);
const SONGS = 100;
const GIVE_UP_MS = 30_000;
const WATCHER = `
const [url, songs] = process.argv.slice(1);
for (const end = Date.now() + ${GIVE_UP_MS}; Date.now() < end; ) {
  const { catalog } = await (await fetch(url + '/api/status')).json();
  if (catalog.songs === Number(songs)) { console.log(Date.now()); process.exit(0); }
  await new Promise((resolve) => setTimeout(resolve, 5));
}
process.exit(1);`;

if (skip) throw new Error(`this bench needs network namespaces: ${skip}`);
const lab = await Lab.create({ name: 'meet', hosts: 2 });
try {
  const folders = lab.hosts.map((host, i) => {
    const folder = join(host.directory, 'songs');
    mkdirSync(folder, { recursive: true });
    writeSongs(folder, SONGS * (i + 1), () => ({ soundBytes: 20_000 }));
    // the second host has the first one's songs too, and as many again
    return folder;
  });
  /** Each with a scanned library, so that meeting is measured and not scanning. */
  const start = (round: number): Promise<Peer[]> =>
    Promise.all(lab.hosts.map((host, i) => startPeer(host, { folders: [folders[i] as string], args: ['--network', `meet${round}`], data: join(host.directory, 'data') })));
  const whenWhole = async (peers: readonly Peer[]): Promise<number> => {
    const times = await Promise.all(
      peers.map(async ({ host, http }) => {
        const { code, stdout } = await host.exec(process.execPath, ['--input-type=module', '-e', WATCHER, http, String(2 * SONGS)], { timeoutMs: GIVE_UP_MS + 5_000 });
        if (code !== 0) throw new Error('the two never had the same catalog');
        return Number(stdout);
      }),
    );
    return Math.max(...times);
  };
  const stop = (peers: readonly Peer[]): Promise<unknown> =>
    Promise.all(
      peers.map(({ process }) => {
        process.kill('SIGTERM');
        return process.exit;
      }),
    );
  const first = await start(0);
  await whenWhole(first);
  await stop(first);
  const fromSpawn: number[] = [];
  const fromReady: number[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    const spawnedAt = Date.now();
    const peers = await start(round); // a new network each time: nothing of the other is known
    const readyAt = Date.now();
    const wholeAt = await whenWhole(peers);
    fromSpawn.push(wholeAt - spawnedAt);
    fromReady.push(Math.max(0, wholeAt - readyAt));
    await stop(peers);
  }
  console.log(`from starting two processes to each holding the other's ${SONGS} songs, ms: ${summary(fromSpawn, 0)}`);
  console.log(`  of that after both served: ${summary(fromReady, 0)}`);
  for (const host of lab.hosts) rmSync(host.directory, { recursive: true, force: true });
} finally {
  await lab.close();
}
