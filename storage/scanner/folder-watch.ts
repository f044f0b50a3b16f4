// Tells that something happened in a folder, not what: whoever asks looks again, so lost, doubled or reordered events do no harm.
// One watch per folder and none per file, because the kernel's watches are few (8,192 on many systems) and cost memory.
import { type FSWatcher, watch } from 'node:fs';
import { codeOf } from '../../lib/errors.ts';

export class FolderWatch {
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #onEvent: (folder: string) => void;
  readonly #onFailure: (code: string) => void;
  #failed = false;

  /** @param options.onFailure called once: from then on not all folders are watched */
  constructor(options: { onEvent(folder: string): void; onFailure(code: string): void }) {
    this.#onEvent = options.onEvent;
    this.#onFailure = options.onFailure;
  }

  /** A folder that was watched under this path may have been another one: the watch begins anew. */
  add(folder: string): void {
    this.delete(folder);
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#onEvent(folder));
      watcher.on('error', (error) => {
        this.delete(folder);
        this.#fail(error);
        this.#onEvent(folder);
      });
      this.#watchers.set(folder, watcher);
    } catch (error) {
      this.#fail(error);
    }
  }

  delete(folder: string): void {
    this.#watchers.get(folder)?.close();
    this.#watchers.delete(folder);
  }

  close(): void {
    for (const folder of [...this.#watchers.keys()]) this.delete(folder);
  }

  #fail(error: unknown): void {
    // Windows reports a watched folder that is deleted as EPERM; what is gone needs no watching.
    const code = codeOf(error) ?? 'unknown';
    if (this.#failed || code === 'ENOENT' || code === 'EPERM') return;
    this.#failed = true;
    this.#onFailure(code);
  }
}
