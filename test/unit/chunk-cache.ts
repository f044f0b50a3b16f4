// The chunk cache and the reading of one's own files, on real temporary folders.
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import * as fileSystem from 'node:fs/promises';
import { cp, mkdir, readdir, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { chunkCount, payloadIdOf, sha256 } from '../../lib/content.ts';
import { type FileId, type PayloadId, randomId } from '../../lib/ids.ts';
import { CHUNK_BYTES, OPEN_FILES_MAX } from '../../lib/limits.ts';
import type { CacheEvents } from '../../storage/cache-events.ts';
import type { CacheFileSystem } from '../../storage/cache-folder.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import type { Judge } from '../../storage/eviction.ts';
import { CacheEntry } from '../../storage/cache-entry.ts';
import { chunkHandlers } from '../../peer/chunks/chunk-server.ts';
import { edgeParams } from '../../peer/chunks/provider-link.ts';
import { LocalFiles, type StoredFile } from '../../storage/local-files.ts';
import { served } from '../fixtures/served.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { chunkOf, fillCache as fill, madeSong as makeSong, type MadeSong as Song, tagged as tag } from '../fixtures/made-song.ts';

type Judgement = ReturnType<Judge>;

const MiB = 1024 * 1024;

async function opened(t: Test, folder: string, bytesMax = 64 * MiB, listener: Partial<CacheEvents> = {}, fs?: CacheFileSystem, files = new OpenFiles()): Promise<ChunkCache> {
  const cache = await ChunkCache.open(folder, { bytesMax, files, ...(fs && { fileSystem: fs }) }, listener);
  t.teardown(async () => {
    await cache.close();
    await files.close();
  });
  return cache;
}

t.test('what was written is read back, and survives a restart with its order of use', async (t) => {
  const folder = t.testdir();
  const songs = [makeSong(3 * CHUNK_BYTES + 17), makeSong(CHUNK_BYTES), makeSong(1)];
  const completed: PayloadId[] = [];
  const cache = await opened(t, folder, 64 * MiB, { completed: (payload) => completed.push(payload) });
  for (const song of songs) t.ok(await fill(cache, song));
  t.strictSame(completed, songs.map((song) => song.payload));
  await cache.close();

  const again = await opened(t, folder);
  t.equal(again.songs, 3);
  t.equal(again.bytes, cache.bytes);
  t.strictSame(again.completed().sort(), songs.map((song) => song.payload).sort());
  for (const song of songs) {
    for (let i = 0; i < chunkCount(song.bytes.byteLength); i++) t.ok(chunkOf(song, i).equals((await again.read(song.payload, i)) ?? Buffer.alloc(0)));
    t.ok(song.manifest.equals((await again.manifestOf(song.payload)) ?? Buffer.alloc(0)));
    t.equal(await again.read(song.payload, 2 ** 32), null, 'an index that a stranger made up');
  }
});

t.test('a partly cached song is kept as such, and takes only the disk of its chunks', async (t) => {
  const folder = t.testdir();
  const song = makeSong(40 * CHUNK_BYTES);
  const cache = await opened(t, folder);
  t.ok(await fill(cache, song, [39, 7]));
  await cache.close();
  const again = await opened(t, folder);
  t.notOk(again.complete(song.payload));
  t.ok(again.hasChunk(song.payload, 7));
  t.equal(await again.read(song.payload, 8), null);
  t.ok(chunkOf(song, 39).equals((await again.read(song.payload, 39)) ?? Buffer.alloc(0)));
  const onDisk = await stat(join(folder, `${song.payload}.chunks`));
  t.ok(again.bytes < 3 * CHUNK_BYTES);
  if (onDisk.blocks > 0) t.ok(onDisk.blocks * 512 < 5 * CHUNK_BYTES, `sparse: ${onDisk.blocks * 512} bytes allocated`);
});

t.test('a cache copied in the midst of writing yields every chunk right or not at all', async (t) => {
  const root = t.testdir();
  const folder = join(root, 'live');
  const cache = await opened(t, folder);
  const songs = [makeSong(20 * CHUNK_BYTES), makeSong(9 * CHUNK_BYTES + 5)];
  const writing = Promise.all(songs.map((song) => fill(cache, song)));
  const copies: string[] = [];
  for (let i = 0; i < 8; i++) {
    const copy = join(root, `killed-${i}`);
    await cp(folder, copy, { recursive: true }).catch(() => mkdir(copy, { recursive: true }));
    if (i === 4) await cache.flush();
    copies.push(copy);
  }
  await writing;
  for (const copy of copies) {
    const survivor = await opened(t, copy);
    for (const song of songs) {
      for (let i = 0; i < chunkCount(song.bytes.byteLength); i++) {
        const chunk = await survivor.read(song.payload, i);
        if (chunk !== null && !chunkOf(song, i).equals(chunk)) t.fail('a wrong byte');
      }
      t.ok(await fill(survivor, song), 'and is filled up without repair');
      t.ok(survivor.complete(song.payload));
    }
  }
});

t.test('whatever is done to its file, a song loses only what is damaged, no wrong byte is read, and it can be filled again', async (t) => {
  const root = t.testdir();
  const song = makeSong(5 * CHUNK_BYTES + 100);
  const indexes = [0, 1, 2, 3, 4, 5];
  const cache = await opened(t, join(root, 'whole'));
  await fill(cache, song);
  await cache.close();
  const original = await readFile(join(root, 'whole', `${song.payload}.chunks`));
  const [headBytes, chunksAt] = [32 + 1 + 6 * 32, 4096];
  const place = fc.oneof(fc.nat(40), fc.nat(300), fc.nat(original.byteLength - 1));
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.record({ kind: fc.constant('cut' as const), at: fc.nat(original.byteLength), bytes: fc.constant(Number.POSITIVE_INFINITY), bit: fc.constant(0) }),
        fc.record({ kind: fc.constant('flip' as const), at: place, bytes: fc.constant(1), bit: fc.nat(7) }),
        fc.record({ kind: fc.constant('zero' as const), at: place, bytes: fc.integer({ min: 1, max: 5_000 }), bit: fc.constant(0) }),
      ),
      async ({ kind, at, bytes, bit }) => {
        const folder = join(root, `damaged-${run++}`);
        await mkdir(folder);
        const damaged = Buffer.from(original.subarray(0, kind === 'cut' ? at : undefined));
        if (kind === 'flip') damaged[at]! ^= 1 << bit;
        if (kind === 'zero') damaged.subarray(at, at + bytes).fill(0);
        await writeFile(join(folder, `${song.payload}.chunks`), damaged);
        const files = new OpenFiles();
        const survivor = await ChunkCache.open(folder, { bytesMax: 64 * MiB, files });
        const right = async (): Promise<number[]> => {
          const whole: number[] = [];
          for (const index of indexes) {
            const chunk = await survivor.read(song.payload, index);
            if (chunk !== null && !chunkOf(song, index).equals(chunk)) throw new Error('a wrong byte');
            if (chunk !== null) whole.push(index);
          }
          return whole;
        };
        const isSpared = (index: number): boolean => at + bytes <= chunksAt + index * CHUNK_BYTES || at >= chunksAt + index * CHUNK_BYTES + chunkOf(song, index).byteLength;
        const spared = indexes.filter(isSpared);
        try {
          const found = await right();
          // where the head and a chunk are damaged, nothing here shows what is right
          if ((at >= headBytes || spared.length === indexes.length) && spared.some((index) => !found.includes(index))) throw new Error(`${found} is left of ${spared}`);
          if (!(await fill(survivor, song, []))) throw new Error('cannot be begun again');
          const again = await right();
          if (spared.some((index) => !again.includes(index))) throw new Error(`${again} is found again of ${spared}`);
          if (!(await fill(survivor, song))) throw new Error('cannot be filled again');
          if (!survivor.complete(song.payload) || (await right()).length < indexes.length) throw new Error('not whole after filling');
        } finally {
          await survivor.close();
          await files.close();
        }
      },
    ),
    { numRuns: 150, verbose: 1 },
  );
});

