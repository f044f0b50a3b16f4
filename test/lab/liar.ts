// A peer that lies, made of our own program: in a copy of the build no chunk is ever found wrong, so it gives on whatever lies on its
// disk. Once its files are altered behind its back, every chunk of it is a lie.
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../../..');
const BUILD = join(import.meta.dirname, '../..');
const COPIED = ['bin', 'lib', 'peer', 'discovery', 'storage'];
const CHECK = 'export const isChunk = ';

/** @param folder for the copy @returns its program @throws Error when the check is not where it was */
export function makeLiar(folder: string): string {
  const build = join(folder, 'build');
  mkdirSync(build, { recursive: true });
  for (const part of COPIED) cpSync(join(BUILD, part), join(build, part), { recursive: true, filter: (path) => !path.endsWith('.map') });
  for (const shared of ['package.json', 'node_modules', 'web']) symlinkSync(join(ROOT, shared), join(folder, shared));
  const content = join(build, 'lib/content.js');
  const parts = readFileSync(content, 'utf8').split(CHECK);
  if (parts.length !== 2) throw new Error(`the check of chunks is ${parts.length - 1} times in ${content}, not once`);
  writeFileSync(content, parts.join(`${CHECK}() => true; export const wasChunk = `));
  return join(build, 'bin/spotify-peer.js');
}
