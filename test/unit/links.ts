import { EventEmitter, once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { AddressBook } from '../../discovery/address-book.ts';
import { PeerError } from '../../lib/errors.ts';
import { type BootId, type PeerId, randomId } from '../../lib/ids.ts';
import { generateIdentity } from '../../lib/identity.ts';
import { Keyring } from '../../lib/keyring.ts';
import { openNetwork } from '../../lib/network-key.ts';
import { systemClock } from '../../lib/time.ts';
import { Links } from '../../peer/links.ts';
import type { Connection, Handler } from '../../peer/stream/connection.ts';
import { Streams } from '../../peer/stream/streams.ts';

const NOBODYS_PORT = 17_784;

/** Each answers when it is told to. */
interface Dial {
  readonly signal: AbortSignal | undefined;
  readonly answers: (connection: Connection) => void;
  readonly fails: (error: PeerError) => void;
}

// most wait for what does not happen
t.jobs = 8;

class Room {
  readonly links: Links;
  readonly book: AddressBook;
  readonly dials: Dial[] = [];
  #living: Connection | undefined;
  readonly #streams = Object.assign(new EventEmitter(), {
    connections: new Set<Connection>(),
    connectionTo: () => this.#living,
    dial: (_: unknown, { signal }: { readonly signal?: AbortSignal }) => new Promise((answers, fails) => this.dials.push({ signal, answers, fails })),
  });

  constructor(t: Test, self = randomId<PeerId>()) {
    const streams = this.#streams as unknown as Streams;
    this.book = new AddressBook({ self });
    this.links = new Links({ self, streams, book: this.book, clock: systemClock, advertised: [], living: () => [] });
    t.teardown(() => this.links.stop());
  }

  /** Somebody calls, or has answered our call, and is asked where others are. */
  async call(peer: PeerId, host: string, { tells = [], dialled = false, bootId = randomId<BootId>(), port = NOBODYS_PORT }: { readonly tells?: readonly unknown[]; readonly dialled?: boolean; readonly bootId?: BootId; readonly port?: number } = {}): Promise<Connection> {
    const hello = { peer, bootId, port };
    const request = (): Promise<unknown> => Promise.resolve(tells);
    const connection = { hello, purpose: 'control', dialled, remote: { host, port: 40_000 }, request } as unknown as Connection;
    this.#living = connection;
    this.#streams.emit('opened', connection);
    await new Promise(setImmediate);
    return connection;
  }

  /** They are all gone before anybody hears of the first. */
  closed(connections: readonly Connection[]): void {
    this.#living = undefined;
    for (const connection of connections) this.#streams.emit('closed', connection);
  }

  /** What it answers to somebody at `host`. */
  async tells(host: string): Promise<unknown> {
    const handler = this.links.handlers().get('addresses');
    const reply = await handler?.([], { remote: { host, port: 40_000 } } as never);
    return reply?.kind === 'value' ? reply.value : undefined;
  }
}

t.test('of two that call in one moment each is told of the other, whoever asks first', { buffered: true }, async (t) => {
  const room = new Room(t);
  const [a, b] = [randomId<PeerId>(), randomId<PeerId>()];
  await Promise.all([room.call(a, '192.0.2.1'), room.call(b, '192.0.2.2')]);
  t.same(await room.tells('192.0.2.1'), [[b, '192.0.2.2', NOBODYS_PORT], [a, '192.0.2.1', NOBODYS_PORT]]);
});

t.test('what a peer says of itself is told to others, what it says of third parties is not', { buffered: true }, async (t) => {
  const room = new Room(t);
  const [a, third] = [randomId<PeerId>(), randomId<PeerId>()];
  await room.call(a, '192.0.2.1', { tells: [[a, '198.51.100.7', 17_000], [third, '198.51.100.8', 17_001]] });
  t.same(await room.tells('192.0.2.9'), [[a, '198.51.100.7', 17_000], [a, '192.0.2.1', NOBODYS_PORT]]);
});

