// First byte of a file that this machine itself has, over HTTP on loopback, alternating with minidlna (Debian's) where it is
// installed, so that both meet the same noise.
//   node build/bench/own-file.js [requests]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { summary } from './figures.ts';
import { startProgram } from './program.ts';
import { writeSongs } from './songs.ts';

const REQUESTS = Number(process.argv[2] ?? 2_000);
const SONGS = 300;
const MINIDLNA = '/usr/sbin/minidlnad';
const MINIDLNA_PORT = 18_200;
const MINIDLNA_TRIES = 300;
const ID_GAPS = 8;

/** Both servers see the same client: keep-alive, the body left after its first bytes. */
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function firstByte(url: string): Promise<number> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    http
      .get(url, { agent, headers: { range: 'bytes=0-65535' } }, (response) => {
        let first: number | undefined;
        response.on('data', () => (first ??= performance.now() - startedAt));
        response.on('end', () => (first !== undefined && (response.statusCode ?? 500) < 300 ? resolve(first) : reject(new Error(`${url}: ${response.statusCode}`))));
      })
      .on('error', reject);
  });
}

const folder = mkdtempSync(join(tmpdir(), 'bench-own-'));
const music = join(folder, 'music');
mkdirSync(music);
writeSongs(music, SONGS, () => ({ soundBytes: 1_000_000 }));
const peer = await startProgram([music, '--data', join(folder, 'data'), '--network', `bench-${process.pid}`]);
await peer.event('scanned');
const { songs } = (await (await fetch(`${peer.http}/api/search?limit=${SONGS}`)).json()) as { songs: { id: string }[] };
const ours = songs.map(({ id }) => `${peer.http}/api/songs/${id}/audio`);

const theirs: string[] = [];
let minidlna: ReturnType<typeof spawn> | undefined;
if (existsSync(MINIDLNA)) {
  const config = join(folder, 'minidlna.conf');
  writeFileSync(config, `media_dir=A,${music}\ndb_dir=${join(folder, 'minidlna')}\nport=${MINIDLNA_PORT}\nnetwork_interface=lo\ninotify=no\n`);
  mkdirSync(join(folder, 'minidlna'));
  minidlna = spawn(MINIDLNA, ['-d', '-f', config, '-P', join(folder, 'minidlna.pid')], { stdio: 'ignore' });
  const base = `http://127.0.0.1:${MINIDLNA_PORT}`;
  const counted = async (): Promise<boolean> => (await (await fetch(base)).text()).includes(`Audio files</td><td>${SONGS}<`);
  for (let tries = 0; tries < MINIDLNA_TRIES && !(await counted().catch(() => false)); tries++) await pause(100);
  // its ids count folders, artists and albums too
  for (let id = 1; id < SONGS * ID_GAPS && theirs.length < SONGS; id++) {
    const url = `${base}/MediaItems/${id}.mp3`;
    if (await firstByte(url).then(() => true, () => false)) theirs.push(url);
  }
}

const times = { ours: [] as number[], theirs: [] as number[] };
for (let i = -SONGS; i < REQUESTS; i++) {
  const own = await firstByte(ours[(i + SONGS) % ours.length] as string);
  const other = theirs.length > 0 ? await firstByte(theirs[(i + SONGS) % theirs.length] as string) : undefined;
  if (i < 0) continue; // warm up both
  times.ours.push(own);
  if (other !== undefined) times.theirs.push(other);
}
console.log(`own file, first byte over HTTP, ms: ${summary(times.ours, 2)}`);
console.log(times.theirs.length > 0 ? `minidlna, the same files, ms: ${summary(times.theirs, 2)}` : 'minidlna is not installed here or did not serve');
await peer.stop();
if (minidlna) {
  minidlna.kill('SIGTERM');
  await once(minidlna, 'exit');
}
rmSync(folder, { recursive: true, force: true });
process.exit(0);
