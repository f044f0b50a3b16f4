// The catalog over real registers: who is forgotten and who is back, what is counted, what a few digits find, what is kept.
import t, { type Test } from 'tap';
import { type EpochId, type NetworkId, type PayloadId, type PeerId, randomEpochId, type SongId } from '../../lib/ids.ts';
import type { Operation, Value } from '../../lib/operation.ts';
import { copyKey, encodeCopy, encodeHolding, type FileDescription, holdingKey } from '../../lib/song.ts';
import { Catalog } from '../../storage/catalog.ts';
import { OperationStore } from '../../storage/operation-store.ts';
import { describeFile } from '../fixtures/description.ts';
import type { Replica } from '../../peer/replication/replica.ts';
import { openReplica } from '../fixtures/replica.ts';

const TRUE: Value = Uint8Array.of(0xf5);
const peerId = (digit: string): PeerId => digit.repeat(32) as PeerId;
const songId = (start: string): SongId => start.padEnd(32, '0') as SongId;
const [ANN, BEN, CAT] = [peerId('a'), peerId('b'), peerId('c')];

/** Can hold back what it has read of registers. */
class SlowStore extends OperationStore {
  gate: Promise<void> | undefined;
  /** What was read, by prefix. */
  readonly prefixes: string[] = [];

  override async *registers(prefix: string): AsyncGenerator<Operation[]> {
    this.prefixes.push(prefix);
    for await (const some of super.registers(prefix)) {
      await this.gate;
      yield some;
    }
  }
}

interface World {
  readonly self: PeerId;
  readonly store: SlowStore;
  readonly replica: Replica;
  readonly catalog: Catalog;
  /** `origin` sets a register at a Lamport time, by default after everything before. */
  says(origin: PeerId, key: string, value: Value | null, lamport?: number): Promise<void>;
  holds(origin: PeerId, file: FileDescription): Promise<void>;
  drops(origin: PeerId, file: FileDescription): Promise<void>;
  /** Titles of all songs that are shown. */
  shown(catalog?: Catalog): Promise<string[]>;
}

async function world(t: Test): Promise<World> {
  const { self, store, replica } = await openReplica(t, SlowStore);
  const catalog = new Catalog({ store, self, onError: (error) => t.fail(String(error)) });
  replica.listen({ changed: (changes) => catalog.refresh(changes.map(({ after }) => after)), dropped: () => catalog.dropped() });
  t.teardown(() => catalog.settled());
  catalog.load();
  await catalog.loaded;
  const logs = new Map<PeerId, { readonly epoch: EpochId; seq: number }>();
  let latest = 0;
  const says: World['says'] = async (origin, key, value, lamport = latest + 1) => {
    const log = logs.get(origin) ?? { epoch: randomEpochId(), seq: 0 };
    logs.set(origin, log);
    log.seq += 1;
    latest = Math.max(latest, lamport);
    await replica.append([{ origin, epoch: log.epoch, seq: log.seq, lamport, key, value }]);
  };
  return {
    self,
    store,
    replica,
    catalog,
    says,
    holds: (origin, file) => says(origin, holdingKey(file.song, file.file), encodeHolding(file)),
    drops: (origin, file) => says(origin, holdingKey(file.song, file.file), null),
    shown: async (from = catalog) => (await from.search('', { limit: 100, offset: 0 })).songs.map(({ files }) => files[0].description.tags.title),
  };
}

// --- networks

t.test('who becomes part of another network shows no song of the one before, and songs of the new one', async (t) => {
  const { replica, catalog, holds, shown } = await world(t);
  await holds(ANN, describeFile({ title: 'before' }));
  t.same(await shown(), ['before']);
  const network = 'f'.repeat(32) as NetworkId;
  const dropped = new Promise<void>((resolve) => replica.listen({ changed: () => undefined, dropped: resolve }));
  replica.feed({
    kind: 'beat',
    from: BEN,
    beat: { kind: 'beat', port: 1, periodMs: 1_000, lamport: 1, root: new Uint8Array(8), head: null, heard: [], asks: false, network, user: true },
  });
  await dropped;
  t.equal(replica.network, network);
  t.same([await shown(), catalog.counts.songs, replica.origins.size], [[], 0, 0]);
  await holds(BEN, describeFile({ title: 'after' }));
  t.same(await shown(), ['after']);
});

// --- forgetting

t.test("a forgotten peer's songs are hidden, and shown again when it says later that it is here", async (t) => {
  const { catalog, says, holds, shown } = await world(t);
  const file = describeFile({ title: 'hers' });
  await holds(ANN, file);
  t.same(await shown(), ['hers']);
  await says(BEN, `forget/${ANN}`, TRUE, 10);
  t.same(await shown(), []);
  t.equal(await catalog.song(file.song), undefined, 'nor by its id');
  await says(ANN, 'here', TRUE, 11);
  t.same(await shown(), ['hers']);
  t.same((await catalog.song(file.song))?.providers, [ANN]);
  await says(CAT, `forget/${ANN}`, TRUE, 12);
  t.same(await shown(), [], 'and can be forgotten again');
});

