// A peer's music in one network, whole: what it shares and says of it, gives to others, fetches from them, plays, and keeps copies of.
// Puts these together, and tells them what happens around them.
import { PeerError } from '../../lib/errors.ts';
import type { FileId, PayloadId, PeerId, SongId } from '../../lib/ids.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/random.ts';
import type { Clock, Millis } from '../../lib/time.ts';
import type { Catalog } from '../../storage/catalog.ts';
import type { FileStore } from '../../storage/file-store.ts';
import type { LocalFiles } from '../../storage/local-files.ts';
import type { NetworkCache, NetworkCacheOptions } from '../../storage/network-cache.ts';
import type { OperationStore } from '../../storage/operation-store.ts';
import { systemAlarms } from '../chunks/alarms.ts';
import { chunkHandlers } from '../chunks/chunk-server.ts';
import { EdgeReader } from '../chunks/edge-reader.ts';
import type { ExchangeStats } from '../chunks/exchange-stats.ts';
import { FileReader } from '../chunks/file-reader.ts';
import { PayloadReader } from '../chunks/payload-reader.ts';
import { Sources } from '../chunks/sources.ts';
import type { Duties } from '../coordination/duties.ts';
import { Copies } from '../copies/copies.ts';
import type { AudioSource } from '../http/api-peer.ts';
import type { StatusJson } from '../http/schemas.ts';
import { Library } from '../library.ts';
import type { OtherNetworks } from '../other-networks.ts';
import type { Paths } from '../paths.ts';
import type { Replica } from '../replication/replica.ts';
import type { Handler } from '../stream/connection.ts';
import type { People } from '../user-data/people.ts';
import { type AudioRequest, audioOf, fetchSong } from './audio.ts';
import { ChosenFiles } from './chosen-files.ts';
import { GoingOn } from './going-on.ts';
import type { PlaybackGuard } from './playback-guard.ts';
import { playbackShown } from './playback-shown.ts';
import { Prefetch } from './prefetch.ts';

/** What of it belongs to the machine, whatever network it is in. */
export interface MachineMusic {
  readonly files: FileStore;
  readonly local: LocalFiles;
  readonly caches: NetworkCacheOptions;
  readonly guard: PlaybackGuard;
  readonly stats: ExchangeStats;
  /** Are its music folders still being read? */
  readonly scanning: () => boolean;
  /** Was one of them missing at the last look? Undefined as long as nobody has looked. */
  readonly folderMissing: () => boolean | undefined;
  /** Is one of them missing now? Undefined where that is to be found out first. */
  readonly lookForFolders: () => Promise<boolean | undefined>;
  /** Of a machine that went, before its songs are copied elsewhere; tests are quicker. */
  readonly graceMs?: Millis | undefined;
}

export interface MusicOptions {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly machine: MachineMusic;
  /** Of this network; closed with this. */
  readonly cache: NetworkCache;
  readonly replica: Replica;
  readonly store: OperationStore;
  readonly catalog: Catalog;
  readonly people: People;
  readonly paths: Pick<Paths, 'chunkLink' | 'sync'>;
  readonly duties: Pick<Duties, 'call' | 'holds' | 'holder' | 'admit'>;
  /** Others of this network that are here. */
  readonly network: Pick<OtherNetworks, 'living' | 'lives'>;
  readonly trouble: (what: string) => (error: unknown) => void;
}

export class Music {
  readonly library: Library;
  readonly copies: Copies;
  readonly #options: MusicOptions;
  readonly #sources: Sources;
  readonly #payloads: PayloadReader;
  readonly #files: FileReader;
  readonly #chosen: ChosenFiles;
  readonly #prefetch: Prefetch;
  readonly #goingOn: GoingOn;
  readonly #endings: (() => void)[] = [];

