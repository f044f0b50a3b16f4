// One music file from path to description: where its payload lies, its tags, and its hashes, in one pass over its bytes. A file
// that is no audio is refused by its first kilobytes, however large it is.
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs';
import { fileIdOf } from '../../lib/content.ts';
import { codeOf, PeerError } from '../../lib/errors.ts';
import { DURATION_MS_MAX } from '../../lib/limits.ts';
import type { FileDescription } from '../../lib/song.ts';
import { bufferSource, type ByteSource, FileSource } from './byte-source.ts';
import { hashFile } from './hash-file.ts';
import { findLayout, type Layout } from './layout.ts';
import { type OggStream, oggStreamAt } from './layout-ogg.ts';
import { leadingTags } from './layout-tags.ts';
import { flacHeadOf } from './ogg-flac.ts';
import { type RawTags, readTags, saySomething, tagsOf } from './tags.ts';

export interface ScannedFile {
  readonly description: FileDescription;
  readonly manifest: Uint8Array;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly inode: number;
}

const REASONS: Record<string, string> = {
  EACCES: 'may not be read (permission denied)',
  EPERM: 'may not be read (permission denied)',
  EIO: 'cannot be read (the disk reports an error)',
};

function unreadable(cause: unknown): unknown {
  const code = codeOf(cause);
  if (cause instanceof PeerError || code === undefined) return cause;
  if (code === 'ENOENT') return new PeerError('NOT_FOUND', 'is gone', { cause });
  return new PeerError('UNREADABLE', REASONS[code] ?? `cannot be read (${code})`, { cause });
}

interface Kind {
  readonly codec: string;
  readonly suffix: string;
}

function kindOf({ container }: Layout, { raw, stream }: { readonly raw: RawTags; readonly stream: OggStream | undefined }): Kind {
  const codec = raw.format.codec ?? '';
  switch (container) {
    case 'mp3':
      return /Layer [12]$/i.test(codec) ? { codec: `mp${codec.at(-1)}`, suffix: `mp${codec.at(-1)}` } : { codec: 'mp3', suffix: 'mp3' };
    case 'mp4':
      return { codec: /alac/i.test(codec) ? 'alac' : /aac|mpeg-4/i.test(codec) || codec === '' ? 'aac' : codec.toLowerCase().slice(0, 16), suffix: 'm4a' };
    case 'ogg': {
      const ogg = stream?.codec ?? 'vorbis';
      return { codec: ogg, suffix: ogg === 'opus' ? 'opus' : ogg === 'flac' ? 'oga' : ogg === 'speex' ? 'spx' : 'ogg' };
    }
    case 'asf':
      return { codec: 'wma', suffix: 'wma' };
    case 'wavpack':
      return { codec: 'wavpack', suffix: 'wv' };
    case 'musepack':
      return { codec: 'musepack', suffix: 'mpc' };
    default:
      return { codec: container, suffix: container };
  }
}

/** Audiobooks carry their chapters' pictures as a video track; only other brands with one are films. */
const isFilm = (raw: RawTags): boolean => raw.format.hasVideo === true && !/^M4[AB]/.test(raw.format.container ?? '');

/** A number that is no sane one is unknown, 0. */
const sane = (value: number | undefined, max: number): number => (value !== undefined && value > 0 && value <= max ? Math.round(value) : 0);

const BITRATE_MAX = 100_000_000;

function tagsIn(source: ByteSource, { layout, front, stream }: { readonly layout: Layout; readonly front: number; readonly stream: OggStream | undefined }): Promise<RawTags> {
  const { container, payload } = layout;
  if (stream?.codec === 'flac') return readTags(bufferSource(flacHeadOf(source, { start: front, end: payload.start })), { container: 'flac', start: 0 });
  // MP3 and FLAC are used to ID3v2 in front; other parsers must not see it.
  return readTags(source, { container, start: container === 'mp3' || container === 'flac' ? 0 : front });
}

async function scanOpenFile(descriptor: number, { path, before, between }: { readonly path: string; readonly before: Stats; readonly between: (bytes: number) => void }): Promise<ScannedFile> {
  if (!before.isFile()) throw new PeerError('NOT_AUDIO', 'is not a regular file');
  if (before.size === 0) throw new PeerError('BAD_FILE', 'is empty');
  const source = new FileSource(descriptor, before.size);
  const layout = findLayout(source);
  if (layout === undefined) throw new PeerError('NOT_AUDIO', 'is not audio that is known here');

  const front = leadingTags(source);
  const stream = layout.container === 'ogg' ? oggStreamAt(source, front.end) : undefined;
  const raw = await tagsIn(source, { layout, front: front.end, stream });
  if (!layout.audio && !saySomething(raw)) {
    throw new PeerError('BAD_FILE', front.cut ? 'is cut off within its tags' : 'has tags but no audio');
  }
  if (isFilm(raw)) throw new PeerError('NOT_AUDIO', 'is a film');

  const hashes = hashFile(descriptor, { source, layout, stream, between });
  const after = fstatSync(descriptor);
  if (after.size !== before.size || after.mtimeMs !== before.mtimeMs) throw new PeerError('FILE_CHANGED', 'changed while it was read');

  const { start, end } = layout.payload;
  const durationMs = sane(hashes.durationMs ?? (raw.format.duration ?? 0) * 1000, DURATION_MS_MAX);
  const { prefixHash, suffixHash, payload, song, manifest } = hashes;
  return {
    manifest,
    sizeBytes: before.size,
    mtimeMs: before.mtimeMs,
    inode: before.ino,
    description: {
      song,
      file: fileIdOf({ prefixHash, payload, suffixHash }),
      payload,
      tags: tagsOf(raw, path),
      durationMs,
      ...kindOf(layout, { raw, stream }),
      bitrate: sane(durationMs > 0 ? ((end - start) * 8000) / durationMs : raw.format.bitrate, BITRATE_MAX),
      prefixBytes: start,
      payloadBytes: end - start,
      suffixBytes: before.size - end,
      prefixHash,
      suffixHash,
    },
  };
}

/**
 * @param between called after each read with the bytes read
 * @throws PeerError NOT_AUDIO or BAD_FILE: as long as the file does not change, it is no song; FILE_CHANGED, UNREADABLE
 *   and NOT_FOUND: it may be one the next time. The message continues a sentence that begins with the file's name.
 */
export async function scanFile(path: string, between: (bytes: number) => void = () => {}): Promise<ScannedFile> {
  let descriptor: number | undefined;
  try {
    // Without O_NONBLOCK a named pipe called song.mp3 would hold the worker for ever.
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    return await scanOpenFile(descriptor, { path, before: fstatSync(descriptor), between });
  } catch (error) {
    throw unreadable(error);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
