// How fast chunks go through one process: served from own files, verified by the server, verified by the reader, kept in the
// cache; the network is a function call. Prints MB/s, so that a change of the exchange can be weighed by itself.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chunkCount, payloadIdOf, sha256 } from '../lib/content.ts';
import { CHUNK_BYTES } from '../lib/limits.ts';
import type { PeerId } from '../lib/ids.ts';
import { seededRandom } from '../lib/random.ts';
import { chunkHandlers } from '../peer/chunks/chunk-server.ts';
import { PayloadReader } from '../peer/chunks/payload-reader.ts';
import type { ChunkLink, Providers } from '../peer/chunks/provider-link.ts';
import { ChunkCache } from '../storage/chunk-cache.ts';
import { LocalFiles } from '../storage/local-files.ts';
import { OpenFiles } from '../storage/open-files.ts';
import { served } from '../test/fixtures/served.ts';

const MB = 1_000_000;
const payloadBytes = 128 * 1024 * 1024;
const folder = await mkdtemp(join(tmpdir(), 'spotify-peer-bench-'));
const files = new OpenFiles();
try {
  const bytes = randomBytes(payloadBytes);
  const manifest = Buffer.concat(Array.from({ length: chunkCount(payloadBytes) }, (_, i) => sha256(bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES))));
  const payload = payloadIdOf(manifest);
  const path = join(folder, 'song');
  await writeFile(path, bytes);
  const { mtimeMs } = await stat(path);
  const file = { path, sizeBytes: payloadBytes, mtimeMs, prefixBytes: 0, payloadBytes, suffixBytes: 0, edgeHashes: { prefix: sha256(new Uint8Array()), suffix: sha256(new Uint8Array()) } };
  const own = new LocalFiles({ pathsOf: async () => [file], pathsOfFile: async () => [], manifestOf: async () => manifest }, files, () => {});
  const nothing = new LocalFiles({ pathsOf: async () => [], pathsOfFile: async () => [], manifestOf: async () => null }, files, () => {});
  const none: Providers = { ofPayload: () => [], ofFile: () => [], linkTo: () => undefined, watch: () => () => {} };
  const refusing = await ChunkCache.open(join(folder, 'none'), { bytesMax: 0, files });
  const handlers = chunkHandlers({ local: own, cache: refusing });
  const link: ChunkLink = { peer: '0'.repeat(32) as PeerId, requestBytes: served(handlers) };
  const random = seededRandom(1);
  const self = '1'.repeat(32) as PeerId;
  const one: Providers = { ...none, ofPayload: () => [link] };
  const cache = await ChunkCache.open(join(folder, 'cache'), { bytesMax: 4 * payloadBytes, files });

  const measure = async (what: string, reader: PayloadReader): Promise<void> => {
    const started = performance.now();
    let firstMs = 0;
    for await (const _ of reader.open({ payload, payloadBytes, start: 0, end: payloadBytes })) firstMs ||= performance.now() - started;
    const seconds = (performance.now() - started) / 1000;
    console.log(`${what.padEnd(44)} ${Math.round(payloadBytes / MB / seconds)} MB/s, first chunk after ${firstMs.toFixed(1)} ms`);
  };
  const onLiar = (): void => {};
  await measure('own file, verified', new PayloadReader({ self, local: own, cache: refusing, providers: none, onLiar, random }));
  await measure('from a provider, verified twice', new PayloadReader({ self, local: nothing, cache: refusing, providers: one, onLiar, random }));
  await measure('from a provider, verified twice, cached', new PayloadReader({ self, local: nothing, cache, providers: one, onLiar, random }));
  console.log(`cached: ${cache.complete(payload) ? 'all' : `${Math.round(cache.bytes / MB)} MB`}`);
  // What the disk was too slow to keep comes from the provider again.
  await measure('from the cache, verified', new PayloadReader({ self, local: nothing, cache, providers: one, onLiar, random }));
  await cache.close();
} finally {
  await files.close();
  await rm(folder, { recursive: true });
}
