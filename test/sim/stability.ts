// Since when nothing has happened to a machine, and to the way between two: what a bound on time is counted from. It looks at the
// world now and then, as a person at a dashboard would.
import type { Millis } from '../../lib/time.ts';
import type { Host, SimPeer } from './peer.ts';
import type { World } from './world.ts';

const LOOK_EVERY_MS: Millis = 50;

function stateOf<P extends SimPeer>({ machines, network }: World<P>, host: Host): string {
  const { peer, isPaused, isStopping, pauses, boots } = machines[host] as World<P>['machines'][number];
  return `${peer !== null} ${isPaused} ${isStopping} ${pauses} ${boots} ${network.datagrams.isStormy(host)}`;
}

export class Stability<P extends SimPeer> {
  readonly #machines: { state: string; since: Millis }[] = [];
  readonly #ways = new Map<number, { open: boolean; since: Millis }>();
  #lookedAt: Millis = Number.NEGATIVE_INFINITY;

  /** @returns whether it was time to look */
  look(world: World<P>): boolean {
    const { now } = world.scheduler;
    if (now - this.#lookedAt < LOOK_EVERY_MS) return false;
    this.#lookedAt = now;
    for (const host of world.machines.keys()) {
      const state = stateOf(world, host);
      const known = this.#machines[host];
      if (known?.state !== state) this.#machines[host] = { state, since: now };
      for (let other = 0; other < host; other++) {
        const open = world.network.paths.isOpen(host, other) && world.network.paths.isOpen(other, host);
        const name = host * world.machines.length + other;
        if (this.#ways.get(name)?.open !== open) this.#ways.set(name, { open, since: now });
      }
    }
    return true;
  }

  /** Since when this machine has run without a break; Infinity where it has just begun, or ended. */
  machineSince(host: Host, world: World<P>): Millis {
    const known = this.#machines[host];
    return known?.state === stateOf(world, host) ? known.since : Number.POSITIVE_INFINITY;
  }

  /** Since when two machines hear each other, or do not. */
  wayBetween(one: Host, other: Host, machines: number): { readonly open: boolean; readonly since: Millis } {
    return this.#ways.get(Math.max(one, other) * machines + Math.min(one, other)) ?? { open: false, since: Number.POSITIVE_INFINITY };
  }
}
