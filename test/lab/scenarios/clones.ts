// Data folders that were copied. A backup is put back after its machine went on, and a copy is started beside the original: nothing
// that was deleted returns, nothing that was written is lost, and the peer says in one line what happened.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { cpSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Api, type Song } from '../api.ts';
import { isLong } from '../effort.ts';
import { type Host, Lab } from '../lab.ts';
import { generate, musicFolder } from '../music.ts';
import { agree, meet } from '../network.ts';
import { dataOf, NO_COPIES, type Peer, programMissing, startPeer } from '../peers.ts';
import { until } from '../until.ts';
import { claimSameView, sameDigest } from '../views.ts';

const MUSIC = { each: 2, soundBytes: 2_000 };
const PATIENCE_MS = 20_000;
const TEST_MS = 120_000;

const start = (host: Host): Promise<Peer> => startPeer(host, { folders: [musicFolder(host)], args: NO_COPIES });

/** As somebody does it who knows that databases are not to be copied while they are written. */
const copyData = (from: string, to: string): void => cpSync(from, to, { recursive: true });

type Created = { readonly id: string; readonly items: readonly string[] };
const create = (api: Api, name: string, songs: readonly string[]): Promise<Created> =>
  api.post('/api/playlists', { profile: 'ana', name, songs });
const star = (api: Api, song: string, starred: boolean): Promise<unknown> => api.post('/api/stars', { profile: 'ana', songs: [song], starred });

/** What the peer logs under a name, so far. */
const events = (peer: Peer, name: string): readonly { readonly [fact: string]: unknown }[] =>
  peer.process.lines().filter((line) => line.startsWith(`{"event":"${name}"`)).map((line) => JSON.parse(line) as { readonly [fact: string]: unknown });

