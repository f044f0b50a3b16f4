// The exchange of chunks: readers over links that die, lie, stall and return. The planner alone is in planner.ts.
import { randomBytes } from 'node:crypto';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { bitmapBytes, chunkCount, chunkLength, fileIdOf, payloadIdOf, sha256 } from '../../lib/content.ts';
import { PeerError } from '../../lib/errors.ts';
import { type FileId, type PayloadId, type PeerId, randomId, type SongId } from '../../lib/ids.ts';
import { CACHE_WRITES_MAX, CHUNK_BYTES, EDGES_CACHED_BYTES, MANIFEST_BYTES_MAX, PIECE_BYTES_MAX, PIECES_IN_FLIGHT_MAX, READ_AHEAD_CHUNKS, REQUEST_TIMEOUT_MS } from '../../lib/limits.ts';
import { seededRandom } from '../../lib/random.ts';
import { type FileDescription, sizeOf } from '../../lib/song.ts';
import { chunkHandlers } from '../../peer/chunks/chunk-server.ts';
import type { Alarms } from '../../peer/chunks/alarms.ts';
import { EdgeReader } from '../../peer/chunks/edge-reader.ts';
import { FileReader, playbackRange } from '../../peer/chunks/file-reader.ts';
import { ManifestPieces } from '../../peer/chunks/manifest-pieces.ts';
import { PayloadReader } from '../../peer/chunks/payload-reader.ts';
import { PROVIDERS_WAIT_MS } from '../../peer/chunks/patience.ts';
import { LIAR_MS } from '../../peer/chunks/provider-pace.ts';
import { type ChunkLink, chunkParams, edgeParams, encodeSurvey, haveParams, manifestParams, parseChunkParams, type Providers } from '../../peer/chunks/provider-link.ts';
import { Turns } from '../../peer/chunks/turns.ts';
import { ExchangeStats } from '../../peer/chunks/exchange-stats.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { LocalFiles, type StoredFile } from '../../storage/local-files.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { fillCache } from '../fixtures/made-song.ts';
import { served } from '../fixtures/served.ts';

const MiB = 1024 * 1024;
const peerId = (n: number): PeerId => String(n).padStart(32, '0') as PeerId;

// --- readers over links

interface Song {
  readonly bytes: Buffer;
  readonly manifest: Buffer;
  readonly payload: PayloadId;
}

function makeSong(size: number): Song {
  const bytes = randomBytes(size);
  const manifest = Buffer.concat(Array.from({ length: chunkCount(size) }, (_, i) => sha256(bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES))));
  return { bytes, manifest, payload: payloadIdOf(manifest) };
}

function describe(song: Song, prefix: Buffer, suffix: Buffer, suffixName = 'flac'): FileDescription {
  const parts = { prefixHash: sha256(prefix), payload: song.payload, suffixHash: sha256(suffix) };
  return {
    ...parts,
    song: song.payload as unknown as SongId,
    file: fileIdOf(parts),
    tags: { title: 'x', artist: '', album: '', albumArtist: '', track: 0, disc: 0, year: 0, genre: [] },
    durationMs: 1000,
    codec: suffixName,
    suffix: suffixName,
    bitrate: 0,
    prefixBytes: prefix.byteLength,
    payloadBytes: song.bytes.byteLength,
    suffixBytes: suffix.byteLength,
  };
}

class Crowd implements Providers {
  #links: readonly ChunkLink[] = [];
  /** Of whom no catalog speaks. */
  others: readonly ChunkLink[] = [];
  readonly #watchers = new Set<() => void>();

  /** Nobody is told. */
  become(links: readonly ChunkLink[]): void {
    this.#links = links;
  }

