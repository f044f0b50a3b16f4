// What is cached of payloads, each in its file: chunks are written together, read and verified; what is damaged is forgotten, or mended
// where the rest of the file shows what it was.
import { LRUCache } from 'lru-cache';
import { chunkLength, HASH_BYTES, isChunk, sha256 } from '../lib/content.ts';
import { codeOf, PeerError } from '../lib/errors.ts';
import { CACHE_WRITES_MAX, MANIFESTS_CACHED_BYTES } from '../lib/limits.ts';
import type { Clock, Millis } from '../lib/time.ts';
import type { CacheEntry } from './cache-entry.ts';
import type { CacheEvents } from './cache-events.ts';
import type { CacheFiles } from './cache-files.ts';
import { chunksName } from './cache-folder.ts';
import type { CacheIndex } from './cache-index.ts';
import { isManifest } from './cache-recovery.ts';
import type { CacheTrouble } from './cache-trouble.ts';
import { GatheredWrites } from './gathered-writes.ts';
import { isShortage, readAt, writeAt } from './open-files.ts';

interface PayloadStoreOptions {
  readonly index: CacheIndex;
  readonly files: CacheFiles;
  readonly trouble: CacheTrouble;
  readonly events: CacheEvents;
  readonly clock: Pick<Clock, 'wall'>;
}

/** A bitmap is written so long after the first of the chunks that it speaks of: once for many. */
const FLUSH_MS: Millis = 1_000;

export class PayloadStore {
  readonly #index: CacheIndex;
  readonly #files: CacheFiles;
  readonly #trouble: CacheTrouble;
  readonly #events: CacheEvents;
  readonly #clock: Pick<Clock, 'wall'>;
  /** Those of an entry that has gone are asked for no more, and fall out in time. */
  readonly #manifests = new LRUCache<CacheEntry, Buffer>({ maxSize: MANIFESTS_CACHED_BYTES, sizeCalculation: (manifest) => manifest.byteLength });
  readonly #gathered = new WeakMap<CacheEntry, GatheredWrites>();
  /** Their headers say something else on the disk. */
  readonly #dirty = new Set<CacheEntry>();
  #flushTimer: NodeJS.Timeout | undefined;
  readonly #writing = new Set<Promise<boolean>>();
  /** Chunks on their way to the disk. */
  #writes = 0;

  constructor({ index, files, trouble, events, clock }: PayloadStoreOptions) {
    this.#index = index;
    this.#files = files;
    this.#trouble = trouble;
    this.#events = events;
    this.#clock = clock;
  }

