// What lies in one folder, by the rules of a music library: audio by its extension (content decides later), no hidden files, and
// links are followed, unless they lead nowhere.
import type { Dirent, Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { codeOf } from '../../lib/errors.ts';

/** Files with other names are not looked at. */
const AUDIO_EXTENSIONS: ReadonlySet<string> = new Set(
  'mp3 flac m4a mp4 m4b aac ogg oga opus wav wave aif aiff wma ape wv mpc'.split(' ').map((extension) => `.${extension}`),
);

export interface SeenFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly inode: number;
  readonly device: number;
}

export interface SeenFolder {
  readonly path: string;
  /** Device and inode: the same under every path that leads to it. */
  readonly identity: string;
  readonly link: boolean;
}

export interface Listing {
  readonly files: readonly SeenFile[];
  readonly folders: readonly SeenFolder[];
  /** Links that dangle or loop. */
  readonly problems: readonly { readonly path: string; readonly reason: string }[];
}

export const identityOf = (stats: Stats): string => `${stats.dev}:${stats.ino}`;

/** Stats at once: the thread pool has four threads, and other work waits for them too. */
const STATS_AT_ONCE = 16;

const LINK_REASONS: Record<string, string> = { ENOENT: 'is a link to nothing', ELOOP: 'is a link that leads to itself' };

const isAudioName = (name: string): boolean => AUDIO_EXTENSIONS.has(extname(name).toLowerCase());

/** What may be music, or hold some. @throws the operating system's error when the folder cannot be listed */
export async function entriesOf(folder: string): Promise<Dirent[]> {
  return (await readdir(folder, { withFileTypes: true })).filter((entry) => !entry.name.startsWith('.') && (!entry.isFile() || isAudioName(entry.name)));
}

/** @throws the operating system's error when the folder cannot be listed */
export async function listFolder(folder: string): Promise<Listing> {
  const files: SeenFile[] = [];
  const folders: SeenFolder[] = [];
  const problems: { path: string; reason: string }[] = [];
  const look = async (entry: Dirent): Promise<void> => {
    const path = join(folder, entry.name);
    const link = entry.isSymbolicLink();
    try {
      const stats = await stat(path);
      if (stats.isDirectory()) folders.push({ path, identity: identityOf(stats), link });
      else if (stats.isFile() && isAudioName(entry.name)) {
        files.push({ path, sizeBytes: stats.size, mtimeMs: stats.mtimeMs, inode: stats.ino, device: stats.dev });
      }
    } catch (error) {
      // Anything else that vanished between the listing and the look was not meant to be here.
      if (link) problems.push({ path, reason: LINK_REASONS[codeOf(error) ?? ''] ?? 'is a link that cannot be followed' });
    }
  };
  const entries = await entriesOf(folder);
  for (let i = 0; i < entries.length; i += STATS_AT_ONCE) await Promise.all(entries.slice(i, i + STATS_AT_ONCE).map(look));
  // Real folders first, so that what is also linked to is found under its own name.
  folders.sort((a, b) => Number(a.link) - Number(b.link) || (a.path < b.path ? -1 : 1));
  return { files, folders, problems };
}
