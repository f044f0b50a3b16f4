// What a disk that errs or rots costs the cache: never more of a song than what is damaged, since it may be the last copy.
import { randomBytes } from 'node:crypto';
import * as fileSystem from 'node:fs/promises';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { chunkLength, payloadIdOf } from '../../lib/content.ts';
import { CHUNK_BYTES } from '../../lib/limits.ts';
import { wholeDiskBytes } from '../../storage/cache-entry.ts';
import type { CacheEvents } from '../../storage/cache-events.ts';
import { type CacheFileSystem, chunksName, edgesName } from '../../storage/cache-folder.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { chunkOf, fillCache, madeSong, type MadeSong, tagged } from '../fixtures/made-song.ts';

/** Where it lies in the file of a song of less than 1 MB. */
const CHUNKS_AT = 4_096;

type Begun = Pick<MadeSong, 'payload' | 'manifest'>;

interface Disk {
  readonly fileSystem: CacheFileSystem;
  /** Of every read, and of every open, as long as it is set. */
  readError?: string | undefined;
  /** Of reads that come by one of these bytes: EIO. */
  badBytes?: readonly number[];
  openError?: string | undefined;
  statError?: string | undefined;
  /** Asked of it so far. */
  bytesRead: number;
  /** Of every open of edges. */
  edgesError?: string | undefined;
}

const failed = (code: string): Error => Object.assign(new Error(`${code}: the disk says so`), { code });

function disk(): Disk {
  const sick: Disk = {
    bytesRead: 0,
    fileSystem: {
      ...fileSystem,
      stat: (async (path) => {
        if (sick.statError !== undefined) throw failed(sick.statError);
        return fileSystem.stat(path);
      }) as CacheFileSystem['stat'],
      open: async (...args) => {
        const error = sick.openError ?? (String(args[0]).endsWith('.edges') ? sick.edgesError : undefined);
        if (error !== undefined) throw failed(error);
        const handle = await fileSystem.open(...args);
        const read = handle.read.bind(handle) as (...some: unknown[]) => Promise<unknown>;
        const value = (...some: unknown[]): Promise<unknown> => {
          const [, , length, position] = some as [Buffer, number, number, number];
          const error = sick.badBytes?.some((at) => at >= position && at < position + length) ? 'EIO' : sick.readError;
          sick.bytesRead += length;
          return error === undefined ? read(...some) : Promise.reject(failed(error));
        };
        Object.defineProperty(handle, 'read', { value });
        return handle;
      },
    },
  };
  return sick;
}

interface OpenedOptions {
  readonly folder: string;
  readonly bytesMax?: number;
  readonly fileSystem?: CacheFileSystem;
  readonly listener?: Partial<CacheEvents>;
}

async function opened(t: Test, { folder, bytesMax = 64e6, fileSystem: fs = fileSystem, listener = {} }: OpenedOptions): Promise<ChunkCache> {
  const files = new OpenFiles();
  const cache = await ChunkCache.open(folder, { bytesMax, files, fileSystem: fs }, listener);
  t.teardown(() => cache.close().then(() => files.close()));
  return cache;
}

/** A cache that held all of it has been closed. @returns its bytes */
async function wholeIn(t: Test, folder: string, song: MadeSong): Promise<number> {
  const cache = await opened(t, { folder });
  t.ok(await fillCache(cache, song));
  await cache.close();
  return cache.bytes;
}

async function overwrite(path: string, position: number, bytes: Buffer): Promise<void> {
  const handle = await fileSystem.open(path, 'r+');
  await handle.write(bytes, 0, bytes.byteLength, position);
  await handle.close();
}

const indexesOf = ({ manifest }: MadeSong): number[] => Array.from({ length: manifest.byteLength / 32 }, (_, index) => index);
const heldOf = (cache: ChunkCache, song: MadeSong): number[] => indexesOf(song).filter((index) => cache.hasChunk(song.payload, index));

