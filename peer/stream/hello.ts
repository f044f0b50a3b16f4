// The first frame in each direction: who I am. TLS has shown that both hold the network's key; the signature over what only
// the two ends of this session know shows that the sender also holds its identity's key, here and now. Without the side in
// the signed text, a proof could be sent back to its writer as the answer to it.
import { checker } from '../../lib/check.ts';
import { decode, encode } from '../../lib/codec.ts';
import { PeerError } from '../../lib/errors.ts';
import { type Identity, isSignature, peerOf, PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from '../../lib/identity.ts';
import { type BootId, idToBytes, type PeerId } from '../../lib/ids.ts';
import { HELLO_BYTES_MAX, NAME_CHARACTERS_MAX } from '../../lib/limits.ts';

export type Side = 'client' | 'server';
/** Bulk has its own connection, so that no beat of control waits behind a megabyte of music. */
export type Purpose = 'control' | 'bulk';

/** What a peer says of itself. */
export interface Hello {
  readonly peer: PeerId;
  readonly bootId: BootId;
  /** For people; anybody may bear it. */
  readonly name: string;
  /** Where it listens, TCP and UDP; 0 when it does not. */
  readonly port: number;
  readonly httpPort: number;
  readonly version: number;
}

export const PROTOCOL_VERSION = 3;

/** A hello of another version, and what it seems to say of its sender: nothing of it is proven, and another version may have
 *  put something else there. */
export class OtherVersion extends PeerError {
  readonly version: number;
  readonly peer: PeerId | undefined;
  readonly sender: string;
  /** 0 when unknown. */
  readonly port: number;

  constructor(version: number, [, key, , , name, port]: readonly unknown[]) {
    // travels to the other side too, so it takes neither's view
    super('UNSUPPORTED', `versions ${version} and ${PROTOCOL_VERSION} of the protocol do not go together; update the older of the two peers`);
    this.version = version;
    this.peer = key instanceof Uint8Array && key.byteLength === PUBLIC_KEY_BYTES ? peerOf(key) : undefined;
    this.sender = typeof name === 'string' && name.length <= NAME_CHARACTERS_MAX ? name : '';
    this.port = Number.isInteger(port) && (port as number) > 0 && (port as number) < 65_536 ? (port as number) : 0;
  }
}

const check = checker('BAD_FRAME');

const proofText = (side: Side, peer: PeerId, binding: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`spotify-peer/1|${side}|`), idToBytes(peer), binding]);

export interface HelloFrame {
  readonly hello: Hello;
  /** The dialler says it; the listener repeats it. */
  readonly purpose: Purpose;
}

/** @param binding what only the two ends of this session know */
export function encodeHello({ hello, purpose }: HelloFrame, identity: Identity, { side, binding }: { readonly side: Side; readonly binding: Uint8Array }): Buffer {
  return encode([
    hello.version,
    identity.publicKey,
    identity.sign(proofText(side, identity.peer, binding)),
    idToBytes(hello.bootId),
    hello.name,
    hello.port,
    hello.httpPort,
    purpose,
    // for what later versions add: unknown keys are ignored
    {},
  ]);
}

/** @param from the side that sent it
 *  @throws PeerError BAD_FRAME, UNSUPPORTED (OtherVersion), BAD_PROOF */
export function decodeHello(body: Uint8Array, from: { readonly side: Side; readonly binding: Uint8Array }): HelloFrame {
  const tuple = check.list(decode(body, { bytesMax: HELLO_BYTES_MAX, code: 'BAD_FRAME' }), 1);
  const version = check.count(tuple[0], 1);
  // a version raises this number only if the older cannot talk to it; what it merely adds goes into the map
  if (version !== PROTOCOL_VERSION) throw new OtherVersion(version, tuple);
  const [, key, signature, bootId, name, port, httpPort, purpose] = check.list(tuple, 9);
  const publicKey = check.bytes(key, { exactly: PUBLIC_KEY_BYTES });
  const peer = peerOf(publicKey);
  if (!isSignature(publicKey, proofText(from.side, peer, from.binding), check.bytes(signature, { exactly: SIGNATURE_BYTES }))) {
    throw new PeerError('BAD_PROOF', 'the other peer is not who it says it is');
  }
  if (purpose !== 'control' && purpose !== 'bulk') return check.fail('a purpose');
  return {
    hello: {
      version,
      peer,
      bootId: check.id<BootId>(bootId),
      name: check.text(name, NAME_CHARACTERS_MAX),
      port: portOf(port),
      httpPort: portOf(httpPort),
    },
    purpose,
  };
}

const portOf = (value: unknown): number => {
  const port = check.count(value);
  return port < 65_536 ? port : check.fail('a port');
};
