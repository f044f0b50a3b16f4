// Sealed datagrams: what a peer sends to a group or to another peer, readable by the holders of the network's key only.
//
//   magic 2 | version 1 | network hash 4 | sender 16 | bootId 16 | counter 6 | ciphertext | tag 16
//
// ChaCha20-Poly1305 (RFC 8439; as quick here as AES-GCM, and safe in constant time on machines without AES in hardware).
// Its key is HKDF(network key, sender, bootId), its nonce the counter, and everything before the ciphertext is additional
// data. A bootId is drawn afresh at every start, so no counter has to survive one, and no nonce is ever used twice.
//
// The key shows that a holder of the network's key wrote it, not which one, and not when: yesterday's capture opens as well.
// So whatever opens is `verified` only if its boot has proved that it lives (peer/boot-verifier.ts), and is a hint otherwise.
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type BootId, hex, ID_BYTES, idToBytes, type PeerId } from './ids.ts';
import type { Keyring } from './keyring.ts';
import { DATAGRAM_BYTES_MAX, SENDERS_MAX, UNVERIFIED_SENDERS_MAX } from './limits.ts';
import { deriveFrom, type Network, NETWORK_HASH_BYTES } from './network-key.ts';
import { ReplayWindow } from './replay-window.ts';

const MAGIC = 0x5350; // 'SP'
const VERSION = 3;
const CIPHER = 'chacha20-poly1305';
const CIPHER_KEY_BYTES = 32;
const CIPHER_NONCE_BYTES = 12;
const COUNTER_BYTES = 6;
const TAG_BYTES = 16;

const HASH_AT = 3;
const SENDER_AT = HASH_AT + NETWORK_HASH_BYTES;
const BOOT_AT = SENDER_AT + ID_BYTES;
const COUNTER_AT = BOOT_AT + ID_BYTES;
const HEADER_BYTES = COUNTER_AT + COUNTER_BYTES;

/** What sealing adds: 61 bytes. */
export const SEAL_BYTES = HEADER_BYTES + TAG_BYTES;
/** The longest payload of one datagram: 1,171 bytes. */
export const PAYLOAD_BYTES_MAX = DATAGRAM_BYTES_MAX - SEAL_BYTES;

const keyOf = (network: Network, senderAndBoot: Uint8Array): Buffer =>
  deriveFrom(network, 'datagram', CIPHER_KEY_BYTES, senderAndBoot);

const nonceOf = (counter: number): Buffer => {
  const nonce = Buffer.alloc(CIPHER_NONCE_BYTES);
  nonce.writeUIntBE(counter, CIPHER_NONCE_BYTES - COUNTER_BYTES, COUNTER_BYTES);
  return nonce;
};

/** Seals what this process sends. There is one for each process: the counter belongs to the bootId. */
export class Sealer {
  readonly #keys: Keyring;
  readonly #senderAndBoot: Buffer;
  #sealedWith: { readonly hash: string; readonly key: Buffer } | undefined;
  #counter = 0;

  constructor({ keys, peer, bootId }: { readonly keys: Keyring; readonly peer: PeerId; readonly bootId: BootId }) {
    this.#keys = keys;
    this.#senderAndBoot = Buffer.concat([idToBytes(peer), idToBytes(bootId)]);
  }

  /** Of the latest datagram sealed; 0 before the first. */
  get counter(): number {
    return this.#counter;
  }

