// Where the server listens: `[HOST:]PORT`. A port that somebody named has to be free; the default one gives way.
import type { Server } from 'node:http';
import { isIPv6 } from 'node:net';
import { codeOf, PeerError } from '../../lib/errors.ts';
import { HTTP_PORT_TRIES } from '../../lib/limits.ts';

export interface HttpAddress {
  /** undefined listens on every address of the machine. */
  readonly host?: string;
  /** 0 is any free one. */
  readonly port: number;
}

export const HTTP_PORT_DEFAULT = 7700;

/** A name leads to an address and to no port, and people were told 7700: a machine whose page is at another one, or for itself
 *  alone, cannot be what `http://spotify-peer.local:7700` opens. */
export const mayBeGateway = ({ httpPort, localOnly }: { readonly httpPort: number; readonly localOnly: boolean }): boolean =>
  httpPort === HTTP_PORT_DEFAULT && !localOnly;

/** '7700', '127.0.0.1:7700', '[::1]:7700', '0'. Throws BAD_USAGE. */
export function parseHttpAddress(text: string): HttpAddress {
  const match = /^(?:(?:\[([0-9a-fA-F:.%]+)\]|([^\s:[\]/]+)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new PeerError('BAD_USAGE', `'${text}' is no [HOST:]PORT; 7700 and 127.0.0.1:7700 are`);
  const host = match[1] ?? match[2];
  return host === undefined ? { port } : { host, port };
}

/** @returns an address that works from this machine */
export const urlOf = ({ host, port }: HttpAddress): string => {
  const name = host === undefined || host === '::' || host === '0.0.0.0' ? '127.0.0.1' : host;
  return `http://${isIPv6(name) ? `[${name}]` : name}:${port}`;
};

const listenOnce = (server: Server, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });

/** @param address undefined is the default port, or the next free one
 *  @returns where it listens now. Throws PORT_TAKEN, ADDRESS_INVALID, FORBIDDEN. */
export async function listen(server: Server, address?: HttpAddress): Promise<HttpAddress> {
  const { host, port } = address ?? { port: HTTP_PORT_DEFAULT };
  const last = address === undefined ? port + HTTP_PORT_TRIES : port;
  // '::' takes IPv4 too; a machine without IPv6 refuses it.
  const hosts = host === undefined ? ['::', '0.0.0.0'] : [host];
  for (let next = port, kind = 0; ; ) {
    const at = hosts[kind] as string;
    try {
      await listenOnce(server, at, next);
      const bound = server.address() as { port: number };
      return host === undefined ? { port: bound.port } : { host, port: bound.port };
    } catch (cause) {
      const code = codeOf(cause);
      if ((code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL') && kind + 1 < hosts.length) kind += 1;
      else if (code === 'EADDRINUSE' && next < last) next += 1;
      else if (code === 'EADDRINUSE') throw new PeerError('PORT_TAKEN', `port ${next} is in use here; choose another with --http`, { cause });
      else if (code === 'EACCES') throw new PeerError('FORBIDDEN', `port ${next} needs more rights; choose one above 1023 with --http`, { cause });
      else throw new PeerError('ADDRESS_INVALID', `cannot listen on ${at}:${next}; is this an address of this machine?`, { cause });
    }
  }
}