const LEAST = '0'.repeat(32) as PeerId;
const GREATEST = 'f'.repeat(32) as PeerId;
/** Longer than the last dial of a reconnection waits. */
const DIALS_MS = 600;

/** Two peers that were connected `times` times when all of it closed at once, some time ago. */
async function parted(t: Test, self: PeerId, peer: PeerId, times: number): Promise<{ readonly room: Room; readonly unlinked: { readonly refused: boolean }[]; readonly bootId: BootId }> {
  const room = new Room(t, self);
  const unlinked: { readonly refused: boolean }[] = [];
  room.links.on('unlinked', (news) => unlinked.push(news));
  const bootId = randomId<BootId>();
  const connections: Connection[] = [];
  for (let i = 0; i < times; i++) connections.push(await room.call(peer, '127.0.0.1', { bootId }));
  room.closed(connections);
  await new Promise((resolve) => setTimeout(resolve, DIALS_MS));
  return { room, unlinked, bootId };
}

t.test('who was connected many times over is dialled as often as who was connected once, and told of once', { buffered: true }, async (t) => {
  const { room, unlinked } = await parted(t, LEAST, GREATEST, 50);
  const { room: once } = await parted(t, LEAST, GREATEST, 1);
  t.ok(once.dials.length > 0);
  t.equal(room.dials.length, once.dials.length);
  for (const { fails } of room.dials) fails(new PeerError('TIMED_OUT', 'nobody answered'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(unlinked.length, 1);
});

t.test('the first dial that is answered calls the others off, and so does a call of who goes first', { buffered: true }, async (t) => {
  const states = async (self: PeerId, peer: PeerId, dialled: boolean): Promise<unknown> => {
    const { room, unlinked, bootId } = await parted(t, self, peer, 1);
    await room.call(peer, '127.0.0.1', { bootId, dialled });
    const aborted = new Set(room.dials.map(({ signal }) => signal?.aborted));
    return { aborted: [...aborted], unlinked };
  };
  const off = { aborted: [true], unlinked: [] };
  t.same(await states(LEAST, GREATEST, true), off);
  t.same(await states(GREATEST, LEAST, true), off);
  t.same(await states(GREATEST, LEAST, false), off);
  t.same(await states(LEAST, GREATEST, false), { aborted: [false], unlinked: [] }, 'or two that call each other could each give way');
});

t.test('each time that all connections have closed is looked into anew, whatever came of the last; a stop calls it off', { buffered: true }, async (t) => {
  const { room, unlinked, bootId } = await parted(t, LEAST, GREATEST, 1);
  const perFault = room.dials.length;
  const again = async (): Promise<void> => {
    room.closed([await room.call(GREATEST, '127.0.0.1', { bootId, dialled: true, port: (server.address() as AddressInfo).port })]);
    await new Promise((resolve) => setTimeout(resolve, DIALS_MS));
  };
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  await again();
  t.equal(room.dials.length, 2 * perFault, 'after one that was made');
  for (const { fails } of room.dials) fails(new PeerError('TIMED_OUT', 'nobody answered'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(unlinked.length, 1);
  await again();
  t.equal(room.dials.length, 3 * perFault, 'and after none was');
  room.links.stop();
  t.ok(room.dials.slice(-perFault).every(({ signal }) => signal?.aborted));
});

t.test('whoever calls meanwhile is dialled no more: not at a second address, nor by who gave the other time', { buffered: true }, async (t) => {
  const several = new Room(t, LEAST);
  several.book.learn(GREATEST, { host: '192.0.2.1', port: 1 }, 'names');
  several.links.candidate(GREATEST, { host: '192.0.2.2', port: 1 }, 'names');
  t.equal(several.dials.length, 1);
  const called = await several.call(GREATEST, '127.0.0.1');
  await new Promise((resolve) => setTimeout(resolve, DIALS_MS));
  t.equal(several.dials.length, 1);
  let closed = false;
  several.dials[0]?.answers({ ...called, close: () => (closed = true) } as unknown as Connection);
  await new Promise(setImmediate);
  t.notOk(closed, 'the other side may have given up its own for this one');
  const patient = new Room(t, GREATEST);
  patient.book.learn(LEAST, { host: '192.0.2.1', port: 1 }, 'beat');
  patient.links.ensure(LEAST);
  await patient.call(LEAST, '127.0.0.1');
  await new Promise((resolve) => setTimeout(resolve, DIALS_MS));
  t.equal(patient.dials.length, 0);
});

t.test('a process that ends while it is still dialled is told of at once', { buffered: true }, async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const room = new Room(t, LEAST);
  const unlinked: { readonly refused: boolean }[] = [];
  room.links.on('unlinked', (news) => unlinked.push(news));
  const bootId = randomId<BootId>();
  room.closed([await room.call(GREATEST, '127.0.0.1', { bootId, dialled: true, port })]);
  await new Promise((resolve) => setTimeout(resolve, DIALS_MS));
  const called = await room.call(GREATEST, '127.0.0.1', { bootId, port });
  server.close();
  room.closed([called, called]);
  const startedAt = performance.now();
  while (unlinked.length === 0 && performance.now() - startedAt < 5_000) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.match(unlinked, [{ refused: true }], 'once, though nobody has answered the dials yet');
});

t.test('whose machine refuses at once is told of at once, and not dialled any more', { buffered: true }, async (t) => {
  const room = new Room(t, LEAST);
  const unlinked: { readonly refused: boolean }[] = [];
  room.links.on('unlinked', (news) => unlinked.push(news));
  const peer = await room.call(GREATEST, '127.0.0.1', { dialled: true });
  room.closed([peer]);
  await new Promise((resolve) => setTimeout(resolve, DIALS_MS));
  t.match(unlinked, [{ refused: true }]);
  t.ok(room.dials.length <= 1, 'but by the dial that began with the question');
});

t.test('two that lose all their connections again and again are connected after it, and no more often than at first', { buffered: true }, async (t) => {
  const keys = new Keyring(openNetwork('links'), { wall: () => Date.now() });
  const people = await Promise.all(
    ['ann', 'ben'].map(async (name) => {
      const identity = generateIdentity();
      const describe = () => ({ name, port, httpPort: 0 });
      let port = 0;
      const report = (error: unknown) => t.fail(String(error));
      const handlers: Map<string, Handler> = new Map();
      const streams = new Streams({ self: { identity, bootId: randomId<BootId>(), describe }, keys, handlers, report });
      port = await streams.listen({ host: '127.0.0.1', port: 0 });
      const book = new AddressBook({ self: identity.peer });
      const links = new Links({ self: identity.peer, streams, book, clock: systemClock, advertised: [], living: () => [] });
      for (const [method, handler] of links.handlers()) handlers.set(method, handler);
      t.teardown(() => (links.stop(), streams.close()));
      return { identity, streams, links, port };
    }),
  );
  const [ann, ben] = people as [(typeof people)[0], (typeof people)[0]];
  const counts = (): number[] => people.map(({ streams }) => streams.connections.size);
  const settled = async (): Promise<number[]> => {
    const startedAt = performance.now();
    while (counts().includes(0) && performance.now() - startedAt < 5_000) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, DIALS_MS));
    return counts();
  };
  ann.links.candidate(ben.identity.peer, { host: '127.0.0.1', port: ben.port }, 'names');
  t.same(await settled(), [1, 1]);
  for (let round = 1; round <= 5; round++) {
    for (const { streams } of people) for (const connection of streams.connections) connection.close();
    const most = Math.max(...(await settled()));
    t.ok(most >= 1 && most <= 2, `round ${round}: ${most}`);
  }
});
