// Fetches answers from one peer in datagrams: which slices to ask for when, and what to ask for again. Pure: what happens
// comes in with the time, what to do goes out; exchange.ts carries it out.
//
// The receiver steers, since it knows what it lacks: a fetch names the missing slices, and nobody keeps a timer for what
// was sent. A slice counts as lost when one of the same answer that was asked for later has arrived (RACK, RFC 8985), or
// when it is overdue by the measured round trip (RFC 6298). The window of slices under way follows the delay that they find
// and not their loss, as LEDBAT's does (RFC 6817): this is used where loss says nothing about congestion, and a queue of
// ours must not hold up the others'.
import { SLICE_BYTES, SLICES_IN_FLIGHT_MAX } from '../../lib/limits.ts';
import { SERIALS, type Slice } from '../../lib/slice-messages.ts';
import type { Millis } from '../../lib/time.ts';

export type ReceiverInput =
  | { readonly kind: 'wanted'; readonly id: number; readonly now: Millis }
  | { readonly kind: 'unwanted'; readonly id: number; readonly now: Millis }
  | { readonly kind: 'arrived'; readonly slice: Slice; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: 'overdue'; readonly now: Millis };

export type ReceiverEffect =
  | { readonly kind: 'fetch'; readonly id: number; readonly serial: number; readonly slices: readonly number[] }
  | { readonly kind: 'complete'; readonly id: number; readonly bytes: Uint8Array }
  /** Slices of two answers came: whoever wants one has to ask anew. */
  | { readonly kind: 'changed'; readonly id: number }
  | { readonly kind: 'arm'; readonly timer: 'overdue'; readonly ms: Millis };

/** Also the least: fewer would wait for their timer after every lost fetch. */
const WINDOW_START = 16;
/** A queue that doubles no round trip of a Wi-Fi, and that a listener with a chunk in hand does not hear. */
const QUEUE_MS: Millis = 50;
/** Before anything has come. */
const OVERDUE_START_MS: Millis = 100;
const OVERDUE_MS_MIN: Millis = 15;
/** Silences in a row that the loss of a third explains; each one more doubles the time, for a peer that has gone. */
const PATIENT_SILENCES = 9;
const OVERDUE_MS_MAX: Millis = 1_000;
/** Asked for before the length of an answer is known. */
const FIRST_SLICES = 8;
/** In one fetch: few, since its loss costs them all. Room for so many is awaited, so that not every arrival sends a datagram. */
const SLICES_PER_FETCH = 8;

interface Request {
  readonly id: number;
  edition: number | undefined;
  /** Known with the first slice. */
  count: number | undefined;
  readonly have: Map<number, Uint8Array>;
  /** When each slice that is under way was asked for, the earliest first. */
  readonly asked: Map<number, Millis>;
  fetches: number;
  /** When each of the last SERIALS fetches went out. */
  readonly fetchedAt: Millis[];
}

export class Receiver {
  /** Slices that were of use; who watches it sees whether the peer answers. */
  arrived = 0;
  /** First wanted, first fetched. */
  readonly #requests = new Map<number, Request>();
  #window = WINDOW_START;
  #inFlight = 0;
  #rttMin: Millis = Number.POSITIVE_INFINITY;
  #rtt: Millis | undefined;
  #rttVariation: Millis = 0;
  #heardAt: Millis = Number.NEGATIVE_INFINITY;
  /** Overdue times in a row at which nothing had come. */
  #silences = 0;

  /** Slices that were asked for and are neither here nor lost. */
  get inFlight(): number {
    return this.#inFlight;
  }

  step(input: ReceiverInput): ReceiverEffect[] {
    const effects: ReceiverEffect[] = [];
    switch (input.kind) {
      case 'wanted':
        this.#requests.set(input.id, { id: input.id, edition: undefined, count: undefined, have: new Map(), asked: new Map(), fetches: 0, fetchedAt: [] });
        break;
      case 'unwanted':
        this.#forget(input.id);
        break;
      case 'arrived':
        this.#take(input.slice, input.now, effects);
        break;
      case 'expired':
        this.#expire(input.now);
    }
    this.#ask(input.now, effects);
    this.#arm(input.now, effects);
    return effects;
  }

