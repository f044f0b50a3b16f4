// Addresses as options give them.
import { type Address, parseAddress } from '../discovery/address.ts';
import { GROUP_PORT, groupAddress } from '../discovery/group.ts';
import { PEER_PORT_DEFAULT } from '../peer/ports.ts';
import { PeerError } from '../lib/errors.ts';

/** `ADDR:PORT` of the groups' base. @throws PeerError ADDRESS_INVALID */
export function parseGroup(text: string): Address {
  const address = parseAddress(text, GROUP_PORT);
  groupAddress(address.host, 'catalog');
  return address;
}

/** @throws PeerError ADDRESS_INVALID */
export const parsePeer = (text: string): Address => parseAddress(text, PEER_PORT_DEFAULT);

/** @throws PeerError BAD_USAGE */
export function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new PeerError('BAD_USAGE', `'${text}' is not a port: 0 to 65535`);
  return port;
}
