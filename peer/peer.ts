// A peer, whole: what belongs to this machine (its identity, disk, music folders, cache and web address) and the session in
// the network that it is in. Everything is opened here and closed here, in the opposite order.
import { unlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Address, isLoopback } from '../discovery/address.ts';
import { InterfaceWatcher } from '../discovery/interfaces.ts';
import type { Unicast } from '../discovery/unicast.ts';
import { messageOf, PeerError } from '../lib/errors.ts';
import { FORGET_VALUE, forgetKey } from '../lib/forget.ts';
import { hex, type PeerId, shortId, type SongId } from '../lib/ids.ts';
import { PASSPHRASE_CHARACTERS_MIN } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { closeNetwork, codeOf as networkCodeOf, DEFAULT_NETWORK_NAME, type Network, networkFromText, networkHash, openNetwork } from '../lib/network-key.ts';
import { ROLES, type Role } from '../lib/roles.ts';
import { eachStep } from '../lib/steps.ts';
import { type Clock, type Millis, systemClock } from '../lib/time.ts';
import { SAMPLE_TUNE } from '../lib/wav.ts';
import type { CatalogCounts } from '../storage/catalog.ts';
import { type Database, openDatabase } from '../storage/database.ts';
import { FileStore } from '../storage/file-store.ts';
import { type FileChange, LocalFiles } from '../storage/local-files.ts';
import { defaultCacheBytes, moveNetworkCache, sweepNetworkCaches } from '../storage/network-cache.ts';
import { OpenFiles } from '../storage/open-files.ts';
import { Scanner, type ScanProgress } from '../storage/scanner/scanner.ts';
import { toSongJson } from '../storage/song-view.ts';
import { ExchangeStats } from './chunks/exchange-stats.ts';
import { CopiesApi } from './copies/copies-api.ts';
import { EventLogApi } from './event-log-api.ts';
import type { ApiEventKind, ApiPeer, AudioSource, NetworkJson, RoleJson, SearchJson, SongJson, StatusJson } from './http/api-peer.ts';
import { generatedSource } from './http/generated.ts';
import { type HttpAddress, mayBeGateway } from './http/listen.ts';
import { type HttpServer, openHttp } from './http/server.ts';
import { coordinationShown, rolesShown } from './coordination/shown.ts';
import { CurrentNetwork } from './current-network.ts';
import type { Library } from './library.ts';
import { Known } from './known-peers.ts';
import { takeAlong } from './moves.ts';
import type { AudioOptions } from './music/audio.ts';
import type { MachineMusic } from './music/music.ts';
import { PlaybackGuard } from './music/playback-guard.ts';
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
  readonly #openFiles = new OpenFiles();
  readonly #music: MachineMusic;
  readonly #interfaces: InterfaceWatcher;
  readonly #scanner: Scanner;
  readonly #unicast: Unicast;
  readonly userData = new UserDataApi(() => this.#network.session());
  readonly copies = new CopiesApi({
    session: () => this.#network.session(),
    knows: async (peer) => this.#knows(await this.#network.session(), peer),
    scanning: () => this.#isScanning,
    nameOf: (peer) => this.#nameOf(peer),
    onChange: () => this.#tell('network'),
  });
  readonly eventLog = new EventLogApi({ session: () => this.#network.session(), nameOf: (peer) => this.#nameOf(peer) });
  readonly #listeners = new Set<(event: { readonly kind: ApiEventKind }) => void>();
  #http: HttpServer | undefined;
  readonly #network: CurrentNetwork;
  #scanning: Promise<void> | undefined;
  #counts: () => CatalogCounts = () => ({ songs: 0, ownSongs: 0, albums: 0, artists: 0 });
  #scanned = false;

  /** @throws PeerError DATA_FOLDER_IN_USE, DATA_FOLDER_UNUSABLE, DISK_FULL, PORT_TAKEN, BAD_CODE, BAD_USAGE */
  static async start(options: PeerOptions): Promise<Peer> {
    const database = await openDatabase(options.data);
    let close = (): Promise<void> => database.close();
    try {
      const settings = await Settings.open(options.data);
      const network = await chooseNetwork(options, settings);
      await settings.saveNetwork(network);
      const unicast = await openPort({ wanted: options.port, remembered: settings.port });
      close = () => eachStep([() => unicast.close(), () => database.close()]);
      if (options.port === undefined && settings.port !== unicast.port) await settings.savePort(unicast.port);
      const cacheBytes = options.cacheBytes ?? (await defaultCacheBytes(options.data));
      const peer = new Peer(options, { database, settings, network, unicast, cacheBytes, known: await Known.open(database) });
      close = () => peer.stop();
      await peer.#start();
      return peer;
    } catch (error) {
      await close().catch(() => undefined); // what went wrong first is what is told
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
    this.#unicast = opened.unicast;
    this.#known = opened.known;
    this.name = (options.name ?? hostname()).slice(0, 63) || shortId(this.id);
    const files = new FileStore(opened.database);
    const { log } = options;
    this.#music = {
      files,
      local: new LocalFiles(files, this.#openFiles, (path, change) => this.#fileChanged(path, change)),
      caches: { data: options.data, bytesMax: opened.cacheBytes, database: opened.database, files: this.#openFiles, log },
      guard: new PlaybackGuard(),
      stats: new ExchangeStats(),
      scanning: () => this.#isScanning,
      folderMissing: () => this.#scanner.isFolderMissing,
      lookForFolders: () => this.#scanner.lookAtRoots(),
      graceMs: options.graceMs,
    };
    this.#network = new CurrentNetwork(opened.network, {
      settings: opened.settings,
      open: (network, from) => this.#openSession(network, from),
      onLeft: () => this.eventLog.over(),
      onChange: () => this.#tell('network'),
      log,
    });
    this.#interfaces = new InterfaceWatcher({ names: options.interfaces });
    this.#scanner = new Scanner({
      folders: options.folders,
      files,
      clock: this.#clock,
      onFound: async ({ description }) => {
        if (description) (await this.#library()).found(description);
      },
      onChanged: async (before, after) => {
        const library = await this.#library();
        if (after.description) library.found(after.description);
        if (before.description && before.description.file !== after.description?.file) await library.lost(before.description);
      },
      onLost: async ({ description }) => {
        if (description) await (await this.#library()).lost(description);
      },
      onProgress: (progress) => {
        log('scan', { ...progress });
        this.#tell('scan');
      },
      onTrouble: (line) => log('trouble', { what: line }),
    });
    this.#music.guard.onChange((playing) => this.#scanner.setYielding(playing));
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
    return this.#network.key.name;
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
    const { data, version, http, advertise } = this.#options;
    this.#http = await openHttp({ peer: this, address: http, version, names: advertise.map(({ host }) => host) });
    this.#interfaces.start();
    await this.#network.start();
    const running: Running = { pid: process.pid, http: this.httpUrl };
    const path = join(data, RUNNING_FILE);
    try {
      await writeFile(path, `${JSON.stringify(running)}\n`, { mode: 0o600 });
    } catch (cause) {
      throw new PeerError('DATA_FOLDER_UNUSABLE', `${path} cannot be written (${messageOf(cause)}), by which commands find this peer`, { cause });
    }
    this.#scanning = this.#scan();
  }

  /** Says goodbye, and closes everything; what was reported as shared is on disk. */
  async stop(): Promise<void> {
    let session: Session | undefined;
    await eachStep([
      () => unlink(join(this.#options.data, RUNNING_FILE)).catch(() => undefined),
      async () => (session = await this.#network.settle()),
      () => session?.handOver(),
      () => this.#http?.close(),
      () => this.#scanner.close(),
      () => this.#scanning,
      () => session?.stop(),
      () => this.#interfaces.stop(),
      () => this.#unicast.close(),
      () => this.#settings.close(),
      () => this.#openFiles.close(),
      () => this.#database.close(),
    ]);
  }

  /** The network's name leads to the usual port, so the gateway is a machine that has it. */
  get #mayHold(): readonly Role[] {
    const roles = this.#options.roles ?? ROLES;
    return mayBeGateway({ httpPort: this.httpPort, localOnly: this.isLocalOnly }) ? roles : roles.filter((role) => role !== 'gateway');
  }

  async #openSession(network: Network, from?: Network): Promise<Session> {
    const { group, join: targets, advertise, log } = this.#options;
    const { caches } = this.#music;
    const here = hex(networkHash(network));
    const { moves } = this.#settings;
    const toMove = await takeAlong({ moves, here, move: (move) => moveNetworkCache(move, caches) });
    // what could not be moved is no music of others
    await sweepNetworkCaches({ network: here, left: new Set([...toMove.map((move) => move.from), ...(from ? [hex(networkHash(from))] : [])]) }, caches, this.#clock.wall());
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
      music: this.#music,
      known: this.#known,
      clock: this.#clock,
      log,
      onChange: (what) => this.#tell(what),
      onApplied: (operations, settledTime) => this.eventLog.applied(operations, settledTime),
      onDropped: () => this.eventLog.over(),
      onClone: () => this.#network.renewIdentity().catch((error: unknown) => log('trouble', { what: 'this machine runs with the identity of another and could not take a new one', why: messageOf(error) })),
    });
    // only now: where it cannot be opened, and the way back cannot be written down either, the next start finds them as they are
    if (toMove.length < moves.length) await this.#settings.saveMoves(toMove);
    this.#counts = () => session.catalog.counts;
    return session;
  }

  async #library(): Promise<Library> {
    return (await this.#network.session()).music.library;
  }

  async #scan(): Promise<void> {
    try {
      // what is known is searched before the disk is looked at
      await (await this.#network.session()).catalog.loaded;
      if (!(await this.#scanner.start())) return; // stopped in the middle
      const session = await this.#network.session();
      await session.music.library.reconcile();
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

  /** Empty where it is not known. */
  #nameOf(peer: PeerId): string {
    return peer === this.id ? this.name : (this.#known.nameOf(peer) ?? '');
  }

  // --- what the web address serves (ApiPeer)

  get token(): string {
    return this.#settings.token;
  }

  get open(): boolean {
    return this.#network.key.open;
  }

  get progress(): ScanProgress {
    return this.#scanner.progress;
  }

  get #isScanning(): boolean {
    return this.#scanner.progress.scanning || !this.#scanned;
  }

  get stats(): ExchangeStats {
    return this.#music.stats;
  }

  async status({ copies } = { copies: true }): Promise<StatusJson> {
    const session = await this.#network.session();
    const { scanning, problems, filesDone, filesTotal } = this.#scanner.progress;
    return {
      peer: { id: this.id, name: this.name, uptimeMs: Math.round(this.#clock.now() - this.#startedAt), leaving: session.catalog.leaves(this.id) },
      network: {
        name: this.#network.key.name,
        id: session.replica.network ?? '',
        open: this.#network.key.open,
        mode: session.neighbours.presence.mode,
        apart: this.#apart(session),
        version: PROTOCOL_VERSION,
        otherVersions: [...session.neighbours.otherVersions],
        dropped: { ...session.neighbours.dropped },
      },
      members: session.members().map(({ peer, name, state, address, lastHeardMs, inSync, apart }) => ({
        id: peer,
        name,
        state,
        address: address ? `${address.host}:${address.port}` : '',
        roles: ROLES.filter((role) => session.duties.holder(role)?.peer === peer),
        lastHeardMs: Math.round(lastHeardMs),
        inSync,
        leaving: session.catalog.leaves(peer),
        apart: apart ?? null,
      })),
      ...coordinationShown(session.duties, session.neighbours.names.gatewayNameHeard ?? null),
      catalog: {
        ...session.catalog.counts,
        scanning: this.#isScanning,
        scan: scanning ? { done: filesDone, total: filesTotal } : null,
        problems,
      },
      copies: await this.copies.counted({ counting: copies }),
      ...session.music.shown((peer) => this.#nameOf(peer)),
      replication: { digest: session.replica.digest, lamport: session.replica.clock.time, behind: session.behind, localOnly: session.replica.localOnly },
      sample: this.#offersSample ? { title: SAMPLE_TUNE.title, artist: SAMPLE_TUNE.artist, durationMs: SAMPLE_TUNE.seconds * 1_000 } : null,
    };
  }

  async roles(): Promise<readonly RoleJson[]> {
    const { duties, neighbours } = await this.#network.session();
    return rolesShown(duties, { gatewayName: neighbours.names.gatewayNameHeard, nameOf: (peer) => this.#nameOf(peer) });
  }

  async files(): Promise<readonly { readonly path: string; readonly reason: string }[]> {
    return [...this.#scanner.folderProblems, ...this.#scanner.problems()];
  }

  async search(words: string, page: { readonly limit: number; readonly offset: number }): Promise<SearchJson> {
    const { catalog, lives } = await this.#network.session();
    const { total, songs } = await catalog.search(words, page);
    return { total, songs: songs.map((song) => toSongJson(song, lives)) };
  }

  async song(id: SongId): Promise<SongJson | null> {
    const { catalog, lives } = await this.#network.session();
    const song = await catalog.songStartingWith(id);
    return song ? toSongJson(song, lives) : null;
  }

  async audio(id: SongId, options: AudioOptions): Promise<AudioSource | null> {
    const askedAt = this.#clock.now();
    const { music } = await this.#network.session();
    return music.audio(id, { ...options, askedAt });
  }

  sample(): AudioSource | null {
    return this.#offersSample ? generatedSource(SAMPLE_TUNE) : null;
  }

  /** Once it is sure that there is no music, and as long as there is none. */
  get #offersSample(): boolean {
    return this.#scanned && this.#counts().songs === 0;
  }

  async network(): Promise<NetworkJson> {
    const { name, open } = this.#network.key;
    const session = await this.#network.session();
    return { name, id: session.replica.network ?? '', open, code: open ? null : networkCodeOf(this.#network.key), apart: this.#apart(session), copies: session.music.copies.wanted };
  }

  #apart(session: Session): NetworkJson['apart'] {
    return [...session.otherNetworks.present].map(([id, peer]) => ({ id, peer, name: this.#nameOf(peer) }));
  }

  async closeNetwork({ newKey }: { readonly newKey: boolean }): Promise<NetworkJson> {
    if (this.#network.key.open || newKey) await this.#network.change(closeNetwork(this.#network.key.name), { along: true });
    return this.network();
  }

  async openNetwork(): Promise<NetworkJson> {
    if (!this.#network.key.open) await this.#network.change(openNetwork(this.#network.key.name), { along: true });
    return this.network();
  }

  async joinNetwork(code: string): Promise<NetworkJson> {
    const session = await this.#network.session();
    const start = code.trim().toLowerCase();
    const [id, another] = session.otherNetworks.met.filter((network) => NETWORK_ID_START.test(start) && network.startsWith(start));
    if (id && another) throw new PeerError('BAD_USAGE', `the ids of several networks begin with ${start}; give more of one`);
    if (id) {
      await session.otherNetworks.unite(id);
      return { ...(await this.network()), united: true };
    }
    // too short for a passphrase, and no word of a code
    if (NETWORK_ID_START.test(start) && start.length < PASSPHRASE_CHARACTERS_MIN) {
      const own = [...session.replica.networks].some((network) => network.startsWith(start));
      throw own ? new PeerError('BAD_USAGE', 'this machine is in that network already') : new PeerError('NOT_FOUND', `no other network whose id begins with ${start} is here; network show lists them`);
    }
    await this.#network.change(await networkFromText(code, { name: this.#network.key.name }), { along: false });
    return this.network();
  }

  async forget(peer: PeerId): Promise<void> {
    const session = await this.#network.session();
    if (peer === this.id) throw new PeerError('BAD_USAGE', 'a peer does not forget itself');
    if (!this.#knows(session, peer)) {
      throw new PeerError('NOT_FOUND', 'no machine of that id was ever here');
    }
    await session.replica.write([{ key: forgetKey(peer), value: FORGET_VALUE }]);
  }

  #knows(session: Session, peer: PeerId): boolean {
    return peer === this.id || session.members().some((member) => member.peer === peer) || session.replica.origins.has(peer);
  }

  onEvent(listener: (event: { readonly kind: ApiEventKind }) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** What was asked for, else what was last time, else the open network `home`. */
async function chooseNetwork({ network, networkKey }: PeerOptions, settings: Settings): Promise<Network> {
  const last = settings.network;
  if (networkKey !== undefined) return networkFromText(networkKey, { name: network ?? last?.name ?? DEFAULT_NETWORK_NAME });
  if (network !== undefined && network !== last?.name) return openNetwork(network);
  return last ?? openNetwork(DEFAULT_NETWORK_NAME);
}
