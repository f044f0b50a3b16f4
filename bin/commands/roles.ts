import type { RoleJson } from '../../peer/http/schemas.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { colorsFor, columnsOf } from '../print.ts';
import { roleTable } from '../print-status.ts';

export interface RolesOptions extends DataOptions {
  readonly json?: boolean;
}

export async function roles({ json, ...options }: RolesOptions): Promise<void> {
  const current = await (await Client.any(dataFolder(options))).get<RoleJson[]>('/api/roles');
  const text = json ? JSON.stringify(current) : roleTable(current, { width: columnsOf(process.stdout), colors: colorsFor(process.stdout) });
  process.stdout.write(`${text}\n`);
}