  /** Makes the file of an entry that is not here yet. @param manifest already verified @throws what the file system does */
  async create(entry: CacheEntry, manifest: Uint8Array): Promise<void> {
    await this.#files.createChunks(entry.payload, async (handle) => {
      // The manifest first: a file with a magic has one, unless the machine itself went down.
      await writeAt(handle, entry.manifestAt, manifest);
      await writeAt(handle, 0, entry.header());
    });
    this.#manifests.set(entry, Buffer.from(manifest));
  }

  /** It is used now. */
  touch(entry: CacheEntry): void {
    entry.lastUsed = this.#clock.wall();
    this.#index.touch(entry);
    this.changed(entry);
  }

  /** What its header says on the disk is no longer so: soon it is written again. */
  changed(entry: CacheEntry): void {
    this.#dirty.add(entry);
    this.#flushTimer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref();
  }

  /** @returns the verified manifest, or null when nothing of that payload is here any more */
  async manifestOf(entry: CacheEntry): Promise<Uint8Array | null> {
    return this.#manifests.get(entry) ?? this.#readManifest(entry);
  }

  /** @returns the verified chunk, or null when it is not whole; then it is forgotten */
  async read(entry: CacheEntry, index: number): Promise<Uint8Array | null> {
    const manifest = await this.manifestOf(entry);
    if (manifest === null) return null;
    const chunk = await this.#read(entry, entry.positionOf(index), chunkLength(entry.payloadBytes, index));
    if (chunk === null) return null;
    if (isChunk(manifest, index, chunk)) return chunk;
    this.#forget(entry, index);
    return null;
  }

  /** @param bytes already verified @returns whether the chunk is here now */
  write(entry: CacheEntry, index: number, bytes: Uint8Array): Promise<boolean> {
    const writing = this.#write(entry, index, bytes).finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
    return writing;
  }

  /** Reads all that precedes the chunks again, and mends it if it can. @returns bytes read */
  async checkHead(entry: CacheEntry): Promise<number> {
    const head = await this.#read(entry, 0, entry.manifestAt + entry.chunks * HASH_BYTES);
    if (head === null || !this.#index.holds(entry)) return 0;
    // What is in memory is right. Where it has just changed, it is written once more than needed.
    const header = entry.header();
    if (!head.subarray(0, header.byteLength).equals(header)) this.changed(entry);
    const manifest = head.subarray(entry.manifestAt);
    if (!isManifest(entry, manifest)) await this.#repairManifest(entry, this.#manifests.get(entry) ?? manifest);
    return head.byteLength;
  }

  /** Writes what the bitmaps say now. */
  async flush(): Promise<void> {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const entry of dirty) {
      if (!this.#index.holds(entry)) continue;
      await this.#files.useChunks(entry.payload, (handle) => writeAt(handle, 0, entry.header())).catch((error) => {
        if (isShortage(error)) this.changed(entry);
        return this.#index.failed(entry, error);
      });
    }
  }

  /** Ends when all that is being written is in the files, and these are closed. */
  async close(): Promise<void> {
    for (const entry of this.#index.entries.values()) this.#gathered.get(entry)?.flush();
    await Promise.all(this.#writing);
    await this.flush();
    clearTimeout(this.#flushTimer);
    await Promise.all([...this.#index.entries.keys()].map((payload) => this.#files.close(chunksName(payload))));
  }

  async #write(entry: CacheEntry, index: number, bytes: Uint8Array): Promise<boolean> {
    if (this.#trouble.stopped || this.#writes >= CACHE_WRITES_MAX) return false;
    if (entry.has(index)) return true;
    if (entry.writing.has(index) || bytes.byteLength !== chunkLength(entry.payloadBytes, index)) return false;
    this.touch(entry);
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
    this.changed(entry);
    if (entry.complete) this.#events.completed(entry.payload);
    return true;
  }

  async #readManifest(entry: CacheEntry): Promise<Buffer | null> {
    const manifest = await this.#read(entry, entry.manifestAt, entry.chunks * HASH_BYTES);
    if (manifest === null) return null;
    if (!isManifest(entry, manifest)) return this.#repairManifest(entry, manifest);
    this.#manifests.set(entry, manifest);
    return manifest;
  }

  /** @param known perhaps damaged @returns null where it cannot be told now what it was */
  async #repairManifest(entry: CacheEntry, known: Buffer): Promise<Buffer | null> {
    if (!this.#index.holds(entry)) return null;
    this.#events.damaged(entry.payload, 'head');
    const manifest = isManifest(entry, known) ? known : await this.#manifestFromChunks(entry, known);
    if (manifest === null || !this.#index.holds(entry)) return null;
    this.#manifests.set(entry, manifest);
    await this.#files.useChunks(entry.payload, (handle) => writeAt(handle, entry.manifestAt, manifest)).catch((error) => this.#index.failed(entry, error));
    return manifest;
  }

  /** The hashes of the chunks that are here can be computed again; if the others are right, its id shows it. */
  async #manifestFromChunks(entry: CacheEntry, known: Buffer): Promise<Buffer | null> {
    const manifest = Buffer.alloc(entry.chunks * HASH_BYTES);
    known.copy(manifest);
    for (let index = 0; index < entry.chunks; index++) {
      if (!entry.has(index)) continue;
      // Only what was read says anything of the rest.
      const chunk = await this.#read(entry, entry.positionOf(index), chunkLength(entry.payloadBytes, index), { whole: true });
      if (chunk === null) return null;
      sha256(chunk).copy(manifest, index * HASH_BYTES);
    }
    if (isManifest(entry, manifest)) return manifest;
    // Most of it may be right, and nobody else may have it: whoever brings its manifest finds it again.
    await this.#index.remove(entry, { unlink: entry.missing === entry.chunks });
    return null;
  }

  /** @param options.whole what cannot be read, or not all of it, says nothing: the song is put aside
   *  @returns null where the song is here no more, or no file can be opened now */
  async #read(entry: CacheEntry, position: number, length: number, { whole = false }: { readonly whole?: boolean } = {}): Promise<Buffer | null> {
    let unlink = false;
    try {
      const bytes = await this.#files.useChunks(entry.payload, (handle) => readAt(handle, position, length));
      if (!whole || bytes.byteLength === length) return bytes;
    } catch (error) {
      if (isShortage(error)) return null;
      // A sector that cannot be read is damaged, and the next write to it may mend it.
      if (codeOf(error) === 'EIO' && !whole) return Buffer.alloc(0);
      // Deleted from outside, or unplugged: the song is fetched again, and what cannot be read is not announced. What may be
      // there again later is left on its disk: it may be the last copy.
      unlink = codeOf(error) === 'ENOENT';
    }
    await this.#index.remove(entry, { unlink });
    return null;
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
    this.changed(entry);
    this.#events.damaged(payload, index);
    if (wasComplete) this.#events.lost(payload);
  }
}
