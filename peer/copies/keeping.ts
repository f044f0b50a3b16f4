// What the cache asks before it drops a song (judge.ts): who else holds what is cached here, kept in memory for that alone and in
// step with registers and members, because the cache asks often and cannot wait.
import { LRUCache } from 'lru-cache';
import type { FileId, PayloadId, PeerId, SongId } from '../../lib/ids.ts';
import { forgottenPeer, HERE_KEY } from '../../lib/forget.ts';
import { LEAVING_KEY } from '../../lib/leaving.ts';
import type { Operation, Value } from '../../lib/operation.ts';
import { decodeHolding, parseCopyKey, parseHoldingKey } from '../../lib/song.ts';
import type { Clock, Millis } from '../../lib/time.ts';
import type { Catalog } from '../../storage/catalog.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { Song } from '../../storage/song-view.ts';
import { type Holders, type Worth, worthOf } from './judge.ts';
import type { Machines } from './machines.ts';

/** Songs of Ogg files heard or copied lately: their payloads do not tell their songs. */
const NOTED_MAX = 512;
/** What nobody describes stays for so long: the registers that do may be on their way, as after a disk was lost or while machines take a new key. */
export const UNKNOWN_MS: Millis = 3_600_000;

interface Kept extends Holders {
  readonly song: SongId;
  /** As it was judged last; undefined when something has changed since. */
  worth: Worth | undefined;
}

export interface KeepingOptions {
  readonly self: PeerId;
  readonly cache: Pick<ChunkCache, 'complete' | 'has' | 'payloads' | 'songs'>;
  readonly catalog: Pick<Catalog, 'settled' | 'song' | 'walk'>;
  readonly machines: Pick<Machines, 'stays'>;
  /** Machines for each song. */
  readonly wanted: () => number;
  readonly clock: Pick<Clock, 'now'>;
  /** It is known now which song this is a part of, and was not when it came. */
  readonly onFound: (payload: PayloadId) => void;
  readonly trouble: (error: unknown) => void;
}

export class Keeping {
  readonly #options: KeepingOptions;
  readonly #kept = new Map<PayloadId, Kept>();
  readonly #payloads = new Map<SongId, Set<PayloadId>>();
  readonly #noted = new LRUCache<PayloadId, SongId>({ max: NOTED_MAX });
  /** Cached here and part of no song that is known, each since when. Of Ogg files the payload does not tell the song. */
  readonly #unknown = new Map<PayloadId, Millis>();
  /** To be read again. */
  readonly #stale = new Set<PayloadId>();
  #reading: Promise<void> = Promise.resolve();
  #loaded = false;
  /** All songs are to be read, or are being read. */
  #loads = 0;

  constructor(options: KeepingOptions) {
    this.#options = options;
  }

