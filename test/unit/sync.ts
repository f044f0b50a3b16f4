// Anti-entropy between two replicas over real connections, and what it rests on: deltas that agree with their vectors, snapshots
// that are given back, heads that never go back, batches that are on the disk.
import { EventEmitter, once } from 'node:events';
import t, { type Test } from 'tap';
import { PeerError } from '../../lib/errors.ts';
import { generateIdentity } from '../../lib/identity.ts';
import { type BootId, type EpochId, hex, idToBytes, type NetworkId, type PeerId, randomEpochId, randomId } from '../../lib/ids.ts';
import { Keyring } from '../../lib/keyring.ts';
import { LAMPORT_LEAP_MAX } from '../../lib/lamport.ts';
import { FRAME_BYTES_MAX, OPERATIONS_PER_FRAME, REQUESTS_IN_FLIGHT_MAX, VALUE_BYTES_MAX } from '../../lib/limits.ts';
import { openNetwork } from '../../lib/network-key.ts';
import type { Operation } from '../../lib/operation.ts';
import { EMPTY_VECTOR, vectorToTuples } from '../../lib/vector.ts';
import { digestOf } from '../../lib/digest.ts';
import { Replica } from '../../peer/replication/replica.ts';
import { pullFrom, syncHandlers } from '../../peer/replication/sync.ts';
import type { Delta } from '../../peer/replication/transaction.ts';
import type { Connection, Handler } from '../../peer/stream/connection.ts';
import { Streams } from '../../peer/stream/streams.ts';
import type { OperationBatch } from '../../storage/operation-batch.ts';
import { OperationStore } from '../../storage/operation-store.ts';
import { NETWORK, openReplica, type OpenReplica, replicaOptions, takeDelta } from '../fixtures/replica.ts';

const text = (value: string): Uint8Array => Buffer.from(value);
const changes = (count: number, bytes = 1) => Array.from({ length: count }, (_, i) => ({ key: `k${i}`, value: new Uint8Array(bytes) }));
const told = (operations: readonly Operation[]): string[] => operations.map(({ key, seq }) => `${key}@${seq}`);

/** Counts the snapshots that nobody has closed yet, and can hold a commit back after it has reached the disk. */
class WatchedStore extends OperationStore {
  readonly openSnapshots = new Set<unknown>();
  readonly events = new EventEmitter<{ closed: []; committed: []; release: [] }>();
  /** Commits return only at a `release`. */
  holdBack = false;
  /** The disk refuses this one. */
  refuses: (batch: OperationBatch) => boolean = () => false;

  override snapshot() {
    const snapshot = super.snapshot();
    const close = snapshot.close.bind(snapshot);
    this.openSnapshots.add(snapshot);
    snapshot.close = async () => {
      await close();
      this.openSnapshots.delete(snapshot);
      this.events.emit('closed');
    };
    return snapshot;
  }

  override async commit(batch: OperationBatch): Promise<void> {
    if (this.refuses(batch)) throw new PeerError('DISK_FULL', 'the disk is full');
    await super.commit(batch);
    if (!this.holdBack) return;
    const release = once(this.events, 'release');
    this.events.emit('committed');
    await release;
  }
}

type Disk = OpenReplica<WatchedStore>;
const open = (t: Test): Promise<Disk> => openReplica(t, WatchedStore);

// --- what a delta may do

t.test('a late delta lowers no head, neither in memory nor after a restart', async (t) => {
  const { store, replica } = await open(t);
  const origin = randomId<PeerId>();
  const [first, second] = [randomEpochId(), randomEpochId()];
  const operation = (epoch: EpochId, seq: number, lamport: number): Operation => ({ origin, epoch, seq, lamport, key: `k${lamport}`, value: text('.') });
  // asked of one that has seen less of the first epoch and more of the second, and overtaken by what came by multicast
  const late: Delta = {
    origin,
    base: EMPTY_VECTOR,
    vector: new Map([[first, 1], [second, 1]]),
    operations: [operation(first, 1, 1), operation(second, 1, 9)],
  };
  await replica.append([1, 2, 3].map((seq) => operation(first, seq, seq)));
  await replica.apply(late, null);
  const expected = { [first]: 3, [second]: 1 };
  t.same(Object.fromEntries(replica.vector(origin)), expected);
  t.same(Object.fromEntries((await store.load()).vectors.get(origin) ?? []), expected);
  await replica.append([operation(first, 4, 10)]);
  t.equal(replica.vector(origin).get(first), 4, 'and the next operation is still the next');
});

