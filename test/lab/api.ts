// A peer's HTTP from the test itself. A command for each question takes a third of a second of a whole core; where a test looks
// many times a second, on five hosts, that would be all that the machine does. So a host gets a door.
import { request } from 'node:http';
import type { LogJson } from '../../peer/http/log-schemas.ts';
import type { SearchJson, StatusJson } from '../../peer/http/schemas.ts';
import type { PlaylistJson, PlaylistPageJson, StarsJson } from '../../peer/http/user-schemas.ts';
import { openDoor } from './door.ts';
import type { Host } from './lab.ts';

const HTTP_PORT = 7700;
/** Longer than any answer takes, but for one of a peer that has died. */
const ANSWER_MS = 5_000;
const PAGE = 1_000;

/** The peer has answered, and refused. Any other error means that nobody knows whether it has done what was asked. */
export class Refusal extends Error {
  readonly code: string;

  constructor(what: string, code: string, message: string) {
    super(`${what}: ${code}: ${message}`);
    this.code = code;
  }
}

export type Song = SearchJson['songs'][number];

export interface Audio {
  readonly status: number;
  /** All of it came. */
  readonly complete: boolean;
  readonly bytes: Buffer;
}

/** The ways that there are to a host, by port. */
const opened = new WeakMap<Host, Map<number, Promise<Api>>>();

export class Api {
  readonly host: Host;
  /** Leads to the peer's HTTP. */
  readonly socket: string;
  readonly #headers: Readonly<Record<string, string>>;

  private constructor(host: Host, socket: string, headers: Readonly<Record<string, string>>) {
    this.host = host;
    this.socket = socket;
    this.#headers = headers;
  }

  /** To whatever peer runs on the host at that port, now and after its restarts. */
  static open(host: Host, port = HTTP_PORT): Promise<Api> {
    const ways = opened.get(host) ?? new Map<number, Promise<Api>>();
    opened.set(host, ways);
    const way = ways.get(port) ?? openDoor(host, { port, name: `door-${port}` }).then((socket) => new Api(host, socket, { host: `127.0.0.1:${port}` }));
    ways.set(port, way);
    return way;
  }

  /** The same with the token of the peer's owner, which a closed network wants. */
  asOwner(token: string): Api {
    return new Api(this.host, this.socket, { ...this.#headers, authorization: `Bearer ${token}` });
  }

  status = (): Promise<StatusJson> => this.get<StatusJson>('/api/status');

  async digest(): Promise<string> {
    return (await this.status()).replication.digest;
  }

  /** Some first songs. */
  async catalog(limit = PAGE): Promise<Song[]> {
    return [...(await this.get<SearchJson>(`/api/search?q=&limit=${limit}`)).songs];
  }

  /** All that these words find, page by page. */
  async search(words: string): Promise<Song[]> {
    const found: Song[] = [];
    for (;;) {
      const query = new URLSearchParams({ q: words, limit: String(PAGE), offset: String(found.length) });
      const { songs } = await this.get<SearchJson>(`/api/search?${query}`);
      found.push(...songs);
      if (songs.length < PAGE) return found;
    }
  }

  /** Ids of songs, some first ones. */
  async songs(limit = PAGE): Promise<string[]> {
    return (await this.catalog(limit)).map(({ id }) => id);
  }

  playlists = (): Promise<PlaylistJson[]> => this.get<PlaylistJson[]>('/api/playlists');

  /** With at most a page of items; no test has more. */
  playlist = (id: string): Promise<PlaylistPageJson> => this.get<PlaylistPageJson>(`/api/playlists/${id}?limit=${PAGE}`);

  async stars(profile: string): Promise<string[]> {
    return (await this.get<StarsJson>(`/api/stars?profile=${profile}&limit=${PAGE}`)).stars.map(({ songId }) => songId);
  }

  /** What a player gets of a song, or the original file, of several files `file`; cut where the peer cuts it, or after `timeoutMs` of
   *  silence, which is no error here. */
  audio(song: string, { original = false, file, timeoutMs }: { readonly original?: boolean; readonly file?: string; readonly timeoutMs?: number } = {}): Promise<Audio> {
    const query = new URLSearchParams({ ...(original && { original: 'true' }), ...(file !== undefined && { file }) });
    const path = `/api/songs/${song}/audio?${query}`;
    return new Promise((resolve) => {
      const parts: Buffer[] = [];
      let status = 0;
      const end = (complete: boolean): void => resolve({ status, complete: complete && status === 200, bytes: status === 200 ? Buffer.concat(parts) : Buffer.alloc(0) });
      const asked = request({ socketPath: this.socket, path, headers: this.#headers, agent: false }, (answer) => {
        status = answer.statusCode ?? 0;
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('close', () => end(answer.complete));
        answer.on('error', () => {}); // it is closed next
      });
      if (timeoutMs !== undefined) asked.setTimeout(timeoutMs, () => asked.destroy());
      asked.on('error', () => end(false));
      asked.end();
    });
  }

  /** The whole event log. */
  async log(): Promise<LogJson['events'][number][]> {
    const events: LogJson['events'][number][] = [];
    for (let after = ''; ; ) {
      const page = await this.get<LogJson>(`/api/log?limit=${PAGE}${after}`);
      events.push(...page.events);
      if (page.events.length < PAGE) return events;
      after = `&after=${page.next}`;
    }
  }

  get<T>(path: string): Promise<T> {
    return this.#ask('GET', path);
  }

  post<T>(path: string, body: object): Promise<T> {
    return this.#ask('POST', path, JSON.stringify(body));
  }

  #ask<T>(method: string, path: string, body?: string): Promise<T> {
    const what = `${this.host.name}: ${method} ${path}`;
    const headers = { ...this.#headers, ...(body !== undefined && { 'content-type': 'application/json' }) };
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => reject(new Error(`${what}: ${error.message}`, { cause: error }));
      const asked = request({ socketPath: this.socket, method, path, headers, agent: false, timeout: ANSWER_MS }, (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('error', fail);
        answer.on('end', () => {
          if (!answer.complete) return fail(new Error('the answer is cut'));
          const json = JSON.parse(Buffer.concat(parts).toString()) as T & { readonly error?: { readonly code: string; readonly message: string } };
          if (answer.statusCode === 200) resolve(json);
          else reject(new Refusal(what, json.error?.code ?? String(answer.statusCode), json.error?.message ?? ''));
        });
      });
      asked.on('timeout', () => asked.destroy(new Error('no answer')));
      asked.on('error', fail);
      asked.end(body);
    });
  }
}
