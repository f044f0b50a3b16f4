// What people made, in memory: the merged view of every profile, playlist, star, rating and count of plays. It is fed the winners of
// whole units, in any order and any number of times, and each time forgets what it knew of that unit; so it ends up the
// same whether it was built at once or step by step. Plays are counted and not held: there are millions of them.
import type { ItemId, PlaylistId, SongId } from '../../lib/ids.ts';
import { kindOf } from '../../lib/kinds.ts';
import { type Marked, parseRatingKey, parseStarKey, type RatingRecord, type StarRecord } from '../../lib/marks.ts';
import type { Operation } from '../../lib/operation.ts';
import { parsePlayKey, playsPrefix } from '../../lib/play.ts';
import { type ItemRecord, parseGoneKey, parseItemKey, parsePlaylistKey, type PlaylistRecord } from '../../lib/playlist.ts';
import { parseProfileKey, type Profile } from '../../lib/profile.ts';
import { mergeItem, mergePlaylist, mergePlays, mergeProfile, mergeRating, mergeStar, type PlayCount, type Stamped, type Winners } from './merge.ts';

/** What is merged together, as the prefix of its rows: all origins of one key, or all plays of one song by one profile. */
export type Unit = string & { readonly __brand: 'Unit' };

/** @returns undefined for keys that this index does not show */
export function unitOf(key: string): Unit | undefined {
  switch (kindOf(key)) {
    case 'play': {
      const play = parsePlayKey(key);
      return play && (playsPrefix(play) as Unit);
    }
    case 'profile':
      return parseProfileKey(key) && wholeKey(key);
    case 'playlist':
      return parsePlaylistKey(key) && wholeKey(key);
    case 'item':
      return parseItemKey(key) && wholeKey(key);
    case 'gone':
      return parseGoneKey(key) && wholeKey(key);
    case 'star':
      return parseStarKey(key) && wholeKey(key);
    case 'rating':
      return parseRatingKey(key) && wholeKey(key);
    default:
      return undefined;
  }
}

const wholeKey = (key: string): Unit => `${key}\0` as Unit;

export class UserIndex {
  readonly #profiles = new Map<Profile, string>();
  readonly #playlists = new Map<PlaylistId, PlaylistRecord>();
  readonly #items = new Map<PlaylistId, Map<ItemId, ItemRecord>>();
  /** Playlists, and items by `playlist/item`, that somebody deleted: whatever is said of them, before or after. */
  readonly #gone = new Set<string>();
  readonly #stars = new Map<Profile, Map<SongId, Stamped<StarRecord>>>();
  readonly #ratings = new Map<Profile, Map<SongId, RatingRecord>>();
  readonly #plays = new Map<Profile, Map<SongId, PlayCount>>();

  get profiles(): ReadonlyMap<Profile, string> {
    return this.#profiles;
  }

  get playlists(): ReadonlyMap<PlaylistId, PlaylistRecord> {
    return this.#playlists;
  }

  items(playlist: PlaylistId): ReadonlyMap<ItemId, ItemRecord> {
    return this.#items.get(playlist) ?? new Map();
  }

  stars(profile: Profile): ReadonlyMap<SongId, Stamped<StarRecord>> {
    return this.#stars.get(profile) ?? new Map();
  }

  ratings(profile: Profile): ReadonlyMap<SongId, RatingRecord> {
    return this.#ratings.get(profile) ?? new Map();
  }

  plays(profile: Profile): ReadonlyMap<SongId, PlayCount> {
    return this.#plays.get(profile) ?? new Map();
  }

  /** Of all profiles together. */
  playsOfAll(): ReadonlyMap<SongId, number> {
    const all = new Map<SongId, number>();
    for (const counts of this.#plays.values()) for (const [song, { plays }] of counts) all.set(song, (all.get(song) ?? 0) + plays);
    return all;
  }

  /** @param winners all of one unit
   *  @returns a playlist that is shown now and was not before: its items have to be put, because items of what is not shown
   *  are not held */
  put(winners: Winners): PlaylistId | undefined {
    const [first] = winners;
    if (!first) return undefined;
    const { key } = first;
    switch (kindOf(key)) {
      case 'profile': {
        const profile = parseProfileKey(key) as Profile;
        setOrDelete(this.#profiles, profile, mergeProfile(profile, winners));
        return undefined;
      }
      case 'playlist':
        return this.#putPlaylist(parsePlaylistKey(key) as PlaylistId, mergePlaylist(winners));
      case 'item': {
        const { playlist, item } = parseItemKey(key) as NonNullable<ReturnType<typeof parseItemKey>>;
        const record = this.#gone.has(`${playlist}/${item}`) ? undefined : mergeItem(winners);
        if (this.#playlists.has(playlist)) setWithin(this.#items, playlist, item, record);
        return undefined;
      }
      case 'gone': {
        const { playlist, item } = parseGoneKey(key) as NonNullable<ReturnType<typeof parseGoneKey>>;
        this.#gone.add(item === undefined ? playlist : `${playlist}/${item}`);
        if (item === undefined) this.#putPlaylist(playlist, undefined);
        else if (this.#items.has(playlist)) setWithin(this.#items, playlist, item, undefined);
        return undefined;
      }
      case 'star': {
        const { profile, song } = parseStarKey(key) as Marked;
        setWithin(this.#stars, profile, song, mergeStar(winners));
        return undefined;
      }
      case 'rating': {
        const { profile, song } = parseRatingKey(key) as Marked;
        setWithin(this.#ratings, profile, song, mergeRating(winners));
        return undefined;
      }
      case 'play': {
        const { profile, song } = parsePlayKey(key) as Marked;
        setWithin(this.#plays, profile, song, mergePlays(byKey(winners)));
      }
    }
    return undefined;
  }

  #putPlaylist(id: PlaylistId, merged: PlaylistRecord | undefined): PlaylistId | undefined {
    const record = this.#gone.has(id) ? undefined : merged;
    const appears = record !== undefined && !this.#playlists.has(id);
    setOrDelete(this.#playlists, id, record);
    if (!record) this.#items.delete(id);
    return appears ? id : undefined;
  }
}

function byKey(winners: Winners): Iterable<Winners> {
  const groups = new Map<string, Operation[]>();
  for (const winner of winners) {
    const group = groups.get(winner.key);
    if (group) group.push(winner);
    else groups.set(winner.key, [winner]);
  }
  return groups.values();
}

function setOrDelete<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

/** A map that became empty goes, or whoever unstars the last song would look different from who never starred one. */
function setWithin<O, K, V>(maps: Map<O, Map<K, V>>, owner: O, key: K, value: V | undefined): void {
  const map = maps.get(owner) ?? new Map<K, V>();
  setOrDelete(map, key, value);
  if (map.size === 0) maps.delete(owner);
  else maps.set(owner, map);
}
