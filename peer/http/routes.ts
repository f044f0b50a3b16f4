// Every address of the API: who may ask, what with, and which method of the peer answers. The server registers this table
// and /api/openapi.json prints it.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PeerError } from '../../lib/errors.ts';
import type { FileId, PeerId, SongId } from '../../lib/ids.ts';
import { type Access, addressOf, type Audience } from './access.ts';
import type { ApiPeer, AudioSource } from './api-peer.ts';
import { goneSignal, sendAudio } from './audio.ts';
import { copyRoutesOf } from './copy-routes.ts';
import type { EventStreams } from './events.ts';
import { logRoutes } from './log-routes.ts';
import { metricsOf } from './metrics.ts';
import type { LogStreams } from './log-streams.ts';
import { openapiOf } from './openapi.ts';
import type { PlayUrls } from './play-urls.ts';
import { goesOn } from './range.ts';
import {
  AudioQuerySchema,
  CloseBodySchema,
  FilesSchema,
  ForgetBodySchema,
  JoinBodySchema,
  LoginLinkSchema,
  LoginQuerySchema,
  NetworkSchema,
  OkSchema,
  PlayBodySchema,
  PlayParamsSchema,
  PlayUrlSchema,
  RolesSchema,
  SearchQuerySchema,
  SearchSchema,
  SessionSchema,
  SongParamsSchema,
  SongSchema,
  StatusSchema,
} from './schemas.ts';
import { userRoutesOf } from './user-routes.ts';
import type { InputSchema } from './validate.ts';

/** Input that the route's schemas have checked. */
export interface Checked {
  readonly params: Record<string, unknown>;
  readonly query: Record<string, unknown>;
  readonly body: Record<string, unknown>;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly summary: string;
  readonly audience: Audience;
  readonly params?: InputSchema;
  readonly query?: InputSchema;
  readonly body?: InputSchema;
  /** Schema of the JSON that answers. */
  readonly answer?: object;
  /** Media type of an answer that is not JSON. */
  readonly type?: string;
  readonly status?: number;
  /** Answers with audio and understands ranges. */
  readonly audio?: true;
  /** GET only, without a HEAD beside it: it waits, or it changes something. */
  readonly noHead?: true;
  handle(checked: Checked, request: FastifyRequest, reply: FastifyReply): unknown;
}

export interface RouteContext {
  readonly peer: ApiPeer;
  readonly access: Access;
  readonly playUrls: PlayUrls;
  readonly events: EventStreams;
  readonly logStreams: LogStreams;
  readonly version: string;
}

const SEARCH_LIMIT_DEFAULT = 50;

const found = <T>(value: T | null, what: string): T => {
  if (value === null) throw new PeerError('NOT_FOUND', `there is no such ${what}`);
  return value;
};

