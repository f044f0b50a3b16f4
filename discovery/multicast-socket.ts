// One multicast group on every interface of the machine, through everything that happens to interfaces. A single socket
// sends multicast on one interface only, and one bound to an interface's address hears none; so there is one receiver,
// joined on every interface, and a sender per interface, bound to its address. What the network does (an interface
// vanishes, comes back under the same or another address, a route is lost) is counted and mended, never thrown.
import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from 'node:dgram';
import { EventEmitter } from 'node:events';
import { codeOf, messageOf } from '../lib/errors.ts';
import { RECEIVE_BUFFER_BYTES } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';
import type { Interface } from './interfaces.ts';

/** Makes sockets; tests give one that fails. */
export type Udp = (options: SocketOptions) => Socket;

export interface MulticastOptions {
  readonly address: string;
  readonly port: number;
  /** What the receiver is bound to: the group's address hears that group alone; the wildcard, unicast too. */
  readonly receiveOn: 'group' | 'any';
  /** The source port of what is sent; 0 for any. */
  readonly sendFrom: number;
  readonly ttl: number;
  readonly interfaces: readonly Interface[];
  readonly udp?: Udp;
}

export interface TrafficCounters {
  sent: number;
  received: number;
  errors: number;
  /** For `status` and logs. */
  lastError: string | undefined;
}

/** A switch that snoops on IGMP without a querier forgets a join after some minutes: 239.x then stops without an error. */
const REJOIN_EVERY_MS: Millis = 60_000;
/** A sender that failed is made anew after this; an interface that comes back is served within it. */
const REPAIR_AFTER_MS: Millis = 1_000;
const WILDCARD = '0.0.0.0';

