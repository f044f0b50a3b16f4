// First byte of a song's sound over HTTP: of another peer's songs, at 20 Mbit/s and 20 ms round trip, some with a picture of
// 3 MB in front; and of one's own. Runs in network namespaces (test/lab).
//   node build/bench/first-byte.js
import { skip } from '../test/lab/world.ts'; // first: it runs this file again in a world of its own
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Lab } from '../test/lab/lab.ts';
import { type Peer, search, startPeer } from '../test/lab/peers.ts';
import { until } from '../test/lab/until.ts';
import { summary } from './figures.ts';
import { writeSongs } from './songs.ts';

const SONGS = 200;
const COVER_EVERY = 5;
const CLIENT = new URL('./first-byte-client.js', import.meta.url).pathname;

if (skip) throw new Error(`this bench needs network namespaces: ${skip}`);
const lab = await Lab.create({ name: 'first-byte', hosts: 2 });
try {
  const [server, listener] = lab.hosts as [(typeof lab.hosts)[number], (typeof lab.hosts)[number]];
  const folder = join(server.directory, 'songs');
  mkdirSync(folder, { recursive: true });
  writeSongs(folder, SONGS, (index) => ({ soundBytes: 600_000, cover: index % COVER_EVERY === 0 }));
  const own = await startPeer(server, { folders: [folder] });
  const other = await startPeer(listener, { folders: [] });
  const { value: songs } = await until('the listener knows all songs', 60_000, () => search(other), (found) => found.length === SONGS);
  await lab.rate(listener, '20mbit');
  await lab.delay(listener, 10);

  const time = async (peer: Peer, ids: readonly string[]): Promise<number[]> => {
    const { code, stdout, stderr } = await peer.host.exec(process.execPath, [CLIENT, peer.http], { input: ids.join('\n'), timeoutMs: 300_000 });
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as number[];
  };
  const isCovered = ({ title }: { readonly title: string }): boolean => Number(title.slice('Song '.length)) % COVER_EVERY === 0;
  const ids = songs.map(({ id }) => id);
  const remote = await time(other, ids);
  console.log(`another peer's songs, 20 Mbit/s, 20 ms, uncached, ms: ${summary(remote)}`);
  console.log(`  of them with a 3 MB picture in front: ${summary(remote.filter((_, i) => isCovered(songs[i] as (typeof songs)[number])))}`);
  console.log(`  the first of all, which opens the connection: ${(remote[0] as number).toFixed(1)}`);
  await time(own, ids);
  console.log(`own songs, page cache warm, ms: ${summary(await time(own, [...ids, ...ids, ...ids, ...ids, ...ids]), 2)}`);
} finally {
  await lab.close();
}
