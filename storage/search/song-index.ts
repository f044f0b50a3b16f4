// Finds songs among a million by title, artist and album while a person types, in some 110 bytes a song: 16 of them its id, 8 the
// way back from it, 16 its columns, 14 its title, 30 where the title's words point to it, the rest names, releases and vocabulary.
//
// An inverted index (Zobel and Moffat, "Inverted files for text search engines", 2006) with one step in between: a word points
// to the songs that have it in their title, and to the names that have it; names point to releases, releases to songs.
// So an artist's or album's words are posted once, not for every song. Everything lives in typed arrays and is changed in
// place: a put or delete costs microseconds whatever the size, nothing is rebuilt or merged later, and a search sees it at once.
//
//     words.ts -> vocabulary.ts: words as numbers -> texts.ts: titles and names as word numbers
//     songs.ts, releases.ts, names.ts: columns and order      query.ts, ranking.ts, best.ts: a search
//
// A search lists the songs of its rarest term and ranks those that have the others too, reading their words from texts.ts.
import type { SongId } from '../../lib/ids.ts';
import { SEARCH_RESULTS_MAX } from '../../lib/limits.ts';
import { grown } from './arena.ts';
import { Best } from './best.ts';
import { Lists } from './lists.ts';
import { Names } from './names.ts';
import { type Match, matchTerm, type Term, termsOf } from './query.ts';
import { Judgements, Ranking, rarity } from './ranking.ts';
import { Releases } from './releases.ts';
import { Scratch } from './scratch.ts';
import type { SongSet } from './song-set.ts';
import { placeOn, Songs } from './songs.ts';
import { Texts, WordNumbers } from './texts.ts';
import { typosAllowed } from './typos.ts';
import { Vocabulary } from './vocabulary.ts';
import { wordsOf } from './words.ts';

export interface IndexedSong {
  readonly id: SongId;
  readonly title: string;
  readonly artist: string;
  readonly album: string;
  /** Empty when it is the artist. */
  readonly albumArtist: string;
  /** 0 when unknown, as is disc. */
  readonly track: number;
  readonly disc: number;
}

/** Fewer answers than this, and words with typing errors are accepted after them. */
const FEW = 5;
/** Releases fit 2^28 many times over; a rank and a distance share one exact number. */
const RANKS = 2 ** 28;
/** A name stands for about so many songs when the work of a term is estimated. */
const SONGS_PER_NAME = 10;
/** Ranking a song takes as long as listing so many. */
const WORTH_EXCLUDING = 10;

export class SongIndex {
  readonly #vocabulary = new Vocabulary();
  readonly #songs = new Songs();
  readonly #titles = new Texts(this.#vocabulary);
  readonly #names = new Names(this.#vocabulary);
  readonly #compareWithinRelease = (a: number, b: number): number =>
    this.#songs.placeOf(a) - this.#songs.placeOf(b) || this.#titles.compare(a, b) || this.#songs.compareIds(a, b);
  readonly #releases = new Releases(this.#names, this.#compareWithinRelease);
  /** Songs whose artist is not their release's, by artist. */
  readonly #guests = new Lists();
  /** By name, how many songs have it as artist. */
  #songsByArtist = new Uint32Array(256) as Uint32Array;
  #artists = 0;
  readonly #title = new WordNumbers();
  readonly #scratch = new Scratch();
  readonly #judgements = new Judgements();

  get songs(): number {
    return this.#songs.size;
  }

  /** Different pairs of album artist (artist where there is none) and album, but for songs without an album. */
  get albums(): number {
    return this.#releases.albums;
  }

  /** Different artists of songs. */
  get artists(): number {
    return this.#artists;
  }

  has(id: SongId): boolean {
    return this.#songs.find(id) >= 0;
  }

