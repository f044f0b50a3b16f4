// Whole networks of peers in virtual time: some seeds of every family, on each run of the tests. `npm run sim` plays as many as
// there is time for.
//   SEED=4000 node build/test/unit/simulation.js     from another seed on
import t from 'tap';
import { campaign, explainFailure } from '../sim/campaign.ts';
import { FAMILY_NAMES } from '../sim/families.ts';
import { replicationSubject } from '../sim/invariants.ts';

const FIRST = Number(process.env['SEED'] ?? 0);
const SEEDS_OF_EACH = 20;

// on a busy machine it takes long
t.setTimeout(180_000);

t.test('peers that crash, are parted, copied, wiped and set back agree in the end, and lose nothing', { timeout: 180_000 }, async (t) => {
  const seeds = FAMILY_NAMES.length * SEEDS_OF_EACH;
  t.comment(`seeds ${FIRST} to ${FIRST + seeds - 1} (SEED=${FIRST} replays them)`);
  const subject = replicationSubject();
  const failure = campaign({ subject, seeds: Array.from({ length: seeds }, (_, i) => FIRST + i) });
  if (failure) t.comment(explainFailure(subject, failure, 'build/sim'));
  t.equal(failure?.seed, undefined, failure ? `seed ${failure.seed} violates '${failure.violation.invariant}'` : `${seeds} seeds without a violation`);
});