async function isRight(cache: ChunkCache, song: MadeSong, index: number): Promise<boolean> {
  return chunkOf(song, index).equals((await cache.read(song.payload, index)) ?? Buffer.alloc(0));
}

t.test('a disk that fails for a moment costs no song, whoever asks it then', async (t) => {
  const root = t.testdir();
  const song = madeSong(3 * CHUNK_BYTES);
  const asks: ((cache: ChunkCache) => Promise<unknown>)[] = [(cache) => cache.read(song.payload, 0), (cache) => cache.checkHead(song.payload), (cache) => cache.manifestOf(song.payload)];
  for (const [i, ask] of asks.entries()) {
    const folder = join(root, String(i));
    const bytes = await wholeIn(t, folder, song);
    const sick = disk();
    const events: string[] = [];
    const listener = { lost: () => events.push('lost'), completed: () => events.push('completed') };
    const cache = await opened(t, { folder, fileSystem: sick.fileSystem, listener });
    sick.readError = 'EIO';
    t.notOk(await ask(cache));
    sick.readError = undefined;
    t.strictSame(await readdir(folder), [chunksName(song.payload)]);
    t.equal(cache.bytes, bytes, 'and it counts');
    t.ok(await fillCache(cache, song, []), 'whoever wants it finds it again');
    t.strictSame(events, ['lost', 'completed']);
    t.strictSame(heldOf(cache, song), [0, 1, 2]);
    t.ok(await isRight(cache, song, 2));
    await cache.close();
    t.ok((await opened(t, { folder })).complete(song.payload));
  }
});

t.test('a sector that cannot be read costs its own chunk, at a start and in a round and for who brings the manifest, and not the rest of the song', async (t) => {
  const root = t.testdir();
  const song = madeSong(20 * CHUNK_BYTES + 5);
  const head = 100;
  // one in the middle; the last; one and the head, so that only who has the manifest knows
  const cases = [{ bad: [7] }, { bad: [20] }, { bad: [7], headless: true }, { bad: [20], headless: true }];
  for (const [i, { bad, headless = false }] of cases.entries()) {
    for (const aside of headless ? [false] : [false, true]) {
      const folder = join(root, `${i}-${aside}`);
      const bytes = await wholeIn(t, folder, song);
      const sick = disk();
      const left = indexesOf(song).filter((index) => !bad.includes(index));
      const badBytes = [...(headless ? [head] : []), ...bad.map((index) => CHUNKS_AT + index * CHUNK_BYTES + 3)];
      if (!headless) {
        const before = await opened(t, { folder, fileSystem: sick.fileSystem });
        sick.badBytes = badBytes;
        t.equal(await before.read(song.payload, bad[0] as number), null);
        await before.close();
      }
      if (aside) sick.openError = 'ENODEV';
      sick.badBytes = badBytes;
      const cache = await opened(t, { folder, fileSystem: sick.fileSystem });
      sick.openError = undefined;
      t.equal(cache.bytes, bytes);
      if (aside) await cache.checkHead(song.payload);
      if (headless) {
        t.notOk(cache.has(song.payload));
        t.ok(await fillCache(cache, song, []));
      }
      t.strictSame(heldOf(cache, song), left);
      if (!headless) t.ok(await isRight(cache, song, left.at(-1) as number));
      t.equal(cache.bytes, bytes, 'and its blocks count');
      await cache.close();
      sick.badBytes = [];
      t.ok((await opened(t, { folder, fileSystem: sick.fileSystem })).complete(song.payload), 'it is here when the disk gives it again');
    }
  }
});

t.test('who begins a song while its disk gives nothing cuts nothing off', async (t) => {
  const folder = t.testdir();
  const song = madeSong(3 * CHUNK_BYTES);
  await wholeIn(t, folder, song);
  const sick = disk();
  sick.readError = 'EIO';
  const cache = await opened(t, { folder, fileSystem: sick.fileSystem });
  t.notOk(await fillCache(cache, song, []));
  sick.readError = undefined;
  t.ok(await fillCache(cache, song, []));
  t.ok(cache.complete(song.payload));
});

