// One Level database holds everything a peer keeps but the cached chunks: the replicated operations, what the scanner knows
// of local files, and the peer's own settings. LevelDB's lock also keeps a second process off the folder.
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Level } from 'level';
import { codeOf, messageOf, PeerError } from '../lib/errors.ts';

export type Database = Level<string, Uint8Array>;

/** A named part of the database, with binary values. */
export const section = (database: Database, name: string) =>
  database.sublevel<string, Uint8Array>(name, { keyEncoding: 'utf8', valueEncoding: 'view' });

export type Section = ReturnType<typeof section>;

/** Rows go into it under their whole names, `section.prefix + row`: a batch that puts sections into names itself takes three
 *  times as long for each. */
export type Batch = ReturnType<Database['batch']>;

/** @throws PeerError DATA_FOLDER_IN_USE, DATA_FOLDER_UNUSABLE, DISK_FULL */
export async function openDatabase(dataFolder: string): Promise<Database> {
  try {
    await makeFolder(dataFolder);
    const folder = join(dataFolder, 'db');
    if (await lostCurrent(folder)) throw damaged(folder, 'CURRENT is gone');
    const database: Database = new Level(folder, { keyEncoding: 'utf8', valueEncoding: 'view' });
    await database.open();
    return database;
  } catch (error) {
    throw explain(error, dataFolder);
  }
}

/** Without its file CURRENT LevelDB takes the folder for a new database, and deletes every table that it finds there. */
async function lostCurrent(folder: string): Promise<boolean> {
  const files = await readdir(folder).catch((): string[] => []);
  return files.some((name) => name.endsWith('.ldb')) && !files.includes('CURRENT');
}

const damaged = (folder: string, how: string, cause?: unknown): PeerError =>
  new PeerError('DATA_FOLDER_UNUSABLE', `the database is damaged (${how}); move ${folder} away and start again: what other peers hold comes back`, { cause });

/** Like `mkdir -p`. Node's own recursive mkdir never returns where a file system takes no folders, as in /proc. */
export async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return;
    const parent = dirname(folder);
    if (codeOf(error) !== 'ENOENT' || existsSync(parent)) throw error;
    await makeFolder(parent);
    await mkdir(folder, { mode: 0o700 });
  }
}

function explain(error: unknown, dataFolder: string): PeerError {
  if (error instanceof PeerError) return error;
  const cause = (error as Error).cause ?? error;
  const text = messageOf(cause);
  if (codeOf(cause) === 'LEVEL_CORRUPTION') return damaged(join(dataFolder, 'db'), text, cause);
  if (codeOf(cause) === 'LEVEL_LOCKED') {
    return new PeerError('DATA_FOLDER_IN_USE', `another spotify-peer already runs on ${dataFolder}; stop it, or give this one its own folder with --data`, { cause });
  }
  if (isDiskFull(error)) return new PeerError('DISK_FULL', `no space left on the disk of ${dataFolder}`, { cause });
  return new PeerError('DATA_FOLDER_UNUSABLE', `cannot keep data in ${dataFolder} (${text}); choose another folder with --data`, { cause });
}

/** Databases of which a write failed, and why. */
const failed = new WeakMap<Database, PeerError>();

/** Carries a write out. After one that failed every other is refused until the database has been opened anew: LevelDB goes on in
 *  a log whose records no longer lie where it counts them, and its recovery would drop all that came later without a word.
 *  Reading, and so playing, goes on.
 *  @throws PeerError DISK_FULL, DATA_FOLDER_UNUSABLE */
export async function written(database: Database, write: () => Promise<void>): Promise<void> {
  const before = failed.get(database);
  if (before) throw before;
  try {
    await write();
  } catch (cause) {
    const error = isDiskFull(cause)
      ? new PeerError('DISK_FULL', 'the disk is full; make room, then start again', { cause })
      : new PeerError('DATA_FOLDER_UNUSABLE', `the database cannot be written (${messageOf((cause as Error).cause ?? cause)}); start again`, { cause });
    failed.set(database, error);
    throw error;
  }
}

function isDiskFull(error: unknown): boolean {
  for (let cause: unknown = error; cause; cause = (cause as Error).cause) {
    if (codeOf(cause) === 'ENOSPC' || /no space left/i.test(messageOf(cause))) return true;
  }
  return false;
}
