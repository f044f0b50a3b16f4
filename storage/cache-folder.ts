// What the cache finds in its folder when it starts. A kill came at any moment, and a power cut may have kept a bitmap and lost
// chunks, or the other way round. Here file and bitmap are made to agree, without reading the music: what lies beyond
// the end of a file is not there, what lies in it and is not spoken of is looked at and kept if it is right, and the rest of the
// tail is cut off. So the bound holds for the disk and not only for what the bitmaps say.
import type * as fileSystem from 'node:fs/promises';
import { join } from 'node:path';
import { chunkCount, chunkLength, HASH_BYTES, isChunk, verifyManifest } from '../lib/content.ts';
import { codeOf } from '../lib/errors.ts';
import { type FileId, isId, type PayloadId } from '../lib/ids.ts';
import { MANIFEST_BYTES_MAX } from '../lib/limits.ts';
import { BLOCK_BYTES, EDGES_AT, edgesDiskBytes, edgesFromHeader } from './cache-edges.ts';
import { CacheEntry, entryFromHeader, HEADER_GUESS_BYTES, payloadBytesOf } from './cache-entry.ts';
import { readAt, writeAt } from './open-files.ts';

export type CacheFileSystem = Pick<typeof fileSystem, 'mkdir' | 'open' | 'readdir' | 'rename' | 'stat' | 'unlink'>;

const CHUNKS_SUFFIX = '.chunks';
const EDGES_SUFFIX = '.edges';
/** Of edges that are being written. */
const FRESH_SUFFIX = '.new';
/** Of `stat`, whatever the blocks of the disk are. */
const STAT_BLOCK_BYTES = 512;
/** Headers read at once at the start; more only fills the thread pool. */
const OPENING_AT_ONCE = 8;

export const chunksName = (payload: PayloadId): string => `${payload}${CHUNKS_SUFFIX}`;
export const edgesName = (payload: PayloadId, file: FileId): string => `${payload}.${file}${EDGES_SUFFIX}`;
/** A file is written under this name, and takes the place of the other when it is whole. */
export const freshName = (name: string): string => `${name}${FRESH_SUFFIX}`;

/** A disk that has become read-only can still be read from. */
export async function openToChange(fs: CacheFileSystem, path: string): Promise<fileSystem.FileHandle> {
  try {
    return await fs.open(path, 'r+');
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes(codeOf(error) ?? '')) throw error;
    return fs.open(path, 'r');
  }
}

export interface Found {
  readonly entry: CacheEntry;
  /** Its bitmap says something else than that of the file. */
  readonly changed: boolean;
}

/** What the id of a payload proves, from elsewhere. */
export interface Known {
  readonly payloadBytes: number;
  /** Already verified. */
  readonly manifest: Uint8Array;
}

/** Of one payload what is there. */
export interface Loaded {
  readonly payload: PayloadId;
  readonly found: Found | undefined;
  /** Files that are there and could not be read, by name, with what each takes of the disk. They are left where they are, since they may be the last:
   *  there were too many open files, or a disk that comes back. */
  readonly unreadable: ReadonlyMap<string, number>;
}

/** @returns what is there, least recently used first; what is none of ours any more is removed @throws as `mkdir` and `readdir` do */
export async function loadFolder(fs: CacheFileSystem, folder: string): Promise<Loaded[]> {
  await fs.mkdir(folder, { recursive: true });
  for (const name of await fs.readdir(folder)) if (name.endsWith(freshName(EDGES_SUFFIX))) await fs.unlink(join(folder, name)).catch(() => {});
  const loaded: Loaded[] = [];
  await eachOf([...(await filesByPayload(fs, folder))], async ([payload, files]) => void loaded.push(await load(fs, { folder, payload, files })));
  const usedAt = ({ found }: Loaded): number => found?.entry.lastUsed ?? 0;
  return loaded.sort((a, b) => usedAt(a) - usedAt(b));
}

