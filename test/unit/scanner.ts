// The scanner over real folders: what it finds, what it notices later, what it reads again and what it survives.
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { mock } from 'node:test';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { PeerError } from '../../lib/errors.ts';
import { systemClock } from '../../lib/time.ts';
import { FileIndex } from '../../storage/scanner/file-index.ts';
import { FolderTree } from '../../storage/scanner/folder-look.ts';
import { ScanPool } from '../../storage/scanner/pool.ts';
import { RootLook } from '../../storage/scanner/root-look.ts';
import { scanFile } from '../../storage/scanner/scan-file.ts';
import { type KnownFile, Scanner, type ScanProgress } from '../../storage/scanner/scanner.ts';
import { flac, m4a, mp3, ogg, opus, wav } from '../fixtures/audio.ts';
import { MemoryFileStore } from '../fixtures/file-store.ts';

interface Told {
  readonly kind: 'found' | 'changed' | 'lost';
  readonly path: string;
  readonly file: KnownFile;
  readonly before?: KnownFile;
  readonly manifest?: Uint8Array | null;
}

/** A scanner whose callbacks are kept, and can be awaited. */
class Watched {
  readonly told: Told[] = [];
  readonly troubles: string[] = [];
  readonly progress: ScanProgress[] = [];
  readonly scanner: Scanner;
  readonly #waiting = new Set<() => void>();

  constructor(t: Test, folders: readonly string[], files = new MemoryFileStore(), clock = systemClock) {
    const tell = (told: Told): void => {
      this.told.push(told);
      for (const check of this.#waiting) check();
    };
    this.scanner = new Scanner({
      folders,
      files,
      clock,
      onFound: (file, manifest) => tell({ kind: 'found', path: file.path, file, manifest }),
      onChanged: (before, file, manifest) => tell({ kind: 'changed', path: file.path, file, before, manifest }),
      onLost: (file) => tell({ kind: 'lost', path: file.path, file }),
      onProgress: (progress) => this.progress.push(progress),
      onTrouble: (line) => this.troubles.push(line),
    });
    t.teardown(() => this.scanner.close());
  }

  /** The first that was or will be told of `kind` and `path`, from number `from` on; rejects after 5 s. */
  until(kind: Told['kind'], path: string, from = 0): Promise<Told> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const told = this.told.slice(from).find((each) => each.kind === kind && each.path === path);
        if (told === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve(told);
      };
      const timer = setTimeout(() => reject(new Error(`${path} was never ${kind}; told: ${this.told.map((each) => `${each.kind} ${each.path}`).join(', ')}`)), 5_000);
      this.#waiting.add(check);
      check();
    });
  }
}

let written = 0;
/** Writes a file that looks as if it had been written long ago: the scanner need not wait for its end. */
function place(path: string, bytes: Buffer): void {
  writeFileSync(path, bytes);
  written += 1;
  utimesSync(path, written, written);
}

const names = (told: readonly Told[]): string[] => told.map(({ kind, path }) => `${kind} ${basename(path)}`);

