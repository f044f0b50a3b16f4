// One peer's part in one network, from joining to leaving: puts together who is here, what is replicated, what machines do for each other,
// and the music, and tells each of these what the others bring. A change of networks is the end of one session and the start of
// another; what belongs to the machine and not to a network lives in peer/peer.ts.
import type { Address } from '../discovery/address.ts';
import type { InterfaceWatcher } from '../discovery/interfaces.ts';
import type { Unicast } from '../discovery/unicast.ts';
import { messageOf } from '../lib/errors.ts';
import type { Identity } from '../lib/identity.ts';
import { type BootId, type NetworkId, type PeerId, randomId } from '../lib/ids.ts';
import { Keyring } from '../lib/keyring.ts';
import type { Log } from '../lib/log.ts';
import { type Beat, heardName } from '../lib/messages.ts';
import type { Network } from '../lib/network-key.ts';
import { type Random, seededRandom } from '../lib/random.ts';
import { eachStep } from '../lib/steps.ts';
import type { Lamport } from '../lib/lamport.ts';
import type { Coordinatorship, Role } from '../lib/roles.ts';
import type { Operation } from '../lib/operation.ts';
import type { Clock } from '../lib/time.ts';
import { headOf } from '../lib/vector.ts';
import { Catalog } from '../storage/catalog.ts';
import { ClaimStore } from '../storage/claim-store.ts';
import type { Database } from '../storage/database.ts';
import type { EventLog } from '../storage/event-log.ts';
import { NetworkCache } from '../storage/network-cache.ts';
import { OperationStore } from '../storage/operation-store.ts';
import { Duties } from './coordination/duties.ts';
import { DutyTraffic } from './coordination/duty-traffic.ts';
import { CoordinationReports, type Written, writtenBefore } from './coordination/reports.ts';
import { Music, type MachineMusic } from './music/music.ts';
import { type Heard, type Neighbour, Neighbourhood } from './neighbourhood.ts';
import { OtherNetworks } from './other-networks.ts';
import type { MemberChange, Said } from './presence.ts';
import type { Known } from './known-peers.ts';
import { type NetworkEffect, Replica } from './replication/replica.ts';
import type { News } from './replication/replication.ts';
import { Settled } from './replication/settled.ts';
import { Traffic } from './replication/traffic.ts';
import { People } from './user-data/people.ts';
import type { Programs } from './services/programs.ts';

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
  readonly music: MachineMusic;
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
}

export interface MemberView extends Neighbour {
  readonly inSync: boolean;
  /** The network that it is in, if that is another than ours: nothing passes between us. */
  readonly apart: NetworkId | undefined;
}

export class Session {
  readonly network: Network;
  readonly neighbours: Neighbourhood;
  readonly replica: Replica;
  readonly eventLog: EventLog;
  readonly catalog: Catalog;
  readonly people: People;
  readonly music: Music;
  readonly duties: Duties;
  readonly otherNetworks: OtherNetworks;
  readonly #options: SessionOptions;
  readonly #bootId: BootId;
  readonly #traffic: Traffic;
  readonly #dutyTraffic: DutyTraffic;
  readonly #settled: Settled;
  #stopped = false;

  static async start(options: SessionOptions): Promise<Session> {
    const keys = new Keyring(options.network, { wall: () => options.clock.wall() });
    const cache = await NetworkCache.open(keys.current.hash, options.music.caches);
    let close = (): Promise<void> => cache.close();
    try {
      const store = new OperationStore(options.database, keys.current.hash);
      const bootId = randomId<BootId>();
      const random = seededRandom(Number.parseInt(bootId.slice(0, 12), 16));
      // the session carries the replica's effects out, and is made of it
      let carryOut: (effect: NetworkEffect) => void = () => {};
      const replica = await Replica.open({ self: options.identity.peer, store, clock: options.clock, random, carryOut: (effect) => carryOut(effect) });
      close = () => eachStep([() => replica.close(), () => cache.close()]);
      const claims = new ClaimStore(options.database, keys.current.hash);
      const written = await writtenBefore(options.identity.peer, (prefix) => store.registers(prefix));
      const session = new Session(options, { keys, cache, store, replica, bootId, random, claims, stored: await claims.load(), written });
      close = () => session.stop();
      carryOut = (effect) => session.#carryOutReplication(effect);
      await session.#start();
      return session;
    } catch (error) {
      // the port, the timers and the cache are the next one's; what went wrong first is what is told
      await close().catch(() => undefined);
      throw error;
    }
  }

