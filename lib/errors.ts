// One class of error for everything the world does to us. A code is for programs, the message is one line for a person
// and says what to do, the cause is for `--debug`. Our own bugs are not PeerErrors: they are assertions, and they crash.

export type ErrorCode =
  | 'ADDRESS_INVALID'
  | 'BAD_CODE'
  | 'BAD_FILE'
  | 'BAD_FRAME'
  | 'BAD_ID'
  | 'BAD_MESSAGE'
  | 'BAD_OPERATION'
  | 'BAD_PROOF'
  | 'BAD_USAGE'
  | 'BUSY'
  | 'CANCELLED'
  | 'CHUNK_UNAVAILABLE'
  | 'CHUNK_WRONG'
  | 'CLONE'
  | 'CLOSED'
  | 'CONNECTION_LOST'
  | 'CONNECTION_REFUSED'
  | 'DATA_FOLDER_IN_USE'
  | 'DATA_FOLDER_UNUSABLE'
  | 'DISK_FULL'
  | 'EXISTS'
  | 'FILE_CHANGED'
  | 'FORBIDDEN'
  | 'HANDSHAKE_FAILED'
  | 'INTERNAL'
  | 'NO_PEER'
  | 'NO_PLAYER'
  | 'NOT_AUDIO'
  | 'NOT_FOUND'
  | 'OTHER_NETWORK'
  | 'PORT_TAKEN'
  /** Whoever is to decide this cannot just now. Another try, here or where the role has gone, may succeed; the one that failed may
   *  have been carried out. */
  | 'ROLE_UNAVAILABLE'
  | 'SELF'
  | 'SONG_UNAVAILABLE'
  | 'STALE_DELTA'
  | 'TIMED_OUT'
  | 'TOO_LARGE'
  | 'UNREADABLE'
  | 'UNSUPPORTED'
  | 'WRONG_PEER';

export class PeerError extends Error {
  override readonly name = 'PeerError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The code of an error of ours or of the operating system ('ENOENT'), or undefined. */
export const codeOf = (error: unknown): string | undefined => {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
};

/** What a person is told of any error: its first line, never a stack. */
export const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] as string;
