// What the own line brings, from all providers together. Where it is the bottleneck every provider looks slow, and whatever is asked for
// beyond what it brings waits behind the rest, comes late, and is asked for twice, which makes it slower still. So it is measured by
// itself: the most that it has brought within the last ten seconds (as BBR takes the bandwidth of a path, Cardwell et al., 2016), because
// a provider that freezes or has nothing to give says nothing of it.
//
// What was asked for counts as on its way for as long as the line needs for it, also when it was called off meanwhile: what has been sent comes.
import { CHUNK_BYTES } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';

const HALF_MS: Millis = 5_000;
/** Arrivals closer together are judged together, as a provider's are. */
const SAMPLE_MS: Millis = 5;
/** So much may wait for it: a fifth of a request's time, and several slow providers all have something to do. */
const QUEUE_MS: Millis = 2_000;
/** One that arrives, one behind it, and one more that its provider may have no time for yet. */
const QUEUE_CHUNKS_MIN = 3;

export class OwnLine {
  #most = 0;
  #mostBefore = 0;
  #halfSince: Millis = Number.NEGATIVE_INFINITY;
  /** The time in which something was expected, and what came in it. */
  #sampleMs: Millis = 0;
  #sampleBytes = 0;
  #expectedSince: Millis = 0;
  /** Bytes that are on their way, at that time. */
  #queued = 0;
  #queuedAt: Millis = 0;

  /** Bytes a millisecond; Infinity before anything is known. */
  get rate(): number {
    return this.#isKnown ? Math.max(this.#most, this.#mostBefore) : Number.POSITIVE_INFINITY;
  }

  /** @param expected bytes that were asked for and have not come @returns bytes that are on their way now, these the last */
  asked(bytes: number, expected: number, now: Millis): number {
    this.#pass(now);
    if (expected === 0) this.#expectedSince = now;
    this.#queued = Math.max(this.#queued, expected) + bytes;
    return this.#queued;
  }

  /** What was asked for will not come: nobody has sent it. */
  refused(bytes: number, now: Millis): void {
    this.#pass(now);
    this.#queued = Math.max(0, this.#queued - bytes);
  }

  /** Until all that is on its way has come; 0 while nothing is known. */
  waitMs(now: Millis): Millis {
    this.#pass(now);
    return this.#queued / this.rate;
  }

  hasRoomFor(bytes: number, now: Millis): boolean {
    this.#pass(now);
    return this.#queued + bytes <= Math.max(QUEUE_CHUNKS_MIN * CHUNK_BYTES, this.#isKnown ? QUEUE_MS * this.rate : 0);
  }

  /** @returns whether it is thought to be faster than before, or has been nothing yet */
  arrived(bytes: number, now: Millis): boolean {
    this.#pass(now);
    const before = this.#isKnown ? this.rate : 0;
    if (!this.#isKnown) this.#queued = Math.max(0, this.#queued - bytes);
    this.#sampleBytes += bytes;
    this.#sampleMs += now - this.#expectedSince;
    this.#expectedSince = now;
    if (this.#sampleMs < SAMPLE_MS) return false;
    if (now - this.#halfSince >= HALF_MS) {
      this.#mostBefore = now - this.#halfSince < 2 * HALF_MS ? this.#most : 0;
      this.#most = 0;
      this.#halfSince = now;
    }
    this.#most = Math.max(this.#most, this.#sampleBytes / this.#sampleMs);
    this.#sampleMs = 0;
    this.#sampleBytes = 0;
    return this.rate > before;
  }

  get #isKnown(): boolean {
    return this.#most > 0;
  }

  #pass(now: Millis): void {
    if (this.#isKnown) this.#queued = Math.max(0, this.#queued - this.rate * (now - this.#queuedAt));
    this.#queuedAt = now;
  }
}
