// The exchange of chunks: the pure planner in virtual time, then readers over links that die, lie, stall and return.
import { randomBytes } from 'node:crypto';
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { chunkCount, chunkLength, fileIdOf, HASH_BYTES, payloadIdOf, sha256 } from '../../lib/content.ts';
import { decode, encode } from '../../lib/codec.ts';
import { PeerError } from '../../lib/errors.ts';
import { type FileId, type PayloadId, type PeerId, randomId, type SongId } from '../../lib/ids.ts';
import { CHUNK_BYTES, CHUNKS_IN_FLIGHT_MAX, READ_AHEAD_CHUNKS } from '../../lib/limits.ts';
import { integerBetween, seededRandom } from '../../lib/random.ts';
import { type FileDescription, sizeOf } from '../../lib/song.ts';
import { chunkHandlers } from '../../peer/chunks/chunk-server.ts';
import type { Alarms } from '../../peer/chunks/alarms.ts';
import { EdgeReader } from '../../peer/chunks/edge-reader.ts';
import { FileReader, playbackRange } from '../../peer/chunks/file-reader.ts';
import { PayloadReader } from '../../peer/chunks/payload-reader.ts';
import { MANIFEST, Planner, type PlannerEffect, type PlannerInput, PROVIDERS_WAIT_MS } from '../../peer/chunks/planner.ts';
import { ProviderPace } from '../../peer/chunks/provider-pace.ts';
import { type ChunkLink, chunkParams, edgeParams, manifestParams, type Providers } from '../../peer/chunks/provider-link.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { LocalFiles, type StoredFile } from '../../storage/local-files.ts';
import { OpenFiles } from '../../storage/open-files.ts';

const MiB = 1024 * 1024;
const peerId = (n: number): PeerId => String(n).padStart(32, '0') as PeerId;

// --- the planner in a world of its own

interface Behaviour {
  /** Bytes a millisecond, and both ways of the wire in milliseconds. */
  readonly rate: number;
  readonly roundTrip: number;
  /** From when to when it is silent: it takes questions and never answers them. */
  readonly silent?: readonly [number, number];
  /** From when to when it is gone: the connection is lost, and it is not in the list. */
  readonly gone?: readonly [number, number];
  readonly lies?: (item: number) => boolean;
  readonly lacks?: (item: number) => boolean;
}

interface Outcome {
  readonly verifiedAt: Map<number, number>;
  readonly gaveUpAt: number | undefined;
  readonly askedOf: Map<PeerId, number>;
  readonly inFlightMax: number;
}

