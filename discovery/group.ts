// Naming groups: a multicast address for each function, so that a peer joins what it needs and the network's switches and
// kernels do the filtering. `members` carries beats and elections, `catalog` carries new operations.
import assert from 'node:assert/strict';
import { isIPv4 } from 'node:net';
import { PeerError } from '../lib/errors.ts';
import { DATAGRAM_BYTES_MAX } from '../lib/limits.ts';
import type { Interface } from './interfaces.ts';
import { MulticastSocket, type Udp } from './multicast-socket.ts';

export const GROUP_BASE = '239.255.83.80';
export const GROUP_PORT = 17_783;

const OFFSETS = { members: 0, catalog: 1 } as const;
export type GroupName = keyof typeof OFFSETS;

/** The groups' addresses follow each other from `base`.
 *  @throws PeerError ADDRESS_INVALID when that is no IPv4 multicast address */
export function groupAddress(base: string, name: GroupName): string {
  const number = isIPv4(base) ? Buffer.from(base.split('.').map(Number)).readUInt32BE() + OFFSETS[name] : 0;
  if (number < 0xe000_0000 || number > 0xefff_ffff) {
    throw new PeerError('ADDRESS_INVALID', `'${base}' is not a multicast address for groups, as ${GROUP_BASE} is`);
  }
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join('.');
}

export interface GroupOptions {
  readonly name: GroupName;
  readonly base: string;
  readonly port: number;
  readonly interfaces: readonly Interface[];
  readonly udp?: Udp;
}

export class Group extends MulticastSocket {
  readonly name: GroupName;

  constructor({ name, base, port, interfaces, udp }: GroupOptions) {
    // TTL 1: nothing of ours crosses a router, whatever its multicast routing.
    super({ address: groupAddress(base, name), port, receiveOn: 'group', sendFrom: 0, ttl: 1, interfaces, ...(udp && { udp }) });
    this.name = name;
  }

  override send(bytes: Uint8Array): void {
    assert(bytes.byteLength <= DATAGRAM_BYTES_MAX, 'a datagram fits one frame');
    super.send(bytes);
  }
}
