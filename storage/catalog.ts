// The catalog: all songs of the network, kept in step with the registers. The index in memory finds and orders ids; what a
// song says is read from the registers when it is shown, so that a million songs cost what their words cost.
import { setImmediate } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { answeredUntil, forgottenAt, forgottenPeer, HERE_KEY } from '../lib/forget.ts';
import { isId, type PayloadId, type PeerId, type SongId } from '../lib/ids.ts';
import { LEAVING_KEY } from '../lib/leaving.ts';
import type { Operation } from '../lib/operation.ts';
import { copyKey, decodeCopy, decodeHolding, parseCopyKey, parseHoldingKey } from '../lib/song.ts';
import { registerRow } from './operation-rows.ts';
import type { OperationStore } from './operation-store.ts';
import { SongIndex } from './search/song-index.ts';
import { type Copy, type Holding, mergeSong, type Song } from './song-view.ts';

export interface CatalogCounts {
  readonly songs: number;
  /** Of them, those that this machine has a file of. */
  readonly ownSongs: number;
  readonly albums: number;
  readonly artists: number;
}

/** Fewer songs than this are always read again one by one. */
const MANY_STALE = 2_000;
/** Songs put into the index before the event loop gets its turn: some 5 ms. */
const SONGS_PER_TURN = 256;
const SONGS_KEPT = 512;
const NO_COPIES: ReadonlyMap<PayloadId, readonly Copy[]> = new Map();

export class Catalog {
  readonly #store: OperationStore;
  readonly #self: PeerId;
  #index = new SongIndex();
  readonly #own = new Set<SongId>();
  /** Read lately; players ask for the same one range by range. */
  readonly #songs = new LRUCache<SongId, Song>({ max: SONGS_KEPT });
  /** Counts changes of registers. */
  #version = 0;
  /** Peers whose owned data is hidden because somebody forgot them. */
  #hidden: ReadonlySet<PeerId> = new Set();
  /** Songs of which such a peer described a file: they are shown while somebody has a copy of it. */
  readonly #inherited = new Map<SongId, PayloadId>();
  readonly #inheritedBy = new Map<PayloadId, SongId>();
  readonly #leaving = new Set<PeerId>();
  /** Songs to be looked at again, with the registers of each that changed, in order; looked at in turn, so that a flood of changes
   *  does not pile up readers. */
  readonly #stale = new Map<SongId, Operation[]>();
  #work: Promise<void> = Promise.resolve();
  /** Everything that was known at the start can be found. */
  loaded: Promise<void> = Promise.resolve();
  readonly #listeners = new Set<() => void>();

  readonly #onError: (error: unknown) => void;

  constructor({ store, self, onError }: { readonly store: OperationStore; readonly self: PeerId; readonly onError: (error: unknown) => void }) {
    this.#store = store;
    this.#self = self;
    this.#onError = onError;
  }

  get counts(): CatalogCounts {
    const { songs, albums, artists } = this.#index;
    return { songs, ownSongs: this.#own.size, albums, artists };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Builds the index from the registers; searches wait for it. */
  load(): void {
    this.loaded = this.#enqueue(() => this.#rebuild());
  }

  /** Every register is gone: another network has begun. */
  dropped(): void {
    void this.#enqueue(async () => {
      this.#index = new SongIndex();
      this.#own.clear();
      this.#leaving.clear();
      await this.#rebuild();
    });
  }

