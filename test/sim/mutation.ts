// Proof that the simulator bites: the product is broken on purpose, in one exact way, and has to be found out. The idea is DeMillo,
// Lipton and Sayward's ("Hints on Test Data Selection: Help for the Practicing Programmer", 1978). A mutation is data: what is
// replaced by what in the built JavaScript. So the product holds no switch for it, and a mutation that no longer fits the code
// says so, because what it replaces has to be there exactly once.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Scenario } from './scenario.ts';
import type { SubjectName } from './subjects.ts';

export interface Patch {
  /** From the folder of the build. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** A unit test, and its claim that fails. */
export interface Trace {
  /** In test/unit, without its ending. */
  readonly file: string;
  readonly claim: string;
}

export interface Mutation {
  readonly name: string;
  /** What was broken, and what has to come of it. */
  readonly why: string;
  readonly patches: readonly Patch[];
  /** Who hunts it; else replication. */
  readonly subject?: SubjectName;
  /** Seeds within which it is found, from wherever one starts. */
  readonly seeds: number;
  /** The only family whose scenarios are drawn; else all by turns. */
  readonly family?: string;
  /** One written by hand, where chance finds the way too rarely: every seed plays it. */
  readonly scenario?: Scenario;
  /** For what the simulator's peers have no part of, or what a second guard hides from it; no seeds are played then. */
  readonly trace?: Trace;
}

/** What the simulator needs to run, and unit tests beside it. */
const COPIED = ['lib', 'peer', 'discovery', 'storage', 'test/sim'];
const COPIED_FOR_TESTS = ['test/unit', 'test/fixtures'];
const TRANSCRIPTS = 'test/transcripts';
const BUILD = 'build';

/** @returns the folder of a broken copy of the build
 *  @throws Error when a patch does not fit the code */
export function makeMutant({ name, patches, trace }: Pick<Mutation, 'name' | 'patches' | 'trace'>): string {
  const folder = join(BUILD, 'mutants', name);
  rmSync(folder, { recursive: true, force: true });
  for (const part of trace ? [...COPIED, ...COPIED_FOR_TESTS] : COPIED) {
    mkdirSync(join(folder, part), { recursive: true });
    cpSync(join(BUILD, part), join(folder, part), { recursive: true, filter: (path) => !path.endsWith('.map') });
  }
  // where a test of the copy finds it, which is as far from its own folder as in the build
  if (trace) cpSync(TRANSCRIPTS, join(BUILD, 'mutants', TRANSCRIPTS), { recursive: true });
  for (const { file, find, replace } of patches) {
    const path = join(folder, file);
    const parts = readFileSync(path, 'utf8').split(find);
    if (parts.length !== 2) throw new Error(`mutation ${name} does not fit ${file}: what it replaces is there ${parts.length - 1} times, not once: ${find}`);
    writeFileSync(path, parts.join(replace));
  }
  return folder;
}
