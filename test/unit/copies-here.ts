// Copies on one machine: a real catalog, cache and database, and other machines that are made up.
import { mkdtemp, open, rm, stat, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { chunkCount, sha256 } from '../../lib/content.ts';
import { PeerError } from '../../lib/errors.ts';
import { type EpochId, type FileId, type PayloadId, type PeerId, randomEpochId, randomId, type SongId } from '../../lib/ids.ts';
import { FORGET_VALUE, forgetKey } from '../../lib/forget.ts';
import { LEAVING_KEY, LEAVING_VALUE } from '../../lib/leaving.ts';
import { compareTokens, type FencingToken } from '../../lib/roles.ts';
import { COPIES_DEFAULT, COPIES_SETTING, encodeCopies, mergeCopies } from '../../lib/setting.ts';
import { copyKey, decodeCopy, encodeCopy, encodeHolding, type FileDescription, holdingKey, sizeOf } from '../../lib/song.ts';
import type { Value } from '../../lib/operation.ts';
import { type Millis, systemClock } from '../../lib/time.ts';
import { BACKOFF_MS } from '../../peer/copies/copier.ts';
import { Copies } from '../../peer/copies/copies.ts';
import { COPY_METHOD, copyParams, decodeRefused, decodeRoom, encodeRoom, type Room, ROOM_METHOD } from '../../peer/copies/messages.ts';
import { UNKNOWN_MS } from '../../peer/copies/keeping.ts';
import { QUIET_MS } from '../../peer/copies/rounds.ts';
import { Library } from '../../peer/library.ts';
import { Sources } from '../../peer/chunks/sources.ts';
import { Catalog } from '../../storage/catalog.ts';
import { chunksName } from '../../storage/cache-folder.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { FileStore } from '../../storage/file-store.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { OperationStore } from '../../storage/operation-store.ts';
import { PinStore } from '../../storage/pin-store.ts';
import type { Song } from '../../storage/song-view.ts';
import { describeFile } from '../fixtures/description.ts';
import { fillCache, type MadeSong, madeSong, tagged } from '../fixtures/made-song.ts';
import { operationOf } from '../fixtures/registers.ts';
import { openReplica, type OpenReplica } from '../fixtures/replica.ts';
import { until } from '../lab/until.ts';

const SOON_MS = 10_000;
const [ANN, BEN] = ['a', 'b'].map((digit) => digit.repeat(32)) as [PeerId, PeerId];
// each has machines of its own, and waits for most of the time
t.jobs = 4;

const TOKEN: FencingToken = { term: 5, coordinator: ANN, number: 1 };

interface Made {
  readonly song: MadeSong;
  readonly description: FileDescription;
  readonly prefix: Buffer;
  readonly suffix: Buffer;
}

interface Machine extends OpenReplica<OperationStore> {
  readonly catalog: Catalog;
  readonly library: Library;
  readonly folder: string;
  readonly cache: ChunkCache;
  readonly openFiles: OpenFiles;
  readonly copies: Copies;
  readonly pins: PinStore;
  readonly here: Set<PeerId>;
  /** Told to wait before it gives a payload. */
  gate: Promise<void>;
  /** Does it see to copies? And how often it had songs to give out. */
  holds: boolean;
  placed: number;
  /** Payloads that were asked for. */
  readonly brought: PayloadId[];
  /** Before what surrounds it is given. */
  edgesGate: Promise<void>;
  /** What others answer who are asked for their room; others speak of nothing. */
  readonly rooms: Map<PeerId, () => Partial<Room> | Promise<never>>;
  /** Machines that hold all that is written here. */
  readonly inSync: Set<PeerId>;
  scanning: boolean;
  folderMissing: boolean | undefined;
  /** Nobody has looked since. */
  unplugged: boolean;
  /** What went wrong, where that is expected. */
  troubles: string[] | undefined;
  says(origin: PeerId, key: string, value: Value | null): Promise<void>;
  /** So much later it is here than elsewhere. */
  aheadMs: Millis;
  /** A file of a song that nobody has described yet. */
  make(bytes?: number, options?: { readonly ogg?: boolean }): Made;
  /** This peer has this file. */
  describes(origin: PeerId, made: Made): Promise<void>;
  /** The same sound with other tags. */
  retag(made: Made, prefix: Buffer): Made;
  /** A song that this peer has a file of. */
  has(origin: PeerId, bytes?: number): Promise<Made>;
  ask(method: string, params: unknown): Promise<unknown>;
}

async function machine(
  t: Test,
  { cacheBytes = 10_000_000, graceMs, before, made: knowing = [] }: { readonly cacheBytes?: number; readonly graceMs?: Millis; readonly before?: OpenReplica<OperationStore>; readonly made?: readonly Made[] } = {},
): Promise<Machine> {
  const disk = before ?? (await openReplica(t, OperationStore));
  const { self, database, store, replica } = disk;
  const folder = await mkdtemp(join(tmpdir(), 'copies-'));
  const files = new OpenFiles();
  const pins = await PinStore.open(database, 'home');
  const cache = await ChunkCache.open(folder, { bytesMax: cacheBytes, files, pinned: pins.pins.values(), judge: () => 'last' });
  const catalog = new Catalog({ store, self, onError: (error) => t.fail(String(error)) });
  const library = new Library({
    replica,
    store,
    files: new FileStore(database),
    copies: () => cache.completed().map((payload) => [payload, cache.filesOf(payload)] as const),
    onCopyGone: (payload) => copies.copyGone(payload),
    onError: (error) => t.fail(String(error)),
  });
  cache.listen({ completed: (payload) => library.cached(payload, cache.filesOf(payload)), edges: (payload) => cache.complete(payload) && library.cached(payload, cache.filesOf(payload)), lost: (payload) => library.evicted(payload) });
  const made = new Map(knowing.map((one) => [one.song.payload, one]));
  const retagged = new Map<FileId, Made>();
  let greatest = TOKEN;
  const here = new Set([ANN, BEN]);
  const copies = new Copies({
    self,
    clock: { now: () => systemClock.now() + it.aheadMs, wall: () => systemClock.wall() },
    log: () => undefined,
    store,
    catalog,
    library,
    cache,
    pinStore: pins,
    sources: new Sources({ self, linkTo: (peer) => (here.has(peer) ? { peer, requestBytes: async () => new Uint8Array() } : undefined), songOf: (id) => catalog.song(id) }),
    payloads: {
      async fill({ payload }: { readonly payload: PayloadId }) {
        it.brought.push(payload);
        await it.gate;
        if (here.size === 0) return false;
        await fillCache(cache, (made.get(payload) as Made).song, undefined, 'free');
        return true;
      },
    } as never,
    edges: {
      async read({ payload, file }: FileDescription, edge: 'prefix' | 'suffix') {
        await it.edgesGate;
        const one = made.get(payload) as Made;
        return (one.description.file === file ? one : (retagged.get(file) as Made))[edge];
      },
    } as never,
    living: () => here,
    isHere: (peer) => here.has(peer),
    plays: () => new Map(),
    ask: async (peer) => {
      const room = await it.rooms.get(peer)?.();
      if (!room) throw new PeerError('UNSUPPORTED', 'there is no method room');
      return encodeRoom({ roomBytes: 0, uptimeMs: 1, payloads: [], busy: false, slots: 1, scanning: undefined, log: undefined, missing: undefined, ...room });
    },
    logHash: (peer) => replica.hashes.get(peer),
    isInSync: (peer) => it.inSync.has(peer),
    localOnly: () => 3,
    scanning: () => it.scanning,
    folderMissing: () => it.folderMissing,
    lookForFolders: async () => it.unplugged || it.folderMissing,
    writeForUser: async (changes) => {
      await replica.write(changes);
      return 'local only';
    },
    callService: async () => {
      it.placed += 1;
      return [];
    },
    holdsRole: () => it.holds,
    graceMs,
    admit: (token, from) => {
      t.equal(from, ANN);
      if (compareTokens(token, greatest) < 0) throw new PeerError('ROLE_UNAVAILABLE', 'music has passed to another machine');
      greatest = token;
    },
    trouble: () => (error) => (it.troubles ? it.troubles.push(String(error)) : t.fail(String(error))),
  });
  const logs = new Map<PeerId, { readonly epoch: EpochId; seq: number }>();
  let lamport = 1_000;
  const it: Machine = {
    openFiles: files,
    ...disk,
    catalog,
    library,
    folder,
    cache,
    copies,
    pins,
    here,
    gate: Promise.resolve(),
    edgesGate: Promise.resolve(),
    brought: [],
    rooms: new Map(),
    inSync: new Set(),
    scanning: false,
    folderMissing: false,
    unplugged: false,
    troubles: undefined,
    holds: false,
    placed: 0,
    aheadMs: 0,
    async says(origin, key, value) {
      const log = logs.get(origin) ?? { epoch: randomEpochId(), seq: 0 };
      logs.set(origin, log);
      log.seq += 1;
      lamport += 1;
      await replica.append([{ origin, epoch: log.epoch, seq: log.seq, lamport, key, value }]);
    },
    make(bytes = 100_000, { ogg = false } = {}) {
      const song = madeSong(bytes);
      const { file, prefix, suffix } = tagged(song, Buffer.from('before'), Buffer.from('behind'));
      const description = {
        ...describeFile({ song: ogg ? randomId<SongId>() : (song.payload as string as SongId), file, payload: song.payload }),
        payloadBytes: bytes,
        prefixBytes: prefix.byteLength,
        suffixBytes: suffix.byteLength,
        prefixHash: sha256(prefix),
        suffixHash: sha256(suffix),
      };
      const one = { song, description, prefix, suffix };
      made.set(song.payload, one);
      return one;
    },
    async describes(origin, { description }) {
      await it.says(origin, holdingKey(description.song, description.file), encodeHolding(description));
      await catalog.settled();
    },
    retag({ song, description: before }, prefix) {
      const { file, suffix } = tagged(song, prefix, Buffer.from('behind'));
      const description = { ...before, file, prefixBytes: prefix.byteLength, prefixHash: sha256(prefix) };
      const one = { song, description, prefix, suffix };
      retagged.set(file, one);
      return one;
    },
    async has(origin, bytes) {
      const one = it.make(bytes);
      await it.describes(origin, one);
      return one;
    },
    async ask(method, params) {
      const answer = await copies.handlers().get(method)?.(params, { peer: ANN } as never);
      return (answer as { readonly value: unknown }).value;
    },
  };
  replica.listen({
    changed: (changes) => {
      const after = changes.map((change) => change.after);
      catalog.refresh(after);
      copies.refresh(after);
    },
    dropped: () => copies.dropped(),
  });
  catalog.load();
  copies.start();
  await copies.keeping.settled();
  t.teardown(async () => {
    await copies.stop();
    await library.settled();
    await catalog.settled();
    await cache.close();
    await files.close();
    await rm(folder, { recursive: true });
  });
  return it;
}

const request = ({ description: { song, file } }: Made, token: FencingToken = TOKEN): unknown => copyParams({ token, songs: [{ song, file }] });
const isCopied = (it: Machine, { description: { payload, file } }: Made): Promise<unknown> =>
  until('it is copied', SOON_MS, () => it.cache.complete(payload) && it.cache.filesOf(payload).includes(file), Boolean);

const songOf = async (it: Machine, { description }: Made): Promise<Song> => (await it.catalog.song(description.song)) as Song;

t.test('what the holder of the role asks for is fetched whole, and said to be here with its file', { buffered: true }, async (t) => {
  const it = await machine(t);
  const one = await it.has(ANN);
  t.same(await it.ask(COPY_METHOD, request(one)), [[], []]);
  await isCopied(it, one);
  await it.library.settled();
  const [register] = await it.store.held([{ origin: it.self, key: copyKey(one.description.payload) }]);
  t.same(decodeCopy(register?.value as Value), [one.description.file]);
  await it.catalog.settled();
  const song = await it.catalog.song(one.description.song);
  t.same(song?.copiers, [it.self]);
  t.same(song?.files[0].providers, [ANN, it.self]);
  t.same(await it.copies.counted(), { songs: new Map([[2, 1]]), toDo: 0, missing: 0 });
});

t.test('a holder that has slept gets nothing done, and one that asks for what is unknown here is told', { buffered: true }, async (t) => {
  const it = await machine(t);
  const one = await it.has(ANN);
  await t.rejects(it.ask(COPY_METHOD, request(one, { ...TOKEN, term: 4 })), { code: 'ROLE_UNAVAILABLE' });
  t.same(it.brought, []);
  const unknown = { song: randomId<SongId>(), file: randomId<FileId>() };
  const refused = await it.ask(COPY_METHOD, copyParams({ token: { ...TOKEN, number: 2 }, songs: [unknown, { song: one.description.song, file: randomId<FileId>() }, one.description] }));
  t.same(decodeRefused(refused), { unknown: [0, 1], refused: [] });
  await isCopied(it, one);
});

t.test('room is what is left when all that is promised has come, and what is under way is told', { buffered: true }, async (t) => {
  const it = await machine(t);
  let open = (): void => undefined;
  it.gate = new Promise((resolve) => (open = resolve));
  const [one, two] = [await it.has(ANN), await it.has(BEN)];
  const before = decodeRoom(await it.ask(ROOM_METHOD, []));
  t.same(before.payloads, []);
  await it.ask(COPY_METHOD, copyParams({ token: TOKEN, songs: [one.description, two.description] }));
  const after = decodeRoom(await it.ask(ROOM_METHOD, []));
  t.same(after.payloads, [one.description.payload, two.description.payload]);
  t.equal(after.roomBytes, before.roomBytes - sizeOf(one.description) - sizeOf(two.description));
  open();
  await isCopied(it, two);
  t.same(decodeRoom(await it.ask(ROOM_METHOD, [])).payloads.length, 2, 'and for a moment what has just come, whose register may be on its way');
  await it.copies.setLeaving(true);
  t.equal(decodeRoom(await it.ask(ROOM_METHOD, [])).roomBytes, 0, 'who leaves takes nothing');
  t.same(await it.ask(COPY_METHOD, request(await it.has(ANN))), [[], [0]]);
});

t.test('a copy that rots is fetched again, and so is what an earlier start had whole', { buffered: true }, async (t) => {
  const it = await machine(t);
  const one = await it.has(ANN);
  await it.ask(COPY_METHOD, request(one));
  await isCopied(it, one);
  const { payload } = one.description;
  const place = join(it.folder, chunksName(payload));
  const { size } = await stat(place);
  const file = await open(place, 'r+');
  await file.write(Buffer.from('rotten'), 0, 6, size - 6);
  await file.close();
  // as the verifier does
  for (let index = 0; index < chunkCount(one.song.bytes.byteLength); index++) await it.cache.checkChunk(payload, index);
  await until('it is fetched again', SOON_MS, () => it.brought.length, (times) => times === 2);
  await isCopied(it, one);
  await it.cache.delete(payload);
  await fillCache(it.cache, one.song, [0]);
  it.copies.copyGone(payload);
  await isCopied(it, one);
  t.equal(it.brought.length, 3);
});

t.test('what was played whole gets its edges too, and is a copy like others', { buffered: true }, async (t) => {
  const it = await machine(t);
  const one = await it.has(ANN);
  await fillCache(it.cache, one.song);
  await isCopied(it, one);
  t.same(it.brought, [], 'its sound is not fetched again');
});

t.test('the cache is told what may go: the last copy never, whatever happens to the others', { buffered: true }, async (t) => {
  const it = await machine(t);
  const one = await it.has(ANN);
  const { payload, file } = one.description;
  await it.ask(COPY_METHOD, request(one));
  await isCopied(it, one);
  const worth = async (): Promise<string> => {
    await it.library.settled();
    await it.catalog.settled();
    await it.copies.keeping.settled();
    return it.copies.keeping.judge(payload);
  };
  t.equal(await worth(), 'wanted', 'the owner and this machine: the two that are wanted');
  await it.says(BEN, copyKey(payload), encodeCopy([]));
  t.equal(it.copies.keeping.judge(payload), 'last', 'nothing goes while it is read who has it now');
  t.equal(await worth(), 'wanted');
  it.here.delete(ANN);
  it.copies.went(ANN);
  t.equal(it.copies.keeping.judge(payload), 'last', 'in the moment in which the owner goes');
  await it.says(BEN, copyKey(payload), encodeCopy([file]));
  t.equal(await worth(), BEN < it.self ? 'wanted' : 'last', 'the first of two copies');
  it.here.add(ANN);
  it.copies.came(ANN);
  const ahead = BEN < it.self ? 2 : 1;
  t.equal(await worth(), ahead >= 2 ? 'free' : 'wanted');
  await it.says(ANN, LEAVING_KEY, LEAVING_VALUE);
  t.equal(await worth(), ahead >= 2 ? 'wanted' : 'last', 'an owner that leaves counts for nothing');
  await it.says(BEN, copyKey(payload), Uint8Array.of(0xf5));
  t.equal(await worth(), 'last', 'nor does a copy of a version that keeps no files');
  await it.says(it.self, holdingKey(one.description.song, file), encodeHolding(one.description));
  t.equal(await worth(), 'free', 'but what lies in a music folder needs no copy');
});

/** What the cache is told of a payload, once everything that was said counts. */
async function worthOf(it: Machine, { payload }: { readonly payload: PayloadId }): Promise<string> {
  await it.library.settled();
  await it.catalog.settled();
  await it.copies.keeping.settled();
  return it.copies.keeping.judge(payload);
}

t.test('what nobody knows as part of a song may go, when it has been here for a while, and what was not looked at yet may not', { buffered: true }, async (t) => {
  const it = await machine(t);
  const stray = madeSong(1_000);
  await fillCache(it.cache, stray);
  t.equal(it.copies.keeping.judge(stray.payload), 'last');
  t.equal(await worthOf(it, stray), 'last', 'who knows it may be heard of in a moment');
  it.aheadMs = UNKNOWN_MS;
  t.equal(await worthOf(it, stray), 'free');
});

t.test('an Ogg file, whose payload does not tell its song, is kept like others, though it was cached before anybody said whose it is', { buffered: true }, async (t) => {
  const it = await machine(t);
  const [known, unknown, restarted] = [it.make(100_000, { ogg: true }), it.make(100_000, { ogg: true }), it.make(100_000, { ogg: true })];
  await it.describes(ANN, known);
  await fillCache(it.cache, known.song);
  await isCopied(it, known);
  await fillCache(it.cache, unknown.song);
  t.equal(await worthOf(it, unknown.description), 'last');
  await it.describes(ANN, unknown);
  await isCopied(it, unknown);
  await it.describes(ANN, restarted);
  await fillCache(it.cache, restarted.song);
  await isCopied(it, restarted);
  it.copies.dropped();
  for (const { description } of [known, unknown, restarted]) t.equal(await worthOf(it, description), 'wanted');
  it.here.delete(ANN);
  it.copies.went(ANN);
  it.aheadMs = UNKNOWN_MS;
  for (const { description } of [known, unknown, restarted]) t.equal(await worthOf(it, description), 'last', 'its owner is gone');
});

t.test('a pin is fetched and stays, over a restart too; a full cache says how large things are', { buffered: true }, async (t) => {
  const it = await machine(t, { cacheBytes: 400_000 });
  const one = await it.has(ANN);
  t.equal(await it.copies.pins.pin(await songOf(it, one)), 'coming');
  await isCopied(it, one);
  t.equal(await it.copies.pins.pin(await songOf(it, one)), 'here');
  await it.copies.setWanted(1);
  for (let i = 0; i < 8; i++) {
    const other = await it.has(ANN);
    await fillCache(it.cache, other.song);
  }
  t.ok(it.cache.complete(one.description.payload), 'it outlives what is played');
  const [large, second] = [await it.has(ANN, 500_000), await it.has(ANN, 350_000)];
  await t.rejects(it.copies.pins.pin(await songOf(it, large)), { code: 'TOO_LARGE', message: /has 0\.5 MB.*takes 0\.4 MB/ });
  await t.rejects(it.copies.pins.pin(await songOf(it, second)), { code: 'TOO_LARGE', message: /0\.1 MB are pinned/ });
  t.same([...(await PinStore.open(it.database, 'home')).pins], [[one.description.song, one.description.payload]]);
  t.same([...(await PinStore.open(it.database, 'zone')).pins], [], 'of this network alone');
  t.ok(await it.copies.pins.unpin(one.description.song));
  t.notOk(await it.copies.pins.unpin(one.description.song));
  t.same([...(await PinStore.open(it.database, 'home')).pins], []);
});

t.test('what is pinned and not here is fetched when the program starts', { buffered: true }, async (t) => {
  const disk = await openReplica(t, OperationStore);
  const first = await machine(t, { before: disk });
  const [one, two] = [await first.has(ANN), first.make(100_000, { ogg: true })];
  await first.describes(ANN, two);
  for (const { description } of [one, two]) await first.pins.pin(description.song, description.payload);
  const it = await machine(t, { before: disk, made: [one, two] });
  await isCopied(it, one);
  await isCopied(it, two);
});

t.test('a pin whose holder is away waits, says why, keeps nothing else waiting, and is fetched when the holder comes', { buffered: true }, async (t) => {
  const it = await machine(t);
  it.here.delete(ANN);
  const [waits, other] = [await it.has(ANN), await it.has(BEN)];
  t.equal(await it.copies.pins.pin(await songOf(it, waits)), 'coming');
  await it.ask(COPY_METHOD, request(other));
  await isCopied(it, other);
  t.same(it.brought, [other.description.payload], 'nobody is waited for in vain');
  const { payload } = waits.description;
  t.equal(it.copies.pins.stateOf(await songOf(it, waits), payload), 'waiting');
  t.match(it.copies.pins.reasonOf(await songOf(it, waits), payload), /no machine that has it is here/);
  t.notOk(decodeRoom(await it.ask(ROOM_METHOD, [])).payloads.includes(payload), 'it is no copy under way');
  it.copies.came(BEN);
  await it.copies.keeping.settled();
  t.equal(it.copies.pins.stateOf(await songOf(it, waits), payload), 'waiting', 'who has it not is no reason to try again');
  it.here.add(ANN);
  it.copies.came(ANN);
  const startedAt = Date.now();
  await isCopied(it, waits);
  t.ok(Date.now() - startedAt < BACKOFF_MS / 2, 'at once, and not with its next try');
  t.equal(it.copies.pins.reasonOf(await songOf(it, waits), payload), undefined);
});

const stateOf = async (it: Machine, { description: { song, payload } }: Made): Promise<string> => it.copies.pins.stateOf(await it.catalog.song(song), payload);

t.test('a pin whose owner tags its file anew is here no more until it has the new tags, and says that it is gone when the owner deletes the file', { buffered: true }, async (t) => {
  const it = await machine(t);
  const before = await it.has(ANN);
  const { song, file, payload } = before.description;
  await it.copies.pins.pin(await songOf(it, before));
  await isCopied(it, before);
  await it.library.settled();
  await it.catalog.settled();
  const after = it.retag(before, Buffer.from('another title'));
  let open = (): void => undefined;
  it.edgesGate = new Promise((resolve) => (open = resolve));
  await it.says(ANN, holdingKey(song, file), null);
  await it.describes(ANN, after);
  t.not(await stateOf(it, after), 'here');
  open();
  await isCopied(it, after);
  t.equal(await stateOf(it, after), 'here');
  t.equal(it.brought.length, 1, 'its sound is not fetched again');
  await it.says(ANN, holdingKey(song, after.description.file), null);
  await it.catalog.settled();
  t.equal(await stateOf(it, after), 'gone');
  t.match(it.copies.pins.reasonOf(await it.catalog.song(song), payload), /has deleted it/);
  t.ok(it.cache.complete(payload));
  t.equal((await it.catalog.search('', { limit: 9, offset: 0 })).total, 0, 'whoever deletes a file wants it gone, everywhere');
});

/** A pinned Ogg file that is here, and the same song as `retag` makes it: with other tags, and so another payload. */
async function pinnedOgg(t: Test) {
  const it = await machine(t);
  const before = it.make(100_000, { ogg: true });
  await it.describes(ANN, before);
  const { song, file } = before.description;
  await it.copies.pins.pin(await songOf(it, before));
  await isCopied(it, before);
  const other = it.make(90_000, { ogg: true });
  const after = { ...other, description: { ...other.description, song } };
  const retag = async (): Promise<void> => {
    await it.says(ANN, holdingKey(song, file), null);
    await it.describes(ANN, after);
  };
  return { it, before, after, retag };
}

t.test('of an Ogg file that is tagged anew, whose payload is another one then, the new one is pinned', { buffered: true }, async (t) => {
  const { it, before, after, retag } = await pinnedOgg(t);
  const { song, payload } = before.description;
  const free: PayloadId[] = [];
  const unpin = it.cache.unpin.bind(it.cache);
  it.cache.unpin = (one) => (free.push(one), unpin(one));
  await retag();
  await isCopied(it, after);
  t.same(free, [payload], 'the one of before may go');
  t.same([...(await PinStore.open(it.database, 'home')).pins], [[song, after.description.payload]]);
  t.equal(await stateOf(it, after), 'here');
  t.notOk(it.copies.pins.has(payload));
});

t.test('who unpins a song while its new file is being pinned has it unpinned, and nothing of it kept', { buffered: true }, async (t) => {
  const { it, before, after, retag } = await pinnedOgg(t);
  const { song, payload } = before.description;
  const kept = new Set([payload]);
  const [pin, unpin, store] = [it.cache.pin.bind(it.cache), it.cache.unpin.bind(it.cache), it.pins.pin.bind(it.pins)];
  it.cache.pin = (one) => (kept.add(one), pin(one));
  it.cache.unpin = (one) => (kept.delete(one), unpin(one));
  let unpinned: Promise<boolean> | undefined;
  it.pins.pin = async (...row) => {
    unpinned = it.copies.pins.unpin(song);
    // time enough for one that would not wait
    await new Promise((resolve) => setTimeout(resolve, 30));
    await store(...row);
  };
  await retag();
  t.ok(await (await until('it is unpinned', SOON_MS, () => unpinned, Boolean)).value);
  t.same([...(await PinStore.open(it.database, 'home')).pins], []);
  t.same([[...kept], it.copies.pins.has(after.description.payload)], [[], false]);
});

t.test('a pin whose file is deleted while the program runs is fetched again, and never given up when it rots', { buffered: true }, async (t) => {
  const it = await machine(t);
  const one = await it.has(ANN);
  const { payload } = one.description;
  await it.copies.pins.pin(await songOf(it, one));
  await isCopied(it, one);
  await it.openFiles.close(); // so that its file is opened anew
  await unlink(join(it.folder, chunksName(payload)));
  t.equal(await it.cache.read(payload, 0), null);
  await until('it is asked for', SOON_MS, () => it.brought.length, (times) => times === 2);
  await isCopied(it, one);
  it.gate = Promise.reject(new PeerError('SONG_UNAVAILABLE', 'its machine fails'));
  it.gate.catch(() => undefined);
  await it.cache.flush();
  const file = await open(join(it.folder, chunksName(payload)), 'r+');
  await file.write(Buffer.from('rotten'), 0, 6, 5_000);
  await file.close();
  t.equal(await it.cache.read(payload, 0), null);
  await until('it waits', SOON_MS, () => stateOf(it, one), (state) => state === 'waiting');
  t.match(it.copies.pins.reasonOf(await songOf(it, one), payload), /its machine fails/);
  it.aheadMs = 60_000;
  t.same(decodeRoom(await it.ask(ROOM_METHOD, [])).payloads, [], 'as a pin, which alone is tried for ever, and no copy under way');
});

t.test('while music is played a pin says that it waits for a pause', { buffered: true }, async (t) => {
  const it = await machine(t);
  const one = await it.has(ANN);
  it.copies.playing(true);
  t.equal(await it.copies.pins.pin(await songOf(it, one)), 'coming');
  t.match(it.copies.pins.reasonOf(await songOf(it, one), one.description.payload), /music is being played/);
  it.copies.playing(false);
  await isCopied(it, one);
});

t.test('of what is pinned counts what is kept of it, and not what other files of the song take', { buffered: true }, async (t) => {
  const it = await machine(t, { cacheBytes: 400_000 });
  const one = await it.has(ANN);
  await it.copies.pins.pin(await songOf(it, one));
  await isCopied(it, one);
  const large = it.retag(one, Buffer.alloc(250_000, 1));
  for (const peer of [ANN, BEN]) await it.describes(peer, large);
  t.equal((await songOf(it, one)).files[0].description.file, large.description.file);
  t.equal(await it.copies.pins.pin(await songOf(it, await it.has(ANN, 200_000))), 'coming');
});

t.test('a song does not go before it has what surrounds it, and where nothing can be written that is said', { buffered: true }, async (t) => {
  const it = await machine(t, { cacheBytes: 250_000 });
  const [one, ...others] = [await it.has(ANN), await it.has(ANN), await it.has(ANN)] as [Made, Made, Made];
  let open = (): void => undefined;
  it.edgesGate = new Promise((resolve) => (open = resolve));
  await it.ask(COPY_METHOD, request(one));
  await until('its sound is here', SOON_MS, () => it.cache.complete(one.description.payload), Boolean);
  await worthOf(it, one.description);
  for (const { song } of others) await fillCache(it.cache, song);
  t.ok(it.cache.complete(one.description.payload));
  open();
  await isCopied(it, one);
  Object.defineProperty(it.cache, 'takes', { value: false });
  const pin = await it.has(ANN, 1_000);
  await it.copies.pins.pin(await songOf(it, pin));
  await until('it has failed', SOON_MS, () => stateOf(it, pin), (state) => state === 'waiting');
  t.match(it.copies.pins.reasonOf(await songOf(it, pin), pin.description.payload), /nothing can be written/);
});

t.test('a database that cannot be read while something is mended is told of, and ends nothing', { buffered: true }, async (t) => {
  const it = await machine(t);
  const one = await it.has(ANN);
  await it.ask(COPY_METHOD, request(one));
  await isCopied(it, one);
  await it.copies.keeping.settled();
  it.troubles = [];
  const song = it.catalog.song.bind(it.catalog);
  it.catalog.song = async () => Promise.reject(new PeerError('DATA_FOLDER_UNUSABLE', 'the disk gives an error'));
  it.copies.copyGone(one.description.payload);
  await until('it is told', SOON_MS, () => it.troubles, (troubles) => (troubles?.length ?? 0) > 0);
  it.catalog.song = song;
});

t.test('no pin is promised what last copies take', { buffered: true }, async (t) => {
  const it = await machine(t, { cacheBytes: 400_000 });
  const last = await it.has(ANN, 300_000);
  await it.ask(COPY_METHOD, request(last));
  await isCopied(it, last);
  const other = await it.has(BEN, 200_000);
  it.here.delete(ANN);
  it.copies.went(ANN);
  await t.rejects(it.copies.pins.pin(await songOf(it, other)), { code: 'TOO_LARGE', message: /0\.3 MB are songs that no other machine has/ });
  t.equal(await it.copies.pins.pin(await songOf(it, last)), 'here', 'but itself it may be pinned');
});

t.test('of pins that are asked for at once each has its room or is refused, and none keeps the next from being looked at', { buffered: true }, async (t) => {
  const it = await machine(t, { cacheBytes: 400_000 });
  const made = [await it.has(ANN, 250_000), await it.has(ANN, 200_000), await it.has(ANN)] as const;
  const [large, middle, small] = [await songOf(it, made[0]), await songOf(it, made[1]), await songOf(it, made[2])];
  const { pins } = it.copies;
  const [first, second, third, ...unpinned] = await Promise.allSettled([pins.pin(large), pins.pin(middle), pins.pin(small), pins.unpin(large.id), pins.unpin(middle.id)]);
  t.match(first, { value: 'coming' });
  t.match(second, { reason: { code: 'TOO_LARGE', message: /0\.3 MB are pinned/ } });
  t.match(third, { value: 'coming' });
  t.match(unpinned, [{ value: true }, { value: false }], 'in the order that they were asked for');
  t.same([...pins.all.keys()], [small.id]);
});

t.test('one own file needs no pin', { buffered: true }, async (t) => {
  const it = await machine(t);
  const { description } = await it.has(it.self);
  t.equal(await it.copies.pins.pin((await it.catalog.song(description.song)) as never), 'own');
  t.same([...it.pins.pins], []);
});

t.test('what a machine alone has is listed by title, and only what really is nowhere else', { buffered: true }, async (t) => {
  const it = await machine(t);
  const [, mine, both] = [await it.has(ANN), await it.has(it.self), await it.has(ANN)];
  await it.says(BEN, holdingKey(both.description.song, both.description.file), encodeHolding(both.description));
  await it.catalog.settled();
  const vanishing = await it.copies.vanishingWith(it.self);
  t.same([vanishing.total, vanishing.bytes, vanishing.songs.map(({ id }) => id)], [1, sizeOf(mine.description), [mine.description.song]]);
  t.equal((await it.copies.vanishingWith(ANN)).total, 1);
  t.equal((await it.copies.vanishingWith(BEN)).total, 0);
  it.here.delete(BEN);
  t.equal((await it.copies.vanishingWith(ANN)).total, 2, 'who is not here has nothing to play');
  it.copies.went(BEN);
  t.same(await it.copies.counted(), { songs: new Map([[1, 3]]), toDo: 3, missing: 0 });
  it.here.delete(ANN);
  it.copies.went(ANN);
  t.same(await it.copies.counted(), { songs: new Map([[1, 1]]), toDo: 0, missing: 2 }, 'alone there is nothing to do');
});

t.test('a machine that went for good lacks when its grace is over, though nothing else happens', { buffered: true }, async (t) => {
  const it = await machine(t, { graceMs: 1_300 });
  const one = await it.has(ANN);
  await it.describes(BEN, one);
  it.holds = true;
  it.copies.role(TOKEN);
  await new Promise((resolve) => setTimeout(resolve, QUIET_MS + 100));
  it.here.delete(BEN);
  it.copies.went(BEN);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  t.equal(it.placed, 0, 'it may be back in a moment');
  await until('somebody is to fetch it', SOON_MS, () => it.placed, (times) => times > 0);
});

t.test('leaving is said, taken back, and over with the next start', { buffered: true }, async (t) => {
  const disk = await openReplica(t, OperationStore);
  const it = await machine(t, { before: disk });
  await it.has(it.self);
  await it.copies.setLeaving(true);
  await it.catalog.settled();
  t.ok(it.catalog.leaves(it.self));
  t.match(await it.copies.leaving(), { leaving: true, only: { total: 1 }, others: 2, localOnly: 3, room: false });
  await it.copies.setLeaving(false);
  await it.catalog.settled();
  t.notOk(it.catalog.leaves(it.self));
  await it.copies.setLeaving(true);
  const again = await machine(t, { before: disk });
  await again.catalog.loaded;
  t.ok(again.catalog.leaves(it.self));
  await again.library.reconcile();
  await again.catalog.settled();
  t.notOk(again.catalog.leaves(it.self));
});

t.test('who leaves relies on nobody who has not answered, or does not know it yet, or has not said what it dropped before it knew', { buffered: true }, async (t) => {
  const it = await machine(t);
  const mine = await it.has(it.self);
  await it.describes(ANN, mine);
  await it.copies.setLeaving(true);
  const facts = async (): Promise<unknown> => {
    const { only, unconfirmed, silent, inSync } = await it.copies.leaving();
    return [only.total, unconfirmed, silent, inSync];
  };
  it.inSync.add(ANN);
  t.same(await facts(), [0, 1, 2, 0], 'nobody answers');
  it.rooms.set(ANN, () => ({}));
  t.same(await facts(), [0, 1, 1, 1]);
  it.rooms.set(ANN, () => ({ log: new Uint8Array(16) }));
  t.same(await facts(), [0, 1, 1, 1], 'its last words have not come');
  it.rooms.set(ANN, () => ({ log: it.replica.hashes.get(ANN) as Uint8Array }));
  t.same(await facts(), [0, 0, 1, 1]);
  await it.says(ANN, holdingKey(mine.description.song, mine.description.file), null);
  await it.catalog.settled();
  t.same(await facts(), [1, 0, 1, 1], 'it has it no more');
});

t.test('who leaves counts no machine that leaves too, whatever that one says', { buffered: true }, async (t) => {
  const it = await machine(t);
  const mine = await it.has(it.self);
  for (const peer of [ANN, BEN]) await it.describes(peer, mine);
  await it.copies.setLeaving(true);
  for (const peer of [ANN, BEN]) {
    it.inSync.add(peer);
    it.rooms.set(peer, () => ({ busy: true, roomBytes: 1_000_000, payloads: [mine.description.payload], log: it.replica.hashes.get(peer) as Uint8Array }));
  }
  const facts = async (): Promise<unknown> => {
    const { only, unconfirmed, others, silent, busy, inSync, underWay } = await it.copies.leaving();
    return [only.total, unconfirmed, others, silent, busy, inSync, underWay];
  };
  t.same(await facts(), [0, 0, 2, 0, 2, 2, 2]);
  await it.says(ANN, LEAVING_KEY, LEAVING_VALUE);
  await it.catalog.settled();
  t.same(await facts(), [0, 0, 1, 0, 1, 1, 1]);
  await it.says(BEN, LEAVING_KEY, LEAVING_VALUE);
  await it.catalog.settled();
  t.same(await facts(), [1, 0, 0, 0, 0, 0, 0]);
});

t.test('who is asked by one that leaves answers for its own log once that is known and nothing is left to be said; not when it leaves too', { buffered: true }, async (t) => {
  const it = await machine(t);
  const one = await it.has(ANN);
  await fillCache(it.cache, one.song);
  await isCopied(it, one);
  await it.library.settled();
  const log = async (): Promise<Uint8Array | undefined> => decodeRoom(await it.ask(ROOM_METHOD, [])).log;
  t.equal(await log(), undefined, 'nobody leaves');
  await it.says(ANN, LEAVING_KEY, LEAVING_VALUE);
  t.same(await log(), it.replica.hashes.get(it.self));
  it.library.evicted(one.description.payload);
  t.equal(await log(), undefined, 'that is still to be said');
  await it.library.settled();
  t.same(await log(), it.replica.hashes.get(it.self));
  for (const missing of [true, undefined]) {
    it.folderMissing = missing;
    t.equal(await log(), undefined, 'what it owns it cannot give, or does not know whether it can');
  }
  it.folderMissing = false;
  t.ok(await log());
  it.unplugged = true;
  const { log: claim, missing } = decodeRoom(await it.ask(ROOM_METHOD, []));
  t.same([claim, missing], [undefined, true], 'it looks before it answers');
  it.unplugged = false;
  const leaves = it.copies.setLeaving(true);
  t.equal(await log(), undefined, 'it is about to say that it leaves itself');
  await leaves;
  t.equal(await log(), undefined);
});

t.test('who leaves is known to leave at every moment, also while the catalog is built anew', { buffered: true }, async (t) => {
  const it = await machine(t);
  await it.has(ANN);
  await it.says(ANN, LEAVING_KEY, LEAVING_VALUE);
  await it.catalog.settled();
  await it.says(BEN, forgetKey('c'.repeat(32) as PeerId), FORGET_VALUE);
  let building = true;
  let known = true;
  const built = it.catalog.settled().then(() => (building = false));
  while (building) {
    known &&= it.catalog.leaves(ANN);
    await new Promise(setImmediate);
  }
  await built;
  t.ok(known);
});

t.test('what a machine owns in a folder that is missing is not relied on, by whoever asks; what it has copied is', { buffered: true }, async (t) => {
  const it = await machine(t);
  const mine = await it.has(it.self);
  await it.describes(ANN, mine);
  const copied = await it.has(it.self);
  await it.says(ANN, copyKey(copied.description.payload), encodeCopy([copied.description.file]));
  await it.catalog.settled();
  await it.copies.setLeaving(true);
  const facts = async (): Promise<unknown> => {
    const missing = await it.copies.foldersMissing();
    const [{ unconfirmed, foldersMissing }, { total }] = [await it.copies.leaving(), await it.copies.vanishingWith(it.self, new Set(missing))];
    return [missing, total, unconfirmed, foldersMissing];
  };
  it.rooms.set(ANN, () => ({ log: it.replica.hashes.get(ANN) as Uint8Array, missing: false }));
  t.same(await facts(), [[], 0, 0, []]);
  it.rooms.set(ANN, () => ({ missing: true }));
  t.same(await facts(), [[ANN], 1, 2, [ANN]]);
  it.folderMissing = true;
  t.same(await it.copies.foldersMissing(), [it.self, ANN]);
  t.equal(decodeRoom(await it.ask(ROOM_METHOD, [])).missing, true);
});

t.test('whether another machine still reads its folders it says itself', { buffered: true }, async (t) => {
  const it = await machine(t);
  it.rooms.set(ANN, () => ({ scanning: true }));
  t.same(await Promise.all([it.self, ANN, BEN, 'c'.repeat(32) as PeerId].map((peer) => it.copies.isScanning(peer))), [false, true, undefined, false]);
  it.scanning = true;
  t.equal(await it.copies.isScanning(it.self), true);
  t.equal(decodeRoom(await it.ask(ROOM_METHOD, [])).scanning, true);
});

t.test('the newest word on how many copies there are counts, and one that cannot be read is none', { buffered: true }, async (t) => {
  const by = (origin: PeerId, lamport: number, value: Value | null) => operationOf({ origin, lamport, key: COPIES_SETTING, value });
  t.equal(mergeCopies([]), COPIES_DEFAULT);
  t.equal(mergeCopies([by(ANN, 5, encodeCopies(3)), by(BEN, 4, encodeCopies(1))]), 3);
  t.equal(mergeCopies([by(ANN, 5, encodeCopies(3)), by(BEN, 6, null)]), COPIES_DEFAULT);
  t.equal(mergeCopies([by(ANN, 5, encodeCopies(3)), by(BEN, 6, Uint8Array.of(0xf5)), by(BEN, 7, encodeCopies(9))]), 3);
  const it = await machine(t);
  t.equal(it.copies.wanted, COPIES_DEFAULT);
  await it.says(ANN, COPIES_SETTING, encodeCopies(4));
  await until('it is taken', SOON_MS, () => it.copies.wanted, (wanted) => wanted === 4);
  t.equal(await it.copies.setWanted(1), 'local only');
  t.equal(it.copies.wanted, 1);
});

/** What it reads of the setting first it gives last. */
class SlowStore extends OperationStore {
  slow = true;
  release = (): void => undefined;
  readonly #released = new Promise<void>((resolve) => (this.release = resolve));

  override async *registers(prefix: string): ReturnType<OperationStore['registers']> {
    const waits = this.slow && prefix.startsWith(COPIES_SETTING);
    if (waits) this.slow = false;
    for await (const some of super.registers(prefix)) yield some;
    if (waits) await this.#released;
  }
}

t.test('of two readings of the setting the later one counts, however long the first one takes', { buffered: true }, async (t) => {
  const disk = await openReplica(t, SlowStore);
  const it = await machine(t, { before: disk });
  await it.says(ANN, COPIES_SETTING, encodeCopies(4));
  // time enough for one that would not wait for the first
  await new Promise((resolve) => setTimeout(resolve, 50));
  disk.store.release();
  await until('it is taken', SOON_MS, () => it.copies.wanted, (wanted) => wanted === 4);
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(it.copies.wanted, 4);
});

t.test('a copy names its files, and one of a version before names none', { buffered: true }, async (t) => {
  const files = [randomId<FileId>(), randomId<FileId>()];
  t.same(decodeCopy(encodeCopy(files)), files);
  t.same(decodeCopy(Uint8Array.of(0xf5)), []);
  t.same(decodeCopy(Uint8Array.of(0x81, 0x81, 0x41, 0x00)), []);
});
