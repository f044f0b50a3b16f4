// The ledger as a machine: what goes into which batch, and what shows when. The disk is a map, and answers when it is told to.
import t from 'tap';
import { codeOf } from '../../lib/errors.ts';
import { type EpochId, hex, type NetworkId, type PeerId } from '../../lib/ids.ts';
import { isUserData, uniteKey, USER_DATA_RANGES } from '../../lib/kinds.ts';
import type { Operation } from '../../lib/operation.ts';
import { LAMPORT_MAX } from '../../lib/lamport.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../../lib/limits.ts';
import { EMPTY_VECTOR } from '../../lib/vector.ts';
import { Ledger, type LedgerEffect, type Task } from '../../peer/replication/ledger.ts';
import { meet } from '../../peer/replication/networks.ts';
import { MemoryOperations } from '../sim/memory-operations.ts';

const ME = '1'.repeat(32) as PeerId;
const ANN = 'a'.repeat(32) as PeerId;
const EPOCH = 'e'.repeat(16) as EpochId;
const [HOME, OTHER, THIRD] = ['3', '2', '1'].map((digit) => digit.repeat(32)) as [NetworkId, NetworkId, NetworkId];

const operation = (seq: number, key = `holding/${seq}`, origin = ANN): Operation => ({ origin, epoch: EPOCH, seq, lamport: seq, key, value: Buffer.from('v') });
const change = (key: string) => ({ key, value: Buffer.from('v') });

interface World {
  ledger: Ledger;
  readonly store: MemoryOperations;
  /** What lies aside: pieces of one delta. */
  pieces: readonly (readonly Operation[])[];
  /** Effects that wait for the disk. */
  readonly commits: Extract<LedgerEffect, { kind: 'commit' }>[];
  readonly done: number[];
  readonly refused: Map<number, string | undefined>;
  dropped: number;
  task(task: Task): void;
  /** The batch that is under way reaches the disk. */
  commit(): void;
  commitAll(): void;
  fail(): void;
  restart(): void;
}

function world({ network = HOME as NetworkId | null } = {}): World {
  const store = new MemoryOperations();
  if (network) store.commit({ puts: [], superseded: [], heads: [], digest: new Uint8Array(32), lamport: 0, network });
  let epochs = 0;
  const open = (): Ledger => new Ledger(ME, store.load(), () => String(++epochs).padStart(16, '0') as EpochId);
  const take = (effects: readonly LedgerEffect[]): void => {
    for (const effect of effects) {
      if (effect.kind === 'commit') made.commits.push(effect);
      if (effect.kind === 'done') made.done.push(effect.task);
      if (effect.kind === 'refused') made.refused.set(effect.task, codeOf(effect.error));
      if (effect.kind === 'dropped') made.dropped += 1;
      if (effect.kind !== 'read') continue;
      const operations = effect.piece && (made.pieces[effect.piece.done] as readonly Operation[]);
      const piece = operations && { operations, held: store.held(operations) };
      take(made.ledger.step({ kind: 'read', held: store.held(effect.registers), piece }));
    }
  };
  const made: World = {
    ledger: open(),
    store,
    pieces: [],
    commits: [],
    done: [],
    refused: new Map(),
    dropped: 0,
    task: (task) => take(made.ledger.step({ kind: 'task', task })),
    commit() {
      const effect = made.commits.shift();
      if (!effect) throw new Error('nothing is under way');
      store.commit(effect.batch);
      take(made.ledger.step({ kind: 'committed' }));
    },
    commitAll() {
      while (made.commits.length > 0) made.commit();
    },
    fail() {
      made.commits.shift();
      take(made.ledger.step({ kind: 'failed', error: Object.assign(new Error('full'), { code: 'DISK_FULL' }) }));
    },
    restart() {
      made.commits.length = 0;
      made.ledger = open();
      take(made.ledger.start());
    },
  };
  return made;
}

const write = (id: number, ...keys: string[]): Task => ({ kind: 'write', id, changes: keys.map(change) });
const large = (w: World, id: number): Task => {
  w.pieces = [[operation(1), operation(2)], [operation(3), operation(4)], [operation(5)]];
  return { kind: 'merge', id, delta: { origin: ANN, base: EMPTY_VECTOR, vector: new Map([[EPOCH, 5]]) }, aside: 'x', pieces: 3, network: HOME };
};