t.test('a forget that is older than the word of its peer hides nothing', async (t) => {
  const { says, holds, shown } = await world(t);
  await holds(ANN, describeFile({ title: 'hers' }));
  await says(ANN, 'here', TRUE, 20);
  await says(BEN, `forget/${ANN}`, TRUE, 10);
  t.same(await shown(), ['hers']);
});

for (const [older, newer] of [[BEN, CAT], [CAT, BEN]] as const) {
  t.test(`the newest forget counts, whoever says it: ${older[0]}, then ${newer[0]}`, async (t) => {
    const { self, says, holds, shown } = await world(t);
    await holds(ANN, describeFile({ title: 'hers' }));
    await says(older, `forget/${ANN}`, TRUE, 10);
    await says(ANN, 'here', TRUE, 20);
    t.same(await shown(), ['hers']);
    await says(newer, `forget/${ANN}`, TRUE, 30);
    t.same(await shown(), []);
    await says(ANN, 'here', TRUE, 40);
    await says(self, `forget/${ANN}`, TRUE, 50);
    t.same(await shown(), [], 'this machine among them');
  });
}

t.test('a forget that was taken back hides nothing, however new it is', async (t) => {
  const { says, holds, shown } = await world(t);
  await holds(ANN, describeFile({ title: 'hers' }));
  await says(BEN, `forget/${ANN}`, TRUE);
  t.same(await shown(), []);
  await says(BEN, `forget/${ANN}`, null);
  t.same(await shown(), ['hers']);
});

t.test('forgetting one peer hides what it alone has, its copies, and nobody else', async (t) => {
  const { catalog, says, holds, shown } = await world(t);
  const [alone, both] = [describeFile({ title: 'alone' }), describeFile({ title: 'both' })];
  await holds(ANN, alone);
  for (const peer of [ANN, BEN]) await holds(peer, both);
  const cached = describeFile({ title: 'cached' });
  await holds(BEN, cached);
  await says(ANN, copyKey(cached.payload), TRUE);
  t.same((await catalog.song(cached.song))?.providers, [BEN, ANN]);
  await says(CAT, `forget/${ANN}`, TRUE);
  t.same((await shown()).sort(), ['both', 'cached']);
  t.same((await catalog.song(both.song))?.providers, [BEN]);
  t.same((await catalog.song(cached.song))?.providers, [BEN]);
});

t.test('who is forgotten stays so over a restart', async (t) => {
  const { self, store, says, holds, shown } = await world(t);
  await holds(ANN, describeFile({ title: 'hers' }));
  await holds(BEN, describeFile({ title: 'his' }));
  await says(CAT, `forget/${ANN}`, TRUE);
  const restarted = new Catalog({ store, self, onError: (error) => t.fail(String(error)) });
  restarted.load();
  t.same(await shown(restarted), ['his']);
});

// --- counts

t.test('the counts follow what comes, goes, is forgotten and is back', async (t) => {
  const { self, catalog, says, holds, drops } = await world(t);
  const counts = async () => {
    await catalog.settled();
    const { songs, ownSongs } = catalog.counts;
    return { songs, ownSongs };
  };
  const [hers, both, mine] = [describeFile({ title: 'hers' }), describeFile({ title: 'both' }), describeFile({ title: 'mine' })];
  t.same(await counts(), { songs: 0, ownSongs: 0 });
  await holds(ANN, hers);
  await holds(ANN, both);
  t.same(await counts(), { songs: 2, ownSongs: 0 });
  await holds(self, both);
  await holds(self, mine);
  t.same(await counts(), { songs: 3, ownSongs: 2 });
  await says(BEN, `forget/${ANN}`, TRUE);
  t.same(await counts(), { songs: 2, ownSongs: 2 });
  await says(ANN, 'here', TRUE);
  t.same(await counts(), { songs: 3, ownSongs: 2 });
  await drops(self, both);
  t.same(await counts(), { songs: 3, ownSongs: 1 }, 'another machine still has it');
  await drops(self, mine);
  t.same(await counts(), { songs: 2, ownSongs: 0 });
  await drops(ANN, both);
  await drops(ANN, hers);
  t.same(await counts(), { songs: 0, ownSongs: 0 });
});

t.test('albums and artists are counted once, however many songs they have', async (t) => {
  const { catalog, holds } = await world(t);
  for (const album of ['one', 'one', 'two']) await holds(ANN, describeFile({ album, artist: 'same' }));
  await catalog.settled();
  const { songs, albums, artists } = catalog.counts;
  t.same({ songs, albums, artists }, { songs: 3, albums: 2, artists: 1 });
});

