// Makes a scenario that fails as small as it gets: by delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating
// Failure-Inducing Input", 2002) over its faults and its workload, then without peers that are not needed, with a calmer network,
// in less time. What is left fails in the same way with the same seed, and is data to be played again.
import { CALM, type NetworkModel } from './network.ts';
import type { Host } from './peer.ts';
import { type Fault, hostsOf, hostsOfStep, type Scenario, type Step } from './scenario.ts';

/** Does the same invariant still fail? */
export type Fails = (scenario: Scenario) => boolean;

/** @param runs how many smaller scenarios may be tried */
export function shrink(scenario: Scenario, fails: Fails, { runs }: { readonly runs: number }): Scenario {
  const budget = { left: runs };
  const tries: Fails = (smaller) => {
    if (budget.left <= 0) return false;
    budget.left -= 1;
    return fails(smaller);
  };
  let smallest = scenario;
  for (let before: Scenario | undefined; before !== smallest && budget.left > 0; ) {
    before = smallest;
    for (const pass of [withoutTheEnd, withFewerFaults, withLessWork, withFewerPeers, onCalmerNetwork, withMilderFaults]) smallest = pass(smallest, tries);
  }
  return smallest;
}

type Pass = (scenario: Scenario, fails: Fails) => Scenario;

const withFewerFaults: Pass = (scenario, fails) => {
  const faults = fewest(scenario.faults, (fewer) => fails({ ...scenario, faults: fewer }));
  return faults.length < scenario.faults.length ? { ...scenario, faults } : scenario;
};

const withLessWork: Pass = (scenario, fails) => {
  const workload = fewest(scenario.workload, (fewer) => fails({ ...scenario, workload: fewer }));
  return workload.length < scenario.workload.length ? { ...scenario, workload } : scenario;
};

/** ddmin, with complements alone: leaves out one part of n, then of 2n, until no single one can be left out. */
export function fewest<T>(list: readonly T[], fails: (fewer: readonly T[]) => boolean): readonly T[] {
  let left = list;
  let parts = 1;
  while (left.length > 0) {
    const size = Math.ceil(left.length / parts);
    let found = false;
    for (let from = 0; from < left.length && !found; from += size) {
      const fewer = [...left.slice(0, from), ...left.slice(from + size)];
      if (!fails(fewer)) continue;
      left = fewer;
      parts = Math.max(1, parts - 1);
      found = true;
    }
    if (found) continue;
    if (size === 1) break;
    parts = Math.min(left.length, parts * 2);
  }
  return left;
}

const withFewerPeers: Pass = (scenario, fails) => {
  let smallest = scenario;
  for (let host = scenario.peers - 1; host >= 0 && smallest.peers > 1; host--) {
    const smaller = withoutHost(smallest, host);
    if (fails(smaller)) smallest = smaller;
  }
  return smallest;
};

/** Hosts above it move down by one. */
function withoutHost(scenario: Scenario, host: Host): Scenario {
  const moved = (other: Host): Host => (other > host ? other - 1 : other);
  const isFree = (hosts: readonly Host[]): boolean => !hosts.includes(host);
  const faults = scenario.faults.flatMap((fault): Fault[] => {
    if (fault.kind === 'partition') {
      const side = fault.side.filter((other) => other !== host).map(moved);
      return side.length > 0 ? [{ ...fault, side }] : [];
    }
    if (!isFree(hostsOf(fault))) return [];
    return ['oneWay', 'holdBack'].includes(fault.kind)
      ? [{ ...(fault as Extract<Fault, { kind: 'oneWay' | 'holdBack' }>), from: moved((fault as { from: Host }).from), to: moved((fault as { to: Host }).to) }]
      : [{ ...(fault as Exclude<Fault, { kind: 'partition' | 'oneWay' | 'holdBack' }>), host: moved((fault as { host: Host }).host) }];
  });
  const workload = scenario.workload.filter((step) => isFree(hostsOfStep(step))).map((step): Step => {
    const at = { ...step, host: moved(step.host) };
    if (at.kind === 'join') return { ...at, whose: moved(at.whose) };
    return at.kind === 'forget' ? { ...at, whom: moved(at.whom) } : at;
  });
  return { ...scenario, peers: scenario.peers - 1, faults, workload };
}

/** It heals when the last thing has happened, or a little later. */
const withoutTheEnd: Pass = (scenario, fails) => {
  const last = Math.max(0, ...scenario.faults.map(({ at }) => at), ...scenario.workload.map(({ at }) => at));
  for (const seconds of [Math.ceil(last / 1_000), Math.ceil(last / 1_000) + 2, Math.ceil(last / 1_000) + 5]) {
    const shorter = { ...scenario, seconds };
    if (seconds < scenario.seconds && fails(shorter)) return shorter;
  }
  return scenario;
};

const onCalmerNetwork: Pass = (scenario, fails) => {
  let calmest = scenario;
  const calms: readonly Partial<NetworkModel>[] = [{ loss: 0 }, { bursts: null }, { duplicates: 0 }, { late: 0, lateMs: 0 }, { leastMs: CALM.leastMs, mostMs: CALM.mostMs }, { wire: null }];
  for (const calm of calms) {
    const network = { ...calmest.network, ...calm };
    if (JSON.stringify(network) === JSON.stringify(calmest.network)) continue;
    const calmer = { ...calmest, network };
    if (fails(calmer)) calmest = calmer;
  }
  return calmest;
};

/** A partition of three seconds tells more than one of thirty. */
const withMilderFaults: Pass = (scenario, fails) => {
  let mildest = scenario;
  for (const [i, fault] of scenario.faults.entries()) {
    for (const name of ['forMs', 'restartMs', 'batches', 'count'] as const) {
      const amount = (fault as { readonly [key in typeof name]?: number | null })[name];
      if (typeof amount !== 'number' || amount <= 1) continue;
      const milder = { ...mildest.faults[i], [name]: Math.floor(amount / 4) + 1 } as Fault;
      const tried = { ...mildest, faults: mildest.faults.map((other, j) => (j === i ? milder : other)) };
      if (fails(tried)) mildest = tried;
    }
  }
  return mildest;
};
