// Whether anybody listens at an address: a connection that is closed as soon as it is open. Quicker than a dial, and it may be done
// from both sides at once, since no stream comes of it.
import { connect } from 'node:net';
import type { Address } from '../../discovery/address.ts';
import { codeOf } from '../../lib/errors.ts';
import type { Millis } from '../../lib/time.ts';

/** @returns refused: the machine says that nobody listens; unknown: it says nothing */
export function knock({ host, port }: Address, timeoutMs: Millis): Promise<'open' | 'refused' | 'unknown'> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (how: 'open' | 'refused' | 'unknown'): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(how);
    };
    const timer = setTimeout(() => end('unknown'), timeoutMs);
    socket.on('connect', () => end('open'));
    socket.on('error', (error) => end(codeOf(error) === 'ECONNREFUSED' ? 'refused' : 'unknown'));
  });
}
