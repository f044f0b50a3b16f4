import { explore } from './exhaustive.ts';
import { networkModel, type NetworkBug, type NetworkPlan } from './small-networks.ts';
const [steps, bug] = process.argv.slice(2);
const plan: NetworkPlan = { steps: Number(steps), userWrites: 2, ownedWrites: 1, unions: 1, answers: 2, crashes: 1 };
const t0 = performance.now();
const r = explore(networkModel(plan, (bug ?? null) as NetworkBug | null), { statesMax: 3e6 });
console.log(steps, bug ?? '', r.states, r.transitions, r.isComplete, Math.round(performance.now() - t0), 'ms', Math.round(process.memoryUsage().rss/1e6), 'MB');
if (r.counterexample) console.log(r.counterexample.message, '\n  ' + r.counterexample.actions.join('\n  '));
