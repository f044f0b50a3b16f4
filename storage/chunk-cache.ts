// Other people's music that passed through here, kept so that it need not be fetched twice and can be served on. Bounded;
// whole songs go, least recently used first. A chunk is given out only if its hash is right, so nothing has to be
// synced and nothing repaired: what a crash tore is found when it is read, forgotten, and fetched again. A disk that is full or
// read-only stops the caching, never the music.
import * as fileSystem from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { chunkLength, HASH_BYTES, isChunk, verifyManifest } from '../lib/content.ts';
import { codeOf, messageOf, PeerError } from '../lib/errors.ts';
import { isId, type PayloadId } from '../lib/ids.ts';
import { CACHE_WRITES_MAX, MANIFESTS_CACHED_BYTES } from '../lib/limits.ts';
import { type Clock, type Millis, systemClock } from '../lib/time.ts';
import { CacheEntry, entryFromHeader, HEADER_GUESS_BYTES } from './cache-entry.ts';
import { type OpenFiles, readAt, writeAt } from './open-files.ts';

export type CacheFileSystem = Pick<typeof fileSystem, 'mkdir' | 'open' | 'readdir' | 'unlink'>;

export interface CacheOptions {
  /** 0 refuses others' music. */
  readonly bytesMax: number;
  /** What must not be evicted from the start; `pin` and `unpin` change it. */
  readonly pinned?: Iterable<PayloadId>;
  readonly files: OpenFiles;
  readonly clock?: Clock;
  readonly fileSystem?: CacheFileSystem;
}

export interface CacheEvents {
  /** Every chunk of it is here now. */
  completed(payload: PayloadId): void;
  /** It was complete and is no more: evicted, deleted, or damaged on disk. */
  lost(payload: PayloadId): void;
  /** Caching has stopped (DISK_FULL, DATA_FOLDER_UNUSABLE); told once, until a write has worked again. */
  trouble(error: PeerError): void;
}

const SUFFIX = '.chunks';
/** What a kill may cost: chunks of the last second are fetched again. */
const FLUSH_MS: Millis = 1_000;
/** A full disk is asked again this often, because somebody may have made room. */
const RETRY_MS: Millis = 60_000;
/** Headers read at once at the start; more only fills the thread pool. */
const OPENING_AT_ONCE = 8;

export class ChunkCache {
  readonly bytesMax: number;
  readonly #folder: string;
  readonly #files: OpenFiles;
  readonly #clock: Clock;
  readonly #fs: CacheFileSystem;
  /** In order of use, so that the first is the next to go. */
  readonly #entries = new Map<PayloadId, CacheEntry>();
  readonly #pinned: Set<PayloadId>;
  readonly #holds = new Map<PayloadId, number>();
  readonly #manifests = new LRUCache<PayloadId, Buffer>({ maxSize: MANIFESTS_CACHED_BYTES, sizeCalculation: (manifest) => manifest.byteLength });
  readonly #starting = new Map<PayloadId, Promise<boolean>>();
  readonly #removing = new Map<PayloadId, Promise<void>>();
  readonly #dirty = new Set<CacheEntry>();
  readonly #listeners = new Set<Partial<CacheEvents>>();
  #bytes = 0;
  #writes = 0;
  #flushTimer: NodeJS.Timeout | undefined;
  /** When caching stopped, and whether it has been told. */
  #stoppedAt: Millis | undefined;

  private constructor(folder: string, options: CacheOptions) {
    this.#folder = folder;
    this.bytesMax = options.bytesMax;
    this.#files = options.files;
    this.#clock = options.clock ?? systemClock;
    this.#fs = options.fileSystem ?? fileSystem;
    this.#pinned = new Set(options.pinned);
  }

