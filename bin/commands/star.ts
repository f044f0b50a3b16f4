import { PeerError } from '../../lib/errors.ts';
import type { StarJson, StarsJson, WrittenJson } from '../../peer/http/user-schemas.ts';
import { Client } from '../client.ts';
import { dataFolder } from '../data-folder.ts';
import { chooseSongs, looksLikeSongId, SONGS_MAX } from '../find-songs.ts';
import { colorsFor, columnsOf } from '../print.ts';
import { starTable, tellWritten, titleOf, titleOrId } from '../print-user-data.ts';
import { type ProfileOptions, profileOf } from '../profile.ts';
import { program } from '../program.ts';

export async function star(words: readonly string[], options: ProfileOptions): Promise<void> {
  const profile = profileOf(options);
  const client = await Client.any(dataFolder(options));
  const songs = await chooseSongs(client, words, { all: false });
  const starred = await client.post<WrittenJson>('/api/stars', { profile, songs: songs.map(({ id }) => id), starred: true });
  tellWritten(options, { ...starred, songs: songs.map(({ id }) => id) }, `starred ${songs.map(titleOf).join(', ')}`);
}

/** The best match that has a star: who types words has one of the starred songs in mind. */
export async function unstar(words: readonly string[], options: ProfileOptions): Promise<void> {
  const profile = profileOf(options);
  const client = await Client.any(dataFolder(options));
  const stars = await readStars(client, profile);
  const gone = await starsMeant(client, words, stars);
  if (gone.length === 0) throw new PeerError('NOT_FOUND', `no starred song of ${profile} matches '${words.join(' ')}'; see: ${program} stars`);
  const unstarred = await client.post<WrittenJson>('/api/stars', { profile, songs: gone.map(({ songId }) => songId), starred: false });
  const titles = gone.map(({ song, songId }) => titleOrId(song, songId)).join(', ');
  tellWritten(options, { ...unstarred, songs: gone.map(({ songId }) => songId) }, `no star on ${titles} any more`);
}

export async function stars(options: ProfileOptions): Promise<void> {
  const profile = profileOf(options);
  const all = await readStars(await Client.any(dataFolder(options)), profile);
  if (options.json) process.stdout.write(`${JSON.stringify(all)}\n`);
  else if (all.length === 0) process.stdout.write(`${profile} has no starred song yet; star one with: ${program} star WORDS\n`);
  else process.stdout.write(`${starTable(all, { width: columnsOf(process.stdout), colors: colorsFor(process.stdout) })}\n`);
}

/** Ids are looked for among the stars, since a song that is on no machine now has only its id left. */
async function starsMeant(client: Client, words: readonly string[], stars: readonly StarJson[]): Promise<readonly StarJson[]> {
  if (words.every(looksLikeSongId)) {
    const byId = words.map((word) => stars.filter(({ songId }) => songId.startsWith(word)));
    if (byId.every((found) => found.length === 1)) return byId.flat();
  }
  const byId = new Map(stars.map((star) => [star.songId, star]));
  for (const { id } of (await client.search(words.join(' '), SONGS_MAX)).songs) {
    const found = byId.get(id);
    if (found) return [found];
  }
  return [];
}

async function readStars(client: Client, profile: string): Promise<readonly StarJson[]> {
  const stars: StarJson[] = [];
  for (;;) {
    const page = await client.get<StarsJson>(`/api/stars?profile=${encodeURIComponent(profile)}&offset=${stars.length}`);
    stars.push(...page.stars);
    if (page.stars.length === 0 || stars.length >= page.total) return stars;
  }
}
