// The event log as JSON; see schemas.ts.
import type { XStatic } from 'typebox/schema';
import { HTTP_PAGE_EVENTS_MAX } from '../../lib/limits.ts';
import { STAMP_TEXT_PATTERN } from '../../lib/stamp-text.ts';
import { ID_PATTERN } from './schemas.ts';

const count = { type: 'integer', minimum: 0 } as const;
const cursor = { type: 'string', pattern: STAMP_TEXT_PATTERN } as const;

export const EventSchema = {
  type: 'object',
  required: ['lamport', 'origin', 'epoch', 'seq', 'at', 'kind', 'key', 'settled', 'name'],
  additionalProperties: true,
  properties: {
    lamport: { ...count, description: 'events are ordered by lamport, then origin, epoch and seq' },
    origin: { type: 'string', pattern: ID_PATTERN, description: 'the peer where it was done' },
    epoch: { type: 'string' },
    seq: count,
    at: { anyOf: [{ type: 'string' }, { type: 'null' }], description: 'when it was by the clock of that machine, in ISO form; it orders nothing' },
    kind: { type: 'string', description: 'forget, election, handover, profile, playlist, item, star, rating, play, session, or a kind that only newer versions know' },
    key: { type: 'string', description: 'of the register; its parts have fields of their own where the kind is known: profile, playlist, item, song, …' },
    deleted: { const: true, description: 'it was deleted; left out otherwise' },
    settled: { type: 'boolean', description: 'every peer that is alive has passed it: none of them can do anything that would stand before it' },
    name: { type: 'string', description: 'what the origin calls itself; empty when that is not known here' },
  },
} as const;
export type EventJson = XStatic<typeof EventSchema> & { readonly [part: string]: unknown };

export const LogSchema = {
  type: 'object',
  required: ['events', 'next', 'settled'],
  properties: {
    events: { type: 'array', maxItems: HTTP_PAGE_EVENTS_MAX, items: EventSchema },
    next: { anyOf: [cursor, { type: 'null' }], description: 'what to give as `after` for those that follow; null before the first event of all' },
    settled: { ...count, description: 'the Lamport time up to which events are settled' },
  },
} as const;
export type LogJson = Omit<XStatic<typeof LogSchema>, 'events'> & { readonly events: readonly EventJson[] };

export const LogQuerySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    after: { ...cursor, description: 'the `next` of an earlier answer; without it, from the first event on' },
    limit: { type: 'integer', minimum: 1, maximum: HTTP_PAGE_EVENTS_MAX },
    last: { type: 'integer', minimum: 1, maximum: HTTP_PAGE_EVENTS_MAX, description: 'the latest so many, instead of `after` and `limit`' },
  },
} as const;
