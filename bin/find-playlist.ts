// Which playlist somebody means who types a name, or the start of an id. A number in a playlist is looked up here too, so that what is
// asked of the peer names items by their ids: numbers change while others edit.
import { PeerError } from '../lib/errors.ts';
import { shortId } from '../lib/ids.ts';
import { comparable, typedName } from '../lib/typed-names.ts';
import { PLAYLIST_NAME_CHARACTERS_MAX } from '../lib/limits.ts';
import type { ItemJson, PlaylistJson, PlaylistPageJson } from '../peer/http/user-schemas.ts';
import type { Client } from './client.ts';
import { program } from './program.ts';
import { plural, printable } from './text.ts';

const ID_START = /^[0-9a-f]{4,32}$/i;
const ITEM_ID = /^[0-9a-f]{16}$/;
const NUMBER = /^\d{1,9}$/;

/** By name among those of a profile, or by the start of an id among all.
 *  @throws PeerError NOT_FOUND, BAD_USAGE when several fit */
export async function findPlaylist(client: Client, asked: string, profile: string): Promise<PlaylistJson> {
  const all = await client.get<PlaylistJson[]>('/api/playlists');
  const name = comparable(typedName(asked, { what: "a playlist's name", charactersMax: PLAYLIST_NAME_CHARACTERS_MAX }));
  const isNamed = (playlist: PlaylistJson): boolean => comparable(playlist.name) === name;
  const isMine = ({ owner }: PlaylistJson): boolean => comparable(owner) === comparable(profile);
  const fitting = all.filter((playlist) => (isNamed(playlist) && isMine(playlist)) || (ID_START.test(asked) && playlist.id.startsWith(asked.toLowerCase())));
  const [playlist, another] = fitting;
  if (another) {
    const candidates = fitting.map((candidate) => `${candidate.name} (${candidate.owner}, ${candidate.id.slice(0, 12)})`);
    throw new PeerError('BAD_USAGE', printable(`'${asked}' fits several playlists: ${candidates.join(', ')}; give more of an id`));
  }
  if (playlist) return playlist;
  const [others] = all.filter(isNamed);
  const hint = others ? `${others.owner} has one: add --profile '${others.owner}'` : `see: ${program} playlist list (names with spaces need quotes)`;
  throw new PeerError('NOT_FOUND', printable(`${profile} has no playlist '${asked}'; ${hint}`));
}

/** With all of its items, page by page. */
export async function readPlaylist(client: Client, id: string): Promise<PlaylistPageJson> {
  const items: ItemJson[] = [];
  for (;;) {
    const page = await client.get<PlaylistPageJson>(`/api/playlists/${id}?offset=${items.length}`);
    items.push(...page.items);
    if (page.items.length === 0 || items.length >= page.songs) return { ...page, items };
  }
}

/** @param asked its number in the list, from 1, or its whole id as --json has it
 *  @throws PeerError BAD_USAGE, NOT_FOUND */
export function itemAt({ name, items }: PlaylistPageJson, asked: string): ItemJson {
  const item = ITEM_ID.test(asked) ? items.find(({ id }) => id === asked) : items[numberIn(asked) - 1];
  if (item) return item;
  throw new PeerError('NOT_FOUND', printable(`there is no number ${asked} in ${name}, which has ${plural(items.length, 'song')}`));
}

/** @throws PeerError BAD_USAGE */
export function numberIn(asked: string): number {
  if (NUMBER.test(asked) && Number(asked) > 0) return Number(asked);
  throw new PeerError('BAD_USAGE', `'${asked}' is no number in a playlist: 1 is the first song`);
}

export const nameAndId = ({ name, id }: Pick<PlaylistJson, 'name' | 'id'>): string => `${printable(name)} (${shortId(id)})`;
