// Whole networks of peers in virtual time: some seeds of every family, on each run of the tests. `npm run sim` plays as many as
// there is time for.
//   SEED=4000 node build/test/unit/simulation.js     from another seed on
import t from 'tap';
import { campaign, explainFailure } from '../sim/campaign.ts';
import { type SubjectName, SUBJECTS } from '../sim/subjects.ts';

const FIRST = Number(process.env['SEED'] ?? 0);
const TIMEOUT_MS = 180_000;

// on a busy machine it takes long
t.setTimeout(2 * TIMEOUT_MS);

function plays(name: SubjectName, { claim, seedsOfEach }: { readonly claim: string; readonly seedsOfEach: number }): void {
  t.test(claim, { timeout: TIMEOUT_MS }, async (t) => {
    const seeds = SUBJECTS[name].families.length * seedsOfEach;
    t.comment(`seeds ${FIRST} to ${FIRST + seeds - 1} (SEED=${FIRST} replays them)`);
    const failure = campaign({ repertoires: [SUBJECTS[name]], seeds: Array.from({ length: seeds }, (_, i) => FIRST + i) });
    if (failure) t.comment(explainFailure(failure, 'build/sim'));
    t.equal(failure?.seed, undefined, failure ? `seed ${failure.seed} violates '${failure.violation.invariant}'` : `${seeds} seeds without a violation`);
  });
}

plays('replication', { claim: 'peers that crash, are parted, copied, wiped and set back agree in the end, and lose nothing', seedsOfEach: 20 });
plays('coordination', { claim: 'peers that crash, are parted, paused and deafened have one coordinator in the end, and one holder for each role', seedsOfEach: 30 });
