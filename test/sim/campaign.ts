// A campaign: many seeds, one after the other, until one violates something. A violation is played again with a trace, shrunk, and
// told so that anybody can play it again.
import { mkdirSync, writeFileSync } from 'node:fs';
import type { Millis } from '../../lib/time.ts';
import type { Scenario } from './scenario.ts';
import { shrink } from './shrink.ts';
import type { Outcome, Violation } from './world.ts';

/** What is simulated, and the scenarios that there are for it. */
export interface Repertoire {
  readonly play: (scenario: Scenario, options: { readonly seed: number; readonly traceLines?: number }) => Outcome;
  /** Names of the families that scenarios are drawn from. */
  readonly families: readonly string[];
  /** By hand. */
  readonly written: readonly Scenario[];
  /** The scenario of a seed: the family by turns, or the one that is named. */
  readonly draw: (seed: number, family?: string) => Scenario;
}

export interface Campaign {
  /** Each is played with every seed. */
  readonly repertoires: readonly Repertoire[];
  readonly seeds: Iterable<number>;
  /** A family's name, or a written scenario's; else all families by turns. */
  readonly family?: string;
  /** The same scenario for every seed. */
  readonly scenario?: Scenario;
  readonly progress?: (progress: Progress) => void;
}

export interface Progress {
  readonly seeds: number;
  readonly virtualMs: Millis;
  readonly happened: number;
}

export interface Failure {
  readonly play: Repertoire['play'];
  readonly seed: number;
  readonly scenario: Scenario;
  readonly violation: Violation;
}

/** So many lines before a violation are shown; the file has more. */
const SHOWN_LINES = 60;
const TRACE_LINES = 100_000;
const SHRINK_RUNS = 400;
const TELL_EVERY = 20;

/** @returns the first failure, or null */
export function campaign({ repertoires, seeds, family, scenario, progress }: Campaign): Failure | null {
  let count = 0;
  let virtualMs = 0;
  let happened = 0;
  for (const seed of seeds) {
    for (const repertoire of repertoires) {
      const { play } = repertoire;
      const played = scenario ?? scenarioOf(repertoire, seed, family);
      const outcome = play(played, { seed });
      virtualMs += outcome.virtualMs;
      happened += outcome.happened;
      if (outcome.violation !== null) return { play, seed, scenario: played, violation: outcome.violation };
    }
    count += 1;
    if (count % TELL_EVERY === 0) progress?.({ seeds: count, virtualMs, happened });
  }
  progress?.({ seeds: count, virtualMs, happened });
  return null;
}

/** @param name a family's, or a written scenario's; else the families take turns */
export const scenarioOf = ({ written, draw }: Repertoire, seed: number, name?: string): Scenario =>
  written.find((scenario) => scenario.name === name) ?? draw(seed, name);

/** What a person needs to see of it: the seed, what was violated, the last of the trace, and the smallest scenario that does it.
 *  @param folder where the small scenario is put, to be played again */
export function explainFailure(failure: Failure, folder: string): string {
  const { play, seed, scenario, violation } = failure;
  const smallest = shrinkFailure(failure);
  const { trace } = play(smallest, { seed, traceLines: TRACE_LINES });
  mkdirSync(folder, { recursive: true });
  const path = `${folder}/failure-${seed}.json`;
  writeFileSync(path, `${JSON.stringify(smallest, null, 2)}\n`);
  const tracePath = `${folder}/failure-${seed}.txt`;
  writeFileSync(tracePath, `${trace}\n`);
  return [
    `seed ${seed}, scenario ${scenario.name}: VIOLATION of '${violation.invariant}' after ${Math.round(violation.at)} ms`,
    violation.message,
    '',
    `the smallest scenario that violates it, also in ${path}:`,
    showScenario(smallest),
    '',
    `the end of its trace, which is in ${tracePath}:`,
    ...(trace?.tail.slice(-SHOWN_LINES) ?? []),
    '',
    `play it again:                 npm run sim -- --seed ${seed} --replay ${path} --trace`,
    `play again what was drawn:     npm run sim -- --seed ${seed} --scenario ${quoted(scenario.name)}`,
  ].join('\n');
}

/** As a shell reads one word. */
const quoted = (name: string): string => (name.includes(' ') ? `'${name}'` : name);

/** The smallest scenario that violates the same invariant with the same seed. */
export const shrinkFailure = ({ play, seed, scenario, violation }: Failure): Scenario =>
  shrink(scenario, (smaller) => play(smaller, { seed }).violation?.invariant === violation.invariant, { runs: SHRINK_RUNS });

/** One line for each fault and step. */
export function showScenario({ name, peers, seconds, network, disk, faults, workload }: Scenario): string {
  return [
    `${name}: ${peers} peers, ${seconds} s`,
    `  network ${JSON.stringify(network)}`,
    `  disk ${JSON.stringify(disk)}`,
    ...faults.map((fault) => `  fault ${JSON.stringify(fault)}`),
    ...workload.map((step) => `  step ${JSON.stringify(step)}`),
  ].join('\n');
}
