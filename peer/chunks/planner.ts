// Decides whom to ask for which chunk of one payload, and when to ask somebody else. Pure: what happens comes in with the
// time, what to do goes out; swarm.ts carries it out.
//
// A chunk is wanted by a time, or whenever it can be had (to fill the cache). What is due soon is asked for in that order; of
// the rest, what fewest hold goes first once others fetch the same song, so that each has something to give (rarest first:
// Cohen, "Incentives Build Robustness in BitTorrent", 2003), of that what is this peer's turn (turns.ts), and else in order.
// The manifest and the first two chunks are asked for at once, so the first byte costs one round trip; each arrival opens the
// window by one (slow start, as in TCP), so the first chunk does not share a slow line with fifteen others. A chunk goes to the
// holder that is expected to have delivered it first, and what is late to a second one as well (hedging.ts). Who sent a wrong
// chunk is asked for nothing of this payload any more; who failed rests for a moment, because a moment later he may be the only
// one.
//
// Who has what is in provider-table.ts: its providers are asked what they hold (a survey) for as long as something is missing. How
// long it is waited for what nobody gives is in patience.ts. Every wanted item ends in exactly one of: verified, unwanted, given up.
//
// Each chunk that comes costs a few steps of this, thousands of times a second. So what is under way is looked through only when
// something else happens: an alarm, another provider, a failure.
import type { PeerId } from '../../lib/ids.ts';
import { CHUNK_BYTES, CHUNKS_IN_FLIGHT_MAX, REQUEST_TIMEOUT_MS } from '../../lib/limits.ts';
import type { Random } from '../../lib/random.ts';
import type { Millis } from '../../lib/time.ts';
import { deadlines, dryAt, HedgeBudget, hedgeAt, overtakenAt, silentAt } from './hedging.ts';
import { Patience } from './patience.ts';
import type { Survey, Urgency } from './provider-link.ts';
import type { ProviderPace } from './provider-pace.ts';
import { has, isNothing, type Provider, ProviderTable } from './provider-table.ts';
import { isAsked, isAskedSoon, isBefore, type Item, MANIFEST, NO_HURRY, type Request, soonAt, type Wanted, WHENEVER } from './wanted.ts';

export type PlannerInput =
  /** `due` is when a reader needs it. Of several readers the first sets the time, and the last how long it is waited for. */
  | { readonly kind: 'wanted'; readonly item: Item; readonly bytes: number; readonly due: Millis; readonly now: Millis }
  /** Its reader has come to it, and takes nothing else before. */
  | { readonly kind: 'awaited'; readonly item: Item; readonly now: Millis }
  | { readonly kind: 'unwanted'; readonly item: Item; readonly now: Millis }
  /** All that hold the whole payload, as the catalog says, and can be asked now. */
  | { readonly kind: 'providers'; readonly peers: readonly PeerId[]; readonly now: Millis }
  | { readonly kind: 'surveyed'; readonly peer: PeerId; readonly survey: Survey; readonly now: Millis }
  | { readonly kind: 'unsurveyed'; readonly peer: PeerId; readonly code: string | undefined; readonly now: Millis }
  /** A part of what was asked for is here, and the rest is on its way. */
  | { readonly kind: 'progressed'; readonly request: number; readonly now: Millis }
  /** The reply is here, and nobody has looked at it yet. */
  | { readonly kind: 'received'; readonly request: number; readonly now: Millis }
  /** `storing`: it is on its way to the disk, and `stored` will follow. */
  | { readonly kind: 'verified'; readonly item: Item; readonly storing: boolean; readonly now: Millis }
  | { readonly kind: 'stored'; readonly now: Millis }
  | { readonly kind: 'wrong'; readonly item: Item; readonly from: PeerId; readonly now: Millis }
  | { readonly kind: 'failed'; readonly request: number; readonly code: string | undefined; readonly now: Millis }
  | { readonly kind: 'expired'; readonly now: Millis };

export type PlannerEffect =
  /** `hedge`: somebody else was asked for it before, and is slow. */
  | { readonly kind: 'ask'; readonly request: number; readonly peer: PeerId; readonly item: Item; readonly urgency: Urgency; readonly hedge: boolean }
  | { readonly kind: 'cancel'; readonly request: number }
  | { readonly kind: 'survey'; readonly peer: PeerId }
  /** Wake me then, and not at the time asked for before. */
  | { readonly kind: 'arm'; readonly at: Millis }
  /** Nobody can give what no reader waits for: it is not wanted any more. */
  | { readonly kind: 'stop-filling' }
  /** Nobody can give this, and its readers' patience is over: it is not wanted any more. */
  | { readonly kind: 'give-up'; readonly item: Item };

