// Sends audio to a player: the range that it asked for, no faster than it takes it, and no further than until it leaves.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PeerError } from '../../lib/errors.ts';
import type { AudioSource } from './api-peer.ts';
import { wanted } from './range.ts';

/** RFC 8187 for names beyond ASCII, with a plain fallback. */
const disposition = (kind: 'inline' | 'attachment', name: string): string => {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/g, '_');
  const encoded = encodeURIComponent(name.replace(/\p{Surrogate}/gu, '_')).replace(/['()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
  return `${kind}; filename="${plain}"; filename*=UTF-8''${encoded}`;
};

/** Aborts when whoever asked has gone, or has all of the answer. */
export function goneSignal({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  if (raw.destroyed) gone.abort();
  else raw.once('close', () => gone.abort());
  return gone.signal;
}

/** @param download whether a browser should save it rather than play it @param gone as `goneSignal` says */
export async function sendAudio(request: FastifyRequest, reply: FastifyReply, source: AudioSource, { download, gone }: { readonly download: boolean; readonly gone: AbortSignal }): Promise<FastifyReply> {
  const { range, 'if-range': ifRange, 'if-none-match': ifNoneMatch } = request.headers;
  const etag = `"${source.etag}"`;
  // A catalog may change what an id's tags are, never quietly what its bytes are: the browser asks before it reuses.
  reply.headers({
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-cache',
    'content-disposition': disposition(download ? 'attachment' : 'inline', source.fileName),
    etag,
  });
  const want = wanted({ range, ifRange: ifRange as string | undefined, ifNoneMatch }, { etag, bytes: source.bytes });
  if (want.kind === 'unchanged') return reply.code(304).send();
  if (want.kind === 'unsatisfiable') {
    reply.header('content-range', `bytes */${source.bytes}`);
    reply.removeHeader('etag').removeHeader('content-disposition');
    return reply.code(416).send({ error: { code: 'BAD_USAGE', message: `these ${source.bytes} bytes have no such range` } });
  }
  const { start, end } = want.kind === 'part' ? want : { start: 0, end: source.bytes };
  const status = want.kind === 'part' ? 206 : 200;
  if (want.kind === 'part') reply.header('content-range', `bytes ${start}-${end - 1}/${source.bytes}`);
  reply.headers({ 'content-type': source.contentType, 'content-length': end - start });
  const { raw } = reply;
  const sendHead = (): void => {
    reply.hijack();
    raw.writeHead(status, reply.getHeaders() as Record<string, string>);
  };
  if (request.method === 'HEAD' || start === end) {
    sendHead();
    raw.end();
    return reply;
  }
  const iterator = source.read(start, end, gone)[Symbol.asyncIterator]();
  let first: IteratorResult<Uint8Array>;
  try {
    // Waits for the first bytes before it promises any: a song whose providers have all gone is an answer, not a cut.
    first = await iterator.next();
    if (first.done) throw new PeerError('SONG_UNAVAILABLE', 'nothing could be read of this song');
  } catch (error) {
    for (const name of ['content-range', 'content-length', 'content-type', 'content-disposition', 'etag', 'accept-ranges']) reply.removeHeader(name);
    throw error;
  }
  sendHead();
  try {
    await pump(first, iterator, raw, { bytes: end - start, gone });
  } catch {
    // Too late for another answer: a connection cut before Content-Length tells the player that bytes are missing.
    raw.destroy();
  }
  return reply;
}

async function pump(
  first: IteratorResult<Uint8Array>,
  iterator: AsyncIterator<Uint8Array>,
  raw: ServerResponse,
  { bytes, gone }: { readonly bytes: number; readonly gone: AbortSignal },
): Promise<void> {
  let left = bytes;
  try {
    for (let item = first; !item.done && !gone.aborted; item = await iterator.next()) {
      left -= item.value.byteLength;
      if (left < 0) throw new PeerError('FILE_CHANGED', 'more bytes than there were');
      if (!raw.write(item.value)) await once(raw, 'drain', { signal: gone });
      if (left === 0) break;
    }
  } finally {
    await iterator.return?.();
  }
  if (left > 0) throw new PeerError('SONG_UNAVAILABLE', 'the song ended early');
  raw.end();
}
