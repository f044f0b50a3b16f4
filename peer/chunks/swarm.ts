// All that is under way of one payload: carries out what planner.ts decides, and judges what comes back. A chunk is given
// to its readers only after its hash was right; until the manifest is here, chunks wait for it. Readers of the same
// payload share one swarm, so a chunk that two of them want crosses the network once. Beyond what readers wait for, a swarm
// fills the cache as far as it is told, so that a song outlives the machine that it comes from.
import { chunkCount, chunkLength, HASH_BYTES, isChunk, payloadIdOf } from '../../lib/content.ts';
import { codeOf, PeerError } from '../../lib/errors.ts';
import type { PayloadId, PeerId } from '../../lib/ids.ts';
import { CACHE_WRITES_MAX, FILL_CHUNKS_MAX, MANIFEST_BYTES_MAX, REQUEST_TIMEOUT_MS } from '../../lib/limits.ts';
import type { Random } from '../../lib/random.ts';
import type { Millis } from '../../lib/time.ts';
import type { Evictable } from '../../storage/cache-entry.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { Alarms } from './alarms.ts';
import { ManifestPieces } from './manifest-pieces.ts';
import { Planner, type PlannerEffect, type PlannerInput } from './planner.ts';
import type { ProviderPace } from './provider-pace.ts';
import { CHUNK_METHOD, type ChunkLink, chunkParams, decodeSurvey, HAVE_METHOD, haveParams, MANIFEST_METHOD, manifestParams, type Providers, type Urgency } from './provider-link.ts';
import { type Item, MANIFEST, WHENEVER } from './wanted.ts';

export interface SwarmEnvironment {
  readonly self: PeerId;
  readonly providers: Providers;
  readonly cache: ChunkCache;
  readonly alarms: Alarms;
  readonly random: Random;
  readonly paceOf: (peer: PeerId) => ProviderPace;
  /** A peer sent a chunk or a manifest that is not what was asked for. */
  onLiar(peer: PeerId, payload: PayloadId): void;
  /** Who did so before. */
  liarsOf(payload: PayloadId): Iterable<PeerId>;
  /** A late chunk was asked of a second provider. */
  onHedge(): void;
}

/** How often it is asked whether more of a song may be fetched ahead, while all that may be is here. */
const LOOK_MS: Millis = 250;

interface Awaited {
  chunk: Promise<Uint8Array>;
  resolve: (chunk: Uint8Array) => void;
  reject: (error: PeerError) => void;
  state: 'missing' | 'here' | 'given up';
  users: number;
}

interface Unverified {
  readonly from: PeerId;
  readonly bytes: Uint8Array;
}

/** What a swarm begins for, while nobody has asked it for anything. */
export interface SwarmBeginning {
  /** A copy: whatever anybody listens to goes before it. */
  readonly background?: boolean;
  /** What may go from the cache for it. */
  readonly evict?: Evictable;
}

/** A stretch of the payload that is to be in the cache. */
export interface Fill {
  /** Its end may lie farther than it did. */
  extend(): void;
  /** Whatever is missing is not fetched for it any more. */
  stop(): void;
  /** Resolves at its end: true when all of the stretch was in the cache once. */
  readonly done: Promise<boolean>;
}

interface Filling {
  readonly background: boolean;
  readonly evict: Evictable;
  readonly from: number;
  /** Where it ends now, in chunks; it never comes nearer. */
  readonly reach: () => number;
  to: number;
  /** What precedes it is cached, or was wanted. */
  next: number;
  /** Chunks that the cache did not take, since `next` was at `from`. */
  missed: number;
  kept: number;
  readonly end: (whole: boolean) => void;
}

