// One original file, byte for byte: prefix, payload and suffix put together again. The payload may come from anybody who
// has the song, the edges only from a holder of that very file; so both edges are fetched early, before the one holder
// of them can vanish in the middle of the music.
import { fileIdOf } from '../../lib/content.ts';
import { PeerError } from '../../lib/errors.ts';
import { type FileDescription, sizeOf } from '../../lib/song.ts';
import type { Edge } from '../../storage/local-files.ts';
import type { EdgeReader } from './edge-reader.ts';
import type { PayloadReader, Played } from './payload-reader.ts';

export interface FileRange {
  readonly file: FileDescription;
  /** First byte of the file, and the one after the last. */
  readonly start: number;
  readonly end: number;
  /** What it plays at, 0 where nobody knows; undefined when nobody listens. */
  readonly bytesPerMs?: number | undefined;
  readonly signal?: AbortSignal;
}

export class FileReader {
  readonly #payloads: PayloadReader;
  readonly #edges: EdgeReader;

  constructor({ payloads, edges }: { readonly payloads: PayloadReader; readonly edges: EdgeReader }) {
    this.#payloads = payloads;
    this.#edges = edges;
  }

  /** Brings what a player needs of a file to this machine, before it asks; one part that cannot be had stops the others.
   *  @throws PeerError as `open` */
  async fetch(file: FileDescription, signal?: AbortSignal): Promise<void> {
    const failed = new AbortController();
    const stop = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    try {
      await Promise.all([
        ...edgesPlayed(file).map((edge) => this.#edges.read(file, edge, stop)),
        this.#payloads.fill({ payload: file.payload, payloadBytes: file.payloadBytes, signal: stop }),
      ]);
    } finally {
      failed.abort();
    }
  }

  /** Brings the sound of a file to the cache behind the byte where somebody plays it. @throws PeerError TOO_LARGE */
  async bringOn({ prefixBytes, payload, payloadBytes }: FileDescription, { at, bytesPerMs }: Played, signal: AbortSignal): Promise<void> {
    await this.#payloads.fill({ payload, payloadBytes, played: { at: () => Math.min(payloadBytes, Math.max(0, at() - prefixBytes)), bytesPerMs }, signal });
  }

  /** What a player needs of a file beside its sound is kept here for a while, if it can be had. Never rejects. */
  async bringEdges(file: FileDescription): Promise<void> {
    await Promise.all(edgesPlayed(file).map((edge) => this.#edges.bring(file, edge)));
  }

  /** Brings what a player needs of a file before its sound, and keeps it for a while. Never rejects. @returns whether it is here */
  async bringStart(file: FileDescription, signal: AbortSignal): Promise<boolean> {
    return !edgesPlayed(file).includes('prefix') || this.#edges.bring(file, 'prefix', signal);
  }

  /** Is all that a player needs of it beside its sound on this machine, apart from own files? */
  holdsEdges(file: FileDescription): boolean {
    return edgesPlayed(file).every((edge) => this.#edges.holds(file, edge));
  }

  /** @throws PeerError SONG_UNAVAILABLE, CANCELLED, TOO_LARGE */
  async *open({ file, start, end, bytesPerMs, signal }: FileRange): AsyncGenerator<Uint8Array, void, undefined> {
    const size = sizeOf(file);
    if (!(0 <= start && start <= end && end <= size)) throw new RangeError(`not a range of ${size} bytes: ${start} to ${end}`);
    if (fileIdOf(file) !== file.file) throw new PeerError('SONG_UNAVAILABLE', 'the file is not what the catalog says');
    const payloadStart = file.prefixBytes;
    const payloadEnd = payloadStart + file.payloadBytes;
    // Whoever stops listening during the music no longer needs the suffix.
    const left = new AbortController();
    const stop = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]);
    const none = Promise.resolve(new Uint8Array());
    const prefix = start < payloadStart && start < end ? this.#edges.read(file, 'prefix', stop) : none;
    const suffix = end > payloadEnd && start < end ? this.#edges.read(file, 'suffix', stop) : none;
    // Looked at only when its turn comes.
    suffix.catch(() => {});
    try {
      yield* pieces(await prefix, start, Math.min(end, payloadStart));
      if (start < payloadEnd && end > payloadStart) {
        const range = { start: Math.max(0, start - payloadStart), end: Math.min(file.payloadBytes, end - payloadStart) };
        yield* this.#payloads.open({ payload: file.payload, payloadBytes: file.payloadBytes, ...range, bytesPerMs, signal: stop });
      }
      yield* pieces(await suffix, Math.max(0, start - payloadEnd), end - payloadEnd);
    } finally {
      left.abort();
    }
  }
}

function* pieces(bytes: Uint8Array, start: number, end: number): Generator<Uint8Array> {
  if (start < end && start < bytes.byteLength) yield bytes.subarray(start, end);
}

/**
 * The part of a file that a player needs. An MP3 frame stands for itself, so neither the picture before the music nor
 * the tags behind it are sent; the other containers begin with what a decoder must know.
 */
export function playbackRange(file: FileDescription): { readonly start: number; readonly end: number } {
  const framed = file.suffix === 'mp3' && file.payloadBytes > 0;
  return framed ? { start: file.prefixBytes, end: file.prefixBytes + file.payloadBytes } : { start: 0, end: sizeOf(file) };
}

/** The edges that lie within that part. */
function edgesPlayed(file: FileDescription): Edge[] {
  const { start, end } = playbackRange(file);
  const edges: Edge[] = [];
  if (start < file.prefixBytes) edges.push('prefix');
  if (end > file.prefixBytes + file.payloadBytes) edges.push('suffix');
  return edges;
}