export function routesOf(context: RouteContext): readonly Route[] {
  const { peer, access, playUrls, events, version } = context;
  const play = async (find: (gone: AbortSignal) => AudioSource | null | Promise<AudioSource | null>, request: FastifyRequest, reply: FastifyReply, download = false): Promise<FastifyReply> => {
    const gone = goneSignal(reply);
    return sendAudio(request, reply, found(await find(gone), 'song'), { download, gone });
  };

  const routes: Route[] = [
    {
      method: 'GET',
      path: '/healthz',
      summary: 'ok when serving',
      audience: 'anybody',
      type: 'text/plain',
      handle: (_checked, _request, reply) => reply.type('text/plain; charset=utf-8').send('ok\n'),
    },
    {
      method: 'GET',
      path: '/metrics',
      summary: 'figures of this peer, as Prometheus reads them',
      audience: 'listener',
      type: 'text/plain',
      handle: async (_checked, _request, reply) => {
        const { text, type } = await metricsOf({ status: await peer.status({ copies: false }), stats: peer.stats, version });
        return reply.type(type).send(text);
      },
    },
    {
      method: 'GET',
      path: '/login',
      summary: 'uses a login link up, sets the session cookie and goes to the page',
      audience: 'anybody',
      query: LoginQuerySchema,
      status: 303,
      noHead: true,
      handle: ({ query }, request, reply) => {
        access.countChange(request);
        return reply.header('set-cookie', access.login(query.token as string)).redirect('/', 303);
      },
    },
    {
      method: 'GET',
      path: '/api/session',
      summary: 'what this client may do',
      audience: 'anybody',
      answer: SessionSchema,
      handle: (_checked, request) => ({ open: peer.open, owner: access.isOwner(request) }),
    },
    {
      method: 'GET',
      path: '/api/status',
      summary: 'this peer, its members, roles, catalog and cache',
      audience: 'listener',
      answer: StatusSchema,
      handle: () => peer.status(),
    },
    {
      method: 'GET',
      path: '/api/roles',
      summary: 'every role: who holds it since when, and whether its service is well, as the holder says when it is asked',
      audience: 'listener',
      answer: RolesSchema,
      handle: () => peer.roles(),
    },
    {
      method: 'GET',
      path: '/api/search',
      summary: 'songs that match all words, best first',
      audience: 'listener',
      query: SearchQuerySchema,
      answer: SearchSchema,
      handle: ({ query: { q = '', limit = SEARCH_LIMIT_DEFAULT, offset = 0 } }) =>
        peer.search((q as string).trim(), { limit: limit as number, offset: offset as number }),
    },
    {
      method: 'GET',
      path: '/api/songs/:id',
      summary: 'one song',
      audience: 'listener',
      params: SongParamsSchema,
      answer: SongSchema,
      handle: async ({ params }) => found(await peer.song(params.id as SongId), 'song'),
    },
    {
      method: 'GET',
      path: '/api/songs/:id/audio',
      summary: 'the sound of a song, or its original file',
      audience: 'listener',
      params: SongParamsSchema,
      query: AudioQuerySchema,
      type: 'audio/*',
      audio: true,
      handle: ({ params, query: { file, original = false, next } }, request, reply) => {
        const options = { original: original as boolean, goesOn: goesOn(request.headers.range), ...(file === undefined ? {} : { file: file as FileId }), ...(next === undefined ? {} : { next: next as SongId }) };
        return play((signal) => peer.audio(params.id as SongId, { ...options, signal }), request, reply, original as boolean);
      },
    },
    {
      method: 'GET',
      path: '/api/sample',
      summary: 'the generated sample, while there is no music at all',
      audience: 'listener',
      type: 'audio/*',
      audio: true,
      handle: (_checked, request, reply) => play(() => peer.sample(), request, reply),
    },
    {
      method: 'POST',
      path: '/api/play',
      summary: 'an address of one song for one player, which tells nothing else',
      audience: 'listener',
      body: PlayBodySchema,
      answer: PlayUrlSchema,
      handle: async ({ body: { song, file, original = false, next } }) => {
        found(await peer.song(song as SongId), 'song');
        return playUrls.create({
          song: song as SongId,
          original: original as boolean,
          ...(file === undefined ? {} : { file: file as FileId }),
          ...(next === undefined ? {} : { next: next as SongId }),
        });
      },
    },
    {
      method: 'GET',
      path: '/play/:key',
      summary: 'plays what POST /api/play chose',
      audience: 'anybody',
      params: PlayParamsSchema,
      type: 'audio/*',
      audio: true,
      handle: async ({ params }, request, reply) => {
        const playable = found(playUrls.use(params.key as string, addressOf(request)) ?? null, 'song to play, or no longer');
        return play((signal) => peer.audio(playable.song, { ...playable, goesOn: goesOn(request.headers.range), signal }), request, reply);
      },
    },
    {
      method: 'GET',
      path: '/api/events',
      summary: 'an event for each kind of thing that changes (Server-Sent Events)',
      audience: 'listener',
      type: 'text/event-stream',
      noHead: true,
      handle: (_checked, _request, reply) => events.follow(reply),
    },
    ...logRoutes(context),
    {
      method: 'GET',
      path: '/api/files',
      summary: 'files of this machine that cannot be shared, and why',
      audience: 'owner',
      answer: FilesSchema,
      handle: () => peer.files(),
    },
    {
      method: 'POST',
      path: '/api/login-link',
      summary: 'a link that logs one browser in',
      audience: 'owner',
      answer: LoginLinkSchema,
      handle: () => access.createLoginLink(),
    },
    {
      method: 'GET',
      path: '/api/network',
      summary: 'the network, with the code to join it',
      audience: 'owner',
      answer: NetworkSchema,
      handle: () => peer.network(),
    },
    {
      method: 'POST',
      path: '/api/network/close',
      summary: 'closes the network: who joins needs its code from now on',
      audience: 'owner',
      body: CloseBodySchema,
      answer: NetworkSchema,
      handle: ({ body: { newKey = false } }) => peer.closeNetwork({ newKey: newKey as boolean }),
    },
    {
      method: 'POST',
      path: '/api/network/open',
      summary: 'goes back to the open network of the same name',
      audience: 'owner',
      answer: NetworkSchema,
      handle: () => peer.openNetwork(),
    },
    {
      method: 'POST',
      path: '/api/network/join',
      summary: 'joins the network of a code',
      audience: 'owner',
      body: JoinBodySchema,
      answer: NetworkSchema,
      handle: ({ body }) => peer.joinNetwork(body.code as string),
    },
    {
      method: 'POST',
      path: '/api/forget',
      summary: 'drops the songs of a machine that will not return',
      audience: 'owner',
      body: ForgetBodySchema,
      answer: OkSchema,
      handle: async ({ body }) => {
        await peer.forget(body.peer as PeerId);
        return { ok: true };
      },
    },
    ...copyRoutesOf(peer.copies),
    ...userRoutesOf(peer.userData),
    {
      method: 'GET',
      path: '/api/openapi.json',
      summary: 'this description',
      audience: 'listener',
      type: 'application/json',
      handle: () => openapiOf(routes, version),
    },
  ];
  return routes;
}
