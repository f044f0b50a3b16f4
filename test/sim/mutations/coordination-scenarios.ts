// Scenarios of coordination written by hand, for what chance meets too rarely. Each of them passes when nothing is broken.
import type { Scenario } from '../scenario.ts';

export const COORDINATION_SCENARIOS: readonly Scenario[] = [];
