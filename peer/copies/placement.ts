// Which machine fetches which song, so that each is on as many machines as the network wants. A pure function, run by the holder
// of the role `music` in its thread (peer/services/music.ts).
//
// Greedy, one song after the other: each goes to the machine whose share of what was given out in this round is smallest for its
// weight, which is its free space times the doublings of its uptime. So no machine gets more than its share and one song, large
// disks fill as evenly as small ones, and a machine that has just been switched on gets less than one that runs for weeks. What
// is placed stays where it is: nothing moves because another machine has more room now.
import { PLACED_SONGS_MAX } from '../../lib/limits.ts';

/** A machine that can be asked to fetch. */
export interface Target {
  /** Bytes that it takes without dropping anything that is wanted. */
  readonly roomBytes: number;
  readonly uptimeMs: number;
  /** Songs that it still takes into its queue; those that only leaving machines have it takes into another. */
  readonly slots: number;
}

/** A song that lacks copies. */
export interface Lacking {
  /** Of the whole file. */
  readonly bytes: number;
  readonly plays: number;
  /** Machines that hold it whole or are on the way to, and stay. */
  readonly machines: number;
  /** None of those that hold it whole stays: it goes first of all. */
  readonly leaving: boolean;
  /** Of the targets those that hold it, fetch it or could not: by their places. */
  readonly except: readonly number[];
}

/** By their places in what was given. */
export interface Placed {
  readonly song: number;
  readonly target: number;
}

const MINUTE_MS = 60_000;
/** A machine that is up for weeks counts for some fourteen that came a minute ago. */
const DOUBLINGS_MAX = 14;

const weightOf = ({ roomBytes, uptimeMs }: Target): number => roomBytes * (1 + Math.min(DOUBLINGS_MAX, Math.log2(1 + Math.max(0, uptimeMs) / MINUTE_MS)));

/** Whose only holders leave, then the most played, then those on the fewest machines; else in the order given. */
export const compareLacking = (a: Lacking, b: Lacking): number => Number(b.leaving) - Number(a.leaving) || b.plays - a.plays || a.machines - b.machines;

/** @param wanted machines for each song
 *  @returns what is to be fetched by whom, the most urgent first */
export function place({ songs, targets, wanted }: { readonly songs: readonly Lacking[]; readonly targets: readonly Target[]; readonly wanted: number }): Placed[] {
  const places = targets.map((target) => ({ weight: weightOf(target), roomBytes: target.roomBytes, slots: target.slots, givenBytes: 0 }));
  const order = songs.map((song, i) => ({ song, i })).sort((a, b) => compareLacking(a.song, b.song) || a.i - b.i);
  const placed: Placed[] = [];
  for (const { song, i } of order) {
    const except = new Set(song.except);
    for (let machines = song.machines; machines < wanted; machines++) {
      let best: number | undefined;
      let bestShare = Number.POSITIVE_INFINITY;
      for (const [target, { weight, roomBytes, slots, givenBytes }] of places.entries()) {
        if ((slots <= 0 && !song.leaving) || roomBytes < song.bytes || except.has(target)) continue;
        const share = (givenBytes + song.bytes) / weight;
        if (share >= bestShare) continue;
        best = target;
        bestShare = share;
      }
      if (best === undefined) break;
      const taken = places[best] as (typeof places)[number];
      taken.roomBytes -= song.bytes;
      taken.givenBytes += song.bytes;
      if (!song.leaving) taken.slots -= 1;
      except.add(best);
      placed.push({ song: i, target: best });
    }
  }
  return placed;
}

/** Of the call to the service: half of what it may have. */
const PAGE_BYTES = 32 * 1024;
/** As numbers in the call take at most, with what surrounds them. */
const SONG_BYTES = 40;
const EXCEPT_BYTES = 4;

/** As many of the songs as one call takes, from the first on. */
export function pageOf<Song extends Lacking>(songs: readonly Song[]): readonly Song[] {
  let bytes = 0;
  let count = 0;
  for (const { except } of songs.slice(0, PLACED_SONGS_MAX)) {
    bytes += SONG_BYTES + EXCEPT_BYTES * except.length;
    if (bytes > PAGE_BYTES && count > 0) break;
    count += 1;
  }
  return songs.slice(0, count);
}
