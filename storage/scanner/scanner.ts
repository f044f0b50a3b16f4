// Keeps the catalog's picture of the music folders true: looks at the folders, reads what is new or different in workers, the
// newest first, and tells its caller file by file. Watching only says where to look again; what is believed is always what a
// look saw, so a missed event costs time and never truth. What was read is kept in the FileStore: a restart reads only changes.
// What the store did not take is taken as unseen, so that a later look finds the same change once more.
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { codeOf, messageOf } from '../../lib/errors.ts';
import { FILE_PROBLEMS_MAX } from '../../lib/limits.ts';
import type { FileDescription } from '../../lib/song.ts';
import type { Clock, Millis } from '../../lib/time.ts';
import { FileIndex, UNKNOWN_TIME } from './file-index.ts';
import type { SeenFile } from './folder.ts';
import { FolderTree, type Look, type Problem, rootsOf } from './folder-look.ts';
import { FolderWatch } from './folder-watch.ts';
import { LookPace } from './look-pace.ts';
import { ScanPool } from './pool.ts';
import { RootLook } from './root-look.ts';
import type { ScannedFile } from './scan-file.ts';
import { type ScanJob, ScanQueue } from './scan-queue.ts';
import { titleFromPath } from './tags.ts';
import { Unrecorded } from './unrecorded.ts';

export interface KnownFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly inode: number;
  readonly description: FileDescription | null;
  /** Why it is no song: 'is empty'. */
  readonly problem: string | null;
}

/** Where known files are kept over a restart. */
export interface FileStore {
  all(): AsyncIterable<KnownFile>;
  get(path: string): Promise<KnownFile | undefined>;
  /** @param manifest null: the payload's manifest is known already (the file was renamed), or there is none */
  put(file: KnownFile, manifest: Uint8Array | null): Promise<void>;
  delete(path: string): Promise<void>;
}

export interface ScanProgress {
  readonly scanning: boolean;
  /** Of the files to be read since the scanner was last idle. */
  readonly filesDone: number;
  readonly filesTotal: number;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** Known now. */
  readonly songs: number;
  readonly problems: number;
  readonly filesPerSecond: number;
  readonly secondsLeft: number | null;
}

export interface ScannerOptions {
  readonly folders: readonly string[];
  readonly files: FileStore;
  readonly clock: Clock;
  /** A song that was not there before. Files that the store knew at the start are not told again. The store has it already. */
  onFound(file: KnownFile, manifest: Uint8Array): void | Promise<void>;
  /** The same file with other tags, other audio or another path. `manifest` is null after a mere rename: it is that of before. */
  onChanged(before: KnownFile, after: KnownFile, manifest: Uint8Array | null): void | Promise<void>;
  /** Deleted, or no song any more. The store has forgotten it already. */
  onLost(file: KnownFile): void | Promise<void>;
  onProgress?(progress: ScanProgress): void;
  /** One line for a person: a folder that is missing, watching that failed. */
  onTrouble?(line: string): void;
}

/** Events come in bursts: one copy of an album is a hundred. */
const GATHER_MS = 200;
/** A file that was written a moment ago is probably being written. */
const SETTLE_MS = 500;
/** Network and FUSE mounts send no events; a look costs a second per 20,000 files. */
const LOOK_EVERY_MS = 3_600_000;
/** While folders are missing or not watched, or the store takes nothing. */
const LOOK_SOON_MS = 60_000;
const PROGRESS_EVERY_MS = 250;
const WORKERS_MAX = 2;

/** No file is a song for ever because its disk hiccuped: these are tried again at the next full look. */
const isLasting = (error: unknown): boolean => ['NOT_AUDIO', 'BAD_FILE'].includes(codeOf(error) ?? '');

/** The store takes no file at all: to read on would be in vain. */
const isStoreShut = (error: unknown): boolean => ['DISK_FULL', 'DATA_FOLDER_UNUSABLE'].includes(codeOf(error) ?? '');

const WATCH_ADVICE: Record<string, string> = {
  ENOSPC: ' (raise fs.inotify.max_user_watches)',
  EMFILE: ' (raise fs.inotify.max_user_instances, or the number of open files with ulimit -n)',
};

const EMPTY = { filesDone: 0, filesTotal: 0, bytesDone: 0, bytesTotal: 0 };