t.test('songs are found in all folders, the newest first, and files that are none are listed with the reason', async (t) => {
  const song = await mp3({ seconds: 0.2 });
  const folder = t.testdir({
    'old.mp3': song,
    deep: { er: { 'NEW.MP3': flac({ seconds: 0.2 }) } },
    'middle.m4a': m4a({ seconds: 0.2 }),
    '.hidden.mp3': song,
    '.hidden': { 'x.mp3': song },
    'cover.jpg': song,
    'empty.mp3': '',
    'text.mp3': 'no music at all',
    'cut.mp3': 'ID3\x04\0\0\0\0\x10\0TIT2',
  });
  utimesSync(join(folder, 'old.mp3'), 1000, 1000);
  utimesSync(join(folder, 'middle.m4a'), 2000, 2000);
  utimesSync(join(folder, 'deep/er/NEW.MP3'), 3000, 3000);
  for (const name of ['empty.mp3', 'text.mp3', 'cut.mp3']) utimesSync(join(folder, name), 500, 500);
  const watched = new Watched(t, [folder]);
  await watched.scanner.start();
  t.strictSame(names(watched.told), ['found NEW.MP3', 'found middle.m4a', 'found old.mp3']);
  t.strictSame(
    watched.scanner
      .problems()
      .map(({ path, reason }) => `${basename(path)} ${reason}`)
      .sort(),
    ['cut.mp3 is cut off within its tags', 'empty.mp3 is empty', 'text.mp3 is not audio that is known here'],
  );
  t.match(watched.scanner.progress, { scanning: false, filesDone: 6, filesTotal: 6, songs: 3, problems: 3, secondsLeft: null });
  t.equal(watched.progress.at(-1)?.scanning, false, 'the last report says that it is done');
  for (const { file, manifest } of watched.told) t.equal(manifest?.byteLength, Math.ceil((file.description?.payloadBytes ?? 0) / 65_536) * 32);
});

t.test('a file added, retagged, renamed or deleted is noticed, and keeps its song id', async (t) => {
  const folder = t.testdir({ there: { 'a.mp3': await mp3({ seconds: 0.2, tags: { title: 'A' } }) } });
  const watched = new Watched(t, [folder]);
  await watched.scanner.start();
  const first = watched.told[0]?.file.description;

  const b = join(folder, 'there', 'b.ogg');
  writeFileSync(b, await ogg({ seconds: 0.2, tags: { title: 'B' } }));
  const begun = systemClock.now();
  const added = await watched.until('found', b);
  t.equal(added.file.description?.tags.title, 'B');
  t.ok(systemClock.now() - begun < 3_000, `noticed after ${Math.round(systemClock.now() - begun)} ms`);

  place(b, await ogg({ seconds: 0.2, tags: { title: 'B, but another title' } }));
  const retagged = await watched.until('changed', b);
  t.equal(retagged.file.description?.tags.title, 'B, but another title');
  t.equal(retagged.file.description?.song, added.file.description?.song);
  t.not(retagged.file.description?.file, added.file.description?.file);
  t.equal(retagged.before?.description?.file, added.file.description?.file);
  t.ok(retagged.manifest);

  const c = join(folder, 'new folder', 'c.ogg');
  mkdirSync(dirname(c));
  renameSync(b, c);
  const renamed = await watched.until('changed', c);
  t.equal(renamed.before?.path, b);
  t.equal(renamed.manifest, null, 'without reading it again');
  t.strictSame(renamed.file.description, retagged.file.description);

  unlinkSync(c);
  t.equal((await watched.until('lost', c)).file.description?.song, added.file.description?.song);

  const moved = join(folder, 'moved');
  renameSync(join(folder, 'there'), moved);
  t.equal((await watched.until('changed', join(moved, 'a.mp3'))).file.description?.song, first?.song, 'a renamed folder renames its files');

  const d = join(moved, 'd.mp3');
  place(d, await mp3({ seconds: 0.2, frequency: 300 }));
  await watched.until('found', d);
  t.notOk(names(watched.told).includes('lost a.mp3'));

  rmSync(moved, { recursive: true });
  await Promise.all([watched.until('lost', d), watched.until('lost', join(moved, 'a.mp3'))]);
  t.equal(watched.scanner.progress.songs, 0);
});

