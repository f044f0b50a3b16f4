// Connections between peers, on loopback: who gets in and who does not, requests both ways, flow control, faults.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { mock } from 'node:test';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import t from 'tap';
import { PeerError } from '../../lib/errors.ts';
import { generateIdentity, type Identity } from '../../lib/identity.ts';
import { type BootId, type PeerId, randomId } from '../../lib/ids.ts';
import { Keyring, ROTATION_MS } from '../../lib/keyring.ts';
import { CHUNK_BYTES, FRAME_BYTES_MAX, HANDSHAKES_PER_HOST_MAX, HELLO_BYTES_MAX, KEEPALIVE_MS, REQUESTS_IN_FLIGHT_MAX, STREAM_CREDIT_BYTES } from '../../lib/limits.ts';
import { closeNetwork, type Network, openNetwork } from '../../lib/network-key.ts';
import { Channel, type RemoteAddress } from '../../peer/stream/channel.ts';
import type { Connection, Handler } from '../../peer/stream/connection.ts';
import { BODY_BYTES_MAX, FRAME, FRAME_OVERHEAD_BYTES, type Frame, frameHeader, FrameReader, type FrameType } from '../../peer/stream/frame.ts';
import { shakeHands } from '../../peer/stream/handshake.ts';
import { PROTOCOL_VERSION } from '../../peer/stream/hello.ts';
import { Requester } from '../../peer/stream/requester.ts';
import { Streams } from '../../peer/stream/streams.ts';

const home = openNetwork('home');
const ring = (network: Network = home): Keyring => new Keyring(network, { wall: Date.now });
// P-256, self-signed, made for one test
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWi6kC9JUs+570UKl
ST7uroNj5nfUx0X/BuRv4rVq1sqhRANCAAR9VfxEfkb15nSEkdZp7kLOcDh9rOw1
U4lWchVvPxLFMDwObmkeIkYoDjP9hKXai4Ovrajv+DTOp4fO66lUaW7w
-----END PRIVATE KEY-----
`;
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUKfjuupubWnyZBFj0CDDfpctBarMwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjMxNDEyNDlaGA8yMTI2MTAzMDE0MTI0
OVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABH1V
/ER+RvXmdISR1mnuQs5wOH2s7DVTiVZyFW8/EsUwPA5uaR4iRigOM/2EpdqLg6+t
qO/4NM6nh87rqVRpbvCjUzBRMB0GA1UdDgQWBBRf9rb5wM38qZc+AeE2H04XOHoc
cjAfBgNVHSMEGDAWgBRf9rb5wM38qZc+AeE2H04XOHoccjAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIB0/FrNhFPu+jmjVVsCyk72XbtB3f9jfx/8C
PVeCXcUdAiBMEMohqs6LfCzygNQCy3Ujdmy9/GQsLPHafeknQ+t2vQ==
-----END CERTIFICATE-----
`;

const echo: Handler = (value) => ({ kind: 'value', value });

interface Peer {
  readonly streams: Streams;
  readonly identity: Identity;
  readonly address: RemoteAddress;
  readonly reported: unknown[];
  readonly handlers: Map<string, Handler>;
}

type Test = { readonly teardown: (action: () => unknown) => void };

async function startPeer(t: Test, { name = 'peer', keys = ring(), identity = generateIdentity(), handlers = {} }: { name?: string; keys?: Keyring; identity?: Identity; handlers?: Record<string, Handler> } = {}): Promise<Peer> {
  const reported: unknown[] = [];
  const map = new Map(Object.entries<Handler>({ echo, ...handlers }));
  const streams = new Streams({
    self: { identity, bootId: randomId<BootId>(), describe: () => ({ name, port: 17784, httpPort: 7700 }) },
    keys,
    handlers: map,
    report: (error) => reported.push(error),
  });
  t.teardown(() => streams.close());
  const port = await streams.listen({ host: '127.0.0.1', port: 0 });
  return { streams, identity, address: { host: '127.0.0.1', port }, reported, handlers: map };
}

