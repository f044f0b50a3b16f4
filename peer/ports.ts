// The port of peer traffic: one number, for datagrams and for streams. A number that a person gave must be free; otherwise
// it is the one of last time, so that others find this peer where they remember it, or the next free one.
import { createServer } from 'node:net';
import { Unicast } from '../discovery/unicast.ts';
import { codeOf, PeerError } from '../lib/errors.ts';

export const PEER_PORT_DEFAULT = 17_784;
/** Peers on one machine beyond this take any port. */
const TRIES = 64;

/** @throws PeerError PORT_TAKEN when `wanted` is not free */
export async function openPort({ wanted, remembered }: { readonly wanted: number | undefined; readonly remembered: number | undefined }): Promise<Unicast> {
  if (wanted !== undefined) {
    // any port is another one each time, and one that is free for datagrams may be taken by a stream
    for (let tries = 0; tries < (wanted === 0 ? TRIES : 1); tries++) {
      const unicast = await tryPort(wanted);
      if (unicast) return unicast;
    }
    throw new PeerError('PORT_TAKEN', `port ${wanted} is taken by another program; choose another with --port`);
  }
  const next = Array.from({ length: TRIES }, (_, i) => PEER_PORT_DEFAULT + i);
  for (const port of [...(remembered ? [remembered] : []), ...next, 0]) {
    const unicast = await tryPort(port);
    if (unicast) return unicast;
  }
  throw new PeerError('PORT_TAKEN', 'no port is free for peer traffic');
}

async function tryPort(port: number): Promise<Unicast | undefined> {
  try {
    const unicast = await Unicast.open({ port });
    if (await isFree(unicast.port)) return unicast;
    await unicast.close();
    return undefined;
  } catch (error) {
    if (['PORT_TAKEN', 'EADDRINUSE', 'EACCES'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** The datagrams' port is ours by now; are streams free there too? */
const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '0.0.0.0', exclusive: true }, () => server.close(() => resolve(true)));
  });
