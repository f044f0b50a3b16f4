// The next song of a queue is on this machine before the one that plays ends, so that there is no gap between them even where its
// holder is slow, or goes. Which one is next is asked late, because people change their minds.
import type { SongId } from '../../lib/ids.ts';
import { PREFETCHES_MAX } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import type { Alarms } from '../chunks/alarms.ts';

/** Before the end of a song. */
export const PREFETCH_MS: Millis = 30_000;

export interface PrefetchOptions {
  /** What the queues have behind a song that plays. */
  readonly nextOf: (song: SongId) => Promise<readonly SongId[]>;
  /** Brings a song to this machine. */
  readonly fetch: (song: SongId, signal: AbortSignal) => Promise<void>;
  readonly alarms: Alarms;
  readonly onError: (error: unknown) => void;
}

export class Prefetch {
  readonly #options: PrefetchOptions;
  /** Of each song that plays, how to forget it; in the order in which they began. */
  readonly #waiting = new Map<SongId, () => void>();
  readonly #under = new Set<SongId>();
  readonly #stopped = new AbortController();

  constructor(options: PrefetchOptions) {
    this.#options = options;
  }

  /** A player has begun to read a song. @param remainingMs how long it plays from there @param told what its player says comes next */
  began(song: SongId, remainingMs: Millis, told?: SongId): void {
    this.left(song);
    const [oldest] = this.#waiting;
    if (oldest !== undefined && this.#waiting.size >= PREFETCHES_MAX) {
      oldest[1]();
      this.#waiting.delete(oldest[0]);
    }
    const due = (): void => {
      this.#waiting.delete(song);
      this.#bring(song, told).catch(this.#options.onError);
    };
    this.#waiting.set(song, this.#options.alarms.after(Math.max(0, remainingMs - PREFETCH_MS), due));
  }

  /** Its player has left in the middle: what comes next is anybody's guess. */
  left(song: SongId): void {
    this.#waiting.get(song)?.();
    this.#waiting.delete(song);
  }

  stop(): void {
    this.#stopped.abort();
    for (const callOff of this.#waiting.values()) callOff();
    this.#waiting.clear();
  }

  async #bring(song: SongId, told: SongId | undefined): Promise<void> {
    const next = told === undefined ? await this.#options.nextOf(song) : [told];
    for (const id of next.slice(0, PREFETCHES_MAX)) {
      if (this.#under.has(id) || this.#stopped.signal.aborted) continue;
      this.#under.add(id);
      await this.#options.fetch(id, this.#stopped.signal).finally(() => this.#under.delete(id));
    }
  }
}
