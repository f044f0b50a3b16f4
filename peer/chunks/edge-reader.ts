// What surrounds a payload in one very file: tags and pictures before it, more tags behind. An edge has one hash, so it is
// fetched whole from one holder and checked before any byte of it goes out; a wrong or broken one is fetched again from
// the next holder. The last ones are kept, because players ask twice.
import { LRUCache } from 'lru-cache';
import { fileIdOf, sha256 } from '../../lib/content.ts';
import { codeOf, PeerError } from '../../lib/errors.ts';
import type { FileId, PeerId } from '../../lib/ids.ts';
import { EDGES_CACHED_BYTES, PIECE_BYTES_MAX, PIECES_IN_FLIGHT_MAX, PREFIX_BYTES_MAX, REQUEST_TIMEOUT_MS } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import type { FileDescription } from '../../lib/song.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { Edge, LocalFiles } from '../../storage/local-files.ts';
import { type Alarms, systemAlarms } from './alarms.ts';
import { PROVIDERS_WAIT_MS, STALL_MS } from './patience.ts';
import { type ChunkLink, EDGE_METHOD, edgeParams, isFinal, type Providers } from './provider-link.ts';

/** Without a piece: longer than a round trip and 128 KiB over Wi-Fi. */
const HEDGE_MS: Millis = 100;
/** For each one more that is asked already: a line of our own that is slow is not made faster by asking more of them. */
const HEDGE_GROWTH = 3;
/** A holder that lost its connection is asked again after this, if there is no other. */
const RETRY_MS: Millis = 250;

interface Shared {
  readonly edge: Promise<Uint8Array>;
  readonly stop: AbortController;
  users: number;
}

export interface EdgeReaderOptions {
  readonly local: LocalFiles;
  readonly cache: Pick<ChunkCache, 'readEdge' | 'filesOf'>;
  readonly providers: Providers;
  /** A peer sent an edge that is not that file's. */
  readonly onLiar: (peer: PeerId, file: FileId) => void;
  readonly alarms?: Alarms;
}

export class EdgeReader {
  readonly #options: EdgeReaderOptions;
  readonly #alarms: Alarms;
  readonly #kept = new LRUCache<string, Uint8Array>({ maxSize: EDGES_CACHED_BYTES, sizeCalculation: (edge) => edge.byteLength });
  readonly #underWay = new Map<string, Shared>();

  constructor(options: EdgeReaderOptions) {
    this.#options = options;
    this.#alarms = options.alarms ?? systemAlarms;
  }

  /** @returns the whole verified edge @throws PeerError SONG_UNAVAILABLE, CANCELLED, TOO_LARGE */
  async read(file: FileDescription, edge: Edge, signal?: AbortSignal): Promise<Uint8Array> {
    const { bytes } = partOf(file, edge);
    if (bytes === 0) return new Uint8Array();
    // or what is not that file's would be kept for it
    if (fileIdOf(file) !== file.file) throw new PeerError('SONG_UNAVAILABLE', 'the file is not what the catalog says');
    if (bytes > PREFIX_BYTES_MAX) throw new PeerError('TOO_LARGE', 'a file with more than 64 MiB before or after its music');
    const key = keyOf(file, edge);
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept;
    let shared = this.#underWay.get(key);
    if (shared === undefined) {
      const stop = new AbortController();
      shared = { edge: this.#fetch(file, edge, stop.signal), stop, users: 0 };
      this.#underWay.set(key, shared);
    }
    return this.#share(key, shared, signal);
  }

  /** Reads an edge that will be asked for, unless it is too large to be kept. Never rejects. @returns whether it is here */
  async bring(file: FileDescription, edge: Edge, signal?: AbortSignal): Promise<boolean> {
    if (this.holds(file, edge)) return true;
    if (partOf(file, edge).bytes > EDGES_CACHED_BYTES) return false;
    return this.read(file, edge, signal).then(() => true, () => false);
  }

  /** Is it in memory or in the cache? */
  holds(file: FileDescription, edge: Edge): boolean {
    return partOf(file, edge).bytes === 0 || this.#kept.has(keyOf(file, edge)) || this.#options.cache.filesOf(file.payload).includes(file.file);
  }

  /** Several readers wait for one transfer; it stops when the last of them does. */
  async #share(key: string, shared: Shared, signal: AbortSignal | undefined): Promise<Uint8Array> {
    shared.users++;
    let onAbort = (): void => {};
    try {
      if (signal === undefined) return await shared.edge;
      signal.throwIfAborted();
      const aborted = new Promise<never>((_, reject) => {
        onAbort = () => reject(new PeerError('CANCELLED', 'nobody listens any more'));
        signal.addEventListener('abort', onAbort, { once: true });
      });
      return await Promise.race([shared.edge, aborted]);
    } catch (error) {
      throw signal?.aborted === true ? new PeerError('CANCELLED', 'nobody listens any more', { cause: error }) : error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      if (--shared.users === 0) {
        if (this.#underWay.get(key) === shared) this.#underWay.delete(key);
        shared.edge.catch(() => {});
        shared.stop.abort();
      }
    }
  }

  async #fetch(file: FileDescription, edge: Edge, signal: AbortSignal): Promise<Uint8Array> {
    const bytes = (await this.#fetchHere(file, edge)) ?? (await this.#fetchFromHolders(file, edge, signal));
    // Also one's own: the file may be retagged while it plays.
    this.#kept.set(keyOf(file, edge), bytes);
    return bytes;
  }

  async #fetchHere(file: FileDescription, edge: Edge): Promise<Uint8Array | null> {
    const own = await this.#whole(file, edge, (offset) => this.#options.local.readEdge(file.file, edge, offset)).catch(() => null);
    if (own !== null && isEdge(file, edge, own)) return own;
    const copied = await this.#options.cache.readEdge(file.file, edge);
    return copied !== null && isEdge(file, edge, copied) ? copied : null;
  }

