// Which machine somebody means who types a name or the start of an id.
import { PeerError } from '../lib/errors.ts';
import type { StatusJson } from '../peer/http/schemas.ts';

type Found = Pick<StatusJson['members'][number], 'id' | 'name' | 'state'>;

/** @throws PeerError NOT_FOUND, BAD_USAGE */
export function findPeer(peers: readonly Found[], asked: string): Found {
  const [peer, another] = peers.filter(({ id, name }) => name === asked || (asked.length >= 4 && id.startsWith(asked.toLowerCase())));
  if (!peer) throw new PeerError('NOT_FOUND', `no machine is called '${asked}'; status lists them`);
  if (another) throw new PeerError('BAD_USAGE', `several machines are called '${asked}'; give the start of an id instead`);
  return peer;
}
