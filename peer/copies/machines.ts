// Which machines count. One that is restarted is gone for some seconds, and no music is to move because of that; one that leaves
// gives what it has and counts for nothing.
import type { PeerId } from '../../lib/ids.ts';
import { MEMBERS_MAX } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';

/** A machine that is gone counts for so long: a restart, a reboot of a small machine, a cable that is moved. */
export const GRACE_MS: Millis = 25_000;

export interface MachinesOptions {
  readonly self: PeerId;
  /** Is this other machine here, and in this network? */
  readonly lives: (peer: PeerId) => boolean;
  /** Has it said that it leaves? */
  readonly leaves: (peer: PeerId) => boolean;
  /** One that went counts no longer. */
  readonly onOver: () => void;
  readonly graceMs?: Millis | undefined;
}

export class Machines {
  readonly #options: MachinesOptions;
  /** Each until its grace is over. */
  readonly #gone = new Map<PeerId, NodeJS.Timeout>();
  readonly #graceMs: Millis;
  /** Whoever is known may be on its way, as after a power cut. */
  #starting: NodeJS.Timeout | undefined;

  constructor(options: MachinesOptions) {
    this.#options = options;
    this.#graceMs = options.graceMs ?? GRACE_MS;
  }

  start(): void {
    const over = (): void => {
      this.#starting = undefined;
      this.#options.onOver();
    };
    this.#starting = setTimeout(over, this.#graceMs).unref();
  }

  lives = (peer: PeerId): boolean => peer === this.#options.self || this.#options.lives(peer);

  leaves = (peer: PeerId): boolean => this.#options.leaves(peer);

  /** It is here, and may be trusted to be here tomorrow. */
  stays = (peer: PeerId): boolean => this.lives(peer) && !this.#options.leaves(peer);

  /** Likewise, or it may be here in a moment: it went, or has not been heard since this machine started. */
  counts = (peer: PeerId): boolean => !this.#options.leaves(peer) && (this.lives(peer) || this.#gone.has(peer) || this.#starting !== undefined);

  came(peer: PeerId): void {
    clearTimeout(this.#gone.get(peer));
    this.#gone.delete(peer);
  }

  went(peer: PeerId): void {
    if (this.#gone.has(peer) || this.#gone.size >= MEMBERS_MAX) return;
    const over = (): void => {
      this.#gone.delete(peer);
      this.#options.onOver();
    };
    this.#gone.set(peer, setTimeout(over, this.#graceMs).unref());
  }

  stop(): void {
    clearTimeout(this.#starting);
    for (const timer of this.#gone.values()) clearTimeout(timer);
    this.#gone.clear();
  }
}
