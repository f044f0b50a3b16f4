// What people made, as the web address serves it: profiles by name, songs with what the catalog says of them. A song that no machine
// has any more stays where it is, as null, and is back with the machine.
import { codeOf, PeerError } from '../../lib/errors.ts';
import type { ItemId, PeerId, PlaylistId, SongId } from '../../lib/ids.ts';
import type { Rating } from '../../lib/marks.ts';
import { profileNamed } from '../../lib/profile.ts';
import type { Catalog } from '../../storage/catalog.ts';
import { toSongJson } from '../../storage/song-view.ts';
import type { Playlist } from '../../storage/views/user-data.ts';
import type { ApiUserData, Page, SavedSession } from '../http/api-user-data.ts';
import type {
  AddedJson,
  CreatedJson,
  PlaybackSessionJson,
  PlaylistJson,
  PlaylistPageJson,
  PlaysJson,
  ProfileJson,
  RatingsJson,
  RemovedJson,
  SongJson,
  StarsJson,
  WrittenJson,
} from '../http/user-schemas.ts';
import type { Acknowledgement } from '../replication/acknowledgement.ts';
import type { People } from './people.ts';

/** The part of a session that is needed here. */
export interface UserSession {
  readonly people: People;
  readonly catalog: Pick<Catalog, 'song'>;
  /** Is this machine here? */
  readonly lives: (peer: PeerId) => boolean;
}

const pageOf = <T>(all: readonly T[], { limit, offset }: Page): readonly T[] => all.slice(offset, offset + limit);

const written = async (write: Promise<Acknowledgement>): Promise<WrittenJson> => ({ acknowledged: await write });

const toPlaylistJson = ({ id, shownName, owner, songs, createdAt }: Playlist): PlaylistJson => ({ id, name: shownName, owner, songs, createdAtMs: createdAt });

export class UserDataApi implements ApiUserData {
  /** Waits for one that still starts. */
  readonly #session: () => Promise<UserSession>;

  constructor(session: () => Promise<UserSession>) {
    this.#session = session;
  }

  async profiles(): Promise<ProfileJson[]> {
    const { people } = await this.#settled();
    return people.data.profiles.map(({ profile, name }) => ({ id: profile, name }));
  }

  async playlists(profile?: string): Promise<PlaylistJson[]> {
    const { people } = await this.#settled();
    return people.data.playlists(profile === undefined ? undefined : profileNamed(profile).profile).map(toPlaylistJson);
  }

  async playlist(id: PlaylistId, page: Page): Promise<PlaylistPageJson> {
    const session = await this.#settled();
    const { people } = session;
    const playlist = people.data.playlist(id);
    if (!playlist) throw new PeerError('NOT_FOUND', 'there is no such playlist, or not any more');
    const items = [];
    for (const { id: item, song, addedAt } of pageOf(people.data.items(id), page)) {
      items.push({ id: item, songId: song, addedAtMs: addedAt, song: await songOf(session, song) });
    }
    return { ...toPlaylistJson(playlist), items };
  }

  async createPlaylist({ profile, name, songs }: { readonly profile: string; readonly name: string; readonly songs: readonly SongId[] }): Promise<CreatedJson> {
    const { id, items, acknowledged } = await this.#write(({ playlists }) => playlists.create(profileNamed(profile), { name, songs }));
    return { id, items: [...items], acknowledged };
  }

  async addToPlaylist(id: PlaylistId, what: { readonly songs: readonly SongId[]; readonly at?: number }): Promise<AddedJson> {
    const { items, acknowledged } = await this.#write(({ playlists }) => playlists.add(id, what));
    return { items: [...items], acknowledged };
  }

  async removeFromPlaylist(id: PlaylistId, items: readonly ItemId[]): Promise<RemovedJson> {
    return this.#write(({ playlists }) => playlists.remove(id, items));
  }

