// What several machines wrote about one thing, made one: pure functions of the winners of its registers, one for each origin. The
// order in which they are given means nothing, nor does who asks, nor any clock of the wall: equal winners show equal
// views. Values that cannot be read (a newer version's, or junk) are as if they were not there.
import type { Lamport } from '../../lib/lamport.ts';
import { decodeRating, decodeStar, type RatingRecord, type StarRecord } from '../../lib/marks.ts';
import { compareStamps, type Operation, type Value } from '../../lib/operation.ts';
import { decodePlay } from '../../lib/play.ts';
import { decodeSession, type PlaybackSession } from '../../lib/playback-session.ts';
import { decodeItem, decodePlaylist, type ItemRecord, type PlaylistRecord } from '../../lib/playlist.ts';
import { decodeProfile, type Profile } from '../../lib/profile.ts';
import type { WallClock } from '../../lib/time.ts';

/** The winners of one key. */
export type Winners = readonly Operation[];

export interface Stamped<T> {
  readonly record: T;
  readonly lamport: Lamport;
}

export interface PlayCount {
  readonly plays: number;
  /** When the latest of them began. */
  readonly lastAt: WallClock;
}

const newestFirst = (winners: Winners): Operation[] => [...winners].sort((a, b) => compareStamps(b, a));

function readable<T>(value: Value, read: (value: Value) => T): T | undefined {
  try {
    return read(value);
  } catch {
    return undefined;
  }
}

/** The newest word counts; a tombstone says "no longer", to whatever is older. */
function newest<T>(winners: Winners, read: (value: Value) => T): Stamped<T> | undefined {
  for (const { value, lamport } of newestFirst(winners)) {
    if (value === null) return undefined;
    const record = readable(value, read);
    if (record !== undefined) return { record, lamport };
  }
  return undefined;
}

/** Gone once anybody deleted it, whatever was written meanwhile by those who did not know: nothing deleted ever returns. */
const isDeleted = (winners: Winners): boolean => winners.some(({ value }) => value === null);

/** How the name is written of those who compare equal. */
export const mergeProfile = (profile: Profile, winners: Winners): string | undefined => newest(winners, (value) => decodeProfile(profile, value))?.record;

export function mergePlaylist(winners: Winners): PlaylistRecord | undefined {
  if (isDeleted(winners)) return undefined;
  const current = newest(winners, decodePlaylist);
  if (!current) return undefined;
  // all carry the same; where somebody's does not, the least is everybody's
  const births = winners.flatMap(({ value }) => readable(value as Value, decodePlaylist)?.born ?? []);
  return { ...current.record, born: births.reduce((least, born) => Math.min(least, born)) };
}

export const mergeItem = (winners: Winners): ItemRecord | undefined => (isDeleted(winners) ? undefined : newest(winners, decodeItem)?.record);

export const mergeStar = (winners: Winners): Stamped<StarRecord> | undefined => newest(winners, decodeStar);

export const mergeRating = (winners: Winners): RatingRecord | undefined => newest(winners, decodeRating)?.record;

export const mergeSession = (winners: Winners): PlaybackSession | undefined => newest(winners, decodeSession)?.record;

/** @param plays the winners of each play of one song by one profile */
export function mergePlays(plays: Iterable<Winners>): PlayCount | undefined {
  let count = 0;
  let lastAt = 0;
  for (const winners of plays) {
    const play = isDeleted(winners) ? undefined : newest(winners, decodePlay)?.record;
    if (!play) continue;
    count += 1;
    lastAt = Math.max(lastAt, play.at);
  }
  return count === 0 ? undefined : { plays: count, lastAt };
}
