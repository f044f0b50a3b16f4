// What happens to machines in a house: a cable is pulled, an address changes, the network falls apart and grows together, a
// machine runs two peers, files come and go, a peer is killed, another says goodbye.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Song } from '../api.ts';
import { type Host, Lab } from '../lab.ts';
import { generate, musicFolder, wav } from '../music.ts';
import { agree, meet, startAll } from '../network.ts';
import { type Peer, programMissing, search, startPeer, status } from '../peers.ts';
import { until } from '../until.ts';

const MUSIC = { each: 2, soundBytes: 100_001 };
const MEET_MS = 5_000;
/** To see that somebody is gone who cannot say so, and that he is back. */
const NOTICE_MS = 8_000;
/** "Within seconds": from a change in a folder to what another peer finds. */
const FOLDER_MS = 6_000;
/** Only what hangs is stopped by it. */
const TEST_MS = 120_000;

const stateOf = async (viewer: Peer, member: Peer): Promise<string | undefined> =>
  (await status(viewer)).members.find(({ id }) => id === member.id)?.state;

const notice = async (t: Test, viewer: Peer, member: Peer, states: readonly string[]): Promise<void> => {
  const { value, ms } = await until(
    `${viewer.name} sees ${member.name} ${states.join(' or ')}`,
    NOTICE_MS,
    () => stateOf(viewer, member),
    (state) => states.includes(String(state)),
  );
  t.pass(`${viewer.name} saw ${member.name} ${value} after ${ms} ms`);
};

