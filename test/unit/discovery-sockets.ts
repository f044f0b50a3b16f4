// Interfaces, naming groups, unicast and names, over real sockets on the loopback interface.
import { createSocket, type Socket, type SocketOptions } from 'node:dgram';
import { EventEmitter, once } from 'node:events';
import type { NetworkInterfaceInfo } from 'node:os';
import fc from 'fast-check';
import multicastDns, { type MulticastDNS, type ResponsePacket } from 'multicast-dns';
import t from 'tap';
import { browseOnce } from '../../discovery/browse-once.ts';
import { Group, groupAddress } from '../../discovery/group.ts';
import { type Candidate, hostName, type Instance, instanceName, instanceOf } from '../../discovery/instance.ts';
import { type Interface, InterfaceWatcher, listInterfaces, type ReadInterfaces } from '../../discovery/interfaces.ts';
import type { Named } from '../../discovery/lan-name.ts';
import { MdnsSocket } from '../../discovery/mdns-socket.ts';
import { Names } from '../../discovery/names.ts';
import { roleName } from '../../discovery/role-records.ts';
import { Unicast } from '../../discovery/unicast.ts';
import type { PeerId } from '../../lib/ids.ts';

const loopback: Interface = { name: 'lo', address: '127.0.0.1', netmask: '255.0.0.0', loopback: true };
/** All of 127/8 is this machine on Linux; elsewhere it does not exist, as an address that has vanished. */
const vanished: Interface = { ...loopback, name: 'usb0', address: '192.0.2.77' };
const base = '239.255.83.90';
let nextPort = 20_000 + (process.pid % 20_000);
const freshPort = (): number => nextPort++;

// --- interfaces

const info = (address: string, extra: object = {}): NetworkInterfaceInfo =>
  ({ address, netmask: '255.255.255.0', family: 'IPv4', mac: '02:00:00:00:00:01', internal: false, cidr: null, ...extra }) as NetworkInterfaceInfo;
const lo = { lo: [info('127.0.0.1', { internal: true })] };
const v6 = info('fe80::1', { family: 'IPv6', scopeid: 2 });
const reads = (table: object) => (() => table) as ReadInterfaces;

t.test('outward interfaces are used, one IPv4 address each, and loopback only when there is nothing else', async (t) => {
  const table = { ...lo, eth0: [info('10.0.0.1'), info('10.0.0.2'), v6], wlan0: [info('169.254.3.3'), info('192.168.1.4')], tun0: [v6] };
  t.same(listInterfaces([], reads(table)).map(({ address }) => address), ['10.0.0.1', '192.168.1.4']);
  t.same(listInterfaces([], reads({ ...lo, eth0: [v6] })).map(({ address }) => address), ['127.0.0.1'], 'IPv6 alone is no interface for groups');
  t.same(listInterfaces([], reads({})), []);
});

t.test('--interface chooses by name, loopback too', async (t) => {
  const table = { ...lo, eth0: [info('10.0.0.1')], docker0: [info('172.17.0.1')] };
  t.same(listInterfaces(['docker0'], reads(table)).map(({ name }) => name), ['docker0']);
  t.same(listInterfaces(['lo'], reads(table)).map(({ name }) => name), ['lo']);
  t.same(listInterfaces(['eth7'], reads(table)), []);
});

t.test('a system that forbids to list interfaces crashes nothing', async (t) => {
  const forbidden = (() => {
    throw new Error('EACCES');
  }) as ReadInterfaces;
  t.same(listInterfaces([], forbidden), []);
});

