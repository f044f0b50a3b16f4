// What a role's program looks like: the holder of a role runs one of these, in a thread of its own (worker.ts), so that whatever
// it does wrong ends with that thread. It sees nothing of the peer but what it is told here.
import { PeerError } from '../../lib/errors.ts';
import type { FencingToken } from '../../lib/roles.ts';

/** What of this machine a service may need, as it was when its thread started. */
export interface ServiceContext {
  readonly httpPort: number;
  /** Where this machine itself reaches the page, which may be served at one address only. */
  readonly httpUrl: string;
}

/** Unhealthy for long is as bad as hung: the service is started anew. `why` is for people and begins in lower case. */
export type Health = { readonly healthy: true } | { readonly healthy: false; readonly why: string };

/** A program exports one as `service`. Every method may return a promise. A throw in `handle` is its caller's answer; any other
 *  throw or rejection ends the thread. A thread is ended without `stop` when it hangs, so what has to last is written at once. */
export interface Service {
  /** Until it is done calls wait. */
  start(token: FencingToken, context: ServiceContext): void | Promise<void>;
  /** The role goes on under a newer token: a new coordinator adopts those that live. What the service writes carries it from now on. */
  renew(token: FencingToken): void | Promise<void>;
  /** Bounded: who takes long is ended. */
  stop(): void | Promise<void>;
  /** A call may come again when its answer was lost, so a method does the same when it is repeated.
   *  @param params untrusted: who calls is anybody in the network @returns what `v8.serialize` takes
   *  @throws PeerError what the caller is told; anything else reaches it as INTERNAL */
  handle(method: string, params: unknown): unknown;
  /** Asked every second. */
  health(): Health | Promise<Health>;
}

/** As streams do with a method that nobody handles. */
export const unknownMethod = (method: string): PeerError => new PeerError('UNSUPPORTED', `there is no method ${method.slice(0, 64)}`);
