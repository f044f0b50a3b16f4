// FLAC in Ogg, turned back into the head of a native FLAC file: music-metadata reads its STREAMINFO only, and tags are in the
// packets after it. Each header packet is one metadata block (xiph.org/flac/ogg_mapping.html).
import { CONTAINER_PARTS_MAX, TAG_READ_BYTES_MAX } from '../../lib/limits.ts';
import type { ByteSource } from './byte-source.ts';
import { OGG_HEADER_BYTES, parseOggPage } from './layout-ogg.ts';

/** Signature, version and packet count in front of 'fLaC' in the first packet. */
const MAPPING_BYTES = 9;
const LAST_BLOCK = 0x80;

/** @param range of the header pages @returns 'fLaC' and its metadata blocks, the last one marked as such */
export function flacHeadOf(source: ByteSource, range: { readonly start: number; readonly end: number }): Buffer {
  const blocks: Buffer[] = [];
  let parts: Buffer[] = [];
  for (let offset = range.start, i = 0; offset < Math.min(range.end, range.start + TAG_READ_BYTES_MAX) && i < CONTAINER_PARTS_MAX; i++) {
    const header = Buffer.from(source.read(offset, OGG_HEADER_BYTES + 255));
    const page = parseOggPage(header);
    if (page === undefined) break;
    const body = Buffer.from(source.read(offset + page.headerBytes, page.bodyBytes));
    let at = 0;
    for (const length of header.subarray(OGG_HEADER_BYTES, page.headerBytes)) {
      parts.push(body.subarray(at, at + length));
      at += length;
      if (length === 255) continue;
      blocks.push(Buffer.concat(parts));
      parts = [];
    }
    offset += page.headerBytes + page.bodyBytes;
  }
  const [first, ...rest] = blocks;
  const last = rest.at(-1);
  if (first === undefined || last === undefined || last.byteLength === 0) return Buffer.alloc(0);
  last[0] = (last[0] as number) | LAST_BLOCK;
  return Buffer.concat([first.subarray(MAPPING_BYTES), ...rest]);
}
