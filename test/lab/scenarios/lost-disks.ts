// Disks that are lost. A peer is killed and its data folder removed in the moment in which somebody was told that what he wrote is
// `replicated`, again and again: it is still there, on the others and on the machine itself when it is back with an empty disk.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Api, type Song } from '../api.ts';
import { effort, oneOf, seeded } from '../effort.ts';
import { type Host, Lab } from '../lab.ts';
import { generate, musicFolder } from '../music.ts';
import { agree, meet } from '../network.ts';
import { dataOf, type Peer, programMissing, startPeer } from '../peers.ts';
import { until } from '../until.ts';
import { claimSameView, sameDigest, viewOf } from '../views.ts';

const ROUNDS = effort({ short: 2, long: 50 });
const MUSIC = { each: 2, soundBytes: 2_000 };
const PATIENCE_MS = 20_000;
const TEST_MS = effort({ short: 120_000, long: 600_000 });

const start = (host: Host): Promise<Peer> => startPeer(host, { folders: [musicFolder(host)] });

t.setTimeout(TEST_MS);
t.test('three hosts whose disks are lost', { skip: skip || programMissing(), timeout: TEST_MS }, async (t) => {
  const random = seeded(t);
  const lab = await Lab.create({ name: 'lost-disks', hosts: 3 });
  t.teardown(() => lab.close());
  generate(lab.hosts, MUSIC);
  const apis = (await Promise.all(lab.hosts.map((host) => Api.open(host)))) as [Api, Api, Api];
  const peers = await Promise.all(lab.hosts.map(start));
  await meet(peers, PATIENCE_MS);
  const songs = (await agree(peers, 6, PATIENCE_MS)).songs.map(({ id }) => id);

  /** Writes again and again until somebody else has it. */
  const replicated = async <T extends { readonly acknowledged: string }>(write: () => Promise<T>): Promise<T> =>
    (await until('a write is replicated', PATIENCE_MS, write, ({ acknowledged }) => acknowledged === 'replicated')).value;

  await t.test(`right after an acknowledgement, ${ROUNDS} times: nothing that was replicated is lost`, { timeout: TEST_MS }, async (t: Test) => {
    const made = new Map<string, string>();
    const backMs: number[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      const victim = oneOf(random, lab.hosts);
      const [api, peer] = [apis[victim.number - 1] as Api, peers[victim.number - 1] as Peer];
      const others = apis.filter((other) => other !== api) as [Api, Api];
      const song = oneOf(random, songs);
      const name = `Round ${round}`;
      // each write is the last before the end in some rounds
      const byStar = random() < 0.5;
      const starring = () => replicated(() => api.post<{ acknowledged: string }>('/api/stars', { profile: `ana${round}`, songs: [song], starred: true }));
      const making = async () => {
        let attempts = 0;
        const { id } = await replicated(() => {
          attempts += 1;
          return api.post<{ id: string; acknowledged: string }>('/api/playlists', { profile: 'ana', name: `${name} ${attempts}`, songs: [song] });
        });
        made.set(id, `${name} ${attempts}`);
      };
      for (const write of byStar ? [making, starring] : [starring, making]) await write();
      await peer.process.kill('SIGKILL');
      rmSync(dataOf(victim), { recursive: true });

      const has = async (where: Api): Promise<string[]> => {
        const [playlists, stars] = [await where.playlists(), await where.stars(`ana${round}`)];
        const lost = [...made].filter(([id, name]) => !playlists.some((list) => list.id === id && list.name === name));
        return [...lost.map(([, name]) => name), ...(stars[0] === song ? [] : [`star ${round}`])];
      };
      for (const other of others) {
        await until(`${other.host.name} has what was replicated in round ${round}`, PATIENCE_MS, () => has(other), (missing) => missing.length === 0);
      }
      const began = performance.now();
      peers[victim.number - 1] = await start(victim);
      await until(`${victim.name} has it again`, PATIENCE_MS, () => has(api), (missing) => missing.length === 0);
      await until(`${victim.name} finds all songs`, PATIENCE_MS, () => api.songs(), (found) => found.length === songs.length);
      const { id } = await api.status().then((status) => status.peer);
      // what it copies of the others' songs meanwhile is not asked for
      const isHeld = ({ title, providers }: Song): boolean => title.endsWith(` of ${victim.name}`) && providers.includes(id);
      const held = async (): Promise<number> => (await others[0].catalog()).filter(isHeld).length;
      await until(`the songs of ${victim.name} are known to be on the new peer`, PATIENCE_MS, held, (count) => count === MUSIC.each);
      backMs.push(performance.now() - began);
    }
    backMs.sort((a, b) => a - b);
    t.comment(`whole again ${Math.round(backMs[backMs.length >> 1] as number)} ms (median) to ${Math.round(backMs.at(-1) as number)} ms after the start`);
    t.comment(`one digest after ${await sameDigest(apis, PATIENCE_MS)} ms`);
    const view = await claimSameView(t, apis, Array.from({ length: ROUNDS }, (_, i) => `ana${i + 1}`));
    t.same([...made.keys()].filter((id) => !view.playlists.some((playlist) => playlist.id === id && playlist.items.length === 1)), [], 'all playlists are there, with their songs');
    t.equal(Object.values(view.stars).flat().length, ROUNDS, 'and all stars');
  });

  await t.test('of which only the database is gone: the machine stays who it is, and gets back what it wrote', { timeout: TEST_MS }, async (t: Test) => {
    const [first] = apis;
    const [peer] = peers as [Peer];
    let attempts = 0;
    const { id } = await replicated(() => {
      attempts += 1;
      return first.post<{ id: string; acknowledged: string }>('/api/playlists', { profile: 'ben', name: `Mine ${attempts}`, songs: [songs[0]] });
    });
    await sameDigest(apis, PATIENCE_MS);
    await peer.process.kill('SIGKILL');
    rmSync(join(peer.data, 'db'), { recursive: true });
    const back = await start(peer.host);
    peers[0] = back;
    t.equal(back.id, peer.id);
    const { operations } = await back.process.event('returned', PATIENCE_MS);
    t.ok(Number(operations) > 0, `it says that ${operations} changes came back`);
    t.comment(`one digest after ${await sameDigest(apis, PATIENCE_MS)} ms`);
    t.ok((await viewOf(first, [])).playlists.some((playlist) => playlist.id === id));
    await until('its songs are its own again', PATIENCE_MS, async () => (await first.status()).catalog.ownSongs, (own) => own === MUSIC.each);
    await claimSameView(t, apis, ['ben']);
  });
});
