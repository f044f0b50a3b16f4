// Scenarios written by hand, for what chance meets too rarely: something has to happen within one moment of another thing, or in
// one order of many. Each of them passes when nothing is broken.
import type { DiskModel } from '../disk.ts';
import { CALM } from '../network.ts';
import type { Scenario } from '../scenario.ts';

const QUICK: DiskModel = { leastMs: 1, mostMs: 3, syncless: false };
const SLOW: DiskModel = { leastMs: 50, mostMs: 200, syncless: false };

/** A machine whose clock leaped loses its disk, and a file while it is off; then others give it back what it said of that file. */
export const OWN_WORDS_COME_BACK: Scenario = {
  name: 'own words come back',
  peers: 2,
  seconds: 12,
  network: CALM,
  disk: QUICK,
  faults: [{ kind: 'wipe', at: 6_000, host: 0, keepsIdentity: true, restartMs: 3_000 }],
  workload: [
    { kind: 'leap', at: 3_000, host: 0, by: 2 ** 41 },
    { kind: 'addFile', at: 3_200, host: 0, name: 'one.mp3' },
    { kind: 'removeFile', at: 7_000, host: 0, name: 'one.mp3' },
  ],
};

/** A machine is forgotten by one whose clock is far ahead, and then by another. */
export const FORGOTTEN_TWICE: Scenario = {
  name: 'forgotten twice',
  peers: 3,
  seconds: 8,
  network: CALM,
  disk: QUICK,
  faults: [],
  workload: [
    { kind: 'leap', at: 3_000, host: 0, by: 2 ** 50 },
    { kind: 'forget', at: 4_000, host: 0, whom: 1 },
    { kind: 'forget', at: 6_000, host: 2, whom: 1 },
  ],
};

/** Clones do not hear each other, and the one that sees both stands still with their proofs in its buffer, until one of them is
 *  long gone: what it says then is true no more. */
export const RELAY_SPEAKS_LATE: Scenario = {
  name: 'a relay speaks late',
  peers: 2,
  seconds: 20,
  network: { ...CALM, leastMs: 100, mostMs: 300 },
  disk: QUICK,
  faults: [
    { kind: 'clone', at: 3_000, host: 0, forMs: 2_300 },
    { kind: 'oneWay', at: 3_000, from: 0, to: 2, forMs: 15_000 },
    { kind: 'oneWay', at: 3_000, from: 2, to: 0, forMs: 15_000 },
    { kind: 'pause', at: 4_600, host: 1, forMs: 8_000 },
  ],
  workload: [],
};

/** What a clone proved while it lived is said again when it is long gone. */
export const PROOFS_ARE_REPLAYED: Scenario = {
  name: 'proofs are replayed',
  peers: 2,
  seconds: 20,
  network: CALM,
  disk: QUICK,
  faults: [
    { kind: 'clone', at: 3_000, host: 0, forMs: 3_000 },
    { kind: 'crash', at: 7_000, host: 0, restartMs: 100 },
    { kind: 'replay', at: 13_000, host: 0, count: 2_000 },
    { kind: 'replay', at: 13_050, host: 0, count: 2_000 },
  ],
  workload: [],
};

/** One machine is asked for a log by a newcomer, which hears nobody else, while it merges a large delta of that log. */
export const HALF_MERGED_AND_ASKED: Scenario = {
  name: 'half merged and asked',
  peers: 3,
  seconds: 14,
  network: CALM,
  disk: SLOW,
  faults: [
    { kind: 'crash', at: 4_000, host: 1, restartMs: 4_000 },
    { kind: 'late', at: 8_100, host: 2 },
    { kind: 'oneWay', at: 0, from: 0, to: 2, forMs: 13_000 },
  ],
  workload: [2_500, 5_000].flatMap((at) => Array.from({ length: 40 }, (_, i) => ({ kind: 'write', at: at + i, host: 0, key: `star/s${i}`, value: `${at}/${i}` }) as const)),
};

