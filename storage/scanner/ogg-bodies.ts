// The bodies of Ogg pages, taken out of a stream as it passes. A retagged Ogg file has other page numbers and checksums in
// every page header, so only the bodies can say that it is the same song.
import { OGG_BEGINS, OGG_HEADER_BYTES, type OggStream, parseOggPage } from './layout-ogg.ts';

const NOTHING = Buffer.alloc(0);
const GRANULE_NONE = -1n;

export class OggBodies {
  readonly #stream: OggStream;
  readonly #onBody: (bytes: Buffer) => void;
  #carried: Buffer = NOTHING;
  #bodyLeft = 0;
  #damaged = false;
  #granule = 0n;
  /** Of the page that is passing; a page that is cut off does not play. */
  #pageGranule = 0n;
  /** Samples of the streams before this one, where several are chained in a file. */
  #before = 0n;

  constructor(stream: OggStream, onBody: (bytes: Buffer) => void) {
    this.#stream = stream;
    this.#onBody = onBody;
  }

  /** @param piece the next bytes; the first of all is the first of a page */
  feed(piece: Buffer): void {
    let rest = this.#carried.byteLength > 0 ? Buffer.concat([this.#carried, piece]) : piece;
    this.#carried = NOTHING;
    while (rest.byteLength > 0) {
      if (this.#bodyLeft > 0 || this.#damaged) {
        const body = this.#damaged ? rest : rest.subarray(0, this.#bodyLeft);
        this.#onBody(body);
        this.#bodyLeft -= this.#damaged ? 0 : body.byteLength;
        if (this.#bodyLeft === 0 && !this.#damaged && this.#pageGranule !== GRANULE_NONE) this.#granule = this.#pageGranule;
        rest = rest.subarray(body.byteLength);
        continue;
      }
      const page = parseOggPage(rest);
      if (page !== undefined) {
        if ((page.flags & OGG_BEGINS) !== 0) this.#before += this.#granule;
        this.#pageGranule = rest.readBigInt64LE(6);
        this.#bodyLeft = page.bodyBytes;
        rest = rest.subarray(page.headerBytes);
      } else if (rest.byteLength < OGG_HEADER_BYTES + 255 && 'OggS'.startsWith(rest.toString('latin1', 0, Math.min(4, rest.byteLength)))) {
        // A header that spans two pieces.
        this.#carried = Buffer.from(rest);
        return;
      } else {
        // What is no page counts as it is, up to the end: a damaged file is a song of its own.
        this.#damaged = true;
      }
    }
  }

  /** Call at the end: half a page header is content too. */
  end(): void {
    if (this.#carried.byteLength > 0) this.#onBody(this.#carried);
    this.#carried = NOTHING;
  }

  /** 0 when unknown. */
  get durationMs(): number {
    const samples = Number(this.#before + this.#granule) - this.#stream.preSkip;
    return this.#stream.samplesPerSecond > 0 && samples > 0 ? Math.round((samples * 1000) / this.#stream.samplesPerSecond) : 0;
  }
}
