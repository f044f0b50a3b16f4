// Other people's music that passed through here, kept so that it need not be fetched twice and can be served on. Bounded; whole
// songs go (eviction.ts). A chunk is given out only if its hash is right, so nothing has to be synced: what a crash tore or time
// damaged is found when it is read, forgotten, and fetched again. A disk that is full or read-only stops the caching, never the
// music.
import { LRUCache } from 'lru-cache';
import { chunkLength, HASH_BYTES, isChunk, sha256, verifyManifest } from '../lib/content.ts';
import { codeOf, PeerError } from '../lib/errors.ts';
import type { FileId, PayloadId } from '../lib/ids.ts';
import { CACHE_WRITES_MAX, MANIFESTS_CACHED_BYTES } from '../lib/limits.ts';
import { type Clock, type Millis, systemClock } from '../lib/time.ts';
import type { Edges } from './cache-edges.ts';
import { CacheEntry, type Evictable } from './cache-entry.ts';
import { type CacheEvents, CacheListeners } from './cache-events.ts';
import { CacheFiles } from './cache-files.ts';
import { type CacheFileSystem, chunksName, type Loaded } from './cache-folder.ts';
import { CacheIndex } from './cache-index.ts';
import { CacheTrouble } from './cache-trouble.ts';
import { DiskSpace, type StatFileSystem } from './disk-space.ts';
import { EdgeStore } from './edge-store.ts';
import { Eviction, type Judge } from './eviction.ts';
import type { Edge } from './local-files.ts';
import { GatheredWrites } from './gathered-writes.ts';
import { isShortage, type OpenFiles, readAt, writeAt } from './open-files.ts';

export interface CacheOptions {
  /** 0 refuses others' music. */
  readonly bytesMax: number;
  /** What must not be evicted from the start; `pin` and `unpin` change it. */
  readonly pinned?: Iterable<PayloadId>;
  /** Until `judgeWith` says more. Without it all are free, also for what has to go at the start because the bound is smaller now. */
  readonly judge?: Judge;
  readonly files: OpenFiles;
  readonly clock?: Clock;
  readonly fileSystem?: CacheFileSystem;
  /** How full its disk is; tests make it up. */
  readonly statfs?: StatFileSystem;
}

/** A bitmap is written so long after the first of the chunks that it speaks of: once for many. */
const FLUSH_MS: Millis = 1_000;

export class ChunkCache {
  readonly bytesMax: number;
  readonly #files: CacheFiles;
  readonly #clock: Clock;
  readonly #index: CacheIndex;
  readonly #eviction: Eviction;
  /** Those of an entry that has gone are asked for no more, and fall out in time. */
  readonly #manifests = new LRUCache<CacheEntry, Buffer>({ maxSize: MANIFESTS_CACHED_BYTES, sizeCalculation: (manifest) => manifest.byteLength });
  readonly #edges: EdgeStore;
  readonly #starting = new Map<PayloadId, Promise<boolean>>();
  readonly #dirty = new Set<CacheEntry>();
  readonly #gathered = new WeakMap<CacheEntry, GatheredWrites>();
  readonly #trouble: CacheTrouble;
  readonly #space: DiskSpace;
  readonly #events = new CacheListeners();
  readonly #writing = new Set<Promise<boolean>>();
  #closed = false;
  #writes = 0;
  #flushTimer: NodeJS.Timeout | undefined;

  private constructor(folder: string, options: CacheOptions) {
    this.bytesMax = options.bytesMax;
    this.#clock = options.clock ?? systemClock;
    this.#files = new CacheFiles(folder, options);
    this.#trouble = new CacheTrouble(folder, { clock: this.#clock, events: this.#events });
    this.#eviction = new Eviction(options.pinned ?? [], options.judge ?? (() => 'free'));
    this.#space = new DiskSpace(folder, { clock: this.#clock, statfs: options.statfs });
    this.#index = new CacheIndex({ bytesMax: this.bytesMax, eviction: this.#eviction, space: this.#space, files: this.#files, trouble: this.#trouble, events: this.#events });
    this.#edges = new EdgeStore({ index: this.#index, files: this.#files, trouble: this.#trouble, events: this.#events });
  }

