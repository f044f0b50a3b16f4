// One look at the music folders: what is there now against what is known. It decides nothing by events, so a look is right
// whatever was missed before it. A folder that cannot be listed says nothing about its files: an unmounted disk loses no song.
import { realpath, stat } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';
import { codeOf } from '../../lib/errors.ts';
import { FILES_MAX, FOLDER_DEPTH_MAX } from '../../lib/limits.ts';
import { type FileIndex, isUnchanged } from './file-index.ts';
import { entriesOf, identityOf, listFolder, type SeenFile } from './folder.ts';

export interface Problem {
  readonly path: string;
  /** Continues a sentence that begins with the path: 'is empty'. */
  readonly reason: string;
}

export interface Look {
  /** New, or different from what is known. */
  readonly changed: readonly SeenFile[];
  /** Known, under another path. */
  readonly renamed: readonly { readonly from: string; readonly file: SeenFile }[];
  /** Known, and no more there. */
  readonly gone: readonly string[];
  readonly foldersGone: readonly string[];
  readonly rootProblems: readonly Problem[];
  /** Links that dangle, folders that may not be listed. */
  readonly problems: readonly Problem[];
}

const isBelow = (path: string, folder: string): boolean => path.startsWith(folder.endsWith(sep) ? folder : folder + sep);

const FOLDER_REASONS: Record<string, string> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'is not a folder',
  EACCES: 'may not be read (permission denied)',
  EPERM: 'may not be read (permission denied)',
};
const folderReason = (error: unknown): string => FOLDER_REASONS[codeOf(error) ?? ''] ?? `cannot be read (${codeOf(error) ?? 'unknown error'})`;

/** The music folders and everything below, as last seen. */
export class FolderTree {
  readonly #roots: readonly string[];
  readonly #index: FileIndex;
  /** Folder to its identity, and back: a folder that several paths lead to belongs to the first. */
  readonly #identities = new Map<string, string>();
  readonly #owners = new Map<string, string>();
  /** The device that a root was on: an empty mount point is on another one. */
  readonly #devices = new Map<string, string>();
  /** Roots that the last look could not believe. */
  readonly #missing = new Set<string>();

  readonly #onFolder: (path: string) => void;

  /** @param options.onFolder called for a folder that is new or back again, before it is listed, so that a watch begun then misses nothing */
  constructor(options: { readonly roots: readonly string[]; readonly index: FileIndex; onFolder(path: string): void }) {
    this.#roots = options.roots;
    this.#index = options.index;
    this.#onFolder = options.onFolder;
  }

