// Where each peer may be reached, from whoever said so, best first. Addresses are claims: only dialling proves one, and
// the streams' handshake who answers there. The book also holds what `--join` names, of which nobody knows the peer yet,
// what is remembered over a restart, and what is told to others where multicast is blocked.
import { isId, type PeerId } from '../lib/ids.ts';
import { ADDRESSES_PER_PEER_MAX, PEERS_REMEMBERED_MAX } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';
import { type Address, formatAddress, isHost, isLoopback, isNowhere, isPort } from './address.ts';

/** From the most to the least trustworthy: seen as the source of its datagrams, or of its answer to DNS-SD; said by
 *  itself (`--advertise`, or as it called); given by a person (`--join`); told by another peer; known from an earlier run. */
export const ADDRESS_SOURCES = ['beat', 'names', 'advertised', 'join', 'exchanged', 'remembered'] as const;
export type AddressSource = (typeof ADDRESS_SOURCES)[number];

interface Entry {
  readonly address: Address;
  source: AddressSource;
  /** -Infinity until a connection was made there. */
  succeededAt: Millis;
  /** Attempts since that failed. */
  failures: number;
  /** Counts up with everything that is learned. */
  learned: number;
}

/** [peer, host, port] in order of preference, as it is kept and told. */
export type AddressTuple = readonly [peer: PeerId, host: string, port: number];

const rank = (source: AddressSource): number => ADDRESS_SOURCES.indexOf(source);

/** Not failing first, then the latest success, then the better source, then what was said last. */
const byPreference = (a: Entry, b: Entry): number =>
  Math.sign(a.failures) - Math.sign(b.failures) ||
  (a.succeededAt === b.succeededAt ? 0 : b.succeededAt - a.succeededAt) ||
  rank(a.source) - rank(b.source) ||
  a.failures - b.failures ||
  b.learned - a.learned;

export class AddressBook {
  readonly #self: PeerId;
  /** In order of use: the peer that nobody mentioned for longest is first. */
  readonly #peers = new Map<PeerId, Map<string, Entry>>();
  readonly #targets: readonly Address[];
  readonly #reached = new Map<string, PeerId>();
  #learned = 0;

  /** @param targets what `--join` names */
  constructor({ self, targets = [] }: { readonly self: PeerId; readonly targets?: readonly Address[] }) {
    this.#self = self;
    this.#targets = targets;
  }

