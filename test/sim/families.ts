// Scenarios drawn from a seed, by family: each leans on one kind of trouble, and the last mixes them all, because the worst bugs
// need a crash, a held-back delta, a clone and a backup together. Keys are few, so that peers meet at the same ones.
import { integerBetween, type Random } from '../../lib/random.ts';
import type { Millis } from '../../lib/time.ts';
import { chance, pick } from './chance.ts';
import type { DiskModel } from './disk.ts';
import { CALM, type NetworkModel } from './network.ts';
import type { Host } from './peer.ts';
import type { Fault, Scenario, Step } from './scenario.ts';

export interface Draw {
  readonly random: Random;
  readonly peers: number;
  readonly lengthMs: Millis;
  /** What people will do; empty while that is drawn. */
  readonly workload: readonly Step[];
}

type Some<T> = (draw: Draw) => readonly T[];

export interface Family {
  readonly network: (random: Random) => NetworkModel;
  /** Else quick or slow, by chance. */
  readonly disk?: DiskModel;
  readonly faults: Some<Fault>;
  readonly workload: Some<Step>;
}

const SLOW_DISK: DiskModel = { leastMs: 50, mostMs: 200, syncless: false };
export const quickDisk = (random: Random): DiskModel => ({ leastMs: 1, mostMs: pick(random, [2, 30, 200]), syncless: false });
const KEYS = ['star/s1', 'star/s2', 'star/s3', 'playlist/p1', 'playlist/p2', 'rating/s1', 'profile/x', 'profile/y'];
const FILES = ['one.mp3', 'two.mp3', 'three.mp3'];
/** Around LAMPORT_LEAP_MAX, twice that, and a quarter of all times: three leaps of one machine leave it some. */
const LEAPS = [1_000, 2 ** 40 - 1, 2 ** 40 + 1, 2 ** 41 + 5, 2 ** 50];

/** Some streams take a tenth of a second for a frame, so that they end in the middle of an answer. */
const slowly = (random: Random): Partial<NetworkModel> => (random() < 0.3 ? { streamBytesPerMs: 1 } : {});

export const lossy = (random: Random): NetworkModel => ({
  ...CALM,
  mostMs: integerBetween(random, 1, 30),
  loss: random() * 0.4,
  bursts: random() < 0.5 ? { everyMs: 3_000, ms: 400, loss: 0.9 } : null,
  duplicates: random() * 0.1,
  late: random() * 0.1,
  lateMs: 300,
  ...slowly(random),
});

export const mild = (random: Random): NetworkModel => ({
  ...CALM,
  mostMs: integerBetween(random, 1, 10),
  loss: random() < 0.5 ? 0 : random() * 0.2,
  duplicates: 0.02,
  late: 0.02,
  lateMs: 100,
  ...slowly(random),
});

// --- what draws one fault or step

/** Some time before the end, so that what follows from it still falls into the eventful part. */
export const time = ({ random, lengthMs }: Draw): Millis => Math.round(random() * lengthMs * 0.9);
export const host = ({ random, peers }: Draw): Host => integerBetween(random, 0, peers - 1);
export const lasting = ({ random, lengthMs }: Draw): Millis => integerBetween(random, 20, Math.max(21, Math.round(lengthMs / 3)));
const restartMs = ({ random }: Draw): Millis => pick(random, [0, 50, 500, 3_000]);

function otherHost(draw: Draw, but: Host): Host {
  const other = integerBetween(draw.random, 0, draw.peers - 2);
  return other < but ? other : other + 1;
}

