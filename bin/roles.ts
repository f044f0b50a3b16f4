// `--roles`: what this machine may hold, as people type it.
import { PeerError } from '../lib/errors.ts';
import { isRole, type Role, ROLES } from '../lib/roles.ts';

/** Names with commas between them, in any case; or `all`, or `none`. In the order of ROLES.
 *  @throws PeerError BAD_USAGE */
export function parseRoles(text: string): readonly Role[] {
  const words = text.toLowerCase().split(',').map((word) => word.trim());
  const [word] = words;
  if (words.length === 1 && word === 'all') return ROLES;
  if (words.length === 1 && word === 'none') return [];
  const strange = words.find((word) => !isRole(word));
  if (strange !== undefined) throw new PeerError('BAD_USAGE', `--roles takes ${ROLES.join(', ')} with commas between them, or all, or none; and not '${text.trim()}'`);
  return ROLES.filter((role) => words.includes(role));
}
