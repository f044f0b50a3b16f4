// What the cache finds in its folder when it starts. A kill came at any moment, and a power cut may have kept a bitmap and lost
// chunks, or the other way round. Here file and bitmap are made to agree (cache-recovery.ts), without reading the music of what is
// whole. So the bound holds for the disk and not only for what the bitmaps say.
import type * as fileSystem from 'node:fs/promises';
import { basename, join } from 'node:path';
import { codeOf } from '../lib/errors.ts';
import { type FileId, isId, type PayloadId } from '../lib/ids.ts';
import { EDGES_AT, edgesDiskBytes, edgesFromHeader, type EdgesHeader } from './cache-edges.ts';
import type { CacheEntry } from './cache-entry.ts';
import { findIn, type Found, type Proof, STAT_BLOCK_BYTES } from './cache-recovery.ts';
import { readAt } from './open-files.ts';

export type CacheFileSystem = Pick<typeof fileSystem, 'mkdir' | 'open' | 'readdir' | 'rename' | 'stat' | 'unlink'>;

const CHUNKS_SUFFIX = '.chunks';
const EDGES_SUFFIX = '.edges';
/** Of edges that are being written. */
const FRESH_SUFFIX = '.new';
/** Headers read at once at the start; more only fills the thread pool. */
const OPENING_AT_ONCE = 8;

export const chunksName = (payload: PayloadId): string => `${payload}${CHUNKS_SUFFIX}`;
export const edgesName = (payload: PayloadId, file: FileId): string => `${payload}.${file}${EDGES_SUFFIX}`;
/** A file is written under this name, and takes the place of the other when it is whole. */
export const freshName = (name: string): string => `${name}${FRESH_SUFFIX}`;

/** What the name of a file says is in it: chunks of a payload, or edges of one of its files. @returns undefined for others */
function partsOf(name: string): { readonly payload: PayloadId; readonly file?: FileId } | undefined {
  const suffix = [CHUNKS_SUFFIX, EDGES_SUFFIX].find((one) => name.endsWith(one));
  if (suffix === undefined) return undefined;
  const [payload, file, ...more] = name.slice(0, -suffix.length).split('.') as [string, string?, ...string[]];
  if (!isId(payload) || more.length > 0 || (suffix === CHUNKS_SUFFIX ? file !== undefined : file === undefined || !isId(file))) return undefined;
  return { payload: payload as PayloadId, ...(file !== undefined && { file: file as FileId }) };
}

/** A disk that has become read-only can still be read from. */
export async function openToChange(fs: CacheFileSystem, path: string): Promise<fileSystem.FileHandle> {
  try {
    return await fs.open(path, 'r+');
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes(codeOf(error) ?? '')) throw error;
    return fs.open(path, 'r');
  }
}

/** The file whose edges are under that name; undefined where it is another name. */
export const fileOfEdges = (name: string): FileId | undefined => partsOf(name)?.file;

/** Of one payload what is there. */
export interface Loaded {
  readonly payload: PayloadId;
  readonly found: Found | undefined;
  /** Files that are there and could not be read, by name, with what each takes of the disk. They are left where they are, since they may be the last:
   *  there were too many open files, a disk comes back, or nothing here proves what is in them, and somebody else may know. */
  readonly unreadable: ReadonlyMap<string, number>;
}

/** @returns what is there, least recently used first; what is none of ours any more is removed @throws as `mkdir` and `readdir` do */
export async function loadFolder(fs: CacheFileSystem, folder: string): Promise<Loaded[]> {
  await fs.mkdir(folder, { recursive: true });
  for (const name of await fs.readdir(folder)) if (name.endsWith(freshName(EDGES_SUFFIX))) await fs.unlink(join(folder, name)).catch(() => {});
  const loaded: Loaded[] = [];
  await eachOf([...(await filesByPayload(fs, folder))], async ([payload, files]) => void loaded.push(await load(fs, { folder, payload, files, by: 'header' })));
  const usedAt = ({ found }: Loaded): number => found?.entry.lastUsed ?? 0;
  return loaded.sort((a, b) => usedAt(a) - usedAt(b));
}

