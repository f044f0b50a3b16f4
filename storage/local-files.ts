// One's own music, read piece by piece where it lies. Files change under us: people retag, move and unplug. A file
// whose size or time differs from the scan is not read; one that changed without a trace (a disk that rots, a program that
// sets the time back) is caught by the hash of the chunk or edge. Either way it is reported for another scan, and the next file with the
// same payload is tried.
import { open } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { chunkLength, HASH_BYTES, isChunk, verifyManifest } from '../lib/content.ts';
import { PeerError } from '../lib/errors.ts';
import type { FileId, PayloadId } from '../lib/ids.ts';
import { CHUNK_BYTES, MANIFESTS_CACHED_BYTES } from '../lib/limits.ts';
import { EdgePieces } from './edge-pieces.ts';
import { type OpenFiles, readAt } from './open-files.ts';

/** A file of one's own as the last scan saw it. */
export interface StoredFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly prefixBytes: number;
  readonly payloadBytes: number;
  readonly suffixBytes: number;
  /** SHA-256 of each. */
  readonly edgeHashes: Readonly<Record<Edge, Uint8Array>>;
}

/** What the scanner knows. */
export interface LocalIndex {
  pathsOf(payload: PayloadId): Promise<readonly StoredFile[]>;
  pathsOfFile(file: FileId): Promise<readonly StoredFile[]>;
  manifestOf(payload: PayloadId): Promise<Uint8Array | null>;
}

/** A file is not what the scan saw: gone, changed or unreadable; or with other bytes, of which its size and time say nothing. */
export type FileChange = 'seen' | 'unseen';

/** The bytes of a file before its payload, or after it. */
export type Edge = 'prefix' | 'suffix';

export class LocalFiles {
  readonly #index: LocalIndex;
  readonly #files: OpenFiles;
  readonly #onChanged: (path: string, change: FileChange) => void;
  readonly #manifests = new LRUCache<PayloadId, Uint8Array>({ maxSize: MANIFESTS_CACHED_BYTES, sizeCalculation: (manifest) => manifest.byteLength });
  readonly #edges = new EdgePieces();

  constructor(index: LocalIndex, files: OpenFiles, onChanged: (path: string, change: FileChange) => void) {
    this.#index = index;
    this.#files = files;
    this.#onChanged = onChanged;
  }

  /** @returns the verified manifest, or null when no file has that payload */
  async manifestOf(payload: PayloadId): Promise<Uint8Array | null> {
    const [file] = await this.#index.pathsOf(payload);
    if (file === undefined) return null;
    const known = this.#manifests.get(payload);
    if (known !== undefined) return known;
    const manifest = await this.#index.manifestOf(payload);
    if (manifest === null || manifest.byteLength === 0) return manifest;
    verifyManifest(payload, file.payloadBytes, manifest);
    this.#manifests.set(payload, manifest);
    return manifest;
  }

  /**
   * @returns the verified chunk, or null when none of the files has that payload
   * @throws PeerError FILE_CHANGED when files should have it and none does any more
   */
  async read(payload: PayloadId, index: number): Promise<Uint8Array | null> {
    const manifest = await this.manifestOf(payload);
    if (manifest === null || index * HASH_BYTES >= manifest.byteLength) return null;
    return this.#fromAny(await this.#index.pathsOf(payload), async (file) => {
      const length = chunkLength(file.payloadBytes, index);
      const chunk = await this.#readFrom(file, file.prefixBytes + index * CHUNK_BYTES, length);
      return isChunk(manifest, index, chunk) ? chunk : null;
    });
  }

  /**
   * @returns the verified bytes of an edge from `offset` on, at most 128 KiB; null when that file is not here
   * @throws PeerError FILE_CHANGED
   */
  async readEdge(file: FileId, edge: Edge, offset: number): Promise<Uint8Array | null> {
    return this.#fromAny(await this.#index.pathsOfFile(file), (stored) => {
      const start = edge === 'prefix' ? 0 : stored.prefixBytes + stored.payloadBytes;
      const bytes = edge === 'prefix' ? stored.prefixBytes : stored.suffixBytes;
      const read = (at: number, length: number): Promise<Buffer> => this.#readFrom(stored, start + at, length);
      return this.#edges.read({ key: `${edge}/${versionOf(stored)}`, bytes, hash: stored.edgeHashes[edge], read }, offset);
    });
  }

  async #fromAny(files: readonly StoredFile[], read: (file: StoredFile) => Promise<Uint8Array | null>): Promise<Uint8Array | null> {
    let cause: unknown;
    for (const file of files) {
      let change: FileChange = 'unseen';
      try {
        const bytes = await read(file);
        if (bytes !== null) return bytes;
      } catch (error) {
        cause = error;
        change = 'seen';
      }
      this.#onChanged(file.path, change);
    }
    if (files.length === 0) return null;
    throw new PeerError('FILE_CHANGED', 'a file is not what it was when it was scanned', { cause });
  }

  #readFrom(file: StoredFile, position: number, length: number): Promise<Buffer> {
    const openUnchanged = async () => {
      const handle = await open(file.path, 'r');
      try {
        const now = await handle.stat();
        if (now.size === file.sizeBytes && Math.trunc(now.mtimeMs) === Math.trunc(file.mtimeMs)) return handle;
        throw new PeerError('FILE_CHANGED', `${file.path} has changed since it was scanned`);
      } catch (error) {
        await handle.close();
        throw error;
      }
    };
    return this.#files.use(versionOf(file), openUnchanged, (handle) => readAt(handle, position, length));
  }
}

/** So that a file scanned anew is not read through the handle of its predecessor, or taken for what that was. */
const versionOf = ({ path, mtimeMs, sizeBytes }: StoredFile): string => `${path}\0${mtimeMs}\0${sizeBytes}`;
