// For commands on a machine without a peer of its own: one look at who serves the LAN over HTTP.
import type { PeerId } from '../lib/ids.ts';
import type { Millis } from '../lib/time.ts';
import type { Candidate } from './instance.ts';
import { listInterfaces } from './interfaces.ts';
import { Names, type NamesOptions } from './names.ts';

/** How long to wait for more after the first answer: all that hear the question answer within some 20 ms. */
const SETTLE_MS: Millis = 150;

/** Peers that serve HTTP to the LAN, in the order of their answers; empty when none answers within `timeoutMs`. */
export async function browseOnce(timeoutMs: Millis, options: NamesOptions = { interfaces: listInterfaces() }): Promise<Candidate[]> {
  const names = new Names(options);
  const found = new Map<PeerId, Candidate>();
  await new Promise<void>((resolve) => {
    let done = setTimeout(resolve, timeoutMs);
    names.on('candidate', (candidate) => {
      if (candidate.httpPort === 0) return;
      if (found.size === 0) {
        clearTimeout(done);
        done = setTimeout(resolve, Math.min(timeoutMs, SETTLE_MS));
      }
      found.set(candidate.peer, candidate);
    });
    names.browse();
  });
  await names.stop();
  return [...found.values()];
}
