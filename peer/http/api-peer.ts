// What the HTTP server needs of the peer that it serves; peer/peer.ts provides it, and tests provide a small one. The
// server knows nothing else of the peer.
import type { FileId, PeerId, SongId } from '../../lib/ids.ts';
import type { Stamp } from '../../lib/operation.ts';
import type { ExchangeStats } from '../chunks/exchange-stats.ts';
import type { EventJson, LogJson } from './log-schemas.ts';
import type { ApiCopies } from './api-copies.ts';
import type { ApiUserData } from './api-user-data.ts';
import type { FileProblem, NetworkJson, RoleJson, SearchJson, SongJson, StatusJson } from './schemas.ts';

/** Bytes that can be played. Making one holds nothing open; only an iterated `read` does. */
export interface AudioSource {
  /** Of the whole. */
  readonly bytes: number;
  readonly contentType: string;
  /** Without quotes; differs whenever the bytes do, so a content id serves well. */
  readonly etag: string;
  /** What a download is called, without a path. */
  readonly fileName: string;
  /** Exactly the bytes [start, end). Ends early, by return or throw, when `signal` aborts: the listener has gone. */
  read(start: number, end: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Something that a page shows has changed; it asks again for what it shows. */
export type ApiEventKind = 'cache' | 'catalog' | 'members' | 'network' | 'scan' | 'userData';
export interface ApiEvent {
  readonly kind: ApiEventKind;
}

/** Which events of the log: at most `limit` that follow a stamp (null: from the first on), or the latest so many. */
export type LogQuery = { readonly kind: 'after'; readonly stamp: Stamp | null; readonly limit: number } | { readonly kind: 'last'; readonly count: number };

/** Makes JSON of an event at the moment when it is sent: whether it is settled is said as of then. */
export type LoggedEvent = () => EventJson;

export interface LogFollower {
  /** Events came, from here or from others, in the order of their stamps. */
  came(events: readonly LoggedEvent[]): void;
  /** The log is over: this peer is about to be in another network, with another log. */
  over(): void;
}

export interface ApiEventLog {
  read(query: LogQuery): Promise<LogJson>;
  /** @returns what ends it */
  follow(follower: LogFollower): () => void;
}

export interface ApiPeer {
  /** This machine's own token, 32 random bytes in hex. Who has it manages this machine. */
  readonly token: string;
  /** Everybody on an open network may listen; on a closed one only who has the token. May change while serving. */
  readonly open: boolean;

  /** @param options.copies whether to count copies anew, which goes through all songs; without a word it does */
  status(options?: { readonly copies: boolean }): Promise<StatusJson>;
  /** What playing took, since the start. */
  readonly stats: ExchangeStats;
  /** Every role with its holder, which is asked whether its service is well. */
  roles(): Promise<readonly RoleJson[]>;
  /** Files here that cannot be shared, and why. */
  files(): Promise<readonly FileProblem[]>;
  /** @param words '' means everything, by artist and album */
  search(words: string, page: { readonly limit: number; readonly offset: number }): Promise<SearchJson>;
  song(id: SongId): Promise<SongJson | null>;
  /** `original`: the exact bytes of a file (`file`, else the one that SongJson.files names first). Otherwise the form to
   *  play: an MP3 without the pictures in front of its sound. `goesOn`: a part behind the beginning is wanted, of the same file as
   *  what preceded it. Null when there is no such song or file. */
  audio(id: SongId, options: { readonly file?: FileId; readonly original: boolean; readonly goesOn?: boolean; readonly signal?: AbortSignal; readonly next?: SongId }): Promise<AudioSource | null>;
  /** The generated sample, while there is no music at all. */
  sample(): AudioSource | null;

  readonly eventLog: ApiEventLog;

  network(): Promise<NetworkJson>;
  /** Closes an open network; `newKey` gives a closed one another key, and everybody else is out until they have its code.
   *  The code is in what `network()` says. */
  closeNetwork(options: { readonly newKey: boolean }): Promise<NetworkJson>;
  /** Back to the open network of the same name. */
  openNetwork(): Promise<NetworkJson>;
  /** Throws BAD_CODE. */
  joinNetwork(code: string): Promise<NetworkJson>;
  /** Throws NOT_FOUND. */
  forget(peer: PeerId): Promise<void>;

  /** How safe the music is, and what is kept here. */
  readonly copies: ApiCopies;

  /** Playlists, stars, and what else people make. */
  readonly userData: ApiUserData;

  /** @returns what ends it */
  onEvent(listener: (event: ApiEvent) => void): () => void;
}

export type { FileProblem, MemberJson, NetworkJson, RoleJson, SearchJson, SongJson, StatusJson } from './schemas.ts';
export type { EventJson, LogJson } from './log-schemas.ts';
