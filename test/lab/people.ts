// People at work: on each host one, who makes playlists and stars songs over HTTP while machines fail, and writes down every word
// that was given to him. By that record the outcome is judged, and by the rules of PROTOCOL.md, never by the program's own merging.
//
// What a person does on one host are writes of that host's registers, one after the other. So it is known what each register has to say
// in the end: what was acknowledged last, or something that was asked for after that and had no answer, which may have happened or not.
import { integerBetween, type Random } from '../../lib/random.ts';
import { type Api, Refusal } from './api.ts';
import { oneOf } from './effort.ts';

export const PROFILES = ['ana', 'ben'] as const;
/** Fewer than the bucket of changes that a peer allows an address, which is 5 a second after a burst of 60. */
const PAUSE_MS = { least: 120, most: 350 };
const PLAYLISTS_EACH = 3;
/** Everybody stars the same few, so that they meet. */
const STARRED_SONGS = 25;

/** What somebody wrote into a register: that it is there, or that it is deleted. */
export interface Word {
  readonly deleted: boolean;
  /** Somebody was told that it is written; otherwise nobody knows. */
  readonly acknowledged: boolean;
}

/** What registers were told, each by its key and in order. */
export type Words = Map<string, Word[]>;

export class Person {
  readonly record: Words = new Map();
  readonly acknowledged = { replicated: 0, 'local only': 0 };
  refused = 0;
  unanswered = 0;
  /** Songs that were asked to be added without an answer: their items have ids that nobody knows. */
  readonly unknown = new Map<string, number>();
  readonly #api: Api;
  readonly #random: Random;
  readonly #songs: readonly string[];
  #made = 0;
  #stopped = false;
  #rest = (): void => {};

  constructor(api: Api, { random, songs }: { readonly random: Random; readonly songs: readonly string[] }) {
    this.#api = api;
    this.#random = random;
    this.#songs = songs;
  }

  /** Goes on until `stop`. */
  async work(): Promise<void> {
    while (!this.#stopped) {
      await this.#act();
      await new Promise<void>((resolve) => {
        this.#rest = resolve;
        setTimeout(resolve, integerBetween(this.#random, PAUSE_MS.least, PAUSE_MS.most));
      });
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#rest();
  }

  async #act(): Promise<void> {
    const chance = this.#random();
    const profile = oneOf(this.#random, PROFILES);
    if (chance < 0.4) return this.#star(profile);
    const playlists = await this.#api.playlists().catch(() => []);
    if (playlists.length < PLAYLISTS_EACH || chance < 0.45) return this.#create(profile);
    const { id } = oneOf(this.#random, playlists);
    if (chance < 0.47) return this.#delete(id);
    const items = (await this.#api.playlist(id).catch(() => undefined))?.items ?? [];
    if (items.length === 0 || chance < 0.75) return this.#add(id, items.length);
    const item = oneOf(this.#random, items).id;
    if (chance < 0.87) return this.#remove(id, item);
    return this.#move(id, item, integerBetween(this.#random, 0, items.length - 1));
  }

  async #star(profile: string): Promise<void> {
    const song = oneOf(this.#random, this.#songs.slice(0, STARRED_SONGS));
    const starred = this.#random() < 0.6;
    const done = await this.#write('/api/stars', { profile, songs: [song], starred });
    this.#tell(`star/${profile}/song/${song}`, done, !starred);
  }

  async #create(profile: string): Promise<void> {
    this.#made += 1;
    const made = { profile, name: `List ${this.#made} of ${this.#api.host.name}`, songs: [oneOf(this.#random, this.#songs)] };
    const done = await this.#write<{ id: string; items: string[] }>('/api/playlists', made);
    if (typeof done !== 'object') return;
    this.#tell(`playlist/${done.id}`, done, false);
    for (const item of done.items) this.#tell(`item/${done.id}/${item}`, done, false);
  }

  async #delete(id: string): Promise<void> {
    this.#tell(`playlist/${id}`, await this.#write(`/api/playlists/${id}/delete`, {}), true);
  }

  async #add(id: string, items: number): Promise<void> {
    const added = { songs: [oneOf(this.#random, this.#songs)], at: integerBetween(this.#random, 0, items) };
    const done = await this.#write<{ items: string[] }>(`/api/playlists/${id}/add`, added);
    if (done === 'unanswered') this.unknown.set(id, (this.unknown.get(id) ?? 0) + 1);
    if (typeof done === 'object') for (const item of done.items) this.#tell(`item/${id}/${item}`, done, false);
  }

  async #remove(id: string, item: string): Promise<void> {
    this.#tell(`item/${id}/${item}`, await this.#write(`/api/playlists/${id}/remove`, { items: [item] }), true);
  }

  async #move(id: string, item: string, to: number): Promise<void> {
    this.#tell(`item/${id}/${item}`, await this.#write(`/api/playlists/${id}/move`, { item, to }), false);
  }

  async #write<T extends object>(path: string, body: object): Promise<T | 'refused' | 'unanswered'> {
    try {
      const done = await this.#api.post<T & { readonly acknowledged: 'replicated' | 'local only' }>(path, body);
      this.acknowledged[done.acknowledged] += 1;
      return done;
    } catch (error) {
      // CLOSED is said by a peer that stops, of what it had already begun to write
      const isRefused = error instanceof Refusal && error.code !== 'CLOSED';
      if (isRefused) this.refused += 1;
      else this.unanswered += 1;
      return isRefused ? 'refused' : 'unanswered';
    }
  }

  #tell(key: string, done: object | 'refused' | 'unanswered', deleted: boolean): void {
    if (done === 'refused') return;
    const words = this.record.get(key) ?? [];
    words.push({ deleted, acknowledged: done !== 'unanswered' });
    this.record.set(key, words);
  }
}
