// Sends the events of the log to those who follow it (Server-Sent Events). Unlike the events of pages, none may be left out: each
// follower has a queue of its own that waits for its reader. Who lags too far behind is cut off, and reads the log again.
import { setImmediate } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import { PeerError } from '../../lib/errors.ts';
import { HTTP_EVENT_STREAMS_MAX, HTTP_LOG_QUEUE_EVENTS_MAX } from '../../lib/limits.ts';
import type { ApiEventLog, LoggedEvent } from './api-peer.ts';
import { HEARTBEAT_MS, openStream } from './events.ts';

/** Made into JSON in one turn of the event loop: a millisecond. */
const EVENTS_PER_TURN = 128;

interface Follower {
  readonly raw: FastifyReply['raw'];
  queue: LoggedEvent[];
  sending: boolean;
}

export class LogStreams {
  readonly #log: Pick<ApiEventLog, 'follow'>;
  readonly #followers = new Set<Follower>();
  #stop: (() => void) | undefined;

  constructor(log: Pick<ApiEventLog, 'follow'>) {
    this.#log = log;
  }

  /** Keeps `reply` open for events. Throws BUSY when too many follow already. */
  follow(reply: FastifyReply): void {
    if (this.#followers.size >= HTTP_EVENT_STREAMS_MAX) throw new PeerError('BUSY', 'too many follow the event log of this peer');
    this.#stop ??= this.#listen();
    const follower: Follower = { raw: openStream(reply), queue: [], sending: false };
    this.#followers.add(follower);
    follower.raw.once('close', () => {
      this.#followers.delete(follower);
      follower.queue = [];
      if (this.#followers.size === 0) this.#rest();
    });
  }

  close(): void {
    this.#rest();
    for (const { raw } of this.#followers) raw.end();
    this.#followers.clear();
  }

  #listen(): () => void {
    const end = this.#log.follow({ came: (events) => this.#add(events), over: () => this.close() });
    const heartbeat = setInterval(() => {
      for (const { raw } of this.#followers) if (!raw.writableNeedDrain) raw.write(': still here\n\n');
    }, HEARTBEAT_MS).unref();
    return () => {
      clearInterval(heartbeat);
      end();
    };
  }

  #add(events: readonly LoggedEvent[]): void {
    for (const follower of this.#followers) {
      if (follower.queue.length + events.length > HTTP_LOG_QUEUE_EVENTS_MAX) {
        follower.raw.destroy();
        continue;
      }
      for (const event of events) follower.queue.push(event);
      if (!follower.sending) void this.#send(follower);
    }
  }

  async #send(follower: Follower): Promise<void> {
    const { raw } = follower;
    follower.sending = true;
    while (follower.queue.length > 0 && !raw.destroyed) {
      const some = follower.queue.splice(0, EVENTS_PER_TURN);
      const text = some.map((toJson) => `data: ${JSON.stringify(toJson())}\n\n`).join('');
      if (raw.write(text)) await setImmediate();
      else await roomIn(raw);
    }
    follower.sending = false;
  }

  #rest(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}

/** Resolves when `raw` takes more, or nothing ever again. */
const roomIn = (raw: FastifyReply['raw']): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      raw.off('drain', done).off('close', done);
      resolve();
    };
    if (raw.destroyed) resolve();
    else raw.on('drain', done).on('close', done);
  });
