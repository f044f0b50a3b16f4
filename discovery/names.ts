// Names (DNS-SD): publishes this peer where avahi-browse, dns-sd and zeroconf look, and finds others there. For naming
// and for the first contact, never for liveness: DNS-SD remembers the dead for hours and a goodbye can be forged. So
// what is found is a candidate to dial, and what is withdrawn is a hint to verify.
import { EventEmitter } from 'node:events';
import Bonjour from 'bonjour-service';
import type { QueryPacket, ResponsePacket } from 'multicast-dns';
import type { RemoteInfo } from 'node:dgram';
import { messageOf } from '../lib/errors.ts';
import type { PeerId } from '../lib/ids.ts';
import { INSTANCES_MAX } from '../lib/limits.ts';
import type { Role } from '../lib/roles.ts';
import type { Millis } from '../lib/time.ts';
import { GatewayName } from './gateway-name.ts';
import { type Candidate, candidateOf, type Instance, instanceOf, PeerService, SERVICE_NAME, SERVICE_TYPE } from './instance.ts';
import type { Interface } from './interfaces.ts';
import type { Named } from './lan-name.ts';
import { MDNS_PORT, MdnsSocket } from './mdns-socket.ts';
import type { TrafficCounters, Udp } from './multicast-socket.ts';
import { type RecordServer, RoleRecords } from './role-records.ts';

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
  readonly server: RecordServer;
  readonly registry: {
    announce(server: unknown, service: PeerService): void;
    teardown(server: unknown, service: PeerService, done: () => void): void;
  };
}

export interface NamesEvents {
  candidate: [Candidate];
  down: [PeerId];
  /** The gateway here has a name, another one, or none any more. */
  gatewayName: [Named];
}

export class Names extends EventEmitter<NamesEvents> {
  readonly #socket: MdnsSocket;
  readonly #port: number;
  readonly #bonjour: Bonjour;
  readonly #inside: Inside;
  readonly #roles: RoleRecords;
  #gateway: GatewayName | undefined;
  #interfaces: readonly Interface[];
  #instance: Instance | undefined;
  #service: PeerService | undefined;
  #browser: Bonjour.Browser | undefined;
  #asking: NodeJS.Timeout | undefined;
  #lastAskedAt: Millis = Number.NEGATIVE_INFINITY;

  constructor({ interfaces, port, udp }: NamesOptions) {
    super();
    this.#interfaces = interfaces;
    this.#port = port ?? MDNS_PORT;
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
    this.#roles = new RoleRecords(this.#inside.server);
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
    this.#roles.setInstance(this.#service.fqdn);
  }

  /** The roles that this peer holds now: each is a subtype that leads to its instance, once that is published. */
  setRoles(roles: readonly Role[]): void {
    this.#roles.set(roles);
  }

  /** Listens for the name of the network's gateway from now on. To be called once, when a session starts: what is known after
   *  some 600 ms is what a gateway's name is chosen by.
   *  @param isMember whether an address is known as that of a member of this network, also of a dead one */
  watchGateway(options: { readonly network: string; readonly isMember: (address: string) => boolean }): void {
    const { mdns } = this.#inside.server;
    this.#gateway = new GatewayName({ mdns, port: this.#port, interfaces: this.#interfaces, ...options });
    this.#gateway.on('named', (named) => this.emit('gatewayName', named));
  }

  /** This peer is gateway: claims the name, or the next numbered one that is free. Event `gatewayName` says which. */
  holdGateway(): void {
    this.#gateway?.hold();
  }

  /** It is no more: keeps the name until the successor is heard, 2 s at most, then withdraws it.
   *  @returns when it is withdrawn; a peer that leaves serves until then, and nobody notices */
  async dropGateway(): Promise<void> {
    await this.#gateway?.drop();
  }

  /** The name that our network's gateway has, for people: 'spotify-peer.local'. undefined when none was heard of lately. */
  get gatewayNameHeard(): string | undefined {
    return this.#gateway?.heard;
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
    this.#gateway?.setInterfaces(interfaces);
    if (this.#browser !== undefined) this.browse();
  }

  /** Withdraws name, roles and instance with goodbyes, and closes. */
  async stop(): Promise<void> {
    clearTimeout(this.#asking);
    await Promise.all([this.#gateway?.stop(), this.#roles.stop()]);
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
    if (isRegular) this.#gateway?.askUnlessAsked(ASK_EVERY_MS / 2);
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
