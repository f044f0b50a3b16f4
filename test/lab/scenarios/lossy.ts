// Five machines of which each loses a fifth of its frames: the library is whole three times as late as on a good LAN.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import t from 'tap';
import { Lab } from '../lab.ts';
import { generate } from '../music.ts';
import { agree, claimWhole, killAll, meet, startAll } from '../network.ts';
import { programMissing } from '../peers.ts';

/** One chunk a song: a stream that loses a fifth of its segments stands still for seconds now and then. */
const MUSIC = { each: 1, soundBytes: 40_001 };
const LOSSY_LAN = { withinMs: 15_000, playMs: 60_000 };
const LOSS_PERCENT = 20;
/** Only what hangs is stopped by it. */
const TEST_MS = 120_000;

t.setTimeout(2 * TEST_MS);
t.test('five hosts on bad cables', { skip: skip || programMissing(), timeout: 2 * TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'lossy', hosts: 5 });
  t.teardown(() => lab.close());
  const music = generate(lab.hosts, MUSIC);

  await t.test('become one library when they lose 20% of what they send', { timeout: TEST_MS }, async (t) => {
    await lab.loss('all', LOSS_PERCENT, { direction: 'out' });
    const peers = await startAll(lab.hosts, 'data-out');
    await claimWhole(t, peers, music, LOSSY_LAN);
    await killAll(peers);
  });

  // Then 36 of 100 frames between two hosts are missing. A TCP stream stands still for minutes there, by its own doubling of
  // the time after which it sends again; so this claims what datagrams and repeated dialling can keep.
  await t.test('meet and find the same songs when they lose 20% each way', { timeout: TEST_MS }, async (t) => {
    await lab.loss('all', LOSS_PERCENT, { direction: 'both' });
    const peers = await startAll(lab.hosts, 'data-both');
    const start = performance.now();
    t.pass(`met after ${await meet(peers, LOSSY_LAN.withinMs)} ms`);
    const { ms } = await agree(peers, music.length, Math.max(0, LOSSY_LAN.withinMs - (performance.now() - start)));
    t.pass(`found the same after ${ms} ms more`);
  });
});
