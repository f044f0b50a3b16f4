// The JSON that goes over HTTP, written once as plain JSON Schema: the static types, the checks of what comes in and
// /api/openapi.json all derive from these. Literals, and TypeBox only for its types: importing its builder would cost
// every start 120 ms and 20 MB.
import type { XStatic } from 'typebox/schema';
import { COPIES_MAX, FILE_PROBLEMS_MAX, HTTP_PAGE_SONGS_MAX, QUERY_CHARACTERS_MAX } from '../../lib/limits.ts';
import { ROLES } from '../../lib/roles.ts';

export const ID_PATTERN = '^[0-9a-f]{32}$';

const text = { type: 'string' } as const;
const count = { type: 'integer', minimum: 0 } as const;
const milliseconds = { anyOf: [{ type: 'number', minimum: 0 }, { type: 'null' }] } as const;
const flag = { type: 'boolean' } as const;
const id = { type: 'string', pattern: ID_PATTERN } as const;
const ids = { type: 'array', items: id } as const;
const holder = { anyOf: [id, { type: 'null' }] } as const;
const role = { enum: ROLES } as const;

export const ErrorSchema = {
  type: 'object',
  required: ['error'],
  properties: { error: { type: 'object', required: ['code', 'message'], properties: { code: text, message: text } } },
} as const;

export const SongSchema = {
  type: 'object',
  required: [
    'id', 'title', 'artist', 'album', 'albumArtist', 'track', 'disc', 'year', 'genre', 'durationMs', 'codec', 'bitrate',
    'sizeBytes', 'providers', 'files',
  ],
  properties: {
    id,
    title: text,
    artist: text,
    album: text,
    albumArtist: text,
    track: count,
    disc: count,
    year: count,
    genre: { type: 'array', items: text },
    durationMs: count,
    codec: text,
    bitrate: { type: 'integer', minimum: 0, description: 'bits per second' },
    sizeBytes: count,
    machines: { ...count, description: 'machines here that hold it whole, and would play it if all others were gone' },
    providers: { ...ids, description: 'peers that hold the whole song' },
    files: {
      type: 'array',
      items: {
        type: 'object',
        required: ['id', 'sizeBytes', 'providers'],
        properties: { id, sizeBytes: count, providers: ids },
      },
    },
  },
} as const;
export type SongJson = XStatic<typeof SongSchema>;

export const SearchSchema = {
  type: 'object',
  required: ['total', 'songs'],
  properties: {
    total: { anyOf: [count, { type: 'null' }], description: 'songs that match, when that is known' },
    songs: { type: 'array', items: SongSchema },
  },
} as const;
export type SearchJson = XStatic<typeof SearchSchema>;

/** How safe the music is, in sum. */
export const safety = {
  wanted: { type: 'integer', minimum: 1, maximum: COPIES_MAX, description: 'machines that each song is to be on' },
  songs: { type: 'object', additionalProperties: count, description: 'songs by the number of machines here that hold them whole' },
  toDo: { ...count, description: 'songs that are on fewer machines than is wanted and could be on more' },
  missing: { ...count, description: 'songs that no machine holds whole that is here' },
} as const;

const ApartSchema = {
  type: 'array',
  items: { type: 'object', required: ['id', 'peer', 'name'], properties: { id, peer: id, name: text } },
  description: 'networks of the same name that hold user data of their own, and a peer of each; joining by id unites them with this one',
} as const;

const OtherVersionSchema = {
  type: 'object',
  required: ['peer', 'name', 'address', 'version'],
  properties: {
    peer: holder,
    name: { ...text, description: 'empty when unknown' },
    address: text,
    version: { anyOf: [count, { type: 'null' }], description: 'null: another than ours, which one is not known' },
  },
} as const;
export type OtherVersionJson = XStatic<typeof OtherVersionSchema>;

const MemberSchema = {
  type: 'object',
  required: ['id', 'name', 'state', 'address', 'roles', 'lastHeardMs', 'inSync'],
  properties: {
    id,
    name: text,
    state: { enum: ['alive', 'suspect', 'dead', 'left'] },
    address: text,
    roles: { type: 'array', items: text },
    lastHeardMs: count,
    inSync: flag,
    leaving: { ...flag, description: 'whether it has said that it will be switched off' },
    apart: { ...holder, description: 'the id of its network, if that is another of the same name: nothing passes to or from it' },
  },
} as const;

const token = { anyOf: [text, { type: 'null' }], description: "the holder's fencing token, as term.coordinator.number; null while that is not known here" } as const;

const LeaseSchema = {
  anyOf: [
    {
      type: 'object',
      required: ['peer', 'token', 'heldMs', 'heardMs'],
      properties: {
        peer: id,
        token,
        heldMs: { ...count, description: 'since this peer holds the role, as far as is known here' },
        heardMs: { ...count, description: 'since it was last heard to hold it; 0 of this peer itself' },
      },
    },
    { type: 'null' },
  ],
} as const;