t.test("a peer attaches its own operations however far their time leaps, and another's no further than the bound", async (t) => {
  const far = LAMPORT_LEAP_MAX * 3;
  const operation = (origin: PeerId, lamport: number): Operation => ({ origin, epoch: randomEpochId(), seq: 1, lamport, key: 'x', value: text('far') });
  const delta = (one: Operation): Delta => ({ origin: one.origin, base: EMPTY_VECTOR, vector: new Map([[one.epoch, 1]]), operations: [one] });
  for (const way of ['alone', 'in a delta'] as const) {
    const { self, replica, store } = await open(t);
    const bring = (one: Operation): Promise<unknown> => (way === 'alone' ? replica.append([one]) : replica.apply(delta(one), null));
    const stranger = randomId<PeerId>();
    await bring(operation(stranger, far));
    t.equal(replica.clock.time, 0, `another's, ${way}: not attached`);
    const [held] = await store.held([{ origin: stranger, key: 'x' }]);
    t.equal(held?.lamport, far, `another's, ${way}: kept`);
    await bring(operation(self, far));
    t.equal(replica.clock.time, far + 1, `its own, ${way}`);
    const [next] = await replica.write([{ key: 'x', value: text('next') }]);
    t.ok(next && next.lamport > far, 'and what it writes then is greater');
  }
});

t.test('a delta is what was held when its vector was taken, whatever is written before it is read', async (t) => {
  const { self, replica } = await open(t);
  await replica.write([{ key: 'x', value: text('1') }, { key: 'y', value: text('2') }]);
  const { vector, operations, close } = await replica.delta(self, EMPTY_VECTOR);
  await replica.write([{ key: 'x', value: text('3') }, { key: 'z', value: text('4') }]);
  const read: Operation[] = [];
  for await (const some of operations) read.push(...some);
  await close();
  t.same([...vector.values()], [2]);
  t.same(told(read), ['x@1', 'y@2']);
});

t.test('a delta asked for while a batch is on its way has vector and operations of one moment', { timeout: 5_000 }, async (t) => {
  const { self, store, replica } = await open(t);
  await replica.write([{ key: 'x', value: text('1') }]);
  store.holdBack = true;
  const committed = once(store.events, 'committed');
  const writing = replica.write([{ key: 'x', value: text('2') }]);
  await committed;
  const asked = takeDelta(replica, self);
  store.events.emit('release');
  const { vector, operations } = await asked;
  await writing;
  t.same([...vector.values()], [2]);
  t.same(told(operations), ['x@2']);
});

t.test('whatever moves a head is synced to the disk', async (t) => {
  const [a, b] = [await open(t), await open(t)];
  const writes: unknown[] = [];
  const batch = b.database.batch.bind(b.database) as () => ReturnType<typeof b.database.batch>;
  b.database.batch = (() => {
    const chain = batch();
    const write = chain.write.bind(chain);
    chain.write = ((options?: object) => {
      writes.push(options);
      return write(options ?? {});
    }) as typeof chain.write;
    return chain;
  }) as typeof b.database.batch;
  const [first] = await a.replica.write([{ key: 'x', value: text('1') }]);
  await b.replica.append([first as Operation]);
  await a.replica.write([{ key: 'x', value: text('2') }]);
  await b.replica.apply(await takeDelta(a.replica, a.self, b.replica.vector(a.self)), null);
  await b.replica.write([{ key: 'y', value: text('3') }]);
  t.same(writes, [{ sync: true }, { sync: true }, { sync: true }], 'one that came alone, a delta, one of its own');
});

