// Opening a file costs more than reading 64 KiB of it, and a stream reads a song in a hundred steps. So files stay open
// for a while: the least recently used is closed when there are too many, all others after a pause. A file is never
// closed under somebody who is reading it.
import type { FileHandle } from 'node:fs/promises';
import { codeOf } from '../lib/errors.ts';
import { OPEN_FILES_MAX } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';

/** Longer than the pause between a player's requests; shorter than a person waits for "the disk is in use" to go away. */
const IDLE_MS: Millis = 10_000;

interface Slot {
  readonly handle: Promise<FileHandle>;
  users: number;
  idleSince: Millis;
  /** Set once nobody new may use it; called when the last user has gone. */
  dropped?: () => void;
}

export class OpenFiles {
  /** In order of use. */
  readonly #slots = new Map<string, Slot>();
  #sweep: NodeJS.Timeout | undefined;

  /** @param key names the file, and the version of it when an older one may still be open */
  async use<T>(key: string, open: () => Promise<FileHandle>, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    let slot = this.#slots.get(key);
    this.#slots.delete(key);
    slot ??= { handle: open(), users: 0, idleSince: 0 };
    this.#slots.set(key, slot);
    slot.users++;
    try {
      this.#trim();
      return await work(await slot.handle);
    } catch (error) {
      // The next user opens it anew: this one may have been deleted, or its disk unplugged.
      if (this.#slots.get(key) === slot) void this.drop(key);
      throw error;
    } finally {
      slot.users--;
      slot.idleSince = performance.now();
      if (slot.users === 0) slot.dropped?.();
      this.#sweep ??= setTimeout(() => this.#closeIdle(), IDLE_MS).unref();
    }
  }

  /** Resolves when the file is closed, which waits for those who are reading it. */
  async drop(key: string): Promise<void> {
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    this.#slots.delete(key);
    if (slot.users > 0) await new Promise<void>((resolve) => (slot.dropped = resolve));
    await slot.handle.then((handle) => handle.close()).catch(() => {});
  }

  async close(): Promise<void> {
    clearTimeout(this.#sweep);
    await Promise.all([...this.#slots.keys()].map((key) => this.drop(key)));
  }

  get size(): number {
    return this.#slots.size;
  }

  #trim(): void {
    for (const [key, slot] of this.#slots) {
      if (this.#slots.size <= OPEN_FILES_MAX) return;
      if (slot.users === 0) void this.drop(key);
    }
  }

  #closeIdle(): void {
    const now = performance.now();
    for (const [key, slot] of this.#slots) if (slot.users === 0 && now - slot.idleSince >= IDLE_MS / 2) void this.drop(key);
    this.#sweep = this.#slots.size === 0 ? undefined : setTimeout(() => this.#closeIdle(), IDLE_MS).unref();
  }
}

/** Exactly `length` bytes from `position`, or fewer where the file ends. */
export async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

export async function writeAt(handle: FileHandle, position: number, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.byteLength - written, position + written);
    written += bytesWritten;
  }
}

/** Too many open files say nothing about the one that was to be opened. */
export const isShortage = (error: unknown): boolean => ['EMFILE', 'ENFILE'].includes(codeOf(error) ?? '');
