import { PeerError } from '../../lib/errors.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { colorsFor, columnsOf, songTable } from '../print.ts';

export interface SearchOptions extends DataOptions {
  readonly limit?: string;
  readonly json?: boolean;
}

/** What fits a person's patience; programs get everything. */
const LIMIT_FOR_PEOPLE = 100;

export async function search(words: readonly string[], { limit, json, ...options }: SearchOptions): Promise<void> {
  const most = limit === undefined ? (json ? Number.POSITIVE_INFINITY : LIMIT_FOR_PEOPLE) : Number(limit);
  if (!(Number.isInteger(most) || most === Number.POSITIVE_INFINITY) || most < 1) {
    throw new PeerError('BAD_USAGE', `--limit is a whole number from 1, and not '${limit}'`);
  }
  const client = await Client.any(dataFolder(options));
  const { total, songs } = await client.search(words.join(' '), most);
  if (json) {
    process.stdout.write(`${JSON.stringify(songs)}\n`);
    return;
  }
  process.stdout.write(`${songTable(songs, { width: columnsOf(process.stdout), colors: colorsFor(process.stdout), total })}\n`);
}