/** Runs a planner over `chunks` chunks against simulated providers; a consumer wants 32 ahead and takes at once. */
function simulate(chunks: number, behaviours: readonly Behaviour[]): Outcome {
  const paces = new Map<PeerId, ProviderPace>();
  const planner = new Planner((peer) => {
    const pace = paces.get(peer) ?? new ProviderPace();
    paces.set(peer, pace);
    return pace;
  });
  const bytesOf = (item: number): number => (item === MANIFEST ? chunks * HASH_BYTES : CHUNK_BYTES);
  const queue: { at: number; order: number; run: () => void }[] = [];
  let now = 0;
  let order = 0;
  const at = (when: number, run: () => void): void => void queue.push({ at: Math.max(now, when), order: order++, run });
  const busyUntil = behaviours.map(() => 0);
  const live = new Map<number, { provider: number; item: number }>();
  const askedOf = new Map<PeerId, number>();
  const verifiedAt = new Map<number, number>();
  const unverified: { item: number; provider: number }[] = [];
  let inFlightMax = 0;
  let alarm = 0;
  let gaveUpAt: number | undefined;
  let wanted = 0;
  let head = 0;

  const isGone = (b: Behaviour): boolean => b.gone !== undefined && now >= b.gone[0] && now < b.gone[1];
  const list = (): PeerId[] => behaviours.flatMap((b, i) => (isGone(b) ? [] : [peerId(i)]));

  const step = (input: PlannerInput): void => {
    for (const effect of planner.step(input)) carryOut(effect);
  };
  const carryOut = (effect: PlannerEffect): void => {
    if (effect.kind === 'ask') {
      const provider = Number(effect.peer);
      const behaviour = behaviours[provider] as Behaviour;
      const { request, item } = effect;
      askedOf.set(effect.peer, (askedOf.get(effect.peer) ?? 0) + 1);
      live.set(request, { provider, item });
      inFlightMax = Math.max(inFlightMax, live.size);
      if (isGone(behaviour)) at(now + 1, () => live.delete(request) && step({ kind: 'failed', request, code: 'CONNECTION_LOST', now }));
      else if (behaviour.lacks?.(item) === true) at(now + behaviour.roundTrip, () => live.delete(request) && step({ kind: 'failed', request, code: 'CHUNK_UNAVAILABLE', now }));
      else {
        const done = Math.max(now + behaviour.roundTrip / 2, busyUntil[provider] as number) + bytesOf(item) / behaviour.rate;
        busyUntil[provider] = done;
        const [from, to] = behaviour.silent ?? [0, 0];
        if (done < from || done >= to) at(done + behaviour.roundTrip / 2, () => receive(request));
      }
    } else if (effect.kind === 'cancel') live.delete(effect.request);
    else if (effect.kind === 'arm') {
      const mine = ++alarm;
      at(effect.at, () => mine === alarm && step({ kind: 'expired', now }));
    } else gaveUpAt = now;
  };
  const receive = (request: number): void => {
    const asked = live.get(request);
    if (asked === undefined) return;
    live.delete(request);
    step({ kind: 'received', request, now });
    if (asked.item === MANIFEST) {
      judge(asked);
      if (verifiedAt.has(MANIFEST)) for (const waiting of unverified.splice(0)) judge(waiting);
    } else if (verifiedAt.has(MANIFEST)) judge(asked);
    else unverified.push(asked);
  };
  const judge = ({ item, provider }: { item: number; provider: number }): void => {
    if (behaviours[provider]?.lies?.(item) === true) {
      step({ kind: 'wrong', item, from: peerId(provider), now });
      return;
    }
    if (verifiedAt.has(item)) {
      // A second copy can only be one that had already arrived before the manifest did.
      return;
    }
    verifiedAt.set(item, now);
    step({ kind: 'verified', item, now });
    while (verifiedAt.has(head)) head++;
    want();
  };
  const want = (): void => {
    for (; wanted < Math.min(chunks, head + READ_AHEAD_CHUNKS); wanted++) step({ kind: 'wanted', item: wanted, bytes: CHUNK_BYTES, now });
  };

  for (const [i, { gone }] of behaviours.entries()) {
    if (gone === undefined) continue;
    at(gone[0], () => {
      step({ kind: 'providers', peers: list(), now });
      busyUntil[i] = 0;
    });
    at(gone[1], () => step({ kind: 'providers', peers: list(), now }));
  }
  step({ kind: 'providers', peers: list(), now });
  step({ kind: 'wanted', item: MANIFEST, bytes: bytesOf(MANIFEST), now });
  want();
  for (let turns = 0; queue.length > 0 && verifiedAt.size < chunks + 1 && gaveUpAt === undefined; turns++) {
    if (turns > 100_000) throw new Error('it never ends');
    let next = 0;
    for (let i = 1; i < queue.length; i++) {
      const [a, b] = [queue[i] as (typeof queue)[0], queue[next] as (typeof queue)[0]];
      if (a.at < b.at || (a.at === b.at && a.order < b.order)) next = i;
    }
    const event = queue.splice(next, 1)[0] as (typeof queue)[0];
    now = event.at;
    event.run();
  }
  return { verifiedAt, gaveUpAt, askedOf, inFlightMax };
}

const whole = (outcome: Outcome, chunks: number): boolean => outcome.verifiedAt.size === chunks + 1;
const endOf = (outcome: Outcome): number => Math.max(...outcome.verifiedAt.values());
const WIFI: Behaviour = { rate: 2_500, roundTrip: 20 };

