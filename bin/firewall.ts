// The line that lets others through this machine's firewall, by which firewall is there. Shown to a peer that nobody
// answers; never run by us.
import { findProgram, type System, thisSystem } from './programs.ts';

export interface Ports {
  readonly tcp: readonly number[];
  readonly udp: readonly number[];
}

export interface FirewallAdvice {
  readonly firewall: 'ufw' | 'firewalld' | 'windows' | 'macos';
  /** To be typed or pasted as it stands. */
  readonly line: string;
}

const ufw = ({ tcp, udp }: Ports): string => `sudo ufw allow proto udp to any port ${udp.join(',')} && sudo ufw allow proto tcp to any port ${tcp.join(',')}`;

const firewalld = ({ tcp, udp }: Ports): string =>
  `sudo firewall-cmd ${[...udp.map((port) => `--add-port=${port}/udp`), ...tcp.map((port) => `--add-port=${port}/tcp`)].join(' ')} && sudo firewall-cmd --runtime-to-permanent`;

/** In a PowerShell of the administrator. Only for private networks: a café is no home. */
const windows = ({ tcp, udp }: Ports): string =>
  [['UDP', udp], ['TCP', tcp]]
    .map(([protocol, ports]) => `New-NetFirewallRule -DisplayName spotify-peer -Direction Inbound -Action Allow -Profile Private -Protocol ${protocol as string} -LocalPort ${(ports as number[]).join(',')}`)
    .join('; ');

/** Apple's firewall knows programs, not ports. */
const macos = (program: string): string => {
  const tool = '/usr/libexec/ApplicationFirewall/socketfilterfw';
  return `sudo ${tool} --add '${program}' && sudo ${tool} --unblockapp '${program}'`;
};

/** @returns undefined where no firewall that we know is in use */
export async function firewallAdvice(ports: Ports, system: System = thisSystem): Promise<FirewallAdvice | undefined> {
  if (system.platform === 'win32') return { firewall: 'windows', line: windows(ports) };
  if (system.platform === 'darwin') return { firewall: 'macos', line: macos(process.execPath) };
  // Both may be installed; ufw says in a file that everybody can read whether it is on.
  if (/^ENABLED=yes/m.test((await system.read('/etc/ufw/ufw.conf')) ?? '')) return { firewall: 'ufw', line: ufw(ports) };
  if ((await findProgram('firewall-cmd', system, { admin: true })) !== undefined) return { firewall: 'firewalld', line: firewalld(ports) };
  return undefined;
}
