// A peer as DNS-SD shows it: one instance of `_spotify-peer._tcp.local` per peer, with a host name of its own, because
// several peers share a machine and several machines share a hostname.
import Bonjour from 'bonjour-service';
import { isId, type PeerId, shortId } from '../lib/ids.ts';
import { ADDRESSES_PER_PEER_MAX, LABEL_BYTES_MAX, TXT_BYTES_MAX } from '../lib/limits.ts';
import { isNowhere, isPort } from './address.ts';

export const SERVICE_TYPE = 'spotify-peer';
export const SERVICE_NAME = `_${SERVICE_TYPE}._tcp.local`;

/** What a peer says of itself. */
export interface Instance {
  readonly peer: PeerId;
  /** The nick, as people chose it. */
  readonly name: string;
  readonly network: string;
  readonly version: number;
  /** Peer traffic, TCP and UDP. */
  readonly port: number;
  /** 0 when its HTTP is not served to the LAN. */
  readonly httpPort: number;
}

/** A peer that somebody claims to be there: to be dialled, and believed only when it has proved who it is. */
export interface Candidate extends Instance {
  /** Where the answer came from. The announced addresses may be stale or on another network. */
  readonly host: string;
  /** `host` first, then what else was announced. */
  readonly addresses: readonly string[];
}

/** At most `bytesMax` bytes of UTF-8, without half a character. */
function cut(text: string, bytesMax: number): string {
  let cutText = '';
  let bytes = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > bytesMax) break;
    cutText += character;
  }
  return cutText;
}

/** `<nick>-<id8>` in the 63 bytes of one label. A dot would end the label, for bonjour-service at least. */
export function instanceName({ name, peer }: Pick<Instance, 'name' | 'peer'>): string {
  const suffix = `-${shortId(peer)}`;
  const nick = name.normalize('NFC').replace(/[\p{Cc}\p{Cs}.]+/gu, '-').trim();
  return cut(nick || 'peer', LABEL_BYTES_MAX - suffix.length).trim() + suffix;
}

/** Must end in `.local`, or Avahi lists the instance but cannot resolve it. */
export const hostName = (peer: PeerId): string => `sp-${shortId(peer)}.local`;

const txtOf = (instance: Instance): Record<string, string> => ({
  id: instance.peer,
  v: String(instance.version),
  net: cut(instance.network, TXT_BYTES_MAX - 'net='.length),
  http: String(instance.httpPort),
  peer: String(instance.port),
});

type Records = ReturnType<Bonjour.Service['records']>;

const noop = (): void => undefined;

/** bonjour-service's Service with two things mended: it announces the addresses it is given instead of every one the
 *  machine has (containers' bridges, interfaces that `--interface` leaves out), and it marks what only we can say with
 *  the cache-flush bit (RFC 6762, 10.2), so that resolvers forget an old address at once and not after two minutes. */
export class PeerService extends Bonjour.Service {
  readonly #addresses: readonly string[];

  constructor(instance: Instance, addresses: readonly string[]) {
    super(
      { name: instanceName(instance), type: SERVICE_TYPE, port: instance.port, host: hostName(instance.peer), txt: txtOf(instance) },
      noop,
      noop,
    );
    this.#addresses = addresses;
  }

  override records(): Records {
    const shared = super.records().filter(
      // A goodbye withdraws our instance, not the type that other peers have too.
      (record) => record.type === 'PTR' && (this.activated || record.data === this.fqdn),
    );
    const own = [
      ...super.records().filter((record) => record.type === 'SRV' || record.type === 'TXT'),
      ...this.#addresses.map((address) => ({ name: this.host, type: 'A' as const, ttl: 120, data: address })),
    ];
    return [...shared, ...own.map((record) => ({ ...record, flush: true }))];
  }
}

/** What a resolved service says, or undefined when it is no peer's. */
export function instanceOf(service: Pick<Bonjour.Service, 'name' | 'port' | 'txt'>): Instance | undefined {
  const txt = (service.txt ?? {}) as Record<string, unknown>;
  const port = Number(txt['peer'] ?? service.port);
  const httpPort = Number(txt['http'] ?? 0);
  if (!isId(txt['id']) || !isPort(port) || !(httpPort === 0 || isPort(httpPort))) return undefined;
  const peer = txt['id'] as PeerId;
  const suffix = `-${shortId(peer)}`;
  return {
    peer,
    name: service.name.endsWith(suffix) ? service.name.slice(0, -suffix.length) : service.name,
    network: typeof txt['net'] === 'string' ? txt['net'] : '',
    version: Number(txt['v']) || 0,
    port,
    httpPort,
  };
}

export const candidateOf = (instance: Instance, host: string, announced: readonly string[]): Candidate => ({
  ...instance,
  host,
  addresses: [...new Set([host, ...announced.filter((address) => !isNowhere(address))])].slice(0, ADDRESSES_PER_PEER_MAX),
});
