import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';

export async function login(options: DataOptions): Promise<void> {
  const client = await Client.local(dataFolder(options));
  const { url } = await client.post<{ url: string }>('/api/login-link');
  process.stdout.write(`${new URL(url, client.url).href}\n`);
}
