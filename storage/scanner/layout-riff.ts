// WAV (RIFF, and RF64/BW64 of EBU Tech 3306 beyond 4 GiB) and AIFF (IFF, big-endian): chunks of name and size, padded to even
// offsets. The audio is in `data` or `SSND`; recorders that crash, or write to a pipe, leave its size 0 or all ones.
import { CONTAINER_PARTS_MAX } from '../../lib/limits.ts';
import type { ByteSource } from './byte-source.ts';
import type { Range } from './layout.ts';

const UNKNOWN = 0xffff_ffff;

/** @param at where 'RIFF' or 'FORM' is @returns the body of the audio chunk */
export function findRiffData(source: ByteSource, at: number): Range | undefined {
  const bigEndian = source.read(at, 4).toString('latin1') === 'FORM';
  const audio = bigEndian ? 'SSND' : 'data';
  let size64: number | undefined;
  let offset = at + 12;
  for (let i = 0; i < CONTAINER_PARTS_MAX && offset + 8 <= source.size; i++) {
    const header = source.read(offset, 24);
    const name = header.toString('latin1', 0, 4);
    const size = bigEndian ? header.readUInt32BE(4) : header.readUInt32LE(4);
    if (name === 'ds64' && header.byteLength === 24) size64 = Number(header.readBigUInt64LE(16));
    offset += 8;
    if (name === audio) {
      const real = size === UNKNOWN && size64 !== undefined ? size64 : size;
      // Nothing is ever in front of an end that is not there: an unknown size reaches to the end of the file.
      const end = real === 0 || real === UNKNOWN ? source.size : Math.min(source.size, offset + real);
      return { start: offset, end };
    }
    offset += size + (size % 2);
  }
  return undefined;
}
