// Names (DNS-SD): publishes this peer where avahi-browse, dns-sd and zeroconf look, and finds others there. For naming
// and for the first contact, never for liveness: DNS-SD remembers the dead for hours and a goodbye can be forged. So
// what is found is a candidate to dial, and what is withdrawn is a hint to verify.
import { EventEmitter } from 'node:events';
import Bonjour from 'bonjour-service';
import type { MulticastDNS, QueryPacket, ResponsePacket } from 'multicast-dns';
import type { RemoteInfo } from 'node:dgram';
import { messageOf } from '../lib/errors.ts';
import type { PeerId } from '../lib/ids.ts';
import { INSTANCES_MAX } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';
import { type Candidate, candidateOf, type Instance, instanceOf, PeerService, SERVICE_NAME, SERVICE_TYPE } from './instance.ts';
import type { Interface } from './interfaces.ts';
import { MdnsSocket } from './mdns-socket.ts';
import type { TrafficCounters, Udp } from './multicast-socket.ts';

export interface NamesOptions {
  readonly interfaces: readonly Interface[];
  /** 5353, but for tests. */
  readonly port?: number;
  readonly udp?: Udp;
}

/** A browser asks once by itself. With these, five peers find each other within 1.4 s at 30% loss. */
const ASK_AFTER_MS: readonly Millis[] = [0, 1_000, 3_000, 9_000];
const ASK_EVERY_MS: Millis = 60_000;

/** The inside of bonjour-service 1.4 that has no public door: its `publish` would freeze the machine's addresses. */
interface Inside {
  readonly server: { readonly mdns: MulticastDNS; unregister(records: ReturnType<PeerService['records']>): void };
  readonly registry: {
    announce(server: unknown, service: PeerService): void;
    teardown(server: unknown, service: PeerService, done: () => void): void;
  };
}

export class Names extends EventEmitter<{ candidate: [Candidate]; down: [PeerId] }> {
  readonly #socket: MdnsSocket;
  readonly #bonjour: Bonjour;
  readonly #inside: Inside;
  #interfaces: readonly Interface[];
  #instance: Instance | undefined;
  #service: PeerService | undefined;
  #browser: Bonjour.Browser | undefined;
  #asking: NodeJS.Timeout | undefined;
  #lastAskedAt: Millis = Number.NEGATIVE_INFINITY;

  constructor({ interfaces, port, udp }: NamesOptions) {
    super();
    this.#interfaces = interfaces;
    this.#socket = new MdnsSocket({ interfaces, ...(port !== undefined && { port }), ...(udp && { udp }) });
    const failed = (error: unknown): void => {
      this.counters.errors += 1;
      this.counters.lastError = messageOf(error);
    };
    // Without these two a lost route ends the process: the default callback throws, and so does an unheard 'error'.
    const options = { socket: this.#socket.asSocket(), ...(port !== undefined && { port }) } as object;
    this.#bonjour = new Bonjour(options, failed);
    this.#inside = this.#bonjour as unknown as Inside;
    this.#inside.server.mdns.on('error', failed);
    this.#inside.server.mdns.on('warning', failed);
    this.#inside.server.mdns.on('query', (query) => this.#heardQuery(query));
  }

  get counters(): TrafficCounters {
    return this.#socket.counters;
  }

  get ready(): Promise<void> {
    return this.#socket.ready;
  }

  /** Announces the instance, in place of the one before it. There is no probing: the name holds the peer's id, and a
   *  probing publisher that loses a conflict sends a goodbye for the winner's record. */
  publish(instance: Instance): void {
    const { server, registry } = this.#inside;
    this.#instance = instance;
    if (this.#service !== undefined) {
      this.#service.destroyed = true; // ends its announcements
      server.unregister(this.#service.records());
    }
    this.#service = new PeerService(instance, this.#interfaces.map(({ address }) => address));
    this.#service.activated = true;
    registry.announce(server, this.#service);
  }

  /** Looks for peers from now on. */
  browse(): void {
    clearTimeout(this.#asking);
    this.#ask(0);
  }

  /** To be called when they changed: records are frozen when published, and what was found may have moved. */
  setInterfaces(interfaces: readonly Interface[]): void {
    this.#interfaces = interfaces;
    this.#socket.setInterfaces(interfaces);
    if (this.#instance !== undefined) this.publish(this.#instance);
    if (this.#browser !== undefined) this.browse();
  }

  /** Withdraws the instance with a goodbye, and closes. */
  async stop(): Promise<void> {
    clearTimeout(this.#asking);
    this.#browser?.stop();
    const service = this.#service;
    if (service !== undefined) {
      await new Promise<void>((resolve) => this.#inside.registry.teardown(this.#inside.server, service, resolve));
    }
    await new Promise<void>((resolve) => this.#bonjour.destroy(resolve));
  }

  /** Every question gets a new browser, since one forgets no instance and overlooks that a known one has moved. */
  #ask(round: number): void {
    const isRegular = round >= ASK_AFTER_MS.length;
    // Answers are multicast, so whoever asked, everybody has heard them (RFC 6762, 7.3): otherwise 200 peers would
    // cause 667 answers a second.
    if (!isRegular || performance.now() - this.#lastAskedAt > ASK_EVERY_MS / 2) this.#renewBrowser();
    const now = ASK_AFTER_MS[round];
    const next = ASK_AFTER_MS[round + 1];
    const waitMs = now === undefined || next === undefined ? ASK_EVERY_MS * (0.75 + Math.random() / 2) : next - now;
    this.#asking = setTimeout(() => this.#ask(round + 1), waitMs).unref();
  }

  #renewBrowser(): void {
    const { mdns } = this.#inside.server;
    this.#browser?.stop();
    const browser = this.#bonjour.find({ type: SERVICE_TYPE });
    this.#browser = browser;
    browser.on('down', (service) => {
      const gone = instanceOf(service);
      if (gone !== undefined && gone.peer !== this.#instance?.peer) this.emit('down', gone.peer);
    });
    // After the browser's own listener, so that it has read the packet already.
    mdns.removeListener('response', this.#heardResponse);
    mdns.on('response', this.#heardResponse);
  }

  /** Not the browser's 'up': that comes once per instance, even when the peer answers from a new address. */
  readonly #heardResponse = (packet: ResponsePacket, from: RemoteInfo): void => {
    const browser = this.#browser;
    if (browser === undefined) return;
    const records = [...packet.answers, ...packet.additionals];
    for (const record of records) {
      if (record.type !== 'SRV' || record.ttl === 0) continue;
      const service = browser.services.find(({ fqdn }) => fqdn === record.name);
      const instance = service && instanceOf(service);
      if (instance === undefined || instance.peer === this.#instance?.peer) continue;
      const announced = records.flatMap((other) => (other.type === 'A' && other.name === service?.host ? [other.data] : []));
      this.emit('candidate', candidateOf(instance, from.address, announced));
    }
    if (browser.services.length > INSTANCES_MAX) this.#renewBrowser();
  };

  #heardQuery(query: QueryPacket): void {
    if (query.questions.some(({ type, name }) => type === 'PTR' && name === SERVICE_NAME)) this.#lastAskedAt = performance.now();
  }
}
