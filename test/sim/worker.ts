// One of the processes that scripts/sim.mjs starts: plays every n-th seed and reports to its parent.
import { readFileSync } from 'node:fs';
import { campaign, explainFailure, type Progress } from './campaign.ts';
import { drawScenario } from './families.ts';
import type { Scenario } from './scenario.ts';
import { toySubject } from './toy.ts';
import { simulate } from './world.ts';

/** What scripts/sim.mjs asks for. */
interface Order {
  readonly first: number;
  readonly count: number;
  readonly stride: number;
  readonly family: string | null;
  /** A file with a scenario. */
  readonly replay: string | null;
  readonly trace: boolean;
}

export type Report = { readonly kind: 'progress'; readonly progress: Progress } | { readonly kind: 'failed'; readonly seed: number; readonly text: string } | { readonly kind: 'trace'; readonly text: string };

const subject = toySubject();
const FAILURES = 'build/sim';
/** A whole run, if it is asked for. */
const TRACE_LINES = 1_000_000;

const say = (report: Report): void => void process.send?.(report);

function* seedsOf({ first, count, stride }: Order): Generator<number> {
  for (let i = 0; i < count; i++) yield first + i * stride;
}

process.once('message', (order: Order) => {
  const scenario = order.replay === null ? undefined : (JSON.parse(readFileSync(order.replay, 'utf8')) as Scenario);
  const family = order.family ?? undefined;
  if (order.trace) {
    const { trace } = simulate(subject, scenario ?? drawScenario(order.first, family), { seed: order.first, traceLines: TRACE_LINES });
    say({ kind: 'trace', text: String(trace) });
  }
  const failure = campaign({
    subject,
    seeds: seedsOf(order),
    ...(family !== undefined && { family }),
    ...(scenario !== undefined && { scenario }),
    progress: (progress) => say({ kind: 'progress', progress }),
  });
  if (failure !== null) say({ kind: 'failed', seed: failure.seed, text: explainFailure(subject, failure, FAILURES) });
});
