// How the ids in the event log are called, and what was read of a key before: what makes sentences of events. Asks the peer for
// each song once, and for the playlists when one turns up that is not known yet.
import { LRUCache } from 'lru-cache';
import { shortId } from '../lib/ids.ts';
import { compareStamps, type Stamp } from '../lib/operation.ts';
import type { EventJson } from '../peer/http/log-schemas.ts';
import type { PlaylistJson } from '../peer/http/user-schemas.ts';
import type { Client } from './client.ts';
import type { Names } from './event-line.ts';

/** Titles and playlist events that are remembered while a log is followed for weeks. */
const REMEMBERED_MAX = 10_000;

export class EventNames implements Names {
  readonly #client: Pick<Client, 'get' | 'song'>;
  readonly #peers: ReadonlyMap<string, string>;
  readonly #songs = new LRUCache<string, Promise<string>>({ max: REMEMBERED_MAX });
  readonly #playlists = new LRUCache<string, string>({ max: REMEMBERED_MAX });
  readonly #read = new LRUCache<string, EventJson>({ max: REMEMBERED_MAX });

  private constructor(client: Pick<Client, 'get' | 'song'>, peers: ReadonlyMap<string, string>) {
    this.#client = client;
    this.#peers = peers;
  }

  static async of(client: Pick<Client, 'get' | 'song' | 'status'>): Promise<EventNames> {
    const { peer, members } = await client.status();
    return new EventNames(client, new Map([peer, ...members].map(({ id, name }) => [id, name])));
  }

  peer(id: string): string {
    return this.#peers.get(id) || shortId(id);
  }

  song(id: string): Promise<string> {
    const known = this.#songs.get(id) ?? this.#titleOf(id);
    this.#songs.set(id, known);
    return known;
  }

  /** A deleted one is called by its id. */
  async playlist(id: string): Promise<string> {
    if (!this.#playlists.has(id)) {
      const playlists = await this.#client.get<PlaylistJson[]>('/api/playlists').catch(() => []);
      for (const playlist of playlists) this.#playlists.set(playlist.id, playlist.name);
    }
    const name = this.#playlists.get(id) ?? `playlist ${shortId(id)}`;
    this.#playlists.set(id, name);
    return name;
  }

  /** Takes note of an event. @returns the latest that was read of the same key and stands before it */
  read(event: EventJson): EventJson | undefined {
    if (event.kind !== 'item' && event.kind !== 'playlist') return undefined;
    const last = this.#read.get(event.key);
    if (last && compareStamps(stampOf(last), stampOf(event)) >= 0) return undefined; // this one comes late
    this.#read.set(event.key, event);
    const { playlist, playlistName } = event;
    if (typeof playlist === 'string' && typeof playlistName === 'string') this.#playlists.set(playlist, playlistName);
    return last;
  }

  /** A song whose machines are all gone has no title any more. */
  async #titleOf(id: string): Promise<string> {
    try {
      const { title, artist } = await this.#client.song(id);
      return artist ? `${title} by ${artist}` : title;
    } catch {
      this.#songs.delete(id); // it may come
      return `song ${shortId(id)}`;
    }
  }
}

const stampOf = ({ lamport, origin, epoch, seq }: EventJson): Stamp => ({ lamport, origin, epoch, seq }) as Stamp;
