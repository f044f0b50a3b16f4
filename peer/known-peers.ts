// Other peers as this one remembers them over restarts: what they call themselves, and where they were reached.
import type { AddressTuple } from '../discovery/address-book.ts';
import { decode, encode } from '../lib/codec.ts';
import type { PeerId } from '../lib/ids.ts';
import { NAME_CHARACTERS_MAX, PEERS_REMEMBERED_MAX } from '../lib/limits.ts';
import { type Database, type Section, section, written } from '../storage/database.ts';

const ROW_BYTES_MAX = 1024 * 1024;

export class Known {
  readonly #names: Map<PeerId, string>;
  readonly #database: Database;
  readonly #addresses: Section;
  readonly #stored: Section;

  private constructor(database: Database, addresses: Section, stored: Section, names: Map<PeerId, string>) {
    this.#database = database;
    this.#addresses = addresses;
    this.#stored = stored;
    this.#names = names;
  }

  static async open(database: Database): Promise<Known> {
    const stored = section(database, 'names');
    const names = new Map<PeerId, string>();
    for await (const [peer, name] of stored.iterator({ limit: PEERS_REMEMBERED_MAX })) names.set(peer as PeerId, Buffer.from(name).toString());
    return new Known(database, section(database, 'addresses'), stored, names);
  }

  nameOf(peer: PeerId): string | undefined {
    return this.#names.get(peer);
  }

  /** A peer that has shown who it is says its name. Who was met longest ago makes room. */
  met(peer: PeerId, name: string): void {
    const changed = this.#names.get(peer) !== name;
    this.#names.delete(peer);
    this.#names.set(peer, name.slice(0, NAME_CHARACTERS_MAX));
    if (!changed) return;
    // for the next start; losing it costs a name
    written(this.#database, () => this.#stored.put(peer, Buffer.from(name))).catch(() => undefined);
    if (this.#names.size <= PEERS_REMEMBERED_MAX) return;
    const oldest = this.#names.keys().next().value as PeerId;
    this.#names.delete(oldest);
    written(this.#database, () => this.#stored.del(oldest)).catch(() => undefined);
  }

  async addresses(network: string): Promise<unknown> {
    const row = await this.#addresses.get(network);
    return row && decode(row, { bytesMax: ROW_BYTES_MAX, code: 'BAD_FILE' });
  }

  async remember(network: string, addresses: readonly AddressTuple[]): Promise<void> {
    await written(this.#database, () => this.#addresses.put(network, encode(addresses)));
  }
}
