// Decides whom to ask for which chunk of one payload, and when to ask somebody else. Pure: what happens comes in with the
// time, what to do goes out; swarm.ts carries it out.
//
// A chunk is wanted by a time, or whenever it can be had (to fill the cache). What is due soon is asked for in that order; of
// the rest, what fewest hold goes first once others fetch the same song, so that each has something to give (rarest first:
// Cohen, "Incentives Build Robustness in BitTorrent", 2003), and else in order. The manifest and the first two chunks are asked
// for at once, so the first byte costs one round trip; each arrival opens the window by one (slow start, as in TCP), so the first
// chunk does not share a slow line with fifteen others. A chunk goes to the holder that is expected to have delivered it first.
// What is late, or would come too late for its listener, is asked of a second one as well. Who sent a wrong chunk is asked for
// nothing of this payload any more; who failed rests for a moment, because a moment later he may be the only one.
//
// The catalog names who holds all of it. They, and whoever else is met, are asked what they hold and who fetches the same song
// (a survey), for as long as something is missing. Every wanted item ends in exactly one of: verified, unwanted, given up.
import { bitmapBytes, hasBit } from '../../lib/content.ts';
import type { PeerId } from '../../lib/ids.ts';
import { CHUNK_BYTES, CHUNKS_IN_FLIGHT_MAX, RECEIVERS_MAX, REQUEST_TIMEOUT_MS } from '../../lib/limits.ts';
import type { Random } from '../../lib/random.ts';
import type { Millis } from '../../lib/time.ts';
import { type Holds, isFinal, type Survey, type Urgency } from './provider-link.ts';
import type { ProviderPace } from './provider-pace.ts';

/** What can be asked for: a chunk by its index, or the manifest. */
export type Item = number;
export const MANIFEST: Item = -1;
/** No listener waits for it. */
export const WHENEVER: Millis = Number.POSITIVE_INFINITY;

export type PlannerInput =
  /** `due` is when a listener needs it. What is wanted already is due then instead. */
  | { readonly kind: 'wanted'; readonly item: Item; readonly bytes: number; readonly due: Millis; readonly now: Millis }
  /** Its reader has come to it, and takes nothing else before. */
  | { readonly kind: 'awaited'; readonly item: Item; readonly now: Millis }
  | { readonly kind: 'unwanted'; readonly item: Item; readonly now: Millis }
  /** All that hold the whole payload, as the catalog says, and can be asked now. */
  | { readonly kind: 'providers'; readonly peers: readonly PeerId[]; readonly now: Millis }
  | { readonly kind: 'surveyed'; readonly peer: PeerId; readonly survey: Survey; readonly now: Millis }
  | { readonly kind: 'unsurveyed'; readonly peer: PeerId; readonly code: string | undefined; readonly now: Millis }
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
  /** Nobody can give what no listener waits for: it is not wanted any more. */
  | { readonly kind: 'stop-filling' }
  /** Nobody can give what a listener waits for; nothing more will be asked. */
  | { readonly kind: 'give-up' };

/** Without anybody to ask: time for a peer to return, or for another to announce its copy, while the player lives off its
 *  buffer. Members that live are providers, connected or not, and are waited for as long as STALL_MS. */
export const PROVIDERS_WAIT_MS: Millis = 5_000;
/** Providers that answer, but never with a right chunk, are given up too. */
export const STALL_MS: Millis = 30_000;
const WINDOW_START = 2;
/** Copies are made without haste: one chunk arrives while the next is asked for. */
const BACKGROUND_WINDOW = 2;
/** What is due within it is fetched in order. */
const SOON_MS: Millis = 3_000;
/** Earlier than this nothing is late: Wi-Fi retransmits for that long. */
const LATE_MS_MIN: Millis = 150;
const LATE_FACTOR = 3;
/** A listener who waits is not kept waiting for Wi-Fi: the price is a chunk that comes twice now and then. */
const HEDGE_MS_MIN: Millis = 50;
const HEDGE_FACTOR = 2;
const REST_MS_MIN: Millis = 100;
const REST_MS_MAX: Millis = 2_000;
/** Who fetches as we do has new chunks every few milliseconds; who has all of it is asked for who has come to fetch. */
const SURVEY_PARTIAL_MS: Millis = 50;
const SURVEY_WHOLE_MS: Millis = 100;
const WHOLE_SURVEYED_MAX = 4;
/** A receiver that nobody has spoken of for so long has what it wanted, or is gone. */
const RECEIVER_LIFE_MS: Millis = 5_000;

