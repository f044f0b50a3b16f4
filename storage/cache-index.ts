// What the cache holds, by payload and by file, in order of use, and what that takes of the disk. Room is reserved here before anything
// is awaited, so that the bound holds however many write at once, and here whole songs go to make it (eviction.ts).
//
// A song may go while somebody waits for its disk, and come again as another entry: whoever has waited asks `holds`. An entry that has
// gone has taken its bytes along, those reserved for what is still being written included.
import { codeOf } from '../lib/errors.ts';
import type { FileId, PayloadId } from '../lib/ids.ts';
import { edgesDiskBytes, type EdgesHeader } from './cache-edges.ts';
import type { CacheEntry, Evictable } from './cache-entry.ts';
import type { CacheEvents } from './cache-events.ts';
import type { CacheFiles } from './cache-files.ts';
import { chunksName, edgesName } from './cache-folder.ts';
import type { CacheTrouble } from './cache-trouble.ts';
import type { DiskSpace } from './disk-space.ts';
import type { Eviction } from './eviction.ts';
import { isShortage } from './open-files.ts';
import type { UnreadableFiles } from './unreadable-files.ts';

interface CacheIndexOptions {
  readonly bytesMax: number;
  readonly eviction: Eviction;
  readonly unreadable: UnreadableFiles;
  readonly space: DiskSpace;
  readonly files: CacheFiles;
  readonly trouble: CacheTrouble;
  readonly events: CacheEvents;
}

export class CacheIndex {
  /** They count, too. */
  readonly unreadable: UnreadableFiles;
  readonly #bytesMax: number;
  readonly #eviction: Eviction;
  readonly #space: DiskSpace;
  readonly #files: CacheFiles;
  readonly #trouble: CacheTrouble;
  readonly #events: CacheEvents;
  readonly #entries = new Map<PayloadId, CacheEntry>();
  readonly #holders = new Map<FileId, CacheEntry>();
  readonly #removing = new Map<PayloadId, Promise<void>>();
  /** Of the entries, and reserved for one that begins. */
  #entriesBytes = 0;

  constructor({ bytesMax, eviction, unreadable, space, files, trouble, events }: CacheIndexOptions) {
    this.#bytesMax = bytesMax;
    this.#eviction = eviction;
    this.unreadable = unreadable;
    this.#space = space;
    this.#files = files;
    this.#trouble = trouble;
    this.#events = events;
  }

  /** In order of use, so that the first is the next to go. */
  get entries(): ReadonlyMap<PayloadId, CacheEntry> {
    return this.#entries;
  }

  /** What is taken of the disk or reserved. */
  get bytes(): number {
    return this.#entriesBytes + this.unreadable.bytes;
  }

  /** Is it still here, and no other in its place? */
  holds(entry: CacheEntry): boolean {
    return this.#entries.get(entry.payload) === entry;
  }

  /** The payload that the edges of a file are here with. */
  holderOf(file: FileId): CacheEntry | undefined {
    return this.#holders.get(file);
  }

  /** One that was found on the disk. */
  found(entry: CacheEntry): void {
    this.#entriesBytes += entry.bytes;
    this.add(entry);
  }

  /** One whose bytes are reserved already. */
  add(entry: CacheEntry): void {
    this.#entries.set(entry.payload, entry);
    for (const file of entry.edges.keys()) this.#holders.set(file, entry);
  }

  /** It is used now: all others go before it. */
  touch(entry: CacheEntry): void {
    this.#entries.delete(entry.payload);
    this.#entries.set(entry.payload, entry);
  }

  /** Room for them is reserved already. */
  addEdges(entry: CacheEntry, file: FileId, edges: EdgesHeader): void {
    entry.edges.set(file, edges);
    this.#holders.set(file, entry);
  }

  /** They were put aside, and are right: what they take of the disk is that of the payload again. */
  takeBackEdges(entry: CacheEntry, file: FileId, edges: EdgesHeader): void {
    this.unreadable.delete(entry.payload, edgesName(entry.payload, file));
    this.release(-edgesDiskBytes(edges), entry);
    this.addEdges(entry, file, edges);
  }

  /** They can be read no more. What they take of the disk counts until it is released. */
  deleteEdges(entry: CacheEntry, file: FileId): void {
    entry.edges.delete(file);
    this.#holders.delete(file);
  }

