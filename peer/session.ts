// One peer's part in one network, from joining to leaving: puts the machines (membership, gossip) and their means
// (datagrams, streams, names) together with what is replicated. A change of networks is the end of one session and the
// start of another; what belongs to the machine and not to a network lives in peer/peer.ts.
import { type Address, formatAddress } from '../discovery/address.ts';
import { AddressBook } from '../discovery/address-book.ts';
import type { InterfaceWatcher } from '../discovery/interfaces.ts';
import type { Mode } from '../discovery/membership.ts';
import { Names } from '../discovery/names.ts';
import type { Unicast } from '../discovery/unicast.ts';
import { messageOf, PeerError } from '../lib/errors.ts';
import type { Identity } from '../lib/identity.ts';
import { type BootId, type FileId, type NetworkId, type PayloadId, type PeerId, randomId } from '../lib/ids.ts';
import { Keyring } from '../lib/keyring.ts';
import { uniteKey } from '../lib/kinds.ts';
import { NETWORKS_MAX } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { Pulse } from '../lib/coordination-messages.ts';
import { type Beat, heardName, type Offer } from '../lib/messages.ts';
import type { Network } from '../lib/network-key.ts';
import { type Random, seededRandom } from '../lib/random.ts';
import { eachStep } from '../lib/steps.ts';
import type { Lamport } from '../lib/lamport.ts';
import type { Coordinatorship, Role } from '../lib/roles.ts';
import type { Operation } from '../lib/operation.ts';
import type { Clock, Millis } from '../lib/time.ts';
import { headOf } from '../lib/vector.ts';
import { Catalog } from '../storage/catalog.ts';
import type { ChunkCache } from '../storage/chunk-cache.ts';
import { ClaimStore } from '../storage/claim-store.ts';
import type { Database } from '../storage/database.ts';
import type { EventLog } from '../storage/event-log.ts';
import type { FileStore } from '../storage/file-store.ts';
import type { LocalFiles } from '../storage/local-files.ts';
import { OperationStore } from '../storage/operation-store.ts';
import { fetchSong } from './audio.ts';
import { ChosenFiles } from './chosen-files.ts';
import { systemAlarms } from './chunks/alarms.ts';
import type { PinStore } from '../storage/pin-store.ts';
import { chunkHandlers } from './chunks/chunk-server.ts';
import { EdgeReader } from './chunks/edge-reader.ts';
import { FileReader } from './chunks/file-reader.ts';
import { PayloadReader } from './chunks/payload-reader.ts';
import { type DutyEffect, Duties } from './coordination/duties.ts';
import { CoordinationReports, type Written, writtenBefore } from './coordination/reports.ts';
import { Datagrams, type Received } from './datagrams.ts';
import type { ExchangeStats } from './exchange-stats.ts';
import { Copies } from './copies/copies.ts';
import { Library } from './library.ts';
import { Links } from './links.ts';
import { OtherVersions, type Sight } from './other-versions.ts';
import { Paths } from './paths.ts';
import { Prefetch } from './prefetch.ts';
import { type MemberChange, Presence, type Said } from './presence.ts';
import type { Known } from './known-peers.ts';
import type { Acknowledgement } from './replication/acknowledgement.ts';
import { type NetworkEffect, Replica } from './replication/replica.ts';
import { type News, TRUE } from './replication/replication.ts';
import { Settled } from './replication/settled.ts';
import { Traffic } from './replication/traffic.ts';
import type { Change } from './replication/transaction.ts';
import { SliceExchange } from './slices/exchange.ts';
import { Sources } from './sources.ts';
import { People } from './user-data/people.ts';
import type { Programs } from './services/programs.ts';
import type { Connection, Handler } from './stream/connection.ts';
import { PROTOCOL_VERSION } from './stream/hello.ts';
import { Streams } from './stream/streams.ts';

