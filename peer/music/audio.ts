// A song as something that can be played: its bytes by range, whether they lie on this disk, in the cache or elsewhere.
import { PeerError } from '../../lib/errors.ts';
import type { FileId, SongId } from '../../lib/ids.ts';
import { type FileDescription, sizeOf } from '../../lib/song.ts';
import type { Millis } from '../../lib/time.ts';
import type { Song } from '../../storage/song-view.ts';
import type { ExchangeStats } from '../chunks/exchange-stats.ts';
import { type FileReader, playbackRange } from '../chunks/file-reader.ts';
import type { Sources } from '../chunks/sources.ts';
import type { AudioSource } from '../http/api-peer.ts';
import { PlayMeter } from './play-meter.ts';
import type { PlaybackGuard } from './playback-guard.ts';
import type { Prefetch } from './prefetch.ts';

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
  /** What its player says comes next. */
  readonly next?: SongId | undefined;
}

/** What a player asks for, and since when it waits: that the song has to be found first is a part of that. */
export interface AudioRequest extends AudioOptions {
  readonly askedAt: Millis;
}

export interface AudioMeans {
  readonly files: Pick<FileReader, 'open'>;
  readonly sources: Pick<Sources, 'reaches' | 'want'>;
  readonly prefetch: Pick<Prefetch, 'began' | 'left'>;
  readonly guard: Pick<PlaybackGuard, 'touch'>;
  readonly stats: ExchangeStats;
  readonly now: () => Millis;
}

/** Brings a song to this machine, before a player asks for it. @throws PeerError SONG_UNAVAILABLE */
export async function fetchSong(song: Song, signal: AbortSignal, { files, sources }: { readonly files: Pick<FileReader, 'fetch'>; readonly sources: AudioMeans['sources'] }): Promise<void> {
  const release = sources.want(song);
  try {
    await files.fetch(choose(song, {}, sources), signal);
  } finally {
    release();
  }
}

/** @throws PeerError NOT_FOUND when the song has no such file */
export function audioOf(song: Song, { file: id, original, next, askedAt }: AudioRequest, { files, sources, prefetch, guard, stats, now }: AudioMeans): AudioSource {
  const foundAfterMs = now() - askedAt;
  const file = choose(song, { file: id }, sources);
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
      const wanted = { start: range.start + start, end: range.start + end };
      // who takes the original keeps it, and has no bitrate
      const bytesPerMs = original ? undefined : bytesPerMsOf(file);
      const meter = bytesPerMs === undefined ? undefined : new PlayMeter({ bytes: soundIn(file, wanted), bytesPerMs }, { askedAt: now() - foundAfterMs, counts: stats });
      const playsMs = bytesPerMs ? soundIn(file, wanted) / bytesPerMs : 0;
      // players look at a file's beginning and end before they play it
      if (bytesPerMs && playsMs >= Math.min(LOOK_MS_MAX, file.durationMs)) prefetch.began(song.id, soundIn(file, { ...wanted, end: range.end }) / bytesPerMs, next);
      try {
        let at = wanted.start;
        for await (const part of files.open({ file, ...wanted, bytesPerMs, signal })) {
          guard.touch();
          meter?.given(soundIn(file, { start: at, end: at + part.byteLength }), now());
          at += part.byteLength;
          yield part;
          meter?.waits(now());
        }
      } catch (error) {
        if (meter && !signal.aborted) stats.failed();
        throw error;
      } finally {
        if (signal.aborted) prefetch.left(song.id);
        meter?.ended(now());
        release();
      }
    },
  };
}

/** The file asked for, else the first; but one that somebody reachable has is better than the first. */
function choose(song: Song, { file: id }: Pick<AudioOptions, 'file'>, sources: AudioMeans['sources']): FileDescription {
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

/** Less than this is nothing that somebody listens to. */
const LOOK_MS_MAX: Millis = 5_000;

/** How many bytes of a part of a file are its payload. */
const soundIn = ({ prefixBytes, payloadBytes }: FileDescription, { start, end }: { readonly start: number; readonly end: number }): number =>
  Math.max(0, Math.min(end, prefixBytes + payloadBytes) - Math.max(start, prefixBytes));

/** On average; 0 when unknown. */
const bytesPerMsOf = ({ payloadBytes, durationMs, bitrate }: FileDescription): number => (durationMs > 0 ? payloadBytes / durationMs : bitrate / 8_000);

/** `Artist - Title.mp3`, without what file systems refuse. */
function fileNameOf({ tags: { artist, title }, suffix }: FileDescription): string {
  const name = [artist, title].filter(Boolean).join(' - ');
  return `${name.replace(/[\u0000-\u001f"*/:<>?\\|]+/g, '_').slice(0, 120)}.${suffix}`;
}