  /** Reads the headers in `folder`, never the music. An unusable folder gives a cache that holds nothing. */
  static async open(folder: string, options: CacheOptions, listener: Partial<CacheEvents> = {}): Promise<ChunkCache> {
    const cache = new ChunkCache(folder, options);
    cache.listen(listener);
    await cache.#load();
    await Promise.all(cache.#makeRoom(0)?.removals ?? []);
    return cache;
  }

  listen(listener: Partial<CacheEvents>): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What it takes of the disk, holes not counted. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Payloads of which something is here. */
  get songs(): number {
    return this.#entries.size;
  }

  has(payload: PayloadId): boolean {
    return this.#entries.has(payload);
  }

  /** As far as is known without reading it. */
  hasChunk(payload: PayloadId, index: number): boolean {
    return this.#entries.get(payload)?.has(index) ?? false;
  }

  complete(payload: PayloadId): boolean {
    return this.#entries.get(payload)?.complete ?? false;
  }

  completed(): PayloadId[] {
    return [...this.#entries.values()].filter((entry) => entry.complete).map((entry) => entry.payload);
  }

  /** Keeps a payload from being evicted while somebody reads or fills it. */
  hold(payload: PayloadId): () => void {
    this.#holds.set(payload, (this.#holds.get(payload) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = (this.#holds.get(payload) ?? 1) - 1;
      if (left > 0) this.#holds.set(payload, left);
      else this.#holds.delete(payload);
    };
  }

  pin(payload: PayloadId): void {
    this.#pinned.add(payload);
  }

  unpin(payload: PayloadId): void {
    this.#pinned.delete(payload);
  }

  /** Makes place for a payload. @param manifest already verified @returns whether its chunks may be written */
  begin(payload: PayloadId, payloadBytes: number, manifest: Uint8Array): Promise<boolean> {
    const known = this.#entries.get(payload);
    if (known !== undefined) return Promise.resolve(known.payloadBytes === payloadBytes);
    const starting = this.#starting.get(payload) ?? this.#begin(payload, payloadBytes, manifest).finally(() => this.#starting.delete(payload));
    this.#starting.set(payload, starting);
    return starting;
  }

  /** @returns the verified manifest, or null when nothing of that payload is here */
  async manifestOf(payload: PayloadId): Promise<Uint8Array | null> {
    const entry = this.#entries.get(payload);
    if (entry === undefined) return null;
    const known = this.#manifests.get(payload);
    if (known !== undefined) return known;
    const manifest = await this.#read(entry, entry.manifestAt, entry.chunks * HASH_BYTES);
    if (manifest === null) return null;
    try {
      verifyManifest(payload, entry.payloadBytes, manifest);
    } catch {
      // A header that a crash tore: without its hashes the rest is worth nothing.
      await this.#remove(entry);
      return null;
    }
    this.#manifests.set(payload, manifest);
    return manifest;
  }

  /** @returns the verified chunk, or null when it is not here or not whole; then it is forgotten */
  async read(payload: PayloadId, index: number): Promise<Uint8Array | null> {
    const entry = this.#entries.get(payload);
    if (entry === undefined || !entry.has(index)) return null;
    this.#touch(entry);
    const manifest = await this.manifestOf(payload);
    if (manifest === null) return null;
    const chunk = await this.#read(entry, entry.positionOf(index), chunkLength(entry.payloadBytes, index));
    if (chunk === null) return null;
    if (isChunk(manifest, index, chunk)) return chunk;
    this.#forget(entry, index);
    return null;
  }

  /** @param bytes already verified @returns whether the chunk is here now; false is no fault, the cache is only a help */
  async write(payload: PayloadId, index: number, bytes: Uint8Array): Promise<boolean> {
    const entry = this.#entries.get(payload);
    if (entry === undefined || this.#stopped || this.#writes >= CACHE_WRITES_MAX) return false;
    if (entry.has(index)) return true;
    if (entry.writing.has(index) || bytes.byteLength !== chunkLength(entry.payloadBytes, index)) return false;
    this.#touch(entry);
    const room = this.#makeRoom(bytes.byteLength, entry);
    if (room === null) return false;
    entry.bytes += bytes.byteLength;
    entry.writing.add(index);
    this.#writes++;
    try {
      await Promise.all(room.removals);
      await this.#use(entry, (handle) => writeAt(handle, entry.positionOf(index), bytes));
    } catch (error) {
      // An entry that was removed meanwhile has taken its reservation with it.
      if (this.#entries.get(payload) !== entry) return false;
      entry.bytes -= bytes.byteLength;
      this.#bytes -= bytes.byteLength;
      await this.#failed(entry, error);
      return false;
    } finally {
      this.#writes--;
      entry.writing.delete(index);
    }
    if (this.#entries.get(payload) !== entry) return false;
    this.#stoppedAt = undefined;
    entry.add(index);
    this.#changed(entry);
    if (entry.complete) this.#tell((listener) => listener.completed?.(payload));
    return true;
  }

  /** Removes a payload, pinned or not. */
  async delete(payload: PayloadId): Promise<void> {
    const entry = this.#entries.get(payload);
    if (entry !== undefined) await this.#remove(entry);
  }

  /** Writes what the bitmaps say now. */
  async flush(): Promise<void> {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const entry of dirty) {
      if (this.#entries.get(entry.payload) !== entry) continue;
      await this.#use(entry, (handle) => writeAt(handle, 0, entry.header())).catch((error) => this.#failed(entry, error));
    }
  }

  async close(): Promise<void> {
    await this.flush();
    await Promise.all([...this.#entries.keys()].map((payload) => this.#files.drop(this.#path(payload))));
    await Promise.all(this.#removing.values());
  }

  async #load(): Promise<void> {
    let names: string[];
    try {
      await this.#fs.mkdir(this.#folder, { recursive: true });
      names = await this.#fs.readdir(this.#folder);
    } catch (error) {
      this.#stop(error);
      return;
    }
    const found: CacheEntry[] = [];
    const payloads = names.filter((name) => name.endsWith(SUFFIX) && isId(name.slice(0, -SUFFIX.length))).values();
    const reader = async (): Promise<void> => {
      for (const name of payloads) {
        const entry = await this.#loadEntry(name.slice(0, -SUFFIX.length) as PayloadId);
        if (entry !== null) found.push(entry);
      }
    };
    await Promise.all(Array.from({ length: OPENING_AT_ONCE }, reader));
    found.sort((a, b) => a.lastUsed - b.lastUsed);
    for (const entry of found) {
      this.#entries.set(entry.payload, entry);
      this.#bytes += entry.bytes;
    }
  }

  async #loadEntry(payload: PayloadId): Promise<CacheEntry | null> {
    try {
      const handle = await this.#fs.open(this.#path(payload), 'r');
      try {
        let entry = entryFromHeader(payload, await readAt(handle, 0, HEADER_GUESS_BYTES));
        if (typeof entry === 'number') entry = entryFromHeader(payload, await readAt(handle, 0, entry));
        if (entry instanceof CacheEntry) return entry;
      } finally {
        await handle.close();
      }
      await this.#fs.unlink(this.#path(payload));
    } catch {
      // Unreadable: it is left where it is, and fetched again under the same name if somebody wants it.
    }
    return null;
  }

  async #begin(payload: PayloadId, payloadBytes: number, manifest: Uint8Array): Promise<boolean> {
    const entry = new CacheEntry(payload, payloadBytes, this.#clock.wall());
    if (entry.chunks === 0 || entry.bytes + payloadBytes > this.bytesMax || this.#stopped) return false;
    const room = this.#makeRoom(entry.bytes);
    if (room === null) return false;
    try {
      await Promise.all([...room.removals, this.#removing.get(payload)]);
      await this.#fs.mkdir(this.#folder, { recursive: true });
      const handle = await this.#fs.open(this.#path(payload), 'w+');
      try {
        // The manifest first: a file with a magic has one, unless the machine itself went down.
        await writeAt(handle, entry.manifestAt, manifest);
        await writeAt(handle, 0, entry.header());
      } finally {
        await handle.close();
      }
    } catch (error) {
      this.#bytes -= entry.bytes;
      this.#stop(error);
      await this.#fs.unlink(this.#path(payload)).catch(() => {});
      return false;
    }
    this.#entries.set(payload, entry);
    this.#manifests.set(payload, Buffer.from(manifest));
    return true;
  }

  /** Reserves `bytes`, evicting what it must. @returns null when even that would not do, and then evicts nothing */
  #makeRoom(bytes: number, keep?: CacheEntry): { readonly removals: readonly Promise<void>[] } | null {
    const victims: CacheEntry[] = [];
    let excess = this.#bytes + bytes - this.bytesMax;
    for (const entry of this.#entries.values()) {
      if (excess <= 0) break;
      if (entry === keep || this.#pinned.has(entry.payload) || this.#holds.has(entry.payload)) continue;
      victims.push(entry);
      excess -= entry.bytes;
    }
    if (excess > 0 && bytes > 0) return null;
    this.#bytes += bytes;
    return { removals: victims.map((entry) => this.#remove(entry)) };
  }

  async #remove(entry: CacheEntry): Promise<void> {
    const { payload } = entry;
    if (this.#entries.get(payload) !== entry) return;
    this.#entries.delete(payload);
    this.#manifests.delete(payload);
    this.#dirty.delete(entry);
    this.#bytes -= entry.bytes;
    if (entry.complete) this.#tell((listener) => listener.lost?.(payload));
    const path = this.#path(payload);
    const removal = this.#files
      .drop(path)
      .then(() => this.#fs.unlink(path))
      .catch(() => {})
      .then(() => void this.#removing.delete(payload));
    this.#removing.set(payload, removal);
    await removal;
  }

  async #read(entry: CacheEntry, position: number, length: number): Promise<Buffer | null> {
    try {
      return await this.#use(entry, (handle) => readAt(handle, position, length));
    } catch (error) {
      // Deleted from outside, or a bad sector: the song is fetched again, and what cannot be read is not announced. Too
      // many open files say nothing about this one.
      if (!['EMFILE', 'ENFILE'].includes(codeOf(error) ?? '')) await this.#remove(entry);
      return null;
    }
  }

  #use<T>(entry: CacheEntry, work: (handle: fileSystem.FileHandle) => Promise<T>): Promise<T> {
    const path = this.#path(entry.payload);
    // A disk that has become read-only can still be read from.
    const open = (): Promise<fileSystem.FileHandle> =>
      this.#fs.open(path, 'r+').catch((error) => {
        if (!['EACCES', 'EPERM', 'EROFS'].includes(codeOf(error) ?? '')) throw error;
        return this.#fs.open(path, 'r');
      });
    return this.#files.use(path, open, work);
  }

  #forget(entry: CacheEntry, index: number): void {
    if (this.#entries.get(entry.payload) !== entry || !entry.has(index)) return;
    const wasComplete = entry.complete;
    const bytes = chunkLength(entry.payloadBytes, index);
    entry.remove(index);
    entry.bytes -= bytes;
    this.#bytes -= bytes;
    this.#changed(entry);
    if (wasComplete) this.#tell((listener) => listener.lost?.(entry.payload));
  }

  #touch(entry: CacheEntry): void {
    entry.lastUsed = this.#clock.wall();
    this.#entries.delete(entry.payload);
    this.#entries.set(entry.payload, entry);
    this.#changed(entry);
  }

  #changed(entry: CacheEntry): void {
    this.#dirty.add(entry);
    this.#flushTimer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref();
  }

  async #failed(entry: CacheEntry, error: unknown): Promise<void> {
    if (codeOf(error) === 'ENOENT') await this.#remove(entry);
    else this.#stop(error);
  }

  get #stopped(): boolean {
    return this.#stoppedAt !== undefined && this.#clock.now() - this.#stoppedAt < RETRY_MS;
  }

  #stop(cause: unknown): void {
    const told = this.#stoppedAt !== undefined;
    this.#stoppedAt = this.#clock.now();
    if (told) return;
    const full = ['ENOSPC', 'EDQUOT'].includes(codeOf(cause) ?? '');
    const error = full
      ? new PeerError('DISK_FULL', `the disk of ${this.#folder} is full: music of others is played, but not kept`, { cause })
      : new PeerError('DATA_FOLDER_UNUSABLE', `${this.#folder} cannot be written (${messageOf(cause)}): music of others is played, but not kept`, { cause });
    this.#tell((listener) => listener.trouble?.(error));
  }

  #tell(what: (listener: Partial<CacheEvents>) => void): void {
    for (const listener of this.#listeners) what(listener);
  }

  #path(payload: PayloadId): string {
    return join(this.#folder, `${payload}${SUFFIX}`);
  }
}
