// On how many machines the music is, and what would be gone with one of them.
import type { SafeJson } from '../../peer/http/copy-schemas.ts';
import { shortId } from '../../lib/ids.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { FAILED } from '../exit.ts';
import { findPeer } from '../find-peer.ts';
import { isSafe, safeText } from '../print-copies.ts';

export interface SafeOptions extends DataOptions {
  readonly json?: boolean;
}

export async function safe(asked: string | undefined, { json, ...options }: SafeOptions): Promise<void> {
  const client = await Client.any(dataFolder(options));
  let peer: ReturnType<typeof findPeer> | undefined;
  if (asked !== undefined) {
    const status = await client.status();
    peer = findPeer([{ ...status.peer, state: 'alive' }, ...status.members], asked);
  }
  const answer = await client.get<SafeJson>(`/api/safe${peer ? `?peer=${peer.id}` : ''}`);
  process.stdout.write(`${json ? JSON.stringify(answer) : safeText(answer, peer && (peer.name || shortId(peer.id)))}\n`);
  // by what is known now: a script that switches machines off needs the end of `leave`, for which others confirm that they keep what they have
  if (!isSafe(answer)) process.exitCode = FAILED;
}
