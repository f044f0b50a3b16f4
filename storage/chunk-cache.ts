// Other people's music that passed through here, kept so that it need not be fetched twice and can be served on. Bounded; whole
// songs go (eviction.ts). A chunk is given out only if its hash is right, so nothing has to be synced: what a crash tore or time
// damaged is found when it is read, forgotten, and fetched again. A disk that is full or read-only stops the caching, never the
// music.
//
// What is here, and what it takes, is in the index (cache-index.ts); the stores of payloads and of edges do with their files what is
// asked of them (payload-store.ts, edge-store.ts). Here a song begins, and ids become entries.
import type { FileId, PayloadId } from '../lib/ids.ts';
import { type Clock, systemClock } from '../lib/time.ts';
import type { Edges } from './cache-edges.ts';
import { CacheEntry, type Evictable } from './cache-entry.ts';
import { type CacheEvents, CacheListeners } from './cache-events.ts';
import { CacheFiles } from './cache-files.ts';
import { type CacheFileSystem, chunksName, type Loaded } from './cache-folder.ts';
import { CacheIndex } from './cache-index.ts';
import type { Proof } from './cache-recovery.ts';
import { CacheTrouble } from './cache-trouble.ts';
import { DiskSpace, type StatFileSystem } from './disk-space.ts';
import { EdgeStore } from './edge-store.ts';
import { Eviction, type Judge } from './eviction.ts';
import type { Edge } from './local-files.ts';
import { isShortage, type OpenFiles } from './open-files.ts';
import { PayloadStore } from './payload-store.ts';
import { UnreadableFiles } from './unreadable-files.ts';

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

export class ChunkCache {
  readonly bytesMax: number;
  readonly #clock: Clock;
  readonly #events = new CacheListeners();
  readonly #files: CacheFiles;
  readonly #trouble: CacheTrouble;
  readonly #space: DiskSpace;
  readonly #eviction: Eviction;
  readonly #index: CacheIndex;
  readonly #payloads: PayloadStore;
  readonly #edges: EdgeStore;
  readonly #starting = new Map<PayloadId, Promise<boolean>>();
  readonly #retrying = new Map<PayloadId, Promise<void>>();
  #closed = false;

