// Who may be believed by multicast. A sealed datagram shows that a holder of the network's key wrote it, but not when:
// yesterday's traffic, replayed to a peer that has just restarted, opens like today's. So a boot that was not met before
// counts only after its peer has signed a nonce of ours (challenge and response, as in ISO/IEC 9798-3), and the proof says
// from which counter on. Until then its datagrams are hints of whom to ask. Pure: no socket, clock, randomness or key.
//
// Two processes with one identity may not hear each other, and a third hears both. It tells each of the other. That is hearsay,
// and the boot it names may be long dead; so whoever is told asks it for a proof over a nonce of its own, through the third.
//
// Invariant: at most one boot of a peer is believed, it lived when it was challenged, and no datagram that it sealed before its
// proof is believed. A clone is reported only when both boots have signed nonces that were drawn while the other was known to live.
import type { Challenge, CloneNotice, Proof } from '../lib/boot-messages.ts';
import { CHALLENGE_PADDING_BYTES } from '../lib/boot-messages.ts';
import { peerOf } from '../lib/identity.ts';
import { type BootId, hex, idToBytes, type PeerId } from '../lib/ids.ts';
import { CHALLENGES_PENDING_MAX, CHALLENGES_PER_HOST_MAX, SENDERS_MAX } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export type BootInput =
  /** A datagram of a boot that the opener does not hold as verified came in, be it that it has forgotten it. */
  | { readonly kind: 'hint'; readonly peer: PeerId; readonly bootId: BootId; readonly address: Address; readonly now: Millis }
  /** A challenge came from a peer, verified or not. `counter` is that of the latest datagram sealed here. */
  | { readonly kind: 'challenged'; readonly by: PeerId; readonly address: Address; readonly message: Challenge; readonly counter: number }
  | { readonly kind: 'proved'; readonly peer: PeerId; readonly bootId: BootId; readonly message: Proof; readonly now: Millis }
  /** A verified peer says that another boot of our identity lives. */
  | { readonly kind: 'told'; readonly message: CloneNotice; readonly address: Address; readonly now: Millis }
  /** A believed boot said goodbye. */
  | { readonly kind: 'left'; readonly peer: PeerId; readonly bootId: BootId }
  /** It has shaken hands over a stream, which no capture can. */
  | { readonly kind: 'met'; readonly peer: PeerId; readonly bootId: BootId }
  | { readonly kind: 'expired'; readonly timer: BootTimer; readonly now: Millis };

/** One for each boot under challenge; arming it again replaces it. */
export type BootTimer = `boot/${PeerId}/${BootId}`;

export type BootEffect =
  | { readonly kind: 'challenge'; readonly address: Address; readonly message: Challenge }
  | { readonly kind: 'prove'; readonly address: Address; readonly message: Proof }
  /** Believe this boot's datagrams above `counter`, and those of no other boot of this peer. `address` is where it was asked. */
  | { readonly kind: 'verified'; readonly peer: PeerId; readonly bootId: BootId; readonly counter: number; readonly address: Address; readonly replaced: BootId | undefined }
  /** Two processes live with one identity: `bootId` proved itself after it had been replaced, and `verified` after that. */
  | { readonly kind: 'clone'; readonly peer: PeerId; readonly verified: BootId; readonly bootId: BootId }
  /** Tell a boot of the other one. */
  | { readonly kind: 'tell'; readonly address: Address; readonly message: CloneNotice }
  | { readonly kind: 'arm'; readonly timer: BootTimer; readonly ms: Millis };

export interface BootVerifierOptions {
  readonly peer: PeerId;
  readonly bootId: BootId;
  readonly publicKey: Uint8Array;
  /** Current network's hash: a proof for one network is none for another. */
  readonly networkHash: () => string;
  /** 16 fresh random bytes. */
  readonly nonce: () => Uint8Array;
  readonly sign: (text: Uint8Array) => Uint8Array;
  readonly isSignature: (publicKey: Uint8Array, text: Uint8Array, signature: Uint8Array) => boolean;
}

/** When a challenge is repeated, with the same nonce: at 30% loss each way, five reach an answer in 97 of 100 cases. */
const RETRY_MS: readonly Millis[] = [120, 200, 350, 600];
/** After the last repetition. */
const GIVE_UP_MS: Millis = 1_000;
/** A boot that did not answer is not asked again for so long, doubled each time; one that lives keeps sending hints. */
const REST_MS: Millis = 1_000;
const REST_MS_MAX: Millis = 60_000;
/** A clone, known and told, is asked again after so long: by then one of the two has taken a new key, and the other has to be
 *  believed again. */
