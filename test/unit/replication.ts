// The replication core on a real database: what a transaction merges, what a replica keeps, what a delta carries.
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { codeOf } from '../../lib/errors.ts';
import { type EpochId, type NetworkId, type PeerId, randomEpochId, randomId } from '../../lib/ids.ts';
import { uniteKey } from '../../lib/kinds.ts';
import { decodeMessage, encodeMessage, type Operations, type ReplicaBeat } from '../../lib/messages.ts';
import { compareStamps, type Operation } from '../../lib/operation.ts';
import { headOf } from '../../lib/vector.ts';
import { type NetworkEffect, Replica } from '../../peer/replication/replica.ts';
import { TRUE } from '../../peer/replication/replication.ts';
import { NETWORK, openReplica, pullAll, replicaOptions, takeDelta } from '../fixtures/replica.ts';
import { type Database, openDatabase } from '../../storage/database.ts';
import { OperationStore } from '../../storage/operation-store.ts';

const text = (value: string): Uint8Array => Buffer.from(value);

interface Disk {
  readonly self: PeerId;
  database: Database;
  replica: Replica;
  store: OperationStore;
  /** As after kill -9 and a new start: nothing in memory survives. */
  restart(): Promise<void>;
}

async function peer(t: Test, self = randomId<PeerId>()): Promise<Disk> {
  const folder = await mkdtemp(join(tmpdir(), 'replica-'));
  let database = await openDatabase(folder);
  const disk: Disk = {
    self,
    database,
    store: new OperationStore(database, 'home'),
    replica: undefined as unknown as Replica,
    async restart() {
      await database.close();
      database = await openDatabase(folder);
      disk.database = database;
      disk.store = new OperationStore(database, 'home');
      disk.replica = await Replica.open(replicaOptions(self, disk.store));
    },
  };
  disk.replica = await Replica.open(replicaOptions(self, disk.store));
  t.teardown(async () => {
    await disk.replica.close();
    await database.close();
    await rm(folder, { recursive: true });
  });
  return disk;
}

t.test('what is written survives a restart, with heads, digest and Lamport time', async (t) => {
  const a = await peer(t);
  await a.replica.write([{ key: 'x', value: text('1') }, { key: 'y', value: text('2') }]);
  await a.replica.write([{ key: 'x', value: null }]);
  const { digest, head, root } = a.replica;
  const time = a.replica.clock.time;
  t.equal(head?.seq, 3);
  await a.restart();
  t.equal(a.replica.digest, digest);
  t.same(a.replica.root, root);
  t.equal(a.replica.clock.time, time);
  const [x, y] = await a.store.held([{ origin: a.self, key: 'x' }, { origin: a.self, key: 'y' }]);
  t.equal(x?.value, null, 'a deletion is kept as a tombstone');
  t.same(Buffer.from(y?.value as Uint8Array).toString(), '2');
});

t.test('every start writes in an epoch of its own, so no seq is used twice', async (t) => {
  const a = await peer(t);
  const [first] = await a.replica.write([{ key: 'x', value: text('1') }]);
  await a.restart();
  t.equal(a.replica.head, null, 'no epoch before the first write');
  const [second] = await a.replica.write([{ key: 'x', value: text('2') }]);
  t.not(second?.epoch, first?.epoch);
  t.equal(second?.seq, 1);
  t.ok(compareStamps(first as Operation, second as Operation) < 0);
});

t.test('a delta brings everything that was not covered, once, and no superseded operation', async (t) => {
  const [a, b] = [await peer(t), await peer(t)];
  for (let i = 0; i < 5; i++) await a.replica.write([{ key: 'same', value: text(String(i)) }, { key: `own-${i}`, value: text('.') }]);
  const delta = await takeDelta(a.replica, a.self);
  t.equal(delta.operations.length, 6, 'five own keys and the last of the same');
  await b.replica.apply(delta, null);
  t.equal(b.replica.digest, a.replica.digest);
  const before = b.replica.digest;
  await b.replica.apply(delta, null);
  t.equal(b.replica.digest, before, 'applying it again changes nothing');
  t.equal((await takeDelta(a.replica, a.self, b.replica.vector(a.self))).operations.length, 0);
});

