// Songs that people keep on this machine: fetched before all others, and never dropped, whoever else has them.
import { PeerError } from '../../lib/errors.ts';
import type { PayloadId, PeerId, SongId } from '../../lib/ids.ts';
import { PINS_MAX } from '../../lib/limits.ts';
import { sizeOf } from '../../lib/song.ts';
import type { Catalog } from '../../storage/catalog.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { PinStore } from '../../storage/pin-store.ts';
import type { Song, SongFile } from '../../storage/song-view.ts';
import type { Sources } from '../chunks/sources.ts';
import type { Copying } from './copying.ts';
import type { Keeping } from './keeping.ts';

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** In a music folder of this machine, whole in its cache, to be fetched, or tried in vain and tried again. */
export type PinState = 'own' | 'here' | 'coming' | 'waiting';

const isMissing = (state: PinState): boolean => state === 'coming' || state === 'waiting';

export interface PinsOptions {
  readonly self: PeerId;
  readonly store: PinStore;
  readonly cache: ChunkCache;
  readonly catalog: Pick<Catalog, 'song'>;
  readonly sources: Pick<Sources, 'reaches'>;
  readonly copying: Pick<Copying, 'reasonOf' | 'unwant' | 'want'>;
  readonly keeping: Pick<Keeping, 'note' | 'settled'>;
}

export class Pins {
  readonly #options: PinsOptions;

  constructor(options: PinsOptions) {
    this.#options = options;
  }

  /** What of each song is kept. */
  get all(): ReadonlyMap<SongId, PayloadId> {
    return this.#options.store.pins;
  }

  stateOf(song: Song | undefined, payload: PayloadId): PinState {
    const { self, cache, copying } = this.#options;
    if (song?.owners.includes(self)) return 'own';
    if (cache.complete(payload) && cache.filesOf(payload).length > 0) return 'here';
    return copying.reasonOf(payload) === undefined ? 'coming' : 'waiting';
  }

  /** Why a pin waits. */
  reasonOf(payload: PayloadId): string | undefined {
    return this.#options.copying.reasonOf(payload);
  }

  /** Fetches what is pinned and not here. @param isGiven may somebody give it now who could not before? */
  async seek(isGiven: (song: Song) => boolean): Promise<void> {
    const { catalog, copying } = this.#options;
    for (const [id, payload] of [...this.all]) {
      const song = await catalog.song(id);
      // it may have been unpinned meanwhile
      if (!song || !isGiven(song) || this.all.get(id) !== payload || !isMissing(this.stateOf(song, payload))) continue;
      const file = song.files.find(({ description }) => description.payload === payload) ?? song.files[0];
      copying.want({ payload, song: id, why: 'pin', bytes: sizeOf(file.description) });
    }
  }

  /** @throws PeerError TOO_LARGE, DISK_FULL, DATA_FOLDER_UNUSABLE */
  async pin(song: Song): Promise<PinState> {
    const { self, store, cache, copying, keeping } = this.#options;
    if (song.owners.includes(self)) return 'own';
    const known = this.all.get(song.id);
    const { description } = this.#fileOf(song, known);
    const { payload } = description;
    if (!known) {
      await this.#checkRoom(payload, sizeOf(description));
      await store.pin(song.id, payload);
    }
    cache.pin(payload);
    keeping.note(song);
    const state = this.stateOf(song, payload);
    if (isMissing(state)) copying.want({ payload, song: song.id, file: description.file, why: 'pin', bytes: sizeOf(description) });
    return state;
  }

  /** @returns whether it was pinned @throws PeerError DISK_FULL, DATA_FOLDER_UNUSABLE */
  async unpin(song: SongId): Promise<boolean> {
    const { store, cache, copying } = this.#options;
    const payload = this.all.get(song);
    if (!payload) return false;
    await store.unpin(song);
    cache.unpin(payload);
    copying.unwant(payload);
    return true;
  }

  async #checkRoom(payload: PayloadId, bytes: number): Promise<void> {
    const { self, cache, cache: { bytesMax }, catalog, keeping } = this.#options;
    if (this.all.size >= PINS_MAX) throw new PeerError('TOO_LARGE', `no more than ${PINS_MAX} songs can be pinned`);
    if (bytes > bytesMax) throw new PeerError('TOO_LARGE', `the song has ${megabytes(bytes)}, and the cache of this machine takes ${megabytes(bytesMax)}; start it with a larger --cache`);
    let pinnedBytes = 0;
    for (const id of this.all.keys()) {
      const other = await catalog.song(id);
      if (other && !other.owners.includes(self)) pinnedBytes += sizeOf(other.files[0].description);
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
