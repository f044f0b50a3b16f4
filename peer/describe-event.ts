// What the event log says of an operation beside its stamp: the parts of its key by their names, and what this version
// understands of its value. A kind is one row of a table, made of the parsers and decoders that the views use too, so the log
// tells nothing that the views would not show. Kinds and forms of newer versions are shown by kind and key alone.
import { decodeElection, decodeHandover, parseElectionKey, parseHandoverKey } from '../lib/coordination-events.ts';
import { forgottenPeer } from '../lib/forget.ts';
import { isId } from '../lib/ids.ts';
import { kindOf } from '../lib/kinds.ts';
import { decodeRating, decodeStar, parseRatingKey, parseStarKey } from '../lib/marks.ts';
import type { Operation, Value } from '../lib/operation.ts';
import { decodePlay, parsePlayKey } from '../lib/play.ts';
import { decodeSession, parseSessionKey } from '../lib/playback-session.ts';
import { decodeItem, decodePlaylist, parseItemKey, parsePlaylistKey } from '../lib/playlist.ts';
import { decodeProfile, parseProfileKey } from '../lib/profile.ts';
import { tokenText } from '../lib/roles.ts';
import { COPIES_SETTING, decodeCopies } from '../lib/setting.ts';
import type { WallClock } from '../lib/time.ts';

/** JSON of one event, without what depends on who looks. */
export interface EventFacts {
  readonly kind: string;
  readonly key: string;
  /** Wall time in ISO form, if the value carries one: for display, it orders nothing. */
  readonly at: string | null;
  readonly deleted?: true;
  readonly [part: string]: unknown;
}

/** No fact is called like a field of every event: `name` is the origin's. */
type Facts = { readonly at?: WallClock; readonly [fact: string]: unknown };

interface Kind<Parts extends object = object> {
  parts(key: string): Parts | undefined;
  /** What it throws means that the value is a newer version's. */
  value?(value: Value, parts: Parts): Facts;
}

const kind = <Parts extends object>(row: Kind<Parts>): Kind => row as Kind;

const TABLE: ReadonlyMap<string, Kind> = new Map(
  Object.entries({
    forget: kind({
      parts: (key) => {
        const peer = forgottenPeer(key);
        return isId(peer) ? { peer } : undefined;
      },
    }),
    election: kind({
      parts: (key) => named('slot', parseElectionKey(key)),
      value: (value) => ({ ...decodeElection(value) }),
    }),
    handover: kind({
      parts: (key) => named('slot', parseHandoverKey(key)),
      value: (value) => {
        const { token, ...facts } = decodeHandover(value);
        return { ...facts, token: tokenText(token) };
      },
    }),
    profile: kind({
      parts: (key) => named('profile', parseProfileKey(key)),
      value: (value, { profile }) => ({ profileName: decodeProfile(profile, value) }),
    }),
    playlist: kind({
      parts: (key) => named('playlist', parsePlaylistKey(key)),
      value: (value) => {
        const { profile, name, born, createdAt } = decodePlaylist(value);
        return { profile, playlistName: name, born, at: createdAt };
      },
    }),
    item: kind({
      parts: parseItemKey,
      value: (value) => {
        const { song, position, addedAt } = decodeItem(value);
        return { song, position, at: addedAt };
      },
    }),
    setting: kind({
      parts: (key) => (key === COPIES_SETTING ? { setting: 'copies' } : undefined),
      value: (value) => ({ copies: decodeCopies(value) }),
    }),
    star: kind({ parts: parseStarKey, value: (value) => ({ at: decodeStar(value).at }) }),
    rating: kind({ parts: parseRatingKey, value: (value) => ({ rating: decodeRating(value).rating }) }),
    play: kind({ parts: parsePlayKey, value: (value) => ({ ...decodePlay(value) }) }),
    session: kind({
      parts: parseSessionKey,
      value: (value) => {
        const { queue, index, positionMs, playing, at } = decodeSession(value);
        return { song: queue[index] ?? null, songs: queue.length, positionMs, playing, at };
      },
    }),
  }),
);
/** What a Date can hold. */
const WALL_MS_MAX = 8.64e15;

export function describeEvent({ key, value }: Pick<Operation, 'key' | 'value'>): EventFacts {
  const row = TABLE.get(kindOf(key));
  const parts = row?.parts(key);
  const { at, ...facts } = (row && parts && value && factsOf(row, value, parts)) ?? {};
  return {
    ...facts,
    ...parts,
    kind: kindOf(key),
    key,
    at: at !== undefined && Math.abs(at) <= WALL_MS_MAX ? new Date(at).toISOString() : null,
    ...(value === null && { deleted: true }),
  };
}

const named = <Name extends string, Part>(name: Name, part: Part | undefined): { readonly [name in Name]: Part } | undefined =>
  part === undefined ? undefined : ({ [name]: part } as { readonly [name in Name]: Part });

function factsOf(row: Kind, value: Value, parts: object): Facts | undefined {
  try {
    return row.value?.(value, parts);
  } catch {
    return undefined;
  }
}