t.test('the first chunk at 20 Mbit/s and 20 ms costs one round trip and its own transmission', async (t) => {
  const outcome = simulate(64, [WIFI]);
  const first = outcome.verifiedAt.get(0) as number;
  t.ok(first < 20 + 26.3 + 1.5, `${first} ms`);
  const ideal = (64 * CHUNK_BYTES) / WIFI.rate + 20;
  t.ok(endOf(outcome) < ideal * 1.05, `the line is busy: ${Math.round(endOf(outcome))} of ${Math.round(ideal)} ms`);
  t.ok(outcome.inFlightMax <= 7, `a jump would wait behind ${outcome.inFlightMax} chunks at most`);
});

t.test('the pipeline grows until a fast line with a long round trip is full', async (t) => {
  const line: Behaviour = { rate: 50_000, roundTrip: 15 };
  const outcome = simulate(800, [line]);
  const ideal = (800 * CHUNK_BYTES) / line.rate + 15;
  t.ok(endOf(outcome) < ideal * 1.25, `${Math.round(endOf(outcome))} of ${Math.round(ideal)} ms`);
  t.ok(outcome.inFlightMax <= CHUNKS_IN_FLIGHT_MAX + 2);
});

t.test('two providers together are faster than each, in proportion to what they can', async (t) => {
  const fast: Behaviour = { rate: 10_000, roundTrip: 5 };
  const outcome = simulate(400, [WIFI, fast]);
  const alone = endOf(simulate(400, [fast]));
  t.ok(endOf(outcome) < alone * 0.9, `${Math.round(endOf(outcome))} ms instead of ${Math.round(alone)}`);
  t.ok((outcome.askedOf.get(peerId(1)) ?? 0) > 2 * (outcome.askedOf.get(peerId(0)) ?? 0));
});

t.test('a provider that falls silent costs a pause of less than half a second', async (t) => {
  const fast: Behaviour = { rate: 10_000, roundTrip: 5 };
  const outcome = simulate(200, [{ ...fast, silent: [300, 1e9] }, WIFI]);
  t.ok(whole(outcome, 200));
  const times = [...outcome.verifiedAt.values()].sort((a, b) => a - b);
  const pause = Math.max(...times.map((time, i) => time - (times[i - 1] ?? 0)));
  t.ok(pause < 500, `${Math.round(pause)} ms`);
});

t.test('nobody left is waited for as long as said, then given up', async (t) => {
  const outcome = simulate(50, [{ ...WIFI, gone: [200, 1e9] }]);
  t.ok((outcome.gaveUpAt as number) >= 200 + PROVIDERS_WAIT_MS - 1 && (outcome.gaveUpAt as number) < 200 + PROVIDERS_WAIT_MS + 500, `${outcome.gaveUpAt}`);
  t.ok(whole(simulate(50, [{ ...WIFI, gone: [200, 4_000] }]), 50), 'and one that returns in time goes on');
  t.equal(simulate(5, []).gaveUpAt, PROVIDERS_WAIT_MS);
});

t.test('a liar is asked for nothing more, and a partial holder only for what it has', async (t) => {
  const liar: Behaviour = { rate: 100_000, roundTrip: 1, lies: (item) => item >= 0 };
  const partial: Behaviour = { rate: 100_000, roundTrip: 1, lacks: (item) => item >= 0 && item % 2 === 0 };
  const outcome = simulate(100, [liar, partial, WIFI]);
  t.ok(whole(outcome, 100));
  t.ok((outcome.askedOf.get(peerId(0)) as number) <= 6, `${outcome.askedOf.get(peerId(0))} requests`);
  const liarOnly = simulate(10, [liar]);
  t.notOk(whole(liarOnly, 10));
  t.ok((liarOnly.gaveUpAt as number) < PROVIDERS_WAIT_MS + 1_000);
});

