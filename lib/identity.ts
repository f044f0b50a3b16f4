// Who a peer is: an Ed25519 key pair (RFC 8032) that never leaves its data folder. The PeerId is a hash of the public half,
// so an identity needs nobody to issue it, and a signature shows whose it is.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { PeerError } from './errors.ts';
import { contentId, hex, type PeerId } from './ids.ts';
import { SENDERS_MAX } from './limits.ts';

export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

export interface Identity {
  readonly peer: PeerId;
  /** 32 raw bytes. */
  readonly publicKey: Uint8Array;
  /** @returns 64 bytes */
  sign(text: Uint8Array): Uint8Array;
  /** PKCS #8 in PEM. Who reads it is this peer: its file has mode 0600. */
  toPem(): string;
}

export const generateIdentity = (): Identity => identityOf(generateKeyPairSync('ed25519').privateKey);

/** @throws PeerError BAD_FILE */
export function identityFromPem(pem: string): Identity {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(pem);
  } catch (cause) {
    throw new PeerError('BAD_FILE', 'the identity file holds no private key', { cause });
  }
  if (privateKey.asymmetricKeyType !== 'ed25519') throw new PeerError('BAD_FILE', 'the identity file holds no Ed25519 key');
  return identityOf(privateKey);
}

function identityOf(privateKey: KeyObject): Identity {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  const publicKey = Buffer.from(x as string, 'base64url');
  return {
    peer: peerOf(publicKey),
    publicKey,
    sign: (text) => sign(null, text, privateKey),
    toPem: () => privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** The PeerId that belongs to a public key of 32 raw bytes. */
export const peerOf = (publicKey: Uint8Array): PeerId => contentId<PeerId>(publicKey);

/** Parsed keys are kept because parsing one costs as much as verifying with it. */
const parsedKeys = new LRUCache<string, KeyObject>({ max: SENDERS_MAX });

/** Is `signature` that of `text` by the holder of `publicKey`? Never throws, whatever the bytes. */
export function isSignature(publicKey: Uint8Array, text: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.byteLength !== PUBLIC_KEY_BYTES || signature.byteLength !== SIGNATURE_BYTES) return false;
  const name = hex(publicKey);
  let key = parsedKeys.get(name);
  if (!key) {
    const x = Buffer.from(publicKey).toString('base64url');
    key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    parsedKeys.set(name, key);
  }
  return verify(null, text, key, signature);
}
