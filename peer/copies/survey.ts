// How safe the music is: on how many machines each song is, counted over all songs. Counted when somebody asks and something has
// changed. Whoever only looks in is told the last count where counting takes long, and nothing before the first; then it is counted anew
// at most a twentieth of the time. Whoever decides by it waits.
import type { PeerId } from '../../lib/ids.ts';
import { VANISHING_SONGS_MAX } from '../../lib/limits.ts';
import { sizeOf } from '../../lib/song.ts';
import type { Clock, Millis } from '../../lib/time.ts';
import type { Catalog } from '../../storage/catalog.ts';
import { machinesOf, type Song } from '../../storage/song-view.ts';
import type { Machines } from './machines.ts';

const REST_FACTOR = 20;
/** What is counted within so long is counted whenever somebody asks. */
const QUICK_MS: Millis = 30;
/** Whoever only looks in waits for so long. */
const WAIT_MS: Millis = 200;
/** Members change without a word: their grace ends, they fall silent. */
const OLD_MS: Millis = 5_000;

export interface Counted {
  /** By the number of machines here that hold them whole. */
  readonly songs: ReadonlyMap<number, number>;
  /** Songs that are on fewer machines than is wanted and could be. */
  readonly toDo: number;
  /** Songs that no machine holds whole that is here. */
  readonly missing: number;
}


export interface Vanishing {
  readonly total: number;
  readonly bytes: number;
  /** Of the smallest of them; 0 without any. */
  readonly smallestBytes: number;
  /** By title, the first VANISHING_SONGS_MAX. */
  readonly songs: readonly { readonly id: string; readonly title: string; readonly artist: string }[];
}

export interface SurveyOptions {
  readonly catalog: Pick<Catalog, 'walk'>;
  readonly machines: Pick<Machines, 'lives' | 'stays'>;
  /** Machines for each song. */
  readonly wanted: () => number;
  /** Machines that stay, this one included. */
  readonly staying: () => number;
  readonly clock: Clock;
}

export class Survey {
  readonly #options: SurveyOptions;
  #latest: Counted | undefined;
  #counting: Promise<Counted> | undefined;
  #changed = true;
  #countedAt: Millis = Number.NEGATIVE_INFINITY;
  #tookMs: Millis = 0;

  constructor(options: SurveyOptions) {
    this.#options = options;
  }

  changed(): void {
    this.#changed = true;
  }

  /** The last count, without counting. */
  get last(): Counted | undefined {
    return this.#latest;
  }

  /** Of the last count. */
  get ageMs(): Millis {
    return this.#options.clock.now() - this.#countedAt;
  }

  /** As it is now. */
  async fresh(): Promise<Counted> {
    if (this.#latest && this.#isFresh) return this.#latest;
    // what is being counted may have begun before the last change
    if (this.#counting) await this.#counting;
    return this.#recount();
  }

  get #isFresh(): boolean {
    return !this.#changed && this.ageMs < OLD_MS;
  }

  #recount(): Promise<Counted> {
    this.#counting ??= this.#count().finally(() => (this.#counting = undefined));
    return this.#counting;
  }

  /** @returns undefined before the first count is over */
  async latest(): Promise<Counted | undefined> {
    if (this.#isFresh) return this.#latest;
    if (this.#tookMs > QUICK_MS && this.ageMs < REST_FACTOR * this.#tookMs) return this.#latest;
    return Promise.race([this.#recount(), this.#later()]);
  }

  /** Nobody waits long for a large catalog: the count is told the next time. */
  #later(): Promise<Counted | undefined> {
    return new Promise((resolve) => setTimeout(() => resolve(this.#latest), WAIT_MS).unref());
  }

  async #count(): Promise<Counted> {
    const { catalog, machines, wanted, staying, clock } = this.#options;
    const startedAt = clock.now();
    this.#changed = false;
    const reach = Math.min(wanted(), staying());
    const songs = new Map<number, number>();
    let toDo = 0;
    let missing = 0;
    for await (const some of catalog.walk()) {
      for (const song of some) {
        let living = 0;
        let staying = 0;
        for (const peer of machinesOf(song)) {
          if (machines.lives(peer)) living += 1;
          if (machines.stays(peer)) staying += 1;
        }
        if (living === 0) missing += 1;
        else songs.set(living, (songs.get(living) ?? 0) + 1);
        if (living > 0 && staying < reach) toDo += 1;
      }
    }
    this.#countedAt = clock.now();
    this.#tookMs = this.#countedAt - startedAt;
    return (this.#latest = { songs, toDo, missing });
  }

  /** What would be gone with this machine. @param isElsewhere is this song, which it holds, kept by others? */
  async only(peer: PeerId, isElsewhere: (song: Song) => boolean): Promise<Vanishing> {
    const found: Song[] = [];
    for await (const songs of this.#options.catalog.walk()) {
      for (const song of songs) {
        if (machinesOf(song).has(peer) && !isElsewhere(song)) found.push(song);
      }
    }
    const shown = found.map(({ id, files: [{ description: { tags } }] }) => ({ id: id as string, title: tags.title, artist: tags.artist }));
    shown.sort((a, b) => a.title.localeCompare(b.title) || (a.id < b.id ? -1 : 1));
    const sizes = found.map(({ files: [{ description }] }) => sizeOf(description));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const smallestBytes = sizes.reduce((least, size) => Math.min(least, size), bytes);
    return { total: found.length, bytes, smallestBytes, songs: shown.slice(0, VANISHING_SONGS_MAX) };
  }
}
