// Roles as DNS-SD shows them: `_gateway._sub._spotify-peer._tcp.local` leads to whoever is gateway (RFC 6763, 7.1: a subtype).
// The pointer is a shared record without the cache-flush bit: while a role changes hands, and in each half of a divided network,
// it has two holders.
import type { MulticastDNS, ResponseOutgoingPacket } from 'multicast-dns';
import type { Role } from '../lib/roles.ts';
import { SERVICE_NAME } from './instance.ts';

/** A holder that died is forgotten after this by all who were told of no other; nobody asks so often but who browses. */
const ROLE_TTL_SECONDS = 10;
/** Announcements are sent twice (RFC 6762, 8.3). */
const ANNOUNCE_AGAIN_MS = 1_000;

export const roleName = (role: Role): string => `_${role}._sub.${SERVICE_NAME}`;

/** The registry of bonjour-service: it answers what was registered, and adds where an instance is to be reached. */
export interface RecordServer {
  readonly mdns: MulticastDNS;
  register(records: ResponseOutgoingPacket['answers']): void;
  /** By type and name, whatever the data. */
  unregister(records: ResponseOutgoingPacket['answers']): void;
}

type Records = ResponseOutgoingPacket['answers'];

const recordsOf = (roles: readonly Role[], instance: string, ttl: number): Records =>
  roles.map((role) => ({ name: roleName(role), type: 'PTR', ttl, data: instance }));

export class RoleRecords {
  readonly #server: RecordServer;
  #roles: readonly Role[] = [];
  /** The full name that this peer is published under. */
  #instance: string | undefined;
  #announcing: NodeJS.Timeout | undefined;

  constructor(server: RecordServer) {
    this.#server = server;
  }

  set(roles: readonly Role[]): void {
    const ended = this.#roles.filter((role) => !roles.includes(role));
    const begun = roles.filter((role) => !this.#roles.includes(role));
    void this.#withdraw(ended);
    this.#roles = [...roles];
    if (begun.length > 0) this.#publish(begun);
  }

  /** To be called whenever the instance is published, also unchanged: its interfaces may be others. */
  setInstance(fqdn: string): void {
    if (this.#instance !== fqdn) void this.#withdraw(this.#roles);
    this.#instance = fqdn;
    this.#publish(this.#roles);
  }

  /** @returns when the goodbye is sent */
  async stop(): Promise<void> {
    clearTimeout(this.#announcing);
    await this.#withdraw(this.#roles);
  }

  #publish(roles: readonly Role[]): void {
    if (this.#instance === undefined || roles.length === 0) return;
    const records = recordsOf(roles, this.#instance, ROLE_TTL_SECONDS);
    this.#server.register(records);
    this.#server.mdns.respond(records);
    clearTimeout(this.#announcing);
    this.#announcing = setTimeout(() => {
      if (this.#instance !== undefined && this.#roles.length > 0) this.#server.mdns.respond(recordsOf(this.#roles, this.#instance, ROLE_TTL_SECONDS));
    }, ANNOUNCE_AGAIN_MS).unref();
  }

  async #withdraw(roles: readonly Role[]): Promise<void> {
    if (this.#instance === undefined || roles.length === 0) return;
    const records = recordsOf(roles, this.#instance, 0);
    this.#server.unregister(records);
    await new Promise<unknown>((resolve) => this.#server.mdns.respond(records, resolve));
  }
}
