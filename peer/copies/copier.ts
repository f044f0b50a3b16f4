// What this machine fetches in the background, and in which order: songs that a person pinned, then what only a machine has
// that leaves, then own copies that became incomplete, then what else the holder of the role `music` asks for. A pure machine: one song
// at a time, none while music is read for somebody, again after a while where it failed, and not for ever, unless a person pinned it. As much rest follows each as it took, so that the network
// and the disk have half of the time for others.
import type { FileId, PayloadId, SongId } from '../../lib/ids.ts';
import { COPIES_QUEUED_MAX, HEALS_QUEUED_MAX } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';

/** In the order in which they are fetched. */
export const WHYS = ['pin', 'leaving', 'heal', 'copy'] as const;
export type Why = (typeof WHYS)[number];

export interface Job {
  readonly payload: PayloadId;
  readonly why: Why;
  /** Undefined where only the payload is known: of what was found in the cache. */
  readonly song?: SongId;
  /** The file whose beginning and end are to be kept; undefined is any of the song. */
  readonly file?: FileId;
  /** What it will take of the disk, as far as is known. */
  readonly bytes: number;
}

/** Tries of one song; a provider that restarts is back for the third. */
export const TRIES = 4;
/** Before the next try, doubled each time. */
export const BACKOFF_MS: Millis = 3_000;
/** Of a pin, which is never given up. */
export const BACKOFF_MS_MAX: Millis = 300_000;
/** What was given up is not taken again for so long: somebody else may have more luck. */
export const REFUSED_MS: Millis = 300_000;
const REFUSED_MAX = 1_024;
/** Music that is read for so long on end may go on for hours: what waits for it is for other machines to copy. */
export const BUSY_MS: Millis = 60_000;
/** After a song that took longer the rest is not longer than this. */
export const REST_MS_MAX: Millis = 10_000;

export type CopierInput =
  | { readonly kind: 'wanted'; readonly job: Job; readonly now: Millis }
  /** Nobody wants it fetched any more. */
  | { readonly kind: 'unwanted'; readonly payload: PayloadId; readonly now: Millis }
  | { readonly kind: 'fetched'; readonly payload: PayloadId; readonly tookMs: Millis; readonly now: Millis }
  /** `final`: another try would not help. `blameless`: nothing can be written here now, and the song is taken again as soon as somebody asks for it. */
  | { readonly kind: 'failed'; readonly payload: PayloadId; readonly final: boolean; readonly blameless?: boolean; readonly tookMs: Millis; readonly now: Millis }
  /** It was called off. */
  | { readonly kind: 'stopped'; readonly payload: PayloadId; readonly now: Millis }
  /** Whether music is being read for somebody. */
  | { readonly kind: 'playing'; readonly playing: boolean; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: 'next'; readonly now: Millis };

export type CopierEffect =
  | { readonly kind: 'fetch'; readonly job: Job }
  /** Call off what is being fetched; `stopped`, or the end that it has reached, is to follow. */
  | { readonly kind: 'callOff' }
  | { readonly kind: 'gaveUp'; readonly job: Job }
  /** Own copies that are broken had no place in the queue, and have now. */
  | { readonly kind: 'seek' }
  | { readonly kind: 'arm'; readonly timer: 'next'; readonly ms: Millis };

/** As the holder of the role `music` says it. */
const isForOthers = (why: Why): why is 'copy' | 'leaving' => why === 'copy' || why === 'leaving';

interface Queued {
  readonly job: Job;
  readonly failures: number;
  readonly notBefore: Millis;
  /** Nobody wants it any more, and it is being called off. */
  readonly unwanted: boolean;
}

export class Copier {
  /** One for each payload, in the order in which they came. */
  readonly #queue = new Map<PayloadId, Queued>();
  readonly #refused = new Map<PayloadId, Millis>();
  #fetching: Queued | undefined;
  #calledOff = false;
  /** Since when music is read for somebody. */
  #playing: Millis | undefined;
  #restUntil: Millis = 0;
  /** Own copies that are broken were left out. */
  #leftOut = false;

