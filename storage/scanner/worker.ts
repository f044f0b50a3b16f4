// The thread that reads files: scanning burns CPU and blocks on disks, and nothing may delay a beat. It does one file at a time,
// reports each read in shared memory, so that its pool can tell slow from stuck, and steps back while music plays.
import { parentPort, workerData } from 'node:worker_threads';
import { codeOf, messageOf } from '../../lib/errors.ts';
import { scanFile } from './scan-file.ts';
import { READS, type ScanReply, type ScanRequest, YIELDING } from './worker-messages.ts';

/** While music plays a worker rests three times as long as its read took: a quarter of the disk, and still an end in sight. */
const REST_FACTOR = 3;
const REST_MS_MAX = 500;

if (parentPort !== null) {
  const port = parentPort;
  const signals = workerData as Int32Array;
  let readSince = performance.now();
  const between = (): void => {
    Atomics.add(signals, READS, 1);
    if (Atomics.load(signals, YIELDING) === 1) {
      // Woken early when the music ends.
      Atomics.wait(signals, YIELDING, 1, Math.min(REST_MS_MAX, REST_FACTOR * (performance.now() - readSince) + 1));
    }
    readSince = performance.now();
  };
  port.on('message', ({ path }: ScanRequest) => {
    readSince = performance.now();
    scanFile(path, between).then(
      (file) => port.postMessage({ kind: 'scanned', file } satisfies ScanReply),
      (error) => port.postMessage({ kind: 'failed', code: codeOf(error) ?? 'BAD_FILE', reason: messageOf(error) } satisfies ScanReply),
    );
  });
}
