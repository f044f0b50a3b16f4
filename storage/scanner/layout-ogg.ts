// Ogg (RFC 3533): pages of a header, a table of segment lengths and a body; packets span pages. The first packets of a
// logical stream are headers (3 for Vorbis, 2 for Opus by RFC 7845, 1 + n for FLAC, 2 + n for Speex), comments among them.
// Every codec begins its audio on a page of its own.
import { CONTAINER_PARTS_MAX } from '../../lib/limits.ts';
import type { ByteSource } from './byte-source.ts';
import type { Range } from './layout.ts';

export const OGG_HEADER_BYTES = 27;
export const OGG_BEGINS = 0x02;

export interface OggPage {
  readonly flags: number;
  readonly serial: number;
  /** Of header and segment table. */
  readonly headerBytes: number;
  readonly bodyBytes: number;
  /** Packets that end in this page. */
  readonly packetsEnded: number;
}

/** @param bytes from a page's start @returns undefined when no whole page header is there */
export function parseOggPage(bytes: Buffer): OggPage | undefined {
  if (bytes.byteLength < OGG_HEADER_BYTES || bytes.toString('latin1', 0, 4) !== 'OggS') return undefined;
  const segments = bytes[26] as number;
  const headerBytes = OGG_HEADER_BYTES + segments;
  if (bytes.byteLength < headerBytes) return undefined;
  let bodyBytes = 0;
  let packetsEnded = 0;
  for (const length of bytes.subarray(OGG_HEADER_BYTES, headerBytes)) {
    bodyBytes += length;
    if (length < 255) packetsEnded += 1;
  }
  return { flags: bytes[5] as number, serial: bytes.readUInt32LE(14), headerBytes, bodyBytes, packetsEnded };
}

export type OggCodec = 'vorbis' | 'opus' | 'flac' | 'speex';

export interface OggStream {
  readonly codec: OggCodec;
  readonly headerPackets: number;
  /** Of granule positions; 0 when unknown. */
  readonly samplesPerSecond: number;
  /** Samples to drop at the start (Opus). */
  readonly preSkip: number;
}

/** What the first packet of a logical stream says of it. */
export function identifyOggStream(packet: Buffer): OggStream | undefined {
  const startsWith = (signature: string): boolean => packet.toString('latin1', 0, signature.length) === signature;
  if (startsWith('\x01vorbis') && packet.byteLength >= 30) {
    return { codec: 'vorbis', headerPackets: 3, samplesPerSecond: packet.readUInt32LE(12), preSkip: 0 };
  }
  if (startsWith('OpusHead') && packet.byteLength >= 19) {
    return { codec: 'opus', headerPackets: 2, samplesPerSecond: 48_000, preSkip: packet.readUInt16LE(10) };
  }
  if (startsWith('\x7fFLAC') && packet.byteLength >= 51) {
    const metadataBlocks = packet.readUInt16BE(7);
    // The number of blocks may be left 0, 'unknown'; one, the comments, is the rule.
    return { codec: 'flac', headerPackets: 1 + (metadataBlocks || 1), samplesPerSecond: packet.readUIntBE(27, 3) >>> 4, preSkip: 0 };
  }
  if (startsWith('Speex   ') && packet.byteLength >= 80) {
    return { codec: 'speex', headerPackets: 2 + Math.min(packet.readUInt32LE(68), CONTAINER_PARTS_MAX), samplesPerSecond: packet.readUInt32LE(36), preSkip: 0 };
  }
  return undefined;
}

/** @param at where the first page is */
export function oggStreamAt(source: ByteSource, at: number): OggStream | undefined {
  const page = parseOggPage(source.read(at, OGG_HEADER_BYTES + 255));
  return page === undefined ? undefined : identifyOggStream(source.read(at + page.headerBytes, page.bodyBytes));
}

/**
 * @param at where the first page is
 * @returns all pages from the first that begins after the last header packet; undefined when several streams are
 *   interleaved (video), or the headers do not end
 */
export function findOggPages(source: ByteSource, at: number): Range | undefined {
  const headerPackets = oggStreamAt(source, at)?.headerPackets;
  if (headerPackets === undefined) return undefined;
  let offset = at;
  let packets = 0;
  for (let i = 0; i < CONTAINER_PARTS_MAX; i++) {
    const page = parseOggPage(source.read(offset, OGG_HEADER_BYTES + 255));
    if (page === undefined || (i > 0 && (page.flags & OGG_BEGINS) !== 0)) return undefined;
    packets += page.packetsEnded;
    offset += page.headerBytes + page.bodyBytes;
    if (packets >= headerPackets) return offset < source.size ? { start: offset, end: source.size } : undefined;
  }
  return undefined;
}
