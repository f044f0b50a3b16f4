import { PeerError } from '../../lib/errors.ts';
import { HTTP_SONGS_MAX } from '../../lib/limits.ts';
import { playlistName } from '../../lib/playlist.ts';
import type { AddedJson, CreatedJson, PlaylistJson, RemovedJson, WrittenJson } from '../../peer/http/user-schemas.ts';
import { Client } from '../client.ts';
import { dataFolder } from '../data-folder.ts';
import { findPlaylist, itemAt, nameAndId, numberIn, readPlaylist } from '../find-playlist.ts';
import { chooseSongs } from '../find-songs.ts';
import { colorsFor, columnsOf } from '../print.ts';
import { playlistTable, playlistText, tellWritten, titleOf, titleOrId } from '../print-user-data.ts';
import { type ProfileOptions, profileOf } from '../profile.ts';
import { program } from '../program.ts';
import { plural, printable } from '../text.ts';

type All = { readonly all?: boolean };

const look = () => ({ width: columnsOf(process.stdout), colors: colorsFor(process.stdout) });

export async function list(options: ProfileOptions & All): Promise<void> {
  const profile = profileOf(options);
  const client = await Client.any(dataFolder(options));
  const playlists = await client.get<PlaylistJson[]>(options.all ? '/api/playlists' : `/api/playlists?profile=${encodeURIComponent(profile)}`);
  if (options.json) process.stdout.write(`${JSON.stringify(playlists)}\n`);
  else if (playlists.length > 0) process.stdout.write(`${playlistTable(playlists, { ...look(), owners: Boolean(options.all) })}\n`);
  else process.stdout.write(`${options.all ? 'nobody has a playlist' : `${profile} has no playlist`} yet; make one with: ${program} playlist create NAME\n`);
}

export async function show(name: readonly string[], options: ProfileOptions): Promise<void> {
  const client = await Client.any(dataFolder(options));
  const { id } = await findPlaylist(client, name.join(' '), profileOf(options));
  const playlist = await readPlaylist(client, id);
  process.stdout.write(options.json ? `${JSON.stringify(playlist)}\n` : `${playlistText(playlist, look())}\n`);
}

export async function create(words: readonly string[], options: ProfileOptions): Promise<void> {
  const profile = profileOf(options);
  const name = playlistName(words.join(' '));
  const client = await Client.any(dataFolder(options));
  const created = await client.post<CreatedJson>('/api/playlists', { profile, name });
  tellWritten(options, created, `made ${nameAndId({ name, id: created.id })}; put songs into it with: ${program} playlist add ${quoted(name)} WORDS`);
}

export async function add(name: string, words: readonly string[], { all = false, ...options }: ProfileOptions & All): Promise<void> {
  const client = await Client.any(dataFolder(options));
  const playlist = await findPlaylist(client, name, profileOf(options));
  const songs = await chooseSongs(client, words, { all });
  const items: string[] = [];
  let acknowledged: WrittenJson['acknowledged'] = 'replicated';
  for (let i = 0; i < songs.length; i += HTTP_SONGS_MAX) {
    const some = songs.slice(i, i + HTTP_SONGS_MAX).map(({ id }) => id);
    const added = await client.post<AddedJson>(`/api/playlists/${playlist.id}/add`, { songs: some });
    items.push(...added.items);
    if (added.acknowledged === 'local only') acknowledged = 'local only';
  }
  const [only, another] = songs;
  const what = only && !another ? titleOf(only) : plural(songs.length, 'song');
  tellWritten(options, { id: playlist.id, items, acknowledged }, `added ${what} to ${printable(playlist.name)}`);
}

/** What the numbers mean is settled here, at once, so that no removal by somebody else shifts them. */
export async function remove(name: string, numbers: readonly string[], options: ProfileOptions): Promise<void> {
  for (const number of numbers) if (number.length < 16) numberIn(number);
  const client = await Client.any(dataFolder(options));
  const playlist = await readPlaylist(client, (await findPlaylist(client, name, profileOf(options))).id);
  const items = [...new Set(numbers.map((number) => itemAt(playlist, number)))];
  if (items.length > HTTP_SONGS_MAX) throw new PeerError('BAD_USAGE', `at most ${HTTP_SONGS_MAX} at once; to remove all, delete the playlist`);
  const removed = await client.post<RemovedJson>(`/api/playlists/${playlist.id}/remove`, { items: items.map(({ id }) => id) });
  const [only, another] = items;
  const what = only && !another ? titleOrId(only.song, only.songId) : plural(removed.removed, 'song');
  tellWritten(options, removed, `removed ${what} from ${printable(playlist.name)}`);
}

export async function move(name: string, from: string, to: string, options: ProfileOptions): Promise<void> {
  const target = numberIn(to);
  const client = await Client.any(dataFolder(options));
  const playlist = await readPlaylist(client, (await findPlaylist(client, name, profileOf(options))).id);
  const item = itemAt(playlist, from);
  if (target > playlist.items.length) {
    throw new PeerError('BAD_USAGE', printable(`${playlist.name} has ${plural(playlist.items.length, 'song')}, so none can become number ${target}`));
  }
  const moved = await client.post<WrittenJson>(`/api/playlists/${playlist.id}/move`, { item: item.id, to: target - 1 });
  tellWritten(options, moved, `${titleOrId(item.song, item.songId)} is number ${target} of ${printable(playlist.name)} now`);
}

export async function rename(name: string, words: readonly string[], options: ProfileOptions): Promise<void> {
  const newName = playlistName(words.join(' '));
  const client = await Client.any(dataFolder(options));
  const playlist = await findPlaylist(client, name, profileOf(options));
  const renamed = await client.post<WrittenJson>(`/api/playlists/${playlist.id}/rename`, { name: newName });
  tellWritten(options, renamed, `${printable(playlist.name)} is called ${printable(newName)} now`);
}

/** `delete` is a word of the language. */
export async function deletePlaylist(name: readonly string[], options: ProfileOptions): Promise<void> {
  const client = await Client.any(dataFolder(options));
  const playlist = await findPlaylist(client, name.join(' '), profileOf(options));
  const deleted = await client.post<WrittenJson>(`/api/playlists/${playlist.id}/delete`);
  tellWritten(options, deleted, `deleted ${nameAndId(playlist)}, on every machine`);
}

const quoted = (name: string): string => (/^[\w.-]+$/.test(name) ? name : `'${printable(name)}'`);