  /** @param folders which to look at, without those below that are known; undefined looks at all */
  async look(folders?: ReadonlySet<string>): Promise<Look> {
    const deep = folders === undefined;
    const rootProblems: Problem[] = [];
    const problems: Problem[] = [];
    const seen = new Map<string, SeenFile>();
    const listed = new Set<string>();
    const unknown = new Set<string>();
    const lost = new Set<string>();
    const before = new Set(this.#identities.keys());
    const children = new Map<string, string[]>();
    for (const folder of before) {
      const siblings = children.get(dirname(folder));
      if (siblings === undefined) children.set(dirname(folder), [folder]);
      else siblings.push(folder);
    }

    const visit = async (path: string, depth: number): Promise<void> => {
      if (listed.has(path) || depth > FOLDER_DEPTH_MAX) return;
      listed.add(path);
      let listing: Awaited<ReturnType<typeof listFolder>>;
      try {
        listing = await listFolder(path);
      } catch (error) {
        // Its parent's listing tells a folder that is gone from one that cannot be read.
        if (codeOf(error) === 'ENOENT') lost.add(path);
        else {
          unknown.add(path);
          problems.push({ path, reason: folderReason(error) });
        }
        return;
      }
      problems.push(...listing.problems);
      for (const file of listing.files) if (seen.size < FILES_MAX) seen.set(file.path, file);
      const names = new Set(listing.folders.map((folder) => folder.path));
      for (const known of children.get(path) ?? []) if (!names.has(known)) lost.add(known);
      for (const folder of listing.folders) {
        const owner = this.#owners.get(folder.identity);
        // Seen under another path that is still there: a loop, or the same folder linked twice.
        if (owner !== undefined && owner !== folder.path && !lost.has(owner) && (await this.#isStill(owner, folder.identity))) continue;
        const isNew = this.#identities.get(folder.path) !== folder.identity;
        this.#own(folder.path, folder.identity);
        if (isNew) this.#onFolder(folder.path);
        if (deep || isNew) await visit(folder.path, depth + 1);
      }
    };

    for (const root of this.#roots) {
      const problem = await this.#checkRoot(root, deep);
      if (problem !== undefined) {
        rootProblems.push({ path: root, reason: problem });
        unknown.add(root);
        this.#missing.add(root);
        continue;
      }
      if (!before.has(root)) this.#onFolder(root);
      // a disk that is mounted again has lost its watches
      else if (this.#missing.has(root)) for (const folder of before) if (folder === root || isBelow(folder, root)) this.#onFolder(folder);
      this.#missing.delete(root);
      if (deep) await visit(root, 0);
    }
    for (const folder of folders ?? []) {
      const root = this.#roots.find((each) => each === folder || isBelow(folder, each));
      if (root === undefined || unknown.has(root) || !this.#identities.has(folder)) continue;
      await visit(folder, folder.slice(root.length).split(sep).length - 1);
    }

    const isUnknown = (path: string): boolean => [...unknown].some((folder) => folder === path || isBelow(path, folder));
    const isGoneFolder = (path: string): boolean => {
      if (isUnknown(path)) return false;
      // A full look has seen every folder that there is.
      return [...lost].some((folder) => folder === path || isBelow(path, folder)) || (deep && !listed.has(path));
    };
    const foldersGone = [...before].filter(isGoneFolder);
    for (const folder of foldersGone) this.#disown(folder);
    const gone = this.#index
      .folders()
      .filter((folder) => !isUnknown(folder) && (listed.has(folder) || deep || isGoneFolder(folder)))
      .flatMap((folder) => this.#index.filesIn(folder))
      .filter((path) => !seen.has(path));
    const changed = [...seen.values()].filter((file) => !isUnchanged(this.#index.get(file.path), file));
    return { ...this.#matchRenames(changed, gone), foldersGone, rootProblems, problems };
  }

  /** The same inode with the same size and time under another name is the same file. */
  #matchRenames(changed: readonly SeenFile[], gone: readonly string[]): Pick<Look, 'changed' | 'renamed' | 'gone'> {
    const goneByInode = new Map(gone.map((path) => [this.#index.get(path)?.inode, path]));
    const renamed: { from: string; file: SeenFile }[] = [];
    const rest: SeenFile[] = [];
    for (const file of changed) {
      const from = goneByInode.get(file.inode);
      if (from !== undefined && this.#index.get(file.path) === undefined && isUnchanged(this.#index.get(from), file)) {
        goneByInode.delete(file.inode);
        renamed.push({ from, file });
      } else rest.push(file);
    }
    const moved = new Set(renamed.map(({ from }) => from));
    return { changed: rest, renamed, gone: gone.filter((path) => !moved.has(path)) };
  }

  /** @returns why a music folder cannot be believed at the moment */
  async #checkRoot(root: string, deep: boolean): Promise<string | undefined> {
    try {
      const stats = await stat(root);
      if (!stats.isDirectory()) return 'is not a folder';
      const device = String(stats.dev);
      const known = this.#devices.get(root);
      const elsewhere = known !== undefined && known !== device;
      // After a start nothing tells a folder that was emptied from a disk that is not mounted: keep what is known.
      if ((elsewhere || (deep && known === undefined)) && this.#knowsBelow(root)) {
        const { files, folders } = await listFolder(root);
        if (files.length + folders.length === 0) return 'is empty; its songs are kept in case its disk is not mounted';
      }
      this.#devices.set(root, device);
      this.#own(root, identityOf(stats));
      return undefined;
    } catch (error) {
      return folderReason(error);
    }
  }

  /** Cheap, and takes nothing in. @returns whether a music folder cannot be read now, or is empty where a disk was; undefined where one is not
   *  what it was at the last look, and the next one has to say more */
  async isRootMissing(): Promise<boolean | undefined> {
    let same = true;
    // one after the other: where they hang, one thread does
    for (const root of this.#roots) {
      try {
        const stats = await stat(root);
        const emptied = (await entriesOf(root)).length === 0 && this.#knowsBelow(root);
        if (emptied && String(stats.dev) !== this.#devices.get(root)) return true;
        if (emptied || identityOf(stats) !== this.#identities.get(root)) same = false;
      } catch {
        return true;
      }
    }
    return same ? false : undefined;
  }

  #knowsBelow(root: string): boolean {
    return this.#index.folders().some((folder) => folder === root || isBelow(folder, root));
  }

  async #isStill(path: string, identity: string): Promise<boolean> {
    try {
      return identityOf(await stat(path)) === identity;
    } catch {
      return false;
    }
  }

  #own(path: string, identity: string): void {
    this.#disown(path);
    this.#identities.set(path, identity);
    this.#owners.set(identity, path);
  }

  #disown(path: string): void {
    const identity = this.#identities.get(path);
    this.#identities.delete(path);
    if (identity !== undefined && this.#owners.get(identity) === path) this.#owners.delete(identity);
  }
}

/** Absolute real paths; a folder inside another one is named once. */
export async function rootsOf(folders: readonly string[]): Promise<string[]> {
  const paths = new Set<string>();
  for (const folder of folders) paths.add(await realpath(folder).catch(() => resolve(folder)));
  return [...paths].filter((path) => ![...paths].some((other) => isBelow(path, other)));
}
