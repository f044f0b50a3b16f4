// Wall clocks that are a day apart, and that jump while peers run: it makes no difference to who is alive, to whose word counts, or to
// the order of what happened. Times of day are shown to people, and nothing is decided by them.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import t, { type Test } from 'tap';
import { Api } from '../api.ts';
import { effort, oneOf, seeded } from '../effort.ts';
import { type Host, Lab } from '../lab.ts';
import { generate, musicFolder } from '../music.ts';
import { agree, meet } from '../network.ts';
import { type Peer, programMissing, startPeer } from '../peers.ts';
import { until } from '../until.ts';
import { claimSameView, sameDigest } from '../views.ts';
import { clocksMissing, setClock, withClock } from '../wall-clock.ts';

const MUSIC = { each: 2, soundBytes: 2_000 };
const OFFSETS = ['+0', '+1d', '-1d'] as const;
const JUMPS = effort({ short: 12, long: 200 });
const JUMP_TO = ['+0', '+1d', '-1d', '+3650d', '-3650d', '+90s', '-90s', '+2s', '-2s'] as const;
const DAY_MS = 86_400_000;
const PATIENCE_MS = 20_000;
/** A clock is set and read in less. */
const SLACK_MS = 60_000;
const TEST_MS = effort({ short: 90_000, long: 600_000 });

t.setTimeout(TEST_MS);
t.test('three hosts whose clocks are a day apart', { skip: skip || programMissing() || clocksMissing(), timeout: TEST_MS }, async (t) => {
  const random = seeded(t);
  const lab = await Lab.create({ name: 'clocks', hosts: 3 });
  t.teardown(() => lab.close());
  generate(lab.hosts, MUSIC);
  const apis = (await Promise.all(lab.hosts.map((host) => Api.open(host)))) as [Api, Api, Api];
  const [here, ahead, behind] = apis;
  const start = (host: Host, offset: string): Promise<Peer> => startPeer(host, { folders: [musicFolder(host)], env: withClock(host, offset) });
  const peers = await Promise.all(lab.hosts.map((host, i) => start(host, OFFSETS[i] as string)));
  t.comment(`met after ${await meet(peers, PATIENCE_MS)} ms`);
  const songs = (await agree(peers, 6, PATIENCE_MS)).songs.map(({ id }) => id);
  const [song] = songs as [string];
  const star = (api: Api, starred: boolean, profile = 'ana'): Promise<unknown> => api.post('/api/stars', { profile, songs: [song], starred });
  const shows = async (api: Api, profile = 'ana'): Promise<boolean> => (await api.stars(profile)).includes(song);
  const seen = (api: Api, starred: boolean, profile = 'ana'): Promise<unknown> =>
    until(`${api.host.name} sees it ${starred ? 'starred' : 'not starred'}`, PATIENCE_MS, () => shows(api, profile), (is) => is === starred);

  await t.test('really are', async (t) => {
    const { createdAtMs: atHere } = await created(here);
    for (const [api, days] of [[ahead, 1], [behind, -1]] as const) {
      const { createdAtMs } = await created(api);
      const [there, here] = [createdAtMs, atHere].map((at) => new Date(at).toISOString());
      t.ok(Math.abs(createdAtMs - atHere - days * DAY_MS) < SLACK_MS, `it is ${there} on ${api.host.name}, and ${here} here`);
    }
  });

  async function created(api: Api): Promise<{ readonly createdAtMs: number }> {
    const { id } = await api.post<{ id: string }>('/api/playlists', { profile: api.host.name, name: 'Clock' });
    return api.playlist(id);
  }

  await t.test('the last word counts, whatever the clock of who said it', { timeout: TEST_MS }, async (t: Test) => {
    await star(ahead, true);
    await seen(behind, true);
    await star(behind, false);
    await seen(ahead, false);
    t.pass('who is a day behind unstars what was starred a day ahead');
    await star(behind, true);
    await seen(here, true);
    await star(here, false);
    await seen(ahead, false);
    await seen(behind, false);
    t.pass('and the other way round');
  });

  await t.test('clocks jump while peers run and people write: nobody is missed, and nothing is lost', { timeout: TEST_MS }, async (t: Test) => {
    const linesBefore = peers.map(({ process }) => process.lines().length);
    const { id } = await here.post<{ id: string }>('/api/playlists', { profile: 'ana', name: 'Jumps' });
    for (const api of apis) await until(`${api.host.name} has the playlist`, PATIENCE_MS, () => api.playlists(), (lists) => lists.some((list) => list.id === id));
    const order: string[] = [];
    for (let jump = 0; jump < JUMPS; jump++) {
      const host = oneOf(random, lab.hosts);
      setClock(host, oneOf(random, JUMP_TO));
      const writer = oneOf(random, apis);
      const { items } = await writer.post<{ items: [string] }>(`/api/playlists/${id}/add`, { songs: [oneOf(random, songs)] });
      order.push(items[0]);
      for (const api of apis) {
        const items = async (): Promise<string> => (await api.playlist(id)).items.map((item) => item.id).join();
        await until(`${api.host.name} shows item ${jump}`, PATIENCE_MS, items, (shown) => shown === order.join());
      }
    }
    t.pass(`after each of ${JUMPS} jumps everybody shows the items in the order in which they were added`);
    await sameDigest(apis, PATIENCE_MS);
    const log = (await here.log()).filter(({ kind, playlist }) => kind === 'item' && playlist === id).map(({ item }) => item);
    t.same(log, order, 'the log has them in that order too');
    const linesOf = ({ name, process }: Peer, i: number): string[] => process.lines().slice(linesBefore[i]).map((line) => `${name}: ${line}`);
    t.same(peers.flatMap(linesOf).filter((line) => !line.includes('"event":"synced"')), [], 'no peer missed another, or found anything worth a line');
    await claimSameView(t, apis, ['ana']);
  });

  await t.test('a peer that starts a day later or earlier than it stopped says the last word all the same', { timeout: TEST_MS }, async (t: Test) => {
    setClock(lab.host(1), '+1d');
    await star(here, true, 'ben');
    await Promise.all([seen(ahead, true, 'ben'), seen(behind, true, 'ben')]);
    await (peers[0] as Peer).process.kill('SIGKILL');
    peers[0] = await start(lab.host(1), '-1d');
    await star(here, false, 'ben');
    await Promise.all([seen(ahead, false, 'ben'), seen(behind, false, 'ben')]);
    await meet(peers, PATIENCE_MS);
    await sameDigest(apis, PATIENCE_MS);
    const view = await claimSameView(t, apis, ['ana', 'ben']);
    t.same(view.stars['ben'], []);
  });
});