const dial = (from: Peer, to: Peer): Promise<Connection> => from.streams.dial(to.address, { purpose: 'control', expect: to.identity.peer });

/** Two peers and the connection between them, from either end. */
async function startPair(t: Test, handlers: Record<string, Handler> = {}): Promise<{ readonly ann: Peer; readonly ben: Peer; readonly there: Connection; readonly back: Connection }> {
  const [ann, ben] = [await startPeer(t, { name: 'ann', handlers }), await startPeer(t, { name: 'ben', handlers })];
  const there = await dial(ann, ben);
  return { ann, ben, there, back: ben.streams.connectionTo(ann.identity.peer, 'control') as Connection };
}

/** A client that holds the network's key and may then send what it likes. */
async function rogue(to: RemoteAddress, identity = generateIdentity()): Promise<{ readonly channel: Channel; readonly frames: Frame[] }> {
  const channel = Channel.connect(to, ring().current);
  const self = { identity, bootId: randomId<BootId>(), describe: () => ({ name: 'rogue', port: 0, httpPort: 0 }) };
  const frames: Frame[] = [];
  await shakeHands(channel, { self, timeoutMs: 5_000 }, 'control', () => channel.listen((frame) => frames.push(frame), FRAME_BYTES_MAX));
  return { channel, frames };
}

/** What `serve` does with each call, on a port of its own. */
async function listenRaw(t: Test, serve: (server: Server) => void): Promise<RemoteAddress> {
  const server = createServer();
  serve(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

/** Lets both ends of a connection do all that they can do without further input. */
async function settle(connection: Connection): Promise<void> {
  for (let i = 0; i < 20; i++) await connection.request('echo', i);
}

const deferred = <T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } => {
  let resolve!: (value: T) => void;
  return { promise: new Promise<T>((done) => (resolve = done)), resolve };
};

// --- frames

t.test('frames come out as they went in, however the bytes were cut, by either way of reading', async () => {
  const anyFrame = fc.record({
    type: fc.constantFrom(...Object.values(FRAME)),
    id: fc.nat(0xffff_ffff),
    body: fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.nat(BODY_BYTES_MAX).map((bytes) => new Uint8Array(bytes).fill(bytes))),
  });
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 10 }), fc.boolean(), (frames, cuts, direct) => {
      const bytes = Buffer.concat(frames.flatMap(({ type, id, body }) => [frameHeader(type, id, body.length), body]));
      const read: Frame[] = [];
      const reader = new FrameReader({ bytesMax: FRAME_BYTES_MAX, onFrame: (frame) => read.push(frame) });
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const some = bytes.subarray(at, at + (cuts[i % cuts.length] as number));
        if (direct) {
          const taken = some.copy(reader.space());
          reader.filled(taken);
          at += taken;
        } else {
          reader.push(some);
          at += some.length;
        }
      }
      return read.length === frames.length && read.every((frame, i) => frame.type === frames[i]?.type && frame.id === frames[i]?.id && Buffer.compare(frame.body, frames[i]?.body as Uint8Array) === 0);
    }),
    { numRuns: 60 },
  );
});

t.test('random bytes make a reader throw BAD_FRAME or wait, and nothing else', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
      const reader = new FrameReader({ bytesMax: HELLO_BYTES_MAX, onFrame: () => {} });
      try {
        reader.push(bytes);
      } catch (error) {
        return error instanceof PeerError && error.code === 'BAD_FRAME';
      }
      return true;
    }),
  );
});

// --- who gets in

t.test('both ends of a connection know who the other is', async (t) => {
  const { ann, ben, there, back } = await startPair(t);
  t.match(there, { hello: { peer: ben.identity.peer, name: 'ben', port: 17784, httpPort: 7700, version: PROTOCOL_VERSION }, dialled: true, purpose: 'control', remote: ben.address });
  t.match(back, { hello: { peer: ann.identity.peer, name: 'ann' }, dialled: false, purpose: 'control' });
  await settle(there);
  t.ok((there.rttMs as number) > 0);
});