export class Swarm {
  readonly #payload: PayloadId;
  readonly #payloadBytes: number;
  readonly #chunks: number;
  readonly #environment: SwarmEnvironment;
  readonly #planner: Planner;
  readonly #stopWatching: () => void;
  readonly #awaited = new Map<number, Awaited>();
  readonly #unverified = new Map<number, Unverified>();
  readonly #underWay = new Map<number, AbortController>();
  readonly #fills = new Set<Filling>();
  /** Chunks that are wanted for the cache alone. */
  readonly #filling = new Set<number>();
  /** Chunks that came from others. */
  readonly #fetched = new Set<number>();
  /** Verified chunks on their way to the disk. */
  readonly #keeping = new Map<number, Uint8Array>();
  #evict: Evictable = 'wanted';
  #links = new Map<PeerId, ChunkLink>();
  readonly #pieces: ManifestPieces;
  #manifest: Uint8Array | undefined;
  #caching: Promise<boolean> | undefined;
  /** Does the cache take this payload? Undefined until it has said so. */
  #cached: boolean | undefined;
  #disarm = (): void => {};
  #stopLooking = (): void => {};
  #closed = false;
  #failure: PeerError | undefined;

  /** @param manifest verified, if it is known already
   *  @throws PeerError TOO_LARGE */
  constructor(
    song: { readonly payload: PayloadId; readonly payloadBytes: number; readonly manifest: Uint8Array | null },
    environment: SwarmEnvironment,
    { background = false, evict = 'wanted' }: SwarmBeginning = {},
  ) {
    const chunks = chunkCount(song.payloadBytes);
    const manifestBytes = chunks * HASH_BYTES;
    if (manifestBytes > MANIFEST_BYTES_MAX) throw new PeerError('TOO_LARGE', 'a song of more than 32 GiB');
    this.#payload = song.payload;
    this.#payloadBytes = song.payloadBytes;
    this.#chunks = chunks;
    this.#pieces = new ManifestPieces(manifestBytes);
    this.#environment = environment;
    this.#planner = new Planner({ self: environment.self, paceOf: environment.paceOf, random: environment.random, chunks, liars: environment.liarsOf(song.payload) });
    this.#evict = evict;
    this.#planner.background = background;
    this.#stopWatching = environment.providers.watch(song.payload, () => this.#meet());
    this.#meet();
    if (song.manifest !== null) this.#adopt(song.manifest);
    else this.#wantManifest(background ? WHENEVER : this.#now);
  }

  /** Why it gave up; such a swarm fetches nothing more. */
  get failure(): PeerError | undefined {
    return this.#failure;
  }

  /** False once the cache has refused it: what is read ahead has to stay in memory. */
  get cached(): boolean {
    return this.#cached !== false;
  }

  /** Does it know anything that another one would have to find out? */
  get isKnowing(): boolean {
    return this.#manifest !== undefined && this.#failure === undefined;
  }