  /** Inserts a song, or gives it new tags. */
  put(song: IndexedSong): void {
    const artist = this.#names.retain(song.artist || song.albumArtist);
    const albumArtist = this.#names.retain(song.albumArtist || song.artist);
    const album = this.#names.retain(song.album);
    const known = this.#songs.find(song.id);
    if (known >= 0) this.#detach(known);
    const number = known >= 0 ? known : this.#songs.addSought();
    // Only now, because words of names that are gone by this are gone too.
    this.#title.fill(wordsOf(song.title), this.#vocabulary);
    this.#titles.prepare(this.#title);
    if (known < 0) this.#titles.set(number);
    else if (!this.#titles.holds(number)) this.#titles.replace(number);
    const place = placeOn(song.disc, song.track);
    this.#songs.set(number, { release: this.#releases.intern(albumArtist, album), artist, place });
    this.#attach(number);

    // The song holds its artist, its release the other two.
    this.#names.release(albumArtist);
    this.#names.release(album);
  }

  delete(id: SongId): void {
    const song = this.#songs.find(id);
    if (song < 0) return;
    this.#detach(song);
    this.#titles.delete(song);
    this.#songs.delete(song);
  }

  /** The songs that have every word, the best first, and those of equal merit in the catalog's order: album artist, album,
   *  disc, track, title, id. Without words everything in that order. Takes any text. */
  search(words: string, page: { readonly limit: number; readonly offset?: number }): SongId[] {
    return this.find(words, page).ids;
  }

  /** The same, with how many songs match in all. */
  find(words: string, { limit, offset = 0 }: { readonly limit: number; readonly offset?: number }): { readonly ids: SongId[]; readonly total: number } {
    const first = Math.max(0, Math.floor(offset) || 0);
    const count = Math.min(Math.max(0, Math.floor(limit) || 0), SEARCH_RESULTS_MAX);
    const terms = termsOf(words);
    const { songs, found } = terms.length === 0 ? { songs: this.#releases.page(first, count), found: this.songs } : this.#find(terms, first + count);
    const page = terms.length === 0 ? songs : songs.slice(first);
    return { ids: page.map((song) => this.#songs.idOf(song)), total: found };
  }

  /** Adds a song to its release and artist. */
  #attach(song: number): void {
    const release = this.#songs.releaseOf(song);
    const artist = this.#songs.artistOf(song);
    this.#releases.addSong(release, song);
    if (artist !== this.#releases.artistOf(release)) this.#guests.add(artist, song);
    this.#songsByArtist = grown(this.#songsByArtist, artist + 1);
    if (this.#songsByArtist[artist] === 0 && !this.#names.texts.isEmpty(artist)) this.#artists += 1;
    this.#songsByArtist[artist] = (this.#songsByArtist[artist] as number) + 1;
  }

  /** Takes a song from its release and artist, while its columns still say where it stands there. */
  #detach(song: number): void {
    const release = this.#songs.releaseOf(song);
    const artist = this.#songs.artistOf(song);
    if (artist !== this.#releases.artistOf(release)) this.#guests.remove(artist, song);
    this.#songsByArtist[artist] = (this.#songsByArtist[artist] as number) - 1;
    if (this.#songsByArtist[artist] === 0 && !this.#names.texts.isEmpty(artist)) this.#artists -= 1;
    this.#releases.removeSong(release, song);
    this.#names.release(artist);
  }

  #find(terms: readonly Term[], count: number): { readonly songs: number[]; readonly found: number } {
    const answer = this.#rank(this.#match(terms, { typos: false }), count);
    if (answer.found >= FEW || terms.every(([word]) => typosAllowed(word) === 0)) return answer;
    return this.#rank(this.#match(terms, { typos: true }), count);
  }

  #match(terms: readonly Term[], { typos }: { readonly typos: boolean }): Match[] {
    this.#scratch.begin({ songs: this.#songs.end, words: this.#vocabulary.end });
    return terms.map((term) => matchTerm(term, this.#vocabulary, { typos, qualities: this.#scratch.wordColumn() }));
  }

  /** The best `count` songs that match all of `matches`, and how many there are. */
  #rank(matches: readonly Match[], count: number): { readonly songs: number[]; readonly found: number } {
    const works = matches.map((match) => this.#estimate(match));
    if (works.includes(0)) return { songs: [], found: 0 };
    const total = this.#songs.size + this.#names.size;
    const inTitle = matches.map((match) => this.#songsTitled(match));
    const ranking = new Ranking({
      matches,
      inTitle,
      rarities: matches.map((match) => rarity(this.#textsWith(match), total)),
      titles: this.#titles,
      names: this.#names,
      judgements: this.#judgements,
      releases: this.#releases,
    });
    const { ranks } = this.#releases;
    const candidates = this.#candidates(matches, works, inTitle);
    const best = new Best(count, this.#compareWithinRelease);
    let found = 0;
    candidates.forEach((song) => {
      const release = this.#songs.releaseOf(song);
      const distance = ranking.distance(song, { release, artist: this.#songs.artistOf(song) });
      if (distance < 0) return;
      found += 1;
      best.offer(distance * RANKS + (ranks[release] as number), song);
    });
    return { songs: best.drain(), found };
  }

  /** Songs among which all that match are: those of the rarest term, less what other terms exclude at little cost. */
  #candidates(matches: readonly Match[], works: readonly number[], inTitle: readonly SongSet[]): SongSet {
    const [rarest, ...others] = matches.map((_, t) => t).sort((a, b) => (works[a] as number) - (works[b] as number)) as [number, ...number[]];
    const candidates = this.#songsWith(matches[rarest] as Match, inTitle[rarest] as SongSet);
    for (const t of others) {
      if ((works[t] as number) > candidates.count() * WORTH_EXCLUDING) break;
      candidates.intersect(this.#songsWith(matches[t] as Match, inTitle[t] as SongSet));
    }
    return candidates;
  }

  #textsWith({ words }: Match): number {
    let texts = 0;
    for (const word of words) texts += this.#titles.withWord.length(word) + this.#names.texts.withWord.length(word);
    return texts;
  }

  /** About how many songs have one of the words. */
  #estimate({ words }: Match): number {
    let songs = 0;
    for (const word of words) {
      songs += this.#titles.withWord.length(word) + this.#names.texts.withWord.length(word) * SONGS_PER_NAME;
    }
    return songs;
  }

  /** The songs that have one of the words in their title. */
  #songsTitled({ words }: Match): SongSet {
    const titles = this.#titles.withWord;
    const songs = this.#scratch.songSet();
    for (const word of words) for (let i = titles.length(word) - 1; i >= 0; i--) songs.add(titles.get(word, i));
    return songs;
  }

  /** The songs that have one of the words in any field; `titled` are those that have it in their title. */
  #songsWith({ words }: Match, titled: SongSet): SongSet {
    const found = this.#scratch.songSet();
    found.addAll(titled);
    const addAll = (lists: Lists, key: number): void => {
      for (let i = lists.length(key) - 1; i >= 0; i--) found.add(lists.get(key, i));
    };
    const names = this.#names.texts.withWord;
    const { byArtist, byAlbum, songs } = this.#releases;
    for (const word of words) {
      for (let i = names.length(word) - 1; i >= 0; i--) {
        const name = names.get(word, i);
        addAll(this.#guests, name);
        for (let j = byArtist.length(name) - 1; j >= 0; j--) addAll(songs, byArtist.get(name, j));
        for (let j = byAlbum.length(name) - 1; j >= 0; j--) addAll(songs, byAlbum.get(name, j));
      }
    }
    return found;
  }
}
