// Two ways to ask a peer: by stream, which is quick and fair on a sound line, and by datagrams (peer/slices), which get through
// where a stream stands still. What is asked goes by stream; when nothing at all has come over it for a while, by datagrams
// too, and the first answer counts (hedged requests: Dean and Barroso, "The Tail at Scale", 2013). Where a stream has just
// stood still, datagrams go first. A bulk connection that goes on standing still is closed, so that a fresh one takes its
// place: the old one's next attempt may be a minute away.
import { LRUCache } from 'lru-cache';
import { decode } from '../lib/codec.ts';
import { codeOf, PeerError } from '../lib/errors.ts';
import type { PeerId } from '../lib/ids.ts';
import { CONNECTIONS_MAX, FRAME_BYTES_MAX, REQUEST_TIMEOUT_MS } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';
import type { ChunkLink } from './chunks/provider-link.ts';
import type { SyncLink } from './replication/sync.ts';
import { framesIn, type SliceExchange } from './slices/exchange.ts';
import type { Connection } from './stream/connection.ts';
import type { RequestOptions } from './stream/requester.ts';

/** Not a byte for so long, while an answer is due, and no answer to a probe in the second half of it: TCP's own least wait before it sends again is 200 ms. */
const SILENT_MS_MIN: Millis = 200;
/** On long lines four round trips; their measure may itself have been held up by a loss. */
const SILENT_ROUND_TRIPS = 4;
const SILENT_MS_MAX: Millis = 400;
/** Datagrams go first for so long after a stream stood still, doubled each time until one answers. */
const DATAGRAMS_FIRST_MS: Millis = 5_000;
const DATAGRAMS_FIRST_MS_MAX: Millis = 60_000;
/** A bulk connection that stands still for so long is replaced. */
const REPLACE_AFTER_MS: Millis = 2_000;

/** Whoever has said nothing by then to a question about the catalog is left for another. */
const SYNC_SILENT_MS: Millis = 2_000;

/** They speak of a way and not of what was asked: the other way may have an answer. */
const OF_THE_WAY = new Set(['BUSY', 'CANCELLED', 'CLOSED', 'CONNECTION_LOST', 'TIMED_OUT', 'TOO_LARGE', 'UNSUPPORTED']);

interface Trouble {
  readonly connection: Connection;
  readonly bytesIn: number;
  readonly since: Millis;
}

/** What is known of the ways to one peer. */
class Ways {
  trouble: Trouble | undefined;
  datagramsFirstUntil: Millis = 0;
  datagramsFirstMs: Millis = DATAGRAMS_FIRST_MS;
}

/** One way of asking the one thing. */
interface Way<T> {
  readonly ask: (signal: AbortSignal) => Promise<T>;
  /** Grows with whatever arrives by this way. */
  readonly progress: () => number;
  readonly silentMs: Millis;
  /** Nothing has come for half of that: asks for a sign of life, in case that the answer only has to wait for its turn. */
  readonly onQuiet: () => void;
  readonly onSilent: () => void;
  readonly onAnswer: () => void;
}

export interface PathsOptions {
  readonly slices: SliceExchange;
  /** A connection for chunks, if there is one now; asking for it has one made. */
  readonly bulkTo: (peer: PeerId) => Connection | undefined;
  readonly controlTo: (peer: PeerId) => Connection | undefined;
  /** Is it a member that lives? Then datagrams may reach it even before a connection does. */
  readonly lives: (peer: PeerId) => boolean;
  readonly now: () => Millis;
}

export class Paths {
  readonly #options: PathsOptions;
  readonly #ways = new LRUCache<PeerId, Ways>({ max: CONNECTIONS_MAX });
  /** Requests that wait for a connection look for it again. */
  readonly #waiting = new Set<() => void>();

  constructor(options: PathsOptions) {
    this.#options = options;
  }

