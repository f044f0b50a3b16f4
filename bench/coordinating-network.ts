// A network of simulated peers that coordinate, for measuring how long it is without a coordinator or without a role: it starts them,
// ends one, cuts one off, and looks at all of them as often as it is asked to.
import { encodeMessage, type Message } from '../lib/messages.ts';
import type { EpochId, NetworkId } from '../lib/ids.ts';
import { ROLES, type Role } from '../lib/roles.ts';
import { SEAL_BYTES } from '../lib/seal.ts';
import type { Millis } from '../lib/time.ts';
import { chance } from '../test/sim/chance.ts';
import { CoordinatingPeer, type CoordinationFact } from '../test/sim/coordinating-peer.ts';
import type { Machine } from '../test/sim/host.ts';
import type { Letter } from '../test/sim/letters.ts';
import type { NetworkModel } from '../test/sim/network.ts';
import type { Host } from '../test/sim/peer.ts';
import { type Subject, World } from '../test/sim/world.ts';

/** What a synced write takes on a disk of today. */
const DISK = { leastMs: 1, mostMs: 5, syncless: false } as const;
const GIVE_UP_MS: Millis = 120_000;

type Member = Machine<CoordinatingPeer>;

export interface CoordinatingNetworkOptions {
  readonly peers: number;
  readonly model: NetworkModel;
  readonly seed: number;
  /** They are switched on within so long. */
  readonly startMs: Millis;
  readonly told?: (fact: CoordinationFact, machine: Member) => void;
  /** A datagram goes out, of so many bytes with its seal. */
  readonly said?: (host: Host, message: Message, bytes: number) => void;
}

/** A beat of a simulated peer lacks what replication says in it. */
const asReal = (message: Message): Message =>
  message.kind === 'beat' ? { ...message, port: 47_474, lamport: 1_000_000, head: { epoch: '1'.repeat(16) as EpochId, seq: 10_000 }, network: '1'.repeat(32) as NetworkId, user: true } : message;

export class CoordinatingNetwork {
  readonly world: World<CoordinatingPeer>;
  /** Cut off from all others. */
  readonly #away = new Map<Host, () => void>();

  constructor({ peers, model, seed, startMs, told, said }: CoordinatingNetworkOptions) {
    const tells = (host: Host, content: unknown): void => {
      const { message } = content as Letter;
      said?.(host, message, encodeMessage(asReal(message)).byteLength + SEAL_BYTES);
    };
    const subject: Subject<CoordinatingPeer> = {
      make: (env) => {
        if (!said) return new CoordinatingPeer(env, ROLES);
        const multicast = (content: unknown, bytes: number): void => {
          tells(env.host, content);
          env.multicast(content, bytes);
        };
        const send = (to: Host, content: unknown, bytes: number): void => {
          tells(env.host, content);
          env.send(to, content, bytes);
        };
        return new CoordinatingPeer({ ...env, multicast, send }, ROLES);
      },
      invariants: () => [
        {
          name: 'listens',
          told: (machine, fact) => {
            told?.(fact as CoordinationFact, machine);
            return null;
          },
        },
      ],
      healMs: 0,
      stableMs: 0,
      quietMs: 0,
      show: String,
    };
    this.world = new World(subject, { name: 'coordinating', peers, seconds: 0, network: model, disk: DISK, faults: [], workload: [] }, { seed });
    for (let host = 0; host < peers; host++) {
      const machine = this.world.add();
      this.world.scheduler.at(chance(seed, `on/${host}`)() * startMs, () => machine.start());
    }
  }

  get now(): Millis {
    return this.world.scheduler.now;
  }

  /** Those that run and are not cut off. */
  get present(): Member[] {
    return this.world.running.filter(({ host }) => !this.#away.has(host));
  }

  /** Those present that hold themselves for the coordinator. */
  get coordinators(): Member[] {
    return this.present.filter(({ peer }) => peer?.coordination.isCoordinator);
  }

  /** All present follow one of them, in one term. */
  get isAgreed(): boolean {
    const [only, ...more] = this.coordinators;
    if (only?.peer == null || more.length > 0) return false;
    const { self, coordination } = only.peer;
    return this.present.every(({ peer }) => peer?.coordination.coordinator === self && peer.coordination.term === coordination.term);
  }

  /** Is each role held by one who is present, and follows a coordinator that is? */
  get isServed(): boolean {
    const coordinators = new Set(this.coordinators.map(({ peer }) => peer?.self));
    return ROLES.every((role) => this.holder(role, (peer) => coordinators.has(peer.coordination.coordinator ?? undefined)) !== undefined);
  }

  holder(role: Role, isRight: (peer: CoordinatingPeer) => boolean = () => true): Member | undefined {
    return this.present.find(({ peer }) => peer !== null && peer.coordination.holds(role, this.now) && isRight(peer));
  }

  /** Its process ends: whoever dials it is refused. */
  kill(machine: Member): void {
    machine.kill('dies');
    machine.disk.crash();
  }

  /** Its cable is pulled. */
  cutOff(machine: Member): void {
    const { network } = this.world;
    this.#away.set(machine.host, network.cut(network.paths.around([machine.host])));
  }

  bringBack(machine: Member): void {
    this.#away.get(machine.host)?.();
    this.#away.delete(machine.host);
    machine.start();
  }

  /** @returns what heals it */
  part(side: readonly Host[]): () => void {
    const { network } = this.world;
    return network.cut(network.paths.around(side));
  }

  runFor(ms: Millis): void {
    const at = this.now + ms;
    this.world.scheduler.runTo(at);
    if (this.now < at) throw new Error(`a simulated peer has failed after ${Math.round(this.now)} ms`);
  }

  /** @returns how long it took. @throws Error when it never becomes so */
  runUntil(isSo: () => boolean, what: string, everyMs: Millis = 1): Millis {
    const from = this.now;
    while (!isSo()) {
      if (this.now >= from + GIVE_UP_MS) throw new Error(`after ${GIVE_UP_MS} ms it was still not so that ${what}`);
      this.runFor(everyMs);
    }
    return this.now - from;
  }

  /** One coordinator, all roles served, and nothing else for a while. */
  runUntilCalm(calmMs: Millis): void {
    let since = this.now;
    while (this.now < since + calmMs) {
      this.runFor(100);
      if (!this.isAgreed || !this.isServed || this.present.some(({ peer }) => peer?.coordination.isLone)) since = this.now;
      if (this.now > GIVE_UP_MS && this.now - since > GIVE_UP_MS) throw new Error('it never comes to rest');
    }
  }
}
