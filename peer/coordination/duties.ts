// What coordination is on a real machine: the driver of the pure machine, with the clock that counts sleep, the term on the disk, the
// services of the roles that are held, and calls to those that others hold.
import { availableParallelism, loadavg } from 'node:os';
import { awakeClock } from '../../lib/awake.ts';
import type { Pulse, ReleaseReason } from '../../lib/coordination-messages.ts';
import { messageOf } from '../../lib/errors.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import type { Offer } from '../../lib/messages.ts';
import type { Random } from '../../lib/random.ts';
import type { Coordinatorship, FencingToken, Role } from '../../lib/roles.ts';
import type { Clock, Millis } from '../../lib/time.ts';
import type { ClaimStore } from '../../storage/claim-store.ts';
import { Driver, type Untimed } from '../runtime.ts';
import { ServiceHost } from '../services/host.ts';
import type { Programs } from '../services/programs.ts';
import type { Health, ServiceContext } from '../services/service.ts';
import type { Handler } from '../stream/connection.ts';
import type { HeardClaim } from './claims.ts';
import { Coordination, type CoordinationEffect, type CoordinationInput, type CoordinationNews, type CoordinationTimer } from './coordination.ts';
import { RoleCalls } from './role-calls.ts';

/** What the network side carries out: the rest is the driver's own. */
export type DutyEffect = Extract<CoordinationEffect, { readonly kind: 'multicast' | 'send' | 'pulseTo' | 'speak' | 'pace' | 'doubt' | 'vouched' | 'slept' }>;

export type RoleChange =
  | { readonly role: Role; readonly state: 'held'; readonly token: FencingToken }
  | { readonly role: Role; readonly state: 'dropped'; readonly why: ReleaseReason };

export interface DutiesOptions {
  readonly self: PeerId;
  readonly bootId: BootId;
  readonly random: Random;
  readonly clock: Clock;
  readonly claims: ClaimStore;
  readonly stored: Coordinatorship;
  /** What this machine may hold, whatever its services do. */
  readonly roles: readonly Role[];
  readonly context: () => ServiceContext;
  /** Tests have services of their own. */
  readonly programs?: Programs | undefined;
  /** Does this peer have what the others have? */
  readonly isSynced: () => boolean;
  /** Living streams to other members. */
  readonly links: () => number;
  readonly lives: (peer: PeerId) => boolean;
  readonly ask: (peer: PeerId, method: string, params: unknown) => Promise<unknown>;
  readonly carryOut: (effect: DutyEffect) => void;
  readonly tell: (news: CoordinationNews) => void;
  /** This machine holds one role more or less than before, or one by another token. */
  readonly onRole: (change: RoleChange) => void;
  /** Who coordinates or holds what is other than before. */
  readonly onChange: () => void;
  readonly onService: (failure: { readonly role: Role; readonly reason: string; readonly gaveUp: boolean }) => void;
  readonly trouble: (what: string) => (error: unknown) => void;
}

const LOOK_EVERY_MS: Millis = 1_000;
/** A machine that has just been switched on may be switched off again. */
const READY_MS: Millis = 60_000;
/** Of a role whose holder leaves politely, until another has it. */
const HAND_OVER_MS: Millis = 1_200;

export class Duties {
  readonly #options: DutiesOptions;
  readonly #clock: Clock;
  readonly #startedAt: Millis;
  readonly #driver: Driver<Coordination, CoordinationTimer, CoordinationInput, CoordinationEffect>;
  readonly #services: ServiceHost;
  readonly #calls: RoleCalls;
  #saving: Promise<unknown> = Promise.resolve();
  #look: NodeJS.Timeout | undefined;
  #leaving = false;
  #stopped = false;
  #waiting: (() => void) | undefined;

