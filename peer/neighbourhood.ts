// Who is here, and every way to them: membership with all that feeds it and that it decides about. Datagrams, streams, names and
// addresses that were heard of meet here, and nothing above knows by which of them a peer was found, lost or spoken to.
import { EventEmitter } from 'node:events';
import type { Address } from '../discovery/address.ts';
import { AddressBook } from '../discovery/address-book.ts';
import type { InterfaceWatcher } from '../discovery/interfaces.ts';
import type { Candidate } from '../discovery/instance.ts';
import { Names } from '../discovery/names.ts';
import type { Unicast } from '../discovery/unicast.ts';
import type { Pulse } from '../lib/coordination-messages.ts';
import type { Identity } from '../lib/identity.ts';
import type { BootId, PeerId } from '../lib/ids.ts';
import type { Keyring } from '../lib/keyring.ts';
import type { Log } from '../lib/log.ts';
import type { Beat } from '../lib/messages.ts';
import type { Random } from '../lib/random.ts';
import { eachStep } from '../lib/steps.ts';
import type { Clock, Millis } from '../lib/time.ts';
import { Datagrams, type Received } from './datagrams.ts';
import type { Known } from './known-peers.ts';
import { Links } from './links.ts';
import { type OtherVersionFacts, otherVersionFacts, OtherVersions, type Sight } from './other-versions.ts';
import { Paths } from './paths.ts';
import { type MemberChange, Presence, type Said } from './presence.ts';
import { SliceExchange } from './slices/exchange.ts';
import type { Connection, Handler } from './stream/connection.ts';
import { PROTOCOL_VERSION } from './stream/hello.ts';
import { Streams } from './stream/streams.ts';

export interface NeighbourhoodOptions {
  readonly identity: Identity;
  readonly bootId: BootId;
  readonly name: string;
  /** Of the network. */
  readonly networkName: string;
  readonly keys: Keyring;
  /** The port of `unicast`, for streams too. */
  readonly port: number;
  readonly httpPort: number;
  readonly group: Address;
  readonly join: readonly Address[];
  readonly advertise: readonly Address[];
  readonly interfaces: InterfaceWatcher;
  readonly unicast: Unicast;
  readonly known: Known;
  readonly beat: (said: Said) => Beat;
  readonly pulse: () => Pulse;
  readonly random: Random;
  readonly clock: Clock;
  readonly log: Log;
  readonly trouble: (what: string) => (error: unknown) => void;
}

/** A verified message that is not for membership alone, nor a part of a request by datagrams. */
export interface Heard {
  readonly peer: PeerId;
  readonly bootId: BootId;
  readonly message: Exclude<Received['message'], { readonly kind: 'goodbye' | 'ping' | 'relay' | 'relayed' | 'fetch' | 'slice' | 'refusal' }>;
}

export interface NeighbourhoodEvents {
  /** Membership has taken notice of it already. */
  message: [Heard];
  member: [MemberChange];
  /** There is a stream to it now, and it has said its name. */
  linked: [PeerId];
  /** Streams came or went: others can be asked than before. */
  reach: [];
  /** Another process lives with this machine's identity. */
  clone: [BootId];
}

export interface Neighbour {
  readonly peer: PeerId;
  readonly name: string;
  readonly state: 'alive' | 'suspect' | 'dead' | 'left';
  readonly address: Address | undefined;
  readonly lastHeardMs: Millis;
}

/** Said three times, because nobody asks again. */
const GOODBYES_MS: readonly Millis[] = [0, 25, 60];

export class Neighbourhood extends EventEmitter<NeighbourhoodEvents> {
  readonly presence: Presence;
  readonly datagrams: Datagrams;
  readonly links: Links;
  readonly names: Names;
  readonly paths: Paths;
  readonly #options: NeighbourhoodOptions;
  /** By method. */
  readonly #handlers = new Map<string, Handler>();
  readonly #streams: Streams;
  readonly #slices: SliceExchange;
  readonly #book: AddressBook;
  readonly #otherVersions = new OtherVersions();
  /** Members that have come and have not yet said their names, with the reason of their coming. */
  readonly #unnamed = new Map<PeerId, string>();
  #hasRecalled = false;

