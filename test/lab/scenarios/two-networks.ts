// Two networks of one name that grew apart, as when two households move in together, or when two machines were set up where they
// could not hear each other: what somebody made on one side is not mixed into the other's until a person says so.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import t, { type Test } from 'tap';
import { Api } from '../api.ts';
import { isLong } from '../effort.ts';
import { type Host, Lab } from '../lab.ts';
import { generate, musicFolder } from '../music.ts';
import { meet } from '../network.ts';
import { command, type Peer, programMissing, startPeer } from '../peers.ts';
import { until } from '../until.ts';
import { claimSameView, sameDigest, viewOf } from '../views.ts';

const MUSIC = { each: 2, soundBytes: 2_000 };
const MEET_MS = 20_000;
/** Several beats of everybody, and a pull if there were one. */
const BEATS = 3;
const TEST_MS = 120_000;

interface Side {
  readonly peers: readonly Peer[];
  readonly apis: readonly [Api, Api];
}

/** Without copies, which would go on changing what is compared. */
const start = (host: Host): Promise<Peer> => startPeer(host, { folders: [musicFolder(host)], args: ['--cache', '0'] });
const songsOf = async (api: Api): Promise<string[]> =>
  (await until(`${api.host.name} finds the songs of its side`, MEET_MS, () => api.songs(), (songs) => songs.length >= MUSIC.each * 2)).value;

async function begin(hosts: readonly [Host, Host]): Promise<Side> {
  const [first, second] = hosts;
  const peers = await Promise.all([start(first), start(second)]);
  await meet(peers, MEET_MS);
  return { peers, apis: [await Api.open(first), await Api.open(second)] };
}

/** A playlist with a song and one that was taken out again, one that was deleted, and a star. */
async function live(api: Api, name: string): Promise<{ readonly id: string; readonly item: string; readonly star: string }> {
  const [song, star] = (await songsOf(api)) as [string, string];
  const { id, items } = await api.post<{ id: string; items: [string, string] }>('/api/playlists', { profile: 'ana', name, songs: [song, song] });
  await api.post(`/api/playlists/${id}/remove`, { items: [items[1]] });
  const gone = await api.post<{ id: string }>('/api/playlists', { profile: 'ana', name: 'gone' });
  await api.post(`/api/playlists/${gone.id}/delete`, {});
  await api.post('/api/stars', { profile: 'ana', songs: [star], starred: true });
  return { id, item: items[0], star };
}

/** Waits until each of these has heard some beats of every other since now: whatever a beat leads to has begun then. */
const beatsPass = (peers: readonly Api[]): Promise<unknown> =>
  Promise.all(
    peers.map(async (peer) => {
      const heard = new Map<string, { readonly agoMs: number; readonly beats: number }>();
      await until(`${peer.host.name} hears ${BEATS} beats of each`, MEET_MS, async () => {
        for (const { id, lastHeardMs: agoMs } of (await peer.status()).members) {
          const last = heard.get(id);
          heard.set(id, { agoMs, beats: (last?.beats ?? 0) + (last !== undefined && agoMs < last.agoMs ? 1 : 0) });
        }
        return [...heard.values()].map(({ beats }) => beats);
      }, (beats) => beats.every((count) => count >= BEATS));
    }),
  );

const show = async (t: Test, peer: Peer): Promise<string> => {
  const { stdout, code } = await command(peer, ['network', 'show']);
  t.equal(code, 0);
  return stdout;
};

