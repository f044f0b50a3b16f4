// Texts in a terminal: how wide they are, cut to fit, and stripped of what would command the terminal. Titles and names
// come from other machines' files, so an escape sequence among them is an attack.

const SEGMENTS = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
/** Controls, line and paragraph separators, and the marks that turn the writing direction of what follows. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;
/** What Unicode's EastAsianWidth calls wide or fullwidth, as far as music is titled in it, and emoji. */
const WIDE = /^[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]|^\p{Emoji_Presentation}|\ufe0f/u;
const ZERO = /^[\p{Mn}\p{Me}\p{Cf}]+$/u;

export const printable = (text: string): string => text.replace(UNPRINTABLE, ' ');

const widthOfSegment = (segment: string): number => (ZERO.test(segment) ? 0 : WIDE.test(segment) ? 2 : 1);

/** Columns that a text takes; of text without escape sequences. */
export function widthOf(text: string): number {
  let width = 0;
  for (const { segment } of SEGMENTS.segment(text)) width += widthOfSegment(segment);
  return width;
}

/** Exactly `columns` wide: padded, or cut with an ellipsis between characters. */
export function fit(text: string, columns: number, align: 'left' | 'right' = 'left'): string {
  const clean = printable(text);
  const width = widthOf(clean);
  if (width <= columns) {
    const space = ' '.repeat(columns - width);
    return align === 'left' ? clean + space : space + clean;
  }
  let kept = '';
  let used = 0;
  for (const { segment } of SEGMENTS.segment(clean)) {
    const next = widthOfSegment(segment);
    if (used + next > columns - 1) break;
    kept += segment;
    used += next;
  }
  return columns <= 0 ? '' : `${kept}…${' '.repeat(columns - 1 - used)}`;
}

/** '3:07', '1:02:03'; '-' when unknown. */
export function formatDuration(durationMs: number): string {
  if (durationMs <= 0) return '-';
  const seconds = Math.round(durationMs / 1000);
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, String(seconds % 60).padStart(2, '0')];
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

/** How long ago or since: '12 s', '5 min', '3 h', '2 d'. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 6_000) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** How long something took: '0.4 ms', '61 ms', '1.3 s', '12 s', '5 min'. */
export function formatSpan(ms: number): string {
  if (ms < 9.95) return `${Number(ms.toFixed(1))} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  return ms < 9_950 ? `${Number((ms / 1000).toFixed(1))} s` : formatAge(ms);
}

/** '1.6 GB': decimal units with three digits at most, as disks are sold. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (unit < units.length - 1 && value >= (unit === 0 ? 1000 : 999.5)) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : Number(value.toFixed(1))} ${units[unit]}`;
}

export const plural = (count: number, one: string, many = `${one}s`): string => `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
