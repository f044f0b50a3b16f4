// `start` to ready with 20,000 known songs, and memory with 300.
//   node build/bench/start.js [rounds]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { summary } from './figures.ts';
import { memoryOf, startProgram } from './program.ts';
import { writeSongs } from './songs.ts';

const ROUNDS = Number(process.argv[2] ?? 11);
/** Workers end and the garbage collector settles. */
const REST_MS = 10_000;

const folder = mkdtempSync(join(tmpdir(), 'bench-start-'));
try {
  const args = (name: string): string[] => [join(folder, name), '--data', join(folder, `${name}-data`), '--network', `bench-${process.pid}`];
  writeSongs(join(folder, 'many'), 20_000, () => ({ soundBytes: 2_000 }));
  const first = await startProgram(args('many'));
  await first.event('scanned');
  await first.stop();
  const ready: number[] = [];
  const found: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now();
    const peer = await startProgram(args('many'));
    ready.push(peer.readyMs);
    await (await fetch(`${peer.http}/api/search?q=song&limit=1`)).json();
    found.push(performance.now() - startedAt);
    await peer.stop();
  }
  console.log(`start to ready with 20,000 known songs, ms: ${summary(ready, 0)}`);
  console.log(`start to the first answered search of them, ms: ${summary(found, 0)}`);

  writeSongs(join(folder, 'few'), 300, () => ({ soundBytes: 400_000 }));
  for (const label of ['after the first scan', 'after a restart']) {
    const peer = await startProgram(args('few'));
    await peer.event('scanned');
    await pause(REST_MS);
    const rest = memoryOf(peer.child);
    for (let i = 0; i < 100; i++) await (await fetch(`${peer.http}/api/search?q=song&limit=50`)).arrayBuffer();
    await pause(REST_MS);
    const used = memoryOf(peer.child);
    console.log(`memory with 300 songs ${label}, MiB: ${rest.now.toFixed(0)} at rest, ${used.now.toFixed(0)} after 100 searches, ${used.peak.toFixed(0)} at most`);
    await peer.stop();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
