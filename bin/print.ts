// What search and status look like in a terminal. Lines fit its width; colours are there only where somebody sees them.
import pc from 'picocolors';
import { shortId } from '../lib/ids.ts';
import type { OtherVersionJson, SongJson, StatusJson } from '../peer/http/schemas.ts';
import { program } from './program.ts';
import { fit, formatAge, formatBytes, formatDuration, plural, printable, widthOf } from './text.ts';

export type Colors = ReturnType<typeof pc.createColors>;

interface Stream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** Honours NO_COLOR (https://no-color.org) and TERM=dumb; a file or pipe gets none. */
export const colorsFor = (stream: Stream, env: NodeJS.ProcessEnv = process.env): Colors =>
  pc.createColors(stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb');

const COLUMNS_DEFAULT = 100;
const COLUMNS_LEAST = 40;

/** A pipe has no width; its lines are as long as a wide terminal's. */
export const columnsOf = (stream: Stream): number => Math.max(COLUMNS_LEAST, stream.columns ?? COLUMNS_DEFAULT);

export interface Column {
  readonly name: string;
  readonly align?: 'right';
  /** Share of the width that is left after the fixed columns; 0 is as wide as its widest cell. */
  readonly share: number;
  readonly paint?: (text: string) => string;
}

const GAP = '  ';

export function table(columns: readonly Column[], rows: readonly (readonly string[])[], { width, colors }: { readonly width: number; readonly colors: Colors }): string[] {
  const widest = columns.map(({ name }, index) => Math.max(widthOf(name), ...rows.map((row) => widthOf(printable(row[index] as string)))));
  const fixed = columns.reduce((sum, { share }, index) => sum + (share === 0 ? (widest[index] as number) : 0), GAP.length * (columns.length - 1));
  const shares = columns.reduce((sum, { share }) => sum + share, 0);
  const widths = columns.map(({ share }, index) => (share === 0 ? (widest[index] as number) : Math.max(6, Math.min(widest[index] as number, Math.floor(((width - fixed) * share) / shares)))));
  const line = (cells: readonly string[], paint: (column: Column) => (text: string) => string): string =>
    cells.map((cell, index) => paint(columns[index] as Column)(fit(cell, widths[index] as number, columns[index]?.align))).join(GAP).trimEnd();
  const plain = (text: string): string => text;
  return [line(columns.map(({ name }) => name), () => colors.dim), ...rows.map((row) => line(row, ({ paint }) => paint ?? plain))];
}

export interface SongTableOptions {
  readonly width: number;
  readonly colors: Colors;
  /** How many songs match in all, when that is known. */
  readonly total: number | null;
}

export function songTable(songs: readonly SongJson[], { width, colors, total }: SongTableOptions): string {
  if (songs.length === 0) return 'no song matches';
  const columns: Column[] = [
    { name: 'TITLE', share: 4, paint: colors.bold },
    { name: 'ARTIST', share: 3 },
    ...(width >= 70 ? [{ name: 'ALBUM', share: 3 }] : []),
    { name: 'TIME', share: 0, align: 'right' as const },
    { name: 'ON', share: 0, align: 'right' as const },
    { name: 'ID', share: 0, paint: colors.dim },
  ];
  const rows = songs.map((song) => [
    song.title,
    song.artist || '-',
    ...(width >= 70 ? [song.album || '-'] : []),
    formatDuration(song.durationMs),
    String(song.providers.length),
    shortId(song.id),
  ]);
  const more = (total ?? songs.length) - songs.length;
  return [...table(columns, rows, { width, colors }), ...(more > 0 ? [colors.dim(`and ${plural(more, 'more song')}; --limit shows more`)] : [])].join('\n');
}

const MODES: Readonly<Record<StatusJson['network']['mode'], string>> = {
  multicast: 'over multicast',
  names: 'over names only: multicast does not arrive here',
  unicast: 'over known addresses only: neither multicast nor names arrive here',
};

/** One line for a person, in `start` and in `status`. @param own the version that this peer speaks */
export function otherVersionText({ name, address, version }: Omit<OtherVersionJson, 'peer'>, own: number): string {
  const who = printable(name ? `${name} (${address})` : address);
  if (version === null) return `${who} speaks another version of the protocol; update the older of the two`;
  return `${who} speaks version ${version} of the protocol; update ${version < own ? 'it' : `this one, which speaks version ${own}`}`;
}

/** How far what is here is everywhere: what a person wants to know before switching a machine off. */
function replicationText({ members, replication }: StatusJson): string {
  const here = members.filter(({ state, apart }) => state === 'alive' && apart == null);
  const inSync = here.filter((member) => member.inSync).length;
  const coming = replication.behind > 0 ? `; ${plural(replication.behind, 'change')} still to come` : '';
  if (here.length === 0) return `nobody else of this network is here${coming}`;
  if (inSync === here.length && coming === '') return `in sync with everybody here (${here.length})`;
  return `in sync with ${inSync} of ${plural(here.length, 'machine')}${coming}`;
}

/** Whoever is in sync has them by now. */
function localOnlyText({ members, replication: { localOnly = 0 } }: StatusJson): string {
  const spread = members.some(({ state, apart, inSync }) => state === 'alive' && apart == null && inSync);
  return `${plural(localOnly, 'change')} since the start reached no other machine at once${spread ? '; by now others have them' : ''}`;
}

export function statusText(status: StatusJson, { width, colors }: { readonly width: number; readonly colors: Colors }): string {
  const { peer, network, members, coordinator, catalog, cache, replication } = status;
  const label = (text: string): string => colors.dim(fit(text, 12));
  const nameOf = (id: string): string => printable(id === peer.id ? peer.name : (members.find((member) => member.id === id)?.name ?? shortId(id)));
  const shown = (title: string, text: string): string => `${label(title)}${text}`;
  const scan = catalog.scan == null ? 'scanning' : `scanning, ${catalog.scan.done.toLocaleString('en')} of ${plural(catalog.scan.total, 'file')}`;
  const held = Object.entries(status.roles).filter((entry): entry is [string, string] => entry[1] !== null);
  const lines = [
    shown('peer', `${colors.bold(printable(peer.name))}  ${colors.dim(shortId(peer.id))}  up ${formatAge(peer.uptimeMs)}`),
    shown('network', `${printable(network.name)}, ${network.open ? colors.yellow('open') : colors.green('closed')}, ${MODES[network.mode]}`),
    shown('coordinator', coordinator === null ? '-' : `${nameOf(coordinator.id)}, term ${coordinator.term}`),
    ...(held.length === 0 ? [] : [shown('roles', held.map(([role, id]) => `${role}: ${nameOf(id)}`).join(', '))]),
    shown('music', `${plural(catalog.songs, 'song')}, ${plural(catalog.albums, 'album')}, ${plural(catalog.artists, 'artist')}; ${catalog.ownSongs.toLocaleString('en')} of them here${catalog.scanning ? colors.cyan(` (${scan})`) : ''}`),
    ...(catalog.problems ? [shown('', `${plural(catalog.problems, 'file')} cannot be shared; status --files says why`)] : []),
    shown('cache', `${formatBytes(cache.bytes)} of ${formatBytes(cache.bytesMax)}, ${plural(cache.songs, 'song')}`),
    shown('changes', replicationText(status)),
    ...(replication.localOnly ? [shown('', localOnlyText(status))] : []),
    ...(network.apart ?? []).map(({ id, peer: with_, name }) =>
      shown('', colors.yellow(`another network of this name is here (${shortId(id)}, with ${printable(name || shortId(with_))}); to make them one: ${program} network join ${shortId(id)}`)),
    ),
    ...(network.otherVersions ?? []).map((other) => shown('', colors.yellow(otherVersionText(other, network.version ?? 0)))),
    '',
  ];
  if (members.length === 0) return [...lines, 'no other peer is known yet'].join('\n');
  const states = { alive: colors.green, suspect: colors.yellow, dead: colors.red, left: colors.dim };
  const rows = members.map((member) => [member.name, member.state, member.address, member.roles.join(', ') || '-', conditionOf(member)]);
  const columns: Column[] = [
    { name: 'PEER', share: 2, paint: colors.bold },
    { name: 'STATE', share: 0, paint: (text) => (states[text.trim() as keyof typeof states])(text) },
    { name: 'ADDRESS', share: 2 },
    { name: 'ROLES', share: 1 },
    { name: '', share: 0, paint: colors.dim },
  ];
  return [...lines, ...table(columns, rows, { width, colors })].join('\n');
}

function conditionOf({ state, apart, inSync, lastHeardMs }: StatusJson['members'][number]): string {
  if (state !== 'alive') return `heard ${formatAge(lastHeardMs)} ago`;
  if (apart != null) return `in network ${shortId(apart)}`;
  return inSync ? 'in sync' : 'catching up';
}
