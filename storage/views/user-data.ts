// What people made, kept in step with the registers: built from all of them at the start, and afterwards looking again at the units
// that changed (storage/views/user-index.ts). What a forgotten machine wrote stays: `forget` drops music, not playlists.
import { setImmediate } from 'node:timers/promises';
import type { DeviceId, ItemId, PlaylistId, SongId } from '../../lib/ids.ts';
import type { Rating } from '../../lib/marks.ts';
import type { Operation } from '../../lib/operation.ts';
import { parseSessionKey, type PlaybackSession, sessionsPrefix } from '../../lib/playback-session.ts';
import { type ItemRecord, itemsPrefix, type PlaylistRecord } from '../../lib/playlist.ts';
import type { Profile } from '../../lib/profile.ts';
import type { WallClock } from '../../lib/time.ts';
import { comparable } from '../../lib/typed-names.ts';
import type { OperationStore } from '../operation-store.ts';
import { mergeSession, type PlayCount } from './merge.ts';
import { byBirth, shownNames } from './playlist-names.ts';
import { type Unit, unitOf, UserIndex } from './user-index.ts';

export interface Playlist extends PlaylistRecord {
  readonly id: PlaylistId;
  /** Its name among those of its profile; `name` may be another's too. */
  readonly shownName: string;
  /** The profile's name, as its owner typed it. */
  readonly owner: string;
  readonly songs: number;
}

export interface Item extends ItemRecord {
  readonly id: ItemId;
}

export interface Star {
  readonly song: SongId;
  readonly at: WallClock;
  readonly rest: readonly unknown[];
}

/** Playlists come before items: what is in one that is not shown is not held. */
const KINDS = ['gone/', 'profile/', 'playlist/', 'item/', 'star/', 'rating/', 'play/'] as const;
/** More changed units than this are read all in one go, which is quicker than asking for each. */
const MANY_STALE = 2_000;
/** Rows merged before the event loop gets its turn. */
const ROWS_PER_TURN = 512;

