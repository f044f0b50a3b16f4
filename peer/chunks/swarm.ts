// All that is under way of one payload: carries out what planner.ts decides, and judges what comes back. A chunk is given
// to its readers only after its hash was right; until the manifest is here, chunks wait for it. Readers of the same
// payload share one swarm, so a chunk that two of them want crosses the network once.
import { chunkCount, chunkLength, HASH_BYTES, isChunk, verifyManifest } from '../../lib/content.ts';
import { codeOf, PeerError } from '../../lib/errors.ts';
import type { PayloadId, PeerId } from '../../lib/ids.ts';
import { MANIFEST_BYTES_MAX, PIECE_BYTES_MAX, REQUEST_TIMEOUT_MS } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import type { Alarms } from './alarms.ts';
import { type Item, MANIFEST, Planner, type PlannerEffect, type PlannerInput } from './planner.ts';
import type { ProviderPace } from './provider-pace.ts';
import { CHUNK_METHOD, type ChunkLink, chunkParams, MANIFEST_METHOD, manifestParams, type Providers } from './provider-link.ts';

export interface SwarmEnvironment {
  readonly providers: Providers;
  readonly cache: ChunkCache;
  readonly alarms: Alarms;
  readonly paceOf: (peer: PeerId) => ProviderPace;
  /** A peer sent a chunk or a manifest that is not what was asked for. */
  onLiar(peer: PeerId, payload: PayloadId): void;
}

interface Awaited {
  readonly chunk: Promise<Uint8Array>;
  readonly resolve: (chunk: Uint8Array) => void;
  readonly reject: (error: PeerError) => void;
  users: number;
}

interface Unverified {
  readonly from: PeerId;
  readonly bytes: Uint8Array;
}

export class Swarm {
  readonly #payload: PayloadId;
  readonly #payloadBytes: number;
  readonly #environment: SwarmEnvironment;
  readonly #planner: Planner;
  readonly #stopWatching: () => void;
  readonly #awaited = new Map<number, Awaited>();
  readonly #unverified = new Map<number, Unverified>();
  readonly #underWay = new Map<number, AbortController>();
  #links = new Map<PeerId, ChunkLink>();
  #manifest: Uint8Array | undefined;
  #caching: Promise<boolean> | undefined;
  #disarm = (): void => {};
  #failure: PeerError | undefined;

  /** @param manifest verified, if it is known already */
  constructor(song: { readonly payload: PayloadId; readonly payloadBytes: number; readonly manifest: Uint8Array | null }, environment: SwarmEnvironment) {
    const manifestBytes = chunkCount(song.payloadBytes) * HASH_BYTES;
    if (manifestBytes > MANIFEST_BYTES_MAX) throw new PeerError('TOO_LARGE', 'a song of more than 32 GiB');
    this.#payload = song.payload;
    this.#payloadBytes = song.payloadBytes;
    this.#environment = environment;
    this.#planner = new Planner(environment.paceOf);
    this.#stopWatching = environment.providers.watch(() => this.#meet());
    this.#meet();
    if (song.manifest !== null) this.#adopt(song.manifest);
    else this.#step({ kind: 'wanted', item: MANIFEST, bytes: manifestBytes, now: this.#now });
  }

  /** Why it gave up; such a swarm fetches nothing more. */
  get failure(): PeerError | undefined {
    return this.#failure;
  }

