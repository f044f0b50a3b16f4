// Peers of another version of the protocol: what is known of them comes in pieces, and a person is told in one line.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { AddressBook } from '../../discovery/address-book.ts';
import { PeerError } from '../../lib/errors.ts';
import { generateIdentity, type Identity } from '../../lib/identity.ts';
import { type BootId, type PeerId, randomId } from '../../lib/ids.ts';
import { Keyring } from '../../lib/keyring.ts';
import { OTHER_VERSIONS_MAX } from '../../lib/limits.ts';
import { openNetwork } from '../../lib/network-key.ts';
import { Sealer } from '../../lib/seal.ts';
import { systemClock } from '../../lib/time.ts';
import { Links } from '../../peer/links.ts';
import { OtherVersions, type Sight } from '../../peer/other-versions.ts';
import { Channel } from '../../peer/stream/channel.ts';
import { FRAME } from '../../peer/stream/frame.ts';
import { encodeHello, OtherVersion, PROTOCOL_VERSION } from '../../peer/stream/hello.ts';
import { Streams } from '../../peer/stream/streams.ts';
import { home, networkNamed, SOON_MS, startPeerOf } from '../fixtures/whole-peer.ts';
import { until } from '../lab/until.ts';

const NETWORK = openNetwork(networkNamed('versions'));
const ring = (): Keyring => new Keyring(NETWORK, { wall: Date.now });
const OLD = PROTOCOL_VERSION - 1;
const NEW = PROTOCOL_VERSION + 1;

t.setTimeout(60_000);

const ID = '0a'.repeat(16) as PeerId;
const HOST = '192.168.1.20';
const sight = (of: Partial<Sight>): Sight => ({ peer: undefined, name: '', address: { host: HOST, port: 17_784 }, version: undefined, ...of });

// --- the pieces

t.test('who says name and version is told of at once, and once', async (t) => {
  const others = new OtherVersions();
  const whole = sight({ peer: ID, name: 'attic', version: 1 });
  t.same(others.see(whole, 0), whole);
  t.equal(others.see(whole, 10), undefined);
  t.equal(others.see(sight({ peer: ID }), 60_000), undefined, 'nor when less is said');
  t.same(others.see(sight({ peer: ID, version: 3 }), 70_000), { ...whole, version: 3 }, 'again when it changed to another that does not fit');
});

t.test('who has no name yet, or no version, is waited for a moment', async (t) => {
  const others = new OtherVersions();
  const byDatagram = sight({ peer: ID, address: { host: HOST, port: 0 }, version: 1 });
  t.equal(others.see(byDatagram, 0), undefined);
  t.match(others.see(sight({ peer: ID, name: 'attic', version: 1 }), 900), { name: 'attic', version: 1, address: { port: 17_784 } });
  const nameless = new OtherVersions();
  t.equal(nameless.see(byDatagram, 0), undefined);
  t.equal(nameless.see(byDatagram, 3_999), undefined);
  t.same(nameless.see(byDatagram, 4_000), byDatagram);
  t.equal(nameless.see(byDatagram, 5_000), undefined);
});

t.test('whoever refused our call is the peer that is named at the same address', async (t) => {
  const others = new OtherVersions();
  t.equal(others.see(sight({}), 0), undefined);
  t.ok(others.see(sight({ peer: ID, name: 'attic', version: 1 }), 10));
  t.equal(others.see(sight({}), 10_000), undefined, 'it is not told of as a second one');
  t.equal(others.present(10_000).length, 1);
  t.ok(others.see(sight({ peer: 'bb'.repeat(16) as PeerId, name: 'cellar', version: 1 }), 10_000), 'two that say who they are are two, also on one machine');
  t.equal(others.present(10_000).length, 2);
});

t.test('who was updated, or was not seen for five minutes, is not spoken of any more', async (t) => {
  const others = new OtherVersions();
  others.see(sight({ peer: ID, name: 'attic', version: 1 }), 0);
  t.equal(others.present(300_000).length, 1);
  t.equal(others.present(300_001).length, 0);
  others.see(sight({ peer: ID }), 400_000);
  t.equal(others.present(400_000).length, 1);
  others.met(ID);
  t.equal(others.present(400_000).length, 0);
  t.ok(others.see(sight({ peer: ID, name: 'attic', version: 1 }), 500_000), 'set back to the old version, it is news again');
});

t.test('peers that somebody makes up fill neither the memory nor the screen', async (t) => {
  const others = new OtherVersions();
  let lines = 0;
  for (let i = 0; i < 1_000; i++) {
    if (others.see(sight({ peer: randomId<PeerId>(), name: `made up ${i}`, version: 9 }), i)) lines += 1;
  }
  t.equal(lines, OTHER_VERSIONS_MAX);
  t.equal(others.present(1_000).length, OTHER_VERSIONS_MAX);
});

// --- where they come from

const selfOf = (name: string) => ({ identity: generateIdentity(), bootId: randomId<BootId>(), describe: () => ({ name, port: 17_784, httpPort: 0 }) });

