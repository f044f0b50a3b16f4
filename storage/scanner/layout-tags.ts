// Tags that are hung on a file's two ends: ID3v2 in front (sometimes several), and behind it in any order ID3v1 (id3.org,
// with its 'TAG+' extension), Lyrics3 v1 and v2, APEv1 and v2 (wiki.hydrogenaud.io), and ID3v2.4 with a footer. Sizes are
// believed only as far as the file reaches.
import { STACKED_TAGS_MAX } from '../../lib/limits.ts';
import type { ByteSource } from './byte-source.ts';

const ID3V2_HEADER_BYTES = 10;
const ID3V2_FOOTER_FLAG = 0x10;

/** The size in an ID3v2 header or footer without either, or undefined where none is. */
function id3v2Body(bytes: Buffer, mark: 'ID3' | '3DI'): number | undefined {
  if (bytes.byteLength < ID3V2_HEADER_BYTES || bytes.toString('latin1', 0, 3) !== mark) return undefined;
  const size = bytes.subarray(6, 10);
  // Versions and size bytes never have these values, which is how a chance 'ID3' in audio is told from a tag.
  if (bytes[3] === 0xff || bytes[4] === 0xff || size.some((byte) => byte >= 0x80)) return undefined;
  return size.reduce((sum, byte) => sum * 128 + byte, 0);
}

/** @returns where the ID3v2 tags at the file's start end; `cut` when the last one says that it is longer than the file */
export function leadingTags(source: ByteSource): { readonly end: number; readonly cut: boolean } {
  let end = 0;
  for (let i = 0; i < STACKED_TAGS_MAX; i++) {
    const header = source.read(end, ID3V2_HEADER_BYTES);
    const body = id3v2Body(header, 'ID3');
    if (body === undefined) break;
    const footer = ((header[5] as number) & ID3V2_FOOTER_FLAG) === 0 ? 0 : ID3V2_HEADER_BYTES;
    end += ID3V2_HEADER_BYTES + body + footer;
    if (end > source.size) return { end: source.size, cut: true };
  }
  return { end, cut: false };
}

const ID3V1_BYTES = 128;
const ID3V1_EXTENSION_BYTES = 227;
const APE_BYTES = 32;
/** APEv2: the tag has a header too, which its size does not count. */
const APE_HEADER_FLAG = 0x8000_0000;
const LYRICS3V1_BYTES_MAX = 5_100 + 20;

const textAt = (source: ByteSource, offset: number, length: number): string => source.read(offset, length).toString('latin1');

/** Bytes of the one tag that ends at `end`, 0 when none does. */
function tagBefore(source: ByteSource, end: number): number {
  if (textAt(source, end - ID3V1_BYTES, 3) === 'TAG') {
    return textAt(source, end - ID3V1_BYTES - ID3V1_EXTENSION_BYTES, 4) === 'TAG+' ? ID3V1_BYTES + ID3V1_EXTENSION_BYTES : ID3V1_BYTES;
  }
  const mark = textAt(source, end - 9, 9);
  if (mark === 'LYRICS200') {
    const size = textAt(source, end - 15, 6);
    const bytes = Number(size) + 15;
    return /^\d{6}$/.test(size) && textAt(source, end - bytes, 11) === 'LYRICSBEGIN' ? bytes : 0;
  }
  if (mark === 'LYRICSEND') {
    const from = Math.max(0, end - LYRICS3V1_BYTES_MAX);
    const at = textAt(source, from, end - from).lastIndexOf('LYRICSBEGIN');
    return at < 0 ? 0 : end - from - at;
  }
  const ape = source.read(end - APE_BYTES, APE_BYTES);
  if (ape.toString('latin1', 0, 8) === 'APETAGEX') {
    return ape.readUInt32LE(12) + (ape.readUInt32LE(20) >= APE_HEADER_FLAG ? APE_BYTES : 0);
  }
  const body = id3v2Body(source.read(end - ID3V2_HEADER_BYTES, ID3V2_HEADER_BYTES), '3DI');
  return body === undefined ? 0 : body + 2 * ID3V2_HEADER_BYTES;
}

/** @returns where the tags at the file's end begin; never before `start`, where its audio begins at the earliest */
export function trailingTags(source: ByteSource, start: number): number {
  let end = source.size;
  for (let i = 0; i < STACKED_TAGS_MAX; i++) {
    const bytes = tagBefore(source, end);
    // A tag that would reach into what lies in front is no tag.
    if (bytes <= 0 || end - bytes < start) break;
    end -= bytes;
  }
  return end;
}
