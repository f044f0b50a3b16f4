// How far one reader looks ahead, and by when it needs what it looks at. A player may take all that it can get, and yet plays no
// faster than the music's bitrate: that is when a chunk is due. Whoever writes a file is in no hurry for any one chunk.
//
// There are two distances. The near one is kept in memory and is short, because fifty players have fifty of them. The far one is
// the cache's: half a minute of music at once, and beyond that half of what the line can bring since the reading began. So a fast
// line has the whole song within a second, before the machine that it comes from can go, and a slow one is left half to others.
import { CHUNK_BYTES, READ_AHEAD_CHUNKS } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import { NO_HURRY } from './wanted.ts';

/** In memory: enough to go to another provider when one freezes. */
const NEAR_MS: Millis = 4_000;
/** Of what a consumer has taken lately, for one that takes faster than it plays. */
const NEAR_TAKEN_MS: Millis = 250;
const NEAR_CHUNKS_MIN = 4;
/** In the cache, whatever the line is like. */
const FAR_MS: Millis = 30_000;
const FAR_SHARE = 0.5;
/** To begin with, also for whoever writes a file: a round trip for the first of them. */
const FIRST_CHUNKS = 2;
/** 320 kbit/s, in bytes a millisecond. */
const BITRATE_GUESS = 40;

export class ReadingPace {
  /** Bytes a millisecond; undefined when nobody listens. */
  readonly #bitrate: number | undefined;
  readonly #startedAt: Millis;
  #taken = 0;

  /** @param bytesPerMs what the music plays at, 0 where nobody knows; undefined for a file that is written */
  constructor(bytesPerMs: number | undefined, now: Millis) {
    this.#bitrate = bytesPerMs === 0 ? BITRATE_GUESS : bytesPerMs;
    this.#startedAt = now;
  }

  /** The consumer has come back for more. */
  took(bytes: number): void {
    this.#taken += bytes;
  }

  /** When the chunk is needed that lies so many after the first one read. */
  dueAt(chunk: number): Millis {
    if (this.#bitrate !== undefined) return this.#startedAt + (chunk * CHUNK_BYTES) / this.#bitrate;
    return chunk < FIRST_CHUNKS ? this.#startedAt : NO_HURRY + chunk;
  }

  /** Chunks to have in memory. @param cached whether what lies beyond goes to the cache */
  near(now: Millis, { cached }: { readonly cached: boolean }): number {
    if (!cached || this.#bitrate === undefined) return READ_AHEAD_CHUNKS;
    const taken = (this.#taken / Math.max(1, now - this.#startedAt)) * NEAR_TAKEN_MS;
    return Math.min(READ_AHEAD_CHUNKS, NEAR_CHUNKS_MIN + Math.ceil(Math.max(this.#bitrate * NEAR_MS, taken) / CHUNK_BYTES));
  }

  /** Chunks to have in memory or in the cache. @param rate what the line brings, in bytes a millisecond */
  far(now: Millis, rate: number): number {
    const share = FAR_SHARE * rate * (now - this.#startedAt);
    return READ_AHEAD_CHUNKS + Math.ceil(((this.#bitrate ?? 0) * FAR_MS + share) / CHUNK_BYTES);
  }
}
