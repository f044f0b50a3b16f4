// Fetches what the copier (copier.ts) decides on: the whole payload into the cache, then what surrounds it in one file, so that
// the song plays here and the file can be given when its owner is gone for ever.
import { codeOf, messageOf, PeerError } from '../../lib/errors.ts';
import type { PayloadId, PeerId, SongId } from '../../lib/ids.ts';
import { sizeOf } from '../../lib/song.ts';
import type { Clock, Millis } from '../../lib/time.ts';
import type { Catalog } from '../../storage/catalog.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { Song, SongFile } from '../../storage/song-view.ts';
import type { EdgeReader } from '../chunks/edge-reader.ts';
import type { PayloadReader } from '../chunks/payload-reader.ts';
import { Driver } from '../runtime.ts';
import type { Sources } from '../chunks/sources.ts';
import { Copier, type CopierEffect, type CopierInput, type Job } from './copier.ts';

/** What was fetched is told as if it still were for so long: the register that says so may be on its way, and whoever sees neither
 *  would ask somebody else for the same. */
const LATELY_MS: Millis = 10_000;

/** Another try would not help. */
const FINAL: ReadonlySet<string | undefined> = new Set(['NOT_FOUND', 'TOO_LARGE']);

export interface CopyingOptions {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly cache: Pick<ChunkCache, 'complete' | 'filesOf' | 'has' | 'hold' | 'keepEdges' | 'roomFor' | 'takes'>;
  readonly catalog: Pick<Catalog, 'song'>;
  readonly sources: Pick<Sources, 'reaches' | 'want'>;
  readonly payloads: Pick<PayloadReader, 'fill'>;
  readonly edges: Pick<EdgeReader, 'read'>;
  readonly songOf: (payload: PayloadId) => SongId;
  readonly note: (song: Song) => void;
  readonly onGaveUp: (job: Job, why: string) => void;
  /** Own copies that are broken had no place in the queue, and have now. */
  readonly onPlace: () => void;
}

export class Copying {
  readonly #options: CopyingOptions;
  readonly #driver: Driver<Copier, 'next', CopierInput, CopierEffect>;
  #stop = new AbortController();
  #fetching: Promise<void> = Promise.resolve();
  #why = '';
  /** Of those that have failed and are tried again. */
  readonly #reasons = new Map<PayloadId, string>();
  readonly #lately = new Map<PayloadId, Millis>();

  constructor(options: CopyingOptions) {
    this.#options = options;
    this.#driver = new Driver(
      { state: new Copier(), step: (state, input) => state.step(input) },
      { clock: options.clock, carryOut: (effect) => this.#carryOut(effect), expired: (timer) => ({ kind: 'expired', timer }) },
    );
  }

  want(job: Job): void {
    this.#driver.feed({ kind: 'wanted', job });
  }

  unwant(payload: PayloadId): void {
    this.#driver.feed({ kind: 'unwanted', payload });
  }

  /** Music is read for somebody, or no more. */
  playing(playing: boolean): void {
    this.#driver.feed({ kind: 'playing', playing });
  }

  /** Under way or waiting. */
  get jobs(): readonly Job[] {
    return this.#driver.state.jobs;
  }

  /** Is music read here for so long that nothing is copied? */
  get busy(): boolean {
    return this.#driver.state.isBusy(this.#options.clock.now());
  }

