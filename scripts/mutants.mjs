// `npm run sim:mutants`: breaks the built product in every way of test/sim/mutations, and has the simulator find out each of them.
//   npm run sim:mutants -- half-delta base-unchecked    only these
//   --seed S                                            another start
//   --explain                                           the smallest scenario of each, and the end of its trace
// A mutation that no longer fits the code, or that gets away, fails.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { describeHunt, huntAll } from '../build/test/sim/hunt.js';
import { MUTATIONS } from '../build/test/sim/mutations.js';

function asked() {
  try {
    const { values, positionals } = parseArgs({
      options: { seed: { type: 'string', default: '0' }, explain: { type: 'boolean', default: false } },
      allowPositionals: true,
    });
    const first = Number(values.seed);
    if (!Number.isSafeInteger(first) || first < 0) throw new Error('--seed takes a whole number');
    const unknown = positionals.filter((name) => !MUTATIONS.some((mutation) => mutation.name === name));
    if (unknown.length > 0) throw new Error(`no mutation ${unknown.join(', ')}: ${MUTATIONS.map(({ name }) => name).join(', ')}`);
    return { first, explain: values.explain, mutations: MUTATIONS.filter(({ name }) => positionals.length === 0 || positionals.includes(name)) };
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
}

const { first, explain, mutations } = asked();
let away = 0;
function fail(error) {
  console.error(error.message);
  process.exit(1);
}
await huntAll(mutations, {
  first,
  explain,
  workers: Math.min(2, availableParallelism()),
  told: (hunted) => {
    if (!hunted.caught) away += 1;
    console.log(describeHunt(hunted));
    if (hunted.caught?.explanation) console.log(`${hunted.caught.explanation}\n`);
  },
}).catch(fail);
console.log(`${mutations.length} mutations, ${away} got away`);
process.exit(away === 0 ? 0 : 1);
