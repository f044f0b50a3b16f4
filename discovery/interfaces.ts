// Which network interfaces peers can meet on. Multicast is sent and joined per interface, so every other file here asks
// this one. Node has no event for a cable that is pulled or an address that changes; asking once a second costs 0.1 ms.
// Carrier loss shows too: the system lists an interface only while it is up and running.
import { EventEmitter } from 'node:events';
import { networkInterfaces } from 'node:os';
import { INTERFACES_MAX } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';

export interface Interface {
  readonly name: string;
  /** IPv4. */
  readonly address: string;
  readonly netmask: string;
  readonly loopback: boolean;
}

export interface InterfaceChange {
  readonly interfaces: readonly Interface[];
  /** An interface whose address changed is in both, with its new and its old address. */
  readonly added: readonly Interface[];
  readonly removed: readonly Interface[];
}

export type ReadInterfaces = typeof networkInterfaces;

const POLL_EVERY_MS: Millis = 1_000;

const isLinkLocal = (address: string): boolean => address.startsWith('169.254.');

/** The interfaces to use now, one IPv4 address each, because a group is joined once per interface. The loopback
 *  interface is among them only when it is named or nothing else is there: then several peers on one machine still meet.
 *  @param names what `--interface` allows; empty allows all */
export function listInterfaces(names: readonly string[] = [], read: ReadInterfaces = networkInterfaces): readonly Interface[] {
  let table: ReturnType<ReadInterfaces>;
  try {
    table = read();
  } catch {
    // Some systems forbid the question (Android since 13); peers on this machine can still meet.
    table = {};
  }
  const found: Interface[] = [];
  for (const [name, entries] of Object.entries(table)) {
    if (names.length > 0 && !names.includes(name)) continue;
    const ipv4 = (entries ?? []).filter((entry) => entry.family === 'IPv4');
    const entry = ipv4.find((candidate) => !isLinkLocal(candidate.address)) ?? ipv4[0];
    if (entry !== undefined) found.push({ name, address: entry.address, netmask: entry.netmask, loopback: entry.internal });
  }
  if (names.length > 0) return found.slice(0, INTERFACES_MAX);
  const outward = found.filter((candidate) => !candidate.loopback).slice(0, INTERFACES_MAX);
  return outward.length > 0 ? outward : found.slice(0, 1);
}

const isSame = (a: Interface, b: Interface): boolean => a.name === b.name && a.address === b.address && a.netmask === b.netmask;

export const differenceOf = (before: readonly Interface[], after: readonly Interface[]): InterfaceChange => ({
  interfaces: after,
  added: after.filter((one) => !before.some((other) => isSame(one, other))),
  removed: before.filter((one) => !after.some((other) => isSame(one, other))),
});

/** Emits `change` when the usable interfaces are no longer the same. */
export class InterfaceWatcher extends EventEmitter<{ change: [InterfaceChange] }> {
  readonly #names: readonly string[];
  readonly #read: ReadInterfaces;
  #interfaces: readonly Interface[];
  #timer: NodeJS.Timeout | undefined;

  constructor({ names = [], read = networkInterfaces }: { readonly names?: readonly string[]; readonly read?: ReadInterfaces } = {}) {
    super();
    this.#names = names;
    this.#read = read;
    this.#interfaces = listInterfaces(names, read);
  }

  get interfaces(): readonly Interface[] {
    return this.#interfaces;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.poll(), POLL_EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Looks now. */
  poll(): void {
    const change = differenceOf(this.#interfaces, listInterfaces(this.#names, this.#read));
    if (change.added.length === 0 && change.removed.length === 0) return;
    this.#interfaces = change.interfaces;
    this.emit('change', change);
  }
}
