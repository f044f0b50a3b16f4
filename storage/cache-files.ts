// The files of one cache: one of chunks for each payload (cache-entry.ts), one of edges for each file of it (cache-edges.ts). Here they are
// opened, put in their place and removed.
import * as nodeFileSystem from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileId, PayloadId } from '../lib/ids.ts';
import type { EdgesHeader } from './cache-edges.ts';
import { type CacheFileSystem, chunksName, edgesIn, edgesName, freshName, type Loaded, loadFolder, loadPayload, openToChange } from './cache-folder.ts';
import type { Proof } from './cache-recovery.ts';
import { type OpenFiles, readAt } from './open-files.ts';

interface CacheFilesOptions {
  readonly files: OpenFiles;
  readonly fileSystem?: CacheFileSystem | undefined;
}

type Write = (handle: FileHandle) => Promise<void>;

export class CacheFiles {
  readonly #folder: string;
  readonly #files: OpenFiles;
  readonly #fs: CacheFileSystem;

  constructor(folder: string, { files, fileSystem = nodeFileSystem }: CacheFilesOptions) {
    this.#folder = folder;
    this.#files = files;
    this.#fs = fileSystem;
  }

  /** As `loadFolder`. */
  load(): Promise<Loaded[]> {
    return loadFolder(this.#fs, this.#folder);
  }

  /** As `loadPayload`. */
  loadPayload(payload: PayloadId, by: Proof): Promise<Loaded> {
    return loadPayload(this.#fs, this.#folder, payload, by);
  }

  /** Makes the file of a payload's chunks, and the folder where it is gone. What fails leaves none. */
  async createChunks(payload: PayloadId, write: Write): Promise<void> {
    const path = this.#path(chunksName(payload));
    try {
      await this.#fs.mkdir(this.#folder, { recursive: true });
      await this.#write(path, write);
    } catch (error) {
      await this.#unlink(path);
      throw error;
    }
  }

  useChunks<T>(payload: PayloadId, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    const path = this.#path(chunksName(payload));
    return this.#files.use(path, () => openToChange(this.#fs, path), work);
  }

  /** Puts a file of edges in its place when it is whole: until then there may be others that could not be read. What fails changes nothing. */
  async replaceEdges(payload: PayloadId, file: FileId, write: Write): Promise<void> {
    const name = edgesName(payload, file);
    const fresh = this.#path(freshName(name));
    try {
      await this.#write(fresh, write);
      await this.#fs.rename(fresh, this.#path(name));
    } catch (error) {
      await this.#unlink(fresh);
      throw error;
    }
  }

  /** @returns fewer bytes where the file ends */
  readEdges(payload: PayloadId, file: FileId, position: number, length: number): Promise<Buffer> {
    const path = this.#path(edgesName(payload, file));
    return this.#files.use(path, () => this.#fs.open(path, 'r'), (handle) => readAt(handle, position, length));
  }

  /** As `edgesIn`. */
  edgesIn(payload: PayloadId, file: FileId): Promise<EdgesHeader | null> {
    return edgesIn(this.#fs, this.#path(edgesName(payload, file)), payload, file);
  }

  /** Closes a file; waits for those who use it. */
  close(name: string): Promise<void> {
    return this.#files.drop(this.#path(name));
  }

  /** Likewise, and then it goes. */
  async remove(name: string): Promise<void> {
    await this.close(name);
    await this.#unlink(this.#path(name));
  }

  async #write(path: string, write: Write): Promise<void> {
    const handle = await this.#fs.open(path, 'w');
    try {
      await write(handle);
    } finally {
      await handle.close();
    }
  }

  /** One that cannot be removed is met again at the next start. */
  async #unlink(path: string): Promise<void> {
    await this.#fs.unlink(path).catch(() => {});
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}