const PlaybackSchema = {
  type: 'object',
  required: ['plays', 'failures', 'firstByteMs', 'stalls', 'stalledMs', 'bytes', 'hedges', 'wrongChunks', 'providers'],
  properties: {
    plays: { ...count, description: "players' requests that got sound, a jump within a song among them; downloads of original files are none" },
    failures: { ...count, description: 'plays that got nothing, or not all, for want of a machine that has it' },
    firstByteMs: {
      type: 'object',
      required: ['p50', 'p99'],
      properties: { p50: milliseconds, p99: milliseconds },
      description: 'from the request to the first byte of sound, of the last thousand plays; null before the first',
    },
    stalls: { ...count, description: 'times that a player which plays from the first byte on would have fallen silent, waiting for this machine' },
    stalledMs: { ...count, description: 'how long it would have been silent in sum' },
    bytes: {
      type: 'object',
      required: ['own', 'cache', 'peers'],
      properties: { own: count, cache: count, peers: count },
      description: 'of sound that was read here, from own music folders, the cache and other peers',
    },
    hedges: { ...count, description: 'late chunks that were asked of a second provider' },
    wrongChunks: { ...count, description: 'chunks that were not what was asked for; they were not played' },
    providers: {
      type: 'array',
      items: { type: 'object', required: ['id', 'name', 'bytesPerSecond'], properties: { id, name: text, bytesPerSecond: count } },
      description: 'those that were asked lately, with the rate that was measured, fastest first',
    },
  },
  description: 'since this peer started',
} as const;

export const StatusSchema = {
  type: 'object',
  required: ['peer', 'network', 'members', 'coordinator', 'election', 'roles', 'leases', 'gatewayName', 'catalog', 'cache', 'replication'],
  properties: {
    peer: {
      type: 'object',
      required: ['id', 'name', 'uptimeMs'],
      properties: { id, name: text, uptimeMs: count, leaving: { ...flag, description: 'whether this machine has said that it will be switched off' } },
    },
    network: {
      type: 'object',
      required: ['name', 'id', 'open', 'mode'],
      properties: {
        name: text,
        id,
        open: flag,
        mode: { enum: ['multicast', 'names', 'unicast'] },
        apart: ApartSchema,
        version: { ...count, description: 'of the protocol between peers' },
        otherVersions: { type: 'array', items: OtherVersionSchema, description: 'peers of this network that are here and speak another version; as they say themselves, nothing of it is proven' },
        dropped: { type: 'object', additionalProperties: count, description: 'what came from outside and was not taken, by reason' },
      },
    },
    members: { type: 'array', items: MemberSchema, description: 'the others' },
    coordinator: {
      anyOf: [
        {
          type: 'object',
          required: ['id', 'term', 'ageMs'],
          properties: { id, term: count, ageMs: { ...count, description: 'since it was heard, here or by somebody who said so; 0 of this peer itself' } },
        },
        { type: 'null' },
      ],
    },
    election: {
      enum: ['listening', 'electing', 'following', 'coordinating'],
      description: 'listening: at the start, for whom there is; electing: there is no coordinator',
    },
    roles: {
      type: 'object',
      required: ['gateway', 'users', 'music', 'recommendations'],
      properties: { gateway: holder, users: holder, music: holder, recommendations: holder },
    },
    leases: {
      type: 'object',
      required: ['gateway', 'users', 'music', 'recommendations'],
      properties: { gateway: LeaseSchema, users: LeaseSchema, music: LeaseSchema, recommendations: LeaseSchema },
      description: 'who holds which role, with the token and since when',
    },
    gatewayName: { anyOf: [text, { type: 'null' }], description: "the name of the network's web address, as spotify-peer.local; null while nobody has it" },
    catalog: {
      type: 'object',
      required: ['songs', 'albums', 'artists', 'ownSongs', 'scanning'],
      properties: {
        songs: count,
        albums: count,
        artists: count,
        ownSongs: count,
        scanning: flag,
        scan: {
          anyOf: [
            { type: 'object', required: ['done', 'total'], properties: { done: count, total: count } },
            { type: 'null' },
          ],
          description: 'files read by the scan under way, of those that it found',
        },
        problems: { ...count, description: 'files here that cannot be shared; /api/files says why' },
      },
    },
    copies: {
      anyOf: [
        { type: 'object', required: ['wanted', 'songs', 'toDo', 'missing'], properties: { ...safety, ageMs: { ...count, description: 'since it was counted, where nothing was counted for this answer' } } },
        { type: 'null' },
      ],
      description: 'as counted last; null until all songs were counted once',
    },
    cache: { type: 'object', required: ['bytes', 'bytesMax', 'songs'], properties: { bytes: count, bytesMax: count, songs: count } },
    playback: PlaybackSchema,
    replication: {
      type: 'object',
      required: ['digest', 'lamport', 'behind'],
      properties: {
        digest: text,
        lamport: count,
        behind: { ...count, description: 'operations that others wrote and that are still to come' },
        localOnly: { ...count, description: 'writes of people since the start that no other peer confirmed in time' },
      },
    },
    sample: {
      anyOf: [
        { type: 'object', required: ['title', 'artist', 'durationMs'], properties: { title: text, artist: text, durationMs: count } },
        { type: 'null' },
      ],
      description: 'the generated sample, offered while there is no music at all; it plays at /api/sample',
    },
  },
} as const;
export type StatusJson = XStatic<typeof StatusSchema>;
export type MemberJson = StatusJson['members'][number];
export type PlaybackJson = XStatic<typeof PlaybackSchema>;

