// How fast the simulator is: events a second of its bare scheduler and network, and how many times faster than real time twenty
// real membership machines beat through it, and twenty whole replicating peers that people use. What a campaign of a night can find depends on it.
//   node build/bench/simulator.js
import { type Beat, createMembership, type Effect, type Input, step, type Timer } from '../discovery/membership.ts';
import type { BootId, PeerId } from '../lib/ids.ts';
import { Network, CALM, type NetworkModel } from '../test/sim/network.ts';
import type { Host, SimEnv, SimInput, SimPeer } from '../test/sim/peer.ts';
import { explore } from '../test/sim/exhaustive.ts';
import { replicationSubject } from '../test/sim/invariants.ts';
import { Scheduler } from '../test/sim/scheduler.ts';
import { type Outcome, simulate, type Subject } from '../test/sim/world.ts';

const seconds = (run: () => void): number => {
  const startedAt = performance.now();
  run();
  return (performance.now() - startedAt) / 1_000;
};

function bareScheduler(): void {
  const scheduler = new Scheduler();
  const again = (): void => void scheduler.after(1 + (scheduler.happened % 97), again);
  for (let i = 0; i < 1_000; i++) again();
  const took = seconds(() => scheduler.runTo(100_000));
  console.log(`scheduler alone, 1,000 under way: ${Math.round(scheduler.happened / took).toLocaleString('en')} events a second`);
}

function bareNetwork(): void {
  const scheduler = new Scheduler();
  let delivered = 0;
  const deliver = (): void => void (delivered += 1);
  const network = new Network({ scheduler, seed: 1, hosts: 20, model: { ...CALM, loss: 0.1 }, deliver, isUp: () => true, captures: false, trace: null, show: String });
  const sender = (from: Host): void => {
    network.datagrams.multicast(from, 'beat', 100);
    scheduler.after(10, () => sender(from));
  };
  for (let host = 0; host < 20; host++) sender(host);
  const took = seconds(() => scheduler.runTo(20_000));
  console.log(`scheduler and network, 20 hosts: ${Math.round(delivered / took).toLocaleString('en')} datagrams a second`);
}

interface Said {
  readonly identity: PeerId;
  readonly bootId: BootId;
  readonly beat: Beat | null;
}

/** The real machine, without seals and codec. */
class BeatingPeer implements SimPeer {
  readonly #env: SimEnv;
  readonly #state;
  readonly #bootId: BootId;
  readonly #timers = new Map<string, Timer>();
  readonly #hosts = new Map<PeerId, Host>();

  constructor(env: SimEnv) {
    this.#env = env;
    this.#state = createMembership({ self: env.identity, random: env.random });
    this.#bootId = `${env.identity}/${env.random()}` as BootId;
  }

  input(input: SimInput): void {
    const now = this.#env.now();
    if (input.kind === 'started') this.#step({ kind: 'started', now });
    if (input.kind === 'expired') this.#step({ kind: 'expired', timer: this.#timers.get(input.timer) as Timer, now });
    if (input.kind !== 'datagram') return;
    const { identity, bootId, beat } = input.content as Said;
    this.#hosts.set(identity, input.from);
    this.#step({ kind: 'heard', peer: identity, bootId, via: input.via, ...(beat && { beat }), now });
  }

  #step(input: Input): void {
    for (const effect of step(this.#state, input)) this.#carryOut(effect);
  }

  #carryOut(effect: Effect): void {
    const env = this.#env;
    const said = (beat: Beat | null): Said => ({ identity: env.identity, bootId: this.#bootId, beat });
    switch (effect.kind) {
      case 'arm': {
        const name = effect.timer.kind === 'beat' ? 'beat' : effect.timer.peer;
        this.#timers.set(name, effect.timer);
        return env.arm(name, effect.ms);
      }
      case 'beat':
        return env.multicast(said(effect), 141);
      case 'beatTo':
        return env.send(this.#hosts.get(effect.peer) as Host, said(effect), 141);
      case 'probe':
        return env.send(this.#hosts.get(effect.peer) as Host, said(null), 60);
      case 'changed':
        return;
    }
  }
}

function beating(peers: number, virtualSeconds: number, network: NetworkModel): void {
  const subject: Subject<BeatingPeer> = { make: (env) => new BeatingPeer(env), invariants: () => [], healMs: 0, stableMs: 0, quietMs: 0, show: String };
  const scenario = { name: 'beating', peers, seconds: virtualSeconds, network, disk: { leastMs: 1, mostMs: 1, syncless: false }, faults: [], workload: [] };
  let happened = 0;
  const took = seconds(() => {
    happened = simulate(subject, scenario, { seed: 1 }).happened;
  });
  const rate = Math.round(happened / took).toLocaleString('en');
  console.log(`${peers} membership machines, loss ${network.loss}: ${Math.round(virtualSeconds / took)} times real time, ${rate} events a second, ${Math.round(happened / virtualSeconds)} a virtual second`);
}

/** Whole peers with the invariants of every campaign, of whom somebody writes twice a second. */
function replicating(peers: number, virtualSeconds: number, network: NetworkModel): void {
  const workload = Array.from({ length: 2 * virtualSeconds }, (_, i) => ({ at: 5_000 + i * 500, host: i % peers, kind: 'write' as const, key: `star/s${i % 50}`, value: String(i) }));
  const scenario = { name: 'replicating', peers, seconds: virtualSeconds, network, disk: { leastMs: 1, mostMs: 5, syncless: false }, faults: [], workload };
  let outcome: Outcome | undefined;
  const took = seconds(() => {
    outcome = simulate(replicationSubject(), scenario, { seed: 1 });
  });
  const { virtualMs, happened, violation } = outcome as Outcome;
  if (violation) throw new Error(violation.message);
  console.log(`${peers} replicating peers, loss ${network.loss}: ${Math.round(virtualMs / 1_000 / took)} times real time, ${Math.round(happened / took).toLocaleString('en')} events a second; goal 500 times`);
}

function searching(): void {
  // all ways to fill a grid from its corner: states with many ways to each
  const side = 600;
  const model = {
    initial: [0, 0] as readonly [number, number],
    actions: ([x, y]: readonly [number, number]) => [...(x < side ? ['x'] : []), ...(y < side ? ['y'] : [])],
    apply: ([x, y]: readonly [number, number], action: string): readonly [number, number] => (action === 'x' ? [x + 1, y] : [x, y + 1]),
    fingerprint: ([x, y]: readonly [number, number]) => `{"state":{"x":${x},"y":${y}},"padding":"as long as a small world is"}`,
    check: () => null,
    show: String,
  };
  let states = 0;
  const took = seconds(() => {
    states = explore(model, { statesMax: 1e7 }).states;
  });
  console.log(`search of all schedules: ${Math.round(states / took).toLocaleString('en')} states a second`);
}

bareScheduler();
bareNetwork();
for (const loss of [0, 0.1, 0.3]) beating(20, 1_000, { ...CALM, loss });
beating(200, 20, { ...CALM, loss: 0.1 });
for (const loss of [0, 0.1]) replicating(20, 200, { ...CALM, loss });
searching();