  #forget(id: number): void {
    this.#inFlight -= this.#requests.get(id)?.asked.size ?? 0;
    this.#requests.delete(id);
  }

  #take({ id, edition, serial, count, index, bytes }: Slice, now: Millis, effects: ReceiverEffect[]): void {
    const request = this.#requests.get(id);
    if (request === undefined) return; // what came twice, or is no longer wanted
    this.#heardAt = now;
    this.#silences = 0;
    if (request.edition === undefined || request.count === undefined) this.#learnLength(request, edition, count);
    else if (request.edition !== edition || request.count !== count) {
      this.#forget(id);
      effects.push({ kind: 'changed', id });
      return;
    }
    const fetchedAt = request.fetchedAt[serial];
    if (fetchedAt !== undefined) this.#learnRoundTrip(now - fetchedAt);
    if (request.have.has(index)) return;
    this.arrived += 1;
    request.have.set(index, bytes);
    if (request.asked.delete(index)) this.#inFlight -= 1;
    for (const [earlier, at] of request.asked) if (fetchedAt !== undefined && at < fetchedAt) this.#lose(request, earlier);
    if (request.have.size < count) return;
    this.#forget(id);
    effects.push({ kind: 'complete', id, bytes: Buffer.concat(Array.from({ length: count }, (_, i) => request.have.get(i) as Uint8Array)) });
  }

  /** What was asked for beyond the end will not come. */
  #learnLength(request: Request, edition: number, count: number): void {
    request.edition = edition;
    request.count = count;
    for (const index of request.asked.keys()) {
      if (index < count) continue;
      request.asked.delete(index);
      this.#inFlight -= 1;
    }
  }

  #learnRoundTrip(took: Millis): void {
    this.#rttMin = Math.min(this.#rttMin, took);
    this.#rttVariation = this.#rtt === undefined ? took / 2 : 0.75 * this.#rttVariation + 0.25 * Math.abs(took - this.#rtt);
    this.#rtt = this.#rtt === undefined ? took : 0.875 * this.#rtt + 0.125 * took;
    const grows = took - this.#rttMin < QUEUE_MS;
    this.#window = Math.min(SLICES_IN_FLIGHT_MAX, Math.max(WINDOW_START, this.#window + (grows ? 1 : -0.5)));
  }

  #lose(request: Request, index: number): void {
    request.asked.delete(index);
    this.#inFlight -= 1;
  }

  get #overdueMs(): Millis {
    const once = this.#rtt === undefined ? OVERDUE_START_MS : Math.max(OVERDUE_MS_MIN, this.#rtt + 4 * this.#rttVariation);
    return Math.min(OVERDUE_MS_MAX, once * 2 ** Math.max(0, this.#silences - PATIENT_SILENCES));
  }

  #expire(now: Millis): void {
    const before = now - this.#overdueMs;
    const silent = this.#heardAt <= before && this.#inFlight > 0;
    for (const request of this.#requests.values()) {
      for (const [index, at] of request.asked) if (at <= before) this.#lose(request, index);
    }
    if (!silent) return;
    this.#silences += 1;
    this.#window = Math.max(WINDOW_START, this.#window / 2);
  }

  #ask(now: Millis, effects: ReceiverEffect[]): void {
    let room = Math.floor(this.#window) - this.#inFlight;
    if (this.#inFlight > 0 && room < SLICES_PER_FETCH) return;
    for (const request of this.#requests.values()) {
      let slices: number[] = [];
      const end = request.count ?? FIRST_SLICES;
      for (let index = 0; index < end && room > 0; index++) {
        if (request.have.has(index) || request.asked.has(index)) continue;
        request.asked.set(index, now);
        this.#inFlight += 1;
        room -= 1;
        slices.push(index);
        if (slices.length < SLICES_PER_FETCH) continue;
        effects.push(this.#fetch(request, slices, now));
        slices = [];
      }
      if (slices.length > 0) effects.push(this.#fetch(request, slices, now));
      if (room <= 0) return;
    }
  }

  #fetch(request: Request, slices: readonly number[], now: Millis): ReceiverEffect {
    const serial = request.fetches++ % SERIALS;
    request.fetchedAt[serial] = now;
    return { kind: 'fetch', id: request.id, serial, slices };
  }

  #arm(now: Millis, effects: ReceiverEffect[]): void {
    let first = Number.POSITIVE_INFINITY;
    // a map keeps the order in which slices were asked for
    for (const { asked } of this.#requests.values()) first = Math.min(first, asked.values().next().value ?? first);
    if (first < Number.POSITIVE_INFINITY) effects.push({ kind: 'arm', timer: 'overdue', ms: Math.max(1, Math.ceil(first + this.#overdueMs - now)) });
  }
}

/** How the sender cuts an answer. @returns undefined beyond its end */
export function sliceAt(answer: Uint8Array, index: number): { readonly count: number; readonly bytes: Uint8Array } | undefined {
  const count = Math.max(1, Math.ceil(answer.byteLength / SLICE_BYTES));
  return index < count ? { count, bytes: answer.subarray(index * SLICE_BYTES, (index + 1) * SLICE_BYTES) } : undefined;
}
