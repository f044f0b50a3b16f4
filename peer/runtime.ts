// The driver of the pure machines: feeds them, keeps their timers, and hands every other effect to whoever carries it out.
// Effects may feed the machine again; those inputs wait their turn, so that a step never sees another in the middle.
import type { Clock, Millis } from '../lib/time.ts';

interface Arm<Timer> {
  readonly kind: 'arm';
  readonly timer: Timer;
  readonly ms: Millis;
}

export interface Machine<State, Input, Effect> {
  readonly state: State;
  readonly step: (state: State, input: Input) => readonly Effect[];
}

/** An input without its time, which the driver adds. */
export type Untimed<Input> = Input extends { readonly now: Millis } ? Omit<Input, 'now'> : never;

export class Driver<State, Timer, Input extends { readonly now: Millis }, Effect extends { readonly kind: string }> {
  readonly state: State;
  readonly #step: Machine<State, Input, Effect>['step'];
  readonly #clock: Clock;
  readonly #carryOut: (effect: Exclude<Effect, Arm<Timer>>) => void;
  readonly #expired: (timer: Timer) => Untimed<Input>;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #inputs: Untimed<Input>[] = [];
  #stepping = false;
  #quiet = false;
  #stopped = false;

  constructor(
    machine: Machine<State, Input, Effect>,
    options: {
      readonly clock: Clock;
      readonly carryOut: (effect: Exclude<Effect, Arm<Timer>>) => void;
      /** The input that says that a timer ran out. */
      readonly expired: (timer: Timer) => Untimed<Input>;
    },
  ) {
    this.state = machine.state;
    this.#step = machine.step;
    this.#clock = options.clock;
    this.#carryOut = options.carryOut;
    this.#expired = options.expired;
  }

  feed(input: Untimed<Input>): void {
    if (this.#stopped) return;
    this.#inputs.push(input);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#inputs.shift(); next; next = this.#inputs.shift()) {
        const effects = this.#step(this.state, { ...next, now: this.#clock.now() } as unknown as Input);
        for (const effect of effects) {
          if (effect.kind === 'arm') this.#arm(effect as unknown as Arm<Timer>);
          else this.#carryOut(effect as Exclude<Effect, Arm<Timer>>);
        }
      }
    } finally {
      this.#stepping = false;
    }
  }

  /** No timer fires after this, but what is under way still comes to its end. */
  quiet(): void {
    this.#quiet = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  /** No timer fires and no input counts after this. */
  stop(): void {
    this.#stopped = true;
    this.quiet();
  }

  /** One timer of each name: arming it again moves it. None expires early, as Node's may by a millisecond: a machine takes
   *  one that does for one that was meant for before, and waits for ever for the other. */
  #arm({ timer, ms }: Arm<Timer>): void {
    const name = JSON.stringify(timer);
    clearTimeout(this.#timers.get(name));
    if (this.#quiet) return;
    const dueAt = this.#clock.now() + ms;
    const wait = (leftMs: Millis): void => {
      this.#timers.set(
        name,
        setTimeout(() => {
          const stillMs = dueAt - this.#clock.now();
          if (stillMs > 0) return wait(stillMs);
          this.#timers.delete(name);
          this.feed(this.#expired(timer));
        }, Math.ceil(leftMs)),
      );
    };
    wait(ms);
  }
}