  /** Reads the headers in `folder`, never the music. An unusable folder gives a cache that holds nothing. */
  static async open(folder: string, options: CacheOptions, listener: Partial<CacheEvents> = {}): Promise<ChunkCache> {
    const cache = new ChunkCache(folder, options);
    cache.listen(listener);
    await cache.#load();
    await cache.#space.read(cache.bytes);
    await cache.#index.trim();
    return cache;
  }

  listen(listener: Partial<CacheEvents>): () => void {
    return this.#events.listen(listener);
  }

  /** What it takes of the disk in whole blocks: holes not counted, and what is damaged or unreadable counted. */
  get bytes(): number {
    return this.#index.bytes;
  }

  /** Payloads of which something is here. */
  get songs(): number {
    return this.#index.entries.size;
  }

  has(payload: PayloadId): boolean {
    return this.#index.entries.has(payload);
  }

  /** As far as is known without reading it. */
  hasChunk(payload: PayloadId, index: number): boolean {
    return this.#index.entries.get(payload)?.has(index) ?? false;
  }

  complete(payload: PayloadId): boolean {
    return this.#index.entries.get(payload)?.complete ?? false;
  }

  /** A copy: bit i of byte i >> 3 says that chunk i is here. @returns undefined when nothing of it is */
  bitmapOf(payload: PayloadId): Uint8Array | undefined {
    return this.#index.entries.get(payload)?.bitmap.slice();
  }

