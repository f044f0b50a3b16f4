import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { FastifyReply } from 'fastify';
import t, { type Test } from 'tap';
import { Check } from 'typebox/schema';
import { HTTP_CHANGES_BURST, HTTP_SONGS_MAX, HTTP_SESSION_LIFE_MS, LOGIN_LINK_LIFE_MS, PLAY_URL_LIFE_MS } from '../../lib/limits.ts';
import { PeerError } from '../../lib/errors.ts';
import { ROLES } from '../../lib/roles.ts';
import { hostnameOf } from '../../peer/http/access.ts';
import type { EventJson } from '../../peer/http/api-peer.ts';
import { goneSignal } from '../../peer/http/audio.ts';
import { listen, mayBeGateway, parseHttpAddress, urlOf } from '../../peer/http/listen.ts';
import { wanted } from '../../peer/http/range.ts';
import { type HttpServer, openHttp } from '../../peer/http/server.ts';
import { compileInput } from '../../peer/http/validate.ts';
import { createServer } from 'node:http';
import { FAKE_ITEMS, FAKE_PLAYLIST } from '../fixtures/fake-user-data.ts';
import { type FakePeer, type FakePeerOptions, fakePeer, memorySource } from '../fixtures/fake-peer.ts';

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  readonly text: string;
  readonly json: any;
}

interface Ask {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

interface World {
  readonly peer: FakePeer;
  readonly server: HttpServer;
  ask(path: string, ask?: Ask): Promise<Answer>;
  /** With the machine's token. */
  own(path: string, ask?: Ask): Promise<Answer>;
  advance(ms: number): void;
}

async function serve(t: Test, options: FakePeerOptions = {}): Promise<World> {
  const peer = fakePeer(options);
  let ahead = 0;
  const clock = { now: () => performance.now() + ahead, wall: () => Date.now() + ahead };
  const server = await openHttp({ peer, address: { host: '127.0.0.1', port: 0 }, version: '0.0.0-test', names: ['music.example.org'], clock });
  t.teardown(() => server.close());
  const ask: World['ask'] = (path, { method = 'GET', headers = {}, body } = {}) =>
    new Promise((resolve, reject) => {
      const json = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
      const sent = request({ host: '127.0.0.1', port: server.port, path, method, headers: json === undefined ? headers : { 'content-type': 'application/json', ...headers } });
      sent.on('error', reject);
      sent.on('response', (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('error', reject);
        answer.on('end', () => {
          const all = Buffer.concat(parts);
          const text = all.toString();
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: all,
            text,
            get json() {
              return JSON.parse(text);
            },
          });
        });
      });
      sent.end(json);
    });
  const own: World['own'] = (path, options = {}) => ask(path, { ...options, headers: { authorization: `Bearer ${peer.token}`, ...options.headers } });
  return { peer, server, ask, own, advance: (ms) => void (ahead += ms) };
}

const failed = (answer: Answer): [number, string] => [answer.status, answer.json.error.code];

t.test('a range header means what RFC 9110 says', async (t) => {
  /** The specification's words, byte by byte, for well-formed single ranges. */
  const reference = (bytes: number, first: number | undefined, last: number | undefined): number[] =>
    Array.from({ length: bytes }, (_, index) => index).filter((index) =>
      first === undefined ? index >= bytes - (last as number) : index >= first && (last === undefined || index <= last),
    );
  const position = fc.option(fc.nat(40), { nil: undefined });
  fc.assert(
    fc.property(fc.nat(30), position, position, (bytes, first, last) => {
      fc.pre(first !== undefined || last !== undefined);
      const want = wanted({ range: `bytes=${first ?? ''}-${last ?? ''}` }, { etag: '"e"', bytes });
      if (first !== undefined && last !== undefined && last < first) return want.kind === 'whole';
      const expected = reference(bytes, first, last);
      if (expected.length === 0) return want.kind === 'unsatisfiable';
      return want.kind === 'part' && want.start === expected[0] && want.end === (expected.at(-1) as number) + 1;
    }),
    { numRuns: 2_000, seed: 5 },
  );
  const at = { etag: '"e"', bytes: 10 };
  for (const range of ['bytes=-', 'bytes=a-b', 'bytes=1-2,4-5', 'items=0-1', 'bytes 0-1', 'bytes=5', '', 'bytes=--1', 'bytes=1-2-3']) {
    t.same(wanted({ range }, at), { kind: 'whole' }, `'${range}' is ignored`);
  }
  t.same(wanted({ range: 'bytes=0-0', ifRange: '"e"' }, at), { kind: 'part', start: 0, end: 1 });
  t.same(wanted({ range: 'bytes=0-0', ifRange: '"f"' }, at), { kind: 'whole' });
  t.same(wanted({ range: 'bytes=0-0', ifRange: 'W/"e"' }, at), { kind: 'whole' }, 'weak tags do not compare');
  t.same(wanted({ range: 'bytes=0-0', ifRange: 'Tue, 01 Jan 2030 00:00:00 GMT' }, at), { kind: 'whole' });
  t.same(wanted({ ifNoneMatch: '"x", W/"e"' }, at), { kind: 'unchanged' });
  t.same(wanted({ ifNoneMatch: '*' }, at), { kind: 'unchanged' });
  t.same(wanted({ ifNoneMatch: '"x"' }, at), { kind: 'whole' });
  t.same(wanted({ range: 'bytes=99999999999999999999-' }, at), { kind: 'unsatisfiable' });
});

