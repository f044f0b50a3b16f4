// What this machine knows of its own files: the scanner's memory, and where the parts of a song lie on this disk.
//   files      path -> [size, mtime, inode, problem, song, file, description]
//   places     `payload-or-file-id \0 path` -> nothing: which paths hold it
//   manifests  payload -> chunk hashes
// Local and never replicated. Written unsynced: whatever a power cut takes, the next scan finds again. The same goes for a row
// that cannot be read any more: it is dropped, and its file is read anew.
import { LRUCache } from 'lru-cache';
import { checker } from '../lib/check.ts';
import { decode, encode } from '../lib/codec.ts';
import { PeerError } from '../lib/errors.ts';
import { type FileId, idToBytes, type PayloadId, type SongId } from '../lib/ids.ts';
import { VALUE_BYTES_MAX } from '../lib/limits.ts';
import { decodeHolding, encodeHolding, type FileDescription } from '../lib/song.ts';
import { type Database, type Section, section, written } from './database.ts';
import type { LocalIndex, StoredFile } from './local-files.ts';
import type { FileStore as ScannerFiles, KnownFile } from './scanner/scanner.ts';

const check = checker('BAD_FILE');
const ROW_BYTES_MAX = VALUE_BYTES_MAX + 8_192;
const NOTHING = new Uint8Array();
const READ_AT_ONCE = 512;
const LOOKUPS_KEPT = 1_024;

const encodeFile = ({ sizeBytes, mtimeMs, inode, problem, description }: KnownFile): Buffer =>
  encode([
    sizeBytes,
    mtimeMs,
    inode,
    problem,
    description && [idToBytes(description.song), idToBytes(description.file), encodeHolding(description)],
  ]);

function decodeFile(path: string, row: Uint8Array): KnownFile {
  const [sizeBytes, mtimeMs, inode, problem, described] = check.list(decode(row, { bytesMax: ROW_BYTES_MAX, code: 'BAD_FILE' }), 5);
  const description = described === null ? null : decodeDescription(described);
  return {
    path,
    sizeBytes: check.count(sizeBytes),
    mtimeMs: Number(mtimeMs),
    inode: Number(inode),
    problem: description ? null : String(problem),
    description,
  };
}

function decodeDescription(described: unknown): FileDescription {
  const [song, file, value] = check.list(described, 3);
  return decodeHolding({ song: check.id<SongId>(song), file: check.id<FileId>(file) }, check.bytes(value, { atMost: VALUE_BYTES_MAX }));
}

/** @returns undefined for a row that a damaged disk or another version wrote */
function readFile(path: string, row: Uint8Array): KnownFile | undefined {
  try {
    return decodeFile(path, row);
  } catch (error) {
    if (error instanceof PeerError) return undefined;
    throw error;
  }
}

export class FileStore implements ScannerFiles, LocalIndex {
  readonly #database: Database;
  readonly #files: Section;
  readonly #places: Section;
  readonly #manifests: Section;
  /** Looked up lately: every chunk of a song asks again. */
  readonly #kept = new LRUCache<PayloadId | FileId, readonly StoredFile[]>({ max: LOOKUPS_KEPT });
  /** Counts changes. */
  #version = 0;

  constructor(database: Database) {
    this.#database = database;
    this.#files = section(database, 'files');
    this.#places = section(database, 'places');
    this.#manifests = section(database, 'manifests');
  }

  /** Drops the rows that cannot be read: whoever asks for all files then reads those anew. */
  async *all(): AsyncGenerator<KnownFile> {
    const unreadable = new Set<string>();
    const rows = this.#files.iterator();
    try {
      for (let some = await rows.nextv(READ_AT_ONCE); some.length > 0; some = await rows.nextv(READ_AT_ONCE)) {
        for (const [path, row] of some) {
          const file = readFile(path, row);
          if (file) yield file;
          else unreadable.add(path);
        }
      }
    } finally {
      await rows.close();
    }
    if (unreadable.size > 0) await this.#drop(unreadable);
  }

  async get(path: string): Promise<KnownFile | undefined> {
    const row = await this.#files.get(path);
    return row && readFile(path, row);
  }

