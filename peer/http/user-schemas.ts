// The JSON of what people make, beside schemas.ts and by its rules: static types, checks of what comes in and /api/openapi.json
// derive from these.
import type { XStatic } from 'typebox/schema';
import { HTTP_PAGE_SONGS_MAX, HTTP_SONGS_MAX, PLAYLIST_ITEMS_MAX, PLAYLIST_NAME_CHARACTERS_MAX, PROFILE_CHARACTERS_MAX, QUEUE_SONGS_MAX } from '../../lib/limits.ts';
import { SongSchema } from './schemas.ts';

export type { SongJson } from './schemas.ts';

const text = { type: 'string' } as const;
const count = { type: 'integer', minimum: 0 } as const;
const time = { ...count, description: 'wall clock, milliseconds since 1970; for display only' } as const;
const id = { type: 'string', pattern: '^[0-9a-f]{32}$' } as const;
const itemId = { type: 'string', pattern: '^[0-9a-f]{16}$' } as const;
const song = { anyOf: [SongSchema, { type: 'null' }], description: 'null while no machine that is known has it' } as const;
const acknowledged = { enum: ['replicated', 'local only'], description: 'whether another living peer has it on its disk too' } as const;

/** A name is tidied before it is measured, so more than its bound may come in. */
const profile = { type: 'string', minLength: 1, maxLength: 4 * PROFILE_CHARACTERS_MAX, description: 'a name; letters of either case are the same' } as const;
const name = { type: 'string', minLength: 1, maxLength: 4 * PLAYLIST_NAME_CHARACTERS_MAX } as const;
const songs = { type: 'array', items: id, maxItems: HTTP_SONGS_MAX } as const;
const place = { type: 'integer', minimum: 0, maximum: PLAYLIST_ITEMS_MAX } as const;

// --- answers

export const ProfilesSchema = {
  type: 'array',
  items: {
    type: 'object',
    required: ['id', 'name'],
    properties: { id: { ...text, description: 'the name in the form that compares' }, name: { ...text, description: 'as its owner typed it' } },
  },
} as const;
export type ProfileJson = XStatic<typeof ProfilesSchema>[number];

const playlistProperties = { id, name: { ...text, description: 'no two of an owner are equal' }, owner: text, songs: count, createdAtMs: time } as const;

export const PlaylistsSchema = {
  type: 'array',
  items: { type: 'object', required: ['id', 'name', 'owner', 'songs', 'createdAtMs'], properties: playlistProperties },
} as const;
export type PlaylistJson = XStatic<typeof PlaylistsSchema>[number];

export const PlaylistPageSchema = {
  type: 'object',
  required: ['id', 'name', 'owner', 'songs', 'createdAtMs', 'items'],
  properties: {
    ...playlistProperties,
    items: {
      type: 'array',
      items: { type: 'object', required: ['id', 'songId', 'addedAtMs', 'song'], properties: { id: itemId, songId: id, addedAtMs: time, song } },
      description: 'in order, from `offset` on',
    },
  },
} as const;
export type PlaylistPageJson = XStatic<typeof PlaylistPageSchema>;
export type ItemJson = PlaylistPageJson['items'][number];

export const WrittenSchema = { type: 'object', required: ['acknowledged'], properties: { acknowledged } } as const;
export type WrittenJson = XStatic<typeof WrittenSchema>;

export const CreatedSchema = {
  type: 'object',
  required: ['id', 'items', 'acknowledged'],
  properties: { id, items: { type: 'array', items: itemId }, acknowledged },
} as const;
export type CreatedJson = XStatic<typeof CreatedSchema>;

export const AddedSchema = { type: 'object', required: ['items', 'acknowledged'], properties: { items: { type: 'array', items: itemId }, acknowledged } } as const;
export type AddedJson = XStatic<typeof AddedSchema>;

export const RemovedSchema = {
  type: 'object',
  required: ['removed', 'acknowledged'],
  properties: { removed: { ...count, description: 'how many of them were still there' }, acknowledged },
} as const;
export type RemovedJson = XStatic<typeof RemovedSchema>;