t.test('who holds another key fails in the handshake, and is told so in one line', async (t) => {
  const ben = await startPeer(t);
  const stranger = await startPeer(t, { keys: ring(closeNetwork('home')) });
  const refused = once(ben.streams, 'refused');
  await t.rejects(stranger.streams.dial(ben.address, { purpose: 'control' }), { code: 'HANDSHAKE_FAILED', message: /does not hold the key of this network$/ });
  t.match(await refused, [{ code: 'HANDSHAKE_FAILED' }]);
  t.equal(ben.streams.connections.size, 0);
  t.equal(ben.streams.counts.handshakesFailed, 1);
});

t.test('who has the right key under a wrong network hash, or the hash without the key, fails too', async (t) => {
  const ben = await startPeer(t);
  const { current } = ring();
  for (const keys of [{ ...current, hash: '00000000' }, { ...current, psk: Buffer.alloc(32) }]) {
    const channel = Channel.connect(ben.address, keys);
    await t.rejects(channel.keyed, { code: 'HANDSHAKE_FAILED' });
  }
});

t.test('a server with a certificate instead of the key is refused', async (t) => {
  const address = await new Promise<RemoteAddress>((resolve) => {
    const server = tls.createServer({ key: KEY, cert: CERTIFICATE, minVersion: 'TLSv1.3' }, (socket) => socket.on('error', () => {}));
    server.on('tlsClientError', () => {});
    t.teardown(() => server.close());
    server.listen(0, '127.0.0.1', () => resolve({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }));
  });
  const ann = await startPeer(t);
  await t.rejects(ann.streams.dial(address, { purpose: 'control' }), { code: 'HANDSHAKE_FAILED' });
});

t.test('streams have forward secrecy: the keys of a session come from a fresh exchange as well', async (t) => {
  const address = await listenRaw(t, (server) => server.on('connection', (socket) => Channel.accept(socket, ring())));
  const { current } = ring();
  const socket = tls.connect({
    ...address,
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256',
    pskCallback: () => ({ psk: current.psk as NodeJS.ArrayBufferView, identity: current.hash }),
  } as tls.ConnectionOptions);
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  t.match(socket.getEphemeralKeyInfo(), { type: 'ECDH' });
  socket.destroy();
});

t.test('a proof that is sent back to its writer is refused', async (t) => {
  const ann = await startPeer(t);
  const mirror = await listenRaw(t, (server) =>
    server.on('connection', (socket) => {
      const channel = Channel.accept(socket, ring());
      channel.listen((frame) => channel.send(frame.type, frame.id, frame.body));
    }),
  );
  await t.rejects(ann.streams.dial(mirror, { purpose: 'control' }), { code: 'BAD_PROOF' });
});

t.test('a man in the middle who holds the network\'s key cannot pass the proofs of two peers on', async (t) => {
  const [ann, ben] = [await startPeer(t), await startPeer(t)];
  const middle = await listenRaw(t, (server) =>
    server.on('connection', (socket) => {
      const [left, right] = [Channel.accept(socket, ring()), Channel.connect(ben.address, ring().current)];
      left.listen((frame) => void right.keyed.then(() => right.send(frame.type, frame.id, frame.body), () => {}));
      right.listen((frame) => left.send(frame.type, frame.id, frame.body));
    }),
  );
  const refused = once(ben.streams, 'refused');
  await t.rejects(ann.streams.dial(middle, { purpose: 'control', expect: ben.identity.peer }), { code: 'BAD_PROOF' });
  t.match(await refused, [{ code: 'BAD_PROOF' }]);
});

t.test('a proof that a peer gave to the man in the middle does not serve towards others', async (t) => {
  const [ann, ben] = [await startPeer(t), await startPeer(t)];
  const bens = deferred<Frame>();
  const channel = Channel.connect(ben.address, ring().current);
  const self = { identity: generateIdentity(), bootId: randomId<BootId>(), describe: () => ({ name: 'm', port: 0, httpPort: 0 }) };
  const listen = channel.listen.bind(channel);
  channel.listen = (receive, bytesMax) => listen((frame) => (frame.type === FRAME.hello && bens.resolve(frame), receive(frame)), bytesMax);
  await shakeHands(channel, { self, timeoutMs: 5_000 }, 'control', () => {});
  const proof = await bens.promise;
  const middle = await listenRaw(t, (server) =>
    server.on('connection', (socket) => {
      const caught = Channel.accept(socket, ring());
      caught.listen(() => caught.send(FRAME.hello, 0, proof.body));
    }),
  );
  await t.rejects(ann.streams.dial(middle, { purpose: 'control', expect: ben.identity.peer }), { code: 'BAD_PROOF' });
  channel.close(new PeerError('CLOSED', 'done'));
});

