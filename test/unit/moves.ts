// What goes along with a change of networks: written down with it, and done until it is done.
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { hex } from '../../lib/ids.ts';
import { networkHash, openNetwork } from '../../lib/network-key.ts';
import { takeAlong } from '../../peer/moves.ts';
import { Settings } from '../../peer/settings.ts';
import type { Move } from '../../storage/network-cache.ts';
import { until } from '../lab/until.ts';

const [A, B, C] = ['a', 'b', 'c'].map(openNetwork) as [ReturnType<typeof openNetwork>, ReturnType<typeof openNetwork>, ReturnType<typeof openNetwork>];
const hashOf = (network: typeof A): string => hex(networkHash(network));
const move = (from: string, to: string): Move => ({ from, to });

/** @returns what was done, and what is still to be moved */
async function taken(moves: readonly Move[], { here, failing = [] }: { readonly here: string; readonly failing?: readonly string[] }) {
  const done: string[] = [];
  const left = await takeAlong({
    moves,
    here,
    move: async ({ from, to }) => {
      done.push(`${from} to ${to}`);
      return !failing.includes(from);
    },
  });
  return [done, left];
}

t.test('all that goes along goes in order, and none before one that failed, which is done another time', async (t) => {
  const [first, second] = [move('a', 'b'), move('b', 'c')];
  t.same(await taken([first, second], { here: 'c' }), [['a to b', 'b to c'], []]);
  t.same(await taken([first, second], { here: 'c', failing: ['a'] }), [['a to b'], [first, second]]);
  t.same(await taken([first, second], { here: 'c', failing: ['b'] }), [['a to b', 'b to c'], [second]]);
});

t.test('nothing goes away from the network that is being opened, and what had left it comes back', async (t) => {
  const [there, back, on] = [move('a', 'b'), move('b', 'a'), move('b', 'c')];
  t.same(await taken([there], { here: 'a' }), [[], []], 'a move that failed, and a person who came back');
  t.same(await taken([there, back], { here: 'a', failing: ['a'] }), [['b to a'], []]);
  t.same(await taken([there, on], { here: 'b' }), [['a to b'], []]);
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

t.test('what has happened holds though it cannot be written down, and is written down as soon as anything is', async (t) => {
  const folder = t.testdir({});
  const settings = await Settings.open(folder);
  const full = join(folder, 'settings.json.new');
  const written = async (): Promise<unknown> => {
    const { network, moves } = await Settings.open(folder);
    return [network?.name, moves];
  };
  await settings.saveNetwork(A);
  await settings.saveNetwork(B, A);
  await mkdir(full);
  await settings.saveMoves([]);
  await settings.saveReturn(A, B);
  t.same([settings.network?.name, settings.moves], ['a', [move(hashOf(B), hashOf(A))]], 'no move is done again that was done, nor left out');
  t.same(await written(), ['b', [move(hashOf(A), hashOf(B))]]);
  await rmdir(full);
  await settings.savePort(7_000);
  t.same(await written(), ['a', [move(hashOf(B), hashOf(A))]]);
  await mkdir(full);
  await settings.saveMoves([]);
  await rmdir(full);
  await settings.close();
  t.same(await written(), ['a', []], 'and at the end, also where nothing else is');
});

t.test('what could not be written down is tried again of itself, until the end', async (t) => {
  const folder = t.testdir({});
  const settings = await Settings.open(folder, { retryMs: 5 });
  await settings.saveNetwork(B, A);
  await mkdir(join(folder, 'settings.json.new'));
  await settings.saveMoves([]);
  await rmdir(join(folder, 'settings.json.new'));
  await until('it is written down', 5_000, () => Settings.open(folder), ({ moves }) => moves.length === 0);
  await settings.close();
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