/** A planner that wants one chunk, for a talk of a few sentences. */
function talk(peers: readonly PeerId[]): { planner: Planner; asks: (effects: readonly PlannerEffect[]) => PeerId[] } {
  const planner = new Planner(() => new ProviderPace());
  planner.step({ kind: 'providers', peers, now: 0 });
  return { planner, asks: (effects) => effects.flatMap((effect) => (effect.kind === 'ask' ? [effect.peer] : [])) };
}

t.test('a liar that leaves and comes back is still a liar', async (t) => {
  const [liar, other] = [peerId(1), peerId(2)];
  const { planner, asks } = talk([liar]);
  t.strictSame(asks(planner.step({ kind: 'wanted', item: 0, bytes: CHUNK_BYTES, now: 1 })), [liar]);
  planner.step({ kind: 'received', request: 1, now: 30 });
  t.strictSame(asks(planner.step({ kind: 'wrong', item: 0, from: liar, now: 31 })), []);
  t.strictSame(asks(planner.step({ kind: 'providers', peers: [], now: 32 })), []);
  t.strictSame(asks(planner.step({ kind: 'providers', peers: [liar], now: 33 })), []);
  t.strictSame(asks(planner.step({ kind: 'providers', peers: [liar, other], now: 34 })), [other]);
});

t.test('a partial holder is asked again when the providers have changed', async (t) => {
  const holder = peerId(1);
  const { planner, asks } = talk([holder]);
  planner.step({ kind: 'wanted', item: 0, bytes: CHUNK_BYTES, now: 0 });
  t.strictSame(asks(planner.step({ kind: 'failed', request: 1, code: 'CHUNK_UNAVAILABLE', now: 10 })), []);
  t.strictSame(asks(planner.step({ kind: 'providers', peers: [holder], now: 500 })), [holder]);
});

t.test('one that lost its connection is asked again after a rest that grows, and every hunger has its own patience', async (t) => {
  const only = peerId(1);
  const { planner, asks } = talk([only]);
  let now = 0;
  let alarm = 0;
  const step = (input: PlannerInput): PeerId[] => {
    const effects = planner.step(input);
    for (const effect of effects) if (effect.kind === 'arm') alarm = effect.at;
    return asks(effects);
  };
  t.strictSame(step({ kind: 'wanted', item: 0, bytes: CHUNK_BYTES, now }), [only]);
  for (const [request, rest] of [100, 200, 400, 800, 1600, 2000, 2000].entries()) {
    const failedAt = now;
    let asked = step({ kind: 'failed', request: request + 1, code: 'CONNECTION_LOST', now });
    for (let rings = 0; asked.length === 0 && rings < 10; rings++) asked = step({ kind: 'expired', now: (now = alarm) });
    t.strictSame(asked, [only]);
    t.equal(now - failedAt, rest);
  }
  t.ok(now > PROVIDERS_WAIT_MS, 'longer than the wait for a provider, because there was one');
});

t.test('whatever providers do, every chunk is verified once as long as one honest holder stays', async () => {
  const random = (seed: number) => {
    const next = seededRandom(seed);
    const between = (low: number, high: number): number => integerBetween(next, low, high);
    const span = (): [number, number] => {
      const from = between(0, 3_000);
      return [from, from + between(1, 8_000)];
    };
    const behaviour = (): Behaviour => {
      const base: Behaviour = { rate: 10 ** (2 + 3 * next()), roundTrip: between(0, 60) };
      const n = between(2, 5);
      return [
        base,
        { ...base, gone: span() },
        { ...base, silent: span() },
        { ...base, lies: () => true },
        { ...base, lies: (item: number) => item % n === 0 },
        { ...base, lacks: (item: number) => item % n !== 1 },
        { ...base, gone: span(), lies: (item: number) => item === MANIFEST },
      ][between(0, 6)] as Behaviour;
    };
    const honest: Behaviour = { rate: between(300, 5_000), roundTrip: between(0, 60) };
    return { chunks: between(1, 80), behaviours: [...Array.from({ length: between(0, 5) }, behaviour), honest] };
  };
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const { chunks, behaviours } = random(seed);
      const outcome = simulate(chunks, behaviours);
      if (outcome.gaveUpAt !== undefined || !whole(outcome, chunks)) throw new Error(`seed ${seed}: ${outcome.verifiedAt.size} of ${chunks + 1}, gave up at ${outcome.gaveUpAt}`);
      // Hedges of late chunks may come on top of the window.
      if (outcome.inFlightMax > 2 * CHUNKS_IN_FLIGHT_MAX + 2) throw new Error(`seed ${seed}: ${outcome.inFlightMax} in flight`);
    }),
    { numRuns: 400, verbose: 1 },
  );
});

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
  readonly #watchers = new Set<() => void>();

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

  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }
}