t.test('another peer than the expected one, oneself and one\'s clone are refused by their own codes', async (t) => {
  const [ann, ben] = [await startPeer(t), await startPeer(t)];
  await t.rejects(ann.streams.dial(ben.address, { purpose: 'control', expect: randomId<PeerId>() }), { code: 'WRONG_PEER' });
  await t.rejects(ann.streams.dial(ann.address, { purpose: 'control' }), { code: 'SELF' });
  const clone = await startPeer(t, { identity: ann.identity });
  await t.rejects(clone.streams.dial(ann.address, { purpose: 'control' }), { code: 'CLONE' });
});

t.test('an address where nobody listens, and a port that is taken, say so', async (t) => {
  const ann = await startPeer(t);
  const gone = await startPeer(t);
  await gone.streams.close();
  await t.rejects(ann.streams.dial(gone.address, { purpose: 'control' }), { code: 'CONNECTION_REFUSED' });
  const late = await startPeer(t);
  await t.rejects(late.streams.listen(ann.address), { code: 'PORT_TAKEN', message: /--port/ });
});

t.test('while a key is rotated, peers with the old and the new one meet; afterwards no more', async (t) => {
  let now = 0;
  const [older, newer] = [closeNetwork('home'), closeNetwork('home')];
  const rotated = new Keyring(older, { wall: () => now });
  rotated.rotate(newer);
  const ann = await startPeer(t, { keys: rotated });
  const ben = await startPeer(t, { keys: ring(older) });
  await dial(ben, ann);
  await dial(ann, ben);
  now = ROTATION_MS;
  await t.rejects(dial(ben, ann), { code: 'HANDSHAKE_FAILED' });
  await t.rejects(dial(ann, ben), { code: 'HANDSHAKE_FAILED' });
});

t.test('calls that say nothing end in time, and are bounded for each address', async (t) => {
  const address = await listenRaw(t, (server) =>
    server.on('connection', (socket) => {
      const self = { identity: generateIdentity(), bootId: randomId<BootId>(), describe: () => ({ name: '', port: 0, httpPort: 0 }) };
      shakeHands(Channel.accept(socket, ring()), { self, timeoutMs: 50 }, undefined, () => {}).catch((error) => t.match(error, { code: 'TIMED_OUT' }));
    }),
  );
  const silent = connect(address).on('error', () => {});
  await once(silent, 'close');
  const ben = await startPeer(t);
  const calls = Array.from({ length: HANDSHAKES_PER_HOST_MAX }, () => connect(ben.address).on('error', () => {}));
  await Promise.all(calls.map((call) => once(call, 'connect')));
  const onceMore = connect(ben.address).on('error', () => {});
  await once(onceMore, 'close');
  t.equal(ben.streams.counts.turnedAway, 1);
  for (const call of calls) call.destroy();
});

t.test('a dial is called off while it is answered by nobody, and not once it has become a connection', async (t) => {
  const address = await listenRaw(t, () => {});
  const ann = await startPeer(t);
  const over = new AbortController();
  const silent = ann.streams.dial(address, { purpose: 'control', signal: over.signal });
  const early = t.rejects(silent, { code: 'CANCELLED' });
  setImmediate(() => over.abort());
  await early;
  await t.rejects(ann.streams.dial(address, { purpose: 'control', signal: over.signal }), { code: 'CANCELLED' });
  const ben = await startPeer(t);
  const enough = new AbortController();
  ann.streams.once('opened', () => enough.abort());
  const there = await ann.streams.dial(ben.address, { purpose: 'control', signal: enough.signal });
  t.equal(await there.request('echo', 1), 1);
});

