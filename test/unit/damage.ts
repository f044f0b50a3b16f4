// Files that were altered under us, a cache whose bytes rot, providers that lie, and all of it at once: what comes out of a reader or
// goes out to another peer is right or does not come.
import { randomBytes } from 'node:crypto';
import { mkdir, open, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { sha256 } from '../../lib/content.ts';
import { codeOf } from '../../lib/errors.ts';
import type { PayloadId, PeerId } from '../../lib/ids.ts';
import { CHUNK_BYTES } from '../../lib/limits.ts';
import type { Alarms } from '../../peer/chunks/alarms.ts';
import { chunkHandlers } from '../../peer/chunks/chunk-server.ts';
import { PayloadReader } from '../../peer/chunks/payload-reader.ts';
import { CHUNK_METHOD, type ChunkLink, chunkParams, MANIFEST_METHOD, manifestParams } from '../../peer/chunks/provider-link.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { type FileChange, LocalFiles, type StoredFile } from '../../storage/local-files.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { chunkOf, fillCache, madeSong, type MadeSong, tagged } from '../fixtures/made-song.ts';
import { served } from '../fixtures/served.ts';
import { seededRandom } from '../../lib/random.ts';

const MiB = 1024 * 1024;
const peerId = (n: number): PeerId => String(n).padStart(32, '0') as PeerId;
const LIAR = 7;
/** Waiting for a provider is a hundredth as long as for people. */
const hasty: Alarms = {
  now: () => performance.now() * 100,
  after: (ms, ring) => {
    const timer = setTimeout(ring, ms / 100);
    return () => clearTimeout(timer);
  },
};

/** A machine with files of its own and a cache; `links` are whom it can ask. */
class Machine {
  readonly folder: string;
  readonly files = new OpenFiles();
  readonly own = new Map<PayloadId, { readonly file: StoredFile; readonly manifest: Buffer }>();
  readonly changed: [string, FileChange][] = [];
  readonly liars: PeerId[] = [];
  readonly damaged: (number | string)[] = [];
  readonly local: LocalFiles;
  links: readonly ChunkLink[] = [];
  cache!: ChunkCache;
  reader!: PayloadReader;

  private constructor(folder: string) {
    this.folder = folder;
    const index = {
      pathsOf: async (payload: PayloadId) => [...(this.own.has(payload) ? [this.own.get(payload)!.file] : [])],
      pathsOfFile: async () => [],
      manifestOf: async (payload: PayloadId) => this.own.get(payload)?.manifest ?? null,
    };
    this.local = new LocalFiles(index, this.files, (path, change) => this.changed.push([path, change]));
  }

  static async make(t: Test, folder: string): Promise<Machine> {
    await mkdir(folder, { recursive: true });
    const machine = new Machine(folder);
    await machine.start();
    t.teardown(() => machine.stop());
    return machine;
  }

  async start(): Promise<void> {
    const { local, files } = this;
    this.cache = await ChunkCache.open(join(this.folder, 'cache'), { bytesMax: 64 * MiB, files }, { damaged: (_, part) => this.damaged.push(part) });
    const providers = { ofPayload: () => this.links, ofFile: () => this.links, linkTo: () => undefined, watch: () => () => {} };
    this.reader = new PayloadReader({ self: 'ee'.repeat(16) as PeerId, local, cache: this.cache, providers, random: seededRandom(1), onLiar: (peer) => this.liars.push(peer), alarms: hasty });
  }

  async stop(): Promise<void> {
    await this.cache.close();
    await this.files.close();
  }

  cachePath(song: MadeSong): string {
    return join(this.folder, 'cache', `${song.payload}.chunks`);
  }

  async share(song: MadeSong): Promise<string> {
    const path = join(this.folder, `${song.payload}.music`);
    await writeFile(path, song.bytes);
    const { size, mtimeMs } = await stat(path);
    const file = { path, sizeBytes: size, mtimeMs, prefixBytes: 0, payloadBytes: song.bytes.byteLength, suffixBytes: 0, edgeHashes: { prefix: sha256(new Uint8Array()), suffix: sha256(new Uint8Array()) } };
    this.own.set(song.payload, { file, manifest: song.manifest });
    return path;
  }

  /** How another asks it; params cross as bytes. */
  link(n: number): ChunkLink {
    return { peer: peerId(n), requestBytes: (...asked) => served(chunkHandlers({ local: this.local, cache: this.cache }))(...asked) };
  }

  /** All of a song, or what came until it failed. */
  async play(song: MadeSong): Promise<{ readonly bytes: Buffer; readonly code: string | undefined }> {
    const parts: Uint8Array[] = [];
    let code: string | undefined;
    try {
      for await (const part of this.reader.open({ payload: song.payload, payloadBytes: song.bytes.byteLength, start: 0, end: song.bytes.byteLength })) parts.push(part);
    } catch (error) {
      code = codeOf(error);
    }
    return { bytes: Buffer.concat(parts), code };
  }
}

/** Its manifest is right, and every chunk is wrong in one bit. */
function liar(n: number, honest: ChunkLink, asked: number[] = []): ChunkLink {
  return {
    peer: peerId(n),
    requestBytes: async (method, params) => {
      const bytes = Buffer.from(await honest.requestBytes(method, params));
      if (method !== CHUNK_METHOD) return bytes;
      asked.push((params as readonly [PayloadId, number])[1]);
      bytes[bytes.byteLength >> 1]! ^= 1;
      return bytes;
    },
  };
}

/** Turns bits over and leaves size and time as they were. */
async function alter(path: string, places: readonly number[]): Promise<void> {
  const { size, atimeMs, mtimeMs } = await stat(path);
  const handle = await open(path, 'r+');
  for (const place of places) {
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, place % size);
    await handle.write(Buffer.from([byte[0]! ^ 0x20]), 0, 1, place % size);
  }
  await handle.close();
  await utimes(path, atimeMs / 1000, mtimeMs / 1000);
}

