// A simulated machine: a disk, a clock that is wrong, a music folder, and one process after another. A process that is gone gets
// nothing any more, whatever was on its way to it; one that is paused gets everything at once when it goes on, as after SIGCONT.
import type { Millis, WallClock } from '../../lib/time.ts';
import { RECEIVE_BUFFER_BYTES } from '../../lib/limits.ts';
import { chance } from './chance.ts';
import type { Disk } from './disk.ts';
import type { Network } from './network.ts';
import type { Command, Host, SimEnv, SimInput, SimPeer } from './peer.ts';
import { type Scheduler, Timers } from './scheduler.ts';
import { hostName, type Trace } from './trace.ts';

export interface Surroundings<P extends SimPeer> {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly seed: number;
  readonly trace: Trace | null;
  readonly make: (env: SimEnv) => P;
  /** After each input that its peer has worked off. */
  readonly stepped: (machine: Machine<P>) => void;
  readonly told: (machine: Machine<P>, fact: unknown) => void;
}

const GOODBYE_MS: Millis = 100;
/** What the kernel keeps for a process that is paused: it counts some 1,150 bytes for a small datagram. */
const DATAGRAMS_KEPT = Math.floor(RECEIVE_BUFFER_BYTES / 1_152);
/** Clocks of a house: off by a day either way, fast or slow by up to one in ten thousand. */
const OFFSET_MS_MAX: Millis = 86_400_000;
const DRIFT_MAX = 1e-4;
const EPOCH_MS: WallClock = 1_767_225_600_000;

export class Machine<P extends SimPeer> {
  readonly host: Host;
  readonly name: string;
  readonly disk: Disk;
  readonly files = new Set<string>();
  readonly #surroundings: Surroundings<P>;
  readonly #drift: number;
  #offsetMs: Millis;
  #boots = 0;
  #timers: Timers | null = null;
  #peer: P | null = null;
  /** What waits for a paused process; null while it runs. */
  #waiting: SimInput[] | null = null;
  /** What its monotonic clock has missed. */
  #suspendedMs: Millis = 0;
  #isSuspended = false;
  #isStopping = false;
  #pauses = 0;

  constructor(host: Host, disk: Disk, surroundings: Surroundings<P>) {
    this.host = host;
    this.name = hostName(host);
    this.disk = disk;
    this.#surroundings = surroundings;
    const random = chance(surroundings.seed, `clock/${host}`);
    this.#offsetMs = (2 * random() - 1) * OFFSET_MS_MAX;
    this.#drift = (2 * random() - 1) * DRIFT_MAX;
  }

  /** The process that runs, paused or not. */
  get peer(): P | null {
    return this.#peer;
  }

  get isPaused(): boolean {
    return this.#waiting !== null;
  }

  /** Has it said goodbye? */
  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Pauses and suspensions so far. */
  get pauses(): number {
    return this.#pauses;
  }

  /** Starts so far. */
  get boots(): number {
    return this.#boots;
  }

  start(): void {
    if (this.#peer !== null) return;
    this.#boots += 1;
    this.#isStopping = false;
    this.#note(`starts, boot ${this.#boots}, ${this.disk.view.identity.slice(0, 8)}`);
    const timers = new Timers(this.#surroundings.scheduler, (timer) => this.input({ kind: 'expired', timer }));
    this.#timers = timers;
    this.#peer = this.#surroundings.make(this.#env(timers, this.#boots));
    this.input({ kind: 'started' });
  }

  /** The process ends at once. Its disk has to be told how, by `crash` or worse: it forgets whom to tell of batches. */
  kill(why: string): void {
    if (this.#peer === null) return;
    this.#note(why);
    this.#peer = null;
    this.#waiting = null;
    this.#isSuspended = false;
    this.#timers?.stop();
    this.#timers = null;
    this.#surroundings.network.streams.down(this.host);
  }

  /** It says goodbye, and ends a moment later. */
  stop(then: () => void): void {
    const boot = this.#boots;
    this.#isStopping = true;
    this.input({ kind: 'stopping' });
    this.#surroundings.scheduler.after(GOODBYE_MS, () => {
      if (this.#boots !== boot || this.#peer === null) return;
      this.kill('stops');
      this.disk.crash();
      then();
    });
  }

  pause(): void {
    if (this.#peer === null) return;
    this.#note('is paused');
    this.#pauses += 1;
    this.#waiting ??= [];
  }

  resume(): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#note('goes on');
    this.#waiting = null;
    this.#isSuspended = false;
    for (const input of waiting) this.input(input);
  }

  /** The machine sleeps: nothing reaches it, and its timers and its monotonic clock stand still. */
  suspend(forMs: Millis): void {
    if (this.#peer === null || this.isPaused) return;
    this.#note(`is suspended for ${forMs} ms`);
    this.#pauses += 1;
    this.#timers?.delay(forMs);
    this.#suspendedMs += forMs;
    this.#waiting = [];
    this.#isSuspended = true;
  }

  jump(byMs: Millis): void {
    this.#note(`clock jumps by ${byMs} ms`);
    this.#offsetMs += byMs;
  }

  command(command: Command): void {
    if (this.#peer !== null) this.#note(`person: ${JSON.stringify(command)}`);
    this.input({ kind: 'command', command });
  }

  input(input: SimInput): void {
    if (this.#peer === null) return;
    if (this.#waiting !== null) {
      // nobody keeps what is sent to a machine that is switched off; streams and disks are patient
      if (this.#isSuspended && input.kind === 'datagram') return;
      const isFull = input.kind === 'datagram' && this.#waiting.length >= DATAGRAMS_KEPT;
      if (!isFull) this.#waiting.push(input);
      return;
    }
    this.#peer.input(input);
    this.#surroundings.stepped(this);
  }

  #env(timers: Timers, boot: number): SimEnv {
    const { scheduler, network, seed, trace, told } = this.#surroundings;
    const { host, disk } = this;
    return {
      host,
      identity: disk.view.identity,
      random: chance(seed, `peer/${host}/${boot}`),
      now: () => scheduler.now - this.#suspendedMs,
      awake: () => scheduler.now,
      wall: () => EPOCH_MS + this.#offsetMs + scheduler.now * (1 + this.#drift),
      files: () => [...this.files],
      disk: disk.view,
      commit: (token, batch) =>
        disk.commit(batch, (error) => {
          trace?.add(this.name, error === null ? `committed ${token}` : `could not commit ${token}: ${error.message}`);
          this.input({ kind: 'diskDone', token, error });
        }),
      multicast: (content, bytes) => network.datagrams.multicast(host, content, bytes),
      send: (to, content, bytes) => network.datagrams.unicast(host, to, content, bytes),
      open: (to) => network.streams.open(host, to),
      write: (stream, content, bytes) => network.streams.write(host, stream, content, bytes),
      close: (stream) => network.streams.close(host, stream),
      arm: (timer, ms) => timers.arm(timer, ms),
      disarm: (timer) => timers.disarm(timer),
      tell: (fact) => told(this, fact),
      log: (line) => trace?.add(this.name, line()),
    };
  }

  #note(what: string): void {
    this.#surroundings.trace?.add(this.name, what);
  }
}