t.test('the watcher tells what came, what went and what changed its address, and is silent otherwise', async (t) => {
  let table: object = { ...lo, eth0: [info('10.0.0.1')] };
  const watcher = new InterfaceWatcher({ read: (() => table) as ReadInterfaces });
  const seen: string[] = [];
  watcher.on('change', ({ added, removed }) => seen.push(`+${added.map(({ address }) => address)} -${removed.map(({ address }) => address)}`));
  watcher.poll();
  table = { ...lo, eth0: [info('10.0.0.9')] };
  watcher.poll();
  table = lo;
  watcher.poll();
  table = { ...lo, eth0: [info('10.0.0.9')] };
  watcher.poll();
  watcher.poll();
  t.same(seen, ['+10.0.0.9 -10.0.0.1', '+127.0.0.1 -10.0.0.9', '+10.0.0.9 -127.0.0.1']);
});

// --- naming groups

t.test('groups have addresses by function, next to each other', async (t) => {
  t.equal(groupAddress('239.255.83.80', 'members'), '239.255.83.80');
  t.equal(groupAddress('239.255.83.80', 'catalog'), '239.255.83.81');
  t.equal(groupAddress('239.255.83.255', 'catalog'), '239.255.84.0');
  for (const bad of ['10.0.0.1', 'nas', '239.255.255.255.', '240.0.0.0', 'ff02::1']) t.throws(() => groupAddress(bad, 'members'), { code: 'ADDRESS_INVALID' });
  t.throws(() => groupAddress('239.255.255.255', 'catalog'), { code: 'ADDRESS_INVALID' });
});

const openGroup = async (t: { teardown(end: () => unknown): unknown }, options: Partial<ConstructorParameters<typeof Group>[0]> & { port: number }): Promise<Group> => {
  const group = new Group({ name: 'members', base, interfaces: [loopback], ...options });
  t.teardown(() => group.close());
  await group.ready;
  return group;
};

const nextMessage = async (group: EventEmitter): Promise<string> => String(((await once(group, 'message')) as [Buffer])[0]);

t.test('what one of three peers on a machine sends, all three hear; another group and another port hear nothing', async (t) => {
  const port = freshPort();
  const three = await Promise.all([1, 2, 3].map(() => openGroup(t, { port })));
  const others = [await openGroup(t, { port, name: 'catalog' }), await openGroup(t, { port: freshPort() })];
  for (const other of others) other.on('message', () => t.fail('a message of another group'));
  const heard = Promise.all(three.map(nextMessage));
  three[0]?.send(Buffer.from('hello'));
  t.same(await heard, ['hello', 'hello', 'hello']);
  t.same(three.map(({ counters }) => counters.received), [1, 1, 1]);
  t.equal(three[0]?.counters.sent, 1);
  t.ok((three[0]?.receiveBufferBytes ?? 0) > 0, 'the granted buffer is read back');
});

t.test('an interface that vanishes and returns is served again, and one that does not exist hurts nobody', async (t) => {
  const port = freshPort();
  const steady = await openGroup(t, { port });
  const group = await openGroup(t, { port, interfaces: [loopback, vanished] });
  const all: string[] = [];
  steady.on('message', (bytes) => all.push(String(bytes)));
  const heard = (who: Group, text: string): Promise<void> =>
    new Promise((resolve) => who.on('message', (bytes) => String(bytes) === text && resolve()));
  let both = Promise.all([heard(steady, 'one'), heard(group, 'one')]);
  group.send(Buffer.from('one'));
  await both;
  group.setInterfaces([]);
  group.send(Buffer.from('to nobody'));
  group.setInterfaces([loopback]);
  both = Promise.all([heard(steady, 'two'), heard(group, 'two')]);
  group.send(Buffer.from('two'));
  await both;
  group.rejoin();
  both = Promise.all([heard(steady, 'three'), heard(group, 'three')]);
  steady.send(Buffer.from('three'));
  await both;
  t.same(all, ['one', 'two', 'three'], 'nothing was sent without an interface');
  t.ok(group.counters.errors > 0, 'the interface that is not there was counted');
});

