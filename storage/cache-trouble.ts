// Whether the cache writes. A disk that is full or read-only stops the caching, never the music; it is told once, and asked again after
// a while, since somebody may have made room.
import { codeOf, messageOf, PeerError } from '../lib/errors.ts';
import type { Clock, Millis } from '../lib/time.ts';
import type { CacheEvents } from './cache-events.ts';

/** A full disk is asked again this often. */
const RETRY_MS: Millis = 60_000;
/** A disk that has nothing to spare is told of again after so long: each song that is played meets it, and may make room for the next one's beginning. */
const FULL_AGAIN_MS: Millis = 3_600_000;

interface CacheTroubleOptions {
  readonly clock: Pick<Clock, 'now'>;
  readonly events: Pick<CacheEvents, 'trouble'>;
}

export class CacheTrouble {
  readonly #folder: string;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #events: Pick<CacheEvents, 'trouble'>;
  /** When a write failed last; undefined since one has worked. */
  #stoppedAt: Millis | undefined;
  /** When it was told that the disk has nothing to spare. */
  #fullToldAt: Millis = Number.NEGATIVE_INFINITY;

  constructor(folder: string, { clock, events }: CacheTroubleOptions) {
    this.#folder = folder;
    this.#clock = clock;
    this.#events = events;
  }

  /** Nothing is to be written now. */
  get stopped(): boolean {
    return this.#stoppedAt !== undefined && this.#clock.now() - this.#stoppedAt < RETRY_MS;
  }

  /** A write failed, and not because its file is gone. */
  stop(cause: unknown): void {
    const told = this.#stoppedAt !== undefined;
    this.#stoppedAt = this.#clock.now();
    if (told) return;
    const full = ['ENOSPC', 'EDQUOT'].includes(codeOf(cause) ?? '');
    const error = full
      ? new PeerError('DISK_FULL', `the disk of ${this.#folder} is full: music of others is played, but not kept`, { cause })
      : new PeerError('DATA_FOLDER_UNUSABLE', `${this.#folder} cannot be written (${messageOf(cause)}): music of others is played, but not kept`, { cause });
    this.#events.trouble(error);
  }

  /** A write has worked. */
  worked(): void {
    this.#stoppedAt = undefined;
  }

  /** There is no room, though the bound allows it: the disk has nothing to spare. That stops nothing, since less may fit. */
  tellFull(): void {
    if (this.#clock.now() - this.#fullToldAt < FULL_AGAIN_MS) return;
    this.#fullToldAt = this.#clock.now();
    this.#events.trouble(new PeerError('DISK_FULL', `the disk of ${this.#folder} is full but for what the database needs: music of others is played, but not kept`));
  }
}
