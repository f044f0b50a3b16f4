// When an event's place in the log is final: once every member alive here has passed it, none of them can write anything that
// would stand before it. Lamport's own argument for a total order: a message with a later time from everybody means that
// nothing earlier is still to come (1978, the mutual exclusion example). Beats are these messages.
//
// A beat says (lamport, head): every own operation up to that time lies within that head, and later writes get greater times.
// So a member has passed the time of a beat as soon as its head is held here. That speaks of the log of its present start
// alone; what it wrote before, or holds of others, is known to be here once the whole states were seen equal or were pulled.
//
// Pure: told what happens, asked for a time. Who is gone counts no more, and may return with earlier events: `settled` is what is
// known here and now, and the time goes back when somebody comes.
import type { EpochId, PeerId } from '../../lib/ids.ts';
import { type Lamport, LAMPORT_LEAP_MAX } from '../../lib/lamport.ts';
import type { ReplicaBeat } from '../../lib/messages.ts';

/** Committed state. */
export interface SettledHeld {
  head(origin: PeerId, epoch: EpochId): number;
  root(): Uint8Array;
  /** Own operations up to this time are committed. */
  time(): Lamport;
}

export type SettledBeat = Pick<ReplicaBeat, 'lamport' | 'head' | 'root'>;

interface Progress {
  /** Everything that it held at some moment since it came is held here. */
  caughtUp: boolean;
  passed: Lamport;
  /** Beats whose heads are still to come: the first, which will be reached however fast the log grows, and the latest. */
  waiting: SettledBeat[];
  latest: SettledBeat | undefined;
}

export class Settled {
  readonly #held: SettledHeld;
  readonly #members = new Map<PeerId, Progress>();

  constructor(held: SettledHeld) {
    this.#held = held;
  }

  /** Events up to this time are settled; 0 is none. */
  get time(): Lamport {
    let time = this.#held.time();
    for (const { caughtUp, passed } of this.#members.values()) time = Math.min(time, caughtUp ? passed : 0);
    return time;
  }

  /** A member is alive: it is new, or has returned or restarted. */
  came(peer: PeerId): void {
    this.#members.set(peer, { caughtUp: false, passed: 0, waiting: [], latest: undefined });
  }

  /** A member is dead, has left, or is of another network. */
  gone(peer: PeerId): void {
    this.#members.delete(peer);
  }

  /** Nothing that was held here is any more. */
  dropped(): void {
    for (const peer of this.#members.keys()) this.came(peer);
  }

  beat(peer: PeerId, beat: SettledBeat): void {
    if (!this.#members.has(peer)) this.came(peer);
    const member = this.#members.get(peer) as Progress;
    // a clock that leaps is not believed, not even in what it has passed
    if (beat.lamport > this.#held.time() + LAMPORT_LEAP_MAX) return;
    member.latest = beat;
    member.waiting = [...member.waiting.slice(0, 1), beat];
    this.#look(peer, member);
  }

  /** Heads have moved here. */
  moved(): void {
    for (const [peer, member] of this.#members) this.#look(peer, member);
  }

  /** A pull of everything that `peer` holds begins. @returns what to call when all of it is here; it counts for nothing when the
   *  member has restarted since */
  pulling(peer: PeerId): () => void {
    const member = this.#members.get(peer);
    return () => {
      if (member) member.caughtUp = true;
    };
  }

  #look(peer: PeerId, member: Progress): void {
    for (const { lamport, head } of member.waiting) {
      if (head && this.#held.head(peer, head.epoch) < head.seq) break;
      member.passed = Math.max(member.passed, lamport);
      member.waiting = member.waiting.slice(1);
    }
    if (member.latest && !member.caughtUp) {
      const { root } = member.latest;
      member.caughtUp = Buffer.compare(root, this.#held.root().subarray(0, root.byteLength)) === 0;
    }
  }
}