/** A real socket of which one method fails. */
const failing = (method: 'bind' | 'send' | 'addMembership', code: string, times: number, matches: (socket: Socket, args: unknown[]) => boolean = () => true) => {
  let left = times;
  return (options: SocketOptions): Socket => {
    const socket = createSocket(options);
    const original = (socket[method] as (...args: unknown[]) => unknown).bind(socket);
    Object.assign(socket, {
      [method]: (...args: unknown[]) => {
        if (left === 0 || !matches(socket, args)) return original(...args);
        left -= 1;
        const error = Object.assign(new Error(`${method} ${code}`), { code });
        if (method === 'addMembership') throw error;
        const callback = args.at(-1);
        if (method === 'send' && typeof callback === 'function') process.nextTick(callback, error);
        else process.nextTick(() => socket.emit('error', error));
        return socket;
      },
    });
    return socket;
  };
};

t.test('where a group address cannot be bound (Windows) the wildcard is, and hears the group', async (t) => {
  const port = freshPort();
  const isGroup = (_: Socket, [options]: unknown[]): boolean => (options as { address: string }).address === base;
  const group = await openGroup(t, { port, udp: failing('bind', 'EADDRNOTAVAIL', 9, isGroup) });
  t.ok(group.listening);
  const heard = nextMessage(group);
  group.send(Buffer.from('hello'));
  t.equal(await heard, 'hello');
  t.equal(group.counters.errors, 1);
});

t.test('a port that another program owns is tried again, without an exception', async (t) => {
  const group = await openGroup(t, { port: freshPort(), udp: failing('bind', 'EADDRINUSE', 2, (_, [options]) => (options as { port: number }).port !== 0) });
  t.notOk(group.listening);
  t.equal(group.receiveBufferBytes, 0);
  group.rejoin();
  const heard = nextMessage(group);
  while (!group.listening) await new Promise(setImmediate);
  group.send(Buffer.from('hello'));
  t.equal(await heard, 'hello');
});

t.test('a sender that lost its route is counted, and made anew within a second or so', async (t) => {
  const group = await openGroup(t, { port: freshPort(), udp: failing('send', 'ENETUNREACH', 1) });
  const heard = nextMessage(group);
  const sending = setInterval(() => group.send(Buffer.from('hello')), 50);
  t.teardown(() => clearInterval(sending));
  t.equal(await heard, 'hello');
  t.equal(group.counters.errors, 1);
  t.match(group.counters.lastError, 'ENETUNREACH');
});

t.test('more groups than the kernel allows are counted, not thrown', async (t) => {
  const group = await openGroup(t, { port: freshPort(), udp: failing('addMembership', 'ENOBUFS', 1) });
  t.equal(group.counters.errors, 1);
});

// --- unicast

t.test('unicast carries a datagram to one peer, on a port that a second peer cannot take', async (t) => {
  const [a, b] = await Promise.all([Unicast.open({ port: 0 }), Unicast.open({ port: 0 })]);
  const heard = once(b, 'message') as Promise<[Buffer, { port: number }]>;
  a.send(Buffer.from('hello'), '127.0.0.1', b.port);
  const [bytes, from] = await heard;
  t.equal(String(bytes), 'hello');
  t.equal(from.port, a.port);
  t.ok(b.receiveBufferBytes > 0);
  await t.rejects(Unicast.open({ port: a.port }), { code: 'PORT_TAKEN' });
  a.send(Buffer.from('x'), '::1', b.port);
  while (a.counters.errors === 0) await new Promise(setImmediate);
  t.pass('an address of another family is an error that is counted');
  await Promise.all([a.close(), b.close()]);
  t.doesNotThrow(() => a.send(Buffer.from('late'), '127.0.0.1', 1));
});

// --- names

const idOf = (digit: string): PeerId => digit.repeat(32) as PeerId;
const instance = (digit: string, extra: Partial<Instance> = {}): Instance => ({ peer: idOf(digit), name: `nick ${digit}`, network: 'home', version: 1, port: 17784, httpPort: 7700, ...extra });

