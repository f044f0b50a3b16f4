// Tells open pages that something changed (Server-Sent Events). An event says what kind of thing changed, and the page
// asks for it as it would anyway; so a lost event costs nothing, and a scan of 100,000 files is two events a second.
import type { FastifyReply } from 'fastify';
import { PeerError } from '../../lib/errors.ts';
import { HTTP_EVENT_QUEUE_BYTES_MAX, HTTP_EVENT_STREAMS_MAX } from '../../lib/limits.ts';
import type { Millis } from '../../lib/time.ts';
import type { ApiEventKind, ApiPeer } from './api-peer.ts';

/** Shorter than the idle time after which home routers and proxies drop a connection. */
export const HEARTBEAT_MS: Millis = 20_000;
/** One event of a kind in this time; the last one always arrives. */
const COALESCE_MS: Millis = 500;
/** What a browser waits before it connects again. */
const RETRY_MS: Millis = 2_000;

/** Takes `reply` over for events; the first line arrives at once, and says that from now on nothing is missed. */
export function openStream(reply: FastifyReply): FastifyReply['raw'] {
  reply.headers({ 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, reply.getHeaders() as Record<string, string>);
  raw.write(`retry: ${RETRY_MS}\n\n`);
  return raw;
}

export class EventStreams {
  readonly #peer: Pick<ApiPeer, 'onEvent'>;
  readonly #streams = new Set<FastifyReply['raw']>();
  readonly #pending = new Map<ApiEventKind, NodeJS.Timeout>();
  readonly #due = new Set<ApiEventKind>();
  #stop: (() => void) | undefined;
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(peer: Pick<ApiPeer, 'onEvent'>) {
    this.#peer = peer;
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Keeps `reply` open for events. Throws BUSY when too many follow already. */
  follow(reply: FastifyReply): void {
    if (this.#streams.size >= HTTP_EVENT_STREAMS_MAX) throw new PeerError('BUSY', 'too many pages follow this peer');
    const raw = openStream(reply);
    raw.once('close', () => {
      this.#streams.delete(raw);
      if (this.#streams.size === 0) this.#rest();
    });
    this.#streams.add(raw);
    this.#stop ??= this.#peer.onEvent(({ kind }) => this.#announce(kind));
    this.#heartbeat ??= setInterval(() => this.#write(': still here\n\n'), HEARTBEAT_MS).unref();
  }

  close(): void {
    this.#rest();
    for (const raw of this.#streams) raw.end();
    this.#streams.clear();
  }

  #announce(kind: ApiEventKind): void {
    if (this.#pending.has(kind)) {
      this.#due.add(kind);
      return;
    }
    this.#write(`event: ${kind}\ndata: {}\n\n`);
    const again = (): void => {
      this.#pending.delete(kind);
      if (this.#due.delete(kind)) this.#announce(kind);
    };
    this.#pending.set(kind, setTimeout(again, COALESCE_MS).unref());
  }

  #write(text: string): void {
    for (const raw of this.#streams) {
      // A page that does not read is cut off; it reconnects when it wakes.
      if (raw.writableLength > HTTP_EVENT_QUEUE_BYTES_MAX) raw.destroy();
      else raw.write(text);
    }
  }

  /** Nobody looks: listen to nothing. */
  #rest(): void {
    this.#stop?.();
    this.#stop = undefined;
    clearInterval(this.#heartbeat);
    this.#heartbeat = undefined;
    for (const timer of this.#pending.values()) clearTimeout(timer);
    this.#pending.clear();
    this.#due.clear();
  }
}
