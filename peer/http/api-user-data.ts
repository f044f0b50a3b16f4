// What the HTTP server needs of the peer for what people made: playlists, stars, ratings, plays, playback sessions. Profiles are named
// as people type them. All of it throws BAD_USAGE for a name that is none, and NOT_FOUND for what is not there, or not any more.
import type { DeviceId, ItemId, PlaylistId, SongId } from '../../lib/ids.ts';
import type { Rating } from '../../lib/marks.ts';
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
  StarsJson,
  WrittenJson,
} from './user-schemas.ts';

export interface Page {
  readonly limit: number;
  readonly offset: number;
}

export interface SavedSession {
  readonly device: DeviceId;
  readonly queue: readonly SongId[];
  /** Into the queue. */
  readonly index: number;
  readonly positionMs: number;
  readonly playing: boolean;
}

export interface ApiUserData {
  profiles(): Promise<ProfileJson[]>;

  /** Of one profile, or of all. */
  playlists(profile?: string): Promise<PlaylistJson[]>;
  playlist(id: PlaylistId, page: Page): Promise<PlaylistPageJson>;
  /** Throws EXISTS when the profile has one of that name. */
  createPlaylist(wanted: { readonly profile: string; readonly name: string; readonly songs: readonly SongId[] }): Promise<CreatedJson>;
  /** `at`: so many items stand before them; by default all. */
  addToPlaylist(id: PlaylistId, what: { readonly songs: readonly SongId[]; readonly at?: number }): Promise<AddedJson>;
  removeFromPlaylist(id: PlaylistId, items: readonly ItemId[]): Promise<RemovedJson>;
  /** `to`: so many of the other items stand before it then. */
  moveInPlaylist(id: PlaylistId, what: { readonly item: ItemId; readonly to: number }): Promise<WrittenJson>;
  /** Throws EXISTS. */
  renamePlaylist(id: PlaylistId, name: string): Promise<WrittenJson>;
  deletePlaylist(id: PlaylistId): Promise<WrittenJson>;

  /** Starred last first. */
  stars(profile: string, page: Page): Promise<StarsJson>;
  star(profile: string, what: { readonly songs: readonly SongId[]; readonly starred: boolean }): Promise<WrittenJson>;
  /** Best first. */
  ratings(profile: string, page: Page): Promise<RatingsJson>;
  rate(profile: string, what: { readonly song: SongId; readonly rating: Rating | null }): Promise<WrittenJson>;

  /** Most played first. */
  plays(profile: string, page: Page): Promise<PlaysJson>;
  /** `at`: when it began, wall clock; by default now. */
  played(profile: string, play: { readonly song: SongId; readonly at?: number; readonly listenedMs: number }): Promise<WrittenJson>;

  playbackSessions(profile: string): Promise<PlaybackSessionJson[]>;
  /** Replaces what the device said before. */
  savePlaybackSession(profile: string, session: SavedSession): Promise<WrittenJson>;
}
