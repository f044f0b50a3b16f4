// MP4, M4A, M4B, QuickTime (ISO/IEC 14496-12): boxes of size and name. The encoded audio is in `mdat`; a retagger rewrites
// `moov` and the offsets in it, never the audio. With several `mdat` (fragments, edits) they are not one range.
import { CONTAINER_PARTS_MAX } from '../../lib/limits.ts';
import type { ByteSource } from './byte-source.ts';
import type { Range } from './layout.ts';

/** @returns the body of the only `mdat`, or undefined when there is none or more than one */
export function findMdat(source: ByteSource): Range | undefined {
  let mdat: Range | undefined;
  let offset = 0;
  for (let i = 0; offset + 8 <= source.size; i++) {
    if (i === CONTAINER_PARTS_MAX) return undefined;
    const header = source.read(offset, 16);
    const short = header.readUInt32BE(0);
    const long = short === 1;
    if (long && header.byteLength < 16) break;
    const headerBytes = long ? 16 : 8;
    // Size 0: up to the end of the file.
    const size = short === 0 ? source.size - offset : long ? Number(header.readBigUInt64BE(8)) : short;
    if (size < headerBytes) break;
    const end = Math.min(source.size, offset + size);
    if (header.toString('latin1', 4, 8) === 'mdat') {
      if (mdat !== undefined) return undefined;
      mdat = { start: offset + headerBytes, end };
    }
    offset += size;
  }
  return mdat;
}
