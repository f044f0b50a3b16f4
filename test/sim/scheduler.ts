// Virtual time: a binary heap of what is still to happen, ordered by time and then by when it was asked for, so that what falls
// on one instant keeps its order and one seed is one run. Nothing here waits and no promise is involved: a minute of twenty
// peers passes in a tenth of a second.
import assert from 'node:assert/strict';
import type { Millis } from '../../lib/time.ts';

/** Something that will happen, until it is cancelled. */
export interface Happening {
  readonly at: Millis;
  readonly number: number;
  run: (() => void) | null;
}

/** Cancelled ones stay in the heap until they are due, or until they are so many and more than half. */
const SWEEP_AT = 1_024;

export class Scheduler {
  #now: Millis = 0;
  #heap: Happening[] = [];
  #numbers = 0;
  #cancelled = 0;
  #happened = 0;
  #halted = false;

  get now(): Millis {
    return this.#now;
  }

  /** How much has happened: what speed is measured in. */
  get happened(): number {
    return this.#happened;
  }

  after(ms: Millis, run: () => void): Happening {
    return this.at(this.#now + ms, run);
  }

  at(at: Millis, run: () => void): Happening {
    assert(at >= this.#now, 'nothing can happen in the past');
    const happening: Happening = { at, number: this.#numbers++, run };
    this.#push(happening);
    return happening;
  }

  cancel(happening: Happening): void {
    if (happening.run === null) return;
    happening.run = null;
    this.#cancelled += 1;
    if (this.#cancelled > SWEEP_AT && this.#cancelled * 2 > this.#heap.length) this.#sweep();
  }

  /** Lets everything happen that is due by `until`, unless it halts. */
  runTo(until: Millis): void {
    while (!this.#halted) {
      const next = this.#heap[0];
      if (next === undefined || next.at > until) break;
      this.#pop();
      const { run } = next;
      if (run === null) {
        this.#cancelled -= 1;
        continue;
      }
      // what has happened can no longer be cancelled
      next.run = null;
      this.#now = next.at;
      this.#happened += 1;
      run();
    }
    if (!this.#halted) this.#now = Math.max(this.#now, until);
  }

  /** Nothing happens after this: a violation was found, and what follows would only hide it. */
  halt(): void {
    this.#halted = true;
  }

  #push(happening: Happening): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(happening);
    while (place > 0) {
      const above = (place - 1) >> 1;
      const other = heap[above] as Happening;
      if (!isBefore(happening, other)) break;
      heap[place] = other;
      place = above;
    }
    heap[place] = happening;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Happening;
    if (heap.length > 0) this.#sink(0, last);
  }

  #sink(from: number, happening: Happening): void {
    const heap = this.#heap;
    const end = heap.length;
    let place = from;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= end) break;
      if (below + 1 < end && isBefore(heap[below + 1] as Happening, heap[below] as Happening)) below += 1;
      const other = heap[below] as Happening;
      if (!isBefore(other, happening)) break;
      heap[place] = other;
      place = below;
    }
    heap[place] = happening;
  }

  #sweep(): void {
    this.#heap = this.#heap.filter(({ run }) => run !== null);
    this.#cancelled = 0;
    for (let place = (this.#heap.length >> 1) - 1; place >= 0; place--) this.#sink(place, this.#heap[place] as Happening);
  }
}

const isBefore = (a: Happening, b: Happening): boolean => a.at < b.at || (a.at === b.at && a.number < b.number);

const TIMER_LEAST_MS: Millis = 0.001;

/** The timers of one boot, by name: arming one again moves it. */
export class Timers {
  readonly #scheduler: Scheduler;
  readonly #expired: (name: string) => void;
  readonly #armed = new Map<string, Happening>();

  constructor(scheduler: Scheduler, expired: (name: string) => void) {
    this.#scheduler = scheduler;
    this.#expired = expired;
  }

  arm(name: string, ms: Millis): void {
    const before = this.#armed.get(name);
    if (before !== undefined) this.#scheduler.cancel(before);
    const run = (): void => {
      this.#armed.delete(name);
      this.#expired(name);
    };
    // a clock that a difference was taken of may be a rounding error away, and the time has to pass all the same
    this.#armed.set(name, this.#scheduler.after(ms <= 0 ? 0 : Math.max(TIMER_LEAST_MS, ms), run));
  }

  disarm(name: string): void {
    const armed = this.#armed.get(name);
    if (armed === undefined) return;
    this.#scheduler.cancel(armed);
    this.#armed.delete(name);
  }

  /** None expires for so long: they count a time that stands still. */
  delay(ms: Millis): void {
    for (const [name, armed] of [...this.#armed]) this.arm(name, armed.at - this.#scheduler.now + ms);
  }

  /** Disarms them all: their process is gone. */
  stop(): void {
    for (const armed of this.#armed.values()) this.#scheduler.cancel(armed);
    this.#armed.clear();
  }
}
