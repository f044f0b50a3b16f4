// All about copies in one network: what this machine holds for others and what it keeps them by, and, where it holds the role
// `music`, what it has others fetch. Puts the parts together: what happens to cache, catalog, members and role goes to whom it
// concerns, and what holders and people ask for is answered from them.
import type { PayloadId, PeerId, SongId } from '../../lib/ids.ts';
import type { Log } from '../../lib/log.ts';
import type { Operation } from '../../lib/operation.ts';
import type { FencingToken } from '../../lib/roles.ts';
import { COPIES_SETTING, encodeCopies, mergeCopies } from '../../lib/setting.ts';
import { sizeOf } from '../../lib/song.ts';
import type { Clock, Millis } from '../../lib/time.ts';
import type { Catalog } from '../../storage/catalog.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { OperationStore } from '../../storage/operation-store.ts';
import type { PinStore } from '../../storage/pin-store.ts';
import { machinesOf, type Song } from '../../storage/song-view.ts';
import type { EdgeReader } from '../chunks/edge-reader.ts';
import type { PayloadReader } from '../chunks/payload-reader.ts';
import type { Library } from '../library.ts';
import type { Acknowledgement } from '../replication/acknowledgement.ts';
import type { Change } from '../replication/transaction.ts';
import type { Sources } from '../chunks/sources.ts';
import type { Handler } from '../stream/connection.ts';
import { Copying } from './copying.ts';
import { type Leaving, lookAtDeparture, roomOf } from './departure.ts';
import { Director } from './director.ts';
import { Keeping } from './keeping.ts';
import { Machines } from './machines.ts';
import { COPY_METHOD, type CopyRequest, encodeRefused, encodeRoom, parseCopyParams, type Refused, type Room, ROOM_METHOD } from './messages.ts';
import { Mending } from './mending.ts';
import { Pins } from './pins.ts';
import { type Counted, Survey, type Vanishing } from './survey.ts';

export interface CopiesOptions {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly log: Log;
  readonly store: Pick<OperationStore, 'registers'>;
  readonly catalog: Catalog;
  readonly library: Library;
  readonly cache: ChunkCache;
  readonly pinStore: PinStore;
  readonly sources: Sources;
  /** Both ask in the background. */
  readonly payloads: PayloadReader;
  readonly edges: EdgeReader;
  /** Others of this network that are here. */
  readonly living: () => Iterable<PeerId>;
  readonly isHere: (peer: PeerId) => boolean;
  readonly plays: () => ReadonlyMap<SongId, number>;
  readonly ask: (peer: PeerId, method: string, params: unknown) => Promise<unknown>;
  readonly writeForUser: (changes: readonly Change[]) => Promise<Acknowledgement>;
  /** A call to the service of the role `music`. */
  readonly callService: (method: string, params: unknown) => Promise<unknown>;
  /** Does this machine hold the role `music` now? */
  readonly holdsRole: () => boolean;
  /** The hash of all that a machine has written, as far as it is here. */
  readonly logHash: (peer: PeerId) => Uint8Array | undefined;
  /** Does it hold all that is written here? */
  readonly isInSync: (peer: PeerId) => boolean;
  /** Changes that people made here since the start, and that no other machine confirmed in time. */
  readonly localOnly: () => number;
  /** Are the music folders of this machine still being read? */
  readonly scanning: () => boolean;
  /** Was one of them missing at the last look? Undefined as long as nobody has looked. */
  readonly folderMissing: () => boolean | undefined;
  /** Is one of them missing now? Undefined where that is to be found out first. */
  readonly lookForFolders: () => Promise<boolean | undefined>;
  /** @throws PeerError ROLE_UNAVAILABLE for a token that is smaller than one that was seen, or of a machine that does not hold the role */
  readonly admit: (token: FencingToken, from: PeerId) => void;
  /** Of a machine that went; tests are quicker. */
  readonly graceMs?: Millis | undefined;
  readonly trouble: (what: string) => (error: unknown) => void;
}

export class Copies {
  readonly machines: Machines;
  readonly keeping: Keeping;
  readonly pins: Pins;
  readonly #options: CopiesOptions;
  readonly #copying: Copying;
  readonly #mending: Mending;
  readonly #director: Director;
  readonly #survey: Survey;
  readonly #endings: (() => void)[] = [];
  /** Others that came and did not go. */
  readonly #here = new Set<PeerId>();
  #settingRead: Promise<void> = Promise.resolve();
  #token: FencingToken | undefined;
  #wanted = mergeCopies([]);
  #stopped = false;