t.test('an instance name is one label of at most 63 bytes that ends in the peer, whatever the nick', async (t) => {
  t.equal(instanceName({ name: 'kitchen', peer: idOf('a') }), 'kitchen-aaaaaaaa');
  t.equal(instanceName({ name: 'Bert\u2019s b.o.x \u00fc', peer: idOf('b') }), 'Bert\u2019s b-o-x \u00fc-bbbbbbbb');
  t.equal(instanceName({ name: ' \n', peer: idOf('c') }), '--cccccccc');
  t.equal(instanceName({ name: '', peer: idOf('c') }), 'peer-cccccccc');
  t.equal(hostName(idOf('d')), 'sp-dddddddd.local');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (name) => {
        const label = instanceName({ name, peer: idOf('e') });
        return Buffer.byteLength(label) <= 63 && !label.includes('.') && label.endsWith('-eeeeeeee') && Buffer.from(label).toString() === label;
      }),
    ),
  );
});

t.test('what is no peer of ours is no candidate, whatever its TXT says', async (t) => {
  const txt = { id: idOf('a'), peer: '5', http: '80', v: '1', net: 'home' };
  t.same(instanceOf({ name: 'x-aaaaaaaa', port: 9, txt }), { peer: idOf('a'), name: 'x', network: 'home', version: 1, port: 5, httpPort: 80 });
  for (const bad of [undefined, {}, { ...txt, id: 'A' }, { ...txt, peer: '0' }, { ...txt, peer: '1e9' }, { ...txt, http: '-1' }, { ...txt, http: 'x' }]) {
    t.equal(instanceOf({ name: 'x', port: 9, txt: bad }), undefined);
  }
});

const openNames = async (t: { teardown(end: () => unknown): unknown }, port: number): Promise<Names> => {
  const names = new Names({ interfaces: [loopback], port });
  t.teardown(() => names.stop());
  await names.ready;
  return names;
};

const until = <T>(names: Names, event: 'candidate' | 'down', matches: (value: T) => boolean): Promise<T> =>
  new Promise((resolve) => names.on(event, (value: unknown) => matches(value as T) && resolve(value as T)));

t.test('peers on one machine find each other by name, never themselves, and hear a goodbye', async (t) => {
  const port = freshPort();
  const [a, b] = [await openNames(t, port), new Names({ interfaces: [loopback], port })];
  a.on('candidate', ({ peer }) => peer === idOf('a') && t.fail('itself'));
  a.publish(instance('a'));
  a.browse();
  const found = until<Candidate>(a, 'candidate', ({ peer }) => peer === idOf('b'));
  const foundBack = until<Candidate>(b, 'candidate', ({ peer }) => peer === idOf('a'));
  b.publish(instance('b', { name: 'b.\u00fc', httpPort: 0, network: 'n'.repeat(300) }));
  b.browse();
  const candidate = await found;
  t.match(candidate, { name: 'b-\u00fc', host: '127.0.0.1', addresses: ['127.0.0.1'], port: 17784, httpPort: 0, version: 1 });
  t.equal(candidate.network.length, 251, 'a TXT item stays within 255 bytes');
  t.match(await foundBack, { name: 'nick a', network: 'home', httpPort: 7700 });
  const down = until<PeerId>(a, 'down', (peer) => peer === idOf('b'));
  await b.stop();
  t.equal(await down, idOf('b'));
});

t.test('a peer that publishes anew, with another port, is found with it at once', async (t) => {
  const port = freshPort();
  const [a, b] = [await openNames(t, port), await openNames(t, port)];
  a.browse();
  const first = until<Candidate>(a, 'candidate', ({ httpPort }) => httpPort === 7700);
  b.publish(instance('b'));
  await first;
  a.on('down', () => t.fail('no goodbye is needed for that'));
  const second = until<Candidate>(a, 'candidate', ({ httpPort }) => httpPort === 7701);
  b.publish(instance('b', { httpPort: 7701 }));
  await second;
  const third = until<Candidate>(a, 'candidate', () => true);
  b.setInterfaces([]);
  b.setInterfaces([loopback]);
  t.equal((await third).httpPort, 7701, 'and announced again when an interface returns');
});

