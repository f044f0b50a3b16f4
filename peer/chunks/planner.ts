// Decides whom to ask for which chunk of one payload, and when to ask somebody else. Pure: what happens comes in with the
// time, what to do goes out; swarm.ts carries it out.
//
// The manifest and the first two chunks are asked for at once, so the first byte costs one round trip; each arrival opens
// the window by one (slow start, as in TCP), so the first chunk does not share a slow line with fifteen others. A chunk
// goes to the provider that is expected to have delivered it first. What is late is asked of a second one as well. Who
// sent a wrong chunk is asked for nothing of this payload any more; who failed rests for a moment, because a moment later
// he may be the only one. Every wanted item ends in exactly one of: verified, unwanted, failed with all the others.
import type { PeerId } from '../../lib/ids.ts';
import { CHUNKS_IN_FLIGHT_MAX, REQUEST_TIMEOUT_MS } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import { isFinal } from './provider-link.ts';
import type { ProviderPace } from './provider-pace.ts';

/** What can be asked for: a chunk by its index, or the manifest. */
export type Item = number;
export const MANIFEST: Item = -1;

export type PlannerInput =
  | { readonly kind: 'wanted'; readonly item: Item; readonly bytes: number; readonly now: Millis }
  | { readonly kind: 'unwanted'; readonly item: Item; readonly now: Millis }
  /** All that can be asked now. */
  | { readonly kind: 'providers'; readonly peers: readonly PeerId[]; readonly now: Millis }
  /** The reply is here, and nobody has looked at it yet. */
  | { readonly kind: 'received'; readonly request: number; readonly now: Millis }
  | { readonly kind: 'verified'; readonly item: Item; readonly now: Millis }
  | { readonly kind: 'wrong'; readonly item: Item; readonly from: PeerId; readonly now: Millis }
  | { readonly kind: 'failed'; readonly request: number; readonly code: string | undefined; readonly now: Millis }
  | { readonly kind: 'expired'; readonly now: Millis };

export type PlannerEffect =
  | { readonly kind: 'ask'; readonly request: number; readonly peer: PeerId; readonly item: Item }
  | { readonly kind: 'cancel'; readonly request: number }
  /** Wake me then, and not at the time asked for before. */
  | { readonly kind: 'arm'; readonly at: Millis }
  /** Nobody can give what is wanted; nothing more will be asked. */
  | { readonly kind: 'give-up' };

/** Without anybody to ask: time for a peer to return, or for another to announce its copy, while the player lives off its
 *  buffer. Members that live are providers, connected or not, and are waited for as long as STALL_MS. */
export const PROVIDERS_WAIT_MS: Millis = 5_000;
/** Providers that answer, but never with a right chunk, are given up too. */
export const STALL_MS: Millis = 30_000;
const WINDOW_START = 2;
/** Earlier than this nothing is late: Wi-Fi retransmits for that long. */
const LATE_MS_MIN: Millis = 150;
const LATE_FACTOR = 3;
const REST_MS_MIN: Millis = 100;
const REST_MS_MAX: Millis = 2_000;

interface Wanted {
  readonly item: Item;
  readonly bytes: number;
  readonly requests: Set<Request>;
  /** Arrived, and waits for its verdict. */
  arrived: boolean;
}

interface Request {
  readonly id: number;
  readonly wanted: Wanted;
  readonly peer: PeerId;
  readonly sentAt: Millis;
  readonly lateAt: Millis;
  late: boolean;
}

interface Provider {
  readonly peer: PeerId;
  readonly pace: ProviderPace;
  /** What it said it does not have. */
  readonly lacks: Set<Item>;
  failures: number;
  restsUntil: Millis;
  /** Has nothing of this payload for us, until it comes anew. */
  useless: boolean;
}

export class Planner {
  readonly #wanted = new Map<Item, Wanted>();
  readonly #requests = new Map<number, Request>();
  readonly #providers = new Map<PeerId, Provider>();
  readonly #liars = new Set<PeerId>();
  readonly #paceOf: (peer: PeerId) => ProviderPace;
  #window = WINDOW_START;
  #nextRequest = 1;
  #progressAt: Millis = 0;
  #starvingSince: Millis | undefined;
  #armed: Millis = Number.POSITIVE_INFINITY;
  #gaveUp = false;

