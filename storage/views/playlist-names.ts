// Two sides of a partition may each make a playlist of one name. Nobody can be asked then, so the name is settled on read: who was
// born first keeps it, the others are shown as `name-2`, `name-3`, …. Births do not change when a playlist is edited or
// renamed (lib/playlist.ts), so no edit makes two playlists change places; only a deletion lets those behind move up.
import type { PlaylistId } from '../../lib/ids.ts';
import type { PlaylistRecord } from '../../lib/playlist.ts';
import { comparable } from '../../lib/typed-names.ts';

export type NamedPlaylist = Pick<PlaylistRecord, 'name' | 'born'> & { readonly id: PlaylistId };

/** Births of one moment, on two sides that did not hear each other, go by the ids that they drew. */
export const byBirth = (a: NamedPlaylist, b: NamedPlaylist): number => a.born - b.born || (a.id < b.id ? -1 : 1);

/** @param playlists all of one profile
 *  @returns a name for each, no two of them equal as `comparable` sees it */
export function shownNames(playlists: readonly NamedPlaylist[]): Map<PlaylistId, string> {
  const byName = new Map<string, NamedPlaylist[]>();
  for (const playlist of playlists) {
    const name = comparable(playlist.name);
    const namesakes = byName.get(name);
    if (namesakes) namesakes.push(playlist);
    else byName.set(name, [playlist]);
  }
  const shown = new Map<PlaylistId, string>();
  for (const namesakes of byName.values()) {
    let number = 1;
    for (const { id, name } of namesakes.sort(byBirth)) {
      let candidate = name;
      // a number that somebody really chose as a name is passed over
      if (number > 1) while (byName.has(comparable((candidate = `${name}-${number}`)))) number += 1;
      shown.set(id, candidate);
      number += 1;
    }
  }
  return shown;
}