/** Likewise of one payload. */
export async function loadPayload(fs: CacheFileSystem, folder: string, payload: PayloadId, by: Proof): Promise<Loaded> {
  return load(fs, { folder, payload, files: (await filesByPayload(fs, folder)).get(payload) ?? [], by });
}

/** Files whose edges are there, by payload, also of payloads of which nothing else is. */
async function filesByPayload(fs: CacheFileSystem, folder: string): Promise<Map<PayloadId, FileId[]>> {
  const files = new Map<PayloadId, FileId[]>();
  for (const name of await fs.readdir(folder)) {
    const { payload, file } = partsOf(name) ?? {};
    if (payload === undefined) continue;
    const known = files.get(payload) ?? [];
    files.set(payload, known);
    if (file !== undefined) known.push(file);
  }
  return files;
}

/** Makes the file of a payload agree with its bitmap, as a start does. @returns how many chunks are in it, and are not; undefined where nothing proves that, or it is something else */
export async function chunksInFile(fs: CacheFileSystem, path: string): Promise<{ readonly held: number; readonly missing: number } | undefined> {
  const { payload, file } = partsOf(basename(path)) ?? {};
  if (payload === undefined || file !== undefined) return undefined;
  const found = await loadEntry(fs, path, payload, 'header');
  return found === 'unreadable' ? undefined : found && { held: found.entry.chunks - found.entry.missing, missing: found.entry.missing };
}

async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const worker = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, worker));
}

async function load(
  fs: CacheFileSystem,
  { folder, payload, files, by }: { readonly folder: string; readonly payload: PayloadId; readonly files: readonly FileId[]; readonly by: Proof },
): Promise<Loaded> {
  const path = join(folder, chunksName(payload));
  const found = await loadEntry(fs, path, payload, by);
  const unreadable = new Map<string, number>();
  if (found === 'unreadable') unreadable.set(chunksName(payload), await diskBytesOf(fs, path));
  for (const file of files) {
    const edgesPath = join(folder, edgesName(payload, file));
    const isKept = found !== 'unreadable' && (await loadEdges(fs, { path: edgesPath, payload, file, entry: found?.entry }));
    if (!isKept) unreadable.set(edgesName(payload, file), await diskBytesOf(fs, edgesPath));
  }
  return { payload, found: found === 'unreadable' ? undefined : found, unreadable };
}

/** 0 where it is gone. */
async function diskBytesOf(fs: CacheFileSystem, path: string): Promise<number> {
  const { blocks } = await fs.stat(path).catch(() => ({ blocks: 0 }));
  return blocks * STAT_BLOCK_BYTES;
}

/** @returns undefined where no chunk can be in it, and then no file is there either */
async function loadEntry(fs: CacheFileSystem, path: string, payload: PayloadId, by: Proof): Promise<Found | 'unreadable' | undefined> {
  try {
    const handle = await openToChange(fs, path);
    try {
      const found = await findIn(payload, handle, by);
      if (found !== undefined) return found ?? 'unreadable';
    } finally {
      await handle.close();
    }
    await fs.unlink(path);
    return undefined;
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? undefined : 'unreadable';
  }
}

/** @returns whether they count, or are gone because they are none of ours */
async function loadEdges(
  fs: CacheFileSystem,
  { path, payload, file, entry }: { readonly path: string; readonly payload: PayloadId; readonly file: FileId; readonly entry: CacheEntry | undefined },
): Promise<boolean> {
  try {
    const edges = await edgesIn(fs, path, payload, file);
    if (entry && edges) {
      entry.edges.set(file, edges);
      entry.bytes += edgesDiskBytes(edges);
    } else await fs.unlink(path);
    return true;
  } catch {
    return false;
  }
}

/** What the header of a file of edges says of them. @returns null where they are none of that file's, or not all of them @throws as opening and reading do */
export async function edgesIn(fs: CacheFileSystem, path: string, payload: PayloadId, file: FileId): Promise<EdgesHeader | null> {
  const handle = await fs.open(path, 'r');
  try {
    const { size } = await handle.stat();
    return edgesFromHeader(payload, file, await readAt(handle, 0, EDGES_AT), size);
  } finally {
    await handle.close();
  }
}
