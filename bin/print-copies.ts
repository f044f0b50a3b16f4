// How safe the music is, in words.
import type { LeavingJson, PinJson, SafeJson } from '../peer/http/copy-schemas.ts';
import type { StatusJson } from '../peer/http/schemas.ts';
import { shortId } from '../lib/ids.ts';
import { isDone } from './leave-wait.ts';
import { type Column, type Colors, table } from './print.ts';
import { program } from './program.ts';
import { formatBytes, plural, printable } from './text.ts';

/** Songs of a list that a person reads. */
const SONGS_SHOWN = 20;

type Counted = NonNullable<StatusJson['copies']>;

const machines = (count: number): string => plural(count, 'machine');

/** '180 songs on 2 machines, 20 on 1' */
function songsByMachines({ songs }: Pick<Counted, 'songs'>): string {
  const [first, ...rest] = Object.entries(songs).sort(([a], [b]) => Number(b) - Number(a));
  if (!first) return 'no songs';
  return [`${plural(first[1], 'song')} on ${machines(Number(first[0]))}`, ...rest.map(([on, count]) => `${count.toLocaleString('en')} on ${on}`)].join(', ');
}

/** Lines of status: how many songs are on as many machines as is wanted, and what is to be done. */
export function copiesLines({ wanted, songs, toDo, missing }: Counted, colors: Colors): string[] {
  const on = Object.entries(songs).map(([machines, count]) => ({ machines: Number(machines), count }));
  const sum = (some: typeof on): number => some.reduce((total, { count }) => total + count, 0);
  const enough = on.filter(({ machines }) => machines >= wanted);
  const fewer = sum(on) - sum(enough);
  const more = enough.some(({ machines }) => machines > wanted) ? ' or more' : '';
  const left = [
    ...(toDo > 0 ? [colors.cyan(`${toDo.toLocaleString('en')} to copy`)] : []),
    ...(missing > 0 ? [colors.yellow(`${missing.toLocaleString('en')} on no machine that is here`)] : []),
  ];
  return [
    on.length === 0 ? 'no songs' : `${plural(sum(enough), 'song')} on ${machines(wanted)}${more}${fewer > 0 ? `, ${fewer.toLocaleString('en')} on fewer` : ''}`,
    ...(left.length > 0 ? [left.join(', ')] : []),
  ];
}

interface Song {
  readonly title: string;
  readonly artist: string;
}

const titleOf = ({ title, artist }: Song): string => printable(artist ? `${title} by ${artist}` : title);

/** Their titles, and how many more there are. */
function songLines({ songs, total }: { readonly songs: readonly Song[]; readonly total: number }): string[] {
  const shown = songs.slice(0, SONGS_SHOWN).map((song) => `  ${titleOf(song)}`);
  return total > shown.length ? [...shown, `  … and ${(total - shown.length).toLocaleString('en')} more`] : shown;
}

const BEFORE_IT_GOES = `others may still drop what they have of it: before it is switched off for good, run there: ${program} leave`;

const unread = (whose: string): string => `the music folders of ${whose} are still being read: what was not read yet is not counted`;

/** What is not counted of this machine. */
const unreadHere = ({ scanning }: { readonly scanning: boolean }): string[] => (scanning ? [unread('this machine')] : []);

function foldersOf(some: LeavingJson['foldersMissing']): string {
  const names = some.map(({ id, name }) => printable(name) || shortId(id)).join(', ');
  return some.length === 1 ? `a music folder of ${names} is missing` : `music folders of ${names} are missing`;
}

/** What is counted, and cannot be played. */
const outOfReach = ({ foldersMissing }: SafeJson): string[] => (foldersMissing.length === 0 ? [] : [`${foldersOf(foldersMissing)}: what is there nobody can play`]);

/** What is not counted of the machine that was asked about. */
function unreadThere({ scanning }: NonNullable<SafeJson['vanishing']>, name: string): string[] {
  if (scanning === false) return [];
  return [scanning ? unread(name) : `${name} does not say whether it has read all of its music folders: what it has not read yet is not counted`];
}

/** Does nothing vanish with the machine that was asked about, by what is known now and as far as it has told all that it has? Nobody has promised
 *  to keep what he has: that is what `leave` waits for. */
export const isSafe = ({ vanishing }: SafeJson): boolean => vanishing === null || (vanishing.total === 0 && vanishing.scanning === false);