/** Asks for each chunk and the manifest, as others do. @returns how many were refused; throws at a wrong one */
async function refusals(machine: Machine, song: MadeSong): Promise<number> {
  const link = machine.link(1);
  let refused = 0;
  for (let index = 0; index < song.manifest.byteLength / 32; index++) {
    const chunk = await link.requestBytes(CHUNK_METHOD, chunkParams(song.payload, index, 'soon')).catch(() => null);
    if (chunk === null) refused += 1;
    else if (!chunkOf(song, index).equals(chunk)) throw new Error(`chunk ${index} went out wrong`);
  }
  const manifest = await link.requestBytes(MANIFEST_METHOD, manifestParams(song.payload, 0)).catch(() => null);
  if (manifest !== null && !song.manifest.equals(manifest)) throw new Error('a wrong manifest went out');
  return refused;
}

t.test('a file altered after the scan, size and time as before, is refused where it is wrong, reported, and made up for by another', async (t) => {
  const root = t.testdir();
  const song = madeSong(6 * CHUNK_BYTES + 11);
  const owner = await Machine.make(t, join(root, 'owner'));
  const other = await Machine.make(t, join(root, 'other'));
  const path = await owner.share(song);
  await other.share(song);
  t.equal(await refusals(owner, song), 0);
  await alter(path, [2 * CHUNK_BYTES + 5, song.bytes.byteLength - 1]);
  const { size, mtimeMs } = await stat(path);
  t.ok(size === song.bytes.byteLength && Math.trunc(mtimeMs) === Math.trunc(owner.own.get(song.payload)!.file.mtimeMs), 'nothing shows it');

  t.equal(await refusals(owner, song), 2, 'nobody gets the two chunks from it');
  t.strictSame(owner.changed, [[path, 'unseen'], [path, 'unseen']]);
  const alone = await owner.play(song);
  t.equal(alone.code, 'SONG_UNAVAILABLE');
  t.ok(alone.bytes.equals(song.bytes.subarray(0, 2 * CHUNK_BYTES)), 'alone, it plays as far as it is right');
  owner.links = [other.link(1)];
  t.ok((await owner.play(song)).bytes.equals(song.bytes));
  t.strictSame(owner.liars, []);
});