interface Wanted {
  readonly item: Item;
  readonly bytes: number;
  due: Millis;
  /** Does a reader wait for it now? It may have music enough, but nobody knows. */
  awaited: boolean;
  /** Of several that are as rare, one by chance: receivers that all chose the same would have nothing to give each other. */
  readonly lot: number;
  readonly requests: Set<Request>;
  /** Arrived, and waits for its verdict. */
  arrived: boolean;
}

interface Request {
  readonly id: number;
  readonly wanted: Wanted;
  readonly peer: PeerId;
  readonly sentAt: Millis;
  /** From then on a second provider may be asked, if a listener waits. */
  readonly doubtAt: Millis;
  readonly lateAt: Millis;
  late: boolean;
}

interface Provider {
  readonly peer: PeerId;
  readonly pace: ProviderPace;
  holds: Holds;
  /** What it refused, whatever it said that it holds; until the list of providers changes. */
  readonly lacks: Set<Item>;
  /** Does the catalog name it, or did we hear of it as one that fetches too? Then: when last. */
  heardAt: Millis | undefined;
  failures: number;
  restsUntil: Millis;
  /** When to ask what it holds; undefined while it is asked, infinite where it cannot tell. */
  surveyAt: Millis | undefined;
  /** Has nothing of this payload for us, until it says otherwise or the list of providers changes. */
  useless: boolean;
}

/** A provider as it stands in one round of asking. */
interface Offer {
  readonly provider: Provider;
  /** 0, and more for those who are the last to be asked. */
  readonly rank: number;
  /** When it would have delivered a chunk. */
  readonly ms: Millis;
}

export interface PlannerOptions {
  /** One and the same for all planners of a process, because songs share the line to a provider. */
  readonly paceOf: (peer: PeerId) => ProviderPace;
  readonly random: Random;
  readonly chunks: number;
}

export class Planner {
  readonly #wanted = new Map<Item, Wanted>();
  /** Of these, what nobody has been asked for. */
  readonly #hungry = new Set<Wanted>();
  readonly #requests = new Map<number, Request>();
  readonly #providers = new Map<PeerId, Provider>();
  readonly #liars = new Set<PeerId>();
  /** Of each chunk, how many of those who hold only some have it; undefined before the first of them. */
  #partial: Uint16Array | undefined;
  readonly #options: PlannerOptions;
  #background = false;
  #window = WINDOW_START;
  /** Of what is wanted, how much somebody listens for. */
  #listened = 0;
  #storing = 0;
  #nextRequest = 1;
  #progressAt: Millis = 0;
  #starvingSince: Millis | undefined;
  #armed: Millis = Number.POSITIVE_INFINITY;
  #gaveUp = false;

  constructor(options: PlannerOptions) {
    this.#options = options;
  }

  /** Is all this for a copy only? Counts from the next step on. */
  set background(background: boolean) {
    this.#background = background;
  }

