// What an error is over HTTP: a status, a code for programs and one line for people. A fault of ours says nothing of itself.
import { codeOf, type ErrorCode, messageOf, PeerError } from '../../lib/errors.ts';

const STATUS: Partial<Record<ErrorCode, number>> = {
  BAD_CODE: 400,
  BAD_ID: 400,
  BAD_USAGE: 400,
  BUSY: 429,
  CHUNK_UNAVAILABLE: 503,
  CLONE: 503,
  CLOSED: 503,
  DATA_FOLDER_UNUSABLE: 507,
  DISK_FULL: 507,
  EXISTS: 409,
  FILE_CHANGED: 503,
  FORBIDDEN: 403,
  NO_PEER: 503,
  NOT_FOUND: 404,
  ROLE_UNAVAILABLE: 503,
  SONG_UNAVAILABLE: 503,
  TIMED_OUT: 503,
  TOO_LARGE: 413,
  UNSUPPORTED: 415,
};

/** Their own texts name paths of the machine. */
const DISK: Partial<Record<ErrorCode, string>> = {
  DATA_FOLDER_UNUSABLE: 'this machine cannot write its database any more; start spotify-peer again there',
  DISK_FULL: 'the disk of this machine is full; make room, then start spotify-peer again there',
};

/** What fastify itself refuses, by its own status: a body that is too large, not JSON, of another type, a bad URL. */
const REFUSED: ReadonlyMap<number, readonly [code: string, message: string]> = new Map([
  [400, ['BAD_USAGE', 'this request cannot be understood']],
  [413, ['TOO_LARGE', 'this body is too large']],
  [414, ['TOO_LARGE', 'this address is too long']],
  [415, ['UNSUPPORTED', 'bodies have to be application/json']],
] as const);

export interface HttpError {
  readonly status: number;
  readonly body: { readonly error: { readonly code: string; readonly message: string } };
}

const httpError = (status: number, code: string, message: string): HttpError => ({ status, body: { error: { code, message } } });

export const NOTHING_HERE: HttpError = httpError(404, 'NOT_FOUND', 'there is nothing here');

export function httpErrorOf(error: unknown): HttpError {
  if (error instanceof PeerError) {
    const status = STATUS[error.code];
    return status === undefined ? httpError(500, error.code, 'this failed on the peer') : httpError(status, error.code, DISK[error.code] ?? messageOf(error));
  }
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  // A path that leaves the page's folder is forbidden by @fastify/static; that there is such a path is not told.
  if (status === 403 || status === 404) return NOTHING_HERE;
  const refused = typeof status === 'number' && codeOf(error)?.startsWith('FST_') ? REFUSED.get(status) : undefined;
  if (refused !== undefined) return httpError(status as number, ...refused);
  return httpError(500, 'INTERNAL', 'something went wrong on the peer');
}