t.test('a file that is altered, size and time as before, is read anew when it is suspected', async (t) => {
  const folder = t.testdir({ 'a.mp3': await mp3({ seconds: 0.5 }), 'b.mp3': await mp3({ seconds: 0.3 }) });
  const [a, b] = ['a.mp3', 'b.mp3'].map((name) => join(folder, name)) as [string, string];
  place(a, readFileSync(a));
  const { mtimeMs } = statSync(a);
  const watched = new Watched(t, [folder]);
  await watched.scanner.start();
  const before = watched.told.find(({ path }) => path === a)?.file.description;
  const altered = readFileSync(a);
  altered[altered.byteLength - 10]! ^= 1;
  const handle = openSync(a, 'r+');
  writeSync(handle, altered);
  closeSync(handle);
  utimesSync(a, mtimeMs / 1000, mtimeMs / 1000);
  watched.told.length = 0;
  await watched.scanner.rescan();
  await watched.scanner.suspect(b);
  t.strictSame(watched.told.map(({ kind, path }) => `${kind} ${basename(path)}`).filter((line) => line.endsWith('a.mp3')), [], 'nothing shows it, and another one is suspected');
  await watched.scanner.suspect(a);
  const { file } = await watched.until('changed', a);
  t.not(file.description?.payload, before?.payload, 'it is what it now is');
  t.equal(watched.scanner.progress.songs, 2);
  await watched.scanner.suspect(join(folder, 'none.mp3'));
});

t.test('a title that was the file name follows the file name', async (t) => {
  const folder = t.testdir({ 'before.mp3': await mp3({ seconds: 0.2 }) });
  const watched = new Watched(t, [folder]);
  await watched.scanner.start();
  t.equal(watched.told[0]?.file.description?.tags.title, 'before');
  const after = join(folder, 'after.mp3');
  renameSync(join(folder, 'before.mp3'), after);
  const changed = await watched.until('changed', after);
  t.equal(changed.file.description?.tags.title, 'after');
  t.equal(changed.before?.path, join(folder, 'before.mp3'));
  t.equal(changed.file.description?.file, changed.before?.description?.file);
});

t.test('a file that becomes music is found, and one that becomes none is lost', async (t) => {
  const folder = t.testdir({ 'x.mp3': 'not yet' });
  const watched = new Watched(t, [folder]);
  await watched.scanner.start();
  const path = join(folder, 'x.mp3');
  t.equal(watched.scanner.problems().length, 1);
  place(path, wav({ seconds: 0.2 }));
  await watched.until('found', path);
  t.strictSame(watched.scanner.problems(), []);
  place(path, Buffer.alloc(0));
  await watched.until('lost', path);
  t.strictSame(watched.scanner.problems(), [{ path, reason: 'is empty' }]);
});

t.test('a restart reads only what changed', async (t) => {
  const song = (frequency: number, title = 'x'): Promise<Buffer> => mp3({ seconds: 0.2, frequency, tags: { title } });
  const folder = t.testdir({ 'a.mp3': await song(100), 'b.mp3': await song(200), 'c.mp3': await song(300), 'd.mp3': await song(400), 'e.mp3': 'none' });
  const files = new MemoryFileStore();
  const first = new Watched(t, [folder], files);
  await first.scanner.start();
  await first.scanner.close();
  t.equal(files.puts.splice(0).length, 5);

  const unchanged = new Watched(t, [folder], files);
  await unchanged.scanner.start();
  await unchanged.scanner.close();
  t.strictSame(unchanged.told, []);
  t.strictSame(files.puts, []);
  t.match(unchanged.scanner.progress, { songs: 4, problems: 1, filesTotal: 0 });

  writeFileSync(join(folder, 'b.mp3'), await song(200, 'other'));
  unlinkSync(join(folder, 'c.mp3'));
  renameSync(join(folder, 'd.mp3'), join(folder, 'dd.mp3'));
  const changed = new Watched(t, [folder], files);
  await changed.scanner.start();
  t.strictSame(names(changed.told).sort(), ['changed b.mp3', 'changed dd.mp3', 'lost c.mp3']);
  t.equal(changed.told.find(({ path }) => path.endsWith('dd.mp3'))?.manifest, null);
  t.equal(changed.scanner.progress.filesTotal, 1, 'one file was read');
});