t.test('a chunk that rotted is forgotten, withdrawn, and accepted anew', async (t) => {
  const folder = t.testdir();
  const song = makeSong(2 * CHUNK_BYTES);
  const lost: PayloadId[] = [];
  const completed: PayloadId[] = [];
  const cache = await opened(t, folder, 64 * MiB, { lost: (payload) => lost.push(payload), completed: (payload) => completed.push(payload) });
  await fill(cache, song);
  const before = cache.bytes;
  const path = join(folder, `${song.payload}.chunks`);
  const rotten = await readFile(path);
  rotten[rotten.byteLength - 1]! ^= 1;
  await writeFile(path, rotten);
  t.equal(await cache.read(song.payload, 1), null);
  t.strictSame(lost, [song.payload]);
  t.equal(cache.bytes, before, 'its blocks are still taken');
  t.ok(await cache.write(song.payload, 1, chunkOf(song, 1)));
  t.equal(completed.length, 2);
  t.equal(cache.bytes, before);
});

t.test('the least recently used song goes whole; what is held or pinned stays', async (t) => {
  const folder = t.testdir();
  const evicted: PayloadId[] = [];
  const size = 4 * CHUNK_BYTES;
  const [a, b, c, d, e] = Array.from({ length: 5 }, () => makeSong(size)) as [Song, Song, Song, Song, Song];
  const cache = await opened(t, folder, 3 * (size + 4096), { lost: (payload) => evicted.push(payload) });
  for (const song of [a, b, c]) t.ok(await fill(cache, song));
  await cache.read(a.payload, 0);
  t.ok(await fill(cache, d));
  t.strictSame(evicted, [b.payload], 'a was read meanwhile');
  cache.pin(c.payload);
  const letGo = cache.hold(a.payload);
  t.ok(await fill(cache, e));
  t.strictSame(evicted, [b.payload, d.payload], 'c is pinned and a is being read');
  cache.pin(e.payload);
  t.notOk(await fill(cache, b), 'nothing may go, so nothing comes');
  letGo();
  t.ok(await fill(cache, b));
  t.strictSame(evicted, [b.payload, d.payload, a.payload]);
  t.strictSame((await readdir(folder)).sort(), [b, c, e].map((song) => `${song.payload}.chunks`).sort());
});

t.test('a song that is wanted again while it is being removed is kept', async (t) => {
  const folder = t.testdir();
  const song = makeSong(3 * CHUNK_BYTES);
  const cache = await opened(t, folder);
  for (let round = 0; round < 20; round++) {
    await fill(cache, song);
    const removed = cache.delete(song.payload);
    const filled = await fill(cache, song);
    await removed;
    t.ok(filled && song.bytes.subarray(0, CHUNK_BYTES).equals((await cache.read(song.payload, 0)) ?? Buffer.alloc(0)));
    t.strictSame(await readdir(folder), [`${song.payload}.chunks`]);
  }
});

t.test('a bound of zero refuses everything, also what an earlier start had cached', async (t) => {
  const folder = t.testdir();
  const song = makeSong(CHUNK_BYTES);
  const before = await opened(t, folder);
  await fill(before, song);
  await before.close();
  const cache = await opened(t, folder, 0);
  t.equal(cache.songs, 0);
  t.equal(cache.bytes, 0);
  t.notOk(await fill(cache, song));
  t.strictSame(await readdir(folder), []);
});

/** Of the disk. Some file systems allocate ahead of what is written, and give it back. */
function diskBytesOf(folder: string): number {
  let bytes = 0;
  for (const name of readdirSync(folder)) {
    const { size = 0, blocks = 0 } = statSync(join(folder, name), { throwIfNoEntry: false }) ?? {};
    bytes += Math.min(blocks * 512, Math.ceil(size / 4096) * 4096);
  }
  return bytes;
}

/** Other bytes in the midst of a chunk, of a song of a few. */
function rot(folder: string, payload: PayloadId, index: number): void {
  const file = openSync(join(folder, `${payload}.chunks`), 'r+');
  writeSync(file, randomBytes(100), 0, 100, 4096 + index * CHUNK_BYTES + 200);
  closeSync(file);
}

/** A disk that takes `pieces` more of what is written, each half of what it is given, and then fails, once. */
function failingDisk(): CacheFileSystem & { failAfter: (pieces: number) => void; readonly failed: () => number } {
  let [left, failed] = [Number.POSITIVE_INFINITY, 0];
  const open: typeof fileSystem.open = async (...args) => {
    const handle = await fileSystem.open(...args);
    const write = handle.write.bind(handle) as (bytes: Uint8Array, at: number, length: number, position: number) => Promise<{ bytesWritten: number }>;
    const writev = async (buffers: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }> => {
      const bytes = Buffer.concat(buffers);
      if (left === Number.POSITIVE_INFINITY) return write(bytes, 0, bytes.byteLength, position);
      if (left-- > 0) return write(bytes, 0, Math.ceil(bytes.byteLength / 2), position);
      [left, failed] = [Number.POSITIVE_INFINITY, failed + 1];
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    };
    Object.defineProperty(handle, 'writev', { value: writev });
    return handle;
  };
  return { ...fileSystem, open, failAfter: (pieces) => void (left = pieces), failed: () => failed };
}