  private constructor(folder: string, { bytesMax, pinned = [], judge = () => 'free', files, clock = systemClock, fileSystem, statfs }: CacheOptions) {
    this.bytesMax = bytesMax;
    this.#clock = clock;
    this.#files = new CacheFiles(folder, { files, fileSystem });
    this.#trouble = new CacheTrouble(folder, { clock, events: this.#events });
    this.#space = new DiskSpace(folder, { clock, statfs });
    const unreadable = new UnreadableFiles();
    this.#eviction = new Eviction({ pinned, judge, unreadable });
    const parts = { files: this.#files, trouble: this.#trouble, events: this.#events };
    this.#index = new CacheIndex({ ...parts, bytesMax, eviction: this.#eviction, unreadable, space: this.#space });
    this.#payloads = new PayloadStore({ ...parts, index: this.#index, clock });
    this.#edges = new EdgeStore({ ...parts, index: this.#index });
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

  /** Of what is on the disk, and could not be read or proven; `checkHead` tries it again. */
  aside(): PayloadId[] {
    return this.#index.unreadable.payloads.filter((payload) => !this.#index.entries.has(payload));
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
    return this.#trouble.stopped ? 0 : this.#index.roomFor();
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
    return entry === undefined ? null : this.#payloads.manifestOf(entry);
  }

  /** @returns the verified chunk, or null when it is not here or not whole; then it is forgotten */
  async read(payload: PayloadId, index: number): Promise<Uint8Array | null> {
    const entry = this.#index.entries.get(payload);
    if (entry === undefined || !entry.has(index)) return null;
    this.#payloads.touch(entry);
    return this.#payloads.read(entry, index);
  }

  /** @param bytes already verified @returns whether the chunk is here now; false is no fault, the cache is only a help */
  write(payload: PayloadId, index: number, bytes: Uint8Array): Promise<boolean> {
    const entry = this.#index.entries.get(payload);
    return entry === undefined || this.#closed ? Promise.resolve(false) : this.#payloads.write(entry, index, bytes);
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
    this.#payloads.touch(entry);
    return this.#edges.read(entry, file, edge);
  }

  /** As `readEdge`, from `offset` on and at most 128 KiB. */
  async readEdgePiece(file: FileId, edge: Edge, offset: number): Promise<Uint8Array | null> {
    const entry = this.#index.holderOf(file);
    if (entry === undefined) return null;
    this.#payloads.touch(entry);
    return this.#edges.readPiece(entry, file, edge, offset);
  }

  /** Reads all that precedes the chunks again, and mends it if it can; that is no use of the payload. What was put aside is here again where it can
   *  be read and proven now. @returns bytes read */
  async checkHead(payload: PayloadId): Promise<number> {
    const entry = this.#index.entries.get(payload);
    return entry === undefined ? this.#retry(payload) : this.#payloads.checkHead(entry);
  }

  /** As `read`, but that is no use of the payload. @returns bytes read */
  async checkChunk(payload: PayloadId, index: number): Promise<number> {
    const entry = this.#index.entries.get(payload);
    return entry?.has(index) ? ((await this.#payloads.read(entry, index))?.byteLength ?? 0) : 0;
  }

  /** As `readEdge`, of all that are here of a payload, but that is no use of it; those that were put aside are here again where they are right now.
   *  @returns bytes read */
  async checkEdges(payload: PayloadId): Promise<number> {
    const entry = this.#index.entries.get(payload);
    return entry === undefined ? 0 : this.#edges.check(entry);
  }

  /** Removes a payload, pinned or not, and what of it was put aside. */
  async delete(payload: PayloadId): Promise<void> {
    const entry = this.#index.entries.get(payload) ?? (await this.#settled(payload));
    await (entry === undefined ? this.#index.removeAside(payload) : this.#index.remove(entry));
  }

  /** Writes what the bitmaps say now. */
  flush(): Promise<void> {
    return this.#payloads.flush();
  }

  /** Ends when all that is under way is on the disk or gone from it; nothing is taken from now on. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#starting.values(), ...this.#retrying.values()]);
    await Promise.all([...this.#index.entries.values()].flatMap(({ keeping }) => [...keeping.values()]));
    await this.#payloads.close();
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
    if (changed) this.#payloads.changed(entry);
  }

  /** Nobody reads it again to begin it or to take it back. @returns it, where it is here then */
  async #settled(payload: PayloadId): Promise<CacheEntry | undefined> {
    let reading: Promise<unknown> | undefined;
    while ((reading = this.#starting.get(payload) ?? this.#retrying.get(payload)) !== undefined) await reading;
    return this.#index.entries.get(payload);
  }

  /** A disk that failed for a moment gives again what nobody else may have. @returns bytes that were read at most */
  async #retry(payload: PayloadId): Promise<number> {
    const bytes = this.#index.unreadable.bytesOf(payload, chunksName(payload));
    if (!this.#index.unreadable.hasAny(payload) || this.#closed || this.#starting.has(payload) || this.#retrying.has(payload)) return 0;
    const retrying = this.#index
      .removal(payload)
      .then(() => this.#reload(payload, 'file'))
      .finally(() => this.#retrying.delete(payload));
    this.#retrying.set(payload, retrying);
    await retrying;
    return bytes;
  }

  /** What could not be read, and may be the last copy, is read again before somebody writes over it; what is proven now counts again. */
  async #reload(payload: PayloadId, by: Proof): Promise<void> {
    const loaded = await this.#files.loadPayload(payload, by).catch(() => undefined);
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
    await this.#retrying.get(payload);
    if (!this.#index.entries.has(payload) && this.#index.unreadable.hasAny(payload)) await this.#reload(payload, { payloadBytes, manifest });
    if (this.#index.entries.has(payload)) return true;
    if (this.#index.unreadable.has(payload, chunksName(payload))) return false;
    const room = this.#index.reserve(entry.bytes, evict);
    if (room === null) return false;
    try {
      await room;
      await this.#payloads.create(entry, manifest);
    } catch (error) {
      this.#index.release(entry.bytes);
      if (!isShortage(error)) this.#trouble.stop(error);
      return false;
    }
    this.#index.add(entry);
    return true;
  }
}