t.test('a file that may not be read is listed, and read once it may', { skip: process.getuid?.() === 0 ? 'root may read everything' : false }, async (t) => {
  const folder = t.testdir({ 'a.mp3': await mp3({ seconds: 0.2 }) });
  const path = join(folder, 'a.mp3');
  chmodSync(path, 0);
  const watched = new Watched(t, [folder]);
  await watched.scanner.start();
  t.strictSame(watched.scanner.problems(), [{ path, reason: 'may not be read (permission denied)' }]);
  chmodSync(path, 0o600);
  await watched.until('found', path);
  t.strictSame(watched.scanner.problems(), []);
});

t.test('links: one to a folder is followed once, loops and dangling ones stop nothing', async (t) => {
  const song = await mp3({ seconds: 0.2 });
  const root = t.testdir({ music: { album: { 'a.mp3': song } }, elsewhere: { 'b.mp3': song } });
  const folder = join(root, 'music');
  symlinkSync(folder, join(folder, 'album', 'loop'));
  symlinkSync(join(folder, 'album'), join(folder, 'a-second-way'));
  symlinkSync(join(root, 'elsewhere'), join(folder, 'outside'));
  symlinkSync(join(root, 'elsewhere'), join(folder, 'outside-too'));
  symlinkSync('itself.mp3', join(folder, 'itself.mp3'));
  symlinkSync('/nowhere/at/all.mp3', join(folder, 'dangling.mp3'));
  const watched = new Watched(t, [folder, join(folder, 'album')]);
  await watched.scanner.start();
  t.strictSame(
    watched.told.map(({ path }) => path.slice(folder.length + 1)).sort(),
    ['album/a.mp3', 'outside/b.mp3'],
  );
  t.strictSame(
    watched.scanner
      .problems()
      .map(({ path, reason }) => `${basename(path)} ${reason}`)
      .sort(),
    ['dangling.mp3 is a link to nothing', 'itself.mp3 is a link that leads to itself'],
  );
  const added = join(root, 'elsewhere', 'c.mp3');
  place(added, song);
  await watched.until('found', join(folder, 'outside', 'c.mp3'));
});

t.test('a folder that does not exist is told, and the others are scanned', async (t) => {
  const folder = t.testdir({ 'a.mp3': await mp3({ seconds: 0.2 }) });
  const missing = join(folder, 'nowhere');
  const watched = new Watched(t, [join(folder, '..', 'no-such-folder'), folder]);
  await watched.scanner.start();
  t.strictSame(names(watched.told), ['found a.mp3']);
  t.match(watched.troubles, [/no-such-folder does not exist/]);
  t.match(watched.scanner.folderProblems, [{ reason: 'does not exist' }]);
  t.notOk(existsSync(missing));
});

t.test('a folder that vanishes, like a disk that is unmounted, loses no song', async (t) => {
  const root = t.testdir({ disk: { 'a.mp3': await mp3({ seconds: 0.2 }), album: { 'b.mp3': await mp3({ seconds: 0.2, frequency: 500 }) } } });
  const folder = join(root, 'disk');
  const files = new MemoryFileStore();
  const watched = new Watched(t, [folder], files);
  await watched.scanner.start();
  renameSync(folder, join(root, 'away'));
  await watched.scanner.rescan();
  t.equal(watched.scanner.progress.songs, 2);
  t.match(watched.troubles, [/disk does not exist/]);
  await watched.scanner.close();

  mkdirSync(folder);
  const restarted = new Watched(t, [folder], files);
  t.equal(restarted.scanner.isFolderMissing, undefined, 'before anybody has looked nothing is known');
  await restarted.scanner.start();
  t.equal(restarted.scanner.isFolderMissing, true);
  t.equal(restarted.scanner.progress.songs, 2, 'an empty mount point loses none either');
  t.match(restarted.scanner.folderProblems, [{ reason: /^is empty/ }]);

  rmSync(folder, { recursive: true });
  renameSync(join(root, 'away'), folder);
  await restarted.scanner.rescan();
  t.strictSame(restarted.scanner.folderProblems, []);
  t.equal(restarted.scanner.isFolderMissing, false);
  unlinkSync(join(folder, 'a.mp3'));
  await restarted.until('lost', join(folder, 'a.mp3'));
  t.strictSame(names(restarted.told), ['lost a.mp3'], 'back again, only what is deleted is lost');
});

