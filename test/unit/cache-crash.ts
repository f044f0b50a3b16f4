// kill -9 in the midst of caching, five times; with SPOTIFY_PEER_LONG=1 two hundred times, each on what the one before left:
// what was written down is found, every chunk is exact, no file is other than its bitmap says, and the bound holds.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { FileId, PayloadId } from '../../lib/ids.ts';
import { CHUNK_BYTES } from '../../lib/limits.ts';
import { integerBetween, seededRandom } from '../../lib/random.ts';
import { CacheEntry, entryFromHeader } from '../../storage/cache-entry.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { crashSongs } from '../fixtures/crash-songs.ts';
import { chunkOf } from '../fixtures/made-song.ts';

const KILLS = process.env['SPOTIFY_PEER_LONG'] ? 200 : 5;
const KILLED_AFTER_MS_MAX = KILLS > 5 ? 2_500 : 900;
/** Of 12 songs of 16 MB in all, so that something is removed all the time. */
const BYTES_MAX = 7e6;
/** Extents of a file with holes, on file systems that count them. */
const SLACK_BYTES_PER_FILE = 4096;
const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
t.comment(`seed ${seed} (SEED=${seed} replays it, but for the moments)`);
t.setTimeout(KILLS * 20_000);

interface Claims {
  /** Per payload, the bitmap that was written down last. */
  readonly bitmaps: Map<PayloadId, Buffer>;
  /** Per payload, what was written, whether or not a bitmap says so. */
  readonly chunks: Map<PayloadId, Set<number>>;
  readonly edges: Set<FileId>;
}

const scratch = mkdtempSync(join(tmpdir(), 'cache-crash-'));
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));
const songs = crashSongs();

/** Lets it cache for a while. @returns what it said before it was killed */
async function killed(claims: Claims, afterMs: number, writerSeed: number): Promise<void> {
  const writer = fileURLToPath(new URL('../fixtures/cache-writer.js', import.meta.url));
  const child = spawn(process.execPath, [writer, scratch, String(writerSeed), String(BYTES_MAX)], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout })) {
    const [word, id, bits] = line.split(' ') as [string, string, string?];
    if (word === 'ready') setTimeout(() => child.kill('SIGKILL'), afterMs);
    else if (word === 'bitmap') claims.bitmaps.set(id as PayloadId, Buffer.from(bits as string, 'hex'));
    else if (word === 'chunk') claims.chunks.set(id as PayloadId, (claims.chunks.get(id as PayloadId) ?? new Set()).add(Number(bits)));
    else if (word === 'edges') claims.edges.add(id as FileId);
    else {
      claims.bitmaps.delete(id as PayloadId);
      claims.chunks.delete(id as PayloadId);
      for (const { file } of songs.find(({ song }) => song.payload === id)?.files ?? []) claims.edges.delete(file);
    }
  }
}

/** ZFS, for one, says seconds later how many blocks a file has. */
async function countsBlocksAtOnce(): Promise<boolean> {
  const path = join(scratch, 'probe');
  await writeFile(path, randomBytes(65_536));
  const { blocks } = await stat(path);
  await rm(path);
  return blocks * 512 >= 65_536;
}

/** What the files say by themselves. */
async function onDisk(): Promise<{ readonly bytes: number; readonly bytesMax: number; readonly blockBytes: number; readonly faults: string[] }> {
  const faults: string[] = [];
  let bytes = 0;
  let blockBytes = 0;
  // a chunk that was torn takes blocks of which no bitmap speaks
  let unspokenBytes = 0;
  for (const name of await readdir(scratch)) {
    const path = join(scratch, name);
    const { size, blocks } = await stat(path);
    // some file systems allocate ahead of what is written, and give it back
    const taken = Math.min(blocks * 512, Math.ceil(size / 4096) * 4096);
    blockBytes += Math.min(taken, Math.max(0, blocks * 512 - SLACK_BYTES_PER_FILE));
    if (name.endsWith('.edges')) bytes += Math.ceil(size / 4096) * 4096;
    else {
      const entry = entryFromHeader(name.split('.')[0] as PayloadId, await readFile(path));
      if (!(entry instanceof CacheEntry)) faults.push(`${name} is none of ours`);
      else {
        bytes += entry.bytes;
        // it is counted whole, and one of an earlier kill may be there still
        if (taken > entry.bytes) unspokenBytes += Math.ceil((taken - entry.bytes) / CHUNK_BYTES + 1) * CHUNK_BYTES;
        if (size > entry.end) faults.push(`${name} is ${size} bytes long, and its last chunk ends at ${entry.end}`);
      }
    }
  }
  return { bytes, bytesMax: bytes + unspokenBytes, blockBytes, faults };
}

