// A disk with room for one song and a half. Whoever listens hears every song to its end, byte for byte, and is told once that no more
// is kept; what was kept before is still right.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Api } from '../api.ts';
import { Lab } from '../lab.ts';
import { generate, musicFolder, sha256 } from '../music.ts';
import { agree, meet } from '../network.ts';
import { dataOf, play, programMissing, search, startPeer } from '../peers.ts';
import { until } from '../until.ts';

const MUSIC = { each: 3, soundBytes: 2_000_000 };
const DISK_BYTES = 3_000_000;
const PATIENCE_MS = 20_000;
const TEST_MS = 90_000;

t.setTimeout(TEST_MS);
t.test('a full disk stops the caching with one line, and not the playing', { skip: skip || programMissing(), timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'full-disk', hosts: 2 });
  t.teardown(() => lab.close());
  const [owner, listener] = [lab.host(1), lab.host(2)];
  const originals = generate([owner], MUSIC);
  const cache = join(dataOf(listener), 'cache');
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  await listener.run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', cache]);
  const peers = [
    await startPeer(owner, { folders: [musicFolder(owner)] }),
    await startPeer(listener, { folders: [musicFolder(listener)], args: ['--cache', '1GB'] }),
  ] as const;
  await meet([...peers], PATIENCE_MS);
  await agree([...peers], MUSIC.each, PATIENCE_MS);
  const songs = await search(peers[1]);
  const output = join(listener.directory, 'played.wav');
  const wrong: string[] = [];
  // twice, because the second time some of it comes from the disk
  for (const song of [...songs, ...songs]) {
    await play(peers[1], song.id, output);
    const played = sha256(readFileSync(output));
    if (!originals.some((original) => original.track?.title === song.title && original.sha256 === played)) wrong.push(song.title);
  }
  t.same(wrong, [], 'every song is exact, twice');
  const troubles = peers[1].process.lines().filter((line) => line.includes('"trouble"'));
  t.equal(troubles.length, 1, troubles.join('\n'));
  t.match(troubles[0], /the disk of .* is full: music of others is played, but not kept/);
  const api = await Api.open(listener);
  const { value } = await until('something is kept', PATIENCE_MS, () => api.status(), ({ cache: kept }) => kept.songs > 0);
  t.ok(value.cache.bytes <= DISK_BYTES, `${value.cache.bytes} bytes of ${DISK_BYTES} are kept`);
  t.equal(peers[1].process.ended, undefined);
});