/** @param name of the machine that was asked about */
export function safeText(safe: SafeJson, name?: string): string {
  const { wanted, toDo, missing, vanishing } = safe;
  if (vanishing && name !== undefined) {
    const shown = printable(name);
    const rest = [...unreadThere(vanishing, shown), ...outOfReach(safe)];
    if (vanishing.total === 0) return [`by what is known now nothing would vanish with ${shown}`, ...rest, BEFORE_IT_GOES].join('\n');
    return [`with ${shown} ${plural(vanishing.total, 'song')} would vanish (${formatBytes(vanishing.bytes)}):`, ...songLines(vanishing), ...rest].join('\n');
  }
  const lines = [
    songsByMachines(safe),
    `wanted: each on ${machines(wanted)}${wanted === 1 ? ', so none is copied' : toDo > 0 ? `; ${toDo.toLocaleString('en')} still to copy` : ', and that is so as far as there are machines'}`,
    ...(missing > 0 ? [`${plural(missing, 'song')} ${missing === 1 ? 'is' : 'are'} on no machine that is here, and cannot be played whole`] : []),
    ...unreadHere(safe),
    ...outOfReach(safe),
  ];
  return lines.join('\n');
}

/** Why others that are here are not relied on. */
const unreliable = ({ foldersMissing }: LeavingJson): string => (foldersMissing.length === 0 ? '' : `; ${foldersOf(foldersMissing)}, and who cannot read its music confirms nothing`);

/** What is left to be done before a machine can be switched off. */
export function leavingText(leaving: LeavingJson): string {
  const { total, bytes, unconfirmed, others, localOnly, underWay, scanning } = leaving;
  if (isDone(leaving)) return 'everything that this machine has is on others too: it can be switched off';
  const only = `${plural(total, 'song')} (${formatBytes(bytes)}) ${total === 1 ? 'is' : 'are'} still only here`;
  if (others === 0) return `no other machine is here, to which anything could go${total > 0 ? `; ${only}` : ''}`;
  const why = unreliable(leaving);
  if (total > 0) return `${only}${underWay > 0 ? `; others are fetching ${underWay.toLocaleString('en')}` : ''}${why}`;
  if (scanning) return `the music folders here are still being read: what was not read yet may be only here${why}`;
  if (unconfirmed > 0) return `others have ${plural(unconfirmed, 'song')} of this machine, and have to confirm that they keep ${unconfirmed === 1 ? 'it' : 'them'}${why}`;
  return `no other machine has all yet that is written here${localOnly > 0 ? `; ${plural(localOnly, 'change')} that people made had reached none at once` : ''}${why}`;
}

/** Why nobody is to wait any longer. @param elsewhere whether it is in another network now */
export const withdrawnText = ({ elsewhere }: { readonly elsewhere: boolean }): string =>
  elsewhere
    ? `this machine has gone to another network meanwhile, where it has not said that it leaves; before it is switched off for good, run again: ${program} leave`
    : `this machine does not say any more that it leaves: somebody ran ${program} leave --cancel, or it was started anew`;

/** Why it does not go on. */
export function stuckText(leaving: LeavingJson): string {
  const why = whyStuck(leaving);
  return leaving.total > 0 ? [`${why}${unreliable(leaving)}; with this machine would vanish:`, ...songLines(leaving)].join('\n') : why;
}

function whyStuck(leaving: LeavingJson): string {
  const { total, others, silent, busy, underWay, room } = leaving;
  if (others === 0) return 'no other machine is here';
  if (silent === others) return `no other machine answers (${others.toLocaleString('en')} ${others === 1 ? 'is' : 'are'} here)`;
  if (total === 0) return `${leavingText(leaving)}${silent > 0 ? ` (${plural(silent, 'machine')} ${silent === 1 ? 'does' : 'do'} not answer)` : ''}`;
  if (busy > 0 && busy + silent === others) return 'the other machines play music, and fetch nothing meanwhile';
  if (!room) return `no other machine${silent + busy > 0 ? ' that answers and does not play music' : ''} has room for more (start one with a larger --cache)`;
  if (underWay > 0) return 'others are fetching, and none of these songs has come for a while';
  return 'others have room, and could not fetch these songs (their log says why)';
}

const STATES = { own: 'own file', here: 'here', coming: 'coming', waiting: 'waiting', gone: 'gone' } as const;

export function pinsText(pins: readonly PinJson[], { width, colors }: { readonly width: number; readonly colors: Colors }): string {
  const columns: Column[] = [
    { name: 'TITLE', share: 4, paint: colors.bold },
    { name: 'ARTIST', share: 3 },
    { name: 'STATE', share: 0 },
    { name: 'ID', share: 0, paint: colors.dim },
  ];
  const rows = pins.map(({ songId, title, artist, state, reason }) => [title || 'on no machine now', artist || '-', reason ? `${STATES[state]}: ${reason}` : STATES[state], shortId(songId)]);
  return table(columns, rows, { width, colors }).join('\n');
}
