// Import this file before anything else in a lab test. It runs the test again in a world of its own (network, mount, host-name
// and process namespaces), and ends this process with that one's exit code. Whatever the test starts, mounts or writes
// belongs to that world, and the kernel removes all of it when the test ends, even by kill -9: two runs cannot meet, and a
// crashed one leaves nothing. Root enters the world directly, others as root of a user namespace.
//
// It is synchronous on purpose: modules evaluate in the order of their imports, so tap never wakes up in the outer process.
// Where no such world can be made, the process goes on and `skip` says why.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const INSIDE = 'SPOTIFY_PEER_LAB_INSIDE';
/** Set it to make root enter the lab in the way that everybody else does. */
const UNPRIVILEGED = 'SPOTIFY_PEER_LAB_UNPRIVILEGED';

/** Where a lab keeps its files: a tmpfs that nobody outside of the world sees. */
export const WORLD_DIRECTORY = '/run/lab';

// A hook on a bridge, a veth and a random number are all that the lab needs of the kernel. Whether they are to be had is
// known by trying: some systems let anybody unshare, and refuse what comes next.
const PROBE = `
  ip link add lab-0 type veth peer name lab-1 &&
  ip link add lab-bridge type bridge &&
  echo 'table bridge lab { chain c { type filter hook forward priority 0; numgen random mod 1000 < 1 drop; }; }' | nft -f - &&
  mount -t tmpfs tmpfs /run`;

// Programs in the hosts find an empty /run, as after booting, and the directories that the lab's own daemons need.
const ENTER = `mount -t tmpfs tmpfs /run && mkdir -p ${WORLD_DIRECTORY} /run/dbus /run/avahi-daemon && exec "$@"`;

/** True when `program` is on the PATH, to which the lab adds where Debian keeps what only root is thought to need. */
export const installed = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

// The outer process may be killed at any moment: `setpriv` ties the world to it, and `--kill-child` the test to the world.
const command = (kind: readonly string[], shell: string, argv: readonly string[]): string[] => [
  ...['setpriv', '--pdeathsig', 'KILL', 'unshare', ...kind, '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
  ...['sh', '-c', shell, 'sh', ...argv],
];

/** @returns why there is no lab here, or false inside of one; does not return where it could enter one */
function enter(): false | string {
  process.env['PATH'] = [process.env['PATH'], '/usr/sbin', '/sbin'].join(delimiter);
  if (process.env[INSIDE] !== undefined) {
    delete process.env[INSIDE];
    return false;
  }
  if (process.platform !== 'linux') return 'the lab needs Linux network namespaces';
  const missing = ['setpriv', 'unshare', 'nsenter', 'mount', 'ip', 'nft'].filter((program) => !installed(program));
  if (missing.length > 0) return `the lab needs ${missing.join(', ')} (Debian: apt-get install iproute2 nftables util-linux mount)`;

  const asUser = ['--user', '--map-root-user'];
  const isRoot = process.getuid?.() === 0 && process.env[UNPRIVILEGED] === undefined;
  let refusal = '';
  for (const kind of isRoot ? [[], asUser] : [asUser]) {
    const [program, ...argv] = command(kind, PROBE, []) as [string, ...string[]];
    const probe = spawnSync(program, argv, { encoding: 'utf8' });
    if (probe.status === 0) return become(kind);
    refusal = probe.stderr.trim().split('\n')[0] ?? '';
  }
  return `this system refuses network namespaces (${refusal})`;
}

function become(kind: readonly string[]): never {
  const [program, ...argv] = command(kind, ENTER, [process.execPath, ...process.execArgv, ...process.argv.slice(1)]) as [string, ...string[]];
  const { status, signal } = spawnSync(program, argv, { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } });
  if (signal !== null) process.kill(process.pid, signal);
  process.exit(status ?? 1);
}

/** Why lab tests cannot run here, in the form of tap's `skip` option; false where they can. */
export const skip: false | string = enter();