// --- requests

t.test('requests go both ways at once, and each answer finds its question', async (t) => {
  const { there, back } = await startPair(t);
  const answers = await Promise.all([there, back].flatMap((connection) => Array.from({ length: 100 }, (_, i) => connection.request('echo', { i }))));
  t.strictSame(answers, [0, 1].flatMap(() => Array.from({ length: 100 }, (_, i) => ({ i }))));
});

t.test('raw bytes arrive as they were sent, large and empty', async (t) => {
  const { there, back } = await startPair(t, {
    bytes: (length) => ({ kind: 'bytes', bytes: Buffer.alloc(length as number, (length as number) % 251) }),
  });
  for (const connection of [there, back]) {
    for (const length of [0, 1, 1024, 1025, CHUNK_BYTES, BODY_BYTES_MAX]) {
      const bytes = await connection.requestBytes('bytes', length);
      if (Buffer.compare(bytes, Buffer.alloc(length, length % 251)) !== 0) t.fail(`${length} bytes`);
    }
    await t.rejects(connection.requestBytes('bytes', BODY_BYTES_MAX + 1), { code: 'TOO_LARGE' });
    await t.rejects(connection.request('bytes', 1), { code: 'BAD_FRAME' }, 'an answer of another kind');
  }
});

t.test('a PeerError travels with its code; a bug travels as INTERNAL and is reported where it is', async (t) => {
  const { ben, there } = await startPair(t, {
    missing: () => {
      throw new PeerError('NOT_FOUND', 'no such song');
    },
    bug: async () => {
      throw new TypeError('secret of the house');
    },
  });
  await t.rejects(there.request('missing', null), { code: 'NOT_FOUND', message: 'no such song' });
  const told = await there.request('bug', null).then(() => new PeerError('INTERNAL', 'it answered'), (error: PeerError) => error);
  t.not(told.message, 'it answered');
  t.match(told, { code: 'INTERNAL' });
  t.notMatch(String(told.message), /secret/);
  t.match(ben.reported, [{ message: 'secret of the house' }]);
  await t.rejects(there.request('unheard-of', null), { code: 'UNSUPPORTED' });
});

t.test('a notice reaches its handler, and a bug there closes nothing', async (t) => {
  const heard = deferred<unknown>();
  const { ben, there } = await startPair(t, {
    notice: (params) => {
      heard.resolve(params);
      throw new TypeError('bug');
    },
  });
  there.notify('notice', { x: 1 });
  t.strictSame(await heard.promise, { x: 1 });
  await settle(there);
  t.equal(ben.reported.length, 1);
});

t.test('a request that is cancelled or times out stops the handler\'s work', async (t) => {
  const aborted: string[] = [];
  const { there } = await startPair(t, {
    hang: (name, { signal }) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          aborted.push(name as string);
          reject(signal.reason);
        }),
      ),
  });
  const abort = new AbortController();
  const cancelled = there.request('hang', 'cancelled', { signal: abort.signal });
  abort.abort();
  await t.rejects(cancelled, { code: 'CANCELLED' });
  await t.rejects(there.request('hang', 'late', { timeoutMs: 30 }), { code: 'TIMED_OUT', message: /hang/ });
  await t.rejects(there.request('echo', 1, { signal: abort.signal }), { code: 'CANCELLED' }, 'an aborted signal asks nothing');
  await settle(there);
  t.strictSame(aborted, ['cancelled', 'late']);
});

