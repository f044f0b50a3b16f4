// The columns of the catalog: for each song 16 bytes of id, its release, its artist and its place on the release, in typed
// arrays by a small dense number that stands for the song everywhere else in the index.
import { ID_BYTES, type SongId } from '../../lib/ids.ts';
import { mix } from '../../lib/mix.ts';
import { grown } from './arena.ts';
import { NumberTable } from './number-table.ts';

const PLACE_MAX = 0xffff;
const ID_WORDS = ID_BYTES / 4;

export class Songs {
  #ids = new Uint32Array(256) as Uint32Array<ArrayBuffer>;
  #idBytes = Buffer.from(this.#ids.buffer);
  #releases = new Uint32Array(256) as Uint32Array;
  #artists = new Uint32Array(256) as Uint32Array;
  #places = new Uint32Array(256) as Uint32Array;
  #count = 0;
  readonly #free: number[] = [];
  readonly #sought = new Uint32Array(ID_WORDS);
  readonly #soughtBytes = Buffer.from(this.#sought.buffer);
  readonly #table = new NumberTable((song) => mix(this.#ids[song * ID_WORDS] as number));
  readonly #isSought = (song: number): boolean => {
    for (let i = 0; i < ID_WORDS; i++) if (this.#ids[song * ID_WORDS + i] !== this.#sought[i]) return false;
    return true;
  };

  get size(): number {
    return this.#count - this.#free.length;
  }

  /** One more than the greatest number of a song. */
  get end(): number {
    return this.#count;
  }

  /** The number of the song with this id, or -1. */
  find(id: SongId): number {
    this.#soughtBytes.write(id, 'hex');
    return this.#table.find(mix(this.#sought[0] as number), this.#isSought);
  }

  /** A number for the id that `find` has just looked for in vain. */
  addSought(): number {
    const song = this.#free.pop() ?? this.#count++;
    const ids = grown(this.#ids, this.#count * ID_WORDS) as Uint32Array<ArrayBuffer>;
    if (ids !== this.#ids) {
      this.#ids = ids;
      this.#idBytes = Buffer.from(ids.buffer);
    }
    this.#ids.set(this.#sought, song * ID_WORDS);
    this.#releases = grown(this.#releases, this.#count);
    this.#artists = grown(this.#artists, this.#count);
    this.#places = grown(this.#places, this.#count);
    this.#table.add(mix(this.#ids[song * ID_WORDS] as number), song);
    return song;
  }

  delete(song: number): void {
    this.#table.remove(mix(this.#ids[song * ID_WORDS] as number), song);
    this.#free.push(song);
  }

  set(song: number, { release, artist, place }: { readonly release: number; readonly artist: number; readonly place: number }): void {
    this.#releases[song] = release;
    this.#artists[song] = artist;
    this.#places[song] = place;
  }

  idOf(song: number): SongId {
    return this.#idBytes.toString('hex', song * ID_BYTES, (song + 1) * ID_BYTES) as SongId;
  }

  compareIds(a: number, b: number): number {
    return this.#idBytes.compare(this.#idBytes, b * ID_BYTES, (b + 1) * ID_BYTES, a * ID_BYTES, (a + 1) * ID_BYTES);
  }

  releaseOf(song: number): number {
    return this.#releases[song] as number;
  }

  artistOf(song: number): number {
    return this.#artists[song] as number;
  }

  placeOf(song: number): number {
    return this.#places[song] as number;
  }
}

/** Disc and track in one number that sorts as they do. A disc that is not named is the first. */
export const placeOn = (disc: number, track: number): number =>
  Math.min(Math.max(disc, 1), PLACE_MAX) * (PLACE_MAX + 1) + Math.min(track, PLACE_MAX);
