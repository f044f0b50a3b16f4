// What this machine says that it shares, against what is on its disk: a real file store, a real replica.
import t, { type Test } from 'tap';
import { PeerError } from '../../lib/errors.ts';
import { type PayloadId, type PeerId, randomEpochId, randomId, type SongId } from '../../lib/ids.ts';
import { LEAVING_KEY, LEAVING_VALUE } from '../../lib/leaving.ts';
import type { Operation } from '../../lib/operation.ts';
import { copyKey, decodeHolding, encodeHolding, type FileDescription, holdingKey, parseHoldingKey } from '../../lib/song.ts';
import { Library } from '../../peer/library.ts';
import { FileStore } from '../../storage/file-store.ts';
import { OperationStore } from '../../storage/operation-store.ts';
import { describeFile } from '../fixtures/description.ts';
import { openReplica, type OpenReplica } from '../fixtures/replica.ts';

interface Machine extends OpenReplica<OperationStore> {
  readonly files: InterruptedFiles;
  readonly library: Library;
  /** As the next start of the program has it. */
  readonly start: (options?: { readonly onCopyGone?: (payload: PayloadId) => void; readonly onError?: (error: unknown) => void }) => Library;
  /** Payloads that are whole in the cache. */
  readonly cache: Set<PayloadId>;
  /** How many operations this machine ever wrote. */
  writes(): number;
  /** A path gets this file. */
  put(path: string, description: FileDescription): Promise<void>;
  /** What the machine says, by key: a song's title, 'cached', or 'deleted'. */
  says(): Promise<Record<string, string>>;
}

/** Lets something happen when a reconciliation has read the files and not yet the registers. */
class InterruptedFiles extends FileStore {
  meanwhile: () => Promise<void> = async () => undefined;

  override async *all(): ReturnType<FileStore['all']> {
    yield* super.all();
    await this.meanwhile();
  }
}

async function machine(t: Test): Promise<Machine> {
  const disk = await openReplica(t, OperationStore);
  const { database, store, replica, self } = disk;
  const files = new InterruptedFiles(database);
  const cache = new Set<PayloadId>();
  const start: Machine['start'] = ({ onCopyGone = () => undefined, onError = (error: unknown) => t.fail(String(error)) } = {}) =>
    new Library({ replica, store, files, copies: () => [...cache].map((payload) => [payload, []] as const), onCopyGone, onError });
  const library = start();
  const shown = ({ key, value }: Operation): string => {
    const ids = parseHoldingKey(key);
    if (!value) return 'deleted';
    return ids ? decodeHolding(ids, value).tags.title : 'cached';
  };
  return {
    ...disk,
    files,
    library,
    start,
    cache,
    writes: () => replica.head?.seq ?? 0,
    put: (path, description) => files.put({ path, sizeBytes: 100, mtimeMs: 1, inode: 1, problem: null, description }, Buffer.alloc(32)),
    async says() {
      const said: Record<string, string> = {};
      for (const prefix of ['holding/', 'copy/']) {
        for await (const some of store.registers(prefix)) for (const one of some) if (one.origin === self) said[one.key] = shown(one);
      }
      return said;
    },
  };
}

const keyOf = ({ song, file }: FileDescription): string => holdingKey(song, file);

t.test('reconciling writes what is missing, corrects what is wrong, removes what is gone, and nothing else', async (t) => {
  const { replica, library, cache, put, writes, says } = await machine(t);
  const [equal, missing, gone, retagged] = ['equal', 'missing', 'gone', 'old tags'].map((title) => describeFile({ title })) as [FileDescription, FileDescription, FileDescription, FileDescription];
  const [kept, dropped, fresh] = [randomId<PayloadId>(), randomId<PayloadId>(), randomId<PayloadId>()];
  for (const one of [equal, gone, retagged]) library.found(one);
  for (const payload of [kept, dropped]) library.cached(payload, []);
  await library.settled();
  t.equal(writes(), 5);

  const right = { ...retagged, tags: { ...retagged.tags, title: 'new tags' } };
  await put('/music/equal', equal);
  await put('/music/missing', missing);
  await put('/music/retagged', right);
  cache.add(kept).add(fresh);
  await library.reconcile();
  t.same(await says(), {
    [keyOf(equal)]: 'equal',
    [keyOf(missing)]: 'missing',
    [keyOf(gone)]: 'deleted',
    [keyOf(right)]: 'new tags',
    [copyKey(kept)]: 'cached',
    [copyKey(dropped)]: 'deleted',
    [copyKey(fresh)]: 'cached',
  });
  t.equal(writes(), 5 + 5, 'one operation for each difference');

  const { digest } = replica;
  await library.reconcile();
  t.equal(writes(), 10, 'when all is equal, deletions too, nothing is written');
  t.equal(replica.digest, digest);
});

