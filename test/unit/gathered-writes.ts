import { open, readFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { GatheredWrites } from '../../storage/gathered-writes.ts';

const BYTES = 1_000;
const chunk = (index: number): Buffer => Buffer.alloc(BYTES, index + 1);

interface Room {
  readonly writes: GatheredWrites;
  readonly path: string;
  /** Position and length of each operation. */
  readonly operations: (readonly [number, number])[];
  /** How many of them were under way at once. */
  readonly together: () => number;
  /** The so-manieth operation from now on fails. */
  readonly fail: (after: number) => void;
}

/** @param bytesMax of one operation */
async function room(t: Test, bytesMax = Number.POSITIVE_INFINITY): Promise<Room> {
  const path = join(t.testdir(), 'file');
  const handle = await open(path, 'w');
  t.teardown(() => handle.close());
  const operations: (readonly [number, number])[] = [];
  let underWay = 0;
  let together = 0;
  let failsIn = 0;
  const slow = {
    writev: async (buffers: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }> => {
      if (failsIn > 0 && --failsIn === 0) throw new Error('full');
      together = Math.max(together, ++underWay);
      const bytes = Buffer.concat(buffers).subarray(0, bytesMax);
      operations.push([position, bytes.byteLength]);
      const { bytesWritten } = await handle.write(bytes, 0, bytes.byteLength, position);
      underWay--;
      return { bytesWritten };
    },
  } as FileHandle;
  return { writes: new GatheredWrites((work) => work(slow)), path, operations, together: () => together, fail: (after) => void (failsIn = after) };
}

t.test('chunks that come together are written together, each at its place, whatever their order', async (t) => {
  const { writes, path, operations } = await room(t);
  await Promise.all([3, 0, 2, 1, 7].map((index) => writes.write(index * BYTES, chunk(index), { last: false })));
  t.same(operations, [[0, 4 * BYTES], [7 * BYTES, BYTES]]);
  const file = await readFile(path);
  for (const index of [0, 1, 2, 3, 7]) t.ok(file.subarray(index * BYTES, (index + 1) * BYTES).equals(chunk(index)), `chunk ${index}`);
});

t.test('a file is written by one operation at a time, and all that came meanwhile by the next', async (t) => {
  const { writes, operations, together } = await room(t);
  await Promise.all(Array.from({ length: 40 }, (_, index) => writes.write(index * BYTES, chunk(index), { last: index === 39 })));
  t.equal(together(), 1);
  t.same(operations, [[0, 16 * BYTES], [16 * BYTES, 24 * BYTES]]);
});

t.test('a disk that takes less than it is given is given the rest', async (t) => {
  const { writes, path, operations } = await room(t, 1_700);
  await Promise.all([0, 1, 2].map((index) => writes.write(index * BYTES, chunk(index), { last: index === 2 })));
  t.same(operations, [[0, 1_700], [1_700, 1_300]]);
  t.ok((await readFile(path)).equals(Buffer.concat([0, 1, 2].map(chunk))));
});

t.test('what fails together is told apart: what is in the file, what is there in part, and what is not; what comes later is tried anew', async (t) => {
  const { writes, operations, fail } = await room(t, 2_500);
  fail(2);
  const error = new Error('full');
  const written = await Promise.all([9, 5, 2, 1, 0].map((index) => writes.write(index * BYTES, chunk(index), { last: index === 0 })));
  t.same(operations, [[0, 2_500]]);
  t.same(written, [{ bytes: 0, error }, { bytes: 0, error }, { bytes: 500, error }, { bytes: BYTES }, { bytes: BYTES }]);
  t.same(await writes.write(9 * BYTES, chunk(9), { last: true }), { bytes: BYTES });
});

t.test('of a file that cannot be opened nothing is written, and nothing is thrown', async (t) => {
  const error = new Error('gone');
  const writes = new GatheredWrites(() => Promise.reject(error));
  t.same(await Promise.all([0, 1].map((index) => writes.write(index * BYTES, chunk(index), { last: index === 1 }))), [{ bytes: 0, error }, { bytes: 0, error }]);
});