t.test('on a line that takes nothing, what is given up is not asked for later, and no cancel goes before its request', async (t) => {
  const sent: [FrameType, number][] = [];
  let drain = (): void => {};
  const drained = new Promise<void>((resolve) => (drain = resolve));
  let congested = true;
  const channel = {
    send: (type: FrameType, id: number) => sent.push([type, id]),
    async sendContent(type: FrameType, id: number, _body: Uint8Array, { wanted, queued }: { wanted?: { aborted: boolean }; queued?: () => void } = {}) {
      if (congested) await drained;
      if (wanted?.aborted) return;
      queued?.();
      sent.push([type, id]);
    },
  };
  const requester = new Requester(channel as unknown as Channel);
  const abort = new AbortController();
  const late = requester.bytes('chunk', [], { timeoutMs: 20 });
  const called = requester.bytes('chunk', [], { signal: abort.signal });
  const streamed = requester.stream('count', [], { signal: abort.signal }).next();
  const other = requester.bytes('chunk', [], {});
  await t.rejects(late, { code: 'TIMED_OUT' });
  abort.abort();
  await t.rejects(called, { code: 'CANCELLED' });
  congested = false;
  drain();
  await t.rejects(streamed, { code: 'CANCELLED' });
  t.strictSame(sent, [[FRAME.request, 4]]);
  requester.take({ type: FRAME.bytes, id: 4, body: Buffer.alloc(1) });
  await other;
  const given = new AbortController();
  const up = requester.bytes('chunk', [], { signal: given.signal });
  given.abort();
  await t.rejects(up, { code: 'CANCELLED' });
  t.strictSame(sent.slice(1), [[FRAME.request, 5], [FRAME.cancel, 5]], 'one that went out is cancelled, in the same turn too');
});

t.test('who answers with bytes is told whether they went out', async (t) => {
  const told: (string | undefined)[] = [];
  const { there } = await startPair(t, {
    give: () => ({ kind: 'bytes', bytes: Buffer.alloc(5_000), sent: (failure) => told.push(failure?.message) }),
    late: (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve({ kind: 'bytes', bytes: Buffer.alloc(9), sent: (failure) => told.push((failure as PeerError).code) }))),
  });
  await there.requestBytes('give', null);
  const abort = new AbortController();
  const cancelled = there.requestBytes('late', null, { signal: abort.signal });
  await settle(there);
  abort.abort();
  await t.rejects(cancelled, { code: 'CANCELLED' });
  await settle(there);
  t.strictSame(told, [undefined, 'CANCELLED']);
});

t.test('requests under way are bounded at both ends', async (t) => {
  const { ben, there } = await startPair(t, { hang: () => new Promise(() => {}) });
  const hanging = Array.from({ length: REQUESTS_IN_FLIGHT_MAX }, () => there.request('hang', null).catch(({ code }) => code));
  await t.rejects(there.request('echo', 1), { code: 'BUSY' });
  const { channel, frames } = await rogue(ben.address);
  const request = Buffer.from([0x82, 0x64, ...Buffer.from('hang'), 0xf6]);
  for (let id = 1; id <= REQUESTS_IN_FLIGHT_MAX + 3; id++) channel.send(FRAME.request, id, request);
  channel.send(FRAME.ping, 0);
  while (!frames.some(({ type }) => type === FRAME.pong)) await new Promise(setImmediate);
  t.equal(frames.filter(({ type }) => type === FRAME.failed).length, 3);
  channel.close(new PeerError('CLOSED', 'done'));
  there.close();
  t.strictSame(new Set(await Promise.all(hanging)), new Set(['CLOSED']));
});

// --- streamed answers

const counting = (state: { produced: number; stopped: boolean }, bytes: number): Handler => () => ({
  kind: 'stream',
  frames: (async function* () {
    try {
      for (let i = 0; i < 1_000; i++) {
        state.produced += 1;
        yield Buffer.alloc(bytes, i);
      }
    } finally {
      state.stopped = true;
    }
  })(),
});

t.test('a streamed answer arrives whole and in order', async (t) => {
  const { there, back } = await startPair(t, { count: counting({ produced: 0, stopped: false }, 3_000) });
  for (const connection of [there, back]) {
    let expected = 0;
    for await (const part of connection.requestStream('count', null)) {
      if (part.length !== 3_000 || part[0] !== expected % 256 || part[2_999] !== expected % 256) t.fail(`part ${expected}`);
      expected += 1;
    }
    t.equal(expected, 1_000);
  }
});