  async moveInPlaylist(id: PlaylistId, what: { readonly item: ItemId; readonly to: number }): Promise<WrittenJson> {
    return written(this.#write(({ playlists }) => playlists.move(id, what)));
  }

  async renamePlaylist(id: PlaylistId, name: string): Promise<WrittenJson> {
    return written(this.#write(({ playlists }) => playlists.rename(id, name)));
  }

  async deletePlaylist(id: PlaylistId): Promise<WrittenJson> {
    return written(this.#write(({ playlists }) => playlists.delete(id)));
  }

  async stars(profile: string, page: Page): Promise<StarsJson> {
    const session = await this.#settled();
    const { people } = session;
    const all = people.data.stars(profileNamed(profile).profile);
    const stars = [];
    for (const { song, at } of pageOf(all, page)) stars.push({ songId: song, starredAtMs: at, song: await songOf(session, song) });
    return { total: all.length, stars };
  }

  async star(profile: string, { songs, starred }: { readonly songs: readonly SongId[]; readonly starred: boolean }): Promise<WrittenJson> {
    return written(this.#write(({ marks }) => (starred ? marks.star(profileNamed(profile), songs) : marks.unstar(profileNamed(profile), songs))));
  }

  async ratings(profile: string, page: Page): Promise<RatingsJson> {
    const session = await this.#settled();
    const { people } = session;
    const all = people.data.ratings(profileNamed(profile).profile);
    const ratings = [];
    for (const { song, rating } of pageOf(all, page)) ratings.push({ songId: song, rating, song: await songOf(session, song) });
    return { total: all.length, ratings };
  }

  async rate(profile: string, { song, rating }: { readonly song: SongId; readonly rating: Rating | null }): Promise<WrittenJson> {
    return written(this.#write(({ marks }) => marks.rate(profileNamed(profile), song, rating)));
  }

  async plays(profile: string, page: Page): Promise<PlaysJson> {
    const session = await this.#settled();
    const { people } = session;
    const all = people.data.plays(profileNamed(profile).profile);
    const plays = [];
    for (const { song, plays: count, lastAt } of pageOf(all, page)) plays.push({ songId: song, plays: count, lastPlayedAtMs: lastAt, song: await songOf(session, song) });
    return { total: all.length, plays };
  }

  async played(profile: string, { song, ...play }: { readonly song: SongId; readonly at?: number; readonly listenedMs: number }): Promise<WrittenJson> {
    return written(this.#write(({ listening }) => listening.played(profileNamed(profile), song, play)));
  }

  async playbackSessions(profile: string): Promise<PlaybackSessionJson[]> {
    const { people } = await this.#settled();
    const sessions = await people.data.sessions(profileNamed(profile).profile);
    return [...sessions].map(([device, { queue, at, rest: _, ...session }]) => ({ device, queue: [...queue], ...session, savedAtMs: at }));
  }

  async savePlaybackSession(profile: string, { device, ...session }: SavedSession): Promise<WrittenJson> {
    if (session.index >= Math.max(1, session.queue.length)) throw new PeerError('BAD_USAGE', 'the index is beyond the queue');
    return written(this.#write(({ listening }) => listening.save(profileNamed(profile), device, session)));
  }

  /** What a session that ends refuses has not been written: the next session is asked. */
  async #write<T>(command: (people: People) => Promise<T>): Promise<T> {
    const session = await this.#session();
    try {
      return await command(session.people);
    } catch (error) {
      if (codeOf(error) !== 'CLOSED') throw error;
      const next = await this.#session();
      if (next === session) throw error;
      return command(next.people);
    }
  }

  async #settled(): Promise<UserSession> {
    const session = await this.#session();
    await session.people.data.settled();
    return session;
  }
}

async function songOf({ catalog, lives }: UserSession, id: SongId): Promise<SongJson | null> {
  const song = await catalog.song(id);
  return song ? toSongJson(song, lives) : null;
}
