// Which bytes of a representation a request wants (RFC 9110, 13 and 14). Players ask for parts to seek, and ask again
// with If-Range after a pause.

export type Wanted =
  | { readonly kind: 'whole' }
  /** [start, end) */
  | { readonly kind: 'part'; readonly start: number; readonly end: number }
  | { readonly kind: 'unsatisfiable' }
  | { readonly kind: 'unchanged' };

export interface Conditions {
  readonly range?: string | undefined;
  readonly ifRange?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
}

const WHOLE: Wanted = { kind: 'whole' };
const ONE_RANGE = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i;

const weak = (tag: string): string => tag.trim().replace(/^W\//, '');

/** Is a part wanted that does not begin with the first byte? */
export const goesOn = (range: string | undefined): boolean => range !== undefined && !/^bytes=[ \t]*0+-/i.test(range);

/** @param etag with its quotes; strong
 *  @param bytes of the whole */
export function wanted({ range, ifRange, ifNoneMatch }: Conditions, { etag, bytes }: { readonly etag: string; readonly bytes: number }): Wanted {
  if (ifNoneMatch !== undefined && (ifNoneMatch.trim() === '*' || ifNoneMatch.split(',').some((tag) => weak(tag) === etag))) {
    return { kind: 'unchanged' };
  }
  if (range === undefined) return WHOLE;
  // We send no Last-Modified, so a date in If-Range cannot be ours; nor do weak tags compare here.
  if (ifRange !== undefined && ifRange.trim() !== etag) return WHOLE;
  // Several ranges, other units and nonsense are ignored, which the RFC allows: no player sends them.
  const match = ONE_RANGE.exec(range);
  if (match === null) return WHOLE;
  const [, first, last] = match as unknown as [string, string, string];
  if (first === '') {
    if (last === '') return WHOLE;
    const suffix = Number(last);
    return suffix === 0 || bytes === 0 ? { kind: 'unsatisfiable' } : { kind: 'part', start: Math.max(0, bytes - suffix), end: bytes };
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) return WHOLE;
  if (start >= bytes) return { kind: 'unsatisfiable' };
  return { kind: 'part', start, end: last === '' ? bytes : Math.min(bytes, Number(last) + 1) };
}
