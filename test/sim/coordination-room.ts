// A room of peers that coordinate, in virtual time: the real machines of membership and coordination, wired as a peer wires them,
// on a network whose datagrams take 1 ms and are lost only where somebody says so. Where the simulator draws its faults by chance,
// here each is made by name: this is what transcripts and claims about single cases are played in.
import { createMembership, type Effect as MembershipEffect, type Input as MembershipInput, isHere, type Membership, step as stepMembership, type Timer as MembershipTimer } from '../../discovery/membership.ts';
import type { Pulse } from '../../lib/coordination-messages.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import type { Offer } from '../../lib/messages.ts';
import { seededRandom } from '../../lib/random.ts';
import { type Coordinatorship, ROLES, type Role } from '../../lib/roles.ts';
import type { Millis } from '../../lib/time.ts';
import { Coordination, type CoordinationEffect, type CoordinationInput, type CoordinationTimer, type Talk } from '../../peer/coordination/coordination.ts';

type Untimed<T> = T extends { readonly now: number } ? Omit<T, 'now'> : never;

export const LATENCY_MS: Millis = 1;
const DISK_MS: Millis = 5;
const READY_MS: Millis = 60_000;
const LOOK_EVERY_MS: Millis = 1_000;
/** A polite peer says goodbye when its roles have had a moment to pass on. */
const LEAVE_MS: Millis = 60;

/** What a datagram says, apart from that its sender lives. */
type Letter =
  | { readonly kind: 'beat'; readonly everyMs: Millis; readonly hears: readonly PeerId[]; readonly asks: boolean; readonly pulse: Pulse; readonly offer: Offer }
  | { readonly kind: 'pulse'; readonly pulse: Pulse }
  | { readonly kind: 'ping' }
  | { readonly kind: 'pong' }
  | { readonly kind: 'goodbye' }
  | { readonly kind: 'relay' | 'relayed'; readonly peer: PeerId }
  | Talk;

export type RoomEvent = { readonly at: Millis; readonly who: string } & (
  | { readonly kind: 'said'; readonly to: string | null; readonly message: Talk; readonly lostTo: readonly string[] }
  /** `cause`: what its sender was told just before, if it answers that; undefined for what goes out by the clock. */
  | { readonly kind: 'pulsed'; readonly to: string | null; readonly pulse: Pulse; readonly cause: CoordinationInput | undefined }
  | { readonly kind: 'effect'; readonly effect: CoordinationEffect; readonly input: CoordinationInput }
  | { readonly kind: 'phase'; readonly phase: Coordination['phase']; readonly ms: Millis | undefined }
  | { readonly kind: 'member'; readonly change: Extract<MembershipEffect, { kind: 'changed' }> }
);

/** What of a machine outlives its process. */
interface Machine {
  readonly name: string;
  stored: Coordinatorship;
  diskFails: boolean;
  roles: readonly Role[];
  load: number;
  /** Streams that live, where it is not as many as the room finds. */
  links: number | null;
  boots: number;
  process: Process | null;
  /** Whoever knocks is refused: its last process has ended, or it has a firewall. */
  refuses: boolean;
}

interface Process {
  readonly machine: Machine;
  readonly bootId: BootId;
  readonly startedAt: Millis;
  readonly membership: Membership;
  readonly coordination: Coordination;
  /** When each is due. A timer of one name replaces the one before it. */
  readonly timers: Map<string, Millis>;
  asleepUntil: Millis;
}

export class Room {
  now: Millis = 0;
  readonly machines = new Map<string, Machine>();
  readonly #seed: number;
  readonly #observe: (event: RoomEvent) => void;
  readonly #agenda = new Map<Millis, (() => void)[]>();
  readonly #cuts = new Set<string>();
  /** Kinds of messages that are lost, from whom to whom. */
  readonly #losses = new Set<string>();
  #parts: readonly (readonly string[])[] = [];

  constructor({ seed = 1, observe = () => {} }: { readonly seed?: number; readonly observe?: (event: RoomEvent) => void } = {}) {
    this.#seed = seed;
    this.#observe = observe;
  }

  // --- looking

  machine(name: string): Machine {
    let machine = this.machines.get(name);
    if (!machine) {
      machine = { name, stored: { term: 0, coordinator: null }, diskFails: false, roles: ROLES, load: 0, links: null, boots: 0, process: null, refuses: false };
      this.machines.set(name, machine);
    }
    return machine;
  }

  coordination(name: string): Coordination {
    const { process } = this.machine(name);
    if (!process) throw new Error(`${name} does not run`);
    return process.coordination;
  }