t.test('a look at the LAN returns who serves HTTP soon after the first answer, and nobody where nobody is', async (t) => {
  const port = freshPort();
  const [a, b] = [await openNames(t, port), await openNames(t, port)];
  a.publish(instance('a'));
  b.publish(instance('b', { httpPort: 0 }));
  const startedAt = performance.now();
  t.same((await browseOnce(5_000, { interfaces: [loopback], port })).map(({ peer }) => peer), [idOf('a')]);
  t.ok(performance.now() - startedAt < 2_500);
  t.same(await browseOnce(50, { interfaces: [loopback], port: freshPort() }), []);
});

// --- roles and the gateway's name

type Records = ResponsePacket['answers'];

const lasts = (seconds: number) => (record: Records[number]): boolean => 'ttl' in record && record.ttl === seconds;

/** Another program on the LAN that speaks mDNS, and all records that it heard. */
const openResolver = async (t: { teardown(end: () => unknown): unknown }, port: number) => {
  const socket = new MdnsSocket({ interfaces: [loopback], port });
  await socket.ready;
  const mdns: MulticastDNS = multicastDns({ socket: socket.asSocket(), port });
  t.teardown(() => new Promise<void>((resolve) => mdns.destroy(resolve)));
  const heard: Records = [];
  mdns.on('response', ({ answers, additionals }) => heard.push(...answers, ...additionals));
  /** Waits for records of that name, and takes them away. */
  const take = async (name: string, type: string, matches: (record: Records[number]) => boolean = () => true): Promise<Records[number]> => {
    for (;;) {
      const index = heard.findIndex((record) => record.name === name && record.type === type && matches(record));
      if (index >= 0) return heard.splice(index, 1)[0] as Records[number];
      await once(mdns, 'response');
    }
  };
  return { mdns, heard, take };
};

t.test('each role that a peer holds is a subtype that leads to it: announced, answered, kept when interfaces change, withdrawn', async (t) => {
  const port = freshPort();
  const [names, resolver] = [await openNames(t, port), await openResolver(t, port)];
  const [gateway, users] = [roleName('gateway'), roleName('users')];
  t.equal(gateway, '_gateway._sub._spotify-peer._tcp.local');
  names.setRoles(['gateway']);
  names.publish(instance('a'));
  const data = 'nick a-aaaaaaaa._spotify-peer._tcp.local';
  t.match(await resolver.take(gateway, 'PTR'), { ttl: 10, data, flush: false });
  names.setRoles(['gateway', 'users']);
  t.match(await resolver.take(users, 'PTR'), { ttl: 10, data });
  resolver.mdns.query(gateway, 'PTR');
  t.match(await resolver.take(gateway, 'PTR'), { ttl: 10, data }, 'answered');
  t.match(await resolver.take('sp-aaaaaaaa.local', 'A'), { data: '127.0.0.1' }, 'with what is needed to reach it');
  await Promise.all([resolver.take(gateway, 'PTR'), resolver.take(users, 'PTR')]);
  t.pass('announced twice');
  names.setInterfaces([]);
  names.setInterfaces([loopback]);
  await Promise.all([resolver.take(gateway, 'PTR', lasts(10)), resolver.take(users, 'PTR')]);
  names.on('down', () => t.fail('a role that ends is no peer that goes'));
  names.setRoles(['users']);
  t.match(await resolver.take(gateway, 'PTR', lasts(0)), { data });
  resolver.heard.length = 0;
  resolver.mdns.query(gateway, 'PTR');
  resolver.mdns.query(users, 'PTR');
  await resolver.take(users, 'PTR');
  t.notOk(resolver.heard.some(({ name }) => name === gateway), 'nobody is gateway');
  await names.stop();
  await resolver.take(users, 'PTR', lasts(0));
});

