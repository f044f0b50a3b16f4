// Streams between hosts: reliable and in order while they live. They can be refused, end politely (what was said before arrives),
// be cut (both ends hear it and what was on its way is lost), and stand still: on a way that is cut, and where a fault holds
// back what goes from one host to another. What stood still arrives later, in order, if the stream still lives.
import type { Random } from '../../lib/random.ts';
import type { Millis } from '../../lib/time.ts';
import { momentary } from './chance.ts';
import type { NetworkModel, NetworkOptions } from './network.ts';
import { Paths, type Way } from './paths.ts';
import type { Host, SimInput, StreamId } from './peer.ts';
import { hostName } from './trace.ts';

/** Which end: 0 dialled, 1 answered. */
type End = 0 | 1;
/** A frame, or the other side's end of the stream. */
type Item = Extract<SimInput, { kind: 'streamFrame' | 'streamClosed' | 'streamOpened' }>;

interface Stream {
  readonly id: StreamId;
  readonly hosts: readonly [Host, Host];
  readonly random: Random;
  /** Does the process at that end still have it open? */
  readonly open: [boolean, boolean];
  /** When what was sent last to that end arrives: nothing overtakes it. */
  readonly arrivesAt: [Millis, Millis];
  /** What stands still on its way to that end. */
  readonly held: [Item[], Item[]];
  isCut: boolean;
}

/** What a call costs that no machine answers; peer/links.ts waits as long. */
const DIAL_MS: Millis = 3_000;

export class Streams {
  readonly #options: NetworkOptions;
  readonly #paths: Paths;
  readonly #stillness: Paths;
  readonly #streams = new Map<StreamId, Stream>();
  readonly #refusing = new Set<Host>();
  #model: NetworkModel;
  #numbers = 0;

  constructor(options: NetworkOptions, paths: Paths) {
    this.#options = options;
    this.#paths = paths;
    this.#stillness = new Paths(options.hosts);
    this.#model = options.model;
  }

  become(model: NetworkModel): void {
    this.#model = model;
  }

  open(from: Host, to: Host): StreamId {
    const { scheduler, seed, isUp } = this.#options;
    const id = ++this.#numbers;
    const random = momentary(seed, `streams/${from}/${to}`, () => scheduler.now);
    const stream: Stream = { id, hosts: [from, to], random, open: [true, false], arrivesAt: [0, 0], held: [[], []], isCut: false };
    this.#streams.set(id, stream);
    this.#note(from, `dials ${hostName(to)} (stream ${id})`);
    if (!this.#passes(from, to)) {
      scheduler.after(DIAL_MS, () => this.#fail(stream, false));
      return id;
    }
    scheduler.after(this.#delay(random), () => {
      if (!stream.open[0] || stream.isCut) return;
      if (!isUp(to) || this.#refusing.has(to)) {
        this.#send(stream, 0, { kind: 'streamClosed', stream: id, refused: true }, 0);
        return;
      }
      stream.open[1] = true;
      this.#send(stream, 0, { kind: 'streamOpened', stream: id, host: to, dialled: true }, 0);
      this.#hand(stream, 1, { kind: 'streamOpened', stream: id, host: from, dialled: false });
    });
    return id;
  }

  /** One that has ended takes it without a word: its end will be heard of. */
  write(by: Host, id: StreamId, content: unknown, bytes: number): void {
    const found = this.#endOf(by, id);
    if (found !== undefined) this.#send(found.stream, other(found.end), { kind: 'streamFrame', stream: id, content }, bytes);
  }

  /** Ends it: who closes hears no more of it, the other side after all that was said. */
  close(by: Host, id: StreamId): void {
    const found = this.#endOf(by, id);
    if (found !== undefined) this.#leave(found.stream, found.end);
  }

  /** The process on this host is gone: its kernel ends the streams, and may or may not send what they still held. */
  down(host: Host): void {
    for (const stream of this.#streams.values()) {
      for (const end of [0, 1] as const) {
        if (stream.hosts[end] !== host || !stream.open[end]) continue;
        if (stream.random() < 0.5) this.#leave(stream, end);
        else {
          stream.open[end] = false;
          this.#cut(stream);
        }
      }
    }
  }

