// Which programs this system has, and how it installs one.
import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

export interface System {
  readonly platform: NodeJS.Platform;
  readonly env: NodeJS.ProcessEnv;
  /** A file's text, or undefined when there is none to read. */
  read(path: string): Promise<string | undefined>;
  executable(path: string): Promise<boolean>;
}

export const thisSystem: System = {
  platform: process.platform,
  env: process.env,
  read: (path) => readFile(path, 'utf8').catch(() => undefined),
  executable: (path) =>
    access(path, constants.X_OK).then(
      () => true,
      () => false,
    ),
};

/** Where administration's programs are; often not on a user's PATH. */
const SYSTEM_FOLDERS: readonly string[] = ['/usr/sbin', '/sbin', '/usr/local/sbin'];

/** @returns the program's path, or undefined. With `admin`, folders that only root has on its PATH count too. */
export async function findProgram(name: string, system: System = thisSystem, { admin = false }: { readonly admin?: boolean } = {}): Promise<string | undefined> {
  const windows = system.platform === 'win32';
  const folders = (system.env['PATH'] ?? system.env['Path'] ?? '').split(windows ? ';' : delimiter).filter(Boolean);
  for (const folder of [...folders, ...(admin && !windows ? SYSTEM_FOLDERS : [])]) {
    const path = join(folder, windows ? `${name}.exe` : name);
    if (await system.executable(path)) return path;
  }
  return undefined;
}

/** What os-release (5) calls a distribution or its parent, and its way to install mpv. */
const INSTALL: readonly (readonly [ids: readonly string[], line: string])[] = [
  [['debian', 'ubuntu'], 'sudo apt install mpv'],
  [['fedora', 'rhel', 'centos'], 'sudo dnf install mpv'],
  [['arch'], 'sudo pacman -S mpv'],
  [['suse', 'opensuse'], 'sudo zypper install mpv'],
  [['alpine'], 'sudo apk add mpv'],
];

/** The line that installs a player here, or undefined on a system that we do not know. */
export async function installLine(system: System = thisSystem): Promise<string | undefined> {
  if (system.platform === 'darwin') return 'brew install mpv';
  if (system.platform === 'win32') return 'winget install Gyan.FFmpeg';
  const release = (await system.read('/etc/os-release')) ?? '';
  const ids = [...release.matchAll(/^(?:ID|ID_LIKE)=["']?([^"'\n]*)/gm)].flatMap(([, value]) => (value as string).split(/\s+/));
  return INSTALL.find(([names]) => names.some((name) => ids.includes(name)))?.[1];
}
