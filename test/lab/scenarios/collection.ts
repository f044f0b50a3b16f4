// The collection of real and of broken files that lies beside the repository of who develops this program, dealt out to
// five machines.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import t from 'tap';
import { Lab } from '../lab.ts';
import { collectionMissing, deal } from '../music.ts';
import { claimWhole, startAll } from '../network.ts';
import { programMissing } from '../peers.ts';

const GOOD_LAN = { withinMs: 5_000, playMs: 20_000 };
/** Only what hangs is stopped by it. */
const TEST_MS = 120_000;

t.setTimeout(TEST_MS);
t.test('five hosts, each with a part of the collection, become one library', { skip: skip || programMissing() || collectionMissing(), timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'collection', hosts: 5 });
  t.teardown(() => lab.close());
  const originals = deal(lab.hosts);
  await claimWhole(t, await startAll(lab.hosts, 'data'), originals, GOOD_LAN);
});
