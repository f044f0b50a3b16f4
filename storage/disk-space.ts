// What of its disk the cache may still take. Music of others must never fill the disk of one's own database: nothing that people make could be
// written then. The file system is asked now and then, and in between what the cache itself takes is counted, so that nobody waits for it.
import { statfs } from 'node:fs/promises';
import type { Clock, Millis } from '../lib/time.ts';

/** The log of the database and its compaction, and what other programs write within a few seconds. */
const RESERVE_BYTES_MAX = 256 * 1024 * 1024;
/** Of a small disk. */
const RESERVE_SHARE = 0.1;
/** A figure that is older is read again, and holds meanwhile. */
const OLD_MS: Millis = 2_000;

export type StatFileSystem = (path: string) => Promise<{ readonly bsize: number; readonly blocks: number; readonly bavail: number }>;

export class DiskSpace {
  readonly #folder: string;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #statfs: StatFileSystem;
  /** Bytes that could be taken when the cache had taken so many. */
  #read: { readonly leftBytes: number; readonly takenBytes: number } | undefined;
  #readAt: Millis = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(folder: string, { clock, statfs: ask = statfs }: { readonly clock: Pick<Clock, 'now'>; readonly statfs?: StatFileSystem | undefined }) {
    this.#folder = folder;
    this.#clock = clock;
    this.#statfs = ask;
  }

  /** @param takenBytes by the cache now @returns bytes that it may take besides; less than 0 where it takes of the reserve; Infinity where nobody says */
  leftBytes(takenBytes: number): number {
    if (this.#clock.now() - this.#readAt >= OLD_MS) void this.read(takenBytes);
    return this.#read === undefined ? Number.POSITIVE_INFINITY : this.#read.leftBytes + this.#read.takenBytes - takenBytes;
  }

  /** Asks the file system. @param takenBytes by the cache now */
  read(takenBytes: number): Promise<void> {
    this.#reading ??= this.#ask(takenBytes).finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #ask(takenBytes: number): Promise<void> {
    this.#readAt = this.#clock.now();
    try {
      const { bsize, blocks, bavail } = await this.#statfs(this.#folder);
      this.#read = { leftBytes: bsize * bavail - Math.min(RESERVE_BYTES_MAX, RESERVE_SHARE * bsize * blocks), takenBytes };
    } catch {
      // a folder that is not there: what is written to it shows what is wrong
      this.#read = undefined;
    }
  }
}
