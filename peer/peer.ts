// A peer, whole: what belongs to this machine (its identity, disk, music folders, cache and web address) and the session in
// the network that it is in. Everything is opened here and closed here, in the opposite order.
import { statfs, unlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { type Address, isLoopback } from '../discovery/address.ts';
import { InterfaceWatcher } from '../discovery/interfaces.ts';
import type { Unicast } from '../discovery/unicast.ts';
import { messageOf, PeerError } from '../lib/errors.ts';
import { FORGET_VALUE, forgetKey } from '../lib/forget.ts';
import type { PayloadId, PeerId, SongId } from '../lib/ids.ts';
import { isEvent } from '../lib/kinds.ts';
import { PASSPHRASE_CHARACTERS_MIN } from '../lib/limits.ts';
import { hex, shortId } from '../lib/ids.ts';
import type { Lamport } from '../lib/lamport.ts';
import type { Log } from '../lib/log.ts';
import { closeNetwork, codeOf as networkCodeOf, DEFAULT_NETWORK_NAME, type Network, networkFromText, networkHash, openNetwork } from '../lib/network-key.ts';
import { compareStamps, type Operation } from '../lib/operation.ts';
import { ROLES, type Role } from '../lib/roles.ts';
import { stampToText } from '../lib/stamp-text.ts';
import { eachStep } from '../lib/steps.ts';
import { type Clock, type Millis, systemClock } from '../lib/time.ts';
import { SAMPLE_TUNE } from '../lib/wav.ts';
import type { CatalogCounts } from '../storage/catalog.ts';
import { CacheVerifier } from '../storage/cache-verifier.ts';
import { ChunkCache } from '../storage/chunk-cache.ts';
import { type Database, openDatabase } from '../storage/database.ts';
import { FileStore } from '../storage/file-store.ts';
import { type FileChange, LocalFiles } from '../storage/local-files.ts';
import { OpenFiles } from '../storage/open-files.ts';
import { Scanner, type ScanProgress } from '../storage/scanner/scanner.ts';
import { bytesOfCaches, bytesOfOthers, markUsed, moveCache, OTHERS_SHARE, type OtherCachesOptions, sweepOthers } from '../storage/other-caches.ts';
import { PinStore } from '../storage/pin-store.ts';
import { toSongJson } from '../storage/song-view.ts';
import { type AudioOptions, audioOf } from './audio.ts';
import { CopiesApi } from './copies/copies-api.ts';
import { describeEvent } from './describe-event.ts';
import { ExchangeStats } from './exchange-stats.ts';
import type { ApiEventKind, ApiPeer, AudioSource, EventJson, LogFollower, LogJson, LogQuery, NetworkJson, RoleJson, SearchJson, SongJson, StatusJson } from './http/api-peer.ts';
import { generatedSource } from './http/generated.ts';
import { type HttpAddress, mayBeGateway } from './http/listen.ts';
import { type HttpServer, openHttp } from './http/server.ts';
import { coordinationShown, rolesShown } from './coordination/shown.ts';
import { Known } from './known-peers.ts';
import { playbackShown } from './playback-shown.ts';
import { PlaybackGuard } from './playback-guard.ts';
import { openPort } from './ports.ts';
import { type Running, RUNNING_FILE } from './running.ts';
import type { Programs } from './services/programs.ts';
import { Session } from './session.ts';
import { Settings } from './settings.ts';
import { PROTOCOL_VERSION } from './stream/hello.ts';
import { UserDataApi } from './user-data/user-data-api.ts';

export interface PeerOptions {
  readonly data: string;
  readonly folders: readonly string[];
  readonly name?: string | undefined;
  /** The network to be in; undefined stays in that of last time. */
  readonly network?: string | undefined;
  /** A code or passphrase of a closed network. */
  readonly networkKey?: string | undefined;
  readonly port?: number | undefined;
  readonly http?: HttpAddress | undefined;
  readonly group: Address;
  readonly interfaces: readonly string[];
  readonly join: readonly Address[];
  readonly advertise: readonly Address[];
  /** What this machine may hold; undefined is all. */
  readonly roles?: readonly Role[] | undefined;
  /** Bytes; undefined is a tenth of what of the disk is free or cached music, at most 10 GB. */
  readonly cacheBytes?: number | undefined;
  /** Tests have services of their own. */
  readonly programs?: Programs | undefined;
  /** Of a machine that went, before its songs are copied elsewhere; tests are quicker. */
  readonly graceMs?: Millis | undefined;
  readonly version: string;
  readonly log: Log;
  readonly clock?: Clock;
}

/** A damaged song is told of again after so long. */
const DAMAGED_AGAIN_MS: Millis = 60_000;
const DAMAGED_REMEMBERED_MAX = 1_024;
const CACHE_BYTES_MAX = 10e9;
const CACHE_SHARE = 0.1;
/** `along`: the network has another key, and cache and pins go along. Who joins others' network leaves them behind. */
interface Change {
  readonly along: boolean;
}

/** As people are shown the id of a network, or more of it. */
const NETWORK_ID_START = /^[0-9a-f]{8,32}$/;

export class Peer implements ApiPeer {
  readonly name: string;
  readonly #options: PeerOptions;
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #settings: Settings;
  readonly #database: Database;
  readonly #known: Known;
  readonly #files: FileStore;
  readonly #cacheBytes: number;
  #cache: ChunkCache | undefined;
  /** Of the cache that is open. */
  #markUsed = async (): Promise<void> => undefined;
  /** Caches of other networks were looked at in this start. */
  #swept = false;
  #verifier: CacheVerifier | undefined;
  readonly #local: LocalFiles;
  readonly #openFiles = new OpenFiles();
  readonly #interfaces: InterfaceWatcher;
  readonly #scanner: Scanner;
  readonly #guard = new PlaybackGuard((yielding) => {
    this.#scanner.setYielding(yielding);
    this.#verifier?.setYielding(yielding);
    this.#session?.then(({ copies }) => copies.playing(yielding)).catch(() => undefined); // one that did not start copies nothing
  });
  readonly stats = new ExchangeStats();
  readonly #onPlayed = (): void => this.#guard.touch();
  readonly #unicast: Unicast;
  readonly userData = new UserDataApi(() => this.#current());
  readonly copies = new CopiesApi({
    session: () => this.#current(),
    knows: async (peer) => this.#knows(await this.#current(), peer),
    scanning: () => this.#isScanning,
    onChange: () => this.#tell('network'),
  });
  readonly #listeners = new Set<(event: { readonly kind: ApiEventKind }) => void>();
  readonly #followers = new Set<LogFollower>();
  #http: HttpServer | undefined;
  /** The latest; requests wait for one that is still starting. */
  #session: Promise<Session> | undefined;
  #network: Network;
  #changing: Promise<unknown> = Promise.resolve();
  #scanning: Promise<void> | undefined;
  #stopping = false;
  #counts: () => CatalogCounts = () => ({ songs: 0, ownSongs: 0, albums: 0, artists: 0 });
  #scanned = false;

  /** @throws PeerError DATA_FOLDER_IN_USE, DATA_FOLDER_UNUSABLE, DISK_FULL, PORT_TAKEN, BAD_CODE, BAD_USAGE */
  static async start(options: PeerOptions): Promise<Peer> {
    const database = await openDatabase(options.data);
    try {
      const settings = await Settings.open(options.data);
      const network = await chooseNetwork(options, settings);
      await settings.saveNetwork(network);
      const unicast = await openPort({ wanted: options.port, remembered: settings.port });
      try {
        if (options.port === undefined && settings.port !== unicast.port) await settings.savePort(unicast.port);
        const cacheBytes = options.cacheBytes ?? (await defaultCacheBytes(options.data));
        const peer = new Peer(options, { database, settings, network, unicast, cacheBytes, known: await Known.open(database) });
        await peer.#start();
        return peer;
      } catch (error) {
        await unicast.close();
        throw error;
      }
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  private constructor(
    options: PeerOptions,
    opened: {
      readonly database: Database;
      readonly settings: Settings;
      readonly network: Network;
      readonly unicast: Unicast;
      readonly cacheBytes: number;
      readonly known: Known;
    },
  ) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#startedAt = this.#clock.now();
    this.#database = opened.database;
    this.#settings = opened.settings;
    this.#network = opened.network;
    this.#unicast = opened.unicast;
    this.#cacheBytes = opened.cacheBytes;
    this.#known = opened.known;
    this.name = (options.name ?? hostname()).slice(0, 63) || shortId(this.id);
    this.#files = new FileStore(opened.database);
    this.#local = new LocalFiles(this.#files, this.#openFiles, (path, change) => this.#fileChanged(path, change));
    this.#interfaces = new InterfaceWatcher({ names: options.interfaces });
    this.#scanner = new Scanner({
      folders: options.folders,
      files: this.#files,
      clock: this.#clock,
      onFound: async ({ description }) => {
        if (description) (await this.#session)?.library.found(description);
      },
      onChanged: async (before, after) => {
        const library = (await this.#session)?.library;
        if (after.description) library?.found(after.description);
        if (before.description && before.description.file !== after.description?.file) await library?.lost(before.description);
      },
      onLost: async ({ description }) => {
        if (description) await (await this.#session)?.library.lost(description);
      },
      onProgress: (progress) => {
        this.#options.log('scan', { ...progress });
        this.#tell('scan');
      },
      onTrouble: (line) => this.#options.log('trouble', { what: line }),
    });
  }

  get id(): PeerId {
    return this.#settings.identity.peer;
  }

  get port(): number {
    return this.#unicast.port;
  }

  get groupPort(): number {
    return this.#options.group.port;
  }

  get networkName(): string {
    return this.#network.name;
  }

  /** Is the web address for this machine alone? */
  get isLocalOnly(): boolean {
    const host = this.#options.http?.host;
    return host !== undefined && isLoopback(host);
  }

  get httpUrl(): string {
    return (this.#http as HttpServer).url;
  }

  get httpPort(): number {
    return (this.#http as HttpServer).port;
  }

  /** Addresses of this machine that others on the LAN can open. */
  get addresses(): readonly string[] {
    return this.#interfaces.interfaces.filter(({ loopback }) => !loopback).map(({ address }) => address);
  }

  loginLink(): string {
    return (this.#http as HttpServer).loginLink();
  }

  async #start(): Promise<void> {
    const { version, http, advertise } = this.#options;
    try {
      this.#http = await openHttp({ peer: this, address: http, version, names: advertise.map(({ host }) => host) });
      this.#interfaces.start();
      this.#session = this.#openSession(this.#network);
      await this.#session;
    } catch (error) {
      await this.#http?.close();
      this.#interfaces.stop();
      await this.#closeCache();
      throw error;
    }
    const running: Running = { pid: process.pid, http: this.httpUrl };
    await writeFile(join(this.#options.data, RUNNING_FILE), `${JSON.stringify(running)}\n`, { mode: 0o600 });
    this.#scanning = this.#scan();
  }

  /** Says goodbye, and closes everything; what was reported as shared is on disk. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await eachStep([
      () => unlink(join(this.#options.data, RUNNING_FILE)).catch(() => undefined),
      () => this.#changing,
      async () => (await this.#session)?.handOver(),
      () => this.#http?.close(),
      () => this.#scanner.close(),
      () => this.#scanning,
      async () => (await this.#session)?.stop(),
      () => this.#interfaces.stop(),
      () => this.#unicast.close(),
      () => this.#closeCache(),
      () => this.#openFiles.close(),
      () => this.#database.close(),
    ]);
  }

  /** The network's name leads to the usual port, so the gateway is a machine that has it. */
  get #mayHold(): readonly Role[] {
    const roles = this.#options.roles ?? ROLES;
    return mayBeGateway({ httpPort: this.httpPort, localOnly: this.isLocalOnly }) ? roles : roles.filter((role) => role !== 'gateway');
  }

  /** @param before whose cache and pins are those of this one now */
  async #openSession(network: Network, before?: Network): Promise<Session> {
    const { group, join: targets, advertise, log } = this.#options;
    const hash = hex(networkHash(network));
    await this.#closeCache();
    if (before) await this.#takeAlong(hex(networkHash(before)), hash);
    const pins = await PinStore.open(this.#database, hash);
    this.#cache = await this.#openCache(hash, pins);
    const session = await Session.start({
      identity: this.#settings.identity,
      name: this.name,
      network,
      port: this.port,
      httpPort: this.isLocalOnly ? 0 : this.httpPort,
      httpUrl: this.httpUrl,
      group,
      join: targets,
      advertise,
      interfaces: this.#interfaces,
      unicast: this.#unicast,
      roles: this.#mayHold,
      programs: this.#options.programs,
      database: this.#database,
      files: this.#files,
      local: this.#local,
      cache: this.#cache,
      pins,
      known: this.#known,
      clock: this.#clock,
      log,
      onChange: (what) => this.#tell(what),
      onApplied: (operations, settledTime) => this.#logged(operations, settledTime),
      onDropped: () => this.#endLog(),
      onClone: () => this.#renew().catch((error: unknown) => log('trouble', { what: 'this machine runs with the identity of another and could not take a new one', why: messageOf(error) })),
      onPlayed: this.#onPlayed,
      stats: this.stats,
      graceMs: this.#options.graceMs,
    });
    this.#counts = () => session.catalog.counts;
    return session;
  }

  /** Music that cannot be moved stays where it was, for whoever opens that network again. */
  async #takeAlong(from: string, to: string): Promise<void> {
    try {
      await PinStore.move(this.#database, from, to);
      await moveCache(this.#cacheFolder, from, to);
    } catch (error) {
      this.#options.log('trouble', { what: 'what is cached and pinned here could not be taken along', why: messageOf(error) });
    }
  }

  get #cacheFolder(): string {
    return join(this.#options.data, 'cache');
  }

  /** What was cached in another network is not served in this one, and kept for whoever comes back. What is too much of it goes with
   *  the next start, when nobody can want a change of networks undone any more. */
  async #roomIn(network: string): Promise<number> {
    const bytesMax = this.#cacheBytes;
    const others = { folder: this.#cacheFolder, network };
    if (!this.#swept) {
      this.#swept = true;
      const trouble = (error: unknown): void => this.#options.log('trouble', { what: 'what was cached in other networks could not be removed', why: messageOf(error) });
      await this.#sweepOthers(others).catch(trouble);
    }
    return Math.max(Math.ceil((1 - OTHERS_SHARE) * bytesMax), bytesMax - (await bytesOfOthers(others)));
  }

  async #sweepOthers(others: OtherCachesOptions): Promise<void> {
    const pins = new Map<string, ReadonlySet<PayloadId>>();
    for (const network of await PinStore.networks(this.#database)) pins.set(network, new Set((await PinStore.open(this.#database, network)).pins.values()));
    await sweepOthers({ ...others, bytesMax: this.#cacheBytes, now: this.#clock.wall(), isPinned: (network, payload) => pins.get(network)?.has(payload) ?? false });
  }

  async #openCache(network: string, pins: PinStore): Promise<ChunkCache> {
    const folder = this.#cacheFolder;
    const announce = (how: (library: Session['library']) => void): void => {
      this.#session?.then(({ library }) => how(library)).catch(() => undefined); // a session that did not start announces nothing
    };
    /** Each is told once in a while: a disk that dies damages a song in many places, and some are mended before the next is found. */
    const damaged = new LRUCache<PayloadId, true>({ max: DAMAGED_REMEMBERED_MAX, ttl: DAMAGED_AGAIN_MS });
    const announceCopy = (payload: PayloadId): void => announce((library) => cache.complete(payload) && library.cached(payload, cache.filesOf(payload)));
    const cache = await ChunkCache.open(
      join(folder, network),
      // until it is known who else has what is here, nothing goes
      { bytesMax: await this.#roomIn(network), files: this.#openFiles, pinned: pins.pins.values(), judge: () => 'last' },
      {
        completed: announceCopy,
        edges: announceCopy,
        lost: (payload) => announce((library) => library.evicted(payload)),
        damaged: (payload) => {
          if (damaged.has(payload)) return;
          damaged.set(payload, true);
          this.#options.log('damaged', { payload });
        },
        trouble: (error) => this.#options.log('trouble', { what: error.message }),
      },
    );
    const used = { folder, network };
    await markUsed(used);
    this.#markUsed = () => markUsed(used);
    this.#verifier = new CacheVerifier({ cache, place: join(folder, network, 'verified') });
    return cache;
  }

  async #closeCache(): Promise<void> {
    await this.#verifier?.close();
    await this.#cache?.close();
    if (this.#cache) await this.#markUsed();
    this.#verifier = undefined;
    this.#cache = undefined;
  }

  async #scan(): Promise<void> {
    try {
      // what is known is searched before the disk is looked at
      await (await this.#session)?.catalog.loaded;
      if (!(await this.#scanner.start())) return; // stopped in the middle
      const session = await this.#current();
      await session.library.reconcile();
      await session.catalog.settled();
      this.#scanned = true;
      this.#options.log('scanned', { songs: session.catalog.counts.ownSongs, problems: this.#scanner.progress.problems });
      this.#tell('catalog');
    } catch (error) {
      this.#options.log('trouble', { what: 'the music folders could not be read', why: messageOf(error) });
    }
  }

  #fileChanged(path: string, change: FileChange): void {
    this.#options.log('file-changed', { path });
    const looked = change === 'unseen' ? this.#scanner.suspect(path) : this.#scanner.rescan();
    looked.catch((error: unknown) => this.#options.log('trouble', { what: 'the music folders could not be read', why: messageOf(error) }));
  }

  #tell(kind: ApiEventKind): void {
    for (const listener of this.#listeners) listener({ kind });
  }

  async #current(): Promise<Session> {
    if (!this.#session) throw new PeerError('CLOSED', 'this peer is starting or stopping');
    return this.#session;
  }

  /** Only sorted and told when somebody listens: a new machine's hundred thousand songs go by here too. */
  #logged(operations: readonly Operation[], settledTime: () => Lamport): void {
    if (this.#followers.size === 0) return;
    const events = operations.filter(({ key }) => isEvent(key)).sort(compareStamps);
    if (events.length === 0) return;
    const told = events.map((event) => () => this.#eventJson(event, settledTime()));
    for (const follower of this.#followers) follower.came(told);
  }

  /** Whoever follows one network's log is let go before another's begins. */
  #endLog(): void {
    for (const follower of [...this.#followers]) follower.over();
  }

  #eventJson({ lamport, origin, epoch, seq, key, value }: Operation, settledTime: Lamport): EventJson {
    const name = origin === this.id ? this.name : (this.#known.nameOf(origin) ?? '');
    const { at, kind, ...facts } = describeEvent({ key, value });
    return { lamport, origin, epoch, seq, at, kind, ...facts, settled: lamport <= settledTime, name };
  }

  // --- what the web address serves (ApiPeer)

  get token(): string {
    return this.#settings.token;
  }

  get open(): boolean {
    return this.#network.open;
  }

  get progress(): ScanProgress {
    return this.#scanner.progress;
  }

  get #isScanning(): boolean {
    return this.#scanner.progress.scanning || !this.#scanned;
  }

  async status({ copies } = { copies: true }): Promise<StatusJson> {
    const session = await this.#current();
    const { scanning, problems, filesDone, filesTotal } = this.#scanner.progress;
    return {
      peer: { id: this.id, name: this.name, uptimeMs: Math.round(this.#clock.now() - this.#startedAt) },
      network: {
        name: this.#network.name,
        id: session.networkId ?? '',
        open: this.#network.open,
        mode: session.mode,
        apart: this.#apart(session),
        version: PROTOCOL_VERSION,
        otherVersions: [...session.otherVersions],
        dropped: { ...session.dropped },
      },
      members: session.members().map(({ peer, name, state, address, lastHeardMs, inSync, apart }) => ({
        id: peer,
        name,
        state,
        address: address ? `${address.host}:${address.port}` : '',
        roles: ROLES.filter((role) => session.duties.holder(role)?.peer === peer),
        lastHeardMs: Math.round(lastHeardMs),
        inSync,
        apart: apart ?? null,
      })),
      ...coordinationShown(session.duties, session.gatewayName ?? null),
      catalog: {
        ...session.catalog.counts,
        scanning: this.#isScanning,
        scan: scanning ? { done: filesDone, total: filesTotal } : null,
        problems,
      },
      copies: await this.copies.counted({ counting: copies }),
      cache: { bytes: this.#cache?.bytes ?? 0, bytesMax: this.#cache?.bytesMax ?? this.#cacheBytes, songs: this.#cache?.songs ?? 0 },
      playback: playbackShown(this.stats, session.payloads.rates(), (peer) => this.#known.nameOf(peer) ?? ''),
      replication: { digest: session.replica.digest, lamport: session.replica.clock.time, behind: session.behind, localOnly: session.replica.localOnly },
      sample: this.#offersSample ? { title: SAMPLE_TUNE.title, artist: SAMPLE_TUNE.artist, durationMs: SAMPLE_TUNE.seconds * 1_000 } : null,
    };
  }

  async roles(): Promise<readonly RoleJson[]> {
    const { duties, gatewayName } = await this.#current();
    return rolesShown(duties, { gatewayName, nameOf: (peer) => (peer === this.id ? this.name : (this.#known.nameOf(peer) ?? '')) });
  }

  async files(): Promise<readonly { readonly path: string; readonly reason: string }[]> {
    return [...this.#scanner.folderProblems, ...this.#scanner.problems()];
  }

  async search(words: string, page: { readonly limit: number; readonly offset: number }): Promise<SearchJson> {
    const { catalog, lives } = await this.#current();
    const { total, songs } = await catalog.search(words, page);
    return { total, songs: songs.map((song) => toSongJson(song, lives)) };
  }

  async song(id: SongId): Promise<SongJson | null> {
    const { catalog, lives } = await this.#current();
    const song = await catalog.songStartingWith(id);
    return song ? toSongJson(song, lives) : null;
  }

  async audio(id: SongId, options: AudioOptions): Promise<AudioSource | null> {
    const now = (): number => this.#clock.now();
    const askedAt = now();
    const { catalog, copies, reader: files, chosen, sources, prefetch } = await this.#current();
    const song = await catalog.songStartingWith(id);
    if (!song) return null;
    // its payload may not tell which song it is, once it is cached
    copies.keeping.note(song);
    return audioOf(song, options, { files, chosen, sources, onPlayed: this.#onPlayed, stats: this.stats, now, foundAfterMs: now() - askedAt, onBegun: (...begun) => prefetch.began(...begun) });
  }

  sample(): AudioSource | null {
    return this.#offersSample ? generatedSource(SAMPLE_TUNE) : null;
  }

  /** Once it is sure that there is no music, and as long as there is none. */
  get #offersSample(): boolean {
    return this.#scanned && this.#counts().songs === 0;
  }

  async network(): Promise<NetworkJson> {
    const { name, open } = this.#network;
    const session = await this.#current();
    return { name, id: session.networkId ?? '', open, code: open ? null : networkCodeOf(this.#network), apart: this.#apart(session), copies: session.copies.wanted };
  }

  #apart(session: Session): NetworkJson['apart'] {
    return [...session.apart].map(([id, peer]) => ({ id, peer, name: this.#known.nameOf(peer) ?? '' }));
  }

  async closeNetwork({ newKey }: { readonly newKey: boolean }): Promise<NetworkJson> {
    if (this.#network.open || newKey) await this.#change(closeNetwork(this.#network.name), { along: true });
    return this.network();
  }

  async openNetwork(): Promise<NetworkJson> {
    if (!this.#network.open) await this.#change(openNetwork(this.#network.name), { along: true });
    return this.network();
  }

  async joinNetwork(code: string): Promise<NetworkJson> {
    const session = await this.#current();
    const start = code.trim().toLowerCase();
    const [id, another] = session.metNetworks.filter((network) => NETWORK_ID_START.test(start) && network.startsWith(start));
    if (id && another) throw new PeerError('BAD_USAGE', `the ids of several networks begin with ${start}; give more of one`);
    if (id) {
      await session.unite(id);
      return { ...(await this.network()), united: true };
    }
    // too short for a passphrase, and no word of a code
    if (NETWORK_ID_START.test(start) && start.length < PASSPHRASE_CHARACTERS_MIN) {
      const own = [...session.replica.networks].some((network) => network.startsWith(start));
      throw own ? new PeerError('BAD_USAGE', 'this machine is in that network already') : new PeerError('NOT_FOUND', `no other network whose id begins with ${start} is here; network show lists them`);
    }
    await this.#change(await networkFromText(code, { name: this.#network.name }), { along: false });
    return this.network();
  }

  async forget(peer: PeerId): Promise<void> {
    const session = await this.#current();
    if (peer === this.id) throw new PeerError('BAD_USAGE', 'a peer does not forget itself');
    if (!this.#knows(session, peer)) {
      throw new PeerError('NOT_FOUND', 'no machine of that id was ever here');
    }
    await session.replica.write([{ key: forgetKey(peer), value: FORGET_VALUE }]);
  }

  #knows(session: Session, peer: PeerId): boolean {
    return peer === this.id || session.members().some((member) => member.peer === peer) || session.replica.origins.has(peer);
  }

  async log(query: LogQuery): Promise<LogJson> {
    const { eventLog: log, settledTime: settled } = await this.#current();
    const events = await (query.kind === 'last' ? log.last(query.count) : log.after(query.stamp, query.limit));
    const end = events.at(-1) ?? (query.kind === 'after' ? query.stamp : null);
    return { events: events.map((event) => this.#eventJson(event, settled)), next: end && stampToText(end), settled };
  }

  followLog(follower: LogFollower): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  onEvent(listener: (event: { readonly kind: ApiEventKind }) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Two cannot live with one identity: goes on with a new one in the same network. What was written under the old one stays. */
  #renew(): Promise<void> {
    const change = this.#changing.then(async () => {
      if (this.#stopping) return;
      await this.#settings.renewIdentity();
      await this.#leaveFor(this.#network, { along: false });
      this.#tell('network');
    });
    this.#changing = change.catch(() => undefined);
    return change;
  }

  /** One change of networks at a time, each from a network that is whole to one that is. */
  #change(network: Network, how: Change): Promise<void> {
    const change = this.#changing.then(() => this.#enter(network, how));
    this.#changing = change.catch(() => undefined);
    return change;
  }

  /** Leaves the network and enters another; the music here goes along. Where that fails, everything is as before. */
  async #enter(network: Network, how: Change): Promise<void> {
    if (this.#stopping) throw new PeerError('CLOSED', 'this peer is stopping');
    const before = this.#network;
    try {
      await this.#settings.saveNetwork(network);
    } catch (cause) {
      throw new PeerError('DISK_FULL', `the network is not changed, because it cannot be written down (${messageOf(cause)})`, { cause });
    }
    try {
      await this.#leaveFor(network, how);
    } catch (error) {
      await this.#settings.saveNetwork(before).catch(() => undefined); // then the next start tries the other one again
      await this.#leaveFor(before, how);
      throw error;
    }
    this.#options.log('network', { name: network.name, open: network.open });
    this.#tell('network');
  }

  /** Whoever asks for something meanwhile waits for the session to come. */
  async #leaveFor(network: Network, { along }: Change): Promise<void> {
    const last = this.#session?.catch(() => undefined); // one that did not start needs no stop
    const next = async (): Promise<Session> => {
      await (await last)?.stop();
      const before = along ? this.#network : undefined;
      this.#network = network;
      this.#endLog();
      return this.#openSession(network, before);
    };
    this.#session = next();
    const { library } = await this.#session;
    await library.reconcile();
  }
}

/** What was asked for, else what was last time, else the open network `home`. */
async function chooseNetwork({ network, networkKey }: PeerOptions, settings: Settings): Promise<Network> {
  const last = settings.network;
  if (networkKey !== undefined) return networkFromText(networkKey, { name: network ?? last?.name ?? DEFAULT_NETWORK_NAME });
  if (network !== undefined && network !== last?.name) return openNetwork(network);
  return last ?? openNetwork(DEFAULT_NETWORK_NAME);
}

/** What is cached already counts as free, or the bound would shrink with each start. */
async function defaultCacheBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return Math.floor(Math.min(CACHE_BYTES_MAX, CACHE_SHARE * (bavail * bsize + (await bytesOfCaches(join(folder, 'cache'))))));
}