  step(input: PlannerInput): PlannerEffect[] {
    if (this.#gaveUp) return [];
    const effects: PlannerEffect[] = [];
    this.#take(input, effects);
    this.#ask(input.now, effects);
    this.#survey(input.now, effects);
    this.#judge(input.now, effects);
    return effects;
  }

  #take(input: PlannerInput, effects: PlannerEffect[]): void {
    switch (input.kind) {
      case 'wanted':
        return this.#want(input);
      case 'awaited': {
        const wanted = this.#wanted.get(input.item);
        if (wanted) wanted.awaited = true;
        return;
      }
      case 'unwanted':
        return this.#settle(input.item, effects);
      case 'providers':
        return this.#meet(input.peers, effects, input.now);
      case 'surveyed':
        return this.#learn(input);
      case 'unsurveyed': {
        const provider = this.#providers.get(input.peer);
        // who has just begun to fetch has nothing yet
        if (provider === undefined) return;
        const again = input.code === 'NOT_FOUND' && provider.heardAt !== undefined ? SURVEY_PARTIAL_MS : SURVEY_WHOLE_MS;
        provider.surveyAt = input.code !== 'NOT_FOUND' && isFinal(input.code) ? Number.POSITIVE_INFINITY : input.now + again;
        return;
      }
      case 'received':
        return this.#receive(input.request, input.now);
      case 'verified':
        this.#settle(input.item, effects);
        this.#progressAt = input.now;
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
        this.#liars.add(input.from);
        this.#providers.get(input.from)?.pace.lied(input.now);
        return this.#lose(input.from, effects);
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

  #want({ item, bytes, due, now }: Extract<PlannerInput, { readonly kind: 'wanted' }>): void {
    const known = this.#wanted.get(item);
    const listens = due !== WHENEVER && (known === undefined || known.due === WHENEVER);
    // Whoever comes to listen has a patience of his own, however long the cache has waited.
    if (this.#wanted.size === 0 || (listens && this.#listened === 0)) {
      this.#progressAt = now;
      this.#starvingSince = undefined;
    }
    if (listens) this.#listened++;
    else if (due === WHENEVER && known !== undefined && known.due !== WHENEVER) this.#listened--;
    if (known) {
      known.due = due;
      return;
    }
    const wanted: Wanted = { item, bytes, due, awaited: false, lot: this.#options.random(), requests: new Set(), arrived: false };
    this.#wanted.set(item, wanted);
    this.#hungry.add(wanted);
  }

  /** Takes over the catalog's list; what was asked of those who left is asked of others. */
  #meet(peers: readonly PeerId[], effects: PlannerEffect[], now: Millis): void {
    const present = new Set(peers);
    for (const { peer, heardAt } of this.#providers.values()) if (heardAt === undefined && !present.has(peer)) this.#lose(peer, effects);
    for (const peer of present) {
      const known = this.#providers.get(peer);
      if (known) {
        known.heardAt = undefined;
        known.useless = false;
        known.lacks.clear();
        this.#setHolds(known, 'all');
      } else this.#add(peer, 'all', now);
    }
  }

  #add(peer: PeerId, holds: Holds, now: Millis): void {
    if (this.#liars.has(peer)) return;
    const heardAt = holds === 'all' ? undefined : now;
    this.#providers.set(peer, { peer, pace: this.#options.paceOf(peer), holds, lacks: new Set(), heardAt, failures: 0, restsUntil: 0, surveyAt: now, useless: false });
    this.#count(holds, 1);
  }

  #learn({ peer, survey: { holds, receivers }, now }: Extract<PlannerInput, { readonly kind: 'surveyed' }>): void {
    const provider = this.#providers.get(peer);
    if (provider === undefined) return;
    this.#setHolds(provider, holds);
    provider.useless &&= isNothing(holds);
    provider.surveyAt = now + (holds === 'all' ? SURVEY_WHOLE_MS : SURVEY_PARTIAL_MS);
    for (const receiver of receivers) {
      const known = this.#providers.get(receiver);
      if (known?.heardAt !== undefined) known.heardAt = now;
      else if (!known && this.#providers.size < RECEIVERS_MAX) this.#add(receiver, new Uint8Array(bitmapBytes(this.#options.chunks)), now);
    }
  }

  #receive(id: number, now: Millis): void {
    const request = this.#end(id);
    if (request === undefined) return;
    const provider = this.#providers.get(request.peer);
    provider?.pace.arrived(request.wanted.bytes, now - request.sentAt, now);
    if (provider !== undefined) provider.failures = 0;
    request.wanted.arrived = true;
    this.#hungry.delete(request.wanted);
  }

  #lose(peer: PeerId, effects: PlannerEffect[]): void {
    for (const request of this.#requests.values()) if (request.peer === peer) this.#cancel(request, effects);
    const provider = this.#providers.get(peer);
    if (provider) this.#setHolds(provider, 'all');
    this.#providers.delete(peer);
  }

  #setHolds(provider: Provider, holds: Holds): void {
    this.#count(provider.holds, -1);
    provider.holds = holds;
    this.#count(holds, 1);
  }

