// Scenarios of coordination written by hand, for what chance meets too rarely. Each of them passes when nothing is broken.
import type { DiskModel } from '../disk.ts';
import { CALM } from '../network.ts';
import type { Fault, Scenario } from '../scenario.ts';

const QUICK: DiskModel = { leastMs: 1, mostMs: 3, syncless: false };
const SLOW: DiskModel = { leastMs: 300, mostMs: 600, syncless: false };

const late = (host: number): Fault => ({ kind: 'late', at: 3_000, host });

/** The first two machines never hear each other, and the coordinator, which was there before all others, falls silent. The one that
 *  hears both knows which of them is higher. */
export const TWO_STRANGERS: Scenario = {
  name: 'two strangers',
  peers: 4,
  seconds: 25,
  network: CALM,
  disk: QUICK,
  faults: [
    { kind: 'oneWay', at: 0, from: 0, to: 1, forMs: 25_000 },
    { kind: 'oneWay', at: 0, from: 1, to: 0, forMs: 25_000 },
    late(0),
    late(1),
    late(3),
    { kind: 'partition', at: 16_000, side: [2], forMs: 9_000 },
  ],
  workload: [],
};

/** It crashes while the term that it claims is on its way to the disk. */
export const CLAIM_CUT_SHORT: Scenario = {
  name: 'claim cut short',
  peers: 1,
  seconds: 10,
  network: CALM,
  disk: SLOW,
  faults: [
    { kind: 'crash', at: 2_050, host: 0, restartMs: 0 },
    { kind: 'crash', at: 3_750, host: 0, restartMs: 0 },
    { kind: 'crash', at: 5_450, host: 0, restartMs: 0 },
  ],
  workload: [],
};

export const COORDINATION_SCENARIOS: readonly Scenario[] = [TWO_STRANGERS, CLAIM_CUT_SHORT];
