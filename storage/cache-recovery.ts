// What is in the file of one payload, whatever a kill, a power cut or rot has left of it. Its header says what it is; where that is gone, the
// length of the file says how large the payload is, and where the manifest is gone, its chunks say what it was. The payload's id proves either,
// and somebody who has the manifest from elsewhere needs neither. Nothing that may be right is cut off: it may be the last copy.
//
// That reads the music, so it is done only where a file is damaged, or was being written when the process ended.
import type { FileHandle } from 'node:fs/promises';
import { chunkCount, chunkLength, HASH_BYTES, isChunk, sha256, verifyManifest } from '../lib/content.ts';
import { codeOf } from '../lib/errors.ts';
import type { PayloadId } from '../lib/ids.ts';
import { CHUNK_BYTES, MANIFEST_BYTES_MAX } from '../lib/limits.ts';
import { BLOCK_BYTES } from './cache-edges.ts';
import { CacheEntry, entryFromHeader, HEADER_GUESS_BYTES, payloadBytesOf } from './cache-entry.ts';
import { readAt, writeAt } from './open-files.ts';

/** Of `stat`, whatever the blocks of the disk are. */
export const STAT_BLOCK_BYTES = 512;

const ZEROS = Buffer.alloc(CHUNK_BYTES);

/** What the id of a payload proves, from elsewhere. */
export interface Known {
  readonly payloadBytes: number;
  /** Already verified. */
  readonly manifest: Uint8Array;
}

/** What shows what is in a file: its header is believed, as a start does that reads nothing else; or the file itself, by the payload's id; or what is known. */
export type Proof = 'header' | 'file' | Known;

export interface Found {
  readonly entry: CacheEntry;
  /** Its header says something else than that of the file. */
  readonly changed: boolean;
}

/** @returns null where nothing proves what is in it; undefined where no chunk can be in it, since a kill came while it was begun @throws as reading does */
export async function findIn(payload: PayloadId, handle: FileHandle, by: Proof): Promise<Found | null | undefined> {
  const entry = await headerIn(payload, handle);
  if (entry !== null && (by === 'header' || (await manifestIn(entry, handle)) !== null)) return reconcile(entry, handle);
  const { size, blocks, mtimeMs } = await handle.stat();
  const known = typeof by === 'object' ? by : undefined;
  const payloadBytes = entry?.payloadBytes ?? (await lengthIn(payload, handle, size, known));
  if (payloadBytes === undefined || chunkCount(payloadBytes) * HASH_BYTES > MANIFEST_BYTES_MAX) return size > BLOCK_BYTES ? null : undefined;
  const fresh = new CacheEntry(payload, payloadBytes, entry?.lastUsed ?? mtimeMs);
  if (size <= fresh.positionOf(0)) return undefined;
  const manifest = known?.manifest ?? (await provenManifest(fresh, handle, { size, blocks }));
  if (manifest === null) return null;
  if (known !== undefined) await writeAt(handle, fresh.manifestAt, known.manifest);
  const adopted = await adopt(fresh, handle, { manifest, size });
  if (adopted === null) return null;
  // the manifest proves the length but for that of the last chunk
  if (entry === null && known === undefined && !fresh.has(fresh.chunks - 1)) return null;
  await cut(handle, size, adopted.end);
  return { entry: fresh, changed: true };
}

/** Of what has no header. The id proves only how many chunks there are, so a file that holds the last one is believed before a stranger: a length that
 *  is too small would cut it off. @returns undefined where no payload makes such a file */
async function lengthIn(payload: PayloadId, handle: FileHandle, size: number, known: Known | undefined): Promise<number | undefined> {
  const whole = payloadBytesOf(size);
  if (known === undefined || whole === undefined || chunkCount(whole) !== chunkCount(known.payloadBytes)) return known?.payloadBytes ?? whole;
  const entry = new CacheEntry(payload, whole, 0);
  const last = entry.chunks - 1;
  return isChunk(known.manifest, last, await readChunk(entry, handle, last)) ? whole : known.payloadBytes;
}

async function headerIn(payload: PayloadId, handle: FileHandle): Promise<CacheEntry | null> {
  const guess = entryFromHeader(payload, await readSector(handle, 0, HEADER_GUESS_BYTES));
  const entry = typeof guess === 'number' ? entryFromHeader(payload, await readSector(handle, 0, guess)) : guess;
  return entry instanceof CacheEntry ? entry : null;
}