  /** Everything that is to be fetched, with what is being fetched. */
  get jobs(): readonly Job[] {
    return [...(this.#fetching ? [this.#fetching.job] : []), ...[...this.#queue.values()].map(({ job }) => job)];
  }

  has(payload: PayloadId): boolean {
    return this.#fetching?.job.payload === payload || this.#queue.has(payload);
  }

  /** Has music been read for somebody for so long that nothing is copied here for a while? */
  isBusy(now: Millis): boolean {
    return this.#playing !== undefined && now - this.#playing >= BUSY_MS;
  }

  /** Does it wait until no music is read for anybody? */
  waitsForMusic(payload: PayloadId): boolean {
    return this.#playing !== undefined && this.#queue.has(payload);
  }

  /** Has it failed, and waits for its next try? */
  waits(payload: PayloadId): boolean {
    return (this.#queue.get(payload)?.failures ?? 0) > 0;
  }

  /** Would it be taken for others? What somebody leaves with has a queue of its own: it is not to wait until there is room in another. */
  takes(payload: PayloadId, why: 'copy' | 'leaving', now: Millis): boolean {
    if (this.isBusy(now)) return false;
    return this.has(payload) || (!this.isFull(why) && !this.refuses(payload, now));
  }

  /** Was it given up a while ago? */
  refuses(payload: PayloadId, now: Millis): boolean {
    return (this.#refused.get(payload) ?? 0) > now;
  }

  /** Songs that are still taken for others, what somebody leaves with not counted. */
  get slots(): number {
    return Math.max(0, COPIES_QUEUED_MAX - this.#count('copy'));
  }

  /** Are so many waiting already that no other is taken for now? */
  isFull(why: 'copy' | 'leaving'): boolean {
    return this.#count(why) >= COPIES_QUEUED_MAX;
  }

  step(input: CopierInput): CopierEffect[] {
    const { now } = input;
    switch (input.kind) {
      case 'wanted':
        this.#add(input.job, now);
        return this.#next(now);
      case 'unwanted':
        this.#queue.delete(input.payload);
        if (this.#fetching?.job.payload !== input.payload) return [];
        this.#fetching = { ...this.#fetching, unwanted: true };
        if (this.#calledOff) return [];
        this.#calledOff = true;
        return [{ kind: 'callOff' }];
      case 'playing':
        // others were asked for these meanwhile
        if (!input.playing && this.isBusy(now)) for (const { job } of [...this.#queue.values()]) if (isForOthers(job.why)) this.#queue.delete(job.payload);
        this.#playing = input.playing ? (this.#playing ?? now) : undefined;
        if (!input.playing || !this.#fetching || this.#calledOff) return this.#next(now);
        this.#calledOff = true;
        return [{ kind: 'callOff' }];
      case 'fetched':
        if (this.#end(input.payload)) this.#rest(input.tookMs, now);
        return this.#next(now);
      case 'stopped': {
        const stopped = this.#end(input.payload);
        // what playing has called off goes on afterwards, before all others
        if (stopped && !stopped.unwanted) {
          const rest = [...this.#queue];
          this.#queue.clear();
          for (const [payload, queued] of [[input.payload, stopped] as const, ...rest]) this.#queue.set(payload, queued);
        }
        return this.#next(now);
      }
      case 'failed': {
        const failed = this.#end(input.payload);
        if (!failed || failed.unwanted) return this.#next(now);
        this.#rest(input.tookMs, now);
        const failures = failed.failures + 1;
        if (failed.job.why === 'pin' || (!input.final && failures < TRIES)) {
          this.#queue.set(input.payload, { ...failed, failures, notBefore: now + Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** (failures - 1)) });
          return this.#next(now);
        }
        if (!input.blameless) this.#refuse(input.payload, now);
        return [{ kind: 'gaveUp', job: failed.job }, ...this.#next(now)];
      }
      case 'expired':
        return this.#next(now);
    }
  }

  #add(job: Job, now: Millis): void {
    const known = this.#queue.get(job.payload);
    // a person's word counts for more than that of a machine, and begins anew; so does what is wanted again because somebody has come who has it
    if (known && WHYS.indexOf(known.job.why) < WHYS.indexOf(job.why)) return;
    if (known?.job.why === job.why) {
      if (known.failures > 0 && !isForOthers(job.why)) this.#queue.set(job.payload, { ...known, failures: 0, notBefore: now });
      return;
    }
    if (this.#fetching?.job.payload === job.payload) {
      const again = this.#fetching.unwanted;
      if (again || WHYS.indexOf(job.why) < WHYS.indexOf(this.#fetching.job.why)) this.#fetching = { ...this.#fetching, job, unwanted: false, ...(again && { failures: 0 }) };
      return;
    }
    if (isForOthers(job.why) && !this.takes(job.payload, job.why, now)) return;
    if (job.why === 'heal' && this.#count('heal') >= HEALS_QUEUED_MAX) {
      this.#leftOut = true;
      return;
    }
    this.#queue.delete(job.payload);
    this.#queue.set(job.payload, { job, failures: 0, notBefore: now, unwanted: false });
  }

  #count(why: Why): number {
    let count = this.#fetching?.job.why === why ? 1 : 0;
    for (const { job } of this.#queue.values()) if (job.why === why) count += 1;
    return count;
  }

  #end(payload: PayloadId): Queued | undefined {
    const ended = this.#fetching;
    if (ended?.job.payload !== payload) return undefined;
    this.#fetching = undefined;
    this.#calledOff = false;
    return ended;
  }

  #rest(tookMs: Millis, now: Millis): void {
    this.#restUntil = now + Math.min(REST_MS_MAX, tookMs);
  }

  #refuse(payload: PayloadId, now: Millis): void {
    this.#refused.delete(payload);
    this.#refused.set(payload, now + REFUSED_MS);
    if (this.#refused.size > REFUSED_MAX) this.#refused.delete(this.#refused.keys().next().value as PayloadId);
  }

  #next(now: Millis): CopierEffect[] {
    if (!this.#leftOut || this.#count('heal') > 0) return this.#fetchNext(now);
    this.#leftOut = false;
    return [{ kind: 'seek' }, ...this.#fetchNext(now)];
  }

  #fetchNext(now: Millis): CopierEffect[] {
    if (this.#fetching || this.#playing !== undefined || this.#queue.size === 0) return [];
    let best: Queued | undefined;
    let dueAt = Number.POSITIVE_INFINITY;
    for (const queued of this.#queue.values()) {
      dueAt = Math.min(dueAt, queued.notBefore);
      if (queued.notBefore > now) continue;
      if (!best || WHYS.indexOf(queued.job.why) < WHYS.indexOf(best.job.why)) best = queued;
    }
    // a person waits for what was pinned
    const restUntil = best?.job.why === 'pin' ? now : this.#restUntil;
    const at = Math.max(restUntil, best ? now : dueAt);
    if (!best || at > now) return [{ kind: 'arm', timer: 'next', ms: at - now }];
    this.#queue.delete(best.job.payload);
    this.#fetching = best;
    return [{ kind: 'fetch', job: best.job }];
  }
}
