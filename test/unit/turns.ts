// Who of those that fetch the same begins with which chunks.
import fc from 'fast-check';
import t from 'tap';
import type { PeerId } from '../../lib/ids.ts';
import { Turns } from '../../peer/chunks/turns.ts';

const CHUNKS = 400;

/** As keys have them: any 128 bits. */
const peers = fc.uniqueArray(fc.stringMatching(/^[0-9a-f]{32}$/), { minLength: 2, maxLength: 33 }).map((ids) => ids as PeerId[]);

const turnsAmong = (self: PeerId, all: readonly PeerId[]): Turns => {
  const turns = new Turns(self);
  turns.among(all.filter((peer) => peer !== self));
  return turns;
};

t.test('those that know each other give each chunk to another of them first, second and so on', async () => {
  fc.assert(
    fc.property(peers, fc.integer({ min: 0, max: 2 ** 19 }), (all, chunk) => {
      const order = all.map((peer) => turnsAmong(peer, all).of(chunk)).sort((a, b) => a - b);
      if (order.some((turn, i) => turn !== i)) throw new Error(`${order}`);
    }),
    { verbose: 1 },
  );
});

t.test('the order is that of PROTOCOL.md, by which others take their turns', async (t) => {
  const all = ['00112233445566778899aabbccddeeff', '0f1e2d3c4b5a69788796a5b4c3d2e1f0', 'a5d8f782bb02efadf254ffd42412b9eb', 'c058ab98f1dececeb2372f074b13e456'] as PeerId[];
  const turns = (chunk: number): number[] => all.map((peer) => turnsAmong(peer, all).of(chunk));
  t.strictSame([0, 1, 2, 3, 1_000, 524_287].map(turns), [[1, 3, 0, 2], [1, 2, 3, 0], [0, 1, 2, 3], [2, 3, 0, 1], [3, 0, 1, 2], [1, 3, 0, 2]]);
});

t.test('each has its share, whatever the ids are like', async (t) => {
  for (const [what, idOf] of [['by chance', (n: number) => String(Math.imul(n + 1, 0x9e37_79b1) >>> 0)], ['in a row', String]] as const) {
    const all = Array.from({ length: 10 }, (_, n) => idOf(n).padStart(32, '0') as PeerId);
    const shares = all.map((peer) => {
      const turns = turnsAmong(peer, all);
      return Array.from({ length: CHUNKS }, (_, chunk) => turns.of(chunk)).filter((turn) => turn === 0).length;
    });
    t.ok(Math.min(...shares) > CHUNKS / 20 && Math.max(...shares) < CHUNKS / 5, `${what}: ${shares}`);
  }
});

t.test('when one goes the others take its chunks, and leave each other theirs', async () => {
  fc.assert(
    fc.property(peers, (all) => {
      const [gone, self] = all as [PeerId, PeerId];
      const turns = turnsAmong(self, all);
      const before = Array.from({ length: CHUNKS }, (_, chunk) => turns.of(chunk));
      const its = turnsAmong(gone, all);
      turns.among(all.filter((peer) => peer !== gone && peer !== self));
      for (const [chunk, turn] of before.entries()) {
        const now = turns.of(chunk);
        if (now !== turn - Number(its.of(chunk) < turn)) throw new Error(`chunk ${chunk}: ${turn}, then ${now}`);
      }
    }),
    { verbose: 1 },
  );
});