export interface SessionOptions {
  readonly identity: Identity;
  readonly name: string;
  readonly network: Network;
  /** The port of `unicast`, for streams too. */
  readonly port: number;
  readonly httpPort: number;
  /** For this machine itself. */
  readonly httpUrl: string;
  readonly group: Address;
  readonly join: readonly Address[];
  readonly advertise: readonly Address[];
  readonly interfaces: InterfaceWatcher;
  readonly unicast: Unicast;
  readonly database: Database;
  readonly files: FileStore;
  readonly local: LocalFiles;
  readonly cache: ChunkCache;
  readonly pins: PinStore;
  readonly known: Known;
  readonly clock: Clock;
  readonly log: Log;
  /** That this machine may hold. */
  readonly roles: readonly Role[];
  readonly programs?: Programs | undefined;
  /** This peer is a clone, and it falls to it to take a new key. */
  readonly onClone: () => void;
  readonly onChange: (what: 'catalog' | 'members' | 'network' | 'userData') => void;
  /** Registers have these winners now; `settledTime` says up to when events are settled. */
  readonly onApplied: (operations: readonly Operation[], settledTime: () => Lamport) => void;
  /** Everything replicated is gone, and the event log with it: another network has begun. */
  readonly onDropped: () => void;
  /** Music was read for somebody. */
  readonly onPlayed: () => void;
  readonly stats: ExchangeStats;
  /** Of a machine that went, before its songs are copied elsewhere; tests are quicker. */
  readonly graceMs?: Millis | undefined;
}

/** Resolvers keep an address for a second after it was replaced (RFC 6762, 10.2), and who got it then opens a page a moment later. */
const LED_HERE_MS: Millis = 1_200;
/** Said three times, because nobody asks again. */
const GOODBYES_MS: readonly Millis[] = [0, 25, 60];

export interface MemberView {
  readonly peer: PeerId;
  readonly name: string;
  readonly state: 'alive' | 'suspect' | 'dead' | 'left';
  readonly address: Address | undefined;
  readonly lastHeardMs: Millis;
  readonly inSync: boolean;
  /** The network that it is in, if that is another than ours: nothing passes between us. */
  readonly apart: NetworkId | undefined;
}

export interface OtherVersionFacts {
  /** Null where nothing said it. */
  readonly peer: PeerId | null;
  readonly name: string;
  readonly address: string;
  /** Null where nothing said it: another than ours. */
  readonly version: number | null;
}

const otherVersionFacts = ({ peer, name, address, version }: Sight): OtherVersionFacts => ({
  peer: peer ?? null,
  name,
  address: address.port > 0 ? formatAddress(address) : address.host,
  version: version ?? null,
});

export class Session {
  readonly network: Network;
  readonly replica: Replica;
  readonly eventLog: EventLog;
  readonly catalog: Catalog;
  readonly library: Library;
  readonly people: People;
  readonly reader: FileReader;
  readonly payloads: PayloadReader;
  readonly sources: Sources;
  readonly chosen: ChosenFiles;
  readonly prefetch: Prefetch;
  readonly copies: Copies;
  readonly #options: SessionOptions;
  /** Of the network's key. */
  readonly #hash: string;
  readonly #bootId: BootId;
  readonly #streams: Streams;
  readonly #datagrams: Datagrams;
  readonly #links: Links;
  readonly #slices: SliceExchange;
  readonly #paths: Paths;
  readonly #names: Names;
  readonly #book: AddressBook;
  readonly #presence: Presence;
  readonly #traffic: Traffic;
  readonly duties: Duties;
  readonly #settled: Settled;
  /** Members that have come and have not yet said their names, with the reason of their coming. */
  readonly #unnamed = new Map<PeerId, string>();
  /** Of members whose latest beat was another network's that nothing passes to or from. */
  readonly #apart = new Map<PeerId, NetworkId>();
  /** All such networks that were here since the start: a person may unite one whose peers are away for a moment. */
  readonly #met = new Set<NetworkId>();
  readonly #otherVersions = new OtherVersions();
  #stopped = false;

  static async start(options: SessionOptions): Promise<Session> {
    const keys = new Keyring(options.network, { wall: () => options.clock.wall() });
    const store = new OperationStore(options.database, keys.current.hash);
    const bootId = randomId<BootId>();
    const random = seededRandom(Number.parseInt(bootId.slice(0, 12), 16));
    // the session carries the replica's effects out, and is made of it
    let carryOut: (effect: NetworkEffect) => void = () => {};
    const replica = await Replica.open({ self: options.identity.peer, store, clock: options.clock, random, carryOut: (effect) => carryOut(effect) });
    const claims = new ClaimStore(options.database, keys.current.hash);
    const session = new Session(options, { keys, store, replica, bootId, random, claims, stored: await claims.load(), written: await writtenBefore(options.identity.peer, (prefix) => store.registers(prefix)) });
    carryOut = (effect) => session.#carryOutReplication(effect);
    await session.#start();
    return session;
  }

