// How this program is called where it runs, so that every hint it prints can be typed as it stands.
import { accessSync, constants, readFileSync, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NAME = 'spotify-peer';
const script = realpathSync(fileURLToPath(new URL('./spotify-peer.js', import.meta.url)));

function isInstalled(): boolean {
  // npm puts node_modules/.bin in front for its scripts; the user's shell does not have it
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes(join('node_modules', '.bin')));
  return folders.some((folder) => {
    try {
      const candidate = join(folder, NAME);
      accessSync(candidate, constants.X_OK);
      return realpathSync(candidate) === script;
    } catch {
      return false;
    }
  });
}

/** `spotify-peer`, or `npx spotify-peer` in a clone. */
export const program = isInstalled() ? NAME : `npx ${NAME}`;

/** What to type on a machine that has nothing yet but, where this is no installed program, a clone like this one. */
export const startLine = (args = ''): string =>
  program === NAME ? `${NAME} start ${args}`.trim() : `npm install && npm start${args ? ` -- ${args}` : ''}`;

export const version = (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
