// Songs for benchmarks: MP3 files with real headers and random sound, so that a thousand cost no encoding, each different.
import { createCipheriv } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { id3v2 } from '../test/fixtures/audio.ts';

/** MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes a frame. */
const FRAME_HEADER = Buffer.from([0xff, 0xfb, 0x90, 0x64]);
const FRAME_BYTES = 417;
const SIDE_INFO_BYTES = 32;
export const COVER_BYTES = 3_000_000;

export interface BenchSong {
  readonly index: number;
  readonly soundBytes: number;
  /** A picture of 3 MB in front of the sound. */
  readonly cover?: boolean;
}

export function songFile({ index, soundBytes, cover = false }: BenchSong): Buffer {
  const random = createCipheriv('aes-128-ctr', Buffer.alloc(16, index), Buffer.from(String(index).padStart(16, '0')));
  const frames = Math.max(1, Math.floor(soundBytes / FRAME_BYTES));
  const sound = random.update(Buffer.alloc(frames * FRAME_BYTES));
  for (let frame = 0; frame < frames; frame++) {
    const at = frame * FRAME_BYTES;
    FRAME_HEADER.copy(sound, at);
    // an empty side info: decoders find nothing to play, and no second sync word either
    sound.fill(0, at + FRAME_HEADER.length, at + FRAME_HEADER.length + SIDE_INFO_BYTES);
  }
  const tags = id3v2({ title: `Song ${index}`, artist: `Artist ${index % 50}`, album: `Album ${index % 80}` });
  return Buffer.concat([cover ? withPicture(tags) : tags, sound]);
}

/** Puts an APIC frame behind the others of an ID3v2.3 or 2.4 tag. */
function withPicture(tag: Buffer): Buffer {
  const picture = Buffer.concat([Buffer.from('\0image/jpeg\0\x03\0', 'latin1'), Buffer.alloc(COVER_BYTES, 0x11)]);
  const isV4 = tag[3] === 4;
  const frame = Buffer.concat([Buffer.from('APIC'), isV4 ? synchsafe(picture.length) : uint32(picture.length), Buffer.alloc(2), picture]);
  const body = Buffer.concat([tag.subarray(10), frame]);
  return Buffer.concat([tag.subarray(0, 6), synchsafe(body.length), body]);
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

const synchsafe = (value: number): Buffer => Buffer.from([21, 14, 7, 0].map((shift) => (value >> shift) & 0x7f));

/** Writes `count` songs into `folder`, 100 a subfolder. */
export function writeSongs(folder: string, count: number, of: (index: number) => Omit<BenchSong, 'index'>): void {
  for (let index = 0; index < count; index++) {
    const album = join(folder, String(Math.floor(index / 100)));
    if (index % 100 === 0) mkdirSync(album, { recursive: true });
    writeFileSync(join(album, `${index}.mp3`), songFile({ index, ...of(index) }));
  }
}
