// Which files are known, by folder: enough to see what changed without asking the store, and nothing more, because a library of a
// million files is held in memory here.
import { dirname } from 'node:path';
import type { SeenFile } from './folder.ts';

export interface Stamp {
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly inode: number;
  readonly song: boolean;
}

/** No file has it: one that is known with it is read anew. */
export const UNKNOWN_TIME = Number.NaN;

/** Whether a file is as it was when it was last read. */
export const isUnchanged = (known: Pick<Stamp, 'sizeBytes' | 'mtimeMs' | 'inode'> | undefined, seen: Pick<SeenFile, 'sizeBytes' | 'mtimeMs' | 'inode'>): boolean =>
  known !== undefined && known.sizeBytes === seen.sizeBytes && known.mtimeMs === seen.mtimeMs && known.inode === seen.inode;

export class FileIndex {
  readonly #folders = new Map<string, Map<string, Stamp>>();
  #size = 0;
  #songs = 0;

  get size(): number {
    return this.#size;
  }

  get songs(): number {
    return this.#songs;
  }

  get(path: string): Stamp | undefined {
    return this.#folders.get(dirname(path))?.get(path);
  }

  set(path: string, stamp: Stamp): void {
    this.delete(path);
    const folder = dirname(path);
    let files = this.#folders.get(folder);
    if (files === undefined) this.#folders.set(folder, (files = new Map()));
    files.set(path, stamp);
    this.#size += 1;
    if (stamp.song) this.#songs += 1;
  }

  delete(path: string): void {
    const folder = dirname(path);
    const files = this.#folders.get(folder);
    const stamp = files?.get(path);
    if (files === undefined || stamp === undefined) return;
    files.delete(path);
    if (files.size === 0) this.#folders.delete(folder);
    this.#size -= 1;
    if (stamp.song) this.#songs -= 1;
  }

  /** Folders in which files are known. */
  folders(): string[] {
    return [...this.#folders.keys()];
  }

  filesIn(folder: string): string[] {
    return [...(this.#folders.get(folder)?.keys() ?? [])];
  }
}
