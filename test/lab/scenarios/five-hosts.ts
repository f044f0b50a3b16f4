// Five machines with music of their own become one library: on a good LAN with Avahi beside, and where multicast is blocked.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { StatusJson } from '../../../peer/http/schemas.ts';
import type { Song } from '../api.ts';
import { avahiMissing, browse, startAvahi } from '../avahi.ts';
import { Lab } from '../lab.ts';
import { generate, type Original, sha256 } from '../music.ts';
import { claimWhole, killAll, startAll } from '../network.ts';
import { command, type Peer, play, programMissing, status } from '../peers.ts';
import { until } from '../until.ts';

const HOSTS = 5;
/** Several chunks, and not a whole number of them. */
const MUSIC = { each: 2, soundBytes: 300_001 };
const GOOD_LAN = { withinMs: 5_000, playMs: 20_000 };
const NO_MULTICAST = { withinMs: 15_000, playMs: 20_000 };
/** Only what hangs is stopped by it. */
const TEST_MS = 120_000;

t.setTimeout(TEST_MS);
t.test('five hosts, each with songs of its own', { skip: skip || programMissing(), timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'five-hosts', hosts: HOSTS + 1 });
  t.teardown(() => lab.close());
  const hosts = lab.hosts.slice(0, HOSTS);
  const music = generate(hosts, MUSIC);
  // One host has Avahi beside its peer, and from before it, as a desktop does; another one has nothing else.
  const avahi = avahiMissing() === false ? [lab.host(1), lab.host(HOSTS + 1)] : [];
  await Promise.all(avahi.map(startAvahi));

  await t.test('become one library', { timeout: TEST_MS }, async (t) => {
    const peers = await startAll(hosts, 'data');
    await claimWhole(t, peers, music, GOOD_LAN);
    t.equal((await status(peers[0] as Peer)).network.mode, 'multicast');

    await t.test('for a command as for everybody else', { timeout: TEST_MS }, async (t) => {
      for (const [i, peer] of peers.entries()) {
        const say = async (...argv: readonly string[]): Promise<any> => {
          const { code, stdout, stderr } = await command(peer, [...argv, '--json']);
          t.equal(code, 0, `${peer.name}: ${argv.join(' ')}${stderr}`);
          return JSON.parse(stdout);
        };
        const { members, peer: self }: StatusJson = await say('status');
        t.same([self.id, ...members.filter(({ state }) => state === 'alive').map(({ id }) => id)].sort(), peers.map(({ id }) => id).sort(), 'status');
        const found: Song[] = await say('search');
        t.same(found.map(({ title }) => title).sort(), music.map(({ track }) => track?.title).sort(), 'search');
        const { name, sha256: wanted, track } = music[(MUSIC.each * (i + 1)) % music.length] as Original;
        const output = join(peer.host.directory, name);
        await play(peer, found.find(({ title }) => title === track?.title)?.id as string, output);
        t.equal(sha256(readFileSync(output)), wanted, `${peer.name} plays what its neighbour has`);
      }
    });

    await t.test('are listed and resolved by avahi-browse, beside a peer and elsewhere', { skip: avahiMissing(), timeout: TEST_MS }, async (t) => {
      const expected = peers.map(({ host, port }) => `${host.address}:${port}`).sort();
      for (const machine of avahi) {
        const { value } = await until(
          `avahi-browse on ${machine.name} resolves ${expected}`,
          GOOD_LAN.withinMs,
          () => browse(machine, '_spotify-peer._tcp'),
          (found) => JSON.stringify(found.map(({ address, port }) => `${address}:${port}`).sort()) === JSON.stringify(expected),
        );
        for (const { id, name } of peers) {
          const record = value.find(({ txt }) => txt.includes(`"id=${id}"`));
          t.match(record, { instance: `${name}-${id.slice(0, 8)}`, hostname: `sp-${id.slice(0, 8)}.local` }, `${name} as ${machine.name} sees it`);
        }
      }
    });
    await killAll(peers);
  });

  await t.test('become one library with multicast blocked, when four are told of the fifth', { timeout: TEST_MS }, async (t) => {
    await lab.block('multicast', 'all');
    const peers = await startAll(hosts, 'data-blocked', { argsOf: ({ number }) => (number === 1 ? [] : ['--join', lab.host(1).address]) });
    await claimWhole(t, peers, music, NO_MULTICAST);
    for (const peer of peers) t.equal((await status(peer)).network.mode, 'unicast', `${peer.name} says how it works`);
  });
});