t.test('edges that cannot be read for a moment are here again with the next round, and their song stays until then whoever else has it', async (t) => {
  const root = t.testdir();
  const [song, other] = [madeSong(3 * CHUNK_BYTES), madeSong(2 * CHUNK_BYTES)];
  const edges = tagged(song, randomBytes(9_000), randomBytes(20));
  const name = edgesName(song.payload, edges.file);
  const cases = [{ readError: 'EIO' }, { readError: 'ESTALE' }, { openError: 'EACCES' }, { readError: 'EIO', rots: true }] as const;
  for (const [i, { rots = false, ...errors }] of (cases as readonly { readError?: string; openError?: string; rots?: boolean }[]).entries()) {
    const folder = join(root, String(i));
    const sick = disk();
    const announced: boolean[] = [];
    const cache = await opened(t, { folder, fileSystem: sick.fileSystem, bytesMax: 300_000, listener: { edges: () => announced.push(cache.filesOf(song.payload).length > 0) } });
    await fillCache(cache, song);
    const bare = cache.bytes;
    await cache.keepEdges(song.payload, edges.file, edges);
    const { bytes } = cache;
    Object.assign(sick, errors);
    t.equal(await cache.readEdge(edges.file, 'suffix'), null);
    await cache.checkEdges(song.payload);
    Object.assign(sick, { readError: undefined, openError: undefined });
    t.strictSame([cache.bytes, cache.filesOf(song.payload)], [bytes, []]);
    t.notOk(await fillCache(cache, other), 'its song does not go for another');
    await cache.delete(other.payload);
    if (rots) await overwrite(join(folder, name), 500, randomBytes(9));
    await cache.checkEdges(song.payload);
    t.strictSame(announced, rots ? [true, false] : [true, false, true]);
    t.equal(cache.bytes, rots ? bare : bytes);
    t.equal(cache.bytesOf(song.payload), cache.bytes);
    t.equal((await readdir(folder)).includes(name), !rots);
    if (!rots) t.ok(edges.suffix.equals((await cache.readEdge(edges.file, 'suffix')) ?? Buffer.alloc(0)));
    t.ok(await fillCache(cache, other), 'now it goes');
    t.notOk(cache.has(song.payload));
  }
});

t.test('a song whose manifest and another part rotted is put aside, and who brings its manifest finds all of it that is right', async (t) => {
  const song = madeSong(100 * CHUNK_BYTES);
  const folder = t.testdir();
  const path = join(folder, chunksName(song.payload));
  const bytes = await wholeIn(t, folder, song);
  await overwrite(path, 32 + 13 + 50 * 32, randomBytes(4));
  await overwrite(path, CHUNKS_AT + 50 * CHUNK_BYTES + 9, randomBytes(4));
  const completed: string[] = [];
  const cache = await opened(t, { folder, listener: { completed: (payload) => completed.push(payload) } });
  t.equal(await cache.read(song.payload, 0), null);
  t.notOk(cache.has(song.payload));
  t.equal(cache.bytes, bytes, 'it counts');
  t.notOk(await cache.begin(song.payload, song.bytes.byteLength - 1, song.manifest), 'a wrong length fits the manifest, too, and costs nothing');
  t.ok(await fillCache(cache, song, []));
  t.strictSame(heldOf(cache, song), indexesOf(song).filter((index) => index !== 50));
  t.strictSame(completed, [], 'what rotted is not announced');
  t.equal(cache.bytes, bytes);
  await cache.close();
  const again = await opened(t, { folder });
  t.ok(await isRight(again, song, 99), 'and the disk has its manifest again');
  t.ok(await fillCache(again, song, [50]));
  t.ok(again.complete(song.payload));
});