/** One machine: its music, its cache, what it serves and what it reads. */
class Machine {
  readonly crowd = new Crowd();
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

  private constructor(folder: string, files: OpenFiles, cache: ChunkCache, alarms: Alarms | undefined) {
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
    this.payloads = new PayloadReader({ local: this.local, cache, providers: this.crowd, onLiar, ...(alarms && { alarms }) });
    this.edges = new EdgeReader({ local: this.local, cache, providers: this.crowd, onLiar, ...(alarms && { alarms }) });
    this.reader = new FileReader({ payloads: this.payloads, edges: this.edges });
  }

  static async make(t: Test, folder: string, { cacheBytes = 64 * MiB, alarms }: { cacheBytes?: number; alarms?: Alarms } = {}): Promise<Machine> {
    const files = new OpenFiles();
    const machine = new Machine(folder, files, await ChunkCache.open(join(folder, 'cache'), { bytesMax: cacheBytes, files }), alarms);
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
    const stored = { path, sizeBytes: size, mtimeMs, prefixBytes: prefix.byteLength, payloadBytes: song.bytes.byteLength, suffixBytes: suffix.byteLength };
    this.own.set(song.payload, [...(this.own.get(song.payload) ?? []), stored]);
    this.ownFiles.set(description.file, [stored]);
    this.manifests.set(song.payload, song.manifest);
    return description;
  }

