// `npm run sim -- --exhaustive`: every schedule of the small worlds, or of the one that is named. Ends with 1 at the first that goes
// wrong, and shows the shortest way to it.
import { explain, SMALL_WORLDS } from './small-worlds.ts';

const [wanted] = process.argv.slice(2);
const worlds = SMALL_WORLDS.filter(({ name }) => wanted === undefined || name === wanted);
if (worlds.length === 0) {
  console.error(`there is no small world ${wanted}; there are ${SMALL_WORLDS.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}

for (const world of worlds) {
  console.log(`${world.name}: ${world.about}`);
  const startedAt = performance.now();
  const before = process.cpuUsage();
  const { states, transitions, depth, counterexample, isComplete } = world.search('whole');
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - startedAt) / 1_000;
  console.log(`  ${states} states, ${transitions} transitions, ${depth} steps, ${Math.round(seconds)} s (${Math.round((user + system) / 1e6)} s of processors)`);
  if (counterexample) console.log(explain(counterexample));
  else if (!isComplete) console.log('  there are more states than it may have, and not all were seen');
  if (!isComplete) process.exit(1);
}
console.log('0 violations');