t.setTimeout(TEST_MS);
t.test('two networks of one name meet', { skip: skip || programMissing(), timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'two-networks', hosts: 6 });
  t.teardown(() => lab.close());
  const [h1, h2, h3, h4, h5, h6] = lab.hosts as [Host, Host, Host, Host, Host, Host];
  generate(lab.hosts, MUSIC);
  await lab.partition([h1, h2], [h3, h4]);
  const [left, right] = await Promise.all([begin([h1, h2]), begin([h3, h4])]);
  const all = [...left.apis, ...right.apis] as [Api, Api, Api, Api];
  const peers = [...left.peers, ...right.peers];
  const idOf = async (api: Api): Promise<string> => (await api.status()).network.id;
  const [leftMade, rightMade] = [await live(left.apis[0], 'Evening'), await live(right.apis[1], 'Evening')];
  await Promise.all([left, right].map(({ apis }) => sameDigest(apis, MEET_MS)));
  const [leftId, rightId] = [await idOf(left.apis[0]), await idOf(right.apis[0])];
  t.not(leftId, rightId, 'they have begun apart');

  await t.test('and stay apart by themselves', { timeout: TEST_MS }, async (t) => {
    const before = await Promise.all(all.map((api) => viewOf(api, ['ana'])));
    const digests = await Promise.all(all.map((api) => api.digest()));
    await lab.heal();
    await meet(peers, MEET_MS);
    for (const [i, peer] of peers.entries()) {
      const { network } = await peer.process.event('apart', MEET_MS);
      t.equal(network, i < 2 ? rightId : leftId, `${peer.name} tells of the other network`);
    }
    await beatsPass(all);
    t.same(await Promise.all(all.map((api) => viewOf(api, ['ana']))), before, 'everybody shows what was there before');
    t.same(await Promise.all(all.map((api) => api.digest())), digests, 'and has nothing of the other side');
  });

  await t.test('what is written meanwhile stays on its side', { timeout: TEST_MS }, async (t) => {
    await left.apis[0].post(`/api/playlists/${leftMade.id}/rename`, { name: 'Left evening' });
    await sameDigest(left.apis, MEET_MS);
    t.same((await right.apis[0].playlists()).map(({ name }) => name), ['Evening']);
  });

  if (isLong) {
    await t.test('a restart tells it again', { timeout: TEST_MS }, async (t) => {
      const [first] = peers as [Peer];
      await first.process.kill('SIGKILL');
      peers[0] = await start(h1);
      await peers[0].process.event('apart', MEET_MS);
      t.pass('on the side of who has started');
      await meet(peers, MEET_MS);
    });
  }

  await t.test('until a person makes them one, and then everything of both is everywhere', { timeout: TEST_MS }, async (t) => {
    const [, second] = peers as [Peer, Peer];
    const text = await show(t, second);
    const [, id8] = /network join ([0-9a-f]{8})\n/.exec(text) ?? [];
    t.equal(id8, rightId.slice(0, 8), `network show says how: ${text}`);
    const began = performance.now();
    const joined = await command(second, ['network', 'join', id8 as string]);
    t.equal(joined.code, 0, `${joined.stdout}${joined.stderr}`);
    t.comment(`it answers:\n${joined.stdout}`);
    await sameDigest(all, MEET_MS);
    t.comment(`one ${Math.round(performance.now() - began)} ms after the command was typed`);
    const view = await claimSameView(t, all, ['ana']);
    const lists = view.playlists.map(({ id, items }) => [id, items.map((item) => item.id)]);
    t.same(lists, [leftMade, rightMade].map(({ id, item }) => [id, [item]]).sort(), 'both playlists are there, with their items');
    t.same(view.playlists.map(({ name }) => name).sort(), ['Evening', 'Left evening']);
    t.same([...(view.stars['ana'] ?? [])].sort(), [leftMade.star, rightMade.star].sort(), 'and both stars');
    t.same(await Promise.all(all.map(async (api) => (await api.songs()).length)), [8, 8, 8, 8], 'and the songs of all');
    t.equal(new Set(await Promise.all(all.map(idOf))).size, 1, 'and all say one network id');
    t.notMatch(await show(t, second), 'another network', 'network show tells of no other any more');
  });

  if (isLong) {
    await t.test('they are one for whoever starts again, and for whoever writes', { timeout: TEST_MS }, async (t) => {
      await Promise.all([peers[1], peers[2]].map((peer) => peer?.process.kill('SIGKILL')));
      [peers[1], peers[2]] = await Promise.all([start(h2), start(h3)]);
      await meet(peers, MEET_MS);
      await all[1].post('/api/stars', { profile: 'ana', songs: [leftMade.star], starred: false });
      await sameDigest(all, MEET_MS);
      const view = await claimSameView(t, all, ['ana']);
      t.same(view.stars['ana'], [rightMade.star]);
    });
  }

  await t.test('a third one without anything that people made becomes part of it by itself', { timeout: TEST_MS }, async (t) => {
    await lab.partition([h5, h6], [h1, h2, h3, h4]);
    const third = await begin([h5, h6]);
    await sameDigest(third.apis, MEET_MS);
    for (const api of third.apis) await songsOf(api);
    const own = await idOf(third.apis[0]);
    const united = await idOf(all[0]);
    t.equal(await idOf(third.apis[1]), own, 'two machines with songs, of one network');
    await lab.heal();
    const everybody = [...all, ...third.apis] as [Api, ...Api[]];
    t.comment(`met ${await meet([...peers, ...third.peers], MEET_MS)} ms after the networks did`);
    t.comment(`one digest after ${await sameDigest(everybody, MEET_MS)} ms more`);
    t.same(await Promise.all(everybody.map(idOf)), everybody.map(() => united), 'it has given way');
    for (const { name, process } of third.peers) t.ok(await process.event('adopted', MEET_MS), `${name} says so`);
    for (const api of everybody) t.equal((await api.songs()).length, 12, `${api.host.name} finds the songs of all`);
    await claimSameView(t, everybody, ['ana']);
    t.notOk(peers.some(({ process }) => process.lines().some((line) => line.includes('"event":"adopted"'))), 'nobody else has given way');
  });
});
