// The edges of cached payloads on the disk: kept, read again and checked. What is damaged is forgotten, and what cannot be read now is left
// where it is. Whoever removes a payload waits for what is in its `keeping`.
import { sha256 } from '../lib/content.ts';
import { codeOf } from '../lib/errors.ts';
import type { FileId, PayloadId } from '../lib/ids.ts';
import { EDGES_AT, type Edges, edgesDiskBytes, type EdgesHeader, edgesHeader, encodeEdgesHeader, type EdgePlace, placeOf } from './cache-edges.ts';
import type { CacheEntry } from './cache-entry.ts';
import type { CacheEvents } from './cache-events.ts';
import type { CacheFiles } from './cache-files.ts';
import { edgesName, fileOfEdges } from './cache-folder.ts';
import type { CacheIndex } from './cache-index.ts';
import type { CacheTrouble } from './cache-trouble.ts';
import { EdgePieces } from './edge-pieces.ts';
import type { Edge } from './local-files.ts';
import { isShortage, writeAt } from './open-files.ts';

interface EdgeStoreOptions {
  readonly index: CacheIndex;
  readonly files: CacheFiles;
  readonly trouble: CacheTrouble;
  readonly events: CacheEvents;
}

export class EdgeStore {
  readonly #index: CacheIndex;
  readonly #files: CacheFiles;
  readonly #trouble: CacheTrouble;
  readonly #events: CacheEvents;
  readonly #pieces = new EdgePieces();

  constructor({ index, files, trouble, events }: EdgeStoreOptions) {
    this.#index = index;
    this.#files = files;
    this.#trouble = trouble;
    this.#events = events;
  }

  /** @returns whether they are here now; false also for edges that are not that file's */
  keep(entry: CacheEntry, file: FileId, edges: Edges): Promise<boolean> {
    if (this.#trouble.stopped) return Promise.resolve(false);
    if (entry.edges.has(file)) return Promise.resolve(true);
    const keeping = entry.keeping.get(file) ?? this.#keep(entry, file, edges).finally(() => entry.keeping.delete(file));
    entry.keeping.set(file, keeping);
    return keeping;
  }

  /** @returns the whole verified edge, or null when it is not here or not whole; then both of the file are forgotten */
  async read(entry: CacheEntry, file: FileId, edge: Edge): Promise<Uint8Array | null> {
    const edges = entry.edges.get(file);
    if (edges === undefined) return null;
    const place = placeOf(edges, edge);
    return place.length === 0 ? new Uint8Array() : this.#readVerified(entry, file, place);
  }

  /** As `read`, from `offset` on and at most 128 KiB. */
  async readPiece(entry: CacheEntry, file: FileId, edge: Edge, offset: number): Promise<Uint8Array | null> {
    const edges = entry.edges.get(file);
    if (edges === undefined) return null;
    const { position, length, hash } = placeOf(edges, edge);
    return this.#readWith(entry, file, (read) => this.#pieces.read({ key: `${edge}/${file}`, bytes: length, hash, read: (at, bytes) => read(position + at, bytes) }, offset));
  }

  /** Reads all that are here of a payload, headers too, and tries again what was put aside. @returns bytes read */
  async check(entry: CacheEntry): Promise<number> {
    let bytes = 0;
    for (const name of this.#index.unreadable.namesOf(entry.payload)) {
      const file = fileOfEdges(name);
      if (file === undefined || entry.keeping.has(file) || !this.#index.holds(entry)) continue;
      const trying = this.#tryAgain(entry, file).finally(() => entry.keeping.delete(file));
      entry.keeping.set(file, trying);
      await trying;
    }
    for (const [file, edges] of [...entry.edges]) {
      const header = await this.#readVerified(entry, file, { position: 0, length: EDGES_AT, hash: sha256(encodeEdgesHeader(edges)) });
      for (const edge of ['prefix', 'suffix'] as const) bytes += (header && (await this.read(entry, file, edge)))?.byteLength ?? 0;
    }
    return bytes;
  }

  async #keep(entry: CacheEntry, file: FileId, { prefix, suffix }: Edges): Promise<boolean> {
    const { payload } = entry;
    const edges = edgesHeader(payload, file, { prefix, suffix });
    if (edges === null) return false;
    const diskBytes = edgesDiskBytes(edges);
    const room = this.#index.reserve(diskBytes, entry.evict, entry);
    if (room === null) return false;
    try {
      await room;
      // One that is removed meanwhile waits for this, takes the reservation with it, and the file.
      if (!this.#index.holds(entry)) return false;
      await this.#files.replaceEdges(payload, file, async (handle) => {
        await writeAt(handle, EDGES_AT, prefix);
        await writeAt(handle, EDGES_AT + prefix.byteLength, suffix);
        await writeAt(handle, 0, encodeEdgesHeader(edges));
      });
    } catch (error) {
      if (!this.#index.holds(entry)) return false;
      this.#index.release(diskBytes, entry);
      // Not awaited: a removal waits for this.
      void this.#index.failed(entry, error);
      return false;
    }
    if (!this.#index.holds(entry)) return false;
    this.#index.unreadable.delete(payload, edgesName(payload, file));
    this.#trouble.worked();
    this.#index.addEdges(entry, file, edges);
    this.#events.edges(payload);
    return true;
  }

  /** @returns whether they are here now */
  async #tryAgain(entry: CacheEntry, file: FileId): Promise<boolean> {
    const { payload } = entry;
    const edges = await this.#rightEdges(payload, file);
    if (edges === undefined || !this.#index.holds(entry)) return false;
    if (edges === null) {
      await this.#files.remove(edgesName(payload, file));
      this.#index.unreadable.delete(payload, edgesName(payload, file));
      return false;
    }
    this.#index.takeBackEdges(entry, file, edges);
    this.#events.edges(payload);
    return true;
  }

  /** Read whole: a header is no news, where the same sector fails in each round. @returns null where they are damaged or gone; undefined where that cannot be told now */
  async #rightEdges(payload: PayloadId, file: FileId): Promise<EdgesHeader | null | undefined> {
    try {
      const edges = await this.#files.edgesIn(payload, file);
      if (edges === null) return null;
      for (const edge of ['prefix', 'suffix'] as const) {
        const { position, length, hash } = placeOf(edges, edge);
        if (!sha256(await this.#files.readEdges(payload, file, position, length)).equals(hash)) return null;
      }
      return edges;
    } catch (error) {
      return codeOf(error) === 'ENOENT' ? null : undefined;
    }
  }

  #readVerified(entry: CacheEntry, file: FileId, { position, length, hash }: EdgePlace): Promise<Uint8Array | null> {
    return this.#readWith(entry, file, async (read) => {
      const bytes = await read(position, length);
      return sha256(bytes).equals(hash) ? bytes : null;
    });
  }

