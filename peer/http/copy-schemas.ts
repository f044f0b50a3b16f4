// The JSON of copies: how safe the music is, what is kept here, and a machine that leaves. As in schemas.ts.
import type { XStatic } from 'typebox/schema';
import { COPIES_MAX, PINS_MAX, VANISHING_SONGS_MAX } from '../../lib/limits.ts';
import { ID_PATTERN, safety } from './schemas.ts';

const text = { type: 'string' } as const;
const count = { type: 'integer', minimum: 0 } as const;
const flag = { type: 'boolean' } as const;
const id = { type: 'string', pattern: ID_PATTERN } as const;

const vanishing = {
  total: count,
  bytes: count,
  songs: {
    type: 'array',
    maxItems: VANISHING_SONGS_MAX,
    items: { type: 'object', required: ['id', 'title', 'artist'], properties: { id, title: text, artist: text } },
    description: 'the first of them, by title',
  },
} as const;

const scanning = { ...flag, description: 'whether the music folders of this machine are still being read: what was not read yet is not counted' } as const;

const foldersMissing = {
  type: 'array',
  items: { type: 'object', required: ['id', 'name'], properties: { id, name: text } },
  description: 'machines here that say that a music folder of theirs is missing: what they have there counts as theirs, and cannot be played',
} as const;

export const SafeQuerySchema = {
  type: 'object',
  additionalProperties: false,
  properties: { peer: { ...id, description: 'whose songs nobody else has' } },
} as const;

export const SafeSchema = {
  type: 'object',
  required: ['wanted', 'songs', 'toDo', 'missing', 'scanning', 'foldersMissing', 'vanishing'],
  properties: {
    ...safety,
    scanning,
    foldersMissing,
    vanishing: {
      anyOf: [
        {
          type: 'object',
          required: ['total', 'bytes', 'songs', 'scanning'],
          properties: {
            ...vanishing,
            scanning: { anyOf: [flag, { type: 'null' }], description: 'whether its music folders are still being read: what was not read yet would vanish too; null when it is here and does not say' },
          },
        },
        { type: 'null' },
      ],
      description: 'what would be gone with the peer that was asked about; null when none was',
    },
  },
} as const;
export type SafeJson = XStatic<typeof SafeSchema>;

export const PinBodySchema = { type: 'object', additionalProperties: false, required: ['song', 'pinned'], properties: { song: id, pinned: flag } } as const;

const state = {
  enum: ['own', 'here', 'coming', 'waiting', 'gone'],
  description: 'own: in a music folder of this machine; here: in its cache; coming: still to be fetched; waiting: tried in vain, and tried again; gone: whoever had the file has deleted it',
} as const;

export const PinnedSchema = {
  type: 'object',
  required: ['pinned', 'state'],
  properties: { pinned: flag, state: { anyOf: [state, { type: 'null' }] } },
} as const;
export type PinnedJson = XStatic<typeof PinnedSchema>;

export const PinsSchema = {
  type: 'array',
  maxItems: PINS_MAX,
  items: {
    type: 'object',
    required: ['songId', 'title', 'artist', 'state'],
    properties: { songId: id, title: { ...text, description: 'empty when no machine has it any more' }, artist: text, state, reason: { anyOf: [text, { type: 'null' }], description: 'why it is not here' } },
  },
} as const;
export type PinJson = XStatic<typeof PinsSchema>[number];

export const LeaveBodySchema = { type: 'object', additionalProperties: false, required: ['leaving'], properties: { leaving: flag } } as const;

export const LeavingSchema = {
  type: 'object',
  required: ['leaving', 'total', 'bytes', 'songs', 'unconfirmed', 'others', 'silent', 'busy', 'foldersMissing', 'inSync', 'localOnly', 'underWay', 'room', 'scanning'],
  properties: {
    leaving: { ...flag, description: 'whether this machine has said that it leaves' },
    ...vanishing,
    unconfirmed: { ...count, description: 'songs that others have, who have not confirmed yet that they keep them without this machine' },
    others: { ...count, description: 'machines here that stay' },
    silent: { ...count, description: 'of these those that did not answer' },
    busy: { ...count, description: 'of these those that play music for so long that they fetch nothing now' },
    foldersMissing: { ...foldersMissing, description: 'of these those of which a music folder is missing: until it is back they confirm nothing' },
    inSync: { ...count, description: 'of these those that hold everything that people made and machines said, as far as it is here' },
    localOnly: { ...count, description: 'writes of people since the start that no other peer confirmed in time; who is in sync has them' },
    underWay: { ...count, description: 'songs that these are fetching' },
    room: { ...flag, description: 'whether any of them takes one of the songs' },
    scanning,
  },
} as const;
export type LeavingJson = XStatic<typeof LeavingSchema>;

export const SettingBodySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['copies'],
  properties: { copies: { type: 'integer', minimum: 1, maximum: COPIES_MAX, description: 'machines that each song is to be on; 1 makes no copies' } },
} as const;

export const SettingSchema = {
  type: 'object',
  required: ['copies', 'acknowledged'],
  properties: { copies: count, acknowledged: { enum: ['replicated', 'local only'] } },
} as const;
export type SettingJson = XStatic<typeof SettingSchema>;
