// All connections of this peer: it listens, dials, and knows for every peer the newest connection that lives.
import { EventEmitter } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { codeOf, PeerError } from '../../lib/errors.ts';
import type { PeerId } from '../../lib/ids.ts';
import type { Keyring } from '../../lib/keyring.ts';
import { CONNECTIONS_MAX, HANDSHAKE_TIMEOUT_MS, HANDSHAKES_PER_HOST_MAX } from '../../lib/limits.ts';
import { Channel, type RemoteAddress } from './channel.ts';
import { Connection, type Handler } from './connection.ts';
import { type Self, shakeHands } from './handshake.ts';
import type { Hello, Purpose } from './hello.ts';

export interface StreamsOptions {
  readonly self: Self;
  readonly keys: Keyring;
  /** By method; asked at every request, so that services may come and go. */
  readonly handlers: ReadonlyMap<string, Handler>;
  /** Is told of bugs of ours that a request brought to light. */
  readonly report: (error: unknown) => void;
}

export interface DialOptions {
  /** Only this peer will do. */
  readonly expect?: PeerId | undefined;
  readonly purpose: Purpose;
  readonly timeoutMs?: number | undefined;
  /** Aborts when no connection is wanted any more. One that is open by then stays. */
  readonly signal?: AbortSignal;
}

export interface StreamsEvents {
  opened: [connection: Connection];
  closed: [connection: Connection, error: PeerError];
  /** A call that came in and did not become a connection: CLONE is news, most others are noise. */
  refused: [error: PeerError, remote: RemoteAddress];
}

export class Streams extends EventEmitter<StreamsEvents> {
  /** Calls turned away unheard, calls that failed in the handshake, connections closed because of what came over them. */
  readonly counts = { turnedAway: 0, handshakesFailed: 0, badFrames: 0 };
  readonly #options: StreamsOptions;
  /** Oldest first. */
  readonly #connections = new Set<Connection>();
  readonly #shaking = new Set<Channel>();
  readonly #callsByHost = new Map<string, number>();
  #server: Server | undefined;
  #closed = false;

  constructor(options: StreamsOptions) {
    super();
    this.#options = options;
  }

  /** @returns the port, which 0 leaves to the system
   *  @throws PeerError PORT_TAKEN, ADDRESS_INVALID */
  listen({ host, port }: { readonly host: string; readonly port: number }): Promise<number> {
    const server = createServer({ noDelay: true }, (socket) => void this.#accept(socket));
    return new Promise((resolve, reject) => {
      server.once('error', (cause) => {
        const taken = codeOf(cause) === 'EADDRINUSE' || codeOf(cause) === 'EACCES';
        reject(
          taken
            ? new PeerError('PORT_TAKEN', `port ${port} is taken; choose another with --port`, { cause })
            : new PeerError('ADDRESS_INVALID', `cannot listen at ${host}`, { cause }),
        );
      });
      server.listen({ host, port, exclusive: true }, () => {
        this.#server = server;
        // for want of file descriptors a call is lost, and not the process
        server.removeAllListeners('error').on('error', () => (this.counts.turnedAway += 1));
        resolve((server.address() as { port: number }).port);
      });
    });
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  /** The newest that lives, whoever dialled it. */
  connectionTo(peer: PeerId, purpose: Purpose): Connection | undefined {
    return [...this.#connections].findLast((connection) => connection.hello.peer === peer && connection.purpose === purpose && connection.alive);
  }

  /** During a rotation of the key the other peer may still hold an older one: these are tried in their order.
   *  @throws PeerError CONNECTION_REFUSED, NO_PEER, TIMED_OUT, HANDSHAKE_FAILED, BAD_PROOF, SELF, CLONE, WRONG_PEER, UNSUPPORTED, BUSY, CLOSED, CANCELLED */
  async dial(address: RemoteAddress, { expect, purpose, timeoutMs = HANDSHAKE_TIMEOUT_MS, signal }: DialOptions): Promise<Connection> {
    let failed: unknown;
    for (const keys of this.#options.keys.accepted) {
      if (this.#closed) throw new PeerError('CLOSED', 'this peer is stopping');
      if (this.#full) throw new PeerError('BUSY', `this peer has ${CONNECTIONS_MAX} connections`);
      if (signal?.aborted) throw notWanted();
      const channel = Channel.connect(address, keys);
      const callOff = (): void => {
        if (this.#shaking.has(channel)) channel.close(notWanted());
      };
      signal?.addEventListener('abort', callOff, { once: true });
      try {
        return await this.#shake(channel, { expect, purpose, timeoutMs });
      } catch (error) {
        if (codeOf(error) !== 'HANDSHAKE_FAILED') throw error;
        failed ??= error;
      } finally {
        signal?.removeEventListener('abort', callOff);
      }
    }
    throw failed;
  }

  get #full(): boolean {
    return this.#connections.size + this.#shaking.size >= CONNECTIONS_MAX;
  }

  async #accept(socket: Socket): Promise<void> {
    const host = socket.remoteAddress ?? '';
    const calls = this.#callsByHost.get(host) ?? 0;
    if (this.#closed || this.#full || calls >= HANDSHAKES_PER_HOST_MAX) {
      this.counts.turnedAway += 1;
      socket.destroy();
      return;
    }
    this.#callsByHost.set(host, calls + 1);
    const channel = Channel.accept(socket, this.#options.keys);
    try {
      await this.#shake(channel, { expect: undefined, purpose: undefined, timeoutMs: HANDSHAKE_TIMEOUT_MS });
    } catch (error) {
      if (!(error instanceof PeerError)) {
        this.#options.report(error);
        return;
      }
      if (socket.bytesRead === 0) return; // a knock
      this.counts.handshakesFailed += 1;
      this.emit('refused', error, channel.remote);
    } finally {
      const left = (this.#callsByHost.get(host) ?? 1) - 1;
      if (left > 0) this.#callsByHost.set(host, left);
      else this.#callsByHost.delete(host);
    }
  }

  async #shake(channel: Channel, { expect, purpose, timeoutMs }: { readonly expect: PeerId | undefined; readonly purpose: Purpose | undefined; readonly timeoutMs: number }): Promise<Connection> {
    this.#shaking.add(channel);
    try {
      return await shakeHands(channel, { self: this.#options.self, timeoutMs, expect }, purpose, (hello, agreed) => this.#open(channel, hello, agreed, purpose !== undefined));
    } finally {
      this.#shaking.delete(channel);
    }
  }

  #open(channel: Channel, hello: Hello, purpose: Purpose, dialled: boolean): Connection {
    const { handlers, report } = this.#options;
    this.#shaking.delete(channel);
    const connection = new Connection(channel, { hello, purpose, dialled, handlers, report });
    this.#connections.add(connection);
    connection.closed.then((error) => {
      this.#connections.delete(connection);
      if (error.code === 'BAD_FRAME') this.counts.badFrames += 1;
      this.emit('closed', connection, error);
    });
    this.emit('opened', connection);
    return connection;
  }

  /** Says so to every peer, and takes no calls any more. */
  async close(): Promise<void> {
    this.#closed = true;
    const stopped = new Promise<void>((resolve) => (this.#server ? this.#server.close(() => resolve()) : resolve()));
    for (const channel of this.#shaking) channel.close(new PeerError('CLOSED', 'this peer is stopping'));
    for (const connection of this.#connections) connection.close();
    await stopped;
  }
}

const notWanted = (): PeerError => new PeerError('CANCELLED', 'there is another connection by now');
