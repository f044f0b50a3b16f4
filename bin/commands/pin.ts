// Songs that this machine keeps, whoever else has them.
import { shortId } from '../../lib/ids.ts';
import { PeerError } from '../../lib/errors.ts';
import type { PinJson, PinnedJson } from '../../peer/http/copy-schemas.ts';
import type { SongJson } from '../../peer/http/schemas.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { findSongs, looksLikeSongId } from '../find-songs.ts';
import { colorsFor, columnsOf } from '../print.ts';
import { pinsText } from '../print-copies.ts';
import { titleOf } from '../print-user-data.ts';
import { program } from '../program.ts';
import { plural } from '../text.ts';

export interface PinOptions extends DataOptions {
  readonly json?: boolean;
}

/** Named to somebody who meant one of several. */
const NAMED = 4;

const STATES = {
  own: 'is in a music folder of this machine, and stays without a pin',
  here: 'is here, and stays',
  coming: 'is on its way, and stays when it is here',
  waiting: 'could not be fetched yet, is tried again, and stays when it is here',
  gone: 'was deleted by whoever had the file, and nobody can play it any more',
} as const;

export async function pin(words: readonly string[], { json, ...options }: PinOptions): Promise<void> {
  const client = await Client.local(dataFolder(options));
  if (words.length === 0) return list(client, json);
  const song = await oneSong(client, askedFor(words));
  const pinned = await client.post<PinnedJson>('/api/pins', { song: song.id, pinned: true });
  process.stdout.write(json ? `${JSON.stringify({ song: song.id, ...pinned })}\n` : `${titleOf(song)} ${STATES[pinned.state ?? 'coming']}\n`);
}

/** A song that is on no machine now is known by its id alone. */
export async function unpin(words: readonly string[], { json, ...options }: PinOptions): Promise<void> {
  const client = await Client.local(dataFolder(options));
  const pins = await client.get<PinJson[]>('/api/pins');
  const asked = askedFor(words);
  const byId = looksLikeSongId(asked) ? pins.filter(({ songId }) => songId.startsWith(asked)) : [];
  const found = byId.length > 0 ? byId : await pinsFound(client, asked, pins);
  const [one, ...others] = found;
  if (!one) throw new PeerError('NOT_FOUND', `no pinned song matches '${asked}'; see: ${program} pin`);
  if (others.length > 0) throw several(asked, found.map(({ songId, title }) => ({ id: songId, title })), found.length);
  const unpinned = await client.post<PinnedJson>('/api/pins', { song: one.songId, pinned: false });
  process.stdout.write(json ? `${JSON.stringify({ song: one.songId, ...unpinned })}\n` : `${one.title || shortId(one.songId)} is pinned no more\n`);
}

async function list(client: Client, json: boolean | undefined): Promise<void> {
  const pins = await client.get<PinJson[]>('/api/pins');
  if (json) process.stdout.write(`${JSON.stringify(pins)}\n`);
  else if (pins.length === 0) process.stdout.write(`no song is pinned here; pin one with: ${program} pin WORDS\n`);
  else process.stdout.write(`${pinsText(pins, { width: columnsOf(process.stdout), colors: colorsFor(process.stdout) })}\n`);
}

/** A search for nothing finds everything. @throws PeerError BAD_USAGE */
function askedFor(words: readonly string[]): string {
  const asked = words.join(' ').trim();
  if (asked === '') throw new PeerError('BAD_USAGE', 'say words of the song, or its id');
  return asked;
}

/** What is kept for ever should be what was meant: the best of several will not do. */
async function oneSong(client: Client, asked: string): Promise<SongJson> {
  if (looksLikeSongId(asked)) {
    const [song] = await findSongs(client, asked, 1);
    if (song) return song;
  }
  const { songs, total } = await client.search(asked, NAMED);
  const [song, another] = songs;
  if (!song) throw new PeerError('NOT_FOUND', `no song matches '${asked}'`);
  if (another) throw several(asked, songs, total ?? songs.length);
  return song;
}

const pinsFound = async (client: Client, asked: string, pins: readonly PinJson[]): Promise<readonly PinJson[]> => {
  const pinned = new Map(pins.map((one) => [one.songId, one]));
  return (await client.search(asked, 1_000)).songs.flatMap(({ id }) => pinned.get(id) ?? []);
};

function several(asked: string, songs: readonly { readonly id: string; readonly title: string }[], total: number): PeerError {
  const named = songs.slice(0, NAMED).map(({ id, title }) => `${shortId(id)} ${title}`);
  return new PeerError('BAD_USAGE', `${plural(total, 'song')} match '${asked}'; say more words, or an id: ${named.join(', ')}${total > named.length ? ', …' : ''}`);
}
