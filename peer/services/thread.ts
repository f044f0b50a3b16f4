// One thread of one service, as the main thread sees it: calls and their answers, and an end that is always in reach. Nothing
// here waits for the thread without a bound, and nothing of what it says is trusted.
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { codeOf, type ErrorCode, messageOf, PeerError } from '../../lib/errors.ts';
import { REQUEST_TIMEOUT_MS, SERVICE_CALLS_MAX } from '../../lib/limits.ts';
import type { FencingToken, Role } from '../../lib/roles.ts';
import { pack, readFromThread, type ThreadStart, type ToThread, unpack } from './messages.ts';
import type { Health } from './service.ts';

/** A thread costs 7.5 MB however little it does, and needs 3 MB of this heap. The bound is no greater than the 16 MB that Node adds
 *  on top while it ends a thread that has reached it: V8 ends the whole process when a single allocation does not fit even then, as
 *  a Map or an array does that doubles in a larger heap (seen from 24 MB on). What stays possible is one leap of 24 MB and more, as
 *  JSON.parse of a long text may make: nothing that a service is sent is a hundredth of that, and no program may read such things. */
const HEAP_MIB_MAX = 16;
/** Node's default of 16 MiB would fill up before anything is collected. */
const YOUNG_HEAP_MIB = 1;
/** For `stop`: a third of a lease, and who gets the role next waits. */
const STOP_MS = 500;
/** A thread that is ended stops within milliseconds, but for one inside a read of a dead disk, which nobody can wait for. */
const END_MS = 500;
const WHY_CHARACTERS_MAX = 200;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: PeerError) => void;
  readonly timer: NodeJS.Timeout | undefined;
}

export interface ThreadOptions {
  readonly role: Role;
  readonly start: ThreadStart;
  readonly onReady: () => void;
  /** It ended, or has to be ended, and not because we wanted it. */
  readonly onDied: (why: string) => void;
}

export class ServiceThread {
  readonly #role: Role;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  readonly #onReady: () => void;
  readonly #onDied: (why: string) => void;
  #lastId = 0;
  #calls = 0;
  #health: Promise<Health> | undefined;
  #over = false;

  constructor({ role, start, onReady, onDied }: ThreadOptions) {
    this.#role = role;
    this.#onReady = onReady;
    this.#onDied = onDied;
    // This file's own extension: .js when built, .ts when run by a loader.
    this.#worker = new Worker(new URL(`./worker${extname(import.meta.url)}`, import.meta.url), {
      name: role,
      workerData: start,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX, maxYoungGenerationSizeMb: YOUNG_HEAP_MIB },
    });
    this.#worker.unref();
    this.#worker.on('message', (message: unknown) => this.#heard(message));
    this.#worker.on('messageerror', () => this.#died('said what cannot be read'));
    this.#worker.on('error', (error: unknown) => this.#died(codeOf(error) === 'ERR_WORKER_OUT_OF_MEMORY' ? 'ran out of memory' : messageOf(error)));
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.#worker.on('exit', () => this.#died('ended by itself'));
  }

  /** @throws PeerError the service's own, ROLE_UNAVAILABLE when the thread ends first, BUSY, TIMED_OUT, TOO_LARGE, INTERNAL */
  async call(method: string, params: unknown): Promise<unknown> {
    if (this.#calls >= SERVICE_CALLS_MAX) throw new PeerError('BUSY', `the ${this.#role} service has too much to do`);
    const bytes = pack(params);
    this.#calls += 1;
    try {
      return await this.#ask((id) => ({ kind: 'call', id, method, params: bytes }), REQUEST_TIMEOUT_MS);
    } finally {
      this.#calls -= 1;
    }
  }

  /** Whoever asks meanwhile shares the answer. @throws PeerError as call */
  health(): Promise<Health> {
    // Whether it takes too long is the supervisor's to say.
    this.#health ??= this.#ask((id) => ({ kind: 'health', id }))
      .then(readHealth)
      .finally(() => (this.#health = undefined));
    return this.#health;
  }

  renew(token: FencingToken): void {
    this.#post({ kind: 'renew', token });
  }

  /** Politely at first. What is under way is refused at once, since the role is no longer ours. Resolves within STOP_MS + END_MS. */
  async stop(): Promise<void> {
    if (!this.#over) {
      this.#post({ kind: 'stop' });
      this.#refuseAll('is being stopped');
      await this.#exitedWithin(STOP_MS);
    }
    await this.end('was stopped');
  }

  /** Resolves when it is gone, or in spite of it after END_MS. */
  async end(why: string): Promise<void> {
    this.#refuseAll(why);
    void this.#worker.terminate();
    await this.#exitedWithin(END_MS);
  }

  #ask(message: (id: number) => ToThread, timeoutMs?: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#over) return reject(this.#unavailable('has ended'));
      const id = ++this.#lastId;
      const late = (): void => this.#take(id)?.reject(new PeerError('TIMED_OUT', `the ${this.#role} service did not answer in time`));
      const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs).unref();
      this.#pending.set(id, { resolve, reject, timer });
      this.#post(message(id));
    });
  }

  #post(message: ToThread): void {
    if (!this.#over) this.#worker.postMessage(message);
  }

  /** Nobody waits any more for an answer that comes late. */
  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    clearTimeout(pending?.timer);
    this.#pending.delete(id);
    return pending;
  }

  #heard(raw: unknown): void {
    if (this.#over) return;
    const message = readFromThread(raw);
    if (message === undefined) return this.#died('said what is no answer');
    switch (message.kind) {
      case 'ready':
        return this.#onReady();
      case 'refusal':
        return this.#take(message.id)?.reject(this.#refusal(message));
      case 'answer': {
        let value: unknown;
        try {
          value = unpack(message.value);
        } catch {
          return this.#died('said what cannot be read');
        }
        return this.#take(message.id)?.resolve(value);
      }
    }
  }

  #refusal({ code, message }: { readonly code: string; readonly message: string }): PeerError {
    // A bug's own words are for us, not for who calls.
    if (code === 'INTERNAL') return new PeerError('INTERNAL', `the ${this.#role} service failed`, { cause: new Error(message) });
    return new PeerError(code as ErrorCode, message);
  }

  #died(why: string): void {
    if (this.#over) return;
    const told = why.slice(0, WHY_CHARACTERS_MAX);
    void this.end(told);
    this.#onDied(told);
  }

  #refuseAll(why: string): void {
    this.#over = true;
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(this.#unavailable(why));
  }

  #unavailable(why: string): PeerError {
    return new PeerError('ROLE_UNAVAILABLE', `the ${this.#role} service ${why}; try again`);
  }

  async #exitedWithin(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([this.#exited, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))]);
    clearTimeout(timer);
  }
}

function readHealth(value: unknown): Health {
  const { healthy, why } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (healthy === true) return { healthy };
  return { healthy: false, why: (typeof why === 'string' ? why : 'is unwell').slice(0, WHY_CHARACTERS_MAX) };
}
