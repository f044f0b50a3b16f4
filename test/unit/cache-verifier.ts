// The reading again of what is cached: where it goes next, how fast, and what comes of what it finds.
import { randomBytes } from 'node:crypto';
import * as fileSystem from 'node:fs/promises';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type PayloadId, randomId } from '../../lib/ids.ts';
import { CHUNK_BYTES } from '../../lib/limits.ts';
import { type Cached, CacheVerifier, type CacheVerifierOptions, type Part, partAfter, restMs } from '../../storage/cache-verifier.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { chunkOf, fillCache, madeSong, type MadeSong, tagged } from '../fixtures/made-song.ts';

const MiB = 1024 * 1024;
const DAY_MS = 86_400_000;
const payloadOf = (n: number): PayloadId => n.toString(16).padStart(32, '0') as PayloadId;
const nameOf = ({ payload, part }: Part): string => `${payload} ${part}`;

t.test('a round reads each part that stays once, whatever else comes and goes meanwhile', () => {
  const bits = fc.uint8Array({ minLength: 1, maxLength: 3 });
  const songs = fc.uniqueArray(fc.record({ id: fc.nat(30), bits }), { selector: ({ id }) => id, minLength: 1, maxLength: 8 });
  const others = fc.array(fc.record({ id: fc.integer({ min: 31, max: 60 }), bits }));
  fc.assert(
    fc.property(songs, others, fc.nat(40), (staying, passing, start) => {
      const held = new Map(staying.map(({ id, bits }) => [payloadOf(id), bits]));
      const cached: Cached = { payloads: () => [...held.keys()], bitmapOf: (payload) => held.get(payload) };
      const expected = staying.flatMap(({ id, bits }) => {
        const chunks = Array.from({ length: bits.byteLength * 8 }, (_, i) => i).filter((i) => (bits[i >> 3]! & (1 << (i & 7))) !== 0);
        return (['head', ...chunks, 'edges'] as const).map((part) => nameOf({ payload: payloadOf(id), part }));
      });
      const seen = new Map<string, number>();
      let at: Part | undefined = { payload: payloadOf(start), part: 'edges' };
      const left = [...passing];
      // a round ends where it began; what passes by makes it no shorter
      for (let steps = 0; seen.size < expected.length; steps++) {
        if (steps > 2_000) throw new Error(`${expected.length - seen.size} parts are never read`);
        const { id, bits } = left.shift() ?? {};
        if (id !== undefined && bits) held.set(payloadOf(id), bits);
        else if (steps % 3 === 0) held.delete(payloadOf(31 + (steps % 30)));
        at = partAfter(at, cached) as Part;
        if (expected.includes(nameOf(at))) seen.set(nameOf(at), (seen.get(nameOf(at)) ?? 0) + 1);
      }
      const twice = [...seen].filter(([, times]) => times > 1);
      if (twice.length > 0) throw new Error(`twice: ${twice.join(', ')}`);
    }),
    { numRuns: 200 },
  );
  return Promise.resolve();
});

t.test('a round of any cache below 170 GB takes a day or less, at a rate that stays even and below 4 MB a second', async (t) => {
  for (const cachedBytes of [1e6, 50e6, 10e9, 170e9]) {
    const steps = cachedBytes / CHUNK_BYTES;
    const ms = restMs({ bytes: CHUNK_BYTES, cachedBytes, yielding: false });
    t.ok(steps * ms <= DAY_MS, `${Math.round((steps * ms) / 3_600_000)} hours for ${cachedBytes / 1e6} MB`);
    t.ok(CHUNK_BYTES / (ms / 1_000) <= 4e6);
    t.equal(restMs({ bytes: CHUNK_BYTES, cachedBytes, yielding: true }), 4 * ms);
  }
  t.ok(restMs({ bytes: 3 * MiB, cachedBytes: 1e12, yielding: false }) >= 750, 'a large picture is followed by a long rest');
  t.ok(restMs({ bytes: 0, cachedBytes: 1e12, yielding: false }) > 0, 'a disk that gives nothing is not asked without a pause');
});

