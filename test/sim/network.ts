// What the simulated LAN is like, as data, and the LAN itself: ways between hosts that can be cut, datagrams and streams on them.
import type { Millis } from '../../lib/time.ts';
import { Datagrams } from './datagrams.ts';
import { Paths, type Way } from './paths.ts';
import type { Host, SimInput } from './peer.ts';
import type { Scheduler } from './scheduler.ts';
import { Streams } from './streams.ts';
import type { Trace } from './trace.ts';

export interface NetworkModel {
  readonly leastMs: Millis;
  readonly mostMs: Millis;
  /** Of datagrams, each for itself, 0 to 1. */
  readonly loss: number;
  /** Losses in bursts, at each receiver: some time apart, some time long, on average. */
  readonly bursts: { readonly everyMs: Millis; readonly ms: Millis; readonly loss: number } | null;
  /** Share of datagrams that arrive twice. */
  readonly duplicates: number;
  /** Share of datagrams that take up to `lateMs` more, and so are overtaken. */
  readonly late: number;
  readonly lateMs: Millis;
  /** Of each stream. */
  readonly streamBytesPerMs: number;
  /** A wire with a rate, and receivers that need time for each datagram and forget those beyond their buffer. */
  readonly wire: { readonly bitsPerMs: number; readonly bufferDatagrams: number; readonly costMs: Millis } | null;
}

export const CALM: NetworkModel = {
  leastMs: 0.2,
  mostMs: 2,
  loss: 0,
  bursts: null,
  duplicates: 0,
  late: 0,
  lateMs: 0,
  streamBytesPerMs: 10_000,
  wire: null,
};

/** A switch with 1 Gbit/s ports. A buffer of RECEIVE_BUFFER_BYTES holds 910 datagrams; a peer opens and decodes some 20,000 a second. */
export const WIRED: NetworkModel = {
  ...CALM,
  leastMs: 0.1,
  mostMs: 0.5,
  streamBytesPerMs: 100_000,
  wire: { bitsPerMs: 1_000_000, bufferDatagrams: 910, costMs: 0.05 },
};

/** A connection whose other side says nothing is given up after twice KEEPALIVE_MS. */
const SILENT_MS: Millis = 20_000;

export interface NetworkOptions {
  readonly scheduler: Scheduler;
  readonly seed: number;
  readonly hosts: number;
  readonly model: NetworkModel;
  readonly deliver: (host: Host, input: SimInput) => void;
  readonly isUp: (host: Host) => boolean;
  /** Is every datagram kept, so that it can be sent again? */
  readonly captures: boolean;
  readonly trace: Trace | null;
  readonly show: (content: unknown) => string;
}

export class Network {
  readonly paths: Paths;
  readonly datagrams: Datagrams;
  readonly streams: Streams;
  readonly #scheduler: Scheduler;

  constructor(options: NetworkOptions) {
    this.#scheduler = options.scheduler;
    this.paths = new Paths(options.hosts);
    this.datagrams = new Datagrams(options, this.paths);
    this.streams = new Streams(options, this.paths);
  }

  /** @returns what heals it */
  cut(ways: readonly Way[]): () => void {
    const open = this.paths.cut(ways);
    let healed = false;
    this.#scheduler.after(SILENT_MS, () => {
      if (!healed) for (const { from, to } of ways) this.streams.cut((one, other) => (one === from && other === to) || (one === to && other === from));
    });
    return () => {
      healed = true;
      open();
      this.streams.release();
    };
  }

  /** From now on it is like this; what is on its way is not touched. */
  become(model: NetworkModel): void {
    this.datagrams.become(model);
    this.streams.become(model);
  }
}
