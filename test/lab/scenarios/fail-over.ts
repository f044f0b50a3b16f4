// The peer that serves a song dies in the middle of it, by kill -9, on cables of 10 Mbit/s. Who serves is what the switch
// counted, whatever the program says.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Song } from '../api.ts';
import { type Host, Lab } from '../lab.ts';
import { musicFolder, sha256, soundOf, wav } from '../music.ts';
import { meet } from '../network.ts';
import { type Peer, programMissing, search, startPeer, startPlay } from '../peers.ts';
import { until } from '../until.ts';

/** Four seconds at 10 Mbit/s. */
const SOUND_BYTES = 5_000_000;
const RATE = '10mbit';
const MEET_MS = 10_000;
const PLAY_MS = 40_000;
const TEST_MS = 120_000;

const start = (host: Host): Promise<Peer> => startPeer(host, { folders: [musicFolder(host)] });

t.setTimeout(TEST_MS);
t.test('two hosts with a song, and a third one that plays it', { skip: skip || programMissing(), timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'fail-over', hosts: 3 });
  t.teardown(() => lab.close());
  const [h1, h2, h3] = lab.hosts as [Host, Host, Host];
  const same = wav({ title: 'Same File', artist: 'Both', album: 'Twice' }, 'same', SOUND_BYTES);
  const tagged = [h1, h2].map((host) => wav({ title: 'Other Tags', artist: `Tagged on ${host.name}`, album: 'Twice' }, 'tagged', SOUND_BYTES));
  for (const [index, host] of [h1, h2].entries()) {
    writeFileSync(join(musicFolder(host), 'same.wav'), same);
    writeFileSync(join(musicFolder(host), 'tagged.wav'), tagged[index] as Buffer);
  }
  let servers = await Promise.all([start(h1), start(h2)]);
  const listener = await start(h3);
  for (const host of lab.hosts) await lab.rate(host, RATE);

  /** Finds a song, once both servers are known to have it. */
  const find = async (title: string): Promise<Song> => {
    const { value } = await until(
      `both servers provide '${title}'`,
      MEET_MS,
      async () => (await search(listener, [title])).filter((song) => song.title === title),
      ([song]) => song !== undefined && servers.every(({ id }) => song.providers.includes(id)),
    );
    return value[0] as Song;
  };

  /** Plays a song on the third host, kills who has sent most of it when a third has passed, and waits for the end. */
  const playAndKill = async (t: Test, song: Song, output: string, file?: string): Promise<void> => {
    const sent = (): Promise<number[]> => Promise.all(servers.map(async ({ host }) => (await lab.traffic(host)).sentBytes));
    const before = await sent();
    const began = performance.now();
    const playing = startPlay(listener, song.id, output, file === undefined ? {} : { file });
    const { value } = await until(
      'a third of the song has passed the switch',
      PLAY_MS,
      async () => (await sent()).map((bytes, index) => bytes - (before[index] as number)),
      (bytes) => bytes.reduce((sum, each) => sum + each, 0) > SOUND_BYTES / 3 || playing.ended !== undefined,
    );
    const serving = value.indexOf(Math.max(...value));
    t.equal(playing.ended, undefined, `the transfer is on its way, with ${value} bytes from the two`);
    await (servers[serving] as Peer).process.kill('SIGKILL');
    await until('the transfer completes', PLAY_MS, () => playing.tail(), () => playing.ended !== undefined);
    t.same(playing.ended, { code: 0, signal: null }, `it completes after ${Math.round(performance.now() - began)} ms: ${playing.tail()}`);
    const survivor = servers[1 - serving] as Peer;
    servers = serving === 0 ? [await start(h1), survivor] : [survivor, await start(h2)];
  };

  await meet([...servers, listener], MEET_MS);
  await t.test('the other goes on with the same file, and it is exact', { timeout: TEST_MS }, async (t) => {
    const output = join(lab.directory, 'same.wav');
    await playAndKill(t, await find('Same File'), output);
    t.equal(sha256(readFileSync(output)), sha256(same));
  });

  await t.test('a peer that was killed comes back with its catalog', { timeout: TEST_MS }, async (t) => {
    await meet([...servers, listener], MEET_MS);
    t.ok(await find('Same File'), 'and is known to have it');
  });

  await t.test('the other goes on with a file that has other tags, and the sound is exact', { timeout: TEST_MS }, async (t) => {
    const output = join(lab.directory, 'tagged.wav');
    const song = await find('Other Tags');
    t.equal(song.files.length, 2, 'one song of two files');
    await playAndKill(t, song, output);
    t.equal(sha256(soundOf(readFileSync(output))), sha256(soundOf(tagged[0] as Buffer)));
  });
});
