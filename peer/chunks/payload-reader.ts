// The bytes of a payload, in order and exact, from wherever they are: own disk, else cache, else the network. A source
// that fails in the middle is left between two chunks for the next one, and the listener hears nothing of it.
import { LRUCache } from 'lru-cache';
import { PeerError } from '../../lib/errors.ts';
import type { PayloadId, PeerId } from '../../lib/ids.ts';
import { CHUNK_BYTES, CONNECTIONS_MAX, READ_AHEAD_CHUNKS } from '../../lib/limits.ts';
import type { Random } from '../../lib/random.ts';
import type { Millis } from '../../lib/time.ts';
import type { Evictable } from '../../storage/cache-entry.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { LocalFiles } from '../../storage/local-files.ts';
import { ExchangeStats, type Source } from './exchange-stats.ts';
import { type Alarms, systemAlarms } from './alarms.ts';
import { Liars } from './liars.ts';
import type { Providers } from './provider-link.ts';
import { ProviderPace } from './provider-pace.ts';
import { ReadingPace } from './reading-pace.ts';
import { type Fill, Swarm, type SwarmBeginning, type SwarmEnvironment } from './swarm.ts';

export interface PayloadRange {
  readonly payload: PayloadId;
  readonly payloadBytes: number;
  /** First byte, and the one after the last. */
  readonly start: number;
  readonly end: number;
  /** What it plays at, 0 where nobody knows; undefined when nobody listens, and it may come in any order. */
  readonly bytesPerMs?: number | undefined;
  readonly signal?: AbortSignal;
}

export interface PayloadFill {
  readonly payload: PayloadId;
  readonly payloadBytes: number;
  /** A copy to be kept: whatever anybody listens to goes before it. */
  readonly background?: boolean;
  /** What may go for it; without a word what is wanted too, unless it comes in the background. */
  readonly evict?: Evictable;
  /** Only what lies behind the byte where somebody is who plays it, and as far as that one needs. */
  readonly played?: Played;
  readonly signal?: AbortSignal;
}

/** Somebody plays it, and takes it elsewhere. */
export interface Played {
  readonly at: () => number;
  readonly bytesPerMs: number;
}

export interface PayloadReaderOptions {
  readonly self: PeerId;
  readonly local: LocalFiles;
  readonly cache: ChunkCache;
  readonly providers: Providers;
  readonly random: Random;
  readonly onLiar: (peer: PeerId, payload: PayloadId) => void;
  readonly alarms?: Alarms;
  readonly stats?: ExchangeStats;
}

/** A provider's rate is told for so long after it was last asked: then it says nothing of its line any more. */
export const RATE_TOLD_MS: Millis = 600_000;

/** A player that jumps leaves, and is back in a moment: what is known of who has what is kept for so long. */
const LINGER_MS: Millis = 1_500;

interface SharedSwarm {
  readonly swarm: Swarm;
  users: number;
  /** Set while it has no users: calls off its end. */
  stay?: (() => void) | undefined;
}

/** What one reader is about. */
interface Reading {
  readonly payload: PayloadId;
  /** Its first and its last chunk. */
  readonly first: number;
  readonly last: number;
  /** The one that is read now. */
  next: number;
  /** May one's own disk have it? */
  own: boolean;
  readonly pace: ReadingPace;
  readonly ahead: ReadAhead;
}

export class PayloadReader {
  readonly #local: LocalFiles;
  readonly #cache: ChunkCache;
  readonly #alarms: Alarms;
  readonly #environment: SwarmEnvironment;
  readonly #stats: ExchangeStats;
  readonly #swarms = new Map<PayloadId, SharedSwarm>();
  #lingerMs = LINGER_MS;
  readonly #paces = new LRUCache<PeerId, ProviderPace>({ max: CONNECTIONS_MAX });