export class Scanner {
  readonly #options: ScannerOptions;
  readonly #index = new FileIndex();
  readonly #queue = new ScanQueue();
  readonly #pool = new ScanPool({ workersMax: Math.max(1, Math.min(WORKERS_MAX, availableParallelism() - 1)) });
  readonly #watch: FolderWatch;
  #tree: FolderTree | undefined;

  /** Why files are no songs; those the store knows, and those of this run. */
  readonly #fileProblems = new Map<string, string>();
  #lookProblems: readonly Problem[] = [];
  /** Undefined before the first look. */
  #rootProblems: readonly Problem[] | undefined;

  readonly #running = new Map<string, ScanJob>();
  readonly #lanes = new Map<number, Promise<void>>();
  /** Folders to look at again. */
  readonly #dirty = new Set<string>();
  #looking: Promise<void> = Promise.resolve();
  #starting: Promise<unknown> = Promise.resolve();
  /** The look at all folders that was asked for and has not begun: whoever asks now is served by it. */
  #awaited: Promise<void> | undefined;
  readonly #pace: LookPace;
  readonly #rootLook: RootLook;
  /** Store and callbacks are told one change after the other. */
  #telling: Promise<void> = Promise.resolve();
  #gather: NodeJS.Timeout | undefined;
  readonly #settling = new Map<string, NodeJS.Timeout>();
  #nextLook: NodeJS.Timeout | undefined;
  #progressTimer: NodeJS.Timeout | undefined;
  #watchFailed = false;
  readonly #unrecorded: Unrecorded;
  /** Whether the store failed since the last look at all folders began. */
  #storeFailed = false;
  #closed = false;

  #counts = { ...EMPTY };
  #since: Millis = 0;

