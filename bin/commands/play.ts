import { createWriteStream } from 'node:fs';
import { rename, unlink } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { codeOf, messageOf, PeerError } from '../../lib/errors.ts';
import type { SongJson } from '../../peer/http/schemas.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { findSongs, SONGS_MAX } from '../find-songs.ts';
import { choosePlayer, play as playWith } from '../player.ts';
import { printable } from '../text.ts';

export interface PlayOptions extends DataOptions {
  readonly output?: string;
  readonly file?: string;
  readonly player?: string;
  readonly shuffle?: boolean;
}

export async function play(words: readonly string[], options: PlayOptions): Promise<void> {
  const client = await Client.any(dataFolder(options));
  const songs = await findSongs(client, words.join(' '), options.shuffle ? SONGS_MAX : 1);
  const [first] = songs;
  if (!first) throw new PeerError('NOT_FOUND', `no song matches '${words.join(' ')}'`);
  if (options.output !== undefined) return write(client, first, options.output, options.file);
  const queue = options.shuffle ? shuffled(songs) : songs;
  for (const [i, song] of queue.entries()) {
    const next = queue[i + 1];
    const { url } = await client.post<{ url: string }>('/api/play', { song: song.id, ...(options.file ? { file: options.file } : {}), ...(next ? { next: next.id } : {}) });
    const player = await choosePlayer({ asked: options.player, codec: song.codec });
    const title = song.artist ? `${song.artist} - ${song.title}` : song.title;
    process.stdout.write(`playing ${printable(title)}\n`);
    const code = await playWith(player, { url: new URL(url, client.url).href, title });
    if (code !== 0) {
      process.exitCode = code;
      return;
    }
  }
}

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[]): T[] {
  const all = [...items];
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [all[i], all[j]] = [all[j] as T, all[i] as T];
  }
  return all;
}

/** The original file, whole or not at all: it is written aside, so that no half of one bears its name. */
async function write(client: Client, song: SongJson, output: string, file: string | undefined): Promise<void> {
  const query = new URLSearchParams({ original: 'true', ...(file ? { file } : {}) });
  const body = Readable.fromWeb((await client.download(`/api/songs/${song.id}/audio?${query}`)) as ReadableStream<Uint8Array>);
  if (output === '-') {
    await pipeline(body, process.stdout);
    return;
  }
  const aside = `${output}.part`;
  try {
    await pipeline(body, createWriteStream(aside));
    await rename(aside, output);
  } catch (cause) {
    await unlink(aside).catch(() => undefined);
    // what the operating system refused has a code and concerns the file; else the transfer broke
    const what = /^E[A-Z]+$/.test(codeOf(cause) ?? '') ? `cannot write ${output}: ${messageOf(cause)}` : 'the song broke off: no machine that has it can be reached';
    throw new PeerError('SONG_UNAVAILABLE', what, { cause });
  }
}