  /** @param take null where it finds that they are not whole: then they are forgotten */
  async #readWith(entry: CacheEntry, file: FileId, take: (read: (position: number, length: number) => Promise<Buffer>) => Promise<Uint8Array | null>): Promise<Uint8Array | null> {
    try {
      const bytes = await take((position, length) => this.#files.readEdges(entry.payload, file, position, length));
      if (bytes !== null) return bytes;
    } catch (error) {
      if (isShortage(error)) return null;
      if (codeOf(error) !== 'ENOENT') {
        this.#leave(entry, file, error);
        return null;
      }
    }
    await this.#forget(entry, file);
    return null;
  }

  /** They cannot be read now, and may be the last: the file stays, and counts, until right ones are put in its place. */
  #leave(entry: CacheEntry, file: FileId, error: unknown): void {
    const { payload } = entry;
    const edges = entry.edges.get(file);
    if (edges === undefined || !this.#index.holds(entry)) return;
    this.#index.deleteEdges(entry, file);
    this.#index.release(edgesDiskBytes(edges), entry);
    this.#index.unreadable.add(payload, edgesName(payload, file), edgesDiskBytes(edges));
    if (codeOf(error) === 'EIO') this.#events.damaged(payload, 'edges');
    this.#events.edges(payload);
  }

  async #forget(entry: CacheEntry, file: FileId): Promise<void> {
    const edges = entry.edges.get(file);
    if (edges === undefined || !this.#index.holds(entry)) return;
    this.#index.deleteEdges(entry, file);
    // Not kept again before it is gone.
    const gone = this.#files.remove(edgesName(entry.payload, file)).then(() => {
      if (this.#index.holds(entry)) this.#index.release(edgesDiskBytes(edges), entry);
      entry.keeping.delete(file);
      return false;
    });
    entry.keeping.set(file, gone);
    this.#events.damaged(entry.payload, 'edges');
    this.#events.edges(entry.payload);
    await gone;
  }
}
