// Calls to whoever holds a role. They go over the stream to its holder, and over a failover to the next one: a call is safe to
// repeat, because a service does the same when it is asked again (peer/services/service.ts).
import { checker } from '../../lib/check.ts';
import { codeOf, PeerError } from '../../lib/errors.ts';
import { idToBytes, type PeerId } from '../../lib/ids.ts';
import { compareTokens, type FencingToken, isRole, type Role } from '../../lib/roles.ts';
import type { Clock, Millis } from '../../lib/time.ts';
import type { Health } from '../services/service.ts';
import type { Handler } from '../stream/connection.ts';

const ROLE_METHOD = 'role';
const METHOD_CHARACTERS_MAX = 64;
/** A role passes on within two seconds and a half; what takes twice that is not coming. */
const DEADLINE_MS: Millis = 5_000;
/** Where nothing tells that the holder has changed, it is looked at again after so long. */
const AGAIN_MS: Millis = 100;

export interface RoleAnswer {
  readonly value: unknown;
  readonly token: FencingToken;
}

export interface RoleCallsOptions {
  readonly self: PeerId;
  readonly clock: Clock;
  /** Who holds the role now, as far as is known here, and can be talked to. */
  readonly holder: (role: Role) => PeerId | undefined;
  /** Does a lease of the role run here? */
  readonly holds: (role: Role) => boolean;
  readonly serve: (role: Role, method: string, params: unknown) => Promise<RoleAnswer>;
  readonly health: (role: Role) => Promise<Health>;
  readonly ask: (peer: PeerId, method: string, params: unknown) => Promise<unknown>;
}

/** What a holder says that it may stop saying in a moment: the role is on its way to another. */
const PASSING: ReadonlySet<string | undefined> = new Set(['ROLE_UNAVAILABLE', 'CLOSED', 'CONNECTION_LOST', 'CONNECTION_REFUSED', 'TIMED_OUT', 'CANCELLED', 'NO_PEER']);

const check = checker('BAD_FRAME');

export class RoleCalls {
  readonly #options: RoleCallsOptions;
  /** The greatest token of each role that an answer carried: one with a smaller token comes from a holder that has slept. */
  readonly #seen = new Map<Role, FencingToken>();
  readonly #waiting = new Set<() => void>();

  constructor(options: RoleCallsOptions) {
    this.#options = options;
  }

  handlers(): ReadonlyMap<string, Handler> {
    return new Map<string, Handler>([[ROLE_METHOD, async (params) => ({ kind: 'value', value: await this.#answer(params) })]]);
  }

  /** Terms came down: what was greater once is not any more. */
  forget(): void {
    this.#seen.clear();
  }

  /** Some role has another holder: calls that wait look again. */
  changed(): void {
    for (const look of [...this.#waiting]) look();
  }

  /** @throws PeerError what the service refuses with; ROLE_UNAVAILABLE when nobody could be found within DEADLINE_MS who serves it */
  async call(role: Role, method: string, params: unknown): Promise<unknown> {
    return this.#untilServed(role, async (holder) => {
      const { value, token } = holder === this.#options.self ? await this.#serve(role, method, params) : answerOf(await this.#options.ask(holder, ROLE_METHOD, [role, method, params]));
      this.admit(role, token);
      return value;
    });
  }

  /** Takes note of what was done by a token. @throws PeerError ROLE_UNAVAILABLE when a greater one was seen */
  admit(role: Role, token: FencingToken): void {
    const seen = this.#seen.get(role);
    if (seen && compareTokens(token, seen) < 0) throw new PeerError('ROLE_UNAVAILABLE', `${role} has passed to another machine`);
    this.#seen.set(role, token);
  }

  /** Asked once: how its holder is now is what is wanted. */
  async health(role: Role): Promise<Health> {
    const { self, holder: holderOf, health, ask } = this.#options;
    const holder = holderOf(role);
    if (holder === undefined) return { healthy: false, why: 'nobody holds it' };
    if (holder === self) return health(role);
    const [why] = check.list(await ask(holder, ROLE_METHOD, [role, null, null]), 1);
    return why === null ? { healthy: true } : { healthy: false, why: check.text(why, 256) };
  }

  async #untilServed<T>(role: Role, attempt: (holder: PeerId) => Promise<T>): Promise<T> {
    const { clock, holder } = this.#options;
    const deadline = clock.now() + DEADLINE_MS;
    for (;;) {
      try {
        const peer = holder(role);
        if (peer === undefined) throw new PeerError('ROLE_UNAVAILABLE', `no machine holds ${role} now`);
        return await attempt(peer);
      } catch (error) {
        if (!PASSING.has(codeOf(error)) || clock.now() >= deadline) throw error;
        await this.#changedOrLater();
      }
    }
  }

  #changedOrLater(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve();
      };
      const timer = setTimeout(look, AGAIN_MS);
      this.#waiting.add(look);
    });
  }

  async #serve(role: Role, method: string, params: unknown): Promise<RoleAnswer> {
    if (!this.#options.holds(role)) throw new PeerError('ROLE_UNAVAILABLE', `this machine does not hold ${role}`);
    const answer = await this.#options.serve(role, method, params);
    // it may have slept while it worked
    if (!this.#options.holds(role)) throw new PeerError('ROLE_UNAVAILABLE', `this machine held ${role} until a moment ago`);
    return answer;
  }

  async #answer(params: unknown): Promise<unknown> {
    const [role, method, given] = check.list(params, 3);
    if (!isRole(role)) throw new PeerError('UNSUPPORTED', 'this version knows no such role');
    if (method === null) {
      const health = this.#options.holds(role) ? await this.#options.health(role) : ({ healthy: false, why: 'it is not held there any more' } as const);
      return [health.healthy ? null : health.why];
    }
    const { value, token } = await this.#serve(role, check.text(method, METHOD_CHARACTERS_MAX), given);
    return [value, token.term, idToBytes(token.coordinator), token.number];
  }
}

function answerOf(answer: unknown): RoleAnswer {
  const [value, term, coordinator, number] = check.list(answer, 4);
  return { value, token: { term: check.count(term), coordinator: check.id<PeerId>(coordinator), number: check.count(number) } };
}