  constructor(options: MusicOptions) {
    this.#options = options;
    const { self, clock, log, random, machine, cache, replica, store, catalog, people, paths, duties, network, trouble } = options;
    const { local, stats } = machine;
    const { chunks, pins } = cache;
    this.library = new Library({
      replica,
      store,
      files: machine.files,
      copies: () => chunks.completed().map((payload) => [payload, chunks.filesOf(payload)] as const),
      onCopyGone: (payload) => this.copies.copyGone(payload),
      onError: trouble('cannot write the catalog'),
    });
    this.#sources = new Sources({ self, linkTo: (peer) => paths.chunkLink(peer), songOf: (id) => catalog.song(id) });
    const lied = (facts: { readonly peer: PeerId; readonly payload?: PayloadId; readonly file?: FileId }): void => {
      stats.wrong();
      log('liar', facts);
    };
    const from = { local, cache: chunks, providers: this.#sources };
    this.#payloads = new PayloadReader({ ...from, self, random, onLiar: (peer, payload) => lied({ peer, payload }), stats });
    const edges = new EdgeReader({ ...from, onLiar: (peer, file) => lied({ peer, file }) });
    this.#files = new FileReader({ payloads: this.#payloads, edges });
    this.#chosen = new ChosenFiles({ sources: this.#sources, files: this.#files });
    this.copies = new Copies({
      self,
      clock,
      log,
      store,
      catalog,
      library: this.library,
      cache: chunks,
      pinStore: pins,
      sources: this.#sources,
      payloads: this.#payloads,
      edges,
      living: () => network.living(),
      isHere: (peer) => network.lives(peer),
      plays: () => people.data.playsOfAll(),
      ask: (peer, method, params) => paths.sync(peer, (link) => link.request(method, params)),
      writeForUser: (changes) => replica.writeForUser(changes),
      callService: (method, params) => duties.call('music', method, params),
      holdsRole: () => duties.holds('music'),
      logHash: (peer) => replica.hashes.get(peer),
      isInSync: (peer) => replica.isInSync(peer),
      localOnly: () => replica.localOnly,
      scanning: machine.scanning,
      folderMissing: machine.folderMissing,
      lookForFolders: machine.lookForFolders,
      admit: (token, peer) => {
        // a claim on a damaged disk may be above all others: whoever is not known to hold the role has no say, and its token does not count
        if (duties.holder('music')?.peer !== peer) throw new PeerError('ROLE_UNAVAILABLE', 'that machine does not hold music, as far as is known here');
        duties.admit('music', token);
      },
      graceMs: machine.graceMs,
      trouble,
    });
    this.#goingOn = new GoingOn({ alarms: systemAlarms, onError: trouble('the rest of a song could not be fetched in advance') });
    this.#prefetch = new Prefetch({
      nextOf: (song) => people.data.nextOf(song),
      fetch: (song, signal) => this.#fetch(song, signal),
      alarms: systemAlarms,
      onError: trouble('the next song could not be fetched in advance'),
    });
  }

  /** What others may ask of this machine. */
  handlers(): ReadonlyMap<string, Handler> {
    const { machine: { local, guard, stats }, cache } = this.#options;
    const handlers = new Map(this.copies.handlers());
    for (const [method, handler] of chunkHandlers({ local, cache: cache.chunks, onListened: () => guard.touch(), onSent: (bytes) => stats.gaveOthers(bytes) })) {
      handlers.set(method, async (params, asker) => ({ kind: 'bytes', ...(await handler(params, asker)) }));
    }
    return handlers;
  }

  // --- its life

  /** Before anybody can ask this machine for anything: what it says of its copies is made equal to what it has, and stays so. */
  async open(): Promise<void> {
    const { cache: { chunks }, trouble } = this.#options;
    const announceCopy = (payload: PayloadId): void => {
      if (chunks.complete(payload)) this.library.cached(payload, chunks.filesOf(payload));
    };
    chunks.listen({ completed: announceCopy, edges: announceCopy, lost: (payload) => this.library.evicted(payload) });
    await this.library.reconcileCopies().catch(trouble('cannot compare the catalog with the cache'));
  }

  /** The catalog is being read, and others can be asked. */
  start(): void {
    const { machine: { guard }, cache, catalog, trouble } = this.#options;
    this.#endings.push(
      catalog.onChange(() => void this.#sources.refresh().catch(trouble('cannot read who has what is played'))),
      guard.onChange((playing) => {
        cache.setYielding(playing);
        this.copies.playing(playing);
      }),
    );
    this.copies.start();
  }

  /** Fetches nothing any more for later. Who plays has to be gone already, or fails with the streams. */
  async stop(): Promise<void> {
    for (const end of this.#endings) end();
    this.#prefetch.stop();
    this.#goingOn.stop();
    this.#payloads.close();
    await this.copies.stop();
  }

  /** After everything that writes has ended. */
  close(): Promise<void> {
    return this.#options.cache.close();
  }

  // --- what happens around it

  /** Connections came or went. */
  linksChanged(): void {
    this.#sources.changed();
  }

  came(peer: PeerId): void {
    this.linksChanged();
    this.copies.came(peer);
  }

  went(peer: PeerId): void {
    this.linksChanged();
    this.copies.went(peer);
  }

  // --- what is asked of it here

  /** @returns null when there is no such song @throws PeerError NOT_FOUND when it has no such file */
  async audio(id: SongId, request: AudioRequest): Promise<AudioSource | null> {
    const { catalog, clock, machine: { guard, stats } } = this.#options;
    const song = await catalog.songStartingWith(id);
    if (!song) return null;
    // its payload may not tell which song it is, once it is cached
    this.copies.keeping.note(song);
    return audioOf(song, request, { files: this.#files, chosen: this.#chosen, sources: this.#sources, prefetch: this.#prefetch, goingOn: this.#goingOn, guard, stats, now: () => clock.now() });
  }

  /** Brings it to this machine. */
  async #fetch(id: SongId, signal: AbortSignal): Promise<void> {
    const song = await this.#options.catalog.song(id);
    if (!song) return;
    this.copies.keeping.note(song);
    await fetchSong(song, signal, { files: this.#files, chosen: this.#chosen, sources: this.#sources });
  }

  /** Its part of `status`. @param nameOf a peer; empty where it is not known */
  shown(nameOf: (peer: PeerId) => string): Pick<StatusJson, 'cache' | 'playback'> {
    const { cache: { chunks }, machine: { stats } } = this.#options;
    return {
      cache: { bytes: chunks.bytes, bytesMax: chunks.bytesMax, songs: chunks.songs },
      playback: playbackShown(stats, this.#payloads.rates(), nameOf),
    };
  }
}
