// What somebody sees who opens a name again and again, on a host without a peer.
import { extname, join } from 'node:path';
import type { Host } from './lab.ts';
import type { Running } from './running.ts';

const POLL = join(import.meta.dirname, `name-poll${extname(import.meta.filename)}`);

/** One page that was opened by name. */
export interface Opened {
  readonly from: number;
  readonly to: number;
  /** null: the name did not resolve. */
  readonly address: string | null;
  /** null: it did not come. */
  readonly page: string | null;
  readonly why?: string;
}

export class NamePoll {
  readonly #process: Running;

  constructor(host: Host, name: string, way: 'nss' | 'avahi-resolve') {
    this.#process = host.spawn(process.execPath, [POLL, name, way], { name: 'poll' });
  }

  /** What was opened since then. */
  since(at: number): Opened[] {
    const all = this.#process.lines().filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Opened);
    return all.filter(({ from }) => from >= at);
  }

  async stop(): Promise<void> {
    await this.#process.kill('SIGKILL');
  }
}
