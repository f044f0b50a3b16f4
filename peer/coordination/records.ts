// What the coordinator writes into the event log, so that people can see later who coordinated when, and why a role moved.
import { COORDINATION_SLOTS, electionKey, encodeElection, encodeHandover, handoverKey, parseElectionKey, parseHandoverKey, slotOf } from '../../lib/coordination-events.ts';
import type { PeerId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import type { WallClock } from '../../lib/time.ts';
import type { Change } from '../replication/transaction.ts';
import type { CoordinationNews } from './coordination.ts';

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

export class CoordinationRecords {
  readonly #self: PeerId;
  readonly #wall: () => WallClock;
  #elections: number;
  #handovers: number;
  /** Whom this peer followed last. */
  #before: PeerId | null = null;

  constructor(self: PeerId, written: Written, wall: () => WallClock) {
    this.#self = self;
    this.#elections = written.elections;
    this.#handovers = written.handovers;
    this.#wall = wall;
  }

  /** @returns what is to be written; nothing where another has something to say of it */
  changeFor(news: CoordinationNews): Change | null {
    const at = this.#wall();
    if (news.kind === 'handOver') {
      const { role, from, to, token, why } = news;
      return { key: handoverKey(slotOf(this.#handovers++)), value: encodeHandover({ role, from, to, token, why, at }) };
    }
    if (news.kind !== 'coordinator' || news.coordinator === null) return null;
    const before = this.#before;
    this.#before = news.coordinator;
    if (news.coordinator !== this.#self || before === this.#self) return null;
    const { coordinator, term, reason } = news;
    return { key: electionKey(slotOf(this.#elections++)), value: encodeElection({ coordinator, before, term, reason, at }) };
  }
}
