// The event log as the web address serves it: read in pages, and followed.
import type { PeerId } from '../lib/ids.ts';
import { isEvent } from '../lib/kinds.ts';
import type { Lamport } from '../lib/lamport.ts';
import { compareStamps, type Operation } from '../lib/operation.ts';
import { stampToText } from '../lib/stamp-text.ts';
import type { EventLog } from '../storage/event-log.ts';
import { describeEvent } from './describe-event.ts';
import type { ApiEventLog, EventJson, LogFollower, LogJson, LogQuery } from './http/api-peer.ts';

/** The part of a session that is needed here. */
export interface LoggingSession {
  readonly eventLog: EventLog;
  /** Events up to this time are settled. */
  readonly settledTime: Lamport;
}

export interface EventLogApiOptions {
  /** Waits for one that still starts. */
  readonly session: () => Promise<LoggingSession>;
  /** Empty where it is not known. */
  readonly nameOf: (peer: PeerId) => string;
}

export class EventLogApi implements ApiEventLog {
  readonly #options: EventLogApiOptions;
  readonly #followers = new Set<LogFollower>();

  constructor(options: EventLogApiOptions) {
    this.#options = options;
  }

  async read(query: LogQuery): Promise<LogJson> {
    const { eventLog, settledTime: settled } = await this.#options.session();
    const events = await (query.kind === 'last' ? eventLog.last(query.count) : eventLog.after(query.stamp, query.limit));
    const end = events.at(-1) ?? (query.kind === 'after' ? query.stamp : null);
    return { events: events.map((event) => this.#toJson(event, settled)), next: end && stampToText(end), settled };
  }

  follow(follower: LogFollower): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  /** Registers have these winners now. Only sorted and told when somebody listens: a new machine's hundred thousand songs go by here too. */
  applied(operations: readonly Operation[], settledTime: () => Lamport): void {
    if (this.#followers.size === 0) return;
    const events = operations.filter(({ key }) => isEvent(key)).sort(compareStamps);
    if (events.length === 0) return;
    const told = events.map((event) => () => this.#toJson(event, settledTime()));
    for (const follower of this.#followers) follower.came(told);
  }

  /** Whoever follows one network's log is let go before another's begins. */
  over(): void {
    for (const follower of [...this.#followers]) follower.over();
  }

  #toJson({ lamport, origin, epoch, seq, key, value }: Operation, settledTime: Lamport): EventJson {
    const { at, kind, ...facts } = describeEvent({ key, value });
    return { lamport, origin, epoch, seq, at, kind, ...facts, settled: lamport <= settledTime, name: this.#options.nameOf(origin) };
  }
}