const WINDOW_START = 2;
/** Copies are made without haste: one chunk arrives while the next is asked for. */
const BACKGROUND_WINDOW = 2;

export interface PlannerOptions {
  /** This peer, as others that fetch the same know it. */
  readonly self: PeerId;
  /** One and the same for all planners of a process, because songs share the line to a provider. */
  readonly paceOf: (peer: PeerId) => ProviderPace;
  readonly random: Random;
  readonly chunks: number;
  /** Who has lied of this payload before. */
  readonly liars?: Iterable<PeerId>;
}

export class Planner {
  readonly #wanted = new Map<Item, Wanted>();
  /** Of these, what nobody has been asked for. */
  readonly #hungry = new Set<Wanted>();
  readonly #requests = new Map<number, Request>();
  readonly #providers: ProviderTable;
  readonly #patience = new Patience();
  readonly #hedges = new HedgeBudget();
  readonly #random: Random;
  #background = false;
  #window = WINDOW_START;
  /** Of what is wanted, how much a reader waits for. */
  #listened = 0;
  #storing = 0;
  #nextRequest = 1;
  /** Has more happened than that something came, or is wanted now too? */
  #disturbed = false;
  #armed: Millis = Number.POSITIVE_INFINITY;
  /** When something is to be done about what was asked for in this step. */
  #wakeAt: Millis = Number.POSITIVE_INFINITY;

  constructor({ self, paceOf, random, chunks, liars = [] }: PlannerOptions) {
    this.#providers = new ProviderTable({ self, paceOf, chunks, liars });
    this.#random = random;
  }

