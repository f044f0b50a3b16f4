// Files of the cache that are there and could not be read, or of which nothing here proves what is in them: there were too many open files, a disk
// comes back, a head rotted. They may be the last copies, so they are put aside and go on counting: a song is not written over, and edges only by
// right ones.
import type { PayloadId } from '../lib/ids.ts';

export class UnreadableFiles {
  /** By name, with what each takes of the disk. */
  readonly #files = new Map<PayloadId, Map<string, number>>();
  #bytes = 0;

  /** What they take of the disk. */
  get bytes(): number {
    return this.#bytes;
  }

  get payloads(): PayloadId[] {
    return [...this.#files.keys()];
  }

  has(payload: PayloadId, name: string): boolean {
    return this.#files.get(payload)?.has(name) ?? false;
  }

  /** Any of that payload. */
  hasAny(payload: PayloadId): boolean {
    return this.#files.has(payload);
  }

  /** What it takes of the disk; 0 where it is none of these, or that cannot be told. */
  bytesOf(payload: PayloadId, name: string): number {
    return this.#files.get(payload)?.get(name) ?? 0;
  }

  namesOf(payload: PayloadId): string[] {
    return [...(this.#files.get(payload)?.keys() ?? [])];
  }

  /** @param bytes what it takes of the disk */
  add(payload: PayloadId, name: string, bytes: number): void {
    this.delete(payload, name);
    const files = this.#files.get(payload) ?? new Map<string, number>();
    this.#files.set(payload, files.set(name, bytes));
    this.#bytes += bytes;
  }

  /** It is gone, or can be read. */
  delete(payload: PayloadId, name: string): void {
    const files = this.#files.get(payload);
    this.#bytes -= files?.get(name) ?? 0;
    files?.delete(name);
    if (files?.size === 0) this.#files.delete(payload);
  }
}