t.test('whatever is written, kept, held, pinned, judged, deleted, rots and fails, many at once, the bound holds at every moment, and only what may go goes', async (t) => {
  const root = t.testdir();
  const songs = Array.from({ length: 6 }, (_, i) => makeSong(i * CHUNK_BYTES + 1000));
  const edgesOf = songs.map((song, i) => tag(song, randomBytes(i * 9_000), randomBytes(20)));
  const kinds = ['free', 'wanted', 'last'] as const;
  const words = ['fill', 'fill', 'fill', 'fill-free', 'fill-free', 'keep', 'hold', 'pin', 'unpin', ...kinds, 'delete', 'read', 'rot', 'rot', 'fail', 'fail'] as const;
  const command = fc.record({ what: fc.constantFrom(...words), song: fc.nat(songs.length - 1) });
  let [evictions, failures] = [0, 0];
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(command, fc.boolean()), { maxLength: 40, size: 'max' }), fc.integer({ min: 1, max: 12 }), async (commands, chunks) => {
      const folder = join(root, `bound-${run++}`);
      const bytesMax = chunks * CHUNK_BYTES;
      const files = new OpenFiles();
      const disk = failingDisk();
      let now = 0;
      const cache = await ChunkCache.open(folder, { bytesMax, files, fileSystem: disk, clock: { now: () => now, wall: () => now } });
      const judged = new Map<PayloadId, Judgement>();
      const stays = { pinned: new Set<PayloadId>(), held: new Set<PayloadId>(), growing: [] as PayloadId[] };
      const kindOf = (payload: PayloadId): Judgement => judged.get(payload) ?? 'free';
      const mayGo = (payload: PayloadId): boolean => !stays.pinned.has(payload) && !stays.held.has(payload);
      cache.judgeWith(kindOf);
      let deleting: PayloadId | undefined;
      let wrong: string | undefined;
      let rotten = false;
      const went = (payload: PayloadId): void => {
        if (cache.has(payload) || deleting === payload) return;
        evictions += 1;
        if (!mayGo(payload) || kindOf(payload) === 'last') wrong ??= `a ${kindOf(payload)} one went that may not go`;
        // one that grows does not go to make room for itself
        const better = kindOf(payload) === 'wanted' && cache.payloads().some((other) => kindOf(other) === 'free' && mayGo(other) && !stays.growing.includes(other));
        if (better) wrong ??= 'a wanted one went before a free one';
      };
      cache.listen({ lost: went, edges: went });
      const growing = async (payload: PayloadId, work: () => Promise<unknown>): Promise<void> => {
        stays.growing.push(payload);
        await work();
        stays.growing.splice(stays.growing.indexOf(payload), 1);
        under();
      };
      const under = (): void => {
        if (cache.bytes > bytesMax || cache.bytes < 0) throw new Error(`${cache.bytes} of ${bytesMax}`);
        if (wrong !== undefined) throw new Error(wrong);
      };
      const work: Promise<unknown>[] = [];
      for (const [{ what, song: n }, wait] of commands) {
        const song = songs[n] as Song;
        const { payload } = song;
        if (what === 'fill') work.push(growing(payload, () => fill(cache, song, undefined, 'wanted')));
        else if (what === 'fill-free') work.push(growing(payload, () => fill(cache, song, undefined, 'free')));
        else if (what === 'keep') work.push(growing(payload, () => cache.keepEdges(payload, edgesOf[n]!.file, edgesOf[n]!)));
        else if (what === 'hold') {
          const letGo = cache.hold(payload);
          stays.held.add(payload);
          work.push(cache.read(payload, 0).then(() => (letGo(), stays.held.delete(payload))));
        } else if (what === 'pin') {
          cache.pin(payload);
          stays.pinned.add(payload);
        } else if (what === 'unpin') {
          cache.unpin(payload);
          stays.pinned.delete(payload);
        } else if (what === 'delete') {
          deleting = payload;
          work.push(cache.delete(payload));
          deleting = undefined;
        } else if (what === 'rot') {
          const index = Math.floor(n / 2);
          if (cache.hasChunk(payload, index)) rot(folder, payload, index);
          rotten ||= cache.hasChunk(payload, index);
          work.push(cache.read(payload, index));
        } else if (what === 'fail') {
          disk.failAfter(n);
          // after the last failure it was stopped
          now += 60_000;
        } else if (what !== 'read') judged.set(payload, what);
        else work.push(cache.read(song.payload, 0));
        under();
        if (wait) await Promise.all(work);
      }
      await Promise.all(work);
      under();
      const counted = cache.bytes;
      await cache.close();
      failures += disk.failed();
      const onDisk = existsSync(folder) ? diskBytesOf(folder) : 0;
      if (onDisk > counted) throw new Error(`${onDisk} on disk, ${counted} counted`);
      const again = await ChunkCache.open(folder, { bytesMax, files });
      // what rotted or was torn at the end of a file is cut off
      if (rotten || disk.failed() > 0 ? again.bytes > counted : again.bytes !== counted) throw new Error(`${again.bytes} found, ${counted} counted`);
      if (diskBytesOf(folder) > again.bytes) throw new Error(`${diskBytesOf(folder)} on disk, ${again.bytes} found`);
      await again.close();
      await files.close();
    }),
    { numRuns: 120 },
  );
  t.ok(evictions > 5, `${evictions} went`);
  t.ok(failures > 5, `${failures} writes failed`);
});

t.test('500 MB asked of a cache of 50 MB: its bound holds for the disk, block by block, at every moment', async (t) => {
  const folder = t.testdir();
  const bytesMax = 50e6;
  const cache = await opened(t, folder, bytesMax);
  const chunk = randomBytes(CHUNK_BYTES);
  let [asked, looks, blockBytesMax] = [0, 0, 0];
  /** At one moment: nothing that the cache does next begins before this ends. */
  const look = (): void => {
    blockBytesMax = Math.max(blockBytesMax, diskBytesOf(folder));
    if (cache.bytes > bytesMax) t.fail(`${cache.bytes} bytes`);
    looks += 1;
  };
  /** The cache is told that each chunk is right, so they need no hashes. */
  const listen = async (): Promise<void> => {
    while (asked < 500e6) {
      const bytes = 3e6 + Math.floor(Math.random() * 5e6);
      asked += bytes;
      const manifest = randomBytes(32 * chunkCount(bytes));
      const payload = payloadIdOf(manifest);
      if (!(await cache.begin(payload, bytes, manifest))) t.fail('refused');
      for (let first = 0; first < chunkCount(bytes); first += 8) {
        const some = Array.from({ length: Math.min(8, chunkCount(bytes) - first) }, (_, i) => first + i);
        await Promise.all(some.map((index) => cache.write(payload, index, chunk.subarray(0, bytes - index * CHUNK_BYTES))));
        look();
      }
    }
  };
  await Promise.all([listen(), listen(), listen()]);
  t.ok(blockBytesMax <= bytesMax, `${(blockBytesMax / 1e6).toFixed(1)} MB on the disk at most, looked at ${looks} times`);
  t.ok(blockBytesMax > 0.8 * bytesMax, 'and what there is, is used');
});

