// Where a large delta lies while it comes in: a file of frames, so that half a million songs are merged in pieces and never
// lie in memory at once. It is synced before the ledger counts on it, and deleted when it is merged or was for nothing.
// A file and not a section of the database: LevelDB syncs the log that it writes now, and not the one before.
import { open, readdir, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PeerError } from '../lib/errors.ts';
import { FRAME_BYTES_MAX } from '../lib/limits.ts';
import { makeFolder } from './database.ts';

/** Frames of 256 operations that are merged in one batch. */
const FRAMES_PER_PIECE = 8;
const LENGTH_BYTES = 4;

export class Aside {
  readonly #folder: string;
  #reading: { readonly name: string; readonly file: FileHandle; piece: number; position: number } | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Frames of one delta, in order. `close` without `finish` leaves nothing. */
  async create(name: string): Promise<AsideWriter> {
    await makeFolder(this.#folder);
    const path = join(this.#folder, name);
    return new AsideWriter(path, await open(path, 'w', 0o600));
  }

  /** The frames of one piece; quickest in order.
   *  @throws PeerError BAD_FILE when the file is shorter than it was */
  async piece(name: string, index: number): Promise<Buffer[]> {
    let reading = this.#reading;
    if (reading?.name !== name || reading.piece > index) {
      await this.close();
      reading = { name, file: await open(join(this.#folder, name)), piece: 0, position: 0 };
      this.#reading = reading;
    }
    let frames: Buffer[] = [];
    while (reading.piece <= index) {
      frames = await readFrames(reading);
      reading.piece += 1;
    }
    return frames;
  }

  /** Is everything there that was there when it was finished? */
  async isWhole(name: string, pieces: number): Promise<boolean> {
    try {
      for (let index = 0; index < pieces; index++) await this.piece(name, index);
      return true;
    } catch {
      return false;
    }
  }

  /** What an earlier run left, but for one. */
  async clear(kept: string | undefined): Promise<void> {
    const names = await readdir(this.#folder).catch(() => []);
    await Promise.all(names.filter((name) => name !== kept).map((name) => this.remove(name)));
  }

  async remove(name: string): Promise<void> {
    if (this.#reading?.name === name) await this.close();
    await unlink(join(this.#folder, name)).catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.#reading?.file.close();
    this.#reading = undefined;
  }
}

async function readFrames(reading: { readonly file: FileHandle; position: number }): Promise<Buffer[]> {
  const frames: Buffer[] = [];
  while (frames.length < FRAMES_PER_PIECE) {
    const head = Buffer.alloc(LENGTH_BYTES);
    const { bytesRead } = await reading.file.read(head, 0, LENGTH_BYTES, reading.position);
    if (bytesRead === 0 && frames.length > 0) break;
    const length = bytesRead === LENGTH_BYTES ? head.readUInt32BE() : 0;
    if (length === 0 || length > FRAME_BYTES_MAX) throw new PeerError('BAD_FILE', 'a delta that lay aside is damaged');
    const frame = Buffer.alloc(length);
    if ((await reading.file.read(frame, 0, length, reading.position + LENGTH_BYTES)).bytesRead < length) {
      throw new PeerError('BAD_FILE', 'a delta that lay aside is damaged');
    }
    reading.position += LENGTH_BYTES + length;
    frames.push(frame);
  }
  return frames;
}

export class AsideWriter {
  readonly #path: string;
  readonly #file: FileHandle;
  #frames = 0;
  #finished = false;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  async add(frame: Uint8Array): Promise<void> {
    const head = Buffer.alloc(LENGTH_BYTES);
    head.writeUInt32BE(frame.byteLength);
    await this.#file.writev([head, frame]);
    this.#frames += 1;
  }

  /** On the disk. @returns how many pieces there are */
  async finish(): Promise<number> {
    await this.#file.sync();
    await syncFolder(dirname(this.#path));
    this.#finished = true;
    return Math.ceil(this.#frames / FRAMES_PER_PIECE);
  }

  async close(): Promise<void> {
    await this.#file.close();
    if (!this.#finished) await unlink(this.#path).catch(() => undefined);
  }
}

/** A file's name is on the disk only with its folder. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await handle.sync();
  } catch {
    // some systems sync no folders, and need not
  } finally {
    await handle.close();
  }
}
