// Whether anybody listens at an address: connections that are closed as soon as one is open. Quicker than a dial, and it may be done
// from both sides at once, since no stream comes of it.
import { connect, type Socket } from 'node:net';
import type { Address } from '../../discovery/address.ts';
import { codeOf } from '../../lib/errors.ts';
import type { Millis } from '../../lib/time.ts';

/** A SYN or its answer may be lost, and the kernel repeats it only after a second. At 30% loss each way seven are enough in 99 of 100
 *  cases (0.51 to the seventh). */
export const KNOCKS_AFTER_MS: readonly Millis[] = [0, 30, 70, 120, 180, 260, 360];

/** @returns refused: the machine says that nobody listens; unknown: it says nothing */
export function knock({ host, port }: Address, timeoutMs: Millis): Promise<'open' | 'refused' | 'unknown'> {
  return new Promise((resolve) => {
    const sockets: Socket[] = [];
    const end = (how: 'open' | 'refused' | 'unknown'): void => {
      for (const timer of timers) clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
      resolve(how);
    };
    const once = (): void => {
      const socket = connect({ host, port });
      sockets.push(socket);
      socket.on('connect', () => end('open'));
      socket.on('error', (error) => codeOf(error) === 'ECONNREFUSED' && end('refused'));
    };
    const timers = [...KNOCKS_AFTER_MS.map((ms) => setTimeout(once, ms)), setTimeout(() => end('unknown'), timeoutMs)];
  });
}
