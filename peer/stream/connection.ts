// A connection between two peers that have shown each other who they are. Requests go both ways on every one, whoever
// dialled it: a peer whose firewall refuses calls still serves over those that it makes.
import { encode } from '../../lib/codec.ts';
import { PeerError } from '../../lib/errors.ts';
import type { PeerId } from '../../lib/ids.ts';
import { FRAME_BYTES_MAX, KEEPALIVE_MS } from '../../lib/limits.ts';
import { type Channel, decodeFailure, type RemoteAddress } from './channel.ts';
import { FRAME, type Frame } from './frame.ts';
import type { Hello, Purpose } from './hello.ts';
import { Requester, type RequestOptions } from './requester.ts';
import { type Reply, Responder } from './responder.ts';

export interface RequestContext {
  readonly peer: PeerId;
  /** Where the request came from. */
  readonly remote: RemoteAddress;
  /** Aborts when the answer is no longer wanted, or can no longer be brought. */
  readonly signal: AbortSignal;
}

/** Answers the requests of one method. A PeerError that it throws travels as its code and message; any other error is
 *  reported here and travels as INTERNAL. */
export type Handler = (params: unknown, context: RequestContext) => Reply | Promise<Reply>;

export interface ConnectionOptions {
  readonly hello: Hello;
  readonly purpose: Purpose;
  readonly dialled: boolean;
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly report: (error: unknown) => void;
}

export class Connection {
  /** Who is at the other end. */
  readonly hello: Hello;
  readonly purpose: Purpose;
  readonly dialled: boolean;
  readonly remote: RemoteAddress;
  /** Resolves with the reason, CLOSED if it was this side's wish, and never rejects. */
  readonly closed: Promise<PeerError>;
  readonly #channel: Channel;
  readonly #requester: Requester;
  readonly #responder: Responder;
  readonly #keepalive: NodeJS.Timeout;
  #rttMs: number | undefined;
  #pingedAt: number | undefined;
  #bytesInAtTick = 0;
  #alive = true;

  constructor(channel: Channel, { hello, purpose, dialled, handlers, report }: ConnectionOptions) {
    this.hello = hello;
    this.purpose = purpose;
    this.dialled = dialled;
    this.remote = channel.remote;
    this.#channel = channel;
    this.#requester = new Requester(channel);
    const respond = (method: string, params: unknown, signal: AbortSignal): Reply | Promise<Reply> => {
      const handler = handlers.get(method);
      if (!handler) throw new PeerError('UNSUPPORTED', `this peer has no ${method}; it may be of an older version`);
      return handler(params, { peer: hello.peer, remote: channel.remote, signal });
    };
    this.#responder = new Responder(channel, respond, report);
    this.closed = channel.closed.then((error) => {
      this.#alive = false;
      clearInterval(this.#keepalive);
      this.#requester.close(error);
      this.#responder.close();
      return error;
    });
    channel.listen((frame) => this.#receive(frame), FRAME_BYTES_MAX);
    this.#keepalive = setInterval(() => this.#tick(), KEEPALIVE_MS).unref();
    this.#ping();
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Of the latest ping; undefined until the first has come back. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  get bytesIn(): number {
    return this.#channel.bytesIn;
  }

  get bytesOut(): number {
    return this.#channel.bytesOut;
  }

  /** Asks and waits for the one answer, CBOR both ways.
   *  @throws PeerError the other side's, or TIMED_OUT, CANCELLED, BUSY, CONNECTION_LOST and its like */
  request(method: string, params: unknown, options: RequestOptions = {}): Promise<unknown> {
    return this.#requester.value(method, params, options);
  }

  /** The answer is raw bytes, at most BODY_BYTES_MAX, and belongs to the caller. */
  requestBytes(method: string, params: unknown, options: RequestOptions = {}): Promise<Uint8Array> {
    return this.#requester.bytes(method, params, options);
  }

  /** The answer is a row of frames, no more of them under way than STREAM_CREDIT_BYTES. Leaving the loop cancels the rest. */
  requestStream(method: string, params: unknown, options: RequestOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    return this.#requester.stream(method, params, options);
  }

  /** Tells without waiting. On a congested connection it is dropped: what must arrive is a request. */
  notify(method: string, params: unknown): void {
    if (!this.#channel.congested) this.#channel.send(FRAME.notice, 0, encode([method, params]));
  }

  /** Asks for a sign of life, unless one is on its way. */
  probe(): void {
    if (this.#pingedAt === undefined) this.#ping();
  }

  close(reason = new PeerError('CLOSED', 'the other peer has closed the connection')): void {
    this.#channel.close(reason, { tell: true });
  }

  #receive(frame: Frame): void {
    switch (frame.type) {
      case FRAME.request:
        return this.#responder.request(frame);
      case FRAME.notice:
        return this.#responder.notice(frame);
      case FRAME.failed:
        if (frame.id !== 0) return this.#requester.take(frame);
        return this.#channel.close(decodeFailure(frame.body));
      case FRAME.value:
      case FRAME.bytes:
      case FRAME.part:
      case FRAME.end:
        return this.#requester.take(frame);
      case FRAME.cancel:
        return this.#responder.cancel(frame.id);
      case FRAME.credit:
        return this.#responder.credit(frame);
      case FRAME.ping:
        return this.#channel.send(FRAME.pong, 0);
      case FRAME.pong:
        return this.#pong();
      case FRAME.hello:
        throw new PeerError('BAD_FRAME', 'a second hello');
    }
  }

  #ping(): void {
    this.#pingedAt = performance.now();
    this.#channel.send(FRAME.ping, 0);
  }

  #pong(): void {
    if (this.#pingedAt === undefined) return;
    this.#rttMs = performance.now() - this.#pingedAt;
    this.#pingedAt = undefined;
  }

  /** A peer that was switched off closes no connection; whoever sends anything lives. */
  #tick(): void {
    const silent = this.#channel.bytesIn === this.#bytesInAtTick;
    this.#bytesInAtTick = this.#channel.bytesIn;
    if (!silent) return;
    if (this.#pingedAt === undefined) this.#ping();
    else this.#channel.close(new PeerError('TIMED_OUT', 'the other peer has fallen silent'));
  }
}
