// What the cache finds in its folder when it starts. A kill came at any moment, and a power cut may have kept a bitmap and lost
// chunks, or the other way round. Here file and bitmap are made to agree, without reading the music: what lies beyond
// the end of a file is not there, what lies in it and is not spoken of is looked at and kept if it is right, and the rest of the
// tail is cut off. So the bound holds for the disk and not only for what the bitmaps say.
import type * as fileSystem from 'node:fs/promises';
import { join } from 'node:path';
import { chunkLength, HASH_BYTES, isChunk, verifyManifest } from '../lib/content.ts';
import { codeOf } from '../lib/errors.ts';
import { type FileId, isId, type PayloadId } from '../lib/ids.ts';
import { BLOCK_BYTES, EDGES_AT, edgesDiskBytes, edgesFromHeader } from './cache-edges.ts';
import { CacheEntry, entryFromHeader, HEADER_GUESS_BYTES } from './cache-entry.ts';
import { readAt } from './open-files.ts';

export type CacheFileSystem = Pick<typeof fileSystem, 'mkdir' | 'open' | 'readdir' | 'unlink'>;

const CHUNKS_SUFFIX = '.chunks';
const EDGES_SUFFIX = '.edges';
/** Of `stat`, whatever the blocks of the disk are. */
const STAT_BLOCK_BYTES = 512;
/** Headers read at once at the start; more only fills the thread pool. */
const OPENING_AT_ONCE = 8;

export const chunksName = (payload: PayloadId): string => `${payload}${CHUNKS_SUFFIX}`;
export const edgesName = (payload: PayloadId, file: FileId): string => `${payload}.${file}${EDGES_SUFFIX}`;

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

/** @returns what is there, least recently used first; what is none of ours any more is removed @throws as `mkdir` and `readdir` do */
export async function loadFolder(fs: CacheFileSystem, folder: string): Promise<Found[]> {
  await fs.mkdir(folder, { recursive: true });
  const names = await fs.readdir(folder);
  const found = new Map<PayloadId, Found>();
  const payloads = names.filter((name) => name.endsWith(CHUNKS_SUFFIX)).map((name) => name.slice(0, -CHUNKS_SUFFIX.length));
  await eachOf(payloads.filter((name): name is PayloadId => isId(name)), async (payload) => {
    const entry = await loadEntry(fs, join(folder, chunksName(payload)), payload);
    if (entry !== null) found.set(payload, entry);
  });
  await eachOf(names.filter((name) => name.endsWith(EDGES_SUFFIX)), async (name) => {
    const [payload, file] = name.slice(0, -EDGES_SUFFIX.length).split('.') as [PayloadId, FileId?];
    if (isId(payload) && isId(file)) await loadEdges(fs, join(folder, name), file, found.get(payload)?.entry);
  });
  return [...found.values()].sort((a, b) => a.entry.lastUsed - b.entry.lastUsed);
}

async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const worker = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, worker));
}

async function loadEntry(fs: CacheFileSystem, path: string, payload: PayloadId): Promise<Found | null> {
  try {
    const handle = await openToChange(fs, path);
    try {
      let entry = entryFromHeader(payload, await readAt(handle, 0, HEADER_GUESS_BYTES));
      if (typeof entry === 'number') entry = entryFromHeader(payload, await readAt(handle, 0, entry));
      if (entry instanceof CacheEntry) return { entry, changed: await reconcile(entry, handle) };
    } finally {
      await handle.close();
    }
    await fs.unlink(path);
  } catch {
    // Unreadable: it is left where it is, and fetched again under the same name if somebody wants it.
  }
  return null;
}

async function loadEdges(fs: CacheFileSystem, path: string, file: FileId, entry: CacheEntry | undefined): Promise<void> {
  try {
    const handle = await fs.open(path, 'r');
    try {
      const { size } = await handle.stat();
      const edges = entry && edgesFromHeader(entry.payload, file, await readAt(handle, 0, EDGES_AT), size);
      if (entry && edges) {
        entry.edges.set(file, edges);
        entry.bytes += edgesDiskBytes(edges);
        return;
      }
    } finally {
      await handle.close();
    }
    await fs.unlink(path);
  } catch {
    // As above.
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
  if (!entry.complete && blocks * STAT_BLOCK_BYTES > entry.bytes + BLOCK_BYTES) changed = (await adopt(entry, handle, size)) || changed;
  if (size > entry.end) await handle.truncate(entry.end).catch(() => undefined); // a read-only disk stays as it is
  return changed;
}

/** Chunks that were written and not yet spoken of: those of the last second before a kill. */
async function adopt(entry: CacheEntry, handle: fileSystem.FileHandle, size: number): Promise<boolean> {
  const manifest = await readAt(handle, entry.manifestAt, entry.chunks * HASH_BYTES);
  try {
    verifyManifest(entry.payload, entry.payloadBytes, manifest);
  } catch {
    return false;
  }
  let adopted = false;
  for (let index = 0; index < entry.chunks && entry.positionOf(index) < size; index++) {
    if (entry.has(index) || !isChunk(manifest, index, await readAt(handle, entry.positionOf(index), chunkLength(entry.payloadBytes, index)))) continue;
    entry.add(index);
    entry.bytes += entry.diskBytesOf(index);
    adopted = true;
  }
  return adopted;
}
