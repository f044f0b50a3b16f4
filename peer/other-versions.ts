// Peers of this network that speak another version of the protocol: they cannot be talked to, and without a word a person
// would look for a fault in the network. What is known of them comes in pieces, none of it proven: a record of names says
// name and version, the hello of a call too, a datagram has no name, and who refuses our call says no version. The pieces are
// put together here, and each peer is told of once.
//
// Pure: what was seen is an input with its time, and what is to be told is returned.
import { LRUCache } from 'lru-cache';
import { type Address, formatAddress } from '../discovery/address.ts';
import type { PeerId } from '../lib/ids.ts';
import { OTHER_VERSIONS_MAX } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';

export interface Sight {
  /** As it says itself; undefined where nothing said it. */
  readonly peer: PeerId | undefined;
  /** Empty when unknown. */
  readonly name: string;
  /** Port 0: only the host is known. */
  readonly address: Address;
  /** Undefined: another than ours, which one was not said. */
  readonly version: number | undefined;
}

export interface OtherVersionFacts {
  /** Null where nothing said it. */
  readonly peer: PeerId | null;
  readonly name: string;
  readonly address: string;
  /** Null where nothing said it: another than ours. */
  readonly version: number | null;
}

/** As people are told of it. */
export const otherVersionFacts = ({ peer, name, address, version }: Sight): OtherVersionFacts => ({
  peer: peer ?? null,
  name,
  address: address.port > 0 ? formatAddress(address) : address.host,
  version: version ?? null,
});

interface Entry {
  sight: Sight;
  readonly firstAt: Millis;
  lastAt: Millis;
  /** With this version it was told; null is an unknown one. */
  told?: number | null;
}

/** Names are asked for at 0, 1 and 3 s, so whoever has one has said it by then. */
const NAME_WAIT_MS: Millis = 4_000;
/** Names and calls repeat every minute; who was not seen for so long is gone, or was updated. */
const SEEN_FOR_MS: Millis = 5 * 60_000;

export class OtherVersions {
  readonly #entries = new LRUCache<number, Entry>({ max: OTHER_VERSIONS_MAX });
  #nextId = 0;
  /** Whoever makes peers up must not fill a person's screen. */
  #linesLeft = OTHER_VERSIONS_MAX;

  /** @returns what a person is to be told of it now */
  see(sight: Sight, now: Millis): Sight | undefined {
    const entry = this.#entryOf(sight);
    if (!entry) {
      const fresh: Entry = { sight, firstAt: now, lastAt: now };
      this.#entries.set(this.#nextId++, fresh);
      return this.#tell(fresh, now);
    }
    const { sight: known } = entry;
    entry.lastAt = now;
    entry.sight = {
      peer: sight.peer ?? known.peer,
      name: sight.name || known.name,
      address: sight.address.port > 0 ? sight.address : known.address,
      version: sight.version ?? known.version,
    };
    return this.#tell(entry, now);
  }

  /** It speaks our version by now. */
  met(peer: PeerId): void {
    for (const [id, { sight }] of [...this.#entries.entries()]) if (sight.peer === peer) this.#entries.delete(id);
  }

  /** Those that are here, as far as anybody can tell. */
  present(now: Millis): readonly Sight[] {
    return [...this.#entries.values()].filter(({ lastAt }) => now - lastAt <= SEEN_FOR_MS).map(({ sight }) => sight);
  }

  /** The peer itself, else who was seen at its address without saying who it is; the other way round too. */
  #entryOf({ peer, address }: Sight): Entry | undefined {
    const entries = [...this.#entries.entries()];
    const isThere = ({ sight: known }: Entry): boolean =>
      known.address.host === address.host && (known.address.port === address.port || known.address.port === 0 || address.port === 0);
    const found =
      (peer !== undefined && entries.find(([, { sight }]) => sight.peer === peer)) ||
      entries.find(([, entry]) => (peer === undefined || entry.sight.peer === undefined) && isThere(entry));
    return found && this.#entries.get(found[0]);
  }

  #tell(entry: Entry, now: Millis): Sight | undefined {
    const { sight, firstAt, told } = entry;
    const isWhole = sight.name !== '' && sight.version !== undefined;
    if (!isWhole && now - firstAt < NAME_WAIT_MS) return undefined;
    // said again only of one that has changed from a version to another that does not fit either
    if (told !== undefined && (told === null || sight.version === undefined || told === sight.version)) return undefined;
    entry.told = sight.version ?? null;
    this.#linesLeft -= 1;
    return this.#linesLeft >= 0 ? sight : undefined;
  }
}