t.test('a delta on a base that the receiver no longer holds is refused whole', async (t) => {
  const [a, b, c] = [await peer(t), await peer(t), await peer(t)];
  await a.replica.write([{ key: 'x', value: text('1') }]);
  await pullAll(b.replica, a.replica);
  await a.replica.write([{ key: 'y', value: text('2') }]);
  const delta = await takeDelta(a.replica, a.self, b.replica.vector(a.self));
  const before = c.replica.digest;
  await t.rejects(c.replica.apply(delta, null), { code: 'STALE_DELTA' });
  t.equal(c.replica.digest, before);
  t.equal(c.replica.vector(a.self).size, 0);
});

t.test('a delta taken before later writes merges into what came since, and replaces nothing', async (t) => {
  const [a, b] = [await peer(t), await peer(t)];
  await a.replica.write([{ key: 'x', value: text('old') }]);
  const late = await takeDelta(a.replica, a.self);
  await a.replica.write([{ key: 'x', value: text('new') }]);
  await pullAll(b.replica, a.replica);
  await b.replica.apply(late, null);
  t.equal(b.replica.digest, a.replica.digest);
});

t.test('a single operation counts only as the next of its epoch', async (t) => {
  const [a, b] = [await peer(t), await peer(t)];
  const [one, two, three] = await a.replica.write(['1', '2', '3'].map((value) => ({ key: value, value: text(value) })));
  await b.replica.append([two as Operation]);
  t.equal(b.replica.vector(a.self).size, 0, 'beyond a gap it is left');
  await b.replica.append([one, two, three] as Operation[]);
  t.equal(headOf(b.replica.vector(a.self), (one as Operation).epoch), 3);
  await b.replica.append([one as Operation]);
  t.equal(b.replica.digest, a.replica.digest);
});

t.test('a peer whose disk was wiped gets its own operations back, and writes after them', async (t) => {
  const [a, b] = [await peer(t), await peer(t)];
  for (let i = 0; i < 20; i++) await a.replica.write([{ key: 'x', value: text(String(i)) }]);
  await pullAll(b.replica, a.replica);
  const reborn = await peer(t, a.self);
  await pullAll(reborn.replica, b.replica);
  const [operation] = await reborn.replica.write([{ key: 'x', value: text('after') }]);
  await pullAll(b.replica, reborn.replica);
  const [held] = await b.store.held([{ origin: a.self, key: 'x' }]);
  t.same(held, operation);
});

t.test('after a write that failed nothing is written until the database is opened anew, and nothing seems to be', async (t) => {
  const a = await peer(t);
  await a.replica.write([{ key: 'before', value: text('1') }]);
  const { digest, head } = a.replica;
  const { batch } = a.database;
  a.database.batch = (() => {
    const chain = batch.call(a.database);
    chain.write = () => Promise.reject(new Error('IO error: 000003.log: No space left on device'));
    return chain;
  }) as unknown as Database['batch'];
  await t.rejects(a.replica.write([{ key: 'during', value: text('2') }]), { code: 'DISK_FULL' });
  a.database.batch = batch;
  await t.rejects(a.replica.write([{ key: 'after', value: text('3') }]), { code: 'DISK_FULL' }, 'although there would be room again');
  t.equal(a.replica.digest, digest);
  t.same(a.replica.head, head);
  await a.restart();
  t.equal(a.replica.digest, digest);
  await a.replica.write([{ key: 'after', value: text('3') }]);
});

t.test('a large delta lets others run while it is merged', async (t) => {
  const [a, b] = [await peer(t), await peer(t)];
  const many = 6_000;
  await a.replica.write(Array.from({ length: many }, (_, i) => ({ key: `k${i}`, value: Buffer.alloc(200, i) })));
  const delta = await takeDelta(a.replica, a.self);
  let turns = 0;
  const count = setInterval(() => (turns += 1), 1);
  await b.replica.apply(delta, null);
  clearInterval(count);
  t.ok(turns >= 10, `${turns} turns of the event loop`);
  t.equal(b.replica.digest, a.replica.digest);
});

