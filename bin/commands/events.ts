// The event log: what there is, and with --follow what comes.
import { PeerError } from '../../lib/errors.ts';
import type { EventJson } from '../../peer/http/log-schemas.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { eventLine } from '../event-line.ts';
import { EventNames } from '../event-names.ts';
import { colorsFor } from '../print.ts';

export interface EventsOptions extends DataOptions {
  readonly follow?: boolean;
  readonly json?: boolean;
  readonly limit?: string;
}

/** What fits a screen or two; programs get everything. */
const LIMIT_FOR_PEOPLE = 50;

export async function events({ follow, json, limit, ...options }: EventsOptions): Promise<void> {
  const most = limit === undefined ? (json ? Number.POSITIVE_INFINITY : LIMIT_FOR_PEOPLE) : Number(limit);
  if (!(Number.isInteger(most) || most === Number.POSITIVE_INFINITY) || most < (follow ? 0 : 1)) {
    throw new PeerError('BAD_USAGE', `--limit is a whole number from ${follow ? 0 : 1}, and not '${limit}'`);
  }
  const client = await Client.any(dataFolder(options));
  const stop = new AbortController();
  if (follow) for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  // before the log is read, so that nothing falls between the two
  const coming = follow ? await client.follow('/api/log/follow', stop.signal) : undefined;
  const print = json ? printJson : await linesFor(client);
  const printed = new Set<string>();
  for await (const event of latest(client, most)) {
    await print(event);
    if (coming) printed.add(nameOf(event));
  }
  if (!coming) {
    if (!json && !(await anyEvent(client))) process.stdout.write('nothing has happened yet\n');
    return;
  }
  for await (const text of coming) {
    const event = JSON.parse(text) as EventJson;
    if (!printed.delete(nameOf(event))) await print(event);
  }
  if (!stop.signal.aborted) throw new PeerError('NO_PEER', `the peer at ${client.url} has ended, or went to another network`);
}

const nameOf = ({ origin, epoch, seq }: EventJson): string => `${origin}${epoch}${seq}`;

const anyEvent = async (client: Client): Promise<boolean> => (await client.lastEvents(1)).length > 0;

/** The latest `most` events, in order. */
async function* latest(client: Client, most: number): AsyncGenerator<EventJson> {
  if (most === Number.POSITIVE_INFINITY) yield* client.allEvents();
  else if (most > 0) yield* await client.lastEvents(most);
}

const printJson = (event: EventJson): void => void process.stdout.write(`${JSON.stringify(event)}\n`);

async function linesFor(client: Client): Promise<(event: EventJson) => Promise<void>> {
  const colors = colorsFor(process.stdout);
  const names = await EventNames.of(client);
  return async (event) => {
    const before = names.read(event);
    process.stdout.write(`${await eventLine(event, { names, colors, before })}\n`);
  };
}
