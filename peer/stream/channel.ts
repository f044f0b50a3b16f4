// A TLS socket that carries frames: reads them, batches what is written in one turn of the event loop, bounds what waits to
// be sent, and closes once, with the reason.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { checker } from '../../lib/check.ts';
import { decode, encode } from '../../lib/codec.ts';
import { type ErrorCode, PeerError } from '../../lib/errors.ts';
import type { Keyring, NetworkKeys } from '../../lib/keyring.ts';
import { HELLO_BYTES_MAX, SEND_QUEUE_BYTES_MAX } from '../../lib/limits.ts';
import { FRAME, FRAME_OVERHEAD_BYTES, type Frame, frameHeader, FrameReader, type FrameType } from './frame.ts';
import { bindingOf, clientSide, dialError, isKeyed, serverSide } from './psk.ts';

/** Bodies up to it are copied behind their header: one small write is cheaper than two. */
const COPIED_BYTES_MAX = 1024;
/** What a closing socket gets to send its last frame. */
const FAREWELL_MS = 500;

export interface RemoteAddress {
  readonly host: string;
  readonly port: number;
}

/** Called once: when a frame is with the kernel, or with the reason why it will not be sent. */
export type Sent = (failure?: Error | null) => void;

interface ContentOptions {
  /** An AbortSignal, or what is cheaper: one is made for each chunk. */
  readonly wanted?: { readonly aborted: boolean } | undefined;
  readonly queued?: () => void;
  readonly sent?: Sent | undefined;
}

/** Made once, without a stack of its own for each. */
const NOT_WANTED = new PeerError('CANCELLED', 'nobody waits for it any more');

