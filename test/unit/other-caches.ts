// Caches of networks that this machine has left: how long they stay, and what of them.
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type PayloadId, type SongId, randomId } from '../../lib/ids.ts';
import { CHUNK_BYTES } from '../../lib/limits.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { ABANDONED_MS, bytesOfCaches, bytesOfOthers, markUsed, moveCache, sweepOthers } from '../../storage/other-caches.ts';
import { OperationStore } from '../../storage/operation-store.ts';
import { PinStore } from '../../storage/pin-store.ts';
import { fillCache, madeSong, type MadeSong } from '../fixtures/made-song.ts';
import { openReplica } from '../fixtures/replica.ts';

const NOW = 1_700_000_000_000;
const DAY_MS = 86_400_000;
/** A multiple of any block. */
const BYTES = 65_536;

interface Caches {
  readonly folder: string;
  /** A payload with edges, used so long ago. */
  put(network: string, agoMs: number): Promise<PayloadId>;
  has(network: string): Promise<string[]>;
}

async function caches(t: Test): Promise<Caches> {
  const folder = await mkdtemp(join(tmpdir(), 'caches-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return {
    folder,
    async put(network, agoMs) {
      const payload = randomId<PayloadId>();
      await mkdir(join(folder, network), { recursive: true });
      for (const name of [`${payload}.chunks`, `${payload}.${randomId<SongId>()}.edges`]) {
        await writeFile(join(folder, network, name), Buffer.alloc(BYTES / 2, 1));
        await utimes(join(folder, network, name), new Date(NOW), new Date(NOW - agoMs));
      }
      return payload;
    },
    has: async (network) => [...new Set((await readdir(join(folder, network)).catch(() => [])).map((name) => name.split('.')[0] as string))].sort(),
  };
}

const nothing = (): boolean => false;

t.test('a cache that nobody came back to for thirty days goes, and others stay', async (t) => {
  const { folder, put, has } = await caches(t);
  const [here, away] = [await put('home', 0), await put('away', ABANDONED_MS - DAY_MS)];
  await put('gone', ABANDONED_MS + DAY_MS);
  const old = await put('home', ABANDONED_MS + DAY_MS);
  const unread = await put('away', ABANDONED_MS + DAY_MS);
  t.equal(await bytesOfOthers({ folder, network: 'home' }), 3 * BYTES);
  t.equal(await bytesOfCaches(folder), 5 * BYTES);
  await sweepOthers({ folder, network: 'home', bytesMax: 100 * BYTES, now: NOW, isPinned: nothing });
  t.same(await readdir(folder), ['away', 'home']);
  t.same([await has('home'), await has('away')], [[here, old].sort(), [away, unread].sort()], 'whole, as long as somebody used any of it');
  await put('quiet', ABANDONED_MS + DAY_MS);
  await markUsed({ folder, network: 'quiet' });
  await sweepOthers({ folder, network: 'home', bytesMax: 100 * BYTES, now: Date.now(), isPinned: nothing });
  t.same(await readdir(folder), ['home', 'quiet'], 'nothing was played there for long, and it was left today');
});

t.test('what was left takes half of the bound at most: the least recently used goes, with its edges, and pins last', async (t) => {
  const { folder, put, has } = await caches(t);
  const here = await put('home', 9 * DAY_MS);
  const pin = await put('b', 5 * DAY_MS);
  const [, , second, first] = [await put('a', 4 * DAY_MS), await put('b', 3 * DAY_MS), await put('b', 2 * DAY_MS), await put('a', DAY_MS)];
  const sweep = (songs: number): Promise<void> => sweepOthers({ folder, network: 'home', bytesMax: 2 * songs * BYTES, now: NOW, isPinned: (network, payload) => network === 'b' && payload === pin });
  await sweep(3);
  t.same([await has('a'), await has('b')], [[first], [pin, second].sort()]);
  t.equal(await bytesOfOthers({ folder, network: 'home' }), 3 * BYTES);
  await sweep(1);
  t.same([await has('a'), await has('b')], [[], [pin]]);
  await sweep(0);
  t.same([await has('b'), await has('home')], [[], [here]], 'and never what is of today');
});

t.test('of what was left only that stays whole which was left last or is to be moved, and it counts', async (t) => {
  const { folder, put, has } = await caches(t);
  const last = [await put('last', 5 * DAY_MS), await put('last', 4 * DAY_MS)];
  const [, kept] = [await put('a', 3 * DAY_MS), await put('a', DAY_MS)];
  const sweep = (songs: number, ...left: string[]): Promise<void> => sweepOthers({ folder, network: 'home', left: new Set(left), bytesMax: 2 * songs * BYTES, now: NOW, isPinned: nothing });
  await sweep(3, 'last');
  t.same([await has('last'), await has('a')], [last.sort(), [kept]]);
  await sweep(1, 'last');
  t.same([await has('last'), await has('a')], [last, []], 'also where it is too much alone');
  await sweep(1);
  t.equal((await has('last')).length, 1, 'until the next change');
  await put('b', 2 * DAY_MS);
  const old = await put('c', ABANDONED_MS + DAY_MS);
  await sweep(1, 'last', 'b', 'c');
  t.same([(await has('last')).length, (await has('b')).length, await has('c')], [1, 1, [old]], 'and all whose music is still to be moved, however old it is');
});

t.test('a song with less of its chunks does not take the place of one with more', async (t) => {
  const { folder } = await caches(t);
  const put = async (network: string, name: string, blocks: number): Promise<void> => {
    await mkdir(join(folder, network), { recursive: true });
    await writeFile(join(folder, network, name), Buffer.alloc(blocks * 4_096, network));
  };
  for (const [name, a, b] of [['one.chunks', 1, 3], ['two.chunks', 3, 1]] as const) {
    await put('a', name, a);
    await put('b', name, b);
  }
  await moveCache(folder, 'a', 'b');
  t.same(await readdir(folder), ['b']);
  for (const [name, from] of [['one.chunks', 'b'], ['two.chunks', 'a']] as const) {
    t.ok((await readFile(join(folder, 'b', name))).equals(Buffer.alloc(3 * 4_096, from)), name);
  }
});

t.test('of a song under two keys that stays which has more right chunks, whatever they take of the disk', async (t) => {
  const { folder } = await caches(t);
  const files = new OpenFiles();
  t.teardown(() => files.close());
  const chunks = 9;
  const whole = Array.from({ length: chunks }, (_, index) => index);
  const pathOf = (network: string, { payload }: MadeSong): string => join(folder, network, `${payload}.chunks`);
  const damage = async (path: string, position: number, bytes: Buffer): Promise<void> => {
    const handle = await open(path, 'r+');
    await handle.write(bytes, 0, bytes.byteLength, position);
    await handle.close();
  };
  /** A chunk that was found to be wrong. */
  const rotten = async (network: string, song: MadeSong): Promise<void> => {
    await damage(pathOf(network, song), 4_096 + 3 * CHUNK_BYTES, Buffer.alloc(100, 1));
    const cache = await ChunkCache.open(join(folder, network), { bytesMax: 64e6, files });
    t.equal(await cache.read(song.payload, 3), null);
    await cache.close();
  };
  const headless = (network: string, song: MadeSong): Promise<void> => damage(pathOf(network, song), 0, Buffer.alloc(32));
  const short = (network: string, song: MadeSong): Promise<void> => truncate(pathOf(network, song), 4_096 + 2 * CHUNK_BYTES);
  /** Nothing proves what is in it. */
  const lost = async (network: string, song: MadeSong): Promise<void> => {
    await damage(pathOf(network, song), 0, Buffer.alloc(4_096));
    await damage(pathOf(network, song), 4_096 + 5 * CHUNK_BYTES, Buffer.alloc(100, 1));
  };
  /** Likewise, and it takes more of the disk. */
  const longer = async (network: string, song: MadeSong): Promise<void> => {
    await lost(network, song);
    await damage(pathOf(network, song), 4_096 + chunks * CHUNK_BYTES, Buffer.alloc(8_192, 1));
  };
  const cases = [
    { a: undefined, b: rotten, left: 9 },
    { a: rotten, b: undefined, left: 9 },
    { a: rotten, b: headless, left: 9 },
    { a: headless, b: rotten, left: 9 },
    { a: short, b: rotten, left: 8 },
    { a: lost, b: rotten, left: 8 },
    { a: rotten, b: lost, left: 8 },
    { a: lost, b: short, left: 0 },
    { a: longer, b: undefined, left: 9 },
    { a: undefined, b: longer, left: 9 },
  ];
  const songs = cases.map(() => madeSong(chunks * CHUNK_BYTES));
  for (const network of ['a', 'b']) {
    const cache = await ChunkCache.open(join(folder, network), { bytesMax: 64e6, files });
    for (const song of songs) t.ok(await fillCache(cache, song, whole));
    await cache.close();
  }
  for (const [i, { a, b }] of cases.entries()) {
    await a?.('a', songs[i] as MadeSong);
    await b?.('b', songs[i] as MadeSong);
  }
  await moveCache(folder, 'a', 'b');
  const cache = await ChunkCache.open(join(folder, 'b'), { bytesMax: 64e6, files });
  t.teardown(() => cache.close());
  const held = songs.map(({ payload }) => whole.filter((index) => cache.hasChunk(payload, index)).length);
  t.same(held, cases.map(({ left }) => left));
});

t.test('with another key a cache has another name, and what that had before is there too', async (t) => {
  const { folder, put, has } = await caches(t);
  const one = await put('a', 0);
  await moveCache(folder, 'a', 'b');
  t.same([await has('a'), await has('b')], [[], [one]]);
  const two = await put('a', 0);
  await moveCache(folder, 'b', 'a');
  t.same([await has('a'), await readdir(folder)], [[one, two].sort(), ['a']]);
  await moveCache(folder, 'nothing', 'a');
  await moveCache(folder, 'a', 'a');
  t.same(await has('a'), [one, two].sort());
  t.ok((await stat(join(folder, 'a'))).isDirectory());
});

t.test('with another key pins are those of the new one', async (t) => {
  const { database } = await openReplica(t, OperationStore);
  const pinned = async (network: string): Promise<SongId[]> => [...(await PinStore.open(database, network)).pins.keys()].sort();
  const [one, two] = [randomId<SongId>(), randomId<SongId>()];
  await (await PinStore.open(database, 'a')).pin(one, randomId<PayloadId>());
  await (await PinStore.open(database, 'b')).pin(two, randomId<PayloadId>());
  t.same([...(await PinStore.networks(database))], ['a', 'b']);
  await PinStore.move(database, 'a', 'b');
  t.same([await pinned('a'), await pinned('b')], [[], [one, two].sort()]);
  await PinStore.move(database, 'b', 'b');
  t.same(await pinned('b'), [one, two].sort());
});