  /** Likewise, or fetched a moment ago. */
  get payloads(): readonly PayloadId[] {
    const now = this.#options.clock.now();
    for (const [payload, at] of this.#lately) if (at + LATELY_MS < now) this.#lately.delete(payload);
    // a pin may wait for its holder for ever, and is no copy until then
    const underWay = this.jobs.filter(({ payload, why }) => why !== 'pin' || !this.#driver.state.waits(payload));
    return [...new Set([...underWay.map(({ payload }) => payload), ...this.#lately.keys()])];
  }

  takes(payload: PayloadId, why: 'copy' | 'leaving'): boolean {
    return this.#driver.state.takes(payload, why, this.#options.clock.now());
  }

  isFull(why: 'copy' | 'leaving'): boolean {
    return this.#driver.state.isFull(why);
  }

  refuses(payload: PayloadId): boolean {
    return this.#driver.state.refuses(payload, this.#options.clock.now());
  }

  /** Songs that are still taken for others. */
  get slots(): number {
    return this.#driver.state.slots;
  }

  /** Is it under way, and was not tried in vain? */
  comes(payload: PayloadId): boolean {
    return this.#driver.state.has(payload) && !this.#driver.state.waits(payload);
  }

  /** Why this has not come yet, if anything keeps it. */
  reasonOf(payload: PayloadId): string | undefined {
    const { state } = this.#driver;
    if (state.waitsForMusic(payload)) return 'music is being played; it comes in the pauses';
    return state.waits(payload) ? this.#reasons.get(payload) : undefined;
  }

  async stop(): Promise<void> {
    this.#driver.stop();
    this.#stop.abort();
    await this.#fetching;
  }

  #carryOut(effect: Exclude<CopierEffect, { readonly kind: 'arm' }>): void {
    switch (effect.kind) {
      case 'fetch':
        this.#fetching = this.#fetch(effect.job);
        return;
      case 'callOff':
        return this.#stop.abort();
      case 'gaveUp':
        return this.#options.onGaveUp(effect.job, this.#why);
      case 'seek':
        return this.#options.onPlace();
    }
  }

  async #fetch(job: Job): Promise<void> {
    const { clock } = this.#options;
    const { payload } = job;
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    const startedAt = clock.now();
    try {
      await this.#bring(job, signal);
      this.#lately.set(payload, clock.now());
      this.#reasons.delete(payload);
      this.#driver.feed({ kind: 'fetched', payload, tookMs: clock.now() - startedAt });
    } catch (error) {
      if (signal.aborted) return this.#driver.feed({ kind: 'stopped', payload });
      this.#why = messageOf(error);
      for (const known of this.#reasons.keys()) if (!this.#driver.state.has(known)) this.#reasons.delete(known);
      this.#reasons.set(payload, this.#why);
      this.#driver.feed({ kind: 'failed', payload, final: FINAL.has(codeOf(error)), blameless: codeOf(error) === 'DISK_FULL', tookMs: clock.now() - startedAt });
    }
  }

  async #bring(job: Job, signal: AbortSignal): Promise<void> {
    const { self, cache, catalog, sources, payloads, edges, songOf, note } = this.#options;
    const { payload } = job;
    const song = await catalog.song(job.song ?? songOf(payload));
    if (!song) throw new PeerError('NOT_FOUND', 'no machine has this song any more');
    // its own file has come meanwhile
    if (song.owners.includes(self)) return;
    const file = chooseFile(song, job, sources);
    if (!file) throw new PeerError('NOT_FOUND', 'no file of this song has this sound any more');
    const { description } = file;
    // whoever waits for one in vain blocks all behind it
    const holders = [...song.files.filter((one) => one.description.payload === payload).flatMap(({ providers }) => providers), ...(song.copies.get(payload) ?? []).map(({ peer }) => peer)];
    if (!holders.some((peer) => sources.reaches(peer))) throw new PeerError('SONG_UNAVAILABLE', 'no machine that has it is here');
    if (!cache.takes) throw new PeerError('DISK_FULL', 'nothing can be written to the cache now');
    if (!cache.has(payload) && job.why !== 'pin' && sizeOf(description) > cache.roomFor()) throw new PeerError('TOO_LARGE', 'there is no room for it');
    note(song);
    const release = sources.want(song);
    // whole, it is not to go before it has what surrounds it
    const letGo = cache.hold(payload);
    try {
      const whole = cache.complete(payload) || (await payloads.fill({ payload, payloadBytes: description.payloadBytes, background: true, evict: job.why === 'pin' ? 'wanted' : 'free', signal }));
      if (!whole && !cache.takes) throw new PeerError('DISK_FULL', 'nothing can be written to the cache now');
      if (!whole) throw new PeerError('SONG_UNAVAILABLE', 'nobody could give all of it, or the cache did not take it');
      if (cache.filesOf(payload).includes(description.file)) return;
      const [prefix, suffix] = [await edges.read(description, 'prefix', signal), await edges.read(description, 'suffix', signal)];
      if (await cache.keepEdges(payload, description.file, { prefix, suffix })) return;
      if (cache.has(payload)) throw new PeerError('DISK_FULL', 'there is no room for what surrounds its sound');
      throw new PeerError('SONG_UNAVAILABLE', 'its sound went while the rest was fetched');
    } finally {
      letGo();
      release();
    }
  }
}

/** The one asked for; else one whose holder can be asked. */
function chooseFile({ files }: Song, { payload, file }: Job, sources: Pick<Sources, 'reaches'>): SongFile | undefined {
  const some = files.filter(({ description }) => description.payload === payload);
  return some.find(({ description }) => description.file === file) ?? some.find(({ providers }) => providers.some((peer) => sources.reaches(peer))) ?? some[0];
}
