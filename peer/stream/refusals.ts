// What it means that a machine refuses connections. One that took them before does so since its process has ended; one that never did
// has a firewall that rejects, and serves over the streams that it dials itself. So whoever calls here is called back once, to know.
import { LRUCache } from 'lru-cache';
import type { Address } from '../../discovery/address.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import { PEERS_REMEMBERED_MAX } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import { knock } from './knock.ts';

const KNOCK_MS: Millis = 1_000;

export class Refusals {
  /** Which boot took a connection of ours. */
  readonly #taken = new LRUCache<PeerId, BootId>({ max: PEERS_REMEMBERED_MAX });
  readonly #knocking = new Map<PeerId, Promise<Awaited<ReturnType<typeof knock>>>>();

  /** A connection that was dialled is open. */
  took(peer: PeerId, boot: BootId): void {
    this.#taken.set(peer, boot);
  }

  /** Is a refusal the end of that process? It took a connection before. */
  tells(peer: PeerId, boot: BootId): boolean {
    return this.#taken.get(peer) === boot;
  }

  /** Finds out whether it takes connections. */
  async learn(peer: PeerId, boot: BootId, address: Address): Promise<void> {
    if (!this.tells(peer, boot) && (await this.#knock(peer, address)) === 'open') this.took(peer, boot);
  }

  /** Did that process take connections, and is nobody listening there any more? */
  async hasEnded(peer: PeerId, boot: BootId, address: Address): Promise<boolean> {
    return this.tells(peer, boot) && (await this.#knock(peer, address)) === 'refused';
  }

  /** One at a time, however many want to know. */
  #knock(peer: PeerId, address: Address): ReturnType<typeof knock> {
    const under = this.#knocking.get(peer);
    if (under) return under;
    const knocking = knock(address, KNOCK_MS).finally(() => this.#knocking.delete(peer));
    this.#knocking.set(peer, knocking);
    return knocking;
  }
}