  /** As patient as the planner of a payload is. */
  async #fetchFromHolders(file: FileDescription, edge: Edge, signal: AbortSignal): Promise<Uint8Array> {
    const useless = new Set<PeerId>();
    let cause: unknown;
    let heldAt = this.#alarms.now();
    const progress = { at: heldAt };
    while (!signal.aborted && this.#alarms.now() < Math.min(heldAt + PROVIDERS_WAIT_MS, progress.at + STALL_MS)) {
      const links = this.#options.providers.ofFile(file.file).filter(({ peer }) => !useless.has(peer));
      const bytes = await this.#firstOf(links, { signal, progress }, async (link, stop) => {
        try {
          return await this.#fetchFrom(link, file, edge, { stop, progress, useless });
        } catch (error) {
          cause = error;
          if (isFinal(codeOf(error))) useless.add(link.peer);
          else heldAt = this.#alarms.now();
          return null;
        }
      });
      if (bytes !== null) return bytes;
      await this.#changed(file.file, signal);
    }
    throw new PeerError('SONG_UNAVAILABLE', 'no computer that has this file can be reached', { cause });
  }

  /** @returns the edge, or null when it is not that file's; then who sent it is useless */
  async #fetchFrom(
    link: ChunkLink,
    file: FileDescription,
    edge: Edge,
    { stop, progress, useless }: { readonly stop: AbortSignal; readonly progress: { at: Millis }; readonly useless: Set<PeerId> },
  ): Promise<Uint8Array | null> {
    const failed = new AbortController();
    const signal = AbortSignal.any([stop, failed.signal]);
    const bytes = await this.#whole(file, edge, async (offset) => {
      const piece = await link.requestBytes(EDGE_METHOD, edgeParams(file.file, edge, offset), { signal, timeoutMs: REQUEST_TIMEOUT_MS });
      progress.at = this.#alarms.now();
      return piece;
    }).finally(() => failed.abort());
    if (bytes !== null && isEdge(file, edge, bytes)) return bytes;
    useless.add(link.peer);
    this.#options.onLiar(link.peer, file.file);
    return null;
  }

  /** Asks one holder, and the next as well when one has failed or nothing comes: nothing plays before its prefix is here.
   *  @returns what came first; null when nobody has given anything */
  #firstOf(
    links: readonly ChunkLink[],
    { signal, progress }: { readonly signal: AbortSignal; readonly progress: { readonly at: Millis } },
    ask: (link: ChunkLink, stop: AbortSignal) => Promise<Uint8Array | null>,
  ): Promise<Uint8Array | null> {
    const over = new AbortController();
    const stop = AbortSignal.any([signal, over.signal]);
    return new Promise<Uint8Array | null>((resolve) => {
      let [next, running] = [0, 0];
      let callOff = (): void => {};
      const look = (since: Millis): void => {
        const quietSince = Math.max(since, progress.at);
        const left = quietSince + HEDGE_MS * HEDGE_GROWTH ** (running - 1) - this.#alarms.now();
        if (left <= 0) return begin();
        callOff = this.#alarms.after(left, () => look(since));
      };
      const begin = (): void => {
        callOff();
        const link = stop.aborted ? undefined : links[next++];
        if (link === undefined) {
          if (running === 0) resolve(null);
          return;
        }
        running++;
        look(this.#alarms.now());
        void ask(link, stop).then((bytes) => {
          running--;
          if (bytes === null) begin();
          else resolve(bytes);
        });
      };
      stop.addEventListener('abort', () => callOff(), { once: true });
      begin();
    }).finally(() => over.abort());
  }

  /** Until the list of holders may be another one, or it is time to try again. */
  #changed(file: FileId, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        callOff();
        stopWatching();
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const callOff = this.#alarms.after(RETRY_MS, wake);
      const stopWatching = this.#options.providers.watch(file, wake);
      signal.addEventListener('abort', wake, { once: true });
      if (signal.aborted) wake();
    });
  }

  /** Asks for no more once a piece is missing, of a wrong length, or failed. @returns the edge put together, or null in the first two cases */
  async #whole(file: FileDescription, edge: Edge, ask: (offset: number) => Promise<Uint8Array | null>): Promise<Uint8Array | null> {
    const whole = Buffer.allocUnsafe(partOf(file, edge).bytes);
    const offsets = Array.from({ length: Math.ceil(whole.byteLength / PIECE_BYTES_MAX) }, (_, piece) => piece * PIECE_BYTES_MAX).values();
    let exact = true;
    const puller = async (): Promise<void> => {
      for (const offset of offsets) {
        if (!exact) return;
        const piece = await ask(offset).catch((error: unknown) => {
          exact = false;
          throw error;
        });
        exact &&= piece?.byteLength === Math.min(PIECE_BYTES_MAX, whole.byteLength - offset);
        if (!exact || piece === null) return;
        whole.set(piece, offset);
      }
    };
    await Promise.all(Array.from({ length: PIECES_IN_FLIGHT_MAX }, puller));
    return exact ? whole : null;
  }
}

/** With its length, of which the file's id says nothing. */
const keyOf = (file: FileDescription, edge: Edge): string => `${edge}/${file.file}/${partOf(file, edge).bytes}`;

const partOf = (file: FileDescription, edge: Edge): { readonly bytes: number; readonly hash: Uint8Array } =>
  edge === 'prefix' ? { bytes: file.prefixBytes, hash: file.prefixHash } : { bytes: file.suffixBytes, hash: file.suffixHash };

const isEdge = (file: FileDescription, edge: Edge, bytes: Uint8Array): boolean => sha256(bytes).equals(partOf(file, edge).hash);