t.test('whatever rots in the cache, while it is open or before it starts, no wrong byte comes or goes out, and a provider heals it', async (t) => {
  const root = t.testdir();
  const song = madeSong(5 * CHUNK_BYTES + 77);
  const edges = tagged(song, randomBytes(3_000), randomBytes(100));
  const other = await Machine.make(t, join(root, 'other'));
  await other.share(song);
  const fileBytes = 4096 + song.bytes.byteLength;
  const anywhere = fc.oneof(fc.nat(31), fc.constant(32), fc.integer({ min: 33, max: 33 + 6 * 32 - 1 }), fc.integer({ min: 4096, max: fileBytes - 1 }));
  let run = 0;
  let healed = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(anywhere, { minLength: 1, maxLength: 6 }), fc.array(fc.nat(5_000), { maxLength: 2 }), fc.boolean(), async (places, edgePlaces, restarted) => {
      const machine = await Machine.make(t, join(root, String((run += 1))));
      await fillCache(machine.cache, song);
      await machine.cache.keepEdges(song.payload, edges.file, edges);
      await machine.cache.flush();
      if (restarted) await machine.stop();
      await alter(machine.cachePath(song), places);
      await alter(join(machine.folder, 'cache', `${song.payload}.${edges.file}.edges`), edgePlaces);
      if (restarted) await machine.start();
      for (const edge of ['prefix', 'suffix'] as const) {
        const bytes = await machine.cache.readEdge(edges.file, edge);
        if (bytes !== null && !edges[edge].equals(bytes)) throw new Error('a wrong edge');
      }
      const before = await refusals(machine, song);
      const alone = run % 8 === 0 ? await machine.play(song) : undefined;
      if (alone && !alone.bytes.equals(song.bytes.subarray(0, alone.bytes.byteLength))) throw new Error('a wrong byte');
      machine.links = [other.link(1)];
      const completed = new Promise<void>((resolve) => machine.cache.listen({ completed: () => resolve() }));
      if (!(await machine.play(song)).bytes.equals(song.bytes)) throw new Error('not exact');
      if (!machine.cache.complete(song.payload)) await completed;
      if ((await refusals(machine, song)) > 0) throw new Error('not healed');
      if (before > 0) healed += 1;
      if (machine.liars.length > 0) throw new Error('an honest provider was blamed');
      await machine.stop();
    }),
    { numRuns: 40, verbose: 1 },
  );
  t.ok(healed > 5, `${healed} were healed`);
});

t.test('an altered file, a rotten cache and a provider that lies in every chunk, all at once: each song is exact as long as one is honest', async (t) => {
  const root = t.testdir();
  const honest = await Machine.make(t, join(root, 'honest'));
  const listener = await Machine.make(t, join(root, 'listener'));
  const songs = Array.from({ length: 3 }, (_, n) => madeSong((8 + n) * CHUNK_BYTES + n));
  for (const song of songs) await honest.share(song);
  const [altered, rotten, absent] = songs as [MadeSong, MadeSong, MadeSong];
  await alter(await listener.share(altered), Array.from({ length: 8 }, (_, i) => i * CHUNK_BYTES + 1));
  await fillCache(listener.cache, rotten);
  await listener.cache.flush();
  await alter(listener.cachePath(rotten), [0, 32, 40, ...Array.from({ length: 9 }, (_, i) => 4096 + i * CHUNK_BYTES)]);

  const asked: number[] = [];
  const liars = [LIAR, LIAR + 1].map((n) => liar(n, honest.link(n), asked));
  listener.links = liars;
  for (const song of songs) {
    const { bytes, code } = await listener.play(song);
    t.ok(bytes.equals(song.bytes.subarray(0, bytes.byteLength)), 'among liars only, nothing wrong');
    t.equal(code, 'SONG_UNAVAILABLE');
    await refusals(listener, song);
  }
  t.strictSame(new Set(listener.liars), new Set([peerId(LIAR), peerId(LIAR + 1)]), 'they are reported');
  asked.length = 0;
  listener.links = [...liars, honest.link(1)];
  for (const song of songs) t.ok((await listener.play(song)).bytes.equals(song.bytes));
  t.strictSame(asked, [], 'who has lied of one song is asked for no other while somebody else is there');
  for (const song of songs) await refusals(listener, song);
  t.ok(chunkOf(absent, 0).equals((await listener.cache.read(absent.payload, 0)) ?? Buffer.alloc(0)), 'what the honest one sent is kept');
});