  set links(links: readonly ChunkLink[]) {
    this.#links = links;
    for (const changed of this.#watchers) changed();
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  ofPayload(): readonly ChunkLink[] {
    return this.#links;
  }

  ofFile(): readonly ChunkLink[] {
    return this.#links;
  }

  linkTo(peer: PeerId): ChunkLink | undefined {
    return [...this.#links, ...this.others].find((link) => link.peer === peer);
  }

  watch(_id: PayloadId | FileId, changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }
}

/** One machine: its music, its cache, what it serves and what it reads. */
class Machine {
  readonly crowd = new Crowd();
  readonly stats = new ExchangeStats();
  readonly liars: PeerId[] = [];
  readonly changed: string[] = [];
  readonly own = new Map<PayloadId, StoredFile[]>();
  readonly ownFiles = new Map<FileId, StoredFile[]>();
  readonly manifests = new Map<PayloadId, Buffer>();
  readonly files = new OpenFiles();
  readonly local: LocalFiles;
  readonly cache: ChunkCache;
  readonly payloads: PayloadReader;
  readonly edges: EdgeReader;
  readonly reader: FileReader;
  readonly #handlers;
  readonly #folder: string;

  private constructor(folder: string, files: OpenFiles, cache: ChunkCache, { self, alarms }: { readonly self: PeerId; readonly alarms: Alarms | undefined }) {
    this.#folder = folder;
    this.files = files;
    this.cache = cache;
    const index = {
      pathsOf: async (payload: PayloadId) => this.own.get(payload) ?? [],
      pathsOfFile: async (file: FileId) => this.ownFiles.get(file) ?? [],
      manifestOf: async (payload: PayloadId) => this.manifests.get(payload) ?? null,
    };
    this.local = new LocalFiles(index, files, (path) => this.changed.push(path));
    this.#handlers = chunkHandlers({ local: this.local, cache });
    const onLiar = (peer: PeerId): void => void this.liars.push(peer);
    this.payloads = new PayloadReader({ self, local: this.local, cache, providers: this.crowd, random: seededRandom(1), onLiar, stats: this.stats, ...(alarms && { alarms }) });
    this.edges = new EdgeReader({ local: this.local, cache, providers: this.crowd, onLiar, ...(alarms && { alarms }) });
    this.reader = new FileReader({ payloads: this.payloads, edges: this.edges });
  }

  static async make(t: Test, folder: string, { self = peerId(99), cacheBytes = 64 * MiB, alarms }: { self?: PeerId; cacheBytes?: number; alarms?: Alarms } = {}): Promise<Machine> {
    const files = new OpenFiles();
    const machine = new Machine(folder, files, await ChunkCache.open(join(folder, 'cache'), { bytesMax: cacheBytes, files }), { self, alarms });
    t.teardown(async () => {
      await machine.cache.close();
      await files.close();
    });
    return machine;
  }

  async share(song: Song, prefix = Buffer.alloc(0), suffix = Buffer.alloc(0), suffixName?: string): Promise<FileDescription> {
    const description = describe(song, prefix, suffix, suffixName);
    const path = join(this.#folder, `${description.file}.music`);
    await writeFile(path, Buffer.concat([prefix, song.bytes, suffix]));
    const { size, mtimeMs } = await stat(path);
    const stored = { path, sizeBytes: size, mtimeMs, prefixBytes: prefix.byteLength, payloadBytes: song.bytes.byteLength, suffixBytes: suffix.byteLength, edgeHashes: { prefix: description.prefixHash, suffix: description.suffixHash } };
    this.own.set(song.payload, [...(this.own.get(song.payload) ?? []), stored]);
    this.ownFiles.set(description.file, [stored]);
    this.manifests.set(song.payload, song.manifest);
    return description;
  }

  /** Of the providers, when all that only lingers is gone; nothing lingers from then on. */
  get watchers(): number {
    this.payloads.close();
    return this.crowd.watchers;
  }

  async serve(method: string, params: unknown): Promise<Uint8Array> {
    return served(this.#handlers)(method, params);
  }
}

type Reply = (method: string, params: readonly unknown[], honest: () => Promise<Uint8Array>, signal: AbortSignal | undefined) => Promise<Uint8Array>;

/** A link to `machine` with a twist. */
function link(n: number, machine: Machine, reply: Reply = (_, __, honest) => honest()): ChunkLink & { asked: [string, readonly unknown[]][] } {
  const asked: [string, readonly unknown[]][] = [];
  return {
    peer: peerId(n),
    asked,
    requestBytes: (method, params, options) => {
      asked.push([method, params as readonly unknown[]]);
      return reply(method, params as readonly unknown[], () => machine.serve(method, params), options?.signal);
    },
  };
}

const never: Reply = (_, __, ___, signal) =>
  new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(new PeerError('CANCELLED', 'cancelled'))));

const lost: Reply = async () => {
  throw new PeerError('CONNECTION_LOST', 'gone');
};

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

const rangeOf = (song: Song, start = 0, end = song.bytes.byteLength) => ({ payload: song.payload, payloadBytes: song.bytes.byteLength, start, end });

/** A listener and a holder that know each other through `links`. */
async function pair(t: Test, song: Song, options: { readonly alarms?: Alarms } = {}): Promise<{ listener: Machine; holder: Machine; root: string }> {
  const root = t.testdir();
  const listener = await Machine.make(t, join(root, 'a'), options);
  const holder = await Machine.make(t, join(root, 'b'));
  await holder.share(song);
  return { listener, holder, root };
}

t.test('every range comes out exact, from the network, from the cache and from the own disk', async (t) => {
  const song = makeSong(3 * CHUNK_BYTES + 100);
  const { listener, holder, root } = await pair(t, song);
  const uncached = await Machine.make(t, join(root, 'c'), { cacheBytes: 0 });
  uncached.crowd.links = [link(1, holder)];
  const provider = link(2, holder);
  listener.crowd.links = [provider];
  const complete = new Promise((resolve) => listener.cache.listen({ completed: resolve }));
  await collect(listener.payloads.open(rangeOf(song)));
  await complete;
  const askedBefore = provider.asked.length;
  const edges = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES, song.bytes.byteLength - 1, song.bytes.byteLength];
  for (const reader of [uncached, listener, holder]) {
    for (const start of edges) {
      for (const end of edges) {
        if (start > end) continue;
        const bytes = await collect(reader.payloads.open(rangeOf(song, start, end)));
        if (!bytes.equals(song.bytes.subarray(start, end))) t.fail(`[${start}, ${end})`);
      }
    }
  }
  t.equal(provider.asked.length, askedBefore, 'the cache needs nobody');
  t.equal(uncached.watchers + listener.watchers, 0, 'nothing is left watching');
  await t.rejects(collect(listener.payloads.open(rangeOf(song, 5, 4))), RangeError);
});

t.test('a fetched song is complete in the cache and served on to a third', async (t) => {
  const song = makeSong(20 * CHUNK_BYTES + 1);
  const { listener, holder, root } = await pair(t, song);
  listener.crowd.links = [link(1, holder)];
  const done = new Promise<PayloadId>((resolve) => listener.cache.listen({ completed: resolve }));
  t.ok((await collect(listener.payloads.open(rangeOf(song)))).equals(song.bytes));
  t.equal(await done, song.payload);
  const third = await Machine.make(t, join(root, 'third'));
  third.crowd.links = [link(2, listener)];
  t.ok((await collect(third.payloads.open(rangeOf(song)))).equals(song.bytes));
});

t.test('two that fetch the same song begin with other chunks of it, each with those that are its turn', async (t) => {
  const song = makeSong(200 * CHUNK_BYTES);
  const root = t.testdir();
  const holder = await Machine.make(t, join(root, 'holder'));
  await holder.share(song);
  const [whole, ...receivers] = [1, 2, 3].map(peerId) as [PeerId, PeerId, PeerId];
  const firsts = await Promise.all(
    receivers.map(async (self) => {
      const [other] = receivers.filter((peer) => peer !== self) as [PeerId];
      const machine = await Machine.make(t, join(root, self), { self });
      const asked: number[] = [];
      let answered = (): void => {};
      const isKnown = new Promise<void>((resolve) => (answered = resolve));
      machine.crowd.others = [link(Number(other), holder, async (method) => {
        if (method !== 'have') throw new PeerError('CHUNK_UNAVAILABLE', 'nothing is here yet');
        setImmediate(answered);
        return encodeSurvey({ holds: new Uint8Array(bitmapBytes(200)), receivers: [] });
      })];
      machine.crowd.links = [link(Number(whole), holder, async (method, params, honest) => {
        if (method === 'have') return encodeSurvey({ holds: 'all', receivers: [other] });
        if (method === 'chunk') {
          asked.push(parseChunkParams(params).index);
          await isKnown;
        }
        return honest();
      })];
      t.ok((await collect(machine.payloads.open(rangeOf(song)))).equals(song.bytes));
      // the first two were asked for before anybody was known
      const [, , ...first] = asked.slice(0, 10);
      const turns = new Turns(self);
      turns.among([other]);
      t.same(first.map((chunk) => turns.of(chunk)), first.map(() => 0));
      return first;
    }),
  );
  t.equal(new Set(firsts.flat()).size, 16, JSON.stringify(firsts));
});

t.test('a provider that dies in mid-song is replaced without a byte twice or missing', async (t) => {
  const song = makeSong(40 * CHUNK_BYTES + 77);
  const { listener, holder } = await pair(t, song);
  let served = 0;
  const dying = link(1, holder, (method, params, honest) => (method === 'chunk' && ++served > 7 ? lost(method, params, honest, undefined) : honest()));
  const other = link(2, holder, async (_, __, honest) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return honest();
  });
  listener.crowd.links = [dying, other];
  t.ok((await collect(listener.payloads.open(rangeOf(song)))).equals(song.bytes));
  t.ok(served > 7, 'it was used');
  t.strictSame(listener.liars, []);
});

t.test('when all are gone and one returns, the song goes on where it was', async (t) => {
  const song = makeSong(40 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  const alive = link(1, holder);
  listener.crowd.links = [alive];
  const parts: Uint8Array[] = [];
  for await (const part of listener.payloads.open(rangeOf(song))) {
    parts.push(part);
    if (parts.length === 3) {
      listener.crowd.links = [];
      setTimeout(() => (listener.crowd.links = [link(2, holder)]), 50);
    }
  }
  t.ok(Buffer.concat(parts).equals(song.bytes));
});

/** @param pace so many times as fast as the world */
const alarmsAt = (pace: number): Alarms => ({
  now: () => performance.now() * pace,
  after: (ms, ring) => {
    const timer = setTimeout(ring, ms / pace);
    return () => clearTimeout(timer);
  },
});

/** Not faster: on a machine that is busy a turn of the event loop takes some ms. */
const hasty = alarmsAt(25);
/** Where an answer may not be late, on such a machine neither. */
const patient = alarmsAt(1 / 4);

t.test('with nobody to ask, a song and a file fail with SONG_UNAVAILABLE after a wait', async (t) => {
  const song = makeSong(3 * CHUNK_BYTES);
  const listener = await Machine.make(t, t.testdir(), { alarms: hasty });
  const started = hasty.now();
  await t.rejects(collect(listener.payloads.open(rangeOf(song))), { code: 'SONG_UNAVAILABLE' });
  t.ok(hasty.now() - started > PROVIDERS_WAIT_MS - 100);
  const file = describe(song, Buffer.from('tags'), Buffer.alloc(0));
  await t.rejects(collect(listener.reader.open({ file, start: 0, end: 2 })), { code: 'SONG_UNAVAILABLE' });
  t.equal(listener.watchers, 0);
});

t.test('wrong, short, long and empty chunks put their sender aside, once, and the song is exact', async (t) => {
  const song = makeSong(30 * CHUNK_BYTES + 5);
  const { listener, holder } = await pair(t, song);
  const twist = (change: (bytes: Buffer) => Uint8Array): Reply => async (method, _, honest) => {
    const bytes = Buffer.from(await honest());
    return method === 'chunk' ? change(bytes) : bytes;
  };
  const twists: ((bytes: Buffer) => Uint8Array)[] = [
    (bytes) => bytes.fill(0, 0, 1).fill(255, 1, 2),
    (bytes) => bytes.subarray(0, bytes.byteLength - 1),
    (bytes) => Buffer.concat([bytes, Buffer.alloc(1)]),
    () => new Uint8Array(),
  ];
  listener.crowd.links = [...twists.map((change, i) => link(i + 1, holder, twist(change))), link(9, holder)];
  t.ok((await collect(listener.payloads.open(rangeOf(song)))).equals(song.bytes));
  t.strictSame([...new Set(listener.liars)].sort(), [1, 2, 3, 4].map(peerId));
});

t.test('who sent a wrong chunk is asked for nothing of that song by its next reader either, for ten minutes', async (t) => {
  const song = makeSong(3 * CHUNK_BYTES);
  let later = 0;
  const { listener, holder } = await pair(t, song, { alarms: { ...hasty, now: () => hasty.now() + later } });
  const liar = link(1, holder, async (method, _, honest) => (method === 'chunk' ? Buffer.alloc(CHUNK_BYTES, 1) : honest()));
  listener.crowd.links = [liar];
  const asksOfOneReader = async (): Promise<number> => {
    const before = liar.asked.length;
    await t.rejects(collect(listener.payloads.open(rangeOf(song))), { code: 'SONG_UNAVAILABLE' });
    t.equal(listener.watchers, 0, 'its swarm is gone');
    return liar.asked.length - before;
  };
  t.ok((await asksOfOneReader()) > 0);
  t.equal(await asksOfOneReader(), 0);
  later = LIAR_MS;
  t.ok((await asksOfOneReader()) > 0);
});

t.test('a wrong, short, long or empty manifest is noticed by its id and asked for elsewhere', async (t) => {
  const song = makeSong(5 * CHUNK_BYTES);
  for (const change of [(b: Buffer) => b.fill(7), (b: Buffer) => b.subarray(32), (b: Buffer) => Buffer.concat([b, b]), () => Buffer.alloc(0)]) {
    const { listener, holder } = await pair(t, song);
    const liar = link(1, holder, async (method, _, honest) => (method === 'manifest' ? change(Buffer.from(await honest())) : honest()));
    listener.crowd.links = [liar];
    setImmediate(() => (listener.crowd.links = [liar, link(2, holder)]));
    t.ok((await collect(listener.payloads.open(rangeOf(song)))).equals(song.bytes));
    // One that sends too much is cut to what was asked for, and that may be right.
    t.ok(listener.liars.every((peer) => peer === peerId(1)));
  }
});

t.test('a catalog that lies about the length blames no provider', async (t) => {
  const song = makeSong(2 * CHUNK_BYTES + 50);
  const { listener, holder } = await pair(t, song);
  listener.crowd.links = [link(1, holder)];
  const range = { payload: song.payload, payloadBytes: song.bytes.byteLength - 1, start: 0, end: song.bytes.byteLength - 1 };
  await t.rejects(collect(listener.payloads.open(range)), { code: 'SONG_UNAVAILABLE' });
  t.strictSame(listener.liars, []);
});

t.test('a catalog that lies about the length by chunks blames no provider either', async (t) => {
  const song = makeSong(3 * CHUNK_BYTES);
  for (const chunks of [1, 2, 4, 40]) {
    const { listener, holder } = await pair(t, song);
    listener.crowd.links = [link(1, holder)];
    await t.rejects(collect(listener.payloads.open({ payload: song.payload, payloadBytes: chunks * CHUNK_BYTES, start: 0, end: CHUNK_BYTES })), { code: 'SONG_UNAVAILABLE' });
    t.strictSame(listener.liars, [], `${chunks} chunks`);
  }
});

t.test('a manifest that is longer than said by whole pieces is known for what it is, and an endless one is cut', async (t) => {
  const pieces = new ManifestPieces(32);
  const long = randomBytes(2 * PIECE_BYTES_MAX + 64);
  const given = await pieces.fetch(peerId(1), async (offset) => long.subarray(offset, offset + PIECE_BYTES_MAX), () => {});
  t.ok(long.equals(given));
  const endless = await pieces.fetch(peerId(2), async () => Buffer.alloc(PIECE_BYTES_MAX), () => {});
  t.equal(endless.byteLength, MANIFEST_BYTES_MAX);
});

t.test('a manifest goes on where it was when its sender fails in the middle, a few pieces at a time', async (t) => {
  const manifest = randomBytes(20 * PIECE_BYTES_MAX - 32);
  const pieces = new ManifestPieces(manifest.byteLength);
  const asked: number[] = [];
  let [underWay, most, came] = [0, 0, 0];
  const ask = async (offset: number): Promise<Uint8Array> => {
    const turn = asked.push(offset);
    most = Math.max(most, ++underWay);
    await new Promise((resolve) => setImmediate(resolve));
    underWay--;
    if (turn === 11) throw new PeerError('CONNECTION_LOST', 'a cable');
    return manifest.subarray(offset, offset + PIECE_BYTES_MAX);
  };
  await t.rejects(pieces.fetch(peerId(1), ask, () => came++), { code: 'CONNECTION_LOST' });
  await new Promise((resolve) => setTimeout(resolve, 10));
  const before = asked.length;
  t.ok(before <= 11 + PIECES_IN_FLIGHT_MAX, 'nothing more is asked for after that');
  t.ok(manifest.equals(await pieces.fetch(peerId(1), ask, () => came++)));
  t.equal(asked.length, 20 + 1);
  t.equal(came, 20);
  t.equal(most, PIECES_IN_FLIGHT_MAX);
  asked.length = 0;
  await pieces.fetch(peerId(2), ask, () => {}).catch(() => {});
  t.ok(asked.length > 0, 'of another none is taken for granted');
});

t.test('a manifest that takes longer than a request may is waited for while its pieces come', async (t) => {
  const first = randomBytes(CHUNK_BYTES);
  const manifest = Buffer.concat([sha256(first), randomBytes(8 * PIECE_BYTES_MAX)]);
  const listener = await Machine.make(t, t.testdir(), { cacheBytes: 0, alarms: hasty });
  const asked: string[] = [];
  const slow: ChunkLink = {
    peer: peerId(1),
    requestBytes: async (method, params, options) => {
      asked.push(method);
      if (method === 'have') throw new PeerError('UNSUPPORTED', 'an older one');
      if (method === 'chunk') return first;
      await new Promise<void>((resolve) => hasty.after(0.6 * REQUEST_TIMEOUT_MS, resolve));
      options?.signal?.throwIfAborted();
      const offset = (params as readonly number[])[1] as number;
      return manifest.subarray(offset, offset + PIECE_BYTES_MAX);
    },
  };
  listener.crowd.links = [slow];
  const range = { payload: payloadIdOf(manifest), payloadBytes: (manifest.byteLength / 32) * CHUNK_BYTES, start: 0, end: CHUNK_BYTES };
  t.ok((await collect(listener.payloads.open(range))).equals(first));
  t.equal(asked.filter((method) => method === 'manifest').length, 9, 'each piece once');
});

t.test('a provider that hangs is relieved by another', async (t) => {
  const song = makeSong(12 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  const hanging = link(1, holder, (method, params, honest, signal) => (method === 'chunk' ? never(method, params, honest, signal) : honest()));
  listener.crowd.links = [hanging, link(2, holder)];
  const started = performance.now();
  t.ok((await collect(listener.payloads.open(rangeOf(song)))).equals(song.bytes));
  t.ok(performance.now() - started < 2_000);
  t.strictSame(listener.liars, [], 'being slow is no lie');
  t.ok(listener.stats.hedges > 0, 'and what was asked twice is counted');
});

t.test('two readers of one song share what is under way', async (t) => {
  const song = makeSong(24 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  const provider = link(1, holder, async (_, __, honest) => {
    await new Promise((resolve) => setTimeout(resolve, 2));
    return honest();
  });
  listener.crowd.links = [provider];
  const both = await Promise.all([collect(listener.payloads.open(rangeOf(song))), collect(listener.payloads.open(rangeOf(song)))]);
  t.ok(both.every((bytes) => bytes.equals(song.bytes)));
  const chunks = provider.asked.filter(([method]) => method === 'chunk').length;
  t.ok(chunks <= 24 + 4, `${chunks} chunks asked for`);
});

t.test('whoever jumps within a song finds what was known, and nothing is fetched twice', async (t) => {
  const song = makeSong(60 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  const provider = link(1, holder);
  listener.crowd.links = [provider];
  const asked = (what: string): number => provider.asked.filter(([method]) => method === what).length;
  const write = listener.cache.write.bind(listener.cache);
  let onDisk = (): void => {};
  const slow = new Promise<void>((resolve) => (onDisk = resolve));
  listener.cache.write = async (...chunk) => {
    await slow;
    return write(...chunk);
  };
  const part = (from: number, to: number) => rangeOf(song, from * CHUNK_BYTES, to * CHUNK_BYTES);
  t.ok((await collect(listener.payloads.open(part(0, 10)))).equals(song.bytes.subarray(0, 10 * CHUNK_BYTES)));
  listener.crowd.links = [];
  listener.crowd.become([provider]);
  t.ok((await collect(listener.payloads.open(part(5, 15)))).equals(song.bytes.subarray(5 * CHUNK_BYTES, 15 * CHUNK_BYTES)));
  t.equal(asked('chunk'), 15, 'nor what is on its way to the disk');
  onDisk();
  while (!listener.cache.hasChunk(song.payload, 14)) await new Promise((resolve) => setImmediate(resolve));
  await collect(listener.payloads.open(part(0, 20)));
  t.equal(listener.stats.bytes.cache, 15 * CHUNK_BYTES, 'what came for another reading is the cache’s');
  await listener.cache.delete(song.payload);
  t.equal(await listener.payloads.fill({ payload: song.payload, payloadBytes: song.bytes.byteLength }), true, 'what the cache has dropped since is cached again');
  t.equal(listener.watchers, 0);
});

t.test('nobody waits for a swarm to be left: soon after its last reader it is gone', async (t) => {
  const song = makeSong(3 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song, { alarms: hasty });
  listener.crowd.links = [link(1, holder)];
  await collect(listener.payloads.open(rangeOf(song)));
  t.equal(listener.crowd.watchers, 1);
  const startedAt = performance.now();
  while (listener.crowd.watchers > 0 && performance.now() - startedAt < 5_000) await new Promise((resolve) => setTimeout(resolve, 5));
  t.equal(listener.crowd.watchers, 0);
});

t.test('what one reader has in memory is not fetched again for another who needs it sooner', async (t) => {
  const song = makeSong(24 * CHUNK_BYTES);
  const root = t.testdir();
  const listener = await Machine.make(t, join(root, 'a'), { cacheBytes: 0 });
  const holder = await Machine.make(t, join(root, 'b'));
  await holder.share(song);
  const provider = link(1, holder);
  listener.crowd.links = [provider];
  const first = listener.payloads.open({ ...rangeOf(song), bytesPerMs: 40 });
  await first.next();
  const fetched = (): number => provider.asked.filter(([method]) => method === 'chunk').length;
  while (fetched() < 24) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const links of [[provider], []]) {
    listener.crowd.links = links;
    const second = await collect(listener.payloads.open({ ...rangeOf(song, 5 * CHUNK_BYTES), bytesPerMs: 40 }));
    t.ok(second.equals(song.bytes.subarray(5 * CHUNK_BYTES)));
    t.equal(fetched(), 24);
  }
  await first.return();
});

t.test('a player with music in hand outlasts a provider that restarts, and gets the rest', async (t) => {
  const song = makeSong(40 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song, { alarms: hasty });
  const provider = link(1, holder, async (method, _, honest) => {
    if (method === 'chunk') await new Promise((resolve) => setTimeout(resolve, 5));
    return honest();
  });
  listener.crowd.links = [provider];
  const bytesPerMs = 16;
  const parts: Uint8Array[] = [];
  // It takes all it can get, as mpv does: 12 chunks are 49 s of music.
  for await (const part of listener.payloads.open({ ...rangeOf(song), bytesPerMs })) {
    parts.push(part);
    if (parts.length !== 12) continue;
    listener.crowd.links = [];
    await listener.cache.delete(song.payload);
    hasty.after(20_000, () => (listener.crowd.links = [provider]));
  }
  t.ok(Buffer.concat(parts).equals(song.bytes));
});

t.test('one damaged chunk ends the music of its reader, and not that of another', async (t) => {
  const song = makeSong(60 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song, { alarms: hasty });
  let damaged = true;
  listener.crowd.links = [
    link(1, holder, async (method, params, honest) => {
      if (method === 'chunk' && params[1] === 7 && damaged) throw new PeerError('FILE_CHANGED', 'a bad sector');
      return honest();
    }),
  ];
  const other = listener.payloads.open({ ...rangeOf(song, 20 * CHUNK_BYTES), bytesPerMs: 40 });
  await other.next();
  const startedAt = hasty.now();
  // Reads ahead of the damage, and comes to it last.
  const behind = listener.payloads.open({ ...rangeOf(song, 2 * CHUNK_BYTES, 9 * CHUNK_BYTES), bytesPerMs: 40 });
  await behind.next();
  await t.rejects(collect(listener.payloads.open({ ...rangeOf(song, 5 * CHUNK_BYTES), bytesPerMs: 40 })), { code: 'SONG_UNAVAILABLE' });
  const tookMs = hasty.now() - startedAt;
  const inHandMs = (5 * CHUNK_BYTES) / 40;
  t.ok(tookMs < inHandMs + 2 * PROVIDERS_WAIT_MS, `${Math.round(tookMs)} ms`);
  damaged = false;
  listener.crowd.links = [link(2, holder)];
  t.equal((await collect(other)).byteLength, 39 * CHUNK_BYTES);
  t.ok((await collect(behind)).equals(song.bytes.subarray(3 * CHUNK_BYTES, 9 * CHUNK_BYTES)), 'what was lost to one is tried once more for the next');
});

t.test('a consumer that stalls bounds what is asked for; one that leaves cancels it', async (t) => {
  const song = makeSong(100 * CHUNK_BYTES);
  const root = t.testdir();
  // without a cache, what is read ahead is in memory
  const listener = await Machine.make(t, join(root, 'a'), { cacheBytes: 0 });
  const holder = await Machine.make(t, join(root, 'b'));
  await holder.share(song);
  let aborted = 0;
  const slowFrom = 40;
  const provider = link(1, holder, (method, params, honest, signal) => {
    if (method !== 'chunk' || (params[1] as number) < slowFrom) return honest();
    signal?.addEventListener('abort', () => aborted++);
    return never(method, params, honest, signal);
  });
  listener.crowd.links = [provider];
  const stream = listener.payloads.open(rangeOf(song));
  await stream.next();
  const asked = (): number => provider.asked.filter(([method]) => method === 'chunk').length;
  while (asked() < READ_AHEAD_CHUNKS) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(asked(), READ_AHEAD_CHUNKS);
  for (let i = 0; i < 20; i++) await stream.next();
  t.ok(asked() <= 21 + READ_AHEAD_CHUNKS, `${asked()}`);
  await stream.return();
  t.ok(aborted > 0, `${aborted} requests cancelled`);
  t.equal(listener.watchers, 0);
});

t.test('half a minute of music is in the cache before its player asks for it, and plays on when the provider is gone', async (t) => {
  const song = makeSong(100 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  listener.crowd.links = [link(1, holder)];
  const bytesPerMs = 80;
  const ahead = Math.floor((30_000 * bytesPerMs) / CHUNK_BYTES);
  const stream = listener.payloads.open({ ...rangeOf(song), bytesPerMs });
  const first = await stream.next();
  while (!listener.cache.hasChunk(song.payload, ahead)) await new Promise((resolve) => setImmediate(resolve));
  listener.crowd.links = [];
  const parts = [first.value as Uint8Array];
  while (parts.length <= ahead) parts.push((await stream.next()).value as Uint8Array);
  t.ok(Buffer.concat(parts).equals(song.bytes.subarray(0, parts.length * CHUNK_BYTES)));
  await stream.return();
  t.match(listener.stats.bytes, { own: 0, cache: 0 }, 'what others send meanwhile is theirs, also where it comes by way of the cache');
  t.ok(listener.stats.bytes.peers >= parts.length * CHUNK_BYTES);
  await collect(listener.payloads.open(rangeOf(song, 0, 10 * CHUNK_BYTES)));
  t.equal(listener.stats.bytes.cache, 10 * CHUNK_BYTES, 'what was there before is not');
});

t.test('what lies behind a player is brought to the cache as far as it needs, moves on with it, and nothing in front of it', async (t) => {
  const song = makeSong(200 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  const file = await holder.share(song, Buffer.alloc(3 * CHUNK_BYTES, 'tags'));
  const provider = link(1, holder);
  listener.crowd.links = [provider];
  const over = new AbortController();
  let at = file.prefixBytes + 10 * CHUNK_BYTES;
  // so slow a player that the half minute is nothing; and half of the line is what came since, which is little at once
  const brought = listener.reader.bringOn(file, { at: () => at, bytesPerMs: 0.001 }, over.signal);
  const has = (index: number): boolean => listener.cache.hasChunk(song.payload, index);
  while (!has(10 + READ_AHEAD_CHUNKS)) await new Promise((resolve) => setImmediate(resolve));
  t.notOk(has(199), 'not all of it at once');
  at = file.prefixBytes + 195 * CHUNK_BYTES;
  await brought;
  t.ok(has(199));
  t.notOk(has(9));
  over.abort();
  await listener.reader.bringOn(file, { at: () => 0, bytesPerMs: 40 }, over.signal);
  t.notOk(has(9), 'nor what nobody waits for any more');
  t.equal(listener.watchers, 0);
});

t.test('a fill brings the whole song into the cache, shares what a reader fetches, and stops when it is told to', async (t) => {
  const song = makeSong(60 * CHUNK_BYTES + 5);
  const { listener, holder } = await pair(t, song);
  const provider = link(1, holder);
  listener.crowd.links = [provider];
  const range = { payload: song.payload, payloadBytes: song.bytes.byteLength };
  const [filled, read] = await Promise.all([listener.payloads.fill(range), collect(listener.payloads.open(rangeOf(song)))]);
  t.equal(filled, true);
  t.ok(read.equals(song.bytes));
  t.equal(listener.cache.complete(song.payload), true);
  t.equal(provider.asked.filter(([method]) => method === 'chunk').length, 61, 'each chunk crossed once');
  t.equal(await listener.payloads.fill(range), true, 'once more costs nothing');
  t.equal(await holder.payloads.fill(range), true, 'an own file is as good');
  await listener.cache.delete(song.payload);
  const stop = new AbortController();
  const stopped = listener.payloads.fill({ ...range, background: true, signal: stop.signal });
  while (!listener.cache.hasChunk(song.payload, 3)) await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  t.equal(await stopped, false);
  t.equal(listener.watchers, 0, 'nothing is left watching');
  const asked = provider.asked.length;
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(provider.asked.length, asked, 'nor asking');
});

t.test('the whole song comes into the cache by and by, also when its player wants no more for now', async (t) => {
  const song = makeSong(100 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  listener.crowd.links = [link(1, holder)];
  const stream = listener.payloads.open({ ...rangeOf(song), bytesPerMs: 1 });
  await stream.next();
  const startedAt = performance.now();
  while (!listener.cache.complete(song.payload) && performance.now() - startedAt < 8_000) await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal(listener.cache.complete(song.payload), true);
  await stream.return();
  t.equal(listener.watchers, 0);
});

t.test('a fill ends when all is in the cache, whatever a reader still holds in memory, and lets the song go', async (t) => {
  const song = makeSong(20 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  listener.crowd.links = [link(1, holder)];
  const stream = listener.payloads.open({ ...rangeOf(song), bytesPerMs: 40 });
  await stream.next();
  t.equal(await listener.payloads.fill({ payload: song.payload, payloadBytes: song.bytes.byteLength }), true, 'while the reader pauses');
  await stream.return();
  t.equal(listener.watchers, 0);
});

t.test('whoever stops reading in the middle of what is filled leaves no hole in it', async (t) => {
  const song = makeSong(60 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  let aborted = 0;
  const provider = link(1, holder, async (method, params, honest, signal) => {
    if (method !== 'chunk' || (params[1] as number) < 10) return honest();
    signal?.addEventListener('abort', () => aborted++);
    await gate;
    return honest();
  });
  listener.crowd.links = [provider];
  const filled = listener.payloads.fill({ payload: song.payload, payloadBytes: song.bytes.byteLength });
  while (!provider.asked.some(([method, params]) => method === 'chunk' && params[1] === 10)) await new Promise((resolve) => setImmediate(resolve));
  const stream = listener.payloads.open(rangeOf(song));
  for (let read = 0; read < 10; read++) await stream.next();
  await stream.return();
  t.ok(aborted > 0, 'its chunks were under way');
  open();
  t.equal(await filled, true);
  t.ok(listener.cache.complete(song.payload));
});

t.test('a fill that is called off before it begins fetches nothing', async (t) => {
  const song = makeSong(20 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  const provider = link(1, holder);
  listener.crowd.links = [provider];
  const stop = new AbortController();
  listener.cache.manifestOf = async () => {
    stop.abort();
    return null;
  };
  t.equal(await listener.payloads.fill({ payload: song.payload, payloadBytes: song.bytes.byteLength, signal: stop.signal }), false);
  t.strictSame(provider.asked.filter(([method]) => method === 'chunk'), []);
});

t.test('a copy takes the place of what is free only, a resumed one too; a listener’s song that of what is wanted as well', async (t) => {
  const song = makeSong(20 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  const begun: (string | undefined)[] = [];
  const begin = listener.cache.begin.bind(listener.cache);
  listener.cache.begin = (payload, bytes, manifest, options) => {
    begun.push(options?.evict);
    return begin(payload, bytes, manifest, options);
  };
  const dying = link(1, holder, (method, params, honest) => (method === 'chunk' && (params[1] as number) > 5 ? lost(method, params, honest, undefined) : honest()));
  listener.crowd.links = [dying];
  const range = { payload: song.payload, payloadBytes: song.bytes.byteLength };
  const stop = new AbortController();
  const first = listener.payloads.fill({ ...range, background: true, signal: stop.signal });
  while (!listener.cache.hasChunk(song.payload, 5)) await new Promise((resolve) => setTimeout(resolve, 5));
  stop.abort();
  t.equal(await first, false);
  listener.crowd.links = [link(2, holder)];
  t.equal(await listener.payloads.fill({ ...range, background: true }), true);
  t.ok(begun.length >= 2 && begun.every((evict) => evict === 'free'), `${begun}`);
  begun.length = 0;
  await listener.cache.delete(song.payload);
  await collect(listener.payloads.open(rangeOf(song)));
  t.strictSame(new Set(begun), new Set(['wanted']));
});

t.test('one damaged chunk of an own file comes from elsewhere, and the rest still from the own disk', async (t) => {
  const song = makeSong(20 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  await listener.share(song);
  const provider = link(1, holder);
  listener.crowd.links = [provider];
  const read = listener.local.read.bind(listener.local);
  listener.local.read = async (payload, index) => {
    if (index === 3) throw new PeerError('FILE_CHANGED', 'a bad sector');
    return read(payload, index);
  };
  t.ok((await collect(listener.payloads.open({ ...rangeOf(song), end: 10 * CHUNK_BYTES }))).equals(song.bytes.subarray(0, 10 * CHUNK_BYTES)));
  t.equal(listener.stats.bytes.own, 9 * CHUNK_BYTES);
});

t.test('what a person pinned may take the place of what is wanted, and for its provider it is a copy like others', async (t) => {
  const song = makeSong(20 * CHUNK_BYTES);
  const wanted = makeSong(20 * CHUNK_BYTES);
  const root = t.testdir();
  const holder = await Machine.make(t, join(root, 'holder'));
  const listener = await Machine.make(t, join(root, 'listener'), { cacheBytes: 30 * CHUNK_BYTES });
  await mkdir(join(root, 'holder'), { recursive: true });
  await holder.share(song);
  const provider = link(1, holder);
  listener.crowd.links = [provider];
  t.ok(await fillCache(listener.cache, wanted));
  listener.cache.judgeWith(() => 'wanted');
  const range = { payload: song.payload, payloadBytes: song.bytes.byteLength };
  t.equal(await listener.payloads.fill({ ...range, background: true }), false);
  t.ok(listener.cache.complete(wanted.payload));
  t.equal(await listener.payloads.fill({ ...range, background: true, evict: 'wanted' }), true);
  t.notOk(listener.cache.has(wanted.payload));
  const chunks = provider.asked.filter(([method]) => method === 'chunk');
  t.ok(chunks.length >= 20);
  for (const [, params] of chunks) if (parseChunkParams(params).urgency !== 'background') t.fail('nobody listens');
});

t.test('a fill that nobody can serve, or no cache takes, ends by itself', async (t) => {
  const song = makeSong(10 * CHUNK_BYTES);
  const root = t.testdir();
  const holder = await Machine.make(t, join(root, 'b'));
  await holder.share(song);
  const range = { payload: song.payload, payloadBytes: song.bytes.byteLength };
  const uncached = await Machine.make(t, join(root, 'c'), { cacheBytes: 0 });
  uncached.crowd.links = [link(1, holder)];
  t.equal(await uncached.payloads.fill(range), false);
  const alone = await Machine.make(t, join(root, 'd'), { alarms: hasty });
  t.equal(await alone.payloads.fill(range), false);
});

t.test('an abort ends a read that waits for the network', async (t) => {
  const song = makeSong(3 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  listener.crowd.links = [link(1, holder, never)];
  const stop = new AbortController();
  const reading = collect(listener.payloads.open({ ...rangeOf(song), signal: stop.signal }));
  setImmediate(() => stop.abort());
  await t.rejects(reading, { code: 'CANCELLED' });
  t.equal(listener.watchers, 0);
  await t.rejects(collect(listener.payloads.open({ ...rangeOf(song), signal: AbortSignal.abort() })), { code: 'CANCELLED' });
});

t.test('a cache that is full, refuses or fails does not disturb the music', async (t) => {
  const song = makeSong(20 * CHUNK_BYTES);
  const root = t.testdir();
  const holder = await Machine.make(t, join(root, 'b'));
  await holder.share(song);
  const refusing = await Machine.make(t, join(root, 'a'), { cacheBytes: 0 });
  refusing.crowd.links = [link(1, holder)];
  t.ok((await collect(refusing.payloads.open(rangeOf(song)))).equals(song.bytes));
  const failing = await Machine.make(t, join(root, 'c'));
  failing.crowd.links = [link(1, holder)];
  const parts: Uint8Array[] = [];
  for await (const part of failing.payloads.open(rangeOf(song))) {
    parts.push(part);
    if (parts.length === 2) await rm(join(root, 'c', 'cache'), { recursive: true });
  }
  t.ok(Buffer.concat(parts).equals(song.bytes));
});

t.test('a file that changes while it is served is noticed, reported for a scan, and taken from another', async (t) => {
  const song = makeSong(40 * CHUNK_BYTES);
  const { listener, holder, root } = await pair(t, song);
  const second = await Machine.make(t, join(root, 'second'));
  await second.share(song);
  const path = holder.own.get(song.payload)?.[0]?.path as string;
  let asked = 0;
  // by its third question: what the listener has read says nothing of how much has come already
  const changing = link(1, holder, async (method, _, honest) => {
    if (method === 'chunk' && (asked += 1) === 3) await writeFile(path, randomBytes(song.bytes.byteLength));
    return honest();
  });
  listener.crowd.links = [changing, link(2, second, async (_, __, honest) => (await new Promise((resolve) => setTimeout(resolve, 3)), honest()))];
  t.ok((await collect(listener.payloads.open(rangeOf(song)))).equals(song.bytes));
  t.strictSame([...new Set(holder.changed)], [path]);
  t.strictSame(listener.liars, [], 'it said so itself');
});

t.test('own music that changes under the reader is completed from the network', async (t) => {
  const song = makeSong(40 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  await listener.share(song);
  listener.crowd.links = [link(1, holder)];
  const parts: Uint8Array[] = [];
  for await (const part of listener.payloads.open(rangeOf(song))) {
    parts.push(part);
    if (parts.length === 5) await writeFile(listener.own.get(song.payload)?.[0]?.path as string, randomBytes(song.bytes.byteLength));
  }
  t.ok(Buffer.concat(parts).equals(song.bytes));
});

t.test('questions that make no sense are refused with a code', async (t) => {
  const song = makeSong(CHUNK_BYTES + 1);
  const { holder, root } = await pair(t, song);
  const file = holder.ownFiles.keys().next().value as FileId;
  const bad: [string, unknown][] = [
    ['chunk', undefined],
    ['chunk', []],
    ['chunk', 'abc'],
    ['chunk', [Buffer.alloc(15), 0]],
    ['chunk', [Buffer.alloc(16), -1]],
    ['chunk', [Buffer.alloc(16), 1.5]],
    ['manifest', [song.payload, 0]],
    ['edge', [Buffer.alloc(16), 2, 0]],
    ['edge', [Buffer.alloc(16), 0]],
  ];
  for (const [method, params] of bad) await t.rejects(holder.serve(method, params), { code: 'BAD_MESSAGE' }, JSON.stringify(params));
  const none = randomId<PayloadId>();
  await t.rejects(holder.serve('chunk', chunkParams(none, 0, 'soon')), { code: 'NOT_FOUND' });
  await t.rejects(holder.serve('chunk', chunkParams(song.payload, 2, 'soon')), { code: 'NOT_FOUND' });
  await t.rejects(holder.serve('manifest', manifestParams(none, 0)), { code: 'NOT_FOUND' });
  await t.rejects(holder.serve('edge', edgeParams(randomId<FileId>(), 'prefix', 0)), { code: 'NOT_FOUND' });
  t.equal((await holder.serve('manifest', manifestParams(song.payload, 1_000))).byteLength, 0);
  t.equal((await holder.serve('edge', edgeParams(file, 'suffix', 0))).byteLength, 0);
  t.strictSame(holder.changed, [], 'no file is blamed for them');
  const partial = await Machine.make(t, join(root, 'partial'));
  await partial.cache.begin(song.payload, song.bytes.byteLength, song.manifest);
  await t.rejects(partial.serve('chunk', chunkParams(song.payload, 0, 'soon')), { code: 'CHUNK_UNAVAILABLE' });
});

// --- whole files

t.test('a file is put together exactly, over every range, its prefix fetched once', async (t) => {
  const song = makeSong(2 * CHUNK_BYTES + 10);
  const { listener, holder } = await pair(t, song);
  const prefix = randomBytes(300_000);
  const suffix = randomBytes(128);
  const file = await holder.share(song, prefix, suffix);
  const original = Buffer.concat([prefix, song.bytes, suffix]);
  const provider = link(1, holder);
  listener.crowd.links = [provider];
  const cuts = [0, 1, prefix.byteLength - 1, prefix.byteLength, prefix.byteLength + 1, original.byteLength - 129, original.byteLength - 128, original.byteLength - 127, original.byteLength];
  for (const reader of [listener, holder]) {
    for (const start of cuts) {
      for (const end of cuts) {
        if (start > end) continue;
        const bytes = await collect(reader.reader.open({ file, start, end }));
        if (!bytes.equals(original.subarray(start, end))) t.fail(`[${start}, ${end})`);
      }
    }
  }
  t.equal(provider.asked.filter(([method]) => method === 'edge').length, 3 + 1, 'three pieces of the prefix, one of the suffix');
});

t.test('a holder that is there and cannot be reached is asked again for longer than one that is gone is waited for', async (t) => {
  const song = makeSong(100);
  const { listener, holder } = await pair(t, song, { alarms: hasty });
  const prefix = randomBytes(1000);
  const file = await holder.share(song, prefix, Buffer.alloc(0));
  const started = hasty.now();
  let asked = 0;
  const unreachable = async (): Promise<Uint8Array> => {
    throw new PeerError(asked++ % 2 === 0 ? 'CONNECTION_LOST' : 'TIMED_OUT', 'a cable that is about to break');
  };
  listener.crowd.links = [link(1, holder, (method, _, honest) => (method === 'edge' && hasty.now() - started < 3 * PROVIDERS_WAIT_MS ? unreachable() : honest()))];
  t.ok((await collect(listener.reader.open({ file, start: 0, end: 1000 }))).equals(prefix));
  t.ok(asked > 10, `asked ${asked} times in vain`);
  t.strictSame(listener.liars, []);
});

t.test('empty edges cost no request', async (t) => {
  const song = makeSong(100);
  const { listener, holder } = await pair(t, song);
  const provider = link(1, holder);
  listener.crowd.links = [provider];
  const file = describe(song, Buffer.alloc(0), Buffer.alloc(0));
  t.ok((await collect(listener.reader.open({ file, start: 0, end: sizeOf(file) }))).equals(song.bytes));
  t.strictSame(provider.asked.map(([method]) => method).sort(), ['chunk', 'manifest']);
});

t.test('no byte of a wrong prefix goes out; the next holder gives the right one', async (t) => {
  const song = makeSong(1000);
  const { listener, holder } = await pair(t, song);
  const prefix = randomBytes(200_000);
  const file = await holder.share(song, prefix, randomBytes(9));
  const flip: Reply = async (method, _, honest) => {
    const bytes = Buffer.from(await honest());
    if (method === 'edge') bytes[bytes.byteLength - 1]! ^= 1;
    return bytes;
  };
  const short: Reply = async (method, _, honest) => (method === 'edge' ? (await honest()).subarray(1) : honest());
  listener.crowd.links = [link(1, holder, flip), link(2, holder, short), link(3, holder, lost), link(4, holder)];
  const bytes = await collect(listener.reader.open({ file, start: 0, end: sizeOf(file) }));
  t.ok(bytes.subarray(0, prefix.byteLength).equals(prefix));
  t.ok(sha256(bytes).equals(sha256(Buffer.concat([prefix, song.bytes, bytes.subarray(-9)]))));
  t.strictSame([...new Set(listener.liars)].sort(), [peerId(1), peerId(2)]);
});

t.test('a holder that freezes keeps nobody waiting for a prefix, and one that is slow is not helped in vain', async (t) => {
  const song = makeSong(1000);
  const { listener, holder, root } = await pair(t, song);
  const file = await holder.share(song, randomBytes(500_000), Buffer.alloc(0));
  const helper = link(2, holder);
  listener.crowd.links = [link(1, holder, never), helper];
  const startedAt = performance.now();
  t.equal((await collect(listener.reader.open({ file, start: 0, end: 10 }))).byteLength, 10);
  t.ok(performance.now() - startedAt < 1_000, 'in less than the ten seconds of a request');
  t.strictSame(listener.liars, []);

  // so many pieces that all of them take longer than one may
  const other = await holder.share(song, randomBytes(4_000_000), Buffer.alloc(0));
  const slow = link(3, holder, async (_, __, honest) => {
    await new Promise((resolve) => setTimeout(resolve, 60));
    return honest();
  });
  helper.asked.length = 0;
  const waits = await Machine.make(t, join(root, 'waits'), { alarms: patient });
  waits.crowd.links = [slow, helper];
  await collect(waits.reader.open({ file: other, start: 0, end: 10 }));
  t.strictSame(helper.asked, [], 'its pieces came');
});

t.test('the only holder of the tags may vanish in mid-song when another file has the same music', async (t) => {
  const song = makeSong(60 * CHUNK_BYTES);
  const { listener, holder, root } = await pair(t, song);
  const tagged = await Machine.make(t, join(root, 'tagged'));
  const prefix = randomBytes(1000);
  const suffix = randomBytes(2000);
  const file = await tagged.share(song, prefix, suffix);
  listener.crowd.links = [link(1, tagged)];
  const parts: Uint8Array[] = [];
  for await (const part of listener.reader.open({ file, start: 0, end: sizeOf(file) })) {
    parts.push(part);
    if (parts.length === 10) listener.crowd.links = [link(2, holder)];
  }
  t.ok(Buffer.concat(parts).equals(Buffer.concat([prefix, song.bytes, suffix])));
});

t.test('whoever stops listening during the music stops the fetching of the suffix', async (t) => {
  const song = makeSong(10 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  const file = await holder.share(song, Buffer.alloc(0), randomBytes(500));
  let stopped = false;
  const provider = link(1, holder, (method, params, honest, signal) => {
    if (method !== 'edge') return honest();
    signal?.addEventListener('abort', () => (stopped = true));
    return never(method, params, honest, signal);
  });
  listener.crowd.links = [provider];
  const stream = listener.reader.open({ file, start: 0, end: sizeOf(file) });
  await stream.next();
  while (!provider.asked.some(([method]) => method === 'edge')) await new Promise((resolve) => setImmediate(resolve));
  t.notOk(stopped);
  await stream.return();
  for (let turns = 0; !stopped && turns < 100; turns++) await new Promise((resolve) => setImmediate(resolve));
  t.ok(stopped);
});

t.test('of a file that is fetched ahead, one part that nobody has stops the others', async (t) => {
  const song = makeSong(200 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song, { alarms: hasty });
  const file = await holder.share(song, randomBytes(1_000), Buffer.alloc(0));
  const provider = link(1, holder, async (method, _, honest) => {
    if (method === 'edge') throw new PeerError('NOT_FOUND', 'not here');
    await new Promise((resolve) => setTimeout(resolve, 30));
    return honest();
  });
  listener.crowd.links = [provider];
  await t.rejects(listener.reader.fetch(file), { code: 'SONG_UNAVAILABLE' });
  const asked = provider.asked.length;
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal(provider.asked.length, asked, 'nothing is asked for any more');
  t.notOk(listener.cache.complete(song.payload));
});

t.test('a holder that fails in one piece of an edge is asked for no other', async (t) => {
  const song = makeSong(100);
  const { listener, holder } = await pair(t, song);
  const prefix = randomBytes(40 * 131_072);
  const file = await holder.share(song, prefix, Buffer.alloc(0));
  let aborted = 0;
  const failing = link(1, holder, async (_, [, , offset], honest, signal) => {
    if (offset === 131_072) throw new PeerError('FILE_CHANGED', 'it was here');
    if (offset !== 2 * 131_072) return honest();
    signal?.addEventListener('abort', () => aborted++);
    return never('edge', [], honest, signal);
  });
  let abortedBefore: number | undefined;
  const other = link(2, holder, (_, __, honest) => {
    abortedBefore ??= aborted;
    return honest();
  });
  listener.crowd.links = [failing, other];
  t.ok((await collect(listener.reader.open({ file, start: 0, end: prefix.byteLength }))).equals(prefix));
  t.ok(failing.asked.length <= 8, `${failing.asked.length} pieces`);
  t.equal(abortedBefore, 1, 'what it still works on is called off before the next is asked');
});

t.test('what a player will need of a file is brought before it asks, and is here when its holder is gone', async (t) => {
  const song = makeSong(100);
  const { listener, holder } = await pair(t, song);
  const [prefix, suffix] = [randomBytes(300_000), randomBytes(1_000)];
  const file = await holder.share(song, prefix, suffix);
  listener.crowd.links = [link(1, holder)];
  t.equal(listener.reader.holdsEdges(file), false);
  await listener.reader.bringEdges(file);
  t.equal(listener.reader.holdsEdges(file), true);
  listener.crowd.links = [];
  t.ok((await collect(listener.reader.open({ file, start: 0, end: 9 }))).equals(prefix.subarray(0, 9)));
  t.ok((await collect(listener.reader.open({ file, start: sizeOf(file) - 9, end: sizeOf(file) }))).equals(suffix.subarray(-9)));
  const other = describe(song, randomBytes(9), Buffer.alloc(0));
  const large = { ...other, prefixBytes: EDGES_CACHED_BYTES + 1 };
  const asked = link(2, holder);
  listener.crowd.links = [asked];
  await listener.reader.bringEdges(large);
  t.strictSame(asked.asked, [], 'what is too large to be kept is left');
  t.equal(listener.reader.holdsEdges({ ...other, suffix: 'mp3' }), true, 'of an MP3 nothing is needed');
});

t.test('as given to others count chunks and edges that went out, and nothing else', async (t) => {
  const song = makeSong(3 * CHUNK_BYTES);
  const { holder } = await pair(t, song);
  const file = await holder.share(song, randomBytes(700), Buffer.alloc(0));
  const sent: number[] = [];
  const handlers = chunkHandlers({ local: holder.local, cache: holder.cache, onSent: (bytes) => sent.push(bytes) });
  const ask = served(handlers);
  await ask('manifest', manifestParams(song.payload, 0));
  await ask('have', haveParams(song.payload));
  await ask('chunk', chunkParams(song.payload, 0, 'soon'));
  await ask('edge', edgeParams(file.file, 'prefix', 0));
  t.strictSame(sent, [CHUNK_BYTES, 700]);
  const asker = { peer: peerId(5), signal: new AbortController().signal };
  const answer = await handlers.get('chunk')?.([Buffer.from(song.payload, 'hex'), 1, 0], asker);
  t.equal(sent.length, 2, 'not before it is sent');
  answer?.sent?.(new PeerError('CANCELLED', 'nobody waits for it any more'));
  t.equal(sent.length, 2, 'nor when it was cancelled');
});

t.test('a description whose hashes are not those of its file id is refused', async (t) => {
  const song = makeSong(10);
  const { listener, holder } = await pair(t, song);
  listener.crowd.links = [link(1, holder)];
  const file = { ...describe(song, Buffer.alloc(0), Buffer.alloc(0)), file: randomId<FileId>() };
  await t.rejects(collect(listener.reader.open({ file, start: 0, end: 10 })), { code: 'SONG_UNAVAILABLE' });
});

t.test('on a slow line of our own no crowd of holders is asked for a prefix', async (t) => {
  const song = makeSong(100);
  const { listener, holder } = await pair(t, song);
  const prefix = randomBytes(8 * PIECE_BYTES_MAX);
  const file = await holder.share(song, prefix, Buffer.alloc(0));
  // 128 KiB take 130 ms, whoever sends them
  let line = Promise.resolve<unknown>(undefined);
  const links = [1, 2, 3, 4, 5].map((n) =>
    link(n, holder, (_, __, honest) => {
      const mine = line.then(() => new Promise((resolve) => setTimeout(resolve, 130)));
      line = mine;
      return mine.then(honest);
    }),
  );
  listener.crowd.links = links;
  t.ok((await collect(listener.reader.open({ file, start: 0, end: prefix.byteLength }))).equals(prefix));
  t.ok(links.filter(({ asked }) => asked.length > 0).length <= 2, `${links.map(({ asked }) => asked.length)}`);
});

t.test('what nobody waits for any more is called off, and a forged length of an edge shares nothing with the right one', async (t) => {
  const song = makeSong(10);
  const { listener, holder } = await pair(t, song);
  const prefix = randomBytes(1_000);
  const file = await holder.share(song, prefix, Buffer.alloc(0));
  let calledOff = 0;
  const hanging = link(1, holder, (_, __, ___, signal) => new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(new PeerError('CANCELLED', `${++calledOff}`)))));
  listener.crowd.links = [hanging];
  const [over, forgedOver] = [new AbortController(), new AbortController()];
  const brought = listener.reader.bringStart(file, over.signal);
  const forged = listener.reader.bringStart({ ...file, prefixBytes: 999 }, forgedOver.signal);
  while (hanging.asked.length < 2) await new Promise(setImmediate);
  over.abort();
  t.equal(await brought, false);
  t.equal(calledOff, 1, 'and the other one goes on');
  listener.crowd.links = [link(2, holder)];
  t.ok((await collect(listener.reader.open({ file, start: 0, end: 1_000 }))).equals(prefix));
  forgedOver.abort();
  t.equal(await forged, false);
});

t.test('what a forged description says of a file is never given out for that file', async (t) => {
  const song = makeSong(10);
  const { listener, holder } = await pair(t, song);
  const honest = Buffer.from('honest tags');
  const file = await holder.share(song, honest, Buffer.alloc(0));
  const lies = Buffer.from('forged tags');
  const forged = { ...file, prefixHash: sha256(lies) };
  listener.crowd.links = [link(1, holder, async (method, _, asked) => (method === 'edge' ? lies : asked()))];
  await t.rejects(listener.reader.fetch(forged), { code: 'SONG_UNAVAILABLE' });
  t.equal(await listener.reader.bringStart(forged, new AbortController().signal), false);
  listener.crowd.links = [link(2, holder)];
  t.ok((await collect(listener.reader.open({ file, start: 0, end: honest.byteLength }))).equals(honest));
});

t.test('while the cache makes room for a song, a bounded part of it waits for that, and the music goes on', async (t) => {
  const song = makeSong(3 * CACHE_WRITES_MAX * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  listener.crowd.links = [link(1, holder)];
  const begin = listener.cache.begin.bind(listener.cache);
  const write = listener.cache.write.bind(listener.cache);
  let written = 0;
  let makeRoom = (): void => {};
  const room = new Promise<void>((resolve) => (makeRoom = resolve));
  listener.cache.begin = async (...args) => {
    await room;
    return begin(...args);
  };
  listener.cache.write = (...args) => {
    written++;
    return write(...args);
  };
  t.ok((await collect(listener.payloads.open(rangeOf(song)))).equals(song.bytes));
  makeRoom();
  while (!listener.cache.hasChunk(song.payload, 0)) await new Promise((resolve) => setTimeout(resolve, 5));
  t.ok(written <= CACHE_WRITES_MAX, `${written} chunks`);
  t.equal(await listener.payloads.fill({ payload: song.payload, payloadBytes: song.bytes.byteLength }), true, 'the rest can be had later');
});

t.test('a player is spared the cover of an MP3, and given what a decoder needs of the rest', async (t) => {
  const song = makeSong(1000);
  const [prefix, suffix] = [randomBytes(50), randomBytes(7)];
  t.strictSame(playbackRange(describe(song, prefix, suffix, 'mp3')), { start: 50, end: 1050 });
  for (const name of ['flac', 'm4a', 'ogg', 'wav']) t.strictSame(playbackRange(describe(song, prefix, suffix, name)), { start: 0, end: 1057 });
  t.equal(chunkLength(1000, 0), 1000);
});
