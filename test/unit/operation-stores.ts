// One suite of claims that the store on disk and its twin in memory, which simulated peers have, both pass: what the simulator
// proves about the one has to be true of the other.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { EpochId, PeerId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import { EMPTY_VECTOR, type Vector } from '../../lib/vector.ts';
import { openDatabase } from '../../storage/database.ts';
import { type OperationBatch, OperationStore, type RegisterId, type StoredState } from '../../storage/operation-store.ts';
import { MemoryOperations } from '../sim/memory-operations.ts';

/** What both can do, in the words of the slower one. */
interface Store {
  load(): Promise<StoredState>;
  held(registers: readonly RegisterId[]): Promise<(Operation | undefined)[]>;
  commit(batch: OperationBatch): Promise<void>;
  registers(prefix: string): Promise<Operation[]>;
  snapshot(): { beyond(origin: PeerId, base: Vector, until: Vector): Promise<Operation[]>; close(): Promise<void> };
}

async function all(some: AsyncIterable<Operation[]>): Promise<Operation[]> {
  const operations: Operation[] = [];
  for await (const few of some) operations.push(...few);
  return operations;
}

async function onDisk(t: Test): Promise<Store> {
  const folder = await mkdtemp(join(tmpdir(), 'operation-store-'));
  const database = await openDatabase(folder);
  t.teardown(async () => {
    await database.close();
    await rm(folder, { recursive: true });
  });
  const store = new OperationStore(database, 'home');
  return {
    load: () => store.load(),
    held: (registers) => store.held(registers),
    commit: (batch) => store.commit(batch),
    registers: (prefix) => all(store.registers(prefix)),
    snapshot() {
      const snapshot = store.snapshot();
      return { beyond: (origin, base, until) => all(store.beyond(origin, base, until, snapshot)), close: () => snapshot.close() };
    },
  };
}

async function inMemory(): Promise<Store> {
  const store = new MemoryOperations();
  return {
    load: async () => store.load(),
    held: async (registers) => store.held(registers),
    commit: async (batch) => store.commit(batch),
    registers: async (prefix) => store.registers(prefix),
    snapshot() {
      const snapshot = store.snapshot();
      return { beyond: async (origin, base, until) => store.beyond(origin, base, until, snapshot), close: async () => {} };
    },
  };
}

const A = 'a'.repeat(32) as PeerId;
const B = 'b'.repeat(32) as PeerId;
const FIRST = '1'.repeat(16) as EpochId;
const SECOND = '2'.repeat(16) as EpochId;
const DIGEST = new Uint8Array(32).fill(7);

const operation = (parts: Partial<Operation>): Operation => ({ origin: A, epoch: FIRST, seq: 1, lamport: 1, key: 'x', value: Buffer.from('value'), ...parts });
const batch = (parts: Partial<OperationBatch>): OperationBatch => ({ puts: [], superseded: [], heads: [], digest: DIGEST, lamport: 1, ...parts });
const plain = (operations: readonly (Operation | undefined)[]) =>
  operations.map((one) => one && { ...one, value: one.value && Buffer.from(one.value).toString() });
const same = (t: Test, found: readonly (Operation | undefined)[], wanted: readonly (Operation | undefined)[], says?: string): void => void t.same(plain(found), plain(wanted), says ?? '');