t.test('before the first beat copies and leaving are as they are, and files wait for the scan', async (t) => {
  const { library, start, store, self, cache, says } = await machine(t);
  const file = describeFile({ title: 'not looked at yet' });
  const [wiped, kept] = [randomId<PayloadId>(), randomId<PayloadId>()];
  library.found(file);
  library.cached(wiped, []);
  await library.settled();
  await library.setLeaving(true);
  cache.add(kept);
  const gone: PayloadId[] = [];
  const again = start({ onCopyGone: (payload) => gone.push(payload) });
  await again.reconcileCopies();
  t.same(await says(), { [keyOf(file)]: 'not looked at yet', [copyKey(wiped)]: 'deleted', [copyKey(kept)]: 'cached' });
  const [leaving] = await store.held([{ origin: self, key: LEAVING_KEY }]);
  t.equal(leaving?.value, null, 'the next start is here to stay');
  t.same(gone, [wiped]);
});

t.test('a file that came back is shared again', async (t) => {
  const { library, put, says } = await machine(t);
  const file = describeFile({ title: 'back' });
  library.found(file);
  await library.settled();
  await library.reconcile();
  t.same(await says(), { [keyOf(file)]: 'deleted' });
  await put('/music/back', file);
  await library.reconcile();
  t.same(await says(), { [keyOf(file)]: 'back' });
});

t.test('what is found or lost while a reconciliation reads is not undone by it', async (t) => {
  const { files, library, put, says } = await machine(t);
  const [found, lost] = [describeFile({ title: 'found' }), describeFile({ title: 'lost' })];
  await put('/music/lost', lost);
  await library.reconcile();
  files.meanwhile = async () => {
    await put('/music/found', found);
    library.found(found);
    await files.delete('/music/lost');
    await library.lost(lost);
    await library.settled();
  };
  await library.reconcile();
  t.same(await says(), { [keyOf(found)]: 'found', [keyOf(lost)]: 'deleted' });
});

t.test("what other machines hold is theirs to say, and a file that is no song is nobody's", async (t) => {
  const { replica, store, library, files, writes } = await machine(t);
  const [theirs, shared] = [describeFile({ title: 'theirs' }), describeFile({ title: 'shared' })];
  const origin = randomId<PeerId>();
  const epoch = randomEpochId();
  const operations = [theirs, shared].map((file, i): Operation => ({ origin, epoch, seq: i + 1, lamport: i + 1, key: keyOf(file), value: encodeHolding(file) }));
  await replica.append(operations);
  await files.put({ path: '/music/cover.jpg', sizeBytes: 1, mtimeMs: 1, inode: 1, problem: 'is no music', description: null }, null);
  await library.reconcile();
  t.equal(writes(), 0);
  const held = await store.held(operations);
  t.same(held.map((one) => one?.value !== null), [true, true]);
});

t.test('a file that is lost at one path is shared while another path has it, and no longer', async (t) => {
  const { files, library, put, says } = await machine(t);
  const file = describeFile({ title: 'twice' });
  await put('/music/a', file);
  await put('/music/b', file);
  library.found(file);
  await files.delete('/music/a');
  await library.lost(file);
  await library.settled();
  t.same(await says(), { [keyOf(file)]: 'twice' });
  await files.delete('/music/b');
  await library.lost(file);
  await library.settled();
  t.same(await says(), { [keyOf(file)]: 'deleted' });
});

t.test('another file of the same song is no reason to share one that is lost', async (t) => {
  const { files, library, put, says } = await machine(t);
  const song = randomId<SongId>();
  const [one, other] = [describeFile({ song, title: 'one' }), describeFile({ song, title: 'other' })];
  await put('/music/one', one);
  await put('/music/other', other);
  for (const found of [one, other]) library.found(found);
  await files.delete('/music/one');
  await library.lost(one);
  await library.settled();
  t.same(await says(), { [keyOf(one)]: 'deleted', [keyOf(other)]: 'other' });
});

t.test('a payload that is evicted from the cache is no longer said to be there', async (t) => {
  const { library, says } = await machine(t);
  const payload = randomId<PayloadId>();
  library.cached(payload, []);
  await library.settled();
  t.same(await says(), { [copyKey(payload)]: 'cached' });
  library.evicted(payload);
  await library.settled();
  t.same(await says(), { [copyKey(payload)]: 'deleted' });
});

t.test('who cannot write that it leaves does not leave, nor stay who cannot take that back', async (t) => {
  const it = await machine(t);
  const { library, replica, store } = it;
  const said = async (): Promise<boolean> => (await store.held([{ origin: it.self, key: LEAVING_KEY }]))[0]?.value != null;
  const write = replica.write.bind(replica);
  const full = async () => Promise.reject(new PeerError('DISK_FULL', 'the disk is full'));
  replica.write = full;
  await t.rejects(library.setLeaving(true), { code: 'DISK_FULL' });
  t.same([library.leaving, await said()], [false, false]);
  replica.write = write;
  await library.setLeaving(true);
  replica.write = full;
  await t.rejects(library.setLeaving(false), { code: 'DISK_FULL' });
  t.same([library.leaving, await said()], [true, true]);
  replica.write = write;
  await library.setLeaving(false);
  t.same([library.leaving, await said()], [false, false]);
});

