// Which peers this one is connected to: one control connection to every member that lives, opened by whichever side can.
// Finds out where a peer is (beats, names, `--join`, what others tell, what was remembered), dials all its addresses a
// little apart (as RFC 8305 does), and tells when a peer's process is gone for certain.
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Address } from '../discovery/address.ts';
import { AddressBook, type AddressSource, type AddressTuple } from '../discovery/address-book.ts';
import { LRUCache } from 'lru-cache';
import { codeOf, PeerError } from '../lib/errors.ts';
import type { BootId, PeerId } from '../lib/ids.ts';
import { PEERS_REMEMBERED_MAX } from '../lib/limits.ts';
import type { Clock, Millis } from '../lib/time.ts';
import type { Sight } from './other-versions.ts';
import type { RemoteAddress } from './stream/channel.ts';
import type { Connection, Handler } from './stream/connection.ts';
import { OtherVersion, type Purpose } from './stream/hello.ts';
import { Refusals } from './stream/refusals.ts';
import type { Streams } from './stream/streams.ts';

/** A second address is tried when the first has not answered for so long. */
const STAGGER_MS: Millis = 150;
const DIAL_TIMEOUT_MS: Millis = 3_000;
/** The greater id leaves the first dial to the smaller, which may be behind a firewall. */
const YIELD_MS: Millis = 400;
/** How long a failed dial rests, doubled each time. */
const REST_MS: Millis = 1_000;
const REST_MS_MAX: Millis = 60_000;
const TICK_MS: Millis = 500;
/** Dials after a connection closed. Several side by side: the kernel repeats a lost SYN only after a second. */
const RECONNECT_AFTER_MS: readonly Millis[] = [0, 100, 200, 400];
/** Who has dialled us is called back; see stream/refusals.ts. Of many that come at once each later one waits longer. */
const CALL_BACK_SPACING_MS: Millis = 5;
const ADDRESSES_METHOD = 'addresses';
/** To peers that nobody here has met. */
const DIALS_AT_ONCE = 8;
/** With those that answer on the LAN right now. */
const CANDIDATES_AT_ONCE = 64;

const nameOf = (peer: PeerId, purpose: Purpose): string => `${purpose}/${peer}`;

interface Rest {
  until: Millis;
  ms: Millis;
}

export interface LinksOptions {
  readonly self: PeerId;
  readonly streams: Streams;
  readonly book: AddressBook;
  readonly clock: Clock;
  /** Where others can reach this peer, as its owner says. */
  readonly advertised: readonly Address[];
  /** Members that live. */
  readonly living: () => Iterable<PeerId>;
}

export interface LinksEvents {
  linked: [Connection];
  unlinked: [{ readonly connection: Connection; readonly refused: boolean }];
  /** A call, from here or from there, met a peer that speaks another version. */
  otherVersion: [Sight];
}