  cut(between: (one: Host, other: Host) => boolean): void {
    for (const stream of this.#streams.values()) if (between(...stream.hosts)) this.#cut(stream);
  }

  refuse(host: Host, isRefusing: boolean): void {
    if (isRefusing) this.#refusing.add(host);
    else this.#refusing.delete(host);
  }

  /** Frames stand still on these ways. @returns what lets them go on */
  holdBack(ways: readonly Way[]): () => void {
    const letGo = this.#stillness.cut(ways);
    return () => {
      letGo();
      this.release();
    };
  }

  /** Looks again at what stands still. */
  release(): void {
    for (const stream of this.#streams.values()) {
      for (const end of [0, 1] as const) {
        while (stream.held[end].length > 0 && this.#reaches(stream, end)) this.#hand(stream, end, stream.held[end].shift() as Item);
      }
    }
  }

  #send(stream: Stream, to: End, item: Item, bytes: number): void {
    const { scheduler } = this.#options;
    const earliest = Math.max(scheduler.now + this.#delay(stream.random), stream.arrivesAt[to]);
    stream.arrivesAt[to] = earliest + bytes / this.#model.streamBytesPerMs;
    scheduler.at(stream.arrivesAt[to], () => {
      if (stream.isCut) return;
      if (stream.held[to].length > 0 || !this.#reaches(stream, to)) stream.held[to].push(item);
      else this.#hand(stream, to, item);
    });
  }

  #hand(stream: Stream, to: End, item: Item): void {
    if (!stream.open[to]) return;
    const host = stream.hosts[to];
    if (item.kind === 'streamClosed') {
      stream.open[to] = false;
      this.#forget(stream);
    }
    this.#note(host, item.kind === 'streamFrame' ? `stream ${stream.id} brings: ${this.#options.show(item.content)}` : `stream ${stream.id} ${nameOf(item)}`);
    this.#options.deliver(host, item);
  }

  #leave(stream: Stream, end: End): void {
    stream.open[end] = false;
    this.#note(stream.hosts[end], `closes stream ${stream.id}`);
    if (stream.open[other(end)]) this.#send(stream, other(end), { kind: 'streamClosed', stream: stream.id, refused: false }, 0);
    else this.#forget(stream);
  }

  #cut(stream: Stream): void {
    if (stream.isCut) return;
    stream.isCut = true;
    this.#streams.delete(stream.id);
    // after what runs now, which may be the work of one of its ends
    this.#options.scheduler.after(0, () => this.#fail(stream, false));
  }

  #fail(stream: Stream, refused: boolean): void {
    stream.isCut = true;
    this.#streams.delete(stream.id);
    for (const end of [0, 1] as const) this.#hand(stream, end, { kind: 'streamClosed', stream: stream.id, refused });
  }

  #forget(stream: Stream): void {
    if (!stream.open[0] && !stream.open[1]) this.#streams.delete(stream.id);
  }

  #endOf(host: Host, id: StreamId): { readonly stream: Stream; readonly end: End } | undefined {
    const stream = this.#streams.get(id);
    if (stream === undefined) return undefined;
    const end = stream.hosts[0] === host ? 0 : 1;
    return stream.open[end] ? { stream, end } : undefined;
  }

  #reaches({ hosts }: Stream, to: End): boolean {
    const [from, at] = [hosts[other(to)], hosts[to]];
    return this.#passes(from, at) && this.#stillness.isOpen(from, at);
  }

  /** Acknowledgements go the other way: over a one-way link no stream moves. */
  #passes(from: Host, to: Host): boolean {
    return this.#paths.isOpen(from, to) && this.#paths.isOpen(to, from);
  }

  #delay(random: Random): Millis {
    return this.#model.leastMs + random() * (this.#model.mostMs - this.#model.leastMs);
  }

  #note(host: Host, what: string): void {
    this.#options.trace?.add(hostName(host), what);
  }
}

const other = (end: End): End => (end === 0 ? 1 : 0);

const nameOf = (item: Extract<Item, { kind: 'streamClosed' | 'streamOpened' }>): string => {
  if (item.kind === 'streamClosed') return item.refused ? 'is refused' : 'is closed';
  return item.dialled ? `is open to ${hostName(item.host)}` : `comes from ${hostName(item.host)}`;
};
