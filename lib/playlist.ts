// Playlists and what stands in them, as registers. Several people edit one playlist, each machine in registers of its own; the
// views merge them (storage/views/merge.ts). Decoders hand back further elements as `rest`, and whoever writes an edited
// value puts them back: a newer version's fields survive an older one's edit.
//
// `playlist/<playlist>`    -> [profile, name, born, created-at wall ms, …]
// `item/<playlist>/<item>` -> [song 16, position, added-at wall ms, …]
// `gone/<playlist>`        -> true: it was deleted
// `gone/<playlist>/<item>` -> true: it was taken out
//
// A deletion has a register that no edit writes. A tombstone alone would lie where the deleting machine also writes its edits, and
// one that came back with an old disk would overwrite its own deletion.
import { checker } from './check.ts';
import { decode, encode } from './codec.ts';
import { idToBytes, isHalfId, isId, type ItemId, type PlaylistId, type SongId } from './ids.ts';
import type { Lamport } from './lamport.ts';
import { PLAYLIST_NAME_CHARACTERS_MAX, POSITION_CHARACTERS_MAX, VALUE_BYTES_MAX } from './limits.ts';
import type { Value } from './operation.ts';
import { isPosition, type Position } from './position.ts';
import { checkProfile, type Profile } from './profile.ts';
import type { WallClock } from './time.ts';
import { typedName } from './typed-names.ts';

export interface PlaylistRecord {
  readonly profile: Profile;
  readonly name: string;
  /** The Lamport time that its creator had come to; every edit carries it on. A register's stamp cannot tell when a playlist
   *  was made, because a rewritten register forgets its older stamp. */
  readonly born: Lamport;
  /** For people. */
  readonly createdAt: WallClock;
  readonly rest: readonly unknown[];
}

export interface ItemRecord {
  readonly song: SongId;
  readonly position: Position;
  /** For people. */
  readonly addedAt: WallClock;
  readonly rest: readonly unknown[];
}

const check = checker('BAD_OPERATION');
const tuple = (value: Value, least: number): unknown[] => check.list(decode(value, { bytesMax: VALUE_BYTES_MAX, code: 'BAD_OPERATION' }), least);

/** @throws PeerError BAD_USAGE */
export const playlistName = (text: string): string => typedName(text, { what: "a playlist's name", charactersMax: PLAYLIST_NAME_CHARACTERS_MAX });

export const playlistKey = (id: PlaylistId): string => `playlist/${id}`;
/** What the keys of all items of a playlist start with. */
export const itemsPrefix = (playlist: PlaylistId): string => `item/${playlist}/`;
export const itemKey = (playlist: PlaylistId, item: ItemId): string => `${itemsPrefix(playlist)}${item}`;

/** No edit ever writes it. */
export const goneKey = (playlist: PlaylistId, item?: ItemId): string => (item === undefined ? `gone/${playlist}` : `gone/${playlist}/${item}`);
/** CBOR true. */
export const GONE: Value = Uint8Array.of(0xf5);

export function parseGoneKey(key: string): { readonly playlist: PlaylistId; readonly item: ItemId | undefined } | undefined {
  const [kind, playlist, item, more] = key.split('/');
  if (kind !== 'gone' || !isId(playlist) || more !== undefined || (item !== undefined && !isHalfId(item))) return undefined;
  return { playlist: playlist as PlaylistId, item: item as ItemId | undefined };
}

export function parsePlaylistKey(key: string): PlaylistId | undefined {
  const [kind, id, more] = key.split('/');
  return kind === 'playlist' && isId(id) && more === undefined ? (id as PlaylistId) : undefined;
}

export function parseItemKey(key: string): { readonly playlist: PlaylistId; readonly item: ItemId } | undefined {
  const [kind, playlist, item, more] = key.split('/');
  if (kind !== 'item' || !isId(playlist) || !isHalfId(item) || more !== undefined) return undefined;
  return { playlist: playlist as PlaylistId, item: item as ItemId };
}

export const encodePlaylist = ({ profile, name, born, createdAt, rest }: PlaylistRecord): Value => encode([profile, name, born, createdAt, ...rest]);

/** @throws PeerError BAD_OPERATION */
export function decodePlaylist(value: Value): PlaylistRecord {
  const [profile, name, born, createdAt, ...rest] = tuple(value, 4);
  return { profile: checkProfile(profile), name: checkName(name), born: check.count(born), createdAt: check.count(createdAt), rest };
}

function checkName(value: unknown): string {
  const text = check.text(value, PLAYLIST_NAME_CHARACTERS_MAX);
  try {
    if (playlistName(text) === text) return text;
  } catch {
    // as little a name as one that is not tidy
  }
  return check.fail('a name');
}

export const encodeItem = ({ song, position, addedAt, rest }: ItemRecord): Value => encode([idToBytes(song), position, addedAt, ...rest]);

/** @throws PeerError BAD_OPERATION */
export function decodeItem(value: Value): ItemRecord {
  const [song, position, addedAt, ...rest] = tuple(value, 3);
  const text = check.text(position, POSITION_CHARACTERS_MAX);
  if (!isPosition(text)) return check.fail('a position');
  return { song: check.id<SongId>(song), position: text, addedAt: check.count(addedAt), rest };
}
