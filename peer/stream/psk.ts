// TLS 1.3 with the network's key as pre-shared key (RFC 8446, 2.2) and no certificates: who lacks the key fails in the
// handshake, before a byte of ours is sent. Node asks for psk_dhe_ke, so streams have forward secrecy: who learns the key
// later cannot read what was recorded.
//
// Node's pskCallback serves SHA-256 suites only (TLS_AES_256_GCM_SHA384 fails in the handshake).
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { PeerError, codeOf } from '../../lib/errors.ts';
import type { Keyring, NetworkKeys } from '../../lib/keyring.ts';

const context = tls.createSecureContext({
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256',
  minVersion: 'TLSv1.3',
  // no authority may vouch for anybody: only the key counts
  ca: [],
  // a ticket would let its holder in after the key has changed
  secureOptions: constants.SSL_OP_NO_TICKET,
});

/** @param identity the hash of the network whose key the client holds */
export const serverSide = (socket: Socket, keys: Keyring): tls.TLSSocket =>
  new tls.TLSSocket(socket, {
    isServer: true,
    secureContext: context,
    pskCallback: (_socket: tls.TLSSocket, identity: string) => (keys.find(identity)?.psk as NodeJS.ArrayBufferView | undefined) ?? null,
  } as tls.TLSSocketOptions);

export interface Reading {
  /** Where the socket shall put what it reads next. */
  readonly space: () => Uint8Array;
  readonly filled: (bytes: number) => void;
}

/** Only a socket that connects can read into our buffers: Node ignores `onread` on those that a server accepts. */
export const clientSide = (address: { readonly host: string; readonly port: number }, { hash, psk }: NetworkKeys, { space, filled }: Reading): tls.TLSSocket =>
  tls.connect({
    ...address,
    secureContext: context,
    pskCallback: () => ({ psk: psk as NodeJS.ArrayBufferView, identity: hash }),
    // asked only when the server came with a certificate and not with the key
    checkServerIdentity: () => new PeerError('HANDSHAKE_FAILED', 'a certificate is no key'),
    onread: {
      buffer: space,
      callback: (bytes: number): boolean => {
        filled(bytes);
        return true;
      },
    },
  } as tls.ConnectionOptions);

/** Did both sides show that they hold the key? With a pre-shared key OpenSSL reports a resumed session. */
export const isKeyed = (socket: tls.TLSSocket): boolean => socket.isSessionReused() && socket.getProtocol() === 'TLSv1.3';

const EXPORTER_LABEL = 'EXPORTER-spotify-peer-1';

/** 32 bytes that only the two ends of this one session know (RFC 8446, 7.5). */
export const bindingOf = (socket: tls.TLSSocket): Buffer => socket.exportKeyingMaterial(32, EXPORTER_LABEL, Buffer.alloc(0));

/** What a failure before the HELLO means to a person, by the code of the operating system or of OpenSSL. */
export function dialError(cause: unknown, { host, port }: { readonly host: string; readonly port: number }): PeerError {
  if (cause instanceof PeerError) return cause;
  const code = codeOf(cause) ?? '';
  const at = `${host}:${port}`;
  if (code === 'ECONNREFUSED') return new PeerError('CONNECTION_REFUSED', `no peer listens at ${at}`, { cause });
  if (code === 'ETIMEDOUT') return new PeerError('TIMED_OUT', `${at} does not answer`, { cause });
  if (/^(ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|EADDRNOTAVAIL|EINVAL)$/.test(code)) {
    return new PeerError('NO_PEER', `${at} cannot be reached`, { cause });
  }
  if (code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS')) {
    return new PeerError('HANDSHAKE_FAILED', `${at} does not hold the key of this network`, { cause });
  }
  return new PeerError('HANDSHAKE_FAILED', `${at} hung up during the handshake`, { cause });
}