  /** Of all that is here, in no order. */
  payloads(): PayloadId[] {
    return [...this.#index.entries.keys()];
  }

  /** Files whose edges are here. */
  filesOf(payload: PayloadId): readonly FileId[] {
    return [...(this.#index.entries.get(payload)?.edges.keys() ?? [])];
  }

  completed(): PayloadId[] {
    return [...this.#index.entries.values()].filter((entry) => entry.complete).map((entry) => entry.payload);
  }

  /** Keeps a payload from being evicted while somebody reads or fills it. */
  hold(payload: PayloadId): () => void {
    return this.#eviction.hold(payload);
  }

  pin(payload: PayloadId): void {
    this.#eviction.pin(payload);
  }

  unpin(payload: PayloadId): void {
    this.#eviction.unpin(payload);
  }

  /** Says from now on what may be evicted; asked each time there is no room. Pins and what is held stay whatever it says. */
  judgeWith(judge: Judge): void {
    this.#eviction.judge = judge;
    void this.#index.trim();
  }

  /** Can anything be written now? Not while the disk is full or refuses it. */
  get takes(): boolean {
    return !this.#trouble.stopped;
  }

  /** What this payload and its edges take of the disk. */
  bytesOf(payload: PayloadId): number {
    return this.#index.entries.get(payload)?.bytes ?? 0;
  }

  /** Bytes that could be taken without evicting anything but what is free. */
  roomFor(): number {
    if (this.#trouble.stopped) return 0;
    return this.#index.roomFor();
  }

  /** Bytes of what is here and nowhere else, as the judge says: with pins they are what never goes. @param except not counted */
  lastBytes(except: PayloadId): number {
    return this.#index.lastBytes(except);
  }

  /**
   * Makes place for a payload.
   * @param manifest already verified
   * @param options.evict what may go for it and its chunks; of several calls for one payload the latest counts
   * @returns whether its chunks may be written
   */
  async begin(payload: PayloadId, payloadBytes: number, manifest: Uint8Array, { evict = 'wanted' }: { readonly evict?: Evictable } = {}): Promise<boolean> {
    if (this.#closed) return false;
    if (!this.#index.entries.has(payload)) {
      const starting = this.#starting.get(payload) ?? this.#begin(payload, payloadBytes, manifest, evict).finally(() => this.#starting.delete(payload));
      this.#starting.set(payload, starting);
      if (!(await starting)) return false;
    }
    const entry = this.#index.entries.get(payload);
    if (entry?.payloadBytes !== payloadBytes) return false;
    entry.evict = evict;
    return true;
  }

  /** @returns the verified manifest, or null when nothing of that payload is here */
  async manifestOf(payload: PayloadId): Promise<Uint8Array | null> {
    const entry = this.#index.entries.get(payload);
    if (entry === undefined) return null;
    const known = this.#manifests.get(entry);
    if (known !== undefined) return known;
    return this.#readManifest(entry);
  }

  /** @returns the verified chunk, or null when it is not here or not whole; then it is forgotten */
  async read(payload: PayloadId, index: number): Promise<Uint8Array | null> {
    const entry = this.#index.entries.get(payload);
    if (entry === undefined || !entry.has(index)) return null;
    this.#touch(entry);
    return this.#readChunk(entry, index);
  }

  /** @param bytes already verified @returns whether the chunk is here now; false is no fault, the cache is only a help */
  write(payload: PayloadId, index: number, bytes: Uint8Array): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false);
    const writing = this.#write(payload, index, bytes).finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
    return writing;
  }

  async #write(payload: PayloadId, index: number, bytes: Uint8Array): Promise<boolean> {
    const entry = this.#index.entries.get(payload);
    if (entry === undefined || this.#trouble.stopped || this.#writes >= CACHE_WRITES_MAX) return false;
    if (entry.has(index)) return true;
    if (entry.writing.has(index) || bytes.byteLength !== chunkLength(entry.payloadBytes, index)) return false;
    this.#touch(entry);
    const diskBytes = entry.growthOf(index);
    const room = this.#index.reserve(diskBytes, entry.evict, entry);
    if (room === null) return false;
    entry.writing.add(index);
    this.#writes++;
    try {
      await room;
      if (!this.#index.holds(entry)) return false;
      // The rest of a song that is nearly whole is under way already.
      const written = await this.#writesOf(entry).write(entry.positionOf(index), bytes, { last: entry.missing === entry.writing.size });
      // An entry that was removed meanwhile has taken its reservation with it.
      if (!this.#index.holds(entry)) return false;
      if (written.bytes < bytes.byteLength) {
        if (written.bytes > 0) entry.damage(index);
        else this.#index.release(diskBytes, entry);
        await this.#index.failed(entry, written.error);
        return false;
      }
    } finally {
      this.#writes--;
      entry.writing.delete(index);
    }
    this.#trouble.worked();
    entry.add(index);
    this.#changed(entry);
    if (entry.complete) this.#events.completed(payload);
    return true;
  }

  /**
   * Keeps the edges of a file whose payload is here, in part at least; they go when it goes.
   * @returns whether they are here now; false also for edges that are not that file's
   */
  keepEdges(payload: PayloadId, file: FileId, edges: Edges): Promise<boolean> {
    const entry = this.#index.entries.get(payload);
    return entry === undefined || this.#closed ? Promise.resolve(false) : this.#edges.keep(entry, file, edges);
  }

  /** @returns the whole verified edge, or null when it is not here or not whole; then both of the file are forgotten */
  async readEdge(file: FileId, edge: Edge): Promise<Uint8Array | null> {
    const entry = this.#index.holderOf(file);
    if (entry === undefined) return null;
    this.#touch(entry);
    return this.#edges.read(entry, file, edge);
  }

  /** As `readEdge`, from `offset` on and at most 128 KiB. */
  async readEdgePiece(file: FileId, edge: Edge, offset: number): Promise<Uint8Array | null> {
    const entry = this.#index.holderOf(file);
    if (entry === undefined) return null;
    this.#touch(entry);
    return this.#edges.readPiece(entry, file, edge, offset);
  }

  /** Reads all that precedes the chunks again, and mends it if it can; that is no use of the payload. @returns bytes read */
  async checkHead(payload: PayloadId): Promise<number> {
    const entry = this.#index.entries.get(payload);
    if (entry === undefined) return 0;
    const head = await this.#read(entry, 0, entry.manifestAt + entry.chunks * HASH_BYTES);
    if (head === null || !this.#index.holds(entry)) return 0;
    // What is in memory is right. Where it has just changed, it is written once more than needed.
    const header = entry.header();
    if (!head.subarray(0, header.byteLength).equals(header)) this.#changed(entry);
    const manifest = head.subarray(entry.manifestAt);
    if (!isManifest(entry, manifest)) await this.#repairManifest(entry, this.#manifests.get(entry) ?? manifest);
    return head.byteLength;
  }

  /** As `read`, but that is no use of the payload. @returns bytes read */
  async checkChunk(payload: PayloadId, index: number): Promise<number> {
    const entry = this.#index.entries.get(payload);
    return entry?.has(index) ? ((await this.#readChunk(entry, index))?.byteLength ?? 0) : 0;
  }

  /** As `readEdge`, of all that are here of a payload, but that is no use of it. @returns bytes read */
  async checkEdges(payload: PayloadId): Promise<number> {
    const entry = this.#index.entries.get(payload);
    return entry === undefined ? 0 : this.#edges.check(entry);
  }

  /** Removes a payload, pinned or not. */
  async delete(payload: PayloadId): Promise<void> {
    const entry = this.#index.entries.get(payload);
    if (entry !== undefined) await this.#index.remove(entry);
  }

  /** Writes what the bitmaps say now. */
  async flush(): Promise<void> {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const entry of dirty) {
      if (!this.#index.holds(entry)) continue;
      await this.#files.useChunks(entry.payload, (handle) => writeAt(handle, 0, entry.header())).catch((error) => this.#index.failed(entry, error));
    }
  }

  /** Ends when all that is under way is on the disk or gone from it; nothing is taken from now on. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#starting.values());
    await Promise.all([...this.#index.entries.values()].flatMap(({ keeping }) => [...keeping.values()]));
    for (const entry of this.#index.entries.values()) this.#gathered.get(entry)?.flush();
    await Promise.all(this.#writing);
    await this.flush();
    await Promise.all([...this.#index.entries.keys()].map((payload) => this.#files.close(chunksName(payload))));
    await this.#index.removals();
  }

  async #load(): Promise<void> {
    try {
      for (const loaded of await this.#files.load()) this.#take(loaded);
    } catch (error) {
      this.#trouble.stop(error);
    }
  }

  #take({ payload, found, unreadable }: Loaded): void {
    for (const [name, bytes] of unreadable) this.#index.unreadable.add(payload, name, bytes);
    if (found === undefined) return;
    const { entry, changed } = found;
    this.#index.found(entry);
    if (changed) this.#changed(entry);
  }

  /** What could not be read, and may be the last copy, is read again before somebody writes over it. */
  async #reload(payload: PayloadId): Promise<void> {
    const loaded = await this.#files.loadPayload(payload).catch(() => undefined);
    if (loaded === undefined) return;
    for (const name of this.#index.unreadable.namesOf(payload)) this.#index.unreadable.delete(payload, name);
    this.#take(loaded);
    if (this.complete(payload)) this.#events.completed(payload);
    if (this.filesOf(payload).length > 0) this.#events.edges(payload);
  }

  async #begin(payload: PayloadId, payloadBytes: number, manifest: Uint8Array, evict: Evictable): Promise<boolean> {
    const entry = new CacheEntry(payload, payloadBytes, this.#clock.wall());
    if (entry.chunks === 0 || entry.bytesWhole > this.bytesMax || this.#trouble.stopped) return false;
    await this.#index.removal(payload);
    if (this.#index.unreadable.namesOf(payload).length > 0) await this.#reload(payload);
    if (this.#index.entries.has(payload)) return true;
    if (this.#index.unreadable.has(payload, chunksName(payload))) return false;
    const room = this.#index.reserve(entry.bytes, evict);
    if (room === null) return false;
    try {
      await room;
      await this.#files.createChunks(payload, async (handle) => {
        // The manifest first: a file with a magic has one, unless the machine itself went down.
        await writeAt(handle, entry.manifestAt, manifest);
        await writeAt(handle, 0, entry.header());
      });
    } catch (error) {
      this.#index.release(entry.bytes);
      this.#trouble.stop(error);
      return false;
    }
    this.#index.add(entry);
    this.#manifests.set(entry, Buffer.from(manifest));
    return true;
  }

  async #readManifest(entry: CacheEntry): Promise<Buffer | null> {
    const manifest = await this.#read(entry, entry.manifestAt, entry.chunks * HASH_BYTES);
    if (manifest === null) return null;
    if (!isManifest(entry, manifest)) return this.#repairManifest(entry, manifest);
    this.#manifests.set(entry, manifest);
    return manifest;
  }

  /** The hashes of the chunks that are here can be computed again; if the others are right, its id shows it. @param known perhaps damaged */
  async #repairManifest(entry: CacheEntry, known: Buffer): Promise<Buffer | null> {
    const manifest = Buffer.alloc(entry.chunks * HASH_BYTES);
    known.copy(manifest);
    const right = isManifest(entry, manifest);
    for (let index = 0; index < entry.chunks && !right; index++) {
      if (!entry.has(index)) continue;
      const chunk = await this.#read(entry, entry.positionOf(index), chunkLength(entry.payloadBytes, index));
      if (chunk === null) return null;
      sha256(chunk).copy(manifest, index * HASH_BYTES);
    }
    if (!this.#index.holds(entry)) return null;
    this.#events.damaged(entry.payload, 'head');
    if (!right && !isManifest(entry, manifest)) {
      // Without its hashes the rest is worth nothing.
      await this.#index.remove(entry);
      return null;
    }
    this.#manifests.set(entry, manifest);
    await this.#files.useChunks(entry.payload, (handle) => writeAt(handle, entry.manifestAt, manifest)).catch((error) => this.#index.failed(entry, error));
    return manifest;
  }

  async #readChunk(entry: CacheEntry, index: number): Promise<Uint8Array | null> {
    const manifest = await this.manifestOf(entry.payload);
    if (manifest === null) return null;
    const chunk = await this.#read(entry, entry.positionOf(index), chunkLength(entry.payloadBytes, index));
    if (chunk === null) return null;
    if (isChunk(manifest, index, chunk)) return chunk;
    this.#forget(entry, index);
    return null;
  }

  async #read(entry: CacheEntry, position: number, length: number): Promise<Buffer | null> {
    try {
      return await this.#files.useChunks(entry.payload, (handle) => readAt(handle, position, length));
    } catch (error) {
      // A sector that cannot be read is a damaged chunk; the next write to it may mend it.
      if (codeOf(error) === 'EIO') return Buffer.alloc(0);
      // Deleted from outside, or unplugged: the song is fetched again, and what cannot be read is not announced. What may be
      // there again after a start is left on its disk: it may be the last copy.
      if (!isShortage(error)) await this.#index.remove(entry, { unlink: codeOf(error) === 'ENOENT' });
      return null;
    }
  }

  #writesOf(entry: CacheEntry): GatheredWrites {
    let writes = this.#gathered.get(entry);
    if (writes === undefined) {
      writes = new GatheredWrites((work) => {
        if (this.#index.holds(entry)) return this.#files.useChunks(entry.payload, work);
        return Promise.reject(new PeerError('NOT_FOUND', 'it was removed from the cache meanwhile'));
      });
      this.#gathered.set(entry, writes);
    }
    return writes;
  }

  /** Its blocks stay taken until it is written again, and count. */
  #forget(entry: CacheEntry, index: number): void {
    const { payload } = entry;
    if (!this.#index.holds(entry) || !entry.has(index)) return;
    const wasComplete = entry.complete;
    entry.damage(index);
    this.#changed(entry);
    this.#events.damaged(payload, index);
    if (wasComplete) this.#events.lost(payload);
  }

  #touch(entry: CacheEntry): void {
    entry.lastUsed = this.#clock.wall();
    this.#index.touch(entry);
    this.#changed(entry);
  }

  #changed(entry: CacheEntry): void {
    this.#dirty.add(entry);
    this.#flushTimer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref();
  }
}

function isManifest({ payload, payloadBytes }: CacheEntry, manifest: Uint8Array): boolean {
  try {
    verifyManifest(payload, payloadBytes, manifest);
    return true;
  } catch {
    return false;
  }
}
