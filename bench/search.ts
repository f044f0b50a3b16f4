// How quick and how small the search index is: `node build/bench/search.js [--songs N] [--catalog FILE.csv] [--seed S]`.
// The catalog is a CSV with the columns title, artist, album, albumartist, track, disc; without one, made-up words. Up to its
// length it is taken as it is; beyond it songs are recombined from halves of different rows, with words that are blends of two,
// so that the vocabulary grows as it would. Two-word queries are drawn from known songs, every second with a typing error.
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { contentId, type SongId } from '../lib/ids.ts';
import { integerBetween, type Random, seededRandom } from '../lib/random.ts';
import { type IndexedSong, SongIndex } from '../storage/search/song-index.ts';
import { CATALOG, readCatalog, type Row } from './catalog-rows.ts';

function madeUp(random: Random): Row[] {
  const letter = (letters: string): string => letters[Math.floor(random() ** 1.5 * letters.length)] as string;
  const syllable = (): string => letter('stnrlmdbcfgpvz') + letter('aeiou');
  const word = (): string => Array.from({ length: integerBetween(random, 1, 4) }, syllable).join('');
  const phrase = (most: number): string => Array.from({ length: integerBetween(random, 1, most) }, word).join(' ');
  const rows: Row[] = [];
  while (rows.length < 20_000) {
    const artist = phrase(3);
    const album = phrase(4);
    for (let track = 1; track <= 10; track++) rows.push([phrase(5), artist, album, artist, track, 1]);
  }
  return rows;
}

const pick = (random: Random, rows: readonly Row[]): Row => rows[Math.floor(random() * rows.length)] as Row;
const half = (text: string, last: boolean): string => {
  const words = text.split(' ');
  const middle = words.length >>> 1;
  return (last ? words.slice(middle) : words.slice(0, middle)).join(' ');
};
const blend = (a: string, b: string): string => a.slice(0, a.length >>> 1) + b.slice(b.length >>> 1);
const recombine = (a: string, b: string): string => `${half(a, false)} ${half(b, true)}`.trim() || a;

/** The `i`-th song of the catalog: pure in (seed, i), so that nothing has to be kept while memory is measured. */
function songAt(i: number, rows: readonly Row[], seed: number): IndexedSong {
  const own = rows[i % rows.length] as Row;
  const round = Math.floor(i / rows.length);
  const id = contentId<SongId>(`${seed}/${i}`);
  if (round === 0) return { id, title: own[0], artist: own[1], album: own[2], albumArtist: own[3], track: own[4], disc: own[5] };
  const random = seededRandom(seed + i);
  const other = pick(random, rows);
  // Albums and artists stay whole: what is recombined with a name depends on the name and the round alone.
  const hash = (name: string): number => [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 1_000_003, round);
  const partner = (name: string): Row => rows[hash(name) % rows.length] as Row;
  const artist = recombine(own[1], partner(own[1])[1]);
  const title = random() < 0.15 ? `${recombine(own[0], other[0])} ${blend(own[0], pick(random, rows)[1])}` : recombine(own[0], other[0]);
  const album = own[2] === '' ? '' : recombine(own[2], partner(own[2])[2]);
  return { id, title, artist, album, albumArtist: own[3] === own[1] ? artist : own[3], track: own[4], disc: own[5] };
}

function misspell(word: string, random: Random): string {
  const at = integerBetween(random, 1, word.length - 2);
  switch (integerBetween(random, 0, 3)) {
    case 0:
      return word.slice(0, at) + word.slice(at + 1);
    case 1:
      return word.slice(0, at) + word[at] + word.slice(at);
    case 2:
      return word.slice(0, at) + word[at + 1] + word[at] + word.slice(at + 2);
    default:
      return `${word.slice(0, at)}q${word.slice(at + 1)}`;
  }
}

const quantile = (sorted: readonly number[], q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] as number;
const milliseconds = (numbers: number[]): string => {
  numbers.sort((a, b) => a - b);
  return `p50 ${quantile(numbers, 0.5).toFixed(2)} ms, p99 ${quantile(numbers, 0.99).toFixed(2)} ms, worst ${quantile(numbers, 1).toFixed(2)} ms`;
};
/** By the clock, and on the processor: on a busy machine only the second says what a search costs. */
const timed = <T>(work: () => T): [result: T, ms: number, cpuMs: number] => {
  const start = performance.now();
  const cpu = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(cpu);
  return [result, performance.now() - start, (user + system) / 1000];
};
const collect = (globalThis as { gc?: () => void }).gc;
const rssMiB = (): number => process.memoryUsage.rss() / 2 ** 20;

