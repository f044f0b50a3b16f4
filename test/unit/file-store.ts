// What this machine remembers of its own files: which paths hold which payload, and for how long a manifest is kept.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { contentId, type FileId, idToBytes, type PayloadId, type SongId } from '../../lib/ids.ts';
import { encode } from '../../lib/codec.ts';
import type { FileDescription } from '../../lib/song.ts';
import { systemClock } from '../../lib/time.ts';
import { type Database, openDatabase, section } from '../../storage/database.ts';
import { FileStore } from '../../storage/file-store.ts';
import { type KnownFile, Scanner } from '../../storage/scanner/scanner.ts';
import { opus } from '../fixtures/audio.ts';

const payloadOf = (name: string): PayloadId => contentId<PayloadId>('payload', name);
const fileOf = (payload: string, tags: string): FileId => contentId<FileId>('file', payload, tags);
const manifestOf = (payload: string): Buffer => Buffer.alloc(32, payload);

const describe = (payload: string, tags: string): FileDescription => ({
  song: contentId<SongId>('song', payload),
  file: fileOf(payload, tags),
  payload: payloadOf(payload),
  tags: { title: tags, artist: '', album: '', albumArtist: '', track: 0, disc: 0, year: 0, genre: [] },
  durationMs: 1_000,
  codec: 'mp3',
  suffix: 'mp3',
  bitrate: 128_000,
  prefixBytes: 10,
  payloadBytes: 1_000,
  suffixBytes: 0,
  prefixHash: Buffer.alloc(32, tags),
  suffixHash: Buffer.alloc(32),
});

const song = (path: string, payload: string, tags = 'a title'): KnownFile => ({
  path,
  sizeBytes: 1_010,
  mtimeMs: 1,
  inode: 1,
  problem: null,
  description: describe(payload, tags),
});

const noSong = (path: string): KnownFile => ({ path, sizeBytes: 0, mtimeMs: 1, inode: 2, problem: 'is empty', description: null });

async function opened(t: Test): Promise<{ readonly store: FileStore; readonly database: Database }> {
  const database = await openDatabase(t.testdir());
  t.teardown(() => database.close());
  return { store: new FileStore(database), database };
}

const allOf = async (store: FileStore): Promise<KnownFile[]> => {
  const files: KnownFile[] = [];
  for await (const file of store.all()) files.push(file);
  return files;
};

const paths = async (store: FileStore, payload: string): Promise<string[]> => (await store.pathsOf(payloadOf(payload))).map(({ path }) => path);
const pathsOfFile = async (store: FileStore, payload: string, tags = 'a title'): Promise<string[]> =>
  (await store.pathsOfFile(fileOf(payload, tags))).map(({ path }) => path);
const hasManifest = async (store: FileStore, payload: string): Promise<boolean> => (await store.manifestOf(payloadOf(payload))) !== null;
const rowsOf = (database: Database, name: string): Promise<string[]> => section(database, name).keys().all();

t.test('what was put is there after a restart, songs and files that are none', async (t) => {
  const { store, database } = await opened(t);
  await store.put(song('/a.mp3', 'a'), manifestOf('a'));
  await store.put(noSong('/b.mp3'), null);
  const again = new FileStore(database);
  t.strictSame(await allOf(again), [song('/a.mp3', 'a'), noSong('/b.mp3')]);
  t.strictSame(await again.get('/a.mp3'), song('/a.mp3', 'a'));
  t.equal(await again.get('/c.mp3'), undefined);
  t.strictSame(await again.manifestOf(payloadOf('a')), manifestOf('a'));
  const { prefixHash: prefix, suffixHash: suffix } = song('/a.mp3', 'a').description as FileDescription;
  t.same(await again.pathsOf(payloadOf('a')), [{ path: '/a.mp3', sizeBytes: 1_010, mtimeMs: 1, prefixBytes: 10, payloadBytes: 1_000, suffixBytes: 0, edgeHashes: { prefix, suffix } }]);
});

t.test('a manifest goes with the last path that holds its payload, and not before', async (t) => {
  const { store } = await opened(t);
  await store.put(song('/a.mp3', 'a'), manifestOf('a'));
  await store.put(song('/a-too.mp3', 'a', 'another title'), manifestOf('a'));
  await store.put(song('/b.mp3', 'b'), manifestOf('b'));

  await store.delete('/a.mp3');
  t.ok(await hasManifest(store, 'a'), 'another path holds it');
  await store.delete('/a-too.mp3');
  t.notOk(await hasManifest(store, 'a'));
  t.ok(await hasManifest(store, 'b'), "another payload's stays");

  await store.put(song('/b.mp3', 'b', 'retagged'), null);
  t.ok(await hasManifest(store, 'b'), 'other tags, the same payload');
  await store.put(song('/b-too.mp3', 'b'), manifestOf('b'));
  await store.put(song('/b.mp3', 'c'), manifestOf('c'));
  t.ok(await hasManifest(store, 'b'), 'other audio here, the old one there');
  await store.put(noSong('/b-too.mp3'), null);
  t.notOk(await hasManifest(store, 'b'), 'no song any more');
  await store.put(song('/b.mp3', 'd'), manifestOf('d'));
  t.notOk(await hasManifest(store, 'c'), 'other audio');
  t.ok(await hasManifest(store, 'd'));
});

t.test('a rename keeps the manifest: the new path comes before the old one goes', async (t) => {
  const { store } = await opened(t);
  await store.put(song('/before.mp3', 'a'), manifestOf('a'));
  await store.put(song('/after.mp3', 'a'), null);
  await store.delete('/before.mp3');
  t.ok(await hasManifest(store, 'a'));
  t.strictSame(await paths(store, 'a'), ['/after.mp3']);
});