  constructor({ self, local, cache, providers, random, onLiar, alarms = systemAlarms, stats = new ExchangeStats() }: PayloadReaderOptions) {
    this.#stats = stats;
    this.#local = local;
    this.#cache = cache;
    this.#alarms = alarms;
    const liars = new Liars();
    this.#environment = {
      self,
      providers,
      cache,
      alarms,
      random,
      paceOf: (peer) => this.#paceOf(peer),
      onLiar: (peer, payload) => {
        liars.add(peer, payload, alarms.now());
        onLiar(peer, payload);
      },
      liarsOf: (payload) => liars.of(payload, alarms.now()),
      onHedge: () => stats.hedged(),
    };
  }

  /** How fast each provider delivers, of those that were asked lately. */
  *rates(): Iterable<{ readonly peer: PeerId; readonly bytesPerSecond: number }> {
    const since = this.#environment.alarms.now() - RATE_TOLD_MS;
    for (const [peer, { askedAt, bytesPerSecond }] of this.#paces.entries()) {
      if (bytesPerSecond !== undefined && askedAt >= since) yield { peer, bytesPerSecond };
    }
  }

  /** @throws PeerError SONG_UNAVAILABLE after waiting for a provider, CANCELLED when `signal` says so */
  async *open({ payload, payloadBytes, start, end, bytesPerMs, signal }: PayloadRange): AsyncGenerator<Uint8Array, void, undefined> {
    if (!(0 <= start && start <= end && end <= payloadBytes)) throw new RangeError(`not a range of ${payloadBytes} bytes: ${start} to ${end}`);
    if (start === end) return;
    const last = Math.ceil(end / CHUNK_BYTES) - 1;
    const letGo = this.#cache.hold(payload);
    const ahead = new ReadAhead(() => this.#join(payload, payloadBytes), (swarm) => this.#leave(payload, swarm));
    const pace = new ReadingPace(bytesPerMs, this.#alarms.now());
    const first = Math.floor(start / CHUNK_BYTES);
    const reading: Reading = { payload, first, last, next: first, own: true, pace, ahead };
    try {
      let next = this.#chunk(reading, first);
      for (let index = first; index <= last; index++) {
        const chunk = await unlessAborted(next, signal);
        if (index < last) {
          // The disk reads the next chunk while the consumer works on this one; it may never come to look at it.
          next = this.#chunk(reading, index + 1);
          next.catch(() => {});
        }
        const at = index * CHUNK_BYTES;
        yield chunk.subarray(Math.max(0, start - at), Math.min(chunk.byteLength, end - at));
        pace.took(chunk.byteLength);
        ahead.release(index);
      }
    } finally {
      ahead.close();
      letGo();
    }
  }

  /** Brings what is missing of a payload into the cache. @returns whether all of it is on this machine now
   *  @throws PeerError TOO_LARGE */
  async fill({ payload, payloadBytes, background = false, evict = background ? 'free' : 'wanted', played, signal }: PayloadFill): Promise<boolean> {
    const letGo = this.#cache.hold(payload);
    try {
      const own = await this.#local.manifestOf(payload).catch(() => null);
      if (own !== null || this.#cache.complete(payload)) return true;
      if (signal?.aborted === true) return false;
      const swarm = await this.#join(payload, payloadBytes, { background, evict });
      const fill = swarm.fill(played === undefined ? 0 : chunkAt(played), { background, evict, ...(played && { reach: this.#reachOf(played, swarm) }) });
      signal?.addEventListener('abort', fill.stop, { once: true });
      // It may have come while the manifest was read.
      if (signal?.aborted) fill.stop();
      try {
        await fill.done;
      } finally {
        signal?.removeEventListener('abort', fill.stop);
        this.#leave(payload, swarm);
      }
    } finally {
      letGo();
    }
    return this.#cache.complete(payload);
  }

  #reachOf(played: Played, swarm: Swarm): () => number {
    const pace = new ReadingPace(played.bytesPerMs, this.#alarms.now());
    return () => chunkAt(played) + pace.far(this.#alarms.now(), swarm.rate);
  }

  /** Whoever still reads reads on, and nothing lingers after it. */
  close(): void {
    this.#lingerMs = 0;
    for (const [payload, { swarm, users, stay }] of this.#swarms) {
      if (users > 0) continue;
      stay?.();
      this.#swarms.delete(payload);
      swarm.close();
    }
  }

  async #chunk(reading: Reading, index: number): Promise<Uint8Array> {
    const { payload, first, last, pace, ahead } = reading;
    // Own files that have changed are reported by LocalFiles; here they are only one source less.
    const own = reading.own ? await this.#local.read(payload, index).catch(() => undefined) : null;
    if (own) return this.#gave('own', own);
    // One chunk that cannot be read says nothing of the next.
    if (own === null) reading.own = false;
    const now = this.#alarms.now();
    const missing = new Map<number, Millis>();
    // The one before this may still be with the consumer.
    const near = pace.near(now, { cached: ahead.cached && this.#cache.bytesMax > 0 });
    for (let wanted = index; wanted <= Math.min(last, index + near - 2); wanted++) {
      if (!this.#cache.hasChunk(payload, wanted)) missing.set(wanted, pace.dueAt(wanted - first));
    }
    if (missing.size > 0 || !this.#isCached(payload, index, Math.min(last, index + READ_AHEAD_CHUNKS))) await ahead.want(missing);
    reading.next = index;
    ahead.fill(index, (rate) => Math.min(last + 1, reading.next + pace.far(this.#alarms.now(), rate)));
    const cached = ahead.wants(index) ? null : await this.#cache.read(payload, index);
    if (cached !== null) return this.#gave(ahead.fetched(index) ? 'peers' : 'cache', cached);
    const due = pace.dueAt(index - first);
    await ahead.want(new Map([[index, due]]));
    return this.#gave('peers', await ahead.chunk(index, due));
  }

  #gave(source: Source, chunk: Uint8Array): Uint8Array {
    this.#stats.gave(source, chunk.byteLength);
    return chunk;
  }

  #isCached(payload: PayloadId, from: number, to: number): boolean {
    for (let index = from; index <= to; index++) if (!this.#cache.hasChunk(payload, index)) return false;
    return true;
  }

  async #join(payload: PayloadId, payloadBytes: number, options: SwarmBeginning = {}): Promise<Swarm> {
    const manifest = (await this.#cache.manifestOf(payload)) ?? (await this.#local.manifestOf(payload).catch(() => null));
    let shared = this.#swarms.get(payload);
    if (shared === undefined || shared.swarm.failure !== undefined) {
      shared = { swarm: new Swarm({ payload, payloadBytes, manifest }, this.#environment, options), users: 0 };
      this.#swarms.set(payload, shared);
    }
    if (shared.stay !== undefined) {
      shared.stay();
      shared.stay = undefined;
      shared.swarm.resume(options);
    }
    shared.users++;
    return shared.swarm;
  }

  #leave(payload: PayloadId, swarm: Swarm): void {
    const shared = this.#swarms.get(payload);
    // One that failed may have been replaced; it has closed itself.
    if (shared?.swarm !== swarm || --shared.users > 0) return;
    const end = (): void => {
      if (this.#swarms.get(payload) === shared) this.#swarms.delete(payload);
      swarm.close();
    };
    if (swarm.isKnowing && this.#lingerMs > 0) shared.stay = this.#alarms.after(this.#lingerMs, end);
    else end();
  }

  #paceOf(peer: PeerId): ProviderPace {
    const pace = this.#paces.get(peer) ?? new ProviderPace();
    this.#paces.set(peer, pace);
    return pace;
  }
}

const chunkAt = ({ at }: Played): number => Math.floor(at() / CHUNK_BYTES);

/** What one reader has asked of the swarm and not yet given on; joins the swarm when it first needs it. */
class ReadAhead {
  readonly #join: () => Promise<Swarm>;
  readonly #leave: (swarm: Swarm) => void;
  readonly #chunks = new Set<number>();
  #swarm: Swarm | undefined;
  #fill: Fill | undefined;
  #closed = false;

  constructor(join: () => Promise<Swarm>, leave: (swarm: Swarm) => void) {
    this.#join = join;
    this.#leave = leave;
  }

  /** Does the cache take what lies ahead, as far as is known? */
  get cached(): boolean {
    return this.#swarm?.cached !== false;
  }

  /** @param missing chunks, and when each is needed @throws PeerError CANCELLED */
  async want(missing: ReadonlyMap<number, Millis>): Promise<void> {
    if (this.#swarm === undefined && !this.#closed) {
      const swarm = await this.#join();
      // An abort may have come while the manifest was read.
      if (this.#closed) this.#leave(swarm);
      else this.#swarm = swarm;
    }
    if (this.#swarm === undefined || this.#closed) throw new PeerError('CANCELLED', 'nobody listens any more');
    for (const [index, due] of missing) {
      if (this.#chunks.has(index)) continue;
      this.#chunks.add(index);
      this.#swarm.fetch(index, due);
    }
  }

  /** Has the cache filled from a chunk on. @param farAt the chunk behind its end, at a rate of the line in bytes a millisecond */
  fill(from: number, farAt: (rate: number) => number): void {
    const swarm = this.#swarm;
    if (swarm === undefined || this.#closed || swarm.failure !== undefined) return;
    if (this.#fill !== undefined) return this.#fill.extend();
    const fill = swarm.fill(from, { reach: () => farAt(swarm.rate) });
    this.#fill = fill;
    void fill.done.then(() => {
      if (this.#fill === fill) this.#fill = undefined;
    });
  }

  /** Has it come from others since somebody here began to read it? */
  fetched(index: number): boolean {
    return this.#swarm?.hasFetched(index) ?? false;
  }

  wants(index: number): boolean {
    return this.#chunks.has(index);
  }

  /** One that was wanted. @param due when its reader needs it @throws PeerError SONG_UNAVAILABLE */
  async chunk(index: number, due: Millis): Promise<Uint8Array> {
    if (this.#swarm === undefined || !this.#chunks.has(index)) throw new Error(`chunk ${index} was never wanted`);
    return this.#swarm.await(index, due);
  }

  release(index: number): void {
    if (this.#chunks.delete(index)) this.#swarm?.release(index);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#fill?.stop();
    for (const index of [...this.#chunks]) this.release(index);
    if (this.#swarm !== undefined) this.#leave(this.#swarm);
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  const cancelled = (): PeerError => new PeerError('CANCELLED', 'nobody listens any more');
  if (signal.aborted) {
    work.catch(() => {});
    throw cancelled();
  }
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(cancelled());
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
