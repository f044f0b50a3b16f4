// What people are told of coordination: as it happens by the log of each machine, and later by the event log of all, into which the
// coordinator writes who was elected, and why a role moved.
import { COORDINATION_SLOTS, electionKey, encodeElection, encodeHandover, handoverKey, parseElectionKey, parseHandoverKey, slotOf } from '../../lib/coordination-events.ts';
import type { PeerId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import type { WallClock } from '../../lib/time.ts';
import type { Change } from '../replication/transaction.ts';
import type { Log } from '../../lib/log.ts';
import { tokenText } from '../../lib/roles.ts';
import type { CoordinationNews } from './coordination.ts';
import type { RoleChange } from './duties.ts';

/** The rings of this origin go on where they ended before the restart. */
export interface Written {
  readonly elections: number;
  readonly handovers: number;
}

/** @param registers of all origins, of both kinds */
export async function writtenBefore(self: PeerId, registers: (prefix: string) => AsyncIterable<readonly Operation[]>): Promise<Written> {
  const countOf = async (prefix: string, slotIn: (key: string) => number | undefined): Promise<number> => {
    let latest: Operation | undefined;
    for await (const operations of registers(prefix)) {
      for (const operation of operations) if (operation.origin === self && operation.lamport > (latest?.lamport ?? 0)) latest = operation;
    }
    return ((latest && slotIn(latest.key)) ?? COORDINATION_SLOTS - 1) + 1;
  };
  return { elections: await countOf('election/', parseElectionKey), handovers: await countOf('handover/', parseHandoverKey) };
}

export interface ReportsOptions {
  readonly self: PeerId;
  readonly name: string;
  /** Empty where it is not known. */
  readonly nameOf: (peer: PeerId) => string;
  readonly wall: () => WallClock;
  readonly log: Log;
  readonly written: Written;
  readonly write: (change: Change) => void;
}

export class CoordinationReports {
  readonly #options: ReportsOptions;
  #elections: number;
  #handovers: number;
  /** Whom this peer followed last. */
  #before: PeerId | null = null;

  constructor(options: ReportsOptions) {
    this.#options = options;
    this.#elections = options.written.elections;
    this.#handovers = options.written.handovers;
  }

  role(change: RoleChange): void {
    this.#options.log('role', { ...change, ...(change.state === 'held' && { token: tokenText(change.token) }) });
  }

  tell(news: CoordinationNews): void {
    const { self, log } = this.#options;
    switch (news.kind) {
      case 'coordinator': {
        const { coordinator, term, reason } = news;
        log('coordinator', { peer: coordinator, name: this.#nameOf(coordinator) ?? '', term, reason, self: coordinator === self });
        return this.#elected(news);
      }
      case 'handOver': {
        const { role, from, to, token, why } = news;
        log('handover', { role, from, to, why, names: { from: this.#nameOf(from), to: this.#nameOf(to) } });
        this.#options.write({ key: handoverKey(slotOf(this.#handovers++)), value: encodeHandover({ role, from, to, token, why, at: this.#options.wall() }) });
        return;
      }
      case 'insaneTerm':
        return log('insane-term', { peer: news.peer, name: this.#nameOf(news.peer) ?? '', term: news.term, self: news.peer === self });
    }
  }

  /** Whoever is elected writes it, once. */
  #elected({ coordinator, term, reason }: Extract<CoordinationNews, { readonly kind: 'coordinator' }>): void {
    const before = this.#before;
    if (coordinator === null) return;
    this.#before = coordinator;
    if (coordinator !== this.#options.self || before === coordinator) return;
    this.#options.write({ key: electionKey(slotOf(this.#elections++)), value: encodeElection({ coordinator, before, term, reason, at: this.#options.wall() }) });
  }

  #nameOf(peer: PeerId | null): string | null {
    if (peer === null) return null;
    return peer === this.#options.self ? this.#options.name : this.#options.nameOf(peer);
  }
}
