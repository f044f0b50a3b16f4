import { explore } from './exhaustive.ts';
import { logModel, type LogBug, type LogPlan } from './small-logs.ts';
const deltas = (steps: number): LogPlan => ({ steps, writers: [0, 1], writes: 3, what: ['star', 'unstar', 'both'], pulls: 2, pullsAreSplit: true, epochsSortBothWays: false, faults: { crash: 1, wipe: 1 } });
const epochs = (steps: number): LogPlan => ({ steps, writers: [0, 2], writes: 3, what: ['unstar', 'both'], pulls: 2, pullsAreSplit: false, epochsSortBothWays: true, faults: { wipe: 1, backUp: 1, restore: 1, clone: 1, leave: 1 } });
const [which, steps, bug] = process.argv.slice(2);
const t0 = performance.now();
const r = explore(logModel((which === 'deltas' ? deltas : epochs)(Number(steps)), (bug ?? null) as LogBug | null), { statesMax: 3e6 });
console.log(which, steps, bug ?? '', r.states, r.transitions, r.isComplete, Math.round(performance.now() - t0), 'ms', Math.round(process.memoryUsage().rss/1e6), 'MB');
if (r.counterexample) console.log(r.counterexample.message, '\n  ' + r.counterexample.actions.join('\n  '));