/** A delta that was asked for before its receiver changed networks comes after it, and leaves out what went with the old one. */
export const DELTA_OF_THE_OLD_NETWORK: Scenario = {
  name: 'a delta of the old network',
  peers: 3,
  seconds: 14,
  network: CALM,
  disk: QUICK,
  faults: [
    { kind: 'partition', at: 0, side: [2], forMs: 8_000 },
    { kind: 'holdBack', at: 4_900, from: 0, to: 1, forMs: 7_000 },
    { kind: 'lossBurst', at: 4_990, host: 1, loss: 1, forMs: 400 },
  ],
  workload: [
    { kind: 'addFile', at: 3_000, host: 0, name: 'one.mp3' },
    { kind: 'write', at: 3_000, host: 2, key: 'star/s1', value: 'v' },
    { kind: 'addFile', at: 5_000, host: 0, name: 'two.mp3' },
    { kind: 'removeFile', at: 7_500, host: 0, name: 'one.mp3' },
  ],
};

/** Two starts of one machine write one key, the later of them superseding the earlier, and a newcomer asks for both. */
export const STARTS_SUPERSEDE: Scenario = {
  name: 'starts supersede',
  peers: 3,
  seconds: 10,
  network: CALM,
  disk: QUICK,
  faults: [
    { kind: 'crash', at: 4_000, host: 0, restartMs: 500 },
    { kind: 'late', at: 8_000, host: 2 },
  ],
  workload: [
    { kind: 'write', at: 3_000, host: 0, key: 'star/s1', value: 'v' },
    { kind: 'write', at: 6_000, host: 0, key: 'star/s1', value: 'w' },
  ],
};

/** A stream that takes a second for a delta is cut before the delta's end. */
export const DELTA_IS_CUT: Scenario = {
  name: 'a delta is cut',
  peers: 2,
  seconds: 8,
  network: { ...CALM, streamBytesPerMs: 1 },
  disk: QUICK,
  faults: [
    { kind: 'crash', at: 2_400, host: 1, restartMs: 2_600 },
    { kind: 'cutStreams', at: 6_800, host: 1 },
  ],
  workload: Array.from({ length: 30 }, (_, i) => ({ kind: 'write', at: 2_500 + i, host: 0, key: `star/s${i}`, value: `${i}` })),
};

/** A machine is killed while what its user wrote is on its way to the disk. */
export const KILLED_WHILE_WRITING: Scenario = {
  name: 'killed while writing',
  peers: 1,
  seconds: 5,
  network: CALM,
  disk: SLOW,
  faults: [{ kind: 'crash', at: 3_030, host: 0, restartMs: 500 }],
  workload: [{ kind: 'write', at: 3_000, host: 0, key: 'star/s1', value: 'v' }],
};

/** A machine is killed while what it received is on its way to the disk. */
export const KILLED_WHILE_RECEIVING: Scenario = {
  name: 'killed while receiving',
  peers: 2,
  seconds: 6,
  network: CALM,
  disk: SLOW,
  faults: [{ kind: 'crash', at: 4_350, host: 1, restartMs: 500 }],
  workload: [{ kind: 'write', at: 4_000, host: 0, key: 'star/s1', value: 'v' }],
};

/** A write is acknowledged, its writer loses its disk, and who has said that it keeps it is killed. */
export const KEEPER_KILLED: Scenario = {
  name: 'keeper killed',
  peers: 2,
  seconds: 6,
  network: CALM,
  disk: SLOW,
  faults: [
    { kind: 'crash', at: 4_200, host: 1, restartMs: 500 },
    { kind: 'wipe', at: 4_200, host: 0, keepsIdentity: true, restartMs: 500 },
  ],
  workload: [{ kind: 'write', at: 4_000, host: 0, key: 'star/s1', value: 'v' }],
};