t.test('what is begun while a round tries it again is taken up once, and whole', async (t) => {
  const root = t.testdir();
  const song = madeSong(8 * CHUNK_BYTES);
  for (const provable of [true, false]) {
    for (const first of ['begin', 'round'] as const) {
      const folder = join(root, `${provable}-${first}`);
      const bytes = await wholeIn(t, folder, song);
      const sick = disk();
      const completed: string[] = [];
      const cache = await opened(t, { folder, fileSystem: sick.fileSystem, listener: { completed: (payload) => completed.push(payload) } });
      sick.readError = 'ENODEV';
      await cache.checkHead(song.payload);
      sick.readError = undefined;
      t.strictSame(cache.aside(), [song.payload]);
      if (!provable) for (const at of [40, CHUNKS_AT + 1]) await overwrite(join(folder, chunksName(song.payload)), at, randomBytes(8));
      const works = { begin: () => fillCache(cache, song, []), round: () => cache.checkHead(song.payload) };
      const one = works[first]();
      // the first has begun to read
      await setImmediate();
      const other = works[first === 'begin' ? 'round' : 'begin']();
      t.ok(await (first === 'begin' ? one : other));
      await Promise.all([one, other]);
      t.strictSame(heldOf(cache, song), provable ? indexesOf(song) : indexesOf(song).slice(1));
      t.strictSame(completed, provable ? [song.payload] : []);
      t.equal(cache.bytes, bytes);
    }
  }
});

t.test('a song whose edges still fail is taken up once as well, and a file that a start could not even measure is tried again', async (t) => {
  const folder = t.testdir();
  const song = madeSong(8 * CHUNK_BYTES);
  const edges = tagged(song, randomBytes(9_000), randomBytes(20));
  const sick = disk();
  const before = await opened(t, { folder });
  await fillCache(before, song);
  await before.keepEdges(song.payload, edges.file, edges);
  await before.close();
  Object.assign(sick, { openError: 'ENODEV', statError: 'ENODEV' });
  const unmeasured = await opened(t, { folder, fileSystem: sick.fileSystem });
  t.strictSame([unmeasured.aside(), unmeasured.bytes], [[song.payload], 0]);
  Object.assign(sick, { openError: undefined, statError: undefined });
  await unmeasured.checkHead(song.payload);
  t.strictSame([unmeasured.complete(song.payload), unmeasured.bytes], [true, before.bytes]);
  await unmeasured.close();
  sick.openError = 'ENODEV';
  const cache = await opened(t, { folder, fileSystem: sick.fileSystem });
  t.strictSame([cache.aside(), cache.bytes], [[song.payload], before.bytes]);
  Object.assign(sick, { openError: undefined, edgesError: 'EIO' });
  const round = cache.checkHead(song.payload);
  await setImmediate();
  t.ok(await fillCache(cache, song, []));
  await round;
  t.ok(cache.complete(song.payload));
  t.equal(cache.bytes, before.bytes);
  sick.edgesError = undefined;
  await cache.checkEdges(song.payload);
  t.strictSame([cache.filesOf(song.payload), cache.aside(), cache.bytes], [[edges.file], [], before.bytes]);
});

t.test('what was put aside goes when it is deleted, also while a round tries it again', async (t) => {
  const root = t.testdir();
  const song = madeSong(8 * CHUNK_BYTES);
  const edges = tagged(song, randomBytes(9_000), randomBytes(20));
  for (const during of ['nothing', 'round', 'begin'] as const) {
    const folder = join(root, during);
    const sick = disk();
    const cache = await opened(t, { folder, fileSystem: sick.fileSystem });
    await fillCache(cache, song);
    await cache.keepEdges(song.payload, edges.file, edges);
    sick.readError = 'ENODEV';
    await cache.checkHead(song.payload);
    sick.readError = undefined;
    t.strictSame(cache.aside(), [song.payload]);
    const work = { nothing: async () => undefined, round: () => cache.checkHead(song.payload), begin: () => fillCache(cache, song, []) }[during]();
    await setImmediate();
    await cache.delete(song.payload);
    await work;
    t.strictSame([cache.has(song.payload), cache.aside(), cache.bytes], [false, [], 0], during);
    t.strictSame(await readdir(folder), []);
    t.ok(await fillCache(cache, song));
    t.ok(await isRight(cache, song, 7));
  }
});

