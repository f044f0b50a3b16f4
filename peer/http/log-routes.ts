// The event log over HTTP: read in pages, or followed. Who wants both without a gap follows first and then reads; what comes
// both ways has the same stamp.
import { PeerError } from '../../lib/errors.ts';
import { stampFromText } from '../../lib/stamp-text.ts';
import type { ApiPeer } from './api-peer.ts';
import { LogQuerySchema, LogSchema } from './log-schemas.ts';
import type { LogStreams } from './log-streams.ts';
import type { Route } from './routes.ts';

const LIMIT_DEFAULT = 100;

export const logRoutes = ({ peer, logStreams }: { readonly peer: ApiPeer; readonly logStreams: LogStreams }): readonly Route[] => [
  {
    method: 'GET',
    path: '/api/log',
    summary: 'the event log: what people did, and who coordinates and holds roles, in the same order on every peer',
    audience: 'listener',
    query: LogQuerySchema,
    answer: LogSchema,
    handle: ({ query: { after, limit, last } }) => {
      if (last !== undefined && (after !== undefined || limit !== undefined)) throw new PeerError('BAD_USAGE', 'last goes without after and limit');
      if (last !== undefined) return peer.eventLog.read({ kind: 'last', count: last as number });
      return peer.eventLog.read({ kind: 'after', stamp: after === undefined ? null : stampFromText(after as string), limit: (limit as number | undefined) ?? LIMIT_DEFAULT });
    },
  },
  {
    method: 'GET',
    path: '/api/log/follow',
    summary: 'events of the log from now on, each as it comes (Server-Sent Events); one whose stamp is smaller than what came before belongs before it',
    audience: 'listener',
    type: 'text/event-stream',
    noHead: true,
    handle: (_checked, _request, reply) => logStreams.follow(reply),
  },
];
