// Everything that is simulated, each with the scenarios it is played in. A scenario's name says whose it is, so that a file with one
// is enough to play it again.
import type { Repertoire } from './campaign.ts';
import { COORDINATION_FAMILIES, drawCoordination } from './coordination-families.ts';
import { coordinationSubject } from './coordination-invariants.ts';
import { drawScenario, FAMILY_NAMES } from './families.ts';
import { replicationSubject } from './invariants.ts';
import { COORDINATION_SCENARIOS } from './mutations/coordination-scenarios.ts';
import { SCENARIOS } from './mutations/scenarios.ts';
import { simulate } from './world.ts';

export const SUBJECTS = {
  replication: { play: (scenario, options) => simulate(replicationSubject(), scenario, options), families: FAMILY_NAMES, written: SCENARIOS, draw: drawScenario },
  coordination: { play: (scenario, options) => simulate(coordinationSubject(), scenario, options), families: Object.keys(COORDINATION_FAMILIES), written: COORDINATION_SCENARIOS, draw: drawCoordination },
} satisfies { readonly [name: string]: Repertoire };

export type SubjectName = keyof typeof SUBJECTS;

/** The one that a scenario of this name is for.
 *  @throws RangeError when there is none */
export function subjectOf(name: string): Repertoire {
  const all: readonly Repertoire[] = Object.values(SUBJECTS);
  const found = all.find(({ families, written }) => families.includes(name) || written.some((scenario) => scenario.name === name));
  if (found === undefined) throw new RangeError(`no scenario ${name}: ${all.flatMap(({ families, written }) => [...families, ...written.map((scenario) => scenario.name)]).join(', ')}`);
  return found;
}
