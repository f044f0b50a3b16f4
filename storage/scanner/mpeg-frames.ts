// MPEG audio frames (ISO/IEC 11172-3 and 13818-3) and ADTS (13818-7): both are chains of frames, each with a sync word and its
// length. A sync word alone is found in any file; three headers in a row that agree are not.
import { FRAME_SEARCH_BYTES } from '../../lib/limits.ts';
import type { ByteSource } from './byte-source.ts';
import type { Range } from './layout.ts';

export interface Frame {
  readonly kind: 'mp3' | 'aac';
  readonly layer: number;
  readonly bytes: number;
  readonly samples: number;
  readonly samplesPerSecond: number;
}

const KBIT_PER_SECOND: Record<string, readonly number[]> = {
  '1/1': [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  '1/2': [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  '1/3': [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  '2/1': [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  '2/2': [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
};
const MPEG_RATES = [44_100, 48_000, 32_000];
const ADTS_RATES = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
export const FRAME_HEADER_BYTES = 7;

/** The frame whose header is at `at`, if one is. Frames of free bit rate say no length and are not followed. */
export function parseFrame(bytes: Buffer, at: number): Frame | undefined {
  const b1 = bytes[at + 1] as number;
  if (bytes[at] !== 0xff || (b1 & 0xe0) !== 0xe0 || at + FRAME_HEADER_BYTES > bytes.byteLength) return undefined;
  const b2 = bytes[at + 2] as number;
  const version = (b1 >> 3) & 3;
  const layer = 4 - ((b1 >> 1) & 3);
  if (layer === 4) {
    const samplesPerSecond = ADTS_RATES[(b2 >> 2) & 15];
    const length = (((bytes[at + 3] as number) & 3) << 11) | ((bytes[at + 4] as number) << 3) | ((bytes[at + 5] as number) >> 5);
    if (version < 2 || samplesPerSecond === undefined || length < FRAME_HEADER_BYTES) return undefined;
    return { kind: 'aac', layer, bytes: length, samples: 1024 * (((bytes[at + 6] as number) & 3) + 1), samplesPerSecond };
  }
  const baseRate = MPEG_RATES[(b2 >> 2) & 3];
  const kbits = KBIT_PER_SECOND[version === 3 ? `1/${layer}` : layer === 1 ? '2/1' : '2/2']?.[b2 >> 4];
  if (version === 1 || baseRate === undefined || !kbits) return undefined;
  const samplesPerSecond = version === 3 ? baseRate : version === 2 ? baseRate / 2 : baseRate / 4;
  const padding = (b2 >> 1) & 1;
  const samples = layer === 1 ? 384 : layer === 3 && version !== 3 ? 576 : 1152;
  const length = layer === 1 ? (Math.floor((12_000 * kbits) / samplesPerSecond) + padding) * 4 : Math.floor((samples * 125 * kbits) / samplesPerSecond) + padding;
  return { kind: 'mp3', layer, bytes: length, samples, samplesPerSecond };
}

const alike = (a: Frame, b: Frame): boolean => a.kind === b.kind && a.layer === b.layer && a.samplesPerSecond === b.samplesPerSecond;

/** How many frames follow each other from `at`, up to three; a chain that reaches `end` has held out. */
function chainLength(source: ByteSource, at: number, end: number): { readonly frames: number; readonly reachesEnd: boolean } {
  let previous: Frame | undefined;
  let offset = at;
  for (let frames = 0; frames < 3; frames++) {
    if (offset + FRAME_HEADER_BYTES > end) return { frames, reachesEnd: true };
    const frame = parseFrame(source.read(offset, FRAME_HEADER_BYTES), 0);
    if (frame === undefined || (previous !== undefined && !alike(previous, frame))) return { frames, reachesEnd: false };
    previous = frame;
    offset += frame.bytes;
  }
  return { frames: 3, reachesEnd: false };
}

/** The first frame of a chain in `range`, searched for in its first 64 KiB. */
export function findFrames(source: ByteSource, range: Range): { readonly kind: 'mp3' | 'aac'; readonly start: number } | undefined {
  const window = Buffer.from(source.read(range.start, Math.min(FRAME_SEARCH_BYTES, range.end - range.start)));
  for (let at = window.indexOf(0xff); at >= 0; at = window.indexOf(0xff, at + 1)) {
    const frame = parseFrame(window, at);
    if (frame === undefined) continue;
    const start = range.start + at;
    const { frames, reachesEnd } = chainLength(source, start, range.end);
    // A short file has fewer than three frames: they must fill it, and a single one must stand right at the start.
    if (frames === 3 || (reachesEnd && frames >= (at === 0 ? 1 : 2))) return { kind: frame.kind, start };
  }
  return undefined;
}
