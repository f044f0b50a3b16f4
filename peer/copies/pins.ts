// Songs that people keep on this machine: fetched before all others, and never dropped, whoever else has them.
import { PeerError } from '../../lib/errors.ts';
import type { PayloadId, PeerId, SongId } from '../../lib/ids.ts';
import { PINS_MAX } from '../../lib/limits.ts';
import { type FileDescription, parseHoldingKey, sizeOf } from '../../lib/song.ts';
import type { Operation } from '../../lib/operation.ts';
import { edgesDiskBytes } from '../../storage/cache-edges.ts';
import { wholeDiskBytes } from '../../storage/cache-entry.ts';
import type { Catalog } from '../../storage/catalog.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { PinStore } from '../../storage/pin-store.ts';
import type { Song, SongFile } from '../../storage/song-view.ts';
import type { Sources } from '../chunks/sources.ts';
import type { Copying } from './copying.ts';
import type { Keeping } from './keeping.ts';

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** In a music folder of this machine, whole in its cache, to be fetched, tried in vain and tried again, or deleted by all who had the file. */
export type PinState = 'own' | 'here' | 'coming' | 'waiting' | 'gone';

const GONE = 'whoever had the file has deleted it, and nobody can play it any more';

/** When it is here with what surrounds it. */
const diskBytesOf = (description: FileDescription): number => wholeDiskBytes(description.payloadBytes) + edgesDiskBytes(description);

const isMissing = (state: PinState): boolean => state === 'coming' || state === 'waiting';

export interface PinsOptions {
  readonly self: PeerId;
  readonly store: PinStore;
  readonly cache: ChunkCache;
  readonly catalog: Pick<Catalog, 'settled' | 'song'>;
  readonly sources: Pick<Sources, 'reaches'>;
  readonly copying: Pick<Copying, 'comes' | 'reasonOf' | 'unwant' | 'want'>;
  readonly keeping: Pick<Keeping, 'note' | 'settled'>;
}

export class Pins {
  readonly #options: PinsOptions;
  readonly #songs = new Map<PayloadId, SongId>();
  /** What changes pins, one after the other: of two at once each would be promised the same room, and one that is taken back would be kept. */
  #asked: Promise<unknown> = Promise.resolve();

  constructor(options: PinsOptions) {
    this.#options = options;
    for (const [song, payload] of options.store.pins) this.#songs.set(payload, song);
  }

  /** What of each song is kept. */
  get all(): ReadonlyMap<SongId, PayloadId> {
    return this.#options.store.pins;
  }

  /** Is this what is kept of a song? */
  has(payload: PayloadId): boolean {
    return this.#songs.has(payload);
  }

  /** A file that was tagged anew is another file: what is here is to be one that there still is. */
  stateOf(song: Song | undefined, payload: PayloadId): PinState {
    const { self, cache, copying } = this.#options;
    if (!song) return 'gone';
    if (song.owners.includes(self)) return 'own';
    const files = cache.complete(payload) ? cache.filesOf(payload) : [];
    if (song.files.some(({ description }) => description.payload === payload && files.includes(description.file))) return 'here';
    return copying.comes(payload) ? 'coming' : 'waiting';
  }

  /** Why a pin is not here. */
  reasonOf(song: Song | undefined, payload: PayloadId): string | undefined {
    return song ? this.#options.copying.reasonOf(payload) : GONE;
  }

  /** Fetches what is pinned and not here. @param isGiven may somebody give it now who could not before? */
  async seek(isGiven: (song: Song) => boolean): Promise<void> {
    for (const id of [...this.all.keys()]) await this.#seekSong(id, isGiven);
  }

  /** Likewise the song of which this is kept. */
  async seekPayload(payload: PayloadId, isGiven: (song: Song) => boolean): Promise<void> {
    const song = this.#songs.get(payload);
    if (song) await this.#seekSong(song, isGiven);
  }

  /** Files of these songs came or went: they may have been tagged anew. */
  async refresh(changed: readonly Operation[]): Promise<void> {
    if (this.all.size === 0) return;
    const songs = new Set(changed.map(({ key }) => parseHoldingKey(key)?.song).filter((song) => song !== undefined && this.all.has(song)));
    if (songs.size === 0) return;
    await this.#options.catalog.settled();
    for (const song of songs) await this.#seekSong(song as SongId, () => true);
  }

