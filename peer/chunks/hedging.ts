// When a request is asked of one more provider: when it is late, when its listener would run dry before another could bring it, or when
// another would bring what its listener waits for so much earlier; of a third when both are late (hedged requests: Dean and Barroso, "The Tail at Scale", 2013). More would only add load.
//
// Where a line is slow everything on it is late, and each hedge makes it slower. So what is only late has a budget: a tenth of what
// was asked for, and so has overtaking, which believes what is thought of another. A listener who would run dry needs none, nor does what was asked of a provider that gives nothing at all.
import { CHUNK_BYTES, REQUEST_TIMEOUT_MS } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import type { Urgency } from './provider-link.ts';
import type { ProviderPace } from './provider-pace.ts';
import { NO_HURRY, type Request } from './wanted.ts';

/** Earlier than this nothing is late: Wi-Fi retransmits for that long. */
const LATE_MS_MIN: Millis = 150;
const LATE_FACTOR = 3;
/** A listener who waits is not kept waiting for Wi-Fi: the price is a chunk that comes twice now and then. */
const HEDGE_MS_MIN: Millis = 50;
const HEDGE_FACTOR = 2;
/** Of the time that is left until a request is doubted anyway: on a line that is slow for all nobody is so much faster. */
const OVERTAKING_SHARE = 0.25;
const HEDGE_SHARE = 0.1;
/** The share of 20 requests; what else is late with them is late for the same reason. */
const HEDGES_SAVED_MAX = 2;
/** A provider that has given nothing for as long as so many chunks take on its line gives nothing at all. */
const SILENT_CHUNKS = 16;
const SILENT_MS_MIN: Millis = 400;
/** Ten receivers at 0.3 Mbit/s each wait so long for a chunk; longer is silence on any line. */
const SILENT_MS_MAX: Millis = 2_000;

/** @param expectedMs until it should be here */
export function deadlines(expectedMs: Millis, urgency: Urgency, now: Millis): Pick<Request, 'doubtAt' | 'lateAt' | 'expiresAt'> {
  return {
    doubtAt: now + Math.max(HEDGE_MS_MIN, HEDGE_FACTOR * expectedMs),
    // Copies wait at their provider for as long as anybody listens.
    lateAt: urgency === 'background' ? Number.POSITIVE_INFINITY : now + Math.max(LATE_MS_MIN, LATE_FACTOR * expectedMs),
    expiresAt: now + REQUEST_TIMEOUT_MS,
  };
}

export const hedgeAt = (request: Request): Millis => {
  const { wanted, lateAt } = request;
  if (wanted.arrived || wanted.requests.size > 2) return Number.POSITIVE_INFINITY;
  return wanted.requests.size === 2 ? lateAt : Math.min(lateAt, dryAt(request));
};

/** When its listener would run dry before another could bring it. */
export const dryAt = ({ wanted, doubtAt, sentAt }: Request): Millis => Math.max(doubtAt, wanted.awaitedAt !== undefined ? 0 : wanted.due - 2 * (doubtAt - sentAt));

/** From when on it may be overtaken: its listener has come to it, and nobody else is asked. */
export function overtakenAt({ wanted, sentAt }: Request): Millis {
  if (wanted.awaitedAt === undefined || wanted.due >= NO_HURRY || wanted.arrived || wanted.requests.size > 1) return Number.POSITIVE_INFINITY;
  return Math.max(wanted.awaitedAt, sentAt + HEDGE_MS_MIN);
}

/** When its provider has given nothing at all for so long that its line is not merely slow. */
export function silentAt({ sentAt, lateAt }: Request, pace: ProviderPace | undefined): Millis {
  const silentMs = pace === undefined ? SILENT_MS_MAX : Math.min(SILENT_MS_MAX, Math.max(SILENT_MS_MIN, (SILENT_CHUNKS * CHUNK_BYTES) / pace.rate));
  return Math.max(lateAt, Math.max(sentAt, pace?.deliveredAt ?? 0) + silentMs);
}

export class HedgeBudget {
  #saved = HEDGES_SAVED_MAX;

  asked(hedge: boolean): void {
    this.#saved = hedge ? Math.max(0, this.#saved - 1) : Math.min(HEDGES_SAVED_MAX, this.#saved + HEDGE_SHARE);
  }

  allows(request: Request, pace: ProviderPace | undefined, now: Millis): boolean {
    return this.#saved >= 1 || now >= dryAt(request) || now >= silentAt(request, pace);
  }

  /** A provider may have much to do that another has not, as far as is known. @param otherMs until another would have brought it */
  allowsOvertaking(request: Request, otherMs: Millis, now: Millis): boolean {
    return this.#saved >= 1 && now >= overtakenAt(request) && otherMs < OVERTAKING_SHARE * (request.doubtAt - now);
  }
}