t.test('writers who meet in the queue share batches, and each gets seqs of its own', async (t) => {
  const a = await peer(t);
  const written = await Promise.all(Array.from({ length: 300 }, (_, i) => a.replica.write([{ key: `k${i}`, value: text('v') }])));
  const seqs = written.flat().map(({ seq }) => seq);
  t.same([...seqs].sort((x, y) => x - y), Array.from({ length: 300 }, (_, i) => i + 1));
});

t.test('equal digests mean equal winners: whatever the order, the sync paths and the restarts', async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  t.comment(`seed ${seed} (SEED=${seed} replays it)`);
  const action = fc.oneof(
    fc.record({ kind: fc.constant('write' as const), who: fc.nat(2), key: fc.nat(3), value: fc.option(fc.nat(9)) }),
    fc.record({ kind: fc.constant('pull' as const), who: fc.nat(2), from: fc.nat(2) }),
    fc.record({ kind: fc.constant('restart' as const), who: fc.nat(2) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 25 }), async (actions) => {
      await t.test('a history', async (t) => {
        const peers = [await peer(t), await peer(t), await peer(t)] as const;
        const at = (i: number): Disk => peers[i] as Disk;
        for (const act of actions) {
          if (act.kind === 'write') {
            await at(act.who).replica.write([{ key: `k${act.key}`, value: act.value === null ? null : text(String(act.value)) }]);
          } else if (act.kind === 'pull') await pullAll(at(act.who).replica, at(act.from).replica);
          else await at(act.who).restart();
        }
        for (let round = 0; round < 2; round++) for (const to of peers) for (const from of peers) await pullAll(to.replica, from.replica);
        const [a, b, c] = peers.map(({ replica }) => replica.digest);
        t.equal(a, b);
        t.equal(b, c);
        const winners = await Promise.all(
          peers.map(async ({ store }) => {
            const all: Operation[] = [];
            for await (const some of store.registers('k')) all.push(...some);
            return all;
          }),
        );
        t.same(winners[0], winners[1]);
        t.same(winners[1], winners[2]);
      });
    }),
    { numRuns: 15, seed },
  );
});

t.test('of two networks that a person made one, the first beat is reason enough to pull', { timeout: 5_000 }, async (t) => {
  const { self, store } = await openReplica(t, OperationStore);
  const [other, stranger] = [randomId<PeerId>(), randomId<NetworkId>()];
  const beat: ReplicaBeat = { kind: 'beat', port: 1, periodMs: 60_000, lamport: 1, root: randomBytes(8), head: null, heard: [], asks: false, network: stranger, user: true };
  const effects = new EventEmitter();
  const replica = await Replica.open({ ...replicaOptions(self, store), carryOut: (effect: NetworkEffect) => effects.emit(effect.kind, effect) });
  t.teardown(() => replica.close());
  await replica.write([{ key: 'star/ana/song/1', value: text('1') }]);
  const told = once(effects, 'tell');
  replica.feed({ kind: 'beat', from: other, beat });
  t.match(await told, [{ news: { kind: 'apart', peer: other, network: stranger } }]);
  await replica.write([NETWORK, stranger].map((id) => ({ key: uniteKey(id), value: TRUE })));
  // the own vectors have moved just now, so that roots mean nothing yet
  const pulled = once(effects, 'pull');
  replica.feed({ kind: 'beat', from: other, beat });
  t.match(await pulled, [{ peer: other, origin: null }]);
});

t.test('a newcomer pulls as soon as it knows its network, from whom it heard of it', { timeout: 5_000 }, async (t) => {
  const { self, store } = await peer(t);
  const [other, network] = [randomId<PeerId>(), randomId<NetworkId>()];
  const effects = new EventEmitter();
  const replica = await Replica.open({ ...replicaOptions(self, store), carryOut: (effect: NetworkEffect) => effects.emit(effect.kind, effect) });
  t.teardown(() => replica.close());
  await replica.write([{ key: 'holding/1', value: text('1') }]);
  const refused = once(effects, 'pull');
  replica.feed({ kind: 'linked', peer: other });
  await refused;
  replica.feed({ kind: 'pulled', peer: other });
  const pulled = once(effects, 'pull');
  replica.feed({ kind: 'beat', from: other, beat: { kind: 'beat', port: 1, periodMs: 60_000, lamport: 1, root: randomBytes(8), head: null, heard: [], asks: false, network, user: true } });
  t.match(await pulled, [{ peer: other, origin: null }]);
  t.equal(replica.network, network);
});