t.test('a delta that is read after everything was dropped is what was held when its vector was taken', async (t) => {
  const { self, store, replica } = await open(t);
  await replica.write([{ key: 'holding/x', value: text('1') }]);
  const { vector, operations, close } = await replica.delta(self, EMPTY_VECTOR);
  await store.commit({ puts: [], superseded: [], heads: [], digest: new Uint8Array(32), lamport: 1, network: NETWORK, drop: true });
  const read: Operation[] = [];
  for await (const some of operations) read.push(...some);
  await close();
  t.same([[...vector.values()], told(read)], [[1], ['holding/x@1']]);
});

t.test('a large delta that lay aside and is gone is noticed at the next start, and nothing claims what it held', async (t) => {
  const { database, store, replica } = await open(t);
  const origin = randomId<PeerId>();
  const epoch = randomEpochId();
  const [user, machine] = ['star/x', 'holding/x'].map((key, i): Operation => ({ origin, epoch, seq: i + 1, lamport: i + 1, key, value: text('.') })) as [Operation, Operation];
  await replica.close();
  // as after the first of two pieces
  const merging = { aside: 'gone', origin, vector: new Map([[epoch, 4]]), pieces: 2, done: 1 };
  await store.commit({ puts: [user, machine], superseded: [], heads: [], digest: digestOf([user, machine]), lamport: 2, merging });
  const again = new OperationStore(database, 'home');
  const reopened = await Replica.open(replicaOptions(replica.self, again));
  t.equal(reopened.vector(origin).get(epoch), undefined);
  t.match(reopened.salvaged, { kept: 1, dropped: 1 }, 'what a person made is kept, the rest comes back from others');
  await reopened.write([{ key: 'holding/y', value: text('.') }]);
  await reopened.close();
  t.equal((await new OperationStore(database, 'home').load()).merging, null);
});

// --- over connections

interface Side extends Disk {
  readonly handlers: Map<string, Handler>;
  /** From here to the other side. */
  readonly link: Connection;
  /** Who said that this side is behind. */
  readonly behind: PeerId[];
}

/** Two replicas whose peers are connected. */
async function connect(t: Test): Promise<{ readonly ann: Side; readonly ben: Side }> {
  const start = async () => {
    const disk = await open(t);
    const behind: PeerId[] = [];
    const identity = generateIdentity();
    const handlers = new Map<string, Handler>([...syncHandlers(disk.replica, { behind: (peer) => behind.push(peer), asked: () => t.fail('nobody writes here') }), ['echo', (value) => ({ kind: 'value', value })]]);
    const streams = new Streams({
      self: { identity, bootId: randomId<BootId>(), describe: () => ({ name: 'peer', port: 17784, httpPort: 7700 }) },
      keys: new Keyring(openNetwork('home'), { wall: Date.now }),
      handlers,
      report: (error) => t.fail(String(error)),
    });
    t.teardown(() => streams.close());
    return { ...disk, identity, handlers, behind, streams };
  };
  const [ann, ben] = [await start(), await start()];
  const port = await ben.streams.listen({ host: '127.0.0.1', port: 0 });
  const there = await ann.streams.dial({ host: '127.0.0.1', port }, { purpose: 'control', expect: ben.identity.peer });
  const back = ben.streams.connectionTo(ann.identity.peer, 'control') as Connection;
  return { ann: { ...ann, link: there }, ben: { ...ben, link: back } };
}

/** What was said before on this connection has been taken in. */
const heardOut = (link: Connection): Promise<unknown> => link.request('echo', null);

t.test('who holds more of an origin that both know says so, and the other comes for it', async (t) => {
  const { ann, ben } = await connect(t);
  await ann.replica.write([{ key: 'x', value: text('1') }]);
  await pullFrom(ben.replica, ben.link, null);
  await ann.replica.write([{ key: 'x', value: text('2') }]);
  t.equal((await pullFrom(ann.replica, ann.link, null)).operations, 0);
  await heardOut(ann.link);
  t.same(ben.behind, [ben.link.hello.peer]);
  t.equal((await pullFrom(ben.replica, ben.link, null)).operations, 1);
  t.equal(ben.replica.digest, ann.replica.digest);
});