const FAULTS = {
  crash: (draw) => ({ kind: 'crash', at: time(draw), host: host(draw), restartMs: restartMs(draw) }),
  stop: (draw) => ({ kind: 'stop', at: time(draw), host: host(draw), restartMs: restartMs(draw) }),
  late: (draw) => ({ kind: 'late', at: time(draw), host: host(draw) }),
  loseTail: (draw) => ({ kind: 'loseTail', at: time(draw), host: host(draw), batches: integerBetween(draw.random, 1, 8), restartMs: restartMs(draw) }),
  wipe: (draw) => ({ kind: 'wipe', at: time(draw), host: host(draw), keepsIdentity: draw.random() < 0.5, restartMs: restartMs(draw) }),
  backup: (draw) => ({ kind: 'backup', at: time(draw) / 2, host: host(draw) }),
  restore: (draw) => ({ kind: 'restore', at: time(draw), host: host(draw), restartMs: restartMs(draw) }),
  clone: (draw) => ({ kind: 'clone', at: time(draw), host: host(draw), forMs: lasting(draw) }),
  fullDisk: (draw) => ({ kind: 'fullDisk', at: time(draw), host: host(draw), forMs: lasting(draw) }),
  partition: (draw) => ({ kind: 'partition', at: time(draw), side: someHosts(draw), forMs: lasting(draw) }),
  oneWay: (draw) => pair(draw, 'oneWay'),
  holdBack: (draw) => pair(draw, 'holdBack'),
  cutStreams: (draw) => ({ kind: 'cutStreams', at: time(draw), host: host(draw) }),
  refuseStreams: (draw) => ({ kind: 'refuseStreams', at: time(draw), host: host(draw), forMs: lasting(draw) }),
  lossBurst: (draw) => ({ kind: 'lossBurst', at: time(draw), host: host(draw), loss: 0.5 + draw.random() / 2, forMs: lasting(draw) }),
  replay: (draw) => ({ kind: 'replay', at: time(draw), host: host(draw), count: integerBetween(draw.random, 1, 50) }),
  pause: (draw) => ({ kind: 'pause', at: time(draw), host: host(draw), forMs: lasting(draw) }),
  insaneTerm: (draw) => ({ kind: 'insaneTerm', at: time(draw), host: host(draw), term: pick(draw.random, [2 ** 20, 2 ** 33, 2 ** 48 - 1]), restartMs: restartMs(draw) }),
  suspend: (draw) => ({ kind: 'suspend', at: time(draw), host: host(draw), forMs: lasting(draw) }),
  clockJump: (draw) => ({ kind: 'clockJump', at: time(draw), host: host(draw), byMs: pick(draw.random, [-86_400_000, -1_000, 1_000, 86_400_000]) }),
} satisfies { readonly [Kind in Fault['kind']]: (draw: Draw) => Fault };

export type FaultKind = keyof typeof FAULTS;

function pair<Kind extends 'oneWay' | 'holdBack'>(draw: Draw, kind: Kind): { kind: Kind; at: Millis; from: Host; to: Host; forMs: Millis } {
  const from = host(draw);
  return { kind, at: time(draw), from, to: otherHost(draw, from), forMs: lasting(draw) };
}

/** At least one, and not all. */
export function someHosts(draw: Draw): Host[] {
  const all = Array.from({ length: draw.peers }, (_, other) => other);
  const count = integerBetween(draw.random, 1, draw.peers - 1);
  const shuffled = all.map((other) => ({ other, place: draw.random() })).sort((a, b) => a.place - b.place);
  return shuffled.slice(0, count).map(({ other }) => other).sort((a, b) => a - b);
}

export const faults = (most: number, ...kinds: FaultKind[]): Some<Fault> => (draw) =>
  Array.from({ length: integerBetween(draw.random, 1, most) }, () => afterAStep(draw, FAULTS[pick(draw.random, kinds)](draw))).sort((a, b) => a.at - b.at);

/** What hurts most when it hits a machine that is just at work on something: half of them do. */
const UNTIMELY: ReadonlySet<FaultKind> = new Set(['crash', 'loseTail', 'wipe', 'fullDisk', 'cutStreams', 'pause', 'backup', 'clone']);
const AT_WORK_MS: Millis = 60;

function afterAStep(draw: Draw, fault: Fault): Fault {
  const { random, workload } = draw;
  if (!UNTIMELY.has(fault.kind) || workload.length === 0 || random() < 0.5) return fault;
  const { at, host: where } = pick(random, workload);
  return { ...(fault as Extract<Fault, { host: Host }>), at: at + integerBetween(random, 0, AT_WORK_MS), host: where };
}