t.test('a start finds a whole song whose first sectors or bits are lost', async (t) => {
  const root = t.testdir();
  const song = madeSong(20 * CHUNK_BYTES + 5);
  const edges = tagged(song, randomBytes(9_000), randomBytes(20));
  const sectors = [[0, 512], [0, CHUNKS_AT], [20, 200], [32, 512]] as const;
  // the bit of a last chunk that no count of blocks shows
  const damages = [...sectors.map(([from, to]) => ({ from, bytes: Buffer.alloc(to - from) })), { from: 34, bytes: Buffer.from([0x0f]) }];
  for (const [i, { from, bytes }] of damages.entries()) {
    const folder = join(root, String(i));
    const before = await opened(t, { folder });
    await fillCache(before, song);
    await before.keepEdges(song.payload, edges.file, edges);
    await before.close();
    await overwrite(join(folder, chunksName(song.payload)), from, bytes);
    for (const start of ['first', 'next'] as const) {
      const cache = await opened(t, { folder, listener: { damaged: (_, part) => t.fail(`${part} is damaged still`) } });
      t.ok(cache.complete(song.payload), `${start} start with ${bytes.byteLength} wrong bytes at ${from}`);
      t.equal(cache.bytes, before.bytes);
      t.strictSame(cache.filesOf(song.payload), [edges.file]);
      for (const index of [0, 20]) t.ok(await isRight(cache, song, index));
      await cache.close();
    }
  }
});

t.test('what a start cannot prove is left with its edges and counts, until somebody brings the manifest; what was only begun goes', async (t) => {
  const root = t.testdir();
  const song = madeSong(20 * CHUNK_BYTES + 5);
  const edges = tagged(song, randomBytes(9_000), randomBytes(20));
  const held = [0, 1, 2, 5];
  // the head; bits and manifest; the head and the end of a whole song, which alone says how long it is
  const cases: readonly { readonly held: readonly number[]; readonly damage: readonly [from: number, to: number][]; readonly left: readonly number[] }[] = [
    { held, damage: [[0, 512]], left: held },
    { held, damage: [[32, 512]], left: held },
    { held: indexesOf(song), damage: [[0, 8], [CHUNKS_AT + 20 * CHUNK_BYTES, CHUNKS_AT + 20 * CHUNK_BYTES + 5]], left: indexesOf(song).slice(0, -1) },
  ];
  for (const [i, { held, damage, left }] of cases.entries()) {
    const folder = join(root, String(i));
    const path = join(folder, chunksName(song.payload));
    const before = await opened(t, { folder });
    await fillCache(before, song, held);
    await before.keepEdges(song.payload, edges.file, edges);
    await before.close();
    for (const [from, to] of damage) await overwrite(path, from, Buffer.alloc(to - from));
    const names = await readdir(folder);
    const cache = await opened(t, { folder });
    t.notOk(cache.has(song.payload));
    t.strictSame(await readdir(folder), names);
    t.ok(cache.bytes >= before.bytes, `${cache.bytes} of ${before.bytes} bytes count`);
    t.ok(await fillCache(cache, song, []));
    t.strictSame(heldOf(cache, song), left);
    t.strictSame(cache.filesOf(song.payload), [edges.file]);
    for (const index of left) t.ok(await isRight(cache, song, index));
    await cache.close();
    await overwrite(path, 0, Buffer.alloc(32));
    await fileSystem.truncate(path, CHUNKS_AT);
    await (await opened(t, { folder })).close();
    t.strictSame(await readdir(folder), [], 'no chunk is in it');
  }
});