  #count(holds: Holds, by: 1 | -1): void {
    if (holds === 'all') return;
    this.#partial ??= new Uint16Array(this.#options.chunks);
    for (let item = 0; item < this.#options.chunks; item++) if (hasBit(holds, item)) this.#partial[item]! += by;
  }

  #settle(item: Item, effects: PlannerEffect[]): void {
    const wanted = this.#wanted.get(item);
    if (wanted === undefined) return;
    for (const request of wanted.requests) this.#cancel(request, effects);
    this.#wanted.delete(item);
    this.#hungry.delete(wanted);
    if (wanted.due !== WHENEVER) this.#listened--;
  }

  #cancel(request: Request, effects: PlannerEffect[]): void {
    this.#end(request.id);
    this.#providers.get(request.peer)?.pace.gaveUp(request.wanted.bytes);
    effects.push({ kind: 'cancel', request: request.id });
  }

  #end(id: number): Request | undefined {
    const request = this.#requests.get(id);
    if (request === undefined) return undefined;
    request.wanted.requests.delete(request);
    this.#requests.delete(id);
    this.#starve(request.wanted);
    return request;
  }

  #starve(wanted: Wanted): void {
    if (wanted.requests.size === 0 && !wanted.arrived && this.#wanted.get(wanted.item) === wanted) this.#hungry.add(wanted);
  }

  #blame({ peer, wanted }: Request, code: string | undefined, now: Millis): void {
    const provider = this.#providers.get(peer);
    if (provider === undefined) return;
    provider.pace.gaveUp(wanted.bytes);
    // One chunk of a file may be damaged or changed, and the others as they were.
    if ((code === 'CHUNK_UNAVAILABLE' || code === 'FILE_CHANGED') && wanted.item !== MANIFEST) provider.lacks.add(wanted.item);
    else if (isFinal(code) || code === 'CHUNK_UNAVAILABLE') {
      provider.useless = true;
      provider.restsUntil = now + REST_MS_MAX;
    }
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
        this.#providers.get(request.peer)?.pace.late(now);
      }
    }
    for (const { peer, heardAt = now } of this.#providers.values()) if (now - heardAt >= RECEIVER_LIFE_MS) this.#lose(peer, effects);
  }

  #ask(now: Millis, effects: PlannerEffect[]): void {
    if (this.#wanted.size === 0) return;
    const manifest = this.#wanted.get(MANIFEST);
    if (manifest && this.#mayAsk(manifest, now)) {
      const best = this.#offers(now).find(({ provider: { peer, holds } }) => !isAsked(manifest, peer) && !isNothing(holds));
      if (best) this.#askOf(best.provider, manifest, now, effects);
    }
    if (this.#providers.size > 1) for (const { wanted } of this.#requests.values()) if (this.#mayAsk(wanted, now)) this.#hedge(wanted, now, effects);
    const window = this.#background ? Math.min(BACKGROUND_WINDOW, this.#window) : this.#window;
    while (this.#hungry.size > 0) {
      const inFlight = this.#inFlight;
      if (inFlight >= window) return;
      const next = this.#next(now, inFlight + this.#storing < window);
      if (next === undefined) return;
      this.#askOf(next.provider, next.wanted, now, effects);
    }
  }

  /** Chunks asked for that may still come in time; those that are late would only keep others out. */
  get #inFlight(): number {
    let inFlight = 0;
    for (const { wanted, late } of this.#requests.values()) if (!late && wanted.item !== MANIFEST) inFlight++;
    return inFlight;
  }

  /** What to ask for next, and of whom. @param fill whether what no listener waits for may be asked for */
  #next(now: Millis, fill: boolean): { readonly wanted: Wanted; readonly provider: Provider } | undefined {
    const offers = this.#offers(now);
    // Other songs may fill the line to a provider for as long as they like: one chunk at a time is always asked for.
    const isFree = ({ pace }: Provider): boolean => this.#requests.size === 0 || pace.hasRoomFor(CHUNK_BYTES);
    if (!offers.some(({ provider }) => isFree(provider))) return undefined;
    const whole = offers.find(({ provider }) => provider.holds === 'all')?.provider;
    const partial = offers.some(({ provider }) => provider.holds !== 'all') ? this.#partial : undefined;
    let best: { readonly wanted: Wanted; readonly provider: Provider } | undefined;
    for (const wanted of this.#hungry) {
      const { item } = wanted;
      if (item === MANIFEST || (!fill && wanted.due === WHENEVER)) continue;
      if (best !== undefined && !isBefore(wanted, best.wanted, { now, partial })) continue;
      const holder = partial?.[item] || whole?.lacks.has(item) ? offers.find(({ provider }) => has(provider, item))?.provider : whole;
      // When the best one has enough to do, the chunk waits: a slower one would bring it later still.
      if (holder !== undefined && isFree(holder)) best = { wanted, provider: holder };
    }
    return best;
  }

  /** Who can be asked now, the one that would deliver a chunk first in front. */
  #offers(now: Millis): Offer[] {
    const offers: Offer[] = [];
    for (const provider of this.#providers.values()) {
      if (provider.useless || provider.restsUntil > now) continue;
      const { pace } = provider;
      const rank = pace.isDistrusted(now) ? 2 : pace.isDoubtful(now) ? 1 : 0;
      offers.push({ provider, rank, ms: pace.expectedMs(CHUNK_BYTES, now) });
    }
    return offers.sort((a, b) => a.rank - b.rank || a.ms - b.ms);
  }

  #askOf({ peer, pace }: Provider, wanted: Wanted, now: Millis, effects: PlannerEffect[]): void {
    const expectedMs = pace.expectedMs(wanted.bytes, now);
    const doubtAt = now + Math.max(HEDGE_MS_MIN, HEDGE_FACTOR * expectedMs);
    // Copies wait at their provider for as long as anybody listens: that says nothing of its line.
    const lateAt = this.#background ? Number.POSITIVE_INFINITY : now + Math.max(LATE_MS_MIN, LATE_FACTOR * expectedMs);
    const request: Request = { id: this.#nextRequest++, wanted, peer, sentAt: now, doubtAt, lateAt, late: false };
    const hedge = wanted.requests.size > 0;
    pace.asked(wanted.bytes, now);
    wanted.requests.add(request);
    this.#hungry.delete(wanted);
    this.#requests.set(request.id, request);
    effects.push({ kind: 'ask', request: request.id, peer, item: wanted.item, urgency: this.#urgencyOf(wanted, now), hedge });
  }

  #urgencyOf({ item, due }: Wanted, now: Millis): Urgency {
    if (this.#background) return 'background';
    return item === MANIFEST || due - now <= SOON_MS ? 'soon' : 'later';
  }

  #mayAsk(wanted: Wanted, now: Millis): boolean {
    if (wanted.arrived) return false;
    for (const request of wanted.requests) if (now < this.#hedgeAt(request)) return false;
    return true;
  }

  /** When one more provider is asked for the same: when the first is late, or when its listener would run dry before another
   *  could bring it; a third only when both are late. More would only add load. */
  #hedgeAt({ wanted, doubtAt, lateAt, sentAt }: Request): Millis {
    if (wanted.arrived || wanted.requests.size > 2 || this.#background) return Number.POSITIVE_INFINITY;
    if (wanted.requests.size === 2) return lateAt;
    const margin = 2 * (doubtAt - sentAt);
    return Math.min(lateAt, Math.max(doubtAt, wanted.awaited ? 0 : wanted.due - margin));
  }

  #hedge(wanted: Wanted, now: Millis, effects: PlannerEffect[]): void {
    const other = this.#offers(now).find(({ provider }) => !isAsked(wanted, provider.peer) && has(provider, wanted.item) && !provider.pace.isDistrusted(now));
    if (other) this.#askOf(other.provider, wanted, now, effects);
  }

  /** Worth it while something is missing that nobody has been asked for: then more holders, or more of theirs, help. */
  #survey(now: Millis, effects: PlannerEffect[]): void {
    if (this.#hungry.size === 0 || this.#background) return;
    let whole = 0;
    for (const provider of this.#providers.values()) {
      if (provider.restsUntil > now) continue;
      // Where many hold all of it, those who fetch it too add little.
      if (provider.holds === 'all' && !provider.useless && ++whole > WHOLE_SURVEYED_MAX) continue;
      if (provider.surveyAt === undefined || provider.surveyAt > now) continue;
      provider.surveyAt = undefined;
      effects.push({ kind: 'survey', peer: provider.peer });
    }
  }

  /** Gives up when nothing can come any more, and asks to be woken when there is something to do without an arrival. */
  #judge(now: Millis, effects: PlannerEffect[]): void {
    // What waits for the disk is no hunger.
    if (this.#hungry.size === 0 || this.#requests.size > 0 || this.#storing > 0) this.#starvingSince = undefined;
    else this.#starvingSince ??= now;
    if (this.#wanted.size === 0) return;
    const end = Math.min(this.#patientUntil(now), this.#progressAt + STALL_MS);
    if (now >= end) return this.#giveUp(effects);
    let at = end;
    for (const request of this.#requests.values()) {
      const hedgeAt = this.#hedgeAt(request);
      at = Math.min(at, request.sentAt + REQUEST_TIMEOUT_MS, request.late ? Number.POSITIVE_INFINITY : request.lateAt, hedgeAt > now ? hedgeAt : Number.POSITIVE_INFINITY);
    }
    for (const { restsUntil, surveyAt, heardAt } of this.#providers.values()) {
      if (heardAt !== undefined) at = Math.min(at, heardAt + RECEIVER_LIFE_MS);
      if (restsUntil > now) at = Math.min(at, restsUntil);
      else if (surveyAt !== undefined && surveyAt > now && this.#hungry.size > 0 && !this.#background) at = Math.min(at, surveyAt);
    }
    // An alarm that comes too early only wakes for nothing; one that comes too late is a gap in the music.
    if (at >= this.#armed && this.#armed > now) return;
    this.#armed = at;
    effects.push({ kind: 'arm', at });
  }

  /** Without anybody to ask: from when the music would stop, if that is soon. */
  #patientUntil(now: Millis): Millis {
    if (this.#starvingSince === undefined) return Number.POSITIVE_INFINITY;
    let dry = WHENEVER;
    for (const { due } of this.#hungry) dry = Math.min(dry, due);
    const listens = dry - now <= STALL_MS;
    return (listens ? Math.max(this.#starvingSince, dry) : this.#starvingSince) + PROVIDERS_WAIT_MS;
  }

  #giveUp(effects: PlannerEffect[]): void {
    if (this.#listened === 0) {
      for (const { item, due } of [...this.#wanted.values()]) if (due === WHENEVER) this.#settle(item, effects);
      this.#starvingSince = undefined;
      effects.push({ kind: 'stop-filling' });
      return;
    }
    this.#gaveUp = true;
    for (const request of [...this.#requests.values()]) this.#cancel(request, effects);
    effects.push({ kind: 'give-up' });
  }
}

const isAsked = (wanted: Wanted, peer: PeerId): boolean => {
  for (const request of wanted.requests) if (request.peer === peer) return true;
  return false;
};

const has = ({ holds, lacks }: Provider, item: Item): boolean => (holds === 'all' || hasBit(holds, item)) && !lacks.has(item);

const isNothing = (holds: Holds): boolean => holds !== 'all' && holds.every((byte) => byte === 0);

/** Is it to be asked for before the other? @param partial of each chunk, how many of those who hold only some have it */
function isBefore(a: Wanted, b: Wanted, { now, partial }: { readonly now: Millis; readonly partial: Uint16Array | undefined }): boolean {
  const [soonA, soonB] = [a.due - now <= SOON_MS, b.due - now <= SOON_MS];
  if (soonA || soonB || partial === undefined) return soonA === soonB || partial === undefined ? a.due < b.due || (a.due === b.due && a.item < b.item) : soonA;
  const rarer = (partial[a.item] ?? 0) - (partial[b.item] ?? 0);
  return rarer < 0 || (rarer === 0 && a.lot < b.lot);
}