const MEMBER = '10.9.9.9';
const FOREIGNER = '10.9.9.8';
const NAME = 'spotify-peer.local';

const isOwn = (record: Records[number]): boolean => record.type === 'A' && record.data === '127.0.0.1';

const openGateway = async (t: { teardown(end: () => unknown): unknown }, port: number, interfaces = [loopback]): Promise<Names> => {
  const names = new Names({ interfaces, port });
  t.teardown(() => names.stop());
  await names.ready;
  names.watchGateway({ network: 'home', isMember: (address) => address === MEMBER });
  return names;
};

const nextName = async (names: Names): Promise<Named> => ((await once(names, 'gatewayName')) as [Named])[0];
const claims = (address: string, ttl = 10): Records => [{ name: NAME, type: 'A', ttl, flush: true, data: address }];

t.test('the gateway answers to spotify-peer.local with its address on that link, until its successor does', async (t) => {
  const port = freshPort();
  // Of two interfaces one leads nowhere; what the other link is told has nothing of it.
  const [names, resolver] = [await openGateway(t, port, [loopback, vanished]), await openResolver(t, port)];
  t.equal(names.gatewayNameHeard, undefined);
  const named = nextName(names);
  names.holdGateway();
  t.same(await named, { name: NAME, before: undefined });
  t.equal(names.gatewayNameHeard, NAME);
  const own = { ttl: 10, data: '127.0.0.1', flush: true };
  t.match(await resolver.take(NAME, 'A'), own);
  // Until 600 ms its own questions are answered too.
  await new Promise((resolve) => setTimeout(resolve, 800));
  resolver.heard.length = 0;
  t.match(await resolver.take(NAME, 'A'), own, 'announced twice');
  for (const [type, answer] of [['A', 'A'], ['ANY', 'A'], ['AAAA', 'NSEC']] as const) {
    resolver.heard.length = 0;
    resolver.mdns.query([{ name: 'Spotify-Peer.local', type: type as 'A' }]);
    await resolver.take(NAME, answer);
    t.pass(`${type} is answered`);
  }
  names.setInterfaces([vanished]);
  resolver.heard.length = 0;
  names.setInterfaces([loopback]);
  t.match(await resolver.take(NAME, 'A'), own, 'and told again when an interface returns');

  let dropped = false;
  const dropping = names.dropGateway().then(() => (dropped = true));
  resolver.mdns.query(NAME, 'A');
  await resolver.take(NAME, 'A');
  t.notOk(dropped, 'it is answered for until somebody else does');
  resolver.heard.length = 0;
  resolver.mdns.respond(claims(MEMBER));
  await dropping;
  t.match(await resolver.take(NAME, 'A', lasts(0)), { data: '127.0.0.1' }, 'a goodbye for the own address');
  t.notOk(resolver.heard.some((record) => record.type === 'A' && record.ttl === 0 && record.data !== '127.0.0.1'), 'and for no other');
  t.equal(names.gatewayNameHeard, NAME, "the successor's");
});

t.test('what was lost of a gateway that died is taken over at once, and a goodbye ends a polite one', async (t) => {
  const port = freshPort();
  const [names, resolver] = [await openGateway(t, port), await openResolver(t, port)];
  resolver.mdns.respond(claims(MEMBER));
  while (names.gatewayNameHeard === undefined) await new Promise(setImmediate);
  resolver.heard.length = 0;
  names.holdGateway();
  t.match(await resolver.take(NAME, 'A'), { data: '127.0.0.1' });
  t.match(await resolver.take(NAME, 'A', lasts(0)), { data: MEMBER }, 'who died is said goodbye for');
  resolver.heard.length = 0;
  await names.stop();
  t.match(await resolver.take(NAME, 'A', lasts(0)), { data: '127.0.0.1' });
});

