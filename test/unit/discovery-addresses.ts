// Addresses as people type them, and the book of who may be reached where.
import fc from 'fast-check';
import t from 'tap';
import { type Address, formatAddress, isLoopback, isNowhere, parseAddress } from '../../discovery/address.ts';
import { ADDRESS_SOURCES, AddressBook, type AddressSource } from '../../discovery/address-book.ts';
import { isId, type PeerId } from '../../lib/ids.ts';
import { ADDRESSES_PER_PEER_MAX, PEERS_REMEMBERED_MAX } from '../../lib/limits.ts';

const peer = (digit: string): PeerId => digit.repeat(32) as PeerId;
const at = (host: string, port = 17784): Address => ({ host, port });
const [self, anna, bert] = [peer('0'), peer('a'), peer('b')];

t.test('an address is read as people type it, and written so that it reads back', async (t) => {
  t.same(parseAddress('nas', 17784), at('nas'));
  t.same(parseAddress('nas.local:1234', 17784), at('nas.local', 1234));
  t.same(parseAddress('192.168.1.20', 17784), at('192.168.1.20'));
  t.same(parseAddress('192.168.1.20:80', 17784), at('192.168.1.20', 80));
  t.same(parseAddress('fe80::1', 17784), at('fe80::1'));
  t.same(parseAddress('[::1]:99', 17784), at('::1', 99));
  for (const text of ['nas', '10.0.0.1:5', '[fd00::2]:7']) t.equal(formatAddress(parseAddress(text, 1)).startsWith(text.replace(/:\d$/, '')), true);
});

t.test('what is no address is refused with a line that shows one', async (t) => {
  for (const text of ['', ':80', 'nas:', 'nas:0', 'nas:65536', 'nas:x', '256.1.1.1', '1.2.3', 'a b', 'http://nas', '[::1', '[nas]:x', '-nas', 'x'.repeat(64), `${'x.'.repeat(200)}x`]) {
    t.throws(() => parseAddress(text, 17784), { code: 'ADDRESS_INVALID' }, text);
  }
});

t.test('addresses that reach only this machine, or nobody, are known', async (t) => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', 'a.localhost']) t.ok(isLoopback(host), host);
  for (const host of ['128.0.0.1', '10.127.0.1', 'nas', 'fe80::1']) t.notOk(isLoopback(host), host);
  for (const host of ['0.0.0.0', '239.255.83.80', '255.255.255.255', '::', 'ff02::1']) t.ok(isNowhere(host), host);
  for (const host of ['10.0.0.1', 'fd00::1', 'ffm.example']) t.notOk(isNowhere(host), host);
});

t.test('where a connection succeeded last comes first, then who said it decides, then the newest; what fails comes last', async (t) => {
  const book = new AddressBook({ self });
  for (const source of [...ADDRESS_SOURCES].reverse()) book.learn(anna, at(source), source);
  t.same(book.addressesOf(anna).map(({ host }) => host), ADDRESS_SOURCES);
  book.succeeded(anna, at('remembered'), 100);
  book.succeeded(anna, at('exchanged'), 200);
  t.same(book.addressesOf(anna).slice(0, 3).map(({ host }) => host), ['exchanged', 'remembered', 'beat']);
  book.failed(anna, at('exchanged'));
  t.equal(book.addressesOf(anna).at(-1)?.host, 'exchanged');
  book.learn(anna, at('beat-2'), 'beat');
  t.same(book.addressesOf(anna).slice(0, 3).map(({ host }) => host), ['remembered', 'beat-2', 'beat']);
});

t.test('a peer that is heard from an address that failed is worth a new attempt there', async (t) => {
  const book = new AddressBook({ self });
  book.learn(anna, at('old'), 'beat');
  book.learn(anna, at('other'), 'exchanged');
  book.failed(anna, at('old'));
  t.equal(book.addressesOf(anna)[0]?.host, 'other');
  book.learn(anna, at('old'), 'beat');
  t.equal(book.addressesOf(anna)[0]?.host, 'old');
});

t.test('what --join names is dialled until somebody answers there, and again when he does no more', async (t) => {
  const book = new AddressBook({ self, targets: [at('nas'), at('tv')] });
  t.same(book.unmetTargets(), [at('nas'), at('tv')]);
  book.failed(undefined, at('tv'));
  book.succeeded(anna, at('nas'), 5);
  t.same(book.unmetTargets(), [at('tv')]);
  t.same(book.addressesOf(anna), [at('nas')]);
  book.failed(bert, at('nas'));
  t.same(book.unmetTargets(), [at('tv')], 'another peer that was not there says nothing about it');
  book.failed(anna, at('nas'));
  t.same(book.unmetTargets(), [at('nas'), at('tv')]);
});