// --- the first digits of an id

t.test('the first digits of an id find its song when no other starts like that', async (t) => {
  const { catalog, holds, drops } = await world(t);
  const [one, other, twice] = [describeFile({ song: songId('12a4') }), describeFile({ song: songId('12b4') }), describeFile({ song: songId('9') })];
  for (const file of [one, other]) await holds(ANN, file);
  // two holders and two files of one song are one song
  for (const peer of [ANN, BEN]) await holds(peer, twice);
  await holds(ANN, describeFile({ song: twice.song }));
  const found = async (start: string): Promise<SongId | undefined> => (await catalog.songStartingWith(start))?.id;
  t.equal(await found('12a'), one.song);
  t.equal(await found('12b4'), other.song);
  t.equal(await found('9'), twice.song);
  t.equal(await found(one.song), one.song, 'a whole id');
  t.equal(await found('12'), undefined, 'two songs start like this');
  t.equal(await found('3'), undefined, 'none does');
  t.equal(await found(songId('12a5')), undefined, 'a whole id of no song');
  await drops(ANN, other);
  t.equal(await found('12'), one.song, 'what was deleted stands in no way');
});

// --- what is kept in memory

t.test('a song that was just shown is shown as it has become, whatever of it has changed', async (t) => {
  const { catalog, says, holds, drops } = await world(t);
  const file = describeFile({ title: 'before' });
  const song = () => catalog.song(file.song);
  await holds(ANN, file);
  t.equal((await song())?.files[0].description.tags.title, 'before');
  await holds(ANN, { ...file, tags: { ...file.tags, title: 'after' } });
  t.equal((await song())?.files[0].description.tags.title, 'after', 'its tags');
  await holds(BEN, file);
  t.same((await song())?.providers, [ANN, BEN], 'its holders');
  await says(CAT, copyKey(file.payload), TRUE);
  t.same((await song())?.providers, [ANN, BEN, CAT], 'its copies');
  await says(CAT, copyKey(file.payload), null);
  t.same((await song())?.providers, [ANN, BEN]);
  for (const peer of [ANN, BEN]) await drops(peer, file);
  t.equal(await song(), undefined, 'that it is gone');
});

t.test('a song that changes while it is read is read again the next time', { timeout: 5_000 }, async (t) => {
  const { store, catalog, holds } = await world(t);
  const file = describeFile({ title: 'before' });
  await holds(ANN, file);
  await catalog.settled();
  let open = (): void => undefined;
  store.gate = new Promise((resolve) => (open = resolve));
  const reading = catalog.song(file.song);
  await holds(ANN, { ...file, tags: { ...file.tags, title: 'after' } });
  open();
  await reading;
  t.equal((await catalog.song(file.song))?.files[0].description.tags.title, 'after');
});

t.test('a song that nothing has touched is not read again', async (t) => {
  const { store, catalog, holds } = await world(t);
  const [file, other] = [describeFile(), describeFile()];
  await holds(ANN, file);
  const song = await catalog.song(file.song);
  await holds(ANN, other);
  await catalog.settled();
  store.gate = new Promise(() => undefined);
  t.equal(await catalog.song(file.song), song);
});

t.test('a copy counts for the payload that it is of, and no other', async (t) => {
  const { catalog, says, holds } = await world(t);
  const [file, other] = [describeFile({ payload: '1'.repeat(32) as PayloadId }), describeFile({ payload: '2'.repeat(32) as PayloadId })];
  for (const one of [file, other]) await holds(ANN, one);
  await says(BEN, copyKey(file.payload), TRUE);
  t.same((await catalog.song(file.song))?.providers, [ANN, BEN]);
  t.same((await catalog.song(other.song))?.providers, [ANN]);
});

// --- what comes in floods

t.test('a song that is new is indexed from what has come, without reading', async (t) => {
  const { store, catalog, holds, shown } = await world(t);
  store.prefixes.length = 0;
  const file = describeFile({ title: 'new' });
  await holds(ANN, file);
  await catalog.settled();
  t.same(store.prefixes, []);
  await holds(BEN, file);
  await catalog.settled();
  t.same(store.prefixes, [`holding/${file.song}/`], 'one that is known is looked up: others may hold it');
  t.same(await shown(), ['new']);
});