t.test('whether the music folders can be read is found out at once by whoever has to know', async (t) => {
  const root = t.testdir({ disk: { 'a.mp3': await mp3({ seconds: 0.2 }) }, other: {} });
  const [folder, other] = [join(root, 'disk'), join(root, 'other')];
  const tree = new FolderTree({ roots: [folder, other], index: new FileIndex(), onFolder: () => undefined });
  const index = new FileIndex();
  const known = new FolderTree({ roots: [folder, other], index, onFolder: () => undefined });
  const found = await known.look();
  for (const file of found.changed) index.set(file.path, { ...file, song: true });
  t.equal(await known.isRootMissing(), false);
  t.equal(await tree.isRootMissing(), undefined, 'nobody has looked at it yet');
  renameSync(join(folder, 'a.mp3'), join(root, 'a.mp3'));
  t.equal(await known.isRootMissing(), undefined, 'emptied: a look has to tell what has gone');
  renameSync(join(root, 'a.mp3'), join(folder, 'a.mp3'));
  renameSync(folder, join(root, 'away'));
  t.equal(await known.isRootMissing(), true);
  mkdirSync(folder);
  place(join(folder, 'b.mp3'), await mp3({ seconds: 0.2 }));
  t.equal(await known.isRootMissing(), undefined, 'another one in its place');
  rmSync(folder, { recursive: true });
  renameSync(join(root, 'away'), folder);
  t.equal(await known.isRootMissing(), false);

  const { scanner } = new Watched(t, [folder]);
  t.equal(await scanner.lookAtRoots(), undefined);
  await scanner.start();
  t.equal(await scanner.lookAtRoots(), false);
  const later = new Watched(t, [folder]).scanner;
  await later.start();
  renameSync(folder, join(root, 'away'));
  t.same([later.isFolderMissing, await later.lookAtRoots()], [false, true], 'before any event has come');
});

t.test('one look at the music folders serves all who ask, for a few seconds; one that hangs is no good news, and none begins beside it', async (t) => {
  let now = 0;
  let different = 0;
  const looks: ((missing: boolean | undefined) => void)[] = [];
  const look = new RootLook({ look: () => new Promise((resolve) => looks.push(resolve)), onDifferent: () => (different += 1), clock: { now: () => now, wall: () => now }, answerMs: 20 });
  const asked = [look.latest(), look.latest()];
  looks[0]?.(false);
  t.same(await Promise.all(asked), [false, false]);
  now = 2_999;
  t.same([await look.latest(), looks.length], [false, 1]);
  now = 3_000;
  t.same([await look.latest(), await look.latest(), looks.length], [true, true, 2]);
  const late = look.latest();
  looks[1]?.(undefined);
  t.same([await late, different], [undefined, 1], 'what it says in the end has a full look follow');
  now = 10_000;
  const again = look.latest();
  looks[2]?.(false);
  t.same([await again, different], [false, 1]);
});

t.test('a folder that is back is watched again', async (t) => {
  const root = t.testdir({ disk: {} });
  const folder = join(root, 'disk');
  const watched = new Watched(t, [folder]);
  await watched.scanner.start();
  rmSync(folder, { recursive: true });
  await watched.scanner.rescan();
  t.match(watched.scanner.folderProblems, [{ reason: 'does not exist' }]);
  mkdirSync(folder);
  await watched.scanner.rescan();
  t.strictSame(watched.scanner.folderProblems, []);
  // The first may still be found by the look that the removal asked for, the second only by a watch.
  for (const [i, name] of ['a.opus', 'b.opus'].entries()) {
    place(join(folder, name), opus({ seconds: 0.1, frequency: 200 + i }));
    await watched.until('found', join(folder, name));
  }
  t.match(watched.troubles, [/disk does not exist; put that right/]);
});

