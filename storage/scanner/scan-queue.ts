// Files that wait to be read: one lane per device, because two readers on one disk are slower than one, and the newest first,
// because what somebody has just added is what they want to hear.
import type { SeenFile } from './folder.ts';

export interface ScanJob {
  readonly file: SeenFile;
  /** The path that the file had before, when it was renamed. */
  readonly renamedFrom?: string;
}

export class ScanQueue {
  /** By device; the newest last, where taking is cheap. */
  readonly #lanes = new Map<number, ScanJob[]>();
  readonly #waiting = new Map<string, ScanJob>();

  get size(): number {
    return this.#waiting.size;
  }

  get(path: string): ScanJob | undefined {
    return this.#waiting.get(path);
  }

  devices(): number[] {
    return [...this.#lanes.keys()];
  }

  /** A path that waits already is replaced. */
  add(jobs: readonly ScanJob[]): void {
    const touched = new Set<ScanJob[]>();
    for (const job of jobs) {
      this.#waiting.set(job.file.path, job);
      let lane = this.#lanes.get(job.file.device);
      if (lane === undefined) this.#lanes.set(job.file.device, (lane = []));
      lane.push(job);
      touched.add(lane);
    }
    for (const lane of touched) lane.sort((a, b) => a.file.mtimeMs - b.file.mtimeMs);
  }

  remove(path: string): void {
    this.#waiting.delete(path);
  }

  take(device: number): ScanJob | undefined {
    const lane = this.#lanes.get(device);
    for (let job = lane?.pop(); job !== undefined; job = lane?.pop()) {
      // Jobs that were replaced or removed stay in the lane until they surface.
      if (this.#waiting.get(job.file.path) !== job) continue;
      this.#waiting.delete(job.file.path);
      return job;
    }
    this.#lanes.delete(device);
    return undefined;
  }

  /** @returns what had waited */
  clear(): ScanJob[] {
    const jobs = [...this.#waiting.values()];
    this.#lanes.clear();
    this.#waiting.clear();
    return jobs;
  }
}