export class MulticastSocket extends EventEmitter<{ message: [bytes: Buffer, from: RemoteInfo] }> {
  readonly counters: TrafficCounters = { sent: 0, received: 0, errors: 0, lastError: undefined };
  /** Settles when the first attempt to listen has succeeded or failed. */
  readonly ready: Promise<void>;
  readonly #options: MulticastOptions;
  readonly #udp: Udp;
  readonly #senders = new Map<string, Socket>();
  readonly #rejoining: NodeJS.Timeout;
  #interfaces: readonly Interface[];
  #receiver: Socket | undefined;
  #listening = false;
  #receiveBufferBytes = 0;
  #repairing: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: MulticastOptions) {
    super();
    this.#options = options;
    this.#udp = options.udp ?? createSocket;
    this.#interfaces = options.interfaces;
    this.ready = new Promise((resolve) => this.#listen(options.receiveOn === 'group' ? options.address : WILDCARD, resolve));
    for (const { address } of this.#interfaces) this.#openSender(address);
    this.#rejoining = setInterval(() => this.rejoin(), REJOIN_EVERY_MS).unref();
  }

  /** What the kernel granted (Linux says twice its limit); 0 while not listening. */
  get receiveBufferBytes(): number {
    return this.#receiveBufferBytes;
  }

  get listening(): boolean {
    return this.#listening;
  }

  /** Sends on every interface, or on the one of that address. */
  send(bytes: Uint8Array, via?: string): void {
    for (const [address, socket] of this.#senders) {
      if (via !== undefined && via !== address) continue;
      this.#attempt(() =>
        socket.send(bytes, this.#options.port, this.#options.address, (error) => {
          if (error === null) this.counters.sent += 1;
          else this.#repair(address, socket, error);
        }),
      );
    }
  }

  /** One datagram to one address, for DNS-SD's rare unicast answers. */
  sendTo(bytes: Uint8Array, port: number, host: string): void {
    const [socket] = this.#senders.values();
    this.#attempt(() => socket?.send(bytes, port, host, (error) => (error === null ? void (this.counters.sent += 1) : this.#failed(error))));
  }

  /** To be called when they changed: serves new interfaces, lets go of those that vanished. */
  setInterfaces(interfaces: readonly Interface[]): void {
    if (this.#closed) return;
    const before = this.#interfaces;
    this.#interfaces = interfaces;
    for (const { address } of before) {
      if (interfaces.some((kept) => kept.address === address)) continue;
      this.#closeSender(address);
      // The kernel has dropped the membership together with the interface, or the address is unknown by now.
      this.#quietly(() => this.#receiver?.dropMembership(this.#options.address, address));
    }
    this.rejoin();
  }

  /** Drops and adds every membership, so that switches hear a new report, and makes what is missing. */
  rejoin(): void {
    if (this.#closed) return;
    if (this.#receiver === undefined) this.#listen(this.#options.receiveOn === 'group' ? this.#options.address : WILDCARD);
    for (const { address } of this.#interfaces) {
      this.#openSender(address);
      if (!this.#listening) continue;
      this.#quietly(() => this.#receiver?.dropMembership(this.#options.address, address));
      this.#join(address);
    }
  }

  close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#rejoining);
    clearTimeout(this.#repairing);
    const sockets = [...this.#senders.values(), ...(this.#receiver === undefined ? [] : [this.#receiver])];
    this.#senders.clear();
    this.#receiver = undefined;
    this.#listening = false;
    return Promise.all(sockets.map((socket) => new Promise<void>((resolve) => void socket.close(resolve)))).then(() => undefined);
  }

  #listen(bindTo: string, settled: () => void = () => undefined): void {
    const socket = this.#udp({ type: 'udp4', reuseAddr: true });
    this.#receiver = socket;
    socket.on('message', (bytes, from) => this.#receive(bytes, from));
    socket.on('error', (error) => {
      this.#failed(error);
      if (this.#receiver !== socket || this.#listening) return;
      socket.close();
      this.#receiver = undefined;
      // Windows cannot bind a group's address. There a wildcard socket hears only what it joined itself.
      if (bindTo !== WILDCARD && !this.#closed) this.#listen(WILDCARD, settled);
      else settled();
    });
    socket.bind({ port: this.#options.port, address: bindTo }, () => {
      if (this.#receiver !== socket) return;
      this.#listening = true;
      this.#attempt(() => {
        socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
        this.#receiveBufferBytes = socket.getRecvBufferSize();
      });
      for (const { address } of this.#interfaces) this.#join(address);
      settled();
    });
  }

  #join(address: string): void {
    try {
      this.#receiver?.addMembership(this.#options.address, address);
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') this.#failed(error); // in use: joined already
    }
  }

  #openSender(address: string): void {
    if (this.#senders.has(address)) return;
    const { sendFrom, ttl } = this.#options;
    const socket = this.#udp({ type: 'udp4', reuseAddr: sendFrom !== 0 });
    this.#senders.set(address, socket);
    socket.on('message', (bytes, from) => this.#receive(bytes, from));
    socket.on('error', (error) => this.#repair(address, socket, error));
    socket.bind({ port: sendFrom, address }, () => {
      if (this.#senders.get(address) !== socket) return;
      try {
        socket.setMulticastInterface(address);
        socket.setMulticastTTL(ttl);
        socket.setMulticastLoopback(true); // other peers on this machine listen too
      } catch (error) {
        this.#repair(address, socket, error);
      }
    });
  }

  #closeSender(address: string): void {
    const socket = this.#senders.get(address);
    this.#senders.delete(address);
    if (socket !== undefined) this.#quietly(() => socket.close());
  }

  /** A sender remembers its interface by number: after the interface was made anew, only a new socket sends again. */
  #repair(address: string, socket: Socket, error: unknown): void {
    if (this.#senders.get(address) !== socket) return;
    this.#failed(error);
    this.#closeSender(address);
    this.#repairing ??= setTimeout(() => {
      this.#repairing = undefined;
      this.rejoin();
    }, REPAIR_AFTER_MS).unref();
  }

  #receive(bytes: Buffer, from: RemoteInfo): void {
    if (this.#closed) return;
    this.counters.received += 1;
    this.emit('message', bytes, from);
  }

  #failed(error: unknown): void {
    this.counters.errors += 1;
    this.counters.lastError = messageOf(error);
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#failed(error);
    }
  }

  #quietly(action: () => void): void {
    try {
      action();
    } catch {
      // It was gone already, which is what we wanted.
    }
  }
}
