// How a command ends when it fails: one clear line on stderr, and a code for scripts.
import { codeOf, messageOf } from '../lib/errors.ts';

export const FAILED = 1;
export const USAGE = 2;
export const NO_PEER = 3;
export const NOT_FOUND = 4;

const CODES: Readonly<Record<string, number>> = { BAD_USAGE: USAGE, ADDRESS_INVALID: USAGE, BAD_CODE: USAGE, NO_PEER, NOT_FOUND };

export function fail(error: unknown, { debug }: { readonly debug: boolean }): void {
  process.stderr.write(debug && error instanceof Error ? `${error.stack}\n` : `spotify-peer: ${messageOf(error)}\n`);
  for (let cause = (error as Error).cause; debug && cause; cause = (cause as Error).cause) process.stderr.write(`caused by ${(cause as Error).stack ?? cause}\n`);
  process.exitCode = CODES[codeOf(error) ?? ''] ?? FAILED;
}