  /** Params cross as bytes, as they do on a wire. */
  async serve(method: string, params: unknown): Promise<Uint8Array> {
    const handler = this.#handlers.get(method);
    if (handler === undefined) throw new PeerError('UNSUPPORTED', method);
    return handler(decode(encode(params), { bytesMax: 1000, code: 'BAD_MESSAGE' }));
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
  t.equal(uncached.crowd.watchers + listener.crowd.watchers, 0, 'nothing is left watching');
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

/** A hundred times as fast as the world. */
const hasty: Alarms = {
  now: () => performance.now() * 100,
  after: (ms, ring) => {
    const timer = setTimeout(ring, ms / 100);
    return () => clearTimeout(timer);
  },
};

t.test('with nobody to ask, a song and a file fail with SONG_UNAVAILABLE after a wait', async (t) => {
  const song = makeSong(3 * CHUNK_BYTES);
  const listener = await Machine.make(t, t.testdir(), { alarms: hasty });
  const started = hasty.now();
  await t.rejects(collect(listener.payloads.open(rangeOf(song))), { code: 'SONG_UNAVAILABLE' });
  t.ok(hasty.now() - started > PROVIDERS_WAIT_MS - 100);
  const file = describe(song, Buffer.from('tags'), Buffer.alloc(0));
  await t.rejects(collect(listener.reader.open({ file, start: 0, end: 2 })), { code: 'SONG_UNAVAILABLE' });
  t.equal(listener.crowd.watchers, 0);
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

t.test('a provider that hangs is relieved by another', async (t) => {
  const song = makeSong(12 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  const hanging = link(1, holder, (method, params, honest, signal) => (method === 'chunk' ? never(method, params, honest, signal) : honest()));
  listener.crowd.links = [hanging, link(2, holder)];
  const started = performance.now();
  t.ok((await collect(listener.payloads.open(rangeOf(song)))).equals(song.bytes));
  t.ok(performance.now() - started < 2_000);
  t.strictSame(listener.liars, [], 'being slow is no lie');
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

t.test('a consumer that stalls bounds what is asked for; one that leaves cancels it', async (t) => {
  const song = makeSong(100 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
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
  // Everything that will be asked for without a further read has been when the cache has it.
  while (!listener.cache.hasChunk(song.payload, READ_AHEAD_CHUNKS - 1)) await new Promise((resolve) => setImmediate(resolve));
  const asked = (): number => provider.asked.filter(([method]) => method === 'chunk').length;
  t.equal(asked(), READ_AHEAD_CHUNKS);
  for (let i = 0; i < 20; i++) await stream.next();
  t.ok(asked() <= 21 + READ_AHEAD_CHUNKS, `${asked()}`);
  await stream.return();
  t.ok(aborted > 0, `${aborted} requests cancelled`);
  t.equal(listener.crowd.watchers, 0);
});

t.test('an abort ends a read that waits for the network', async (t) => {
  const song = makeSong(3 * CHUNK_BYTES);
  const { listener, holder } = await pair(t, song);
  listener.crowd.links = [link(1, holder, never)];
  const stop = new AbortController();
  const reading = collect(listener.payloads.open({ ...rangeOf(song), signal: stop.signal }));
  setImmediate(() => stop.abort());
  await t.rejects(reading, { code: 'CANCELLED' });
  t.equal(listener.crowd.watchers, 0);
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
  listener.crowd.links = [link(1, holder), link(2, second, async (_, __, honest) => (await new Promise((resolve) => setTimeout(resolve, 3)), honest()))];
  const parts: Uint8Array[] = [];
  const path = holder.own.get(song.payload)?.[0]?.path as string;
  for await (const part of listener.payloads.open(rangeOf(song))) {
    parts.push(part);
    if (parts.length === 2) await writeFile(path, randomBytes(song.bytes.byteLength));
  }
  t.ok(Buffer.concat(parts).equals(song.bytes));
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
  await t.rejects(holder.serve('chunk', chunkParams(none, 0)), { code: 'NOT_FOUND' });
  await t.rejects(holder.serve('chunk', chunkParams(song.payload, 2)), { code: 'NOT_FOUND' });
  await t.rejects(holder.serve('manifest', manifestParams(none, 0)), { code: 'NOT_FOUND' });
  await t.rejects(holder.serve('edge', edgeParams(randomId<FileId>(), 'prefix', 0)), { code: 'NOT_FOUND' });
  t.equal((await holder.serve('manifest', manifestParams(song.payload, 1_000))).byteLength, 0);
  t.equal((await holder.serve('edge', edgeParams(file, 'suffix', 0))).byteLength, 0);
  t.strictSame(holder.changed, [], 'no file is blamed for them');
  const partial = await Machine.make(t, join(root, 'partial'));
  await partial.cache.begin(song.payload, song.bytes.byteLength, song.manifest);
  await t.rejects(partial.serve('chunk', chunkParams(song.payload, 0)), { code: 'CHUNK_UNAVAILABLE' });
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

t.test('a description whose hashes are not those of its file id is refused', async (t) => {
  const song = makeSong(10);
  const { listener, holder } = await pair(t, song);
  listener.crowd.links = [link(1, holder)];
  const file = { ...describe(song, Buffer.alloc(0), Buffer.alloc(0)), file: randomId<FileId>() };
  await t.rejects(collect(listener.reader.open({ file, start: 0, end: 10 })), { code: 'SONG_UNAVAILABLE' });
});

t.test('a player is spared the cover of an MP3, and given what a decoder needs of the rest', async (t) => {
  const song = makeSong(1000);
  const [prefix, suffix] = [randomBytes(50), randomBytes(7)];
  t.strictSame(playbackRange(describe(song, prefix, suffix, 'mp3')), { start: 50, end: 1050 });
  for (const name of ['flac', 'm4a', 'ogg', 'wav']) t.strictSame(playbackRange(describe(song, prefix, suffix, name)), { start: 0, end: 1057 });
  t.equal(chunkLength(1000, 0), 1000);
});