  /** A connection to some peer has been made. */
  opened(): void {
    for (const look of [...this.#waiting]) look();
  }

  /** For music; undefined when the peer is neither connected nor alive. */
  chunkLink(peer: PeerId): ChunkLink | undefined {
    const { bulkTo, lives, slices } = this.#options;
    if (!bulkTo(peer) && !lives(peer)) return undefined;
    const requestBytes = (method: string, params: unknown, options: RequestOptions = {}): Promise<Uint8Array> =>
      this.#race(peer, bulkTo, {
        byStream: (connection, signal) => connection.requestBytes(method, params, { ...options, signal }),
        byDatagrams: (signal) => slices.request(peer, method, params, { ...options, signal }),
        signal: options.signal,
      });
    return { peer, requestBytes };
  }

  /** Carries out `work` with the peer, be it twice side by side: it must bear that. Ends early when the peer says nothing at
   *  all, because another may know the same.
   *  @throws PeerError TIMED_OUT, or what the last way failed with */
  async sync<T>(peer: PeerId, work: (link: SyncLink) => Promise<T>): Promise<T> {
    const { controlTo, slices } = this.#options;
    const heard = (): number => (controlTo(peer)?.bytesIn ?? 0) + slices.arrivedFrom(peer);
    const before = heard();
    const silence = new AbortController();
    const timer = setTimeout(() => {
      if (heard() === before) silence.abort();
    }, SYNC_SILENT_MS);
    try {
      return await this.#race(peer, controlTo, {
        byStream: (connection) => work(connection),
        byDatagrams: () => work(this.#datagramLink(peer)),
        signal: silence.signal,
      });
    } catch (error) {
      throw silence.signal.aborted ? new PeerError('TIMED_OUT', 'the other peer says nothing') : error;
    } finally {
      clearTimeout(timer);
    }
  }

  #datagramLink(peer: PeerId): SyncLink {
    const { slices } = this.#options;
    return {
      request: async (method, params, options) => decode(await slices.request(peer, method, params, options), { bytesMax: FRAME_BYTES_MAX, code: 'BAD_MESSAGE' }),
      async *requestStream(method, params, options) {
        yield* framesIn(await slices.request(peer, method, params, options));
      },
      notify: (method, params) => void slices.request(peer, method, params).catch(() => undefined),
    };
  }

  #race<T>(
    peer: PeerId,
    find: (peer: PeerId) => Connection | undefined,
    { byStream, byDatagrams, signal }: {
      readonly byStream: (connection: Connection, signal: AbortSignal) => Promise<T>;
      readonly byDatagrams: (signal: AbortSignal) => Promise<T>;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<T> {
    const { slices, now } = this.#options;
    const connection = find(peer);
    const datagrams: Way<T> = {
      ask: byDatagrams,
      progress: () => slices.arrivedFrom(peer),
      silentMs: SILENT_MS_MAX,
      onQuiet: () => {},
      onSilent: () => {},
      onAnswer: () => {},
    };
    if (!connection) return race([datagrams, this.#lateStream(() => find(peer), byStream)], signal);
    const ways = this.#waysTo(peer);
    const stream: Way<T> = {
      ask: (stop) => byStream(connection, stop),
      progress: () => connection.bytesIn,
      silentMs: Math.min(SILENT_MS_MAX, Math.max(SILENT_MS_MIN, SILENT_ROUND_TRIPS * (connection.rttMs ?? 0))),
      onQuiet: () => connection.probe(),
      onSilent: () => noteTrouble(ways, connection, now()),
      onAnswer: () => (ways.datagramsFirstMs = DATAGRAMS_FIRST_MS),
    };
    replaceStuck(ways, now());
    return race(now() < ways.datagramsFirstUntil ? [datagrams, stream] : [stream, datagrams], signal);
  }

  /** A connection may be made while datagrams are in vain: some networks let no others through. */
  #lateStream<T>(find: () => Connection | undefined, ask: (connection: Connection, signal: AbortSignal) => Promise<T>): Way<T> {
    const none = { progress: () => 0, silentMs: SILENT_MS_MAX, onQuiet: () => {}, onSilent: () => {}, onAnswer: () => {} };
    return { ...none, ask: async (signal) => ask(await this.#connected(find, signal), signal) };
  }

  /** @throws PeerError CONNECTION_LOST when none is made in time, or nobody waits for it any more */
  #connected(find: () => Connection | undefined, signal: AbortSignal): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', giveUp);
        this.#waiting.delete(look);
      };
      const giveUp = (): void => {
        end();
        reject(new PeerError('CONNECTION_LOST', 'there is no connection to that peer'));
      };
      const look = (): void => {
        const connection = find();
        if (!connection) return;
        end();
        resolve(connection);
      };
      const timer = setTimeout(giveUp, REQUEST_TIMEOUT_MS);
      signal.addEventListener('abort', giveUp);
      this.#waiting.add(look);
      if (signal.aborted) giveUp();
      else look();
    });
  }

  #waysTo(peer: PeerId): Ways {
    const ways = this.#ways.get(peer) ?? new Ways();
    this.#ways.set(peer, ways);
    return ways;
  }
}

