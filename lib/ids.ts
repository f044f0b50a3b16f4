// Every identity in the system is 128 bits, shown as 32 lower-case hex digits: long enough that two machines which
// never met cannot draw the same one, and without the leading dashes that base64url would give to a command line.
import { createHash, randomBytes } from 'node:crypto';
import { PeerError } from './errors.ts';

/** Who a peer is, for ever: the first 16 bytes of SHA-256 of its Ed25519 public key. */
export type PeerId = string & { readonly __brand: 'PeerId' };
/** One start of a peer's process. */
export type BootId = string & { readonly __brand: 'BootId' };
/** One start of an origin's operation log; 8 bytes, because an origin only has to differ from itself. */
export type EpochId = string & { readonly __brand: 'EpochId' };
/** A network that peers belong to, minted by its first peer. */
export type NetworkId = string & { readonly __brand: 'NetworkId' };
/** A recording by its encoded audio, whatever its tags. */
export type SongId = string & { readonly __brand: 'SongId' };
/** One tagged file of a song. */
export type FileId = string & { readonly __brand: 'FileId' };
/** The bytes between the tags, by the hash of their chunk hashes. For all formats but Ogg it equals the SongId. */
export type PayloadId = string & { readonly __brand: 'PayloadId' };

/** A playlist, wherever it was made. */
export type PlaylistId = string & { readonly __brand: 'PlaylistId' };
/** One song's place in a playlist; 8 bytes, because it only has to differ within its playlist. */
export type ItemId = string & { readonly __brand: 'ItemId' };
/** One time that a song was listened to; 8 bytes, because it only has to differ from others of the same song and profile. */
export type PlayId = string & { readonly __brand: 'PlayId' };
/** Something that plays: a browser, a phone, a speaker. It draws its id itself. */
export type DeviceId = string & { readonly __brand: 'DeviceId' };

export const ID_BYTES = 16;
export const EPOCH_BYTES = 8;

const ID = /^[0-9a-f]{32}$/;
const HALF_ID = /^[0-9a-f]{16}$/;

export const isId = (text: unknown): text is string => typeof text === 'string' && ID.test(text);
/** 8 bytes, for what has to differ within something only. */
export const isHalfId = (text: unknown): text is string => typeof text === 'string' && HALF_ID.test(text);
export const isEpochId = (text: unknown): text is EpochId => isHalfId(text);

/** Checks a 32-digit id that came from outside. Throws BAD_ID. */
export function parseId<T extends string>(text: unknown): T {
  if (!isId(text)) throw new PeerError('BAD_ID', 'an id is 32 hexadecimal digits');
  return text as unknown as T;
}

/** 16 raw bytes as an id. Throws BAD_ID when there are not exactly 16. */
export function idFromBytes<T extends string>(bytes: Uint8Array): T {
  if (bytes.byteLength !== ID_BYTES) throw new PeerError('BAD_ID', `an id is ${ID_BYTES} bytes`);
  return hex(bytes) as T;
}

export const idToBytes = (id: string): Buffer => Buffer.from(id, 'hex');

export const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

/** The id that a content has: the first 16 bytes of its SHA-256. */
export const contentId = <T extends string>(...parts: readonly (Uint8Array | string)[]): T => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hex(hash.digest().subarray(0, ID_BYTES)) as T;
};

export const randomId = <T extends string>(): T => hex(randomBytes(ID_BYTES)) as T;
export const randomHalfId = <T extends string>(): T => hex(randomBytes(EPOCH_BYTES)) as T;
export const randomEpochId = (): EpochId => randomHalfId<EpochId>();

/** The start of an id, enough for a person to tell peers apart. */
export const shortId = (id: string): string => id.slice(0, 8);
