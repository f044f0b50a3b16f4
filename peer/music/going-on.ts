// Some players take a song in pieces, each when the one before is nearly over. What lies behind a piece is brought meanwhile, for who
// has a piece will ask for the next one, and the machine that it comes from may be gone by then.
import { LRUCache } from 'lru-cache';
import type { FileId } from '../../lib/ids.ts';
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
  /** By the file; the one that was taken last is the last. */
  readonly #pieces = new Map<FileId, Piece>();
  readonly #endedAt = new LRUCache<FileId, number>({ max: PIECES_REMEMBERED_MAX });
  #stopped = false;

  constructor(options: GoingOnOptions) {
    this.#options = options;
  }

  /** A piece is asked for. @param listens it is too long for one that is only looked at
   *  @returns whether somebody plays it: also a short one, where it goes on from one before. Where it does not, somebody has jumped,
   *  and what lay behind the last one is brought no longer */
  began(file: FileId, start: number, listens: boolean): boolean {
    const piece = this.#pieces.get(file);
    const plays = listens || piece?.end === start || this.#endedAt.get(file) === start;
    if (plays && piece !== undefined && piece.end !== start) this.#end(file, piece);
    return plays;
  }

  /** A piece has been taken to its end. @param bringOn undefined where nothing is to be brought */
  took(file: FileId, end: number, bringOn: BringOn | undefined): void {
    this.#endedAt.set(file, end);
    if (bringOn === undefined || this.#stopped) return;
    const before = this.#pieces.get(file);
    const piece = before ?? { end, over: new AbortController(), callOff: () => {} };
    piece.end = end;
    piece.callOff();
    piece.callOff = this.#options.alarms.after(GOES_ON_MS, () => this.#end(file, piece));
    this.#pieces.delete(file);
    this.#pieces.set(file, piece);
    const [oldest] = this.#pieces;
    if (oldest !== undefined && this.#pieces.size > GOING_ON_MAX) this.#end(...oldest);
    if (before !== undefined) return;
    bringOn(() => piece.end, piece.over.signal)
      .catch(this.#options.onError)
      .finally(() => this.#end(file, piece));
  }

  stop(): void {
    this.#stopped = true;
    for (const [file, piece] of [...this.#pieces]) this.#end(file, piece);
  }

  #end(file: FileId, piece: Piece): void {
    piece.callOff();
    piece.over.abort();
    if (this.#pieces.get(file) === piece) this.#pieces.delete(file);
  }
}