/** What lies beyond the end of the file is not here, and what lies in it and no bit speaks of is, if it is right. @returns null where it cannot be told */
async function reconcile(entry: CacheEntry, handle: FileHandle): Promise<Found | null> {
  const { size, blocks } = await handle.stat();
  let changed = false;
  for (let index = 0; index < entry.chunks; index++) {
    if (!entry.has(index) || entry.positionOf(index) + chunkLength(entry.payloadBytes, index) <= size) continue;
    entry.remove(index);
    entry.bytes -= entry.diskBytesOf(index);
    changed = true;
  }
  // Only what was killed while it was written, or has lost bits, takes more than it says; a block may be the file system's own.
  if (!entry.complete && (size > entry.end || blocks * STAT_BLOCK_BYTES > entry.bytes + BLOCK_BYTES)) {
    const manifest = await provenManifest(entry, handle, { size, blocks });
    if (manifest === null) return null;
    const adopted = await adopt(entry, handle, { manifest, size });
    if (adopted === null) return null;
    await cut(handle, size, adopted.end);
    return { entry, changed: adopted.changed || changed };
  }
  await cut(handle, size, entry.end);
  return { entry, changed };
}

/** That of the file, or what the chunks of a whole song say it was; then it is written again. @returns null where neither is proven by the id */
async function provenManifest(entry: CacheEntry, handle: FileHandle, { size, blocks }: { readonly size: number; readonly blocks: number }): Promise<Buffer | null> {
  const written = await manifestIn(entry, handle);
  // a hole proves nothing, and a start is not to read the rest of the song to find one
  const isWhole = size >= entry.positionOf(0) + entry.payloadBytes && blocks * STAT_BLOCK_BYTES >= entry.payloadBytes;
  if (written !== null || !isWhole) return written;
  const manifest = Buffer.alloc(entry.chunks * HASH_BYTES);
  for (let index = 0; index < entry.chunks; index++) sha256(await readChunk(entry, handle, index)).copy(manifest, index * HASH_BYTES);
  if (!isManifest(entry, manifest)) return null;
  // where that fails, the next who reads it finds it out again
  await writeAt(handle, entry.manifestAt, manifest).catch(() => undefined);
  return manifest;
}

async function manifestIn(entry: CacheEntry, handle: FileHandle): Promise<Buffer | null> {
  const manifest = await readSector(handle, entry.manifestAt, entry.chunks * HASH_BYTES);
  return isManifest(entry, manifest) ? manifest : null;
}

/** Chunks that are right, and that no bit speaks of: those of the last second before a kill, or all where the bits are lost.
 *  @returns whether there are any, and where the file may end; null where the disk gives none of them */
async function adopt(
  entry: CacheEntry,
  handle: FileHandle,
  { manifest, size }: { readonly manifest: Uint8Array; readonly size: number },
): Promise<{ readonly changed: boolean; readonly end: number } | null> {
  let changed = false;
  let unread = false;
  const damaged: number[] = [];
  for (let index = 0; index < entry.chunks && entry.positionOf(index) < size; index++) {
    if (entry.has(index)) continue;
    const chunk = await readChunk(entry, handle, index);
    if (isChunk(manifest, index, chunk)) {
      entry.add(index);
      entry.bytes += entry.diskBytesOf(index);
      changed = true;
    } else if (chunk.byteLength === 0 || !chunk.equals(ZEROS.subarray(0, chunk.byteLength))) damaged.push(index);
    unread ||= chunk.byteLength === 0;
  }
  if (unread && entry.missing === entry.chunks) return null;
  // What lies behind the last chunk is cut off, but for what the disk may give again. A hole reads as zeros, and takes nothing.
  const end = unread ? size : entry.end;
  for (const index of damaged) {
    if (entry.positionOf(index) >= end) continue;
    entry.damage(index);
    entry.bytes += entry.diskBytesOf(index);
  }
  return { changed, end };
}

/** A read-only disk stays as it is. */
async function cut(handle: FileHandle, size: number, end: number): Promise<void> {
  if (size > end) await handle.truncate(end).catch(() => undefined);
}

/** @returns fewer bytes where the file ends; none where a sector cannot be read: that is damaged, and says nothing of the rest of the file */
async function readSector(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  try {
    return await readAt(handle, position, length);
  } catch (error) {
    if (codeOf(error) === 'EIO') return Buffer.alloc(0);
    throw error;
  }
}

const readChunk = (entry: CacheEntry, handle: FileHandle, index: number): Promise<Buffer> =>
  readSector(handle, entry.positionOf(index), chunkLength(entry.payloadBytes, index));

/** Whether its id says so. */
export function isManifest({ payload, payloadBytes }: CacheEntry, manifest: Uint8Array): boolean {
  try {
    verifyManifest(payload, payloadBytes, manifest);
    return true;
  } catch {
    return false;
  }
}
