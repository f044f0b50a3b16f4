// The peer's own UDP socket, on its own port: what is sent to a port that several peers share reaches only the one that
// bound it last. Its number is also the peer's TCP port.
import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { EventEmitter } from 'node:events';
import { codeOf, messageOf, PeerError } from '../lib/errors.ts';
import { DATAGRAM_BYTES_MAX, RECEIVE_BUFFER_BYTES } from '../lib/limits.ts';
import type { TrafficCounters, Udp } from './multicast-socket.ts';

export class Unicast extends EventEmitter<{ message: [bytes: Buffer, from: RemoteInfo] }> {
  readonly counters: TrafficCounters = { sent: 0, received: 0, errors: 0, lastError: undefined };
  readonly #socket: Socket;

  /** Use `Unicast.open`. */
  private constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on('message', (bytes, from) => {
      this.counters.received += 1;
      this.emit('message', bytes, from);
    });
    // Windows reports a peer that is gone as an error of the socket that wrote to it; the socket stays good.
    socket.on('error', (error) => this.#failed(error));
  }

  /** @param port 0 for any
   *  @throws PeerError PORT_TAKEN */
  static open({ port, udp = createSocket }: { readonly port: number; readonly udp?: Udp }): Promise<Unicast> {
    const socket = udp({ type: 'udp4' });
    return new Promise((resolve, reject) => {
      const refuse = (cause: Error): void => {
        socket.close();
        reject(codeOf(cause) === 'EADDRINUSE' ? new PeerError('PORT_TAKEN', `UDP port ${port} is taken by another program`, { cause }) : cause);
      };
      socket.once('error', refuse);
      socket.bind({ port, address: '0.0.0.0', exclusive: true }, () => {
        socket.off('error', refuse);
        const unicast = new Unicast(socket);
        try {
          socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
        } catch (error) {
          unicast.#failed(error);
        }
        resolve(unicast);
      });
    });
  }

  get port(): number {
    return this.#socket.address().port;
  }

  get receiveBufferBytes(): number {
    return this.#socket.getRecvBufferSize();
  }

  send(bytes: Uint8Array, host: string, port: number): void {
    assert(bytes.byteLength <= DATAGRAM_BYTES_MAX, 'a datagram fits one frame');
    try {
      this.#socket.send(bytes, port, host, (error) => {
        if (error === null) this.counters.sent += 1;
        else this.#failed(error);
      });
    } catch (error) {
      this.#failed(error); // closed, or an address that no socket takes
    }
  }

  close(): Promise<void> {
    return new Promise((resolve) => void this.#socket.close(resolve));
  }

  #failed(error: unknown): void {
    this.counters.errors += 1;
    this.counters.lastError = messageOf(error);
  }
}