t.test('chunks beyond the end of a file are not here, whatever its bitmap says; what it holds beyond its bitmap is kept, or cut off', async (t) => {
  const root = t.testdir();
  const song = makeSong(10 * CHUNK_BYTES + 1);
  const opens = async (name: string, held: readonly number[], damage: (path: string) => Promise<void>): Promise<{ cache: ChunkCache; path: string }> => {
    const folder = join(root, name);
    const path = join(folder, `${song.payload}.chunks`);
    const before = await opened(t, folder);
    await fill(before, song, held);
    await before.close();
    await damage(path);
    return { cache: await opened(t, folder), path };
  };
  const held = (cache: ChunkCache): number[] => Array.from({ length: 11 }, (_, i) => i).filter((i) => cache.hasChunk(song.payload, i));
  const cut = await opens('cut', [0, 1, 5, 10], (path) => truncate(path, 4096 + 6 * CHUNK_BYTES - 1));
  t.strictSame(held(cut.cache), [0, 1]);
  t.equal((await stat(cut.path)).size, 4096 + 2 * CHUNK_BYTES);
  const stray = await opens('stray', [10], async (path) => {
    const handle = await fileSystem.open(path, 'r+');
    await handle.write(Buffer.from([0xff]), 0, 1, 33);
    await handle.close();
  });
  t.equal((stray.cache.bitmapOf(song.payload)?.[1] ?? 0) & 0b1111_1000, 0, 'bits of no chunk are shown to nobody');
  t.equal(cut.cache.bytes, 4096 + 2 * CHUNK_BYTES);
  const write = (path: string, index: number, bytes: Buffer): Promise<void> =>
    fileSystem.open(path, 'r+').then(async (handle) => {
      await handle.write(bytes, 0, bytes.byteLength, 4096 + index * CHUNK_BYTES);
      await handle.close();
    });
  const unspoken = await opens('unspoken', [2], async (path) => {
    await write(path, 4, chunkOf(song, 4));
    await write(path, 7, randomBytes(CHUNK_BYTES));
    await write(path, 10, chunkOf(song, 10).fill(1));
  });
  t.strictSame(held(unspoken.cache), [2, 4]);
  t.ok(chunkOf(song, 4).equals((await unspoken.cache.read(song.payload, 4)) ?? Buffer.alloc(0)));
  t.equal((await stat(unspoken.path)).size, 4096 + 5 * CHUNK_BYTES);
});

t.test('a full disk stops caching with one report, and a later write clears it', async (t) => {
  const folder = t.testdir();
  let full = true;
  const failing: CacheFileSystem = {
    ...fileSystem,
    open: async (...args) => {
      const handle = await fileSystem.open(...args);
      const writev = handle.writev.bind(handle);
      const value: typeof writev = async (buffers, position) => {
        if (full) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
        return writev(buffers, position);
      };
      Object.defineProperty(handle, 'writev', { value });
      return handle;
    },
  };
  let now = 0;
  const reports: string[] = [];
  const files = new OpenFiles();
  const cache = await ChunkCache.open(
    folder,
    { bytesMax: 64 * MiB, files, fileSystem: failing, clock: { now: () => now, wall: () => now } },
    { trouble: (error) => reports.push(error.code) },
  );
  const song = makeSong(3 * CHUNK_BYTES);
  t.notOk(await fill(cache, song));
  t.equal(await cache.read(song.payload, 0), null);
  t.equal(cache.bytes, 4096, 'what was not written is not counted');
  t.notOk(await fill(cache, makeSong(CHUNK_BYTES)), 'not even tried');
  now = 61_000;
  t.notOk(await fill(cache, song), 'tried again, still full');
  t.strictSame(reports, ['DISK_FULL']);
  full = false;
  now = 130_000;
  t.ok(await fill(cache, song));
  t.ok(cache.complete(song.payload));
  await cache.close();
  await files.close();
});

t.test('a cache leaves a part of its disk to the database, whatever its bound is, and gives way to what others write', async (t) => {
  const folder = t.testdir();
  const files = new OpenFiles();
  let [now, othersChunks] = [0, 70];
  const reports: string[] = [];
  let takenChunks = 0;
  const cache = await ChunkCache.open(
    folder,
    {
      bytesMax: 64 * MiB,
      files,
      clock: { now: () => now, wall: () => now },
      statfs: async () => ({ bsize: CHUNK_BYTES, blocks: 100, bavail: Math.max(0, 100 - othersChunks - takenChunks) }),
    },
    { trouble: ({ code, message }) => reports.push(`${code} ${message}`) },
  );
  const [large, small, other] = [makeSong(30 * CHUNK_BYTES), makeSong(10 * CHUNK_BYTES), makeSong(10 * CHUNK_BYTES)];
  t.equal(cache.roomFor(), 20 * CHUNK_BYTES, 'a tenth of the disk is kept free');
  t.notOk(await fill(cache, large));
  t.ok(cache.bytes > 18 * CHUNK_BYTES && cache.bytes <= 20 * CHUNK_BYTES, `${cache.bytes / CHUNK_BYTES} chunks`);
  t.equal(reports.length, 1);
  t.match(reports[0], /^DISK_FULL the disk of .* is full but for what the database needs/);
  t.ok(await fill(cache, small), 'what is free makes room, as it does below the bound');
  t.strictSame(cache.payloads(), [small.payload]);
  now += 5_000;
  [othersChunks, takenChunks] = [88, 10];
  cache.roomFor();
  await new Promise(setImmediate);
  t.equal(cache.roomFor(), 2 * CHUNK_BYTES + 4096, 'what is here counts as room, but for what lacks below the reserve');
  cache.pin(small.payload);
  t.notOk(await fill(cache, other));
  t.equal(cache.roomFor(), 0);
  cache.unpin(small.payload);
  cache.judgeWith(() => 'wanted');
  t.equal(cache.songs, 0);
  await cache.close();
  await files.close();
});

/** What a cache that is closed has left in the folder. `bare`: what the song takes without its edges. */
async function leftWithEdges(t: Test, folder: string) {
  const song = makeSong(2 * CHUNK_BYTES);
  const edges = tag(song, randomBytes(9_000), randomBytes(20));
  const before = await opened(t, folder);
  await fill(before, song);
  const bare = before.bytes;
  await before.keepEdges(song.payload, edges.file, edges);
  await before.close();
  return { song, edges, before, bare };
}

t.test('what cannot be read, at a start for want of open files or when its disk goes, is left with its edges, counts, is not written over, and is there again', async (t) => {
  const folder = t.testdir();
  const { song, edges, before } = await leftWithEdges(t, folder);
  const names = await readdir(folder);
  let fails: string | undefined = 'EMFILE';
  const failing: CacheFileSystem = {
    ...fileSystem,
    open: async (...args) => {
      if (fails && String(args[0]).endsWith('.chunks')) throw Object.assign(new Error('it cannot be opened'), { code: fails });
      return fileSystem.open(...args);
    },
  };
  const completed: PayloadId[] = [];
  const files = new OpenFiles();
  const cache = await opened(t, folder, 64 * MiB, { completed: (payload) => completed.push(payload) }, failing, files);
  t.equal(cache.songs, 0);
  t.equal(cache.bytes, before.bytes);
  t.notOk(await fill(cache, song, [0]));
  t.strictSame(await readdir(folder), names);
  const isBack = async (): Promise<void> => {
    fails = undefined;
    t.ok(await fill(cache, song, []));
    t.strictSame([cache.completed(), completed.splice(0), cache.filesOf(song.payload)], [[song.payload], [song.payload], [edges.file]]);
    t.equal(cache.bytes, before.bytes);
  };
  await isBack();
  await files.close();
  fails = 'ENODEV';
  t.equal(await cache.read(song.payload, 0), null);
  t.equal(cache.songs, 0);
  t.equal(cache.bytes, before.bytes);
  t.notOk(await fill(cache, song, [0]));
  await isBack();
  t.ok(chunkOf(song, 1).equals((await cache.read(song.payload, 1)) ?? Buffer.alloc(0)));
});