t.test('a slow reader holds its producer back, and nobody else', async (t) => {
  const state = { produced: 0, stopped: false };
  const { there } = await startPair(t, { count: counting(state, CHUNK_BYTES) });
  const parts = there.requestStream('count', null);
  await parts.next();
  await settle(there);
  const bytes = (state.produced - 2) * CHUNK_BYTES;
  t.ok(bytes <= STREAM_CREDIT_BYTES, `${bytes} bytes ahead of the reader`);
  t.ok(bytes >= STREAM_CREDIT_BYTES / 2, 'and not much less');
  let read = 1;
  for await (const _ of parts) read += 1;
  t.equal(read, 1_000);
});

t.test('leaving a stream early stops its producer', async (t) => {
  const state = { produced: 0, stopped: false };
  const { there } = await startPair(t, { count: counting(state, CHUNK_BYTES) });
  for await (const _ of there.requestStream('count', null)) break;
  await settle(there);
  t.ok(state.stopped);
  t.ok(state.produced < 100, `${state.produced} parts were made`);
});

t.test('a stream that fails or falls silent in the middle throws after its last part', async (t) => {
  const { there } = await startPair(t, {
    fail: () => ({
      kind: 'stream',
      frames: (async function* () {
        yield Buffer.from('x');
        throw new PeerError('FILE_CHANGED', 'the file has changed');
      })(),
    }),
    silence: () => ({
      kind: 'stream',
      frames: (async function* () {
        yield Buffer.from('x');
        await new Promise(() => {});
      })(),
    }),
  });
  for (const [method, code] of [['fail', 'FILE_CHANGED'], ['silence', 'TIMED_OUT']] as const) {
    let read = 0;
    const reading = (async () => {
      for await (const _ of there.requestStream(method, null, { timeoutMs: 30 })) read += 1;
    })();
    await t.rejects(reading, { code });
    t.equal(read, 1);
  }
});

// --- faults

t.test('garbage, oversized frames, parts beyond their credit and ids in use close the connection and are counted', async (t) => {
  const ben = await startPeer(t, { handlers: { hang: () => new Promise(() => {}) } });
  const hang = Buffer.from([0x82, 0x64, ...Buffer.from('hang'), 0xf6]);
  const attacks: readonly (readonly [string, (channel: Channel) => void])[] = [
    ['an unknown type', (channel) => channel.send(99 as FrameType, 1)],
    ['an oversized frame', (channel) => channel.send(FRAME.bytes, 1, new Uint8Array(BODY_BYTES_MAX + 1))],
    ['a second hello', (channel) => channel.send(FRAME.hello, 0)],
    ['a request that is no CBOR', (channel) => channel.send(FRAME.request, 1, Buffer.from([0xff, 0xff]))],
    ['credit without a number', (channel) => channel.send(FRAME.credit, 1)],
    ['an id in use', (channel) => [1, 1].forEach((id) => channel.send(FRAME.request, id, hang))],
  ];
  for (const [index, [what, attack]] of attacks.entries()) {
    const { channel, frames } = await rogue(ben.address);
    const closed = once(ben.streams, 'closed');
    attack(channel);
    t.match(await closed, [{}, { code: 'BAD_FRAME' }], what);
    t.equal(ben.streams.counts.badFrames, index + 1);
    await channel.closed;
    t.equal(frames.at(-1)?.type, FRAME.failed, 'and its writer is told');
  }
  t.equal(ben.streams.connections.size, 0);
});

t.test('before the hello not even 5 KiB are read', async (t) => {
  const ben = await startPeer(t);
  const channel = Channel.connect(ben.address, ring().current);
  await channel.keyed;
  const refused = once(ben.streams, 'refused');
  channel.send(FRAME.hello, 0, new Uint8Array(HELLO_BYTES_MAX - FRAME_OVERHEAD_BYTES + 1));
  t.match(await refused, [{ code: 'BAD_FRAME' }]);
});

