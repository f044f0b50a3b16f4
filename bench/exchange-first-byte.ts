// First byte of sound of another peer's songs, none of them cached, each cable of 1 Gbit/s: from a song's beginning, and from its middle.
import { skip } from '../test/lab/world.ts'; // first: it runs this file again in a world of its own
import { Lab } from '../test/lab/lab.ts';
import { musicFolder } from '../test/lab/music.ts';
import { NO_COPIES, search, startPeer } from '../test/lab/peers.ts';
import { until } from '../test/lab/until.ts';
import { load, row } from './exchange-lab.ts';
import { quantile, summary } from './figures.ts';
import { writeSongs } from './songs.ts';

const SONGS = 600;
const SOUND_BYTES = 600_000;
const CLIENT = new URL('./first-byte-client.js', import.meta.url).pathname;
const P50_MS = 20;
const P99_MS = 100;

if (skip) throw new Error(`this bench needs network namespaces: ${skip}`);
const lab = await Lab.create({ name: 'exchange-first-byte', hosts: 2 });
try {
  const [holder, listener] = [lab.host(1), lab.host(2)];
  writeSongs(musicFolder(holder), SONGS, () => ({ soundBytes: SOUND_BYTES }));
  await startPeer(holder, { folders: [musicFolder(holder)], args: NO_COPIES });
  const peer = await startPeer(listener, { folders: [], args: NO_COPIES });
  const { value: songs } = await until('the listener knows all songs', 60_000, () => search(peer), (found) => found.length === SONGS);
  for (const host of lab.hosts) await lab.rate(host, '1gbit');
  const time = async (ids: readonly string[], from: number): Promise<number[]> => {
    const { code, stdout, stderr } = await listener.exec(process.execPath, [CLIENT, peer.http, String(from)], { input: ids.join('\n'), timeoutMs: 300_000 });
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as number[];
  };
  const ids = songs.map(({ id }) => id);
  const half = ids.length / 2;
  for (const [what, from, some] of [['from its beginning', 0, ids.slice(0, half)], ['from its middle', SOUND_BYTES / 2, ids.slice(half)]] as const) {
    const times = await time(some, from);
    row('first-byte', {
      what: `first audio byte over HTTP of another peer's song that is not cached, 1 Gbit/s, ${what}, ms (${load()})`,
      goal: `p50 ${P50_MS}, p99 ${P99_MS}`,
      measured: `${summary(times)}; the first of all ${(times[0] as number).toFixed(1)}`,
      reached: quantile(times, 0.5) < P50_MS && quantile(times, 0.99) < P99_MS,
    });
  }
} finally {
  await lab.close();
}
process.exit();