t.test('audio arrives whole, in the part that was asked for, or not at all', async (t) => {
  const { peer, ask } = await serve(t);
  const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7 + (index >> 8)) & 255));
  peer.source = memorySource(bytes);
  const path = `/api/songs/${peer.ids[0]}/audio`;
  const whole = await ask(path);
  t.equal(whole.status, 200);
  t.ok(whole.body.equals(bytes));
  t.equal(whole.headers['content-length'], '200000');
  t.equal(whole.headers['accept-ranges'], 'bytes');
  t.equal(whole.headers['content-type'], 'audio/mpeg');
  t.match(whole.headers['content-disposition'], /^inline; filename="Sigur R_s _ _Svefn-g-englar_.mp3"; filename\*=UTF-8''Sigur%20R%C3%B3s/);
  const { etag } = whole.headers as { etag: string };

  for (const [range, start, end] of [['0-0', 0, 1], ['0-', 0, 200_000], ['199999-', 199_999, 200_000], ['-1', 199_999, 200_000], ['-500000', 0, 200_000], ['65535-65536', 65_535, 65_537], ['100-999999', 100, 200_000]] as const) {
    const part = await ask(path, { headers: { range: `bytes=${range}` } });
    t.equal(part.status, 206, range);
    t.equal(part.headers['content-range'], `bytes ${start}-${end - 1}/200000`);
    t.equal(part.headers['content-length'], String(end - start));
    t.ok(part.body.equals(bytes.subarray(start, end)), `bytes of ${range}`);
  }
  for (const range of ['200000-', '-0', '300000-400000']) {
    const none = await ask(path, { headers: { range: `bytes=${range}` } });
    t.equal(none.status, 416, range);
    t.equal(none.headers['content-range'], 'bytes */200000');
    t.equal(none.json.error.code, 'BAD_USAGE');
  }
  t.equal((await ask(path, { headers: { range: 'bytes=0-9', 'if-range': etag } })).status, 206);
  t.equal((await ask(path, { headers: { range: 'bytes=0-9', 'if-range': '"other"' } })).body.length, 200_000);
  const unchanged = await ask(path, { headers: { 'if-none-match': etag } });
  t.equal(unchanged.status, 304);
  t.equal(unchanged.body.length, 0);
  const head = await ask(path, { method: 'HEAD', headers: { range: 'bytes=10-19' } });
  t.equal(head.status, 206);
  t.equal(head.headers['content-length'], '10');
  t.equal(head.body.length, 0);

  peer.source = memorySource(new Uint8Array(0));
  t.equal((await ask(path)).status, 200, 'an empty file is served');
  t.equal((await ask(path, { headers: { range: 'bytes=0-' } })).status, 416);
});

t.test('the peer is told which form and which file are wanted', async (t) => {
  const { peer, ask } = await serve(t);
  const [song] = peer.ids;
  const file = 'f'.repeat(32);
  const original = await ask(`/api/songs/${song}/audio?original=1&file=${file}`, { method: 'HEAD' });
  t.match(original.headers['content-disposition'], /^attachment/);
  await ask(`/api/songs/${song}/audio`, { method: 'HEAD' });
  t.same(peer.calls, [`audio ${song} true ${file}`, `audio ${song} false`]);
  t.same(failed(await ask(`/api/songs/${'0'.repeat(32)}/audio`)), [404, 'NOT_FOUND']);
  t.same(failed(await ask('/api/songs/no-id/audio')), [400, 'BAD_USAGE']);
});

t.test('the peer is told when a player goes on behind the beginning, by either address', async (t) => {
  const { peer, ask, own } = await serve(t);
  const [song] = peer.ids;
  const { json } = await own('/api/play', { method: 'POST', body: { song } });
  for (const path of [`/api/songs/${song}/audio`, json.url as string]) {
    peer.calls.length = 0;
    for (const range of ['bytes=0-', 'bytes= 00-9', 'bytes=1-', 'bytes=10-19', 'bytes=-5']) await ask(path, { method: 'HEAD', headers: { range } });
    t.same(peer.calls, [...Array(2).fill(`audio ${song} false`), ...Array(3).fill(`audio ${song} false goes on`)]);
  }
});

