// Who has what of one payload, as far as is known. The catalog names those who have all of it. Who fetches it too is learnt from
// surveys: such a one has what it says that it has, which grows, and is forgotten when it has been silent for some seconds while it
// was asked. One that is not asked, because nothing is missing, is remembered: it may be all that is left when the others have gone.
//
// Anybody may name receivers that do not exist. They take the place of nobody who has shown that he does.
import { bitmapBytes, hasBit } from '../../lib/content.ts';
import type { PeerId } from '../../lib/ids.ts';
import { CHUNK_BYTES, RECEIVERS_MAX } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import { type Holds, isFinal, type Survey, type Urgency } from './provider-link.ts';
import type { ProviderPace } from './provider-pace.ts';
import { Turns } from './turns.ts';
import { type Item, MANIFEST, type Sharing } from './wanted.ts';

const REST_MS_MIN: Millis = 100;
const REST_MS_MAX: Millis = 2_000;
/** Who fetches as we do has new chunks, and who has all of it knows who has come to fetch. Asked twice as often, ten receivers are through
 *  a thirtieth sooner, and burn a quarter more of their processors at 20 Mbit/s. */
const SURVEY_MS: Millis = 100;
const WHOLE_SURVEYED_MAX = 4;
/** A receiver that says nothing for so long, though it was asked, is gone; or nobody knows it any better when it is named again. */
const RECEIVER_LIFE_MS: Millis = 5_000;

const NOBODY: readonly PeerId[] = [];

interface Refusal {
  readonly at: Millis;
  /** It said later that it has the chunk: it had just come. */
  readonly retracted: boolean;
  /** It refused what it said that it has: what it says of that chunk counts no more. */
  readonly stubborn: boolean;
}

export interface Provider {
  readonly peer: PeerId;
  readonly pace: ProviderPace;
  holds: Holds;
  /** What it did not give, whatever it says that it holds. */
  readonly refusals: Map<Item, Refusal>;
  /** Does the catalog name it, or did we hear of it as one that fetches too? */
  listed: boolean;
  /** Has it ever told or given anything of this payload? */
  proven: boolean;
  failures: number;
  restsUntil: Millis;
  /** When to ask what it holds; undefined while it is asked, infinite where it cannot tell. */
  surveyAt: Millis | undefined;
  /** When it was asked last. */
  surveyedAt: Millis;
  /** Since when it was asked and has said nothing; undefined where it need not. */
  silentSince: Millis | undefined;
  /** Has nothing of this payload for us, until it says otherwise or the list of providers is told anew. */
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

export class ProviderTable {
  readonly #providers = new Map<PeerId, Provider>();
  readonly #liars: Set<PeerId>;
  readonly #paceOf: (peer: PeerId) => ProviderPace;
  readonly #chunks: number;
  /** Of each chunk, how many of those who hold only some have it; undefined before the first of them. */
  #partial: Uint16Array | undefined;
  readonly #turns: Turns;

  constructor({ self, paceOf, chunks, liars }: { readonly self: PeerId; readonly paceOf: (peer: PeerId) => ProviderPace; readonly chunks: number; readonly liars: Iterable<PeerId> }) {
    this.#turns = new Turns(self);
    this.#liars = new Set(liars);
    this.#paceOf = paceOf;
    this.#chunks = chunks;
  }

  get size(): number {
    return this.#providers.size;
  }

  /** Undefined before the first that holds only some. */
  get sharing(): Sharing | undefined {
    return this.#partial && { partial: this.#partial, turns: this.#turns };
  }

  get(peer: PeerId): Provider | undefined {
    return this.#providers.get(peer);
  }