/** Edges that cannot be opened, and files that go slowly, as long as it is told so. */
function sickDisk(): CacheFileSystem & { edgesFail?: string | undefined; unlinkMs?: number; openMs?: number } {
  const disk: ReturnType<typeof sickDisk> = {
    ...fileSystem,
    open: async (...args) => {
      if (disk.edgesFail !== undefined && String(args[0]).includes('.edges')) throw Object.assign(new Error('it cannot be opened'), { code: disk.edgesFail });
      if (disk.openMs !== undefined) await setTimeout(disk.openMs);
      return fileSystem.open(...args);
    },
    unlink: async (path) => {
      if (disk.unlinkMs !== undefined) await setTimeout(disk.unlinkMs);
      return fileSystem.unlink(path);
    },
  };
  return disk;
}

for (const code of ['EACCES', 'ENODEV', 'EIO', 'EMFILE']) {
  t.test(`edges that cannot be read or kept anew (${code}) are left, count once, stop nothing they need not, and are replaced by right ones`, async (t) => {
    const folder = t.testdir();
    const song = makeSong(2 * CHUNK_BYTES);
    const edges = tag(song, randomBytes(9_000), randomBytes(20));
    const disk = sickDisk();
    let now = 0;
    const files = new OpenFiles();
    const cache = await ChunkCache.open(folder, { bytesMax: 64 * MiB, files, fileSystem: disk, clock: { now: () => now, wall: () => now } });
    t.teardown(() => cache.close().then(() => files.close()));
    await fill(cache, song);
    await cache.keepEdges(song.payload, edges.file, edges);
    const [bytes, names] = [cache.bytes, await readdir(folder)];
    disk.edgesFail = code;
    t.equal(await cache.readEdge(edges.file, 'prefix'), null);
    if (code === 'EMFILE') t.strictSame(cache.filesOf(song.payload), [edges.file], 'they are there');
    else t.notOk(await cache.keepEdges(song.payload, edges.file, edges));
    t.strictSame(await readdir(folder), names);
    t.equal(cache.bytes, bytes);
    disk.edgesFail = undefined;
    now += 60_000;
    t.ok(await cache.keepEdges(song.payload, edges.file, edges));
    t.equal(cache.bytes, bytes);
    t.ok(edges.prefix.equals((await cache.readEdge(edges.file, 'prefix')) ?? Buffer.alloc(0)));
  });
}

t.test('edges that a start could not read count, stay when they cannot be kept anew, and go with their song, which comes anew', async (t) => {
  const folder = t.testdir();
  const { song, edges, before, bare } = await leftWithEdges(t, folder);
  await writeFile(join(folder, `${song.payload}.${edges.file}.edges.new`), 'what a kill left');
  const disk = sickDisk();
  disk.edgesFail = 'EMFILE';
  const cache = await opened(t, folder, 64 * MiB, {}, disk);
  t.equal(cache.bytes, before.bytes);
  t.notOk(await cache.keepEdges(song.payload, edges.file, edges));
  t.ok(cache.takes, 'a shortage of handles is no reason to stop');
  t.strictSame((await readdir(folder)).sort(), [`${song.payload}.${edges.file}.edges`, `${song.payload}.chunks`].sort());
  disk.edgesFail = undefined;
  t.ok(await cache.keepEdges(song.payload, edges.file, edges));
  t.equal(cache.bytes, before.bytes, 'counted once');
  disk.edgesFail = 'EIO';
  await cache.readEdge(edges.file, 'prefix');
  await cache.delete(song.payload);
  t.equal(cache.bytes, 0);
  t.strictSame(await readdir(folder), []);
  t.ok(await fill(cache, song));
  t.equal(cache.bytes, bare);
});

t.test('a song that begins again while it is removed is not taken for one that is there', async (t) => {
  const folder = t.testdir();
  const song = makeSong(2 * CHUNK_BYTES);
  const edges = tag(song, randomBytes(9_000), randomBytes(20));
  const disk = sickDisk();
  const events: string[] = [];
  const cache = await opened(t, folder, 64 * MiB, { lost: () => events.push('lost'), completed: () => events.push('completed') }, disk);
  await fill(cache, song);
  await cache.keepEdges(song.payload, edges.file, edges);
  disk.edgesFail = 'EIO';
  await cache.readEdge(edges.file, 'prefix');
  disk.edgesFail = undefined;
  disk.unlinkMs = 20;
  const removed = cache.delete(song.payload);
  t.ok(await fill(cache, song, []));
  await removed;
  t.strictSame(events, ['completed', 'lost']);
  t.notOk(cache.complete(song.payload));
  t.strictSame(await readdir(folder), [`${song.payload}.chunks`]);
});

t.test('a cache that closes waits for all that is under way, and takes nothing more', async (t) => {
  const folder = t.testdir();
  const [song, other] = [makeSong(2 * CHUNK_BYTES), makeSong(100)];
  const edges = tag(song, randomBytes(9_000), randomBytes(20));
  const disk = sickDisk();
  const cache = await opened(t, folder, 64 * MiB, {}, disk);
  await fill(cache, song, [0]);
  disk.openMs = 20;
  const done: string[] = [];
  void cache.write(song.payload, 1, chunkOf(song, 1)).then((kept) => done.push(`chunk ${kept}`));
  void cache.keepEdges(song.payload, edges.file, edges).then((kept) => done.push(`edges ${kept}`));
  void cache.begin(other.payload, 100, other.manifest).then((begun) => done.push(`song ${begun}`));
  await cache.close();
  t.strictSame(done.sort(), ['chunk true', 'edges true', 'song true']);
  t.notOk(await cache.write(other.payload, 0, other.bytes));
  t.notOk(await cache.begin(randomId<PayloadId>(), 100, other.manifest));
  t.ok((await opened(t, folder)).complete(song.payload));
});

t.test('of a song whose header rotted everything else is found again', async (t) => {
  const folder = t.testdir();
  const song = makeSong(9 * CHUNK_BYTES + 7);
  const before = await opened(t, folder);
  await fill(before, song);
  await before.close();
  const path = join(folder, `${song.payload}.chunks`);
  const handle = await fileSystem.open(path, 'r+');
  await handle.write(randomBytes(34), 0, 34, 0);
  await handle.close();
  rot(folder, song.payload, 3);
  const cache = await opened(t, folder);
  t.strictSame(Array.from({ length: 10 }, (_, i) => cache.hasChunk(song.payload, i)), [true, true, true, false, true, true, true, true, true, true]);
  t.equal(cache.bytes, before.bytes);
  t.ok(chunkOf(song, 9).equals((await cache.read(song.payload, 9)) ?? Buffer.alloc(0)));
});

