// Hears a song with the ears of its player. What a player does with its buffer cannot be seen from here, so one is supposed
// that starts soon after the first byte and consumes sound as fast as the file has it. When that one would have fallen silent
// while it waited for us, the song has stalled. A player that takes its time (it has enough, or somebody pressed pause) is
// never kept waiting, however long it takes: that much of its buffer is left is all that can be known of it.
import type { Millis } from '../../lib/time.ts';

export interface PlaySound {
  /** Bytes of sound that will be given; what a file has before and behind them is not heard. */
  readonly bytes: number;
  /** 0 when unknown: then nothing stalls. */
  readonly bytesPerMs: number;
}

export interface PlayCounts {
  /** The first sound was handed over, after the player had waited so long for it; of a range without sound, the first bytes. */
  firstByte(waitedMs: Millis): void;
  /** The player was silent so long, and now plays on or has left. */
  stalled(ms: Millis): void;
}

/** What lies in decoder and sound card before anything is heard: half of what mpv keeps there. */
export const PLAYER_START_MS: Millis = 100;

/** Of one request. It begins with a wait; then `given` and `waits` take turns. */
export class PlayMeter {
  readonly #counts: PlayCounts;
  readonly #bytes: number;
  readonly #bytesPerMs: number;
  #given = 0;
  #hasBegun = false;
  /** Until the play has begun. */
  #waitedMs: Millis = 0;
  /** Sound that is with the player and not yet heard. */
  #aheadMs: Millis = PLAYER_START_MS;
  #lastPartMs: Millis = 0;
  #isWaiting = true;
  /** When it began to wait, or ceased to. */
  #since: Millis;

  constructor({ bytes, bytesPerMs }: PlaySound, { askedAt, counts }: { readonly askedAt: Millis; readonly counts: PlayCounts }) {
    this.#bytes = bytes;
    this.#bytesPerMs = bytesPerMs;
    this.#counts = counts;
    this.#since = askedAt;
  }

  /** A part is handed over. @param bytes of sound in it */
  given(bytes: number, now: Millis): void {
    this.#waited(now);
    if (!this.#hasBegun && (bytes > 0 || this.#bytes === 0)) {
      this.#counts.firstByte(this.#waitedMs);
      this.#hasBegun = true;
    }
    this.#given += bytes;
    this.#lastPartMs = this.#durationOf(bytes);
    this.#aheadMs += this.#lastPartMs;
  }

  /** The player has taken that part and wants the next. */
  waits(now: Millis): void {
    if (this.#isWaiting) return;
    if (this.#hasBegun) {
      // what it had not taken yet it cannot have played, and one that is full has not run dry
      const least = Math.min(this.#aheadMs, Math.max(this.#lastPartMs, PLAYER_START_MS));
      this.#aheadMs = Math.max(least, this.#aheadMs - (now - this.#since));
    }
    this.#since = now;
    this.#isWaiting = true;
  }

  /** All is given, or nothing more will be, or the player has left. */
  ended(now: Millis): void {
    this.#waited(now);
  }

  #waited(now: Millis): void {
    if (!this.#isWaiting) return;
    const ms = now - this.#since;
    this.#since = now;
    this.#isWaiting = false;
    if (!this.#hasBegun) this.#waitedMs += ms;
    else if (this.#given < this.#bytes) {
      if (ms > this.#aheadMs) this.#counts.stalled(ms - this.#aheadMs);
      this.#aheadMs = Math.max(0, this.#aheadMs - ms);
    }
  }

  #durationOf(bytes: number): Millis {
    if (bytes === 0) return 0;
    return this.#bytesPerMs > 0 ? bytes / this.#bytesPerMs : Number.POSITIVE_INFINITY;
  }
}
