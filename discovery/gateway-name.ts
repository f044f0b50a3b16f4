// The driver of lan-name.ts: carries the name of our network's gateway between that machine and the wire.
import { EventEmitter } from 'node:events';
import type { RemoteInfo } from 'node:dgram';
import type { MulticastDNS, QueryPacket, ResponsePacket } from 'multicast-dns';
import type { Millis } from '../lib/time.ts';
import { HostName } from './host-name.ts';
import type { Interface } from './interfaces.ts';
import { CLAIM_KEPT_MS, createState, type Effect, type Input, type Named, nameHeard, namesToAsk, type State, step, type Timer } from './lan-name.ts';

export interface GatewayNameOptions {
  readonly mdns: MulticastDNS;
  readonly port: number;
  readonly interfaces: readonly Interface[];
  readonly network: string;
  /** Whether an address is known as a member's of this network, living or dead. */
  readonly isMember: (address: string) => boolean;
}

/** Before a peer can become coordinator, at 1.5 s, it has asked three times: at 30% loss each way it has missed every answer
 *  once in 7 starts (0.51 to the third), and then finds out by the conflict. */
const NAME_ASK_AFTER_MS: readonly Millis[] = [0, 250, 600];

type Untimed<T> = T extends { readonly now: Millis } ? Omit<T, 'now'> : never;

export class GatewayName extends EventEmitter<{ named: [Named] }> {
  readonly #mdns: MulticastDNS;
  readonly #host: HostName;
  readonly #state: State;
  readonly #timers = new Map<Timer, NodeJS.Timeout>();
  #interfaces: readonly Interface[];
  /** Addresses that this machine had, and until when: the own one goes with a pulled cable, and comes back with it. */
  readonly #mineUntil = new Map<string, Millis>();
  #asking: NodeJS.Timeout | undefined;
  #lastAskedAt: Millis = Number.NEGATIVE_INFINITY;
  #dropped: (() => void)[] = [];

  constructor({ mdns, port, interfaces, network, isMember }: GatewayNameOptions) {
    super();
    this.#mdns = mdns;
    this.#interfaces = interfaces;
    this.#host = new HostName({ mdns, port, interfaces });
    // an address that this machine had a moment ago is nobody else's yet, and its own claims for it are still remembered
    const wasMine = (address: string): boolean => performance.now() - (this.#mineUntil.get(address) ?? Number.NEGATIVE_INFINITY) <= CLAIM_KEPT_MS;
    const isMine = (address: string): boolean => this.#interfaces.some((own) => own.address === address) || wasMine(address);
    this.#state = createState({ network, whose: (address) => (isMine(address) ? 'mine' : isMember(address) ? 'ours' : 'foreign') });
    mdns.on('response', this.#heardResponse);
    mdns.on('query', this.#heardQuery);
    this.ask();
  }

  /** What our network's gateway is called now, by itself or as heard; undefined when nothing was heard of one lately. */
  get heard(): string | undefined {
    return nameHeard(this.#state, performance.now());
  }

  /** When this peer becomes gateway; a repetition does nothing. */
  hold(): void {
    this.#feed({ kind: 'hold' });
  }

  /** When it is gateway no more. The name is answered for until the successor is heard, or for 2 s.
   *  @returns when it is withdrawn */
  drop(): Promise<void> {
    this.#feed({ kind: 'drop' });
    return new Promise((resolve) => {
      this.#dropped.push(resolve);
      this.#settle();
    });
  }

  setInterfaces(interfaces: readonly Interface[]): void {
    for (const { address } of this.#interfaces) this.#mineUntil.set(address, performance.now());
    this.#interfaces = interfaces;
    // whom its successor may have replaced meanwhile does not draw people back to itself
    this.#host.setInterfaces(interfaces, { announces: !this.#state.leaving });
    this.ask();
  }

  /** Who has which name? Answers are multicast, so one question is for everybody. */
  ask(round = 0): void {
    clearTimeout(this.#asking);
    this.#ask(namesToAsk(this.#state));
    const [now, next] = [NAME_ASK_AFTER_MS[round] as Millis, NAME_ASK_AFTER_MS[round + 1]];
    if (next !== undefined) this.#asking = setTimeout(() => this.ask(round + 1), next - now).unref();
  }

  /** Asks once, unless somebody has within that time. */
  askUnlessAsked(withinMs: Millis): void {
    if (performance.now() - this.#lastAskedAt > withinMs) this.#ask(namesToAsk(this.#state));
  }

  /** Withdraws the name at once. @returns when the goodbye is sent */
  async stop(): Promise<void> {
    clearTimeout(this.#asking);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#mdns.off('response', this.#heardResponse);
    this.#mdns.off('query', this.#heardQuery);
    const released = this.#host.release();
    this.#state.held = undefined;
    this.#settle();
    await released;
  }

  #ask(names: readonly string[]): void {
    this.#mdns.query(names.map((name) => ({ name, type: 'A' })));
  }

  readonly #heardQuery = ({ questions }: QueryPacket): void => {
    if (questions.some(({ type, name }) => type === 'A' && name.toLowerCase() === this.#state.names[0])) this.#lastAskedAt = performance.now();
  };

  readonly #heardResponse = ({ answers, additionals }: ResponsePacket, from: RemoteInfo): void => {
    const records = [...answers, ...additionals].flatMap((record) =>
      record.type === 'A' && this.#state.claims.has(record.name.toLowerCase())
        ? [{ name: record.name.toLowerCase(), address: record.data, ttlMs: (record.ttl ?? 0) * 1_000 }]
        : [],
    );
    if (records.length > 0) this.#feed({ kind: 'heard', records, mine: this.#addressTowards(from.address) });
  };

  #addressTowards(address: string): string | undefined {
    return this.#interfaces.find((own) => own.address === address || isOnLink(own, address))?.address;
  }

  #feed(input: Untimed<Input>): void {
    for (const effect of step(this.#state, { ...input, now: performance.now() } as Input)) this.#carryOut(effect);
    this.#settle();
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'ask':
        return this.#ask(effect.names);
      case 'claim':
        return this.#host.claim(effect);
      case 'announce':
        return this.#host.announce();
      case 'rescue':
        return this.#host.rescue();
      case 'release':
        void this.#host.release();
        return;
      case 'named':
        this.emit('named', effect.named);
        return;
      case 'arm':
        clearTimeout(this.#timers.get(effect.timer));
        this.#timers.set(effect.timer, setTimeout(() => this.#feed({ kind: 'expired', timer: effect.timer }), effect.ms).unref());
        return;
    }
  }

  /** Tells those who wait for the name to be withdrawn; also when it is held again instead. */
  #settle(): void {
    if (this.#state.leaving && this.#state.held !== undefined) return;
    for (const resolve of this.#dropped.splice(0)) resolve();
  }
}

function isOnLink({ address, netmask }: Interface, other: string): boolean {
  const numberOf = (text: string): number => text.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
  const mask = numberOf(netmask);
  return (numberOf(address) & mask) === (numberOf(other) & mask);
}
