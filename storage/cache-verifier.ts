// Bytes rot on disks, and nobody asks for most songs in a year. This reads all that is cached again and again, a chunk at a time, so
// that damage is found while others still have the song, and not when somebody wants to hear it. What is damaged the cache
// forgets or mends, and tells. Songs take turns in the order of their ids, and the place is remembered, so that a machine that
// is on for an hour a day comes round as well. What could not be read or proven has its turn, too: a disk may have failed for a moment only,
// and nobody else may have the song.
//
// What was written or read lately is in the page cache and says nothing about the disk. A round takes so long that little of
// that is left, and what is served in between comes from there too, and is verified each time.
import { readFile, writeFile } from 'node:fs/promises';
import { isId, type PayloadId } from '../lib/ids.ts';
import type { Millis } from '../lib/time.ts';
import { BLOCK_BYTES } from './cache-edges.ts';
import type { ChunkCache } from './chunk-cache.ts';

/** All of the cache once: 10 GB are 230 KB/s, which a disk does beside anything else. */
const ROUND_MS: Millis = 12 * 3_600_000;
/** Of caches so large that they take longer than a round. */
const BYTES_PER_SECOND_MAX = 4e6;
/** While music plays, it rests four times as long. */
const YIELDING_FACTOR = 4;
/** A machine that starts has other things to do; an empty cache is looked at as seldom. */
const IDLE_MS: Millis = 60_000;
/** What a kill may make it read again. */
const REMEMBER_MS: Millis = 60_000;

/** What is read in one step. Heads are all that precedes the chunks. */
export interface Part {
  readonly payload: PayloadId;
  readonly part: 'head' | number | 'edges';
}

/** What of the cache decides where to go next. */
export type Cached = Pick<ChunkCache, 'payloads' | 'bitmapOf'>;

/** @returns the part to read after `at`, whatever has come and gone meanwhile; undefined when nothing is cached */
export function partAfter(at: Part | undefined, cached: Cached): Part | undefined {
  const bitmap = at && cached.bitmapOf(at.payload);
  if (bitmap === undefined || at === undefined || at.part === 'edges') {
    const payload = following(at?.payload, cached.payloads());
    return payload && { payload, part: 'head' };
  }
  for (let index = at.part === 'head' ? 0 : at.part + 1; index < bitmap.byteLength * 8; index++) {
    if (((bitmap[index >> 3] as number) & (1 << (index & 7))) !== 0) return { payload: at.payload, part: index };
  }
  return { payload: at.payload, part: 'edges' };
}

/** The next id in order, and after the last one the first. */
function following(payload: PayloadId | undefined, payloads: readonly PayloadId[]): PayloadId | undefined {
  let next: PayloadId | undefined;
  let first: PayloadId | undefined;
  for (const other of payloads) {
    if (first === undefined || other < first) first = other;
    if ((payload === undefined || other > payload) && (next === undefined || other < next)) next = other;
  }
  return next ?? first;
}

/** How long to rest after `bytes` were read of `cachedBytes`. */
export function restMs({ bytes, cachedBytes, yielding }: { readonly bytes: number; readonly cachedBytes: number; readonly yielding: boolean }): Millis {
  const msPerByte = Math.max(1_000 / BYTES_PER_SECOND_MAX, ROUND_MS / Math.max(cachedBytes, BLOCK_BYTES));
  return Math.max(bytes, BLOCK_BYTES) * msPerByte * (yielding ? YIELDING_FACTOR : 1);
}

export interface CacheVerifierOptions {
  readonly cache: Cached & Pick<ChunkCache, 'aside' | 'bytes' | 'checkHead' | 'checkChunk' | 'checkEdges'>;
  /** A file that remembers where it was. */
  readonly place: string;
  readonly now?: () => Millis;
  /** @returns how to call it off */
  readonly after?: (ms: Millis, ring: () => void) => () => void;
}

export class CacheVerifier {
  readonly #cache: CacheVerifierOptions['cache'];
  readonly #place: string;
  readonly #now: () => Millis;
  readonly #after: (ms: Millis, ring: () => void) => () => void;
  readonly #running: Promise<void>;
  #yielding = false;
  #closed = false;
  #wake = (): void => {};

  /** Begins to read after a while, and goes on until it is closed. */
  constructor({ cache, place, now = () => performance.now(), after = unhurriedAlarm }: CacheVerifierOptions) {
    this.#cache = cache;
    this.#place = place;
    this.#now = now;
    this.#after = after;
    this.#running = this.#run();
  }

  /** While `yielding`, it takes a quarter of its rate. */
  setYielding(yielding: boolean): void {
    this.#yielding = yielding;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    const cached: Cached = { payloads: () => [...this.#cache.payloads(), ...this.#cache.aside()], bitmapOf: (payload) => this.#cache.bitmapOf(payload) };
    let at = await recall(this.#place);
    let remembered = at;
    let rememberedAt = this.#now();
    await this.#rest(IDLE_MS);
    while (!this.#closed) {
      const next = partAfter(at, cached);
      at = next ?? at;
      const bytes = next === undefined ? 0 : await this.#read(next);
      if (this.#now() - rememberedAt >= REMEMBER_MS) {
        await remember(this.#place, at);
        remembered = at;
        rememberedAt = this.#now();
      }
      await this.#rest(next === undefined ? IDLE_MS : restMs({ bytes, cachedBytes: this.#cache.bytes, yielding: this.#yielding }));
    }
    if (at !== remembered) await remember(this.#place, at);
  }

  #read({ payload, part }: Part): Promise<number> {
    if (part === 'head') return this.#cache.checkHead(payload);
    return part === 'edges' ? this.#cache.checkEdges(payload) : this.#cache.checkChunk(payload, part);
  }

  #rest(ms: Millis): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const callOff = this.#after(ms, resolve);
      this.#wake = () => {
        callOff();
        resolve();
      };
    });
  }
}

/** Keeps no process alive. */
function unhurriedAlarm(ms: Millis, ring: () => void): () => void {
  const timer = setTimeout(ring, ms).unref();
  return () => clearTimeout(timer);
}

/** Without a place, or with one that cannot be read, a round begins anew. */
async function recall(place: string): Promise<Part | undefined> {
  const [payload, part = ''] = (await readFile(place, 'utf8').catch(() => '')).split(' ') as [PayloadId, string?];
  if (!isId(payload)) return undefined;
  const index = Number(part);
  return { payload, part: part === 'edges' ? part : Number.isSafeInteger(index) && index >= 0 && part !== '' ? index : 'head' };
}

/** Where it cannot be written, the next start begins a little earlier. */
async function remember(place: string, at: Part | undefined): Promise<void> {
  if (at !== undefined) await writeFile(place, `${at.payload} ${at.part}`).catch(() => undefined);
}
