// The two messages by which a started process shows that it lives now and holds its identity's key. They are declared apart
// from the other messages because the machine that handles them (peer/boot-verifier.ts) knows no others.

/** As many bytes as make a challenge at least as long as the proof that it asks for, both encoded as tuples: whoever
 *  fakes the return address of a challenge cannot make a peer send more than it was sent. */
export const CHALLENGE_PADDING_BYTES = 112;

export const NONCE_BYTES = 16;

/** "Show that you live." The receiver signs the nonce and answers to where the challenge came from. */
export interface Challenge {
  readonly kind: 'challenge';
  /** 16 bytes. */
  readonly nonce: Uint8Array;
  /** CHALLENGE_PADDING_BYTES of nothing; a challenge with less is not answered. */
  readonly padding: Uint8Array;
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
}
