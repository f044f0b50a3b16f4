// What this machine keeps of others' music in the network that it is in: the cache, what people pinned, and who reads it all again. One
// is open at a time. Those of networks that were left wait on the same disk, and count towards the same bound (other-caches.ts).
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { messageOf } from '../lib/errors.ts';
import type { PayloadId } from '../lib/ids.ts';
import type { Log } from '../lib/log.ts';
import type { Millis, WallClock } from '../lib/time.ts';
import { CacheVerifier } from './cache-verifier.ts';
import { ChunkCache } from './chunk-cache.ts';
import type { Database } from './database.ts';
import type { OpenFiles } from './open-files.ts';
import { bytesOfCaches, bytesOfOthers, markUsed, moveCache, OTHERS_SHARE, type OtherCachesOptions, sweepOthers } from './other-caches.ts';
import { PinStore } from './pin-store.ts';

export interface NetworkCacheOptions {
  /** Of the machine: the caches are in one of its folders. */
  readonly data: string;
  /** Of the caches of all networks. */
  readonly bytesMax: number;
  readonly database: Database;
  readonly files: OpenFiles;
  readonly log: Log;
}

/** A damaged song is told of again after so long. */
const DAMAGED_AGAIN_MS: Millis = 60_000;
const DAMAGED_REMEMBERED_MAX = 1_024;
const BYTES_MAX = 10e9;
const BYTES_SHARE = 0.1;

const folderOf = (data: string): string => join(data, 'cache');

/** @returns a tenth of what of the disk is free or cached music, at most 10 GB. What is cached already counts as free, or the bound would
 *  shrink with each start. */
export async function defaultCacheBytes(data: string): Promise<number> {
  const { bavail, bsize } = await statfs(data);
  return Math.floor(Math.min(BYTES_MAX, BYTES_SHARE * (bavail * bsize + (await bytesOfCaches(folderOf(data))))));
}

/** From one network to another, by the hashes of their keys. */
export interface Move {
  readonly from: string;
  readonly to: string;
}

/** The network has another key: its cache and pins are those of the new one now. Music that cannot be moved stays where it was. Done a second
 *  time it moves what is left. @returns whether all of it is there now */
export async function moveNetworkCache({ from, to }: Move, { data, database, log }: NetworkCacheOptions): Promise<boolean> {
  try {
    await PinStore.move(database, from, to);
    await moveCache(folderOf(data), from, to);
    return true;
  } catch (error) {
    log('trouble', { what: 'what is cached and pinned here could not be taken along, which is tried again at the next start', why: messageOf(error) });
    return false;
  }
}

/** What was cached in other networks is kept for whoever comes back, and what is too much of it goes. That of the network that was just left
 *  goes with the next change or start, so until then all may take half more than the bound: a change can be undone.
 *  @param network the hash of its key @param left those that were just left, or whose music is still to be moved */
export async function sweepNetworkCaches({ network, left }: { readonly network: string; readonly left?: ReadonlySet<string> | undefined }, { data, bytesMax, database, log }: NetworkCacheOptions, now: WallClock): Promise<void> {
  try {
    const pins = new Map<string, ReadonlySet<PayloadId>>();
    for (const pinned of await PinStore.networks(database)) pins.set(pinned, new Set((await PinStore.open(database, pinned)).pins.values()));
    await sweepOthers({ folder: folderOf(data), network, left, bytesMax, now, isPinned: (other, payload) => pins.get(other)?.has(payload) ?? false });
  } catch (error) {
    log('trouble', { what: 'what was cached in other networks could not be removed', why: messageOf(error) });
  }
}

export class NetworkCache {
  readonly chunks: ChunkCache;
  readonly pins: PinStore;
  readonly #verifier: CacheVerifier;
  readonly #place: OtherCachesOptions;

  private constructor(chunks: ChunkCache, pins: PinStore, place: OtherCachesOptions) {
    this.chunks = chunks;
    this.pins = pins;
    this.#verifier = new CacheVerifier({ cache: chunks, place: join(place.folder, place.network, 'verified') });
    this.#place = place;
  }

  /** @param network the hash of its key */
  static async open(network: string, { data, bytesMax, database, files, log }: NetworkCacheOptions): Promise<NetworkCache> {
    const place = { folder: folderOf(data), network };
    const pins = await PinStore.open(database, network);
    const room = Math.max(Math.ceil((1 - OTHERS_SHARE) * bytesMax), bytesMax - (await bytesOfOthers(place)));
    /** Each is told once in a while: a disk that dies damages a song in many places, and some are mended before the next is found. */
    const damaged = new LRUCache<PayloadId, true>({ max: DAMAGED_REMEMBERED_MAX, ttl: DAMAGED_AGAIN_MS });
    const chunks = await ChunkCache.open(
      join(place.folder, network),
      // until it is known who else has what is here, nothing goes
      { bytesMax: room, files, pinned: pins.pins.values(), judge: () => 'last' },
      {
        damaged: (payload) => {
          if (damaged.has(payload)) return;
          damaged.set(payload, true);
          log('damaged', { payload });
        },
        trouble: (error) => log('trouble', { what: error.message }),
      },
    );
    await markUsed(place);
    return new NetworkCache(chunks, pins, place);
  }

  /** While music plays, it is read again at a quarter of the rate. */
  setYielding(yielding: boolean): void {
    this.#verifier.setYielding(yielding);
  }

  /** Writes what the bitmaps say, and that the network was left now. */
  async close(): Promise<void> {
    await this.#verifier.close();
    await this.chunks.close();
    await markUsed(this.#place);
  }
}
