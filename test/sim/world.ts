// One run: a scenario played with a seed. The peers live through its faults and its workload; then the world heals, everything
// that is not gone for good runs and is connected, and within a bounded time the invariants of a quiet network have to hold, and
// go on to hold. The first violation ends the run.
import type { Millis } from '../../lib/time.ts';
import { chance, momentary } from './chance.ts';
import { Disk, DiskImage } from './disk.ts';
import { act, type Faultable, strike } from './faults.ts';
import { Machine, type Surroundings } from './host.ts';
import { CALM, Network } from './network.ts';
import type { Host, SimEnv, SimPeer } from './peer.ts';
import { clonesIn, type Scenario } from './scenario.ts';
import { Scheduler } from './scheduler.ts';
import { Trace } from './trace.ts';

/** Faults and workload; then everything heals; then nothing is left to do. */
export type Phase = 'eventful' | 'healing' | 'quiet';

/** One for each run, so it may remember. Answers say what is wrong, or null. */
export interface Invariant<P extends SimPeer> {
  readonly name: string;
  /** After every input of a machine's peer. */
  stepped?(machine: Machine<P>, world: World<P>): string | null;
  /** A peer told a fact. */
  told?(machine: Machine<P>, fact: unknown, world: World<P>): string | null;
  /** Must come true within the subject's `healMs`, and stay true for its `quietMs`. */
  healed?(world: World<P>): string | null;
}

/** What is simulated. */
export interface Subject<P extends SimPeer> {
  make(env: SimEnv): P;
  invariants(): readonly Invariant<P>[];
  readonly healMs: Millis;
  /** So long it has to hold before it counts. */
  readonly stableMs: Millis;
  readonly quietMs: Millis;
  /** A message in the trace. */
  show(content: unknown): string;
}

export interface Violation {
  readonly invariant: string;
  readonly message: string;
  readonly at: Millis;
}

export interface Outcome {
  readonly violation: Violation | null;
  readonly virtualMs: Millis;
  /** Things that happened: datagrams that arrived, timers, batches. */
  readonly happened: number;
  readonly trace: Trace | null;
}

/** What a peer that throws violates. */
export const THROWS = 'no peer throws';
/** Machines are switched on within the first moments, in any order. */
const START_MS: Millis = 500;
const LOOK_EVERY_MS: Millis = 500;

export class World<P extends SimPeer> implements Faultable<P> {
  readonly seed: number;
  readonly scenario: Scenario;
  readonly scheduler = new Scheduler();
  readonly network: Network;
  readonly machines: Machine<P>[] = [];
  readonly backups = new Map<Host, DiskImage>();
  readonly gone = new Set<Host>();
  readonly trace: Trace | null;
  readonly invariants: readonly Invariant<P>[];
  readonly #subject: Subject<P>;
  readonly #surroundings: Surroundings<P>;
  readonly #endings = new Set<() => void>();
  #phase: Phase = 'eventful';
  #violation: Violation | null = null;

  constructor(subject: Subject<P>, scenario: Scenario, { seed, traceLines = 0 }: { readonly seed: number; readonly traceLines?: number }) {
    this.#subject = subject;
    this.seed = seed;
    this.scenario = scenario;
    this.invariants = subject.invariants();
    const { scheduler } = this;
    this.trace = traceLines > 0 ? new Trace(() => scheduler.now, { linesMax: traceLines }) : null;
    this.network = new Network({
      scheduler,
      seed,
      hosts: scenario.peers + clonesIn(scenario),
      model: scenario.network,
      deliver: (host, input) => this.#guarded(() => this.machines[host]?.input(input)),
      isUp: (host) => (this.machines[host]?.peer ?? null) !== null,
      captures: scenario.faults.some(({ kind }) => kind === 'replay'),
      trace: this.trace,
      show: (content) => subject.show(content),
    });
    const stepping = this.invariants.filter(({ stepped }) => stepped !== undefined);
    const listening = this.invariants.filter(({ told }) => told !== undefined);
    this.#surroundings = {
      scheduler,
      network: this.network,
      seed,
      trace: this.trace,
      make: (env) => subject.make(env),
      stepped: (machine) => {
        for (const invariant of stepping) this.#judge(invariant, invariant.stepped?.(machine, this) ?? null);
      },
      told: (machine, fact) => {
        for (const invariant of listening) this.#judge(invariant, invariant.told?.(machine, fact, this) ?? null);
      },
    };
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Machines whose peer runs. */
  get running(): Machine<P>[] {
    return this.machines.filter(({ peer }) => peer !== null);
  }

