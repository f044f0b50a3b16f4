// One of the processes that scripts/sim.mjs starts: plays every n-th seed and reports to its parent.
import { readFileSync } from 'node:fs';
import { messageOf } from '../../lib/errors.ts';
import { campaign, explainFailure, type Progress, type Repertoire, scenarioOf } from './campaign.ts';
import type { Scenario } from './scenario.ts';
import { subjectOf, SUBJECTS } from './subjects.ts';

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

type Report =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'failed'; readonly text: string }
  | { readonly kind: 'trace'; readonly text: string };

const FAILURES = 'build/sim';
/** A whole run, if it is asked for. */
const TRACE_LINES = 1_000_000;

const say = (report: Report): void => void process.send?.(report);

function* seedsOf({ first, count, stride }: Order): Generator<number> {
  for (let i = 0; i < count; i++) yield first + i * stride;
}

function work(order: Order): void {
  const scenario = order.replay === null ? undefined : (JSON.parse(readFileSync(order.replay, 'utf8')) as Scenario);
  const family = order.family ?? undefined;
  const name = scenario?.name ?? family;
  const repertoires: readonly Repertoire[] = name === undefined ? Object.values(SUBJECTS) : [subjectOf(name)];
  if (order.trace) {
    for (const repertoire of repertoires) {
      const played = scenario ?? scenarioOf(repertoire, order.first, family);
      const { trace } = repertoire.play(played, { seed: order.first, traceLines: TRACE_LINES });
      say({ kind: 'trace', text: `${played.name}:\n${String(trace)}` });
    }
  }
  const failure = campaign({
    repertoires,
    seeds: seedsOf(order),
    ...(family !== undefined && { family }),
    ...(scenario !== undefined && { scenario }),
    progress: (progress) => say({ kind: 'progress', progress }),
  });
  if (failure !== null) say({ kind: 'failed', text: explainFailure(failure, FAILURES) });
}

process.once('message', (order: Order) => {
  try {
    work(order);
  } catch (error) {
    // a family that does not exist, a file that cannot be read
    say({ kind: 'failed', text: messageOf(error) });
  }
});