/** Calls as a peer of `version` does. @returns why the call ended */
async function call(port: number, version: number, name = 'attic'): Promise<{ readonly identity: Identity; readonly peer: PeerId; readonly ended: PeerError }> {
  const { identity, bootId } = selfOf(name);
  const channel = Channel.connect({ host: '127.0.0.1', port }, ring().current);
  channel.listen((frame) => {
    if (frame.type !== FRAME.failed) throw new PeerError('BAD_FRAME', 'not refused');
    channel.close(new PeerError('UNSUPPORTED', Buffer.from(frame.body).toString()));
  });
  await channel.keyed;
  const hello = { peer: identity.peer, bootId, name, port: 17_784, httpPort: 0, version };
  channel.send(FRAME.hello, 0, encodeHello({ hello, purpose: 'control' }, identity, { side: 'client', binding: channel.binding }));
  return { identity, peer: identity.peer, ended: await channel.closed };
}

/** Refuses every hello, as a peer of an earlier version does. */
async function refuser(t: Test): Promise<number> {
  const server = createServer((socket) => {
    const channel = Channel.accept(socket, ring());
    channel.listen(() => channel.close(new PeerError('UNSUPPORTED', 'the other peer speaks version 2; update the older of the two'), { tell: true }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

t.test('a call of another version is refused in words that both sides understand, and told with what it says of itself', async (t) => {
  const streams = new Streams({ self: selfOf('ann'), keys: ring(), handlers: new Map(), report: (error) => t.fail(String(error)) });
  t.teardown(() => streams.close());
  const port = await streams.listen({ host: '127.0.0.1', port: 0 });
  for (const version of [OLD, NEW]) {
    const refused = once(streams, 'refused');
    const { peer, ended } = await call(port, version);
    t.match(ended.message, new RegExp(`versions ${version} and ${PROTOCOL_VERSION} of the protocol.*update the older`));
    const [error] = await refused;
    t.ok(error instanceof OtherVersion);
    t.match(error, { code: 'UNSUPPORTED', version, peer, sender: 'attic', port: 17_784 });
  }
  t.match(new OtherVersion(9, [9]), { peer: undefined, sender: '', port: 0 }, 'a later version may say nothing that we read');
  t.match(new OtherVersion(9, [9, 'key', 0, 0, 'x'.repeat(64), -1]), { peer: undefined, sender: '', port: 0 });
});

t.test('links tell who refused our call, and who called us, for another version', async (t) => {
  const self = selfOf('ann');
  const port = await refuser(t);
  const streams = new Streams({ self, keys: ring(), handlers: new Map(), report: (error) => t.fail(String(error)) });
  t.teardown(() => streams.close());
  const listening = await streams.listen({ host: '127.0.0.1', port: 0 });
  const target = { host: '127.0.0.1', port };
  const book = new AddressBook({ self: self.identity.peer, targets: [target] });
  const links = new Links({ self: self.identity.peer, streams, book, clock: systemClock, advertised: [], living: () => [] });
  t.teardown(() => links.stop());
  const dialled = once(links, 'otherVersion');
  links.start();
  t.same(await dialled, [{ peer: undefined, name: '', address: target, version: undefined }]);
  const expected = once(links, 'otherVersion');
  links.candidate(ID, target, 'names');
  t.match(await expected, [{ peer: ID, version: undefined }]);
  const called = once(links, 'otherVersion');
  const { peer } = await call(listening, OLD);
  t.match(await called, [{ peer, name: 'attic', address: { host: '127.0.0.1', port: 17_784 }, version: OLD }]);
});

t.test('a whole peer says in one line and in its status who has to be updated', async (t) => {
  const lines: Readonly<Record<string, unknown>>[] = [];
  const peer = await startPeerOf(t, await home(t), { network: NETWORK.name, log: (event, facts) => event === 'version' && lines.push(facts) });
  const { identity, peer: attic } = await call(peer.port, OLD);
  await call(peer.port, NEW, 'cellar');
  await until('both are told of', SOON_MS, async () => lines, ({ length }) => length === 2);
  t.match(lines, [{ peer: attic, name: 'attic', address: '127.0.0.1:17784', version: OLD, own: PROTOCOL_VERSION }, { name: 'cellar', version: NEW }]);
  // a datagram of one of our network, and one of another network that says the same
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  const strangers = [NETWORK, openNetwork('elsewhere')].map((network) => ({ network, id: randomId<PeerId>() }));
  for (const { network, id } of strangers) {
    const sealed = new Sealer({ keys: new Keyring(network, { wall: Date.now }), peer: id, bootId: randomId<BootId>() }).seal(Buffer.from([0x81, 2]));
    sealed[2] = OLD;
    for (const bytes of [sealed, sealed.subarray(0, 20)]) await new Promise((sent) => socket.send(bytes, peer.port, '127.0.0.1', sent));
  }
  const { value } = await until('the datagram is seen', SOON_MS, () => peer.status(), ({ network }) => network.otherVersions?.length === 3);
  t.equal(value.network.dropped?.['version'], 4);
  t.ok(value.network.otherVersions?.some((other) => other.peer === strangers[0]?.id && other.version === OLD), 'of our network');
  t.notOk(value.network.otherVersions?.some((other) => other.peer === strangers[1]?.id), 'not of another');
  t.equal(value.network.version, PROTOCOL_VERSION);
  const updated = new Streams({ self: { ...selfOf('attic'), identity }, keys: ring(), handlers: new Map(), report: (error) => t.fail(String(error)) });
  t.teardown(() => updated.close());
  await updated.dial({ host: '127.0.0.1', port: peer.port }, { purpose: 'control' });
  await until('who was updated is not among them', SOON_MS, () => peer.status(), ({ network }) => network.otherVersions?.every((other) => other.peer !== attic) === true);
});