  /** Each call is paired with one of `release`, which frees the chunk. @returns the verified chunk @throws PeerError SONG_UNAVAILABLE */
  fetch(index: number): Promise<Uint8Array> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const known = this.#awaited.get(index);
    if (known !== undefined) {
      known.users++;
      return known.chunk;
    }
    let resolve: (chunk: Uint8Array) => void = () => {};
    let reject: (error: PeerError) => void = () => {};
    const chunk = new Promise<Uint8Array>((yes, no) => {
      resolve = yes;
      reject = no;
    });
    // Read ahead: its reader may look at it much later, or never.
    chunk.catch(() => {});
    this.#awaited.set(index, { chunk, resolve, reject, users: 1 });
    this.#step({ kind: 'wanted', item: index, bytes: chunkLength(this.#payloadBytes, index), now: this.#now });
    return chunk;
  }

  release(index: number): void {
    const awaited = this.#awaited.get(index);
    if (awaited === undefined || --awaited.users > 0) return;
    this.#awaited.delete(index);
    this.#unverified.delete(index);
    this.#step({ kind: 'unwanted', item: index, now: this.#now });
  }

  close(): void {
    this.#stopWatching();
    for (const index of [MANIFEST, ...this.#awaited.keys()]) this.#step({ kind: 'unwanted', item: index, now: this.#now });
    this.#disarm();
  }

  get #now(): Millis {
    return this.#environment.alarms.now();
  }

  #meet(): void {
    const links = this.#environment.providers.ofPayload(this.#payload);
    this.#links = new Map(links.map((link) => [link.peer, link]));
    this.#step({ kind: 'providers', peers: [...this.#links.keys()], now: this.#now });
  }

  #step(input: PlannerInput): void {
    for (const effect of this.#planner.step(input)) this.#carryOut(effect);
  }

  #carryOut(effect: PlannerEffect): void {
    switch (effect.kind) {
      case 'ask':
        void this.#request(effect.request, effect.peer, effect.item);
        return;
      case 'cancel':
        this.#underWay.get(effect.request)?.abort();
        this.#underWay.delete(effect.request);
        return;
      case 'arm':
        this.#disarm();
        this.#disarm = this.#environment.alarms.after(Math.max(0, effect.at - this.#now), () => this.#step({ kind: 'expired', now: this.#now }));
        return;
      case 'give-up':
        this.#fail(new PeerError('SONG_UNAVAILABLE', 'no computer that has this song can be reached'));
    }
  }

  async #request(request: number, peer: PeerId, item: Item): Promise<void> {
    const controller = new AbortController();
    this.#underWay.set(request, controller);
    // Also when the link throws at once, the planner must have finished its step before it hears of it.
    await Promise.resolve();
    try {
      const link = this.#links.get(peer);
      if (link === undefined) throw new PeerError('CONNECTION_LOST', 'that peer has just gone');
      const bytes = item === MANIFEST ? await this.#requestManifest(link, controller.signal) : await link.requestBytes(CHUNK_METHOD, chunkParams(this.#payload, item), waiting(controller));
      if (!this.#underWay.delete(request)) return;
      this.#step({ kind: 'received', request, now: this.#now });
      if (item === MANIFEST) this.#judgeManifest(peer, bytes);
      else this.#receive(item, { from: peer, bytes });
    } catch (error) {
      if (!this.#underWay.delete(request)) return;
      this.#step({ kind: 'failed', request, code: codeOf(error), now: this.#now });
    }
  }

  async #requestManifest(link: ChunkLink, signal: AbortSignal): Promise<Uint8Array> {
    const manifest = Buffer.alloc(chunkCount(this.#payloadBytes) * HASH_BYTES);
    for (let offset = 0; offset < manifest.byteLength; offset += PIECE_BYTES_MAX) {
      const piece = await link.requestBytes(MANIFEST_METHOD, manifestParams(this.#payload, offset), { signal, timeoutMs: REQUEST_TIMEOUT_MS });
      // One of another length leaves zeros or is cut, and then the whole is not what its id says.
      manifest.set(piece.subarray(0, Math.min(PIECE_BYTES_MAX, manifest.byteLength - offset)), offset);
    }
    return manifest;
  }

  #judgeManifest(from: PeerId, manifest: Uint8Array): void {
    try {
      verifyManifest(this.#payload, this.#payloadBytes, manifest);
    } catch {
      this.#putAside(from, MANIFEST);
      return;
    }
    if (this.#manifest === undefined) this.#adopt(manifest);
  }

  #adopt(manifest: Uint8Array): void {
    this.#manifest = manifest;
    this.#caching = this.#environment.cache.begin(this.#payload, this.#payloadBytes, manifest);
    this.#step({ kind: 'verified', item: MANIFEST, now: this.#now });
    for (const [index, unverified] of [...this.#unverified]) this.#judge(manifest, index, unverified);
  }

  #receive(index: number, unverified: Unverified): void {
    if (this.#manifest !== undefined) this.#judge(this.#manifest, index, unverified);
    else if (!this.#unverified.has(index)) this.#unverified.set(index, unverified);
  }

  #judge(manifest: Uint8Array, index: number, { from, bytes }: Unverified): void {
    this.#unverified.delete(index);
    if (!isChunk(manifest, index, bytes)) {
      this.#putAside(from, index);
      return;
    }
    if (bytes.byteLength !== chunkLength(this.#payloadBytes, index)) {
      // The hash is right, so it is not the provider who is wrong, but whoever described the song.
      this.#fail(new PeerError('SONG_UNAVAILABLE', 'the song is not as long as the catalog says'));
      return;
    }
    this.#awaited.get(index)?.resolve(bytes);
    this.#step({ kind: 'verified', item: index, now: this.#now });
    void this.#caching?.then((caching) => caching && this.#environment.cache.write(this.#payload, index, bytes));
  }

  #putAside(peer: PeerId, item: Item): void {
    this.#environment.onLiar(peer, this.#payload);
    this.#step({ kind: 'wrong', item, from: peer, now: this.#now });
  }

  #fail(failure: PeerError): void {
    this.#failure ??= failure;
    for (const { reject } of this.#awaited.values()) reject(failure);
    this.close();
  }
}

const waiting = (controller: AbortController): { readonly signal: AbortSignal; readonly timeoutMs: Millis } => ({
  signal: controller.signal,
  timeoutMs: REQUEST_TIMEOUT_MS,
});