export const StarsSchema = {
  type: 'object',
  required: ['total', 'stars'],
  properties: {
    total: count,
    stars: { type: 'array', items: { type: 'object', required: ['songId', 'starredAtMs', 'song'], properties: { songId: id, starredAtMs: time, song } } },
  },
} as const;
export type StarsJson = XStatic<typeof StarsSchema>;
export type StarJson = StarsJson['stars'][number];

export const RatingsSchema = {
  type: 'object',
  required: ['total', 'ratings'],
  properties: {
    total: count,
    ratings: {
      type: 'array',
      items: { type: 'object', required: ['songId', 'rating', 'song'], properties: { songId: id, rating: { type: 'integer', minimum: 1, maximum: 5 }, song } },
    },
  },
} as const;
export type RatingsJson = XStatic<typeof RatingsSchema>;

export const PlaysSchema = {
  type: 'object',
  required: ['total', 'plays'],
  properties: {
    total: { ...count, description: 'songs' },
    plays: {
      type: 'array',
      items: { type: 'object', required: ['songId', 'plays', 'lastPlayedAtMs', 'song'], properties: { songId: id, plays: count, lastPlayedAtMs: time, song } },
    },
  },
} as const;
export type PlaysJson = XStatic<typeof PlaysSchema>;

const sessionProperties = {
  device: { ...id, description: 'drawn by the device itself' },
  queue: { type: 'array', items: id, maxItems: QUEUE_SONGS_MAX },
  index: { ...count, description: 'of the song in the queue' },
  positionMs: count,
  playing: { type: 'boolean' },
} as const;

export const PlaybackSessionsSchema = {
  type: 'array',
  items: { type: 'object', required: ['device', 'queue', 'index', 'positionMs', 'playing', 'savedAtMs'], properties: { ...sessionProperties, savedAtMs: time } },
} as const;
export type PlaybackSessionJson = XStatic<typeof PlaybackSessionsSchema>[number];

// --- what comes in

const page = { limit: { type: 'integer', minimum: 1, maximum: HTTP_PAGE_SONGS_MAX }, offset: count } as const;

export const ProfileQuerySchema = { type: 'object', additionalProperties: false, properties: { profile } } as const;
export const OfProfileQuerySchema = { type: 'object', additionalProperties: false, required: ['profile'], properties: { profile } } as const;
export const ProfilePageQuerySchema = { type: 'object', additionalProperties: false, required: ['profile'], properties: { profile, ...page } } as const;
export const PageQuerySchema = { type: 'object', additionalProperties: false, properties: page } as const;
export const PlaylistParamsSchema = { type: 'object', additionalProperties: false, required: ['id'], properties: { id } } as const;

export const CreateBodySchema = { type: 'object', additionalProperties: false, required: ['profile', 'name'], properties: { profile, name, songs } } as const;

export const AddBodySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['songs'],
  properties: { songs: { ...songs, minItems: 1 }, at: { ...place, description: 'so many items stand before them; by default all' } },
} as const;

export const RemoveBodySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['items'],
  properties: { items: { type: 'array', items: itemId, minItems: 1, maxItems: HTTP_SONGS_MAX, description: 'ids, because numbers change while others edit' } },
} as const;

export const MoveBodySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['item', 'to'],
  properties: { item: itemId, to: { ...place, description: 'so many of the other items stand before it then' } },
} as const;

export const RenameBodySchema = { type: 'object', additionalProperties: false, required: ['name'], properties: { name } } as const;

export const StarBodySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['profile', 'songs', 'starred'],
  properties: { profile, songs: { ...songs, minItems: 1 }, starred: { type: 'boolean' } },
} as const;

export const RateBodySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['profile', 'song', 'rating'],
  properties: { profile, song: id, rating: { type: ['integer', 'null'], minimum: 1, maximum: 5, description: 'null takes it back' } },
} as const;

export const PlayedBodySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['profile', 'song', 'listenedMs'],
  properties: { profile, song: id, listenedMs: count, at: { ...time, description: 'when it began, milliseconds since 1970; by default now' } },
} as const;

export const PlaybackSessionBodySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['profile', 'device', 'queue', 'index', 'positionMs', 'playing'],
  properties: { profile, ...sessionProperties },
} as const;
