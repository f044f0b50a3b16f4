// Coordination as `status` and `roles` show it.
import { messageOf } from '../../lib/errors.ts';
import type { PeerId } from '../../lib/ids.ts';
import { ROLES, type Role, tokenText } from '../../lib/roles.ts';
import type { RoleJson, StatusJson } from '../http/schemas.ts';
import type { Health } from '../services/service.ts';
import type { Duties } from './duties.ts';

type Shown = Pick<StatusJson, 'coordinator' | 'election' | 'roles' | 'leases' | 'gatewayName'>;

/** For who wonders. */
const NO_CANDIDATE: Partial<Record<Role, string>> = { gateway: 'no machine may hold it (--http, --roles)' };

const ofEach = <T>(of: (role: Role) => T): Readonly<Record<Role, T>> => Object.fromEntries(ROLES.map((role) => [role, of(role)])) as Record<Role, T>;

export function coordinationShown(duties: Duties, gatewayName: string | null): Shown {
  const { coordinator } = duties;
  return {
    coordinator: coordinator && { id: coordinator.peer, term: coordinator.term, ageMs: Math.round(coordinator.ageMs) },
    election: duties.phase,
    roles: ofEach((role) => duties.holder(role)?.peer ?? null),
    leases: ofEach((role) => {
      const claim = duties.holder(role);
      return claim?.token ? { peer: claim.peer, token: tokenText(claim.token), heldMs: Math.round(claim.heldMs), heardMs: Math.round(claim.heardMs) } : null;
    }),
    gatewayName,
  };
}

/** Asks every holder how its service is. */
export const rolesShown = (duties: Duties, { nameOf, gatewayName }: { readonly nameOf: (peer: PeerId) => string; readonly gatewayName: string | undefined }): Promise<RoleJson[]> =>
  Promise.all(
    ROLES.map(async (role): Promise<RoleJson> => {
      const claim = duties.holder(role);
      const vacant = { role, holder: null, name: '', token: null, heldMs: null, healthy: null, why: duties.hasCandidate(role) ? null : (NO_CANDIDATE[role] ?? 'no machine may hold it (--roles)') };
      if (!claim) return vacant;
      const health = await duties.health(role).catch((error: unknown): Health => ({ healthy: false, why: messageOf(error) }));
      const port = role === 'gateway' && gatewayName ? await duties.call(role, 'port', null).catch(() => undefined) : undefined;
      return {
        role,
        holder: claim.peer,
        name: nameOf(claim.peer),
        token: claim.token && tokenText(claim.token),
        heldMs: Math.round(claim.heldMs),
        healthy: health.healthy,
        why: health.healthy ? null : health.why,
        ...(Number.isInteger(port) && { url: `http://${gatewayName}:${port}/` }),
      };
    }),
  );
