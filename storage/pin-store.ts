// Songs that people want to have on this machine, by network: they are fetched, and never dropped. Of this machine and not
// replicated: another machine's disk is no business of who listens here.
import { checker } from '../lib/check.ts';
import { decode, encode } from '../lib/codec.ts';
import { idToBytes, isId, type PayloadId, type SongId } from '../lib/ids.ts';
import { PINS_MAX } from '../lib/limits.ts';
import { type Database, type Section, section, written } from './database.ts';

const ROW_BYTES_MAX = 64;
const check = checker('BAD_FILE');

export class PinStore {
  readonly #database: Database;
  readonly #rows: Section;
  readonly #network: string;
  readonly #pins: Map<SongId, PayloadId>;

  private constructor(database: Database, rows: Section, network: string, pins: Map<SongId, PayloadId>) {
    this.#database = database;
    this.#rows = rows;
    this.#network = network;
    this.#pins = pins;
  }

  /** Hashes of the keys of all networks in which something is pinned. */
  static async networks(database: Database): Promise<ReadonlySet<string>> {
    const networks = new Set<string>();
    for await (const row of section(database, 'pins').keys()) networks.add(row.slice(0, row.indexOf('\0')));
    return networks;
  }

  /** The network has another key: its pins are those of the new one now, on the disk when it resolves. @throws PeerError DISK_FULL, DATA_FOLDER_UNUSABLE */
  static async move(database: Database, from: string, to: string): Promise<void> {
    const { pins } = await PinStore.open(database, from);
    if (from === to || pins.size === 0) return;
    const rows = section(database, 'pins');
    const batch = database.batch();
    for (const [song, payload] of pins) batch.put(`${to}\0${song}`, encode([idToBytes(payload)]), { sublevel: rows }).del(`${from}\0${song}`, { sublevel: rows });
    await written(database, () => batch.write({ sync: true }));
  }

  /** @param network the hash of its key */
  static async open(database: Database, network: string): Promise<PinStore> {
    const rows = section(database, 'pins');
    const pins = new Map<SongId, PayloadId>();
    for await (const [row, value] of rows.iterator({ gte: `${network}\0`, lt: `${network}\x01`, limit: PINS_MAX })) {
      const song = row.slice(network.length + 1);
      try {
        const [payload] = check.list(decode(value, { bytesMax: ROW_BYTES_MAX, code: 'BAD_FILE' }), 1);
        if (isId(song)) pins.set(song as SongId, check.id<PayloadId>(payload));
      } catch {
        // a row that a damaged disk left: the song can be pinned again
      }
    }
    return new PinStore(database, rows, network, pins);
  }

  /** What of each song is kept. */
  get pins(): ReadonlyMap<SongId, PayloadId> {
    return this.#pins;
  }

  /** On the disk when it resolves. @throws PeerError DISK_FULL, DATA_FOLDER_UNUSABLE */
  async pin(song: SongId, payload: PayloadId): Promise<void> {
    const row = encode([idToBytes(payload)]);
    await written(this.#database, () => this.#database.batch().put(this.#row(song), row, { sublevel: this.#rows }).write({ sync: true }));
    this.#pins.set(song, payload);
  }

  /** @throws PeerError DISK_FULL, DATA_FOLDER_UNUSABLE */
  async unpin(song: SongId): Promise<void> {
    await written(this.#database, () => this.#database.batch().del(this.#row(song), { sublevel: this.#rows }).write({ sync: true }));
    this.#pins.delete(song);
  }

  #row(song: SongId): string {
    return `${this.#network}\0${song}`;
  }
}
