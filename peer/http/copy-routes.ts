// The addresses of copies.
import type { PeerId, SongId } from '../../lib/ids.ts';
import type { ApiCopies } from './api-copies.ts';
import { LeaveBodySchema, LeavingSchema, PinBodySchema, PinnedSchema, PinsSchema, SafeQuerySchema, SafeSchema, SettingBodySchema, SettingSchema } from './copy-schemas.ts';
import type { Route } from './routes.ts';

export function copyRoutesOf(copies: ApiCopies): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/api/safe',
      summary: 'on how many machines the songs are, and what would be gone with one of them',
      audience: 'listener',
      query: SafeQuerySchema,
      answer: SafeSchema,
      handle: ({ query }) => copies.safe(query.peer as PeerId | undefined),
    },
    {
      method: 'GET',
      path: '/api/pins',
      summary: 'the songs that this machine keeps',
      audience: 'owner',
      answer: PinsSchema,
      handle: () => copies.pins(),
    },
    {
      method: 'POST',
      path: '/api/pins',
      summary: 'keeps a song on this machine, or no more',
      audience: 'owner',
      body: PinBodySchema,
      answer: PinnedSchema,
      handle: ({ body }) => copies.pin(body.song as SongId, body.pinned as boolean),
    },
    {
      method: 'GET',
      path: '/api/leave',
      summary: 'whether this machine leaves, and what only it has',
      audience: 'owner',
      answer: LeavingSchema,
      handle: () => copies.leaving(),
    },
    {
      method: 'POST',
      path: '/api/leave',
      summary: 'says that this machine leaves, so that others copy first what only it has; or that it stays',
      audience: 'owner',
      body: LeaveBodySchema,
      answer: LeavingSchema,
      handle: ({ body }) => copies.setLeaving(body.leaving as boolean),
    },
    {
      method: 'POST',
      path: '/api/network/set',
      summary: 'on how many machines each song of this network is to be',
      audience: 'owner',
      body: SettingBodySchema,
      answer: SettingSchema,
      handle: ({ body }) => copies.setCopies(body.copies as number),
    },
  ];
}
