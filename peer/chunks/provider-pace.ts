// How fast one provider delivers, and so how much to ask of it at once. Too little leaves the line idle, too much makes a
// jump in the song wait behind a megabyte that nobody wants any more. So a provider gets what it delivers in its round trip
// plus 100 ms: the bandwidth-delay product with a bounded standing queue, as in BBR (Cardwell et al., 2016).
//
// Copies wait at their provider for as long as anybody listens: that says nothing of its line, and keeps no listener waiting.
import { CHUNK_BYTES } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import type { Urgency } from './provider-link.ts';

/** Before anything is known: 20 Mbit/s, a modest Wi-Fi, where a chunk takes 26 ms. */
const RATE_GUESS = 2_500;
const LATENCY_GUESS: Millis = 20;
const QUEUE_MS: Millis = 100;
/** Always asked for, so that the next chunk is on its way while one arrives. */
const OUTSTANDING_MIN = 2 * CHUNK_BYTES;
/** Arrivals closer together are judged together: a clock's ticks and a kernel's bursts say nothing of the line. */
const SAMPLE_MS: Millis = 5;
/** Weight of a new sample: five chunks change the mind. */
const SAMPLE_WEIGHT = 0.3;
/** What was measured longer ago says little: a line that was bad may be good again, and only asking shows it. */
const STALE_MS: Millis = 1_000;
/** Who lets a chunk wait is not asked first for a while, longer each time until one arrives: what froze may be back in a second. */
const DOUBT_MS: Millis = 500;
const DOUBT_MS_MAX: Millis = 8_000;
/** Who has sent a wrong chunk is the last to be asked, for other songs too. */
export const LIAR_MS: Millis = 600_000;

export class ProviderPace {
  /** Bytes asked for that have not arrived: for listeners, and for copies. */
  #outstanding = 0;
  #outstandingCopies = 0;
  #rate = RATE_GUESS;
  /** The shortest time from asking to having. */
  #latency: Millis = Number.POSITIVE_INFINITY;
  #doubtMs: Millis = DOUBT_MS;
  #doubtedUntil: Millis = 0;
  /** When something was last known of its line. */
  #heardAt: Millis = Number.NEGATIVE_INFINITY;
  #distrustedUntil: Millis = 0;
  #sampleSince: Millis = 0;
  #isMeasured = false;
  #askedAt: Millis = Number.NEGATIVE_INFINITY;
  #deliveredAt: Millis = Number.NEGATIVE_INFINITY;
  #sampleBytes = 0;

  /** Bytes a millisecond, as far as is known. */
  get rate(): number {
    return this.#rate;
  }

  /** When `bytes` more would be here, counted from now. */
  expectedMs(bytes: number, urgency: Urgency, now: Millis): Millis {
    const before = this.#outstanding + (urgency === 'background' ? this.#outstandingCopies : 0);
    const rate = now - this.#heardAt > STALE_MS && this.#outstanding === 0 ? Math.max(RATE_GUESS, this.#rate) : this.#rate;
    return this.#knownLatency + (before + bytes) / rate;
  }

  hasRoomFor(bytes: number, urgency: Urgency): boolean {
    const before = this.#outstanding + (urgency === 'background' ? this.#outstandingCopies : 0);
    return before + bytes <= Math.max(OUTSTANDING_MIN, this.#rate * (this.#knownLatency + QUEUE_MS));
  }

  asked(bytes: number, urgency: Urgency, now: Millis): void {
    this.#askedAt = now;
    if (urgency === 'background') {
      this.#outstandingCopies += bytes;
      return;
    }
    if (this.#outstanding === 0) this.#beginSample(now);
    this.#outstanding += bytes;
  }

  /** @param tookMs since it was asked for */
  arrived(bytes: number, urgency: Urgency, tookMs: Millis, now: Millis): void {
    this.gaveUp(bytes, urgency);
    this.#doubtMs = DOUBT_MS;
    this.#doubtedUntil = 0;
    this.#deliveredAt = now;
    this.#latency = Math.min(this.#latency, Math.max(0.1, tookMs));
    // It had a part of the line, so what came beside it shows too little.
    if (urgency === 'background') return this.#beginSample(now);
    this.#heardAt = now;
    this.#sampleBytes += bytes;
    const elapsed = now - this.#sampleSince;
    if (elapsed < SAMPLE_MS) return;
    this.#isMeasured = true;
    this.#rate += SAMPLE_WEIGHT * (this.#sampleBytes / elapsed - this.#rate);
    this.#beginSample(now);
  }

  /** Something that was asked for will not come. */
  gaveUp(bytes: number, urgency: Urgency): void {
    if (urgency === 'background') this.#outstandingCopies -= bytes;
    else this.#outstanding -= bytes;
  }

  /** Something should have been here by now. */
  late(now: Millis): void {
    // Whatever is late with it is late for the same reason.
    if (now < this.#doubtedUntil) return;
    this.#heardAt = now;
    this.#rate = Math.max(1, this.#rate / 2);
    this.#doubtedUntil = now + this.#doubtMs;
    this.#doubtMs = Math.min(DOUBT_MS_MAX, 2 * this.#doubtMs);
  }

  lied(now: Millis): void {
    this.#distrustedUntil = now + LIAR_MS;
  }

  /** Better asked only when nobody else is there. */
  isDoubtful(now: Millis): boolean {
    return now < this.#doubtedUntil;
  }

  /** Has lied lately: even less. */
  isDistrusted(now: Millis): boolean {
    return now < this.#distrustedUntil;
  }

  /** Undefined before it was measured. */
  get bytesPerSecond(): number | undefined {
    return this.#isMeasured ? this.#rate * 1_000 : undefined;
  }

  /** When something was last asked for. */
  get askedAt(): Millis {
    return this.#askedAt;
  }

  #beginSample(now: Millis): void {
    this.#sampleSince = now;
    this.#sampleBytes = 0;
  }

  /** When anything came last. */
  get deliveredAt(): Millis {
    return this.#deliveredAt;
  }

  get #knownLatency(): Millis {
    return this.#latency === Number.POSITIVE_INFINITY ? LATENCY_GUESS : this.#latency;
  }
}
