// Hunts a mutation: the campaign of the broken copy's own simulator, in a process of its own, until something is violated.
import { execFile, fork } from 'node:child_process';
import { join } from 'node:path';
import type { Millis } from '../../lib/time.ts';
import { makeMutant, type Mutation } from './mutation.ts';
import type { Scenario } from './scenario.ts';
import type { Violation } from './world.ts';

/** What mutant-worker.ts is told. */
export interface HuntOrder {
  readonly first: number;
  readonly seeds: number;
  readonly family: string | null;
  readonly scenario: Scenario | null;
  /** Where to put the smallest scenario, and to tell all about it; null when nobody asked. */
  readonly explain: string | null;
}

export interface Catch {
  readonly seed: number;
  readonly violation: Pick<Violation, 'invariant' | 'message'>;
  readonly explanation: string | null;
}

export interface Hunted {
  readonly mutation: Mutation;
  /** null: it got away. */
  readonly caught: Catch | null;
  readonly ms: Millis;
}

export interface HuntOptions {
  readonly first: number;
  /** Also shrinks what it found and tells about it, which takes longer. */
  readonly explain: boolean;
}

/** @throws Error when the mutation does not fit the code, or its process ends in another way than by a verdict */
export async function hunt(mutation: Mutation, { first, explain }: HuntOptions): Promise<Hunted> {
  const { seeds, family = null, scenario = null, trace } = mutation;
  const startedAt = performance.now();
  const folder = makeMutant(mutation);
  if (trace) return { mutation, caught: (await fails(join(folder, 'test/unit', `${trace.file}.js`), trace.claim)) ? { seed: first, violation: { invariant: trace.claim, message: '' }, explanation: null } : null, ms: performance.now() - startedAt };
  const worker = fork(join(folder, 'test/sim/mutant-worker.js'));
  const caught = await new Promise<Catch | null>((resolve, reject) => {
    worker.once('message', (message) => resolve(message as Catch | null));
    worker.once('exit', (code) => reject(new Error(`the process of mutation ${mutation.name} ended with ${code}`)));
    worker.send({ first, seeds, family, scenario, explain: explain ? folder : null } satisfies HuntOrder);
  });
  worker.disconnect();
  return { mutation, caught, ms: performance.now() - startedAt };
}

/** @returns whether this claim of a unit test, and no other reason, makes it fail */
const fails = (file: string, claim: string): Promise<boolean> =>
  new Promise((resolve) => {
    execFile(process.execPath, [file], { maxBuffer: 2 ** 26 }, (_error, output) => resolve(output.split('\n').some((line) => /^not ok \d+ - /.test(line) && line.includes(claim))));
  });

/** As many at a time as there are `workers`; each is told as soon as it is over. */
export async function huntAll(mutations: readonly Mutation[], { workers, told, ...options }: HuntOptions & { readonly workers: number; readonly told: (hunted: Hunted) => void }): Promise<void> {
  const left = [...mutations];
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next; next = left.shift()) told(await hunt(next, options));
  };
  await Promise.all(Array.from({ length: workers }, work));
}

export function describeHunt({ mutation: { name, seeds }, caught, ms }: Hunted, first: number): string {
  const seconds = (ms / 1_000).toFixed(1);
  if (!caught) return `${name}: GOT AWAY, ${seeds} seeds, ${seconds} s`;
  return `${name}: caught after ${caught.seed - first + 1} of ${seeds} seeds, ${seconds} s, '${caught.violation.invariant}'`;
}
