// The answering half of a connection: hands requests to their handlers, carries the replies back, and stops work that is no
// longer wanted.
import { checker } from '../../lib/check.ts';
import { decode, encode } from '../../lib/codec.ts';
import { PeerError } from '../../lib/errors.ts';
import { FRAME_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX } from '../../lib/limits.ts';
import { encodeFailure, type Channel, type Sent } from './channel.ts';
import { SendCredit } from './credit.ts';
import { BODY_BYTES_MAX, FRAME, type Frame } from './frame.ts';

/** Bytes are sent from where they are: who replies with them does not change them any more. */
export type Reply =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly sent?: Sent | undefined }
  | { readonly kind: 'stream'; readonly frames: AsyncIterable<Uint8Array> };

/** Answers one method. @param respond what it needs to know of the asking connection */
export type Respond = (method: string, params: unknown, signal: AbortSignal) => Reply | Promise<Reply>;

interface Serving {
  readonly abort: AbortController;
  readonly credit: SendCredit;
}

const METHOD_CHARACTERS_MAX = 64;
const check = checker('BAD_FRAME');

export class Responder {
  readonly #channel: Channel;
  readonly #respond: Respond;
  /** Is told of errors that are no PeerErrors: bugs of ours, which travel as INTERNAL without their text. */
  readonly #report: (error: unknown) => void;
  readonly #serving = new Map<number, Serving>();
  #notices = 0;

  constructor(channel: Channel, respond: Respond, report: (error: unknown) => void) {
    this.#channel = channel;
    this.#respond = respond;
    this.#report = report;
  }

  /** @throws PeerError BAD_FRAME */
  request({ id, body }: Frame): void {
    if (id === 0 || this.#serving.has(id)) throw new PeerError('BAD_FRAME', 'a request with an id in use');
    const { method, params } = decodeRequest(body);
    if (this.#serving.size >= REQUESTS_IN_FLIGHT_MAX) {
      this.#channel.send(FRAME.failed, id, encodeFailure(new PeerError('BUSY', 'too many requests at once')));
      return;
    }
    const serving = { abort: new AbortController(), credit: new SendCredit() };
    this.#serving.set(id, serving);
    void this.#serve(id, method, params, serving);
  }

  /** Nobody waits for an answer, so one too many is dropped. @throws PeerError BAD_FRAME */
  notice({ body }: Frame): void {
    const { method, params } = decodeRequest(body);
    if (this.#notices >= REQUESTS_IN_FLIGHT_MAX) return;
    this.#notices += 1;
    void this.#quietly(method, params);
  }

  async #quietly(method: string, params: unknown): Promise<void> {
    try {
      await this.#respond(method, params, new AbortController().signal);
    } catch (error) {
      if (!(error instanceof PeerError)) this.#report(error);
    } finally {
      this.#notices -= 1;
    }
  }

  async #serve(id: number, method: string, params: unknown, serving: Serving): Promise<void> {
    const { signal } = serving.abort;
    try {
      const reply = await this.#respond(method, params, signal);
      if (reply.kind === 'stream') await this.#stream(id, reply.frames, serving);
      else if (reply.kind === 'bytes') await this.#channel.sendContent(FRAME.bytes, id, fitting(reply.bytes), { wanted: signal, sent: reply.sent });
      else await this.#channel.sendContent(FRAME.value, id, fitting(encode(reply.value)), { wanted: signal });
    } catch (error) {
      if (!(error instanceof PeerError)) this.#report(error);
      const told = error instanceof PeerError ? error : new PeerError('INTERNAL', 'the other peer failed');
      if (!signal.aborted) this.#channel.send(FRAME.failed, id, encodeFailure(told));
    } finally {
      this.#serving.delete(id);
    }
  }

  async #stream(id: number, frames: AsyncIterable<Uint8Array>, { abort: { signal }, credit }: Serving): Promise<void> {
    for await (const part of frames) {
      if (signal.aborted) return;
      await credit.take(fitting(part));
      await this.#channel.sendContent(FRAME.part, id, part, { wanted: signal });
      if (signal.aborted) return;
    }
    this.#channel.send(FRAME.end, id);
  }

  cancel(id: number): void {
    const serving = this.#serving.get(id);
    serving?.abort.abort(new PeerError('CANCELLED', 'the other peer no longer wants it'));
    serving?.credit.wake();
  }

  /** @throws PeerError BAD_FRAME */
  credit({ id, body }: Frame): void {
    if (body.length !== 4) throw new PeerError('BAD_FRAME', 'credit without a number');
    this.#serving.get(id)?.credit.give(body.readUInt32BE());
  }

  close(): void {
    for (const id of [...this.#serving.keys()]) this.cancel(id);
  }
}

function decodeRequest(body: Uint8Array): { readonly method: string; readonly params: unknown } {
  const [method, params] = check.list(decode(body, { bytesMax: FRAME_BYTES_MAX, code: 'BAD_FRAME' }), 2);
  return { method: check.text(method, METHOD_CHARACTERS_MAX), params };
}

function fitting(body: Uint8Array): Uint8Array {
  if (body.byteLength > BODY_BYTES_MAX) throw new PeerError('TOO_LARGE', `an answer of ${body.byteLength} bytes; one frame has ${BODY_BYTES_MAX}`);
  return body;
}
