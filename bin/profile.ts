// Under which name a command speaks: that of the person who is logged in here.
import { userInfo } from 'node:os';
import { PROFILE_CHARACTERS_MAX } from '../lib/limits.ts';
import { profileNamed } from '../lib/profile.ts';
import type { DataOptions } from './data-folder.ts';

export interface ProfileOptions extends DataOptions {
  readonly profile?: string;
  readonly json?: boolean;
}

/** What a user without a name in the system's list is called; containers have such users. */
const NAMELESS = 'me';

/** As the person typed it, or as the system calls them.
 *  @throws PeerError BAD_USAGE */
export const profileOf = ({ profile }: ProfileOptions): string => profileNamed(profile ?? systemName().slice(0, PROFILE_CHARACTERS_MAX)).name;

function systemName(): string {
  try {
    return userInfo().username || NAMELESS;
  } catch {
    return process.env['USER'] || process.env['USERNAME'] || NAMELESS;
  }
}
