// Which module serves which role, and from when on.
//
// Four idle threads cost 30 MB of resident memory and 25 ms each to start, whatever is imported (Node 20, measured with heaps as
// small as they go and empty modules); a lone peer holds all four roles. So a service gets its thread with the first call, while
// the lease counts from the grant: nobody waits for a takeover longer, and a service that nobody called has nothing that could be
// unwell. Those that work by themselves start at the grant.
import { extname } from 'node:path';
import type { Role } from '../../lib/roles.ts';

export type Programs = Readonly<Record<Role, URL>>;

/** This file's own extension: .js when built, .ts when run by a loader. */
const programAt = (name: string): URL => new URL(`./${name}${extname(import.meta.url)}`, import.meta.url);

export const PROGRAMS: Programs = {
  gateway: programAt('gateway'),
  users: programAt('waiting'),
  music: programAt('music'),
  recommendations: programAt('waiting'),
};

/** The gateway watches the web address; the others have nothing to do of their own yet. */
export const AT_GRANT: ReadonlySet<Role> = new Set(['gateway']);
