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

/** One player's request for a song that plays. */
export interface Reading {
  /** The player has left in the middle: what comes next is anybody's guess. */
  left(): void;
  /** It has got all that it asked for, and plays it. */
  over(): void;
}

interface Waiting {
  readonly song: SongId;
  readonly callOff: () => void;
  /** Nobody reads for it any more: the next request for the song is taken for one of the same player. */
  over: boolean;
}

export class Prefetch {
  readonly #options: PrefetchOptions;
  /** One for each player, as far as requests tell; in the order in which they began. */
  readonly #waiting = new Set<Waiting>();
  readonly #under = new Set<SongId>();
  readonly #stopped = new AbortController();

  constructor(options: PrefetchOptions) {
    this.#options = options;
  }

  /** A player has begun to read a song. @param remainingMs how long it plays from there @param told what its player says comes next */
  began(song: SongId, remainingMs: Millis, told?: SongId): Reading {
    const due = (): void => {
      this.#waiting.delete(waiting);
      void this.#bring(song, told);
    };
    for (const before of this.#waiting) {
      if (before.song !== song || !before.over) continue;
      this.#forget(before);
      break;
    }
    const [oldest] = this.#waiting;
    if (oldest !== undefined && this.#waiting.size >= PREFETCHES_MAX) this.#forget(oldest);
    const waiting: Waiting = { song, callOff: this.#options.alarms.after(Math.max(0, remainingMs - PREFETCH_MS), due), over: false };
    this.#waiting.add(waiting);
    return {
      left: () => this.#forget(waiting),
      over: () => {
        waiting.over = true;
      },
    };
  }

  stop(): void {
    this.#stopped.abort();
    for (const waiting of [...this.#waiting]) this.#forget(waiting);
  }

  #forget(waiting: Waiting): void {
    waiting.callOff();
    this.#waiting.delete(waiting);
  }

  /** Each by itself: one that nobody has holds no other up. */
  async #bring(song: SongId, told: SongId | undefined): Promise<void> {
    try {
      const next = told === undefined ? await this.#options.nextOf(song) : [told];
      await Promise.all(next.slice(0, PREFETCHES_MAX).map((id) => this.#fetch(id)));
    } catch (error) {
      this.#options.onError(error);
    }
  }

  async #fetch(id: SongId): Promise<void> {
    if (this.#under.has(id) || this.#stopped.signal.aborted) return;
    this.#under.add(id);
    try {
      await this.#options.fetch(id, this.#stopped.signal);
    } catch (error) {
      this.#options.onError(error);
    } finally {
      this.#under.delete(id);
    }
  }
}