export const RolesSchema = {
  type: 'array',
  items: {
    type: 'object',
    required: ['role', 'holder', 'name', 'token', 'heldMs', 'healthy', 'why'],
    properties: {
      role,
      holder,
      name: { ...text, description: "the holder's; empty without one" },
      token,
      heldMs: { anyOf: [count, { type: 'null' }], description: 'since this peer holds the role, as far as is known here' },
      healthy: { anyOf: [flag, { type: 'null' }], description: 'as the holder says; null without one' },
      why: { anyOf: [text, { type: 'null' }], description: 'what is wrong, or why that could not be asked' },
      url: { ...text, description: 'of the gateway: what people open' },
    },
  },
} as const;
export type RoleJson = XStatic<typeof RolesSchema>[number];

export const FilesSchema = {
  type: 'array',
  maxItems: FILE_PROBLEMS_MAX,
  items: { type: 'object', required: ['path', 'reason'], properties: { path: text, reason: text } },
} as const;
export type FileProblem = XStatic<typeof FilesSchema>[number];

export const SessionSchema = {
  type: 'object',
  required: ['open', 'owner'],
  properties: {
    open: { ...flag, description: 'whether everybody on this LAN may listen' },
    owner: { ...flag, description: "whether this request brought the machine's token" },
  },
} as const;

export const NetworkSchema = {
  type: 'object',
  required: ['name', 'id', 'open', 'code', 'apart'],
  properties: {
    name: text,
    id,
    open: flag,
    code: { anyOf: [text, { type: 'null' }], description: 'what others join with; null on an open network' },
    apart: ApartSchema,
    copies: { ...safety.wanted },
    united: { ...flag, description: 'joining made another network and this one one, instead of changing networks' },
  },
} as const;
export type NetworkJson = XStatic<typeof NetworkSchema>;

export const SearchQuerySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    q: { type: 'string', maxLength: QUERY_CHARACTERS_MAX, description: 'words; without them, everything by artist and album' },
    limit: { type: 'integer', minimum: 1, maximum: HTTP_PAGE_SONGS_MAX },
    offset: { type: 'integer', minimum: 0 },
  },
} as const;

export const SongParamsSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['id'],
  properties: { id: { type: 'string', pattern: '^[0-9a-f]{8,32}$', description: 'a song, or the start of its id where that is enough' } },
} as const;

export const AudioQuerySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    original: { ...flag, description: 'the exact bytes of the file, instead of the form to play' },
    file: { ...id, description: 'one file of the song, by its id' },
    next: { ...id, description: 'the song that its player plays next: it is fetched before this one ends' },
  },
} as const;

export const PlayBodySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['song'],
  properties: { song: id, file: id, original: flag, next: id },
} as const;

export const PlayUrlSchema = {
  type: 'object',
  required: ['url', 'expiresMs'],
  properties: { url: { ...text, description: 'a path on this server, for one player' }, expiresMs: count },
} as const;

export const LoginLinkSchema = {
  type: 'object',
  required: ['url', 'expiresMs'],
  properties: { url: { ...text, description: 'a path on this server, good for one use' }, expiresMs: count },
} as const;

export const LoginQuerySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['token'],
  properties: { token: { type: 'string', maxLength: 128 } },
} as const;

export const PlayParamsSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['key'],
  properties: { key: { type: 'string', pattern: '^[0-9a-f]{48}$' } },
} as const;

export const CloseBodySchema = {
  type: 'object',
  additionalProperties: false,
  properties: { newKey: { ...flag, description: 'another key for a network that is closed already' } },
} as const;

export const JoinBodySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['code'],
  properties: { code: { type: 'string', minLength: 1, maxLength: QUERY_CHARACTERS_MAX } },
} as const;

export const ForgetBodySchema = { type: 'object', additionalProperties: false, required: ['peer'], properties: { peer: id } } as const;

export const OkSchema = { type: 'object', required: ['ok'], properties: { ok: { const: true } } } as const;