t.test('who sends parts beyond its credit is cut off by the reader', async (t) => {
  const ann = await startPeer(t);
  const flooding = await listenRaw(t, (server) =>
    server.on('connection', (socket) => {
      const channel = Channel.accept(socket, ring());
      const self = { identity: generateIdentity(), bootId: randomId<BootId>(), describe: () => ({ name: 'flood', port: 0, httpPort: 0 }) };
      void shakeHands(channel, { self, timeoutMs: 5_000 }, undefined, () =>
        channel.listen(({ type, id }) => {
          if (type !== FRAME.request) return;
          for (let bytes = 0; bytes <= STREAM_CREDIT_BYTES; bytes += CHUNK_BYTES) channel.send(FRAME.part, id, new Uint8Array(CHUNK_BYTES));
        }, FRAME_BYTES_MAX),
      );
    }),
  );
  const connection = await ann.streams.dial(flooding, { purpose: 'bulk' });
  const parts = connection.requestStream('flood', null);
  const first = parts.next();
  t.match(await connection.closed, { code: 'BAD_FRAME', message: 'a part beyond its credit' });
  await first.catch(() => {});
  t.equal(ann.streams.counts.badFrames, 1);
});

t.test('the newest living connection to a peer is the one that is used', async (t) => {
  const { ann, ben, there } = await startPair(t);
  const second = await dial(ben, ann);
  const newest = ann.streams.connectionTo(ben.identity.peer, 'control') as Connection;
  t.not(newest, there);
  t.equal(ann.streams.connectionTo(ben.identity.peer, 'bulk'), undefined);
  const gone = once(ann.streams, 'closed');
  second.close();
  t.match(await second.closed, { code: 'CLOSED' });
  await gone;
  t.equal(ann.streams.connectionTo(ben.identity.peer, 'control'), there);
  await t.rejects(newest.request('echo', 1), { code: 'CLOSED' });
});

t.test('a peer that is stopped or unplugged is noticed by its silence', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  const ann = await startPeer(t);
  const mute = await listenRaw(t, (server) =>
    server.on('connection', (socket) => {
      const channel = Channel.accept(socket, ring());
      const self = { identity: generateIdentity(), bootId: randomId<BootId>(), describe: () => ({ name: 'mute', port: 0, httpPort: 0 }) };
      void shakeHands(channel, { self, timeoutMs: 5_000 }, undefined, () => channel.listen(() => {}, FRAME_BYTES_MAX));
    }),
  );
  const connection = await ann.streams.dial(mute, { purpose: 'control' });
  mock.timers.tick(KEEPALIVE_MS);
  mock.timers.tick(KEEPALIVE_MS);
  mock.timers.tick(KEEPALIVE_MS);
  t.match(await connection.closed, { code: 'TIMED_OUT' });
});

async function spawnPeer(t: Test): Promise<{ readonly address: RemoteAddress; readonly kill: () => void }> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('../fixtures/stream-server.js', import.meta.url))], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = await once(child.stdout, 'data');
  return { address: { host: '127.0.0.1', port: Number(String(line)) }, kill: () => child.kill('SIGKILL') };
}

t.test('when the other process is killed, what waits for it fails at once with CONNECTION_LOST', async (t) => {
  const ann = await startPeer(t);
  const { address, kill } = await spawnPeer(t);
  const connection = await ann.streams.dial(address, { purpose: 'control' });
  const waiting = [connection.request('hang', 1), connection.requestBytes('hang', 1), connection.requestStream('hang', 1).next()];
  const failed = Promise.all(waiting.map((request) => t.rejects(request, { code: 'CONNECTION_LOST' })));
  kill();
  await failed;
  t.match(await connection.closed, { code: 'CONNECTION_LOST' });
});

t.test('chunks come from another process, sixteen at a time', async (t) => {
  const ann = await startPeer(t);
  const { address } = await spawnPeer(t);
  const connection = await ann.streams.dial(address, { purpose: 'bulk' });
  const started = performance.now();
  let left = 1_600;
  let bytes = 0;
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (left-- > 0) {
        const chunk = await connection.requestBytes('chunk', null);
        bytes += chunk.byteLength;
      }
    }),
  );
  t.equal(bytes, 1_600 * CHUNK_BYTES);
  t.comment(`${Math.round(bytes / 1_000 / (performance.now() - started))} MB/s`);
});
