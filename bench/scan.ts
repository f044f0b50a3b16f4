// Songs scanned per second, with one worker and with two, and how much of it is reading and hashing.
//   node build/bench/scan.js [songs] [megabytes]
// Each measurement runs in a process of its own, so that its peak memory is its own.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readdirSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CHUNK_BYTES } from '../lib/limits.ts';
import { systemClock } from '../lib/time.ts';
import { ScanPool } from '../storage/scanner/pool.ts';
import { Scanner } from '../storage/scanner/scanner.ts';
import { id3v2, mp3 } from '../test/fixtures/audio.ts';
import { MemoryFileStore } from '../test/fixtures/file-store.ts';

type Measurement = () => Promise<void>;

const paths = (folder: string): string[] => readdirSync(folder).map((name) => join(folder, name));

const pooled = (folder: string, workersMax: number): Measurement => async () => {
  const pool = new ScanPool({ workersMax });
  await Promise.all(paths(folder).map((path) => pool.run(path)));
  await pool.close();
};

const measurements = (folder: string): Record<string, Measurement> => ({
  'scanner, as started by a peer': async () => {
    const scanner = new Scanner({ folders: [folder], files: new MemoryFileStore(), clock: systemClock, onFound() {}, onChanged() {}, onLost() {} });
    await scanner.start();
    await scanner.close();
  },
  'one worker': pooled(folder, 1),
  'two workers': pooled(folder, 2),
  'only reading and SHA-256 of 64 KiB, one thread': async () => {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (const path of paths(folder)) {
      const descriptor = openSync(path, 'r');
      for (let bytes = readSync(descriptor, buffer); bytes > 0; bytes = readSync(descriptor, buffer)) createHash('sha256').update(buffer.subarray(0, bytes)).digest();
      closeSync(descriptor);
    }
  },
  'only reading, one thread': async () => {
    const buffer = Buffer.allocUnsafe(4 * CHUNK_BYTES);
    for (const path of paths(folder)) {
      const descriptor = openSync(path, 'r');
      while (readSync(descriptor, buffer) > 0);
      closeSync(descriptor);
    }
  },
});

const [first = '300', second = '4', name] = process.argv.slice(2);
if (name !== undefined) {
  const begun = performance.now();
  await (measurements(first)[name] as Measurement)();
  const ms = performance.now() - begun;
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  process.stdout.write(JSON.stringify({ ms, cpuMs: (userCPUTime + systemCPUTime) / 1000, rssMiB: maxRSS / 1024 }));
} else {
  const folder = mkdtempSync(join(tmpdir(), 'bench-scan-'));
  try {
    const songs = Number(first);
    const sound = await mp3({ seconds: 10 });
    const audio = Buffer.concat(Array<Buffer>(Math.ceil((Number(second) * 1_000_000) / sound.byteLength)).fill(sound));
    for (let i = 0; i < songs; i++) {
      const tags = id3v2({ title: `Song ${i}`, artist: `Artist ${i % 30}`, album: `Album ${i % 60}`, track: (i % 12) + 1, cover: Buffer.alloc(30_000, i) });
      // The same frames, but another song: one byte of its last frame tells.
      audio.writeUInt16BE(i, audio.byteLength - 2);
      writeFileSync(join(folder, `${i}.mp3`), Buffer.concat([tags, audio]));
    }
    for (const each of Object.keys(measurements(folder))) {
      const run = (): { ms: number; cpuMs: number; rssMiB: number } => JSON.parse(execFileSync(process.execPath, [fileURLToPath(import.meta.url), folder, second, each], { encoding: 'utf8' }));
      run();
      const { ms, cpuMs, rssMiB } = run();
      console.log(`${each}: ${Math.round((songs * 1000) / ms)} songs/s, ${(cpuMs / songs).toFixed(2)} ms of CPU each, peak ${Math.round(rssMiB)} MiB`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