t.test('close in the middle of a scan is clean, and the next start goes on from there', async (t) => {
  const folder = t.testdir({});
  for (let i = 0; i < 40; i++) writeFileSync(join(folder, `${i}.opus`), opus({ seconds: 0.1, frequency: 100 + i }));
  const files = new MemoryFileStore();
  const watched = new Watched(t, [folder], files);
  const started = watched.scanner.start();
  while (watched.told.length === 0) await new Promise(setImmediate);
  await watched.scanner.close();
  t.equal(await started, false, 'who waits is told that not everything was read');
  const told = watched.told.length;
  t.ok(told < 40, `closed after ${told} of 40`);
  t.equal(files.puts.length, told, 'all that was kept was told');
  const again = new Watched(t, [folder], files);
  t.equal(await again.scanner.start(), true);
  t.equal(again.told.length, 40 - told);
  t.equal(watched.told.length, told, 'nothing was told after close');
});

/** A store whose disk is full until it is told otherwise. */
class FullFileStore extends MemoryFileStore {
  full = true;
  tries = 0;

  override async put(file: KnownFile, manifest: Uint8Array | null): Promise<void> {
    this.tries += 1;
    if (this.full) throw new PeerError('DISK_FULL', 'the disk is full; make room');
    await super.put(file, manifest);
  }

  override async delete(path: string): Promise<void> {
    if (this.full) throw new PeerError('DISK_FULL', 'the disk is full; make room');
    await super.delete(path);
  }
}

/** Waits in real time, which mocked timers do not touch. */
async function becomes(condition: () => boolean): Promise<void> {
  const before = performance.now();
  while (!condition()) {
    if (performance.now() - before > 5_000) throw new Error('waited for 5 s in vain');
    await new Promise(setImmediate);
  }
}

t.test('files that a full disk did not take are told in one line, not read on in vain, and taken a minute later', async (t) => {
  const folder = t.testdir({});
  for (let i = 0; i < 20; i++) place(join(folder, `${i}.opus`), opus({ seconds: 0.1, frequency: 100 + i }));
  const files = new FullFileStore();
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  let skipped = 0;
  const skip = (ms: number): void => {
    skipped += ms;
    mock.timers.tick(ms);
  };
  const watched = new Watched(t, [folder], files, { now: () => systemClock.now() + skipped, wall: systemClock.wall });
  await watched.scanner.start();
  t.ok(files.tries < 5, `${files.tries} of 20 were read`);
  t.match(watched.scanner.progress, { scanning: false, songs: 0 });
  t.strictSame(watched.told, []);
  skip(1_000);
  t.match(watched.troubles, [/^20 changed music files could not be recorded, .* the disk is full; make room$/]);

  const tries = files.tries;
  skip(60_000);
  await becomes(() => files.tries > tries);
  t.equal(watched.troubles.length, 1);

  files.full = false;
  skip(60_000);
  await becomes(() => watched.told.length === 20);
  t.equal(watched.scanner.progress.songs, 20);
  t.equal(new Set(watched.told.map(({ path }) => path)).size, 20);
  t.ok(watched.troubles.length <= 2, 'one line a minute');
  watched.troubles.length = 0;
  skip(120_000);
  t.strictSame(watched.troubles, [], 'and none when all is well');
});

