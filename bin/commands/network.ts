import { renderUnicodeCompact } from 'uqr';
import type { NetworkJson } from '../../peer/http/schemas.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { program } from '../program.ts';

export interface NetworkOptions extends DataOptions {
  readonly json?: boolean;
}

export const show = (options: NetworkOptions): Promise<void> => print(options, (client) => client.get<NetworkJson>('/api/network'));

export const close = ({ newKey = false, ...options }: NetworkOptions & { readonly newKey?: boolean }): Promise<void> =>
  print(options, (client) => client.post<NetworkJson>('/api/network/close', { newKey }));

/** Words may come as one argument or as many. */
export const join = (code: readonly string[], options: NetworkOptions): Promise<void> =>
  print(options, (client) => client.post<NetworkJson>('/api/network/join', { code: code.join(' ') }));

async function print({ json, ...options }: NetworkOptions, ask: (client: Client) => Promise<NetworkJson>): Promise<void> {
  const network = await ask(await Client.local(dataFolder(options)));
  process.stdout.write(json ? `${JSON.stringify(network)}\n` : describe(network));
}

function describe({ name, open, code }: NetworkJson): string {
  if (open || code === null) return `network ${name} is open: everybody on this LAN can take part\nclose it with: ${program} network close\n`;
  const lines = [
    `network ${name} is closed; whoever has this code is in, and may do everything:`,
    '',
    `  ${code}`,
    '',
    'on each other machine:',
    `  ${program} network join ${code}`,
  ];
  return `${[...lines, ...(process.stdout.isTTY ? ['', renderUnicodeCompact(code)] : [])].join('\n')}\n`;
}
