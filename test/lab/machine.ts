// A machine of the lab: network, host name and mounts of its own, held open by a `cat` that lives as long as its stdin.
// The processes of one machine share its namespaces and its home directory, and see nothing of the others but the LAN.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Running } from './running.ts';

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

const EXEC_MS = 30_000;
const OUTPUT_BYTES_MAX = 64 << 20;
const READY = 'ready';

// /sys shows the interfaces of the namespace that mounted it; a kernel that refuses only makes it show the wrong ones.
const HOLD = `
  hostname "$0" 2>/dev/null || echo "$0" > /proc/sys/kernel/hostname
  mount -t sysfs sysfs /sys 2>/dev/null
  mount -t tmpfs tmpfs /run/dbus && mount -t tmpfs tmpfs /run/avahi-daemon && ip link set lo up && echo ${READY} && exec cat`;

/** Makes the namespaces of a machine. @returns the process that they live with */
export async function hold(name: string, directory: string): Promise<ChildProcess> {
  mkdirSync(directory, { recursive: true });
  const holder = spawn('unshare', ['--net', '--uts', '--mount', 'sh', '-c', HOLD, name], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [said] = (await Promise.race([once(holder.stdout, 'data'), once(holder, 'close')])) as [Buffer | number];
  if (String(said).trim() !== READY) throw new Error(`no namespaces for ${name}`);
  return holder;
}

export class Machine {
  readonly name: string;
  /** The home of everything that runs here, for its state and its log files. */
  readonly directory: string;
  readonly #holder: ChildProcess;
  readonly #running = new Set<Running>();

  constructor(name: string, directory: string, holder: ChildProcess) {
    this.name = name;
    this.directory = directory;
    this.#holder = holder;
  }

  /** The process that holds the namespaces, by which `ip link … netns` finds them. */
  get pid(): number {
    return this.#holder.pid as number;
  }

  /** Runs a command to its end, or kills it after `timeoutMs`; a failure is a result, not an exception. */
  exec(
    program: string,
    argv: readonly string[],
    options: { readonly timeoutMs?: number; readonly env?: NodeJS.ProcessEnv; readonly input?: string } = {},
  ): Promise<Result> {
    const [enter, ...rest] = this.#enter(program, argv);
    const { timeoutMs = EXEC_MS, input = '' } = options;
    return new Promise((resolve) => {
      const settings = { env: this.#environment(options.env), timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: OUTPUT_BYTES_MAX } as const;
      const child = execFile(enter, rest, settings, (error, stdout, stderr) => {
        const late = error?.killed === true ? `\n(killed after ${timeoutMs} ms)` : '';
        resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr: stderr + late });
      });
      child.stdin?.on('error', () => {}); // a command that does not read its input
      child.stdin?.end(input);
    });
  }

  /** Runs a command of the lab's own, whose failure is the lab's. */
  async run(program: string, argv: readonly string[], input?: string): Promise<string> {
    const { code, stdout, stderr } = await this.exec(program, argv, { ...(input !== undefined && { input }) });
    if (code !== 0) throw new Error(`${this.name}: ${program} ${argv.join(' ')}: ${stderr.trim()}${input === undefined ? '' : `\n${input}`}`);
    return stdout;
  }

  /** Starts a process that goes on; it is killed when the lab closes. */
  spawn(program: string, argv: readonly string[], options: { readonly name: string; readonly env?: NodeJS.ProcessEnv }): Running {
    const running = new Running({
      what: `${this.name}: ${options.name}`,
      command: this.#enter(program, argv),
      env: this.#environment(options.env),
      logFile: join(this.directory, `${options.name}.log`),
    });
    this.#running.add(running);
    void running.exit.then(() => this.#running.delete(running));
    return running;
  }

  /** Kills what runs here and lets the namespaces go. */
  async close(): Promise<void> {
    await Promise.all([...this.#running].map((running) => running.kill('SIGKILL')));
    if (this.#holder.exitCode === null && this.#holder.signalCode === null) {
      const closed = once(this.#holder, 'close');
      this.#holder.kill('SIGKILL');
      await closed;
    }
  }

  #enter(program: string, argv: readonly string[]): [string, ...string[]] {
    return ['nsenter', '--target', String(this.pid), '--net', '--uts', '--mount', program, ...argv];
  }

  // What a desktop session of the outer machine exports (XDG directories, D-Bus addresses) is not of this one.
  #environment(env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    return { PATH: process.env['PATH'], LANG: 'C.UTF-8', NO_COLOR: '1', HOME: this.directory, ...env };
  }
}
