import { PeerError } from '../../lib/errors.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';

export async function forget(asked: string, options: DataOptions): Promise<void> {
  const client = await Client.local(dataFolder(options));
  const { members } = await client.status();
  const matching = members.filter(({ id, name }) => name === asked || (asked.length >= 4 && id.startsWith(asked.toLowerCase())));
  const [member, another] = matching;
  if (!member) throw new PeerError('NOT_FOUND', `no machine is called '${asked}'; status lists them`);
  if (another) throw new PeerError('BAD_USAGE', `several machines are called '${asked}'; give the start of an id instead`);
  if (member.state === 'alive') throw new PeerError('BAD_USAGE', `${member.name} is running; stop it there first`);
  await client.post('/api/forget', { peer: member.id });
  process.stdout.write(`the songs of ${member.name || member.id} are dropped; if it returns, so do they\n`);
}
