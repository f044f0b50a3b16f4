// The socket that multicast-dns is given (its `socket` option), in place of its own, which sends on one interface, binds
// wrongly when an interface is named, and stays deaf when an interface returns with the same address. It has the dozen
// methods of dgram.Socket that multicast-dns 7 calls; memberships and outgoing interfaces are not its business any more.
import type { Socket } from 'node:dgram';
import { EventEmitter } from 'node:events';
import { messageOf } from '../lib/errors.ts';
import type { Interface } from './interfaces.ts';
import { MulticastSocket, type TrafficCounters, type Udp } from './multicast-socket.ts';

export const MDNS_ADDRESS = '224.0.0.251';
export const MDNS_PORT = 5353;

/** Where multicast-dns is to send what is for one link only; `send` below understands it. */
export const onLinkOf = (address: string): string => `${MDNS_ADDRESS}%${address}`;

export class MdnsSocket extends EventEmitter {
  readonly #socket: MulticastSocket;
  readonly #port: number;

  constructor({ interfaces, port = MDNS_PORT, udp }: { readonly interfaces: readonly Interface[]; readonly port?: number; readonly udp?: Udp }) {
    super();
    this.#port = port;
    // Every mDNS packet comes from port 5353 (RFC 6762, 6); a TTL of 255 proves that it crossed no router (section 11).
    this.#socket = new MulticastSocket({
      address: MDNS_ADDRESS,
      port,
      receiveOn: 'any',
      sendFrom: port,
      ttl: 255,
      interfaces,
      ...(udp && { udp }),
    });
    this.#socket.on('message', (bytes, from) => {
      try {
        this.emit('message', bytes, from);
      } catch (error) {
        // multicast-dns catches what decoding throws, but calls its listeners outside of that; a packet that none of
        // the libraries' authors imagined must not end the process.
        this.counters.errors += 1;
        this.counters.lastError = messageOf(error);
      }
    });
  }

  get counters(): TrafficCounters {
    return this.#socket.counters;
  }

  get ready(): Promise<void> {
    return this.#socket.ready;
  }

  setInterfaces(interfaces: readonly Interface[]): void {
    this.#socket.setInterfaces(interfaces);
  }

  /** As multicast-dns's type wants it. */
  asSocket(): Socket {
    return this as unknown as Socket;
  }

  // --- what multicast-dns calls

  /** Listening began in the constructor and is mended for ever, so to multicast-dns it always succeeds: an error here
   *  would end naming for the life of the process. */
  bind(_port: number, _address: string | undefined, bound: () => void): void {
    void this.ready.then(() => {
      this.emit('listening');
      bound();
    });
  }

  address(): { readonly address: string; readonly family: string; readonly port: number } {
    return { address: '0.0.0.0', family: 'IPv4', port: this.#port };
  }

  send(bytes: Uint8Array, offset: number, length: number, port: number, address: string, sent: (error: Error | null) => void): void {
    const message = bytes.subarray(offset, offset + length);
    const [group, via] = address.split('%', 2);
    if (group === MDNS_ADDRESS) this.#socket.send(message, via);
    else this.#socket.sendTo(message, port, address);
    // Whether it left is counted below us; bonjour-service would throw an error, or stop announcing.
    process.nextTick(sent, null);
  }

  close(closed?: () => void): void {
    void this.#socket.close().then(closed);
  }

  addMembership(): void {}
  dropMembership(): void {}
  setMulticastInterface(): void {}
  setMulticastTTL(): void {}
  setMulticastLoopback(): void {}
}
