// The simulator bites: whatever is broken on purpose (test/sim/mutations.ts) is found, by what it should be found by.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { describeHunt, type Hunted, hunt, huntAll } from '../sim/hunt.ts';
import { makeMutant, type Mutation } from '../sim/mutation.ts';
import { MUTATIONS } from '../sim/mutations.ts';
import { type SubjectName, SUBJECTS } from '../sim/subjects.ts';
import { THROWS } from '../sim/world.ts';

// on a busy machine it takes long
t.setTimeout(300_000);

/** What takes more seeds, or a unit test of the broken copy, is for `npm run sim:mutants`. */
const SEEDS_MAX: { readonly [Name in SubjectName]: number } = { replication: 60, coordination: 20 };
const OPTIONS = { first: 0, explain: false };
const SCENARIO_SEEDS = 3;

const isQuick = ({ subject = 'replication', seeds, trace }: Mutation): boolean => seeds <= SEEDS_MAX[subject] && !trace;
const quick = MUTATIONS.filter(isQuick);
const long = MUTATIONS.filter((mutation) => !isQuick(mutation)).map(({ name }) => name);

t.test('what is broken on purpose is found within the seeds that it names', { timeout: 300_000 }, async (t) => {
  const hunts: Hunted[] = [];
  await huntAll(quick, { ...OPTIONS, workers: 2, told: (hunted) => hunts.push(hunted) });
  for (const hunted of hunts) {
    t.ok(hunted.caught, describeHunt(hunted));
    // a patch that only makes the code fall over proves nothing
    t.not(hunted.caught?.violation.invariant, THROWS, hunted.mutation.name);
  }
  t.equal(hunts.length, quick.length);
});

t.test('what a unit test of a broken copy finds', { skip: `npm run sim:mutants -- ${long.join(' ')}` }, async () => {});

t.test('a scenario written for a mutation passes where nothing is broken', async (t) => {
  for (const name of Object.keys(SUBJECTS) as SubjectName[]) {
    const { play, written } = SUBJECTS[name];
    const seeds = Array.from({ length: SCENARIO_SEEDS }, (_, seed) => seed);
    for (const scenario of written) for (const seed of seeds) t.equal(play(scenario, { seed }).violation, null, `${scenario.name}, seed ${seed}`);
  }
});

const untouched: Mutation = { name: 'nothing', why: 'Nothing is broken.', patches: [], seeds: 3 };

t.test('a copy in which nothing is broken gets away', async (t) => {
  const hunted = await hunt(untouched, OPTIONS);
  t.equal(hunted.caught, null);
  t.match(describeHunt(hunted), /^nothing: GOT AWAY, 3 seeds/);
});

t.test('a mutation that does not fit the code says so, and the build stays whole', async (t) => {
  const file = 'lib/vector.js';
  const before = readFileSync(`build/${file}`, 'utf8');
  for (const [find, times] of [['is nowhere in it', 0], ['return', before.split('return').length - 1]] as const) {
    t.throws(() => makeMutant({ ...untouched, patches: [{ file, find, replace: '' }] }), new RegExp(`mutation nothing does not fit ${file}: what it replaces is there ${times} times, not once`));
  }
  t.match(readFileSync(`${makeMutant({ ...untouched, patches: [{ file, find: 'export function covers', replace: 'export function spans' }] })}/${file}`, 'utf8'), /spans/);
  t.equal(readFileSync(`build/${file}`, 'utf8'), before);
});
