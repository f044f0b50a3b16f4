// What this machine knows of its own files: the scanner's memory, and where the parts of a song lie on this disk.
//   files      path -> [size, mtime, inode, problem, song, file, description]
//   places     `payload-or-file-id \0 path` -> nothing: which paths hold it
//   manifests  payload -> chunk hashes
// Local and never replicated. Written unsynced: whatever a power cut takes, the next scan finds again.
import { LRUCache } from 'lru-cache';
import { checker } from '../lib/check.ts';
import { decode, encode } from '../lib/codec.ts';
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
  return {
    path,
    sizeBytes: check.count(sizeBytes),
    mtimeMs: Number(mtimeMs),
    inode: Number(inode),
    problem: described === null ? String(problem) : null,
    // read only by those who look: at the start the scanner goes through all files and wants their times alone
    get description() {
      return described === null ? null : decodeDescription(described);
    },
  };
}

function decodeDescription(described: unknown): FileDescription {
  const [song, file, value] = check.list(described, 3);
  return decodeHolding({ song: check.id<SongId>(song), file: check.id<FileId>(file) }, check.bytes(value, { atMost: VALUE_BYTES_MAX }));
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

  async *all(): AsyncGenerator<KnownFile> {
    const rows = this.#files.iterator();
    try {
      for (let some = await rows.nextv(READ_AT_ONCE); some.length > 0; some = await rows.nextv(READ_AT_ONCE)) {
        for (const [path, row] of some) yield decodeFile(path, row);
      }
    } finally {
      await rows.close();
    }
  }

  async get(path: string): Promise<KnownFile | undefined> {
    const row = await this.#files.get(path);
    return row && decodeFile(path, row);
  }

  async put(file: KnownFile, manifest: Uint8Array | null): Promise<void> {
    const before = await this.get(file.path);
    const batch = this.#database.batch();
    if (before?.description) this.#unplace(batch, before);
    if (file.description) {
      const { payload, file: id } = file.description;
      batch.put(place(payload, file.path), NOTHING, { sublevel: this.#places });
      batch.put(place(id, file.path), NOTHING, { sublevel: this.#places });
      if (manifest) batch.put(payload, manifest, { sublevel: this.#manifests });
    }
    batch.put(file.path, encodeFile(file), { sublevel: this.#files });
    await written(this.#database, () => batch.write());
    this.#forget(before?.description, file.description);
    if (before?.description && before.description.payload !== file.description?.payload) await this.#dropManifest(before.description.payload);
  }

  async delete(path: string): Promise<void> {
    const before = await this.get(path);
    if (!before) return;
    const batch = this.#database.batch();
    this.#unplace(batch, before);
    batch.del(path, { sublevel: this.#files });
    await written(this.#database, () => batch.write());
    this.#forget(before.description);
    if (before.description) await this.#dropManifest(before.description.payload);
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
      if (!file?.description) continue;
      const { path, sizeBytes, mtimeMs, description } = file;
      const { prefixBytes, payloadBytes, suffixBytes } = description;
      files.push({ path, sizeBytes, mtimeMs, prefixBytes, payloadBytes, suffixBytes });
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

  #unplace(batch: ReturnType<Database['batch']>, { path, description }: KnownFile): void {
    if (!description) return;
    batch.del(place(description.payload, path), { sublevel: this.#places });
    batch.del(place(description.file, path), { sublevel: this.#places });
  }

  async #dropManifest(payload: PayloadId): Promise<void> {
    if ((await this.pathsOf(payload)).length === 0) await written(this.#database, () => this.#manifests.del(payload));
  }
}

const place = (id: PayloadId | FileId, path: string): string => `${id}\0${path}`;
