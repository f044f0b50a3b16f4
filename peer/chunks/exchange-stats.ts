// What playing music took, since this process began: the figures behind `status` and /metrics. Plain numbers, because each
// chunk adds to them and hardly anybody reads them; names and forms for people and for Prometheus are made where they are read.
import type { Millis } from '../../lib/time.ts';

/** Where bytes were found that somebody wanted: in own music folders, in the cache, at other peers. */
export type Source = 'own' | 'cache' | 'peers';

export interface Distribution {
  /** Of `FIRST_BYTE_BOUNDS_MS`: how many were no more than this bound, and more than the one before. */
  readonly counts: readonly number[];
  /** Also those above the last bound. */
  readonly count: number;
  readonly sumMs: Millis;
}

/** From a read of a warm disk to longer than anybody waits. What we promise of it (20 ms, 100 ms) are bounds, so that the share
 *  of plays within it is counted and not guessed. */
export const FIRST_BYTE_BOUNDS_MS: readonly Millis[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/** A long evening of the house, so that a bad morning is forgotten; its 99th percentile rests on ten plays. */
const RECENT_PLAYS = 1_000;

export class ExchangeStats {
  /** Players' requests for the form to play that got their first bytes, a jump within a song among them. */
  plays = 0;
  /** Those that got nothing, or not all, for want of somebody who has it. */
  failures = 0;
  stalls = 0;
  stalledMs: Millis = 0;
  /** Of sound that was read for players and downloads here. */
  readonly bytes: Record<Source, number> = { own: 0, cache: 0, peers: 0 };
  /** Late chunks that were asked of a second provider. */
  hedges = 0;
  /** Chunks, manifests and edges that were not what was asked for; they were not played. */
  wrongChunks = 0;
  /** Chunks and pieces of edges that went out to other peers; what goes by both ways (peer/paths.ts) goes out twice. */
  readonly served = { requests: 0, bytes: 0 };
  readonly #firstByteCounts = FIRST_BYTE_BOUNDS_MS.map(() => 0);
  #firstByteSumMs: Millis = 0;
  readonly #recent = new Float64Array(RECENT_PLAYS);

  firstByte(waitedMs: Millis): void {
    const bound = FIRST_BYTE_BOUNDS_MS.findIndex((boundMs) => waitedMs <= boundMs);
    if (bound >= 0) this.#firstByteCounts[bound]! += 1;
    this.#firstByteSumMs += waitedMs;
    this.#recent[this.plays % RECENT_PLAYS] = waitedMs;
    this.plays += 1;
  }

  stalled(ms: Millis): void {
    this.stalls += 1;
    this.stalledMs += ms;
  }

  failed(): void {
    this.failures += 1;
  }

  gave(source: Source, bytes: number): void {
    this.bytes[source] += bytes;
  }

  hedged(): void {
    this.hedges += 1;
  }

  wrong(): void {
    this.wrongChunks += 1;
  }

  gaveOthers(bytes: number): void {
    this.served.requests += 1;
    this.served.bytes += bytes;
  }

  /** Of all plays. */
  get firstByteTimes(): Distribution {
    return { counts: this.#firstByteCounts, count: this.plays, sumMs: this.#firstByteSumMs };
  }

  /** Of the last thousand plays; nulls before the first. */
  get recentFirstByteMs(): { readonly p50: Millis | null; readonly p99: Millis | null } {
    const sorted = this.#recent.slice(0, this.plays).sort();
    const quantile = (share: number): Millis | null => sorted[Math.ceil(share * sorted.length) - 1] ?? null;
    return { p50: quantile(0.5), p99: quantile(0.99) };
  }
}
