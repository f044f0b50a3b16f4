// Runs the services of the roles that this machine holds. All it costs the main thread is a message each way: what a service
// does, it does in a thread of its own, and no other role notices when that goes wrong.
import { messageOf, PeerError } from '../../lib/errors.ts';
import type { FencingToken, Role } from '../../lib/roles.ts';
import { type Clock, systemClock } from '../../lib/time.ts';
import { Holding } from './holding.ts';
import { AT_GRANT, type Programs, PROGRAMS } from './programs.ts';
import type { Health, ServiceContext } from './service.ts';
import { SUPERVISION_TIMES, type SupervisionTimes } from './supervisor.ts';

export interface ServiceHostOptions {
  readonly context: () => ServiceContext;
  /** A service failed and is started anew, or given up. */
  readonly onFailed: (role: Role, reason: string) => void;
  /** It runs here no more: the role is to be released, with this reason for people. */
  readonly onGaveUp: (role: Role, reason: string) => void;
  /** Tests replace the rest. */
  readonly programs?: Programs;
  readonly clock?: Clock;
  readonly times?: SupervisionTimes;
}

/** Which grant an answer was given under; who asked refuses a token smaller than one it has seen. */
export interface Answer {
  readonly value: unknown;
  readonly token: FencingToken;
}

export class ServiceHost {
  readonly #options: ServiceHostOptions;
  readonly #holdings = new Map<Role, Holding>();
  /** Stopped or given up, with the moment when their threads are gone. */
  readonly #leaving = new Map<Holding, Promise<void>>();
  #closed = false;

  constructor(options: ServiceHostOptions) {
    this.#options = options;
  }

  /** Roles that are served here. */
  get running(): ReadonlySet<Role> {
    return new Set(this.#holdings.keys());
  }

  /** Serves a role from now on. One that is served already goes on under the newer token, and its service with it. */
  start(role: Role, token: FencingToken): void {
    if (this.#closed) return;
    const held = this.#holdings.get(role);
    if (held !== undefined) return held.renew(token);
    // The one before is not waited for any more: two must not work side by side.
    for (const earlier of this.#leaving.keys()) if (earlier.role === role) void earlier.end();
    const { programs = PROGRAMS, clock = systemClock, times = SUPERVISION_TIMES, context, onFailed, onGaveUp } = this.#options;
    const holding = new Holding({
      role,
      token,
      program: programs[role],
      clock,
      times,
      context,
      onFailed: (why) => onFailed(role, `${role}: ${why}`),
      onGaveUp: (why) => {
        this.#holdings.delete(role);
        void this.#letGo(holding, holding.end());
        onGaveUp(role, `${role}: ${why}`);
      },
    });
    this.#holdings.set(role, holding);
    if (AT_GRANT.has(role)) holding.thread();
  }

  /** Nothing is served from this moment on; resolves when the thread is gone, within a second also when it hangs. */
  async stop(role: Role): Promise<void> {
    const holding = this.#holdings.get(role);
    if (holding === undefined) return;
    this.#holdings.delete(role);
    await this.#letGo(holding, holding.stop());
  }

  /** @throws PeerError what the service refuses with; ROLE_UNAVAILABLE where the role is not served or its service ends before
   *  it has answered: it may have done what was asked, and may be asked again; BUSY, TIMED_OUT, TOO_LARGE; INTERNAL for its bugs */
  async call(role: Role, method: string, params: unknown): Promise<Answer> {
    const holding = this.#holdings.get(role);
    if (holding === undefined) throw new PeerError('ROLE_UNAVAILABLE', `this machine does not serve ${role}`);
    const value = await holding.thread().call(method, params);
    // The role was ours all the while, under this token in the end: a holding that loses it refuses its calls.
    return { value, token: holding.token };
  }

  async health(role: Role): Promise<Health> {
    const holding = this.#holdings.get(role);
    if (holding === undefined) return { healthy: false, why: `this machine does not serve ${role}` };
    return holding.health().catch((error: unknown) => ({ healthy: false, why: messageOf(error) }));
  }

  /** Ends all at once. Services lose nothing by that: they have to survive it anyway. */
  async close(): Promise<void> {
    this.#closed = true;
    const holdings = [...this.#holdings.values()];
    this.#holdings.clear();
    await Promise.all([...holdings, ...this.#leaving.keys()].map((holding) => holding.end()));
    await Promise.all(this.#leaving.values());
  }

  #letGo(holding: Holding, gone: Promise<void>): Promise<void> {
    const left = gone.finally(() => this.#leaving.delete(holding));
    this.#leaving.set(holding, left);
    return left;
  }
}