t.test('a user\'s write is given to who is connected, also before the first beat, and to nobody of a network that is apart', { timeout: 5_000 }, async (t) => {
  const { self, store } = await openReplica(t, OperationStore);
  const [other, stranger] = [randomId<PeerId>(), randomId<PeerId>()];
  const asked: PeerId[] = [];
  const replica = await Replica.open({ ...replicaOptions(self, store), carryOut: (effect: NetworkEffect) => void (effect.kind === 'ask' && asked.push(effect.peer)) });
  t.teardown(() => replica.close());
  await replica.write([{ key: 'star/ana/song/1', value: text('1') }]);
  replica.feed({ kind: 'started' });
  replica.feed({ kind: 'linked', peer: stranger });
  replica.feed({ kind: 'beat', from: stranger, beat: { kind: 'beat', port: 1, periodMs: 1_000, lamport: 1, root: randomBytes(8), head: null, heard: [], asks: false, network: randomId<NetworkId>(), user: true } });
  replica.feed({ kind: 'linked', peer: other });
  await replica.writeForUser([{ key: 'star/ana/song/2', value: text('1') }]);
  t.same(asked, [other]);
});

t.test('a user whose write is on this disk when the replica closes is told so', { timeout: 5_000 }, async (t) => {
  const { self, store } = await openReplica(t, OperationStore);
  const other = randomId<PeerId>();
  const effects = new EventEmitter();
  const replica = await Replica.open({ ...replicaOptions(self, store), carryOut: (effect: NetworkEffect) => effects.emit(effect.kind, effect) });
  replica.feed({ kind: 'linked', peer: other });
  replica.feed({ kind: 'beat', from: other, beat: { kind: 'beat', port: 1, periodMs: 1_000, lamport: 1, root: randomBytes(8), head: null, heard: [], asks: false, network: NETWORK, user: true } });
  const asked = once(effects, 'ask');
  const told = replica.writeForUser([{ key: 'star/ana/song/1', value: text('1') }]);
  await asked;
  const closing = replica.close();
  t.equal(await told, 'local only', 'not that it failed, or never');
  await closing;
  await t.rejects(replica.writeForUser([{ key: 'star/ana/song/2', value: text('1') }]), { code: 'CLOSED' });
});

t.test('operations survive the wire, and nothing malformed passes it', async (t) => {
  const origin = randomId<PeerId>();
  const operation: Operation = { origin, epoch: randomEpochId(), seq: 7, lamport: 2 ** 51, key: 'holding/a', value: text('v') };
  const tombstone: Operation = { ...operation, seq: 8, value: null };
  const send = (operations: readonly Operation[]): Buffer => encodeMessage({ kind: 'operations', network: randomId<NetworkId>(), operations });
  const decoded = (decodeMessage(send([operation, tombstone])) as Operations).operations;
  t.same(decoded.map((one) => ({ ...one, value: one.value && Buffer.from(one.value) })), [{ ...operation, value: Buffer.from('v') }, tombstone]);
  const bad: Partial<Operation>[] = [{ seq: 0 }, { seq: 1.5 }, { lamport: 0 }, { lamport: 2 ** 52 }, { key: '' }, { key: 'a\0b' }, { key: 'k'.repeat(257) }, { epoch: 'ab' as EpochId }];
  for (const change of bad) {
    const bytes = send([{ ...operation, ...change }]);
    t.throws(() => decodeMessage(bytes), { code: 'BAD_OPERATION' }, JSON.stringify(change));
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeMessage(bytes);
      } catch (error) {
        if (!['BAD_OPERATION', 'BAD_MESSAGE'].includes(codeOf(error) ?? '')) throw error;
      }
    }),
    { numRuns: 2_000 },
  );
});