/** One peer's disk goes back in time, or is in two places, with crashes around it. */
const backups: Some<Fault> = (draw) => {
  const whose = host(draw);
  const backup: Fault = { kind: 'backup', at: time(draw) / 2, host: whose };
  const restore = (): Fault => ({ kind: 'restore', at: backup.at + 1 + time(draw) / 2, host: whose, restartMs: restartMs(draw) });
  const restores = Array.from({ length: integerBetween(draw.random, 1, 2) }, restore);
  return [backup, ...restores, ...faults(3, 'crash', 'partition', 'holdBack', 'cutStreams')(draw)].sort((a, b) => a.at - b.at);
};

const clones: Some<Fault> = (draw) => {
  const others = faults(4, 'clone', 'crash', 'partition', 'replay')(draw);
  return [afterAStep(draw, FAULTS.clone(draw)), ...others].sort((a, b) => a.at - b.at);
};

/** Two halves grow apart from the start, and meet. */
const meeting: Some<Fault> = (draw) => [
  { kind: 'partition', at: 0, side: someHosts(draw), forMs: Math.round(draw.lengthMs * (0.2 + 0.5 * draw.random())) },
  ...faults(2, 'crash', 'late', 'wipe', 'oneWay')(draw),
];

/** Halves that grew apart meet more than once, with what is on its way between them held back. */
const strangers: Some<Fault> = (draw) => [
  { kind: 'partition', at: 0, side: someHosts(draw), forMs: Math.round(draw.lengthMs * (0.2 + 0.3 * draw.random())) },
  ...faults(6, 'late', 'holdBack', 'partition', 'lossBurst', 'wipe')(draw),
];

const work = (most: number, extra: Some<Step> = () => []): Some<Step> => (draw) => {
  const values = { next: 0 };
  const steps = Array.from({ length: integerBetween(draw.random, 2, most) }, () => oneStep(draw, values));
  return [...steps, ...extra(draw)].sort((a, b) => a.at - b.at);
};

function oneStep(draw: Draw, values: { next: number }): Step {
  const { random } = draw;
  const at = time(draw);
  const where = host(draw);
  const kind = random();
  if (kind < 0.6) return { kind: 'write', at, host: where, key: pick(random, KEYS), value: `v${values.next++}` };
  if (kind < 0.8) return { kind: 'delete', at, host: where, key: pick(random, KEYS) };
  return { kind: kind < 0.93 ? 'addFile' : 'removeFile', at, host: where, name: pick(random, FILES) };
}

/** Nobody makes anything at first, and then all of it around one moment. */
const lateWork: Some<Step> = (draw) => {
  const from = draw.lengthMs * (0.1 + 0.4 * draw.random());
  const values = { next: 0 };
  const files = Array.from({ length: draw.peers }, (): Step => ({ kind: 'addFile', at: time(draw) / 4, host: host(draw), name: pick(draw.random, FILES) }));
  const steps = Array.from({ length: integerBetween(draw.random, 0, 12) }, () => ({ ...oneStep(draw, values), at: from + draw.random() * 2_000 }));
  return [...files, ...steps].sort((a, b) => a.at - b.at);
};

/** One writes in bursts, over all keys and again over some: large deltas, of which much is superseded while they are on their way. */
const bursts: Some<Step> = (draw) => {
  const values = { next: 0 };
  const who = host(draw);
  const word = (at: Millis): Step => ({ kind: 'write', at, host: who, key: `star/s${integerBetween(draw.random, 1, 30)}`, value: `w${values.next++}` });
  return Array.from({ length: integerBetween(draw.random, 2, 4) }, () => time(draw))
    .flatMap((at) => Array.from({ length: integerBetween(draw.random, 10, 30) }, () => word(at + integerBetween(draw.random, 0, 400))))
    .sort((a, b) => a.at - b.at);
};

