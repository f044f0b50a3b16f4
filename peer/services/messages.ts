// What a service's thread and its host say to each other. Params and answers go as bytes, so that their size is known before
// the main thread spends time on what is in them.
import { deserialize, serialize } from 'node:v8';
import { PeerError } from '../../lib/errors.ts';
import { SERVICE_MESSAGE_BYTES_MAX } from '../../lib/limits.ts';
import type { FencingToken } from '../../lib/roles.ts';
import type { ServiceContext } from './service.ts';

/** What a thread is started with. */
export interface ThreadStart {
  /** The URL of the module that exports the service. */
  readonly program: string;
  readonly token: FencingToken;
  readonly context: ServiceContext;
}

export type ToThread =
  | { readonly kind: 'call'; readonly id: number; readonly method: string; readonly params: Uint8Array }
  | { readonly kind: 'health'; readonly id: number }
  | { readonly kind: 'renew'; readonly token: FencingToken }
  | { readonly kind: 'stop' };

export type FromThread =
  | { readonly kind: 'ready' }
  | { readonly kind: 'answer'; readonly id: number; readonly value: Uint8Array }
  | { readonly kind: 'refusal'; readonly id: number; readonly code: string; readonly message: string };

/** @throws PeerError TOO_LARGE, and a DataCloneError for what cannot leave a thread */
export function pack(value: unknown): Uint8Array {
  const bytes = serialize(value);
  if (bytes.byteLength > SERVICE_MESSAGE_BYTES_MAX) throw new PeerError('TOO_LARGE', `${bytes.byteLength} bytes are too many for a service`);
  return bytes;
}

export const unpack = (bytes: Uint8Array): unknown => deserialize(bytes);

/** A service that gets hold of the port may post anything: undefined is what none of ours says. */
export function readFromThread(message: unknown): FromThread | undefined {
  const { kind, id, value, code, message: text } = (typeof message === 'object' && message !== null ? message : {}) as Record<string, unknown>;
  if (kind === 'ready') return { kind };
  if (typeof id !== 'number') return undefined;
  if (kind === 'answer' && value instanceof Uint8Array && value.byteLength <= SERVICE_MESSAGE_BYTES_MAX) return { kind, id, value };
  if (kind === 'refusal' && typeof code === 'string' && typeof text === 'string') return { kind, id, code, message: text };
  return undefined;
}