  /** Registers changed: their songs are looked at again soon. */
  refresh(changed: readonly Operation[]): void {
    let forgotten = false;
    let told = false;
    const copied = new Set<PayloadId>();
    this.#version += 1;
    for (const operation of changed) {
      const { key } = operation;
      const song = parseHoldingKey(key)?.song;
      const payload = parseCopyKey(key);
      if (song) {
        const registers = this.#stale.get(song);
        if (registers) registers.push(operation);
        else this.#stale.set(song, [operation]);
        this.#songs.delete(song);
      }
      if (payload) {
        copied.add(payload);
        const inherited = this.#inheritedBy.get(payload);
        if (inherited && !this.#stale.has(inherited)) this.#stale.set(inherited, []);
      }
      if (key === LEAVING_KEY) {
        this.#setLeaving(operation);
        told = true;
      }
      forgotten ||= forgottenPeer(key) !== undefined || key === HERE_KEY;
    }
    if (forgotten) void this.#enqueue(() => this.#rebuild());
    else if (this.#stale.size > 0) void this.#enqueue(() => this.#reindex());
    if (copied.size > 0) {
      for (const [id, { files }] of [...this.#songs.entries()]) if (files.some(({ description }) => copied.has(description.payload))) this.#songs.delete(id);
    }
    if (copied.size > 0 || told) this.#tell();
  }

  #setLeaving({ origin, value }: Operation): void {
    if (value) this.#leaving.add(origin);
    else this.#leaving.delete(origin);
  }

  /** Has this machine said that it leaves? */
  leaves(peer: PeerId): boolean {
    return this.#leaving.has(peer);
  }

  /** Every song that is shown, some hundred at a time, in order of their ids. Between them the event loop gets its turn. */
  async *walk(): AsyncGenerator<readonly Song[]> {
    const copies = new CopyCursor(this.#store, (operation) => this.#copy(operation));
    let songs: Song[] = [];
    try {
      for await (const { id, holdings } of this.#groups()) {
        const song = mergeSong(id, holdings, { self: this.#self, copies: await this.#copiesOf(holdings, (payload) => ((payload as string) === id ? copies.take(payload) : undefined)) });
        if (song) songs.push(song);
        if (songs.length < SONGS_PER_TURN) continue;
        yield songs;
        songs = [];
        await setImmediate();
      }
      yield songs;
    } finally {
      await copies.close();
    }
  }

  /** In order of relevance, or without words in order of artist and album. Shows everything that was applied before. */
  async search(words: string, page: { readonly limit: number; readonly offset: number }): Promise<{ readonly total: number; readonly songs: readonly Song[] }> {
    await this.settled();
    const { ids, total } = this.#index.find(words, page);
    const songs: Song[] = [];
    for (const id of ids) {
      const song = await this.song(id);
      if (song) songs.push(song);
    }
    return { total, songs };
  }

  /** Everything that was applied so far can be found. */
  async settled(): Promise<void> {
    await this.#work;
  }

  /** @param start a whole id, or its first digits as tables show them
   *  @returns undefined when no song, or more than one, starts like this */
  async songStartingWith(start: string): Promise<Song | undefined> {
    if (isId(start)) return this.song(start as SongId);
    const ids = new Set<SongId>();
    for await (const operations of this.#store.registers(`holding/${start}`)) {
      for (const operation of operations) {
        const holding = this.#holding(operation);
        if (holding && (!holding.forgotten || this.#index.has(holding.description.song))) ids.add(holding.description.song);
      }
      if (ids.size > 1) return undefined;
    }
    const [id] = ids;
    return id && this.song(id);
  }

  async song(id: SongId): Promise<Song | undefined> {
    const known = this.#songs.get(id);
    if (known) return known;
    const version = this.#version;
    const song = await this.#read(id);
    // what changed while it was read is read again the next time
    if (song && version === this.#version) this.#songs.set(id, song);
    return song;
  }

  async #read(id: SongId): Promise<Song | undefined> {
    const holdings = await this.#holdings(id);
    return mergeSong(id, holdings, { self: this.#self, copies: await this.#copiesOf(holdings) });
  }

  /** @param known finds them cheaper, where it can */
  async #copiesOf(holdings: readonly Holding[], known?: (payload: PayloadId) => Promise<readonly Copy[]> | undefined): Promise<ReadonlyMap<PayloadId, readonly Copy[]>> {
    const copies = new Map<PayloadId, readonly Copy[]>();
    for (const { description: { payload } } of holdings) {
      if (!copies.has(payload)) copies.set(payload, await (known?.(payload) ?? this.#copies(payload)));
    }
    return copies;
  }

  async #holdings(id: SongId): Promise<Holding[]> {
    const holdings: Holding[] = [];
    for await (const operations of this.#store.registers(`holding/${id}/`)) {
      for (const operation of operations) {
        const holding = this.#holding(operation);
        if (holding) holdings.push(holding);
      }
    }
    return holdings;
  }

  async #copies(payload: PayloadId): Promise<Copy[]> {
    const copies: Copy[] = [];
    for await (const operations of this.#store.registers(`${copyKey(payload)}\0`)) copies.push(...operations.flatMap((operation) => this.#copy(operation) ?? []));
    return copies;
  }

  #copy({ origin, value }: Operation): Copy | undefined {
    return value && !this.#hidden.has(origin) ? { peer: origin, files: decodeCopy(value) } : undefined;
  }

  /** A register that describes nothing readable (a newer version's) is kept and passed on, but not shown. */
  #holding({ origin, key, value }: Operation): Holding | undefined {
    const ids = parseHoldingKey(key);
    if (!ids || !value) return undefined;
    try {
      return { origin, description: decodeHolding(ids, value), ...(this.#hidden.has(origin) && { forgotten: true }) };
    } catch {
      return undefined;
    }
  }

  async #rebuild(): Promise<void> {
    // rows of registers are never removed, so going through all of them also meets every song that is shown no more
    this.#hidden = await this.#forgotten();
    this.#version += 1;
    this.#songs.clear();
    this.#stale.clear();
    this.#inherited.clear();
    this.#inheritedBy.clear();
    // who leaves is to be known at every moment: somebody may drop a copy meanwhile
    for await (const operations of this.#store.registers(`${LEAVING_KEY}\0`)) for (const operation of operations) this.#setLeaving(operation);
    for await (const { id, holdings } of this.#groups()) {
      if (holdings.some(({ forgotten }) => forgotten)) await this.#inherit(id, holdings);
      else this.#show(id, holdings);
    }
    this.#tell();
  }

  /** The holdings of each song that anybody ever had. */
  async *#groups(): AsyncGenerator<{ readonly id: SongId; readonly holdings: readonly Holding[] }> {
    let current: SongId | undefined;
    let holdings: Holding[] = [];
    for await (const operations of this.#store.registers('holding/')) {
      for (const operation of operations) {
        const song = parseHoldingKey(operation.key)?.song;
        if (!song) continue;
        if (song !== current) {
          if (current) yield { id: current, holdings };
          current = song;
          holdings = [];
        }
        const holding = this.#holding(operation);
        if (holding) holdings.push(holding);
      }
    }
    if (current) yield { id: current, holdings };
  }

  async #reindex(): Promise<void> {
    let known = 0;
    for (const song of this.#stale.keys()) if (this.#index.has(song)) known += 1;
    // reading all in one go is quicker than asking for many
    if (known > this.#index.songs / 4 + MANY_STALE) return this.#rebuild();
    let shown = 0;
    for (const [song, changed] of this.#stale) {
      this.#stale.delete(song);
      // of a song that nobody showed until now, what has changed is all there is, but for what forgotten peers said of it
      const holdings = this.#index.has(song) || this.#inherited.has(song) ? await this.#holdings(song) : this.#latest(changed);
      if (holdings.some(({ forgotten }) => forgotten)) await this.#inherit(song, holdings);
      else this.#show(song, holdings);
      if (++shown % SONGS_PER_TURN === 0) await setImmediate();
    }
    this.#tell();
  }

  /** What registers describe after these changes. */
  #latest(changed: readonly Operation[]): Holding[] {
    const registers = new Map(changed.map((operation) => [registerRow(operation), operation]));
    return [...registers.values()].flatMap((operation) => this.#holding(operation) ?? []);
  }

  /** Whether a song is shown of which a forgotten peer had a file depends on who copied it. */
  async #inherit(id: SongId, holdings: readonly Holding[]): Promise<void> {
    for (const { description: { payload } } of holdings) {
      this.#inherited.set(id, payload);
      this.#inheritedBy.set(payload, id);
    }
    this.#show(id, holdings, await this.#copiesOf(holdings));
  }

  #show(id: SongId, holdings: readonly Holding[], copies: ReadonlyMap<PayloadId, readonly Copy[]> = NO_COPIES): void {
    const song = mergeSong(id, holdings, { self: this.#self, copies });
    if (song) this.#index.put({ id, ...song.files[0].description.tags });
    else this.#index.delete(id);
    if (song?.owners.includes(this.#self)) this.#own.add(id);
    else this.#own.delete(id);
  }

  /** P is forgotten while somebody's `forget/P` is newer than what P's own `here` answers. */
  async #forgotten(): Promise<ReadonlySet<PeerId>> {
    const forgets = new Map<PeerId, Operation[]>();
    for await (const operations of this.#store.registers('forget/')) {
      for (const operation of operations) {
        const peer = forgottenPeer(operation.key);
        if (peer) forgets.set(peer, [...(forgets.get(peer) ?? []), operation]);
      }
    }
    const hidden = new Set<PeerId>();
    for (const [peer, operations] of forgets) {
      const [here] = await this.#store.held([{ origin: peer, key: HERE_KEY }]);
      if (answeredUntil(here) < forgottenAt(operations)) hidden.add(peer);
    }
    return hidden;
  }

  #enqueue(task: () => Promise<void>): Promise<void> {
    // one that failed, for a disk that is gone or a peer that stops, leaves the index as it was
    this.#work = this.#work.then(task).catch((error: unknown) => this.#onError(error));
    return this.#work;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** The copies of payloads that are asked for in order of their ids, by one pass over all copies. */
class CopyCursor {
  readonly #batches: AsyncGenerator<Operation[]>;
  readonly #read: (operation: Operation) => Copy | undefined;
  #batch: readonly Operation[] = [];
  #next = 0;

  constructor(store: Pick<OperationStore, 'registers'>, read: (operation: Operation) => Copy | undefined) {
    this.#batches = store.registers('copy/');
    this.#read = read;
  }

  async take(payload: PayloadId): Promise<readonly Copy[]> {
    const key = copyKey(payload);
    const copies: Copy[] = [];
    for (;;) {
      const operation = this.#batch[this.#next];
      if (!operation) {
        const { value, done } = await this.#batches.next();
        if (done) return copies;
        this.#batch = value;
        this.#next = 0;
        continue;
      }
      if (operation.key > key) return copies;
      const copy = operation.key === key ? this.#read(operation) : undefined;
      if (copy) copies.push(copy);
      this.#next += 1;
    }
  }

  async close(): Promise<void> {
    await this.#batches.return(undefined);
  }
}