const leaps: Some<Step> = (draw) =>
  Array.from({ length: integerBetween(draw.random, 1, 3) }, () => ({ kind: 'leap', at: time(draw), host: host(draw), by: pick(draw.random, LEAPS) }));

const joins: Some<Step> = (draw) => Array.from({ length: integerBetween(draw.random, 0, draw.peers) }, () => {
  const who = host(draw);
  return { kind: 'join', at: Math.round(draw.lengthMs * (0.5 + 0.4 * draw.random())), host: who, whose: otherHost(draw, who) };
});

const forgets: Some<Step> = (draw) => {
  if (draw.random() < 0.5) return [];
  const who = host(draw);
  return [{ kind: 'forget', at: time(draw), host: who, whom: otherHost(draw, who) }];
};

/** What only coordination can tell from a pause is not drawn for replication, whose seeds keep their scenarios. */
const ALL = (Object.keys(FAULTS) as FaultKind[]).filter((kind) => kind !== 'suspend' && kind !== 'insaneTerm');

export const FAMILIES: { readonly [name: string]: Family } = {
  quiet: { network: () => CALM, faults: () => [], workload: work(30) },
  lossy: { network: lossy, faults: faults(4, 'lossBurst', 'replay', 'cutStreams'), workload: work(40) },
  partitions: { network: mild, faults: faults(6, 'partition', 'oneWay', 'cutStreams', 'refuseStreams'), workload: work(40) },
  crashes: { network: mild, faults: faults(8, 'crash', 'stop', 'late', 'fullDisk', 'holdBack'), workload: work(40) },
  backups: { network: mild, faults: backups, workload: work(40) },
  clones: { network: mild, faults: clones, workload: work(40) },
  wipes: { network: mild, faults: faults(5, 'wipe', 'loseTail', 'crash', 'holdBack'), workload: work(40, forgets) },
  meeting: { network: mild, faults: meeting, workload: work(30, joins) },
  leaps: { network: mild, faults: faults(4, 'crash', 'loseTail', 'clockJump', 'partition'), workload: work(30, leaps) },
  stalls: { network: lossy, faults: faults(6, 'pause', 'holdBack', 'clockJump', 'replay', 'cutStreams'), workload: work(40) },
  strangers: { network: mild, faults: strangers, workload: lateWork },
  bulk: { network: mild, disk: SLOW_DISK, faults: faults(6, 'partition', 'holdBack', 'crash', 'cutStreams', 'late'), workload: bursts },
  losses: { network: lossy, disk: SLOW_DISK, faults: faults(4, 'wipe', 'crash', 'lossBurst'), workload: work(40) },
  forgotten: { network: mild, faults: faults(3, 'crash', 'partition'), workload: work(10, (draw) => [...leaps(draw), ...forgets(draw), ...forgets(draw)]) },
  everything: {
    network: lossy,
    faults: (draw) => [...faults(10, ...ALL)(draw), ...backups(draw)].sort((a, b) => a.at - b.at),
    workload: work(60, (draw) => [...leaps(draw), ...joins(draw), ...forgets(draw)]),
  },
};

export const FAMILY_NAMES: readonly string[] = Object.keys(FAMILIES);

/** The scenario of a seed: the family by turns, or the one that is named. */
export function drawScenario(seed: number, name: string = FAMILY_NAMES[seed % FAMILY_NAMES.length] as string): Scenario {
  const family = FAMILIES[name];
  if (family === undefined) throw new RangeError(`no family ${name}: ${FAMILY_NAMES.join(', ')}`);
  const random = chance(seed, `scenario/${name}`);
  const peers = integerBetween(random, 2, 6);
  const seconds = integerBetween(random, 5, 30);
  const draw = (part: string, workload: readonly Step[]): Draw => ({ random: chance(seed, `scenario/${name}/${part}`), peers, lengthMs: seconds * 1_000, workload });
  const workload = family.workload(draw('workload', []));
  const troubles = family.faults(draw('faults', workload));
  return { name, peers, seconds, network: family.network(random), disk: family.disk ?? quickDisk(random), faults: troubles, workload };
}
