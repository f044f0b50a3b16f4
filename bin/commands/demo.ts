// Three peers on this machine with music that is generated on the spot, in a network and a folder of their own that end
// with the demo.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { PeerError } from '../../lib/errors.ts';
import { DEMO_TUNES, type Tune, wavOf } from '../../lib/wav.ts';
import { Client } from '../client.ts';
import { program } from '../program.ts';
import { plural } from '../text.ts';

const PEERS = ['kitchen', 'studio', 'attic'] as const;
const MEET_MS = 15_000;
const POLL_MS = 100;

interface DemoPeer {
  readonly name: string;
  readonly data: string;
  readonly http: string;
  readonly child: ChildProcess;
}

export async function demo(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'spotify-peer-demo-'));
  const children: ChildProcess[] = [];
  const ended = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
  try {
    process.stdout.write(`three peers with ${plural(DEMO_TUNES.length, 'generated song')}, in ${folder}\n`);
    const network = `demo-${process.pid}`;
    const startedAt = performance.now();
    const peers = await Promise.all(PEERS.map((name, i) => startPeer(name, { folder, network, tunes: tunesOf(i), children })));
    for (const { name, http } of peers) process.stdout.write(`  ${name.padEnd(8)} ${http}\n`);
    const first = peers[0] as DemoPeer;
    const songs = await everySong(first.data);
    process.stdout.write(
      `after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s ${first.name} has found all ${plural(songs, 'song')}, its own ${tunesOf(0).length} and those of the others\n\n` +
        `  listen:  ${first.http}\n  search:  ${program} --data ${first.data} search rain\n  play:    ${program} --data ${first.data} play rain\n\nCtrl-C ends the demo and removes its folder\n`,
    );
    await ended;
  } finally {
    await Promise.all(children.map(stop));
    await rm(folder, { recursive: true, force: true });
  }
}

const tunesOf = (peer: number): readonly Tune[] => DEMO_TUNES.filter((_, i) => i % PEERS.length === peer);

async function startPeer(
  name: string,
  { folder, network, tunes, children }: { readonly folder: string; readonly network: string; readonly tunes: readonly Tune[]; readonly children: ChildProcess[] },
): Promise<DemoPeer> {
  const music = join(folder, `${name}-music`);
  const data = join(folder, name);
  await mkdir(music);
  await Promise.all(
    tunes.map((tune) => {
      const wav = wavOf(tune);
      return pipeline(Readable.from(wav.read(0, wav.bytes)), createWriteStream(join(music, `${tune.title}.wav`)));
    }),
  );
  const args = ['start', music, '--data', data, '--name', name, '--network', network, '--port', '0', '--http', '0', '--json'];
  const child = spawn(process.execPath, [process.argv[1] as string, ...args], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout as Readable })) {
    const event = JSON.parse(line) as { readonly event: string; readonly http: string };
    if (event.event !== 'ready') continue;
    child.stdout?.resume();
    return { name, data, http: event.http, child };
  }
  throw new PeerError('NO_PEER', `the peer ${name} did not start`);
}

/** @returns how many songs the peer has found once they are all there */
async function everySong(data: string): Promise<number> {
  const client = await Client.local(data);
  for (const startedAt = performance.now(); ; ) {
    const { songs } = (await client.status()).catalog;
    if (songs === DEMO_TUNES.length || performance.now() - startedAt > MEET_MS) return songs;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Detached, so that Ctrl-C reaches only the demo, which then ends them one after the other and politely. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}
