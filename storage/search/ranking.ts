// Which of two songs that match is the better answer. Only whole numbers and only what is in the catalog, so that every peer
// gives the same order. A song's score is the sum of
//
// - for each term: the worth of its best match (exact, prefix, typo) times the weight of the field that has it (title, artist,
//   album artist, album) times how rare the term is;
// - for the best field that has all terms: a bonus, greater when they stand there in order as in the query;
// - for each field of which every word was asked for exactly (an article in front aside): a bonus.
//
// The numbers are chosen so that for a single word every exact match is above every prefix, and every prefix above every
// typo, whatever the field: within exact ones, title equal > artist equal > title contains > album equal. Songs whose terms need
// typos come after all that need fewer.
import { grown } from './arena.ts';
import type { Names } from './names.ts';
import { EXACT, type Match, NONE, PREFIX } from './query.ts';
import type { Releases } from './releases.ts';
import type { SongSet } from './song-set.ts';
import { type Texts, WordNumbers } from './texts.ts';
import { THE } from './vocabulary.ts';

const TITLE = 10;
const ARTIST = 8;
const ALBUM_ARTIST = 7;
const ALBUM = 5;

/** By quality: none, two typos, one typo, prefix, exact. */
const WORTH = [0, 4, 10, 40, 100] as const;
/** Bonuses of a field that has all terms, by the quality of the worst match: half its worth in order, less in any order. */
const PHRASE = [0, 2, 5, 20, 50] as const;
const TOGETHER = [0, 1, 3, 12, 30] as const;
const COVERED = 40;

/** Of a prefix in an album's name; the best match with a typo, in a title, is worth less. */
const LEAST_WORTH_AS_TYPED = ALBUM * WORTH[PREFIX];

const SCATTERED = 0;
const ALL = 1;
const IN_ORDER = 2;

/** Above any score: 16 terms, each 20 times (1000 + 500 + 920). */
export const SCORE_LIMIT = 2 ** 20;

/** How rare a term is that `texts` of `total` have: 1 when all do, one more for each halving. */
export const rarity = (texts: number, total: number): number => 32 - Math.clz32(Math.floor(total / Math.max(1, texts)) + 1);

/** Which names a ranking has looked at. Rows are numbered on from ranking to ranking, so that what an earlier one noted is below
 *  the first and means nothing: clearing a million names would cost more than most searches. */
export class Judgements {
  #rows = new Uint32Array(256) as Uint32Array;
  #before = 0;
  #last = 0;

  /** @param names one more than the greatest number of a name */
  begin(names: number): void {
    this.#rows = grown(this.#rows, names);
    if (this.#last > 2 ** 31) {
      this.#rows.fill(0);
      this.#last = 0;
    }
    this.#before = this.#last;
  }

  /** @returns the row that was noted in this ranking, or a number below 1 */
  rowOf(name: number): number {
    return (this.#rows[name] as number) - this.#before;
  }

  /** @param row 1, 2, 3, … */
  note(name: number, row: number): void {
    this.#last = this.#before + row;
    this.#rows[name] = this.#last;
  }
}

export class Ranking {
  readonly #matches: readonly Match[];
  readonly #inTitle: readonly SongSet[];
  readonly #rarities: readonly number[];
  readonly #allRarities: number;
  readonly #titles: Texts;
  readonly #names: Texts;
  readonly #releases: Releases;
  readonly #judgements: Judgements;
  /** Each row: the quality of every term in a field, then whether it is covered, then SCATTERED, ALL or IN_ORDER. The first
   *  row is the title's. */
  #rows: Uint8Array;
  #rowCount = 1;
  readonly #stride: number;
  readonly #text = new WordNumbers();
  /** Songs come release by release, so what its names are worth is worked out once for each. */
  #release = -1;
  #artist = -1;
  readonly #worths: Uint32Array;
  #together = 0;
  #covered = 0;
  #distance = 0;

  constructor(options: {
    readonly matches: readonly Match[];
    /** For each term the songs that have it in their title. */
    readonly inTitle: readonly SongSet[];
    readonly rarities: readonly number[];
    readonly titles: Texts;
    readonly names: Names;
    /** Its own from now until the next ranking. */
    readonly judgements: Judgements;
    readonly releases: Releases;
  }) {
    this.#matches = options.matches;
    this.#inTitle = options.inTitle;
    this.#rarities = options.rarities;
    this.#allRarities = options.rarities.reduce((sum, rare) => sum + rare, 0);
    this.#titles = options.titles;
    this.#names = options.names.texts;
    this.#releases = options.releases;
    this.#judgements = options.judgements;
    this.#judgements.begin(options.names.end);
    this.#stride = options.matches.length + 2;
    this.#rows = new Uint8Array(this.#stride * 64);
    this.#worths = new Uint32Array(options.matches.length);
  }