  /** Takes over the catalog's list. @returns whom it does not name any more; they are still to be removed */
  list(peers: readonly PeerId[], now: Millis): PeerId[] {
    const present = new Set(peers);
    const gone: PeerId[] = [];
    for (const { peer, listed } of this.#providers.values()) if (listed && !present.has(peer)) gone.push(peer);
    for (const peer of present) {
      if (this.#liars.has(peer)) continue;
      const known = this.#providers.get(peer) ?? this.#add(peer, 'all', now);
      // Lists come often, and most say nothing new of it: what it refused is asked of it once more, and not at each of them.
      for (const [item, refusal] of known.refusals) retract(known, item, refusal);
      known.useless = false;
      known.listed = true;
      known.silentSince = undefined;
      this.#setHolds(known, 'all');
    }
    return gone;
  }

  learn(peer: PeerId, { holds, receivers }: Survey, now: Millis): void {
    const provider = this.#providers.get(peer);
    if (provider === undefined) return;
    this.#setHolds(provider, holds);
    this.heard(provider);
    provider.useless &&= isNothing(holds);
    provider.surveyAt = now + SURVEY_MS;
    if (holds !== 'all') reconsider(provider, holds);
    for (const receiver of receivers) {
      if (!this.#providers.has(receiver) && !this.#liars.has(receiver) && this.#hasRoom()) this.#add(receiver, new Uint8Array(bitmapBytes(this.#chunks)), now);
    }
  }

  /** It was asked what it holds, and did not say. */
  unknown(peer: PeerId, code: string | undefined, now: Millis): void {
    const provider = this.#providers.get(peer);
    if (provider === undefined) return;
    // Who has just begun to fetch has nothing yet.
    provider.surveyAt = code !== 'NOT_FOUND' && isFinal(code) ? Number.POSITIVE_INFINITY : now + SURVEY_MS;
  }

  /** It has told or given something. */
  heard(provider: Provider): void {
    provider.silentSince = undefined;
    if (provider.proven) return;
    provider.proven = true;
    this.#takeTurns();
  }

  /** It did not give what it was asked for. */
  blame(provider: Provider, item: Item, code: string | undefined, now: Millis): void {
    if (!provider.listed && !isFinal(code) && code !== 'CHUNK_UNAVAILABLE') provider.silentSince ??= now;
    // One chunk of a file may be damaged or changed, and the others as they were.
    if ((code === 'CHUNK_UNAVAILABLE' || code === 'FILE_CHANGED') && item !== MANIFEST) {
      provider.refusals.set(item, { at: now, retracted: false, stubborn: provider.refusals.has(item) });
    } else if (isFinal(code) || code === 'CHUNK_UNAVAILABLE') {
      provider.useless = true;
      provider.restsUntil = now + REST_MS_MAX;
    } else if (provider.restsUntil <= now) {
      // All that was asked of it fails with one connection: that is one failure.
      provider.restsUntil = now + Math.min(REST_MS_MAX, REST_MS_MIN * 2 ** provider.failures);
      provider.failures++;
    }
  }

  remove(peer: PeerId): void {
    const provider = this.#providers.get(peer);
    if (provider === undefined) return;
    this.#setHolds(provider, 'all');
    this.#providers.delete(peer);
  }

  /** It sent what is not what was asked for, and is to be removed: it never comes back. */
  accuse(peer: PeerId, now: Millis): void {
    this.#liars.add(peer);
    this.#providers.get(peer)?.pace.lied(now);
  }

  /** @returns who was silent for too long; they are still to be removed */
  silent(now: Millis): PeerId[] {
    const silent: PeerId[] = [];
    for (const { peer, silentSince = now } of this.#providers.values()) if (now - silentSince >= RECEIVER_LIFE_MS) silent.push(peer);
    return silent;
  }

  /** Is anybody known who has it, whether he can be asked just now or not? */
  isHeld(item: Item): boolean {
    for (const provider of this.#providers.values()) {
      if (!provider.useless && (item === MANIFEST ? !isNothing(provider.holds) : has(provider, item))) return true;
    }
    return false;
  }

  /** Who can be asked now, the one that would deliver a chunk first in front. */
  offers(urgency: Urgency, now: Millis): Offer[] {
    const offers: Offer[] = [];
    for (const provider of this.#providers.values()) {
      if (provider.useless || provider.restsUntil > now) continue;
      const { pace } = provider;
      const rank = pace.isDistrusted(now) ? 2 : pace.isDoubtful(now) ? 1 : 0;
      offers.push({ provider, rank, ms: pace.expectedMs(CHUNK_BYTES, urgency, now) });
    }
    return offers.sort((a, b) => a.rank - b.rank || a.ms - b.ms);
  }

  /** @returns whom to ask now what they hold; they count as asked */
  survey(now: Millis): readonly PeerId[] {
    let asked: PeerId[] | undefined;
    let whole = 0;
    for (const provider of this.#providers.values()) {
      if (provider.restsUntil > now) continue;
      // Where many hold all of it, those who fetch it too add little.
      if (provider.holds === 'all' && !provider.useless && ++whole > WHOLE_SURVEYED_MAX) continue;
      if (provider.surveyAt === undefined || provider.surveyAt > now) continue;
      provider.surveyAt = undefined;
      provider.surveyedAt = now;
      if (!provider.listed) provider.silentSince ??= now;
      (asked ??= []).push(provider.peer);
    }
    return asked ?? NOBODY;
  }

  /** When somebody can be asked again, or is forgotten. */
  lookAt(now: Millis): Millis {
    let at = Number.POSITIVE_INFINITY;
    for (const { restsUntil, surveyAt, silentSince } of this.#providers.values()) {
      if (silentSince !== undefined) at = Math.min(at, silentSince + RECEIVER_LIFE_MS);
      if (restsUntil > now) at = Math.min(at, restsUntil);
      else if (surveyAt !== undefined && surveyAt > now) at = Math.min(at, surveyAt);
    }
    return at;
  }

  #add(peer: PeerId, holds: Holds, now: Millis): Provider {
    const provider: Provider = {
      peer,
      pace: this.#paceOf(peer),
      holds,
      refusals: new Map(),
      listed: false,
      proven: false,
      failures: 0,
      restsUntil: 0,
      surveyAt: now,
      surveyedAt: 0,
      silentSince: undefined,
      useless: false,
    };
    this.#providers.set(peer, provider);
    this.#count('all', holds);
    return provider;
  }

  /** For one that somebody names: else who was named before, was asked, and had nothing to say, makes room. */
  #hasRoom(): boolean {
    if (this.#providers.size < RECEIVERS_MAX) return true;
    for (const { peer, listed, proven, surveyAt, surveyedAt } of this.#providers.values()) {
      if (listed || proven || surveyedAt === 0 || surveyAt === undefined) continue;
      this.remove(peer);
      return true;
    }
    return false;
  }

  #setHolds(provider: Provider, holds: Holds): void {
    const before = provider.holds;
    provider.holds = holds;
    this.#count(before, holds);
    if ((before === 'all') !== (holds === 'all')) this.#takeTurns();
  }

  /** With those that have some of it and not all: they may fetch the rest. One that was only named may not exist. */
  #takeTurns(): void {
    this.#turns.among([...this.#providers.values()].filter(({ holds, proven }) => proven && holds !== 'all').map(({ peer }) => peer));
  }

  /** Of a large song most is as it was. */
  #count(before: Holds, after: Holds): void {
    if (before === 'all' && after === 'all') return;
    const partial = (this.#partial ??= new Uint16Array(this.#chunks));
    const bytesOf = (holds: Holds, i: number): number => (holds === 'all' ? 0 : (holds[i] as number));
    for (let i = 0; i < bitmapBytes(this.#chunks); i++) {
      const [had, has] = [bytesOf(before, i), bytesOf(after, i)];
      if (had === has) continue;
      for (let bit = 0; bit < 8; bit++) {
        const item = 8 * i + bit;
        if (item < this.#chunks) partial[item]! += ((has >> bit) & 1) - ((had >> bit) & 1);
      }
    }
  }
}

export function has({ holds, refusals }: Provider, item: Item): boolean {
  if (holds !== 'all' && !hasBit(holds, item)) return false;
  const refusal = refusals.size === 0 ? undefined : refusals.get(item);
  return refusal === undefined || refusal.retracted;
}

export const isNothing = (holds: Holds): boolean => holds !== 'all' && holds.every((byte) => byte === 0);

/** Of one that fetches too: what it refused may have come since. Who says that it has all of it would say so of a damaged chunk as well. */
function reconsider(provider: Provider, holds: Uint8Array): void {
  for (const [item, refusal] of provider.refusals) {
    if (refusal.at > provider.surveyedAt) continue;
    if (hasBit(holds, item)) retract(provider, item, refusal);
    else provider.refusals.delete(item);
  }
}

/** It is asked for that once more, unless that was in vain before. */
function retract({ refusals }: Provider, item: Item, { at, stubborn }: Refusal): void {
  if (!stubborn) refusals.set(item, { at, retracted: true, stubborn });
}
