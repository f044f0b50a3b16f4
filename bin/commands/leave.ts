// Before a machine is switched off for good: others get first of all what only it has, and this tells when they have it.
import { setTimeout } from 'node:timers/promises';
import type { LeavingJson } from '../../peer/http/copy-schemas.ts';
import { Client } from '../client.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { FAILED } from '../exit.ts';
import { leavingText, stuckText } from '../print-copies.ts';
import { program } from '../program.ts';

export interface LeaveOptions extends DataOptions {
  readonly cancel?: boolean;
  readonly json?: boolean;
}

const POLL_MS = 1_000;
/** Counting a large catalog takes a while, and is not all that the peer is to do. */
const REST_FACTOR = 5;
/** Whoever coordinates copies looks again within so long; then it is sure that nobody takes more. */
const STUCK_MS = 15_000;

export async function leave({ cancel, json, ...options }: LeaveOptions): Promise<void> {
  const client = await Client.local(dataFolder(options));
  const say = (leaving: LeavingJson, text: string): void => void process.stdout.write(`${json ? JSON.stringify(leaving) : text}\n`);
  if (cancel) return say(await client.post<LeavingJson>('/api/leave', { leaving: false }), 'this machine stays');
  let leaving = await client.post<LeavingJson>('/api/leave', { leaving: true });
  let told = '';
  let aliveAt = performance.now();
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  while (leaving.total > 0) {
    const text = leavingText(leaving);
    if (text !== told && !json) process.stdout.write(`${text}\n`);
    if (text !== told || leaving.underWay > 0 || (leaving.others > 0 && leaving.room)) aliveAt = performance.now();
    told = text;
    if (performance.now() - aliveAt > STUCK_MS) {
      say(leaving, stuckText(leaving));
      process.exitCode = FAILED;
      return;
    }
    const askedAt = performance.now();
    const next = await ask(client, stop.signal);
    if (!next) {
      if (!json) process.stdout.write(`no longer waiting; this machine still says that it leaves. It stays with: ${program} leave --cancel\n`);
      return;
    }
    leaving = next;
    await setTimeout(Math.max(POLL_MS, REST_FACTOR * (performance.now() - askedAt)), undefined, { signal: stop.signal }).catch(() => undefined);
  }
  say(leaving, leavingText(leaving));
}

/** @returns undefined when nobody waits any more */
async function ask(client: Client, signal: AbortSignal): Promise<LeavingJson | undefined> {
  const leaving = await client.get<LeavingJson>('/api/leave');
  return signal.aborted ? undefined : leaving;
}
