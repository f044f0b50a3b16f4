// Listening as Spotify saw it (Kreitz and Niemelä, "Spotify: large scale, low latency, P2P music-on-demand streaming", 2010): 39% of songs
// are picked, the others are what comes next; popularity by Zipf. Where the bytes come from, and how often a player falls silent. There 8.8%
// came from servers, 55.4% from the listener's cache and 35.8% from peers, and 1% of playbacks stuttered. Here nobody has a server; what
// lies in a listener's own folders is the third source. The players' clocks run ten times faster than the world's.
import { skip } from '../test/lab/world.ts'; // first: it runs this file again in a world of its own
import { seededRandom } from '../lib/random.ts';
import { listen } from '../test/lab/ear.ts';
import { Lab } from '../test/lab/lab.ts';
import { giveSong, idsByTitle, load, type Node, row, startNodes } from './exchange-lab.ts';
import { summary } from './figures.ts';

const HOSTS = 5;
const LISTENERS_PER_HOST = 2;
const SONGS = 300;
const ALBUM_SONGS = 10;
const SECONDS = 24;
const BYTES_PER_SECOND = 44_100;
const PLAYS_EACH = 40;
const SPEED = 10;
const BUFFER_SECONDS = 10;
const CACHE = '100MB';
const PICKED = 0.39;
/** Who picks a song has left the one before in its middle as often as not. */
const LEFT = 0.5;
const ZIPF = 1;
const STUTTER_PERCENT = 1;
const SEED = 20_10;

interface Bytes {
  readonly own: number;
  readonly cache: number;
  readonly peers: number;
}

/** As peers count it, where they do. */
async function counted({ api }: Node): Promise<Bytes | undefined> {
  return (await api.get<{ readonly playback?: { readonly bytes: Bytes } }>('/api/status')).playback?.bytes;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

if (skip) throw new Error(`this bench needs network namespaces: ${skip}`);
const lab = await Lab.create({ name: 'exchange-workload', hosts: HOSTS });
try {
  const files = Array.from({ length: SONGS }, (_, i) => giveSong([lab.hosts[i % HOSTS] as (typeof lab.hosts)[number]], `song ${i}`, SECONDS * BYTES_PER_SECOND));
  const nodes = await startNodes(lab, { songs: SONGS, holders: 1, args: ['--cache', CACHE] });
  const ids = await idsByTitle(nodes[0] as Node);
  for (const host of lab.hosts) await lab.rate(host, '1gbit');
  const received = async (): Promise<number> => sum(await Promise.all(lab.hosts.map(async (host) => (await lab.traffic(host)).receivedBytes)));
  const [receivedBefore, countedBefore] = [await received(), await Promise.all(nodes.map(counted))];

  const random = seededRandom(SEED);
  // ranks are dealt anew, so that an album holds songs of every popularity
  const ranked = files.map((_, i) => ({ i, order: random() })).sort((a, b) => a.order - b.order).map(({ i }) => i);
  const weights = ranked.map((_, rank) => 1 / (rank + 1) ** ZIPF);
  const pick = (chance: number): number => {
    let left = chance * sum(weights);
    return ranked[weights.findIndex((weight) => (left -= weight) < 0)] ?? 0;
  };
  let [plays, stuttered, ownBytes, allBytes] = [0, 0, 0, 0];
  const failures: string[] = [];
  const firsts: number[] = [];
  const listener = async (node: Node, chance: () => number): Promise<void> => {
    let song = pick(chance());
    for (let play = 0; play < PLAYS_EACH; play++) {
      const expected = files[song] as Buffer;
      const picks = chance() < PICKED;
      const to = picks && chance() < LEFT ? Math.floor(chance() * expected.byteLength) : expected.byteLength;
      const path = `/api/songs/${ids.get(`song ${song}`)}/audio`;
      const heard = await listen({ socket: node.api.socket, path, expected: [expected], bytesPerSecond: BYTES_PER_SECOND, speed: SPEED, bufferSeconds: BUFFER_SECONDS, manner: 'stream', to });
      plays += 1;
      if (heard.failure !== undefined) failures.push(`song ${song} on ${node.host.name}: ${heard.failure}`);
      if (heard.stalls.length > 0) stuttered += 1;
      firsts.push(heard.firstByteMs);
      allBytes += heard.bytes;
      if (song % HOSTS === node.host.number - 1) ownBytes += heard.bytes;
      const next = song % ALBUM_SONGS === ALBUM_SONGS - 1 ? song + 1 - ALBUM_SONGS : song + 1;
      song = picks ? pick(chance()) : next;
    }
  };
  await Promise.all(nodes.flatMap((node) => Array.from({ length: LISTENERS_PER_HOST }, () => listener(node, seededRandom(Math.floor(random() * 2 ** 32))))));

  const peerBytes = (await received()) - receivedBefore;
  const after = await Promise.all(nodes.map(counted));
  const isCounted = after.every((bytes) => bytes !== undefined);
  const told = (source: keyof Bytes): number => sum(after.map((bytes, i) => (bytes?.[source] ?? 0) - (countedBefore[i]?.[source] ?? 0)));
  const bytes: Bytes = isCounted
    ? { own: told('own'), cache: told('cache'), peers: told('peers') }
    : { own: ownBytes, peers: peerBytes, cache: Math.max(0, allBytes - ownBytes - peerBytes) };
  const share = (source: keyof Bytes): string => `${((100 * bytes[source]) / sum(Object.values(bytes))).toFixed(1)}%`;
  const percent = (100 * stuttered) / plays;
  row('workload', {
    what: `${HOSTS * LISTENERS_PER_HOST} listeners on ${HOSTS} peers, ${PICKED * 100}% picks, Zipf: playbacks that stutter (${load()})`,
    goal: `under ${STUTTER_PERCENT}%; Spotify 1%`,
    measured: `${percent.toFixed(1)}% of ${plays}; first byte, ms: ${summary(firsts)}${failures.length > 0 ? `; FAILED: ${failures.join(', ')}` : ''}`,
    reached: percent < STUTTER_PERCENT && failures.length === 0,
  });
  row('workload', {
    what: `the same: bytes of own disk, of the cache, of peers, ${isCounted ? 'as the peers count them' : 'by what the switch saw'}`,
    goal: 'none; Spotify: servers 8.8%, cache 55.4%, peers 35.8%',
    measured: `${share('own')}, ${share('cache')}, ${share('peers')}; ${(peerBytes / 1e6).toFixed(0)} MB crossed the switch for ${(allBytes / 1e6).toFixed(0)} MB that players took`,
  });
} finally {
  await lab.close();
}
process.exit();