  /** Is all this for a copy only? Counts from the next step on. */
  set background(background: boolean) {
    if (this.#background === background) return;
    this.#background = background;
    this.#disturbed = true;
  }

  step(input: PlannerInput): PlannerEffect[] {
    const effects: PlannerEffect[] = [];
    const { now } = input;
    this.#wakeAt = Number.POSITIVE_INFINITY;
    this.#take(input, effects);
    if (this.#disturbed) this.#lookAtHungry(now);
    if (this.#wanted.size > 0) {
      if (this.#disturbed) this.#lookAtRequests(now, effects);
      this.#ask(now, effects);
      // Worth it while something is missing that nobody has been asked for: then more holders, or more of theirs, help.
      if (this.#hungry.size > 0 && !this.#background) for (const peer of this.#providers.survey(now)) effects.push({ kind: 'survey', peer });
    }
    this.#judge(now, effects);
    this.#disturbed = false;
    return effects;
  }

  #take(input: PlannerInput, effects: PlannerEffect[]): void {
    const { now } = input;
    switch (input.kind) {
      case 'wanted':
        return this.#want(input);
      case 'awaited': {
        const wanted = this.#wanted.get(input.item);
        if (wanted === undefined || wanted.awaitedAt !== undefined) return;
        wanted.awaitedAt = now;
        this.#patience.heed(wanted);
        this.#disturbed ||= wanted.requests.size > 0;
        return;
      }
      case 'unwanted':
        return this.#settle(input.item, effects);
      case 'providers':
        for (const peer of this.#providers.list(input.peers, now)) this.#lose(peer, effects);
        this.#disturbed = true;
        return;
      case 'surveyed':
        this.#providers.learn(input.peer, input.survey, now);
        this.#disturbed = true;
        return;
      case 'unsurveyed':
        this.#providers.unknown(input.peer, input.code, now);
        this.#disturbed = true;
        return;
      case 'progressed': {
        const request = this.#requests.get(input.request);
        if (request === undefined) return;
        request.expiresAt = now + REQUEST_TIMEOUT_MS;
        return this.#patience.progressed(now);
      }
      case 'received':
        return this.#receive(input.request, now);
      case 'verified':
        this.#outrun(input.item, now);
        this.#settle(input.item, effects);
        this.#patience.progressed(now);
        if (input.storing) this.#storing++;
        if (input.item !== MANIFEST) this.#window = Math.min(CHUNKS_IN_FLIGHT_MAX, this.#window + 1);
        return;
      case 'stored':
        this.#storing--;
        return;
      case 'wrong': {
        const wanted = this.#wanted.get(input.item);
        if (wanted !== undefined) {
          wanted.arrived = false;
          this.#starve(wanted);
        }
        this.#providers.accuse(input.from, now);
        this.#disturbed = true;
        return this.#lose(input.from, effects);
      }
      case 'failed':
        return this.#fail(input.request, input.code, now);
      case 'expired':
        this.#armed = Number.POSITIVE_INFINITY;
        this.#disturbed = true;
        this.#expire(now, effects);
    }
  }

  #want({ item, bytes, due, now }: Extract<PlannerInput, { readonly kind: 'wanted' }>): void {
    const known = this.#wanted.get(item);
    const listens = due !== WHENEVER;
    // Whoever comes to listen has a patience of his own, however long the cache has waited.
    if (this.#wanted.size === 0 || (listens && this.#listened === 0)) this.#patience.begin(now);
    if (listens && (known === undefined || known.due === WHENEVER)) this.#listened++;
    const missedAt = due < NO_HURRY ? due : 0;
    if (known === undefined) {
      const lot = this.#random();
      const wanted: Wanted = { item, bytes, due, missedAt, since: now, awaitedAt: undefined, orphanedAt: undefined, failedAt: undefined, lot, requests: new Set(), arrived: false };
      this.#wanted.set(item, wanted);
      this.#hungry.add(wanted);
      if (!this.#providers.isHeld(item)) wanted.orphanedAt = now;
      this.#patience.heed(wanted);
    } else if (listens) {
      known.due = Math.min(known.due, due);
      known.missedAt = Math.max(known.missedAt, missedAt);
      known.since = now;
      this.#patience.heed(known);
      this.#disturbed ||= known.requests.size > 0;
    }
  }

  #receive(id: number, now: Millis): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    request.wanted.arrived = true;
    this.#end(request);
    this.#hungry.delete(request.wanted);
    const provider = this.#providers.get(request.peer);
    if (provider === undefined) return;
    provider.pace.arrived(request.wanted.bytes, request.urgency, now - request.sentAt, now);
    provider.failures = 0;
    this.#providers.heard(provider);
  }

  #lose(peer: PeerId, effects: PlannerEffect[]): void {
    for (const request of this.#requests.values()) if (request.peer === peer) this.#cancel(request, effects);
    this.#providers.remove(peer);
  }

  #settle(item: Item, effects: PlannerEffect[]): void {
    const wanted = this.#wanted.get(item);
    if (wanted === undefined) return;
    this.#wanted.delete(item);
    this.#hungry.delete(wanted);
    for (const request of wanted.requests) this.#cancel(request, effects);
    if (wanted.due !== WHENEVER) this.#listened--;
  }

  /** Who was asked for it and has not brought it in twice the time is slow, also where another was quick enough. */
  #outrun(item: Item, now: Millis): void {
    for (const { peer, doubtAt, late } of this.#wanted.get(item)?.requests ?? []) if (!late && now >= doubtAt) this.#providers.get(peer)?.pace.late(now);
  }

  #cancel(request: Request, effects: PlannerEffect[]): void {
    this.#end(request);
    this.#providers.get(request.peer)?.pace.gaveUp(request.wanted.bytes, request.urgency);
    effects.push({ kind: 'cancel', request: request.id });
  }

  #end(request: Request): void {
    request.wanted.requests.delete(request);
    this.#requests.delete(request.id);
    this.#starve(request.wanted);
  }

  #starve(wanted: Wanted): void {
    if (wanted.requests.size === 0 && !wanted.arrived && this.#wanted.get(wanted.item) === wanted) this.#hungry.add(wanted);
  }

  #fail(id: number, code: string | undefined, now: Millis): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    this.#end(request);
    this.#disturbed = true;
    request.wanted.failedAt ??= now;
    this.#patience.heed(request.wanted);
    const provider = this.#providers.get(request.peer);
    if (provider === undefined) return;
    provider.pace.gaveUp(request.wanted.bytes, request.urgency);
    this.#providers.blame(provider, request.wanted.item, code, now);
  }

  #expire(now: Millis, effects: PlannerEffect[]): void {
    for (const request of this.#requests.values()) {
      if (now >= request.expiresAt) {
        effects.push({ kind: 'cancel', request: request.id });
        this.#fail(request.id, 'TIMED_OUT', now);
      } else if (!request.late && now >= request.lateAt) {
        request.late = true;
        this.#providers.get(request.peer)?.pace.late(now);
      }
    }
    for (const peer of this.#providers.silent(now)) this.#lose(peer, effects);
  }

