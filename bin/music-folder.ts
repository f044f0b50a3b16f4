// The folder that this desktop calls Music, in whatever language.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** @returns undefined when there is none */
export async function musicFolder(): Promise<string | undefined> {
  const config = process.env.XDG_CONFIG_HOME || join(homedir(), '.config');
  const dirs = await readFile(join(config, 'user-dirs.dirs'), 'utf8').catch(() => '');
  const named = /^XDG_MUSIC_DIR="([^"]+)"/m.exec(dirs)?.[1]?.replace('$HOME', homedir());
  const folder = named ?? join(homedir(), 'Music');
  // a desktop that has no music folder names the home folder itself
  return folder !== homedir() && existsSync(folder) ? folder : undefined;
}