t.test('nothing shows before its batch is on the disk: no head, no digest, not to whoever waits', async (t) => {
  const w = world();
  const digest = hex(w.ledger.digest);
  w.task(write(1, 'star/a'));
  t.same([w.ledger.head, hex(w.ledger.digest), w.done], [null, digest, []], 'a head of nothing is none');
  w.commit();
  t.same([w.ledger.head?.seq, w.done], [1, [1]]);
  t.not(hex(w.ledger.digest), digest);
});

t.test('what gathers while a batch is under way is the next batch, and one is written after the other', async (t) => {
  const w = world();
  for (const id of [1, 2, 3]) w.task(write(id, `star/${id}`));
  t.equal(w.commits.length, 1);
  t.equal(w.commits[0]?.batch.puts.length, 1);
  w.commit();
  t.equal(w.commits.length, 1);
  t.equal(w.commits[0]?.batch.puts.length, 2);
  w.commit();
  t.same(w.done, [1, 2, 3]);
});

t.test('a large delta is merged in pieces whose heads move with the last, and others write in between', async (t) => {
  const w = world();
  w.task(large(w, 1));
  w.commit(); // that it lies aside
  t.equal(w.commits[0]?.batch.puts.length, 2);
  w.task(write(2, 'star/a'));
  w.commit();
  t.equal(w.ledger.vector(ANN).size, 0, 'two of five operations are held, and none is claimed');
  t.equal(w.store.held([operation(1)])[0]?.seq, 1);
  w.task({ kind: 'view', id: 3, origin: ANN });
  w.commit();
  t.same(w.done, [2], 'the write did not wait for it');
  t.equal(w.refused.get(3), 'BUSY', 'and nobody is shown half of an origin');
  w.commitAll();
  t.same([w.done, w.ledger.vector(ANN).get(EPOCH)], [[2, 1], 5]);
  w.task({ kind: 'view', id: 4, origin: ANN });
  t.same(w.done, [2, 1, 4]);
});

t.test('a crash in the middle of a large delta costs nothing: the next start goes on with it', async (t) => {
  const whole = world();
  whole.task(large(whole, 1));
  whole.commitAll();
  for (let commits = 1; commits <= 3; commits++) {
    const w = world();
    w.task(large(w, 1));
    for (let i = 0; i < commits; i++) w.commit();
    w.restart();
    t.equal(w.ledger.vector(ANN).size, 0, `after ${commits} batches nothing is claimed`);
    w.commitAll();
    t.equal(w.ledger.vector(ANN).get(EPOCH), 5);
    t.equal(hex(w.ledger.digest), hex(whole.ledger.digest));
    t.equal(w.store.load().merging, null);
  }
});

t.test('a second large delta waits for the first, and nothing else does', async (t) => {
  const w = world();
  w.task(large(w, 1));
  w.task(large(w, 2));
  w.task(write(3, 'star/a'));
  w.commit();
  w.commit();
  t.same(w.done, [3]);
  w.commitAll();
  t.same(w.done, [3, 1, 2]);
});

t.test('after a batch that failed everything is refused, and nothing of it shows', async (t) => {
  const w = world();
  w.task(write(1, 'star/a'));
  w.task(write(2, 'star/b'));
  w.fail();
  w.task(write(3, 'star/c'));
  t.same([...w.refused], [[1, 'DISK_FULL'], [2, 'DISK_FULL'], [3, 'DISK_FULL']]);
  t.same([w.ledger.head, w.commits], [null, []]);
});

t.test('what nobody could read is refused before anything of it is written', async (t) => {
  const w = world();
  w.task({ kind: 'write', id: 1, changes: [change('star/a'), { key: 'star/b', value: Buffer.alloc(VALUE_BYTES_MAX + 1) }] });
  w.task({ kind: 'write', id: 2, changes: [change('x'.repeat(KEY_BYTES_MAX + 1))] });
  w.ledger.clock.witness(LAMPORT_MAX - 3, { own: true });
  w.task({ kind: 'write', id: 3, changes: [change('star/a'), change('star/b'), change('star/c')] });
  w.commitAll();
  t.same([...w.refused], [[1, 'TOO_LARGE'], [2, 'TOO_LARGE'], [3, 'BUSY']]);
  t.same([w.store.registers('').length, w.ledger.head], [0, null]);
});

// --- networks

const enter = (id: number, network: NetworkId): Task => ({ kind: 'enter', id, network });

