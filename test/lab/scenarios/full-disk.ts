// A disk that others have filled, all but room for half a song: music and database share it. Whoever listens hears every song to its end,
// byte for byte, is told once that no more is kept, and can still write; what was kept is still right when there is room again.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Api } from '../api.ts';
import { Lab } from '../lab.ts';
import { generate, musicFolder, sha256 } from '../music.ts';
import { agree, meet } from '../network.ts';
import { play, programMissing, search, startPeer } from '../peers.ts';
import { until } from '../until.ts';

const MUSIC = { each: 3, soundBytes: 2_000_000 };
const DISK_BYTES = 8_000_000;
/** Of other programs. Of the rest a tenth of the disk is left to the database. */
const OTHERS_BYTES = 6_000_000;
const DATA = '/run/small-disk';
const PATIENCE_MS = 20_000;
const TEST_MS = 90_000;

t.setTimeout(TEST_MS);
t.test('a full disk stops the caching with one line, and not the playing', { skip: skip || programMissing(), timeout: TEST_MS }, async (t) => {
  // before there are hosts, which keep the mounts that they begin with
  mkdirSync(DATA, { mode: 0o700 });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES},mode=0700`, 'tmpfs', DATA]);
  const others = join(DATA, 'of another program');
  writeFileSync(others, Buffer.alloc(OTHERS_BYTES));
  const lab = await Lab.create({ name: 'full-disk', hosts: 2 });
  t.teardown(() => lab.close());
  const [owner, listener] = [lab.host(1), lab.host(2)];
  const originals = generate([owner], MUSIC);
  const peers = [
    await startPeer(owner, { folders: [musicFolder(owner)] }),
    await startPeer(listener, { data: DATA, folders: [musicFolder(listener)], args: ['--cache', '1GB'] }),
  ] as const;
  await meet([...peers], PATIENCE_MS);
  await agree([...peers], MUSIC.each, PATIENCE_MS);
  const songs = await search(peers[1]);
  const output = join(listener.directory, 'played.wav');
  const wrong: string[] = [];
  const playAll = async (): Promise<void> => {
    for (const song of songs) {
      await play(peers[1], song.id, output);
      const played = sha256(readFileSync(output));
      if (!originals.some((original) => original.track?.title === song.title && original.sha256 === played)) wrong.push(song.title);
    }
  };
  await playAll();
  const troubles = peers[1].process.lines().filter((line) => line.includes('"trouble"'));
  t.equal(troubles.length, 1, troubles.join('\n'));
  t.match(troubles[0], /the disk of .* is full but for what the database needs: music of others is played, but not kept/);
  const api = await Api.open(listener);
  // more than what is left of a block
  await Promise.all(Array.from({ length: 20 }, (_, i) => api.post('/api/stars', { profile: `person-${i}`, songs: songs.map(({ id }) => id), starred: true })));
  t.equal((await api.stars('person-19')).length, songs.length, 'people can still write');
  rmSync(others);
  // twice, because the second time some of it comes from the disk
  await playAll();
  await playAll();
  t.same(wrong, [], 'every song is exact, however full the disk is');
  const { value } = await until('something is kept', PATIENCE_MS, () => api.status(), ({ cache: kept }) => kept.songs > 0);
  t.ok(value.cache.bytes > 0 && value.cache.bytes <= 0.9 * DISK_BYTES, `${value.cache.bytes} bytes of ${DISK_BYTES} are kept`);
  t.equal(peers[1].process.lines().filter((line) => line.includes('"trouble"')).length, 1);
  t.equal(peers[1].process.ended, undefined);
});
