// How long a network is without a coordinator, or a role without its holder, when machines end, are cut off, start or meet again:
// simulated peers with the real machines of membership and coordination, on a wired LAN that loses datagrams, with disks that take 1
// to 5 ms for a term. Times are virtual.
//   node build/bench/coordination-sim.js [deaths] [cables] [cold] [heal] [bursts] [bytes] [hour]
// `hour` is 200 peers for one hour at 30% loss, which takes long, and is measured only when asked for.
import { ROLES } from '../lib/roles.ts';
import type { Millis } from '../lib/time.ts';
import { type NetworkModel, WIRED } from '../test/sim/network.ts';
import type { Host } from '../test/sim/peer.ts';
import { CoordinatingNetwork, type CoordinatingNetworkOptions } from './coordinating-network.ts';
import { quantile } from './figures.ts';

/** Whoever starts is ready to coordinate, and nothing is left of what happened before. */
const CALM_MS: Millis = 9_000;
const HOUR_MS: Millis = 3_600_000;
const BURSTS: NetworkModel = { ...WIRED, bursts: { everyMs: 3_000, ms: 200, loss: 1 } };
const DEAF_OUT_MS: Millis = 6_000;

const lossy = (loss: number): NetworkModel => ({ ...WIRED, loss });
const percent = (loss: number): string => `${loss * 100}% loss`;
const ms = (values: readonly Millis[]): string => `p50 ${quantile(values, 0.5).toFixed(0)}, p99 ${quantile(values, 0.99).toFixed(0)}, worst ${Math.max(...values).toFixed(0)} ms (n ${values.length})`;

/** ELECTION, ANSWER and COORDINATOR since the last time it was asked. */
function counting(options: Omit<CoordinatingNetworkOptions, 'told'>): { readonly network: CoordinatingNetwork; readonly said: () => number } {
  let count = 0;
  const network = new CoordinatingNetwork({ ...options, told: (fact) => (count += Number(fact.kind === 'said')) });
  return {
    network,
    said: () => {
      const since = count;
      count = 0;
      return since;
    },
  };
}

type Loss = 'process' | 'cable';

/** What a model of the protocol took (docs/ROLES.md), p50/p99 in ms; of 10% loss it says nothing. */
const GOALS: { readonly [How in Loss]: (peers: number, loss: number) => string } = {
  process: (peers, loss) => (peers > 20 ? '165/840' : loss === 0 ? '25/115' : '175/940'),
  cable: (_peers, loss) => (loss === 0 ? '1,700/1,900' : '1,800/2,500'),
};

/** The coordinator goes, comes back when all is calm, and so on. */
function coordinatorsGo(how: Loss, { peers, loss, times }: { readonly peers: number; readonly loss: number; readonly times: number }): void {
  const startedAt = performance.now();
  const { network, said } = counting({ peers, model: lossy(loss), seed: 1, startMs: 500 });
  const [agreed, served, messages]: [Millis[], Millis[], number[]] = [[], [], []];
  network.runUntilCalm(CALM_MS);
  for (let i = 0; i < times; i++) {
    // at any time between two beats
    network.runFor((i * 37) % 1_000);
    const [coordinator] = network.coordinators;
    if (coordinator === undefined) throw new Error('calm, and without a coordinator');
    said();
    if (how === 'process') network.kill(coordinator);
    else network.cutOff(coordinator);
    const at = network.now;
    // whichever comes first
    let servedMs: Millis | null = null;
    const agreedMs = network.runUntil(() => {
      if (servedMs === null && network.isServed) servedMs = network.now - at;
      return network.isAgreed;
    }, 'the others agree on another coordinator');
    agreed.push(agreedMs);
    served.push(servedMs ?? network.runUntil(() => network.isServed, 'all roles are served') + agreedMs);
    network.runFor(3_000);
    messages.push(said());
    // whoever is cut off has found out that it hears nobody
    if (how === 'cable') network.runFor(DEAF_OUT_MS);
    network.bringBack(coordinator);
    network.runUntilCalm(CALM_MS);
  }
  console.log(`${peers} peers, ${percent(loss)}: coordinator's ${how} gone until all roles are served: ${ms(served)}; goal p50/p99 ${GOALS[how](peers, loss)}`);
  console.log(`  until all follow one: ${ms(agreed)}; messages of one election: most ${Math.max(...messages)}, median ${quantile(messages, 0.5)}; bound ${12 + 4 * peers}; ${seconds(startedAt)}`);
}

