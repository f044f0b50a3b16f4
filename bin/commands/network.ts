import { renderUnicodeCompact } from 'uqr';
import { PeerError } from '../../lib/errors.ts';
import { COPIES_MAX } from '../../lib/limits.ts';
import type { SettingJson } from '../../peer/http/copy-schemas.ts';
import type { NetworkJson } from '../../peer/http/schemas.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { shortId } from '../../lib/ids.ts';
import { tellWritten } from '../print-user-data.ts';
import { program, startLine } from '../program.ts';
import { plural, printable } from '../text.ts';

const MEET_MS = 4_000;
const POLL_MS = 100;

export interface NetworkOptions extends DataOptions {
  readonly json?: boolean;
}

export const show = (options: NetworkOptions): Promise<void> => print(options, (client) => client.get<NetworkJson>('/api/network'));

export const close = ({ newKey = false, ...options }: NetworkOptions & { readonly newKey?: boolean }): Promise<void> =>
  print(options, (client) => client.post<NetworkJson>('/api/network/close', { newKey }));

export const open = (options: NetworkOptions): Promise<void> => print(options, (client) => client.post<NetworkJson>('/api/network/open'));

/** `copies N`: on how many machines each song is to be. */
export async function set(what: string, value: string, { json, ...options }: NetworkOptions): Promise<void> {
  if (what !== 'copies') throw new PeerError('BAD_USAGE', `a network has no setting '${what}', only copies`);
  const copies = /^\d$/.test(value) ? Number(value) : 0;
  if (copies < 1 || copies > COPIES_MAX) throw new PeerError('BAD_USAGE', `copies is a whole number from 1 to ${COPIES_MAX}, and not '${value}'`);
  const client = await Client.local(dataFolder(options));
  const set = await client.post<SettingJson>('/api/network/set', { copies });
  const text = copies === 1 ? 'no copies are made from now on; those that there are stay until their room is needed' : `each song is to be on ${copies} machines`;
  tellWritten({ ...(json && { json }) }, set, text);
}

/** Words may come as one argument or as many. */
export async function join(code: readonly string[], { json, ...options }: NetworkOptions): Promise<void> {
  const client = await Client.local(dataFolder(options));
  const asked = code.join(' ').trim();
  const network = await client.post<NetworkJson>('/api/network/join', { code: asked });
  if (json) {
    process.stdout.write(`${JSON.stringify(network)}\n`);
    return;
  }
  if (network.united) {
    process.stdout.write('the two networks are one from now on: each machine gets what the others hold\n');
    return;
  }
  process.stdout.write(`in network ${network.name} now, ${network.open ? 'open' : 'closed'}\n`);
  const met = await meet(client);
  process.stdout.write(
    met.length > 0
      ? `here with ${met.join(', ')}\n`
      : `nobody with this key was heard yet: are the others running? A passphrase has to be the very same; to go back: ${program} network open\n`,
  );
}

/** @returns the names of those who are there, as soon as anybody is, or nobody after a while */
async function meet(client: Client): Promise<string[]> {
  for (const end = performance.now() + MEET_MS; ; ) {
    const { members } = await client.status();
    const here = members.filter(({ state }) => state === 'alive').map(({ name, id }) => printable(name || shortId(id)));
    if (here.length > 0 || performance.now() > end) return here;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function print({ json, ...options }: NetworkOptions, ask: (client: Client) => Promise<NetworkJson>): Promise<void> {
  const network = await ask(await Client.local(dataFolder(options)));
  process.stdout.write(json ? `${JSON.stringify(network)}\n` : describe(network));
}

function describe(network: NetworkJson): string {
  const apart = network.apart.map(
    ({ id, peer, name }) =>
      `\nanother network of this name is here (${id.slice(0, 8)}, with ${printable(name || shortId(peer))}); both hold playlists or stars of their own\nto make them one, with everything of both: ${program} network join ${id.slice(0, 8)}\n`,
  );
  const { copies } = network;
  const copiesLine = copies === undefined ? '' : `each song is to be on ${plural(copies, 'machine')}; change it with: ${program} network set copies N\n`;
  return describeCode(network) + copiesLine + apart.join('');
}

function describeCode({ name, open, code }: NetworkJson): string {
  if (open || code === null) return `network ${name} is open: everybody on this LAN can take part\nclose it with: ${program} network close\n`;
  const lines = [
    `network ${name} is closed; whoever has this code is in, and may do everything:`,
    '',
    `  ${code}`,
    '',
    'on each other machine, start it with this code from the first moment:',
    `  ${startLine('--network-key -')}`,
    'or, where one runs already:',
    `  ${program} network join ${code}`,
  ];
  return `${[...lines, ...(process.stdout.isTTY ? ['', renderUnicodeCompact(code)] : [])].join('\n')}\n`;
}