  async put(file: KnownFile, manifest: Uint8Array | null): Promise<void> {
    const before = await this.get(file.path);
    const orphan = await this.#orphanOf(before, file.description?.payload);
    const batch = this.#database.batch();
    this.#unplace(batch, before);
    if (orphan) batch.del(orphan, { sublevel: this.#manifests });
    if (file.description) {
      const { payload, file: id } = file.description;
      batch.put(place(payload, file.path), NOTHING, { sublevel: this.#places });
      batch.put(place(id, file.path), NOTHING, { sublevel: this.#places });
      if (manifest) batch.put(payload, manifest, { sublevel: this.#manifests });
    }
    batch.put(file.path, encodeFile(file), { sublevel: this.#files });
    await written(this.#database, () => batch.write());
    this.#forget(before?.description, file.description);
  }

  async delete(path: string): Promise<void> {
    const before = await this.get(path);
    if (!before) return;
    const orphan = await this.#orphanOf(before);
    const batch = this.#database.batch();
    this.#unplace(batch, before);
    if (orphan) batch.del(orphan, { sublevel: this.#manifests });
    batch.del(path, { sublevel: this.#files });
    await written(this.#database, () => batch.write());
    this.#forget(before.description);
  }

  /** The files of this disk that hold a payload. */
  async pathsOf(payload: PayloadId): Promise<readonly StoredFile[]> {
    return this.#stored(payload);
  }

  async pathsOfFile(file: FileId): Promise<readonly StoredFile[]> {
    return this.#stored(file);
  }

  async manifestOf(payload: PayloadId): Promise<Uint8Array | null> {
    return (await this.#manifests.get(payload)) ?? null;
  }

  async #stored(id: PayloadId | FileId): Promise<readonly StoredFile[]> {
    const known = this.#kept.get(id);
    if (known) return known;
    const version = this.#version;
    const files = await this.#read(id);
    // what changed while it was read is read again the next time
    if (version === this.#version) this.#kept.set(id, files);
    return files;
  }

  async #read(id: PayloadId | FileId): Promise<readonly StoredFile[]> {
    const files: StoredFile[] = [];
    for await (const row of this.#places.keys({ gte: `${id}\0`, lt: `${id}\x01` })) {
      const file = await this.get(row.slice(id.length + 1));
      // a place may outlive what it speaks of, where a row could not be read
      if (!file?.description || (file.description.payload !== id && file.description.file !== id)) continue;
      const { path, sizeBytes, mtimeMs, description } = file;
      const { prefixBytes, payloadBytes, suffixBytes, prefixHash: prefix, suffixHash: suffix } = description;
      files.push({ path, sizeBytes, mtimeMs, prefixBytes, payloadBytes, suffixBytes, edgeHashes: { prefix, suffix } });
    }
    return files;
  }

  #forget(...descriptions: readonly (FileDescription | null | undefined)[]): void {
    this.#version += 1;
    for (const description of descriptions) {
      if (!description) continue;
      this.#kept.delete(description.payload);
      this.#kept.delete(description.file);
    }
  }

  #unplace(batch: Batch, file: KnownFile | undefined): void {
    if (!file?.description) return;
    batch.del(place(file.description.payload, file.path), { sublevel: this.#places });
    batch.del(place(file.description.file, file.path), { sublevel: this.#places });
  }

  /** @returns the payload of a file that goes or becomes `next`, if no other path holds it: nobody needs its manifest then */
  async #orphanOf(file: KnownFile | undefined, next?: PayloadId): Promise<PayloadId | undefined> {
    if (!file?.description || file.description.payload === next) return undefined;
    const { payload } = file.description;
    const others = (await this.#read(payload)).filter(({ path }) => path !== file.path);
    return others.length === 0 ? payload : undefined;
  }

  /** What an unreadable row said is not known, so all places are gone through for its path; this hardly ever happens. */
  async #drop(paths: ReadonlySet<string>): Promise<void> {
    const batch = this.#database.batch();
    for await (const row of this.#places.keys()) {
      if (paths.has(row.slice(row.indexOf('\0') + 1))) batch.del(row, { sublevel: this.#places });
    }
    for (const path of paths) batch.del(path, { sublevel: this.#files });
    // a disk that takes no writes keeps the rows, and they are passed over again
    await written(this.#database, () => batch.write()).catch(() => undefined);
    this.#version += 1;
    this.#kept.clear();
  }
}

type Batch = ReturnType<Database['batch']>;

const place = (id: PayloadId | FileId, path: string): string => `${id}\0${path}`;