/** A peer of an empty network hears of user data in another, which does not come yet, and the others of its network do not. */
export const DATA_IS_LATE: Scenario = {
  name: 'data is late',
  peers: 3,
  seconds: 30,
  network: CALM,
  disk: QUICK,
  faults: [
    { kind: 'partition', at: 0, side: [0], forMs: 5_000 },
    { kind: 'oneWay', at: 1, from: 0, to: 2, forMs: 40_000 },
    { kind: 'oneWay', at: 1, from: 2, to: 0, forMs: 40_000 },
    { kind: 'holdBack', at: 1, from: 0, to: 1, forMs: 40_000 },
  ],
  workload: [
    { kind: 'write', at: 3_000, host: 0, key: 'star/s1', value: 'v' },
    { kind: 'addFile', at: 3_000, host: 2, name: 'one.mp3' },
  ],
};

/** Two empty networks meet, each with files of several machines. */
export const EMPTY_NETWORKS_MEET: Scenario = {
  name: 'empty networks meet',
  peers: 4,
  seconds: 20,
  network: { ...CALM, leastMs: 50, mostMs: 100 },
  disk: { leastMs: 200, mostMs: 200, syncless: false },
  faults: [{ kind: 'partition', at: 0, side: [0, 1], forMs: 5_000 }],
  workload: [0, 1, 2, 3].map((host) => ({ kind: 'addFile', at: 3_000, host, name: 'one.mp3' })),
};

/** A question for a delta is on its way while its asker leaves the network, and the other writes what would keep it there. */
export const ANSWER_FROM_THE_OLD_NETWORK: Scenario = {
  name: 'an answer from the old network',
  peers: 3,
  seconds: 16,
  network: CALM,
  disk: QUICK,
  faults: [
    { kind: 'partition', at: 0, side: [2], forMs: 6_700 },
    { kind: 'oneWay', at: 1, from: 0, to: 2, forMs: 15_000 },
    { kind: 'holdBack', at: 4_900, from: 1, to: 0, forMs: 4_600 },
    { kind: 'lossBurst', at: 4_990, host: 1, loss: 1, forMs: 400 },
    { kind: 'oneWay', at: 6_500, from: 0, to: 1, forMs: 2_900 },
  ],
  workload: [
    { kind: 'write', at: 3_000, host: 2, key: 'star/s1', value: 'v' },
    { kind: 'addFile', at: 5_000, host: 0, name: 'one.mp3' },
    { kind: 'write', at: 6_600, host: 0, key: 'star/s2', value: 'w' },
  ],
};

/** The first word of a network reaches a peer that is just leaving it. */
export const WORD_WHILE_LEAVING: Scenario = {
  name: 'a word while leaving',
  peers: 3,
  seconds: 12,
  network: CALM,
  disk: { leastMs: 200, mostMs: 200, syncless: false },
  faults: [
    { kind: 'partition', at: 0, side: [2], forMs: 5_000 },
    { kind: 'oneWay', at: 1, from: 2, to: 0, forMs: 11_000 },
    { kind: 'oneWay', at: 1, from: 0, to: 2, forMs: 11_000 },
  ],
  workload: [
    { kind: 'write', at: 3_000, host: 2, key: 'star/s1', value: 'v' },
    { kind: 'addFile', at: 3_000, host: 1, name: 'one.mp3' },
    { kind: 'write', at: 5_300, host: 0, key: 'star/s2', value: 'w' },
  ],
};

export const SCENARIOS: readonly Scenario[] = [
  OWN_WORDS_COME_BACK,
  FORGOTTEN_TWICE,
  RELAY_SPEAKS_LATE,
  PROOFS_ARE_REPLAYED,
  HALF_MERGED_AND_ASKED,
  DELTA_OF_THE_OLD_NETWORK,
  STARTS_SUPERSEDE,
  DELTA_IS_CUT,
  KILLED_WHILE_WRITING,
  KILLED_WHILE_RECEIVING,
  KEEPER_KILLED,
  DATA_IS_LATE,
  EMPTY_NETWORKS_MEET,
  ANSWER_FROM_THE_OLD_NETWORK,
  WORD_WHILE_LEAVING,
];