  /** @param payload at most PAYLOAD_BYTES_MAX */
  seal(payload: Uint8Array): Buffer {
    if (payload.byteLength > PAYLOAD_BYTES_MAX) throw new RangeError(`a payload of ${payload.byteLength} bytes does not fit a datagram`);
    const { hash, network } = this.#keys.current;
    if (this.#sealedWith?.hash !== hash) this.#sealedWith = { hash, key: keyOf(network, this.#senderAndBoot) };
    // 2^48 datagrams are 8,900 years of a thousand a second
    this.#counter += 1;
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    header.writeUInt16BE(MAGIC, 0);
    header.writeUInt8(VERSION, 2);
    header.write(hash, HASH_AT, 'hex');
    this.#senderAndBoot.copy(header, SENDER_AT);
    header.writeUIntBE(this.#counter, COUNTER_AT, COUNTER_BYTES);
    const cipher = createCipheriv(CIPHER, this.#sealedWith.key, nonceOf(this.#counter), { authTagLength: TAG_BYTES });
    cipher.setAAD(header, { plaintextLength: payload.byteLength });
    return Buffer.concat([header, cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
  }
}

/** Why a datagram was dropped: not ours at all or of another network; ours, but of a version to come; longer than any of
 *  ours; shorter; altered or written without the key; seen before or too late; our own, come back by the loopback. */
export type DropReason = 'foreign' | 'version' | 'oversized' | 'cut' | 'forged' | 'replayed' | 'own';

export type Opened =
  | {
      readonly kind: 'opened';
      readonly sender: PeerId;
      readonly bootId: BootId;
      readonly counter: number;
      /** Has this boot proved that it lives? If not, the payload is a hint and no more. */
      readonly verified: boolean;
      readonly payload: Uint8Array;
    }
  | { readonly kind: 'dropped'; readonly reason: Exclude<DropReason, 'version'> }
  | {
      readonly kind: 'dropped';
      readonly reason: 'version';
      readonly version: number;
      /** By its header, which nothing proves and a later version may have changed: it is of our network, and this one's. */
      readonly sender: PeerId | undefined;
    };

interface SenderState {
  readonly key: Buffer;
  readonly window: ReplayWindow;
}

interface VerifiedBoot {
  readonly bootId: BootId;
  /** Datagrams up to this counter may be captures of before the proof. */
  readonly floor: number;
  /** By network hash: one, or two during a rotation. */
  readonly states: Map<string, SenderState>;
}

/** Opens what arrives. Never throws, whatever the bytes, and remembers nothing of a datagram that does not open: who holds
 *  no key can neither fill nor turn over its tables. Old captures open, so unverified boots have a table of their own. */
export class Opener {
  readonly dropped: Record<DropReason, number> = { foreign: 0, version: 0, oversized: 0, cut: 0, forged: 0, replayed: 0, own: 0 };
  readonly #keys: Keyring;
  readonly #own: { readonly peer: PeerId; readonly bootId: BootId } | undefined;
  readonly #verified = new LRUCache<PeerId, VerifiedBoot>({ max: SENDERS_MAX });
  readonly #unverified = new LRUCache<string, SenderState>({ max: UNVERIFIED_SENDERS_MAX });

  /** @param own whose datagrams to drop unopened; a monitor, which sends nothing, has none */
  constructor({ keys, own }: { readonly keys: Keyring; readonly own?: { readonly peer: PeerId; readonly bootId: BootId } }) {
    this.#keys = keys;
    this.#own = own;
  }

  /** The boot of `peer` has proved that it lives: from now on its datagrams above `counter` are verified, and those of any
   *  other boot of that peer are hints. */
  verify(peer: PeerId, bootId: BootId, counter: number): void {
    if (this.#verified.peek(peer)?.bootId === bootId) return;
    const states = new Map<string, SenderState>();
    for (const { hash } of this.#keys.accepted) {
      const name = nameOf(hash, peer, bootId);
      const state = this.#unverified.peek(name);
      if (!state) continue;
      state.window.raise(counter);
      states.set(hash, state);
      this.#unverified.delete(name);
    }
    this.#verified.set(peer, { bootId, floor: counter, states });
  }

  open(datagram: Uint8Array): Opened {
    const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
    if (bytes.length > DATAGRAM_BYTES_MAX) return this.#drop('oversized');
    if (bytes.length < HASH_AT) return this.#drop('cut');
    if (bytes.readUInt16BE(0) !== MAGIC) return this.#drop('foreign');
    if (bytes[2] !== VERSION) return this.#dropVersion(bytes);
    if (bytes.length < SEAL_BYTES) return this.#drop('cut');
    const hash = hex(bytes.subarray(HASH_AT, SENDER_AT));
    const network = this.#keys.find(hash)?.network;
    if (!network) return this.#drop('foreign');

    const sender = hex(bytes.subarray(SENDER_AT, BOOT_AT)) as PeerId;
    const bootId = hex(bytes.subarray(BOOT_AT, COUNTER_AT)) as BootId;
    if (sender === this.#own?.peer && bootId === this.#own.bootId) return this.#drop('own');
    const counter = bytes.readUIntBE(COUNTER_AT, COUNTER_BYTES);
    const boot = this.#verified.peek(sender);
    const verified = boot?.bootId === bootId ? boot : undefined;
    const name = nameOf(hash, sender, bootId);
    const known = verified ? verified.states.get(hash) : this.#unverified.peek(name);
    if (known && !known.window.isFresh(counter)) return this.#drop('replayed');
    const state = known ?? {
      key: keyOf(network, bytes.subarray(SENDER_AT, COUNTER_AT)),
      window: new ReplayWindow(verified?.floor),
    };
    const payload = decrypt(state.key, counter, bytes);
    if (!payload) return this.#drop('forged');
    if (!state.window.isFresh(counter)) return this.#drop('replayed');
    state.window.accept(counter);
    if (verified) {
      verified.states.set(hash, state);
      this.#verified.get(sender); // used: goes to the safe end of the table
    } else {
      this.#unverified.set(name, state);
    }
    return { kind: 'opened', sender, bootId, counter, verified: verified !== undefined, payload };
  }

  #dropVersion(bytes: Buffer): Opened {
    this.dropped.version += 1;
    const isOfNetwork = bytes.length >= SEAL_BYTES && this.#keys.find(hex(bytes.subarray(HASH_AT, SENDER_AT))) !== undefined;
    const sender = isOfNetwork ? (hex(bytes.subarray(SENDER_AT, BOOT_AT)) as PeerId) : undefined;
    return { kind: 'dropped', reason: 'version', version: bytes[2] as number, sender };
  }

  #drop(reason: Exclude<DropReason, 'version'>): Opened {
    this.dropped[reason] += 1;
    return { kind: 'dropped', reason };
  }
}

const nameOf = (hash: string, peer: PeerId, bootId: BootId): string => `${hash}${peer}${bootId}`;

function decrypt(key: Buffer, counter: number, datagram: Buffer): Buffer | undefined {
  const ciphertext = datagram.subarray(HEADER_BYTES, -TAG_BYTES);
  const decipher = createDecipheriv(CIPHER, key, nonceOf(counter), { authTagLength: TAG_BYTES });
  decipher.setAAD(datagram.subarray(0, HEADER_BYTES), { plaintextLength: ciphertext.length });
  decipher.setAuthTag(datagram.subarray(-TAG_BYTES));
  const payload = decipher.update(ciphertext);
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return payload;
}
