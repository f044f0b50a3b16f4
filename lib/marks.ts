// What a person thinks of a song. One register for each profile and song on every machine that the person used: the newest word
// counts, wherever it was said, and a tombstone says "no longer".
//
// `star/<profile>/song/<song>`   -> [starred-at wall ms, …]
// `rating/<profile>/song/<song>` -> [1 to 5, …]
import { checker } from './check.ts';
import { decode, encode } from './codec.ts';
import { isId, type SongId } from './ids.ts';
import { VALUE_BYTES_MAX } from './limits.ts';
import type { Value } from './operation.ts';
import { parseProfilePart, type Profile, profilePart } from './profile.ts';
import type { WallClock } from './time.ts';

export type Rating = 1 | 2 | 3 | 4 | 5;

export interface StarRecord {
  /** For people. */
  readonly at: WallClock;
  readonly rest: readonly unknown[];
}

export interface RatingRecord {
  readonly rating: Rating;
  readonly rest: readonly unknown[];
}

export interface Marked {
  readonly profile: Profile;
  readonly song: SongId;
}

const check = checker('BAD_OPERATION');
const tuple = (value: Value): unknown[] => check.list(decode(value, { bytesMax: VALUE_BYTES_MAX, code: 'BAD_OPERATION' }), 1);

export const starKey = ({ profile, song }: Marked): string => `star/${profilePart(profile)}/song/${song}`;
export const ratingKey = ({ profile, song }: Marked): string => `rating/${profilePart(profile)}/song/${song}`;

function parse(key: string, wanted: 'star' | 'rating'): Marked | undefined {
  const [kind, part, what, song, more] = key.split('/');
  if (kind !== wanted || what !== 'song' || !isId(song) || more !== undefined) return undefined;
  const profile = parseProfilePart(part);
  return profile === undefined ? undefined : { profile, song: song as SongId };
}

/** Of songs; what else may be starred one day is kept and not shown. */
export const parseStarKey = (key: string): Marked | undefined => parse(key, 'star');
export const parseRatingKey = (key: string): Marked | undefined => parse(key, 'rating');

export const encodeStar = ({ at, rest }: StarRecord): Value => encode([at, ...rest]);

/** @throws PeerError BAD_OPERATION */
export function decodeStar(value: Value): StarRecord {
  const [at, ...rest] = tuple(value);
  return { at: check.count(at), rest };
}

export const encodeRating = ({ rating, rest }: RatingRecord): Value => encode([rating, ...rest]);

/** @throws PeerError BAD_OPERATION */
export function decodeRating(value: Value): RatingRecord {
  const [rating, ...rest] = tuple(value);
  if (check.count(rating, 1) > 5) check.fail('a rating');
  return { rating: rating as Rating, rest };
}