export class Channel {
  readonly remote: RemoteAddress;
  /** Resolves, and never rejects, with the reason. */
  readonly closed: Promise<PeerError>;
  /** Resolves when both sides have shown that they hold the network's key; rejects with HANDSHAKE_FAILED and its like. */
  readonly keyed: Promise<void>;
  bytesIn = 0;
  bytesOut = 0;
  readonly #socket: TLSSocket;
  readonly #reader: FrameReader;
  #onFrame: (frame: Frame) => void = () => {
    throw new PeerError('BAD_FRAME', 'a frame too early');
  };
  #corked = false;
  #drained: Promise<void> | undefined;
  #error: PeerError | undefined;
  #onClosed!: (error: PeerError) => void;

  private constructor(remote: RemoteAddress, socketOf: (reader: FrameReader, filled: (bytes: number) => void) => TLSSocket, event: 'secure' | 'secureConnect') {
    this.remote = remote;
    this.#reader = new FrameReader({ bytesMax: HELLO_BYTES_MAX, onFrame: (frame) => this.#onFrame(frame) });
    this.closed = new Promise((resolve) => (this.#onClosed = resolve));
    this.#socket = socketOf(this.#reader, (bytes) => this.#read(bytes, () => this.#reader.filled(bytes)));
    this.#socket.setNoDelay(true);
    this.keyed = new Promise((resolve, reject) => {
      this.#socket.once(event, () => {
        if (isKeyed(this.#socket)) resolve();
        else this.close(new PeerError('HANDSHAKE_FAILED', `${remote.host}:${remote.port} does not hold the key of this network`));
      });
      this.closed.then(reject);
    });
    // who waits for it hears of it; nobody may wait any more
    this.keyed.catch(() => {});
    let secured = false;
    this.#socket.once(event, () => (secured = true));
    const lost = (cause?: unknown): void =>
      this.close(secured ? new PeerError('CONNECTION_LOST', 'the connection to the other peer broke', { cause }) : dialError(cause, remote));
    this.#socket.on('error', lost);
    this.#socket.on('close', () => lost());
    this.#socket.on('end', () => lost());
  }

  /** A call that came in. Its bytes come by 'data' events. */
  static accept(socket: Socket, keys: Keyring): Channel {
    const remote = { host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
    const channel: Channel = new Channel(remote, () => serverSide(socket, keys), 'secure');
    channel.#socket.on('data', (bytes) => channel.#read(bytes.byteLength, () => channel.#reader.push(bytes)));
    return channel;
  }

  /** A call that goes out. Its bytes are read to where they belong. */
  static connect(address: RemoteAddress, keys: NetworkKeys): Channel {
    return new Channel(address, (reader, filled) => clientSide(address, keys, { space: () => reader.space(), filled }), 'secureConnect');
  }

  /** What only the two ends of this session know. */
  get binding(): Buffer {
    return bindingOf(this.#socket);
  }

  /** @param bytesMax of one frame; HELLO_BYTES_MAX until it is told. What `receive` throws closes the channel. */
  listen(receive: (frame: Frame) => void, bytesMax?: number): void {
    if (bytesMax !== undefined) this.#reader.bytesMax = bytesMax;
    this.#onFrame = receive;
  }

  #read(bytes: number, parse: () => void): void {
    if (this.#error) return;
    this.bytesIn += bytes;
    try {
      parse();
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      this.close(error, { tell: true });
    }
  }

  /** Sends at once, for frames that answer or steer. Whoever asks for them without reading them is cut off.
   *  @param body not to be changed any more */
  send(type: FrameType, id: number, body?: Uint8Array, sent?: Sent): void {
    if (this.#error) return sent?.(this.#error);
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    const bytes = body?.byteLength ?? 0;
    const header = frameHeader(type, id, bytes);
    this.bytesOut += bytes + FRAME_OVERHEAD_BYTES;
    if (body === undefined || bytes === 0) this.#socket.write(header, sent);
    else if (bytes <= COPIED_BYTES_MAX) this.#socket.write(Buffer.concat([header, body]), sent);
    else {
      this.#socket.write(header);
      this.#socket.write(body, sent);
    }
    if (this.#socket.writableLength > 2 * SEND_QUEUE_BYTES_MAX) this.close(new PeerError('BUSY', 'the other peer asks and does not read'));
  }

  /** Has so much waiting that a producer has to wait too? */
  get congested(): boolean {
    return this.#socket.writableLength >= SEND_QUEUE_BYTES_MAX;
  }

  /** Sends once the queue has room, for frames that carry content. Resolves without having sent when the channel closes or
   *  what `wanted` says is aborted first. @param queued called when it has its place in the queue: what is sent from then on arrives behind it */
  async sendContent(type: FrameType, id: number, body: Uint8Array, { wanted, queued, sent }: ContentOptions = {}): Promise<void> {
    while (this.congested && !this.#error && !wanted?.aborted) {
      this.#drained ??= new Promise<void>((resolve) => {
        this.#socket.once('drain', resolve);
        this.closed.then(() => resolve());
      }).then(() => {
        this.#drained = undefined;
      });
      await this.#drained;
    }
    if (wanted?.aborted) return sent?.(NOT_WANTED);
    queued?.();
    this.send(type, id, body, sent);
  }

  /** @param tell the other side learns why */
  close(error: PeerError, { tell = false }: { readonly tell?: boolean } = {}): void {
    if (this.#error) return;
    if (tell) this.send(FRAME.failed, 0, encodeFailure(error));
    this.#error ??= error;
    this.#onClosed(this.#error);
    if (tell) {
      // reads on, so that what the other side still sends does not make the kernel discard our last frame
      this.#socket.end();
      setTimeout(() => this.#socket.destroy(), FAREWELL_MS).unref();
    } else {
      this.#socket.destroy();
    }
  }
}

const check = checker('BAD_FRAME');
const MESSAGE_CHARACTERS_MAX = 512;

export const encodeFailure = ({ code, message }: PeerError): Buffer => encode([code, message.slice(0, MESSAGE_CHARACTERS_MAX)]);

/** An error that the other side tells of. Codes of newer versions pass.
 *  @throws PeerError BAD_FRAME */
export function decodeFailure(body: Uint8Array): PeerError {
  const [code, message] = check.list(decode(body, { bytesMax: HELLO_BYTES_MAX, code: 'BAD_FRAME' }), 2);
  if (typeof code !== 'string' || !/^[A-Z_]{1,32}$/.test(code)) return check.fail('a code');
  return new PeerError(code as ErrorCode, check.text(message, MESSAGE_CHARACTERS_MAX).replace(/\p{Cc}/gu, ' '));
}
