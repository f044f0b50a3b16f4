// Tables in a terminal, and what search looks like in one. Lines fit its width; colours are there only where somebody sees them.
import pc from 'picocolors';
import { shortId } from '../lib/ids.ts';
import type { SongJson } from '../peer/http/schemas.ts';
import { fit, formatDuration, plural, printable, widthOf } from './text.ts';

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
