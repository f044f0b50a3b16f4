// What it means that a machine refuses connections. One that took them before does so since its process has ended; one that never did
// has a firewall that rejects, and serves over the streams that it dials itself. So whoever calls here is called back once, to know.
import { LRUCache } from 'lru-cache';
import { type Address, formatAddress } from '../../discovery/address.ts';
import type { BootId } from '../../lib/ids.ts';
import { PEERS_REMEMBERED_MAX } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import { knock } from './knock.ts';

const KNOCK_MS: Millis = 1_000;

export class Refusals {
  /** Where a process took a connection of ours: a machine may take them by one interface and reject them by another. */
  readonly #taken = new LRUCache<BootId, Address>({ max: PEERS_REMEMBERED_MAX });
  readonly #knocking = new Map<string, ReturnType<typeof knock>>();

  /** A connection that was dialled is open. */
  took(boot: BootId, address: Address): void {
    this.#taken.set(boot, address);
  }

  /** Finds out whether it takes connections. */
  async learn(boot: BootId, address: Address): Promise<void> {
    if (!this.#taken.has(boot) && (await this.#knock(address)) === 'open') this.took(boot, address);
  }

  /** Did that process take connections, and is nobody listening there any more? */
  async hasEnded(boot: BootId): Promise<boolean> {
    const address = this.#taken.get(boot);
    return address !== undefined && (await this.#knock(address)) === 'refused';
  }

  /** One at a time, however many want to know. */
  #knock(address: Address): ReturnType<typeof knock> {
    const name = formatAddress(address);
    const knocking = this.#knocking.get(name) ?? knock(address, KNOCK_MS).finally(() => this.#knocking.delete(name));
    this.#knocking.set(name, knocking);
    return knocking;
  }
}