t.test('an origin that only one side holds is compared too, whichever side looks', async (t) => {
  const { ann, ben } = await connect(t);
  const gone = await open(t);
  await gone.replica.write(changes(3));
  await ann.replica.apply(await takeDelta(gone.replica, gone.self), null);
  await pullFrom(ann.replica, ann.link, null);
  await heardOut(ann.link);
  t.same(ben.behind, [ben.link.hello.peer]);
  t.equal((await pullFrom(ben.replica, ben.link, null)).operations, 3);
  t.same(ben.replica.vector(gone.self), gone.replica.vector(gone.self));
});

t.test('nobody is told to be behind who is not', async (t) => {
  const { ann, ben } = await connect(t);
  await ann.replica.write(changes(3));
  t.equal((await pullFrom(ben.replica, ben.link, null)).operations, 3, 'the other held more');
  t.equal((await pullFrom(ann.replica, ann.link, null)).operations, 0, 'both hold the same');
  await Promise.all([heardOut(ann.link), heardOut(ben.link)]);
  t.same([ann.behind, ben.behind], [[], []]);
});

t.test('one connection serves more pulls than it has room for requests at once', async (t) => {
  const { ann, ben } = await connect(t);
  await ann.replica.write([{ key: 'x', value: text('1') }]);
  await ben.replica.write([{ key: 'y', value: text('2') }]);
  const pulls = REQUESTS_IN_FLIGHT_MAX + 44;
  // ben never pulls, so that every time vectors are asked for too
  for (let i = 0; i < pulls; i++) await pullFrom(ann.replica, ann.link, null);
  await heardOut(ann.link);
  t.equal(ben.behind.length, pulls);
});

t.test('a delta whose stream breaks in its middle changes nothing, and is pulled whole the next time', async (t) => {
  const { ann, ben } = await connect(t);
  const operations = 3 * OPERATIONS_PER_FRAME;
  await ann.replica.write(changes(operations));
  const whole = ann.handlers.get('sync.delta') as Handler;
  ann.handlers.set('sync.delta', async (params, context) => {
    const reply = await whole(params, context);
    if (reply.kind !== 'stream') throw new Error('a delta is a stream');
    const { frames } = reply;
    const broken = async function* () {
      let count = 0;
      for await (const frame of frames) {
        if (count++ === 2) throw new PeerError('UNREADABLE', 'a disk that fails');
        yield frame;
      }
    };
    return { kind: 'stream', frames: broken() };
  });
  const { digest } = ben.replica;
  await t.rejects(pullFrom(ben.replica, ben.link, null), { code: 'UNREADABLE' });
  t.equal(ben.replica.digest, digest);
  t.same(ben.replica.vector(ann.self), EMPTY_VECTOR);
  t.same(await ben.store.held([{ origin: ann.self, key: 'k0' }]), [undefined]);
  ann.handlers.set('sync.delta', whole);
  t.equal((await pullFrom(ben.replica, ben.link, null)).operations, operations);
  t.equal(ben.replica.digest, ann.replica.digest);
});

t.test('one origin that is busy or cannot be read holds up no other, and the pull is not told to be whole', async (t) => {
  const { ann, ben } = await connect(t);
  const gone = await open(t);
  await gone.replica.write(changes(1));
  await ann.replica.apply(await takeDelta(gone.replica, gone.self), null);
  await ann.replica.write(changes(3));
  const whole = ann.handlers.get('sync.delta') as Handler;
  for (const code of ['BUSY', 'BAD_OPERATION'] as const) {
    const origins: string[] = [];
    ann.handlers.set('sync.delta', (params, context) => {
      const origin = hex((params as Uint8Array[])[1] as Uint8Array);
      origins.push(origin);
      // the smaller is asked for first
      if (origin === gone.self) throw new PeerError(code, 'not now');
      return whole(params, context);
    });
    const { whole: isWhole } = await pullFrom(ben.replica, ben.link, null);
    t.notOk(isWhole, code);
    t.equal(origins[0], gone.self, 'what is small comes first');
    t.equal(ben.replica.vector(ann.self).size, 1, 'and the other came');
  }
  ann.handlers.set('sync.delta', whole);
  t.same(await pullFrom(ben.replica, ben.link, null), { operations: 1, whole: true });
});

