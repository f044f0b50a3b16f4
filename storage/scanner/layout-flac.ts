// FLAC (RFC 9639): 'fLaC', metadata blocks (STREAMINFO, comments, pictures, padding), then frames up to the end.
import { CONTAINER_PARTS_MAX } from '../../lib/limits.ts';
import type { ByteSource } from './byte-source.ts';

const LAST_BLOCK = 0x80;

/**
 * @param at where 'fLaC' is
 * @returns where the first frame begins, or undefined when the metadata blocks lead nowhere
 */
export function findFlacFrames(source: ByteSource, at: number): number | undefined {
  let offset = at + 4;
  for (let i = 0; i < CONTAINER_PARTS_MAX; i++) {
    const header = source.read(offset, 4);
    if (header.byteLength < 4) return undefined;
    offset += 4 + header.readUIntBE(1, 3);
    if (((header[0] as number) & LAST_BLOCK) === 0) continue;
    const sync = source.read(offset, 2);
    return sync.byteLength === 2 && (sync.readUInt16BE() & 0xfffe) === 0xfff8 ? offset : undefined;
  }
  return undefined;
}