t.test('a folder that cannot be used gives a cache that holds nothing, and says so once', async (t) => {
  const folder = join(t.testdir({ file: 'not a folder' }), 'file', 'cache');
  const reports: string[] = [];
  const cache = await opened(t, folder, MiB, { trouble: (error) => reports.push(error.code) });
  t.notOk(await fill(cache, makeSong(10)));
  t.notOk(await fill(cache, makeSong(10)));
  t.strictSame(reports, ['DATA_FOLDER_UNUSABLE']);
});

t.test('a cache emptied from outside is no trouble', async (t) => {
  const folder = t.testdir();
  const reports: string[] = [];
  const files = new OpenFiles();
  const cache = await opened(t, folder, MiB, { trouble: (error) => reports.push(error.code) }, undefined, files);
  const song = makeSong(CHUNK_BYTES);
  await fill(cache, song);
  await files.close();
  await fileSystem.rm(folder, { recursive: true });
  t.equal(await cache.read(song.payload, 0), null);
  t.equal(cache.bytes, 0);
  t.ok(await fill(cache, song));
  t.strictSame(reports, []);
});

t.test('edges are kept beside their song, survive a restart, and go with it', async (t) => {
  const folder = t.testdir();
  const song = makeSong(3 * CHUNK_BYTES);
  const tagged = [tag(song, randomBytes(300_000), randomBytes(128)), tag(song, Buffer.alloc(0), randomBytes(10)), tag(song, Buffer.alloc(0), Buffer.alloc(0))];
  const changed: PayloadId[] = [];
  const cache = await opened(t, folder, 64 * MiB, { edges: (payload) => changed.push(payload) });
  t.notOk(await cache.keepEdges(song.payload, tagged[0]!.file, tagged[0]!), 'not without the song');
  await fill(cache, song, [1]);
  const bare = cache.bytes;
  for (const edges of tagged) t.same(await Promise.all([cache.keepEdges(song.payload, edges.file, edges), cache.keepEdges(song.payload, edges.file, edges)]), [true, true]);
  t.notOk(await cache.keepEdges(song.payload, randomId<FileId>(), tagged[0]!), 'edges of another file are refused');
  t.equal(changed.length, 3);
  t.equal(cache.bytes, bare + 74 * 4096 + 4096 + 4096, 'counted in whole blocks');
  await cache.close();

  const again = await opened(t, folder, 64 * MiB, { edges: (payload) => changed.push(payload) });
  t.equal(again.bytes, cache.bytes);
  t.same(new Set(again.filesOf(song.payload)), new Set(tagged.map(({ file }) => file)));
  for (const { file, prefix, suffix } of tagged) {
    t.ok(prefix.equals((await again.readEdge(file, 'prefix')) ?? Buffer.from('none')));
    t.ok(suffix.equals((await again.readEdge(file, 'suffix')) ?? Buffer.from('none')));
  }
  t.equal(await again.readEdge(randomId<FileId>(), 'prefix'), null);
  await again.delete(song.payload);
  t.equal(changed.length, 4);
  t.equal(again.bytes, 0);
  t.equal(await again.readEdge(tagged[0]!.file, 'prefix'), null);
  t.strictSame(await readdir(folder), []);
});

t.test('edges that rotted are forgotten, and kept anew', async (t) => {
  const folder = t.testdir();
  const song = makeSong(100);
  const edges = tag(song, randomBytes(50_000), randomBytes(5_000));
  const events: string[] = [];
  const cache = await opened(t, folder, MiB, { damaged: (_, part) => events.push(`damaged ${part}`), edges: () => events.push('edges'), lost: () => events.push('lost') });
  await fill(cache, song);
  const bare = cache.bytes;
  await cache.keepEdges(song.payload, edges.file, edges);
  const path = join(folder, `${song.payload}.${edges.file}.edges`);
  const rotten = await readFile(path);
  rotten[rotten.byteLength - 1]! ^= 1;
  await writeFile(path, rotten);
  t.ok(edges.prefix.equals((await cache.readEdge(edges.file, 'prefix')) ?? Buffer.alloc(0)), 'the other edge is right');
  t.equal(await cache.readEdge(edges.file, 'suffix'), null);
  t.strictSame(events, ['edges', 'damaged edges', 'edges']);
  t.strictSame(cache.filesOf(song.payload), []);
  t.equal(cache.bytes, bare);
  t.strictSame(await readdir(folder), [`${song.payload}.chunks`]);
  t.ok(await cache.keepEdges(song.payload, edges.file, edges));
  t.ok(edges.suffix.equals((await cache.readEdge(edges.file, 'suffix')) ?? Buffer.alloc(0)));
});

t.test('of edges, a start removes orphans and what a kill left half written', async (t) => {
  const folder = t.testdir();
  const song = makeSong(100);
  const edges = tag(song, randomBytes(9_000), randomBytes(20));
  const before = await opened(t, folder);
  await fill(before, song);
  const bare = before.bytes;
  await before.keepEdges(song.payload, edges.file, edges);
  await before.close();
  const path = join(folder, `${song.payload}.${edges.file}.edges`);
  const whole = await readFile(path);
  const torn = [whole.subarray(0, 40), whole.subarray(0, 5_000), Buffer.concat([Buffer.alloc(80), whole.subarray(80)]), Buffer.concat([whole, Buffer.alloc(1)])];
  for (const bytes of torn) {
    await writeFile(path, bytes);
    const cache = await opened(t, folder);
    t.strictSame(cache.filesOf(song.payload), []);
    t.equal(cache.bytes, bare);
    t.strictSame(await readdir(folder), [`${song.payload}.chunks`]);
    await cache.close();
  }
  await writeFile(path, whole);
  await fileSystem.rm(join(folder, `${song.payload}.chunks`));
  t.equal((await opened(t, folder)).bytes, 0);
  t.strictSame(await readdir(folder), [], 'edges of no song');
});

t.test('free songs go before wanted ones, the last copies never, and a background copy lets only free ones go', async (t) => {
  const folder = t.testdir();
  const size = 4 * CHUNK_BYTES;
  const [last, wanted, free, other, a, b, c] = Array.from({ length: 7 }, () => makeSong(size)) as [Song, Song, Song, Song, Song, Song, Song];
  const evicted: PayloadId[] = [];
  const each = size + 4096;
  const cache = await opened(t, folder, 4 * each, { lost: (payload) => evicted.push(payload) });
  for (const song of [last, wanted, free, other]) t.ok(await fill(cache, song));
  const kinds = new Map([[last.payload, 'last'], [wanted.payload, 'wanted'], [a.payload, 'wanted'], [b.payload, 'wanted']] as const);
  cache.judgeWith((payload) => kinds.get(payload) ?? 'free');
  t.equal(cache.roomFor(), 2 * each);
  await cache.read(free.payload, 0);
  t.ok(await fill(cache, a, undefined, 'free'));
  t.strictSame(evicted, [other.payload], 'the free one that was used longest ago, although two others were used before it');
  t.ok(await fill(cache, b));
  t.strictSame(evicted, [other.payload, free.payload]);
  t.equal(cache.roomFor(), 0);
  t.notOk(await fill(cache, c, undefined, 'free'), 'nothing is free');
  t.strictSame(evicted, [other.payload, free.payload]);
  t.ok(await fill(cache, c));
  t.strictSame(evicted, [other.payload, free.payload, wanted.payload]);
  cache.judgeWith(() => 'last');
  t.notOk(await fill(cache, free));
  t.ok(cache.complete(last.payload));
});

