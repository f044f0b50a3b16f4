// What goes when the cache has no room: whole songs, of those that are free the least recently used first, then of those that are
// wanted here; never the last copy there is, a pin, or what somebody reads or fills. Edges that cannot be read now are announced by nobody, and
// may be the last, so their song is held to be.
import type { PayloadId } from '../lib/ids.ts';
import type { CacheEntry, Evictable } from './cache-entry.ts';
import type { UnreadableFiles } from './unreadable-files.ts';

/** Whether a payload may go: at once, only when nothing else can, or never, because nobody else has it. */
export type Judge = (payload: PayloadId) => Evictable | 'last';

type Entries = ReadonlyMap<PayloadId, CacheEntry>;

interface Victims {
  readonly victims: readonly CacheEntry[];
  readonly enough: boolean;
}

const CLASSES: { readonly [evict in Evictable]: readonly Evictable[] } = { free: ['free'], wanted: ['free', 'wanted'] };

export class Eviction {
  readonly #pinned: Set<PayloadId>;
  readonly #holds = new Map<PayloadId, number>();
  readonly #unreadable: Pick<UnreadableFiles, 'hasAny'>;
  judge: Judge;

  constructor({ pinned, judge, unreadable }: { readonly pinned: Iterable<PayloadId>; readonly judge: Judge; readonly unreadable: Pick<UnreadableFiles, 'hasAny'> }) {
    this.#pinned = new Set(pinned);
    this.judge = judge;
    this.#unreadable = unreadable;
  }

  pin(payload: PayloadId): void {
    this.#pinned.add(payload);
  }

  unpin(payload: PayloadId): void {
    this.#pinned.delete(payload);
  }

  /** @returns how to let it go */
  hold(payload: PayloadId): () => void {
    this.#holds.set(payload, (this.#holds.get(payload) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = (this.#holds.get(payload) ?? 1) - 1;
      if (left > 0) this.#holds.set(payload, left);
      else this.#holds.delete(payload);
    };
  }

  /** @param entries least recently used first @returns what to remove for `bytes` of room, in order, and whether that is enough */
  victims(entries: Entries, { bytes, evict, keep }: { readonly bytes: number; readonly evict: Evictable; readonly keep?: CacheEntry | undefined }): Victims {
    const victims: CacheEntry[] = [];
    let left = bytes;
    for (const kind of CLASSES[evict]) {
      for (const entry of entries.values()) {
        if (left <= 0) break;
        if (entry === keep || !this.#mayGo(entry, kind)) continue;
        victims.push(entry);
        left -= entry.bytes;
      }
    }
    return { victims, enough: left <= 0 };
  }

  /** Bytes of those that are free. */
  freeBytes(entries: Entries): number {
    let bytes = 0;
    for (const entry of entries.values()) if (this.#mayGo(entry, 'free')) bytes += entry.bytes;
    return bytes;
  }

  /** Bytes of those that nobody else has, without pins and this one. */
  lastBytes(entries: Entries, except: PayloadId): number {
    let bytes = 0;
    for (const { payload, bytes: taken } of entries.values()) if (payload !== except && !this.#pinned.has(payload) && this.#kindOf(payload) === 'last') bytes += taken;
    return bytes;
  }

  #mayGo({ payload }: CacheEntry, kind: Evictable): boolean {
    return !this.#pinned.has(payload) && !this.#holds.has(payload) && this.#kindOf(payload) === kind;
  }

  #kindOf(payload: PayloadId): Evictable | 'last' {
    return this.#unreadable.hasAny(payload) ? 'last' : this.judge(payload);
  }
}
