// How a command reaches a peer: the one that runs on the same data folder, else any that the LAN's names lead to.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { browseOnce } from '../discovery/browse-once.ts';
import { codeOf, type ErrorCode, PeerError } from '../lib/errors.ts';
import type { EventJson, LogJson } from '../peer/http/log-schemas.ts';
import type { SearchJson, SongJson, StatusJson } from '../peer/http/schemas.ts';
import { type Running, RUNNING_FILE } from '../peer/running.ts';
import { program } from './program.ts';

const BROWSE_MS = 1_500;
/** The server's own bound on one page of songs. */
const PAGE_SONGS = 1_000;
/** And on one page of events. */
const PAGE_EVENTS = 1_000;

export class Client {
  readonly url: string;
  readonly #token: string | undefined;

  private constructor(url: string, token?: string) {
    this.url = url;
    this.#token = token;
  }

  /** The peer of this data folder.
   *  @throws PeerError NO_PEER */
  static async local(dataFolder: string): Promise<Client> {
    const client = await Client.#running(dataFolder);
    if (client) return client;
    throw new PeerError('NO_PEER', `no spotify-peer runs here; start one with: ${program} start`);
  }

  /** The peer of this data folder, else one found by name: good enough to search and to listen.
   *  @throws PeerError NO_PEER */
  static async any(dataFolder: string): Promise<Client> {
    const client = await Client.#running(dataFolder);
    if (client) return client;
    for (const { host, httpPort } of await browseOnce(BROWSE_MS)) {
      const found = new Client(`http://${host}:${httpPort}`);
      if (await found.#answers()) return found;
    }
    throw new PeerError('NO_PEER', `no spotify-peer runs here or was found on this LAN; start one with: ${program} start`);
  }

  static async #running(dataFolder: string): Promise<Client | undefined> {
    try {
      const { http } = JSON.parse(await readFile(join(dataFolder, RUNNING_FILE), 'utf8')) as Running;
      const token = (await readFile(join(dataFolder, 'token'), 'utf8')).trim();
      const client = new Client(http, token);
      return (await client.#answers()) ? client : undefined;
    } catch {
      return undefined;
    }
  }

  async #answers(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/healthz`, { signal: AbortSignal.timeout(2_000) })).ok;
    } catch {
      return false;
    }
  }

  status = (): Promise<StatusJson> => this.get<StatusJson>('/api/status');

  song = (id: string): Promise<SongJson> => this.get<SongJson>(`/api/songs/${id}`);

  /** Songs in order, page by page, at most `limit`; and how many match in all, when that is known. */
  async search(words: string, limit: number): Promise<SearchJson> {
    const songs: SongJson[] = [];
    let total: number | null = null;
    while (songs.length < limit) {
      const asked = Math.min(PAGE_SONGS, limit - songs.length);
      const page = await this.get<SearchJson>(`/api/search?q=${encodeURIComponent(words)}&limit=${asked}&offset=${songs.length}`);
      songs.push(...page.songs);
      total = page.total;
      if (page.songs.length < asked) break;
    }
    return { total, songs };
  }

  /** The whole event log, in order. */
  async *allEvents(): AsyncGenerator<EventJson> {
    for (let after: string | null = null; ; ) {
      const page: LogJson = await this.get<LogJson>(`/api/log?limit=${PAGE_EVENTS}${after === null ? '' : `&after=${after}`}`);
      yield* page.events;
      if (page.events.length < PAGE_EVENTS) return;
      after = page.next;
    }
  }

  /** Its latest `count` events, in order. */
  async lastEvents(count: number): Promise<readonly EventJson[]> {
    if (count <= PAGE_EVENTS) return (await this.get<LogJson>(`/api/log?last=${count}`)).events;
    // more than a page is read from the start on, and never held whole
    const last: EventJson[] = [];
    for await (const event of this.allEvents()) {
      last.push(event);
      if (last.length > 2 * count) last.splice(0, count);
    }
    return last.slice(-count);
  }

  /** The texts of Server-Sent Events. Resolves when the peer listens for us, ends when `signal` aborts or the peer ends. */
  async follow(path: string, signal: AbortSignal): Promise<AsyncGenerator<string>> {
    const { body } = await this.#fetch(path, { method: 'GET', signal });
    if (!body) throw new PeerError('CONNECTION_LOST', 'the peer sent nothing');
    return eventTexts(body);
  }

  get<T>(path: string): Promise<T> {
    return this.#request<T>(path, { method: 'GET' });
  }

  post<T>(path: string, body: object = {}): Promise<T> {
    return this.#request<T>(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  }

  /** The bytes that an address answers with. */
  async download(path: string): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#fetch(path, { method: 'GET' });
    if (!response.body) throw new PeerError('CONNECTION_LOST', 'the peer sent nothing');
    return response.body;
  }

  async #request<T>(path: string, init: RequestInit): Promise<T> {
    return (await (await this.#fetch(path, init)).json()) as T;
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const authorization: Record<string, string> = this.#token ? { authorization: `Bearer ${this.#token}` } : {};
    let response: Response;
    try {
      response = await fetch(`${this.url}${path}`, { ...init, headers: { ...init.headers, ...authorization } });
    } catch (cause) {
      throw new PeerError('NO_PEER', `the peer at ${this.url} does not answer`, { cause: codeOf(cause) ? cause : (cause as Error).cause });
    }
    if (response.ok) return response;
    const answer = (await response.json().catch(() => ({}))) as { error?: { code?: ErrorCode; message?: string } };
    throw new PeerError(answer.error?.code ?? 'NOT_FOUND', answer.error?.message ?? `the peer answered ${response.status}`);
  }
}

/** Ends where the stream does, whole or cut. */
async function* eventTexts(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for await (const bytes of body) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n');
      rest = lines.pop() as string;
      for (const line of lines) if (line.startsWith('data: ')) yield line.slice('data: '.length);
    }
  } catch {
    return;
  }
}