t.test('a bound that became smaller takes no last copy, whoever says so and when', async (t) => {
  const folder = t.testdir();
  const songs = [makeSong(CHUNK_BYTES), makeSong(CHUNK_BYTES)] as const;
  const before = await opened(t, folder);
  for (const song of songs) await fill(before, song);
  await before.close();
  const files = new OpenFiles();
  const cache = await ChunkCache.open(folder, { bytesMax: 100, files, judge: () => 'last' });
  t.equal(cache.songs, 2, 'what is last is not known yet, so nothing goes');
  t.notOk(await fill(cache, makeSong(10)));
  cache.judgeWith((payload) => (payload === songs[0].payload ? 'last' : 'wanted'));
  t.strictSame(cache.payloads(), [songs[0].payload]);
  await cache.close();
  await files.close();
});

t.test('the bitmap says when a payload begins, of each chunk that comes or goes, and when it goes; what is given out is a copy', async (t) => {
  const folder = t.testdir();
  const song = makeSong(9 * CHUNK_BYTES);
  const cache = await opened(t, folder);
  const bits = (): string | undefined => cache.bitmapOf(song.payload) && Buffer.from(cache.bitmapOf(song.payload) as Uint8Array).toString('hex');
  const seen = [bits()];
  await cache.begin(song.payload, song.bytes.byteLength, song.manifest);
  seen.push(bits());
  for (const index of [8, 1]) {
    await cache.write(song.payload, index, chunkOf(song, index));
    seen.push(bits());
  }
  cache.bitmapOf(song.payload)!.fill(0);
  t.equal(bits(), '0201');
  const path = join(folder, `${song.payload}.chunks`);
  const rotten = await readFile(path);
  rotten.fill(7, rotten.byteLength - 10);
  await writeFile(path, rotten);
  await cache.read(song.payload, 8);
  seen.push(bits());
  await cache.delete(song.payload);
  seen.push(bits());
  t.strictSame(seen, [undefined, '0000', '0001', '0201', '0200', undefined]);
});

t.test('opening a cache of two thousand songs reads their headers only', async (t) => {
  const folder = t.testdir();
  for (let i = 0; i < 2000; i++) {
    const entry = new CacheEntry(randomId<PayloadId>(), 60 * CHUNK_BYTES, i);
    entry.add(i % 60);
    await writeFile(join(folder, `${entry.payload}.chunks`), entry.header());
  }
  const started = performance.now();
  const again = await opened(t, folder, 1024 * MiB);
  const took = performance.now() - started;
  t.comment(`opened in ${Math.round(took)} ms`);
  t.equal(again.songs, 2000);
  t.ok(took < 5000);
});

// --- one's own files

async function stored(folder: string, name: string, song: Song): Promise<StoredFile> {
  const path = join(folder, name);
  await writeFile(path, Buffer.concat([Buffer.from('TAG'), song.bytes, Buffer.from('END!')]));
  const { size, mtimeMs } = await stat(path);
  return { path, sizeBytes: size, mtimeMs, prefixBytes: 3, payloadBytes: song.bytes.byteLength, suffixBytes: 4, edgeHashes: { prefix: sha256(Buffer.from('TAG')), suffix: sha256(Buffer.from('END!')) } };
}

t.test('chunks and edges are read from own files, and from the next file when one changed', async (t) => {
  const folder = t.testdir();
  const song = makeSong(2 * CHUNK_BYTES + 9);
  const paths = [await stored(folder, 'a.mp3', song), await stored(folder, 'b.mp3', song)];
  const file = randomId<FileId>();
  const changed: string[] = [];
  const files = new OpenFiles();
  t.teardown(() => files.close());
  const index = {
    pathsOf: async (payload: PayloadId) => (payload === song.payload ? paths : []),
    pathsOfFile: async (id: FileId) => (id === file ? paths : []),
    manifestOf: async () => song.manifest,
  };
  const fresh = (): LocalFiles => new LocalFiles(index, files, (path) => changed.push(path));
  const local = fresh();
  const isRight = async (): Promise<boolean> => {
    for (let i = 0; i < 3; i++) if (!chunkOf(song, i).equals((await local.read(song.payload, i)) ?? Buffer.alloc(0))) return false;
    return true;
  };
  t.ok(await isRight());
  t.same(await local.readEdge(file, 'prefix', 0), Buffer.from('TAG'));
  t.same(await local.readEdge(file, 'suffix', 1), Buffer.from('ND!'));
  t.equal((await local.readEdge(file, 'suffix', 9))?.byteLength, 0);
  t.equal(await local.read(song.payload, 3), null, 'beyond its end');
  t.equal(await local.read(randomId<PayloadId>(), 0), null);
  t.equal(await local.readEdge(randomId<FileId>(), 'prefix', 0), null);
  t.strictSame(changed, [], 'a question that makes no sense blames no file');

  // Changed without a trace: same size, same time, other bytes, through the handle that is still open.
  const a = paths[0] as StoredFile;
  const handle = await fileSystem.open(a.path, 'r+');
  await handle.write(Buffer.from('XXXX'), 0, 4, 3 + CHUNK_BYTES);
  await handle.close();
  await utimes(a.path, a.mtimeMs / 1000, a.mtimeMs / 1000);
  t.ok(await isRight());
  t.strictSame(changed, [a.path]);

  // Gone, and cut short: nothing is left.
  await files.close();
  await fileSystem.rm(a.path);
  await truncate((paths[1] as StoredFile).path, 100);
  await t.rejects(local.read(song.payload, 0), { code: 'FILE_CHANGED' });
  await t.rejects(fresh().readEdge(file, 'prefix', 0), { code: 'FILE_CHANGED' });
  t.strictSame([...new Set(changed)].sort(), paths.map((path) => path.path).sort());
});

