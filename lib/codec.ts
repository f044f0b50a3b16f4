// The one place that turns values into bytes and back. CBOR (RFC 8949) by cbor-x, with tuples instead of maps: half of
// JSON's bytes. Shared structures are off, because two versions or libraries would have to agree on them.
import { Decoder, Encoder } from 'cbor-x';
import { type ErrorCode, PeerError } from './errors.ts';

const options = { useRecords: false, mapsAsObjects: true, tagUint8Array: false, structuredClone: false } as const;
const encoder = new Encoder(options);
const decoder = new Decoder(options);

export const encode = (value: unknown): Buffer => encoder.encode(value);

/** @throws PeerError with `code` when `bytes` are longer than `bytesMax` or are not exactly one CBOR item */
export function decode(bytes: Uint8Array, { bytesMax, code }: { readonly bytesMax: number; readonly code: ErrorCode }): unknown {
  if (bytes.byteLength > bytesMax) throw new PeerError(code, `more than ${bytesMax} bytes`);
  try {
    return decoder.decode(bytes as Buffer);
  } catch (cause) {
    throw new PeerError(code, 'not CBOR', { cause });
  }
}
