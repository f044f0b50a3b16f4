// Whose chunk is read and sent next, of all that were asked for. Pure: what happens comes in, what to start comes out.
//
// Listeners come before those who read ahead, and both before copies. Among equals each peer has its turn, however much one of
// them asks for. A peer may have as many chunks on their way as its share of the slots; one whose line takes nothing gives its
// slots back, and begins one chunk at a time until one gets through in time, so that a phone in the garden does not hold up the house.
import type { PeerId } from '../../lib/ids.ts';
import { CONNECTIONS_MAX, UPLOADS_AT_ONCE } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import { URGENCIES, type Urgency } from './provider-link.ts';

/** A chunk that is not with the kernel by then waits for a line, and not for us. */
export const STUCK_MS: Millis = 1_000;
/** Copies at once, and only while nobody listens to anything. */
const BACKGROUND_AT_ONCE = 2;

interface Upload {
  readonly id: number;
  readonly peer: PeerId;
  readonly urgency: Urgency;
}

interface Receiver {
  readonly waiting: Record<Urgency, Upload[]>;
  /** Started, and not yet with the kernel. */
  readonly sending: Map<number, { readonly urgency: Urgency; readonly since: Millis }>;
}

export class Uploads {
  /** In the order of their turns. */
  readonly #receivers = new Map<PeerId, Receiver>();
  readonly #peerOf = new Map<number, PeerId>();
  /** Whose line took nothing when something was last seen of it, also while they ask for nothing. */
  readonly #slow = new Set<PeerId>();

  /** @returns what to start now, as from all of these */
  ask(upload: Upload, now: Millis): number[] {
    const { id, peer, urgency } = upload;
    let receiver = this.#receivers.get(peer);
    if (receiver === undefined) {
      receiver = { waiting: { soon: [], later: [], background: [] }, sending: new Map() };
      this.#receivers.set(peer, receiver);
    }
    receiver.waiting[urgency].push(upload);
    this.#peerOf.set(id, peer);
    return this.#start(now);
  }

  /** It is with the kernel. */
  done(id: number, now: Millis): number[] {
    const peer = this.#peerOf.get(id);
    const since = peer === undefined ? undefined : this.#receivers.get(peer)?.sending.get(id)?.since;
    if (peer !== undefined && since !== undefined) this.#judge(peer, now - since);
    return this.cancelled(id, now);
  }

  /** Nobody wants it any more, or it will not be sent: that says nothing of the line. */
  cancelled(id: number, now: Millis): number[] {
    const peer = this.#peerOf.get(id);
    const receiver = peer === undefined ? undefined : this.#receivers.get(peer);
    if (peer === undefined || receiver === undefined) return [];
    const since = receiver.sending.get(id)?.since;
    // Unless it was on its way for too long.
    if (since !== undefined && now - since >= STUCK_MS) this.#judge(peer, now - since);
    this.#peerOf.delete(id);
    if (!receiver.sending.delete(id)) {
      for (const urgency of URGENCIES) {
        const at = receiver.waiting[urgency].findIndex((upload) => upload.id === id);
        if (at >= 0) receiver.waiting[urgency].splice(at, 1);
      }
    }
    if (receiver.sending.size === 0 && isIdle(receiver)) this.#receivers.delete(peer);
    return this.#start(now);
  }

  /** Some time has passed: lines may have turned out to be stuck. */
  look(now: Millis): number[] {
    return this.#start(now);
  }

  /** When to look again; undefined when nothing waits. */
  lookAt(now: Millis): Millis | undefined {
    if ([...this.#receivers.values()].every(isIdle)) return undefined;
    let at = Number.POSITIVE_INFINITY;
    for (const { sending } of this.#receivers.values()) for (const { since } of sending.values()) if (since + STUCK_MS > now) at = Math.min(at, since + STUCK_MS);
    return at === Number.POSITIVE_INFINITY ? undefined : at;
  }

  #start(now: Millis): number[] {
    const started: number[] = [];
    for (const urgency of URGENCIES) {
      // Copies wait until nobody else does.
      if (urgency === 'background' && this.#listened(now)) break;
      for (let next = this.#next(urgency, now); next !== undefined; next = this.#next(urgency, now)) started.push(next);
    }
    return started;
  }

  #next(urgency: Urgency, now: Millis): number | undefined {
    let [sending, copies] = [0, 0];
    for (const receiver of this.#receivers.values()) {
      if (isStuck(receiver.sending, now)) continue;
      sending += receiver.sending.size;
      for (const upload of receiver.sending.values()) if (upload.urgency === 'background') copies++;
    }
    if (sending >= UPLOADS_AT_ONCE || (urgency === 'background' && copies >= BACKGROUND_AT_ONCE)) return undefined;
    const share = Math.max(2, Math.floor(UPLOADS_AT_ONCE / this.#receivers.size));
    for (const [peer, receiver] of this.#receivers) {
      const [first] = receiver.waiting[urgency];
      if (first === undefined || receiver.sending.size >= (this.#isSlow(peer, receiver, now) ? 1 : share)) continue;
      receiver.waiting[urgency].shift();
      receiver.sending.set(first.id, { urgency, since: now });
      // Its next turn comes after everybody else's.
      this.#receivers.delete(peer);
      this.#receivers.set(peer, receiver);
      return first.id;
    }
    return undefined;
  }

  #isSlow(peer: PeerId, { sending }: Receiver, now: Millis): boolean {
    return this.#slow.has(peer) || isStuck(sending, now);
  }

  #judge(peer: PeerId, tookMs: Millis): void {
    this.#slow.delete(peer);
    if (tookMs < STUCK_MS) return;
    this.#slow.add(peer);
    for (const oldest of this.#slow) {
      if (this.#slow.size <= CONNECTIONS_MAX) return;
      this.#slow.delete(oldest);
    }
  }

  /** Does anybody wait for something other than a copy, whose line takes it? */
  #listened(now: Millis): boolean {
    for (const { waiting, sending } of this.#receivers.values()) {
      if (isStuck(sending, now)) continue;
      if (waiting.soon.length + waiting.later.length > 0) return true;
      for (const { urgency } of sending.values()) if (urgency !== 'background') return true;
    }
    return false;
  }
}

const isIdle = ({ waiting }: Receiver): boolean => URGENCIES.every((urgency) => waiting[urgency].length === 0);

const isStuck = (sending: Receiver['sending'], now: Millis): boolean => {
  for (const { since } of sending.values()) if (now - since >= STUCK_MS) return true;
  return false;
};
