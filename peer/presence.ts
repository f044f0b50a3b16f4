// Who is here, and how to speak to them: membership on a real machine. Feeds it what comes by datagram and by stream, says its beats
// and pulses, asks whom it suspects, and knows whom multicast does not reach.
import { isHere, createMembership, type Effect, type Input, type Member, type Membership, type Mode, modeOf, step, type Timer, wantsUnicast } from '../discovery/membership.ts';
import type { Address } from '../discovery/address.ts';
import type { AddressBook } from '../discovery/address-book.ts';
import type { GroupName } from '../discovery/group.ts';
import type { Pulse } from '../lib/coordination-messages.ts';
import type { BootId, PeerId } from '../lib/ids.ts';
import { type Beat, heardName, type Message } from '../lib/messages.ts';
import type { Random } from '../lib/random.ts';
import type { Clock, Millis } from '../lib/time.ts';
import type { Datagrams } from './datagrams.ts';
import { Driver, type Untimed } from './runtime.ts';

/** What membership puts into a beat. */
export interface Said {
  readonly everyMs: Millis;
  readonly hears: readonly PeerId[];
  readonly asks: boolean;
}

export type MemberChange = Extract<Effect, { readonly kind: 'changed' }>;

export interface PresenceOptions {
  readonly self: PeerId;
  readonly random: Random;
  readonly clock: Clock;
  readonly datagrams: Datagrams;
  readonly book: AddressBook;
  /** The rest of a beat. */
  readonly beat: (said: Said) => Beat;
  readonly pulse: () => Pulse;
  readonly onChange: (change: MemberChange) => void;
}

export class Presence {
  readonly #options: PresenceOptions;
  readonly #driver: Driver<Membership, Timer, Input, Effect>;
  /** The latest, for one that is not regular. */
  #said: Said | undefined;
  #probes = 0;

  constructor(options: PresenceOptions) {
    this.#options = options;
    const { self, random, clock } = options;
    this.#driver = new Driver(
      { state: createMembership({ self, random }), step },
      { clock, carryOut: (effect) => this.#carryOut(effect), expired: (timer) => ({ kind: 'expired', timer }) },
    );
  }

  feed(input: Untimed<Input>): void {
    this.#driver.feed(input);
  }

  /** A verified datagram of a peer. */
  heard(peer: PeerId, bootId: BootId, { via, address, beat }: { readonly via: 'multicast' | 'unicast'; readonly address: Address | undefined; readonly beat: Beat | undefined }): void {
    const { self } = this.#options;
    const said = beat && { everyMs: beat.periodMs, hears: beat.heard.includes(heardName(self)) ? [self] : [], asks: beat.asks };
    this.feed({ kind: 'heard', peer, bootId, via, ...(address && { address }), ...(said && { beat: said }) });
  }

  stop(): void {
    this.#driver.stop();
  }

  // --- who is here

  get members(): readonly Member[] {
    return [...this.#driver.state.members.values()];
  }

  get mode(): Mode {
    return modeOf(this.#driver.state, this.#options.clock.now());
  }

  *living(): Generator<PeerId> {
    for (const member of this.#driver.state.members.values()) if (isHere(member)) yield member.peer;
  }

  /** @param bootId its process, if only that counts */
  lives(peer: PeerId, bootId?: BootId): boolean {
    const member = this.#driver.state.members.get(peer);
    return member !== undefined && isHere(member) && (bootId === undefined || member.bootId === bootId);
  }

  bootOf(peer: PeerId): BootId | undefined {
    return this.#driver.state.members.get(peer)?.bootId;
  }

  addressOf(peer: PeerId): Address | undefined {
    return this.#driver.state.members.get(peer)?.address ?? this.#options.book.addressesOf(peer)[0];
  }

  // --- speaking to them

  send(peer: PeerId, message: Message): void {
    const address = this.addressOf(peer);
    if (address) this.#options.datagrams.unicast(message, address);
  }

  toAll(group: GroupName, message: Message): void {
    const { datagrams, clock } = this.#options;
    datagrams.multicast(group, message);
    const { state } = this.#driver;
    const now = clock.now();
    for (const member of state.members.values()) {
      // those whom multicast does not reach have asked for unicast beats
      if (member.address && wantsUnicast(state, member, now)) datagrams.unicast(message, member.address);
    }
  }

  /** A beat that is not regular: what it tells has changed. */
  beatNow(): void {
    if (this.#said) this.toAll('members', this.#options.beat({ ...this.#said, asks: false }));
  }

  goodbye(): void {
    const goodbye = { kind: 'goodbye' } as const;
    this.#options.datagrams.multicast('members', goodbye);
    for (const { address } of this.#driver.state.members.values()) if (address) this.#options.datagrams.unicast(goodbye, address);
  }

  #carryOut(effect: Exclude<Effect, { kind: 'arm' }>): void {
    const { datagrams, beat, pulse, onChange } = this.#options;
    switch (effect.kind) {
      case 'beat':
        this.#said = effect;
        return datagrams.multicast('members', beat(effect));
      case 'pulse':
        return datagrams.multicast('members', { kind: 'pulse', pulse: pulse() });
      case 'beatTo':
        return this.send(effect.peer, beat(effect));
      case 'pulseTo':
        return this.send(effect.peer, { kind: 'pulse', pulse: pulse() });
      case 'probe':
        this.#probes += 1;
        return this.send(effect.peer, { kind: 'ping', nonce: this.#probes });
      case 'probeVia':
        return this.send(effect.via, { kind: 'relay', peer: effect.peer });
      case 'relayed':
        return this.send(effect.to, { kind: 'relayed', peer: effect.peer, boot: effect.bootId });
      case 'changed':
        return onChange(effect);
    }
  }
}
