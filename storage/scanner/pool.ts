// The scan workers: started when there is work, ended soon after, because an idle thread costs 10 MB. A worker that crashes or
// hangs is replaced, and the file it was at is refused rather than tried again and again.
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type ErrorCode, PeerError } from '../../lib/errors.ts';
import { SCAN_STALL_MS } from '../../lib/limits.ts';
import type { ScannedFile } from './scan-file.ts';
import { READS, type ScanReply, type ScanRequest, SIGNALS, YIELDING } from './worker-messages.ts';

const IDLE_MS = 2_000;
/** A parser that runs away ends its thread at this heap, not the peer. */
const HEAP_MIB_MAX = 192;
/** Tags die young and small; Node's default of 16 MiB would fill up before anything is collected, and costs 11 MiB of RSS. */
const YOUNG_HEAP_MIB = 2;

interface Job {
  readonly path: string;
  readonly resolve: (file: ScannedFile) => void;
  readonly reject: (error: PeerError) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly signals: Int32Array;
  job: Job | undefined;
  /** Reads that were counted at the last look of the watchdog. */
  reads: number;
}

export class ScanPool {
  readonly #workersMax: number;
  readonly #script: URL;
  readonly #stallMs: number;
  readonly #threads = new Set<Thread>();
  readonly #waiting: Job[] = [];
  #yielding = false;
  #closed = false;
  #idleTimer: NodeJS.Timeout | undefined;
  #watchdog: NodeJS.Timeout | undefined;

  /** @param options.script the worker's code, and `stallMs` the time without a read after which it hangs: tests replace them */
  constructor(options: { readonly workersMax: number; readonly script?: URL; readonly stallMs?: number }) {
    this.#workersMax = options.workersMax;
    // This file's own extension: .js when built, .ts when run by a loader.
    this.#script = options.script ?? new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
    this.#stallMs = options.stallMs ?? SCAN_STALL_MS;
  }

  /** Threads that are alive. */
  get threads(): number {
    return this.#threads.size;
  }

  /** @throws PeerError what scanFile throws, and BAD_FILE when the file crashed its reader, TIMED_OUT when it hung, CANCELLED on close */
  run(path: string): Promise<ScannedFile> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new PeerError('CANCELLED', 'the scanner is closed'));
      this.#waiting.push({ path, resolve, reject });
      this.#assign();
    });
  }

  /** While `yielding`, workers use a quarter of their time. */
  setYielding(yielding: boolean): void {
    this.#yielding = yielding;
    for (const { signals } of this.#threads) this.#tell(signals);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idleTimer);
    clearInterval(this.#watchdog);
    const cancelled = new PeerError('CANCELLED', 'the scanner is closed');
    for (const job of this.#waiting.splice(0)) job.reject(cancelled);
    const threads = [...this.#threads];
    for (const thread of threads) this.#drop(thread, cancelled);
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  #tell(signals: Int32Array): void {
    Atomics.store(signals, YIELDING, this.#yielding ? 1 : 0);
    Atomics.notify(signals, YIELDING);
  }

  #assign(): void {
    clearTimeout(this.#idleTimer);
    while (this.#waiting.length > 0) {
      const thread = [...this.#threads].find(({ job }) => job === undefined) ?? (this.#threads.size < this.#workersMax ? this.#startThread() : undefined);
      if (thread === undefined) return;
      const job = this.#waiting.shift() as Job;
      thread.job = job;
      // A thread with work keeps the process alive, an idle one does not.
      thread.worker.ref();
      thread.worker.postMessage({ path: job.path } satisfies ScanRequest);
    }
  }

  #startThread(): Thread {
    const signals = new Int32Array(new SharedArrayBuffer(SIGNALS * Int32Array.BYTES_PER_ELEMENT));
    const worker = new Worker(this.#script, { workerData: signals, resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX, maxYoungGenerationSizeMb: YOUNG_HEAP_MIB } });
    const thread: Thread = { worker, signals, job: undefined, reads: -1 };
    this.#tell(signals);
    worker.on('message', (reply: ScanReply) => this.#finish(thread, reply));
    const crashed = (cause?: unknown): void => this.#drop(thread, new PeerError('BAD_FILE', 'crashed its reader', { cause }));
    worker.on('error', crashed);
    worker.on('exit', () => crashed());
    this.#threads.add(thread);
    this.#watchdog ??= setInterval(() => this.#watch(), this.#stallMs).unref();
    return thread;
  }

  #finish(thread: Thread, reply: ScanReply): void {
    // The last words of a thread that was ended.
    if (!this.#threads.has(thread)) return;
    const job = thread.job;
    thread.job = undefined;
    thread.reads = -1;
    thread.worker.unref();
    if (reply.kind === 'scanned') job?.resolve(reply.file);
    else job?.reject(new PeerError(reply.code as ErrorCode, reply.reason));
    this.#assign();
    if (![...this.#threads].some((each) => each.job !== undefined)) this.#idleTimer = setTimeout(() => this.#endThreads(), IDLE_MS).unref();
  }

  #drop(thread: Thread, error: PeerError): void {
    if (!this.#threads.delete(thread)) return;
    thread.job?.reject(error);
    thread.job = undefined;
    if (!this.#closed) this.#assign();
  }

  #endThreads(): void {
    clearInterval(this.#watchdog);
    this.#watchdog = undefined;
    for (const thread of this.#threads) {
      this.#threads.delete(thread);
      void thread.worker.terminate();
    }
  }

  /** Runs once per stall time: who has not read since the last look and is at the same file hangs. */
  #watch(): void {
    for (const thread of this.#threads) {
      if (thread.job === undefined) continue;
      const reads = Atomics.load(thread.signals, READS);
      if (reads === thread.reads) {
        this.#drop(thread, new PeerError('TIMED_OUT', 'hung its reader'));
        // Not awaited: a thread inside a read of a dead disk ends when the disk answers.
        void thread.worker.terminate();
      } else thread.reads = reads;
    }
  }
}