t.test('a listener who leaves ends the reading, also while nothing is read', async (t) => {
  const { peer, server } = await serve(t);
  for (const kind of ['back pressure', 'a silent provider'] as const) {
    let produced = 0;
    let returned: () => void = () => {};
    const ended = new Promise<void>((resolve) => (returned = resolve));
    peer.source = {
      ...memorySource(Buffer.alloc(0)),
      bytes: 2 ** 40,
      read: async function* (_start, _end, signal) {
        try {
          for (;;) {
            produced += 1;
            yield Buffer.alloc(65_536);
            if (kind === 'a silent provider') await once(signal, 'abort');
          }
        } finally {
          returned();
        }
      },
    };
    const socket = connect(server.port, '127.0.0.1');
    socket.write(`GET /api/songs/${peer.ids[0]}/audio HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await once(socket, 'readable');
    if (kind === 'back pressure') {
      // The socket is not read any further: the server has to stop by itself.
      for (let before = -1; before !== produced; await sleep(50)) before = produced;
      t.ok(produced < 400, `${produced} parts were read ahead of a listener who reads nothing`);
    }
    socket.destroy();
    await ended;
    t.pass(`${kind}: the iterator was returned`);
  }
});

t.test('who has gone before anybody looked has gone', async (t) => {
  const http = createServer().listen(0, '127.0.0.1');
  t.teardown(() => http.close());
  await once(http, 'listening');
  const socket = connect((http.address() as AddressInfo).port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const [, raw] = (await once(http, 'request')) as [IncomingMessage, ServerResponse];
  const reply = { raw } as unknown as FastifyReply;
  const early = goneSignal(reply);
  t.notOk(early.aborted);
  socket.destroy();
  await once(raw, 'close');
  t.same([early.aborted, goneSignal(reply).aborted], [true, true]);
});

t.test('a song that fails before its first byte is an answer, one that fails later is cut', async (t) => {
  const { peer, ask } = await serve(t);
  const path = `/api/songs/${peer.ids[0]}/audio`;
  const source = memorySource(Buffer.alloc(100_000));
  peer.source = { ...source, read: async function* () { throw new PeerError('SONG_UNAVAILABLE', 'no provider is alive'); } };
  const early = await ask(path, { headers: { range: 'bytes=5-' } });
  t.same(failed(early), [503, 'SONG_UNAVAILABLE']);
  t.equal(early.headers['content-range'], undefined);
  t.match(early.headers['content-type'], /json/);
  for (const fault of ['throws', 'ends', 'overflows'] as const) {
    peer.source = {
      ...source,
      read: async function* () {
        yield Buffer.alloc(fault === 'overflows' ? 100_001 : 10);
        if (fault === 'throws') throw new Error('disk on fire');
      },
    };
    await t.rejects(ask(path), { code: 'ECONNRESET' }, fault);
  }
  t.equal((await ask('/healthz')).status, 200, 'and the server lives');
});

t.test('on an open network everybody listens, and only the token manages', async (t) => {
  const { peer, ask, own } = await serve(t);
  const [song] = peer.ids;
  for (const path of ['/healthz', '/metrics', '/', '/api/session', '/api/status', '/api/roles', '/api/search', `/api/songs/${song}`, `/api/songs/${song}/audio`, '/api/openapi.json']) {
    t.equal((await ask(path)).status, 200, path);
  }
  const managing = [['GET', '/api/files'], ['GET', '/api/network'], ['POST', '/api/network/close'], ['POST', '/api/network/open'], ['POST', '/api/network/join'], ['POST', '/api/forget'], ['POST', '/api/login-link'], ['GET', '/api/pins'], ['POST', '/api/pins'], ['GET', '/api/leave'], ['POST', '/api/leave'], ['POST', '/api/network/set']] as const;
  for (const [method, path] of managing) {
    t.same(failed(await ask(path, { method })), [403, 'FORBIDDEN'], path);
    t.same(failed(await ask(path, { method, headers: { authorization: `Bearer ${peer.token.slice(1)}b` } })), [403, 'FORBIDDEN'], `${path}, wrong token`);
  }
  t.same(peer.calls.filter((call) => !call.startsWith('audio')), [], 'nothing was done');
  t.equal((await own('/api/files')).json.length, 2);
  t.equal((await own('/api/network/join', { method: 'POST', body: { code: 'amber' } })).json.name, 'theirs');
  t.same((await own('/api/forget', { method: 'POST', body: { peer: song } })).json, { ok: true });
  t.equal((await own('/api/network/close', { method: 'POST' })).json.open, false);
  t.same(failed(await ask('/api/search')), [403, 'FORBIDDEN'], 'once closed, it is closed');
});

t.test('on a closed network everything takes the token, but for health and login', async (t) => {
  const { peer, ask, own } = await serve(t, { open: false });
  t.equal((await ask('/healthz')).status, 200);
  t.same((await ask('/api/session')).json, { open: false, owner: false });
  for (const path of ['/metrics', '/api/status', '/api/roles', '/api/search?q=a', `/api/songs/${peer.ids[0]}`, `/api/songs/${peer.ids[0]}/audio`, '/api/events', '/api/log', '/api/log/follow', '/api/openapi.json', '/api/files']) {
    t.same(failed(await ask(path)), [403, 'FORBIDDEN'], path);
  }
  t.same(failed(await ask('/api/play', { method: 'POST', body: { song: peer.ids[0] } })), [403, 'FORBIDDEN']);
  const page = await ask('/');
  t.equal(page.status, 401);
  t.match(page.text, /spotify-peer login/);
  t.notMatch(page.text, /app\.js/);
  t.equal((await ask('/app.js')).status, 401);
  t.equal((await own('/')).status, 200);
  t.equal((await own('/api/search')).json.total, 60);
  t.match((await own('/metrics')).text, /^spotify_peer_catalog_songs 60$/m, 'a scraper brings it as its credentials');
});

t.test('a login link works once, soon, and earns a cookie that is no token', async (t) => {
  const { peer, server, ask, own, advance } = await serve(t, { open: false });
  const { json } = await own('/api/login-link', { method: 'POST' });
  t.equal((await ask(json.url, { method: 'HEAD' })).status, 401, 'a preview does not use it up');
  const login = await ask(json.url);
  t.equal(login.status, 303);
  t.equal(login.headers.location, '/');
  const [header] = login.headers['set-cookie'] as [string];
  t.match(header, /HttpOnly/);
  t.match(header, /SameSite=Lax/);
  t.notMatch(header, peer.token);
  const cookie = header.split(';')[0] as string;
  t.equal((await ask('/api/search', { headers: { cookie: `other=1; ${cookie}` } })).status, 200);
  t.equal((await ask('/api/session', { headers: { cookie } })).json.owner, true);
  t.equal((await ask('/api/search', { headers: { cookie: `${cookie}0` } })).status, 403, 'a changed cookie is none');
  t.equal((await ask('/api/search', { headers: { cookie: cookie.replace(/=\d+/, '=9999999999999999') } })).status, 403, 'nor is one with a longer life');
  t.same(failed(await ask(json.url)), [403, 'FORBIDDEN'], 'the link was used');

  const link = new URL(server.loginLink());
  t.equal(link.port, String(server.port));
  advance(LOGIN_LINK_LIFE_MS + 1_000);
  t.equal((await ask(link.pathname + link.search)).status, 403, 'the link is too old');
  t.equal((await ask('/api/search', { headers: { cookie } })).status, 200, 'the session goes on');
  advance(HTTP_SESSION_LIFE_MS);
  t.equal((await ask('/api/search', { headers: { cookie } })).status, 403, 'until it ends');

  const origin = `http://127.0.0.1:${server.port}`;
  const fresh = ((await ask((await own('/api/login-link', { method: 'POST' })).json.url)).headers['set-cookie'] as [string])[0].split(';')[0] as string;
  const forget = { method: 'POST', body: { peer: peer.ids[0] } };
  t.equal((await ask('/api/forget', { ...forget, headers: { cookie: fresh, origin } })).status, 200);
  t.equal((await ask('/api/forget', { ...forget, headers: { cookie: fresh } })).status, 403, 'a cookie without an origin changes nothing');
  t.equal((await ask('/api/forget', { ...forget, headers: { cookie: fresh, origin: 'http://evil.example' } })).status, 403);
});

t.test('only a machine whose page the LAN finds at port 7700 may be gateway', async (t) => {
  t.ok(mayBeGateway({ httpPort: 7700, localOnly: false }));
  t.notOk(mayBeGateway({ httpPort: 7701, localOnly: false }), 'the port was taken');
  t.notOk(mayBeGateway({ httpPort: 7700, localOnly: true }), '--http 127.0.0.1:7700');
});

t.test('a stranger neither points a name here nor posts from another site', async (t) => {
  const { peer, server, ask } = await serve(t);
  const { port } = server;
  const lookAlikes = ['spotify-peer', 'spotify-peer.example', 'spotify-peer.local.evil.example', 'spotify-peer.localx', 'spotify-peerlocal', 'spotify-peer.local:7700.evil.example', 'evil.example/spotify-peer.local'];
  for (const host of [...lookAlikes, 'evil.example', `evil.example:${port}`, 'localhost.evil.example', 'local', 'x@127.0.0.1', '127.0.0.1.evil.example', 'a b']) {
    for (const path of ['/api/status', '/metrics']) t.same(failed(await ask(path, { headers: { host } })), [403, 'FORBIDDEN'], `Host '${host}'`);
  }
  const gatewayNames = ['spotify-peer.local:7700', 'spotify-peer.local', 'Spotify-Peer.local.', `spotify-peer-2.local:${port}`, 'spotify-peer-9.local', 'spotify-peer-kids.local:7700', 'spotify-peer-my-flat-3.local'];
  for (const host of [`127.0.0.1:${port}`, '192.168.1.7', `[::1]:${port}`, '[fe80::1]', 'localhost', 'LOCALHOST.', ...gatewayNames, hostname(), 'music.example.org']) {
    t.equal((await ask('/api/status', { headers: { host } })).status, 200, `Host '${host}'`);
  }
  const play = { method: 'POST', body: { song: peer.ids[0] } };
  for (const origin of ['http://evil.example', 'null', `http://127.0.0.1:${port + 1}`, 'https://localhost.evil.example', 'nonsense']) {
    t.same(failed(await ask('/api/play', { ...play, headers: { origin } })), [403, 'FORBIDDEN'], `Origin '${origin}'`);
  }
  t.equal((await ask('/api/play', { ...play, headers: { origin: `http://127.0.0.1:${port}` } })).status, 200);
  t.equal((await ask('/api/play', play)).status, 200, 'a program sends none');
  t.same(failed(await ask('/api/play', { method: 'POST', body: JSON.stringify(play.body), headers: { 'content-type': 'text/plain' } })), [415, 'UNSUPPORTED'], 'a form of another site');
  t.equal(hostnameOf('[::1]:80'), '::1');
  t.equal(hostnameOf('a:b:c'), undefined);
});

t.test('a play URL plays one song for one client for half a day, and opens nothing else', async (t) => {
  const { peer, ask, own, advance } = await serve(t, { open: false });
  const [song] = peer.ids;
  peer.source = memorySource(Buffer.from('0123456789'));
  const { json } = await own('/api/play', { method: 'POST', body: { song, original: true } });
  t.match(json.url, /^\/play\/[0-9a-f]{48}$/);
  t.notMatch(json.url, peer.token);
  t.equal((await ask(json.url)).text, '0123456789', 'without any token');
  t.equal((await ask(json.url, { headers: { range: 'bytes=4-5' } })).text, '45', 'again, to seek');
  t.equal(peer.calls[0], `audio ${song} true`);
  const key = json.url.slice('/play/'.length);
  t.same(failed(await ask('/api/search', { headers: { authorization: `Bearer ${key}` } })), [403, 'FORBIDDEN']);
  t.same(failed(await ask(`/play/${'0'.repeat(48)}`)), [404, 'NOT_FOUND']);
  advance(PLAY_URL_LIFE_MS - 60_000);
  t.equal((await ask(json.url)).status, 200);
  advance(120_000);
  t.same(failed(await ask(json.url)), [404, 'NOT_FOUND']);
  t.same(failed(await own('/api/play', { method: 'POST', body: { song: '0'.repeat(32) } })), [404, 'NOT_FOUND']);
});

t.test('a play URL belongs to the first client that uses it', async (t) => {
  const peer = fakePeer();
  const server = await openHttp({ peer, version: '0', address: { port: 0 } });
  t.teardown(() => server.close());
  const made = await fetch(`${server.url}/api/play`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ song: peer.ids[0] }) });
  const { url } = (await made.json()) as { url: string };
  const statusFrom = (localAddress: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port: server.port, path: url, localAddress, headers: { range: 'bytes=0-1' } }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .on('error', reject)
        .end();
    });
  t.equal(await statusFrom('127.0.0.1'), 206);
  // All of 127/8 is loopback on Linux, on other systems only its first address.
  if (process.platform === 'linux') t.equal(await statusFrom('127.0.0.2'), 404);
  t.equal(await statusFrom('127.0.0.1'), 206);
});

