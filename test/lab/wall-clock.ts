// The wall clock of a peer on a host, which its user or a time server may set to anything at any moment: libfaketime answers in place
// of the C library, by what a file says at that moment. The monotonic clock goes on as ever, as it does when a real clock is set.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from './lab.ts';

const LIBRARIES = ['/usr/lib', '/usr/lib64', '/usr/local/lib'];

function library(): string | undefined {
  const folders = LIBRARIES.filter(existsSync).flatMap((folder) => [folder, ...readdirSync(folder).map((name) => join(folder, name))]);
  return folders.map((folder) => join(folder, 'faketime', 'libfaketime.so.1')).find(existsSync);
}

/** Why clocks cannot be set here, in the form of tap's `skip` option; false where they can. */
export const clocksMissing = (): false | string => (library() === undefined ? 'libfaketime missing (Debian: apt-get install libfaketime)' : false);

const file = (host: Host): string => join(host.directory, 'clock');

/** Sets the clock of what was started with `withClock` on this host. @param offset from the real time: '+1d', '-36h', '+0' */
export const setClock = (host: Host, offset: string): void => writeFileSync(file(host), `${offset}\n`);

/** The environment of a process that goes by the host's own clock. */
export function withClock(host: Host, offset: string): NodeJS.ProcessEnv {
  setClock(host, offset);
  // files keep the times that the machine gave them
  return { LD_PRELOAD: library(), FAKETIME_TIMESTAMP_FILE: file(host), FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1', NO_FAKE_STAT: '1' };
}
