// The addresses of what people make. Whoever may listen may also write: on an open network a profile is a name and no secret.
import type { DeviceId, ItemId, PlaylistId, SongId } from '../../lib/ids.ts';
import { HTTP_PAGE_SONGS_MAX } from '../../lib/limits.ts';
import type { Rating } from '../../lib/marks.ts';
import type { ApiUserData, Page } from './api-user-data.ts';
import type { Checked, Route } from './routes.ts';
import {
  AddBodySchema,
  AddedSchema,
  CreateBodySchema,
  CreatedSchema,
  MoveBodySchema,
  OfProfileQuerySchema,
  PageQuerySchema,
  PlaybackSessionBodySchema,
  PlaybackSessionsSchema,
  PlayedBodySchema,
  PlaylistPageSchema,
  PlaylistParamsSchema,
  PlaylistsSchema,
  PlaysSchema,
  ProfilePageQuerySchema,
  ProfileQuerySchema,
  ProfilesSchema,
  RateBodySchema,
  RatingsSchema,
  RemoveBodySchema,
  RemovedSchema,
  RenameBodySchema,
  StarBodySchema,
  StarsSchema,
  WrittenSchema,
} from './user-schemas.ts';

const pageOf = ({ limit = HTTP_PAGE_SONGS_MAX, offset = 0 }: Checked['query']): Page => ({ limit: limit as number, offset: offset as number });

export function userRoutesOf(user: ApiUserData): readonly Route[] {
  const playlist = ({ params }: Checked): PlaylistId => params.id as PlaylistId;
  const profile = ({ query, body }: Checked): string => (query.profile ?? body.profile) as string;
  return [
    {
      method: 'GET',
      path: '/api/profiles',
      summary: 'who listens here, by name',
      audience: 'listener',
      answer: ProfilesSchema,
      handle: () => user.profiles(),
    },
    {
      method: 'GET',
      path: '/api/playlists',
      summary: 'the playlists of a profile, or of everybody',
      audience: 'listener',
      query: ProfileQuerySchema,
      answer: PlaylistsSchema,
      handle: ({ query }) => user.playlists(query.profile as string | undefined),
    },
    {
      method: 'POST',
      path: '/api/playlists',
      summary: 'makes a playlist',
      audience: 'listener',
      body: CreateBodySchema,
      answer: CreatedSchema,
      handle: (checked) => user.createPlaylist({ profile: profile(checked), name: checked.body.name as string, songs: (checked.body.songs ?? []) as SongId[] }),
    },
    {
      method: 'GET',
      path: '/api/playlists/:id',
      summary: 'one playlist with its songs, page by page',
      audience: 'listener',
      params: PlaylistParamsSchema,
      query: PageQuerySchema,
      answer: PlaylistPageSchema,
      handle: (checked) => user.playlist(playlist(checked), pageOf(checked.query)),
    },
    {
      method: 'POST',
      path: '/api/playlists/:id/add',
      summary: 'puts songs into a playlist',
      audience: 'listener',
      params: PlaylistParamsSchema,
      body: AddBodySchema,
      answer: AddedSchema,
      handle: (checked) =>
        user.addToPlaylist(playlist(checked), { songs: checked.body.songs as SongId[], ...(checked.body.at === undefined ? {} : { at: checked.body.at as number }) }),
    },
    {
      method: 'POST',
      path: '/api/playlists/:id/remove',
      summary: 'takes items out of a playlist',
      audience: 'listener',
      params: PlaylistParamsSchema,
      body: RemoveBodySchema,
      answer: RemovedSchema,
      handle: (checked) => user.removeFromPlaylist(playlist(checked), checked.body.items as ItemId[]),
    },
    {
      method: 'POST',
      path: '/api/playlists/:id/move',
      summary: 'moves an item within its playlist',
      audience: 'listener',
      params: PlaylistParamsSchema,
      body: MoveBodySchema,
      answer: WrittenSchema,
      handle: (checked) => user.moveInPlaylist(playlist(checked), { item: checked.body.item as ItemId, to: checked.body.to as number }),
    },
    {
      method: 'POST',
      path: '/api/playlists/:id/rename',
      summary: 'gives a playlist another name',
      audience: 'listener',
      params: PlaylistParamsSchema,
      body: RenameBodySchema,
      answer: WrittenSchema,
      handle: (checked) => user.renamePlaylist(playlist(checked), checked.body.name as string),
    },
    {
      method: 'POST',
      path: '/api/playlists/:id/delete',
      summary: 'deletes a playlist, for everybody and for ever',
      audience: 'listener',
      params: PlaylistParamsSchema,
      answer: WrittenSchema,
      handle: (checked) => user.deletePlaylist(playlist(checked)),
    },
    {
      method: 'GET',
      path: '/api/stars',
      summary: 'starred songs of a profile, the last one first',
      audience: 'listener',
      query: ProfilePageQuerySchema,
      answer: StarsSchema,
      handle: (checked) => user.stars(profile(checked), pageOf(checked.query)),
    },
    {
      method: 'POST',
      path: '/api/stars',
      summary: 'stars songs, or takes their stars away',
      audience: 'listener',
      body: StarBodySchema,
      answer: WrittenSchema,
      handle: (checked) => user.star(profile(checked), { songs: checked.body.songs as SongId[], starred: checked.body.starred as boolean }),
    },
    {
      method: 'GET',
      path: '/api/ratings',
      summary: 'rated songs of a profile, the best first',
      audience: 'listener',
      query: ProfilePageQuerySchema,
      answer: RatingsSchema,
      handle: (checked) => user.ratings(profile(checked), pageOf(checked.query)),
    },
    {
      method: 'POST',
      path: '/api/ratings',
      summary: 'rates a song',
      audience: 'listener',
      body: RateBodySchema,
      answer: WrittenSchema,
      handle: (checked) => user.rate(profile(checked), { song: checked.body.song as SongId, rating: checked.body.rating as Rating | null }),
    },
    {
      method: 'GET',
      path: '/api/plays',
      summary: 'how often a profile played what, the most played first',
      audience: 'listener',
      query: ProfilePageQuerySchema,
      answer: PlaysSchema,
      handle: (checked) => user.plays(profile(checked), pageOf(checked.query)),
    },
    {
      method: 'POST',
      path: '/api/plays',
      summary: 'says that a song was listened to',
      audience: 'listener',
      body: PlayedBodySchema,
      answer: WrittenSchema,
      handle: (checked) => {
        const { song, listenedMs, at } = checked.body;
        return user.played(profile(checked), { song: song as SongId, listenedMs: listenedMs as number, ...(at === undefined ? {} : { at: at as number }) });
      },
    },
    {
      method: 'GET',
      path: '/api/playback-sessions',
      summary: 'what the devices of a profile play: queue and place in it',
      audience: 'listener',
      query: OfProfileQuerySchema,
      answer: PlaybackSessionsSchema,
      handle: (checked) => user.playbackSessions(profile(checked)),
    },
    {
      method: 'POST',
      path: '/api/playback-sessions',
      summary: 'says what a device plays',
      audience: 'listener',
      body: PlaybackSessionBodySchema,
      answer: WrittenSchema,
      handle: (checked) => {
        const { device, queue, index, positionMs, playing } = checked.body;
        const session = { device: device as DeviceId, queue: queue as SongId[], index: index as number, positionMs: positionMs as number, playing: playing as boolean };
        return user.savePlaybackSession(profile(checked), session);
      },
    },
  ];
}
