// What a machine keeps of others' music in the network of today: how much room it has, and what goes before anybody knows who else has it.
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { OpenFiles } from '../../storage/open-files.ts';
import { NetworkCache } from '../../storage/network-cache.ts';
import { OperationStore } from '../../storage/operation-store.ts';
import { fillCache, madeSong } from '../fixtures/made-song.ts';
import { openReplica } from '../fixtures/replica.ts';

async function machine(t: Test) {
  const data = await mkdtemp(join(tmpdir(), 'network-cache-'));
  const { database } = await openReplica(t, OperationStore);
  const files = new OpenFiles();
  t.teardown(async () => {
    await files.close();
    await rm(data, { recursive: true });
  });
  return { data, open: (network: string, bytesMax: number) => NetworkCache.open(network, { data, bytesMax, database, files, log: () => undefined }) };
}

const MB = 1_000_000;

t.test('what other networks have left counts, up to half of the bound', async (t) => {
  const { data, open } = await machine(t);
  const left = join(data, 'cache', 'left');
  await mkdir(left, { recursive: true });
  const roomBeside = async (bytes: number): Promise<readonly [room: number, left: number]> => {
    await writeFile(join(left, 'x.chunks'), Buffer.alloc(bytes, 1));
    const cache = await open('home', 10 * MB);
    const room = cache.chunks.bytesMax;
    await cache.close();
    return [room, (await stat(join(left, 'x.chunks'))).blocks * 512];
  };
  const [room, bytes] = await roomBeside(2 * MB);
  t.ok(bytes >= 2 * MB);
  t.equal(room, 10 * MB - bytes);
  t.equal((await roomBeside(8 * MB))[0], 5 * MB);
});

t.test('before it is known who else has what is here nothing goes, though the bound is smaller now', async (t) => {
  const { open } = await machine(t);
  const before = await open('home', 10 * MB);
  for (let i = 0; i < 4; i++) await fillCache(before.chunks, madeSong(MB));
  await before.close();
  const after = await open('home', 2 * MB);
  t.equal(after.chunks.songs, 4);
  t.notOk(await fillCache(after.chunks, madeSong(MB)), 'nor for another song');
  t.equal(after.chunks.songs, 4);
  after.chunks.judgeWith(() => 'free');
  t.ok(await fillCache(after.chunks, madeSong(MB)));
  t.ok(after.chunks.bytes <= 2 * MB);
  await after.close();
});
