// Some players take a song in pieces, each when the one before is nearly over. What lies behind a piece is brought meanwhile, for who
// has a piece will ask for the next one, and the machine that it comes from may be gone by then.
import { LRUCache } from 'lru-cache';
import type { SongId } from '../../lib/ids.ts';
import { GOING_ON_MAX, PIECES_REMEMBERED_MAX } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import type { Alarms } from '../chunks/alarms.ts';

/** Who has not come for the next piece by then has music for longer, or has left. */
export const GOES_ON_MS: Millis = 30_000;

export interface GoingOnOptions {
  readonly alarms: Alarms;
  readonly onError: (error: unknown) => void;
}

/** Brings what lies behind the byte that `at` says, which moves on. */
export type BringOn = (at: () => number, signal: AbortSignal) => Promise<void>;

interface Piece {
  /** Where the next one begins. */
  end: number;
  readonly over: AbortController;
  callOff: () => void;
}

export class GoingOn {
  readonly #options: GoingOnOptions;
  /** By the song; the one that was taken last is the last. */
  readonly #pieces = new Map<SongId, Piece>();
  readonly #endedAt = new LRUCache<SongId, number>({ max: PIECES_REMEMBERED_MAX });
  #stopped = false;

  constructor(options: GoingOnOptions) {
    this.#options = options;
  }

  /** A piece is asked for. @param listens it is too long for one that is only looked at
   *  @returns whether somebody plays it: also a short one, where it goes on from one before. Where it does not, somebody has jumped,
   *  and what lay behind the last one is brought no longer */
  began(song: SongId, start: number, listens: boolean): boolean {
    const plays = listens || this.#endedAt.get(song) === start;
    const piece = this.#pieces.get(song);
    if (plays && piece !== undefined && piece.end !== start) this.#end(song, piece);
    return plays;
  }

  /** A piece has been taken to its end. @param bringOn undefined where nothing is to be brought */
  took(song: SongId, end: number, bringOn: BringOn | undefined): void {
    this.#endedAt.set(song, end);
    if (bringOn === undefined || this.#stopped) return;
    const before = this.#pieces.get(song);
    const piece = before ?? { end, over: new AbortController(), callOff: () => {} };
    piece.end = end;
    piece.callOff();
    piece.callOff = this.#options.alarms.after(GOES_ON_MS, () => this.#end(song, piece));
    this.#pieces.delete(song);
    this.#pieces.set(song, piece);
    const [oldest] = this.#pieces;
    if (oldest !== undefined && this.#pieces.size > GOING_ON_MAX) this.#end(...oldest);
    if (before !== undefined) return;
    bringOn(() => piece.end, piece.over.signal)
      .catch(this.#options.onError)
      .finally(() => this.#end(song, piece));
  }

  stop(): void {
    this.#stopped = true;
    for (const [song, piece] of [...this.#pieces]) this.#end(song, piece);
  }

  #end(song: SongId, piece: Piece): void {
    piece.callOff();
    piece.over.abort();
    if (this.#pieces.get(song) === piece) this.#pieces.delete(song);
  }
}
