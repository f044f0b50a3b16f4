// What plays on one of a person's devices: its queue, and where in it. Kept so that another device can take over, also when the
// machine that the first one talked to is gone. The device says it anew when something changes; the newest word counts.
//
// `session/<profile>/<device>` -> [[song 16, …], index, position ms, playing, wall ms, …]
import { checker } from './check.ts';
import { decode, encode } from './codec.ts';
import { type DeviceId, idToBytes, isId, type SongId } from './ids.ts';
import { QUEUE_SONGS_MAX, VALUE_BYTES_MAX } from './limits.ts';
import type { Value } from './operation.ts';
import { parseProfilePart, type Profile, profilePart } from './profile.ts';
import type { Millis, WallClock } from './time.ts';

export interface PlaybackSession {
  readonly queue: readonly SongId[];
  /** Into the queue; 0 when it is empty. */
  readonly index: number;
  readonly positionMs: Millis;
  readonly playing: boolean;
  /** For people. */
  readonly at: WallClock;
  readonly rest: readonly unknown[];
}

export interface SessionOwner {
  readonly profile: Profile;
  readonly device: DeviceId;
}

const check = checker('BAD_OPERATION');

/** What the keys of all sessions of a profile start with. */
export const sessionsPrefix = (profile: Profile): string => `session/${profilePart(profile)}/`;
export const sessionKey = ({ profile, device }: SessionOwner): string => `${sessionsPrefix(profile)}${device}`;

export function parseSessionKey(key: string): SessionOwner | undefined {
  const [kind, part, device, more] = key.split('/');
  if (kind !== 'session' || !isId(device) || more !== undefined) return undefined;
  const profile = parseProfilePart(part);
  return profile === undefined ? undefined : { profile, device: device as DeviceId };
}

export const encodeSession = ({ queue, index, positionMs, playing, at, rest }: PlaybackSession): Value =>
  encode([queue.map(idToBytes), index, positionMs, playing, at, ...rest]);

/** @throws PeerError BAD_OPERATION */
export function decodeSession(value: Value): PlaybackSession {
  const [songs, index, positionMs, playing, at, ...rest] = check.list(decode(value, { bytesMax: VALUE_BYTES_MAX, code: 'BAD_OPERATION' }), 5);
  const queue = check.list(songs).map((song) => check.id<SongId>(song));
  if (queue.length > QUEUE_SONGS_MAX || check.count(index) >= Math.max(1, queue.length)) check.fail('a queue');
  if (typeof playing !== 'boolean') check.fail('playing');
  return { queue, index: index as number, positionMs: check.count(positionMs), playing: playing as boolean, at: check.count(at), rest };
}
