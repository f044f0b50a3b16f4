// Which songs somebody means who types words or an id: the same for every command that takes either.
import { PeerError } from '../lib/errors.ts';
import type { SongJson } from '../peer/http/schemas.ts';
import type { Client } from './client.ts';

/** A whole song id, or the start of one as tables show it. */
const SONG_ID = /^[0-9a-f]{8,32}$/;
/** Taken at once from what words find. */
export const SONGS_MAX = 1_000;

export const looksLikeSongId = (word: string): boolean => SONG_ID.test(word);

/** By id, or by the start of one, or by words, the best first. */
export async function findSongs(client: Client, words: string, limit: number): Promise<SongJson[]> {
  const song = await songById(client, words);
  return song ? [song] : (await client.search(words, limit)).songs;
}

/** @returns undefined when it is none, which eight letters from a to f may also be */
async function songById(client: Client, word: string): Promise<SongJson | undefined> {
  if (!looksLikeSongId(word)) return undefined;
  try {
    return await client.song(word);
  } catch (error) {
    if (error instanceof PeerError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/** Several ids, each a song; else the best that the words find together, or all that they find.
 *  @throws PeerError NOT_FOUND */
export async function chooseSongs(client: Client, words: readonly string[], { all }: { readonly all: boolean }): Promise<readonly SongJson[]> {
  if (words.length > 1 && words.every(looksLikeSongId)) {
    const songs = await Promise.all(words.map((word) => songById(client, word)));
    const missing = words.filter((_, i) => songs[i] === undefined);
    if (missing.length === 0) return songs as SongJson[];
    if (missing.length < words.length) throw new PeerError('NOT_FOUND', `no song, or more than one, has the id ${missing.join(', ')}`);
  }
  const songs = await findSongs(client, words.join(' '), all ? SONGS_MAX : 1);
  if (songs.length === 0) throw new PeerError('NOT_FOUND', `no song matches '${words.join(' ')}'`);
  return songs;
}