  constructor(options: NeighbourhoodOptions) {
    super();
    this.#options = options;
    const { identity, bootId, keys, name, port, httpPort, group, unicast, beat, pulse, random, clock, trouble } = options;
    const self = identity.peer;
    const { interfaces } = options.interfaces;
    const handlers = this.#handlers;
    const report = trouble('a request failed here');
    this.#streams = new Streams({ self: { identity, bootId, describe: () => ({ name, port, httpPort }) }, keys, handlers, report });
    this.#book = new AddressBook({ self, targets: options.join });
    this.datagrams = new Datagrams({ identity, bootId, keys, group, interfaces, unicast, clock });
    this.names = new Names({ interfaces });
    this.presence = new Presence({ self, random, clock, datagrams: this.datagrams, book: this.#book, beat, pulse, onChange: (change) => this.#memberChanged(change) });
    this.links = new Links({ self, streams: this.#streams, book: this.#book, clock, advertised: options.advertise, living: () => this.presence.living() });
    this.#slices = new SliceExchange({
      handlers,
      send: (message, to) => this.datagrams.unicast(message, to),
      addressOf: (peer) => this.presence.addressOf(peer),
      clock,
      report,
    });
    this.paths = new Paths({
      slices: this.#slices,
      bulkTo: (peer) => this.links.forChunks(peer),
      controlTo: (peer) => this.#streams.connectionTo(peer, 'control'),
      lives: (peer) => this.presence.lives(peer),
      now: () => clock.now(),
    });
    this.serve(this.links.handlers());
    this.#attach();
  }

  /** Others may ask this. */
  serve(handlers: ReadonlyMap<string, Handler>): void {
    for (const [method, handler] of handlers) this.#handlers.set(method, handler);
  }

  #attach(): void {
    const { identity: { peer: self }, interfaces, log } = this.#options;
    this.datagrams.on('message', (received) => this.#receive(received));
    this.datagrams.on('met', ({ peer, bootId, address }) => {
      this.#book.learn(peer, address, 'beat');
      this.presence.feed({ kind: 'heard', peer, bootId, via: 'unicast', address });
    });
    this.datagrams.on('clone', ({ peer, bootId }) => {
      if (peer === self) this.emit('clone', bootId);
      else log('clone', { peer });
    });
    this.datagrams.on('otherVersion', this.#seeOtherVersion);
    this.links.on('otherVersion', this.#seeOtherVersion);
    this.links.on('linked', (connection) => this.#linked(connection));
    this.links.on('unlinked', ({ connection: { hello }, refused }) => {
      this.presence.feed({ kind: 'closed', peer: hello.peer, bootId: hello.bootId, refused });
      this.emit('reach');
    });
    this.#streams.on('opened', () => {
      this.paths.opened();
      this.emit('reach');
    });
    this.#streams.on('closed', () => this.emit('reach'));
    this.names.on('candidate', (candidate) => this.#found(candidate));
    this.names.on('gatewayName', (named) => log('gateway-name', { ...named }));
    interfaces.on('change', this.#interfacesChanged);
  }

  // --- its life

  /** Others can ask this machine from now on, and are not told of it yet. */
  async listen(): Promise<void> {
    const { port, keys, known } = this.#options;
    await this.#streams.listen({ host: '0.0.0.0', port });
    this.#book.take(await known.addresses(keys.current.hash), 'remembered');
    this.#hasRecalled = true;
  }

  /** Makes this machine known, and looks for others. */
  start(): void {
    const { identity: { peer }, name, networkName: network, port, httpPort } = this.#options;
    this.presence.feed({ kind: 'started' });
    this.links.start();
    this.names.watchGateway({ network, isMember: (host) => this.#book.isPeersHost(host) });
    this.names.publish({ peer, name, network, version: PROTOCOL_VERSION, port, httpPort });
    this.names.browse();
  }

  /** Nobody comes or goes any more; who is here can still be asked. */
  rest(): void {
    this.#options.interfaces.off('change', this.#interfacesChanged);
    this.presence.stop();
    this.links.stop();
    this.#slices.stop();
  }

  /** Says goodbye, and closes everything. */
  async leave(): Promise<void> {
    await eachStep([
      ...GOODBYES_MS.map((ms, i) => async () => {
        await new Promise((resolve) => setTimeout(resolve, ms - (GOODBYES_MS[i - 1] ?? 0)));
        this.presence.goodbye();
      }),
      () => this.names.stop(),
      () => this.#streams.close(),
      () => this.datagrams.close(),
    ]);
  }

  /** Writes down where they were reached, for the next start. What was not read before is not written over. */
  async remember(): Promise<void> {
    if (!this.#hasRecalled) return;
    const { known, keys } = this.#options;
    await known.remember(keys.current.hash, this.#book.remember());
  }

  // --- what others see of it

  get members(): readonly Neighbour[] {
    const now = this.#options.clock.now();
    return this.presence.members.map(({ peer, state, address, lastHeardAt }) => ({
      peer,
      name: this.#nameOf(peer),
      state,
      address: address ?? this.#book.addressesOf(peer)[0],
      lastHeardMs: now - lastHeardAt,
    }));
  }

  /** Living members with a control stream. */
  get linkCount(): number {
    return [...this.#streams.connections].filter(({ hello, purpose }) => purpose === 'control' && this.presence.lives(hello.peer)).length;
  }

  /** Peers of this network that are here and cannot be talked to. */
  get otherVersions(): readonly OtherVersionFacts[] {
    return this.#otherVersions.present(this.#options.clock.now()).map(otherVersionFacts);
  }

  /** What came from outside and was not taken, by reason. */
  get dropped(): Readonly<Record<string, number>> {
    return { ...this.datagrams.dropped, ...this.#streams.counts };
  }

  /** Empty where it is not known. */
  #nameOf(peer: PeerId): string {
    return this.#options.known.nameOf(peer) ?? '';
  }

  // --- inputs

  #receive({ peer, bootId, message, via, from }: Received): void {
    const beat = message.kind === 'beat' ? message : undefined;
    // a beat says where its sender listens; any other unicast datagram comes from there
    const address = beat ? { host: from.host, port: beat.port } : via === 'unicast' ? from : undefined;
    if (address) this.#book.learn(peer, address, 'beat');
    if (message.kind === 'goodbye') {
      this.presence.feed({ kind: 'goodbye', peer, bootId });
      return;
    }
    this.presence.heard(peer, bootId, { via, address, beat });
    switch (message.kind) {
      case 'ping':
        if (via === 'unicast') this.datagrams.unicast({ kind: 'pong', nonce: message.nonce }, from);
        return;
      case 'relay':
        if (via === 'unicast') this.presence.feed({ kind: 'asked', by: peer, about: message.peer });
        return;
      case 'relayed':
        // it was heard after we asked, and we asked only after we suspected it
        if (via === 'unicast') this.presence.feed({ kind: 'vouched', peer: message.peer, bootId: message.boot, heardAt: this.#options.clock.now() });
        return;
      case 'fetch':
      case 'slice':
      case 'refusal':
        if (via === 'unicast') this.#slices.receive(peer, message, from);
        return;
      default:
        this.emit('message', { peer, bootId, message });
    }
  }

  #linked({ hello, remote }: Connection): void {
    const { peer, bootId } = hello;
    this.#options.known.met(peer, hello.name);
    this.#otherVersions.met(peer);
    const reason = this.#unnamed.get(peer);
    if (reason) this.#tell(peer, 'alive', reason);
    const address = hello.port > 0 ? { host: remote.host, port: hello.port } : undefined;
    this.datagrams.met(peer, bootId);
    this.presence.feed({ kind: 'heard', peer, bootId, via: 'stream', ...(address && { address }) });
    this.emit('linked', peer);
  }

  #found({ peer, network, name, version, host, port, addresses }: Candidate): void {
    if (network !== this.#options.networkName) return;
    if (version > 0 && version !== PROTOCOL_VERSION) this.#seeOtherVersion({ peer, name, address: { host, port }, version });
    this.presence.feed({ kind: 'named' });
    for (const address of addresses) this.links.candidate(peer, { host: address, port }, 'names');
  }

  readonly #seeOtherVersion = (sight: Sight): void => {
    const name = sight.name || (sight.peer && this.#nameOf(sight.peer)) || '';
    const told = this.#otherVersions.see({ ...sight, name }, this.#options.clock.now());
    if (told) this.#options.log('version', { ...otherVersionFacts(told), own: PROTOCOL_VERSION });
  };

  readonly #interfacesChanged = (): void => {
    const { interfaces } = this.#options.interfaces;
    this.datagrams.setInterfaces(interfaces);
    this.names.setInterfaces(interfaces);
    this.presence.feed({ kind: 'interfaces' });
  };

  // --- effects

  #memberChanged(change: MemberChange): void {
    const { peer, to, reason } = change;
    // who has come is told by name, which the connection brings in a moment
    if (to === 'alive' && !this.#nameOf(peer)) this.#unnamed.set(peer, reason);
    else this.#tell(peer, to, reason);
    if (to === 'alive') this.links.ensure(peer);
    this.emit('member', change);
    if (to !== 'dead' && to !== 'left') return;
    for (const connection of this.#streams.connections) if (connection.hello.peer === peer) connection.close();
  }

  #tell(peer: PeerId, state: Neighbour['state'], reason: string): void {
    this.#unnamed.delete(peer);
    this.#options.log('member', { peer, name: this.#nameOf(peer), state, reason });
  }
}
