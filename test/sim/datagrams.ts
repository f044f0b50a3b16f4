// Datagrams on a LAN that loses them one by one and in bursts, repeats them, lets them overtake each other, and cuts ways. With
// a wire, what is sent at once queues at its sender and overflows the buffers of its receivers, as on real machines: a burst of
// 20,000 datagrams that nobody paces loses most of them. Everything ever sent can be sent again by somebody who listened.
import assert from 'node:assert/strict';
import { DATAGRAM_BYTES_MAX } from '../../lib/limits.ts';
import type { Random } from '../../lib/random.ts';
import type { Millis } from '../../lib/time.ts';
import { chance, momentary, pick } from './chance.ts';
import type { NetworkModel, NetworkOptions } from './network.ts';
import type { Paths } from './paths.ts';
import type { Host, SimInput } from './peer.ts';
import { hostName } from './trace.ts';

type Datagram = Extract<SimInput, { kind: 'datagram' }>;

/** Bursts at one receiver: the next begins then, the running one ends then. */
interface Weather {
  readonly random: Random;
  beginsAt: Millis;
  endsAt: Millis;
}

export class Datagrams {
  readonly #options: NetworkOptions;
  readonly #paths: Paths;
  #model: NetworkModel;
  /** Of each way; made when first used, for there are 40,000 among 200 hosts. */
  readonly #chances: (Random | undefined)[] = [];
  readonly #weather: Weather[] = [];
  /** Until when each host's wire is in use, and its processor with what came. */
  readonly #sendingUntil: Float64Array;
  readonly #busyUntil: Float64Array;
  readonly #waiting: Uint32Array;
  /** Loss that comes on top, by receiver. */
  readonly #storms: Float64Array;
  readonly #captured: Datagram[] = [];
  #lost = 0;

  constructor(options: NetworkOptions, paths: Paths) {
    this.#options = options;
    this.#paths = paths;
    this.#model = options.model;
    this.#sendingUntil = new Float64Array(options.hosts);
    this.#busyUntil = new Float64Array(options.hosts);
    this.#waiting = new Uint32Array(options.hosts);
    this.#storms = new Float64Array(options.hosts);
  }

  /** Datagrams that did not reach a receiver, for whatever reason. */
  get lost(): number {
    return this.#lost;
  }

  become(model: NetworkModel): void {
    this.#model = model;
    this.#storms.fill(0);
  }

  /** To every other host, each of which loses it for itself. */
  multicast(from: Host, content: unknown, bytes: number): void {
    const datagram: Datagram = { kind: 'datagram', from, via: 'multicast', content };
    const delayMs = this.#depart(datagram, bytes, 'all');
    for (let to = 0; to < this.#options.hosts; to++) if (to !== from && this.#options.isUp(to)) this.#carry(datagram, to, delayMs);
  }

  unicast(from: Host, to: Host, content: unknown, bytes: number): void {
    const datagram: Datagram = { kind: 'datagram', from, via: 'unicast', content };
    this.#carry(datagram, to, this.#depart(datagram, bytes, hostName(to)));
  }

  /** Loss at one receiver on top of the usual; 0 ends it. */
  storm(host: Host, loss: number): void {
    this.#storms[host] = loss;
  }

  isStormy(host: Host): boolean {
    return this.#storms[host] !== 0;
  }

  /** Somebody who listened sends `count` of all datagrams again, to one host. */
  replay(to: Host, count: number, random: Random): void {
    for (let i = 0; i < count && this.#captured.length > 0; i++) this.#carry(pick(random, this.#captured), to, 0);
  }

  /** @returns how long it waits for its host's wire */
  #depart(datagram: Datagram, bytes: number, whom: string): Millis {
    assert(bytes <= DATAGRAM_BYTES_MAX, `a datagram of ${bytes} bytes`);
    const { scheduler, trace, show, captures } = this.#options;
    const { from } = datagram;
    trace?.add(hostName(from), `sent to ${whom}: ${show(datagram.content)}`);
    if (captures) this.#captured.push(datagram);
    const { wire } = this.#model;
    if (wire === null) return 0;
    const until = Math.max(scheduler.now, this.#sendingUntil[from] as number) + (bytes * 8) / wire.bitsPerMs;
    this.#sendingUntil[from] = until;
    return until - scheduler.now;
  }

  #carry(datagram: Datagram, to: Host, delayMs: Millis): void {
    const { from } = datagram;
    if (!this.#paths.isOpen(from, to)) return this.#lose(datagram, to, 'cut');
    const random = this.#chanceOf(from, to);
    const { leastMs, mostMs, duplicates, late, lateMs } = this.#model;
    // one draw decides between loss, one and two, so that less of one of them shifts nothing else
    const fate = random();
    const lossHere = this.#lossAt(to);
    if (fate < lossHere) return this.#lose(datagram, to, 'lost');
    const copies = fate >= 1 - duplicates * (1 - lossHere) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      let ms = delayMs + leastMs + random() * (mostMs - leastMs);
      if (late > 0 && random() < late) ms += random() * lateMs;
      this.#options.scheduler.after(ms, () => this.#arrive(datagram, to));
    }
  }

  #arrive(datagram: Datagram, to: Host): void {
    const { wire } = this.#model;
    if (wire === null) return this.#hand(datagram, to);
    const { scheduler } = this.#options;
    const waiting = this.#waiting[to] as number;
    if (waiting >= wire.bufferDatagrams) return this.#lose(datagram, to, 'overflowed');
    this.#waiting[to] = waiting + 1;
    const until = Math.max(scheduler.now, this.#busyUntil[to] as number) + wire.costMs;
    this.#busyUntil[to] = until;
    scheduler.at(until, () => {
      this.#waiting[to] = (this.#waiting[to] as number) - 1;
      this.#hand(datagram, to);
    });
  }

  #hand(datagram: Datagram, to: Host): void {
    const { trace, show, deliver } = this.#options;
    trace?.add(hostName(to), `received from ${hostName(datagram.from)}: ${show(datagram.content)}`);
    deliver(to, datagram);
  }

  #lose(datagram: Datagram, to: Host, why: string): void {
    this.#lost += 1;
    const { trace, show } = this.#options;
    trace?.add(hostName(to), `${why} from ${hostName(datagram.from)}: ${show(datagram.content)}`);
  }

  #lossAt(to: Host): number {
    const { loss, bursts } = this.#model;
    let kept = (1 - loss) * (1 - (this.#storms[to] as number));
    if (bursts !== null && this.#isBursting(to, bursts)) kept *= 1 - bursts.loss;
    return 1 - kept;
  }

  /** Good and bad times follow each other, as in Gilbert's and Elliott's model of channels. */
  #isBursting(to: Host, { everyMs, ms }: NonNullable<NetworkModel['bursts']>): boolean {
    const { now } = this.#options.scheduler;
    const weather = (this.#weather[to] ??= { random: chance(this.#options.seed, `bursts/${to}`), beginsAt: Number.NaN, endsAt: 0 });
    const lasting = (meanMs: Millis): Millis => -meanMs * Math.log(1 - weather.random());
    if (Number.isNaN(weather.beginsAt)) weather.beginsAt = lasting(everyMs);
    while (now >= weather.beginsAt) {
      weather.endsAt = weather.beginsAt + lasting(ms);
      weather.beginsAt = weather.endsAt + lasting(everyMs);
    }
    return now < weather.endsAt;
  }

  #chanceOf(from: Host, to: Host): Random {
    return (this.#chances[from * this.#options.hosts + to] ??= momentary(this.#options.seed, `datagrams/${from}/${to}`, () => this.#options.scheduler.now));
  }
}