  constructor(options: DutiesOptions) {
    this.#options = options;
    const { self, bootId, random, stored, clock, context, programs, ask, lives, onService } = options;
    this.#clock = awakeClock(clock);
    this.#startedAt = this.#clock.now();
    const coordination = new Coordination({ self, bootId, random, stored });
    this.#driver = new Driver(
      { state: coordination, step: (state, input) => state.step(input) },
      { clock: this.#clock, carryOut: (effect) => this.#carryOut(effect), expired: (timer) => ({ kind: 'expired', timer }) },
    );
    this.#services = new ServiceHost({
      clock,
      context,
      ...(programs && { programs }),
      onFailed: (role, reason) => onService({ role, reason, gaveUp: false }),
      onGaveUp: (role, reason) => {
        onService({ role, reason, gaveUp: true });
        this.feed({ kind: 'failed', role });
      },
    });
    this.#calls = new RoleCalls({
      self,
      clock,
      ask,
      holder: (role) => this.holder(role)?.peer,
      holds: (role) => this.holds(role),
      serve: (role, method, params) => this.#services.call(role, method, params),
      health: (role) => this.#services.health(role),
    });
    this.#isAlive = (peer) => peer === self || lives(peer);
  }

  readonly #isAlive: (peer: PeerId) => boolean;

  start(): void {
    this.#offer();
    this.feed({ kind: 'started' });
    this.#look = setInterval(() => this.#offer(), LOOK_EVERY_MS);
  }

  /** Roles pass to others while this peer still serves them; resolves when they have, or when nobody takes them. */
  async handOver(): Promise<void> {
    // what nobody else may hold nobody waits for
    const held = this.held.filter((role) => this.#coordination.hasSuccessor(role));
    const waits = held.length > 0 && this.#options.links() > 0;
    this.#leaving = true;
    this.feed({ kind: 'leaving' });
    if (!waits) return;
    const passed = (): boolean => held.every((role) => (this.holder(role)?.peer ?? this.#options.self) !== this.#options.self);
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting = undefined;
        resolve();
      };
      const timer = setTimeout(done, HAND_OVER_MS);
      this.#waiting = () => {
        if (passed()) done();
      };
      this.#waiting();
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#look);
    this.#driver.stop();
    await this.#services.close();
    await this.#saving;
  }

  feed(input: Untimed<CoordinationInput>): void {
    this.#driver.feed(input);
  }

  /** The pulse to be sent now. */
  pulse({ asks }: { readonly asks: boolean } = { asks: false }): Pulse {
    return this.#coordination.pulse(this.#clock.now(), { asks });
  }

  /** As the beat says it. */
  get offer(): Offer {
    return this.#coordination.offer;
  }

  get #coordination(): Coordination {
    return this.#driver.state;
  }

  /** Requests of others for roles that are held here. */
  handlers(): ReadonlyMap<string, Handler> {
    return this.#calls.handlers();
  }

  /** @throws PeerError ROLE_UNAVAILABLE, and what the service refuses with */
  call(role: Role, method: string, params: unknown): Promise<unknown> {
    return this.#calls.call(role, method, params);
  }

  health(role: Role): Promise<Health> {
    return this.#calls.health(role);
  }

  /** To be asked before anything is done that the holder of a role wants: one that has slept wants nothing any more.
   *  @throws PeerError ROLE_UNAVAILABLE */
  admit(role: Role, token: FencingToken): void {
    this.#calls.admit(role, token);
  }

  // --- what is shown

  get coordinator(): { readonly peer: PeerId; readonly term: number; readonly ageMs: Millis } | null {
    const { coordinator, term, silenceMs } = this.#coordination.view(this.#clock.now());
    return coordinator === null ? null : { peer: coordinator, term, ageMs: silenceMs };
  }

  /** Of an election only that there is one. */
  get phase(): 'listening' | 'electing' | 'following' | 'coordinating' {
    const { phase } = this.#coordination;
    return phase === 'listening' || phase === 'following' || phase === 'coordinating' ? phase : 'electing';
  }

  /** May anybody who is here hold it? */
  hasCandidate(role: Role): boolean {
    return this.#coordination.hasCandidate(role);
  }

  get held(): readonly Role[] {
    return [...this.#coordination.held.keys()];
  }

  /** Does a lease of this role run here now? */
  holds(role: Role): boolean {
    return this.#coordination.holds(role, this.#clock.now());
  }

  /** Who holds it, among those who live. */
  holder(role: Role): (HeardClaim & { readonly heldMs: Millis; readonly heardMs: Millis }) | undefined {
    const claim = this.#coordination.holder(role, this.#isAlive);
    if (!claim || (claim.peer === this.#options.self && !this.holds(role))) return undefined;
    const now = this.#clock.now();
    return { ...claim, heldMs: now - claim.since, heardMs: now - claim.heardAt };
  }

  // --- effects

  #carryOut(effect: Exclude<CoordinationEffect, { readonly kind: 'arm' }>): void {
    if (this.#stopped) return;
    switch (effect.kind) {
      case 'persist':
        return this.#save(effect.claim);
      case 'hold':
        this.#services.start(effect.role, effect.token);
        return this.#options.onRole({ role: effect.role, state: 'held', token: effect.token });
      case 'drop':
        this.#services.stop(effect.role).catch(this.#options.trouble(`the service of ${effect.role} could not be stopped`));
        return this.#options.onRole({ role: effect.role, state: 'dropped', why: effect.why });
      case 'changed':
        this.#calls.changed();
        this.#waiting?.();
        return this.#options.onChange();
      case 'tell':
        // tokens of now on may be smaller; the insane term of somebody else counts for nothing
        if (effect.news.kind === 'insaneTerm' && effect.news.peer === this.#options.self) this.#calls.forget();
        return this.#options.tell(effect.news);
      default:
        this.#options.carryOut(effect);
    }
  }

  /** One after the other, so that the greatest is the last. */
  #save(claim: Coordinatorship): void {
    this.#saving = this.#saving
      .then(() => this.#options.claims.save(claim))
      .then(
        () => this.feed({ kind: 'persisted', claim, ok: true }),
        (error: unknown) => {
          this.#options.trouble(claim.coordinator === this.#options.self ? 'this machine cannot coordinate' : 'who coordinates cannot be kept')(messageOf(error));
          this.feed({ kind: 'persisted', claim, ok: false });
        },
      );
  }

  /** Says what this machine may hold now, and how it is. */
  #offer(): void {
    if (this.#leaving) return;
    const { roles, isSynced, links } = this.#options;
    const now = this.#clock.now();
    const upMs = now - this.#startedAt;
    const offer: Offer = {
      roles,
      load: Math.round((2 * (loadavg()[0] as number)) / availableParallelism()),
      stability: Math.floor(Math.log2(1 + upMs / 60_000)),
    };
    this.feed({ kind: 'linked', links: links() });
    this.feed({ kind: 'able', offer, ready: upMs >= READY_MS && isSynced() });
  }
}
