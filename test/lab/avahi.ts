// A host with Avahi, as most Linux desktops have it: its daemon and a system bus of the host's own, which the machine's private
// /run/dbus and /run/avahi-daemon make possible. The daemon shares port 5353 with whatever else runs on the host.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine } from './machine.ts';
import { installed } from './world.ts';

const START_MS = 15_000;

// A bus without the system's policies and service files: whoever is on this host may own and call what they like.
const BUS = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_destination="*"/><allow receive_sender="*"/></policy>
</busconfig>
`;

// The rate limit is Debian's own setting.
const DAEMON = `[server]
use-ipv4=yes
use-ipv6=yes
allow-interfaces=eth0
ratelimit-interval-usec=1000000
ratelimit-burst=1000
[publish]
publish-hinfo=no
publish-workstation=no
`;

// The daemon insists on giving its directory to the user `avahi`, and a user namespace has nobody but root.
const ACCOUNTS = { passwd: 'root:x:0:0::/:/bin/sh\navahi:x:0:0::/:/bin/sh\n', group: 'root:x:0:\navahi:x:0:\n' };

/** One line of `avahi-browse -p`, of those that were resolved. */
export interface Resolved {
  readonly instance: string;
  readonly hostname: string;
  readonly address: string;
  readonly port: number;
  readonly txt: string;
}

/** Why Avahi cannot be used here, in the form of tap's `skip` option; false where it can. */
export function avahiMissing(): false | string {
  const missing = ['avahi-daemon', 'avahi-browse', 'dbus-daemon'].filter((program) => !installed(program));
  return missing.length > 0 ? `${missing.join(', ')} missing (Debian: apt-get install avahi-daemon avahi-utils dbus)` : false;
}

/** Starts the daemon and waits until it serves. It ends with the lab. */
export async function startAvahi(machine: Machine): Promise<void> {
  const [bus, daemon] = [join(machine.directory, 'dbus.conf'), join(machine.directory, 'avahi.conf')];
  writeFileSync(bus, BUS);
  writeFileSync(daemon, DAEMON);
  for (const [name, text] of Object.entries(ACCOUNTS)) {
    const file = join(machine.directory, name);
    writeFileSync(file, text);
    await machine.run('mount', ['--bind', file, `/etc/${name}`]);
  }
  const dbus = machine.spawn('dbus-daemon', [`--config-file=${bus}`, '--nofork', '--nopidfile', '--print-address'], { name: 'dbus' });
  await dbus.line((line) => line.startsWith('unix:'), { what: 'system bus', timeoutMs: START_MS });
  const avahi = machine.spawn('avahi-daemon', ['--no-drop-root', '--no-chroot', '--no-rlimits', '--file', daemon], { name: 'avahi' });
  await avahi.line((line) => line.includes('Server startup complete'), { what: 'Avahi', timeoutMs: START_MS });
}

// Avahi writes what is no letter or digit as \\ and three decimal digits, byte by byte.
const unescape = (text: string): string => {
  const bytes = text.replaceAll(/\\(\d{3})|\\(.)/g, (_, code: string | undefined, plain: string | undefined) =>
    code === undefined ? (plain as string) : String.fromCharCode(Number(code)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
};

/** What `avahi-browse -rpt` lists and resolves, over IPv4. @param type of a service: '_http._tcp' */
export async function browse(machine: Machine, type: string): Promise<Resolved[]> {
  const listing = await machine.run('avahi-browse', ['-rpt', type]);
  return listing.split('\n').flatMap((line) => {
    const [event, , protocol, instance, , , hostname, address, port, ...txt] = line.split(';');
    if (event !== '=' || protocol !== 'IPv4') return [];
    return [{ instance: unescape(instance as string), hostname: hostname as string, address: address as string, port: Number(port), txt: txt.join(';') }];
  });
}
