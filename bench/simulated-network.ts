// A network of whole simulated peers without faults, for measuring how quickly changes spread in it: it starts them, waits until
// they know each other and are quiet, and tells who holds what was written, and when.
import type { Millis } from '../lib/time.ts';
import { type Fact, REAL, ReplicatingPeer } from '../test/sim/replicating-peer.ts';
import type { NetworkModel } from '../test/sim/network.ts';
import type { Host } from '../test/sim/peer.ts';
import { type Subject, World } from '../test/sim/world.ts';

/** What a synced write takes on a disk of today. */
const DISK = { leastMs: 1, mostMs: 5, syncless: false } as const;
const LOOK_EVERY_MS: Millis = 250;
/** When a network of 200 at 30% loss has not come to rest by then, it never will. */
const GIVE_UP_MS: Millis = 600_000;

export interface SimulatedNetworkOptions {
  readonly peers: number;
  readonly model: NetworkModel;
  readonly seed: number;
  /** Somebody holds this operation on its disk now, its writer included. */
  readonly holds?: (key: string, host: Host, now: Millis) => void;
  /** An operation is multicast. */
  readonly said?: (key: string) => void;
}

export class SimulatedNetwork {
  readonly world: World<ReplicatingPeer>;

  constructor({ peers, model, seed, holds, said }: SimulatedNetworkOptions) {
    const subject: Subject<ReplicatingPeer> = {
      make: (env) => new ReplicatingPeer(env, REAL),
      invariants: () => [
        {
          name: 'listens',
          told: ({ host }, told, { scheduler }) => {
            const fact = told as Fact;
            if (fact.kind === 'changed') for (const { after } of fact.changes) holds?.(after.key, host, scheduler.now);
            if (fact.kind === 'multicast') for (const { key } of fact.operations) said?.(key);
            return null;
          },
        },
      ],
      healMs: 0,
      stableMs: 0,
      quietMs: 0,
      show: String,
    };
    const scenario = { name: 'quiet', peers, seconds: 0, network: model, disk: DISK, faults: [], workload: [] };
    this.world = new World(subject, scenario, { seed });
    for (let host = 0; host < peers; host++) {
      const machine = this.world.add();
      this.world.scheduler.at((500 * host) / peers, () => machine.start());
    }
  }

  /** Everybody sees everybody, has one network, one state and nothing left to do. */
  get isQuiet(): boolean {
    const lives = this.world.running.map(({ peer }) => (peer as ReplicatingPeer).life);
    const [first] = lives;
    const { network, root } = first?.replication.ledger ?? { network: null, root: new Uint8Array() };
    return (
      network !== null &&
      lives.every(({ here, isResting, replication: { ledger } }) => ledger.network === network && Buffer.compare(ledger.root, root) === 0 && here.length === lives.length - 1 && isResting)
    );
  }

  get now(): Millis {
    return this.world.scheduler.now;
  }

  write(host: Host, key: string): void {
    this.world.machines[host]?.command({ kind: 'write', key, value: 'a small change' });
  }

  runFor(ms: Millis): void {
    this.#runTo(this.now + ms);
  }

  /** Lets the time pass until this is so. @throws Error when it never becomes so */
  runUntil(isSo: () => boolean, what: string, everyMs: Millis = LOOK_EVERY_MS): void {
    for (const deadline = this.now + GIVE_UP_MS; !isSo(); this.#runTo(this.now + everyMs)) {
      if (this.now >= deadline) throw new Error(`after ${GIVE_UP_MS} ms it was still not so that ${what}`);
    }
  }

  #runTo(at: Millis): void {
    const { scheduler } = this.world;
    scheduler.runTo(at);
    if (this.now < at) throw new Error(`a simulated peer has failed after ${Math.round(scheduler.now)} ms`);
  }
}
