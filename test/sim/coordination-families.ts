// Scenarios for peers that coordinate, by what goes wrong in them. Nobody makes anything: what people make is replication's.
import { integerBetween, type Random } from '../../lib/random.ts';
import type { Millis } from '../../lib/time.ts';
import { chance, pick } from './chance.ts';
import { type Draw, type Family, type FaultKind, faults, host, lasting, lossy, mild, quickDisk, someHosts, time } from './families.ts';
import { CALM, type NetworkModel } from './network.ts';
import type { Fault, Scenario } from './scenario.ts';

type Troubles = (draw: Draw) => readonly Fault[];

/** Everything else of `mild`, and beats that come up to a second late: a queue somewhere. */
const queueing = (random: Random): NetworkModel => ({ ...mild(random), late: 0.2 + 0.3 * random(), lateMs: pick(random, [300, 800, 1_200]) });
const bursting = (random: Random): NetworkModel => ({ ...mild(random), bursts: { everyMs: 3_000, ms: 200, loss: 1 } });
const losing = (random: Random): NetworkModel => ({ ...CALM, mostMs: integerBetween(random, 1, 10), loss: random() * 0.3 });

/** It is heard and hears nobody, or hears all and is heard by none; long enough to be noticed. */
const deaf: Troubles = (draw) => {
  const who = host(draw);
  const at = time(draw) / 3;
  const forMs = integerBetween(draw.random, 4_000, 16_000);
  const mute = draw.random() < 0.3;
  const others = Array.from({ length: draw.peers }, (_, other) => other).filter((other) => other !== who);
  return others.map((other) => ({ kind: 'oneWay', at, forMs, from: mute ? who : other, to: mute ? other : who }));
};

const flapping: Troubles = (draw) => {
  const who = host(draw);
  const from = time(draw) / 4;
  return Array.from({ length: Math.max(1, Math.floor((draw.lengthMs - from) / 3_000)) }, (_, i) => ({ kind: 'crash', at: Math.round(from + i * 3_000), host: who, restartMs: pick(draw.random, [0, 50, 500]) }));
};

/** Three parts that hear each other not at all: two cuts around two sides. */
const threeWays: Troubles = (draw) => {
  const at = time(draw) / 2;
  const forMs = lasting(draw) + 3_000;
  const side = someHosts(draw);
  const rest = Array.from({ length: draw.peers }, (_, other) => other).filter((other) => !side.includes(other));
  const second = rest.slice(0, Math.ceil(rest.length / 2));
  return [side, second].filter((part) => part.length > 0).map((part) => ({ kind: 'partition', at, side: part, forMs }));
};

const joined = (...troubles: Troubles[]): Troubles => (draw) => troubles.flatMap((trouble) => trouble(draw)).sort((a, b) => a.at - b.at);

/** For longer than a machine takes for sleep, late timers of 300 ms included, and not so long that anybody finds it dead and closes its streams. */
export const NAP_MS = [1_350, 1_550] as const;

/** A firewall is switched on that rejects, and machines nap: they know of no coordinator when they wake, and others wonder. */
const firewalled: Troubles = (draw) => [
  { kind: 'refuseStreams', at: time(draw), host: host(draw), forMs: draw.lengthMs },
  ...Array.from({ length: 4 }, (): Fault => ({ kind: 'pause', at: time(draw), host: host(draw), forMs: integerBetween(draw.random, ...NAP_MS) })),
];

const SOME: readonly FaultKind[] = ['crash', 'stop', 'late', 'pause', 'suspend', 'partition', 'oneWay', 'cutStreams', 'refuseStreams', 'lossBurst', 'fullDisk', 'wipe', 'replay', 'insaneTerm'];

const family = (network: Family['network'], troubles: Troubles): Family => ({ network, faults: troubles, workload: () => [] });

export const COORDINATION_FAMILIES: { readonly [name: string]: Family } = {
  'elect-cold': family(losing, faults(3, 'late', 'stop')),
  'elect-crashes': family(mild, faults(6, 'crash', 'stop', 'late', 'wipe')),
  'elect-pauses': family(mild, faults(5, 'pause', 'suspend', 'crash')),
  'elect-partitions': family(losing, joined(threeWays, faults(3, 'partition', 'oneWay', 'crash'))),
  'elect-deaf': family(losing, joined(deaf, faults(2, 'crash', 'pause'))),
  'elect-queues': family(queueing, faults(4, 'pause', 'crash', 'cutStreams', 'partition')),
  'elect-bursts': family(bursting, faults(3, 'crash', 'lossBurst', 'pause')),
  'elect-flapping': family(losing, flapping),
  'elect-terms': family(mild, faults(4, 'insaneTerm', 'crash', 'partition', 'fullDisk')),
  'elect-firewalls': family(mild, firewalled),
  'elect-everything': family(lossy, faults(8, ...SOME)),
};

const NAMES = Object.keys(COORDINATION_FAMILIES);

/** The scenario of a seed: the family by turns, or the one that is named. */
export function drawCoordination(seed: number, name: string = NAMES[seed % NAMES.length] as string): Scenario {
  const drawn = COORDINATION_FAMILIES[name];
  if (drawn === undefined) throw new RangeError(`no family ${name}: ${NAMES.join(', ')}`);
  const random = chance(seed, `scenario/${name}`);
  const peers = integerBetween(random, 2, 7);
  const seconds = integerBetween(random, 12, 40);
  const lengthMs: Millis = seconds * 1_000;
  const draw: Draw = { random: chance(seed, `scenario/${name}/faults`), peers, lengthMs, workload: [] };
  return { name, peers, seconds, network: drawn.network(random), disk: quickDisk(random), faults: drawn.faults(draw), workload: [] };
}
