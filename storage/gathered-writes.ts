// Chunks on their way to one file wait a moment for those beside them and are written together: waking a thread for each of them
// costs more than writing it.
import type { FileHandle } from 'node:fs/promises';
import type { Millis } from '../lib/time.ts';

/** Long enough for ten chunks of a fast line; whoever waits for the disk does not notice it. */
const GATHER_MS: Millis = 5;
/** 1 MiB: more at once gains nothing. */
const GATHERED_MAX = 16;

interface Waiting {
  readonly position: number;
  readonly bytes: Uint8Array;
  readonly done: (written: Written) => void;
}

/** How much of one write is in the file. */
export interface Written {
  readonly bytes: number;
  /** Why it is not all. */
  readonly error?: unknown;
}

export class GatheredWrites {
  readonly #use: (work: (handle: FileHandle) => Promise<void>) => Promise<void>;
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Several threads that write to one file wait for each other, and burn a processor meanwhile. */
  #writing = false;

  /** @param use opens the file for as long as the work takes; what it throws is why the writes of that moment are not in the file */
  constructor(use: (work: (handle: FileHandle) => Promise<void>) => Promise<void>) {
    this.#use = use;
  }

  /** Throws nothing: of writes that fail together some are in the file, and take of the disk. @param position in the file @param last nothing follows: then it does not wait */
  write(position: number, bytes: Uint8Array, { last }: { readonly last: boolean }): Promise<Written> {
    return new Promise((done) => {
      this.#waiting.push({ position, bytes, done });
      if (last || this.#waiting.length >= GATHERED_MAX) this.flush();
      else this.#timer ??= setTimeout(() => this.flush(), GATHER_MS);
    });
  }

  /** Writes what waits, as soon as what is being written is written. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#writing) return;
    const waiting = this.#waiting.sort((a, b) => a.position - b.position);
    this.#waiting = [];
    if (waiting.length === 0) return;
    this.#writing = true;
    let writtenBytes = 0;
    const write = async (handle: FileHandle): Promise<void> => {
      for (const stretch of stretches(waiting)) await writeAllAt(handle, stretch, (bytes) => (writtenBytes += bytes));
    };
    const tell = (error?: unknown): void => {
      for (const { bytes, done } of waiting) {
        const written = Math.min(bytes.byteLength, writtenBytes);
        writtenBytes -= written;
        done(written === bytes.byteLength ? { bytes: written } : { bytes: written, error });
      }
    };
    void this.#use(write)
      .then(() => tell(), tell)
      .finally(() => {
        this.#writing = false;
        this.flush();
      });
  }
}

/** Those that lie side by side, together. */
function* stretches(writes: readonly Waiting[]): Generator<Waiting[], void, undefined> {
  let stretch: Waiting[] = [];
  let end = -1;
  for (const write of writes) {
    if (write.position !== end && stretch.length > 0) {
      yield stretch;
      stretch = [];
    }
    stretch.push(write);
    end = write.position + write.bytes.byteLength;
  }
  yield stretch;
}

async function writeAllAt(handle: FileHandle, stretch: readonly Waiting[], tell: (bytes: number) => void): Promise<void> {
  const position = (stretch[0] as Waiting).position;
  let left = stretch.map(({ bytes }) => bytes);
  for (let written = 0; left.length > 0; ) {
    let { bytesWritten } = await handle.writev(left, position + written);
    written += bytesWritten;
    tell(bytesWritten);
    while (left.length > 0 && bytesWritten >= (left[0] as Uint8Array).byteLength) bytesWritten -= (left.shift() as Uint8Array).byteLength;
    if (bytesWritten > 0) left = [(left[0] as Uint8Array).subarray(bytesWritten), ...left.slice(1)];
  }
}