  private constructor(
    options: SessionOptions,
    { keys, store, replica, bootId, random, claims, stored, written }: {
      readonly keys: Keyring;
      readonly store: OperationStore;
      readonly replica: Replica;
      readonly bootId: BootId;
      readonly random: Random;
      readonly claims: ClaimStore;
      readonly stored: Coordinatorship;
      readonly written: Written;
    },
  ) {
    const { identity, network, clock, log, cache, local, files } = options;
    const self = identity.peer;
    this.#options = options;
    this.network = network;
    this.replica = replica;
    this.eventLog = store.eventLog;
    this.#settled = new Settled({
      head: (origin, epoch) => headOf(replica.vector(origin), epoch),
      root: () => replica.root,
      time: () => replica.committedTime,
    });
    this.#bootId = bootId;
    const trouble = this.#trouble;
    this.catalog = new Catalog({ store, self, onError: trouble('cannot read the catalog') });
    this.library = new Library({
      replica,
      store,
      files,
      copies: () => cache.completed().map((payload) => [payload, cache.filesOf(payload)] as const),
      onCopyGone: (payload) => this.copies.copyGone(payload),
      onError: trouble('cannot write the catalog'),
    });
    this.people = new People({
      store,
      catalog: this.catalog,
      write: (changes) => this.writeUserData(changes),
      lamport: () => replica.clock.time,
      wall: () => clock.wall(),
      onError: trouble('cannot read what people made'),
      onChange: () => options.onChange('userData'),
    });

    this.#hash = keys.current.hash;
    const handlers = new Map<string, Handler>();
    const { name, port, httpPort, httpUrl } = options;
    this.#streams = new Streams({
      self: { identity, bootId: this.#bootId, describe: () => ({ name, port, httpPort }) },
      keys,
      handlers,
      report: trouble('a request failed here'),
    });
    this.#book = new AddressBook({ self, targets: options.join });
    this.#links = new Links({ self, streams: this.#streams, book: this.#book, clock, advertised: options.advertise, living: () => this.#presence.living() });
    for (const [method, handler] of this.#links.handlers()) handlers.set(method, handler);
    this.#traffic = new Traffic({
      replica,
      toAll: (message) => this.#presence.toAll('catalog', message),
      announce: () => this.#presence.beatNow(),
      withPeer: (peer, work) => this.#paths.sync(peer, work),
      lives: (peer) => this.#presence.lives(peer),
      pulling: (peer) => this.#settled.pulling(peer),
      log,
      trouble,
    });
    for (const [method, handler] of this.#traffic.handlers()) handlers.set(method, handler);
    for (const [method, handler] of chunkHandlers({ local, cache, onListened: options.onPlayed, onSent: (bytes) => options.stats.gaveOthers(bytes) })) {
      handlers.set(method, async (params, asker) => ({ kind: 'bytes', ...(await handler(params, asker)) }));
    }

    this.#slices = new SliceExchange({
      handlers,
      send: (message, to) => this.#datagrams.unicast(message, to),
      addressOf: (peer) => this.#presence.addressOf(peer),
      clock,
      report: trouble('a request failed here'),
    });
    this.#paths = new Paths({
      slices: this.#slices,
      bulkTo: (peer) => this.#links.forChunks(peer),
      controlTo: (peer) => this.#streams.connectionTo(peer, 'control'),
      lives: (peer) => this.#presence.lives(peer),
      now: () => clock.now(),
    });
    this.sources = new Sources({ self, linkTo: (peer) => this.#paths.chunkLink(peer) });
    const providers = this.sources;
    const lied = (facts: { readonly peer: PeerId; readonly payload?: PayloadId; readonly file?: FileId }): void => {
      options.stats.wrong();
      log('liar', facts);
    };
    this.payloads = new PayloadReader({ local, cache, providers, random, onLiar: (peer, payload) => lied({ peer, payload }), stats: options.stats });
    const edges = new EdgeReader({ local, cache, providers, onLiar: (peer, file) => lied({ peer, file }) });
    this.reader = new FileReader({ payloads: this.payloads, edges });
    this.chosen = new ChosenFiles({ sources: this.sources, files: this.reader });
    this.copies = new Copies({
      self,
      clock,
      log,
      store,
      catalog: this.catalog,
      library: this.library,
      cache,
      pinStore: options.pins,
      sources: this.sources,
      payloads: this.payloads,
      edges,
      living: () => this.#here(),
      isHere: (peer) => this.#presence.lives(peer) && this.#apartOf(peer) === undefined,
      plays: () => this.people.data.playsOfAll(),
      ask: (peer, method, params) => this.#paths.sync(peer, (link) => link.request(method, params)),
      writeForUser: (changes) => this.writeUserData(changes),
      callService: (method, params) => this.duties.call('music', method, params),
      holdsRole: () => this.duties.holds('music'),
      admit: (token, from) => {
        // a claim on a damaged disk may be above all others: whoever is not known to hold the role has no say, and its token does not count
        if (this.duties.holder('music')?.peer !== from) throw new PeerError('ROLE_UNAVAILABLE', 'that machine does not hold music, as far as is known here');
        this.duties.admit('music', token);
      },
      graceMs: options.graceMs,
      trouble,
    });
    for (const [method, handler] of this.copies.handlers()) handlers.set(method, handler);

    this.prefetch = new Prefetch({
      nextOf: (song) => this.people.data.nextOf(song),
      fetch: async (id, signal) => {
        const song = await this.catalog.song(id);
        if (!song) return;
        // its payload may not tell which song it is, once it is cached
        this.copies.keeping.note(song);
        await fetchSong(song, signal, { files: this.reader, chosen: this.chosen, sources: this.sources });
      },
      alarms: systemAlarms,
      onError: trouble('the next song could not be fetched in advance'),
    });
    this.#datagrams = new Datagrams({
      identity,
      bootId: this.#bootId,
      keys,
      group: options.group,
      interfaces: options.interfaces.interfaces,
      unicast: options.unicast,
      clock,
    });
    this.#names = new Names({ interfaces: options.interfaces.interfaces });
    const reports = new CoordinationReports({
      self,
      name,
      nameOf: (peer) => options.known.nameOf(peer) ?? '',
      wall: () => clock.wall(),
      log,
      written,
      // what a lone machine does, nobody wonders about
      write: (change) => {
        if (!this.#presence.living().next().done) replica.write([change]).catch(trouble('cannot write the event log'));
      },
    });
    this.duties = new Duties({
      self,
      bootId,
      random,
      clock,
      claims,
      stored,
      roles: options.roles,
      programs: options.programs,
      context: () => ({ httpPort, httpUrl }),
      isSynced: () => this.behind === 0,
      links: () => [...this.#streams.connections].filter(({ hello, purpose }) => purpose === 'control' && this.#presence.lives(hello.peer)).length,
      lives: (peer) => this.#presence.lives(peer),
      ask: (peer, method, params) => this.#paths.sync(peer, (link) => link.request(method, params)),
      carryOut: (effect) => this.#carryOutDuty(effect),
      tell: (news) => reports.tell(news),
      onRole: (change) => {
        reports.role(change);
        if (change.role === 'music') this.copies.role(change.state === 'held' ? change.token : undefined);
      },
      onChange: () => {
        this.#nameRoles();
        options.onChange('members');
      },
      onService: (failure) => options.log('service', failure),
      trouble,
    });
    for (const [method, handler] of this.duties.handlers()) handlers.set(method, handler);

    this.#presence = new Presence({
      self,
      random,
      clock,
      datagrams: this.#datagrams,
      book: this.#book,
      beat: (said) => this.#beat(said),
      pulse: () => this.duties.pulse(),
      onChange: (change) => this.#memberChanged(change),
    });
  }

  readonly #trouble =
    (what: string) =>
    (error: unknown): void => {
      if (!this.#stopped) this.#options.log('trouble', { what, why: messageOf(error) });
    };

  async #start(): Promise<void> {
    const { identity, name, network, port, httpPort, interfaces, known } = this.#options;
    this.replica.listen({
      changed: (changes) => {
        const after = changes.map((change) => change.after);
        this.catalog.refresh(after);
        this.people.data.refresh(after);
        this.copies.refresh(after);
        this.#settled.moved();
        this.#options.onApplied(after, () => this.settledTime);
      },
      dropped: () => {
        this.catalog.dropped();
        this.people.data.load();
        this.copies.dropped();
        this.#settled.dropped();
        this.#options.onDropped();
      },
    });
    this.catalog.onChange(() => {
      this.#options.onChange('catalog');
      this.#followHolders().catch(this.#trouble('cannot read who has what is played'));
    });
    this.#datagrams.on('message', (received) => this.#receive(received));
    this.#datagrams.on('met', ({ peer, bootId, address }) => {
      this.#book.learn(peer, address, 'beat');
      this.#presence.feed({ kind: 'heard', peer, bootId, via: 'unicast', address });
    });
    this.#datagrams.on('clone', ({ peer, bootId }) => {
      if (peer === identity.peer) this.replica.feed({ kind: 'cloned', yields: this.#bootId < bootId });
      else this.#options.log('clone', { peer });
    });
    this.#datagrams.on('otherVersion', this.#seeOtherVersion);
    this.#links.on('otherVersion', this.#seeOtherVersion);
    this.#links.on('linked', (connection) => this.#linked(connection));
    this.#links.on('unlinked', ({ connection: { hello }, refused }) => {
      this.#presence.feed({ kind: 'closed', peer: hello.peer, bootId: hello.bootId, refused });
      this.sources.changed();
    });
    this.#streams.on('opened', () => this.#paths.opened());
    this.#streams.on('opened', this.sourcesChanged);
    this.#streams.on('closed', this.sourcesChanged);
    this.#names.on('candidate', (candidate) => {
      if (candidate.network !== network.name) return;
      const { peer, name: nick, version, host, port: at } = candidate;
      if (version > 0 && version !== PROTOCOL_VERSION) this.#seeOtherVersion({ peer, name: nick, address: { host, port: at }, version });
      this.#presence.feed({ kind: 'named' });
      for (const host of candidate.addresses) this.#links.candidate(candidate.peer, { host, port: candidate.port }, 'names');
    });
    interfaces.on('change', this.#interfacesChanged);

    await this.library.reconcileCopies().catch(this.#trouble('cannot compare the catalog with the cache'));
    await this.#streams.listen({ host: '0.0.0.0', port });
    this.#book.take(await known.addresses(this.#hash), 'remembered');
    this.duties.start();
    this.#presence.feed({ kind: 'started' });
    this.#links.start();
    this.#names.on('gatewayName', (named) => this.#options.log('gateway-name', { ...named }));
    this.#names.watchGateway({ network: network.name, isMember: (host) => this.#book.isPeersHost(host) });
    this.#names.publish({ peer: identity.peer, name, network: network.name, version: PROTOCOL_VERSION, port, httpPort });
    this.#names.browse();
    const { salvaged } = this.replica;
    if (salvaged) this.#options.log('store-salvaged', { commits: salvaged.missing.commits, kept: salvaged.kept, dropped: salvaged.dropped });
    this.replica.feed({ kind: 'started' });
    this.catalog.load();
    this.people.data.load();
    this.copies.start();
  }

  /** What this machine does for others passes to them while it still answers: to be awaited before it stops. */
  async handOver(): Promise<void> {
    const wasGateway = this.duties.holds('gateway');
    await this.duties.handOver();
    // where nobody follows, nobody is waited for
    if (!wasGateway || this.duties.holder('gateway') === undefined) return;
    await this.#names.dropGateway();
    await new Promise((resolve) => setTimeout(resolve, LED_HERE_MS));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#options.interfaces.off('change', this.#interfacesChanged);
    this.prefetch.stop();
    this.payloads.close();
    this.#presence.stop();
    this.#links.stop();
    this.#slices.stop();
    await eachStep([
      () => this.duties.stop(),
      () => this.copies.stop(),
      ...GOODBYES_MS.map((ms, i) => async () => {
        await new Promise((resolve) => setTimeout(resolve, ms - (GOODBYES_MS[i - 1] ?? 0)));
        this.#presence.goodbye();
      }),
      () => this.#names.stop(),
      () => this.#streams.close(),
      () => this.#datagrams.close(),
      () => this.library.settled(),
      () => this.replica.close(),
      () => this.catalog.settled(),
      () => this.people.data.settled(),
      // last, because a full disk refuses it
      () => this.#options.known.remember(this.#hash, this.#book.remember()),
    ]);
  }

  // --- what others see of it

  get networkId(): NetworkId | null {
    return this.replica.network;
  }

  /** Networks of this name that are here and hold user data as ours does, each with a peer of it. */
  get apart(): ReadonlyMap<NetworkId, PeerId> {
    const apart = new Map<NetworkId, PeerId>();
    for (const peer of this.#presence.living()) {
      const network = this.#apartOf(peer);
      if (network !== undefined) apart.set(network, peer);
    }
    return apart;
  }

  /** Those that a person may unite with ours: all that were here since the start. */
  get metNetworks(): readonly NetworkId[] {
    return [...this.#met].filter((id) => !this.replica.networks.has(id));
  }

  /** Others of this network. */
  *#here(): Generator<PeerId> {
    for (const peer of this.#presence.living()) if (this.#apartOf(peer) === undefined) yield peer;
  }

  /** This machine itself, or another of this network that is here? */
  readonly lives = (peer: PeerId): boolean => this.copies.machines.lives(peer);

  #apartOf(peer: PeerId): NetworkId | undefined {
    const network = this.#apart.get(peer);
    return network !== undefined && this.replica.networks.has(network) ? undefined : network;
  }

  /** A person says that the two networks are one: each gets what the other holds.
   *  @throws PeerError BUSY */
  async unite(other: NetworkId): Promise<void> {
    const { network } = this.replica;
    if (network === null) throw new PeerError('BUSY', 'this peer is still looking for its network; try again in a moment');
    if (this.replica.networks.size >= NETWORKS_MAX) throw new PeerError('TOO_LARGE', `no more than ${NETWORKS_MAX} networks can be made one`);
    await this.replica.write([network, other].map((id) => ({ key: uniteKey(id), value: TRUE })));
  }

  /** Writes what a person changed. */
  writeUserData(changes: readonly Change[]): Promise<Acknowledgement> {
    return this.replica.writeForUser(changes);
  }

  get mode(): Mode {
    return this.#presence.mode;
  }

  members(): MemberView[] {
    const now = this.#options.clock.now();
    return this.#presence.members.map(({ peer, state, address, lastHeardAt }) => ({
      peer,
      name: this.#options.known.nameOf(peer) ?? '',
      state,
      address: address ?? this.#book.addressesOf(peer)[0],
      lastHeardMs: now - lastHeardAt,
      inSync: this.#isInSync(peer),
      apart: this.#apartOf(peer),
    }));
  }

  /** Operations that living members say they wrote and that are not here yet. */
  get behind(): number {
    let behind = 0;
    for (const [peer, { head }] of this.replica.beats) {
      if (head) behind += Math.max(0, head.seq - headOf(this.replica.vector(peer), head.epoch));
    }
    return behind;
  }

  /** Peers of this network that are here and cannot be talked to. */
  get otherVersions(): readonly OtherVersionFacts[] {
    return this.#otherVersions.present(this.#options.clock.now()).map(otherVersionFacts);
  }

  /** Events up to this time are settled. */
  get settledTime(): Lamport {
    return this.#settled.time;
  }

  /** What came from outside and was not taken, by reason. */
  get dropped(): Readonly<Record<string, number>> {
    return { ...this.#datagrams.dropped, ...this.#streams.counts };
  }

  #isInSync(peer: PeerId): boolean {
    const beat = this.replica.beats.get(peer);
    return beat !== undefined && Buffer.compare(beat.root, this.replica.root.subarray(0, beat.root.byteLength)) === 0;
  }

  /** The name under which the network's gateway is found, if one is heard of. */
  get gatewayName(): string | undefined {
    return this.#names.gatewayNameHeard;
  }

  // --- inputs

  #receive({ peer, bootId, message, via, from }: Received): void {
    const beat = message.kind === 'beat' ? message : undefined;
    // a beat says where its sender listens; any other unicast datagram comes from there
    const address = beat ? { host: from.host, port: beat.port } : via === 'unicast' ? from : undefined;
    if (address) this.#book.learn(peer, address, 'beat');
    if (message.kind === 'goodbye') {
      this.#presence.feed({ kind: 'goodbye', peer, bootId });
      return;
    }
    this.#presence.heard(peer, bootId, { via, address, beat });
    switch (message.kind) {
      case 'beat':
        this.replica.feed({ kind: 'beat', from: peer, beat: message });
        this.#meet(peer, message);
        this.#pulsed(peer, bootId, message.pulse, message.offer);
        return;
      case 'ping':
        if (via === 'unicast') this.#datagrams.unicast({ kind: 'pong', nonce: message.nonce }, from);
        return;
      case 'pulse':
        this.#pulsed(peer, bootId, message.pulse);
        return;
      case 'election':
      case 'answer':
      case 'coordinator':
      case 'suspect':
      case 'promised':
      case 'grant':
      case 'revoke':
      case 'release':
      case 'died':
        if (this.#presence.lives(peer)) this.duties.feed({ kind: 'message', from: peer, message });
        return;
      case 'relay':
        if (via === 'unicast') this.#presence.feed({ kind: 'asked', by: peer, about: message.peer });
        return;
      case 'relayed':
        // it was heard after we asked, and we asked only after we suspected it
        if (via === 'unicast') this.#presence.feed({ kind: 'vouched', peer: message.peer, bootId: message.boot, heardAt: this.#options.clock.now() });
        return;
      case 'operations':
        this.replica.feed({ kind: 'operations', from: peer, network: message.network, operations: message.operations });
        return;
      case 'fetch':
      case 'slice':
      case 'refusal':
        if (via === 'unicast') this.#slices.receive(peer, message, from);
        return;
      case 'pong':
        if (this.#presence.lives(peer)) this.duties.feed({ kind: 'answered', peer });
    }
  }

  #pulsed(peer: PeerId, bootId: BootId, pulse: Pulse, offer?: Offer): void {
    // of a process that is gone nothing counts any more
    if (this.#presence.lives(peer, bootId)) this.duties.feed({ kind: 'pulse', from: peer, bootId, pulse, ...(offer && { offer }) });
  }

  #meet(peer: PeerId, beat: Beat): void {
    const meeting = this.replica.meeting(beat);
    if (meeting === 'apart') this.#apart.set(peer, beat.network as NetworkId);
    else this.#apart.delete(peer);
    // the events of other networks are not here, nor are those of a boot that has left
    if (meeting === 'one' && this.#presence.lives(peer)) this.#settled.beat(peer, beat);
    else this.#settled.gone(peer);
  }

  #linked({ hello, remote }: Connection): void {
    const { known } = this.#options;
    known.met(hello.peer, hello.name);
    this.#otherVersions.met(hello.peer);
    const reason = this.#unnamed.get(hello.peer);
    if (reason) this.#tellMember(hello.peer, 'alive', reason);
    const address = hello.port > 0 ? { host: remote.host, port: hello.port } : undefined;
    this.#datagrams.met(hello.peer, hello.bootId);
    this.#presence.feed({ kind: 'heard', peer: hello.peer, bootId: hello.bootId, via: 'stream', ...(address && { address }) });
    this.replica.feed({ kind: 'linked', peer: hello.peer });
    this.#options.onChange('members');
  }

  readonly #seeOtherVersion = (sight: Sight): void => {
    const name = sight.name || (sight.peer && this.#options.known.nameOf(sight.peer)) || '';
    const told = this.#otherVersions.see({ ...sight, name }, this.#options.clock.now());
    if (told) this.#options.log('version', { ...otherVersionFacts(told), own: PROTOCOL_VERSION });
  };

  /** Who appears while a song plays may have to play it to its end. */
  async #followHolders(): Promise<void> {
    for (const id of [...this.sources.wanted]) {
      const song = await this.catalog.song(id);
      if (song) this.sources.update(song);
    }
  }

  #tellMember(peer: PeerId, state: MemberView['state'], reason: string): void {
    this.#unnamed.delete(peer);
    this.#options.log('member', { peer, name: this.#options.known.nameOf(peer) ?? '', state, reason });
  }

  readonly #interfacesChanged = (): void => {
    const { interfaces } = this.#options.interfaces;
    this.#datagrams.setInterfaces(interfaces);
    this.#names.setInterfaces(interfaces);
    this.#presence.feed({ kind: 'interfaces' });
  };

  readonly sourcesChanged = (): void => this.sources.changed();

  // --- effects

  #memberChanged(change: MemberChange): void {
    const { peer, from, to, reason } = change;
    // who has come is told by name, which the connection brings in a moment
    if (to === 'alive' && !this.#options.known.nameOf(peer)) this.#unnamed.set(peer, reason);
    else this.#tellMember(peer, to, reason);
    if (to === 'alive') this.#links.ensure(peer);
    this.#tellDuties(change);
    // who was merely suspected was here all the time, if it is still the same process
    if (to === 'alive' && (from !== 'suspect' || reason === 'restarted')) this.#settled.came(peer);
    if (to === 'dead' || to === 'left') {
      this.#settled.gone(peer);
      this.#apart.delete(peer);
      this.replica.feed({ kind: 'gone', peer });
      for (const connection of this.#streams.connections) if (connection.hello.peer === peer) connection.close();
    }
    this.sources.changed();
    if (to === 'alive') this.copies.came(peer);
    else if (to !== 'suspect') this.copies.went(peer);
    this.#options.onChange('members');
  }

  #tellDuties({ peer, to, reason }: MemberChange): void {
    if (to === 'suspect') return;
    if (to !== 'alive') return this.duties.feed({ kind: 'gone', peer, why: reason === 'refused' ? 'died' : reason === 'goodbye' ? 'left' : 'silent' });
    if (reason === 'restarted') this.duties.feed({ kind: 'gone', peer, why: 'died' });
    this.duties.feed({ kind: 'alive', peer });
  }

  #carryOutDuty(effect: DutyEffect): void {
    switch (effect.kind) {
      case 'multicast':
        return this.#presence.toAll('members', effect.message);
      case 'send':
        return this.#presence.send(effect.to, effect.message);
      case 'pulseTo':
        return this.#presence.send(effect.peer, { kind: 'pulse', pulse: this.duties.pulse(effect) });
      case 'speak':
        return this.#presence.feed({ kind: 'speak' });
      case 'pace':
        return this.#presence.feed({ kind: 'pace', quick: effect.quick });
      case 'doubt':
        this.#presence.feed({ kind: 'doubted', peer: effect.peer });
        return void this.#knockAt(effect.peer);
      case 'vouched':
        return this.#presence.feed({ kind: 'vouched', peer: effect.peer, heardAt: this.#options.clock.now() - effect.agoMs });
      case 'slept':
        this.#options.log('slept', {});
        this.#datagrams.discardQueued();
        return this.#presence.feed({ kind: 'stalled' });
    }
  }

  async #knockAt(peer: PeerId): Promise<void> {
    const bootId = this.#presence.bootOf(peer);
    if (bootId && (await this.#links.hasEnded(bootId))) this.#presence.feed({ kind: 'refused', peer, bootId });
  }

  /** Roles that are held for others are names that lead here. */
  #nameRoles(): void {
    const { held } = this.duties;
    this.#names.setRoles(held);
    if (held.includes('gateway')) this.#names.holdGateway();
    else this.#names.dropGateway().catch(this.#trouble('cannot withdraw the name of the gateway'));
  }

  #beat({ everyMs, hears, asks }: Said): Beat {
    return {
      kind: 'beat',
      port: this.#options.port,
      periodMs: everyMs,
      lamport: this.replica.committedTime,
      root: this.replica.root,
      head: this.replica.head,
      heard: hears.map(heardName),
      network: this.replica.network,
      asks,
      user: this.replica.user,
      pulse: this.duties.pulse(),
      offer: this.duties.offer,
    };
  }

  #carryOutReplication(effect: NetworkEffect): void {
    // the last batches are still on their way to the disk, and nobody is spoken to any more
    if (this.#stopped) return;
    switch (effect.kind) {
      case 'reconcile':
        this.library.reconcile().catch(this.#trouble('cannot compare the catalog with the disk'));
        return;
      case 'rekey':
        this.#options.onClone();
        return;
      case 'network':
        this.#options.onChange('network');
        return;
      case 'tell':
        this.#tell(effect.news);
        return;
      default:
        this.#traffic.carryOut(effect);
    }
  }

  #tell(news: News): void {
    if (news.kind === 'apart') this.#met.add(news.network);
    if (news.kind === 'disk') return this.#options.log('trouble', { what: 'nothing is saved any more', why: news.why });
    const { kind, ...facts } = news;
    this.#options.log(kind, facts);
  }
}
