// What an artist put out under one name, with its songs in playing order. The catalog's order is the order of releases, and
// within them that of songs: a new song moves a few numbers in its own release, a million songs are never sorted.
import { mix } from '../../lib/mix.ts';
import { grown } from './arena.ts';
import { type Compare, Lists } from './lists.ts';
import type { Names } from './names.ts';
import { NumberTable } from './number-table.ts';
import { SortedNumbers } from './sorted-numbers.ts';

export class Releases {
  /** In the order of disc, track, title and id. */
  readonly songs: Lists;
  readonly byArtist = new Lists();
  readonly byAlbum = new Lists();
  /** How many have an album's name. */
  albums = 0;
  readonly #names: Names;
  #artist = new Uint32Array(256) as Uint32Array;
  #album = new Uint32Array(256) as Uint32Array;
  #count = 0;
  readonly #free: number[] = [];
  readonly #order = new SortedNumbers((a, b) => this.#compare(a, b));
  readonly #table = new NumberTable((release) => this.#hash(this.artistOf(release), this.albumOf(release)));
  #soughtArtist = 0;
  #soughtAlbum = 0;
  readonly #isSought = (release: number): boolean =>
    this.#artist[release] === this.#soughtArtist && this.#album[release] === this.#soughtAlbum;
  #ranks = new Uint32Array(256) as Uint32Array;
  #ranked = false;

  constructor(names: Names, compareSongs: Compare) {
    this.#names = names;
    this.songs = new Lists(compareSongs);
  }

  artistOf(release: number): number {
    return this.#artist[release] as number;
  }

  albumOf(release: number): number {
    return this.#album[release] as number;
  }

  /** The release of these names, a new one if need be; it stays only while it has songs. */
  intern(artist: number, album: number): number {
    this.#soughtArtist = artist;
    this.#soughtAlbum = album;
    const hash = this.#hash(artist, album);
    const known = this.#table.find(hash, this.#isSought);
    if (known >= 0) return known;
    const release = this.#free.pop() ?? this.#count++;
    this.#artist = grown(this.#artist, this.#count);
    this.#album = grown(this.#album, this.#count);
    this.#artist[release] = artist;
    this.#album[release] = album;
    this.#names.hold(artist);
    this.#names.hold(album);
    this.byArtist.add(artist, release);
    this.byAlbum.add(album, release);
    this.#table.add(hash, release);
    this.#order.add(release);
    this.#ranked = false;
    if (!this.#names.texts.isEmpty(album)) this.albums += 1;
    return release;
  }

  addSong(release: number, song: number): void {
    this.songs.add(release, song);
  }

  removeSong(release: number, song: number): void {
    this.songs.remove(release, song);
    if (this.songs.length(release) > 0) return;
    const artist = this.artistOf(release);
    const album = this.albumOf(release);
    if (!this.#names.texts.isEmpty(album)) this.albums -= 1;
    this.#order.remove(release);
    this.#ranked = false;
    this.#table.remove(this.#hash(artist, album), release);
    this.byArtist.remove(artist, release);
    this.byAlbum.remove(album, release);
    this.#names.release(artist);
    this.#names.release(album);
    this.#free.push(release);
  }

  /** The place of every release in the catalog's order, by its number. */
  get ranks(): Uint32Array {
    if (!this.#ranked) {
      const { length } = this.#order;
      this.#ranks = grown(this.#ranks, this.#count);
      for (let i = 0; i < length; i++) this.#ranks[this.#order.at(i)] = i;
      this.#ranked = true;
    }
    return this.#ranks;
  }

  /** Songs in the catalog's order, from the `offset`-th on. */
  page(offset: number, limit: number): number[] {
    const songs: number[] = [];
    const { length } = this.#order;
    let skip = offset;
    for (let i = 0; i < length && songs.length < limit; i++) {
      const release = this.#order.at(i);
      const count = this.songs.length(release);
      for (let j = skip; j < count && songs.length < limit; j++) songs.push(this.songs.get(release, j));
      skip = Math.max(0, skip - count);
    }
    return songs;
  }

  #compare(a: number, b: number): number {
    return (
      this.#names.texts.compare(this.artistOf(a), this.artistOf(b)) || this.#names.texts.compare(this.albumOf(a), this.albumOf(b))
    );
  }

  #hash(artist: number, album: number): number {
    return mix(Math.imul(artist, 0x9e37_79b1) ^ mix(album));
  }
}