  /** Somebody says that `peer` may be reached at `address`. */
  learn(peer: PeerId, address: Address, source: AddressSource): void {
    if (peer === this.#self || !isPort(address.port) || !isHost(address.host) || isNowhere(address.host)) return;
    const entries = this.#touch(peer);
    const key = formatAddress(address);
    const entry: Entry = entries.get(key) ?? {
      address: { host: address.host, port: address.port },
      source,
      succeededAt: Number.NEGATIVE_INFINITY,
      failures: 0,
      learned: 0,
    };
    entries.set(key, entry);
    entry.learned = this.#learned += 1;
    if (rank(source) < rank(entry.source)) entry.source = source;
    // What is heard from there now is worth a new attempt, whatever failed before.
    if (source === 'beat') entry.failures = 0;
    if (entries.size > ADDRESSES_PER_PEER_MAX) this.#makeRoom(entries, entry);
  }

  /** A connection to `address` was made, and `peer` has proved to be the one there. */
  succeeded(peer: PeerId, address: Address, now: Millis): void {
    if (this.#isTarget(address)) this.#reached.set(formatAddress(address), peer);
    this.learn(peer, address, this.#isTarget(address) ? 'join' : 'exchanged');
    const entry = this.#peers.get(peer)?.get(formatAddress(address));
    if (entry === undefined) return;
    entry.succeededAt = now;
    entry.failures = 0;
  }

  /** A connection to `address` was not made, or somebody else answers there. */
  failed(peer: PeerId | undefined, address: Address): void {
    const key = formatAddress(address);
    if (peer === undefined || this.#reached.get(key) === peer) this.#reached.delete(key);
    const entry = peer === undefined ? undefined : this.#peers.get(peer)?.get(key);
    if (entry !== undefined) entry.failures += 1;
  }

  /** Where to dial `peer`, best first. */
  addressesOf(peer: PeerId): Address[] {
    return this.#sorted(peer).map(({ address }) => address);
  }

  /** Was any peer heard or reached at this host, now or in an earlier run? What DNS-SD says anybody can say. */
  isPeersHost(host: string): boolean {
    for (const entries of this.#peers.values()) {
      for (const { address, source, succeededAt } of entries.values()) {
        if (address.host === host && (source === 'beat' || source === 'remembered' || succeededAt > Number.NEGATIVE_INFINITY)) return true;
      }
    }
    return false;
  }

  peers(): PeerId[] {
    return [...this.#peers.keys()];
  }

  /** What `--join` names and nobody has been met at yet; also what answered once and does not any more. */
  unmetTargets(): Address[] {
    return this.#targets.filter((target) => !this.#reached.has(formatAddress(target)));
  }

  /** What to keep for the next start: of each peer the addresses that worked or were seen, the latest peers first. */
  remember(): AddressTuple[] {
    return this.#tuples(({ source, succeededAt }) => succeededAt > Number.NEGATIVE_INFINITY || source !== 'exchanged');
  }

  /** What to tell a peer at `host`: what we saw ourselves or were told by its owner, and nothing that we only heard
   *  from third parties, or an address long gone would go round for ever. This machine's own loopback addresses mean
   *  something on this machine only. */
  share(host: string): AddressTuple[] {
    const isHere = isLoopback(host);
    return this.#tuples(
      ({ source, succeededAt, failures, address }) =>
        failures === 0 &&
        (isHere || !isLoopback(address.host)) &&
        (succeededAt > Number.NEGATIVE_INFINITY || source === 'beat' || source === 'names' || source === 'advertised'),
    );
  }

  /** Takes in what was kept, or what another peer told; what is no address is left out. @param by who told it: of itself it knows */
  take(tuples: unknown, source: 'exchanged' | 'remembered', by?: PeerId): void {
    if (!Array.isArray(tuples)) return;
    for (const tuple of tuples.slice(0, PEERS_REMEMBERED_MAX * ADDRESSES_PER_PEER_MAX)) {
      const [peer, host, port] = Array.isArray(tuple) ? (tuple as unknown[]) : [];
      if (isId(peer) && typeof host === 'string' && isPort(port)) this.learn(peer as PeerId, { host, port }, peer === by ? 'advertised' : source);
    }
  }

  #tuples(wanted: (entry: Entry) => boolean): AddressTuple[] {
    return this.peers()
      .reverse()
      .flatMap((peer) => this.#sorted(peer).filter(wanted).map(({ address }) => [peer, address.host, address.port] as const));
  }

  #sorted(peer: PeerId): Entry[] {
    return [...(this.#peers.get(peer)?.values() ?? [])].sort(byPreference);
  }

  #isTarget(address: Address): boolean {
    const key = formatAddress(address);
    return this.#targets.some((target) => formatAddress(target) === key);
  }

  #touch(peer: PeerId): Map<string, Entry> {
    const entries = this.#peers.get(peer) ?? new Map<string, Entry>();
    this.#peers.delete(peer);
    this.#peers.set(peer, entries);
    if (this.#peers.size > PEERS_REMEMBERED_MAX) this.#peers.delete(this.#peers.keys().next().value as PeerId);
    return entries;
  }

  /** The worst address goes, be it the new one; but where a peer was heard just now is kept. */
  #makeRoom(entries: Map<string, Entry>, latest: Entry): void {
    const worst = [...entries.values()].sort(byPreference).findLast((entry) => entry !== latest || entry.source !== 'beat') as Entry;
    entries.delete(formatAddress(worst.address));
  }
}
