// What people do to playlists, as changes of this machine's own registers. Commands name items by id and never by number: the number
// that somebody saw may be another song's by now. Anybody on the network may edit any playlist.
import { PeerError } from '../../lib/errors.ts';
import { type ItemId, type PlaylistId, randomHalfId, randomId, type SongId } from '../../lib/ids.ts';
import { PLAYLIST_ITEMS_MAX } from '../../lib/limits.ts';
import { encodeItem, encodePlaylist, GONE, goneKey, itemKey, playlistKey, playlistName } from '../../lib/playlist.ts';
import { type NamedProfile, type Profile, profilePart } from '../../lib/profile.ts';
import { comparable } from '../../lib/typed-names.ts';
import type { Item, Playlist } from '../../storage/views/user-data.ts';
import type { Acknowledgement } from '../replication/acknowledgement.ts';
import type { Change } from '../replication/transaction.ts';
import { place } from './placing.ts';
import type { Writer } from './writer.ts';

export interface Created {
  readonly id: PlaylistId;
  readonly items: readonly ItemId[];
  readonly acknowledged: Acknowledgement;
}

interface Insertion {
  readonly changes: readonly Change[];
  readonly added: readonly ItemId[];
}

export class Playlists {
  readonly #writer: Writer;

  constructor(writer: Writer) {
    this.#writer = writer;
  }

  /** @throws PeerError BAD_USAGE, EXISTS, NOT_FOUND */
  async create(owner: NamedProfile, { name: typed, songs }: { readonly name: string; readonly songs: readonly SongId[] }): Promise<Created> {
    const name = playlistName(typed);
    return this.#writer.inTurn(`playlists of ${profilePart(owner.profile)}`, async () => {
      this.#refuseTaken(owner.profile, name);
      await this.#writer.checkSongs(songs);
      const id = randomId<PlaylistId>();
      const { changes, added } = this.#insert(id, [], { songs, at: 0 });
      const record = { profile: owner.profile, name, born: this.#writer.lamport(), createdAt: this.#writer.wall(), rest: [] };
      const acknowledged = await this.#writer.write([...this.#writer.introduce(owner), { key: playlistKey(id), value: encodePlaylist(record) }, ...changes]);
      return { id, items: added, acknowledged };
    });
  }

  /** @param at so many items stand before them; by default all
   *  @throws PeerError NOT_FOUND, TOO_LARGE */
  add(id: PlaylistId, { songs, at }: { readonly songs: readonly SongId[]; readonly at?: number }): Promise<Omit<Created, 'id'>> {
    return this.#inTurn(id, async () => {
      await this.#writer.checkSongs(songs);
      const items = this.#writer.data.items(id);
      const { changes, added } = this.#insert(id, items, { songs, at: at ?? items.length });
      return { items: added, acknowledged: await this.#writer.write(changes) };
    });
  }

  /** @returns how many of them were still there
   *  @throws PeerError NOT_FOUND when none was */
  remove(id: PlaylistId, items: readonly ItemId[]): Promise<{ readonly removed: number; readonly acknowledged: Acknowledgement }> {
    return this.#inTurn(id, async () => {
      const there = new Set(this.#writer.data.items(id).map((item) => item.id));
      const removed = [...new Set(items)].filter((item) => there.has(item));
      if (removed.length === 0) throw new PeerError('NOT_FOUND', 'this is not in the playlist any more');
      const acknowledged = await this.#writer.write(removed.flatMap((item) => [{ key: itemKey(id, item), value: null }, { key: goneKey(id, item), value: GONE }]));
      return { removed: removed.length, acknowledged };
    });
  }

  /** @param to so many of the other items stand before it then
   *  @throws PeerError NOT_FOUND */
  move(id: PlaylistId, { item, to }: { readonly item: ItemId; readonly to: number }): Promise<Acknowledgement> {
    return this.#inTurn(id, async () => {
      const items = this.#writer.data.items(id);
      const moving = items.find((other) => other.id === item);
      if (!moving) throw new PeerError('NOT_FOUND', 'this is not in the playlist any more');
      const others = items.filter((other) => other.id !== item);
      const { positions: [position = moving.position], moved } = place(others, to, { count: 1 });
      return this.#writer.write([changeOf(id, { ...moving, position }), ...displaced(id, others, moved)]);
    });
  }

  /** @throws PeerError BAD_USAGE, EXISTS, NOT_FOUND */
  async rename(id: PlaylistId, typed: string): Promise<Acknowledgement> {
    const name = playlistName(typed);
    return this.#inTurn(id, (playlist) => {
      this.#refuseTaken(playlist.profile, name, id);
      return this.#writer.write([{ key: playlistKey(id), value: encodePlaylist({ ...playlist, name }) }]);
    });
  }

  /** Its items stay in their registers, of which nothing is shown any more.
   *  @throws PeerError NOT_FOUND */
  delete(id: PlaylistId): Promise<Acknowledgement> {
    return this.#inTurn(id, () => this.#writer.write([{ key: playlistKey(id), value: null }, { key: goneKey(id), value: GONE }]));
  }

  #inTurn<T>(id: PlaylistId, command: (playlist: Playlist) => Promise<T>): Promise<T> {
    return this.#writer.inTurn(playlistKey(id), async () => {
      const playlist = this.#writer.data.playlist(id);
      if (!playlist) throw new PeerError('NOT_FOUND', 'there is no such playlist, or not any more');
      return command(playlist);
    });
  }

  #insert(id: PlaylistId, items: readonly Item[], { songs, at }: { readonly songs: readonly SongId[]; readonly at: number }): Insertion {
    if (items.length + songs.length > PLAYLIST_ITEMS_MAX) {
      throw new PeerError('TOO_LARGE', `a playlist has at most ${PLAYLIST_ITEMS_MAX.toLocaleString('en')} songs`);
    }
    const { positions, moved } = place(items, at, { count: songs.length });
    const addedAt = this.#writer.wall();
    const added = songs.map((song, i) => ({ id: randomHalfId<ItemId>(), song, position: positions[i] as Item['position'], addedAt, rest: [] }));
    return { changes: [...added.map((item) => changeOf(id, item)), ...displaced(id, items, moved)], added: added.map((item) => item.id) };
  }

  #refuseTaken(profile: Profile, name: string, except?: PlaylistId): void {
    const taken = this.#writer.data.playlists(profile).find((other) => other.id !== except && comparable(other.shownName) === comparable(name));
    if (taken) throw new PeerError('EXISTS', `${taken.owner} has a playlist ${taken.shownName} already; choose another name`);
  }
}

const changeOf = (playlist: PlaylistId, item: Item): Change => ({ key: itemKey(playlist, item.id), value: encodeItem(item) });

const displaced = (playlist: PlaylistId, items: readonly Item[], moved: ReturnType<typeof place>['moved']): Change[] =>
  items.flatMap((item) => {
    const position = moved.get(item.id);
    return position === undefined ? [] : [changeOf(playlist, { ...item, position })];
  });