  async #seekSong(id: SongId, isGiven: (song: Song) => boolean): Promise<void> {
    const { catalog, copying } = this.#options;
    if (!this.all.has(id)) return;
    const song = await catalog.song(id);
    if (!song || !isGiven(song)) return;
    await this.#inTurn(async () => {
      // it may have been unpinned meanwhile
      const before = this.all.get(id);
      if (!before || !isMissing(this.stateOf(song, before))) return;
      const { description } = this.#fileOf(song, before);
      await this.#keep(id, description.payload);
      copying.want({ payload: description.payload, song: id, why: 'pin', bytes: sizeOf(description) });
    });
  }

  /** Of an Ogg file that was tagged anew the payload is another one, and the song the same. @throws PeerError DISK_FULL, DATA_FOLDER_UNUSABLE */
  async #keep(song: SongId, payload: PayloadId): Promise<void> {
    const { store, cache, copying } = this.#options;
    const before = this.all.get(song);
    if (before !== payload) await store.pin(song, payload);
    this.#songs.set(payload, song);
    cache.pin(payload);
    if (before === undefined || before === payload) return;
    this.#songs.delete(before);
    cache.unpin(before);
    copying.unwant(before);
  }

  /** @throws PeerError TOO_LARGE, DISK_FULL, DATA_FOLDER_UNUSABLE */
  pin(song: Song): Promise<PinState> {
    return this.#inTurn(() => this.#pin(song));
  }

  async #pin(song: Song): Promise<PinState> {
    const { self, copying, keeping } = this.#options;
    if (song.owners.includes(self)) return 'own';
    const known = this.all.get(song.id);
    const { description } = this.#fileOf(song, known);
    const { payload } = description;
    if (!known) await this.#checkRoom(description);
    await this.#keep(song.id, payload);
    keeping.note(song);
    if (isMissing(this.stateOf(song, payload))) copying.want({ payload, song: song.id, file: description.file, why: 'pin', bytes: sizeOf(description) });
    return this.stateOf(song, payload);
  }

  /** @returns whether it was pinned @throws PeerError DISK_FULL, DATA_FOLDER_UNUSABLE */
  unpin(song: SongId): Promise<boolean> {
    return this.#inTurn(() => this.#unpin(song));
  }

  async #unpin(song: SongId): Promise<boolean> {
    const { store, cache, copying } = this.#options;
    const payload = this.all.get(song);
    if (!payload) return false;
    await store.unpin(song);
    this.#songs.delete(payload);
    cache.unpin(payload);
    copying.unwant(payload);
    return true;
  }

  #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const result = this.#asked.then(act);
    this.#asked = result.catch(() => undefined);
    return result;
  }

  async #checkRoom(description: FileDescription): Promise<void> {
    const { cache, cache: { bytesMax }, catalog, keeping } = this.#options;
    const { payload } = description;
    const bytes = diskBytesOf(description);
    if (this.all.size >= PINS_MAX) throw new PeerError('TOO_LARGE', `no more than ${PINS_MAX} songs can be pinned`);
    if (bytes > bytesMax) throw new PeerError('TOO_LARGE', `the song has ${megabytes(bytes)}, and the cache of this machine takes ${megabytes(bytesMax)}; start it with a larger --cache`);
    let pinnedBytes = 0;
    for (const [id, pinned] of this.all) {
      const other = await catalog.song(id);
      const state = this.stateOf(other, pinned);
      if (state === 'own') continue;
      pinnedBytes += Math.max(cache.bytesOf(pinned), other && isMissing(state) ? diskBytesOf(this.#fileOf(other, pinned).description) : 0);
    }
    await keeping.settled();
    const lastBytes = cache.lastBytes(payload);
    if (pinnedBytes + lastBytes + bytes <= bytesMax) return;
    const copies = lastBytes > 0 ? `, and ${megabytes(lastBytes)} are songs that no other machine has` : '';
    const taken = `of the ${megabytes(bytesMax)} that the cache of this machine takes ${megabytes(pinnedBytes)} are pinned${copies}`;
    throw new PeerError('TOO_LARGE', `the song has ${megabytes(bytes)}, and ${taken}; unpin a song, or start with a larger --cache`);
  }

  /** The one that is pinned, one that is reachable, else the first. */
  #fileOf({ files }: Song, payload: PayloadId | undefined): SongFile {
    const { sources } = this.#options;
    return files.find(({ description }) => description.payload === payload) ?? files.find(({ providers }) => providers.some((peer) => sources.reaches(peer))) ?? files[0];
  }
}
