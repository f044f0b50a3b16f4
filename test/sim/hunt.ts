// Hunts a mutation: the campaign of the broken copy's own simulator, in a process of its own, until something is violated.
import { execFile, fork } from 'node:child_process';
import { join } from 'node:path';
import type { Millis } from '../../lib/time.ts';
import { makeMutant, type Mutation, type Trace } from './mutation.ts';
import type { Scenario } from './scenario.ts';
import type { SubjectName } from './subjects.ts';
import type { Violation } from './world.ts';

/** Of a unit test. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** What mutant-worker.ts is told. */
export interface HuntOrder {
  readonly subject: SubjectName;
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
  /** null: it got away. Else after so many seeds. */
  readonly caught: (Catch & { readonly after: number }) | null;
  readonly ms: Millis;
}

export interface HuntOptions {
  readonly first: number;
  /** Also shrinks what it found and tells about it, which takes longer. */
  readonly explain: boolean;
}

/** @throws Error when the mutation does not fit the code, or its process ends in another way than by a verdict */
export async function hunt(mutation: Mutation, { first, explain }: HuntOptions): Promise<Hunted> {
  const startedAt = performance.now();
  const folder = makeMutant(mutation);
  const { subject = 'replication', seeds, family = null, scenario = null, trace } = mutation;
  const caught = await (trace ? follow(folder, trace) : search(folder, { subject, first, seeds, family, scenario, explain: explain ? folder : null }));
  return { mutation, caught: caught && { ...caught, after: trace ? 1 : caught.seed - first + 1 }, ms: performance.now() - startedAt };
}

function search(folder: string, order: HuntOrder): Promise<Catch | null> {
  const worker = fork(join(folder, 'test/sim/mutant-worker.js'));
  return new Promise((resolve, reject) => {
    worker.once('message', (caught) => {
      worker.removeAllListeners('exit');
      worker.disconnect();
      resolve(caught as Catch | null);
    });
    worker.once('exit', (code) => reject(new Error(`the simulator in ${folder} ended with ${code}`)));
    worker.send(order);
  });
}

/** Runs a unit test of the broken copy. Only the claim that is named counts, whatever else fails. */
function follow(folder: string, { file, claim }: Trace): Promise<Catch | null> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(folder, 'test/unit', `${file}.js`)], { maxBuffer: OUTPUT_BYTES_MAX }, (_error, output) => {
      const fails = output.split('\n').some((line) => /^not ok \d+ - /.test(line) && line.includes(claim));
      resolve(fails ? { seed: 0, violation: { invariant: claim, message: '' }, explanation: null } : null);
    });
  });
}

/** As many at a time as there are `workers`; each is told as soon as it is over. */
export async function huntAll(mutations: readonly Mutation[], { workers, told, ...options }: HuntOptions & { readonly workers: number; readonly told: (hunted: Hunted) => void }): Promise<void> {
  const left = [...mutations];
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next; next = left.shift()) told(await hunt(next, options));
  };
  await Promise.all(Array.from({ length: workers }, work));
}

export function describeHunt({ mutation: { name, seeds, trace }, caught, ms }: Hunted): string {
  const seconds = (ms / 1_000).toFixed(1);
  if (!caught) return `${name}: GOT AWAY, ${trace ? `'${trace.claim}' still holds` : `${seeds} seeds`}, ${seconds} s`;
  const where = trace ? `by test/unit/${trace.file}` : `after ${caught.after} of ${seeds} seeds`;
  return `${name}: caught ${where}, ${seconds} s, '${caught.violation.invariant}'`;
}
