// The other side of an acknowledgement: a peer was asked to say when it has somebody's operations on its disk. It says so
// once its committed head claims them, and gives up before the asker does.
//
// A pure machine.
import type { EpochId, PeerId } from '../../lib/ids.ts';
import type { Millis } from '../../lib/time.ts';

export type KeeperInput =
  | { readonly kind: 'asked'; readonly id: number; readonly origin: PeerId; readonly epoch: EpochId; readonly seq: number }
  /** Heads of this origin moved, and what moved them is on the disk. */
  | { readonly kind: 'moved'; readonly origin: PeerId }
  | { readonly kind: 'expired'; readonly timer: KeeperTimer };

export type KeeperTimer = `keep/${number}`;

export type KeeperEffect =
  | { readonly kind: 'answer'; readonly id: number; readonly held: boolean }
  | { readonly kind: 'arm'; readonly timer: KeeperTimer; readonly ms: Millis };

/** A little less than the asker waits. */
const GIVE_UP_MS: Millis = 250;

interface Asked {
  readonly id: number;
  readonly epoch: EpochId;
  readonly seq: number;
}

export class Keeper {
  readonly #head: (origin: PeerId, epoch: EpochId) => number;
  readonly #asked = new Map<PeerId, Asked[]>();

  /** @param head committed, and so on the disk */
  constructor(head: (origin: PeerId, epoch: EpochId) => number) {
    this.#head = head;
  }

  step(input: KeeperInput): KeeperEffect[] {
    switch (input.kind) {
      case 'asked': {
        const { id, origin, epoch, seq } = input;
        if (this.#head(origin, epoch) >= seq) return [{ kind: 'answer', id, held: true }];
        this.#asked.set(origin, [...(this.#asked.get(origin) ?? []), { id, epoch, seq }]);
        return [{ kind: 'arm', timer: `keep/${id}`, ms: GIVE_UP_MS }];
      }
      case 'moved':
        return this.#settle(input.origin, ({ epoch, seq }) => this.#head(input.origin, epoch) >= seq, true);
      case 'expired': {
        const late = Number(input.timer.slice('keep/'.length));
        return [...this.#asked.keys()].flatMap((origin) => this.#settle(origin, ({ id }) => id === late, false));
      }
    }
  }

  #settle(origin: PeerId, isSettled: (asked: Asked) => boolean, held: boolean): KeeperEffect[] {
    const all = this.#asked.get(origin) ?? [];
    const left = all.filter((asked) => !isSettled(asked));
    if (left.length > 0) this.#asked.set(origin, left);
    else this.#asked.delete(origin);
    return all.filter(isSettled).map(({ id }) => ({ kind: 'answer', id, held }));
  }
}