t.test('nothing passes between two networks, whichever side asks', async (t) => {
  const { ann, ben } = await connect(t);
  await ann.replica.write(changes(3));
  ben.replica.feed({ kind: 'beat', from: ann.self, beat: { kind: 'beat', port: 1, periodMs: 1_000, lamport: 1, root: new Uint8Array(8), head: null, heard: [], asks: false, network: '0'.repeat(32) as NetworkId, user: true } });
  while (ben.replica.network === NETWORK) await new Promise((resolve) => setImmediate(resolve));
  await t.rejects(pullFrom(ben.replica, ben.link, null), { code: 'OTHER_NETWORK' });
  await t.rejects(pullFrom(ann.replica, ann.link, null), { code: 'OTHER_NETWORK' });
  t.equal(ben.replica.vector(ann.self).size, 0);
});

t.test('a large delta that a full disk stops in the middle goes on at the next start, and costs nothing that was there', async (t) => {
  const { ann, ben } = await connect(t);
  await ben.replica.write(changes(2));
  const operations = 20 * OPERATIONS_PER_FRAME;
  await ann.replica.write(changes(operations));
  ben.store.refuses = ({ merging }) => merging?.done === 2;
  await t.rejects(pullFrom(ben.replica, ben.link, ann.self), { code: 'DISK_FULL' });
  await t.rejects(ben.replica.write(changes(1)), { code: 'DISK_FULL' }, 'nothing is written until the next start');
  await ben.replica.close();
  const again = await Replica.open(replicaOptions(ben.self, new OperationStore(ben.database, 'home')));
  t.equal(again.salvaged, null, 'nothing is lost');
  again.feed({ kind: 'started' });
  const done = new Promise<void>((resolve) => again.listen({ changed: () => again.vector(ann.self).size > 0 && resolve(), dropped: () => undefined }));
  await done;
  t.same([again.vector(ann.self), again.vector(ben.self).size], [ann.replica.vector(ann.self), 1]);
  await again.close();
});

t.test('a connection that is lost in the middle of a delta leaves nothing of it', async (t) => {
  const { ann, ben } = await connect(t);
  await ann.replica.write(changes(3 * OPERATIONS_PER_FRAME));
  let frames = 0;
  const losing: Pick<Connection, 'request' | 'requestStream' | 'notify'> = {
    request: (method, params) => ben.link.request(method, params),
    notify: (method, params) => ben.link.notify(method, params),
    async *requestStream(method, params) {
      for await (const frame of ben.link.requestStream(method, params)) {
        yield frame;
        if (method === 'sync.delta' && ++frames === 2) ben.link.close();
      }
    },
  };
  await t.rejects(pullFrom(ben.replica, losing, null), { code: 'CLOSED' });
  t.same(ben.replica.vector(ann.self), EMPTY_VECTOR);
  t.same(await ben.store.held([{ origin: ann.self, key: 'k0' }]), [undefined]);
});

t.test('the snapshot of a delta is given back when it was read, when its reader leaves and when the reader is lost', { timeout: 10_000 }, async (t) => {
  const { ann, ben } = await connect(t);
  // more than may be under way unread, so that the other side is in the middle of it when the reader leaves
  const values = (16 * FRAME_BYTES_MAX) / VALUE_BYTES_MAX;
  await ann.replica.write(changes(values, VALUE_BYTES_MAX - 64));
  const { store } = ann;

  const closed = () => once(store.events, 'closed');
  const delta = () => ben.link.requestStream('sync.delta', [[idToBytes(NETWORK)], idToBytes(ann.self), vectorToTuples(EMPTY_VECTOR)]);

  let given = closed();
  t.equal((await pullFrom(ben.replica, ben.link, ann.self)).operations, values);
  await given;
  t.equal(store.openSnapshots.size, 0, 'read');

  given = closed();
  for await (const _ of delta()) break;
  await given;
  t.equal(store.openSnapshots.size, 0, 'left');

  given = closed();
  const lost = delta();
  await lost.next();
  t.equal(store.openSnapshots.size, 1, 'under way');
  ben.link.close();
  await given;
  t.equal(store.openSnapshots.size, 0, 'lost');
});
