// Where a peer can be reached: a host and a port, as people type it, as datagrams show it and as it is kept.
import { isIP, isIPv4 } from 'node:net';
import { PeerError } from '../lib/errors.ts';
import { HOST_CHARACTERS_MAX } from '../lib/limits.ts';

export interface Address {
  /** An IP address or a host name, without brackets. */
  readonly host: string;
  readonly port: number;
}

export const isPort = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;

const HOST_NAME = /^(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i;

export const isHost = (text: unknown): text is string =>
  typeof text === 'string' && text.length <= HOST_CHARACTERS_MAX && (isIP(text) !== 0 || (HOST_NAME.test(text) && !/^[\d.]+$/.test(text)));

/** `host`, `host:port`, `1.2.3.4:port`, `[v6]:port` or a bare IPv6 address.
 *  @throws PeerError ADDRESS_INVALID */
export function parseAddress(text: string, portDefault: number): Address {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(text);
  const plain = isIP(text) === 6 ? [text, text, undefined] : /^([^:]+)(?::(\d+))?$/.exec(text);
  const [, host, portText] = bracketed ?? plain ?? [];
  const port = portText === undefined ? portDefault : Number(portText);
  if (!isHost(host) || !isPort(port)) throw new PeerError('ADDRESS_INVALID', `'${text}' is not HOST[:PORT], as in 192.168.1.20:17784`);
  return { host, port };
}

export const formatAddress = ({ host, port }: Address): string => (isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`);

/** Reaches only the machine that says it. */
export const isLoopback = (host: string): boolean =>
  (isIPv4(host) && host.startsWith('127.')) || host === '::1' || /(^|\.)localhost\.?$/i.test(host);

/** Reaches no peer at all: the wildcard, multicast, broadcast. */
export const isNowhere = (host: string): boolean =>
  host === '::' || /^ff/i.test(host) && isIP(host) === 6 || (isIPv4(host) && (host.startsWith('0.') || Number(host.split('.', 1)[0]) >= 224));