function noteTrouble(ways: Ways, connection: Connection, now: Millis): void {
  if (ways.trouble?.connection !== connection || ways.trouble.bytesIn !== connection.bytesIn) {
    ways.trouble = { connection, bytesIn: connection.bytesIn, since: now };
  }
  if (now < ways.datagramsFirstUntil) return;
  ways.datagramsFirstUntil = now + ways.datagramsFirstMs;
  ways.datagramsFirstMs = Math.min(DATAGRAMS_FIRST_MS_MAX, 2 * ways.datagramsFirstMs);
}

function replaceStuck(ways: Ways, now: Millis): void {
  if (!ways.trouble || now - ways.trouble.since < REPLACE_AFTER_MS) return;
  const { connection, bytesIn } = ways.trouble;
  ways.trouble = undefined;
  if (connection.purpose === 'bulk' && connection.bytesIn === bytesIn) connection.close(new PeerError('TIMED_OUT', 'the connection stood still'));
}

/** A reason that is there already: making one for each of a thousand chunks, with its stack, costs more than the chunks do. */
const ANOTHER_WAS_QUICKER = new PeerError('CANCELLED', 'another way was quicker');

/** Asks by the first way, by the next as well when it is silent or fails, and so on. The first answer counts, and so does the
 *  first refusal that speaks of what was asked; the others are called off. */
function race<T>(ways: readonly Way<T>[], signal: AbortSignal | undefined): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stop = new AbortController();
    const watches: NodeJS.Timeout[] = [];
    let next = 0;
    let running = 0;
    let over = false;
    const end = (settle: () => void): void => {
      if (over) return;
      over = true;
      for (const watch of watches) clearInterval(watch);
      signal?.removeEventListener('abort', onAbort);
      if (running > 0) stop.abort(ANOTHER_WAS_QUICKER);
      settle();
    };
    const onAbort = (): void => end(() => reject(new PeerError('CANCELLED', 'the request was cancelled')));
    const begin = (): void => {
      const way = ways[next];
      if (!way) return;
      next += 1;
      running += 1;
      let seen = way.progress();
      let lookedAt = performance.now();
      let quiet = false;
      const everyMs = way.silentMs / 2;
      const watch = setInterval(() => {
        // when this process itself stood still, what has arrived waits to be read
        const overslept = performance.now() - lookedAt > everyMs + way.silentMs / 2;
        const silent = way.progress() === seen && !overslept;
        if (silent && quiet) {
          way.onSilent();
          if (next < ways.length) begin();
        } else if (silent) way.onQuiet();
        quiet = silent && !quiet;
        seen = way.progress();
        lookedAt = performance.now();
      }, everyMs);
      watches.push(watch);
      way.ask(stop.signal).then(
        (answer) => {
          running -= 1;
          if (!over) way.onAnswer();
          end(() => resolve(answer));
        },
        (error: unknown) => {
          clearInterval(watch);
          running -= 1;
          if (!OF_THE_WAY.has(codeOf(error) ?? '')) end(() => reject(error));
          else if (over) return;
          else if (next < ways.length) begin();
          else if (running === 0) end(() => reject(error));
        },
      );
    };
    signal?.addEventListener('abort', onAbort);
    if (signal?.aborted) onAbort();
    else begin();
  });
}