for (const [name, open] of Object.entries({ 'on disk': onDisk, 'in memory': inMemory })) {
  t.test(`${name}: a store that nothing was written to holds nothing`, async (t) => {
    const store = await open(t);
    const { vectors, digest, lamport } = await store.load();
    t.same([vectors.size, digest, lamport], [0, null, 0]);
    same(t, await store.held([{ origin: A, key: 'x' }]), [undefined]);
    same(t, await store.snapshot().beyond(A, EMPTY_VECTOR, new Map([[FIRST, 9]])), []);
    same(t, await store.registers(''), []);
  });

  t.test(`${name}: heads, digest and Lamport time are those of the last batch`, async (t) => {
    const store = await open(t);
    await store.commit(batch({ heads: [{ origin: A, epoch: FIRST, head: 3 }, { origin: B, epoch: SECOND, head: 1 }], lamport: 9 }));
    await store.commit(batch({ heads: [{ origin: A, epoch: SECOND, head: 2 }, { origin: A, epoch: FIRST, head: 4 }], digest: new Uint8Array(32).fill(8), lamport: 2 ** 51 }));
    const { vectors, digest, lamport } = await store.load();
    t.same(vectors, new Map([[A, new Map([[FIRST, 4], [SECOND, 2]])], [B, new Map([[SECOND, 1]])]]));
    t.same(Buffer.from(digest as Uint8Array), Buffer.alloc(32, 8));
    t.equal(lamport, 2 ** 51);
  });

  t.test(`${name}: what is loaded is the reader's own`, async (t) => {
    const store = await open(t);
    await store.commit(batch({ heads: [{ origin: A, epoch: FIRST, head: 3 }] }));
    const { vectors } = await store.load();
    vectors.get(A)?.set(FIRST, 99);
    vectors.delete(A);
    t.same((await store.load()).vectors, new Map([[A, new Map([[FIRST, 3]])]]));
  });

  t.test(`${name}: a register is one of its origin and key; held ones come in the order asked, tombstones too`, async (t) => {
    const store = await open(t);
    const [mine, theirs, deleted] = [operation({}), operation({ origin: B, lamport: 2 }), operation({ key: 'y', seq: 2, value: null })];
    await store.commit(batch({ puts: [mine, theirs, deleted] }));
    same(t, await store.held([{ origin: A, key: 'y' }, { origin: B, key: 'y' }, { origin: B, key: 'x' }, { origin: A, key: 'x' }]), [deleted, undefined, theirs, mine]);
  });

  t.test(`${name}: what is superseded leaves the log, and its register has the winner`, async (t) => {
    const store = await open(t);
    const [old, other, next] = [operation({}), operation({ key: 'y', seq: 2 }), operation({ seq: 3, lamport: 3 })];
    await store.commit(batch({ puts: [old, other] }));
    await store.commit(batch({ puts: [next], superseded: [old] }));
    const snapshot = store.snapshot();
    same(t, await snapshot.beyond(A, EMPTY_VECTOR, new Map([[FIRST, 3]])), [other, next]);
    await snapshot.close();
    same(t, await store.held([{ origin: A, key: 'x' }]), [next]);
  });

  t.test(`${name}: beyond a base lies what is above it and not above the end, of each epoch and of one origin`, async (t) => {
    const store = await open(t);
    const puts = [1, 2, 3, 36, 37].flatMap((seq) => [operation({ seq, key: `one-${seq}` }), operation({ epoch: SECOND, seq, key: `two-${seq}` }), operation({ origin: B, seq, key: `b-${seq}` })]);
    await store.commit(batch({ puts }));
    const keys = async (base: Vector, until: Vector): Promise<string[]> => {
      const snapshot = store.snapshot();
      const found = await snapshot.beyond(A, base, until);
      await snapshot.close();
      return found.map(({ key }) => key).sort();
    };
    t.same(await keys(new Map([[FIRST, 1]]), new Map([[FIRST, 36]])), ['one-2', 'one-3', 'one-36']);
    t.same(await keys(new Map([[FIRST, 36]]), new Map([[FIRST, 2 ** 40], [SECOND, 1]])), ['one-37', 'two-1']);
    t.same(await keys(new Map([[FIRST, 37]]), new Map([[FIRST, 37]])), []);
    t.same(await keys(new Map([[FIRST, 50]]), new Map([[FIRST, 37]])), [], 'a base that is ahead');
  });

  t.test(`${name}: a snapshot shows nothing that was committed after it`, async (t) => {
    const store = await open(t);
    const [old, next] = [operation({}), operation({ seq: 2, lamport: 2 })];
    await store.commit(batch({ puts: [old] }));
    const snapshot = store.snapshot();
    await store.commit(batch({ puts: [next, operation({ seq: 3, key: 'y' })], superseded: [old] }));
    same(t, await snapshot.beyond(A, EMPTY_VECTOR, new Map([[FIRST, 9]])), [old]);
    await snapshot.close();
    same(t, await store.held([{ origin: A, key: 'x' }]), [next], 'while the store itself has gone on');
  });

  t.test(`${name}: registers of a prefix come in the order of the bytes of key and origin, whatever letters are in them`, async (t) => {
    const store = await open(t);
    const keys = ['a/', 'a/1', 'a/10', 'a/2', 'a/é', 'a/\uff5e', 'a/𝄞', 'a', 'b/1'];
    await store.commit(batch({ puts: [...keys.map((key, i) => operation({ key, seq: i + 1 })), operation({ origin: B, key: 'a/1' })] }));
    t.same((await store.registers('a/')).map(({ key, origin }) => `${key} ${origin[0]}`), ['a/ a', 'a/1 a', 'a/1 b', 'a/10 a', 'a/2 a', 'a/é a', 'a/\uff5e a', 'a/𝄞 a']);
    t.equal((await store.registers('')).length, keys.length + 1);
  });
}

t.test('a copy in memory and what it was made of go their own ways', async (t) => {
  const store = new MemoryOperations();
  store.commit(batch({ puts: [operation({})], heads: [{ origin: A, epoch: FIRST, head: 1 }] }));
  const copy = store.copy();
  store.commit(batch({ puts: [operation({ key: 'only here' })], heads: [{ origin: A, epoch: FIRST, head: 2 }] }));
  copy.commit(batch({ puts: [operation({ key: 'only there' })] }));
  t.same(store.registers('').map(({ key }) => key), ['only here', 'x']);
  t.same(copy.registers('').map(({ key }) => key), ['only there', 'x']);
  t.same(copy.load().vectors, new Map([[A, new Map([[FIRST, 1]])]]));
});
