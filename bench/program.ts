// The real program as a process, as a user starts it, for benchmarks on this one machine.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

const PROGRAM = new URL('../bin/spotify-peer.js', import.meta.url).pathname;

export interface Started {
  readonly child: ChildProcess;
  readonly http: string;
  /** From the spawn of the process to the line that says it serves. */
  readonly readyMs: number;
  /** Resolves with the event of that name. */
  event(name: string): Promise<Record<string, unknown>>;
  stop(): Promise<void>;
}

export async function startProgram(args: readonly string[]): Promise<Started> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [PROGRAM, 'start', ...args, '--port', '0', '--http', '0', '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const seen = new Map<string, Record<string, unknown>>();
  const waiting = new Map<string, (event: Record<string, unknown>) => void>();
  createInterface({ input: child.stdout as Readable }).on('line', (line) => {
    const event = JSON.parse(line) as Record<string, unknown>;
    seen.set(event.event as string, event);
    waiting.get(event.event as string)?.(event);
  });
  const event = (name: string): Promise<Record<string, unknown>> => {
    const known = seen.get(name);
    return known ? Promise.resolve(known) : new Promise((resolve) => waiting.set(name, resolve));
  };
  const ready = await event('ready');
  return {
    child,
    http: ready.http as string,
    readyMs: performance.now() - startedAt,
    event,
    stop: async () => {
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

/** Resident memory now and at most, in MiB. */
export function memoryOf(child: ChildProcess): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const read = (field: string): number => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
  return { now: read('VmRSS'), peak: read('VmHWM') };
}