t.test('what is said of leaving is not undone by a comparison: not by what it read before, nor by what it has still to write', async (t) => {
  const { library, replica, store, self, cache } = await machine(t);
  const said = async (): Promise<boolean> => (await store.held([{ origin: self, key: LEAVING_KEY }]))[0]?.value != null;
  const registers = store.registers.bind(store);
  for (const leaving of [true, false]) {
    let first = true;
    store.registers = async function* (prefix) {
      if (first) await library.setLeaving(leaving);
      first = false;
      yield* registers(prefix);
    };
    await library.reconcile();
    t.equal(await said(), leaving);
  }
  // an earlier start said it
  await replica.write([{ key: LEAVING_KEY, value: LEAVING_VALUE }]);
  const write = replica.write.bind(replica);
  let [goOn, haveRead] = [(): void => undefined, (): void => undefined];
  const written = new Promise<void>((resolve) => (goOn = resolve));
  const read = new Promise<void>((resolve) => (haveRead = resolve));
  store.registers = async function* (prefix) {
    yield* registers(prefix);
    if (prefix.startsWith(LEAVING_KEY)) haveRead();
  };
  replica.write = async (changes) => (await written, write(changes));
  const payload = randomId<PayloadId>();
  cache.add(payload);
  library.cached(payload, []);
  const compared = library.reconcile();
  await read;
  replica.write = write;
  await library.setLeaving(true);
  goOn();
  await compared;
  t.ok(await said());
});

t.test('what could not be written is not settled before all was compared again', async (t) => {
  const it = await machine(t);
  const errors: unknown[] = [];
  const library = it.start({ onError: (error) => errors.push(error) });
  const payload = randomId<PayloadId>();
  const write = it.replica.write.bind(it.replica);
  it.replica.write = async () => Promise.reject(new Error('the disk is full'));
  library.cached(payload, []);
  t.notOk(library.isSettled);
  await library.settled();
  t.notOk(library.isSettled);
  t.equal(errors.length, 1);
  it.replica.write = write;
  it.cache.add(payload);
  await library.reconcile();
  t.ok(library.isSettled);
  t.same(await it.says(), { [copyKey(payload)]: 'cached' });
});

t.test('a file that could not be said to be here is not settled by a comparison of copies alone', async (t) => {
  const it = await machine(t);
  const library = it.start({ onError: () => undefined });
  const write = it.replica.write.bind(it.replica);
  it.replica.write = async () => Promise.reject(new Error('the disk is full'));
  const file = describeFile({ title: 'found' });
  await it.put('/music/found', file);
  library.found(file);
  await library.settled();
  it.replica.write = write;
  await library.reconcileCopies();
  t.notOk(library.isSettled);
  await library.reconcile();
  t.ok(library.isSettled);
  t.same(await it.says(), { [keyOf(file)]: 'found' });
});

t.test('a copy that is gone and could not be said to be is not settled while all is compared, nor where that fails again', async (t) => {
  const it = await machine(t);
  const library = it.start({ onError: () => undefined });
  const payload = randomId<PayloadId>();
  library.cached(payload, []);
  await library.settled();
  const write = it.replica.write.bind(it.replica);
  const full = async () => Promise.reject(new Error('the disk is full'));
  it.replica.write = full;
  library.evicted(payload);
  await library.settled();
  const meanwhile: boolean[] = [];
  it.files.meanwhile = async () => void meanwhile.push(library.isSettled);
  await library.reconcile();
  t.same(await it.says(), { [copyKey(payload)]: 'cached' });
  t.notOk(library.isSettled, 'the correction failed too');
  it.replica.write = write;
  it.files.meanwhile = async () => {
    meanwhile.push(library.isSettled);
    throw new Error('the disk cannot be read');
  };
  await t.rejects(library.reconcile());
  t.notOk(library.isSettled, 'the comparison did not come to its end');
  const other = randomId<PayloadId>();
  it.files.meanwhile = async () => {
    it.replica.write = full;
    library.cached(other, []);
    await library.settled();
    it.replica.write = write;
  };
  await library.reconcile();
  t.same(await it.says(), { [copyKey(payload)]: 'deleted' });
  t.notOk(library.isSettled, 'what failed meanwhile the comparison may have left to its report');
  it.cache.add(other);
  it.files.meanwhile = async () => void meanwhile.push(library.isSettled);
  await library.reconcile();
  t.ok(library.isSettled);
  t.same(await it.says(), { [copyKey(payload)]: 'deleted', [copyKey(other)]: 'cached' });
  t.same(meanwhile, [false, false, false]);
});
