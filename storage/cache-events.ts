// What the cache tells, and to whom.
import type { PeerError } from '../lib/errors.ts';
import type { PayloadId } from '../lib/ids.ts';

export interface CacheEvents {
  /** Every chunk of it is here now. */
  completed(payload: PayloadId): void;
  /** It was complete and is no more: evicted, deleted, or damaged on disk. */
  lost(payload: PayloadId): void;
  /** The set of files whose edges are here has changed. */
  edges(payload: PayloadId): void;
  /** A part of it was not what it had been when it was written, and is forgotten; `lost` or `edges` follows where it applies. */
  damaged(payload: PayloadId, part: 'head' | number | 'edges'): void;
  /** Caching has stopped (DISK_FULL, DATA_FOLDER_UNUSABLE); told once, until a write has worked again. */
  trouble(error: PeerError): void;
}

/** Passes each event on to all that listen for it. */
export class CacheListeners implements CacheEvents {
  readonly #listeners = new Set<Partial<CacheEvents>>();

  listen(listener: Partial<CacheEvents>): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  completed(payload: PayloadId): void {
    for (const listener of this.#listeners) listener.completed?.(payload);
  }

  lost(payload: PayloadId): void {
    for (const listener of this.#listeners) listener.lost?.(payload);
  }

  edges(payload: PayloadId): void {
    for (const listener of this.#listeners) listener.edges?.(payload);
  }

  damaged(payload: PayloadId, part: 'head' | number | 'edges'): void {
    for (const listener of this.#listeners) listener.damaged?.(payload, part);
  }

  trouble(error: PeerError): void {
    for (const listener of this.#listeners) listener.trouble?.(error);
  }
}