t.setTimeout(TEST_MS);
t.test('a data folder is copied', { skip: skip || programMissing(), timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'clones', hosts: 3 });
  t.teardown(() => lab.close());
  const [h1, h2, h3] = lab.hosts as [Host, Host, Host];
  generate([h1, h2], MUSIC);
  const backup = join(h1.directory, 'backup');
  const [a1, a2] = [await Api.open(h1), await Api.open(h2)];
  let first = await start(h1);
  const second = await start(h2);
  await meet([first, second], PATIENCE_MS);
  // those of the second host last: they stay where they are
  const isSeconds = ({ providers }: Song): number => Number(providers.includes(second.id));
  const found = (await agree([first, second], 4, PATIENCE_MS)).songs.sort((a, b) => isSeconds(a) - isSeconds(b));
  const songs = found.map(({ id }) => id) as [string, string, string, string];
  const names = (view: { readonly playlists: readonly { readonly name: string }[] }): string[] => view.playlists.map(({ name }) => name).sort();

  await t.test('and put back after more was written', { timeout: TEST_MS }, async (t: Test) => {
    const doomed = await create(a1, 'Doomed', songs);
    const kept = await create(a1, 'Kept', songs);
    await star(a1, songs[0], true);
    await first.process.kill('SIGTERM');
    copyData(dataOf(h1), backup);

    first = await start(h1);
    await meet([first, second], PATIENCE_MS);
    await a1.post(`/api/playlists/${doomed.id}/delete`, {});
    await a1.post(`/api/playlists/${kept.id}/remove`, { items: [kept.items[1]] });
    await create(a1, 'Later', [songs[2]]);
    await star(a1, songs[0], false);
    await star(a1, songs[3], true);
    await sameDigest([a1, a2], PATIENCE_MS);
    const before = await claimSameView(t, [a1, a2], ['ana']);
    t.same(names(before), ['Kept', 'Later']);
    const lamport = (await a1.status()).replication.lamport;

    await first.process.kill('SIGKILL');
    renameSync(dataOf(h1), join(h1.directory, 'lost'));
    copyData(backup, dataOf(h1));
    first = await start(h1);
    // a person does not wait: this comes from the old state, before anybody was heard
    await star(a1, songs[1], true);
    await meet([first, second], PATIENCE_MS);
    t.comment(`one digest ${await sameDigest([a1, a2], PATIENCE_MS)} ms after they met`);
    const after = await claimSameView(t, [a1, a2], ['ana']);
    t.same(after.playlists, before.playlists, 'nothing deleted has returned, and nothing is lost');
    t.same([...(after.stars['ana'] ?? [])].sort(), [songs[1], songs[3]].sort(), 'the stars are those of before, and the new one');
    const log = await a2.log();
    t.equal(new Set(log.map(({ origin, epoch, seq }) => `${origin} ${epoch} ${seq}`)).size, log.length, 'no event has the name of another');
    const latest = log.filter(({ key }) => key === `star/ana/song/${songs[1]}`).at(-1);
    t.ok((latest?.lamport ?? 0) > lamport, `what was written then is later than all before: ${latest?.lamport}, after ${lamport}`);
    const { operations } = await first.process.event('returned', PATIENCE_MS);
    t.ok(Number(operations) >= 5, `the peer says that ${operations} changes came back`);
    t.same(events(second, 'returned'), [], 'and the other one does not');
    t.same([...events(first, 'clone'), ...events(first, 'cloned'), ...events(second, 'clone')], [], 'a restored folder is no clone');
  });

  await t.test('and started beside its original', { timeout: TEST_MS }, async (t: Test) => {
    await first.process.kill('SIGTERM');
    copyData(dataOf(h1), dataOf(h3));
    const a3 = await Api.open(h3);
    const membersBefore = events(second, 'member').length;
    const third = await Promise.all([start(h1), start(h3)]).then(([original, copy]) => {
      first = original;
      return copy;
    });
    t.equal(first.id, third.id, 'two processes live with one identity');
    // both are used at once
    const done = await Promise.all([
      create(a1, 'Original', [songs[2]]).then(({ id }) => id),
      create(a3, 'Copy', [songs[3]]).then(({ id }) => id),
      star(a1, songs[2], true),
      star(a3, songs[3], false),
    ]);
    const ids = async (): Promise<string[]> => (await Promise.all([a1, a3].map((api) => api.status()))).map(({ peer }) => peer.id);
    const { value, ms } = await until('one of the two takes a new identity', PATIENCE_MS, ids, ([one, other]) => one !== other);
    t.ok(value.includes(first.id), `${ms} ms after both were used, and one keeps the old one`);
    const alive = async (api: Api): Promise<number> => (await api.status()).members.filter(({ state }) => state === 'alive').length;
    await until('they all meet', PATIENCE_MS, () => Promise.all([a1, a2, a3].map(alive)), (counts) => counts.every((count) => count === 2));
    await star(a1, songs[3], true);
    await star(a3, songs[1], false);
    t.comment(`one digest after ${await sameDigest([a1, a2, a3], PATIENCE_MS)} ms`);
    const view = await claimSameView(t, [a1, a2, a3], ['ana']);
    t.same(names(view), ['Copy', 'Kept', 'Later', 'Original'], 'what both wrote is there, and what was deleted is not');
    const both = view.playlists.filter(({ id }) => id === done[0] || id === done[1]);
    t.same(both.flatMap(({ items }) => items.map(({ song }) => song)).sort(), [songs[2], songs[3]].sort());
    t.same([...(view.stars['ana'] ?? [])].sort(), [songs[2], songs[3]].sort(), 'the last word about each star counts');
    const told = [first, third].flatMap((peer) => events(peer, 'cloned'));
    t.ok(told.some(({ yields }) => yields === true), `a peer says that it goes on under a new identity: ${JSON.stringify(told)}`);
    // after a while the two compare what is said of their disks with their disks
    if (isLong) {
      // the copy has none of the music
      const holders = (song: string): Promise<number> => a2.get<Song>(`/api/songs/${song}`).then(({ providers }) => providers.length, () => 0);
      const each = (): Promise<number[]> => Promise.all(songs.map(holders));
      const { ms } = await until('each song has the one holder that has it', 2 * PATIENCE_MS, each, (counts) => counts.every((count) => count === 1));
      t.pass(`the copy of a data folder is no copy of the music, and ${ms} ms later that is known`);
      t.same(events(second, 'member').slice(membersBefore).filter(({ state }) => state === 'dead'), [], 'and meanwhile nobody took a machine that lives for dead');
    }
  });
});
