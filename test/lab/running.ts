// A process of the lab that goes on in the background: what it printed is kept in a file for people and in memory for
// tests, so that a test awaits the line that it needs instead of sleeping.
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export type Json = { readonly [name: string]: unknown };

const LINES_MAX = 20_000;
const TAIL_LINES = 25;

interface Waiter {
  readonly accept: (line: string) => boolean;
  readonly give: (line: string) => void;
}

const parse = (line: string): Json | undefined => {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
};

export class Running {
  readonly what: string;
  readonly logFile: string;
  readonly pid: number;
  /** Resolves when the process has ended and all that it printed has been read; never rejects. */
  readonly exit: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiters = new Set<Waiter>();
  #ended: Exit | undefined;

  constructor(options: {
    readonly what: string;
    readonly command: readonly [string, ...string[]];
    readonly env: NodeJS.ProcessEnv;
    readonly logFile: string;
  }) {
    const [program, ...argv] = options.command;
    this.what = options.what;
    this.logFile = options.logFile;
    appendFileSync(this.logFile, `$ ${options.what}\n`);
    // A group of its own, so that a signal for the test at the terminal is not one for the peer.
    this.#child = spawn(program, argv, { env: options.env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    this.pid = this.#child.pid ?? -1;
    this.#read('stdout');
    this.#read('stderr');
    this.exit = new Promise((resolve) => {
      const end = (exit: Exit): void => {
        if (this.#ended !== undefined) return;
        this.#ended = exit;
        appendFileSync(this.logFile, `# ended with ${exit.signal ?? exit.code}\n`);
        resolve(exit);
      };
      this.#child.on('close', (code, signal) => end({ code, signal }));
      this.#child.on('error', (error) => {
        appendFileSync(this.logFile, `# ${error.message}\n`);
        end({ code: null, signal: null });
      });
    });
  }

  get ended(): Exit | undefined {
    return this.#ended;
  }

  /** What it printed so far, on both streams. */
  lines(): readonly string[] {
    return this.#lines;
  }

  /** The last lines of the log, for the message of a failing test. */
  tail(): string {
    return this.#lines.slice(-TAIL_LINES).join('\n');
  }

  /** The first line, printed before or after now, that `accept` agrees to. Rejects after `timeoutMs`, or when the process ends before. */
  line(accept: (line: string) => boolean, options: { readonly what: string; readonly timeoutMs: number }): Promise<string> {
    const known = this.#lines.find(accept);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        this.#waiters.delete(waiter);
        clearTimeout(timer);
        reject(new Error(`${this.what}: no ${options.what} ${why}; its last lines:\n${this.tail()}`));
      };
      const waiter: Waiter = {
        accept,
        give: (line) => {
          this.#waiters.delete(waiter);
          clearTimeout(timer);
          resolve(line);
        },
      };
      const timer = setTimeout(() => fail(`within ${options.timeoutMs} ms`), options.timeoutMs);
      this.#waiters.add(waiter);
      void this.exit.then(({ code, signal }) => {
        if (this.#waiters.has(waiter)) fail(`before it ended with ${signal ?? code}`);
      });
    });
  }

  /** The first line that is a JSON object with this `event`. */
  async event(name: string, timeoutMs: number): Promise<Json> {
    const line = await this.line((candidate) => parse(candidate)?.['event'] === name, { what: `event '${name}'`, timeoutMs });
    return parse(line) as Json;
  }

  /** Signals the process and everything that it started, and waits for its end. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    if (this.#ended === undefined && this.pid > 0) {
      try {
        process.kill(-this.pid, signal);
      } catch {
        // it ended a moment ago
      }
    }
    return this.exit;
  }

  #read(name: 'stdout' | 'stderr'): void {
    const stream = this.#child[name];
    let rest = '';
    stream?.setEncoding('utf8');
    stream?.on('data', (text: string) => {
      appendFileSync(this.logFile, text);
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#add(line);
    });
    stream?.on('end', () => {
      if (rest !== '') this.#add(rest);
    });
  }

  #add(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > LINES_MAX) this.#lines.splice(0, LINES_MAX / 2);
    for (const waiter of [...this.#waiters]) if (waiter.accept(line)) waiter.give(line);
  }
}
