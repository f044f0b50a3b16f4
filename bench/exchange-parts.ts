// The exchange without the rest of a peer: files served over streams to a reader with a cache, as two peers do it, but without a catalog,
// and without a player who gets the song by HTTP. What remains is what WebTorrent does.
import { open, stat } from 'node:fs/promises';
import { chunkCount, payloadIdOf, sha256 } from '../lib/content.ts';
import { generateIdentity } from '../lib/identity.ts';
import { type BootId, type PayloadId, type PeerId, randomId } from '../lib/ids.ts';
import { Keyring } from '../lib/keyring.ts';
import { CHUNK_BYTES } from '../lib/limits.ts';
import { openNetwork } from '../lib/network-key.ts';
import { chunkHandlers } from '../peer/chunks/chunk-server.ts';
import { PayloadReader } from '../peer/chunks/payload-reader.ts';
import type { Handler } from '../peer/stream/connection.ts';
import { Streams } from '../peer/stream/streams.ts';
import { ChunkCache } from '../storage/chunk-cache.ts';
import { type LocalIndex, LocalFiles, type StoredFile } from '../storage/local-files.ts';
import { OpenFiles } from '../storage/open-files.ts';

export interface Offer {
  readonly port: number;
  readonly songs: readonly { readonly payload: PayloadId; readonly payloadBytes: number }[];
}

const NOTHING: LocalIndex = { pathsOf: async () => [], pathsOfFile: async () => [], manifestOf: async () => null };
const CACHE_BYTES = 10e9;

const streamsOf = (handlers: ReadonlyMap<string, Handler>): Streams =>
  new Streams({
    self: { identity: generateIdentity(), bootId: randomId<BootId>(), describe: () => ({ name: 'bench', port: 0, httpPort: 0 }) },
    keys: new Keyring(openNetwork('bench'), { wall: Date.now }),
    handlers,
    report: (error) => console.error(error),
  });

/** Serves these files, each as one payload, until the process ends. */
export async function giveParts(paths: readonly string[]): Promise<Offer> {
  const known = new Map<PayloadId, { readonly file: StoredFile; readonly manifest: Buffer }>();
  for (const path of paths) {
    const { size: payloadBytes, mtimeMs } = await stat(path);
    const hashes: Uint8Array[] = [];
    const handle = await open(path, 'r');
    for (let index = 0; index < chunkCount(payloadBytes); index++) {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, index * CHUNK_BYTES);
      hashes.push(sha256(buffer.subarray(0, bytesRead)));
    }
    await handle.close();
    const manifest = Buffer.concat(hashes);
    known.set(payloadIdOf(manifest), { manifest, file: { path, sizeBytes: payloadBytes, mtimeMs, prefixBytes: 0, payloadBytes, suffixBytes: 0, edgeHashes: { prefix: sha256(new Uint8Array()), suffix: sha256(new Uint8Array()) } } });
  }
  const files = new OpenFiles();
  const local = new LocalFiles(
    {
      ...NOTHING,
      pathsOf: async (payload) => [known.get(payload)?.file].filter((file) => file !== undefined),
      manifestOf: async (payload) => known.get(payload)?.manifest ?? null,
    },
    files,
    (path) => console.error(`${path} has changed`),
  );
  const cache = await ChunkCache.open('/nonexistent', { bytesMax: 0, files });
  const handlers = new Map<string, Handler>();
  for (const [method, handler] of chunkHandlers({ local, cache })) handlers.set(method, async (params, asker) => ({ kind: 'bytes', ...(await handler(params, asker)) }));
  const port = await streamsOf(handlers).listen({ host: '127.0.0.1', port: 0 });
  return { port, songs: [...known].map(([payload, { file }]) => ({ payload, payloadBytes: file.payloadBytes })) };
}

/** @returns takes one of the songs that are offered, and keeps it in `folder` @throws Error when not all of it was kept */
export async function openTaker(folder: string, { port, songs }: Offer): Promise<(song: number) => Promise<void>> {
  const files = new OpenFiles();
  const cache = await ChunkCache.open(folder, { bytesMax: CACHE_BYTES, files });
  const connection = await streamsOf(new Map()).dial({ host: '127.0.0.1', port }, { purpose: 'bulk' });
  const giver = { peer: connection.hello.peer as PeerId, requestBytes: connection.requestBytes.bind(connection) };
  const reader = new PayloadReader({
    self: 'ee'.repeat(16) as PeerId,
    local: new LocalFiles(NOTHING, files, () => {}),
    cache,
    providers: { ofPayload: () => [giver], ofFile: () => [], linkTo: () => undefined, watch: () => () => {} },
    random: Math.random,
    onLiar: () => console.error('a wrong chunk'),
  });
  return async (song) => {
    const { payload, payloadBytes } = songs[song] as Offer['songs'][number];
    // what the disk was too slow for is not kept, and has to be taken again
    if (!(await reader.fill({ payload, payloadBytes }))) throw new Error('the cache does not have all of a song');
  };
}