  /** @param paceOf one and the same for all planners of a process, because songs share the line to a provider */
  constructor(paceOf: (peer: PeerId) => ProviderPace) {
    this.#paceOf = paceOf;
  }

  step(input: PlannerInput): PlannerEffect[] {
    if (this.#gaveUp) return [];
    const effects: PlannerEffect[] = [];
    this.#take(input, effects);
    this.#ask(input.now, effects);
    this.#judge(input.now, effects);
    return effects;
  }

  #take(input: PlannerInput, effects: PlannerEffect[]): void {
    switch (input.kind) {
      case 'wanted':
        if (this.#wanted.size === 0) this.#progressAt = input.now;
        if (!this.#wanted.has(input.item)) this.#wanted.set(input.item, { item: input.item, bytes: input.bytes, requests: new Set(), arrived: false });
        return;
      case 'unwanted':
        this.#settle(input.item, effects);
        return;
      case 'providers':
        this.#meet(input.peers, effects);
        return;
      case 'received': {
        const request = this.#end(input.request);
        if (request === undefined) return;
        const provider = this.#providers.get(request.peer);
        provider?.pace.arrived(request.wanted.bytes, input.now - request.sentAt, input.now);
        if (provider !== undefined) provider.failures = 0;
        request.wanted.arrived = true;
        return;
      }
      case 'verified':
        this.#settle(input.item, effects);
        this.#progressAt = input.now;
        if (input.item !== MANIFEST) this.#window = Math.min(CHUNKS_IN_FLIGHT_MAX, this.#window + 1);
        return;
      case 'wrong': {
        const wanted = this.#wanted.get(input.item);
        if (wanted !== undefined) wanted.arrived = false;
        this.#liars.add(input.from);
        this.#lose(input.from, effects);
        return;
      }
      case 'failed': {
        const request = this.#end(input.request);
        if (request !== undefined) this.#blame(request, input.code, input.now);
        return;
      }
      case 'expired':
        this.#armed = Number.POSITIVE_INFINITY;
        this.#expire(input.now, effects);
    }
  }

  /** Takes over the list of providers; what was asked of those who left is asked of others. */
  #meet(peers: readonly PeerId[], effects: PlannerEffect[]): void {
    const present = new Set(peers);
    for (const peer of this.#providers.keys()) if (!present.has(peer)) this.#lose(peer, effects);
    for (const peer of present) {
      const known = this.#providers.get(peer);
      // Somebody's cache may have grown since.
      known?.lacks.clear();
      if (known !== undefined || this.#liars.has(peer)) continue;
      this.#providers.set(peer, { peer, pace: this.#paceOf(peer), lacks: new Set(), failures: 0, restsUntil: 0, useless: false });
    }
  }

  #lose(peer: PeerId, effects: PlannerEffect[]): void {
    for (const request of this.#requests.values()) if (request.peer === peer) this.#cancel(request, effects);
    this.#providers.delete(peer);
  }

  #settle(item: Item, effects: PlannerEffect[]): void {
    for (const request of this.#wanted.get(item)?.requests ?? []) this.#cancel(request, effects);
    this.#wanted.delete(item);
  }

  #cancel(request: Request, effects: PlannerEffect[]): void {
    this.#end(request.id);
    this.#providers.get(request.peer)?.pace.gaveUp(request.wanted.bytes);
    effects.push({ kind: 'cancel', request: request.id });
  }

  #end(id: number): Request | undefined {
    const request = this.#requests.get(id);
    request?.wanted.requests.delete(request);
    this.#requests.delete(id);
    return request;
  }

  #blame({ peer, wanted }: Request, code: string | undefined, now: Millis): void {
    const provider = this.#providers.get(peer);
    if (provider === undefined) return;
    provider.pace.gaveUp(wanted.bytes);
    if (code === 'CHUNK_UNAVAILABLE') provider.lacks.add(wanted.item);
    else if (isFinal(code)) provider.useless = true;
    else if (provider.restsUntil <= now) {
      // All that was asked of it fails with one connection: that is one failure.
      provider.restsUntil = now + Math.min(REST_MS_MAX, REST_MS_MIN * 2 ** provider.failures);
      provider.failures++;
    }
  }

