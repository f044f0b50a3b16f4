// The HTTP server of one peer: the API, the page and the addresses that players open. It checks, asks the peer and
// answers; it knows nothing of how music is found.
import fastifyStatic from '@fastify/static';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { HTTP_BODY_BYTES_MAX, HTTP_CONNECTIONS_MAX } from '../../lib/limits.ts';
import { type Clock, systemClock } from '../../lib/time.ts';
import { Access } from './access.ts';
import type { ApiPeer } from './api-peer.ts';
import { httpErrorOf, NOTHING_HERE } from './errors.ts';
import { EventStreams } from './events.ts';
import { type HttpAddress, listen, urlOf } from './listen.ts';
import { CLOSED_PAGE, CLOSED_PAGE_CSP, SECURITY_HEADERS, webFolder } from './page.ts';
import { PlayUrls } from './play-urls.ts';
import { LogStreams } from './log-streams.ts';
import { type Route, type RouteContext, routesOf } from './routes.ts';
import { compileInput } from './validate.ts';

export interface HttpOptions {
  readonly peer: ApiPeer;
  /** Undefined: the default port on every address, or the next free one. */
  readonly address?: HttpAddress | undefined;
  /** Of the program, for the API's description. */
  readonly version: string;
  /** Names by which others reach this machine (`--advertise`), allowed as Host. */
  readonly names?: readonly string[];
  readonly clock?: Clock;
}

export interface HttpServer {
  readonly port: number;
  /** Works from this machine: 'http://127.0.0.1:7700'. */
  readonly url: string;
  /** A whole link that logs one browser in, once, for a quarter of an hour. */
  loginLink(): string;
  close(): Promise<void>;
}

/** @throws PeerError PORT_TAKEN, ADDRESS_INVALID, FORBIDDEN when it cannot listen */
export async function openHttp({ peer, address, version, names = [], clock = systemClock }: HttpOptions): Promise<HttpServer> {
  const access = new Access({ token: peer.token, clock, names });
  const events = new EventStreams(peer);
  const logStreams = new LogStreams(peer.eventLog);
  const context: RouteContext = { peer, access, events, logStreams, playUrls: new PlayUrls(clock), version };
  const fail = (error: unknown, reply: FastifyReply): FastifyReply => {
    const { status, body } = httpErrorOf(error);
    return reply.code(status).headers({ 'cache-control': 'no-store', 'content-type': 'application/json; charset=utf-8' }).send(body);
  };
  const app = fastify({
    logger: false,
    bodyLimit: HTTP_BODY_BYTES_MAX,
    frameworkErrors: (error, _request, reply) => void fail(error, reply.headers(SECURITY_HEADERS)),
    forceCloseConnections: true,
  });
  app.setErrorHandler((error, _request, reply) => fail(error, reply));
  app.setNotFoundHandler((_request, reply) => reply.code(NOTHING_HERE.status).send(NOTHING_HERE.body));
  // Forms of other sites can send text/plain without asking first; JSON they cannot.
  app.removeContentTypeParser('text/plain');
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS);
    access.checkOrigin(request);
  });
  for (const route of routesOf(context)) register(app, route, context);
  app.register(async (pages) => registerPage(pages, context));
  await app.ready();
  app.server.maxConnections = HTTP_CONNECTIONS_MAX;
  let bound: HttpAddress;
  try {
    bound = await listen(app.server, address);
  } catch (error) {
    await app.close();
    throw error;
  }
  const url = urlOf(bound);
  return {
    port: bound.port,
    url,
    loginLink: () => url + access.createLoginLink().url,
    close: async () => {
      events.close();
      logStreams.close();
      const closed = new Promise((resolve) => app.server.close(resolve));
      app.server.closeAllConnections();
      await Promise.all([closed, app.close()]);
    },
  };
}

function register(app: FastifyInstance, route: Route, { peer, access }: RouteContext): void {
  const [params, query, body] = [route.params, route.query, route.body].map((schema) => schema && compileInput(schema, { texts: schema !== route.body }));
  app.route({
    method: route.method,
    url: route.path,
    exposeHeadRoute: route.noHead === undefined,
    // Before a body is read: who may not do this does not get to send one.
    onRequest: async (request) => {
      access.check(request, { audience: route.audience, open: peer.open });
      if (route.method === 'POST') access.countChange(request);
    },
    handler: async (request: FastifyRequest, reply) => {
      const checked = {
        params: params?.(request.params) ?? {},
        query: query?.(request.query) ?? {},
        body: body?.(request.body ?? {}) ?? {},
      };
      if (route.audio === undefined) reply.header('cache-control', 'no-store');
      const answer = await route.handle(checked, request, reply);
      return reply.sent ? reply : answer;
    },
  });
}

async function registerPage(app: FastifyInstance, { peer, access }: RouteContext): Promise<void> {
  app.addHook('onRequest', async (request, reply) => {
    if (peer.open || access.isOwner(request)) return;
    await reply.code(401).headers({ 'cache-control': 'no-store', 'content-security-policy': CLOSED_PAGE_CSP }).type('text/html; charset=utf-8').send(CLOSED_PAGE);
  });
  // Files have no hash in their names, so a browser asks each time; what did not change costs a 304.
  await app.register(fastifyStatic, { root: webFolder(), index: 'index.html', maxAge: 0, dotfiles: 'ignore', wildcard: true });
}