  /** Who has what may have changed: what nobody has is waited for less long. */
  #lookAtHungry(now: Millis): void {
    for (const wanted of this.#hungry) {
      if (this.#providers.isHeld(wanted.item)) wanted.orphanedAt = undefined;
      else if (wanted.orphanedAt === undefined) {
        wanted.orphanedAt = now;
        this.#patience.heed(wanted);
      }
    }
  }

  /** What is late is asked of another as well; what matters more than it did, and has not come as fast as it should, is asked for anew. */
  #lookAtRequests(now: Millis, effects: PlannerEffect[]): void {
    for (const request of this.#requests.values()) {
      this.#hedge(request, now, effects);
      // unless somebody else has just been asked
      if (now >= this.#raiseAt(request)) this.#cancel(request, effects);
    }
  }

  /** Asks another provider as well, if it is time to. */
  #hedge(request: Request, now: Millis, effects: PlannerEffect[]): void {
    const { wanted, peer, urgency } = request;
    // What is asked for at a copy's pace is asked for anew, and of whoever is the best for it.
    if (urgency === 'background' || this.#providers.size < 2 || wanted.item === MANIFEST) return;
    const isTime = this.#mayAsk(wanted, now) && this.#hedges.allows(request, this.#providers.get(peer)?.pace, now);
    if (!isTime && now < overtakenAt(request)) return;
    const other = this.#offers(now).find(({ provider }) => !isAsked(wanted, provider.peer) && has(provider, wanted.item) && !provider.pace.isDistrusted(now));
    if (other !== undefined && (isTime || this.#hedges.allowsOvertaking(request, other.ms, now))) this.#askOf(other.provider, wanted, now, effects);
  }

  /** When a request's place in its provider's queue is too far behind: it was a copy's, or was not needed soon. Not before it can be
   *  doubted, because until then the chunk may be on its way. */
  #raiseAt({ urgency, doubtAt, wanted }: Request): Millis {
    if (this.#background || wanted.arrived || isAskedSoon(wanted)) return Number.POSITIVE_INFINITY;
    return urgency === 'background' ? doubtAt : Math.max(doubtAt, soonAt(wanted));
  }

  #ask(now: Millis, effects: PlannerEffect[]): void {
    const manifest = this.#wanted.get(MANIFEST);
    if (manifest && this.#mayAsk(manifest, now)) {
      const best = this.#offers(now).find(({ provider: { peer, holds } }) => !isAsked(manifest, peer) && !isNothing(holds));
      if (best) this.#askOf(best.provider, manifest, now, effects);
    }
    const window = this.#background ? Math.min(BACKGROUND_WINDOW, this.#window) : this.#window;
    while (this.#hungry.size > 0) {
      const inFlight = this.#inFlight;
      if (inFlight >= window) return;
      const next = this.#next(now, inFlight + this.#storing < window);
      if (next === undefined) return;
      this.#askOf(next.provider, next.wanted, now, effects);
    }
  }

  /** Chunks asked for that may still come in time; those that are late, and copies while somebody listens, would only keep others out. */
  get #inFlight(): number {
    let inFlight = 0;
    for (const { wanted, late, urgency } of this.#requests.values()) {
      if (!late && wanted.item !== MANIFEST && (this.#background || urgency !== 'background')) inFlight++;
    }
    return inFlight;
  }

  #offers(now: Millis): ReturnType<ProviderTable['offers']> {
    return this.#providers.offers(this.#background ? 'background' : 'soon', now);
  }

  /** What to ask for next, and of whom. @param fill whether what no reader waits for may be asked for */
  #next(now: Millis, fill: boolean): { readonly wanted: Wanted; readonly provider: Provider } | undefined {
    const offers = this.#offers(now);
    const urgency = this.#background ? 'background' : 'soon';
    // Other songs may fill the line to a provider for as long as they like: one chunk at a time is always asked for.
    const isFree = ({ pace }: Provider): boolean => this.#requests.size === 0 || pace.hasRoomFor(CHUNK_BYTES, urgency);
    if (!offers.some(({ provider }) => isFree(provider))) return undefined;
    const whole = offers.find(({ provider }) => provider.holds === 'all')?.provider;
    const sharing = offers.some(({ provider }) => provider.holds !== 'all') ? this.#providers.sharing : undefined;
    let best: { readonly wanted: Wanted; readonly provider: Provider } | undefined;
    for (const wanted of this.#hungry) {
      const { item } = wanted;
      if (item === MANIFEST || (!fill && wanted.due === WHENEVER)) continue;
      if (best !== undefined && !isBefore(wanted, best.wanted, { now, sharing })) continue;
      const holder = sharing?.partial[item] || (whole !== undefined && !has(whole, item)) ? offers.find(({ provider }) => has(provider, item))?.provider : whole;
      // When the best one has enough to do, the chunk waits: a slower one would bring it later still.
      if (holder !== undefined && isFree(holder)) best = { wanted, provider: holder };
    }
    return best;
  }

