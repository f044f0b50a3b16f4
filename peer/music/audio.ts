// A song as something that can be played: its bytes by range, whether they lie on this disk, in the cache or elsewhere.
import type { SongId } from '../../lib/ids.ts';
import { type FileDescription, sizeOf } from '../../lib/song.ts';
import type { Millis } from '../../lib/time.ts';
import type { Song } from '../../storage/song-view.ts';
import type { ExchangeStats } from '../chunks/exchange-stats.ts';
import { type FileReader, playbackRange } from '../chunks/file-reader.ts';
import type { Sources } from '../chunks/sources.ts';
import type { AudioSource } from '../http/api-peer.ts';
import type { ChosenFiles, Wish } from './chosen-files.ts';
import type { BringOn, GoingOn } from './going-on.ts';
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

export interface AudioOptions extends Wish {
  /** What its player says comes next. */
  readonly next?: SongId | undefined;
}

/** What a player asks for, and since when it waits: that the song has to be found first is a part of that. */
export interface AudioRequest extends AudioOptions {
  readonly askedAt: Millis;
}

export interface AudioMeans {
  readonly files: Pick<FileReader, 'open' | 'bringEdges' | 'bringOn'>;
  readonly chosen: Pick<ChosenFiles, 'begin'>;
  readonly sources: Pick<Sources, 'want'>;
  readonly prefetch: Pick<Prefetch, 'began'>;
  readonly goingOn: Pick<GoingOn, 'began' | 'took'>;
  readonly guard: Pick<PlaybackGuard, 'touch'>;
  readonly stats: ExchangeStats;
  readonly now: () => Millis;
}

interface FetchMeans {
  readonly files: Pick<FileReader, 'fetch'>;
  readonly chosen: Pick<ChosenFiles, 'of'>;
  readonly sources: Pick<Sources, 'want'>;
}

/** Brings a song to this machine, before a player asks for it. @throws PeerError SONG_UNAVAILABLE */
export async function fetchSong(song: Song, signal: AbortSignal, { files, chosen, sources }: FetchMeans): Promise<void> {
  const release = sources.want(song);
  try {
    await files.fetch(chosen.of(song, { original: false }), signal);
  } finally {
    release();
  }
}

/** @throws PeerError NOT_FOUND when the song has no such file */
export async function audioOf(song: Song, { next, askedAt, ...wish }: AudioRequest, { files, chosen, sources, prefetch, goingOn, guard, stats, now }: AudioMeans): Promise<AudioSource> {
  const { original } = wish;
  const letGo = sources.want(song);
  const file = await chosen.begin(song, wish).finally(letGo);
  const foundAfterMs = now() - askedAt;
  const whole = { start: 0, end: sizeOf(file) };
  const range = original ? whole : playbackRange(file);
  const bytes = range.end - range.start;
  const bringOn = (bytesPerMs: number): BringOn => async (at, signal) => {
    const release = sources.want(song);
    await files.bringOn(file, { at, bytesPerMs }, signal).finally(release);
  };
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
      const listens = bytesPerMs !== undefined && bytesPerMs > 0 && playsMs >= Math.min(LOOK_MS_MAX, file.durationMs || LOOK_MS_MAX);
      const plays = bytesPerMs !== undefined && goingOn.began(file.file, wanted.start, listens);
      const reading = listens ? prefetch.began(song.id, soundIn(file, { ...wanted, end: range.end }) / bytesPerMs, next) : undefined;
      let at = wanted.start;
      try {
        for await (const part of files.open({ file, ...wanted, bytesPerMs, signal })) {
          guard.touch();
          // once the sound has begun: the one machine that has them may leave before the player asks
          if (at === wanted.start && !original) void files.bringEdges(file).finally(sources.want(song));
          meter?.given(soundIn(file, { start: at, end: at + part.byteLength }), now());
          at += part.byteLength;
          yield part;
          meter?.waits(now());
        }
      } catch (error) {
        if (meter && !signal.aborted) stats.failed();
        throw error;
      } finally {
        // before the release: what goes on needs whoever has it all the time
        if (!original && !signal.aborted && at === wanted.end) goingOn.took(file.file, at, plays && at < range.end ? bringOn(bytesPerMs) : undefined);
        if (signal.aborted) reading?.left();
        else reading?.over();
        meter?.ended(now());
        release();
      }
    },
  };
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
