// What the views have to be after it all, from two sides: the record of what people were told (people.ts) says what each host's
// registers hold, and the rules of "What people make" in docs/PROTOCOL.md say what registers of many hosts make together. They
// are written down here once more, in a few lines, so that the program's merging is compared with something that is not it.
import type { Api } from './api.ts';
import type { Person, Words } from './people.ts';
import type { View } from './views.ts';

type Event = Awaited<ReturnType<Api['log']>>[number];

/** Registers that do not say what their host was told last, and what is in the log though nobody asked for it.
 *  @param people by the ids of their peers */
export function contradictions(log: readonly Event[], people: ReadonlyMap<string, Person>): string[] {
  const found = new Map(log.map((event) => [`${event.origin} ${event.key}`, event]));
  const wrong: string[] = [];
  for (const [origin, { record }] of people) {
    for (const [key, words] of record) {
      const last = words.findLastIndex(({ acknowledged }) => acknowledged);
      // before anything was acknowledged there may be nothing
      const may = new Set<boolean | undefined>(words.slice(Math.max(0, last)).map(({ deleted }) => deleted));
      if (last < 0) may.add(undefined);
      const event = found.get(`${origin} ${key}`);
      const is = event && event.deleted === true;
      if (!may.has(is)) wrong.push(`${key} of ${origin} is ${said(is)}, and should be ${[...may].map(said).join(' or ')}`);
    }
  }
  const known = (key: string): boolean => [...people.values()].some(({ record }) => record.has(key));
  const strange = new Map<string, number>();
  for (const { kind, key } of log) {
    const [, playlist = ''] = key.split('/');
    if (kind === 'item' && known(`playlist/${playlist}`) && !known(key)) strange.set(playlist, (strange.get(playlist) ?? 0) + 1);
    if (kind === 'star' && !known(key)) wrong.push(`nobody ever said ${key}`);
  }
  for (const [playlist, count] of strange) {
    const unanswered = [...people.values()].reduce((sum, { unknown }) => sum + (unknown.get(playlist) ?? 0), 0);
    if (count > unanswered) wrong.push(`playlist ${playlist} has ${count} items that nobody was told of, of ${unanswered} that might have been added`);
  }
  return wrong;
}

const said = (deleted: boolean | undefined): string => (deleted === undefined ? 'not there' : deleted ? 'deleted' : 'there');

/** What is shown, as far as it follows from which registers are there. */
export interface Shown {
  readonly playlists: readonly string[];
  readonly items: readonly string[];
  readonly stars: readonly string[];
}

/** By the rules, from the log, in which events stand in the order of their stamps. */
export function predict(log: readonly Event[]): Shown {
  const deleted = new Set(log.filter((event) => event.deleted).map(({ key }) => key));
  const newest = new Map(log.map((event) => [event.key, event]));
  const isThere = (kind: string) => (key: string): boolean => newest.get(key)?.kind === kind && !deleted.has(key);
  const playlists = [...newest.keys()].filter(isThere('playlist'));
  const items = [...newest.keys()].filter(isThere('item')).filter((key) => playlists.includes(`playlist/${key.split('/')[1]}`));
  const stars = [...newest.values()].filter((event) => event.kind === 'star' && !event.deleted).map(({ key }) => key);
  return { playlists: playlists.sort(), items: items.sort(), stars: stars.sort() };
}

export const shown = ({ playlists, stars }: View): Shown => ({
  playlists: playlists.map(({ id }) => `playlist/${id}`).sort(),
  items: playlists.flatMap(({ id, items }) => items.map((item) => `item/${id}/${item.id}`)).sort(),
  stars: Object.entries(stars).flatMap(([profile, songs]) => songs.map((song) => `star/${profile}/song/${song}`)).sort(),
});

/** What follows from the record alone, whatever order the merging goes by. @returns what is wrong with the view */
export function broken(view: View, people: Iterable<Person>): string[] {
  const all = shown(view);
  const [playlists, items, stars] = [new Set(all.playlists), new Set(all.items), new Set(all.stars)];
  const words: Words = new Map();
  for (const { record } of people) for (const [key, said] of record) words.set(key, [...(words.get(key) ?? []), ...said]);
  const surely = (key: string): boolean => words.get(key)?.some(({ deleted, acknowledged }) => deleted && acknowledged) ?? false;
  const maybe = (key: string): boolean => words.get(key)?.some(({ deleted }) => deleted) ?? false;
  const isMade = (key: string): boolean => words.get(key)?.some(({ deleted, acknowledged }) => !deleted && acknowledged) ?? false;
  const wrong: string[] = [];
  for (const [key, said] of words) {
    const [kind, playlist] = key.split('/');
    const list = `playlist/${playlist}`;
    if (kind === 'playlist' && isMade(key) && !maybe(key) && !playlists.has(key)) wrong.push(`${key} was made and is not there`);
    if (kind === 'playlist' && surely(key) && playlists.has(key)) wrong.push(`${key} was deleted and is there`);
    if (kind === 'item' && isMade(key) && !maybe(key) && !maybe(list) && !items.has(key)) wrong.push(`${key} was added and is not there`);
    if (kind === 'item' && (surely(key) || surely(list)) && items.has(key)) wrong.push(`${key} was removed and is there`);
    if (kind !== 'star') continue;
    if (said.every(({ deleted }) => !deleted) && isMade(key) && !stars.has(key)) wrong.push(`${key}: everybody starred it, and it is not starred`);
    if (said.every(({ deleted }) => deleted) && stars.has(key)) wrong.push(`${key}: nobody starred it, and it is starred`);
  }
  return wrong;
}
