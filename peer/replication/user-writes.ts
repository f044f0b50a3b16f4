// What people write: when it may be written, and what they are told afterwards.
//
// Before: a peer whose disk was lost or set back knows less than its user has seen. What he deletes now has to be later than
// what he saw, so the first write of a start waits until a living peer's Lamport time was attached, for a moment at most.
//
// After: a write is on this disk when it is done. It is `replicated` once one more living peer says that it has it on its
// disk; if none says so in time, or none is here, it is `local only`, and the user may want to know.
//
// A pure machine.
import type { PeerId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import type { Millis } from '../../lib/time.ts';
import type { Acknowledgement } from './acknowledgement.ts';
import type { TaskId } from './ledger.ts';
import type { Change } from './transaction.ts';

export type UserWritesInput =
  | { readonly kind: 'started'; readonly now: Millis }
  /** A user's changes; the id is the caller's. */
  | { readonly kind: 'write'; readonly id: TaskId; readonly changes: readonly Change[]; readonly now: Millis }
  /** A living peer's Lamport time was attached. */
  | { readonly kind: 'attached' }
  /** The changes are on this disk. `peers` may be asked to keep them, the likeliest first. */
  | { readonly kind: 'wrote'; readonly id: TaskId; readonly operations: readonly Operation[]; readonly peers: readonly PeerId[]; readonly now: Millis }
  /** An asked peer has answered, or will not answer any more. */
  | { readonly kind: 'answered'; readonly id: TaskId; readonly peer: PeerId; readonly held: boolean }
  | { readonly kind: 'expired'; readonly timer: UserWritesTimer };

export type UserWritesTimer = 'gate' | `acknowledge/${TaskId}`;

export type UserWritesEffect =
  | { readonly kind: 'commit'; readonly id: TaskId; readonly changes: readonly Change[] }
  /** Ask this peer to answer once it has these on its disk. */
  | { readonly kind: 'ask'; readonly id: TaskId; readonly peer: PeerId; readonly operations: readonly Operation[] }
  | { readonly kind: 'acknowledge'; readonly id: TaskId; readonly how: Acknowledgement }
  | { readonly kind: 'arm'; readonly timer: UserWritesTimer; readonly ms: Millis };

/** How long after a start a write waits for a living peer's time: a slow machine meets the others within it, and somebody who is
 *  alone waits for the rest of it, once. */
const GATE_MS: Millis = 1_000;
/** How long a user waits for another peer's word. */
const ACKNOWLEDGE_MS: Millis = 300;
/** Asked side by side: one of them may have died a moment ago. */
const ASKED_MAX = 2;

interface Pending {
  readonly operations: readonly Operation[];
  /** Not asked yet. */
  readonly others: PeerId[];
  asked: number;
}

export class UserWrites {
  #isOpen = false;
  readonly #waiting: { readonly id: TaskId; readonly changes: readonly Change[] }[] = [];
  readonly #pending = new Map<TaskId, Pending>();
  /** Since the start. */
  localOnly = 0;

  step(input: UserWritesInput): UserWritesEffect[] {
    switch (input.kind) {
      case 'started':
        return [{ kind: 'arm', timer: 'gate', ms: GATE_MS }];
      case 'write':
        if (this.#isOpen) return [{ kind: 'commit', id: input.id, changes: input.changes }];
        this.#waiting.push(input);
        return [];
      case 'attached':
        return this.#open();
      case 'wrote':
        return this.#ask(input);
      case 'answered':
        return this.#answered(input);
      case 'expired':
        return input.timer === 'gate' ? this.#open() : this.#acknowledge(Number(input.timer.slice('acknowledge/'.length)), 'local only');
    }
  }

  #open(): UserWritesEffect[] {
    if (this.#isOpen) return [];
    this.#isOpen = true;
    return this.#waiting.splice(0).map(({ id, changes }) => ({ kind: 'commit', id, changes }));
  }

  #ask({ id, operations, peers }: Extract<UserWritesInput, { kind: 'wrote' }>): UserWritesEffect[] {
    const pending: Pending = { operations, others: [...peers], asked: 0 };
    this.#pending.set(id, pending);
    const asks = this.#askMore(id, pending);
    if (asks.length === 0) return this.#acknowledge(id, 'local only');
    return [...asks, { kind: 'arm', timer: `acknowledge/${id}`, ms: ACKNOWLEDGE_MS }];
  }

  #askMore(id: TaskId, pending: Pending): UserWritesEffect[] {
    const asked = pending.others.splice(0, ASKED_MAX - pending.asked);
    pending.asked += asked.length;
    return asked.map((peer) => ({ kind: 'ask', id, peer, operations: pending.operations }));
  }

  #answered({ id, held }: Extract<UserWritesInput, { kind: 'answered' }>): UserWritesEffect[] {
    const pending = this.#pending.get(id);
    if (!pending) return [];
    if (held) return this.#acknowledge(id, 'replicated');
    pending.asked -= 1;
    const asks = this.#askMore(id, pending);
    return asks.length === 0 && pending.asked === 0 ? this.#acknowledge(id, 'local only') : asks;
  }

  #acknowledge(id: TaskId, how: Acknowledgement): UserWritesEffect[] {
    if (!this.#pending.delete(id)) return [];
    if (how === 'local only') this.localOnly += 1;
    return [{ kind: 'acknowledge', id, how }];
  }
}
