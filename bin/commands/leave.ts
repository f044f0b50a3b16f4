// Before a machine is switched off for good: others get first of all what only it has, and this tells when they have it.
import { setTimeout } from 'node:timers/promises';
import type { LeavingJson } from '../../peer/http/copy-schemas.ts';
import type { NetworkJson } from '../../peer/http/api-peer.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { FAILED } from '../exit.ts';
import { LeaveWait } from '../leave-wait.ts';
import { leavingText, stuckText, withdrawnText } from '../print-copies.ts';
import { program } from '../program.ts';

export interface LeaveOptions extends DataOptions {
  readonly cancel?: boolean;
  readonly json?: boolean;
}

const POLL_MS = 1_000;
/** Counting a large catalog takes a while, and is not all that the peer is to do. */
const REST_FACTOR = 5;

export async function leave({ cancel, json, ...options }: LeaveOptions): Promise<void> {
  const client = await Client.local(dataFolder(options));
  const say = (leaving: LeavingJson, text: string): void => void process.stdout.write(`${json ? JSON.stringify(leaving) : text}\n`);
  if (cancel) return say(await client.post<LeavingJson>('/api/leave', { leaving: false }), 'this machine stays');
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const network = async (): Promise<string> => {
    const { name, code } = await client.get<NetworkJson>('/api/network');
    return code ?? name;
  };
  const left = await network();
  const wait = new LeaveWait();
  let told = '';
  let leaving = await client.post<LeavingJson>('/api/leave', { leaving: true });
  for (;;) {
    const how = wait.step(leaving, performance.now());
    if (how === 'done') return say(leaving, leavingText(leaving));
    // a script that switches off what it waited for must see that it may not
    if (how !== 'waiting' || stop.signal.aborted) process.exitCode = FAILED;
    if (how === 'withdrawn') return say(leaving, withdrawnText({ elsewhere: (await network()) !== left }));
    if (how === 'stuck') return say(leaving, stuckText(leaving));
    if (stop.signal.aborted) return say(leaving, `${leavingText(leaving)}\nno longer waiting; this machine still says that it leaves. It stays with: ${program} leave --cancel`);
    const text = leavingText(leaving);
    if (text !== told && !json) process.stdout.write(`${text}\n`);
    told = text;
    const askedAt = performance.now();
    leaving = await client.get<LeavingJson>('/api/leave');
    await setTimeout(Math.max(POLL_MS, REST_FACTOR * (performance.now() - askedAt)), undefined, { signal: stop.signal }).catch(() => undefined);
  }
}
