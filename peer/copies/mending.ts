// What this machine had, or was told to have, and has not whole: found when a part of it rots or goes, when a start finds less than was said
// before, and when somebody comes who has it; and fetched again.
import type { PayloadId } from '../../lib/ids.ts';
import type { Catalog } from '../../storage/catalog.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { Song } from '../../storage/song-view.ts';
import type { Copying } from './copying.ts';
import type { Keeping } from './keeping.ts';
import type { Pins } from './pins.ts';

export interface MendingOptions {
  readonly cache: Pick<ChunkCache, 'complete' | 'filesOf' | 'has' | 'payloads'>;
  readonly catalog: Pick<Catalog, 'song'>;
  readonly copying: Pick<Copying, 'refuses' | 'want'>;
  readonly keeping: Pick<Keeping, 'find'>;
  readonly pins: Pick<Pins, 'has' | 'seek' | 'seekPayload'>;
  readonly trouble: (error: unknown) => void;
}

const always = (): boolean => true;

export class Mending {
  readonly #options: MendingOptions;
  #stopped = false;

  constructor(options: MendingOptions) {
    this.#options = options;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** A part of it is not here any more, or all of it. */
  damaged(payload: PayloadId): void {
    this.#run(() => this.#mend(payload, always));
  }

  /** What was played is as good as what was copied, once it has what surrounds it. */
  surround(payload: PayloadId): void {
    const { cache } = this.#options;
    if (cache.complete(payload) && cache.filesOf(payload).length === 0) this.damaged(payload);
  }

  /** Everything that is missing. @param isGiven may somebody give it now who could not before? */
  seek(isGiven: (song: Song) => boolean): void {
    this.#seek(this.#missing, isGiven);
  }

  /** Likewise what there was no place for in the queue, and was not tried in vain a moment ago. */
  seekLeft(): void {
    this.#seek(this.#missing.filter((payload) => !this.#options.copying.refuses(payload)), always);
  }

  /** What is complete lacks what surrounds it. A part with edges was once whole: it comes last, being larger. */
  get #missing(): PayloadId[] {
    const { cache } = this.#options;
    const missing = cache.payloads().filter((payload) => cache.complete(payload) !== cache.filesOf(payload).length > 0);
    return missing.sort((a, b) => Number(cache.complete(b)) - Number(cache.complete(a)));
  }

  #seek(payloads: readonly PayloadId[], isGiven: (song: Song) => boolean): void {
    const { pins } = this.#options;
    this.#run(async () => {
      // a person's word counts for more, and pins need no place in the queue of what is broken
      await pins.seek(isGiven);
      for (const payload of payloads) await this.#mend(payload, isGiven);
    });
  }

  /** As soon as it is read which song it is a part of; what is part of none nobody can give. */
  async #mend(payload: PayloadId, isGiven: (song: Song) => boolean): Promise<void> {
    const { cache, catalog, copying, keeping, pins } = this.#options;
    if (pins.has(payload)) return pins.seekPayload(payload, isGiven);
    if (!cache.has(payload)) return;
    const id = await keeping.find(payload);
    const song = id && (await catalog.song(id));
    if (song && isGiven(song) && !this.#stopped) copying.want({ payload, song: song.id, why: 'heal', bytes: 0 });
  }

  #run(work: () => Promise<void>): void {
    work().catch((error: unknown) => {
      if (!this.#stopped) this.#options.trouble(error);
    });
  }
}
