// What the switch of a lab does to its traffic, as a value, and as the nftables ruleset that carries it out. The table is
// replaced as a whole at each change, in one transaction: there is no moment without rules, and nothing to remember.
// Ports are named by the host's number.

export type Direction = 'in' | 'out' | 'both';

export interface Loss {
  readonly host: number;
  readonly percent: number;
  /** As seen from the host. */
  readonly direction: Direction;
  readonly multicastOnly: boolean;
}

export interface Partition {
  readonly from: readonly number[];
  readonly to: readonly number[];
}

export interface Block {
  readonly traffic: 'multicast' | 'unicast';
  /** Undefined means every host. */
  readonly host: number | undefined;
}

export interface Rules {
  readonly losses: readonly Loss[];
  readonly partitions: readonly Partition[];
  readonly blocks: readonly Block[];
}

export const NO_RULES: Rules = { losses: [], partitions: [], blocks: [] };

// Multicast is what has the group bit and is not broadcast: ARP has to go on, or blocked unicast would look like a dead host.
const MULTICAST = 'ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 ether daddr != ff:ff:ff:ff:ff:ff';
const UNICAST = 'ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 ether type != arp';

// A host whose frames are delayed hangs on q instead of p.
const ports = (hosts: readonly number[]): string => `{ ${hosts.map((host) => `"p${host}", "q${host}"`).join(', ')} }`;
const leaving = (hosts: readonly number[]): string => `iifname ${ports(hosts)}`;
const reaching = (hosts: readonly number[]): string => `oifname ${ports(hosts)}`;

function* lossRules({ host, percent, direction, multicastOnly }: Loss): Iterable<string> {
  const which = multicastOnly ? MULTICAST : '';
  const chance = percent >= 100 ? '' : `numgen random mod 1000 < ${Math.round(percent * 10)}`;
  if (direction !== 'in') yield `${leaving([host])} ${which} ${chance} drop`;
  if (direction !== 'out') yield `${reaching([host])} ${which} ${chance} drop`;
}

function* blockRules({ traffic, host }: Block): Iterable<string> {
  const which = traffic === 'multicast' ? MULTICAST : UNICAST;
  if (host === undefined) yield `${which} drop`;
  else yield* [`${leaving([host])} ${which} drop`, `${reaching([host])} ${which} drop`];
}

/** @returns input for `nft -f -` */
export function ruleset(rules: Rules): string {
  const lines = [
    ...rules.partitions.map(({ from, to }) => `${leaving(from)} ${reaching(to)} drop`),
    ...rules.blocks.flatMap((block) => [...blockRules(block)]),
    ...rules.losses.filter(({ percent }) => percent > 0).flatMap((loss) => [...lossRules(loss)]),
  ];
  return [
    'table bridge lab {}',
    'delete table bridge lab',
    'table bridge lab {',
    '  chain forward {',
    '    type filter hook forward priority 0; policy accept;',
    ...lines.map((line) => `    ${line}`),
    '  }',
    '}',
    '',
  ].join('\n');
}