t.test('killed at any moment, a cache finds again what was written down, gives no wrong byte, and keeps its bound on the disk', async (t) => {
  const random = seededRandom(seed);
  const claims: Claims = { bitmaps: new Map(), chunks: new Map(), edges: new Set() };
  const sum = { bitmaps: 0, edges: 0, chunks: 0, unspoken: 0, found: 0 };
  for (let kill = 0; kill < KILLS; kill++) {
    await killed(claims, integerBetween(random, 0, KILLED_AFTER_MS_MAX), seed + kill);
    const faults: string[] = [];
    const files = new OpenFiles();
    const cache = await ChunkCache.open(scratch, { bytesMax: BYTES_MAX, files }, { damaged: (payload, part) => faults.push(`${payload} ${part} is damaged`) });
    await cache.flush();
    const disk = await onDisk();
    faults.push(...disk.faults);
    if (cache.bytes < disk.bytes || cache.bytes > disk.bytesMax) faults.push(`${cache.bytes} bytes are counted, and the disk says ${disk.bytes} to ${disk.bytesMax}`);
    if (cache.bytes > BYTES_MAX) faults.push(`${cache.bytes} bytes are more than the bound`);
    if (disk.blockBytes > BYTES_MAX) faults.push(`${disk.blockBytes} bytes of blocks are more than the bound`);
    for (const [payload, claimed] of claims.bitmaps) {
      const bitmap = cache.bitmapOf(payload);
      if (claimed.every((bits, i) => (bits & ~(bitmap?.[i] ?? 0)) === 0)) continue;
      faults.push(`${payload} had chunks ${claimed.toString('hex')} and has ${bitmap && Buffer.from(bitmap).toString('hex')}`);
    }
    for (const { song, files: tags } of songs) {
      for (let index = 0; index < song.manifest.byteLength / 32; index++) {
        if (!cache.hasChunk(song.payload, index)) continue;
        const chunk = await cache.read(song.payload, index);
        if (chunk === null || !chunkOf(song, index).equals(chunk)) faults.push(`${song.payload} ${index} is ${chunk === null ? 'gone' : 'wrong'}`);
        sum.chunks += 1;
      }
      for (const index of claims.chunks.get(song.payload) ?? []) {
        if (((claims.bitmaps.get(song.payload)?.[index >> 3] ?? 0) & (1 << (index & 7))) !== 0) continue;
        sum.unspoken += 1;
        if (cache.hasChunk(song.payload, index)) sum.found += 1;
      }
      for (const { file, prefix, suffix } of tags) {
        const kept = cache.filesOf(song.payload).includes(file);
        if (!kept && claims.edges.has(file)) faults.push(`edges of ${file} are gone`);
        if (!kept) continue;
        const read = await Promise.all([cache.readEdge(file, 'prefix'), cache.readEdge(file, 'suffix')]);
        if (!read.every((bytes, i) => bytes && [prefix, suffix][i]?.equals(bytes))) faults.push(`edges of ${file} are wrong`);
      }
    }
    sum.bitmaps += claims.bitmaps.size;
    sum.edges += claims.edges.size;
    await cache.close();
    await files.close();
    if (faults.length > 0) t.fail(`kill ${kill}: ${faults.slice(0, 5).join('; ')}`);
  }
  t.comment(`${KILLS} kills: ${sum.bitmaps} songs and ${sum.edges} edges were written down and found; ${sum.chunks} chunks were right`);
  t.comment(`of ${sum.unspoken} chunks that no bitmap spoke of yet ${sum.found} were found`);
  t.ok(sum.bitmaps > KILLS && sum.edges > 0 && sum.chunks > 10 * KILLS);
  t.ok(sum.unspoken > KILLS);
  if (await countsBlocksAtOnce()) t.equal(sum.found, sum.unspoken, 'what no bitmap spoke of yet is found as well');
});
