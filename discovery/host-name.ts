// One host name of this machine beside its own: A records on the wire (RFC 6762). bonjour-service's registry could answer for
// it, but knows neither links nor negative answers. Each link is told the address that this machine has there (6.2): whoever
// resolves a name takes any of the addresses, and one of a container's bridge leads nowhere. And whoever asks for IPv6 is told
// that there is none (6.1), or it waits for seconds.
import type { MulticastDNS, QueryPacket, ResponseOutgoingPacket } from 'multicast-dns';
import type { Millis } from '../lib/time.ts';
import type { Interface } from './interfaces.ts';
import { NAME_TTL_MS } from './lan-name.ts';
import { onLinkOf } from './mdns-socket.ts';

const TTL_SECONDS = NAME_TTL_MS / 1_000;
/** Twice at least, a second apart at least, then at intervals that double at least (RFC 6762, 8.3): any of them may be lost. Not
 *  exactly a second: that is what a resolver still keeps a record that was flushed or said goodbye (10.1, 10.2), and in Avahi the
 *  flush of a second announcement would start that second anew. */
export const ANNOUNCE_AFTER_MS: readonly Millis[] = [0, 1_200, 3_600, 8_400];

export interface HostNameOptions {
  readonly mdns: MulticastDNS;
  readonly port: number;
  readonly interfaces: readonly Interface[];
}

type Records = ResponseOutgoingPacket['answers'];

export class HostName {
  readonly #mdns: MulticastDNS;
  readonly #port: number;
  #interfaces: readonly Interface[];
  #name: string | undefined;
  #replaces: readonly string[] = [];
  #announcing: NodeJS.Timeout | undefined;

  constructor({ mdns, port, interfaces }: HostNameOptions) {
    this.#mdns = mdns;
    this.#port = port;
    this.#interfaces = interfaces;
    mdns.on('query', (query) => this.#answer(query));
  }

  /**
   * Announces the name for this machine's addresses, in place of one claimed before, and answers questions for it.
   *
   * Those whom it replaces may be dead, so their goodbyes are said for them. The cache-flush bit alone would leave a resolver that
   * has heard one of them within the last second with its address (10.2) until the second announcement, and a second more.
   */
  claim({ name, replaces }: { readonly name: string; readonly replaces: readonly string[] }): void {
    void this.release();
    this.#name = name;
    this.#replaces = replaces;
    this.announce();
  }

  /** Once more, with what belongs to it. */
  announce(round = 0): void {
    clearTimeout(this.#announcing);
    if (this.#name === undefined) return;
    void this.#send(TTL_SECONDS, { replaces: this.#replaces });
    const [now, next] = [ANNOUNCE_AFTER_MS[round] as Millis, ANNOUNCE_AFTER_MS[round + 1]];
    if (next !== undefined) this.#announcing = setTimeout(() => this.announce(round + 1), next - now).unref();
    else this.#replaces = [];
  }

  /** Once, for who has just heard that it is over. */
  rescue(): void {
    if (this.#name !== undefined) void this.#send(TTL_SECONDS);
  }

  /** Withdraws it with a goodbye for this machine's addresses alone, so that what a successor announced stands.
   *  @returns when that is sent */
  async release(): Promise<void> {
    clearTimeout(this.#announcing);
    if (this.#name === undefined) return;
    const sent = this.#send(0);
    this.#name = undefined;
    await sent;
  }

  setInterfaces(interfaces: readonly Interface[], { announces }: { readonly announces: boolean }): void {
    this.#interfaces = interfaces;
    if (announces) this.announce();
  }

  #answer({ questions }: QueryPacket): void {
    const types = questions.filter(({ name }) => name.toLowerCase() === this.#name).map(({ type }) => String(type));
    if (types.includes('A') || types.includes('ANY')) void this.#send(TTL_SECONDS);
    else if (types.includes('AAAA')) void this.#send(TTL_SECONDS, { negativeOnly: true });
  }

  async #send(ttl: number, { negativeOnly = false, replaces = [] }: { readonly negativeOnly?: boolean; readonly replaces?: readonly string[] } = {}): Promise<void> {
    const name = this.#name as string;
    // addresses change hands too
    const others = replaces.filter((address) => !this.#interfaces.some((own) => own.address === address));
    const goodbyes: Records = others.map((data) => ({ name, type: 'A', ttl: 0, data }));
    const sent = this.#interfaces.map(({ address }) => {
      // The cache-flush bit: what others had under this name is over (10.2).
      const positive: Records = [{ name, type: 'A', ttl, flush: true, data: address }];
      const negative: Records = [{ name, type: 'NSEC', ttl, flush: true, data: { nextDomain: name, rrtypes: ['A'] } }];
      const packet: ResponseOutgoingPacket = negativeOnly ? { answers: negative } : { answers: [...positive, ...goodbyes], additionals: ttl === 0 ? [] : negative };
      return new Promise<unknown>((resolve) => this.#mdns.respond(packet, { port: this.#port, address: onLinkOf(address) }, resolve));
    });
    await Promise.all(sent);
  }
}
