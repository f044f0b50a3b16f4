// Every way in which the product is broken on purpose. Those that few seeds find are found in `npm test`, the others by
// `npm run sim:mutants`.
import type { Mutation } from './mutation.ts';
import { COORDINATION_MUTATIONS } from './mutations/coordination.ts';
import { DELTA_MUTATIONS } from './mutations/deltas.ts';
import { LOG_MUTATIONS } from './mutations/logs.ts';
import { MEETING_MUTATIONS } from './mutations/meetings.ts';

export const MUTATIONS: readonly Mutation[] = [...DELTA_MUTATIONS, ...LOG_MUTATIONS, ...MEETING_MUTATIONS, ...COORDINATION_MUTATIONS];
