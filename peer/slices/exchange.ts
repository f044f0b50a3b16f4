// Requests over datagrams: the same methods as on streams, for where a stream stands still. TCP waits twice as long after
// every loss in a row, so at a loss of a third it delivers next to nothing; here a lost slice costs one round trip. Only
// members whose boot is believed are heard (peer/datagrams.ts), answers are as long as a frame at most, and what comes is
// verified above as if it had come by stream.
import { randomInt } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Address } from '../../discovery/address.ts';
import { encode } from '../../lib/codec.ts';
import { type ErrorCode, PeerError } from '../../lib/errors.ts';
import type { PeerId } from '../../lib/ids.ts';
import { ANSWERS_KEPT_MAX, CONNECTIONS_MAX, FRAME_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX, REQUEST_TIMEOUT_MS } from '../../lib/limits.ts';
import { encodeMessage } from '../../lib/messages.ts';
import { PAYLOAD_BYTES_MAX } from '../../lib/seal.ts';
import { type Fetch, type Refusal, type Slice, SLICES_MAX } from '../../lib/slice-messages.ts';
import type { Clock } from '../../lib/time.ts';
import { Driver } from '../runtime.ts';
import type { Handler } from '../stream/connection.ts';
import type { RequestOptions } from '../stream/requester.ts';
import type { Reply } from '../stream/responder.ts';
import { Receiver, type ReceiverEffect, type ReceiverInput, sliceAt } from './receiver.ts';

export type SliceMessage = Fetch | Slice | Refusal;

export interface SliceExchangeOptions {
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly send: (message: SliceMessage, to: Address) => void;
  readonly addressOf: (peer: PeerId) => Address | undefined;
  readonly clock: Clock;
  /** Is told of bugs of ours that a request brought to light. */
  readonly report: (error: unknown) => void;
}

interface Call {
  readonly peer: PeerId;
  readonly method: string;
  readonly params: unknown;
  readonly settle: (outcome: Uint8Array | PeerError) => void;
}

interface Wanted {
  readonly serial: number;
  readonly slices: readonly number[];
  readonly to: Address;
}

/** What was asked here, or why there is no answer. */
interface Answer {
  readonly edition: number;
  content: Uint8Array | PeerError | undefined;
  /** Where the slices go that were asked for while it was being made. */
  waiting: Wanted | undefined;
}

type ReceiverDriver = Driver<Receiver, 'overdue', ReceiverInput, ReceiverEffect>;

const NUMBERS = 2 ** 32;
const LENGTH_BYTES = 4;

export class SliceExchange {
  readonly #options: SliceExchangeOptions;
  readonly #receivers = new LRUCache<PeerId, ReceiverDriver>({ max: CONNECTIONS_MAX, dispose: (receiver) => receiver.stop() });
  readonly #calls = new Map<number, Call>();
  readonly #answers = new LRUCache<string, Answer>({ max: ANSWERS_KEPT_MAX });
  /** Requests that are being answered. */
  #serving = 0;
  #lastId = randomInt(NUMBERS);

  constructor(options: SliceExchangeOptions) {
    this.#options = options;
  }