  /** @returns how far down a song belongs: SCORE_LIMIT less its score, and SCORE_LIMIT more for each term with typos;
   *  -1 when a term does not match */
  distance(song: number, { release, artist }: { readonly release: number; readonly artist: number }): number {
    if (release !== this.#release || artist !== this.#artist) this.#weighNames(release, artist);
    // Reading a title costs more than all else here, and most candidates can do without.
    let titled = false;
    for (let t = 0; t < this.#inTitle.length; t++) {
      if ((this.#inTitle[t] as SongSet).has(song)) titled = true;
      else if (this.#worths[t] === 0) return -1;
    }
    if (!titled) return this.#distance;
    this.#judge(this.#titles, song, 0);
    let distance = SCORE_LIMIT;
    for (let t = 0; t < this.#matches.length; t++) {
      distance += this.#step(t, Math.max(TITLE * (WORTH[this.#rows[t] as number] as number), this.#worths[t] as number));
    }
    return distance - Math.max(TITLE * this.#bonusTogether(0), this.#together) - TITLE * this.#bonusCovered(0) - this.#covered;
  }

  /** What a song of this release and artist gets without its title. */
  #weighNames(release: number, artist: number): void {
    this.#release = release;
    this.#artist = artist;
    const artistRow = this.#rowFor(artist);
    const albumArtistRow = this.#rowFor(this.#releases.artistOf(release));
    const albumRow = this.#rowFor(this.#releases.albumOf(release));
    let matched = 0;
    this.#distance = SCORE_LIMIT;
    for (let t = 0; t < this.#matches.length; t++) {
      const worth = Math.max(
        ARTIST * (WORTH[this.#rows[artistRow + t] as number] as number),
        ALBUM_ARTIST * (WORTH[this.#rows[albumArtistRow + t] as number] as number),
        ALBUM * (WORTH[this.#rows[albumRow + t] as number] as number),
      );
      this.#worths[t] = worth;
      this.#distance += this.#step(t, worth);
      if (worth > 0) matched += 1;
    }
    this.#together = Math.max(
      ARTIST * this.#bonusTogether(artistRow),
      ALBUM_ARTIST * this.#bonusTogether(albumArtistRow),
      ALBUM * this.#bonusTogether(albumRow),
    );
    this.#covered =
      Math.max(ARTIST * this.#bonusCovered(artistRow), ALBUM_ARTIST * this.#bonusCovered(albumArtistRow)) +
      ALBUM * this.#bonusCovered(albumRow);
    this.#distance = matched === this.#matches.length ? this.#distance - this.#together - this.#covered : -1;
  }

  /** How a term with a match of this worth changes the distance. */
  #step(term: number, worth: number): number {
    return (worth < LEAST_WORTH_AS_TYPED ? SCORE_LIMIT : 0) - worth * (this.#rarities[term] as number);
  }

  #bonusTogether(row: number): number {
    const terms = this.#matches.length;
    const order = this.#rows[row + terms + 1] as number;
    if (order === SCATTERED) return 0;
    let worst = EXACT;
    for (let t = 0; t < terms; t++) worst = Math.min(worst, this.#rows[row + t] as number);
    return ((order === IN_ORDER ? PHRASE : TOGETHER)[worst] as number) * this.#allRarities;
  }

  #bonusCovered(row: number): number {
    const terms = this.#matches.length;
    if (this.#rows[row + terms] === 0) return 0;
    let rarities = 0;
    for (let t = 0; t < terms; t++) if (this.#rows[row + t] === EXACT) rarities += this.#rarities[t] as number;
    return COVERED * rarities;
  }

  #rowFor(name: number): number {
    const known = this.#judgements.rowOf(name);
    if (known > 0) return known * this.#stride;
    const number = this.#rowCount++;
    const row = number * this.#stride;
    if (row + this.#stride > this.#rows.length) {
      const larger = new Uint8Array(this.#rows.length * 2);
      larger.set(this.#rows);
      this.#rows = larger;
    }
    this.#judge(this.#names, name, row);
    this.#judgements.note(name, number);
    return row;
  }

  /** Fills a row for a text. */
  #judge(texts: Texts, id: number, row: number): void {
    const text = texts.read(id, this.#text);
    const rows = this.#rows;
    const terms = this.#matches.length;
    let matched = 0;
    for (let t = 0; t < terms; t++) {
      const { qualities } = this.#matches[t] as Match;
      let best = NONE;
      for (let i = 0; i < text.count; i++) best = Math.max(best, qualities[text.words[i] as number] as number);
      for (let i = 0; i < text.joinedCount; i++) best = Math.max(best, qualities[text.joined[i * 3 + 2] as number] as number);
      rows[row + t] = best;
      if (best !== NONE) matched += 1;
    }
    rows[row + terms] = matched > 0 && this.#isCovered(text) ? 1 : 0;
    rows[row + terms + 1] = matched < terms ? SCATTERED : terms === 1 || this.#isInOrder(text) ? IN_ORDER : ALL;
  }

  #isCovered(text: WordNumbers): boolean {
    const start = text.count > 1 && text.words[0] === THE ? 1 : 0;
    for (let i = start; i < text.count; i++) {
      if (!this.#isAskedFor(text.words[i] as number) && !this.#isSpelledJoined(text, i)) return false;
    }
    return text.count > 0;
  }

  #isAskedFor(word: number): boolean {
    for (const { qualities } of this.#matches) if (qualities[word] === EXACT) return true;
    return false;
  }

  #isSpelledJoined(text: WordNumbers, i: number): boolean {
    for (let j = 0; j < text.joinedCount * 3; j += 3) {
      const first = text.joined[j] as number;
      if (i < first || i >= first + (text.joined[j + 1] as number)) continue;
      if (this.#isAskedFor(text.joined[j + 2] as number)) return true;
    }
    return false;
  }

  /** Whether the terms stand one after the other somewhere in `text`. */
  #isInOrder(text: WordNumbers): boolean {
    for (let start = 0; start < text.count; start++) {
      let i = start;
      let t = 0;
      for (; t < this.#matches.length && i < text.count; t++) {
        const step = this.#stepOf(text, i, this.#matches[t] as Match);
        if (step === 0) break;
        i += step;
      }
      if (t === this.#matches.length) return true;
    }
    return false;
  }

  /** How many words of `text` from the `i`-th on the term stands for. */
  #stepOf(text: WordNumbers, i: number, { qualities }: Match): number {
    if (qualities[text.words[i] as number] !== NONE) return 1;
    for (let j = 0; j < text.joinedCount * 3; j += 3) {
      if (text.joined[j] === i && qualities[text.joined[j + 2] as number] !== NONE) return text.joined[j + 1] as number;
    }
    return 0;
  }
}