t.setTimeout(TEST_MS);
t.test('three hosts of one network', { skip: skip || programMissing(), timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'faults', hosts: 3 });
  t.teardown(() => lab.close());
  const [h1, h2, h3] = lab.hosts as [Host, Host, Host];
  const music = generate(lab.hosts, MUSIC);
  let peers = await startAll(lab.hosts, 'data');
  const [p1, p2, p3] = peers as [Peer, Peer, Peer];
  await meet(peers, MEET_MS);
  await agree(peers, music.length, MEET_MS);

  await t.test('notice a pulled cable, and that it is back', { timeout: TEST_MS }, async (t) => {
    await lab.cable(h3, 'down');
    await notice(t, p1, p3, ['dead']);
    await notice(t, p3, p1, ['dead']);
    await lab.cable(h3, 'up');
    t.pass(`whole again after ${await meet(peers, NOTICE_MS)} ms`);
  });

  await t.test('stay together when an address changes', { timeout: TEST_MS }, async (t) => {
    await lab.address(h2, '10.99.0.77/24');
    const { ms } = await until(
      'the others have the new address of h2, alive',
      NOTICE_MS,
      async () => (await status(p1)).members.find(({ id }) => id === p2.id),
      (member) => member?.state === 'alive' && member.address.includes('10.99.0.77'),
    );
    t.pass(`known after ${ms} ms`);
    await meet(peers, NOTICE_MS);
    await lab.address(h2, `${h2.address}/24`);
    await meet(peers, NOTICE_MS);
  });

  await t.test('part and come together, and then know what each missed', { timeout: TEST_MS }, async (t) => {
    await lab.partition([h1, h2], [h3]);
    await notice(t, p1, p3, ['dead']);
    const file = join(musicFolder(h1), 'meanwhile.wav');
    writeFileSync(file, wav({ title: 'Meanwhile', artist: 'h1', album: 'Apart' }, 'meanwhile', MUSIC.soundBytes));
    const finds = (peer: Peer) => async (): Promise<Song[]> => search(peer, ['Meanwhile']);
    await until('h2 finds it, being on the same side', FOLDER_MS, finds(p2), (songs) => songs.length === 1);
    t.equal((await finds(p3)()).length, 0, 'h3 does not');
    await lab.heal();
    t.pass(`met after ${await meet(peers, NOTICE_MS)} ms`);
    const { ms } = await until('h3 finds it', NOTICE_MS, finds(p3), (songs) => songs.length === 1);
    t.pass(`found after ${ms} ms`);
  });

  await t.test('follow the files of a folder', { timeout: TEST_MS }, async (t) => {
    const [before, after] = [join(musicFolder(h2), 'new.wav'), join(musicFolder(h2), 'renamed.wav')];
    const find = async (words: string): Promise<Song | undefined> => (await search(p3, [words]))[0];
    writeFileSync(before, wav({ title: 'Brandnew', artist: 'h2', album: 'Fresh' }, 'fresh', MUSIC.soundBytes));
    const added = await until('h3 finds a file that was added', FOLDER_MS, () => find('Brandnew'), (song) => song !== undefined);
    writeFileSync(before, wav({ title: 'Secondhand', artist: 'h2', album: 'Fresh' }, 'fresh', MUSIC.soundBytes));
    const retagged = await until('h3 finds it under its new title', FOLDER_MS, () => find('Secondhand'), (song) => song !== undefined);
    t.equal(retagged.value?.id, added.value?.id, 'a retagged song stays the same song');
    await until('and no longer under the old one', FOLDER_MS, () => find('Brandnew'), (song) => song === undefined);
    renameSync(before, after);
    const marker = join(musicFolder(h2), 'marker.wav'); // once this one shows, so would the rename
    writeFileSync(marker, wav({ title: 'Marker', artist: 'h2', album: 'Fresh' }, 'marker', MUSIC.soundBytes));
    await until('h3 finds what was added after the renaming', FOLDER_MS, () => find('Marker'), (song) => song !== undefined);
    const renamed = await until('a renamed song stays', FOLDER_MS, () => find('Secondhand'), (song) => song !== undefined);
    t.equal(renamed.value?.id, added.value?.id, 'and is the same song');
    rmSync(after);
    const deleted = await until('h3 no longer finds a file that was deleted', FOLDER_MS, () => find('Secondhand'), (song) => song === undefined);
    t.pass(`added after ${added.ms} ms, retagged after ${retagged.ms} ms, deleted after ${deleted.ms} ms`);
  });

  await t.test('take a second peer on one of them', { timeout: TEST_MS }, async (t) => {
    const folder = musicFolder(h1, 'More');
    writeFileSync(join(folder, 'more.wav'), wav({ title: 'Upstairs', artist: 'h1', album: 'More' }, 'more', MUSIC.soundBytes));
    const second = await startPeer(h1, { folders: [folder], data: join(h1.directory, 'data-more'), name: 'h1-more' });
    t.not(second.port, p1.port, 'on another port');
    await meet([...peers, second], MEET_MS);
    await until('h3 finds its song', MEET_MS, () => search(p3, ['Upstairs']), (songs) => songs.length === 1);
    await second.process.kill('SIGTERM');
    await notice(t, p3, second, ['left']);
  });

  await t.test('refuse a second peer on one data folder, in one clear line', { timeout: TEST_MS }, async (t) => {
    await t.rejects(startPeer(h1, { folders: [], data: p1.data }), /ended with 1; its last lines:\nspotify-peer: .+$/);
    t.equal(p1.process.ended, undefined, 'the first goes on');
  });

  await t.test('lose nothing when all are killed at once', { timeout: TEST_MS }, async (t) => {
    const before = await search(p3);
    await Promise.all(peers.map(({ process }) => process.kill('SIGKILL')));
    const alone = await startPeer(h3, { folders: [musicFolder(h3)], data: p3.data });
    t.equal(alone.id, p3.id, 'a peer keeps its identity');
    t.same((await search(alone)).map(({ id }) => id), before.map(({ id }) => id), 'and what it knew of the others');
    peers = [alone, ...(await Promise.all([h1, h2].map((host) => startPeer(host, { folders: [musicFolder(host)], data: join(host.directory, 'data') }))))];
    t.pass(`met again after ${await meet(peers, MEET_MS)} ms`);
    t.equal(new Set((await Promise.all(peers.map(status))).map(({ peer }) => peer.id)).size, 3);
  });
});