const alphabetically = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export class UserData {
  readonly #store: Pick<OperationStore, 'registers'>;
  readonly #onError: (error: unknown) => void;
  readonly #onChange: () => void;
  #index = new UserIndex();
  readonly #stale = new Set<Unit>();
  #work: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly store: Pick<OperationStore, 'registers'>;
    readonly onError: (error: unknown) => void;
    /** Something is shown otherwise than before. */
    readonly onChange: () => void;
  }) {
    this.#store = options.store;
    this.#onError = options.onError;
    this.#onChange = options.onChange;
  }

  /** Builds the index from the registers. */
  load(): void {
    void this.#enqueue(() => this.#rebuild());
  }

  /** Registers changed: their units are looked at again soon. */
  refresh(changed: readonly Operation[]): void {
    let sessions = false;
    for (const { key } of changed) {
      const unit = unitOf(key);
      if (unit !== undefined) this.#stale.add(unit);
      sessions ||= parseSessionKey(key) !== undefined;
    }
    if (this.#stale.size > 0) void this.#enqueue(() => this.#reindex());
    else if (sessions) this.#onChange();
  }

  /** Everything that was applied so far is shown. Ask this before reading. */
  async settled(): Promise<void> {
    await this.#work;
  }

  // --- what is shown

  /** By name. */
  get profiles(): readonly { readonly profile: Profile; readonly name: string }[] {
    return [...this.#index.profiles].map(([profile, name]) => ({ profile, name })).sort((a, b) => alphabetically(a.profile, b.profile));
  }

  hasProfile(profile: Profile): boolean {
    return this.#index.profiles.has(profile);
  }

  /** Of one profile or of all, by owner and name. */
  playlists(profile?: Profile): readonly Playlist[] {
    const byProfile = new Map<Profile, (PlaylistRecord & { readonly id: PlaylistId })[]>();
    for (const [id, record] of this.#index.playlists) {
      if (profile !== undefined && record.profile !== profile) continue;
      const siblings = byProfile.get(record.profile);
      if (siblings) siblings.push({ ...record, id });
      else byProfile.set(record.profile, [{ ...record, id }]);
    }
    return [...byProfile.values()]
      .flatMap((siblings) => {
        const names = shownNames(siblings);
        return siblings.map((playlist) => this.#show(playlist, names.get(playlist.id) as string));
      })
      .sort((a, b) => alphabetically(a.profile, b.profile) || alphabetically(comparable(a.shownName), comparable(b.shownName)) || byBirth(a, b));
  }

  playlist(id: PlaylistId): Playlist | undefined {
    const record = this.#index.playlists.get(id);
    return record && this.playlists(record.profile).find((playlist) => playlist.id === id);
  }

  /** In order. */
  items(playlist: PlaylistId): readonly Item[] {
    return [...this.#index.items(playlist)]
      .map(([id, record]) => ({ ...record, id }))
      .sort((a, b) => alphabetically(a.position, b.position) || alphabetically(a.id, b.id));
  }

  /** The ones starred last come first, by logical time. */
  stars(profile: Profile): readonly Star[] {
    return [...this.#index.stars(profile)]
      .sort(([a, { lamport: one }], [b, { lamport: other }]) => other - one || alphabetically(a, b))
      .map(([song, { record }]) => ({ song, ...record }));
  }

  star(profile: Profile, song: SongId): Omit<Star, 'song'> | undefined {
    return this.#index.stars(profile).get(song)?.record;
  }

  /** The best come first. */
  ratings(profile: Profile): readonly { readonly song: SongId; readonly rating: Rating }[] {
    return [...this.#index.ratings(profile)]
      .map(([song, { rating }]) => ({ song, rating }))
      .sort((a, b) => b.rating - a.rating || alphabetically(a.song, b.song));
  }

  /** What a newer version wrote beside a rating. */
  ratingRest(profile: Profile, song: SongId): readonly unknown[] {
    return this.#index.ratings(profile).get(song)?.rest ?? [];
  }

  /** The most played come first. */
  plays(profile: Profile): readonly (PlayCount & { readonly song: SongId })[] {
    return [...this.#index.plays(profile)]
      .map(([song, count]) => ({ song, ...count }))
      .sort((a, b) => b.plays - a.plays || alphabetically(a.song, b.song));
  }

  /** How often each song was played by anybody. */
  playsOfAll(): ReadonlyMap<SongId, number> {
    return this.#index.playsOfAll();
  }

  /** One for each device that said something. Few and asked for rarely, so they are read from the registers. */
  async sessions(profile: Profile): Promise<ReadonlyMap<DeviceId, PlaybackSession>> {
    const sessions = new Map<DeviceId, PlaybackSession>();
    for await (const winners of this.#groups(sessionsPrefix(profile), (key) => (parseSessionKey(key) ? key : undefined))) {
      const [{ key }] = winners as [Operation];
      const session = mergeSession(winners);
      if (session) sessions.set((parseSessionKey(key) as { device: DeviceId }).device, session);
    }
    return sessions;
  }

  /** What comes next wherever that song plays, in no order. */
  async nextOf(song: SongId): Promise<readonly SongId[]> {
    const next = new Set<SongId>();
    for await (const winners of this.#groups('session/', (key) => (parseSessionKey(key) ? key : undefined))) {
      const { queue, index, playing } = mergeSession(winners) ?? { queue: [], index: 0, playing: false };
      const following = queue[index + 1];
      if (playing && queue[index] === song && following !== undefined) next.add(following);
    }
    return [...next];
  }

  #show(playlist: PlaylistRecord & { readonly id: PlaylistId }, shownName: string): Playlist {
    const owner = this.#index.profiles.get(playlist.profile) ?? playlist.profile;
    return { ...playlist, shownName, owner, songs: this.#index.items(playlist.id).size };
  }

  // --- the index

  async #rebuild(): Promise<void> {
    // what changes from here on is looked at again afterwards
    this.#stale.clear();
    const index = new UserIndex();
    for (const kind of KINDS) {
      for await (const winners of this.#groups(kind, unitOf)) index.put(winners);
    }
    this.#index = index;
    this.#onChange();
  }

  async #reindex(): Promise<void> {
    if (this.#stale.size > MANY_STALE) return this.#rebuild();
    // what comes while these are read has a turn of its own, and is counted anew
    const units = [...this.#stale];
    this.#stale.clear();
    if (units.length === 0) return; // a rebuild has seen them
    for (const unit of units) {
      for await (const winners of this.#groups(unit, unitOf)) {
        const appeared = this.#index.put(winners);
        if (appeared) for await (const item of this.#groups(itemsPrefix(appeared), unitOf)) this.#index.put(item);
      }
    }
    this.#onChange();
  }

  /** The registers of a range, those together that have one name: rows of a unit lie side by side. */
  async *#groups(prefix: string, nameOf: (key: string) => string | undefined): AsyncGenerator<Operation[]> {
    let name: string | undefined;
    let group: Operation[] = [];
    let rows = 0;
    for await (const operations of this.#store.registers(prefix)) {
      for (const operation of operations) {
        const next = nameOf(operation.key);
        if (next === undefined) continue;
        if (next !== name) {
          if (group.length > 0) yield group;
          name = next;
          group = [];
        }
        group.push(operation);
        if (++rows % ROWS_PER_TURN === 0) await setImmediate();
      }
    }
    if (group.length > 0) yield group;
  }

  #enqueue(task: () => Promise<void>): Promise<void> {
    // one that failed, for a disk that is gone or a peer that stops, leaves the index as it was
    this.#work = this.#work.then(task).catch((error: unknown) => this.#onError(error));
    return this.#work;
  }
}