/** One that holds a role, and does not coordinate, goes. */
function holdersGo({ peers, loss, times }: { readonly peers: number; readonly loss: number; readonly times: number }): void {
  const startedAt = performance.now();
  const network = new CoordinatingNetwork({ peers, model: lossy(loss), seed: 2, startMs: 500 });
  const served: Millis[] = [];
  network.runUntilCalm(CALM_MS);
  for (let i = 0; i < times; i++) {
    network.runFor((i * 37) % 1_000);
    const holder = ROLES.map((role) => network.holder(role)).find((machine) => machine !== undefined && !machine.peer?.coordination.isCoordinator);
    if (holder === undefined) throw new Error('the coordinator holds all roles');
    network.kill(holder);
    served.push(network.runUntil(() => network.isServed, 'all roles are served'));
    network.bringBack(holder);
    network.runUntilCalm(CALM_MS);
  }
  console.log(`${peers} peers, ${percent(loss)}: a holder's process gone until its roles are served: ${ms(served)}; ${seconds(startedAt)}`);
}

function coldStart({ peers, loss, seeds, budgetMs }: { readonly peers: number; readonly loss: number; readonly seeds: number; readonly budgetMs: Millis }): void {
  const startedAt = performance.now();
  const [agreed, served, most]: [Millis[], Millis[], number[]] = [[], [], []];
  for (let seed = 0; seed < seeds && performance.now() - startedAt < budgetMs; seed++) {
    const { network, said } = counting({ peers, model: lossy(loss), seed, startMs: 100 });
    network.runUntil(() => network.present.length === peers, 'all run');
    agreed.push(network.runUntil(() => network.isAgreed, 'all agree', 10));
    served.push(agreed.at(-1) as Millis + network.runUntil(() => network.isServed, 'all roles are served', 10));
    most.push(said());
  }
  console.log(`${peers} peers switched on within 100 ms, ${percent(loss)}: until all follow one ${ms(agreed)}; goal 3,000`);
  console.log(`  until all roles are served ${ms(served)}; messages: most ${Math.max(...most)}; bound ${12 + 4 * peers}; ${seconds(startedAt)}`);
}

function partsMeet({ peers, loss, times }: { readonly peers: number; readonly loss: number; readonly times: number }): void {
  const startedAt = performance.now();
  const network = new CoordinatingNetwork({ peers, model: lossy(loss), seed: 3, startMs: 500 });
  const [two, agreed]: [Millis[], Millis[]] = [[], []];
  network.runUntilCalm(CALM_MS);
  for (let i = 0; i < times; i++) {
    const side = Array.from({ length: Math.floor(peers / 2) }, (_, place): Host => (place * 2 + i) % peers);
    const heal = network.part(side);
    network.runUntil(() => network.coordinators.length === 2, 'each part has a coordinator', 10);
    network.runFor(8_000 + ((i * 37) % 1_000));
    if (network.coordinators.length !== 2) throw new Error(`${network.coordinators.length} coordinators in two parts`);
    heal();
    const from = network.now;
    two.push(network.runUntil(() => network.coordinators.length === 1, 'one coordinator is left'));
    network.runUntil(() => network.isAgreed, 'all agree');
    agreed.push(network.now - from);
    network.runUntilCalm(CALM_MS);
  }
  console.log(`${peers} peers in two halves, ${percent(loss)}, meet: two coordinators for ${ms(two)}; goal p99 below 1,000; until all follow one ${ms(agreed)}; ${seconds(startedAt)}`);
}