t.test('pages hear of changes, bursts as few events, and the last one always', async (t) => {
  const { peer, server } = await serve(t);
  t.equal(peer.listeners, 0);
  const gone = new AbortController();
  const answer = await fetch(`${server.url}/api/events`, { signal: gone.signal });
  t.match(answer.headers.get('content-type'), /^text\/event-stream/);
  const reader = (answer.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
  let heard = '';
  const until = async (text: RegExp): Promise<void> => {
    while (!text.test(heard)) heard += (await reader.read()).value ?? '';
  };
  await until(/retry: \d+\n\n/);
  t.equal(peer.listeners, 1);
  const started = performance.now();
  for (let i = 0; i < 1_000; i++) peer.emit({ kind: 'catalog' });
  peer.emit({ kind: 'members' });
  await until(/event: members\ndata: \{\}\n\n/);
  await until(/(event: catalog\n[^]*){2}/);
  t.equal(heard.match(/event: catalog/g)?.length, 2, 'the first and the last of a thousand');
  t.ok(performance.now() - started < 2_000);
  gone.abort();
  while (peer.listeners > 0) await sleep(5);
  t.pass('nobody follows, nothing is listened to');
});

t.test('the event log is read in pages, each from where the last one ended, or from its end', async (t) => {
  const { peer, ask } = await serve(t);
  t.same((await ask('/api/log')).json, { events: [], next: null, settled: 0 });
  const songOf = (i: number): string => i.toString(16).padStart(32, '0');
  for (let i = 1; i <= 25; i++) peer.happen(i, `star/anna/song/${songOf(i)}`);
  peer.settledTime = 24;
  const lamports = ({ json }: Answer): number[] => json.events.map((event: { lamport: number }) => event.lamport);
  const first = await ask('/api/log?limit=20');
  t.same(lamports(first), Array.from({ length: 20 }, (_, i) => i + 1));
  const rest = await ask(`/api/log?limit=20&after=${first.json.next}`);
  t.same(lamports(rest), [21, 22, 23, 24, 25]);
  t.same(rest.json.events.map((event: { settled: boolean }) => event.settled), [true, true, true, true, false]);
  t.match(rest.json.events[0], { origin: /^[0-9a-f]{32}$/, epoch: /^[0-9a-f]{16}$/, seq: 21, at: null, kind: 'star', key: `star/anna/song/${songOf(21)}`, profile: 'anna', song: songOf(21), name: 'kitchen' });
  const none = await ask(`/api/log?after=${rest.json.next}`);
  t.same(none.json, { events: [], next: rest.json.next, settled: 24 }, 'whoever asks again goes on from the same place');
  t.same(lamports(await ask('/api/log?last=3')), [23, 24, 25]);
  for (const query of ['after=7', `after=${'0'.repeat(70)}`, 'limit=0', 'limit=1001', 'last=0', 'last=1001', 'last=3&limit=3', `last=3&after=${first.json.next}`]) {
    t.same(failed(await ask(`/api/log?${query}`)), [400, 'BAD_USAGE'], query.slice(0, 20));
  }
});

t.test('whoever follows the log gets every event, however many and however slowly it reads, and late ones too', async (t) => {
  const { peer, server } = await serve(t);
  const gone = new AbortController();
  const answer = await fetch(`${server.url}/api/log/follow`, { signal: gone.signal });
  t.match(answer.headers.get('content-type'), /^text\/event-stream/);
  t.equal(peer.followers.size, 1, 'the peer is listened to as soon as it answers');
  // more than the sockets hold, so that the follower's queue has to wait for its reader
  const many = 20_000;
  for (let i = 1; i <= many; i++) peer.happen(i + 1, `star/anna/song/${i}`);
  peer.happen(1, 'star/ben/song/late');
  const reader = (answer.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
  const parts: string[] = [];
  while (!parts.slice(-2).join('').includes('late')) parts.push((await reader.read()).value ?? '');
  const lamports = [...parts.join('').matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json as string).lamport as number);
  t.same(lamports, [...Array.from({ length: many }, (_, i) => i + 2), 1]);
  gone.abort();
  while (peer.followers.size > 0) await sleep(5);
});

t.test('a follower that reads nothing is cut off, and one of another network too', async (t) => {
  const { peer, server } = await serve(t);
  const socket = connect(server.port, '127.0.0.1');
  socket.write('GET /api/log/follow HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(socket, 'readable');
  const event = () => ({ key: 'x'.repeat(200) }) as unknown as EventJson;
  const some = Array.from({ length: 1_000 }, () => event);
  for (let i = 0; i < 100 && peer.followers.size > 0; i++) {
    for (const follower of peer.followers) follower.came(some);
    await sleep(1);
  }
  while (peer.followers.size > 0) await sleep(5);
  socket.destroy();
  const answer = await fetch(`${server.url}/api/log/follow`);
  for (const follower of peer.followers) follower.over();
  t.match(await answer.text(), /^retry/, 'it ends');
  t.equal(peer.followers.size, 0);
});

t.test('a search checks its words and its page', async (t) => {
  const { ask } = await serve(t);
  t.equal((await ask('/api/search')).json.songs.length, 50);
  t.equal((await ask('/api/search?q=%E6%9E%97%E5%B0%8F%E9%9B%A8&limit=3')).json.songs.length, 3);
  t.equal((await ask('/api/search?offset=59')).json.songs.length, 1);
  for (const query of ['limit=0', 'limit=100000', 'limit=1.5', 'limit=x', 'offset=-1', `q=${'x'.repeat(513)}`, 'q=a&q=b', 'colour=red', '__proto__=1']) {
    t.same(failed(await ask(`/api/search?${query}`)), [400, 'BAD_USAGE'], query.slice(0, 20));
  }
});

t.test('what people make is read and written by name, by whoever may listen', async (t) => {
  const { peer, ask } = await serve(t);
  const [song] = peer.ids;
  const post = (path: string, body: object): Promise<Answer> => ask(path, { method: 'POST', body });
  const at = `/api/playlists/${FAKE_PLAYLIST}`;
  const [one, two] = FAKE_ITEMS;
  const device = 'd'.repeat(32);
  t.same((await ask('/api/profiles')).json, [{ id: 'anna', name: 'Anna' }]);
  t.equal((await ask('/api/playlists?profile=anna')).json[0].name, 'Road trip');
  t.same((await ask('/api/playlists?profile=Ben')).json, []);
  const page = (await ask(`${at}?limit=1&offset=1`)).json;
  t.equal(page.items.length, 1);
  t.equal(page.items[0].song, null, 'a song that nobody has is null, and stays');
  t.equal((await ask(at)).json.items[0].song.id, song);
  t.same((await post('/api/playlists', { profile: 'Anna', name: 'New', songs: [song] })).json, { id: FAKE_PLAYLIST, items: [], acknowledged: 'replicated' });
  t.equal((await post(`${at}/add`, { songs: [song, song], at: 0 })).json.items.length, 2);
  t.equal((await post(`${at}/remove`, { items: [one, two] })).json.removed, 2);
  t.same((await post(`${at}/move`, { item: one, to: 1 })).json, { acknowledged: 'replicated' });
  await post(`${at}/rename`, { name: 'Other' });
  await ask(`${at}/delete`, { method: 'POST' });
  t.equal((await ask('/api/stars?profile=Anna')).json.total, 2);
  await post('/api/stars', { profile: 'Anna', songs: [song], starred: false });
  t.equal((await ask('/api/ratings?profile=Anna')).json.ratings[0].rating, 5);
  await post('/api/ratings', { profile: 'Anna', song, rating: null });
  t.equal((await ask('/api/plays?profile=Anna')).json.plays[0].plays, 3);
  await post('/api/plays', { profile: 'Anna', song, listenedMs: 1_000 });
  t.same((await ask('/api/playback-sessions?profile=Anna')).json, []);
  await post('/api/playback-sessions', { profile: 'Anna', device, queue: [song], index: 0, positionMs: 5, playing: true });
  t.same(peer.calls, [
    `playlist ${FAKE_PLAYLIST} 1 1`,
    `playlist ${FAKE_PLAYLIST} 1000 0`,
    `create {"profile":"Anna","name":"New","songs":["${song}"]}`,
    `add ${FAKE_PLAYLIST} {"songs":["${song}","${song}"],"at":0}`,
    `remove ${FAKE_PLAYLIST} ["${one}","${two}"]`,
    `move ${FAKE_PLAYLIST} {"item":"${one}","to":1}`,
    `rename ${FAKE_PLAYLIST} Other`,
    `delete ${FAKE_PLAYLIST}`,
    `star Anna {"songs":["${song}"],"starred":false}`,
    `rate Anna {"song":"${song}","rating":null}`,
    `played Anna {"song":"${song}","listenedMs":1000}`,
    `session Anna {"device":"${device}","queue":["${song}"],"index":0,"positionMs":5,"playing":true}`,
  ]);
});

t.test('what is malformed or not allowed changes nothing that people made', async (t) => {
  const { peer, ask, own } = await serve(t);
  const [song] = peer.ids;
  const at = `/api/playlists/${FAKE_PLAYLIST}`;
  const bad: readonly [path: string, body: object][] = [
    ['/api/playlists', { name: 'x' }],
    ['/api/playlists', { profile: 'anna', name: '' }],
    ['/api/playlists', { profile: 'x'.repeat(1_000), name: 'x' }],
    ['/api/playlists', { profile: 'anna', name: 'x', songs: 'all' }],
    ['/api/playlists/short/add', { songs: [song] }],
    [`${at}/add`, { songs: [] }],
    [`${at}/add`, { songs: ['x'] }],
    [`${at}/add`, { songs: Array.from({ length: HTTP_SONGS_MAX + 1 }, () => song) }],
    [`${at}/add`, { songs: [song], at: -1 }],
    [`${at}/remove`, { items: [song] }],
    [`${at}/remove`, { positions: [1] }],
    [`${at}/move`, { item: FAKE_ITEMS[0], to: 'x' }],
    ['/api/stars', { profile: 'anna', songs: [song] }],
    ['/api/ratings', { profile: 'anna', song, rating: 6 }],
    ['/api/ratings', { profile: 'anna', song, rating: 0 }],
    ['/api/ratings', { profile: 'anna', song }],
    ['/api/plays', { profile: 'anna', song, listenedMs: -1 }],
    ['/api/playback-sessions', { profile: 'anna', device: 'x', queue: [], index: 0, positionMs: 0, playing: true }],
  ];
  for (const [path, body] of bad) {
    const answer = await ask(path, { method: 'POST', body });
    t.ok([400, 413].includes(answer.status), `${path} ${JSON.stringify(body).slice(0, 60)}: ${answer.status}`);
  }
  for (const query of ['/api/stars', '/api/stars?profile=', '/api/stars?profile=a&limit=0', '/api/plays?profile=a&profile=b']) t.same(failed(await ask(query)), [400, 'BAD_USAGE'], query);
  t.same(peer.calls, []);
  peer.open = false;
  for (const path of ['/api/profiles', '/api/playlists', at, '/api/stars?profile=a']) t.same(failed(await ask(path)), [403, 'FORBIDDEN'], `closed: ${path}`);
  t.same(failed(await ask(`${at}/delete`, { method: 'POST' })), [403, 'FORBIDDEN']);
  t.same(peer.calls, []);
  t.equal((await own(`${at}/delete`, { method: 'POST' })).status, 200);
});

t.test('copies are told to whoever listens, and decided by who has the token, within bounds', async (t) => {
  const { ask, own, peer } = await serve(t);
  const song = peer.ids[0] as string;
  t.match((await ask('/api/safe')).json, { wanted: 2, vanishing: null });
  t.equal((await ask(`/api/safe?peer=${song}`)).json.vanishing.total, 60);
  t.equal((await ask('/api/safe?peer=kitchen')).status, 400);
  for (const copies of [0, 9, 1.5, '3']) {
    const { status } = await own('/api/network/set', { method: 'POST', body: { copies } });
    t.equal(status, 400, JSON.stringify(copies));
  }
  t.same((await own('/api/network/set', { method: 'POST', body: { copies: 3 } })).json, { copies: 3, acknowledged: 'replicated' });
  t.same((await own('/api/pins', { method: 'POST', body: { song, pinned: true } })).json, { pinned: true, state: 'here' });
  t.match((await own('/api/pins')).json, [{ songId: song, state: 'here' }]);
  t.equal((await own('/api/pins', { method: 'POST', body: { song: 'f'.repeat(32), pinned: true } })).status, 404);
  t.match((await own('/api/leave', { method: 'POST', body: { leaving: true } })).json, { leaving: true, total: 60 });
  t.equal((await own('/api/leave', { method: 'POST', body: {} })).status, 400);
  t.same(peer.calls, ['copies 3', `pin ${song} true`, `pin ${'f'.repeat(32)} true`, 'leave true']);
});

t.test('the description lists every route, with its audience', async (t) => {
  const { ask } = await serve(t);
  const { json } = await ask('/api/openapi.json');
  t.equal(json.openapi, '3.1.0');
  const listed = Object.entries(json.paths as Record<string, object>).flatMap(([path, item]) => Object.keys(item).map((method) => `${method} ${path}`));
  for (const wantedRoute of [
    'get /healthz', 'get /metrics', 'get /login', 'get /api/session', 'get /api/status', 'get /api/roles', 'get /api/search', 'get /api/songs/{id}', 'get /api/songs/{id}/audio', 'get /api/sample',
    'post /api/play', 'get /play/{key}', 'get /api/events', 'get /api/log', 'get /api/log/follow', 'get /api/files', 'post /api/login-link', 'get /api/network', 'post /api/network/close', 'post /api/network/open',
    'post /api/network/join', 'post /api/forget', 'get /api/openapi.json', 'get /api/profiles', 'get /api/playlists', 'post /api/playlists', 'get /api/playlists/{id}',
    'post /api/playlists/{id}/add', 'post /api/playlists/{id}/remove', 'post /api/playlists/{id}/move', 'post /api/playlists/{id}/rename', 'post /api/playlists/{id}/delete',
    'get /api/stars', 'post /api/stars', 'get /api/ratings', 'post /api/ratings', 'get /api/plays', 'post /api/plays', 'get /api/playback-sessions', 'post /api/playback-sessions',
    'get /api/safe', 'get /api/pins', 'post /api/pins', 'get /api/leave', 'post /api/leave', 'post /api/network/set',
  ]) {
    t.ok(listed.includes(wantedRoute), wantedRoute);
  }
  t.equal(listed.length, 46);
  t.same(json.paths['/api/forget'].post.security, [{ token: [] }, { session: [] }]);
  t.equal(json.paths['/api/search'].get.parameters.length, 3);
  t.ok(json.paths['/api/status'].get.responses[200].content['application/json'].schema.properties.replication);
});

t.test('status and roles answer as the description says, with and without a coordinator', async (t) => {
  const { peer, ask } = await serve(t);
  const { paths } = (await ask('/api/openapi.json')).json;
  const isAsDescribed = async (path: string): Promise<boolean> => Check(paths[path].get.responses[200].content['application/json'].schema, (await ask(path)).json);
  t.ok(await isAsDescribed('/api/status'));
  t.ok(await isAsDescribed('/api/roles'));
  const { json } = await ask('/api/roles');
  t.same(json.map(({ role }: { role: string }) => role), ROLES, 'every role, whoever holds it');
  t.match(json[0], { name: 'studio', token: '3.1a2b3c4d.1', heldMs: 7_200_000, healthy: true, why: null, url: 'http://spotify-peer.local:7700/' });
  t.match(json[2], { name: 'kitchen', healthy: false, why: 'did not answer for 2 s' });
  t.match(json[3], { holder: null, name: '', healthy: null });
  const status = await peer.status();
  const none = { gateway: null, users: null, music: null, recommendations: null };
  peer.status = async () => ({ ...status, coordinator: null, election: 'electing', roles: none, leases: none, gatewayName: null });
  t.ok(await isAsDescribed('/api/status'));
  t.ok(await isAsDescribed('/api/roles'));
  peer.roles = async () => [{ role: 'users', holder: 'nobody', name: '', token: null, heldMs: null, healthy: null, why: null }];
  t.notOk(await isAsDescribed('/api/roles'), 'a holder is an id');
});

t.test('no answer carries a stack, whatever goes wrong', async (t) => {
  const { peer, ask, own, server } = await serve(t);
  peer.status = async () => {
    throw new TypeError('secret of the inside');
  };
  const broken = await ask('/api/status');
  t.same(failed(broken), [500, 'INTERNAL']);
  t.notMatch(broken.text, /secret|\.ts|\.js|at /);
  peer.status = async () => {
    throw new PeerError('DISK_FULL', 'no room in /home/nora');
  };
  t.notMatch((await ask('/api/status')).text, /nora/, 'nor a path of this machine');
  for (const [answer, status] of [
    [await ask('/api/nothing'), 404],
    [await ask('/no-such-file.js'), 404],
    [await ask('/../../../etc/passwd'), 404],
    [await ask('/%2e%2e/%2e%2e/package.json'), 404],
    [await ask('/%zz'), 400],
    [await ask('/api/status', { method: 'DELETE' }), 404],
    [await own('/api/forget', { method: 'POST', body: '{"peer":' }), 400],
    [await own('/api/forget', { method: 'POST', body: { peer: 'x'.repeat(20_000) } }), 413],
    [await own('/api/forget', { method: 'POST', body: '[]' }), 400],
    [await own('/api/forget', { method: 'POST', body: '{"__proto__":{"peer":1}}' }), 400],
  ] as const) {
    t.equal(answer.status, status);
    t.type(answer.json.error.code, 'string', answer.text);
    t.notMatch(answer.text, /node_modules|\.[jt]s:\d|FST_/);
    t.equal(answer.headers['x-content-type-options'], 'nosniff');
  }
  const socket = connect(server.port, '127.0.0.1');
  socket.end('\x16\x03\x01 this is not HTTP\r\n\r\n');
  const [reply] = (await once(socket, 'data')) as [Buffer];
  t.match(reply.toString(), /^HTTP\/1\.1 400/);
  t.notMatch(reply.toString(), /node_modules|\.js/);
});

t.test('pages are framed by nobody, run nothing foreign and are asked for again', async (t) => {
  const { ask } = await serve(t);
  const page = await ask('/');
  t.match(page.headers['content-type'], /^text\/html/);
  t.match(page.headers['content-security-policy'], /default-src 'self'/);
  t.match(page.headers['content-security-policy'], /frame-ancestors 'none'/);
  t.equal(page.headers['x-content-type-options'], 'nosniff');
  t.equal(page.headers['cross-origin-resource-policy'], 'same-origin');
  t.match(page.headers['cache-control'], /max-age=0/);
  t.equal((await ask('/', { headers: { 'if-none-match': page.headers.etag as string } })).status, 304);
  t.notMatch(page.text, /<script>|\sstyle="|\son\w+="|https?:\/\/(?!www\.w3\.org)/, 'no inline script, style or foreign address');
});

t.test('changes of one address are limited, and the limit wears off', async (t) => {
  const { own, advance } = await serve(t);
  const link = (): Promise<Answer> => own('/api/login-link', { method: 'POST' });
  for (let i = 0; i < HTTP_CHANGES_BURST; i++) t.equal((await link()).status, 200);
  while ((await link()).status === 200);
  t.same(failed(await link()), [429, 'BUSY']);
  advance(5_000);
  t.equal((await link()).status, 200);
});

t.test('with no music, the sample plays', async (t) => {
  const { ask } = await serve(t, { songs: 0 });
  const sample = await ask('/api/sample');
  t.equal(sample.headers['content-type'], 'audio/wav');
  t.equal(sample.body.subarray(0, 4).toString(), 'RIFF');
  t.equal(sample.body.length, Number(sample.headers['content-length']));
  const rich = await serve(t);
  t.equal((await rich.ask('/api/sample')).status, 404);
});

t.test('an address is [HOST:]PORT, and a taken port gives way only when nobody named it', async (t) => {
  t.same(parseHttpAddress('7700'), { port: 7700 });
  t.same(parseHttpAddress('127.0.0.1:0'), { host: '127.0.0.1', port: 0 });
  t.same(parseHttpAddress('[::1]:80'), { host: '::1', port: 80 });
  for (const text of ['', 'x', '70000', '1:2:3', 'host:', ':80', '-1']) t.throws(() => parseHttpAddress(text), { code: 'BAD_USAGE' }, text);
  t.equal(urlOf({ port: 80 }), 'http://127.0.0.1:80');
  t.equal(urlOf({ host: '::1', port: 80 }), 'http://[::1]:80');
  const [first, second, third] = [createServer(), createServer(), createServer()];
  t.teardown(() => [first, second, third].forEach((server) => server.close()));
  const { port } = await listen(first, { port: 0 });
  await t.rejects(listen(second, { port }), { code: 'PORT_TAKEN' });
  await t.rejects(listen(second, { host: '192.0.2.1', port: 0 }), { code: 'ADDRESS_INVALID' });
  const [one, two] = [await listen(second), await listen(third)];
  t.ok(one.port >= 7700 && two.port > one.port, `${one.port}, then ${two.port}`);
});

t.test('input schemas check what they say and refuse what they cannot check', async (t) => {
  const schema = {
    type: 'object',
    additionalProperties: false,
    required: ['id'],
    properties: {
      id: { type: 'string', pattern: '^[a-f]+$', minLength: 2 },
      n: { type: 'integer', minimum: 1 },
      yes: { type: 'boolean' },
      some: { type: 'array', items: { type: 'string', pattern: '^[a-f]+$' }, minItems: 1, maxItems: 2 },
      maybe: { type: ['integer', 'null'], minimum: 1, maximum: 5 },
    },
  } as const;
  const check = compileInput(schema, { texts: true });
  t.same(check({ id: 'abc', some: ['a', 'b'], maybe: null }), { id: 'abc', some: ['a', 'b'], maybe: null });
  t.same(check({ id: 'abc', maybe: 3 }), { id: 'abc', maybe: 3 });
  t.same(check({ id: 'abc', n: '7', yes: '1' }), { id: 'abc', n: 7, yes: true });
  for (const bad of [null, [], 'x', {}, { id: 'a' }, { id: 'xyz' }, { id: 'abc', n: 0 }, { id: 'abc', n: '1e3' }, { id: 'abc', n: '' }, { id: 'abc', yes: 'maybe' }, { id: 'abc', more: 1 }, { id: ['abc'] }, { id: null }, { id: 'abc', some: 'a' }, { id: 'abc', some: [] }, { id: 'abc', some: ['a', 'b', 'c'] }, { id: 'abc', some: [1] }, { id: 'abc', maybe: 6 }, { id: 'abc', maybe: 'null' }]) {
    t.throws(() => check(bad), { code: 'BAD_USAGE' }, JSON.stringify(bad));
  }
  const ofJson = compileInput(schema, { texts: false });
  t.same(ofJson({ id: 'abc', n: 7, yes: true }), { id: 'abc', n: 7, yes: true });
  for (const bad of [{ id: 'abc', n: '7' }, { id: 'abc', yes: '1' }]) t.throws(() => ofJson(bad), { code: 'BAD_USAGE' }, `${JSON.stringify(bad)}: JSON has numbers and booleans`);
  t.throws(() => compileInput({ type: 'object', additionalProperties: false, properties: { a: { type: 'string', format: 'date' } as never } }, { texts: true }));
  t.throws(() => compileInput({ type: 'object', additionalProperties: false, properties: { a: { type: 'array', items: { type: 'string' } } } }, { texts: true }), 'a list without a bound');
});
