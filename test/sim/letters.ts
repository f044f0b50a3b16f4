// Datagrams between simulated peers: what peer/datagrams.ts and lib/seal.ts do, without ciphers. Who is believed is decided by the
// real boot verifier and the real replay windows.
import type { Address } from '../../discovery/address.ts';
import { decodeMessage, encodeMessage, type Message } from '../../lib/messages.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import { ReplayWindow } from '../../lib/replay-window.ts';
import { SEAL_BYTES } from '../../lib/seal.ts';
import { type BootEffect, type BootTimer, BootVerifier } from '../../peer/boot-verifier.ts';
import { hexDigits } from './chance.ts';
import { isSignature, sign } from './crypto.ts';
import type { Host, SimEnv } from './peer.ts';

export interface Letter {
  readonly peer: PeerId;
  readonly boot: BootId;
  readonly counter: number;
  readonly message: Message;
}

type Heard = Exclude<Message, { readonly kind: 'challenge' | 'proof' | 'clone' }>;

export interface LettersOptions {
  readonly env: SimEnv;
  readonly self: PeerId;
  readonly boot: BootId;
  readonly publicKey: Uint8Array;
  readonly heard: (from: { readonly peer: PeerId; readonly boot: BootId; readonly host: Host; readonly via: 'multicast' | 'unicast' }, message: Heard) => void;
  readonly met: (peer: PeerId, boot: BootId, host: Host) => void;
  readonly clone: (clone: Extract<BootEffect, { kind: 'clone' }>) => void;
}

/** A beat with everything in it, sealed; others are encoded to be measured. */
const BEAT_BYTES = 141;
/** One of so many beats is encoded and decoded too: a message that nobody can read is a bug like any other. */
const CHECKED_BEATS = 8;
const PORT = 1;

export const addressOf = (host: Host): Address => ({ host: String(host), port: PORT });
export const hostOf = ({ host }: Pick<Address, 'host'>): Host => Number(host);

export class Letters {
  readonly #options: LettersOptions;
  readonly #verifier: BootVerifier;
  readonly #verified = new Map<PeerId, { readonly boot: BootId; readonly window: ReplayWindow }>();
  #counter = 0;

  constructor(options: LettersOptions) {
    this.#options = options;
    const { env, self, boot, publicKey } = options;
    this.#verifier = new BootVerifier({
      peer: self,
      bootId: boot,
      publicKey,
      networkHash: () => '00000000',
      nonce: () => Buffer.from(hexDigits(env.random, 32), 'hex'),
      sign: (text) => sign(publicKey, text),
      isSignature,
    });
  }

  multicast(message: Message): void {
    this.#options.env.multicast(this.#seal(message), bytesOf(message));
  }

  send(to: Host, message: Message): void {
    this.#options.env.send(to, this.#seal(message), bytesOf(message));
  }

  receive(letter: Letter, from: Host, via: 'multicast' | 'unicast'): void {
    const { self, boot: own, heard, env } = this.#options;
    const { peer, boot, counter, message } = letter;
    if (peer === self && boot === own) return;
    const known = this.#verified.get(peer);
    const isVerified = known?.boot === boot && known.window.isFresh(counter);
    if (known?.boot === boot) {
      if (!isVerified) return;
      known.window.accept(counter);
    }
    const address = addressOf(from);
    const now = env.now();
    switch (message.kind) {
      case 'challenge':
        if (via === 'unicast') this.#carryOut(this.#verifier.step({ kind: 'challenged', by: peer, address, message, counter: this.#counter }));
        return;
      case 'proof':
        this.#carryOut(this.#verifier.step({ kind: 'proved', peer, bootId: boot, message, now }));
        return;
      case 'clone':
        if (isVerified && via === 'unicast') this.#carryOut(this.#verifier.step({ kind: 'told', message, address, now }));
        return;
      default:
        if (isVerified && message.kind === 'goodbye') this.#carryOut(this.#verifier.step({ kind: 'left', peer, bootId: boot }));
        if (isVerified) heard({ peer, boot, host: from, via }, message);
        else if (via === 'unicast' || message.kind === 'beat') this.#carryOut(this.#verifier.step({ kind: 'hint', peer, bootId: boot, address, now }));
    }
  }

  /** A stream is open to it. */
  met(peer: PeerId, boot: BootId): void {
    this.#carryOut(this.#verifier.step({ kind: 'met', peer, bootId: boot }));
  }

  expired(timer: BootTimer): void {
    this.#carryOut(this.#verifier.step({ kind: 'expired', timer, now: this.#options.env.now() }));
  }

  #seal(message: Message): Letter {
    const { self, boot } = this.#options;
    this.#counter += 1;
    if (message.kind !== 'beat' || this.#counter % CHECKED_BEATS === 1) decodeMessage(encodeMessage(message));
    return { peer: self, boot, counter: this.#counter, message };
  }

  #carryOut(effects: readonly BootEffect[]): void {
    const { env, met, clone } = this.#options;
    for (const effect of effects) {
      switch (effect.kind) {
        case 'challenge':
        case 'prove':
        case 'tell':
          this.send(hostOf(effect.address), effect.message);
          break;
        case 'verified':
          this.#verified.set(effect.peer, { boot: effect.bootId, window: new ReplayWindow(effect.counter) });
          met(effect.peer, effect.bootId, hostOf(effect.address));
          break;
        case 'clone':
          clone(effect);
          break;
        case 'arm':
          env.arm(effect.timer, effect.ms);
      }
    }
  }
}

const bytesOf = (message: Message): number => (message.kind === 'beat' ? BEAT_BYTES : encodeMessage(message).byteLength + SEAL_BYTES);
