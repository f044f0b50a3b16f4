import { PeerError } from '../../lib/errors.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { findPeer } from '../find-peer.ts';

export async function forget(asked: string, options: DataOptions): Promise<void> {
  const client = await Client.local(dataFolder(options));
  const { members } = await client.status();
  const member = findPeer(members, asked);
  if (member.state === 'alive') throw new PeerError('BAD_USAGE', `${member.name} is running; stop it there first`);
  await client.post('/api/forget', { peer: member.id });
  process.stdout.write(`the songs that only ${member.name || member.id} had are dropped; if it returns, so do they\n`);
}