t.test('a change that was not kept is seen again: another title, another name, a deletion', async (t) => {
  const song = (title: string): Buffer => opus({ seconds: 0.1, frequency: title.charCodeAt(0), tags: { title } });
  const folder = t.testdir({});
  const at = (name: string): string => join(folder, name);
  for (const name of ['retagged', 'renamed', 'deleted']) place(at(`${name}.opus`), song(name));
  const files = new FullFileStore();
  files.full = false;
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  let skipped = 0;
  const watched = new Watched(t, [folder], files, { now: () => systemClock.now() + skipped, wall: systemClock.wall });
  await watched.scanner.start();
  watched.told.length = 0;
  skipped += 60_000; // folders may be looked at again

  files.full = true;
  place(at('retagged.opus'), song('tagged'));
  renameSync(at('renamed.opus'), at('new.opus'));
  unlinkSync(at('deleted.opus'));
  await watched.scanner.rescan();
  t.strictSame(watched.told, []);
  t.equal(watched.scanner.progress.songs, 3, 'what the store still says is still counted');
  files.full = false;
  skipped += 60_000;
  await watched.scanner.rescan();
  t.strictSame(names(watched.told).sort(), ['changed new.opus', 'changed retagged.opus', 'lost deleted.opus']);
  t.strictSame([...files.files.keys()].map((path) => basename(path)).sort(), ['new.opus', 'retagged.opus']);
  t.equal(watched.scanner.progress.songs, 2);
  mock.timers.tick(1_000);
  t.strictSame(watched.troubles, [], 'what came right before anybody was told is not told');
});

t.test('one file that the store does not take keeps no other from being read', async (t) => {
  const folder = t.testdir({});
  for (let i = 0; i < 5; i++) place(join(folder, `${i}.opus`), opus({ seconds: 0.1, frequency: 100 + i }));
  const bad = join(folder, '4.opus');
  const files = new MemoryFileStore();
  files.put = async (file, manifest) => {
    if (file.path === bad) throw new Error('too odd');
    await MemoryFileStore.prototype.put.call(files, file, manifest);
  };
  const watched = new Watched(t, [folder], files);
  await watched.scanner.start();
  t.strictSame(names(watched.told), ['found 3.opus', 'found 2.opus', 'found 1.opus', 'found 0.opus']);
});

t.test('however often a look at all folders is asked for, one runs and one waits', async (t) => {
  const root = t.testdir({ disk: {} });
  const folder = join(root, 'disk');
  place(join(folder, 'a.opus'), opus({ seconds: 0.1 }));
  let now = 0;
  let looks = 0;
  const clock = { now: () => now, wall: systemClock.wall };
  const scanner = new Scanner({ folders: [folder], files: new MemoryFileStore(), clock, onFound() {}, onChanged() {}, onLost() {} });
  t.teardown(() => scanner.close());
  await scanner.start();
  renameSync(folder, join(root, 'away'));
  const original = FolderTree.prototype.look;
  t.teardown(() => (FolderTree.prototype.look = original));
  FolderTree.prototype.look = function (folders) {
    if (folders === undefined) looks += 1;
    now += 1_000; // each look takes a second
    return original.call(this, folders);
  };
  const first = scanner.rescan();
  await becomes(() => looks === 1);
  const waiting = Array.from({ length: 1_000 }, () => scanner.rescan());
  t.equal(new Set(waiting).size, 1, 'a thousand chunks ask for one look');
  await first;
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
  t.equal(looks, 1, 'which waits until looking has had its share of time');
  let ended = false;
  void waiting[0]?.then(() => (ended = true));
  await scanner.close();
  await becomes(() => ended);
  t.equal(looks, 1, 'and ends with the scanner');
});

