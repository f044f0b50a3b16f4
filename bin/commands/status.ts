import type { FileProblem } from '../../peer/http/schemas.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { colorsFor, columnsOf } from '../print.ts';
import { statusText } from '../print-status.ts';
import { printable } from '../text.ts';

export interface StatusOptions extends DataOptions {
  readonly files?: boolean;
  readonly json?: boolean;
}

export async function status({ files, json, ...options }: StatusOptions): Promise<void> {
  const folder = dataFolder(options);
  if (files) {
    const problems = await (await Client.local(folder)).get<FileProblem[]>('/api/files');
    const lines = json ? [JSON.stringify(problems)] : problems.map(({ path, reason }) => printable(`${path}: ${reason}`));
    process.stdout.write(lines.length > 0 ? `${lines.join('\n')}\n` : 'every music file here can be shared\n');
    return;
  }
  const current = await (await Client.any(folder)).status();
  const text = json ? JSON.stringify(current) : statusText(current, { width: columnsOf(process.stdout), colors: colorsFor(process.stdout) });
  process.stdout.write(`${text}\n`);
}
