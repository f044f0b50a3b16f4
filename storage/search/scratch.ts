// Room that searches borrow. At a million songs one search needs a megabyte for a moment; as garbage that would make the engine
// stop and collect the whole heap every few hundred searches, tens of milliseconds each time.
import { SongSet } from './song-set.ts';

/** Of each kind kept between searches: enough for queries of a few words, looked up twice. */
const KEPT_MAX = 8;

export class Scratch {
  #sets: SongSet[] = [];
  #setsLent = 0;
  #songs = 0;
  #columns: Uint8Array[] = [];
  #columnsLent = 0;
  #words = 0;

  /** Takes everything back, and makes sure that what it lends from now on is large enough. */
  begin({ songs, words }: { readonly songs: number; readonly words: number }): void {
    if (songs > this.#songs) {
      this.#songs = Math.max(songs, this.#songs * 2);
      this.#sets = [];
    }
    if (words > this.#words) {
      this.#words = Math.max(words, this.#words * 2);
      this.#columns = [];
    }
    this.#sets.length = Math.min(this.#sets.length, KEPT_MAX);
    this.#columns.length = Math.min(this.#columns.length, KEPT_MAX);
    this.#setsLent = 0;
    this.#columnsLent = 0;
  }

  /** An empty set. */
  songSet(): SongSet {
    const set = (this.#sets[this.#setsLent++] ??= new SongSet(this.#songs));
    set.clear();
    return set;
  }

  /** A zero for every word. */
  wordColumn(): Uint8Array {
    return (this.#columns[this.#columnsLent++] ??= new Uint8Array(this.#words)).fill(0);
  }
}