t.test('of a new song the latest word of each register counts, however many came before the index got to it', async (t) => {
  const { store, catalog, holds, drops } = await world(t);
  const known = describeFile({ title: 'known', song: songId('1') });
  await holds(ANN, known);
  await catalog.settled();
  const gate: { open: () => void } = { open: () => {} };
  store.gate = new Promise((resolve) => (gate.open = resolve));
  await holds(BEN, known); // the index reads, and stands still
  const [retagged, dropped, left] = ['2', '3', '4'].map((digit) => describeFile({ title: `once ${digit}`, song: songId(digit) })) as [FileDescription, FileDescription, FileDescription];
  await holds(ANN, retagged);
  await holds(ANN, { ...retagged, tags: { ...retagged.tags, title: 'later' } });
  await holds(ANN, dropped);
  await drops(ANN, dropped);
  await holds(ANN, left);
  await holds(BEN, left);
  await drops(ANN, left);
  gate.open();
  await catalog.settled();
  t.equal(catalog.counts.songs, 3);
  const found = async (words: string): Promise<number> => (await catalog.search(words, { limit: 9, offset: 0 })).total;
  t.equal(await found('later'), 1);
  t.equal(await found('once'), 1, 'neither the tags before nor the one that was dropped');
  t.equal(await found('once 4'), 1, 'which one of two still holds');
});

// --- copies

t.test('a song whose only owner is forgotten is shown while somebody has a copy of its file, also over a restart', async (t) => {
  const { store, self, catalog, says, holds, shown } = await world(t);
  const [kept, bare, gone] = ['kept', 'bare', 'gone'].map((title) => describeFile({ title })) as [FileDescription, FileDescription, FileDescription];
  const ogg = describeFile({ title: 'ogg', payload: 'f'.repeat(32) as PayloadId });
  for (const file of [kept, bare, gone, ogg]) await holds(ANN, file);
  await says(BEN, copyKey(kept.payload), encodeCopy([kept.file]));
  await says(BEN, copyKey(bare.payload), TRUE);
  await says(BEN, copyKey(ogg.payload), encodeCopy([ogg.file]));
  await says(CAT, `forget/${ANN}`, TRUE);
  t.same((await shown()).sort(), ['kept', 'ogg'], 'a copy without its file has no description, and is none');
  t.match(await catalog.song(kept.song), { owners: [], copiers: [BEN], providers: [BEN], files: [{ owners: [], providers: [BEN] }] });
  t.equal((await catalog.songStartingWith(kept.song.slice(0, 8)))?.id, kept.song);
  const again = new Catalog({ store, self, onError: (error) => t.fail(String(error)) });
  again.load();
  await again.loaded;
  t.same((await shown(again)).sort(), ['kept', 'ogg']);
  await says(BEN, copyKey(ogg.payload), null);
  t.same(await shown(), ['kept'], 'until the last copy is gone');
  await says(BEN, copyKey(ogg.payload), encodeCopy([ogg.file]));
  await says(BEN, copyKey(gone.payload), encodeCopy([gone.file]));
  t.same((await shown()).sort(), ['gone', 'kept', 'ogg'], 'and again when one turns up');
});

t.test("copies do not decide whose tags are shown; without any owner those of the copied file are", async (t) => {
  const { catalog, says, holds, shown } = await world(t);
  const song = songId('1');
  const [mine, theirs] = [describeFile({ song, file: 'a'.repeat(32) as never, title: 'small id' }), describeFile({ song, file: 'b'.repeat(32) as never, title: 'copied' })];
  await holds(ANN, mine);
  await holds(BEN, theirs);
  await says(CAT, copyKey(theirs.payload), encodeCopy([theirs.file]));
  t.same(await shown(), ['small id']);
  await says(CAT, `forget/${ANN}`, TRUE);
  await says(CAT, `forget/${BEN}`, TRUE);
  t.same(await shown(), ['copied']);
  t.equal((await catalog.song(song))?.files.length, 1);
});

t.test('a walk meets every song as it is shown one by one, whatever was forgotten, and however payloads and songs are called', async (t) => {
  const { catalog, says, holds, drops, shown } = await world(t);
  const files = Array.from({ length: 40 }, (_, i) => describeFile({ title: `song ${i}`, ...(i % 5 === 0 && { payload: `${i}`.padStart(32, '0') as PayloadId }) }));
  for (const [i, file] of files.entries()) {
    await holds(i % 3 === 0 ? ANN : BEN, file);
    if (i % 2 === 0) await says(CAT, copyKey(file.payload), i % 4 === 0 ? encodeCopy([file.file]) : TRUE);
    if (i % 7 === 0) await says(BEN, copyKey(file.payload), encodeCopy([file.file]));
  }
  await drops(BEN, files[1] as FileDescription);
  await says(BEN, `forget/${ANN}`, TRUE);
  await catalog.settled();
  const walked = [];
  for await (const songs of catalog.walk()) walked.push(...songs);
  t.equal(walked.length, (await shown()).length);
  for (const song of walked) t.same(song, await catalog.song(song.id));
  t.same(walked.map(({ id }) => id), walked.map(({ id }) => id).sort());
  t.ok(walked.some(({ owners }) => owners.length === 0), 'inherited ones among them');
});