const { values } = parseArgs({
  options: {
    songs: { type: 'string', default: '107000' },
    catalog: { type: 'string', default: CATALOG },
    seed: { type: 'string', default: '1' },
  },
});
const songs = Number(values.songs);
const seed = Number(values.seed);
const fromFile = existsSync(values.catalog);
const rows = fromFile ? readCatalog(values.catalog) : madeUp(seededRandom(seed));
console.log(`${songs} songs from ${fromFile ? values.catalog : 'made-up words'} (${rows.length} rows), seed ${seed}, node ${process.version}`);

for (let i = 0; i < Math.min(songs, 20_000); i++) songAt(i, rows, seed);
collect?.();
const rssBefore = rssMiB();
const buffersBefore = process.memoryUsage().arrayBuffers;
const [index, indexed] = [new SongIndex(), [] as number[]];
let batch: IndexedSong[] = [];
let buildMs = 0;
let [worstPutMs, worstPutCpuMs] = [0, 0];
for (let i = 0; i < songs; i++) {
  batch.push(songAt(i, rows, seed));
  if (batch.length < 1000 && i + 1 < songs) continue;
  for (const song of batch) {
    const [, ms, cpuMs] = timed(() => index.put(song));
    buildMs += ms;
    worstPutCpuMs = Math.max(worstPutCpuMs, cpuMs);
    worstPutMs = Math.max(worstPutMs, ms);
  }
  indexed.push(buildMs);
  batch = [];
}
console.log(`build ${(buildMs / 1000).toFixed(2)} s, the first 20,000 in ${(indexed[19] ?? buildMs).toFixed(0)} ms`);
console.log(`worst put ${worstPutMs.toFixed(1)} ms (processor: ${worstPutCpuMs.toFixed(1)} ms)`);
const [, firstMs] = timed(() => index.search('', { limit: 50 }));
collect?.();
const buffers = (process.memoryUsage().arrayBuffers - buffersBefore) / 2 ** 20;
console.log(`${index.songs} songs, ${index.albums} albums, ${index.artists} artists; first list ${firstMs.toFixed(1)} ms`);
console.log(`RSS over base ${(rssMiB() - rssBefore).toFixed(0)} MiB; typed arrays with spare room ${buffers.toFixed(0)} MiB${collect ? '' : ' (--expose-gc for less noise)'}`);

const random = seededRandom(seed + 7);
const [exact, typed, exactCpu, typedCpu]: [number[], number[], number[], number[]] = [[], [], [], []];
let [exactFound, typedFound, queries] = [0, 0, 0];
while (queries < 2000) {
  const song = songAt(integerBetween(random, 0, songs - 1), rows, seed);
  const words = `${song.title} ${song.artist}`.split(/[^\p{L}\p{M}]+/u).filter((word) => word.length >= 4);
  if (words.length < 2) continue;
  const first = words[integerBetween(random, 0, words.length - 1)] as string;
  const second = words[integerBetween(random, 0, words.length - 1)] as string;
  if (first === second) continue;
  queries += 1;
  const withTypo = queries % 2 === 0;
  const query = withTypo ? `${misspell(first, random)} ${second}` : `${first} ${second}`;
  const [found, ms, cpuMs] = timed(() => index.search(query, { limit: 50 }));
  (withTypo ? typed : exact).push(ms);
  (withTypo ? typedCpu : exactCpu).push(cpuMs);
  // A song counts as found when it is among the first 50, or when those are full of songs that match as well.
  if (found.includes(song.id) || found.length === 50) withTypo ? typedFound++ : exactFound++;
}
console.log(`two words: ${milliseconds(exact)} (processor: ${milliseconds(exactCpu)}), found ${(exactFound / 1000).toFixed(3)}`);
console.log(`one of them with a typo: ${milliseconds(typed)} (processor: ${milliseconds(typedCpu)}), found ${(typedFound / 1000).toFixed(3)}`);
for (const query of ['the', 'love', 's', 'various artists', 'the love', 'zzzzzzzz', 'elecrtonic', 'remasterd deluxe', 's s s s s s s s s s s s s s s s', 'a b c d e f g h i j k l m n o p']) {
  const [found, ms, cpuMs] = timed(() => index.search(query, { limit: 50 }));
  console.log(`"${query}" ${ms.toFixed(1)} ms (processor: ${cpuMs.toFixed(1)} ms), ${found.length} shown`);
}
const [, pageMs] = timed(() => index.search('', { limit: 50, offset: Math.floor(songs / 2) }));
console.log(`the middle page of everything ${pageMs.toFixed(1)} ms`);

const changes: number[] = [];
for (let i = 0; i < 5000; i++) {
  const song = songAt(integerBetween(random, 0, songs - 1), rows, seed);
  const retagged = { ...song, title: `${song.title} again`, artist: `${song.artist} ${i}` };
  changes.push(timed(() => (i % 2 ? index.delete(song.id) : index.put(retagged)))[1]);
}
console.log(`changes: ${milliseconds(changes)}; a search after them ${timed(() => index.search('love', { limit: 50 }))[1].toFixed(1)} ms`);