/** Likewise of one payload; where its file does not say any more what is in it, `known` does. */
export async function loadPayload(fs: CacheFileSystem, folder: string, payload: PayloadId, known: Known): Promise<Loaded> {
  return load(fs, { folder, payload, files: (await filesByPayload(fs, folder)).get(payload) ?? [], known });
}

/** Files whose edges are there, by payload, also of payloads of which nothing else is. */
async function filesByPayload(fs: CacheFileSystem, folder: string): Promise<Map<PayloadId, FileId[]>> {
  const files = new Map<PayloadId, FileId[]>();
  for (const name of await fs.readdir(folder)) {
    const suffix = [CHUNKS_SUFFIX, EDGES_SUFFIX].find((one) => name.endsWith(one));
    if (suffix === undefined) continue;
    const [payload, file, ...more] = name.slice(0, -suffix.length).split('.') as [string, string?, ...string[]];
    if (!isId(payload) || more.length > 0 || (suffix === CHUNKS_SUFFIX ? file !== undefined : file === undefined || !isId(file))) continue;
    const known = files.get(payload as PayloadId) ?? [];
    files.set(payload as PayloadId, known);
    if (file !== undefined) known.push(file as FileId);
  }
  return files;
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
  { folder, payload, files, known }: { readonly folder: string; readonly payload: PayloadId; readonly files: readonly FileId[]; readonly known?: Known },
): Promise<Loaded> {
  const path = join(folder, chunksName(payload));
  const found = await loadEntry(fs, path, payload, known);
  const unreadable = new Map<string, number>();
  if (found === 'unreadable') unreadable.set(chunksName(payload), await diskBytesOf(fs, path));
  for (const file of files) {
    const edges = join(folder, edgesName(payload, file));
    const isKept = found !== 'unreadable' && (await loadEdges(fs, edges, file, found?.entry));
    if (!isKept) unreadable.set(edgesName(payload, file), await diskBytesOf(fs, edges));
  }
  return { payload, found: found === 'unreadable' ? undefined : found, unreadable };
}

/** 0 where it is gone. */
async function diskBytesOf(fs: CacheFileSystem, path: string): Promise<number> {
  const { blocks } = await fs.stat(path).catch(() => ({ blocks: 0 }));
  return blocks * STAT_BLOCK_BYTES;
}

/** @returns undefined where there is none of ours, and then no file either */
async function loadEntry(fs: CacheFileSystem, path: string, payload: PayloadId, known?: Known): Promise<Found | 'unreadable' | undefined> {
  try {
    const handle = await openToChange(fs, path);
    try {
      const entry = await headerIn(payload, handle);
      if (entry && (known === undefined || (await manifestIn(entry, handle)))) return { entry, changed: await reconcile(entry, handle) };
      const recovered = known ? await takeUp(payload, handle, known) : await recover(payload, handle);
      if (recovered) return { entry: recovered, changed: true };
    } finally {
      await handle.close();
    }
    await fs.unlink(path);
    return undefined;
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? undefined : 'unreadable';
  }
}

async function headerIn(payload: PayloadId, handle: fileSystem.FileHandle): Promise<CacheEntry | null> {
  const entry = entryFromHeader(payload, await readAt(handle, 0, HEADER_GUESS_BYTES));
  const whole = typeof entry === 'number' ? entryFromHeader(payload, await readAt(handle, 0, entry)) : entry;
  return whole instanceof CacheEntry ? whole : null;
}

/** @returns null where it is not that of the payload any more */
async function manifestIn(entry: CacheEntry, handle: fileSystem.FileHandle): Promise<Buffer | null> {
  const manifest = await readAt(handle, entry.manifestAt, entry.chunks * HASH_BYTES);
  try {
    verifyManifest(entry.payload, entry.payloadBytes, manifest);
    return manifest;
  } catch {
    return null;
  }
}

