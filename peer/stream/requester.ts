// The asking half of a connection: gives every request an id, and brings each answer to whoever waits for it.
import { decode, encode } from '../../lib/codec.ts';
import { PeerError } from '../../lib/errors.ts';
import { FRAME_BYTES_MAX, REQUEST_TIMEOUT_MS, REQUESTS_IN_FLIGHT_MAX } from '../../lib/limits.ts';
import { decodeFailure, type Channel } from './channel.ts';
import { PartQueue } from './credit.ts';
import { FRAME, type Frame, type FrameType } from './frame.ts';

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
  /** Until the whole answer; of a stream, the longest wait for its next part. REQUEST_TIMEOUT_MS unless told. */
  readonly timeoutMs?: number | undefined;
}

/** An answer that is waited for. */
interface Call {
  take(frame: Frame): void;
  fail(error: PeerError): void;
}

const cancelled = (): PeerError => new PeerError('CANCELLED', 'the request was cancelled');
const timedOut = (method: string): PeerError => new PeerError('TIMED_OUT', `the other peer did not answer ${method} in time`);
const unexpected = (): PeerError => new PeerError('BAD_FRAME', 'an answer of the wrong kind');

export class Requester {
  readonly #channel: Channel;
  readonly #calls = new Map<number, Call>();
  #lastId = 0;
  #closed: PeerError | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  async value(method: string, params: unknown, options: RequestOptions): Promise<unknown> {
    const body = await this.#single(FRAME.value, method, params, options);
    return decode(body, { bytesMax: FRAME_BYTES_MAX, code: 'BAD_FRAME' });
  }

  bytes(method: string, params: unknown, options: RequestOptions): Promise<Uint8Array> {
    return this.#single(FRAME.bytes, method, params, options);
  }

  #single(type: FrameType, method: string, params: unknown, { signal, timeoutMs = REQUEST_TIMEOUT_MS }: RequestOptions): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const request = encode([method, params]);
      const outgoing = { aborted: false, queued: false };
      const settle = (action: () => void): void => {
        outgoing.aborted = true;
        this.#calls.delete(id);
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        action();
      };
      const giveUp = (error: PeerError): void => {
        // behind its request, or none of the two
        if (outgoing.queued) this.#channel.send(FRAME.cancel, id);
        settle(() => reject(error));
      };
      const id = this.#register(signal, {
        take: (frame) => settle(() => (frame.type === type ? resolve(frame.body) : reject(unexpected()))),
        fail: (error) => settle(() => reject(error)),
      });
      const onAbort = (): void => giveUp(cancelled());
      const timer = setTimeout(() => giveUp(timedOut(method)), timeoutMs);
      signal?.addEventListener('abort', onAbort);
      const queued = (): void => {
        outgoing.queued = true;
      };
      void this.#channel.sendContent(FRAME.request, id, request, { wanted: outgoing, queued });
    });
  }

  /** The request goes out when the first part is asked for, and is cancelled when the reader stops early. */
  async *stream(method: string, params: unknown, { signal, timeoutMs = REQUEST_TIMEOUT_MS }: RequestOptions): AsyncGenerator<Uint8Array, void, void> {
    const request = encode([method, params]);
    const queue = new PartQueue((bytes) => {
      const credit = Buffer.alloc(4);
      credit.writeUInt32BE(bytes);
      this.#channel.send(FRAME.credit, id, credit);
    });
    let complete = false;
    let isQueued = false;
    const id = this.#register(signal, {
      take: (frame) => {
        if (frame.type === FRAME.part) return queue.push(frame.body);
        complete = true;
        queue.end(frame.type === FRAME.end ? undefined : unexpected());
      },
      fail: (error) => {
        complete = true;
        queue.end(error);
      },
    });
    const onAbort = (): void => queue.end(cancelled());
    signal?.addEventListener('abort', onAbort);
    try {
      const queued = (): void => {
        isQueued = true;
      };
      await this.#channel.sendContent(FRAME.request, id, request, { wanted: signal, queued });
      for (;;) {
        // only the other peer's silence counts, not the time that our reader takes
        const timer = queue.empty ? setTimeout(() => queue.end(timedOut(method)), timeoutMs) : undefined;
        const part = await queue.next().finally(() => clearTimeout(timer));
        if (!part) return;
        yield part;
      }
    } finally {
      this.#calls.delete(id);
      signal?.removeEventListener('abort', onAbort);
      if (!complete && isQueued) this.#channel.send(FRAME.cancel, id);
    }
  }

  #register(signal: AbortSignal | undefined, call: Call): number {
    if (this.#closed) throw this.#closed;
    if (signal?.aborted) throw cancelled();
    if (this.#calls.size >= REQUESTS_IN_FLIGHT_MAX) throw new PeerError('BUSY', 'too many requests under way on one connection');
    do this.#lastId = (this.#lastId % 0xffff_ffff) + 1;
    while (this.#calls.has(this.#lastId));
    this.#calls.set(this.#lastId, call);
    return this.#lastId;
  }

  /** An answer came. One whose request was given up is dropped: the two crossed. */
  take(frame: Frame): void {
    const call = this.#calls.get(frame.id);
    if (!call) return;
    if (frame.type === FRAME.failed) call.fail(decodeFailure(frame.body));
    else call.take(frame);
  }

  /** No answer will come any more. */
  close(error: PeerError): void {
    this.#closed = error;
    for (const call of [...this.#calls.values()]) call.fail(error);
    this.#calls.clear();
  }
}
