// What a disk that errs or rots costs the cache: never more of a song than what is damaged, since it may be the last copy.
import { randomBytes } from 'node:crypto';
import * as fileSystem from 'node:fs/promises';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CHUNK_BYTES } from '../../lib/limits.ts';
import type { CacheEvents } from '../../storage/cache-events.ts';
import { type CacheFileSystem, chunksName } from '../../storage/cache-folder.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { chunkOf, fillCache, madeSong, type MadeSong } from '../fixtures/made-song.ts';

/** Where it lies in the file of a song of less than 1 MB. */
const CHUNKS_AT = 4_096;

interface Disk {
  readonly fileSystem: CacheFileSystem;
  /** Of every read, as long as it is set. */
  readError?: string | undefined;
}

const failed = (code: string): Error => Object.assign(new Error(`${code}: the disk says so`), { code });

function disk(): Disk {
  const sick: Disk = {
    fileSystem: {
      ...fileSystem,
      open: async (...args) => {
        const handle = await fileSystem.open(...args);
        const read = handle.read.bind(handle) as (...some: unknown[]) => Promise<unknown>;
        const value = (...some: unknown[]): Promise<unknown> => (sick.readError === undefined ? read(...some) : Promise.reject(failed(sick.readError)));
        Object.defineProperty(handle, 'read', { value });
        return handle;
      },
    },
  };
  return sick;
}

interface OpenedOptions {
  readonly folder: string;
  readonly fileSystem?: CacheFileSystem;
  readonly listener?: Partial<CacheEvents>;
}

async function opened(t: Test, { folder, fileSystem: fs = fileSystem, listener = {} }: OpenedOptions): Promise<ChunkCache> {
  const files = new OpenFiles();
  const cache = await ChunkCache.open(folder, { bytesMax: 64e6, files, fileSystem: fs }, listener);
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