  constructor(options: ScannerOptions) {
    this.#options = options;
    this.#pace = new LookPace(options.clock);
    this.#rootLook = new RootLook({
      look: async () => this.#tree?.isRootMissing(),
      onDifferent: () => {
        if (!this.#closed) void this.rescan();
      },
      clock: options.clock,
    });
    this.#unrecorded = new Unrecorded({ clock: options.clock, onTrouble: (line) => this.#trouble(line) });
    this.#watch = new FolderWatch({
      onEvent: (folder) => this.#lookAgain(folder),
      onFailure: (code) => {
        this.#watchFailed = true;
        this.#trouble(`not all music folders can be watched: ${code}${WATCH_ADVICE[code] ?? ''}; they are looked at about every minute instead`);
        this.#scheduleLook(LOOK_SOON_MS);
      },
    });
  }

  /**
   * @returns true when everything that is in the folders now has been read; what comes later is told by the callbacks. False when
   *   the scanner was closed before: the store does not know all files, and what it does not know is not gone
   */
  start(): Promise<boolean> {
    const starting = this.#start();
    this.#starting = starting.catch(() => undefined);
    return starting;
  }

  /**
   * Looks at all folders. However often it is called, one look runs and at most one waits, which begins when looking has had
   * its share of time: who finds a file changed may ask for every chunk of it.
   * @returns when what it found has been read, or on close
   */
  rescan(): Promise<void> {
    this.#awaited ??= this.#looking
      .then(() => this.#pace.rested())
      .then(() => this.#look(undefined))
      .then(() => this.#drained());
    return this.#awaited;
  }

  /** A file is not what it was when it was read, and neither its size nor its time shows it: the next look reads it anew. */
  suspect(path: string): Promise<void> {
    const stamp = this.#index.get(path);
    if (stamp !== undefined) this.#index.set(path, { ...stamp, mtimeMs: UNKNOWN_TIME });
    return this.rescan();
  }

  /** While music plays from this machine, reading takes a quarter of its time. */
  setYielding(yielding: boolean): void {
    this.#pool.setYielding(yielding);
  }

  get progress(): ScanProgress {
    const scanning = this.#queue.size + this.#running.size > 0;
    const seconds = (this.#options.clock.now() - this.#since) / 1000;
    const { filesDone, filesTotal, bytesDone, bytesTotal } = this.#counts;
    return {
      ...this.#counts,
      scanning,
      songs: this.#index.songs,
      problems: this.#fileProblems.size + this.#lookProblems.length,
      filesPerSecond: scanning && seconds > 0 ? filesDone / seconds : 0,
      // Small files cost their opening, large ones their bytes: the mean of both is a fair guess.
      secondsLeft: scanning && filesDone > 0 ? ((filesTotal / filesDone + bytesTotal / Math.max(1, bytesDone)) / 2 - 1) * seconds : null,
    };
  }

  /** Music folders that cannot be read at the moment; songs that were known in them are kept. */
  get folderProblems(): readonly Problem[] {
    return this.#rootProblems ?? [];
  }

  /** Could a music folder not be read at the last look? @returns undefined before the first one */
  get isFolderMissing(): boolean | undefined {
    return this.#rootProblems && this.#rootProblems.length > 0;
  }

  /** As `isFolderMissing`, and as of a few seconds ago: the folders themselves are looked at, for a second at most. Where one is not what it was, a
   *  look at all begins. @returns true also where that takes longer, undefined as long as nobody can say */
  async lookAtRoots(): Promise<boolean | undefined> {
    const missing = this.isFolderMissing === false ? await this.#rootLook.latest() : undefined;
    return missing === false || this.isFolderMissing !== false ? this.isFolderMissing : missing;
  }

  /** Files that are no songs, links that lead nowhere and folders that may not be read, with the reason. */
  problems(): Problem[] {
    const files = [...this.#fileProblems].map(([path, reason]) => ({ path, reason }));
    return [...files, ...this.#lookProblems].slice(0, FILE_PROBLEMS_MAX);
  }

  /** @returns when no callback runs any more and all threads have ended */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watch.close();
    for (const timer of [this.#gather, this.#nextLook, this.#progressTimer, ...this.#settling.values()]) clearTimeout(timer);
    this.#pace.close();
    this.#queue.clear();
    await this.#pool.close();
    await this.#starting;
    await this.#looking;
    await Promise.all(this.#lanes.values());
    await this.#telling;
    this.#unrecorded.close();
  }

  async #start(): Promise<boolean> {
    for await (const file of this.#options.files.all()) {
      if (this.#closed) break;
      this.#remember(file);
    }
    this.#tree = new FolderTree({
      roots: await rootsOf(this.#options.folders),
      index: this.#index,
      onFolder: (folder) => {
        if (!this.#closed) this.#watch.add(folder);
      },
    });
    await this.rescan();
    return !this.#closed;
  }

  // --- looking

  #lookAgain(folder: string): void {
    if (this.#closed) return;
    this.#dirty.add(folder);
    this.#gather ??= setTimeout(() => {
      this.#gather = undefined;
      const folders = new Set(this.#dirty);
      this.#dirty.clear();
      void this.#look(folders);
    }, GATHER_MS).unref();
  }

  #settle(folder: string): void {
    if (this.#closed || this.#settling.has(folder)) return;
    const timer = setTimeout(() => {
      this.#settling.delete(folder);
      void this.#look(new Set([folder]));
    }, SETTLE_MS).unref();
    this.#settling.set(folder, timer);
  }

  #scheduleLook(ms: Millis): void {
    clearTimeout(this.#nextLook);
    if (!this.#closed) this.#nextLook = setTimeout(() => void this.rescan(), ms).unref();
  }

  /** Looks follow each other; one that finds nothing new costs only its stats. */
  #look(folders: ReadonlySet<string> | undefined): Promise<void> {
    const look = async (): Promise<void> => {
      if (folders === undefined) this.#awaited = undefined;
      if (this.#closed || this.#tree === undefined) return;
      const begun = this.#options.clock.now();
      if (folders === undefined) this.#storeFailed = false;
      const found = await this.#tree.look(folders);
      if (this.#closed) return;
      this.#takeIn(found, folders);
      if (folders !== undefined) return;
      this.#pace.ended(begun);
      const soon = this.#watchFailed || this.#storeFailed || found.rootProblems.length > 0;
      this.#scheduleLook(Math.max(soon ? LOOK_SOON_MS : LOOK_EVERY_MS, this.#pace.restMs));
    };
    this.#looking = this.#looking.then(look).catch((error: unknown) => {
      this.#trouble(`the music folders could not be looked at, which is tried again in a minute: ${messageOf(error)}`);
      this.#scheduleLook(LOOK_SOON_MS);
    });
    return this.#looking;
  }

  #takeIn(look: Look, folders: ReadonlySet<string> | undefined): void {
    for (const folder of look.foldersGone) this.#watch.delete(folder);
    this.#takeRootProblems(look.rootProblems);
    const wasLookedAt = (path: string): boolean => folders === undefined || folders.has(path) || folders.has(dirname(path));
    this.#lookProblems = [...this.#lookProblems.filter(({ path }) => !wasLookedAt(path)), ...look.problems];
    // Files that could not be read are not in the index: nobody else would notice that they are gone.
    const there = new Set(look.changed.map(({ path }) => path));
    for (const path of this.#fileProblems.keys()) {
      if (wasLookedAt(path) && this.#index.get(path) === undefined && !there.has(path)) this.#fileProblems.delete(path);
    }

    for (const path of look.gone) {
      this.#queue.remove(path);
      this.#index.delete(path);
      this.#fileProblems.delete(path);
      this.#tell([path], () => this.#forget(path));
    }
    const jobs: ScanJob[] = [];
    for (const { from, file } of look.renamed) {
      this.#queue.remove(from);
      const stamp = this.#index.get(from);
      this.#index.delete(from);
      const problem = this.#fileProblems.get(from);
      this.#fileProblems.delete(from);
      if (problem !== undefined) this.#fileProblems.set(file.path, problem);
      if (stamp !== undefined) this.#index.set(file.path, stamp);
      this.#tell([from, file.path], () => this.#move(from, file));
    }
    for (const file of look.changed) {
      if (this.#running.has(file.path) || (folders !== undefined && this.#isYoung(file))) this.#settle(dirname(file.path));
      else if (this.#queue.get(file.path)?.file.mtimeMs !== file.mtimeMs) jobs.push({ file });
    }
    this.#enqueue(jobs);
  }

  /** A time in the future (a server's clock) is no sign of youth; a file that changes under its reader is refused anyway. */
  #isYoung({ mtimeMs }: SeenFile): boolean {
    const age = this.#options.clock.wall() - mtimeMs;
    return age >= 0 && age < SETTLE_MS;
  }

  #takeRootProblems(problems: readonly Problem[]): void {
    for (const { path, reason } of problems) {
      const known = this.#rootProblems?.find((each) => each.path === path);
      if (known?.reason !== reason) this.#trouble(`the music folder ${path} ${reason}; put that right or start without it (it is tried again about every minute)`);
    }
    if (problems.length > 0 && !this.isFolderMissing) this.#scheduleLook(LOOK_SOON_MS);
    this.#rootProblems = problems;
  }

  #trouble(line: string): void {
    this.#options.onTrouble?.(line);
  }

  // --- reading

  #enqueue(jobs: readonly ScanJob[]): void {
    if (jobs.length === 0 || this.#closed) return;
    if (this.#queue.size + this.#running.size === 0) {
      this.#counts = { ...EMPTY };
      this.#since = this.#options.clock.now();
    }
    for (const { file } of jobs) {
      this.#counts.filesTotal += 1;
      this.#counts.bytesTotal += file.sizeBytes;
    }
    this.#queue.add(jobs);
    this.#startLanes();
    this.#reportProgress();
  }

  #startLanes(): void {
    for (const device of this.#queue.devices()) {
      if (this.#lanes.has(device)) continue;
      const lane = this.#drain(device).then(() => {
        this.#lanes.delete(device);
        // A file may have come between the last take and now.
        this.#startLanes();
        this.#reportProgress();
      });
      this.#lanes.set(device, lane);
    }
  }

  /** Reads one device's files; while one is read, the one before it is told. */
  async #drain(device: number): Promise<void> {
    for (let job = this.#queue.take(device); job !== undefined && !this.#closed; job = this.#queue.take(device)) {
      const { file } = job;
      this.#running.set(file.path, job);
      const result = await this.#pool.run(file.path).catch((error: unknown) => ({ error }));
      this.#running.delete(file.path);
      if (this.#closed) return;
      this.#counts.filesDone += 1;
      this.#counts.bytesDone += file.sizeBytes;
      const told = this.#telling;
      this.#takeResult(job, result);
      // One result may wait to be told, not thousands.
      await told;
    }
  }

  #takeResult({ file, renamedFrom }: ScanJob, result: ScannedFile | { readonly error: unknown }): void {
    const { path } = file;
    const stamp = { path, sizeBytes: file.sizeBytes, mtimeMs: file.mtimeMs, inode: file.inode };
    if (!('error' in result)) {
      const { description, manifest, sizeBytes, mtimeMs, inode } = result;
      return this.#learn({ path, sizeBytes, mtimeMs, inode, description, problem: null }, { manifest, renamedFrom });
    }
    const { error } = result;
    const reason = messageOf(error);
    if (isLasting(error)) return this.#learn({ ...stamp, description: null, problem: reason }, { manifest: null, renamedFrom });
    if (codeOf(error) === 'FILE_CHANGED') this.#settle(dirname(path));
    this.#index.delete(path);
    if (codeOf(error) === 'NOT_FOUND') this.#fileProblems.delete(path);
    else this.#fileProblems.set(path, reason);
    this.#tell([renamedFrom ?? path], () => this.#forget(renamedFrom ?? path));
  }

  #learn(after: KnownFile, { manifest, renamedFrom }: { readonly manifest: Uint8Array | null; readonly renamedFrom: string | undefined }): void {
    this.#remember(after);
    this.#tell(renamedFrom === undefined ? [after.path] : [renamedFrom, after.path], async () => {
      const before = await this.#options.files.get(renamedFrom ?? after.path);
      await this.#options.files.put(after, manifest);
      if (renamedFrom !== undefined) await this.#options.files.delete(renamedFrom);
      if (before?.description) {
        if (after.description) await this.#options.onChanged(before, after, manifest);
        else await this.#options.onLost(before);
      } else if (after.description && manifest) await this.#options.onFound(after, manifest);
    });
  }

  #remember({ path, sizeBytes, mtimeMs, inode, description, problem }: KnownFile): void {
    this.#index.set(path, { sizeBytes, mtimeMs, inode, song: description !== null });
    if (problem === null) this.#fileProblems.delete(path);
    else this.#fileProblems.set(path, problem);
  }

  async #forget(path: string): Promise<void> {
    const before = await this.#options.files.get(path);
    if (before === undefined) return;
    await this.#options.files.delete(path);
    if (before.description) await this.#options.onLost(before);
  }

  async #move(from: string, file: SeenFile): Promise<void> {
    const before = await this.#options.files.get(from);
    if (before === undefined) return;
    // A title that was made from the old name is read anew, and told as a change.
    if (before.description?.tags.title === titleFromPath(from)) return this.#enqueue([{ file, renamedFrom: from }]);
    const after = { ...before, path: file.path };
    await this.#options.files.put(after, null);
    await this.#options.files.delete(from);
    if (before.description) await this.#options.onChanged(before, after, null);
  }

  #tell(paths: readonly string[], change: () => Promise<void>): void {
    this.#telling = this.#telling.then(change).then(
      () => this.#unrecorded.delete(paths),
      (error: unknown) => this.#takeBack(paths, error),
    );
  }

  /** A change was not kept: believes again what the store says, so that the next look sees the change once more. */
  async #takeBack(paths: readonly string[], error: unknown): Promise<void> {
    const dropped = isStoreShut(error) ? this.#queue.clear() : [];
    for (const { file } of dropped) {
      this.#counts.filesTotal -= 1;
      this.#counts.bytesTotal -= file.sizeBytes;
    }
    const renamed = dropped.flatMap(({ file, renamedFrom }) => (renamedFrom === undefined ? [] : [renamedFrom, file.path]));
    for (const path of [...paths, ...renamed]) {
      const known = await this.#options.files.get(path).catch(() => undefined);
      this.#index.delete(path);
      if (known !== undefined) this.#remember(known);
    }
    this.#storeFailed = true;
    this.#scheduleLook(LOOK_SOON_MS);
    // a file that was renamed counts once, as what it is called now
    this.#unrecorded.add([...paths.slice(-1), ...dropped.map(({ file }) => file.path)], messageOf(error));
  }

  async #drained(): Promise<void> {
    do {
      await this.#telling;
      await Promise.all(this.#lanes.values());
    } while (this.#lanes.size > 0 && !this.#closed);
    await this.#telling;
  }

  #reportProgress(): void {
    const { onProgress } = this.#options;
    if (onProgress === undefined || this.#closed) return;
    onProgress(this.progress);
    clearTimeout(this.#progressTimer);
    if (this.#queue.size + this.#running.size > 0) this.#progressTimer = setTimeout(() => this.#reportProgress(), PROGRESS_EVERY_MS).unref();
  }
}