t.test('what others wrote is dropped when another network is entered, with what of it is still on its way', async (t) => {
  const w = world();
  w.task({ kind: 'append', id: 0, operations: [operation(1)] });
  w.commit();
  w.task(write(1, 'holding/mine'));
  w.task(enter(2, OTHER));
  w.task({ kind: 'append', id: 3, operations: [operation(2)] });
  w.task({ kind: 'apply', id: 4, delta: { origin: ANN, base: EMPTY_VECTOR, vector: new Map([[EPOCH, 2]]), operations: [operation(2)] }, network: HOME });
  w.commitAll();
  t.same([w.dropped, w.ledger.network, w.ledger.vectors.size, w.store.registers('').length], [1, OTHER, 0, 0]);
  t.same([...w.refused.keys()], [3, 4], 'nothing of before comes in afterwards');
  w.task({ kind: 'apply', id: 5, delta: { origin: ANN, base: EMPTY_VECTOR, vector: new Map([[EPOCH, 2]]), operations: [operation(2)] }, network: HOME });
  w.commitAll();
  t.equal(w.refused.get(5), 'STALE_DELTA', 'nor what was asked for in the other network');
});

t.test('own data alone goes along, what a person made is never left, and a first network drops nothing', async (t) => {
  const alone = world();
  alone.task(write(1, 'holding/mine'));
  alone.task(enter(2, OTHER));
  alone.commitAll();
  t.same([alone.dropped, alone.store.registers('').length, alone.ledger.network], [0, 1, OTHER]);
  const user = world();
  user.task(write(1, 'star/a'));
  user.task(enter(2, OTHER));
  user.commitAll();
  t.same([user.refused.has(2), user.ledger.network], [true, HOME]);
  const first = world({ network: null });
  first.task(write(1, 'star/a'));
  first.task(enter(2, OTHER));
  first.commitAll();
  t.same([first.done, first.ledger.network, first.ledger.head?.seq], [[1, 2], OTHER, 1]);
});

t.test('who was united with one network is not united with it in a third', async (t) => {
  const w = world();
  w.task(write(1, uniteKey(HOME), uniteKey(OTHER)));
  w.commit();
  t.same([w.ledger.network, w.ledger.networks.size], [OTHER, 2], 'of two ids the smaller is everybody\'s');
  w.task(enter(2, THIRD));
  w.commitAll();
  t.same([...w.ledger.networks], [THIRD]);
  w.restart();
  t.same([...w.ledger.networks], [THIRD]);
});

t.test('two networks decide alike about each other, and never both to give way', async (t) => {
  const none = new Set<NetworkId>();
  const views = [null, HOME, OTHER].flatMap((id) => [true, false].map((user) => ({ id, user })));
  for (const ours of views) {
    for (const theirs of views) {
      const [here, there] = [meet({ ...ours, united: none }, theirs), meet({ ...theirs, united: none }, ours)];
      const pair = [here, there].sort().join(' ');
      t.ok(['adopt wait', 'apart apart', 'one one', 'take wait', 'wait wait'].includes(pair), `${JSON.stringify(ours)} and ${JSON.stringify(theirs)}: ${pair}`);
      if (pair === 'wait wait') t.same([ours.id, theirs.id], [null, null], 'both wait only where there is no network');
      if (here === 'adopt') t.notOk(ours.user, 'what a person made is never left');
    }
  }
  t.equal(meet({ id: HOME, user: true, united: new Set([OTHER]) }, { id: OTHER, user: true }), 'one');
});

t.test('user data is found among rows whatever its kind is called', async (t) => {
  const inRanges = (key: string): boolean =>
    USER_DATA_RANGES.some(({ gte = '', lt = '\u{10ffff}' }) => {
      const row = Buffer.from(`${key}\0${ANN}`);
      return Buffer.compare(row, Buffer.from(gte)) >= 0 && Buffer.compare(row, Buffer.from(lt)) < 0;
    });
  for (const key of ['star/a/song/b', 'a', 'copy', 'copy/x', 'copy-x/y', 'copy0', 'copying/x', 'election/01', 'elections', 'forget/x', 'handover/01', 'handover-x', 'here', 'here/x', 'herein', 'here-x/y', 'holding/x/y', 'holdings/x', 'unite/x', 'united', 'zebra/x', '雨/x', '🎵']) {
    t.equal(inRanges(key), isUserData(key), key);
  }
});