t.test('a file that crashes or hangs its reader is refused, and the next ones are read', async (t) => {
  const script = new URL(`data:text/javascript,${encodeURIComponent(`
    import { parentPort, workerData } from 'node:worker_threads';
    parentPort.on('message', ({ path }) => {
      if (path === 'crash') process.exit(1);
      if (path === 'throw') throw new Error('a bug');
      if (path === 'hang') for (;;);
      parentPort.postMessage({ kind: 'scanned', file: path });
    });`)}`);
  const pool = new ScanPool({ workersMax: 1, script, stallMs: 1_500 });
  t.teardown(() => pool.close());
  const results = await Promise.allSettled(['good', 'crash', 'throw', 'hang', 'good too'].map((path) => pool.run(path)));
  t.match(results, [
    { value: 'good' },
    { reason: { code: 'BAD_FILE', message: 'crashed its reader' } },
    { reason: { code: 'BAD_FILE', message: 'crashed its reader' } },
    { reason: { code: 'TIMED_OUT', message: 'hung its reader' } },
    { value: 'good too' },
  ]);
  await pool.close();
  t.equal(pool.threads, 0);
  await t.rejects(pool.run('late'), { code: 'CANCELLED' });
});

t.test('while music plays scanning still ends', async (t) => {
  const folder = t.testdir({ 'a.opus': opus({ seconds: 0.2 }), 'b.wav': wav({ seconds: 30 }) });
  const watched = new Watched(t, [folder]);
  watched.scanner.setYielding(true);
  await watched.scanner.start();
  t.equal(watched.told.length, 2);
});

// --- the shared collection of odd files

const SHARED = process.env['SPOTIFY_PEER_SHARED'] ?? fileURLToPath(new URL('../../../../shared', import.meta.url));
const INDEX = join(SHARED, 'music', 'index.json');

interface Entry {
  readonly file: string;
  readonly requirement: string;
  readonly expected: { readonly title?: string | null; readonly artist?: string | readonly string[] | null; readonly album?: string | null };
}

/** What we show instead of what the collection's index expects, and why. */
const EXCEPTIONS: Record<string, { readonly shown: readonly [string, string, string]; readonly because: string }> = {
  'music-metadata__flac-multiple-album-artists-tags.flac': {
    shown: ['Test Track', 'Artist One, Artist Two', 'Test Album'],
    because: 'the file has two ARTIST comments, and both are shown',
  },
  'tinytag__duplicate_fields.mp3': {
    shown: ['duplicate title', 'duplicate artist/new artist/another artist', 'duplicate album'],
    because: 'the file has several TPE1 frames, and all artists are shown',
  },
  'tinytag__invalid_block_sizes.flac': {
    shown: ['tinytag__invalid_block_sizes', '', ''],
    because: 'its metadata blocks say that they are 0 bytes long; it does not play either',
  },
  'tinytag__id3_broken_frame_size.mp3': {
    shown: ['title', '', ''],
    because: 'the title frame says that it is longer than its tag, but the title in it can be read',
  },
};

t.test('the shared collection shows the expected titles, artists and albums', { skip: existsSync(INDEX) ? false : `no collection of files at ${INDEX}` }, async (t) => {
  const { files } = JSON.parse(readFileSync(INDEX, 'utf8')) as { files: Entry[] };
  const wanted = { must: 0, fallback: 0 };
  for (const { file, requirement, expected } of files) {
    const scanned = await scanFile(join(SHARED, 'music', file)).catch((error: unknown) => {
      t.ok(['BAD_FILE', 'NOT_AUDIO'].includes((error as { code: string }).code), `${file} is refused: ${(error as Error).message}`);
      return undefined;
    });
    const tags = scanned?.description.tags;
    const shown = tags && [tags.title, tags.artist, tags.album];
    const exception = EXCEPTIONS[file];
    if (exception !== undefined) t.strictSame(shown, exception.shown, `${file}: ${exception.because}`);
    else if (requirement === 'must') {
      wanted.must += 1;
      // White space around a text is not shown.
      t.strictSame(shown, [expected.title, [expected.artist ?? ''].flat().join(', '), expected.album ?? ''].map((text) => text?.trim()), file);
    } else if (requirement.startsWith('no title')) {
      wanted.fallback += 1;
      t.equal(tags?.title, basename(file, extname(file)), file);
    }
  }
  t.ok(wanted.must >= 35 && wanted.fallback >= 30, `${wanted.must} with tags, ${wanted.fallback} without`);
});