t.test('no place outlives its file', async (t) => {
  const { store, database } = await opened(t);
  await store.put(song('/a.mp3', 'a'), manifestOf('a'));
  await store.put(song('/b.mp3', 'b'), manifestOf('b'));
  await store.put(song('/a.mp3', 'a', 'retagged'), manifestOf('a'));
  const expected = (files: readonly (readonly [string, string, string])[]): string[] =>
    files.flatMap(([path, payload, tags]) => [`${payloadOf(payload)}\0${path}`, `${fileOf(payload, tags)}\0${path}`]).sort();
  t.strictSame(await rowsOf(database, 'places'), expected([['/a.mp3', 'a', 'retagged'], ['/b.mp3', 'b', 'a title']]), 'retagged');
  await store.put(song('/a.mp3', 'c'), manifestOf('c'));
  t.strictSame(await rowsOf(database, 'places'), expected([['/a.mp3', 'c', 'a title'], ['/b.mp3', 'b', 'a title']]), 'other audio');
  await store.delete('/b.mp3');
  t.strictSame(await rowsOf(database, 'places'), expected([['/a.mp3', 'c', 'a title']]), 'deleted');
  await store.put(noSong('/a.mp3'), null);
  t.strictSame(await rowsOf(database, 'places'), [], 'no song any more');
});

t.test('what was looked up is looked up again after a change', async (t) => {
  const { store } = await opened(t);
  t.strictSame(await paths(store, 'a'), []);
  t.strictSame(await pathsOfFile(store, 'a'), []);
  await store.put(song('/a.mp3', 'a'), manifestOf('a'));
  t.strictSame(await paths(store, 'a'), ['/a.mp3'], 'after a put');
  t.strictSame(await pathsOfFile(store, 'a'), ['/a.mp3']);

  await store.put({ ...song('/a.mp3', 'a'), mtimeMs: 2 }, null);
  t.match(await store.pathsOf(payloadOf('a')), [{ mtimeMs: 2 }], 'touched');
  t.match(await store.pathsOfFile(fileOf('a', 'a title')), [{ mtimeMs: 2 }]);

  await store.put(song('/a.mp3', 'b', 'other'), manifestOf('b'));
  t.strictSame([await paths(store, 'a'), await paths(store, 'b')], [[], ['/a.mp3']], 'other audio');
  t.strictSame([await pathsOfFile(store, 'a'), await pathsOfFile(store, 'b', 'other')], [[], ['/a.mp3']]);

  await store.delete('/a.mp3');
  t.strictSame([await paths(store, 'b'), await pathsOfFile(store, 'b', 'other')], [[], []], 'after a delete');
});

/** A row that is CBOR and a list, but whose description is not one. */
const halfBroken = encode([1_010, 1, 1, null, [idToBytes(describe('a', '').song), idToBytes(fileOf('a', '')), Buffer.from('no description')]]);

t.test('rows that cannot be read are passed over and dropped, with their places', async (t) => {
  const { store, database } = await opened(t);
  for (const name of ['a', 'b', 'c']) await store.put(song(`/${name}.mp3`, name), manifestOf(name));
  const files = section(database, 'files');
  await files.put('/a.mp3', Buffer.from('ff00ff', 'hex'));
  await files.put('/b.mp3', halfBroken);
  await files.put('/list.mp3', encode(['too short']));
  t.equal(await store.get('/a.mp3'), undefined);
  t.equal(await store.get('/b.mp3'), undefined);
  t.strictSame(await paths(store, 'a'), []);
  t.strictSame(await allOf(store), [song('/c.mp3', 'c')]);
  t.strictSame(await rowsOf(database, 'files'), ['/c.mp3']);
  t.strictSame((await rowsOf(database, 'places')).filter((row) => !row.endsWith('/c.mp3')), []);
  await store.put(song('/a.mp3', 'a'), manifestOf('a'));
  t.strictSame(await paths(store, 'a'), ['/a.mp3'], 'and can be put anew');
});

t.test('a place whose file holds something else by now names no path', async (t) => {
  const { store, database } = await opened(t);
  await store.put(song('/a.mp3', 'a'), manifestOf('a'));
  await section(database, 'files').put('/a.mp3', halfBroken);
  await store.put(song('/a.mp3', 'b'), manifestOf('b'));
  t.strictSame([await paths(store, 'a'), await pathsOfFile(store, 'a'), await paths(store, 'b')], [[], [], ['/a.mp3']]);
});

t.test('a database with unreadable rows is scanned as if it had none: their files are read anew', async (t) => {
  const { store, database } = await opened(t);
  const folder = t.testdir();
  for (const [i, name] of ['a', 'b'].entries()) writeFileSync(join(folder, `${name}.opus`), opus({ seconds: 0.1, frequency: 200 + i }));
  const scan = async (): Promise<string[]> => {
    const found: string[] = [];
    const scanner = new Scanner({ folders: [folder], files: store, clock: systemClock, onFound: ({ path }) => void found.push(path), onChanged() {}, onLost() {} });
    t.equal(await scanner.start(), true);
    await scanner.close();
    return found;
  };
  t.equal((await scan()).length, 2);
  await section(database, 'files').put(join(folder, 'a.opus'), Buffer.from('ff', 'hex'));
  t.strictSame(await scan(), [join(folder, 'a.opus')]);
  t.strictSame(await scan(), []);
});