  private constructor(
    options: SessionOptions,
    { keys, cache, store, replica, bootId, random, claims, stored, written }: {
      readonly keys: Keyring;
      readonly cache: NetworkCache;
      readonly store: OperationStore;
      readonly replica: Replica;
      readonly bootId: BootId;
      readonly random: Random;
      readonly claims: ClaimStore;
      readonly stored: Coordinatorship;
      readonly written: Written;
    },
  ) {
    const { identity, network, name, httpPort, httpUrl, known, clock, log } = options;
    const self = identity.peer;
    const trouble = this.#trouble;
    this.#options = options;
    this.network = network;
    this.replica = replica;
    this.eventLog = store.eventLog;
    this.#bootId = bootId;
    this.catalog = new Catalog({ store, self, onError: trouble('cannot read the catalog') });
    this.people = new People({
      store,
      catalog: this.catalog,
      write: (changes) => replica.writeForUser(changes),
      lamport: () => replica.clock.time,
      wall: () => clock.wall(),
      onError: trouble('cannot read what people made'),
      onChange: () => options.onChange('userData'),
    });

    const neighbours = new Neighbourhood({
      ...options,
      networkName: network.name,
      bootId,
      keys,
      random,
      beat: (said) => this.#beat(said),
      pulse: () => this.duties.pulse(),
      trouble,
    });
    this.neighbours = neighbours;
    const { presence, paths } = neighbours;
    this.otherNetworks = new OtherNetworks({ replica, presence });

    // what machines tell each other
    this.#settled = new Settled({
      head: (origin, epoch) => headOf(replica.vector(origin), epoch),
      root: () => replica.root,
      time: () => replica.committedTime,
    });
    this.#traffic = new Traffic({
      replica,
      toAll: (message) => presence.toAll('catalog', message),
      announce: () => presence.beatNow(),
      withPeer: (peer, work) => paths.sync(peer, work),
      lives: (peer) => presence.lives(peer),
      pulling: (peer) => this.#settled.pulling(peer),
      log,
      trouble,
    });

    // what they do for each other
    const reports = new CoordinationReports({
      self,
      name,
      nameOf: (peer) => known.nameOf(peer) ?? '',
      wall: () => clock.wall(),
      log,
      written,
      // what a lone machine does, nobody wonders about
      write: (change) => {
        if (!presence.living().next().done) replica.write([change]).catch(trouble('cannot write the event log'));
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
      links: () => neighbours.linkCount,
      lives: (peer) => presence.lives(peer),
      ask: (peer, method, params) => paths.sync(peer, (link) => link.request(method, params)),
      carryOut: (effect) => this.#dutyTraffic.carryOut(effect),
      tell: (news) => reports.tell(news),
      onRole: (change) => {
        reports.role(change);
        if (change.role === 'music') this.music.copies.role(change.state === 'held' ? change.token : undefined);
      },
      onChange: () => {
        this.#dutyTraffic.nameRoles();
        options.onChange('members');
      },
      onService: (failure) => log('service', failure),
      trouble,
    });
    this.#dutyTraffic = new DutyTraffic({ duties: this.duties, neighbours, clock, log, trouble });
    this.music = new Music({
      self,
      clock,
      log,
      random,
      machine: options.music,
      cache,
      replica,
      store,
      catalog: this.catalog,
      people: this.people,
      paths,
      duties: this.duties,
      network: this.otherNetworks,
      trouble,
    });
    for (const part of [this.#traffic, this.duties, this.music]) neighbours.serve(part.handlers());
  }

  readonly #trouble =
    (what: string) =>
    (error: unknown): void => {
      if (!this.#stopped) this.#options.log('trouble', { what, why: messageOf(error) });
    };

  async #start(): Promise<void> {
    this.replica.listen({
      changed: (changes) => {
        const after = changes.map((change) => change.after);
        this.catalog.refresh(after);
        this.people.data.refresh(after);
        this.music.copies.refresh(after);
        this.#settled.moved();
        this.#options.onApplied(after, () => this.settledTime);
      },
      dropped: () => {
        this.catalog.dropped();
        this.people.data.load();
        this.music.copies.dropped();
        this.#settled.dropped();
        this.#options.onDropped();
      },
    });
    this.catalog.onChange(() => this.#options.onChange('catalog'));
    this.neighbours.on('message', (heard) => this.#heard(heard));
    this.neighbours.on('member', (change) => this.#memberChanged(change));
    this.neighbours.on('linked', (peer) => {
      this.replica.feed({ kind: 'linked', peer });
      this.#options.onChange('members');
    });
    this.neighbours.on('reach', () => this.music.linksChanged());
    this.neighbours.on('clone', (bootId) => this.replica.feed({ kind: 'cloned', yields: this.#bootId < bootId }));

    await this.music.open();
    await this.neighbours.listen();
    this.duties.start();
    this.neighbours.start();
    const { salvaged } = this.replica;
    if (salvaged) this.#options.log('store-salvaged', { commits: salvaged.missing.commits, kept: salvaged.kept, dropped: salvaged.dropped });
    this.replica.feed({ kind: 'started' });
    this.catalog.load();
    this.people.data.load();
    this.music.start();
  }

  /** What this machine does for others passes to them while it still answers: to be awaited before it stops. */
  handOver(): Promise<void> {
    return this.#dutyTraffic.handOver();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.neighbours.rest();
    await eachStep([
      () => this.duties.stop(),
      () => this.music.stop(),
      () => this.neighbours.leave(),
      () => this.music.library.settled(),
      () => this.replica.close(),
      () => this.catalog.settled(),
      () => this.people.data.settled(),
      // late, because a full disk refuses it
      () => this.neighbours.remember(),
      () => this.music.close(),
    ]);
  }

  // --- what others see of it

  /** This machine itself, or another of this network that is here? */
  readonly lives = (peer: PeerId): boolean => this.music.copies.machines.lives(peer);

  members(): MemberView[] {
    return this.neighbours.members.map((member) => ({ ...member, inSync: this.replica.isInSync(member.peer), apart: this.otherNetworks.of(member.peer) }));
  }

  /** Operations that living members say they wrote and that are not here yet. */
  get behind(): number {
    let behind = 0;
    for (const [peer, { head }] of this.replica.beats) {
      if (head) behind += Math.max(0, head.seq - headOf(this.replica.vector(peer), head.epoch));
    }
    return behind;
  }

  /** Events up to this time are settled. */
  get settledTime(): Lamport {
    return this.#settled.time;
  }

  // --- inputs

  #heard({ peer, bootId, message }: Heard): void {
    switch (message.kind) {
      case 'beat':
        this.replica.feed({ kind: 'beat', from: peer, beat: message });
        this.#meet(peer, message);
        this.#dutyTraffic.pulsed(peer, bootId, message.pulse, message.offer);
        return;
      case 'operations':
        this.replica.feed({ kind: 'operations', from: peer, network: message.network, operations: message.operations });
        return;
      case 'pulse':
        this.#dutyTraffic.pulsed(peer, bootId, message.pulse);
        return;
      case 'pong':
        if (this.neighbours.presence.lives(peer)) this.duties.feed({ kind: 'answered', peer });
        return;
      default:
        if (this.neighbours.presence.lives(peer)) this.duties.feed({ kind: 'message', from: peer, message });
    }
  }

  #meet(peer: PeerId, beat: Beat): void {
    const isOurs = this.otherNetworks.meet(peer, beat);
    // the events of other networks are not here, nor are those of a boot that has left
    if (isOurs && this.neighbours.presence.lives(peer)) this.#settled.beat(peer, beat);
    else this.#settled.gone(peer);
  }

  // --- effects

  #memberChanged(change: MemberChange): void {
    const { peer, from, to, reason } = change;
    this.#dutyTraffic.memberChanged(change);
    // who was merely suspected was here all the time, if it is still the same process
    if (to === 'alive' && (from !== 'suspect' || reason === 'restarted')) this.#settled.came(peer);
    if (to === 'dead' || to === 'left') {
      this.#settled.gone(peer);
      this.otherNetworks.gone(peer);
      this.replica.feed({ kind: 'gone', peer });
    }
    if (to === 'alive') this.music.came(peer);
    else if (to === 'suspect') this.music.linksChanged();
    else this.music.went(peer);
    this.#options.onChange('members');
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
        this.music.library.reconcile().catch(this.#trouble('cannot compare the catalog with the disk'));
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
    if (news.kind === 'apart') this.otherNetworks.told(news.network);
    if (news.kind === 'disk') return this.#options.log('trouble', { what: 'nothing is saved any more', why: news.why });
    const { kind, ...facts } = news;
    this.#options.log(kind, facts);
  }
}