  /** Asks and waits for the answer: bytes as they are, a value as CBOR, a stream as `framesIn` reads it.
   *  @throws PeerError the other side's, or TIMED_OUT, CANCELLED, BUSY, CONNECTION_LOST; TOO_LARGE for what does not fit a datagram */
  request(peer: PeerId, method: string, params: unknown, { signal, timeoutMs = REQUEST_TIMEOUT_MS }: RequestOptions = {}): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw cancelled();
      if (this.#calls.size >= REQUESTS_IN_FLIGHT_MAX) throw new PeerError('BUSY', 'too many requests under way by datagrams');
      // the longest fetch for it names the last slice of the longest answer
      const fetch = encodeMessage({ kind: 'fetch', id: NUMBERS - 1, serial: 255, method, params, slices: [SLICES_MAX - 1] });
      if (fetch.byteLength > PAYLOAD_BYTES_MAX) throw new PeerError('TOO_LARGE', `${method} asks for more than one datagram can say`);
      do this.#lastId = (this.#lastId + 1) % NUMBERS;
      while (this.#calls.has(this.#lastId));
      const id = this.#lastId;
      const receiver = this.#receiverOf(peer);
      const settle = (outcome: Uint8Array | PeerError): void => {
        this.#calls.delete(id);
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        receiver.feed({ kind: 'unwanted', id });
        if (outcome instanceof PeerError) reject(outcome);
        else resolve(outcome);
      };
      const onAbort = (): void => settle(cancelled());
      const timer = setTimeout(() => settle(new PeerError('TIMED_OUT', `the other peer did not answer ${method} in time`)), timeoutMs);
      signal?.addEventListener('abort', onAbort);
      this.#calls.set(id, { peer, method, params, settle });
      receiver.feed({ kind: 'wanted', id });
    });
  }

  /** Slices that came from a peer; it grows as long as the peer answers. */
  arrivedFrom(peer: PeerId): number {
    return this.#receivers.get(peer)?.state.arrived ?? 0;
  }

  receive(peer: PeerId, message: SliceMessage, from: Address): void {
    switch (message.kind) {
      case 'fetch':
        return this.#serve(peer, message, from);
      case 'slice':
        if (this.#calls.get(message.id)?.peer === peer) this.#receiverOf(peer).feed({ kind: 'arrived', slice: message });
        return;
      case 'refusal': {
        const call = this.#calls.get(message.id);
        if (call?.peer === peer) call.settle(new PeerError(message.code as ErrorCode, message.message));
      }
    }
  }

  stop(): void {
    for (const { settle } of [...this.#calls.values()]) settle(new PeerError('CLOSED', 'this peer is stopping'));
    this.#receivers.clear();
  }

  #receiverOf(peer: PeerId): ReceiverDriver {
    const known = this.#receivers.get(peer);
    if (known) return known;
    const receiver: ReceiverDriver = new Driver(
      { state: new Receiver(), step: (state, input) => state.step(input) },
      { clock: this.#options.clock, carryOut: (effect) => this.#carryOut(peer, effect), expired: (timer) => ({ kind: 'expired', timer }) },
    );
    this.#receivers.set(peer, receiver);
    return receiver;
  }

  #carryOut(peer: PeerId, effect: Exclude<ReceiverEffect, { kind: 'arm' }>): void {
    const call = this.#calls.get(effect.id);
    if (!call) return;
    switch (effect.kind) {
      case 'fetch': {
        const to = this.#options.addressOf(peer);
        const { method, params } = call;
        if (to) this.#options.send({ ...effect, method, params }, to);
        else call.settle(new PeerError('CONNECTION_LOST', 'no address of that peer is known'));
        return;
      }
      case 'complete':
        call.settle(effect.bytes);
        return;
      case 'changed':
        call.settle(new PeerError('CONNECTION_LOST', 'the other peer has forgotten its answer'));
    }
  }

  // --- the answering side

  /** The peer asks again for what it misses; the request itself is carried out once. */
  #serve(peer: PeerId, { id, serial, method, params, slices }: Fetch, to: Address): void {
    const name = `${peer}/${id}`;
    const wanted = { serial, slices, to };
    const known = this.#answers.get(name);
    if (known?.content !== undefined) return this.#send(id, known, wanted);
    if (known) {
      known.waiting = wanted;
      return;
    }
    const answer: Answer = { edition: randomInt(NUMBERS), content: undefined, waiting: wanted };
    this.#answers.set(name, answer);
    void this.#answer(peer, method, params, to).then((content) => {
      answer.content = content;
      if (answer.waiting) this.#send(id, answer, answer.waiting);
      answer.waiting = undefined;
      // what failed may succeed the next time
      if (content instanceof PeerError) this.#answers.delete(name);
    });
  }

  async #answer(peer: PeerId, method: string, params: unknown, remote: Address): Promise<Uint8Array | PeerError> {
    const stop = new AbortController();
    // by then nobody waits any more
    const timer = setTimeout(() => stop.abort(), REQUEST_TIMEOUT_MS);
    this.#serving += 1;
    try {
      if (this.#serving > REQUESTS_IN_FLIGHT_MAX) throw new PeerError('BUSY', 'too many requests at once');
      const handler = this.#options.handlers.get(method);
      if (!handler) throw new PeerError('UNSUPPORTED', `this peer has no ${method}; it may be of an older version`);
      return await bytesOf(await handler(params, { peer, remote, signal: stop.signal }));
    } catch (error) {
      if (error instanceof PeerError) return error;
      this.#options.report(error);
      return new PeerError('INTERNAL', 'the other peer failed');
    } finally {
      clearTimeout(timer);
      this.#serving -= 1;
    }
  }

  #send(id: number, { edition, content }: Answer, { serial, slices, to }: Wanted): void {
    if (content instanceof PeerError) {
      this.#options.send({ kind: 'refusal', id, code: content.code, message: content.message }, to);
      return;
    }
    for (const index of slices) {
      const slice = content && sliceAt(content, index);
      if (slice) this.#options.send({ kind: 'slice', id, edition, serial, index, ...slice }, to);
    }
  }
}

const cancelled = (): PeerError => new PeerError('CANCELLED', 'the request was cancelled');

/** @throws PeerError TOO_LARGE when it does not fit one frame: then it has to go by stream */
async function bytesOf(reply: Reply): Promise<Uint8Array> {
  if (reply.kind === 'value') return fitting(encode(reply.value));
  if (reply.kind === 'bytes') {
    // slices of it go out as they are asked for
    reply.sent?.();
    return fitting(reply.bytes);
  }
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const frame of reply.frames) {
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32BE(frame.byteLength);
    parts.push(length, frame);
    bytes += LENGTH_BYTES + frame.byteLength;
    if (bytes > FRAME_BYTES_MAX) break;
  }
  return fitting(Buffer.concat(parts));
}

function fitting(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength > FRAME_BYTES_MAX) throw new PeerError('TOO_LARGE', `an answer of more than ${FRAME_BYTES_MAX} bytes does not go by datagrams`);
  return bytes;
}

/** The frames of a streamed answer. @throws PeerError BAD_FRAME */
export function* framesIn(answer: Uint8Array): Generator<Uint8Array> {
  const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
  for (let at = 0; at < bytes.byteLength; ) {
    const end = at + LENGTH_BYTES <= bytes.byteLength ? at + LENGTH_BYTES + bytes.readUInt32BE(at) : Number.POSITIVE_INFINITY;
    if (end > bytes.byteLength) throw new PeerError('BAD_FRAME', 'a frame is cut');
    yield bytes.subarray(at + LENGTH_BYTES, end);
    at = end;
  }
}
