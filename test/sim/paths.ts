// Which hosts reach which: cuts lie over each other, and a way is open when none of them closes it.
import type { Host } from './peer.ts';

export interface Way {
  readonly from: Host;
  readonly to: Host;
}

export class Paths {
  readonly #hosts: number;
  /** How many cuts close each way. */
  readonly #cuts: Uint16Array;

  constructor(hosts: number) {
    this.#hosts = hosts;
    this.#cuts = new Uint16Array(hosts * hosts);
  }

  isOpen(from: Host, to: Host): boolean {
    return this.#cuts[from * this.#hosts + to] === 0;
  }

  /** Closes some ways. @returns what opens them again, once */
  cut(ways: readonly Way[]): () => void {
    for (const way of ways) this.#add(way, 1);
    let closed = true;
    return () => {
      if (!closed) return;
      closed = false;
      for (const way of ways) this.#add(way, -1);
    };
  }

  /** Every way between one side and all other hosts. */
  around(side: readonly Host[]): Way[] {
    const inside = new Set(side);
    const outside = Array.from({ length: this.#hosts }, (_, host) => host).filter((host) => !inside.has(host));
    return side.flatMap((here) => outside.flatMap((there) => [{ from: here, to: there }, { from: there, to: here }]));
  }

  #add({ from, to }: Way, count: number): void {
    const place = from * this.#hosts + to;
    this.#cuts[place] = (this.#cuts[place] as number) + count;
  }
}
