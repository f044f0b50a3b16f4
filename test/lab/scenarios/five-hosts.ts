// Five machines with music of their own become one library: on a good LAN, where multicast is blocked, and where a fifth of all
// frames is lost.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { avahiMissing, browse, startAvahi } from '../avahi.ts';
import { type Host, Lab } from '../lab.ts';
import { collectionMissing, deal, generate, musicFolder, type Original } from '../music.ts';
import { agree, meet, type Played, playAll } from '../network.ts';
import { type Peer, programMissing, startPeer, status } from '../peers.ts';
import { until } from '../until.ts';

const HOSTS = 5;
const SONGS_EACH = 3;
/** Several chunks, and not a whole number of them. */
const SOUND_BYTES = 300_001;
const GOOD_LAN_MS = 5_000;
const BAD_LAN_MS = 15_000;
const PLAY_MS = 20_000;
/** A stream over a link that loses packets waits for seconds now and then. */
const LOSSY_PLAY_MS = 60_000;

const failures = (played: readonly Played[]): string[] => played.flatMap(({ failure }) => failure ?? []);
const hashes = (played: readonly Played[]): Set<string> => new Set(played.flatMap(({ sha256 }) => sha256 ?? []));
const unplayed = (originals: readonly Original[], played: readonly Played[]): string[] =>
  originals.filter(({ sha256 }) => !hashes(played).has(sha256)).map(({ name }) => name);

/** Starts a peer on each host with fresh data, one after the other's readiness only where `join` needs an address. */
const startAll = (hosts: readonly Host[], data: string, argsOf: (host: Host) => readonly string[] = () => []): Promise<Peer[]> =>
  Promise.all(hosts.map((host) => startPeer(host, { folders: [musicFolder(host)], data: join(host.directory, data), args: argsOf(host) })));

const killAll = (peers: readonly Peer[]): Promise<unknown> => Promise.all(peers.map(({ process }) => process.kill('SIGKILL')));

t.test('five hosts, each with songs of its own', { skip: skip || programMissing() }, async (t) => {
  const lab = await Lab.create({ name: 'five', hosts: HOSTS + 1 });
  t.teardown(() => lab.close());
  const hosts = lab.hosts.slice(0, HOSTS);
  const observer = lab.host(HOSTS + 1);
  const originals = generate(hosts, SONGS_EACH, SOUND_BYTES);
  // The first host has Avahi beside its peer, from before it, as a desktop does.
  const avahi = avahiMissing() === false ? [lab.host(1), observer] : [];
  await Promise.all(avahi.map(startAvahi));

  const wholeLibrary = async (t: Test, peers: readonly Peer[], withinMs: number, playMs: number): Promise<void> => {
    const start = performance.now();
    t.comment(`met after ${await meet(peers, withinMs)} ms`);
    const { songs } = await agree(peers, originals.length, Math.max(0, withinMs - (performance.now() - start)));
    t.comment(`agreed after ${Math.round(performance.now() - start)} ms`);
    t.same(
      songs.map(({ title, artist, album }) => ({ title, artist, album })).sort((a, b) => a.title.localeCompare(b.title)),
      originals.map(({ track }) => track).sort((a, b) => (a?.title ?? '').localeCompare(b?.title ?? '')),
      'the catalog shows the tags of the files',
    );
    const played = await playAll(peers, songs, originals, playMs);
    t.same(failures(played), [], 'every song plays exactly on a host that lacks it');
    t.same(unplayed(originals, played), [], 'and none was left out');
    t.comment(`played ${played.length} songs after ${Math.round(performance.now() - start)} ms`);
  };

  await t.test('on a good LAN', async (t) => {
    const peers = await startAll(hosts, 'good');
    await wholeLibrary(t, peers, GOOD_LAN_MS, PLAY_MS);
    t.equal((await status(peers[0] as Peer)).network.mode, 'multicast');

    await t.test('avahi-browse lists and resolves every peer, beside a peer and elsewhere', { skip: avahiMissing() }, async (t) => {
      for (const machine of avahi) {
        const expected = peers.map(({ host, port }) => `${host.address}:${port}`).sort();
        await until(
          `avahi-browse on ${machine.name} resolves ${expected}`,
          GOOD_LAN_MS,
          () => browse(machine, '_spotify-peer._tcp'),
          (found) => JSON.stringify(found.map(({ address, port }) => `${address}:${port}`).sort()) === JSON.stringify(expected),
        );
        const found = await browse(machine, '_spotify-peer._tcp');
        for (const { id, name } of peers) {
          const record = found.find(({ txt }) => txt.includes(`"id=${id}"`));
          t.match(record, { instance: `${name}-${id.slice(0, 8)}`, hostname: `sp-${id.slice(0, 8)}.local` }, `${name} as ${machine.name} sees it`);
        }
      }
    });
    await killAll(peers);
  });

  await t.test('with multicast blocked, when each is told of one', async (t) => {
    await lab.block('multicast', 'all');
    const peers = await startAll(hosts, 'blocked', ({ number }) => (number === 1 ? [] : ['--join', lab.host(1).address]));
    await wholeLibrary(t, peers, BAD_LAN_MS, PLAY_MS);
    for (const peer of peers) t.equal((await status(peer)).network.mode, 'unicast', `${peer.name} says so`);
    await killAll(peers);
    await lab.heal();
  });

  for (const direction of ['out', 'both'] as const) {
    await t.test(`at a loss of 20% on every host, ${direction === 'out' ? 'of what it sends' : 'each way'}`, async (t) => {
      await lab.loss('all', 20, { direction });
      const peers = await startAll(hosts, `lossy-${direction}`);
      await wholeLibrary(t, peers, BAD_LAN_MS, LOSSY_PLAY_MS);
      await killAll(peers);
      await lab.heal();
    });
  }
});

t.test('five hosts, each with a part of the collection', { skip: skip || programMissing() || collectionMissing() }, async (t) => {
  const lab = await Lab.create({ name: 'collection', hosts: HOSTS });
  t.teardown(() => lab.close());
  const { all, playable } = deal(lab.hosts);
  const peers = await startAll(lab.hosts, 'data');
  const start = performance.now();
  await meet(peers, GOOD_LAN_MS);
  const { songs } = await agree(peers, playable.length, Math.max(0, GOOD_LAN_MS - (performance.now() - start)));
  const played = await playAll(peers, songs, all, PLAY_MS);
  t.same(failures(played), [], 'every file of every song plays exactly on a host that lacks it');
  t.same(unplayed(playable, played), [], 'and no playable file was left out');
});
