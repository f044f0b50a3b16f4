// What playlists and stars look like in a terminal.
import { shortId } from '../lib/ids.ts';
import type { PlaylistJson, PlaylistPageJson, SongJson, StarJson, WrittenJson } from '../peer/http/user-schemas.ts';
import { type Colors, type Column, table } from './print.ts';
import { formatDuration, plural, printable } from './text.ts';

interface Look {
  readonly width: number;
  readonly colors: Colors;
}

export const titleOf = ({ artist, title }: Pick<SongJson, 'artist' | 'title'>): string => printable(artist ? `${artist} - ${title}` : title);

/** What a song is called that may be gone. */
export const titleOrId = (song: SongJson | null, id: string): string => (song ? titleOf(song) : `song ${shortId(id)}`);

/** One document for programs, one line for people, and a second one when no other machine has it yet. */
export function tellWritten<T extends WrittenJson>({ json }: { readonly json?: boolean }, answer: T, line: string): void {
  const where = answer.acknowledged === 'local only' ? '(saved on this machine only; no other is reachable)\n' : '';
  process.stdout.write(json ? `${JSON.stringify(answer)}\n` : `${line}\n${where}`);
}

export function playlistTable(playlists: readonly PlaylistJson[], { width, colors, owners }: Look & { readonly owners: boolean }): string {
  const columns: Column[] = [
    { name: 'PLAYLIST', share: 3, paint: colors.bold },
    ...(owners ? [{ name: 'OWNER', share: 2 }] : []),
    { name: 'SONGS', share: 0, align: 'right' },
    { name: 'ID', share: 0, paint: colors.dim },
  ];
  const rows = playlists.map(({ id, name, owner, songs }) => [name, ...(owners ? [owner] : []), songs.toLocaleString('en'), shortId(id)]);
  return table(columns, rows, { width, colors }).join('\n');
}

export function playlistText({ name, owner, items }: PlaylistPageJson, { width, colors }: Look): string {
  const head = `${colors.bold(printable(name))}, ${plural(items.length, 'song')}, by ${printable(owner)}`;
  return items.length === 0 ? head : [head, numberedSongs(items, { width, colors })].join('\n');
}

export const starTable = (stars: readonly StarJson[], look: Look): string => numberedSongs(stars, look);

const GONE = 'not on any machine now';

function numberedSongs(places: readonly { readonly songId: string; readonly song: SongJson | null }[], { width, colors }: Look): string {
  const wide = width >= 70;
  const columns: Column[] = [
    { name: '#', share: 0, align: 'right', paint: colors.dim },
    { name: 'TITLE', share: 4, paint: (text) => (text.trim() === GONE ? colors.dim : colors.bold)(text) },
    { name: 'ARTIST', share: 3 },
    ...(wide ? [{ name: 'ALBUM', share: 3 }] : []),
    { name: 'TIME', share: 0, align: 'right' },
    { name: 'ID', share: 0, paint: colors.dim },
  ];
  const rows = places.map(({ songId, song }, i) => [
    String(i + 1),
    song ? song.title : GONE,
    song?.artist || '-',
    ...(wide ? [song?.album || '-'] : []),
    song ? formatDuration(song.durationMs) : '-',
    shortId(songId),
  ]);
  return table(columns, rows, { width, colors }).join('\n');
}