const CLONE_REST_MS: Millis = 5_000;

interface Pending {
  readonly peer: PeerId;
  readonly bootId: BootId;
  readonly nonce: Uint8Array;
  readonly address: Address;
  /** The boot that proved itself although this one had replaced it: one of the two is dead, or they are clones. */
  readonly rival: Rival | undefined;
  /** Is it asked through another peer, which lives at `address`? */
  readonly relayed: boolean;
  sent: number;
}

interface Rival {
  readonly bootId: BootId;
  readonly address: Address;
}

/** A challenge that was passed on, and where its answer goes. */
interface Relay {
  readonly asker: Address;
  readonly boot: BootId;
}

interface Verified {
  readonly bootId: BootId;
  readonly address: Address | undefined;
}

interface Rest {
  readonly until: Millis;
  readonly ms: Millis;
}

export class BootVerifier {
  readonly #options: BootVerifierOptions;
  readonly #verified = new Map<PeerId, Verified>();
  /** Boots that were verified until another of their peer was, oldest first. */
  readonly #replaced = new Set<BootTimer>();
  readonly #pending = new Map<BootTimer, Pending>();
  /** Boots that were asked in vain, oldest first. */
  readonly #resting = new Map<BootTimer, Rest>();
  /** Where boots that are clones live, and challenges passed on between them, by nonce; oldest first. */
  readonly #cloned = new Map<BootTimer, Address>();
  readonly #relays = new Map<string, Relay>();

  constructor(options: BootVerifierOptions) {
    this.#options = options;
    this.#verified.set(options.peer, { bootId: options.bootId, address: undefined });
  }

  step(input: BootInput): BootEffect[] {
    switch (input.kind) {
      case 'hint':
        return this.#hint(input);
      case 'challenged':
        return this.#challenged(input);
      case 'proved':
        return input.message.boot === null ? this.#proved(input) : this.#provedThroughOther(input.message, input.now);
      case 'told':
        return this.#told(input);
      case 'left':
        this.#left(input);
        return [];
      case 'met':
        // what kept its answers from coming is over
        this.#resting.delete(timerOf(input.peer, input.bootId));
        return [];
      case 'expired':
        return this.#expired(input.timer, input.now);
    }
  }

  verifiedBoot(peer: PeerId): BootId | undefined {
    return this.#verified.get(peer)?.bootId;
  }

