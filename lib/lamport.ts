// Lamport's logical clock ("Time, Clocks, and the Ordering of Events in a Distributed System", 1978), by its five rules:
// it starts at zero, ticks on an internal event, is attached to messages, becomes max(own, attached) + 1 on receipt, and
// orders events. The three verbs are serf's: time, increment, witness.

/** A logical time; 0 is before every event. */
export type Lamport = number;

/** Valid times lie strictly between 0 and this. Nothing else may be asked of a time: any rule that needs a neighbour
 *  or a local clock makes peers disagree for ever about what is valid. */
export const LAMPORT_MAX: Lamport = 2 ** 52;

/** Another origin's time further ahead than this is kept and relayed but not attached: one broken clock must not use
 *  up everybody's range. 2^40 is 35 years of a thousand operations a second. */
export const LAMPORT_LEAP_MAX: Lamport = 2 ** 40;

export const isLamport = (value: unknown): value is Lamport =>
  Number.isSafeInteger(value) && (value as number) > 0 && (value as number) < LAMPORT_MAX;

export class LamportClock {
  #time: Lamport;

  constructor(time: Lamport = 0) {
    this.#time = time;
  }

  /** The time of the latest event; 0 before the first. */
  get time(): Lamport {
    return this.#time;
  }

  /** An internal event happens: ticks, and returns its time. */
  increment(): Lamport {
    if (this.#time + 1 >= LAMPORT_MAX) throw new RangeError('the Lamport clock has run out');
    this.#time += 1;
    return this.#time;
  }

  /** Learns how far others are, without an event: beats come all the time, and a quiet network's time stands still.
   *  Whatever happens next still lies after everything that was heard of. */
  catchUp(time: Lamport): void {
    if (time <= this.#time + LAMPORT_LEAP_MAX) this.#time = Math.max(this.#time, Math.min(time, LAMPORT_MAX - 2));
  }

  /** A message arrives with its sender's time attached: max(own, attached) + 1. Returns false, and stays, when the
   *  attached time leaps too far ahead to be believed. `own` lifts that bound: a peer always attaches what it wrote. */
  witness(attached: Lamport, { own = false }: { readonly own?: boolean } = {}): boolean {
    if (!own && attached > this.#time + LAMPORT_LEAP_MAX) return false;
    this.#time = Math.max(this.#time, Math.min(Math.max(this.#time, attached) + 1, LAMPORT_MAX - 2));
    return true;
  }
}
