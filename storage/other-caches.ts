// Caches of networks that this machine has left. They are not served, and kept for whoever comes back: with them would go pins, and
// songs that no other machine has. Only files are looked at here, since nobody knows who else holds a song of another network.
import * as fileSystem from 'node:fs/promises';
import { mkdir, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../lib/errors.ts';
import type { PayloadId } from '../lib/ids.ts';
import type { Millis } from '../lib/time.ts';
import { chunksInFile } from './cache-folder.ts';

/** Written anew whenever the cache is used, since its songs may lie there for months before somebody plays one. */
export const USED_FILE = 'used';
/** Nobody has come back to a network for so long: its cache goes. */
export const ABANDONED_MS: Millis = 30 * 86_400_000;
/** Of the bound, at most, so that the network of today has the rest. */
export const OTHERS_SHARE = 0.5;
/** Of `stat`, whatever the blocks of the disk are. */
const STAT_BLOCK_BYTES = 512;

/** One payload with its edges, or another file of a cache. */
interface Kept {
  readonly network: string;
  /** The payload, where it is one. */
  readonly name: string;
  readonly paths: string[];
  bytes: number;
  usedAt: Millis;
}

export interface OtherCachesOptions {
  /** Of all caches, a folder for each network. */
  readonly folder: string;
  /** The hash of the key of the one of today. */
  readonly network: string;
}

/** @returns bytes of the disk, in all files of all folders; 0 where there are none */
export async function bytesOfCaches(folder: string): Promise<number> {
  let bytes = 0;
  for (const network of await namesIn(folder)) for (const kept of await readCache(folder, network)) bytes += kept.bytes;
  return bytes;
}

/** @returns bytes of the disk that the caches of other networks take */
export async function bytesOfOthers({ folder, network }: OtherCachesOptions): Promise<number> {
  return (await readOthers(folder, network)).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The machine is in this network. A disk that takes nothing keeps nothing longer either. */
export async function markUsed({ folder, network }: OtherCachesOptions): Promise<void> {
  await writeFile(join(folder, network, USED_FILE), '').catch(() => undefined);
}

/** Removes caches that nobody has used for long, and of the others, until they take no more than their share, what was used least
 *  recently; pins last. */
export async function sweepOthers({ folder, network, left: justLeft = new Set(), bytesMax, now, isPinned }: OtherCachesOptions & {
  /** These count, and stay whole: whoever has just left one may be back in a moment, and what is to be moved is music of today. */
  readonly left?: ReadonlySet<string> | undefined;
  readonly bytesMax: number;
  /** By the clock on the wall, as files have it. */
  readonly now: Millis;
  readonly isPinned: (network: string, payload: PayloadId) => boolean;
}): Promise<void> {
  const left: Kept[] = [];
  for (const other of await namesIn(folder)) {
    if (other === network) continue;
    const kept = await readCache(folder, other);
    const usedAt = Math.max(0, ...kept.map((one) => one.usedAt));
    if (now - usedAt > ABANDONED_MS && !justLeft.has(other)) await rm(join(folder, other), { recursive: true, force: true });
    else left.push(...kept);
  }
  let excess = left.reduce((sum, { bytes }) => sum + bytes, 0) - OTHERS_SHARE * bytesMax;
  const pinned = (one: Kept): number => Number(isPinned(one.network, one.name as PayloadId));
  for (const one of left.filter(({ network: other }) => !justLeft.has(other)).sort((a, b) => pinned(a) - pinned(b) || a.usedAt - b.usedAt)) {
    if (excess <= 0) return;
    excess -= one.bytes;
    for (const path of one.paths) await rm(path, { force: true });
  }
}

/** The network has another key, and its people and their music are the same. Of what is under both, that stays of which there is more: a song
 *  with less of its chunks must not take the place of one that is whole. */
export async function moveCache(folder: string, from: string, to: string): Promise<void> {
  if (from === to) return;
  try {
    await rename(join(folder, from), join(folder, to));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error;
    await mkdir(join(folder, to), { recursive: true });
    for (const name of await namesIn(join(folder, from))) {
      const [here, there] = [join(folder, from, name), join(folder, to, name)];
      if (await hasMore(here, there)) await rename(here, there);
      else await rm(here, { force: true });
    }
    await rmdir(join(folder, from));
  }
}

async function readOthers(folder: string, network: string): Promise<Kept[]> {
  const others: Kept[] = [];
  for (const other of await namesIn(folder)) if (other !== network) others.push(...(await readCache(folder, other)));
  return others;
}

async function readCache(folder: string, network: string): Promise<Kept[]> {
  const kept = new Map<string, Kept>();
  for (const file of await namesIn(join(folder, network))) {
    const path = join(folder, network, file);
    const facts = await stat(path).catch(() => undefined); // it has just gone
    if (!facts) continue;
    const [name = file] = file.split('.');
    const one = kept.get(name) ?? { network, name, paths: [], bytes: 0, usedAt: 0 };
    kept.set(name, one);
    one.paths.push(path);
    one.bytes += facts.blocks * STAT_BLOCK_BYTES;
    one.usedAt = Math.max(one.usedAt, facts.mtimeMs);
  }
  return [...kept.values()];
}

/** Chunks that rotted and were forgotten take blocks as well, and so does what was written behind the end: these count only where nothing says what is right,
 *  and never against a song that is whole. */
async function hasMore(path: string, other: string): Promise<boolean> {
  const [one, another] = [await contentsOf(path), await contentsOf(other)];
  if (one.chunks?.missing === 0 || another.chunks?.missing === 0) return another.chunks?.missing !== 0;
  if (one.chunks !== undefined && another.chunks !== undefined && one.chunks.held !== another.chunks.held) return one.chunks.held > another.chunks.held;
  return one.blocks === another.blocks ? another.chunks === undefined && one.chunks !== undefined : one.blocks > another.blocks;
}

/** -1 blocks where it is not. A hole takes none. */
async function contentsOf(path: string): Promise<{ readonly blocks: number; readonly chunks: Awaited<ReturnType<typeof chunksInFile>> }> {
  const chunks = await chunksInFile(fileSystem, path);
  try {
    return { blocks: (await stat(path)).blocks, chunks };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { blocks: -1, chunks };
    throw error;
  }
}

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
