// Pieces of an edge: read through once however many are asked for, and none of them wrong, whenever the disk rots.
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { sha256 } from '../../lib/content.ts';
import { PIECE_BYTES_MAX } from '../../lib/limits.ts';
import { EdgePieces } from '../../storage/edge-pieces.ts';

function disk(bytes: number) {
  const content = randomBytes(bytes);
  const was = Buffer.from(content);
  const state = { readBytes: 0, fails: false };
  const edge = {
    key: 'edge', bytes, hash: sha256(content),
    async read(offset: number, length: number): Promise<Buffer> {
      await Promise.resolve();
      if (state.fails) throw new Error('unplugged');
      state.readBytes += length;
      return Buffer.from(content.subarray(offset, offset + length));
    },
  };
  return { content, was, state, edge };
}

t.test('pieces from any offset are exact, and end where a piece ends', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 3 * PIECE_BYTES_MAX }), fc.array(fc.nat(3 * PIECE_BYTES_MAX + 9), { maxLength: 5 }), async (bytes, offsets) => {
      const { was, edge } = disk(bytes);
      const pieces = new EdgePieces();
      for (const offset of [0, ...offsets]) {
        const end = Math.min(bytes, (Math.floor(offset / PIECE_BYTES_MAX) + 1) * PIECE_BYTES_MAX);
        if (!was.subarray(Math.min(offset, end), end).equals((await pieces.read(edge, offset)) ?? Buffer.from('none'))) return false;
      }
      return true;
    }),
    { numRuns: 60, seed: 7, endOnFailure: true },
  );
  t.pass();
});

t.test('an edge is read through once, and then each piece once, also when four are asked for at the same time', async (t) => {
  const count = 200;
  const { was, state, edge } = disk(count * PIECE_BYTES_MAX - 5);
  const pieces = new EdgePieces();
  let next = 0;
  const whole = Buffer.alloc(edge.bytes);
  const puller = async (): Promise<void> => {
    while (next < count) {
      const offset = next++ * PIECE_BYTES_MAX;
      whole.set((await pieces.read(edge, offset)) as Uint8Array, offset);
    }
  };
  await Promise.all([puller(), puller(), puller(), puller()]);
  t.ok(whole.equals(was));
  t.equal(state.readBytes, 2 * edge.bytes);
});

t.test('of an edge that is not what its hash says no piece is given, of one that rots later none that rotted', async (t) => {
  for (const bytes of [50, 3 * PIECE_BYTES_MAX]) {
    const { content, state, edge } = disk(bytes);
    const pieces = new EdgePieces();
    t.ok(await pieces.read(edge, 0));
    content[bytes - 1]! ^= 1;
    t.equal(await pieces.read(edge, bytes - 1), null, 'read and looked at before');
    t.equal(await pieces.read(edge, 0), null, 'and nothing else of it from then on');
    content[bytes - 1]! ^= 1;
    t.ok(await pieces.read(edge, 0), 'until it is whole again');
    state.fails = true;
    await t.rejects(pieces.read(edge, 0), { message: 'unplugged' });
    await t.rejects(new EdgePieces().read(edge, 0), { message: 'unplugged' });
    state.fails = false;
    t.ok(await pieces.read(edge, 0));
  }
});