export class Links extends EventEmitter<LinksEvents> {
  readonly #options: LinksOptions;
  readonly #dialling = new Map<string, Promise<Connection>>();
  readonly #rests = new LRUCache<string, Rest>({ max: PEERS_REMEMBERED_MAX * 2 });
  readonly #refusals = new Refusals();
  /** Processes whose connections have all closed, while it is found out whether they live: once, however many there were. */
  readonly #reconnecting = new Map<BootId, { readonly peer: PeerId; readonly over: AbortController; readonly ended: () => void }>();
  #tick: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: LinksOptions) {
    super();
    this.#options = options;
    options.streams.on('opened', this.#opened);
    options.streams.on('closed', this.#closed);
    options.streams.on('refused', this.#refused);
  }

  /** The request by which peers tell each other where others are. */
  handlers(): ReadonlyMap<string, Handler> {
    return new Map<string, Handler>([
      [ADDRESSES_METHOD, (_params, { remote }) => ({ kind: 'value', value: [...this.#own, ...this.#options.book.share(remote.host)] })],
    ]);
  }

  get #own(): readonly AddressTuple[] {
    const { self, advertised } = this.#options;
    return advertised.map(({ host, port }) => [self, host, port] as const);
  }

  start(): void {
    this.#tick = setInterval(() => this.#maintain(), TICK_MS);
    this.#maintain();
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#tick);
    for (const { over } of this.#reconnecting.values()) over.abort();
    this.#options.streams.off('opened', this.#opened);
    this.#options.streams.off('closed', this.#closed);
    this.#options.streams.off('refused', this.#refused);
  }

  /** Somebody said that a peer is at an address: worth a dial when nobody lives there yet. */
  candidate(peer: PeerId, address: Address, source: AddressSource): void {
    this.#options.book.learn(peer, address, source);
    // DNS-SD is not signed: whoever makes names up must not make us dial without end
    if (this.#dialling.size < CANDIDATES_AT_ONCE) this.#attempt(peer);
  }

  /** A member lives: be connected to it. */
  ensure(peer: PeerId): void {
    if (this.#options.streams.connectionTo(peer, 'control')) return;
    this.#rests.delete(nameOf(peer, 'control'));
    if (this.#options.self < peer) this.#attempt(peer);
    else setTimeout(() => this.#attempt(peer), YIELD_MS).unref();
  }

  /** A connection for chunks: the bulk one, opened when it is first wanted; the control one carries them meanwhile. */
  forChunks(peer: PeerId): Connection | undefined {
    const bulk = this.#options.streams.connectionTo(peer, 'bulk');
    if (bulk === undefined) this.#attempt(peer, 'bulk');
    return bulk ?? this.#options.streams.connectionTo(peer, 'control');
  }

  /** Members without a connection, and targets of `--join` that were not met, are tried again. */
  #maintain(): void {
    for (const peer of this.#options.living()) this.#attempt(peer);
    for (const target of this.#options.book.unmetTargets()) this.#attemptTarget(target);
    this.#dialHeardOf();
  }

  /** Peers of an earlier run, and those that others speak of, may be there although nothing is heard of them. A few at a
   *  time, whoever made how many of them up. */
  #dialHeardOf(): void {
    for (const peer of this.#options.book.peers().reverse()) {
      if (this.#dialling.size >= DIALS_AT_ONCE) return;
      this.#attempt(peer);
    }
  }

  #attempt(peer: PeerId, purpose: Purpose = 'control'): void {
    if (peer === this.#options.self || this.#options.streams.connectionTo(peer, purpose)) return;
    const addresses = this.#options.book.addressesOf(peer);
    if (addresses.length === 0) return;
    this.#guarded(nameOf(peer, purpose), () => this.#dialAny(peer, addresses, purpose));
  }

  #attemptTarget(target: Address): void {
    this.#guarded(`${target.host}:${target.port}`, async () => {
      try {
        const connection = await this.#options.streams.dial(target, { purpose: 'control', timeoutMs: DIAL_TIMEOUT_MS });
        this.#options.book.succeeded(connection.hello.peer, target, this.#options.clock.now());
        return connection;
      } catch (error) {
        this.#options.book.failed(undefined, target);
        this.#notTalking(error, undefined, target);
        throw error;
      }
    });
  }

  /** One dial at a time of each name, with rests between failures. */
  #guarded(name: string, dial: () => Promise<Connection>): void {
    const now = this.#options.clock.now();
    if (this.#stopped || this.#dialling.has(name) || (this.#rests.get(name)?.until ?? 0) > now) return;
    const dialling = dial();
    this.#dialling.set(name, dialling);
    dialling
      .then(
        () => this.#rests.delete(name),
        () => {
          const ms = Math.min((this.#rests.get(name)?.ms ?? REST_MS / 2) * 2, REST_MS_MAX);
          this.#rests.set(name, { until: this.#options.clock.now() + ms, ms });
        },
      )
      .finally(() => this.#dialling.delete(name));
  }

  /** @throws PeerError of the last address that failed */
  #dialAny(peer: PeerId, addresses: readonly Address[], purpose: Purpose): Promise<Connection> {
    return new Promise((resolve, reject) => {
      let open = addresses.length;
      let done = false;
      const attempt = async (address: Address, afterMs: Millis): Promise<void> => {
        try {
          if (afterMs > 0) await new Promise((later) => setTimeout(later, afterMs));
          if (done || this.#stopped) return;
          const meanwhile = this.#options.streams.connectionTo(peer, purpose);
          // what is under way stays: the other side may have given its own up for it
          if (meanwhile !== undefined) return resolve(meanwhile);
          const connection = await this.#options.streams.dial(address, { expect: peer, purpose, timeoutMs: DIAL_TIMEOUT_MS });
          this.#options.book.succeeded(peer, address, this.#options.clock.now());
          if (done) connection.close();
          done = true;
          resolve(connection);
        } catch (error) {
          this.#options.book.failed(peer, address);
          this.#notTalking(error, peer, address);
          open -= 1;
          if (open === 0) reject(error);
        }
      };
      for (const [i, address] of addresses.entries()) void attempt(address, i * STAGGER_MS);
    });
  }

  readonly #refused = (error: PeerError, { host }: RemoteAddress): void => {
    if (error instanceof OtherVersion) this.emit('otherVersion', { peer: error.peer, name: error.sender, address: { host, port: error.port }, version: error.version });
  };

  /** Who takes our call refuses the hello of another version without saying which one is its own. */
  #notTalking(error: unknown, peer: PeerId | undefined, address: Address): void {
    if (error instanceof OtherVersion) this.emit('otherVersion', { peer: error.peer ?? peer, name: error.sender, address, version: error.version });
    else if (codeOf(error) === 'UNSUPPORTED') this.emit('otherVersion', { peer, name: '', address, version: undefined });
  }

  readonly #opened = (connection: Connection): void => {
    if (connection.purpose !== 'control') return;
    const { hello, remote, dialled } = connection;
    this.#rests.delete(nameOf(hello.peer, 'control'));
    // a call of theirs calls off ours only where theirs goes first, or two that call each other could each give way
    if (dialled || hello.peer < this.#options.self) for (const { peer, over } of this.#reconnecting.values()) if (peer === hello.peer) over.abort();
    if (hello.port > 0) {
      const address = { host: remote.host, port: hello.port };
      // of two that call in one moment the later one has to hear of the other
      this.#options.book.learn(hello.peer, address, 'advertised');
      if (dialled) this.#refusals.took(hello.bootId, address);
      else this.#callBack(hello.bootId, address);
    }
    this.emit('linked', connection);
    connection.request(ADDRESSES_METHOD, []).then(
      (addresses) => this.#told(addresses, hello.peer),
      () => undefined, // an older peer, or one that left again
    );
  };

  #callBack(boot: BootId, address: Address): void {
    const call = (): void => {
      if (!this.#stopped) void this.#refusals.learn(boot, address);
    };
    setTimeout(call, CALL_BACK_SPACING_MS * this.#options.streams.connections.size).unref();
  }

  #told(addresses: unknown, by: PeerId): void {
    this.#options.book.take(addresses, 'exchanged', by);
    this.#dialHeardOf();
  }

  readonly #closed = (connection: Connection): void => {
    const { peer, bootId } = connection.hello;
    if (this.#stopped || connection.purpose !== 'control' || this.#options.streams.connectionTo(peer, 'control')) return;
    const under = this.#reconnecting.get(bootId);
    if (under !== undefined) {
      // it may have ended since the first of them closed
      void this.#refusals.hasEnded(bootId).then((ended) => ended && under.ended());
      return;
    }
    const over = new AbortController();
    const decided = new Promise<boolean>((resolve) => {
      over.signal.addEventListener('abort', () => resolve(false), { once: true });
      this.#reconnecting.set(bootId, { peer, over, ended: () => resolve(true) });
    });
    void Promise.race([decided, this.#isRefused(connection, over.signal)]).then((refused) => {
      over.abort();
      this.#reconnecting.delete(bootId);
      if (!this.#stopped && !this.#options.streams.connectionTo(peer, 'control')) this.emit('unlinked', { connection, refused });
    });
  };

  /** Has that process ended? Its machine is knocked at, and dialled meanwhile in case that it lives.
   *  @param over aborts when that is decided: one connection is enough */
  async #isRefused({ hello: { peer, bootId } }: Connection, over: AbortSignal): Promise<boolean> {
    const [address] = this.#options.book.addressesOf(peer);
    if (!address) return false;
    const refused = async (): Promise<true> => {
      if (await this.#refusals.hasEnded(bootId)) return true;
      throw new PeerError('CANCELLED', 'somebody listens there, or nobody says otherwise');
    };
    // both sides find the stream closed: the greater id leaves the first dial to the smaller, or there would be two streams
    const dials = RECONNECT_AFTER_MS.slice(this.#options.self < peer ? 0 : 1).map(async (ms) => {
      await sleep(ms, undefined, { signal: over });
      if (this.#options.streams.connectionTo(peer, 'control')) throw new PeerError('CANCELLED', 'connected meanwhile');
      try {
        await this.#options.streams.dial(address, { expect: peer, purpose: 'control', timeoutMs: DIAL_TIMEOUT_MS, signal: over });
      } catch (error) {
        // it may have ended after it answered the knock
        if (codeOf(error) === 'CONNECTION_REFUSED' && (await this.#refusals.hasEnded(bootId))) return true;
        throw error;
      }
      throw new PeerError('CANCELLED', 'it lives');
    });
    return Promise.any([refused(), ...dials]).catch(() => false);
  }

  /** Somebody found it dead: whether that process has ended can be had from its machine, and need not be waited for. */
  hasEnded(boot: BootId): Promise<boolean> {
    return this.#refusals.hasEnded(boot);
  }
}
