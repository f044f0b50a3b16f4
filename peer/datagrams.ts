// Everything that comes and goes by UDP: seals and opens, keeps strangers out, and lets only boots that have proved that
// they live speak. Above it there are messages of peers; below it there are sockets.
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { Group, type GroupName } from '../discovery/group.ts';
import type { Interface } from '../discovery/interfaces.ts';
import { Unicast } from '../discovery/unicast.ts';
import { type Identity, isSignature } from '../lib/identity.ts';
import type { BootId, PeerId } from '../lib/ids.ts';
import type { Keyring } from '../lib/keyring.ts';
import { decodeMessage, encodeMessage, type Message } from '../lib/messages.ts';
import { Opener, Sealer } from '../lib/seal.ts';
import type { Clock, Millis } from '../lib/time.ts';
import { type Address, type BootEffect, type BootInput, type BootTimer, BootVerifier } from './boot-verifier.ts';
import type { Sight } from './other-versions.ts';
import { Driver } from './runtime.ts';

export interface Received {
  readonly peer: PeerId;
  readonly bootId: BootId;
  readonly message: Exclude<Message, { readonly kind: 'challenge' | 'proof' | 'clone' }>;
  readonly via: 'multicast' | 'unicast';
  /** Where it came from: a unicast one from its sender's own port, a multicast one from any. */
  readonly from: Address;
}

export interface Met {
  readonly peer: PeerId;
  readonly bootId: BootId;
  readonly address: Address;
}

/** Two processes that live with one identity. */
export interface Clone {
  readonly peer: PeerId;
  readonly verified: BootId;
  readonly bootId: BootId;
}

export interface DatagramsOptions {
  readonly identity: Identity;
  readonly bootId: BootId;
  readonly keys: Keyring;
  readonly group: Address;
  readonly interfaces: readonly Interface[];
  /** The peer's own socket; it outlives a change of networks. */
  readonly unicast: Unicast;
  readonly clock: Clock;
}

/** In a network that never rests. */
const DISCARD_MS_MAX: Millis = 200;

export class Datagrams extends EventEmitter<{ message: [Received]; met: [Met]; clone: [Clone]; otherVersion: [Sight] }> {
  /** Datagrams that opened and then made no sense. */
  malformed = 0;
  #discarding = false;
  #discarded = 0;
  readonly #options: DatagramsOptions;
  readonly #sealer: Sealer;
  readonly #opener: Opener;
  readonly #groups: Readonly<Record<GroupName, Group>>;
  readonly #boots: Driver<BootVerifier, BootTimer, BootInput & { readonly now: number }, BootEffect>;

