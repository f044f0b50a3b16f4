// Five machines of which each loses a fifth of its frames: the library is whole three times as late as on a good LAN.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import t from 'tap';
import { Lab } from '../lab.ts';
import { generate } from '../music.ts';
import { claimWhole, killAll, startAll } from '../network.ts';
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
  // Lost on the way out, 20 of 100 frames between two hosts are missing; lost both ways, it is 36.
  for (const direction of ['out', 'both'] as const) {
    await t.test(`become one library when they lose ${LOSS_PERCENT}% ${direction === 'out' ? 'of what they send' : 'each way'}`, { timeout: TEST_MS }, async (t) => {
      await lab.loss('all', LOSS_PERCENT, { direction });
      const peers = await startAll(lab.hosts, `data-${direction}`);
      await claimWhole(t, peers, music, LOSSY_LAN);
      await killAll(peers);
    });
  }
});
