// One role in our hands, from its grant until it is stopped or given up: carries out what the supervisor decides about the
// service's threads.
import { compareTokens, type FencingToken, type Role } from '../../lib/roles.ts';
import type { Clock } from '../../lib/time.ts';
import { Driver } from '../runtime.ts';
import type { Health, ServiceContext } from './service.ts';
import { createSupervisor, step, type SupervisionTimes, type Supervisor, type SupervisorEffect, type SupervisorInput } from './supervisor.ts';
import { ServiceThread } from './thread.ts';

export interface HoldingOptions {
  readonly role: Role;
  readonly token: FencingToken;
  readonly program: URL;
  readonly clock: Clock;
  readonly times: SupervisionTimes;
  /** Asked at each start of a thread. */
  readonly context: () => ServiceContext;
  readonly onFailed: (why: string) => void;
  readonly onGaveUp: (why: string) => void;
}

export class Holding {
  readonly #options: HoldingOptions;
  readonly #driver: Driver<Supervisor, 'look', SupervisorInput, SupervisorEffect>;
  #token: FencingToken;
  #thread: ServiceThread | undefined;
  /** Ends of threads that failed. */
  readonly #endings = new Set<Promise<void>>();

  constructor(options: HoldingOptions) {
    this.#options = options;
    this.#token = options.token;
    this.#driver = new Driver(
      { state: createSupervisor(options.times), step },
      { clock: options.clock, carryOut: (effect) => this.#carryOut(effect), expired: (timer) => ({ kind: 'expired', timer }) },
    );
  }

  get role(): Role {
    return this.#options.role;
  }

  get token(): FencingToken {
    return this.#token;
  }

  /** Its thread, which is started if it is not yet. */
  thread(): ServiceThread {
    this.#driver.feed({ kind: 'wanted' });
    // A supervisor that was fed has spawned one, unless it has given up; then the host has let go of us.
    return this.#thread as ServiceThread;
  }

  /** Of a service that nobody needed yet there is nothing to be asked. */
  async health(): Promise<Health> {
    return this.#thread === undefined ? { healthy: true } : await this.#thread.health();
  }

  /** An older token is late news. */
  renew(token: FencingToken): void {
    if (compareTokens(token, this.#token) <= 0) return;
    this.#token = token;
    this.#thread?.renew(token);
  }

  async stop(): Promise<void> {
    this.#driver.stop();
    await Promise.all([this.#thread?.stop(), ...this.#endings]);
  }

  /** Without politeness. */
  async end(): Promise<void> {
    this.#driver.stop();
    await Promise.all([this.#thread?.end('was ended'), ...this.#endings]);
  }

  #carryOut(effect: Exclude<SupervisorEffect, { readonly kind: 'arm' }>): void {
    switch (effect.kind) {
      case 'spawn':
        return this.#spawn(effect.thread);
      case 'ask':
        return this.#ask(effect.thread);
      case 'terminate':
        return this.#endThread(effect.why);
      case 'failed':
        return this.#options.onFailed(effect.why);
      case 'gave-up':
        this.#driver.stop();
        return this.#options.onGaveUp(effect.why);
    }
  }

  /** The next one does not wait for it: a thread that does not end at once is inside a call of the system, and harms nobody. */
  #endThread(why: string): void {
    const ending = this.#thread?.end(why).finally(() => this.#endings.delete(ending as Promise<void>));
    if (ending !== undefined) this.#endings.add(ending);
  }

  #spawn(thread: number): void {
    const { role, program, context } = this.#options;
    this.#thread = new ServiceThread({
      role,
      start: { program: program.href, token: this.#token, context: context() },
      onReady: () => this.#driver.feed({ kind: 'ready', thread }),
      onDied: (why) => this.#driver.feed({ kind: 'died', thread, why }),
    });
  }

  #ask(thread: number): void {
    this.#thread?.health().then(
      (health) => this.#driver.feed({ kind: 'answered', thread, health }),
      // A health that cannot be told ends the thread, and of that we hear.
      () => undefined,
    );
  }
}