  #expire(now: Millis, effects: PlannerEffect[]): void {
    for (const request of this.#requests.values()) {
      if (now - request.sentAt >= REQUEST_TIMEOUT_MS) {
        effects.push({ kind: 'cancel', request: request.id });
        this.#end(request.id);
        this.#blame(request, 'TIMED_OUT', now);
      } else if (!request.late && now >= request.lateAt) {
        request.late = true;
        this.#providers.get(request.peer)?.pace.late();
      }
    }
  }

  #ask(now: Millis, effects: PlannerEffect[]): void {
    const manifest = this.#wanted.get(MANIFEST);
    if (manifest !== undefined) this.#askFor(manifest, now, effects);
    for (const wanted of this.#wanted.values()) {
      if (wanted === manifest) continue;
      const inFlight = this.#requests.size - (manifest?.requests.size ?? 0);
      if (inFlight >= this.#window && !this.#isLate(wanted)) continue;
      this.#askFor(wanted, now, effects);
    }
  }

  #askFor(wanted: Wanted, now: Millis, effects: PlannerEffect[]): void {
    if (wanted.arrived || (wanted.requests.size > 0 && !this.#isLate(wanted))) return;
    const provider = this.#best(wanted, now);
    if (provider === undefined) return;
    // When the best one has enough to do, the chunk waits: a slower one would bring it later still.
    if (wanted.item !== MANIFEST && !provider.pace.hasRoomFor(wanted.bytes)) return;
    const lateAt = now + Math.max(LATE_MS_MIN, LATE_FACTOR * provider.pace.expectedMs(wanted.bytes));
    const request: Request = { id: this.#nextRequest++, wanted, peer: provider.peer, sentAt: now, lateAt, late: false };
    provider.pace.asked(wanted.bytes, now);
    wanted.requests.add(request);
    this.#requests.set(request.id, request);
    effects.push({ kind: 'ask', request: request.id, peer: provider.peer, item: wanted.item });
  }

  /** Asked of one provider who should have delivered: a second one may try, a third would only add load. */
  #isLate(wanted: Wanted): boolean {
    if (wanted.arrived || wanted.requests.size !== 1) return false;
    for (const request of wanted.requests) if (!request.late) return false;
    return true;
  }

  #best(wanted: Wanted, now: Millis): Provider | undefined {
    let best: Provider | undefined;
    let bestMs = Number.POSITIVE_INFINITY;
    for (const provider of this.#providers.values()) {
      if (provider.useless || provider.restsUntil > now || provider.lacks.has(wanted.item)) continue;
      if (isAsked(wanted, provider.peer)) continue;
      const ms = provider.pace.expectedMs(wanted.bytes);
      if (ms < bestMs) [best, bestMs] = [provider, ms];
    }
    return best;
  }

  /** Gives up when nothing can come any more, and asks to be woken when there is something to do without an arrival. */
  #judge(now: Millis, effects: PlannerEffect[]): void {
    const hungry = [...this.#wanted.values()].some((wanted) => !wanted.arrived);
    if (!hungry || this.#requests.size > 0) this.#starvingSince = undefined;
    else this.#starvingSince ??= now;
    if (this.#wanted.size === 0) return;
    const end = Math.min((this.#starvingSince ?? Number.POSITIVE_INFINITY) + PROVIDERS_WAIT_MS, this.#progressAt + STALL_MS);
    if (now >= end) {
      this.#gaveUp = true;
      for (const request of [...this.#requests.values()]) this.#cancel(request, effects);
      effects.push({ kind: 'give-up' });
      return;
    }
    let at = end;
    for (const request of this.#requests.values()) {
      at = Math.min(at, request.sentAt + REQUEST_TIMEOUT_MS, request.late ? Number.POSITIVE_INFINITY : request.lateAt);
    }
    for (const provider of this.#providers.values()) if (provider.restsUntil > now && !provider.useless) at = Math.min(at, provider.restsUntil);
    // An alarm that comes too early only wakes for nothing; one that comes too late is a gap in the music.
    if (at >= this.#armed && this.#armed > now) return;
    this.#armed = at;
    effects.push({ kind: 'arm', at });
  }
}

const isAsked = (wanted: Wanted, peer: PeerId): boolean => {
  for (const request of wanted.requests) if (request.peer === peer) return true;
  return false;
};