  /** Reads all that is cached here. Until then nothing that is whole is dropped. */
  load(): void {
    this.#loads += 1;
    this.#enqueue(async () => {
      try {
        await this.#readAll();
      } finally {
        this.#loads -= 1;
      }
    });
  }

  async #readAll(): Promise<void> {
    const { cache, catalog } = this.#options;
    this.#stale.clear();
    this.#kept.clear();
    this.#payloads.clear();
    if (cache.songs > 0) for await (const songs of catalog.walk()) for (const song of songs) this.#take(song);
    for (const payload of cache.payloads()) if (!this.#kept.has(payload)) this.#miss(payload);
    for (const payload of this.#unknown.keys()) if (!cache.has(payload)) this.#unknown.delete(payload);
    this.#loaded = true;
  }

  judge = (payload: PayloadId): Worth => {
    const { self, cache, clock, machines, wanted } = this.#options;
    const complete = cache.complete(payload);
    if (!this.#loaded || this.#stale.has(payload)) return complete ? 'last' : 'free';
    const kept = this.#kept.get(payload);
    if (kept) return (kept.worth ??= worthOf({ self, complete, owners: kept.owners, copiers: kept.copiers, stays: machines.stays, wanted: wanted() }));
    // what nobody knows as part of a song, nobody can play
    const since = this.#unknown.get(payload);
    if (since !== undefined) return complete && clock.now() - since < UNKNOWN_MS ? 'last' : 'free';
    // it was begun since
    this.#read(payload);
    return complete ? 'last' : 'free';
  };

  /** Members or the setting are others than before. */
  judgeAnew(): void {
    for (const kept of this.#kept.values()) kept.worth = undefined;
  }

  /** Waits until all is read that was reported. @returns the song that this is a part of, of what is cached here; undefined when none is known */
  async find(payload: PayloadId): Promise<SongId | undefined> {
    if (!this.#kept.has(payload)) this.#read(payload);
    await this.settled();
    return this.#kept.get(payload)?.song;
  }

  songOf(payload: PayloadId): SongId {
    return this.#kept.get(payload)?.song ?? this.#noted.get(payload) ?? (payload as string as SongId);
  }

  /** This song is about to be cached. */
  note({ id, files }: Pick<Song, 'id' | 'files'>): void {
    for (const { description: { payload } } of files) this.#note(payload, id);
  }

  #note(payload: PayloadId, song: SongId): void {
    if ((payload as string) !== song) this.#noted.set(payload, song);
    if (this.#unknown.has(payload)) this.#read(payload);
  }

  /** Chunks of it came for the first time, went, or are all here now. */
  cacheChanged(payload: PayloadId): void {
    this.#read(payload);
  }

  refresh(changed: readonly Operation[]): void {
    const { cache } = this.#options;
    for (const { key, value } of changed) {
      const payload = parseCopyKey(key);
      if (payload && cache.has(payload)) this.#read(payload);
      const holding = parseHoldingKey(key);
      if (holding) this.#refreshSong(holding, value);
      if (key === LEAVING_KEY) this.judgeAnew();
      if (key === HERE_KEY || forgottenPeer(key) !== undefined) return this.load();
    }
  }

  #refreshSong(holding: { readonly song: SongId; readonly file: FileId }, value: Value | null): void {
    const { song } = holding;
    const own = song as string as PayloadId;
    for (const known of this.#payloads.get(song) ?? (this.#options.cache.has(own) ? [own] : [])) this.#read(known);
    if (!value || (this.#unknown.size === 0 && this.#loads === 0)) return;
    try {
      const { payload } = decodeHolding(holding, value);
      if (this.#options.cache.has(payload)) this.#note(payload, song);
    } catch {
      // of a form that is not known: the catalog does not show it either
    }
  }

  /** Everything that was reported so far counts. */
  async settled(): Promise<void> {
    for (let reading: Promise<void> | undefined; reading !== this.#reading; ) {
      reading = this.#reading;
      await reading;
    }
  }

  #read(payload: PayloadId): void {
    if (this.#stale.has(payload)) return;
    this.#stale.add(payload);
    this.#enqueue(async () => {
      if (!this.#stale.delete(payload)) return; // all were read meanwhile
      const { cache, catalog } = this.#options;
      const song = cache.has(payload) ? await catalog.song(this.songOf(payload)) : undefined;
      this.#drop(payload);
      if (song) this.#take(song);
      if (!cache.has(payload)) this.#unknown.delete(payload);
      else if (!this.#kept.has(payload) && this.#miss(payload) && this.#loads === 0) this.load();
    });
  }

  /** @returns whether this is news: then all songs have to be read to find the one that it is a part of */
  #miss(payload: PayloadId): boolean {
    if (this.#unknown.has(payload)) return false;
    this.#unknown.set(payload, this.#options.clock.now());
    return true;
  }

  #take({ id, files, owners, copiers }: Song): void {
    for (const { description: { payload } } of files) {
      if (!this.#options.cache.has(payload)) continue;
      if (this.#unknown.delete(payload)) this.#options.onFound(payload);
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
