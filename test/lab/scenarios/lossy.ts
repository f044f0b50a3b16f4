// Five machines of which each loses a fifth of its frames both ways, so that 36 of 100 between two of them are missing: the
// library is whole in time, and everything plays. Streams stand still for many seconds there, and datagrams help them.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import t from 'tap';
import { Lab } from '../lab.ts';
import { generate } from '../music.ts';
import { claimWhole, startAll } from '../network.ts';
import { programMissing } from '../peers.ts';

/** Four chunks a song. */
const MUSIC = { each: 2, soundBytes: 200_001 };
const LOSSY_LAN = { withinMs: 15_000, playMs: 15_000 };
const LOSS_PERCENT = 20;
/** Only what hangs is stopped by it. */
const TEST_MS = 90_000;

t.setTimeout(TEST_MS);
t.test('five hosts that lose 20% each way become one library, and play all of it', { skip: skip || programMissing(), timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'lossy', hosts: 5 });
  t.teardown(() => lab.close());
  const music = generate(lab.hosts, MUSIC);
  await lab.loss('all', LOSS_PERCENT, { direction: 'both' });
  await claimWhole(t, await startAll(lab.hosts, 'data'), music, LOSSY_LAN);
});
