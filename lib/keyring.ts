// The keys that a peer takes: it seals and dials with the current one, and for a while still opens what comes under those
// before it, so that a key can be changed while some machines are switched off. Times are those of the day, because the
// seven days of a rotation outlast the process.
import { hex } from './ids.ts';
import { deriveFrom, type Network, networkHash } from './network-key.ts';
import type { WallClock } from './time.ts';

/** Long enough for a laptop that is opened at the weekend. */
export const ROTATION_MS = 7 * 24 * 3600 * 1000;

export interface PreviousNetwork {
  readonly network: Network;
  readonly until: WallClock;
}

/** Each costs every dial to a stranger another handshake. */
const PREVIOUS_MAX = 4;

/** A network with what is derived from its key once. */
export interface NetworkKeys {
  readonly network: Network;
  /** 8 hexadecimal digits; says nothing about the key. */
  readonly hash: string;
  /** Pre-shared key of TLS, 32 bytes. */
  readonly psk: Uint8Array;
}

interface Entry extends NetworkKeys {
  readonly until: WallClock;
}

const entryOf = ({ network, until }: PreviousNetwork): Entry => ({
  network,
  until,
  hash: hex(networkHash(network)),
  psk: deriveFrom(network, 'stream', 32),
});

export class Keyring {
  #entries: readonly [Entry, ...Entry[]];
  readonly #wall: () => WallClock;

  constructor(current: Network, { previous = [], wall }: { readonly previous?: readonly PreviousNetwork[]; readonly wall: () => WallClock }) {
    this.#entries = [entryOf({ network: current, until: Number.POSITIVE_INFINITY }), ...previous.map(entryOf)];
    this.#wall = wall;
  }

  get current(): NetworkKeys {
    return this.#entries[0];
  }

  /** The current one first, and none that has run out. */
  get accepted(): readonly NetworkKeys[] {
    const now = this.#wall();
    return this.#entries.filter(({ until }) => until > now);
  }

  /** What to write down, so that a rotation survives a restart. */
  get previous(): readonly PreviousNetwork[] {
    const now = this.#wall();
    return this.#entries.slice(1).filter(({ until }) => until > now);
  }

  find(hash: string): NetworkKeys | undefined {
    const entry = this.#entries.find((candidate) => candidate.hash === hash);
    return entry && entry.until > this.#wall() ? entry : undefined;
  }

  /** Another network, or this one closed: what was accepted is accepted no longer. */
  replace(network: Network): void {
    this.#entries = [entryOf({ network, until: Number.POSITIVE_INFINITY })];
  }

  /** A new key of the same network: those before it are taken until they run out. */
  rotate(network: Network): void {
    const [{ network: before }] = this.#entries;
    const previous = [{ network: before, until: this.#wall() + ROTATION_MS }, ...this.previous].map(entryOf);
    this.#entries = [entryOf({ network, until: Number.POSITIVE_INFINITY }), ...previous.slice(0, PREVIOUS_MAX)];
  }
}