  /**
   * Reserves room, evicting what it must.
   * @param entry what the bytes are for, and which does not go for them; without one they are for an entry that is added later
   * @returns what to wait for before they are written; null when even evicting would not do, and then nothing goes
   */
  reserve(bytes: number, evict: Evictable, entry?: CacheEntry): Promise<unknown> | null {
    const { victims, enough } = this.#eviction.victims(this.#entries, { bytes: this.#excessOf(bytes), evict, keep: entry });
    if (!enough && bytes > 0) {
      if (evict === 'wanted' && this.bytes + bytes <= this.#bytesMax) this.#trouble.tellFull();
      return null;
    }
    this.#entriesBytes += bytes;
    if (entry !== undefined) entry.bytes += bytes;
    for (const victim of victims) void this.remove(victim);
    // Also what goes for others: the room is promised to several at once, and the disk has it only when the files are gone.
    return this.removals();
  }

  /** They are not taken, or no more. @param entry one that is here; without one they were reserved for an entry that is not added */
  release(bytes: number, entry?: CacheEntry): void {
    this.#entriesBytes -= bytes;
    if (entry !== undefined) entry.bytes -= bytes;
  }

  /** Evicts what is too much, as far as it may go. */
  async trim(): Promise<void> {
    await this.reserve(0, 'wanted');
  }

  /** Bytes that could be taken without evicting anything but what is free. */
  roomFor(): number {
    return Math.max(0, this.#eviction.freeBytes(this.#entries) - this.#excessOf(0));
  }

  /** As `Eviction.lastBytes`. */
  lastBytes(except: PayloadId): number {
    return this.#eviction.lastBytes(this.#entries, except);
  }

  /**
   * It is here no more, at once. Its files go when what is being kept of it is kept and who reads it has read.
   * @param options.unlink false leaves them where they are, unreadable
   */
  async remove(entry: CacheEntry, { unlink = true }: { readonly unlink?: boolean } = {}): Promise<void> {
    if (!this.holds(entry)) return;
    const { payload } = entry;
    const files = [...entry.edges.keys()];
    const keeping = [...entry.keeping];
    const names = new Set([...files, ...entry.keeping.keys()].map((file) => edgesName(payload, file)));
    this.#entries.delete(payload);
    this.#entriesBytes -= entry.bytes;
    for (const file of files) this.#holders.delete(file);
    if (unlink) {
      for (const name of this.unreadable.namesOf(payload)) {
        this.unreadable.delete(payload, name);
        names.add(name);
      }
    } else {
      let chunksBytes = entry.bytes;
      for (const [file, edges] of entry.edges) {
        chunksBytes -= edgesDiskBytes(edges);
        this.unreadable.add(payload, edgesName(payload, file), edgesDiskBytes(edges));
      }
      this.unreadable.add(payload, chunksName(payload), chunksBytes);
    }
    const letGo = (name: string): Promise<void> => (unlink ? this.#files.remove(name) : this.#files.close(name));
    const removal = Promise.all(keeping.map(([, kept]) => kept))
      .then(() => Promise.all([...names].map(letGo)))
      .then(() => letGo(chunksName(payload)))
      .then(() => void this.#removing.delete(payload));
    this.#removing.set(payload, removal);
    if (entry.complete) this.#events.lost(payload);
    if (files.length > 0) this.#events.edges(payload);
    await removal;
  }

  /** Removes what could not be read of a payload that is not here. */
  async removeAside(payload: PayloadId): Promise<void> {
    const names = this.unreadable.namesOf(payload);
    if (names.length === 0) return;
    for (const name of names) this.unreadable.delete(payload, name);
    const removal = this.removal(payload)
      .then(() => Promise.all(names.map((name) => this.#files.remove(name))))
      .then(() => void this.#removing.delete(payload));
    this.#removing.set(payload, removal);
    await removal;
  }

  /** A write to one of its files failed. */
  async failed(entry: CacheEntry, error: unknown): Promise<void> {
    if (codeOf(error) === 'ENOENT') await this.remove(entry);
    else if (!isShortage(error)) this.#trouble.stop(error);
  }

  /** Ends when the files of a payload that was removed are gone. */
  async removal(payload: PayloadId): Promise<void> {
    await this.#removing.get(payload);
  }

  /** Likewise, of all that are being removed now. */
  async removals(): Promise<void> {
    await Promise.all(this.#removing.values());
  }

  /** By how much so many bytes more would exceed the bound, or what the disk has to spare; less than 0 where there is room. */
  #excessOf(bytes: number): number {
    return bytes - Math.min(this.#bytesMax - this.bytes, this.#space.leftBytes(this.bytes));
  }
}