/** Its header rotted. If it was whole, its length says how large the payload is, and the manifest whether that is so; then what is right in it is kept. */
async function recover(payload: PayloadId, handle: fileSystem.FileHandle): Promise<CacheEntry | null> {
  const { size, mtimeMs } = await handle.stat();
  const payloadBytes = payloadBytesOf(size);
  if (payloadBytes === undefined || chunkCount(payloadBytes) * HASH_BYTES > MANIFEST_BYTES_MAX) return null;
  const entry = new CacheEntry(payload, payloadBytes, mtimeMs);
  const manifest = await manifestIn(entry, handle);
  if (manifest === null || !(await adopt(entry, handle, { manifest, size }))) return null;
  await cut(entry, handle, size);
  return entry;
}

/** Its head rotted, and somebody knows what it was: what is right in it is kept. @returns null where no chunk can be in it */
async function takeUp(payload: PayloadId, handle: fileSystem.FileHandle, { payloadBytes, manifest }: Known): Promise<CacheEntry | null> {
  const { size, mtimeMs } = await handle.stat();
  const entry = new CacheEntry(payload, payloadBytes, mtimeMs);
  if (size <= entry.positionOf(0)) return null;
  await adopt(entry, handle, { manifest, size });
  await writeAt(handle, entry.manifestAt, manifest);
  await cut(entry, handle, size);
  return entry;
}

/** A read-only disk stays as it is. */
async function cut(entry: CacheEntry, handle: fileSystem.FileHandle, size: number): Promise<void> {
  if (size > entry.end) await handle.truncate(entry.end).catch(() => undefined);
}

/** @returns whether they count, or are gone because they are none of ours */
async function loadEdges(fs: CacheFileSystem, path: string, file: FileId, entry: CacheEntry | undefined): Promise<boolean> {
  try {
    const handle = await fs.open(path, 'r');
    try {
      const { size } = await handle.stat();
      const edges = entry && edgesFromHeader(entry.payload, file, await readAt(handle, 0, EDGES_AT), size);
      if (entry && edges) {
        entry.edges.set(file, edges);
        entry.bytes += edgesDiskBytes(edges);
        return true;
      }
    } finally {
      await handle.close();
    }
    await fs.unlink(path);
    return true;
  } catch {
    return false;
  }
}

/** @returns whether the bitmap was changed */
async function reconcile(entry: CacheEntry, handle: fileSystem.FileHandle): Promise<boolean> {
  const { size, blocks } = await handle.stat();
  let changed = false;
  for (let index = 0; index < entry.chunks; index++) {
    if (!entry.has(index) || entry.positionOf(index) + chunkLength(entry.payloadBytes, index) <= size) continue;
    entry.remove(index);
    entry.bytes -= entry.diskBytesOf(index);
    changed = true;
  }
  // Only what was killed while it was written takes more than it says; a block may be the file system's own.
  if (!entry.complete && blocks * STAT_BLOCK_BYTES > entry.bytes + BLOCK_BYTES) {
    const manifest = await manifestIn(entry, handle);
    if (manifest !== null) changed = (await adopt(entry, handle, { manifest, size })) || changed;
  }
  await cut(entry, handle, size);
  return changed;
}

/** Chunks that are there and not yet spoken of: those of the last second before a kill. @returns whether there are any */
async function adopt(entry: CacheEntry, handle: fileSystem.FileHandle, { manifest, size }: { readonly manifest: Uint8Array; readonly size: number }): Promise<boolean> {
  let adopted = false;
  const damaged: number[] = [];
  for (let index = 0; index < entry.chunks && entry.positionOf(index) < size; index++) {
    if (entry.has(index)) continue;
    const chunk = await readAt(handle, entry.positionOf(index), chunkLength(entry.payloadBytes, index));
    if (isChunk(manifest, index, chunk)) {
      entry.add(index);
      entry.bytes += entry.diskBytesOf(index);
      adopted = true;
    } else if (chunk.some((byte) => byte !== 0)) damaged.push(index);
  }
  // a hole reads as zeros, and takes nothing; what lies behind the last chunk is cut off
  for (const index of damaged) {
    if (entry.positionOf(index) >= entry.end) continue;
    entry.damage(index);
    entry.bytes += entry.diskBytesOf(index);
  }
  return adopted;
}
