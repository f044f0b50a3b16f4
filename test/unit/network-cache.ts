// What a machine keeps in the network that it is in: its share of the bound, what stays while nothing is known, and what is on the disk when it closes.
import { mkdtemp, open, readFile, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type PayloadId, randomId, type SongId } from '../../lib/ids.ts';
import { CHUNK_BYTES } from '../../lib/limits.ts';
import { wholeDiskBytes } from '../../storage/cache-entry.ts';
import { chunksName } from '../../storage/cache-folder.ts';
import { openDatabase } from '../../storage/database.ts';
import { moveNetworkCache, NetworkCache, type NetworkCacheOptions, sweepNetworkCaches } from '../../storage/network-cache.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { fillCache, madeSong, type MadeSong } from '../fixtures/made-song.ts';

const SONG_BYTES = 3 * CHUNK_BYTES;
const EACH = wholeDiskBytes(SONG_BYTES);
const songs = (count: number): MadeSong[] => Array.from({ length: count }, () => madeSong(SONG_BYTES));

async function machine(t: Test) {
  const data = await mkdtemp(join(tmpdir(), 'network-cache-'));
  const [database, files] = [await openDatabase(data), new OpenFiles()];
  const told: string[] = [];
  const optionsFor = (bytesMax: number): NetworkCacheOptions => ({ data, bytesMax, database, files, log: (event, facts) => told.push(`${event} ${facts['payload'] ?? facts['what']}`) });
  const caches: NetworkCache[] = [];
  t.teardown(async () => {
    for (const cache of caches) await cache.close();
    await files.close();
    await database.close();
    await rm(data, { recursive: true });
  });
  const enter = async (network: string, bytesMax = 100 * EACH): Promise<NetworkCache> => {
    const cache = await NetworkCache.open(network, optionsFor(bytesMax));
    caches.push(cache);
    return cache;
  };
  /** Leaves what is cached there. */
  const leave = async (network: string, made: readonly MadeSong[]): Promise<void> => {
    const cache = await enter(network);
    for (const song of made) t.ok(await fillCache(cache.chunks, song));
    await cache.close();
  };
  return { folder: join(data, 'cache'), files, told, optionsFor, enter, leave };
}

t.test('the caches of all networks together keep the bound, and that of today has half of it at least', async (t) => {
  const { enter, leave } = await machine(t);
  await leave('one', songs(2));
  await leave('two', songs(1));
  const room = async (network: string, bytesMax: number): Promise<number> => {
    const cache = await enter(network, bytesMax);
    await cache.close();
    return cache.chunks.bytesMax;
  };
  t.equal(await room('three', 10 * EACH), 7 * EACH);
  t.equal(await room('one', 10 * EACH), 9 * EACH, 'its own counts in its own');
  t.equal(await room('three', 4 * EACH), 2 * EACH);
});

t.test('a start with a smaller bound lets nothing go before it is known what is the last, and pins stay then, too', async (t) => {
  const { enter, leave } = await machine(t);
  const [pinned, last, free] = songs(3) as [MadeSong, MadeSong, MadeSong];
  await leave('one', [pinned, last, free]);
  const before = await enter('one');
  await before.pins.pin(randomId<SongId>(), pinned.payload);
  await before.close();
  const cache = await enter('one', EACH);
  t.equal(cache.chunks.songs, 3);
  t.notOk(await fillCache(cache.chunks, madeSong(100)));
  cache.chunks.judgeWith((payload) => (payload === last.payload ? 'last' : 'free'));
  t.strictSame(cache.chunks.payloads().sort(), [pinned.payload, last.payload].sort());
});

t.test('when it closes, what its bitmaps say and that it was used are on the disk, and nothing is taken any more', async (t) => {
  const { folder, files, enter } = await machine(t);
  const [song, other] = songs(2) as [MadeSong, MadeSong];
  const cache = await enter('one');
  t.ok(await fillCache(cache.chunks, song));
  const used = join(folder, 'one', 'used');
  await utimes(used, new Date(0), new Date(0));
  await cache.close();
  t.equal(files.size, 0, 'its files are closed');
  t.equal((await readFile(join(folder, 'one', chunksName(song.payload))))[32], 0b111);
  t.ok((await stat(used)).mtimeMs > 0);
  t.notOk(await fillCache(cache.chunks, other));
});

t.test('a song that rots in many places is told of once', async (t) => {
  const { folder, told, enter } = await machine(t);
  const [song, other] = songs(2) as [MadeSong, MadeSong];
  const cache = await enter('one');
  for (const { payload } of await Promise.all([song, other].map((one) => fillCache(cache.chunks, one).then(() => one)))) {
    const file = await open(join(folder, 'one', chunksName(payload)), 'r+');
    for (const index of [0, 2]) await file.write(Buffer.alloc(9), 0, 9, 4_096 + index * CHUNK_BYTES);
    await file.close();
  }
  for (const { payload } of [song, other]) for (const index of [0, 1, 2]) await cache.chunks.read(payload, index);
  t.strictSame(told, [`damaged ${song.payload}`, `damaged ${other.payload}`]);
});

t.test('with another key its music and pins come along, and of what was left pins go last', async (t) => {
  const { told, optionsFor, enter, leave } = await machine(t);
  const [pinned, free] = songs(2) as [MadeSong, MadeSong];
  await leave('one', [pinned, free]);
  const before = await enter('one');
  const song = randomId<SongId>();
  await before.pins.pin(song, pinned.payload);
  await before.close();
  const options = optionsFor(2 * EACH);
  await moveNetworkCache({ from: 'one', to: 'two' }, options);
  const here = async (network: string): Promise<{ readonly payloads: PayloadId[]; readonly pins: SongId[] }> => {
    const cache = await enter(network);
    await cache.close();
    return { payloads: cache.chunks.payloads().sort(), pins: [...cache.pins.pins.keys()] };
  };
  t.strictSame(await here('one'), { payloads: [], pins: [] });
  t.strictSame(await here('two'), { payloads: [pinned.payload, free.payload].sort(), pins: [song] });
  await sweepNetworkCaches({ network: 'three', left: new Set(['two']) }, options, Date.now());
  t.equal((await here('two')).payloads.length, 2, 'who has just left may come back');
  await sweepNetworkCaches({ network: 'three' }, options, Date.now());
  t.strictSame(await here('two'), { payloads: [pinned.payload], pins: [song] });
  t.strictSame(told, []);
});