  run(): Outcome {
    const { scheduler, scenario } = this;
    this.#guarded(() => {
      this.#prepare();
      scheduler.runTo(scenario.seconds * 1_000);
      if (this.#violation !== null) return;
      this.#heal();
      this.#phase = 'healing';
      this.#waitUntilHealed();
      this.#phase = 'quiet';
      this.#watchQuiet();
    });
    return { violation: this.#violation, virtualMs: scheduler.now, happened: scheduler.happened, trace: this.trace };
  }

  add(image?: DiskImage): Machine<P> {
    const host = this.machines.length;
    const { seed, scheduler, scenario } = this;
    const disk = new Disk({ scheduler, random: momentary(seed, `disk/${host}`, () => scheduler.now), model: scenario.disk, ...(image && { image }) });
    const machine = new Machine(host, disk, this.#surroundings);
    this.machines.push(machine);
    return machine;
  }

  until(ms: Millis, end: () => void): void {
    const once = (): void => {
      if (this.#endings.delete(once)) end();
    };
    this.#endings.add(once);
    // nothing lasts into the quiet
    this.scheduler.after(this.#phase === 'eventful' ? ms : 0, once);
  }

  #prepare(): void {
    const { scheduler, scenario } = this;
    const late = new Set(scenario.faults.flatMap((fault) => (fault.kind === 'late' ? [fault.host] : [])));
    for (let host = 0; host < scenario.peers; host++) {
      const machine = this.add();
      const startMs = chance(this.seed, `start/${host}`)() * START_MS;
      if (!late.has(host)) scheduler.at(startMs, () => machine.start());
    }
    for (const fault of scenario.faults) scheduler.at(fault.at, () => this.#strike(fault));
    for (const step of scenario.workload) {
      scheduler.at(step.at, () => {
        if (this.#phase === 'eventful') act(this, step);
      });
    }
  }

  #strike(fault: Scenario['faults'][number]): void {
    if (this.#phase !== 'eventful') return;
    this.trace?.add('', `fault: ${JSON.stringify(fault)}`);
    strike(this, fault);
  }

  /** Ends every fault, and starts everybody who is not gone for good. */
  #heal(): void {
    this.trace?.add('', 'everything heals');
    const { network } = this;
    network.become({ ...this.scenario.network, loss: CALM.loss, bursts: CALM.bursts, duplicates: CALM.duplicates, late: CALM.late });
    for (const end of [...this.#endings]) end();
    for (const machine of this.machines) if (!this.gone.has(machine.host)) machine.start();
  }

  #waitUntilHealed(): void {
    const { scheduler } = this;
    // sleep ends by itself
    while (this.machines.some(({ isPaused }) => isPaused)) scheduler.runTo(scheduler.now + LOOK_EVERY_MS);
    const deadline = scheduler.now + this.#subject.healMs;
    let rightSince = Number.POSITIVE_INFINITY;
    while (this.#violation === null) {
      scheduler.runTo(scheduler.now + LOOK_EVERY_MS);
      const wrong = this.#firstWrong();
      rightSince = wrong === undefined ? Math.min(rightSince, scheduler.now) : Number.POSITIVE_INFINITY;
      if (scheduler.now - rightSince >= this.#subject.stableMs) return;
      if (wrong !== undefined && scheduler.now >= deadline) this.#judge(wrong.invariant, `${wrong.message}, ${this.#subject.healMs} ms after everything healed`);
    }
  }

  #watchQuiet(): void {
    const { scheduler } = this;
    const deadline = scheduler.now + this.#subject.quietMs;
    while (this.#violation === null && scheduler.now < deadline) {
      scheduler.runTo(Math.min(deadline, scheduler.now + LOOK_EVERY_MS));
      const wrong = this.#firstWrong();
      if (wrong !== undefined) this.#judge(wrong.invariant, `${wrong.message}, after it had been true`);
    }
  }

  #firstWrong(): { readonly invariant: Invariant<P>; readonly message: string } | undefined {
    for (const invariant of this.invariants) {
      const message = invariant.healed?.(this) ?? null;
      if (message !== null) return { invariant, message };
    }
    return undefined;
  }

  #judge({ name }: Pick<Invariant<P>, 'name'>, message: string | null): void {
    if (message === null || this.#violation !== null) return;
    this.#violation = { invariant: name, message, at: this.scheduler.now };
    this.trace?.add('', `VIOLATION of '${name}': ${message}`);
    this.scheduler.halt();
  }

  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#judge({ name: THROWS }, error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  }
}

export const simulate = <P extends SimPeer>(subject: Subject<P>, scenario: Scenario, options: { readonly seed: number; readonly traceLines?: number }): Outcome =>
  new World(subject, scenario, options).run();