  get running(): Process[] {
    return [...this.machines.values()].flatMap(({ process }) => process ?? []);
  }

  /** Who holds it, by a lease that runs. */
  holders(role: Role): string[] {
    return this.running.filter(({ coordination }) => coordination.holds(role, this.now)).map(({ machine }) => machine.name);
  }

  // --- what happens to it

  /** What its disk says of the past. */
  store(name: string, stored: Coordinatorship): void {
    this.machine(name).stored = stored;
  }

  start(...names: string[]): void {
    for (const name of names) {
      const machine = this.machine(name);
      machine.boots += 1;
      machine.refuses = false;
      const random = seededRandom(this.#seed * 10_007 + [...this.machines.keys()].indexOf(name) * 101 + machine.boots);
      const self = name as PeerId;
      const bootId = `${name}/${machine.boots}` as BootId;
      machine.process = {
        machine,
        bootId,
        startedAt: this.now,
        membership: createMembership({ self, random }),
        coordination: new Coordination({ self, bootId, random, stored: machine.stored }),
        timers: new Map(),
        asleepUntil: Number.NEGATIVE_INFINITY,
      };
      this.#look(machine.process);
      this.#coordinate(machine.process, { kind: 'started' });
      this.#member(machine.process, { kind: 'started' });
    }
  }

  /** Its process ends, and its machine says so to all who ask. */
  kill(name: string): void {
    const { process } = this.machine(name);
    this.silence(name);
    this.machine(name).refuses = true;
    if (!process) return;
    for (const other of this.running) {
      this.#at(this.now + LATENCY_MS, () => {
        if (this.#isRunning(other) && this.#passes(name, other.machine.name) && !this.#losses.has(`closed ${name} ${other.machine.name}`)) this.#member(other, { kind: 'closed', peer: name as PeerId, bootId: process.bootId, refused: true });
      });
    }
  }

  /** Its machine is gone, without a word. */
  silence(name: string): void {
    this.machine(name).process = null;
  }

  /** It lives, and has a firewall from now on. */
  reject(name: string): void {
    this.machine(name).refuses = true;
  }