t.test('the own claims of before its cable was pulled are nobody else’s', async (t) => {
  const port = freshPort();
  const [names, resolver] = [await openGateway(t, port), await openResolver(t, port)];
  names.holdGateway();
  await resolver.take(NAME, 'A');
  // what is said now goes nowhere
  names.setInterfaces([vanished]);
  await names.dropGateway();
  const named = nextName(names);
  names.holdGateway();
  t.same(await named, { name: NAME, before: undefined });
});

t.test('a name that somebody foreign answers for is left to them; one who claims it later and insists gets it', async (t) => {
  const port = freshPort();
  const resolver = await openResolver(t, port);
  let insists = true;
  resolver.mdns.on('query', ({ questions }) => {
    if (insists && questions.some(({ name }) => name === NAME)) resolver.mdns.respond(claims(FOREIGNER));
  });
  const late = await openGateway(t, port);
  await resolver.take(NAME, 'A');
  await new Promise(setImmediate);
  let named = nextName(late);
  late.holdGateway();
  t.same(await named, { name: 'spotify-peer-2.local', before: undefined, foreigner: FOREIGNER });
  t.match(await resolver.take('spotify-peer-2.local', 'A'), { data: '127.0.0.1' });
  await late.stop();

  insists = false;
  resolver.mdns.respond(claims(FOREIGNER, 0));
  const early = await openGateway(t, port);
  named = nextName(early);
  early.holdGateway();
  t.equal((await named).name, NAME);
  insists = true;
  named = nextName(early);
  resolver.heard.length = 0;
  resolver.mdns.respond(claims(FOREIGNER));
  t.match(await resolver.take(NAME, 'A', isOwn), { ttl: 10 }, 'defended');
  t.same(await named, { name: 'spotify-peer-2.local', before: NAME, foreigner: FOREIGNER });
  t.match(await resolver.take(NAME, 'A', (record) => lasts(0)(record) && isOwn(record)), {}, 'withdrawn');
});

t.test('random and damaged packets are counted, and naming goes on', async (t) => {
  const port = freshPort();
  const packets: Buffer[] = [];
  const spy = new MdnsSocket({ interfaces: [loopback], port });
  spy.on('message', (bytes: Buffer) => packets.push(Buffer.from(bytes)));
  await spy.ready;
  const [a, b] = [await openNames(t, port), await openNames(t, port)];
  const found = until<Candidate>(a, 'candidate', () => true);
  b.publish(instance('b'));
  b.browse();
  a.browse();
  await found;
  spy.removeAllListeners('message');
  const random = fc.sample(fc.uint8Array({ maxLength: 200 }), 100);
  const damaged = fc.sample(fc.tuple(fc.nat(), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 })), 400).map(([which, changes]) => {
    const copy = Buffer.from(packets[which % packets.length] as Buffer);
    for (const [where, value] of changes) copy[where % copy.length] = value;
    return copy;
  });
  const sender = createSocket('udp4');
  const count = (counter: 'received' | 'errors'): number => a.counters[counter] + b.counters[counter] + spy.counters[counter];
  const before = count('received');
  for (const bytes of [...random, ...damaged]) {
    await new Promise((resolve) => sender.send(bytes, port, '127.0.0.1', resolve));
    await new Promise(setImmediate);
  }
  while (count('received') < before + random.length + damaged.length) await new Promise(setImmediate);
  sender.close();
  // Unicast to a shared port reaches one of the three; each of them is asked whether it still answers.
  const again = Promise.all([a, b].map((names) => (names === a ? until<Candidate>(a, 'candidate', () => true) : once(spy, 'message'))));
  b.publish(instance('b'));
  await again;
  t.ok(count('errors') >= random.length, 'no random bytes are a DNS packet');
  await new Promise<void>((resolve) => spy.close(resolve));
});
