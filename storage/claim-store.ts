// The greatest claim to coordinate that this machine made or followed, by network: what it claims after a restart is greater.
import { checker } from '../lib/check.ts';
import { decode, encode } from '../lib/codec.ts';
import { idToBytes, type PeerId } from '../lib/ids.ts';
import { TERM_MAX } from '../lib/limits.ts';
import type { Coordinatorship } from '../lib/roles.ts';
import { type Database, type Section, section, written } from './database.ts';

const ROW_BYTES_MAX = 64;
const check = checker('BAD_FILE');

export class ClaimStore {
  readonly #database: Database;
  readonly #rows: Section;
  readonly #network: string;

  /** @param network the hash of its key */
  constructor(database: Database, network: string) {
    this.#database = database;
    this.#rows = section(database, 'claims');
    this.#network = network;
  }

  /** One that cannot be read is as good as none: terms only have to grow, and others know theirs. */
  async load(): Promise<Coordinatorship> {
    const row = await this.#rows.get(this.#network);
    try {
      const [term, coordinator] = check.list(row && decode(row, { bytesMax: ROW_BYTES_MAX, code: 'BAD_FILE' }), 2);
      return { term: Math.min(check.count(term), TERM_MAX), coordinator: coordinator === null ? null : check.id<PeerId>(coordinator) };
    } catch {
      return { term: 0, coordinator: null };
    }
  }

  /** Synced. @throws PeerError DISK_FULL, DATA_FOLDER_UNUSABLE */
  async save({ term, coordinator }: Coordinatorship): Promise<void> {
    const row = encode([term, coordinator && idToBytes(coordinator)]);
    await written(this.#database, () => this.#database.batch().put(this.#network, row, { sublevel: this.#rows }).write({ sync: true }));
  }
}