/** A verifier whose rests are over when the test says so. */
class Stepped {
  readonly rests: number[] = [];
  readonly verifier: CacheVerifier;
  #ring: (() => void) | undefined;
  #waiting: (() => void) | undefined;
  now = 0;

  constructor(cache: CacheVerifierOptions['cache'], place: string) {
    const after = (ms: number, ring: () => void): (() => void) => {
      this.rests.push(ms);
      this.#ring = () => {
        this.now += ms;
        ring();
      };
      this.#waiting?.();
      return () => {};
    };
    this.verifier = new CacheVerifier({ cache, place, now: () => this.now, after });
  }

  /** Until it rests again. */
  async step(): Promise<void> {
    while (this.#ring === undefined) await new Promise<void>((resolve) => (this.#waiting = resolve));
    const ring = this.#ring;
    this.#ring = undefined;
    const resting = new Promise<void>((resolve) => (this.#waiting = resolve));
    ring();
    await resting;
  }
}

async function cacheIn(t: Test, folder: string, events: string[] = []): Promise<ChunkCache> {
  const files = new OpenFiles();
  const cache = await ChunkCache.open(folder, { bytesMax: 64 * MiB, files }, {
    damaged: (_, part) => events.push(`damaged ${part}`),
    lost: () => events.push('lost'),
    edges: () => events.push('edges'),
  });
  t.teardown(async () => {
    await cache.close();
    await files.close();
  });
  return cache;
}

async function flip(path: string, position: number, bytes = 1): Promise<void> {
  const handle = await open(path, 'r+');
  const buffer = Buffer.alloc(bytes);
  await handle.read(buffer, 0, bytes, position);
  for (const [i, byte] of buffer.entries()) buffer[i] = byte ^ 0x40;
  await handle.write(buffer, 0, bytes, position);
  await handle.close();
}

/** Where the parts of a song of a few chunks lie in its file. */
const AT = { bitmap: 32, manifest: 33, chunks: 4096 };

/** All of a cache of one song, once around. */
async function around(cache: ChunkCache, song: MadeSong): Promise<void> {
  await cache.checkHead(song.payload);
  for (let index = 0; index < 8; index++) await cache.checkChunk(song.payload, index);
  await cache.checkEdges(song.payload);
}

t.test('a byte that rots anywhere is found within a round, before anybody asks for it', async (t) => {
  const root = t.testdir();
  const song = madeSong(3 * CHUNK_BYTES + 100);
  const edges = tagged(song, randomBytes(5_000), randomBytes(50));
  const places: [string, (path: { chunks: string; edges: string }) => Promise<void>, string[], string][] = [
    ['in a chunk', ({ chunks }) => flip(chunks, AT.chunks + 2 * CHUNK_BYTES + 9), ['damaged 2', 'lost'], 'fetched'],
    ['in the last byte', ({ chunks }) => flip(chunks, AT.chunks + 3 * CHUNK_BYTES + 99), ['damaged 3', 'lost'], 'fetched'],
    ['in the header', ({ chunks }) => flip(chunks, 3), [], 'mended'],
    ['in the bitmap', ({ chunks }) => flip(chunks, AT.bitmap), [], 'mended'],
    ['in the manifest', ({ chunks }) => flip(chunks, AT.manifest + 40, 20), ['damaged head'], 'mended'],
    ['in a prefix', ({ edges: path }) => flip(path, 100), ['damaged edges', 'edges'], 'kept'],
    ['in a suffix', ({ edges: path }) => flip(path, 80 + 5_000), ['damaged edges', 'edges'], 'kept'],
    ['in the head of edges', ({ edges: path }) => flip(path, 20), ['damaged edges', 'edges'], 'kept'],
  ];
  for (const [i, [where, rot, expected, healed]] of places.entries()) {
    const folder = join(root, String(i));
    const events: string[] = [];
    const cache = await cacheIn(t, folder, events);
    await fillCache(cache, song);
    await cache.keepEdges(song.payload, edges.file, edges);
    await cache.flush();
    await rot({ chunks: join(folder, `${song.payload}.chunks`), edges: join(folder, `${song.payload}.${edges.file}.edges`) });
    events.length = 0;
    await around(cache, song);
    t.strictSame(events, expected, where);
    if (healed === 'fetched') t.ok(await cache.write(song.payload, Number(expected[0]?.split(' ')[1]), chunkOf(song, Number(expected[0]?.split(' ')[1]))));
    if (healed === 'kept') t.ok(await cache.keepEdges(song.payload, edges.file, edges));
    t.ok(cache.complete(song.payload));
    await cache.close();
    // the disk itself is right again
    const again = await cacheIn(t, folder, events);
    events.length = 0;
    t.ok(again.complete(song.payload), where);
    await around(again, song);
    t.strictSame(events, [], `${where}: nothing is wrong any more`);
    t.strictSame(again.filesOf(song.payload), [edges.file]);
  }
});

t.test('a manifest that rotted is put together from the chunks that are here, else the song is put aside', async (t) => {
  const root = t.testdir();
  const song = madeSong(6 * CHUNK_BYTES);
  const cases = [{ held: [0, 1, 2, 3, 4, 5], hash: 3, mended: true }, { held: [1, 3], hash: 3, mended: true }, { held: [1, 3], hash: 2, mended: false }];
  for (const { held, hash, mended } of cases) {
    const folder = join(root, `${held.length}-${hash}`);
    const before = await cacheIn(t, folder);
    await fillCache(before, song, held);
    await before.close();
    await flip(join(folder, `${song.payload}.chunks`), AT.manifest + 32 * hash, 32);
    const events: string[] = [];
    const cache = await cacheIn(t, folder, events);
    const chunk = await cache.read(song.payload, 1);
    t.equal(chunk !== null && chunkOf(song, 1).equals(chunk), mended);
    t.equal(cache.has(song.payload), mended);
    t.strictSame(events, ['damaged head']);
    t.equal((await readdir(folder)).length, 1, 'and stays on the disk');
  }
});

t.test('it goes on where it was before a restart, and is no use of what it reads', async (t) => {
  const folder = t.testdir();
  const songs = Array.from({ length: 4 }, () => madeSong(2 * CHUNK_BYTES)).sort((a, b) => (a.payload < b.payload ? -1 : 1));
  const place = join(folder, 'verified');
  const cache = await cacheIn(t, folder);
  for (const song of songs) await fillCache(cache, song);
  const order = cache.payloads();
  const read: string[] = [];
  const spying: CacheVerifierOptions['cache'] = {
    get bytes() {
      return cache.bytes;
    },
    payloads: () => cache.payloads(),
    aside: () => cache.aside(),
    bitmapOf: (payload) => cache.bitmapOf(payload),
    checkHead: (payload) => (read.push(`${payload} head`), cache.checkHead(payload)),
    checkChunk: (payload, index) => (read.push(`${payload} ${index}`), cache.checkChunk(payload, index)),
    checkEdges: (payload) => (read.push(`${payload} edges`), cache.checkEdges(payload)),
  };
  const first = new Stepped(spying, place);
  for (let i = 0; i < 6; i++) await first.step();
  await first.verifier.close();
  const second = new Stepped(spying, place);
  for (let i = 0; i < 10; i++) await second.step();
  const expected = songs.flatMap(({ payload }) => [`${payload} head`, `${payload} 0`, `${payload} 1`, `${payload} edges`]);
  t.strictSame(read, expected, 'one round, in two runs');
  t.equal(first.rests[0], 60_000, 'a machine that starts is left in peace');
  second.verifier.setYielding(true);
  const before = second.rests.at(-2) as number;
  await second.step();
  await second.step();
  t.ok((second.rests.at(-1) as number) > before, 'longer rests while music plays');
  await second.verifier.close();
  t.strictSame(cache.payloads(), order, 'the order of use is what it was');

  for (const torn of ['', 'x', `${songs[2]?.payload}`, `${songs[2]?.payload} -1`, `${randomId()} 7`]) {
    await writeFile(place, torn);
    const stepped = new Stepped(spying, place);
    await stepped.step();
    await stepped.verifier.close();
  }
  t.match(await readFile(place, 'utf8'), /^[0-9a-f]{32} (head|\d+|edges)$/);
});

t.test('a round comes to what could not be read, and finds again what nobody else may have; what it cannot prove stays away, unannounced', async (t) => {
  const folder = t.testdir();
  const [sound, rotten] = [madeSong(2 * CHUNK_BYTES), madeSong(2 * CHUNK_BYTES)];
  const edges = tagged(sound, randomBytes(5_000), randomBytes(50));
  const before = await cacheIn(t, folder);
  for (const song of [sound, rotten]) await fillCache(before, song);
  await before.keepEdges(sound.payload, edges.file, edges);
  await before.close();
  const path = join(folder, `${rotten.payload}.chunks`);
  await flip(path, AT.manifest);
  await flip(path, AT.chunks + CHUNK_BYTES);
  let fails = false;
  const events: string[] = [];
  const files = new OpenFiles();
  const opens: typeof open = async (...args) => {
    if (fails) throw Object.assign(new Error('no such device'), { code: 'ENODEV' });
    return open(...args);
  };
  const nameOfSong = (payload: PayloadId): string => (payload === sound.payload ? 'sound' : 'rotten');
  const cache = await ChunkCache.open(folder, { bytesMax: 64 * MiB, files, fileSystem: { ...fileSystem, open: opens } }, {
    completed: (payload) => events.push(`${nameOfSong(payload)} completed`),
    lost: (payload) => events.push(`${nameOfSong(payload)} lost`),
    edges: (payload) => events.push(`${nameOfSong(payload)} edges`),
  });
  t.teardown(() => cache.close().then(() => files.close()));
  const { bytes } = cache;
  fails = true;
  const stepped = new Stepped(cache, join(folder, 'verified'));
  for (let i = 0; i < 8; i++) await stepped.step();
  t.strictSame([cache.songs, cache.aside().sort()], [0, [sound.payload, rotten.payload].sort()]);
  t.ok(stepped.rests.slice(-3).every((ms) => ms >= restMs({ bytes: 2 * CHUNK_BYTES, cachedBytes: bytes, yielding: false })), 'once a round, however few songs there are');
  t.strictSame(events.sort(), ['rotten lost', 'sound edges', 'sound lost']);
  events.length = 0;
  fails = false;
  for (let i = 0; i < 12; i++) await stepped.step();
  await stepped.verifier.close();
  t.strictSame(events.sort(), ['sound completed', 'sound edges']);
  t.strictSame([cache.completed(), cache.aside()], [[sound.payload], [rotten.payload]]);
  t.equal(cache.bytes, bytes);
});

t.test('an empty cache is left in peace, and one that fills is found', async (t) => {
  const folder = t.testdir();
  const cache = await cacheIn(t, folder);
  const stepped = new Stepped(cache, join(folder, 'verified'));
  for (let i = 0; i < 3; i++) await stepped.step();
  t.strictSame(stepped.rests, [60_000, 60_000, 60_000, 60_000]);
  t.strictSame(await readdir(folder), []);
  const song = madeSong(CHUNK_BYTES);
  await fillCache(cache, song);
  await cache.flush();
  const { chunks } = { chunks: join(folder, `${song.payload}.chunks`) };
  await flip(chunks, AT.chunks + 1);
  for (let i = 0; i < 2; i++) await stepped.step();
  t.notOk(cache.complete(song.payload));
  await stepped.verifier.close();
});
