// Short-lived addresses of one song for one player. A player's address shows in `ps` and in its logs, so it must not be
// the machine's token; and a player asks several times, to seek. So an address is random, plays one song and nothing
// else, belongs to the first client that uses it, and ends by itself.
import { randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type FileId, hex, type SongId } from '../../lib/ids.ts';
import { PLAY_URL_LIFE_MS, PLAY_URLS_MAX } from '../../lib/limits.ts';
import type { Clock, Millis } from '../../lib/time.ts';

export interface Playable {
  readonly song: SongId;
  readonly file?: FileId;
  readonly original: boolean;
  readonly next?: SongId;
}

export class PlayUrls {
  readonly #entries: LRUCache<string, { readonly playable: Playable; client: string | undefined }>;

  constructor(clock: Clock) {
    this.#entries = new LRUCache({ max: PLAY_URLS_MAX, ttl: PLAY_URL_LIFE_MS, perf: clock, ttlResolution: 0 });
  }

  create(playable: Playable): { readonly url: string; readonly expiresMs: Millis } {
    const key = hex(randomBytes(24));
    this.#entries.set(key, { playable, client: undefined });
    return { url: `/play/${key}`, expiresMs: PLAY_URL_LIFE_MS };
  }

  /** @returns undefined when it is unknown, over, or another client's */
  use(key: string, client: string): Playable | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    entry.client ??= client;
    return entry.client === client ? entry.playable : undefined;
  }
}
