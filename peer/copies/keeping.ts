// What the cache asks before it drops a song (judge.ts): who else holds what is cached here, kept in memory for that alone and in
// step with registers and members, because the cache asks often and cannot wait.
import { LRUCache } from 'lru-cache';
import type { PayloadId, PeerId, SongId } from '../../lib/ids.ts';
import { forgottenPeer, HERE_KEY } from '../../lib/forget.ts';
import { LEAVING_KEY } from '../../lib/leaving.ts';
import type { Operation } from '../../lib/operation.ts';
import { parseCopyKey, parseHoldingKey } from '../../lib/song.ts';
import type { Catalog } from '../../storage/catalog.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { Song } from '../../storage/song-view.ts';
import { type Holders, type Worth, worthOf } from './judge.ts';
import type { Machines } from './machines.ts';

/** Songs of Ogg files heard or copied lately: their payloads do not tell their songs. */
const NOTED_MAX = 512;

interface Kept extends Holders {
  readonly song: SongId;
  /** As it was judged last; undefined when something has changed since. */
  worth: Worth | undefined;
}

export interface KeepingOptions {
  readonly self: PeerId;
  readonly cache: Pick<ChunkCache, 'complete' | 'has' | 'songs'>;
  readonly catalog: Pick<Catalog, 'settled' | 'song' | 'walk'>;
  readonly machines: Pick<Machines, 'stays'>;
  /** Machines for each song. */
  readonly wanted: () => number;
  readonly trouble: (error: unknown) => void;
}

export class Keeping {
  readonly #options: KeepingOptions;
  readonly #kept = new Map<PayloadId, Kept>();
  readonly #payloads = new Map<SongId, Set<PayloadId>>();
  readonly #noted = new LRUCache<PayloadId, SongId>({ max: NOTED_MAX });
  /** To be read again. */
  readonly #stale = new Set<PayloadId>();
  #reading: Promise<void> = Promise.resolve();
  #loaded = false;

  constructor(options: KeepingOptions) {
    this.#options = options;
  }

  /** Reads all that is cached here. Until then nothing that is whole is dropped. */
  load(): void {
    this.#enqueue(async () => {
      this.#stale.clear();
      this.#kept.clear();
      this.#payloads.clear();
      const { cache, catalog } = this.#options;
      if (cache.songs > 0) for await (const songs of catalog.walk()) for (const song of songs) this.#take(song);
      this.#loaded = true;
    });
  }

  judge = (payload: PayloadId): Worth => {
    const { self, cache, machines, wanted } = this.#options;
    const complete = cache.complete(payload);
    const kept = this.#kept.get(payload);
    if (!this.#loaded || this.#stale.has(payload)) return complete ? 'last' : 'free';
    if (!kept) {
      // it was begun since; what nobody knows as part of a song, nobody can play
      this.#read(payload);
      return complete ? 'last' : 'free';
    }
    return (kept.worth ??= kept.owners.length + kept.copiers.length === 0 ? 'free' : worthOf({ self, complete, owners: kept.owners, copiers: kept.copiers, stays: machines.stays, wanted: wanted() }));
  };

  /** Members or the setting are others than before. */
  judgeAnew(): void {
    for (const kept of this.#kept.values()) kept.worth = undefined;
  }

  songOf(payload: PayloadId): SongId {
    return this.#kept.get(payload)?.song ?? this.#noted.get(payload) ?? (payload as string as SongId);
  }

  /** This song is about to be cached. */
  note({ id, files }: Pick<Song, 'id' | 'files'>): void {
    for (const { description: { payload } } of files) if ((payload as string) !== id) this.#noted.set(payload, id);
  }

  /** Chunks of it came for the first time, went, or are all here now. */
  cacheChanged(payload: PayloadId): void {
    this.#read(payload);
  }

  refresh(changed: readonly Operation[]): void {
    const { cache } = this.#options;
    for (const { key } of changed) {
      const payload = parseCopyKey(key);
      if (payload && cache.has(payload)) this.#read(payload);
      const song = parseHoldingKey(key)?.song;
      if (song) for (const known of this.#payloads.get(song) ?? (cache.has(song as string as PayloadId) ? [song as string as PayloadId] : [])) this.#read(known);
      if (key === LEAVING_KEY) this.judgeAnew();
      if (key === HERE_KEY || forgottenPeer(key) !== undefined) return this.load();
    }
  }

  /** Everything that was reported so far counts. */
  async settled(): Promise<void> {
    await this.#reading;
  }

  #read(payload: PayloadId): void {
    if (this.#stale.has(payload)) return;
    this.#stale.add(payload);
    this.#enqueue(async () => {
      if (!this.#stale.delete(payload)) return; // all were read meanwhile
      const { cache, catalog } = this.#options;
      const id = this.songOf(payload);
      const song = cache.has(payload) ? await catalog.song(id) : undefined;
      this.#drop(payload);
      if (song) this.#take(song);
      if (cache.has(payload) && !this.#kept.has(payload)) this.#kept.set(payload, { song: id, owners: [], copiers: [], worth: undefined });
    });
  }

  #take({ id, files, owners, copiers }: Song): void {
    for (const { description: { payload } } of files) {
      if (!this.#options.cache.has(payload)) continue;
      this.#kept.set(payload, { song: id, owners, copiers, worth: undefined });
      this.#payloads.set(id, (this.#payloads.get(id) ?? new Set()).add(payload));
    }
  }

  #drop(payload: PayloadId): void {
    const kept = this.#kept.get(payload);
    if (!kept) return;
    this.#kept.delete(payload);
    const payloads = this.#payloads.get(kept.song);
    payloads?.delete(payload);
    if (payloads?.size === 0) this.#payloads.delete(kept.song);
  }

  #enqueue(task: () => Promise<void>): void {
    this.#reading = this.#reading
      .then(() => this.#options.catalog.settled())
      .then(task)
      .catch((error: unknown) => this.#options.trouble(error));
  }
}
