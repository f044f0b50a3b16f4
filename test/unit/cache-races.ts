// What comes in between while the cache waits for its disk: songs go while they are written, edges rot and come again, writes fail half way.
import { randomBytes } from 'node:crypto';
import * as fileSystem from 'node:fs/promises';
import { readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { CHUNK_BYTES } from '../../lib/limits.ts';
import { wholeDiskBytes } from '../../storage/cache-entry.ts';
import { type CacheFileSystem, chunksName, edgesName, freshName } from '../../storage/cache-folder.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { chunkOf, fillCache, madeSong, type MadeSong, tagged } from '../fixtures/made-song.ts';

interface Gate {
  readonly reached: Promise<void>;
  open(): void;
}

/** Steps are `open`, `write`, `rename` or `unlink` and a file's name. */
class Disk {
  /** That were begun. */
  readonly steps: string[] = [];
  /** That find it full. */
  readonly full = new Set<string>();
  readonly #gates = new Map<string, { reach: () => void; readonly opened: Promise<void> }>();

  /** The next such step waits. */
  hold(step: string): Gate {
    let [reach, open] = [(): void => {}, (): void => {}];
    const reached = new Promise<void>((resolve) => (reach = resolve));
    this.#gates.set(step, { reach, opened: new Promise<void>((resolve) => (open = resolve)) });
    return { reached, open: () => open() };
  }

  readonly fileSystem: CacheFileSystem = {
    ...fileSystem,
    open: async (path, ...rest) => {
      await this.#step('open', path);
      const handle = await fileSystem.open(path, ...rest);
      for (const name of ['write', 'writev'] as const) {
        const write = handle[name].bind(handle) as (...some: unknown[]) => Promise<unknown>;
        Object.defineProperty(handle, name, { value: (...some: unknown[]) => this.#step('write', path).then(() => write(...some)) });
      }
      return handle;
    },
    rename: (from, to) => this.#step('rename', from).then(() => fileSystem.rename(from, to)),
    unlink: (path) => this.#step('unlink', path).then(() => fileSystem.unlink(path)),
  };

  async #step(what: string, path: unknown): Promise<void> {
    const step = `${what} ${basename(String(path))}`;
    this.steps.push(step);
    const gate = this.#gates.get(step);
    this.#gates.delete(step);
    gate?.reach();
    await gate?.opened;
    if (this.full.has(step)) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  }
}

async function opened(t: Test, bytesMax = 1e6) {
  const folder = t.testdir();
  const [disk, files, time, troubles] = [new Disk(), new OpenFiles(), { now: 0 }, [] as string[]];
  const clock = { now: () => time.now, wall: () => time.now };
  const cache = await ChunkCache.open(folder, { bytesMax, files, fileSystem: disk.fileSystem, clock }, { trouble: ({ code }) => troubles.push(code) });
  t.teardown(() => cache.close().then(() => files.close()));
  /** As long as the disk takes for what is not held up. */
  const whatCanBeDoneIsDone = async (): Promise<void> => {
    for (let i = 0; i < 8; i++) await readdir(folder);
  };
  return { folder, cache, disk, time, troubles, whatCanBeDoneIsDone };
}

const begin = (cache: ChunkCache, { payload, bytes, manifest }: MadeSong): Promise<boolean> => cache.begin(payload, bytes.byteLength, manifest);
const withEdges = (song: MadeSong) => tagged(song, randomBytes(9_000), randomBytes(20));

t.test('a song begins only when what went for it is gone from the disk', async (t) => {
  const { cache, disk, whatCanBeDoneIsDone } = await opened(t, wholeDiskBytes(CHUNK_BYTES));
  const [old, fresh] = [madeSong(CHUNK_BYTES), madeSong(CHUNK_BYTES)];
  await fillCache(cache, old);
  const gate = disk.hold(`unlink ${chunksName(old.payload)}`);
  const filled = fillCache(cache, fresh);
  await gate.reached;
  await whatCanBeDoneIsDone();
  t.notOk(disk.steps.includes(`open ${chunksName(fresh.payload)}`));
  gate.open();
  t.ok(await filled);
});

t.test('chunks and edges, too, are written only when what went for them is gone from the disk', async (t) => {
  const [old, song] = [madeSong(2 * CHUNK_BYTES), madeSong(CHUNK_BYTES)];
  const edges = withEdges(song);
  const { cache, disk, whatCanBeDoneIsDone } = await opened(t, wholeDiskBytes(old.bytes.byteLength) + 4_096);
  const edgesFile = freshName(edgesName(song.payload, edges.file));
  const begun = new Map([
    [`write ${chunksName(song.payload)}`, (): Promise<boolean> => cache.write(song.payload, 0, chunkOf(song, 0))],
    [`open ${edgesFile}`, (): Promise<boolean> => cache.keepEdges(song.payload, edges.file, edges)],
  ]);
  for (const [step, work] of begun) {
    await cache.delete(song.payload);
    await fillCache(cache, old);
    t.ok(await begin(cache, song), 'there is room for its head');
    disk.steps.length = 0;
    const gate = disk.hold(`unlink ${chunksName(old.payload)}`);
    const worked = work();
    await gate.reached;
    await whatCanBeDoneIsDone();
    t.notOk(disk.steps.includes(step));
    gate.open();
    t.ok(await worked);
    t.ok(disk.steps.includes(step));
  }
});

t.test('edges that are being kept when their song goes, go with it', async (t) => {
  const { folder, cache, disk, whatCanBeDoneIsDone } = await opened(t);
  const song = madeSong(CHUNK_BYTES);
  const edges = withEdges(song);
  await fillCache(cache, song);
  const gate = disk.hold(`open ${freshName(edgesName(song.payload, edges.file))}`);
  const kept = cache.keepEdges(song.payload, edges.file, edges);
  await gate.reached;
  const deleted = cache.delete(song.payload);
  await whatCanBeDoneIsDone();
  gate.open();
  t.notOk(await kept);
  await deleted;
  t.strictSame(await readdir(folder), []);
  t.equal(cache.bytes, 0);
});

t.test('edges that rotted are kept again only when they are gone', async (t) => {
  const { folder, cache, disk, whatCanBeDoneIsDone } = await opened(t);
  const song = madeSong(CHUNK_BYTES);
  const edges = withEdges(song);
  const name = edgesName(song.payload, edges.file);
  await fillCache(cache, song);
  await cache.keepEdges(song.payload, edges.file, edges);
  const bytes = cache.bytes;
  await fileSystem.writeFile(join(folder, name), 'rot');
  const gate = disk.hold(`unlink ${name}`);
  const read = cache.readEdge(edges.file, 'prefix');
  await gate.reached;
  const again = cache.keepEdges(song.payload, edges.file, edges);
  await whatCanBeDoneIsDone();
  gate.open();
  t.strictSame([await read, await again], [null, false]);
  t.ok(await cache.keepEdges(song.payload, edges.file, edges));
  t.ok(edges.prefix.equals((await cache.readEdge(edges.file, 'prefix')) ?? Buffer.alloc(0)));
  t.equal(cache.bytes, bytes);
});

t.test('whoever asks for the edges of a song that went does not bring it back', async (t) => {
  const { folder, cache } = await opened(t);
  const song = madeSong(CHUNK_BYTES);
  const [whole, rotten] = [withEdges(song), withEdges(song)];
  await fillCache(cache, song);
  for (const edges of [whole, rotten]) await cache.keepEdges(song.payload, edges.file, edges);
  await fileSystem.writeFile(join(folder, edgesName(song.payload, rotten.file)), 'rot');
  t.equal(await cache.readEdge(rotten.file, 'prefix'), null);
  await cache.delete(song.payload);
  for (const { file } of [whole, rotten]) t.strictSame([await cache.readEdge(file, 'prefix'), await cache.readEdgePiece(file, 'prefix', 0)], [null, null]);
  t.notOk(cache.has(song.payload));
});

t.test('edges that find the disk full leave nothing, and stop the caching until it is asked again; each time is told once', async (t) => {
  const { folder, cache, disk, time, troubles } = await opened(t);
  const song = madeSong(CHUNK_BYTES);
  const [first, second, third] = [withEdges(song), withEdges(song), withEdges(song)];
  await fillCache(cache, song);
  const bytes = cache.bytes;
  const keep = (edges: typeof first): Promise<boolean> => cache.keepEdges(song.payload, edges.file, edges);
  disk.full.add(`rename ${freshName(edgesName(song.payload, first.file))}`);
  t.notOk(await keep(first));
  t.notOk(cache.takes);
  t.notOk(await keep(second), 'not even tried');
  t.strictSame(await readdir(folder), [chunksName(song.payload)]);
  t.equal(cache.bytes, bytes);
  time.now += 61_000;
  t.ok(await keep(second));
  disk.full.add(`write ${freshName(edgesName(song.payload, third.file))}`);
  t.notOk(await keep(third));
  t.strictSame(troubles, ['DISK_FULL', 'DISK_FULL']);
});

t.test('edges that find the folder gone tell that their song is', async (t) => {
  const { folder, cache } = await opened(t);
  const song = madeSong(CHUNK_BYTES);
  const edges = withEdges(song);
  await fillCache(cache, song);
  await rm(folder, { recursive: true });
  t.notOk(await cache.keepEdges(song.payload, edges.file, edges));
  t.notOk(cache.has(song.payload));
  t.ok(cache.takes, 'others can be cached');
});

t.test('a song that finds the disk full at its beginning leaves nothing', async (t) => {
  const { folder, cache, disk, troubles } = await opened(t);
  const song = madeSong(CHUNK_BYTES);
  disk.full.add(`write ${chunksName(song.payload)}`);
  t.notOk(await begin(cache, song));
  t.strictSame(await readdir(folder), []);
  t.equal(cache.bytes, 0);
  t.strictSame(troubles, ['DISK_FULL']);
});

t.test('a chunk that was for a song that went is not taken for one that came in its place', async (t) => {
  const { cache } = await opened(t);
  const song = madeSong(2 * CHUNK_BYTES);
  await begin(cache, song);
  const written = cache.write(song.payload, 0, chunkOf(song, 0));
  // It waits for others of its file now, and meanwhile the song goes and comes again.
  await setImmediate();
  await cache.delete(song.payload);
  t.ok(await begin(cache, song));
  const bytes = cache.bytes;
  t.notOk(await written);
  t.notOk(cache.hasChunk(song.payload, 0));
  t.equal(cache.bytes, bytes);
});

t.test('whoever closes the cache waits for what is being written', async (t) => {
  const { cache } = await opened(t);
  const song = madeSong(2 * CHUNK_BYTES);
  await begin(cache, song);
  let written: boolean | undefined;
  void cache.write(song.payload, 0, chunkOf(song, 0)).then((is) => (written = is));
  await cache.close();
  t.ok(written);
});