  constructor(options: CopiesOptions) {
    this.#options = options;
    const { self, clock, log, catalog, cache, sources, payloads, edges, living, plays, ask, callService, holdsRole, trouble } = options;
    const wanted = (): number => this.#wanted;
    this.machines = new Machines({
      self,
      lives: (peer) => options.isHere(peer),
      leaves: (peer) => catalog.leaves(peer),
      onOver: () => this.#changed(),
      graceMs: options.graceMs,
    });
    const { machines } = this;
    this.keeping = new Keeping({
      self,
      clock,
      cache,
      catalog,
      machines,
      wanted,
      onFound: (payload) => this.#mending.surround(payload),
      trouble: trouble('cannot read who else has what is cached here'),
    });
    this.#copying = new Copying({
      self,
      clock,
      cache,
      catalog,
      sources,
      payloads,
      edges,
      songOf: (payload) => this.keeping.songOf(payload),
      note: (song) => this.keeping.note(song),
      onGaveUp: ({ payload, song, why }, reason) => log('copy-failed', { song: song ?? payload, why, reason }),
      onPlace: () => this.#mending.seekLeft(),
    });
    this.pins = new Pins({ self, store: options.pinStore, cache, catalog, sources, copying: this.#copying, keeping: this.keeping });
    this.#mending = new Mending({ cache, catalog, copying: this.#copying, keeping: this.keeping, pins: this.pins, trouble: this.#missingTrouble });
    this.#director = new Director({
      self,
      clock,
      catalog,
      machines,
      living,
      wanted,
      plays,
      room: () => this.#roomFor(self, this.#options.folderMissing()),
      copy: (request) => this.#take(request, self),
      ask,
      place: (params) => callService('place', params),
      token: () => (holdsRole() ? this.#token : undefined),
      trouble: trouble('cannot see to copies'),
    });
    this.#survey = new Survey({ catalog, machines, wanted, staying: () => this.#staying, clock });
  }

  start(): void {
    const { cache, catalog } = this.#options;
    this.#endings.push(
      cache.listen({
        completed: (payload) => {
          this.keeping.cacheChanged(payload);
          this.#mending.surround(payload);
        },
        edges: (payload) => {
          this.keeping.cacheChanged(payload);
          this.#mending.surround(payload);
        },
        lost: (payload) => {
          this.keeping.cacheChanged(payload);
          if (this.pins.has(payload)) this.#mending.damaged(payload);
        },
        damaged: (payload) => this.#mending.damaged(payload),
      }),
      catalog.onChange(() => this.#changed()),
    );
    this.#readSetting();
    this.machines.start();
    this.keeping.load();
    void this.keeping.settled().then(() => this.#stopped || cache.judgeWith(this.keeping.judge));
    catalog.loaded.then(() => this.#mending.seek(() => true)).catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const end of this.#endings) end();
    this.machines.stop();
    this.#mending.stop();
    await Promise.all([this.#director.stop(), this.#copying.stop()]);
    await this.keeping.settled();
  }

  handlers(): ReadonlyMap<string, Handler> {
    return new Map<string, Handler>([
      [ROOM_METHOD, async (_params, { peer }) => ({ kind: 'value', value: encodeRoom(this.#roomFor(peer, await this.#missingFor(peer))) })],
      [COPY_METHOD, async (params, { peer }) => ({ kind: 'value', value: encodeRefused(await this.#take(parseCopyParams(params), peer)) })],
    ]);
  }

  // --- what happens

  /** Registers have these winners now. */
  refresh(changed: readonly Operation[]): void {
    this.keeping.refresh(changed);
    this.pins.refresh(changed).catch(this.#missingTrouble);
    if (changed.some(({ key }) => key === COPIES_SETTING)) this.#readSetting();
  }

  /** Everything that is replicated is another network's. */
  dropped(): void {
    this.keeping.load();
    this.#readSetting();
  }

  came(peer: PeerId): void {
    this.machines.came(peer);
    this.#membersChanged();
    // one that was only suspected was here all the time
    if (this.#here.has(peer)) return;
    this.#here.add(peer);
    this.#mending.seek(({ providers }) => providers.includes(peer));
  }

  went(peer: PeerId): void {
    this.#here.delete(peer);
    this.machines.went(peer);
    this.#membersChanged();
  }

  /** Music is read for somebody, or no more. */
  playing(playing: boolean): void {
    this.#copying.playing(playing);
  }

  /** The role `music` is held by this token, or not here any more. */
  role(token: FencingToken | undefined): void {
    this.#token = token;
    if (token) this.#director.held();
    else this.#director.dropped();
  }

  #membersChanged(): void {
    this.keeping.judgeAnew();
    this.#changed();
  }

  #changed(): void {
    this.#survey.changed();
    this.#director.changed();
  }

  #readSetting(): void {
    const { store, trouble } = this.#options;
    const read = async (): Promise<void> => {
      const winners: Operation[] = [];
      for await (const some of store.registers(`${COPIES_SETTING}\0`)) winners.push(...some);
      this.#wanted = mergeCopies(winners);
      this.#membersChanged();
    };
    // one after the other: the last to begin has to be the last to end
    this.#settingRead = this.#settingRead.then(read).catch((error: unknown) => {
      if (!this.#stopped) trouble('cannot read the settings of this network')(error);
    });
  }

  // --- what this machine fetches

  /** A copy that this machine had said to have is not whole any more. */
  copyGone(payload: PayloadId): void {
    this.#mending.damaged(payload);
  }

  readonly #missingTrouble = (error: unknown): void => {
    if (!this.#stopped) this.#options.trouble('cannot see to what is missing here')(error);
  };

  /** A mount that has gone may not be noticed for an hour, and who leaves is switched off in a moment. */
  async #missingFor(asker: PeerId): Promise<boolean | undefined> {
    const { folderMissing, lookForFolders } = this.#options;
    return this.machines.leaves(asker) ? lookForFolders() : folderMissing();
  }

  #roomFor(asker: PeerId, missing: boolean | undefined): Room {
    const { self, cache, library, logHash, scanning } = this.#options;
    const { jobs, busy, slots } = this.#copying;
    // what was dropped for want of that knowledge is said when nothing is left to be written
    const said = this.machines.leaves(asker) && !this.machines.leaves(self) && !library.leaving && library.isSettled;
    const promised = jobs.reduce((sum, { payload, bytes }) => sum + (cache.has(payload) ? 0 : bytes), 0);
    return {
      roomBytes: library.leaving || busy ? 0 : Math.max(0, cache.roomFor() - promised),
      // of the program and not of a network: it says how long this machine tends to be on
      uptimeMs: process.uptime() * 1_000,
      // what waits here while music plays for hours is for others to fetch
      payloads: busy ? [] : this.#copying.payloads,
      busy,
      slots,
      scanning: scanning(),
      // what it says to have in a folder that is missing it cannot give
      log: said && missing === false ? logHash(self) : undefined,
      missing,
    };
  }

  async #take({ token, songs }: CopyRequest, from: PeerId): Promise<Refused> {
    const { admit, catalog, library, self } = this.#options;
    admit(token, from);
    const unknown: number[] = [];
    const refused: number[] = [];
    for (const [place, { song: id, file: fileId }] of songs.entries()) {
      const song = await catalog.song(id);
      const file = song?.files.find(({ description }) => description.file === fileId);
      if (song?.owners.includes(self)) continue;
      if (!song || !file) {
        unknown.push(place);
        continue;
      }
      const { payload } = file.description;
      const why = [...machinesOf(song)].some((peer) => this.machines.counts(peer)) ? 'copy' : 'leaving';
      if (!library.leaving && this.#copying.takes(payload, why)) this.#copying.want({ payload, song: id, file: fileId, why, bytes: sizeOf(file.description) });
      // asked for again when there is place in the queue
      else if (!library.leaving && this.#copying.isFull(why)) unknown.push(place);
      else refused.push(place);
    }
    return { unknown, refused };
  }

  // --- what people say and ask

  /** Machines for each song. */
  get wanted(): number {
    return this.#wanted;
  }

  async setWanted(machines: number): Promise<Acknowledgement> {
    const acknowledgement = await this.#options.writeForUser([{ key: COPIES_SETTING, value: encodeCopies(machines) }]);
    this.#wanted = machines;
    this.#membersChanged();
    return acknowledgement;
  }

  /** @returns undefined before the first count is over */
  counted(): Promise<Counted | undefined> {
    return this.#survey.latest();
  }

  /** Without counting; how old it is goes with it. */
  get lastCounted(): (Counted & { readonly ageMs: Millis }) | undefined {
    const { last, ageMs } = this.#survey;
    return last && { ...last, ageMs };
  }

  countedNow(): Promise<Counted> {
    return this.#survey.fresh();
  }

  /** Songs that no other machine holds whole that is here and stays. @param missing machines of which a music folder is missing: what they own is not relied on */
  vanishingWith(peer: PeerId, missing: ReadonlySet<PeerId> = new Set()): Promise<Vanishing> {
    const has = (song: Song, other: PeerId): boolean => other !== peer && this.machines.stays(other) && !(missing.has(other) && song.owners.includes(other));
    return this.#survey.only(peer, (song) => [...machinesOf(song)].some((other) => has(song, other)));
  }

  /** Machines here, this one among them, that say that a music folder of theirs is missing. */
  async foldersMissing(): Promise<readonly PeerId[]> {
    const { self, living, ask, lookForFolders } = this.#options;
    const others = [...living()].map(async (peer) => [peer, (await roomOf(peer, { ask }))?.missing] as const);
    const here = lookForFolders().then((missing) => [self, missing] as const);
    return (await Promise.all([here, ...others])).filter(([, missing]) => missing).map(([peer]) => peer);
  }

  /** Are the music folders of this machine still being read? A machine that is away reads nothing. @returns undefined where it does not say */
  async isScanning(peer: PeerId): Promise<boolean | undefined> {
    const { self, isHere, scanning, ask } = this.#options;
    if (peer === self) return scanning();
    return isHere(peer) ? (await roomOf(peer, { ask }))?.scanning : false;
  }

  /** @throws PeerError DISK_FULL, DATA_FOLDER_UNUSABLE, CLONE */
  async setLeaving(leaving: boolean): Promise<void> {
    await this.#options.library.setLeaving(leaving);
  }

  async leaving(): Promise<Leaving> {
    const { machines } = this;
    return { leaving: this.#options.library.leaving, ...(await lookAtDeparture({ ...this.#options, machines, survey: this.#survey })) };
  }

  get #staying(): number {
    const others = [...this.#options.living()].filter((peer) => !this.machines.leaves(peer)).length;
    return others + (this.#options.library.leaving ? 0 : 1);
  }
}