/** Nothing happens for an hour. Whatever changes is wrong. */
function anHour({ peers, model, called }: { readonly peers: number; readonly model: NetworkModel; readonly called: string }): void {
  const startedAt = performance.now();
  let [changes, lapses, moves] = [0, 0, 0];
  let isCounting = false;
  const network = new CoordinatingNetwork({
    peers,
    model,
    seed: 4,
    startMs: 500,
    told: (fact) => {
      if (!isCounting) return;
      if (fact.kind === 'news' && fact.news.kind === 'coordinator' && fact.news.coordinator !== null && fact.news.reason !== 'promised') changes += 1;
      if (fact.kind === 'drop') lapses += 1;
      if (fact.kind === 'news' && fact.news.kind === 'handOver' && fact.news.why !== 'balance') moves += 1;
    },
  });
  network.runFor(60_000);
  const before = network.world.scheduler.happened;
  const [first] = network.coordinators;
  let coordinator = first;
  let replaced = 0;
  isCounting = true;
  for (let second = 0; second < HOUR_MS / 1_000; second++) {
    network.runFor(1_000);
    const [now] = network.coordinators;
    if (now !== undefined && now !== coordinator) replaced += 1;
    coordinator = now ?? coordinator;
  }
  const took = performance.now() - startedAt;
  const events = network.world.scheduler.happened - before;
  console.log(`${peers} peers for an hour, ${called}: coordinator replaced ${replaced} times; goal 0; a peer turned to another ${changes} times; roles let go ${lapses} times, granted to another ${moves} times; ${seconds(startedAt)}, ${((took * 1_000) / events).toFixed(1)} us an event`);
}

function bytesOfCalm(peers: number): void {
  const sent = new Float64Array(peers);
  const network = new CoordinatingNetwork({ peers, model: lossy(0), seed: 5, startMs: 500, said: (host, _message, bytes) => (sent[host] = (sent[host] as number) + bytes) });
  network.runUntilCalm(60_000);
  sent.fill(0);
  const lastingS = 120;
  network.runFor(lastingS * 1_000);
  const rates = (hosts: readonly Host[]): string => {
    const each = hosts.map((host) => (sent[host] as number) / lastingS);
    return each.length === 0 ? 'nobody' : `${(each.reduce((sum, rate) => sum + rate, 0) / each.length).toFixed(0)} on average, ${Math.max(...each).toFixed(0)} at most (n ${each.length})`;
  };
  const coordinators = network.coordinators.map(({ host }) => host);
  const holders = [...new Set(ROLES.flatMap((role) => network.holder(role)?.host ?? []))].filter((host) => !coordinators.includes(host));
  const idle = network.present.map(({ host }) => host).filter((host) => !coordinators.includes(host) && !holders.includes(host));
  console.log(`${peers} peers, UDP payload with seal, bytes a second: idle ${rates(idle)}, goal 150; holding a role ${rates(holders)}, goal 500; coordinating ${rates(coordinators)}, goal 500`);
}

const seconds = (startedAt: number): string => `measured in ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`;

const PARTS: { readonly [name: string]: () => void } = {
  deaths: () => {
    for (const loss of [0, 0.1, 0.3]) {
      coordinatorsGo('process', { peers: 5, loss, times: 200 });
      holdersGo({ peers: 5, loss, times: 200 });
      coordinatorsGo('process', { peers: 20, loss, times: 100 });
    }
    coordinatorsGo('process', { peers: 200, loss: 0.3, times: 5 });
  },
  cables: () => {
    for (const loss of [0, 0.1, 0.3]) {
      coordinatorsGo('cable', { peers: 5, loss, times: 200 });
      coordinatorsGo('cable', { peers: 20, loss, times: 100 });
    }
    coordinatorsGo('cable', { peers: 200, loss: 0.3, times: 5 });
  },
  cold: () => coldStart({ peers: 200, loss: 0.3, seeds: 20, budgetMs: 120_000 }),
  heal: () => {
    for (const loss of [0, 0.3]) for (const peers of [5, 20]) partsMeet({ peers, loss, times: 100 });
  },
  bursts: () => {
    for (const peers of [5, 10, 20]) {
      anHour({ peers, model: lossy(0.3), called: percent(0.3) });
      anHour({ peers, model: BURSTS, called: 'all lost for 200 ms every 3 s' });
    }
  },
  bytes: () => bytesOfCalm(20),
  hour: () => anHour({ peers: 200, model: lossy(0.3), called: percent(0.3) }),
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in PARTS));
if (unknown.length > 0) throw new Error(`no part ${unknown.join(', ')}: ${Object.keys(PARTS).join(', ')}`);
for (const name of asked.length > 0 ? asked : Object.keys(PARTS).filter((name) => name !== 'hour')) PARTS[name]?.();
