// A song as something that can be played: its bytes by range, whether they lie on this disk, in the cache or elsewhere.
import { PeerError } from '../lib/errors.ts';
import type { FileId } from '../lib/ids.ts';
import { type FileDescription, sizeOf } from '../lib/song.ts';
import type { Song } from '../storage/song-view.ts';
import { type FileReader, playbackRange } from './chunks/file-reader.ts';
import type { AudioSource } from './http/api-peer.ts';
import type { Sources } from './sources.ts';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  aac: 'audio/aac',
  aif: 'audio/aiff',
  aiff: 'audio/aiff',
  ape: 'audio/x-ape',
  flac: 'audio/flac',
  m4a: 'audio/mp4',
  m4b: 'audio/mp4',
  mp3: 'audio/mpeg',
  mp4: 'audio/mp4',
  mpc: 'audio/x-musepack',
  oga: 'audio/ogg',
  ogg: 'audio/ogg',
  opus: 'audio/ogg',
  wav: 'audio/wav',
  wma: 'audio/x-ms-wma',
  wv: 'audio/x-wavpack',
};

export interface AudioOptions {
  readonly file?: FileId | undefined;
  /** The exact bytes of the file, and not the form to play. */
  readonly original: boolean;
}

export interface AudioMeans {
  readonly files: FileReader;
  readonly sources: Sources;
  /** Some of it was read. */
  readonly onPlayed: () => void;
}

/** @throws PeerError NOT_FOUND when the song has no such file */
export function audioOf(song: Song, { file: id, original }: AudioOptions, { files, sources, onPlayed }: AudioMeans): AudioSource {
  const file = choose(song, { file: id, original }, sources);
  const whole = { start: 0, end: sizeOf(file) };
  const range = original ? whole : playbackRange(file);
  const bytes = range.end - range.start;
  return {
    bytes,
    contentType: CONTENT_TYPES[file.suffix] ?? 'application/octet-stream',
    etag: bytes === whole.end ? file.file : file.payload,
    fileName: fileNameOf(file),
    async *read(start, end, signal) {
      const release = sources.want(song);
      try {
        for await (const part of files.open({ file, start: range.start + start, end: range.start + end, signal })) {
          onPlayed();
          yield part;
        }
      } finally {
        release();
      }
    },
  };
}

/** The file asked for, else the first; but one that somebody reachable has is better than the first. */
function choose(song: Song, { file: id }: AudioOptions, sources: Sources): FileDescription {
  const [first] = song.files;
  if (id !== undefined) {
    const chosen = song.files.find(({ description }) => description.file === id);
    if (!chosen) throw new PeerError('NOT_FOUND', 'this song has no such file');
    return chosen.description;
  }
  if (song.files.length === 1) return first.description;
  const here = song.files.find(({ providers }) => providers.some((peer) => sources.reaches(peer)));
  return (here ?? first).description;
}

/** `Artist - Title.mp3`, without what file systems refuse. */
function fileNameOf({ tags: { artist, title }, suffix }: FileDescription): string {
  const name = [artist, title].filter(Boolean).join(' - ');
  return `${name.replace(/[\u0000-\u001f"*/:<>?\\|]+/g, '_').slice(0, 120)}.${suffix}`;
}
