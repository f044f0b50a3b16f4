// Streams between simulated peers: one to every member that lives, as peer/links.ts keeps them. A stream that ends and is refused
// when it is dialled again says that the process is gone.
import type { BootId, PeerId } from '../../lib/ids.ts';
import type { Millis } from '../../lib/time.ts';
import type { Host, SimEnv, StreamId } from './peer.ts';

export interface Hello {
  readonly kind: 'hello';
  readonly peer: PeerId;
  readonly boot: BootId;
}

export interface Link {
  readonly stream: StreamId;
  readonly peer: PeerId;
  readonly boot: BootId;
}

export interface LinksOptions {
  readonly env: SimEnv;
  readonly self: PeerId;
  readonly boot: BootId;
  /** Members that live, and where. */
  readonly living: () => Iterable<readonly [PeerId, Host]>;
  readonly linked: (link: Link, host: Host) => void;
  /** The last stream to this boot is gone. */
  readonly unlinked: (link: Link, refused: boolean) => void;
  /** Who was knocked at does not listen any more. */
  readonly hasEnded: (link: Link) => void;
  readonly frame: (link: Link, content: unknown) => void;
  readonly closed: (link: Link) => void;
}

/** The greater id leaves the first dial to the smaller; see peer/links.ts. */
const YIELD_MS: Millis = 400;
const TICK_MS: Millis = 500;
const HELLO_BYTES = 200;

export class Links {
  readonly #options: LinksOptions;
  readonly #links = new Map<StreamId, Link>();
  /** The newest to each peer. */
  readonly #newest = new Map<PeerId, Link>();
  /** Streams that were dialled and are not open yet. */
  readonly #dialled = new Map<StreamId, { readonly peer: PeerId; readonly host: Host; readonly lost: Link | undefined }>();
  /** Streams that were opened to see whether somebody listens. */
  readonly #knocks = new Map<StreamId, Link>();
  readonly #hosts = new Map<StreamId, Host>();
  readonly #seenAt = new Map<PeerId, Millis>();
  /** Nobody was without a link when it last looked, and none has come or gone since. */
  #isComplete = false;

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  start(): void {
    this.#options.env.arm('links', TICK_MS);
  }

  has({ stream }: Link): boolean {
    return this.#links.has(stream);
  }

  /** The newest to this peer. */
  to(peer: PeerId): Link | undefined {
    return this.#newest.get(peer);
  }

  /** A member lives: be connected to it. */
  ensure(peer: PeerId, host: Host): void {
    const { env, self } = this.#options;
    this.#seenAt.set(peer, env.now());
    this.#isComplete = false;
    if (self < peer && !this.to(peer)) this.#dial(peer, host, undefined);
  }

  /** Whether the process of a peer that somebody doubts has ended its machine may say; see peer/stream/knock.ts. */
  knock(peer: PeerId, boot: BootId, host: Host): void {
    const stream = this.#options.env.open(host);
    this.#knocks.set(stream, { stream, peer, boot });
  }

  tick(): void {
    const { env, living, self } = this.#options;
    let isComplete = true;
    for (const [peer, host] of this.#isComplete ? [] : living()) {
      if (this.to(peer)) continue;
      isComplete = false;
      const mayDial = self < peer || env.now() - (this.#seenAt.get(peer) ?? 0) >= YIELD_MS;
      if (mayDial && ![...this.#dialled.values()].some((dialled) => dialled.peer === peer)) this.#dial(peer, host, undefined);
    }
    this.#isComplete = isComplete;
    env.arm('links', TICK_MS);
  }

  /** Closes every stream to a peer that is gone. */
  drop(peer: PeerId): void {
    for (const link of [...this.#links.values()]) if (link.peer === peer) this.#close(link);
  }

  closeAll(): void {
    for (const link of [...this.#links.values()]) this.#close(link);
    for (const stream of [...this.#dialled.keys(), ...this.#knocks.keys(), ...this.#hosts.keys()]) this.#options.env.close(stream);
  }

  opened(stream: StreamId, host: Host): void {
    const { env, self, boot } = this.#options;
    if (this.#knocks.delete(stream)) return env.close(stream);
    this.#hosts.set(stream, host);
    env.write(stream, { kind: 'hello', peer: self, boot } satisfies Hello, HELLO_BYTES);
  }

  received(stream: StreamId, content: unknown): void {
    const link = this.#links.get(stream);
    if (link) return this.#options.frame(link, content);
    const { peer, boot } = content as Hello;
    const { env, self, linked } = this.#options;
    const host = this.#hosts.get(stream);
    const dialled = this.#dialled.get(stream);
    this.#dialled.delete(stream);
    // our own process, or a clone of it, or another than was dialled (see handshake.ts); or one that was opened under the
    // identity before
    if (peer === self || host === undefined || (dialled && dialled.peer !== peer)) return env.close(stream);
    const greeted = { stream, peer, boot };
    this.#links.set(stream, greeted);
    this.#newest.set(peer, greeted);
    linked(greeted, host);
  }

  ended(stream: StreamId, refused: boolean): void {
    const { closed, unlinked, hasEnded } = this.#options;
    const knock = this.#knocks.get(stream);
    this.#knocks.delete(stream);
    if (knock) return refused ? hasEnded(knock) : undefined;
    const dialled = this.#dialled.get(stream);
    const link = this.#links.get(stream);
    const host = this.#hosts.get(stream);
    this.#dialled.delete(stream);
    if (link) this.#forget(link);
    this.#hosts.delete(stream);
    if (dialled?.lost && !this.to(dialled.lost.peer)) unlinked(dialled.lost, refused);
    if (!link) return;
    closed(link);
    if (!this.to(link.peer) && host !== undefined) this.#dial(link.peer, host, link);
  }

  #dial(peer: PeerId, host: Host, lost: Link | undefined): void {
    const stream = this.#options.env.open(host);
    this.#dialled.set(stream, { peer, host, lost });
  }

  #close(link: Link): void {
    this.#forget(link);
    this.#hosts.delete(link.stream);
    this.#options.env.close(link.stream);
    this.#options.closed(link);
  }

  #forget(link: Link): void {
    this.#links.delete(link.stream);
    this.#isComplete = false;
    if (this.#newest.get(link.peer) !== link) return;
    this.#newest.delete(link.peer);
    for (const other of this.#links.values()) if (other.peer === link.peer) this.#newest.set(link.peer, other);
  }
}