  #askOf({ peer, pace }: Provider, wanted: Wanted, now: Millis, effects: PlannerEffect[]): void {
    const urgency = this.#urgencyOf(wanted, now);
    const expectedMs = pace.expectedMs(wanted.bytes, urgency, now);
    const request: Request = { id: this.#nextRequest++, wanted, peer, urgency, sentAt: now, ...deadlines(expectedMs, urgency, now), late: false };
    const hedge = wanted.requests.size > 0;
    this.#hedges.asked(hedge);
    pace.asked(wanted.bytes, urgency, now);
    wanted.requests.add(request);
    this.#hungry.delete(wanted);
    this.#requests.set(request.id, request);
    this.#wakeAt = Math.min(this.#wakeAt, this.#wakeTimeOf(request, now));
    effects.push({ kind: 'ask', request: request.id, peer, item: wanted.item, urgency, hedge });
  }

  #urgencyOf(wanted: Wanted, now: Millis): Urgency {
    if (this.#background) return 'background';
    return wanted.item === MANIFEST || now >= soonAt(wanted) ? 'soon' : 'later';
  }

  #mayAsk(wanted: Wanted, now: Millis): boolean {
    if (wanted.arrived) return false;
    for (const request of wanted.requests) if (this.#background || now < hedgeAt(request)) return false;
    return true;
  }

  /** Gives up what is not to be waited for any longer, and asks to be woken when there is something to do without an arrival. */
  #judge(now: Millis, effects: PlannerEffect[]): void {
    // What waits for the disk is no hunger.
    this.#patience.starves(this.#hungry.size > 0 && this.#requests.size === 0 && this.#storing === 0, now);
    if (this.#wanted.size > 0 && now >= this.#patience.lookAt(this.#listened > 0)) this.#giveUp(now, effects);
    if (this.#wanted.size === 0) return;
    // Unless it was due before, the last alarm still stands for all that it stood for.
    const looks = this.#disturbed || this.#armed <= now || this.#armed === Number.POSITIVE_INFINITY;
    let at = Math.min(this.#patience.lookAt(this.#listened > 0), this.#wakeAt);
    if (looks) {
      at = Math.min(at, this.#providers.lookAt(now));
      for (const request of this.#requests.values()) at = Math.min(at, this.#wakeTimeOf(request, now));
    }
    // An alarm that comes too early only wakes for nothing; one that comes too late is a gap in the music.
    if (at >= this.#armed && this.#armed > now) return;
    this.#armed = at;
    effects.push({ kind: 'arm', at });
  }

  /** When there is something to do about a request. */
  #wakeTimeOf(request: Request, now: Millis): Millis {
    const at = Math.min(request.expiresAt, request.late ? Number.POSITIVE_INFINITY : request.lateAt, ifLater(this.#raiseAt(request), now));
    if (this.#background) return at;
    return Math.min(at, ifLater(hedgeAt(request), now), ifLater(dryAt(request), now), ifLater(overtakenAt(request), now), ifLater(silentAt(request, this.#providers.get(request.peer)?.pace), now));
  }

  #giveUp(now: Millis, effects: PlannerEffect[]): void {
    if (this.#listened > 0) {
      for (const { item } of this.#patience.lost(this.#wanted.values(), now)) {
        this.#settle(item, effects);
        effects.push({ kind: 'give-up', item });
      }
      return;
    }
    for (const item of [...this.#wanted.keys()]) this.#settle(item, effects);
    effects.push({ kind: 'stop-filling' });
  }
}

const ifLater = (at: Millis, now: Millis): Millis => (at > now ? at : Number.POSITIVE_INFINITY);
