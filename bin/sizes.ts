// Sizes as people type them: '10GB', '500M', '1.5 GiB', '10%'.
import { PeerError } from '../lib/errors.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  ...Object.fromEntries(['k', 'm', 'g', 't'].flatMap((unit, index) => [[unit, 1000 ** (index + 1)], [`${unit}b`, 1000 ** (index + 1)], [`${unit}ib`, 1024 ** (index + 1)]])),
};

/** @param whole what a percentage is of, in bytes
 *  @returns whole bytes. Throws BAD_USAGE. */
export function parseSize(text: string, whole: number): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*|%)$/i.exec(text.trim());
  const number = Number(match?.[1]);
  const unit = match?.[2]?.toLowerCase() ?? '';
  const bytes = unit === '%' ? (number / 100) * whole : number * (UNITS[unit] ?? Number.NaN);
  if (!Number.isFinite(bytes) || (unit === '%' && number > 100) || bytes > Number.MAX_SAFE_INTEGER) {
    throw new PeerError('BAD_USAGE', `'${text}' is no size; 10GB, 500M and 10% are`);
  }
  return Math.floor(bytes);
}
