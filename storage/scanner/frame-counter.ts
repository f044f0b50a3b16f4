// How long an MP3 or AAC stream plays, counted frame by frame while its bytes pass by for hashing. Files of variable bit rate
// without a Xing header are common, and a guess from the file's size is wrong by a factor; decoding would cost 100 times more.
import { type Frame, FRAME_HEADER_BYTES, parseFrame } from './mpeg-frames.ts';

/** 'Xing' and 'Info' follow the side information, 'VBRI' lies at 36: a frame that carries them is silent. */
const MARK_BYTES = 48;
const NOTHING = Buffer.alloc(0);

export class FrameCounter {
  readonly #first: Frame;
  /** Bits of the second and third header bytes that all frames of one stream share. */
  #fixed: readonly [number, number] | undefined;
  /** MP3 frame lengths by bit rate and padding; AAC says the length itself. */
  readonly #lengths = new Int32Array(256);
  #carried: Buffer = NOTHING;
  #skip = 0;
  #samples = 0;

  constructor(first: Frame) {
    this.#first = first;
  }

  /** @param piece the next bytes of the stream, the first of which is the first byte of a frame */
  feed(piece: Buffer): void {
    const bytes = this.#carried.byteLength > 0 ? Buffer.concat([this.#carried, piece]) : piece;
    if (this.#fixed === undefined) this.#begin(bytes);
    const [fixed1, fixed2] = this.#fixed as readonly [number, number];
    const last = bytes.byteLength - FRAME_HEADER_BYTES;
    let at = this.#skip;
    while (at <= last) {
      const matches = bytes[at] === 0xff && ((bytes[at + 1] as number) & 0xfe) === fixed1 && ((bytes[at + 2] as number) & 0x0c) === fixed2;
      const length = !matches ? 0 : this.#first.kind === 'mp3' ? (this.#lengths[bytes[at + 2] as number] as number) : (parseFrame(bytes, at)?.bytes ?? 0);
      if (length > 0) {
        this.#samples += this.#first.samples;
        at += length;
      } else {
        const next = bytes.indexOf(0xff, at + 1);
        at = next < 0 ? bytes.byteLength : next;
      }
    }
    // A header that spans two pieces is looked at with the next one; the piece's memory is not ours to keep.
    this.#carried = at < bytes.byteLength ? Buffer.from(bytes.subarray(at)) : NOTHING;
    this.#skip = Math.max(0, at - bytes.byteLength);
  }

  get durationMs(): number {
    return Math.round((this.#samples * 1000) / this.#first.samplesPerSecond);
  }

  #begin(bytes: Buffer): void {
    const [b1, b2] = [bytes[1] as number, bytes[2] as number];
    this.#fixed = [b1 & 0xfe, b2 & 0x0c];
    if (this.#first.kind !== 'mp3') return;
    for (let i = 0; i < 256; i++) this.#lengths[i] = parseFrame(Buffer.from([0xff, b1, i, 0, 0, 0, 0]), 0)?.bytes ?? 0;
    const start = bytes.toString('latin1', 0, MARK_BYTES);
    if (/Xing|Info|VBRI/.test(start)) this.#samples -= this.#first.samples;
  }
}
