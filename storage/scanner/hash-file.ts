// The one pass over a file: hashes of prefix, payload chunks and suffix, and what can be learned on the way (the length of
// a stream of frames, the page bodies of an Ogg stream). Memory does not depend on the file.
import { createHash, type Hash } from 'node:crypto';
import { HASH_BYTES, payloadIdOf } from '../../lib/content.ts';
import { PeerError } from '../../lib/errors.ts';
import { contentId, type PayloadId, type SongId } from '../../lib/ids.ts';
import { CHUNK_BYTES, MANIFEST_BYTES_MAX } from '../../lib/limits.ts';
import { type ByteSource, readFully } from './byte-source.ts';
import { FrameCounter } from './frame-counter.ts';
import type { OggStream } from './layout-ogg.ts';
import type { Layout, Range } from './layout.ts';
import { FRAME_HEADER_BYTES, parseFrame } from './mpeg-frames.ts';
import { OggBodies } from './ogg-bodies.ts';

/** Bytes of one read: large enough that the system call costs nothing, small enough for two workers and for a pause. */
const READ_BYTES = 4 * CHUNK_BYTES;
/** One for all files, because hashing is synchronous: a new one for each would leave megabytes to the garbage collector. */
const buffer = Buffer.allocUnsafe(READ_BYTES);

export interface FileHashes {
  readonly song: SongId;
  readonly payload: PayloadId;
  readonly manifest: Uint8Array;
  readonly prefixHash: Uint8Array;
  readonly suffixHash: Uint8Array;
  /** Of the audio by its frames or pages, undefined where they do not say. */
  readonly durationMs: number | undefined;
}

/** SHA-256 of each 64 KiB of what it is fed, whatever the pieces. */
class ChunkHasher {
  readonly #hashes: Buffer[] = [];
  #hash: Hash | undefined;
  #filled = 0;

  update(piece: Buffer): void {
    for (let at = 0; at < piece.byteLength; ) {
      const part = piece.subarray(at, at + CHUNK_BYTES - this.#filled);
      this.#hash ??= createHash('sha256');
      this.#hash.update(part);
      this.#filled += part.byteLength;
      at += part.byteLength;
      if (this.#filled === CHUNK_BYTES) this.#finish();
    }
  }

  manifest(): Buffer {
    if (this.#filled > 0) this.#finish();
    return Buffer.concat(this.#hashes);
  }

  #finish(): void {
    this.#hashes.push((this.#hash as Hash).digest());
    this.#hash = undefined;
    this.#filled = 0;
  }
}

/** Counts the frames of an MP3 or AAC stream, whose headers say less than they should. */
function frameCounterOf(source: ByteSource, { container, payload }: Layout): FrameCounter | undefined {
  if (container !== 'mp3' && container !== 'aac') return undefined;
  const first = parseFrame(source.read(payload.start, FRAME_HEADER_BYTES), 0);
  return first && new FrameCounter(first);
}

/**
 * @param options.stream of an Ogg file
 * @param options.between called after each read with the bytes read: the place to report, to wait, or to throw
 * @throws PeerError FILE_CHANGED when the file is shorter than `source.size`, BAD_FILE when it is longer than a song can be
 */
export function hashFile(descriptor: number, options: { readonly source: ByteSource; readonly layout: Layout; readonly stream: OggStream | undefined; readonly between: (bytes: number) => void }): FileHashes {
  const { source, layout, stream, between } = options;
  const { payload } = layout;
  if (((payload.end - payload.start) / CHUNK_BYTES) * HASH_BYTES > MANIFEST_BYTES_MAX) throw new PeerError('BAD_FILE', 'longer than a song can be');
  const readRange = (range: Range, each: (piece: Buffer) => void): void => {
    for (let offset = range.start; offset < range.end; ) {
      const length = Math.min(READ_BYTES, range.end - offset);
      if (readFully(descriptor, buffer, { offset, length }) < length) throw new PeerError('FILE_CHANGED', 'became shorter while it was read');
      each(buffer.subarray(0, length));
      offset += length;
      between(length);
    }
  };
  const hashRange = (range: Range): Uint8Array => {
    const hash = createHash('sha256');
    readRange(range, (piece) => hash.update(piece));
    return Uint8Array.from(hash.digest());
  };

  const prefixHash = hashRange({ start: 0, end: payload.start });

  const chunks = new ChunkHasher();
  const bodies = new ChunkHasher();
  // An Ogg file whose pages are not understood is a payload as a whole, and its song has the payload's id.
  const pages = stream === undefined || payload.start === 0 ? undefined : new OggBodies(stream, (body) => bodies.update(body));
  const frames = frameCounterOf(source, layout);
  readRange(payload, (piece) => {
    chunks.update(piece);
    pages?.feed(piece);
    frames?.feed(piece);
  });
  pages?.end();

  const suffixHash = hashRange({ start: payload.end, end: source.size });
  // A copy of its own: a slice of Node's buffer pool would take all of the pool along when it is sent to another thread.
  const manifest = Uint8Array.from(chunks.manifest());
  const id = payloadIdOf(manifest);
  return {
    song: pages === undefined ? (id as string as SongId) : contentId<SongId>('song-ogg', bodies.manifest()),
    payload: id,
    manifest,
    prefixHash,
    suffixHash,
    durationMs: frames === undefined ? pages?.durationMs || undefined : frames.durationMs,
  };
}
