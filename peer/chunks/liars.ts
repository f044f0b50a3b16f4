// Who sent something wrong of which payload. A swarm ends soon after its last reader; the next one is not to wait for the same wrong
// chunks again.
import { LRUCache } from 'lru-cache';
import type { PayloadId, PeerId } from '../../lib/ids.ts';
import { LIES_REMEMBERED_MAX } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import { LIAR_MS } from './provider-pace.ts';

interface Lie {
  readonly peer: PeerId;
  readonly payload: PayloadId;
  readonly until: Millis;
}

export class Liars {
  readonly #lies = new LRUCache<string, Lie>({ max: LIES_REMEMBERED_MAX });

  add(peer: PeerId, payload: PayloadId, now: Millis): void {
    this.#lies.set(`${peer}/${payload}`, { peer, payload, until: now + LIAR_MS });
  }

  /** Who lied of it in the last ten minutes. */
  of(payload: PayloadId, now: Millis): PeerId[] {
    const liars: PeerId[] = [];
    for (const lie of this.#lies.values()) if (lie.payload === payload && now < lie.until) liars.push(lie.peer);
    return liars;
  }
}
