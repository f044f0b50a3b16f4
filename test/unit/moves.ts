// What goes along with a change of networks: written down with it, and done until it is done.
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { hex } from '../../lib/ids.ts';
import { networkHash, openNetwork } from '../../lib/network-key.ts';
import { takeAlong } from '../../peer/moves.ts';
import { Settings } from '../../peer/settings.ts';
import type { Move } from '../../storage/network-cache.ts';

const [A, B, C] = ['a', 'b', 'c'].map(openNetwork) as [ReturnType<typeof openNetwork>, ReturnType<typeof openNetwork>, ReturnType<typeof openNetwork>];
const hashOf = (network: typeof A): string => hex(networkHash(network));
const move = (from: string, to: string): Move => ({ from, to });

/** @returns what was done, and what is written down behind it */
async function taken(moves: readonly Move[], { latest, failing = [], full = false }: { readonly latest?: Move; readonly failing?: readonly string[]; readonly full?: boolean } = {}) {
  const done: string[] = [];
  let written = moves;
  await takeAlong({
    moves,
    latest,
    move: async ({ from, to }) => {
      done.push(`${from} to ${to}`);
      return !failing.includes(from);
    },
    save: async (left) => {
      if (full) throw new Error('the disk is full');
      written = left;
    },
  });
  return [done, written];
}

t.test('all that goes along goes in order, and none before one that failed, which is done another time', async (t) => {
  const [first, second] = [move('a', 'b'), move('b', 'c')];
  t.same(await taken([first, second]), [['a to b', 'b to c'], []]);
  t.same(await taken([first, second], { latest: second }), [['a to b', 'b to c'], []], 'the latest is written down as a rule');
  t.same(await taken([first, second], { failing: ['a'] }), [['a to b'], [first, second]]);
  t.same(await taken([first, second], { failing: ['b'] }), [['a to b', 'b to c'], [second]]);
  t.same(await taken([], { latest: first }), [['a to b'], []]);
  t.same(await taken([first], { latest: second, failing: ['b'] }), [['a to b', 'b to c'], [second]], 'what could not be written down may be now');
  t.same(await taken([first], { full: true }), [['a to b'], [first]], 'who cannot write does it once more');
});

t.test('a network and what goes along into it are written down at once, and stay until it is said to be done', async (t) => {
  const folder = t.testdir({});
  const settings = await Settings.open(folder);
  await settings.saveNetwork(A);
  t.same(settings.moves, []);
  await settings.saveNetwork(B, A);
  await settings.saveNetwork(C);
  await settings.savePort(7_000);
  const again = await Settings.open(folder);
  t.same([again.network?.name, again.moves, again.port], ['c', [move(hashOf(A), hashOf(B))], 7_000]);
  await again.saveMoves([]);
  t.same((await Settings.open(folder)).moves, []);
});

t.test('what could not be written down is not written down by the next word', async (t) => {
  const folder = t.testdir({});
  const settings = await Settings.open(folder);
  await settings.saveNetwork(A);
  await mkdir(join(folder, 'settings.json.new'));
  await t.rejects(settings.saveNetwork(B, A), { code: 'EISDIR' });
  await rmdir(join(folder, 'settings.json.new'));
  await settings.savePort(7_000);
  t.same([settings.network?.name, settings.moves], ['a', []]);
  t.same(JSON.parse(await readFile(join(folder, 'settings.json'), 'utf8')), { network: { name: 'a' }, moves: [], port: 7_000 });
});

t.test('no move leads out of the folder of caches, whatever the file says', async (t) => {
  const folder = t.testdir({});
  await Settings.open(folder);
  const good = move(hashOf(A), hashOf(B));
  for (const [moves, wanted] of [[[move('../..', hashOf(B)), null, 7, { from: hashOf(A) }, good], [good]], ['all', []], [{}, []]] as const) {
    await writeFile(join(folder, 'settings.json'), JSON.stringify({ moves }));
    t.same((await Settings.open(folder)).moves, wanted);
  }
});
