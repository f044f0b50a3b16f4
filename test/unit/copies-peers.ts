// Copies between whole peers, in this process and on the loopback interface.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { SongId } from '../../lib/ids.ts';
import type { AudioSource, SongJson } from '../../peer/http/api-peer.ts';
import { Peer, type PeerOptions } from '../../peer/peer.ts';
import { until } from '../lab/until.ts';
import { mp3, wav } from '../fixtures/audio.ts';

/** Generous: two cores may be busy with other tests. */
const SOON_MS = 30_000;
/** A port of multicast that no real peer of this machine uses. */
const NETWORK = `copies-${process.pid}`;
const GROUP = { host: '239.255.83.91', port: 20_000 + (process.pid % 20_000) };

t.setTimeout(120_000);

interface Home {
  readonly music: string;
  readonly data: string;
}

async function home(t: Test): Promise<Home> {
  const folder = await mkdtemp(join(tmpdir(), 'copies-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const music = join(folder, 'music');
  await mkdir(music);
  return { music, data: join(folder, 'data') };
}

async function start(t: Test, { music, data }: Home, options: Partial<PeerOptions> = {}): Promise<Peer> {
  const peer = await Peer.start({
    data,
    folders: [music],
    group: GROUP,
    interfaces: ['lo'],
    join: [],
    advertise: [],
    port: 0,
    http: { host: '127.0.0.1', port: 0 },
    network: NETWORK,
    version: '0',
    log: () => undefined,
    cacheBytes: 100e6,
    ...options,
  });
  let stopped = false;
  const stop = peer.stop.bind(peer);
  peer.stop = async () => {
    if (stopped) return;
    stopped = true;
    await stop();
  };
  t.teardown(() => peer.stop());
  return peer;
}

const all = async (peer: Peer): Promise<readonly SongJson[]> => (await peer.search('', { limit: 100, offset: 0 })).songs;

async function original(peer: Peer, id: string): Promise<Buffer> {
  const source = (await peer.audio(id as SongId, { original: true })) as AudioSource;
  const parts: Uint8Array[] = [];
  for await (const part of source.read(0, source.bytes, AbortSignal.timeout(SOON_MS))) parts.push(part);
  return Buffer.concat(parts);
}

const onMachines = (peer: Peer, songs: number, machines: number): Promise<unknown> =>
  until(`${peer.name} counts ${songs} songs on ${machines} machines`, SOON_MS, async () => [(await peer.status()).copies, await all(peer)] as const, ([copies, found]) =>
    found.length === songs && found.every((song) => song.machines === machines) && copies?.songs[String(machines)] === songs && copies.toDo === 0);

const tags = (title: string) => ({ title, artist: 'Somebody', album: 'Something' });

t.test('every song is soon on two machines, and when one of three is gone for ever all play on, byte by byte, and are soon on two again', async (t) => {
  const homes = [await home(t), await home(t), await home(t)] as const;
  const files = new Map<string, Buffer>();
  for (const [i, { music }] of homes.entries()) {
    for (let j = 0; j < 4; j++) {
      const title = `${i}-${j}`;
      const file = j % 2 === 0 ? await mp3({ seconds: 1, frequency: 200 + 40 * i + 10 * j, tags: tags(title) }) : wav({ seconds: 1, frequency: 200 + 40 * i + 10 * j, tags: tags(title) });
      files.set(title, Buffer.from(file));
      await writeFile(join(music, `${title}.${j % 2 === 0 ? 'mp3' : 'wav'}`), file);
    }
  }
  const [a, b, c] = [await start(t, homes[0], { name: 'a' }), await start(t, homes[1], { name: 'b' }), await start(t, homes[2], { name: 'c' })];
  const startedAt = Date.now();
  for (const peer of [a, b, c]) await onMachines(peer, 12, 2);
  t.comment(`after ${Date.now() - startedAt} ms`);
  const safe = await b.copies.safe(a.id);
  t.same([safe.wanted, safe.toDo, safe.missing, safe.vanishing?.total], [2, 0, 0, 0], 'nothing would vanish with one of them');
  await a.stop();
  for (const peer of [b, c]) {
    for (const { id, title } of await all(peer)) t.ok((await original(peer, id)).equals(files.get(title) as Buffer), `${peer.name} has ${title}`);
  }
  await b.forget(a.id);
  t.equal((await all(b)).length, 12, 'also when it is forgotten');
  for (const peer of [b, c]) await onMachines(peer, 12, 2);
});