  /** It leaves politely. */
  stop(name: string): void {
    const process = this.#processOf(name);
    this.#coordinate(process, { kind: 'leaving' });
    this.#at(this.now + LEAVE_MS, () => {
      this.#send(process, null, { kind: 'goodbye' });
      this.silence(name);
    });
  }

  /** Nothing passes from the one to the other. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from} ${to}`);
  }

  partition(...parts: (readonly string[])[]): void {
    this.#parts = parts;
  }

  heal(): void {
    this.#cuts.clear();
    this.#parts = [];
    this.#losses.clear();
  }

  /** `closed`: `to` is not told by its stream that the process of `from` has ended. */
  lose(kind: Talk['kind'] | 'closed', from: string, to: string): void {
    this.#losses.add(`${kind} ${from} ${to}`);
  }

  sleep(name: string, ms: Millis): void {
    const process = this.#processOf(name);
    process.asleepUntil = this.now + ms;
    for (const [timer, at] of process.timers) if (at < process.asleepUntil) this.#arm(process, timer, ms);
  }

  fail(name: string, role: Role): void {
    this.#coordinate(this.#processOf(name), { kind: 'failed', role });
  }

  /** What comes from nobody's machine: forged, or of a peer that the room does not have. */
  tell(name: string, input: Untimed<CoordinationInput>): void {
    this.#coordinate(this.#processOf(name), input);
  }

  run(until: Millis): void {
    for (; this.now <= until; this.now++) {
      const due = this.#agenda.get(this.now);
      // what is due now may make more that is due now
      for (let i = 0; due !== undefined && i < due.length; i++) due[i]?.();
      this.#agenda.delete(this.now);
    }
    this.now = until;
  }

  // --- the network

  #at(at: Millis, act: () => void): void {
    const due = this.#agenda.get(at);
    if (due) due.push(act);
    else this.#agenda.set(at, [act]);
  }

  #passes(from: string, to: string): boolean {
    if (this.#cuts.has(`${from} ${to}`)) return false;
    const part = this.#parts.find((names) => names.includes(from));
    return part === undefined || part.includes(to);
  }

  #send(sender: Process, to: PeerId | null, letter: Letter): string[] {
    const { name } = sender.machine;
    const lostTo: string[] = [];
    for (const machine of to === null ? this.machines.values() : [this.machine(to)]) {
      if (machine === sender.machine || !this.#passes(name, machine.name)) continue;
      if (this.#losses.has(`${letter.kind} ${name} ${machine.name}`)) lostTo.push(machine.name);
      else {
        this.#at(this.now + LATENCY_MS, () => {
          const { process } = machine;
          if (process && process.asleepUntil <= this.now) this.#receive(process, sender, { letter, via: to === null ? 'multicast' : 'unicast' });
        });
      }
    }
    return lostTo;
  }

  #receive(process: Process, { machine: { name }, bootId }: Process, { letter, via }: { readonly letter: Letter; readonly via: 'multicast' | 'unicast' }): void {
    const peer = name as PeerId;
    const { self } = process.membership;
    if (letter.kind === 'goodbye') return this.#member(process, { kind: 'goodbye', peer, bootId });
    const beat = letter.kind === 'beat' ? { everyMs: letter.everyMs, hears: letter.hears.includes(self) ? [self] : [], asks: letter.asks } : undefined;
    this.#member(process, { kind: 'heard', peer, bootId, via, address: { host: name, port: 1 }, ...(beat && { beat }) });
    const member = process.membership.members.get(peer);
    if (member?.bootId !== bootId || !isHere(member)) return;
    switch (letter.kind) {
      case 'beat':
        return this.#coordinate(process, { kind: 'pulse', from: peer, bootId, pulse: letter.pulse, offer: letter.offer });
      case 'pulse':
        return this.#coordinate(process, { kind: 'pulse', from: peer, bootId, pulse: letter.pulse });
      case 'ping':
        this.#send(process, peer, { kind: 'pong' });
        return;
      case 'pong':
        return this.#coordinate(process, { kind: 'answered', peer });
      case 'relay':
        return this.#member(process, { kind: 'asked', by: peer, about: letter.peer });
      case 'relayed':
        return this.#member(process, { kind: 'vouched', peer: letter.peer, heardAt: this.now });
      default:
        return this.#coordinate(process, { kind: 'message', from: peer, message: letter });
    }
  }

  // --- the peers

  #processOf(name: string): Process {
    const { process } = this.machine(name);
    if (!process) throw new Error(`${name} does not run`);
    return process;
  }

  #isRunning(process: Process): boolean {
    return process.machine.process === process;
  }

  #arm(process: Process, timer: string, ms: Millis): void {
    // a timer fires at the first tick that is not before its time
    const at = Math.ceil(this.now + ms);
    process.timers.set(timer, at);
    this.#at(at, () => {
      if (!this.#isRunning(process) || process.timers.get(timer) !== at) return;
      process.timers.delete(timer);
      this.#expired(process, timer);
    });
  }

  #expired(process: Process, timer: string): void {
    if (timer === 'look') return this.#look(process);
    const [owner, name = '', peer] = timer.split(':');
    if (owner === 'c') return this.#coordinate(process, { kind: 'expired', timer: name as CoordinationTimer });
    const expired: MembershipTimer = name === 'beat' ? { kind: 'beat' } : { kind: 'watch', peer: peer as PeerId };
    this.#member(process, { kind: 'expired', timer: expired });
  }

  /** What a peer looks at once a second: what it may hold, and how it is. */
  #look(process: Process): void {
    const { membership, startedAt } = process;
    const { name } = process.machine;
    this.#coordinate(process, { kind: 'able', offer: this.#offer(process), ready: this.now - startedAt >= READY_MS });
    const linked = [...membership.members.values()].filter((member) => isHere(member) && this.machine(member.peer).process && this.#isLinked(name, member.peer));
    this.#coordinate(process, { kind: 'linked', links: process.machine.links ?? linked.length });
    this.#arm(process, 'look', LOOK_EVERY_MS);
  }

  /** A stream outlives a cut of some seconds in one direction: it fails when neither way is left. */
  #isLinked(a: string, b: string): boolean {
    return this.#passes(a, b) || this.#passes(b, a);
  }

  #offer({ machine: { roles, load } }: Process): Offer {
    return { roles, load, stability: 0 };
  }

  #member(process: Process, input: Untimed<MembershipInput>): void {
    for (const effect of stepMembership(process.membership, { ...input, now: this.now } as MembershipInput)) this.#carryOutMembership(process, effect);
  }

  #carryOutMembership(process: Process, effect: MembershipEffect): void {
    switch (effect.kind) {
      case 'arm':
        return this.#arm(process, effect.timer.kind === 'beat' ? 'm:beat' : `m:watch:${effect.timer.peer}`, effect.ms);
      case 'beat':
      case 'beatTo': {
        const { everyMs, hears, asks } = effect;
        const pulse = this.#pulse(process, effect.kind === 'beat' ? null : effect.peer);
        this.#send(process, effect.kind === 'beat' ? null : effect.peer, { kind: 'beat', everyMs, hears, asks, pulse, offer: this.#offer(process) });
        return;
      }
      case 'pulse':
      case 'pulseTo': {
        const to = effect.kind === 'pulse' ? null : effect.peer;
        this.#send(process, to, { kind: 'pulse', pulse: this.#pulse(process, to) });
        return;
      }
      case 'probe':
        this.#send(process, effect.peer, { kind: 'ping' });
        return;
      case 'probeVia':
        this.#send(process, effect.via, { kind: 'relay', peer: effect.peer });
        return;
      case 'relayed':
        this.#send(process, effect.to, { kind: 'relayed', peer: effect.peer });
        return;
      case 'changed':
        return this.#changed(process, effect);
    }
  }

  #changed(process: Process, change: Extract<MembershipEffect, { kind: 'changed' }>): void {
    const { peer, to, reason } = change;
    this.#note(process, { kind: 'member', change });
    if (to === 'suspect') return;
    if (to === 'alive') {
      if (reason === 'restarted') this.#coordinate(process, { kind: 'gone', peer, why: 'died' });
      return this.#coordinate(process, { kind: 'alive', peer });
    }
    this.#coordinate(process, { kind: 'gone', peer, why: reason === 'refused' ? 'died' : reason === 'goodbye' ? 'left' : 'silent' });
  }

  /** As peer/stream/knock.ts. */
  #knock(process: Process, peer: PeerId): void {
    const bootId = process.membership.members.get(peer)?.bootId;
    const { name } = process.machine;
    this.#at(this.now + 2 * LATENCY_MS, () => {
      if (bootId === undefined || !this.#isRunning(process) || !this.machine(peer).refuses || !this.#passes(name, peer) || !this.#passes(peer, name)) return;
      this.#member(process, { kind: 'refused', peer, bootId });
    });
  }

  #pulse(process: Process, to: string | null, options: { readonly asks?: boolean; readonly cause?: CoordinationInput } = {}): Pulse {
    const pulse = process.coordination.pulse(this.now, { asks: options.asks ?? false });
    this.#note(process, { kind: 'pulsed', to, pulse, cause: options.cause });
    return pulse;
  }

  #coordinate(process: Process, untimed: Untimed<CoordinationInput>): void {
    const { coordination } = process;
    const input = { ...untimed, now: this.now } as CoordinationInput;
    const before = coordination.phase;
    const effects = coordination.step(input);
    for (const effect of effects) {
      this.#note(process, { kind: 'effect', effect, input });
      this.#carryOut(process, effect, input);
    }
    const { phase } = coordination;
    if (phase === before) return;
    const armed = effects.findLast((effect) => effect.kind === 'arm' && effect.timer === 'election');
    this.#note(process, { kind: 'phase', phase, ms: armed?.kind === 'arm' ? armed.ms : undefined });
  }

  #carryOut(process: Process, effect: CoordinationEffect, input: CoordinationInput): void {
    switch (effect.kind) {
      case 'arm':
        return this.#arm(process, `c:${effect.timer}`, effect.ms);
      case 'multicast':
      case 'send': {
        const to = effect.kind === 'send' ? effect.to : null;
        const lostTo = this.#send(process, to, effect.message);
        return this.#note(process, { kind: 'said', to, message: effect.message, lostTo });
      }
      case 'pulseTo':
        this.#send(process, effect.peer, { kind: 'pulse', pulse: this.#pulse(process, effect.peer, { asks: effect.asks, cause: input }) });
        return;
      case 'speak':
        return this.#member(process, { kind: 'speak' });
      case 'pace':
        return this.#member(process, { kind: 'pace', quick: effect.quick });
      case 'persist':
        return this.#at(this.now + DISK_MS, () => {
          const ok = !process.machine.diskFails;
          if (ok) process.machine.stored = effect.claim;
          if (this.#isRunning(process)) this.#coordinate(process, { kind: 'persisted', claim: effect.claim, ok });
        });
      case 'doubt':
        this.#member(process, { kind: 'doubted', peer: effect.peer });
        return this.#knock(process, effect.peer);
      case 'vouched':
        return this.#member(process, { kind: 'vouched', peer: effect.peer, heardAt: this.now - effect.agoMs });
      case 'slept':
        return this.#member(process, { kind: 'stalled' });
      case 'hold':
      case 'drop':
      case 'changed':
      case 'tell':
    }
  }

  #note({ machine: { name } }: Process, event: UntimedEvent): void {
    this.#observe({ at: this.now, who: name, ...event } as RoomEvent);
  }
}

type UntimedEvent = RoomEvent extends infer One ? (One extends { readonly at: Millis; readonly who: string } ? Omit<One, 'at' | 'who'> : never) : never;