t.test('an edge that was altered, size and time as before, is given to nobody and reported; the next file with it is asked', async (t) => {
  const folder = t.testdir();
  const song = makeSong(100);
  const edges = { prefix: randomBytes(300_000), suffix: randomBytes(60) };
  const paths = await Promise.all(
    ['a.flac', 'b.flac'].map(async (name) => {
      const path = join(folder, name);
      await writeFile(path, Buffer.concat([edges.prefix, song.bytes, edges.suffix]));
      const { size, mtimeMs } = await stat(path);
      const edgeHashes = { prefix: sha256(edges.prefix), suffix: sha256(edges.suffix) };
      return { path, sizeBytes: size, mtimeMs, prefixBytes: 300_000, payloadBytes: 100, suffixBytes: 60, edgeHashes };
    }),
  );
  const file = tag(song, edges.prefix, edges.suffix).file;
  const changed: string[] = [];
  const files = new OpenFiles();
  t.teardown(() => files.close());
  const index = { pathsOf: async () => paths, pathsOfFile: async () => paths, manifestOf: async () => song.manifest };
  const fresh = (): LocalFiles => new LocalFiles(index, files, (path, change) => changed.push(`${path} ${change}`));
  const whole = async (local: LocalFiles): Promise<Buffer> =>
    Buffer.concat((await Promise.all([0, 131_072, 262_144].map((offset) => local.readEdge(file, 'prefix', offset)))).map((piece) => piece ?? Buffer.alloc(0)));
  t.ok((await whole(fresh())).equals(edges.prefix));
  t.strictSame(changed, []);
  const alter = async ({ path, mtimeMs }: StoredFile, at: number): Promise<void> => {
    const handle = await fileSystem.open(path, 'r+');
    await handle.write(Buffer.from('XXXX'), 0, 4, at);
    await handle.close();
    await utimes(path, mtimeMs / 1000, mtimeMs / 1000);
  };
  await alter(paths[0] as StoredFile, 200_000);
  const local = fresh();
  t.ok((await whole(local)).equals(edges.prefix));
  t.strictSame([...new Set(changed)], [`${paths[0]?.path} unseen`]);
  await alter(paths[1] as StoredFile, 10);
  await t.rejects(fresh().readEdge(file, 'prefix', 262_144), { code: 'FILE_CHANGED' }, 'also a piece that is right itself');
  t.same(await local.readEdge(file, 'suffix', 20), edges.suffix.subarray(20), 'the other edge is whole');
});

t.test('of an own edge with more than fits into memory no altered piece goes out, before it was ever read or after', async (t) => {
  const folder = t.testdir();
  const song = makeSong(100);
  const prefix = randomBytes(17 * MiB);
  const path = join(folder, 'a.flac');
  await writeFile(path, Buffer.concat([prefix, song.bytes]));
  const { size, mtimeMs } = await stat(path);
  const stored: StoredFile = { path, sizeBytes: size, mtimeMs, prefixBytes: prefix.byteLength, payloadBytes: 100, suffixBytes: 0, edgeHashes: { prefix: sha256(prefix), suffix: sha256(Buffer.alloc(0)) } };
  const file = tag(song, prefix, Buffer.alloc(0)).file;
  const files = new OpenFiles();
  t.teardown(() => files.close());
  const changed: string[] = [];
  const index = { pathsOf: async () => [stored], pathsOfFile: async () => [stored], manifestOf: async () => song.manifest };
  const fresh = (): LocalFiles => new LocalFiles(index, files, (_, change) => changed.push(change));
  const local = fresh();
  t.ok(prefix.subarray(16 * MiB, 16 * MiB + 131_072).equals((await local.readEdge(file, 'prefix', 16 * MiB)) ?? Buffer.alloc(0)));
  const handle = await fileSystem.open(path, 'r+');
  await handle.write(Buffer.from('XXXX'), 0, 4, 5 * MiB + 7);
  await handle.close();
  await utimes(path, mtimeMs / 1000, mtimeMs / 1000);
  await t.rejects(local.readEdge(file, 'prefix', 5 * MiB), { code: 'FILE_CHANGED' });
  await t.rejects(fresh().readEdge(file, 'prefix', 0), { code: 'FILE_CHANGED' });
  t.strictSame(changed, ['unseen', 'unseen'], 'its owner learns of it');
});

t.test('an edge of a copy is given piece by piece, read through once, and forgotten when it rots', async (t) => {
  const folder = t.testdir();
  const song = makeSong(100);
  const edges = tag(song, randomBytes(20 * 131_072 + 9), randomBytes(30));
  const files = new OpenFiles();
  t.teardown(() => files.close());
  let readBytes = 0;
  const open: typeof fileSystem.open = async (...args) => {
    const handle = await fileSystem.open(...args);
    const read = handle.read.bind(handle) as (...some: unknown[]) => unknown;
    Object.assign(handle, { read: (...some: unknown[]) => ((readBytes += some[2] as number), read(...some)) });
    return handle;
  };
  const cache = await ChunkCache.open(folder, { bytesMax: 64 * MiB, files, fileSystem: { ...fileSystem, open } });
  t.teardown(() => cache.close());
  await fill(cache, song);
  await cache.keepEdges(song.payload, edges.file, edges);
  const nothing = new LocalFiles({ pathsOf: async () => [], pathsOfFile: async () => [], manifestOf: async () => null }, files, () => {});
  const ask = served(chunkHandlers({ local: nothing, cache }));
  const piece = (offset: number): Promise<Uint8Array> => ask('edge', edgeParams(edges.file, 'prefix', offset));
  readBytes = 0;
  const pieces = await Promise.all(Array.from({ length: 21 }, (_, i) => piece(i * 131_072)));
  t.ok(Buffer.concat(pieces).equals(edges.prefix));
  t.ok(readBytes <= 2 * edges.prefix.byteLength, `${readBytes} bytes read`);
  t.same(await ask('edge', edgeParams(edges.file, 'suffix', 10)), edges.suffix.subarray(10));
  const path = join(folder, `${song.payload}.${edges.file}.edges`);
  const handle = await fileSystem.open(path, 'r+');
  await handle.write(Buffer.from('XXXX'), 0, 4, 80 + 131_072);
  await handle.close();
  await t.rejects(piece(131_072), { code: 'NOT_FOUND' });
  t.strictSame(cache.filesOf(song.payload), []);
});

t.test('no more files stay open than the bound allows, and none is closed under its reader', async (t) => {
  const folder = t.testdir();
  const songs = Array.from({ length: OPEN_FILES_MAX + 20 }, () => makeSong(10));
  const byPayload = new Map<PayloadId, StoredFile>();
  for (const [i, song] of songs.entries()) byPayload.set(song.payload, await stored(folder, `${i}.mp3`, song));
  const files = new OpenFiles();
  t.teardown(() => files.close());
  const index = {
    pathsOf: async (payload: PayloadId) => [byPayload.get(payload) as StoredFile],
    pathsOfFile: async () => [],
    manifestOf: async (payload: PayloadId) => songs.find((song) => song.payload === payload)?.manifest ?? null,
  };
  const local = new LocalFiles(index, files, (path) => t.fail(path));
  for (let round = 0; round < 3; round++) {
    const chunks = await Promise.all(songs.map((song) => local.read(song.payload, 0)));
    t.ok(chunks.every((chunk, i) => (songs[i] as Song).bytes.equals(chunk ?? Buffer.alloc(0))));
  }
  await local.read((songs[0] as Song).payload, 0);
  t.ok(files.size <= OPEN_FILES_MAX, `${files.size} open`);
});
