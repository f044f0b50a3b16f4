// That somebody listened to a song. Each time is a key of its own and is kept for ever: what people play most, and when, is
// computed from all of them, and no two machines ever write the same one.
//
// `play/<profile>/<song>/<play>` -> [wall ms, milliseconds listened, …]
import { checker } from './check.ts';
import { decode, encode } from './codec.ts';
import { isHalfId, isId, type PlayId, type SongId } from './ids.ts';
import { VALUE_BYTES_MAX } from './limits.ts';
import type { Marked } from './marks.ts';
import type { Value } from './operation.ts';
import { parseProfilePart, profilePart } from './profile.ts';
import type { Millis, WallClock } from './time.ts';

export interface PlayRecord {
  /** When it began. For people, and for statistics by the day; no order rests on it. */
  readonly at: WallClock;
  readonly listenedMs: Millis;
}

const check = checker('BAD_OPERATION');

/** What the keys of all plays of a song by a profile start with. */
export const playsPrefix = ({ profile, song }: Marked): string => `play/${profilePart(profile)}/${song}/`;
export const playKey = (marked: Marked, play: PlayId): string => `${playsPrefix(marked)}${play}`;

export function parsePlayKey(key: string): (Marked & { readonly play: PlayId }) | undefined {
  const [kind, part, song, play, more] = key.split('/');
  if (kind !== 'play' || !isId(song) || !isHalfId(play) || more !== undefined) return undefined;
  const profile = parseProfilePart(part);
  return profile === undefined ? undefined : { profile, song: song as SongId, play: play as PlayId };
}

export const encodePlay = ({ at, listenedMs }: PlayRecord): Value => encode([at, listenedMs]);

/** @throws PeerError BAD_OPERATION */
export function decodePlay(value: Value): PlayRecord {
  const [at, listenedMs] = check.list(decode(value, { bytesMax: VALUE_BYTES_MAX, code: 'BAD_OPERATION' }), 2);
  return { at: check.count(at), listenedMs: check.count(listenedMs) };
}
