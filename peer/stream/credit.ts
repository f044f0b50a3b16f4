// Flow control of one streamed reply, as HTTP/2 does it (RFC 9113, 5.2): the producer may send what it has credit for, and
// the reader gives credit back as it consumes. Pausing the whole connection instead would let one slow reader stop the
// others, and two peers that wait for each other's reading stop for ever.
import { PeerError } from '../../lib/errors.ts';
import { STREAM_CREDIT_BYTES } from '../../lib/limits.ts';
import { FRAME_OVERHEAD_BYTES } from './frame.ts';

/** Frames cost their overhead too, or empty ones would be free. */
const costOf = (part: Uint8Array): number => part.byteLength + FRAME_OVERHEAD_BYTES;

/** The producer's side. */
export class SendCredit {
  #credit = STREAM_CREDIT_BYTES;
  #waiting: (() => void) | undefined;

  /** Resolves once `part` may be sent, or once `wake` was called. */
  async take(part: Uint8Array): Promise<void> {
    if (this.#credit < costOf(part)) await new Promise<void>((resolve) => (this.#waiting = resolve));
    this.#credit -= costOf(part);
  }

  give(bytes: number): void {
    this.#credit += bytes;
    // a whole frame's worth, so that whatever waits fits
    if (this.#credit >= STREAM_CREDIT_BYTES / 2) this.wake();
  }

  wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}

/** The reader's side: parts that wait to be consumed, never more than the credit that was given. */
export class PartQueue {
  readonly #parts: Uint8Array[] = [];
  readonly #give: (bytes: number) => void;
  #credit = STREAM_CREDIT_BYTES;
  #consumed = 0;
  #end: { readonly error: PeerError | undefined } | undefined;
  #waiting: (() => void) | undefined;

  /** @param give tells the producer that it may send so many bytes more */
  constructor(give: (bytes: number) => void) {
    this.#give = give;
  }

  /** @throws PeerError BAD_FRAME when the producer sends beyond its credit */
  push(part: Uint8Array): void {
    this.#credit -= costOf(part);
    if (this.#credit < 0) throw new PeerError('BAD_FRAME', 'a part beyond its credit');
    this.#parts.push(part);
    this.#wake();
  }

  /** After the parts that came before it. */
  end(error?: PeerError): void {
    this.#end ??= { error };
    this.#wake();
  }

  /** Would `next` have to wait? */
  get empty(): boolean {
    return this.#parts.length === 0 && this.#end === undefined;
  }

  /** The next part, or undefined after the last. Throws the error that ended the stream. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const part = this.#parts.shift();
      if (part) {
        this.#consume(costOf(part));
        return part;
      }
      if (this.#end?.error) throw this.#end.error;
      if (this.#end) return undefined;
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
  }

  /** Credit goes back in large pieces; sooner when nothing is left to consume, and never so late that a frame would not fit. */
  #consume(bytes: number): void {
    this.#consumed += bytes;
    if (this.#end || this.#consumed < STREAM_CREDIT_BYTES / (this.#parts.length > 0 ? 2 : 4)) return;
    this.#credit += this.#consumed;
    this.#give(this.#consumed);
    this.#consumed = 0;
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}