  #hint({ peer, bootId, address, now }: Extract<BootInput, { kind: 'hint' }>): BootEffect[] {
    const timer = timerOf(peer, bootId);
    if ((peer === this.#options.peer && bootId === this.#options.bootId) || this.#pending.has(timer)) return [];
    const rest = this.#resting.get(timer);
    if (rest && rest.until > now) return [];
    if (!this.#makeRoom(address, now)) return [];
    return this.#challenge({ peer, bootId, address, rival: undefined, relayed: false });
  }

  /** Hearsay of another boot of ours. */
  #told({ message: { boot }, address, now }: Extract<BootInput, { kind: 'told' }>): BootEffect[] {
    const { peer, bootId } = this.#options;
    const timer = timerOf(peer, boot);
    if (boot === bootId || this.#pending.has(timer) || (this.#resting.get(timer)?.until ?? now) > now || !this.#makeRoom(address, now)) return [];
    return this.#challenge({ peer, bootId: boot, address, rival: undefined, relayed: true });
  }

  /** It was the clone of another boot, maybe, that goes on under the identity: that one is believed again with its next proof. */
  #left({ peer, bootId }: Extract<BootInput, { kind: 'left' }>): void {
    if (this.#verified.get(peer)?.bootId !== bootId) return;
    this.#verified.delete(peer);
    const isOfPeer = (timer: BootTimer): boolean => timer.startsWith(`boot/${peer}/`);
    for (const timer of [...this.#replaced].filter(isOfPeer)) this.#replaced.delete(timer);
    for (const timer of [...this.#resting.keys()].filter(isOfPeer)) this.#resting.delete(timer);
  }

  #challenge(whom: Omit<Pending, 'nonce' | 'sent'>): BootEffect[] {
    const timer = timerOf(whom.peer, whom.bootId);
    const pending = { ...whom, nonce: this.#options.nonce(), sent: 0 };
    this.#pending.set(timer, pending);
    return this.#ask(timer, pending);
  }

  #ask(timer: BootTimer, pending: Pending): BootEffect[] {
    const ms = RETRY_MS[pending.sent] ?? GIVE_UP_MS;
    pending.sent += 1;
    return [
      { kind: 'challenge', address: pending.address, message: challengeOf(pending.nonce, { boot: pending.relayed ? pending.bootId : null, verifier: null }) },
      { kind: 'arm', timer, ms },
    ];
  }

  #expired(timer: BootTimer, now: Millis): BootEffect[] {
    const pending = this.#pending.get(timer);
    if (!pending) return [];
    if (pending.sent <= RETRY_MS.length) return this.#ask(timer, pending);
    this.#giveUp(timer, now);
    return [];
  }

  /** Old captures never answer, and the living answer the first question: who was asked most often goes first. */
  #makeRoom(address: Address, now: Millis): boolean {
    const all = [...this.#pending];
    const atHost = all.filter(([, pending]) => pending.address.host === address.host);
    if (atHost.length < CHALLENGES_PER_HOST_MAX && all.length < CHALLENGES_PENDING_MAX) return true;
    const crowd = (atHost.length >= CHALLENGES_PER_HOST_MAX ? atHost : all).filter(([, { sent, rival }]) => sent > 1 && rival === undefined);
    const [first, ...others] = crowd;
    if (!first) return false;
    const [timer] = others.reduce((a, b) => (b[1].sent > a[1].sent ? b : a), first);
    this.#giveUp(timer, now);
    return true;
  }

  #giveUp(timer: BootTimer, now: Millis): void {
    const pending = this.#pending.get(timer);
    this.#pending.delete(timer);
    if (pending?.rival !== undefined) {
      // the newer is dead and the older lives: with its next hint the older starts afresh
      this.#verified.delete(pending.peer);
      this.#replaced.delete(timerOf(pending.peer, pending.rival.bootId));
      this.#resting.delete(timerOf(pending.peer, pending.rival.bootId));
    }
    this.#rest(timer, now, Math.min((this.#resting.get(timer)?.ms ?? REST_MS / 2) * 2, REST_MS_MAX));
  }

  #rest(timer: BootTimer, now: Millis, ms: Millis): void {
    this.#resting.delete(timer);
    this.#resting.set(timer, { until: now + ms, ms });
    keepNewest(this.#resting);
  }

  #challenged({ by, address, message, counter }: Extract<BootInput, { kind: 'challenged' }>): BootEffect[] {
    // a shorter one asks for more bytes than it brings
    if (message.padding.byteLength < CHALLENGE_PADDING_BYTES) return [];
    if (message.boot !== null) return this.#passOn(by, message.boot, message.nonce, address);
    const { peer, bootId, publicKey, networkHash, sign } = this.#options;
    const text = proofText({ verifier: message.verifier ?? by, nonce: message.nonce, signer: peer, bootId, networkHash: networkHash(), counter });
    return [{ kind: 'prove', address, message: { kind: 'proof', nonce: message.nonce, counter, publicKey, signature: sign(text), boot: null } }];
  }

  /** Between clones that were told of each other, and between nobody else. */
  #passOn(by: PeerId, boot: BootId, nonce: Uint8Array, asker: Address): BootEffect[] {
    const address = this.#cloned.get(timerOf(by, boot));
    if (!address) return [];
    keepNewest(this.#relays.set(hex(nonce), { asker, boot }));
    return [{ kind: 'challenge', address, message: challengeOf(nonce, { boot: null, verifier: by }) }];
  }

  #passBack(message: Proof): BootEffect[] {
    const name = hex(message.nonce);
    const relay = this.#relays.get(name);
    if (!relay) return [];
    this.#relays.delete(name);
    return [{ kind: 'prove', address: relay.asker, message: { ...message, boot: relay.boot } }];
  }

  /** The only proof of another boot of ours that comes by way of others: over a nonce that we drew for it. */
  #provedThroughOther(message: Proof, now: Millis): BootEffect[] {
    const { peer, bootId: own } = this.#options;
    const bootId = message.boot as BootId;
    const timer = timerOf(peer, bootId);
    const pending = this.#pending.get(timer);
    if (!pending?.relayed || !this.#isProof(pending, message)) return [];
    this.#pending.delete(timer);
    this.#rest(timer, now, CLONE_REST_MS);
    return [{ kind: 'clone', peer, verified: own, bootId }];
  }

  #isProof({ peer, bootId, nonce }: Pending, message: Proof): boolean {
    // unasked proofs cost no signature check
    if (Buffer.compare(nonce, message.nonce) !== 0 || peerOf(message.publicKey) !== peer) return false;
    const { networkHash, isSignature, peer: verifier } = this.#options;
    const text = proofText({ verifier, nonce, signer: peer, bootId, networkHash: networkHash(), counter: message.counter });
    return isSignature(message.publicKey, text, message.signature);
  }