  constructor(options: DatagramsOptions) {
    super();
    this.#options = options;
    const { identity, bootId, keys, group, interfaces, unicast } = options;
    const own = { peer: identity.peer, bootId };
    this.#sealer = new Sealer({ keys, ...own });
    this.#opener = new Opener({ keys, own });
    const open = (name: GroupName): Group => {
      const socket = new Group({ name, base: group.host, port: group.port, interfaces });
      socket.on('message', (bytes, { address, port }) => this.#receive(bytes, 'multicast', { host: address, port }));
      return socket;
    };
    this.#groups = { members: open('members'), catalog: open('catalog') };
    unicast.on('message', this.#receiveUnicast);
    const verifier = new BootVerifier({
      ...own,
      publicKey: identity.publicKey,
      networkHash: () => keys.current.hash,
      nonce: () => randomBytes(16),
      sign: (text) => identity.sign(text),
      isSignature,
    });
    this.#boots = new Driver(
      { state: verifier, step: (state, input) => state.step(input) },
      { clock: options.clock, carryOut: (effect) => this.#carryOut(effect), expired: (timer) => ({ kind: 'expired', timer }) },
    );
  }

  /** Why datagrams were dropped, and how many. */
  get dropped(): Readonly<Record<string, number>> {
    return { ...this.#opener.dropped, malformed: this.malformed };
  }

  multicast(group: GroupName, message: Message): void {
    this.#groups[group].send(this.#sealer.seal(encodeMessage(message)));
  }

  unicast(message: Message, { host, port }: Address): void {
    this.#options.unicast.send(this.#sealer.seal(encodeMessage(message)), host, port);
  }

  setInterfaces(interfaces: readonly Interface[]): void {
    for (const group of Object.values(this.#groups)) group.setInterfaces(interfaces);
  }

  /** It lives, as a stream has shown: if it did not answer before, its next datagram is worth a question. */
  met(peer: PeerId, bootId: BootId): void {
    this.#boots.feed({ kind: 'met', peer, bootId });
  }

  /** What waits in the sockets' queues is as old as our sleep was long: it is read, and does not count. Ends with the first turn of
   *  the event loop that brings nothing. */
  discardQueued(): void {
    if (this.#discarding) return;
    this.#discarding = true;
    const until = this.#options.clock.now() + DISCARD_MS_MAX;
    const look = (): void => {
      if (this.#discarded === 0 || this.#options.clock.now() >= until) {
        this.#discarding = false;
        return;
      }
      this.#discarded = 0;
      setImmediate(look);
    };
    // the turn under way has read some of them already
    this.#discarded = 1;
    setImmediate(look);
  }

  async close(): Promise<void> {
    this.#boots.stop();
    this.#options.unicast.off('message', this.#receiveUnicast);
    await Promise.all(Object.values(this.#groups).map((group) => group.close()));
  }

  readonly #receiveUnicast = (bytes: Buffer, from: { readonly address: string; readonly port: number }): void =>
    this.#receive(bytes, 'unicast', { host: from.address, port: from.port });

  #receive(bytes: Uint8Array, via: Received['via'], from: Address): void {
    if (this.#discarding) {
      this.#discarded += 1;
      return;
    }
    const opened = this.#opener.open(bytes);
    if (opened.kind === 'dropped') {
      if (opened.reason === 'version' && opened.sender !== undefined) {
        // a group is sent to from any port
        const address = { host: from.host, port: via === 'unicast' ? from.port : 0 };
        this.emit('otherVersion', { peer: opened.sender, name: '', address, version: opened.version });
      }
      return;
    }
    const { sender: peer, bootId, verified } = opened;
    let message: Message | undefined;
    try {
      message = decodeMessage(opened.payload);
    } catch {
      this.malformed += 1;
      return;
    }
    if (!message) return; // a kind of a version to come
    switch (message.kind) {
      case 'challenge':
        // answered on the socket that is ours alone, whoever asks
        if (via === 'unicast') this.#boots.feed({ kind: 'challenged', by: peer, address: from, message, counter: this.#sealer.counter });
        return;
      case 'clone':
        if (verified && via === 'unicast') this.#boots.feed({ kind: 'told', message, address: from });
        return;
      case 'proof':
        this.#boots.feed({ kind: 'proved', peer, bootId, message });
        return;
      default:
        if (verified && message.kind === 'goodbye') this.#boots.feed({ kind: 'left', peer, bootId });
        if (verified) this.emit('message', { peer, bootId, message, via, from });
        else this.#hint(peer, bootId, via === 'unicast' ? from : message.kind === 'beat' ? { host: from.host, port: message.port } : undefined);
    }
  }

  #hint(peer: PeerId, bootId: BootId, address: Address | undefined): void {
    if (address) this.#boots.feed({ kind: 'hint', peer, bootId, address });
  }

  #carryOut(effect: Exclude<BootEffect, { kind: 'arm' }>): void {
    switch (effect.kind) {
      case 'challenge':
      case 'prove':
      case 'tell':
        this.unicast(effect.message, effect.address);
        return;
      case 'verified': {
        const { peer, bootId, counter, address } = effect;
        this.#opener.verify(peer, bootId, counter);
        this.emit('met', { peer, bootId, address });
        return;
      }
      case 'clone':
        this.emit('clone', effect);
    }
  }
}