  /** Somebody is back after all had left. Meanwhile the cache may have dropped what was here, or have room again; and while a song
   *  is wanted by nobody, nobody is told who has it. */
  resume({ background = false, evict = 'wanted' }: SwarmBeginning): void {
    this.#meet();
    this.#fetched.clear();
    this.#planner.background = background;
    this.#evict = evict;
    this.#cached = undefined;
    if (this.#manifest !== undefined) this.#begin(this.#manifest);
  }

  hasFetched(index: number): boolean {
    return this.#fetched.has(index);
  }

  /** What its providers bring together, in bytes a millisecond, as far as is known. */
  get rate(): number {
    let rate = 0;
    for (const peer of this.#links.keys()) rate += this.#environment.paceOf(peer).rate;
    return rate;
  }

  /** Its reader will come for it, with `await`. Each call is paired with one of `release`, which frees the chunk.
   *  @param due when its reader needs it */
  fetch(index: number, due: Millis): void {
    if (this.#failure !== undefined) return;
    let awaited = this.#awaited.get(index);
    if (awaited === undefined) {
      awaited = { ...promised(), state: 'missing', users: 0 };
      this.#awaited.set(index, awaited);
      this.#filling.delete(index);
      this.#setPace();
    }
    awaited.users++;
    this.#see(index, awaited, due);
  }

  /** Its reader has come to it. What was given up for another, who needed it earlier, is tried once more.
   *  @param due as for `fetch` @returns the verified chunk @throws PeerError SONG_UNAVAILABLE */
  await(index: number, due: Millis): Promise<Uint8Array> {
    const awaited = this.#awaited.get(index);
    if (awaited?.state === 'here') return awaited.chunk;
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (awaited === undefined) throw new Error(`chunk ${index} was never fetched`);
    if (awaited.state === 'given up') this.#see(index, awaited, due);
    this.#step({ kind: 'awaited', item: index, now: this.#now });
    return awaited.chunk;
  }

  /** Sees to it that it comes, if it is not here. */
  #see(index: number, awaited: Awaited, due: Millis): void {
    if (awaited.state === 'here') return;
    if (awaited.state === 'given up') Object.assign(awaited, promised(), { state: 'missing' });
    const kept = this.#keeping.get(index);
    if (kept !== undefined) {
      awaited.state = 'here';
      awaited.resolve(kept);
    } else {
      if (this.#manifest === undefined) this.#wantManifest(this.#now);
      this.#want(index, due);
    }
  }

  release(index: number): void {
    const awaited = this.#awaited.get(index);
    if (awaited === undefined || --awaited.users > 0) return;
    this.#awaited.delete(index);
    this.#unverified.delete(index);
    this.#setPace();
    this.#step({ kind: 'unwanted', item: index, now: this.#now });
    // A reader that leaves in the middle leaves a hole in what another fills.
    if (!this.#isKept(index)) for (const fill of this.#fills) if (fill.from <= index && index < fill.next) fill.next = index;
    this.#refill();
  }

  /** Fetches chunks from one on into the cache, as soon as no reader needs anything sooner.
   *  @param reach the chunk behind the last; looked at again whenever something has come
   *  @param background for a copy: whatever anybody listens to anywhere goes before it
   *  @param evict what may go for it */
  fill(
    from: number,
    { reach = () => this.#chunks, background = false, evict = background ? 'free' : 'wanted' }: { readonly reach?: () => number; readonly background?: boolean; readonly evict?: Evictable } = {},
  ): Fill {
    let resolve: (whole: boolean) => void = () => {};
    const done = new Promise<boolean>((settle) => (resolve = settle));
    const fill: Filling = {
      background,
      evict,
      from,
      reach,
      to: from,
      next: from,
      missed: 0,
      kept: 0,
      end: (whole) => {
        this.#fills.delete(fill);
        this.#setPace();
        resolve(whole);
      },
    };
    this.#fills.add(fill);
    this.#setPace();
    if (this.#failure !== undefined || this.#cached === false) fill.end(false);
    else this.#refill();
    return {
      done,
      extend: () => this.#refill(),
      stop: () => {
        if (!this.#fills.has(fill)) return;
        fill.end(false);
        this.#forgetFilling();
      },
    };
  }

  close(): void {
    this.#closed = true;
    this.#stopLooking();
    this.#stopWatching();
    for (const fill of [...this.#fills]) fill.end(false);
    this.#forgetFilling();
    for (const index of [MANIFEST, ...this.#awaited.keys()]) this.#step({ kind: 'unwanted', item: index, now: this.#now });
    this.#disarm();
  }

  get #now(): Millis {
    return this.#environment.alarms.now();
  }

  #want(index: number, due: Millis): void {
    this.#step({ kind: 'wanted', item: index, bytes: chunkLength(this.#payloadBytes, index), due, now: this.#now });
  }

  #wantManifest(due: Millis): void {
    this.#step({ kind: 'wanted', item: MANIFEST, bytes: this.#chunks * HASH_BYTES, due, now: this.#now });
  }

  #isKept(index: number): boolean {
    return this.#keeping.has(index) || this.#environment.cache.hasChunk(this.#payload, index);
  }

  #setPace(): void {
    // Without anybody who wants anything it stays what it was.
    if (this.#closed || (this.#awaited.size === 0 && this.#fills.size === 0)) return;
    const background = this.#awaited.size === 0 && [...this.#fills].every((fill) => fill.background);
    this.#planner.background = background;
    const evict = this.#awaited.size === 0 && [...this.#fills].every((fill) => fill.evict === 'free') ? 'free' : 'wanted';
    if (evict === this.#evict) return;
    this.#evict = evict;
    if (this.#manifest === undefined) return;
    // What was refused before may be taken now.
    this.#cached = undefined;
    this.#begin(this.#manifest);
  }

  /** A listener's song may take the place of what is merely wanted here, a copy only of what is free. */
  #begin(manifest: Uint8Array): void {
    const caching = this.#environment.cache.begin(this.#payload, this.#payloadBytes, manifest, { evict: this.#evict });
    this.#caching = caching;
    void caching.then((takes) => {
      if (this.#closed || this.#caching !== caching) return;
      this.#cached = takes;
      if (takes) this.#refill();
      else this.#keepNoMore();
    });
  }

  /** What no fill asks for any more. */
  #forgetFilling(): void {
    for (const index of [...this.#filling]) {
      if ([...this.#fills].some(({ from, to }) => from <= index && index < to)) continue;
      this.#filling.delete(index);
      this.#step({ kind: 'unwanted', item: index, now: this.#now });
    }
  }

  /** Wants what is missing of the stretches, as much at a time as there is to choose from. */
  #refill(): void {
    for (const fill of [...this.#fills]) {
      // One that ends may end others.
      if (this.#cached !== true || !this.#fills.has(fill)) continue;
      fill.to = Math.max(fill.to, Math.min(this.#chunks, fill.reach()));
      for (; fill.next < fill.to && this.#filling.size < FILL_CHUNKS_MAX; fill.next++) {
        const index = fill.next;
        if (this.#awaited.has(index) || this.#filling.has(index) || this.#isKept(index)) continue;
        this.#filling.add(index);
        this.#want(index, WHENEVER);
      }
      if (fill.next === fill.to) this.#endOfFill(fill);
    }
  }

  /** It is over when nothing of it is under way: then either all is there, or the cache did not take some. */
  #endOfFill(fill: Filling): void {
    const { from, to } = fill;
    const isIn = (index: number): boolean => from <= index && index < to;
    for (const index of [...this.#filling, ...this.#keeping.keys()]) if (isIn(index)) return;
    for (const index of this.#awaited.keys()) if (isIn(index) && !this.#isKept(index)) return;
    if (fill.missed === 0) {
      if (to === this.#chunks) fill.end(true);
      else this.#lookLater();
      return;
    }
    // A disk that was too slow for a moment is tried again; one that takes nothing is left alone.
    if (fill.kept === 0) return this.#keepNoMore();
    fill.next = from;
    fill.missed = 0;
    fill.kept = 0;
    this.#refill();
  }

  /** A stretch whose end moves with time is looked at again, also when its reader has enough for now. */
  #lookLater(): void {
    this.#stopLooking();
    this.#stopLooking = this.#environment.alarms.after(LOOK_MS, () => this.#refill());
  }

  #meet(): void {
    const links = this.#environment.providers.ofPayload(this.#payload);
    this.#links = new Map(links.map((link) => [link.peer, link]));
    this.#step({ kind: 'providers', peers: [...this.#links.keys()], now: this.#now });
  }

  #step(input: PlannerInput): void {
    for (const effect of this.#planner.step(input)) this.#carryOut(effect);
  }

  #carryOut(effect: PlannerEffect): void {
    if (this.#closed && effect.kind !== 'cancel') return;
    switch (effect.kind) {
      case 'ask':
        if (effect.hedge) this.#environment.onHedge();
        void this.#request(effect.request, effect.peer, effect.item, effect.urgency);
        return;
      case 'cancel':
        this.#underWay.get(effect.request)?.abort(NO_LONGER_WANTED);
        this.#underWay.delete(effect.request);
        return;
      case 'survey':
        void this.#survey(effect.peer);
        return;
      case 'arm':
        this.#disarm();
        this.#disarm = this.#environment.alarms.after(Math.max(0, effect.at - this.#now), () => this.#step({ kind: 'expired', now: this.#now }));
        return;
      case 'stop-filling':
        this.#filling.clear();
        for (const fill of [...this.#fills]) fill.end(false);
        return;
      case 'give-up':
        this.#giveUp(effect.item);
    }
  }

  /** Without a manifest nothing can be given; without a chunk all others can. */
  #giveUp(item: Item): void {
    const failure = new PeerError('SONG_UNAVAILABLE', 'no computer that has this song can be reached');
    if (item === MANIFEST) return this.#fail(failure);
    const awaited = this.#awaited.get(item);
    if (awaited === undefined) return;
    awaited.state = 'given up';
    awaited.reject(failure);
  }

  /** @throws PeerError CONNECTION_LOST */
  #linkTo(peer: PeerId): ChunkLink {
    const link = this.#links.get(peer) ?? this.#environment.providers.linkTo(peer);
    if (link === undefined) throw new PeerError('CONNECTION_LOST', 'that peer has just gone');
    return link;
  }

  async #request(request: number, peer: PeerId, item: Item, urgency: Urgency): Promise<void> {
    const controller = new AbortController();
    this.#underWay.set(request, controller);
    // Also when the link throws at once, the planner must have finished its step before it hears of it.
    await Promise.resolve();
    try {
      const link = this.#linkTo(peer);
      const bytes = item === MANIFEST ? await this.#requestManifest(request, link, controller.signal) : await link.requestBytes(CHUNK_METHOD, chunkParams(this.#payload, item, urgency), waiting(controller));
      if (!this.#underWay.delete(request)) return;
      this.#step({ kind: 'received', request, now: this.#now });
      if (item === MANIFEST) this.#judgeManifest(peer, bytes);
      else this.#receive(item, { from: peer, bytes });
    } catch (error) {
      if (!this.#underWay.delete(request)) return;
      this.#step({ kind: 'failed', request, code: codeOf(error), now: this.#now });
    }
  }

  #requestManifest(request: number, link: ChunkLink, signal: AbortSignal): Promise<Uint8Array> {
    const ask = (offset: number): Promise<Uint8Array> => link.requestBytes(MANIFEST_METHOD, manifestParams(this.#payload, offset), { signal, timeoutMs: REQUEST_TIMEOUT_MS });
    return this.#pieces.fetch(link.peer, ask, () => this.#step({ kind: 'progressed', request, now: this.#now }));
  }

  async #survey(peer: PeerId): Promise<void> {
    await Promise.resolve();
    try {
      const survey = decodeSurvey(await this.#linkTo(peer).requestBytes(HAVE_METHOD, haveParams(this.#payload), { timeoutMs: REQUEST_TIMEOUT_MS }), this.#chunks);
      this.#step({ kind: 'surveyed', peer, survey, now: this.#now });
    } catch (error) {
      this.#step({ kind: 'unsurveyed', peer, code: codeOf(error), now: this.#now });
    }
  }

  /** @param given as its sender has it */
  #judgeManifest(from: PeerId, given: Uint8Array): void {
    const manifest = given.subarray(0, this.#chunks * HASH_BYTES);
    if (manifest.byteLength !== this.#chunks * HASH_BYTES || payloadIdOf(manifest) !== this.#payload) {
      // The song may be longer or shorter than the catalog says; then it is not the provider who is wrong.
      if (payloadIdOf(given) === this.#payload) return this.#fail(new PeerError('SONG_UNAVAILABLE', WRONG_LENGTH));
      this.#pieces.forget(from);
      return this.#putAside(from, MANIFEST);
    }
    if (this.#manifest === undefined) this.#adopt(manifest);
  }

  #adopt(manifest: Uint8Array): void {
    this.#manifest = manifest;
    this.#pieces.clear();
    this.#begin(manifest);
    this.#step({ kind: 'verified', item: MANIFEST, storing: false, now: this.#now });
    for (const [index, unverified] of [...this.#unverified]) this.#judge(manifest, index, unverified);
  }

  #keepNoMore(): void {
    this.#cached = false;
    for (const fill of [...this.#fills]) fill.end(false);
    this.#forgetFilling();
  }

  #receive(index: number, unverified: Unverified): void {
    if (this.#manifest !== undefined) this.#judge(this.#manifest, index, unverified);
    else if (!this.#unverified.has(index)) this.#unverified.set(index, unverified);
  }

  #judge(manifest: Uint8Array, index: number, { from, bytes }: Unverified): void {
    this.#unverified.delete(index);
    if (!isChunk(manifest, index, bytes)) {
      this.#putAside(from, index);
      return;
    }
    if (bytes.byteLength !== chunkLength(this.#payloadBytes, index)) {
      // The hash is right, so it is not the provider who is wrong, but whoever described the song.
      this.#fail(new PeerError('SONG_UNAVAILABLE', WRONG_LENGTH));
      return;
    }
    this.#fetched.add(index);
    const awaited = this.#awaited.get(index);
    if (awaited !== undefined) {
      awaited.state = 'here';
      awaited.resolve(bytes);
    }
    this.#filling.delete(index);
    const isNews = this.#cached !== false && !this.#keeping.has(index);
    const storing = isNews && this.#keeping.size < CACHE_WRITES_MAX;
    if (storing) this.#keeping.set(index, bytes);
    this.#step({ kind: 'verified', item: index, storing, now: this.#now });
    if (storing) void this.#keep(index, bytes);
    else if (isNews) this.#count(index, false);
  }

  async #keep(index: number, bytes: Uint8Array): Promise<void> {
    const kept = (await this.#caching) === true && (await this.#environment.cache.write(this.#payload, index, bytes));
    this.#keeping.delete(index);
    this.#count(index, kept);
    this.#step({ kind: 'stored', now: this.#now });
    this.#refill();
  }

  #count(index: number, kept: boolean): void {
    for (const fill of this.#fills) {
      if (index < fill.from || index >= fill.to) continue;
      if (kept) fill.kept++;
      else fill.missed++;
    }
  }

  #putAside(peer: PeerId, item: Item): void {
    this.#environment.onLiar(peer, this.#payload);
    this.#step({ kind: 'wrong', item, from: peer, now: this.#now });
  }

  #fail(failure: PeerError): void {
    this.#failure ??= failure;
    for (const { reject } of this.#awaited.values()) reject(failure);
    this.close();
  }
}

const WRONG_LENGTH = 'the song is not as long as the catalog says';

function promised(): Pick<Awaited, 'chunk' | 'resolve' | 'reject'> {
  let resolve: (chunk: Uint8Array) => void = () => {};
  let reject: (error: PeerError) => void = () => {};
  const chunk = new Promise<Uint8Array>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // Its reader may look at it much later, or never.
  chunk.catch(() => {});
  return { chunk, resolve, reject };
}

/** Made once: the stack of each would cost more than what it calls off. */
const NO_LONGER_WANTED = new PeerError('CANCELLED', 'nobody waits for it any more');

const waiting = (controller: AbortController): { readonly signal: AbortSignal; readonly timeoutMs: Millis } => ({
  signal: controller.signal,
  timeoutMs: REQUEST_TIMEOUT_MS,
});
