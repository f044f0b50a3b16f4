// The messages by which a started process shows that it lives now and holds its identity's key, be it through a third peer.
// They are declared apart from the other messages because the machine that handles them (peer/boot-verifier.ts) knows no others.
import type { BootId, PeerId } from './ids.ts';

/** As many bytes as make a challenge at least as long as the proof that it asks for, both encoded as tuples: whoever
 *  fakes the return address of a challenge cannot make a peer send more than it was sent. */
export const CHALLENGE_PADDING_BYTES = 112;

export const NONCE_BYTES = 16;

/** "Show that you live." The receiver signs the nonce and answers to where the challenge came from; or, if `boot` is named, passes
 *  it on to that boot of the sender's own identity, which the sender cannot hear itself. */
export interface Challenge {
  readonly kind: 'challenge';
  /** 16 bytes. */
  readonly nonce: Uint8Array;
  /** CHALLENGE_PADDING_BYTES of nothing; a challenge with less is not answered. */
  readonly padding: Uint8Array;
  /** Whom to pass it on to. */
  readonly boot: BootId | null;
  /** Who drew the nonce, where its bearer only passes it on. */
  readonly verifier: PeerId | null;
}

/** "I live, and this is my key." The receiver takes the sender's datagrams from now on, if it asked. */
export interface Proof {
  readonly kind: 'proof';
  readonly nonce: Uint8Array;
  /** The counter of the latest datagram that the signer had sealed: whatever is not above it may be a capture. */
  readonly counter: number;
  /** Ed25519, 32 bytes; its hash is the signer's PeerId. */
  readonly publicKey: Uint8Array;
  /** 64 bytes over `proofText`. */
  readonly signature: Uint8Array;
  /** Whose proof it is, where its bearer only passes it on: a boot of the receiver's own identity. */
  readonly boot: BootId | null;
}

/** "Another process lives with your identity: this boot." Hearsay: the receiver asks that boot for a proof, through the sender. */
export interface CloneNotice {
  readonly kind: 'clone';
  readonly boot: BootId;
}