  #proved({ peer, bootId, message, now }: Extract<BootInput, { kind: 'proved' }>): BootEffect[] {
    const timer = timerOf(peer, bootId);
    const pending = this.#pending.get(timer);
    if (!pending || pending.relayed || Buffer.compare(pending.nonce, message.nonce) !== 0) return this.#passBack(message);
    if (!this.#isProof(pending, message)) return [];
    const { counter } = message;
    this.#pending.delete(timer);
    const before = this.#verified.get(peer);
    if (pending.rival !== undefined) {
      const { rival, address } = pending;
      this.#rest(timerOf(peer, rival.bootId), now, CLONE_REST_MS);
      keepNewest(this.#cloned.set(timerOf(peer, bootId), address));
      keepNewest(this.#cloned.set(timerOf(peer, rival.bootId), rival.address));
      return [
        { kind: 'clone', peer, verified: bootId, bootId: rival.bootId },
        { kind: 'tell', address: rival.address, message: { kind: 'clone', boot: bootId } },
        { kind: 'tell', address, message: { kind: 'clone', boot: rival.bootId } },
      ];
    }
    if (before && peer === this.#options.peer) {
      this.#rest(timer, now, CLONE_REST_MS);
      return [{ kind: 'clone', peer, verified: before.bootId, bootId }];
    }
    if (before?.address && this.#replaced.has(timer)) {
      this.#rest(timer, now, CLONE_REST_MS);
      return this.#challenge({ peer, bootId: before.bootId, address: before.address, rival: { bootId, address: pending.address }, relayed: false });
    }
    // what this peer's other boots were asked, they were asked before this proof, and answers would say nothing about now
    for (const [other, { peer: asked }] of this.#pending) if (asked === peer) this.#pending.delete(other);
    this.#resting.delete(timer);
    this.#believe(peer, { bootId, address: pending.address });
    const replaced = before?.bootId === bootId ? undefined : before?.bootId;
    if (replaced !== undefined) keepNewest(this.#replaced.add(timerOf(peer, replaced)));
    return [{ kind: 'verified', peer, bootId, counter, address: pending.address, replaced }];
  }

  #believe(peer: PeerId, verified: Verified): void {
    this.#verified.delete(peer);
    this.#verified.set(peer, verified);
    if (this.#verified.size <= SENDERS_MAX) return;
    // the one proved longest ago is asked again when it is heard again; ourselves we do not forget
    for (const oldest of this.#verified.keys()) {
      if (oldest === this.#options.peer) continue;
      this.#verified.delete(oldest);
      return;
    }
  }
}

/** Sets and maps go through their keys in the order in which they came. */
function keepNewest<Key>(table: Pick<Set<Key>, 'size' | 'keys' | 'delete'>): void {
  if (table.size > SENDERS_MAX) table.delete(table.keys().next().value as Key);
}

const challengeOf = (nonce: Uint8Array, through: Pick<Challenge, 'boot' | 'verifier'>): Challenge => ({
  kind: 'challenge',
  nonce,
  padding: new Uint8Array(CHALLENGE_PADDING_BYTES),
  ...through,
});

const timerOf = (peer: PeerId, bootId: BootId): BootTimer => `boot/${peer}/${bootId}`;

/** What a proof signs. All parts have fixed lengths, so no two contents make one text. */
export function proofText(parts: {
  readonly verifier: PeerId;
  readonly nonce: Uint8Array;
  readonly signer: PeerId;
  readonly bootId: BootId;
  readonly networkHash: string;
  readonly counter: number;
}): Uint8Array {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(parts.counter));
  return Buffer.concat([
    Buffer.from('spotify-peer/boot'),
    idToBytes(parts.verifier),
    parts.nonce,
    idToBytes(parts.signer),
    idToBytes(parts.bootId),
    Buffer.from(parts.networkHash, 'hex'),
    counter,
  ]);
}
