// From a fresh socket to a connection: both sides show the network's key (psk.ts), then the client says who it is, then the
// server (hello.ts). All of it within HANDSHAKE_TIMEOUT_MS, or a caller that says nothing would hold its place for ever.
import { PeerError } from '../../lib/errors.ts';
import type { Identity } from '../../lib/identity.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import { type Channel, decodeFailure } from './channel.ts';
import { FRAME, type Frame } from './frame.ts';
import { decodeHello, encodeHello, type Hello, PROTOCOL_VERSION, type Purpose, type Side } from './hello.ts';

/** Who we are. */
export interface Self {
  readonly identity: Identity;
  readonly bootId: BootId;
  /** Read at every handshake, because ports and names are known late. */
  readonly describe: () => Pick<Hello, 'name' | 'port' | 'httpPort'>;
}

export interface HandshakeOptions {
  readonly self: Self;
  readonly timeoutMs: number;
  /** Only this peer will do. */
  readonly expect?: PeerId | undefined;
}

/** @param purpose the client's; undefined for a server, which hears it
 *  @param open makes the connection, at once, so that frames which follow the hello in the same read find it
 *  @returns what `open` made; throws what broke the handshake, and then the channel is closed */
export function shakeHands<Opened>(
  channel: Channel,
  { self, timeoutMs, expect }: HandshakeOptions,
  purpose: Purpose | undefined,
  open: (hello: Hello, purpose: Purpose) => Opened,
): Promise<Opened> {
  const [own, other]: readonly Side[] = purpose ? ['client', 'server'] : ['server', 'client'];
  const greet = (said: Purpose): void => {
    const hello: Hello = { ...self.describe(), version: PROTOCOL_VERSION, peer: self.identity.peer, bootId: self.bootId };
    channel.send(FRAME.hello, 0, encodeHello({ hello, purpose: said }, self.identity, { side: own as Side, binding: channel.binding }));
  };
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => channel.close(new PeerError('TIMED_OUT', `${channel.remote.host}:${channel.remote.port} did not finish the handshake`)), timeoutMs);
    channel.closed.then((error) => {
      clearTimeout(timer);
      reject(error);
    });
    const receive = (frame: Frame): void => {
      if (frame.type === FRAME.failed && frame.id === 0) return channel.close(decodeFailure(frame.body));
      if (frame.type !== FRAME.hello) throw new PeerError('BAD_FRAME', 'no hello');
      const { hello, purpose: heard } = decodeHello(frame.body, { side: other as Side, binding: channel.binding });
      refuseWrongPeer(hello, self, expect);
      if (!purpose) greet(heard);
      clearTimeout(timer);
      resolve(open(hello, purpose ?? heard));
    };
    channel.listen(receive);
    channel.keyed.then(
      () => purpose && greet(purpose),
      () => {},
    );
  });
}

function refuseWrongPeer({ peer, bootId }: Hello, self: Self, expect: PeerId | undefined): void {
  if (peer === self.identity.peer) {
    if (bootId === self.bootId) throw new PeerError('SELF', 'this address is our own');
    throw new PeerError('CLONE', 'another process has the same identity: its data folder is a copy of this one');
  }
  if (expect !== undefined && peer !== expect) throw new PeerError('WRONG_PEER', 'another peer than the expected one answers here');
}