t.test('loopback addresses are told on this machine only', async (t) => {
  const book = new AddressBook({ self });
  book.learn(anna, at('127.0.0.1', 1), 'beat');
  book.learn(anna, at('10.0.0.7', 1), 'beat');
  t.same(book.share('10.0.0.2'), [[anna, '10.0.0.7', 1]]);
  t.same(book.share('127.0.0.1').length, 2);
});

t.test('what only third parties said is not told on, until it has worked', async (t) => {
  const book = new AddressBook({ self });
  book.take([[anna, '10.0.0.7', 1]], 'exchanged');
  t.same(book.share('10.0.0.2'), []);
  t.same(book.remember(), []);
  book.succeeded(anna, at('10.0.0.7', 1), 1);
  t.same(book.share('10.0.0.2'), [[anna, '10.0.0.7', 1]]);
  t.same(book.remember(), [[anna, '10.0.0.7', 1]]);
});

t.test('what was remembered is known again after a restart, best first', async (t) => {
  const book = new AddressBook({ self });
  book.learn(anna, at('10.0.0.7'), 'beat');
  book.learn(anna, at('10.0.0.8'), 'names');
  book.succeeded(bert, at('10.0.0.9'), 3);
  const next = new AddressBook({ self });
  next.take(JSON.parse(JSON.stringify(book.remember())), 'remembered');
  t.same(new Set(next.peers()), new Set([anna, bert]));
  t.same(new Set(next.addressesOf(anna)), new Set(book.addressesOf(anna)));
});

t.test('a new address of a peer that is heard now is kept though the book of that peer is full', async (t) => {
  const book = new AddressBook({ self });
  for (let i = 0; i < ADDRESSES_PER_PEER_MAX; i++) book.succeeded(anna, at(`10.0.0.${i}`), i);
  book.learn(anna, at('10.9.9.9'), 'exchanged');
  t.notOk(book.addressesOf(anna).some(({ host }) => host === '10.9.9.9'), 'hearsay replaces nothing that worked');
  book.learn(anna, at('10.9.9.9'), 'beat');
  t.ok(book.addressesOf(anna).some(({ host }) => host === '10.9.9.9'));
  t.equal(book.addressesOf(anna).length, ADDRESSES_PER_PEER_MAX);
});

t.test('the book is bounded in peers, and forgets first who was mentioned longest ago', async (t) => {
  const book = new AddressBook({ self });
  const id = (i: number): PeerId => (i + 1).toString(16).padStart(32, '0') as PeerId;
  for (let i = 0; i <= PEERS_REMEMBERED_MAX; i++) book.learn(id(i), at('10.0.0.1'), 'beat');
  t.equal(book.peers().length, PEERS_REMEMBERED_MAX);
  t.same(book.addressesOf(id(0)), []);
  t.equal(book.addressesOf(id(PEERS_REMEMBERED_MAX)).length, 1);
});

t.test('property: whatever is taken in, the book stays bounded, never holds ourselves, and tells no loopback to others', async (t) => {
  const hosts = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain(), fc.string(), fc.constantFrom('localhost', '127.0.0.1', '0.0.0.0', '224.0.0.1'));
  const peers = fc.oneof(fc.constantFrom<string>(self, anna, bert), fc.string());
  const tuple = fc.oneof(fc.tuple(peers, hosts, fc.integer({ min: -1, max: 70_000 })), fc.anything());
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(tuple, { maxLength: 80 }), fc.constantFrom<AddressSource>(...ADDRESS_SOURCES), (tuples, source) => {
        const book = new AddressBook({ self });
        book.take(tuples, 'exchanged');
        for (const one of book.peers()) for (const address of book.addressesOf(one)) book.learn(one, address, source);
        return (
          book.peers().every((one) => isId(one) && one !== self && book.addressesOf(one).length <= ADDRESSES_PER_PEER_MAX) &&
          book.share('10.0.0.1').every(([, host]) => !isLoopback(host) && !isNowhere(host))
        );
      }),
      { numRuns: 200 },
    ),
  );
  new AddressBook({ self }).take('rubbish', 'remembered');
});