t.test('who begins a song with a wrong length costs one whose head rotted nothing', async (t) => {
  const song = madeSong(20 * CHUNK_BYTES + 5);
  const folder = t.testdir();
  const path = join(folder, chunksName(song.payload));
  const bytes = await wholeIn(t, folder, song);
  await overwrite(path, 0, randomBytes(CHUNKS_AT));
  await overwrite(path, CHUNKS_AT + 7 * CHUNK_BYTES, randomBytes(9));
  const cache = await opened(t, { folder });
  t.strictSame(cache.aside(), [song.payload]);
  for (const wrong of [-1, 1]) t.notOk(await cache.begin(song.payload, song.bytes.byteLength + wrong, song.manifest));
  t.ok(await fillCache(cache, song, []));
  t.strictSame(heldOf(cache, song), indexesOf(song).filter((index) => index !== 7));
  t.ok(await isRight(cache, song, 20));
  t.equal(cache.bytes, bytes);
});

t.test('a start does not read a song of which parts were never here to find out that nothing proves it', async (t) => {
  const folder = t.testdir();
  const song = madeSong(100 * CHUNK_BYTES);
  const before = await opened(t, { folder });
  await fillCache(before, song, [...Array.from({ length: 90 }, (_, index) => index), 99]);
  await before.close();
  await overwrite(join(folder, chunksName(song.payload)), 0, Buffer.alloc(CHUNKS_AT));
  const sick = disk();
  const cache = await opened(t, { folder, fileSystem: sick.fileSystem });
  t.strictSame(cache.aside(), [song.payload]);
  t.ok(sick.bytesRead < CHUNK_BYTES, `${sick.bytesRead} bytes read`);
});

t.test('a torn beginning of a song that a start left gives way to the song, which begins where there is room for it', async (t) => {
  const folder = t.testdir();
  const whole = 260 * CHUNK_BYTES;
  const [song, other] = [randomBytes(260 * 32), randomBytes(260 * 32)].map((manifest) => ({ manifest, payload: payloadIdOf(manifest) })) as [Begun, Begun];
  await fileSystem.writeFile(join(folder, chunksName(song.payload)), randomBytes(5_000));
  const cache = await opened(t, { folder, bytesMax: wholeDiskBytes(whole) });
  const tornBytes = cache.bytes;
  const otherBytes = whole - tornBytes;
  t.ok(await cache.begin(other.payload, otherBytes, other.manifest));
  const zeros = (index: number): Buffer => Buffer.alloc(chunkLength(otherBytes, index));
  for (let first = 0; first < 260; first += 16) await Promise.all(Array.from({ length: 16 }, (_, i) => first + i < 260 && cache.write(other.payload, first + i, zeros(first + i))));
  t.equal(cache.bytes, cache.bytesMax);
  cache.pin(other.payload);
  t.notOk(await cache.begin(song.payload, whole, song.manifest));
  t.ok(cache.bytes <= cache.bytesMax);
  cache.unpin(other.payload);
  t.ok(await cache.begin(song.payload, whole, song.manifest));
  t.ok(cache.bytes <= cache.bytesMax);
});

t.test('too many open files stop nothing and are no news: what they kept from the disk comes there when there are fewer', async (t) => {
  const folder = t.testdir();
  const [song, other] = [madeSong(2 * CHUNK_BYTES), madeSong(100)];
  const [sick, files, troubles] = [disk(), new OpenFiles(), [] as string[]];
  const cache = await ChunkCache.open(folder, { bytesMax: 64e6, files, fileSystem: sick.fileSystem }, { trouble: ({ message }) => troubles.push(message) });
  t.ok(await fillCache(cache, song, [0]));
  const { bytes } = cache;
  await files.close();
  sick.openError = 'EMFILE';
  t.notOk(await fillCache(cache, other), 'a song that begins');
  t.notOk(await cache.write(song.payload, 1, chunkOf(song, 1)));
  await cache.flush();
  t.ok(cache.takes);
  t.equal(cache.bytes, bytes);
  sick.openError = undefined;
  t.ok(await fillCache(cache, other));
  await cache.flush();
  t.strictSame(troubles, []);
  await files.close();
  // as a kill leaves it
  t.strictSame((await fileSystem.readFile(join(folder, chunksName(song.payload))))[32], 1, 'its bitmap');
  await cache.close();
  await files.close();
});
