// What the measurements of the exchange that run in the lab have in common: hosts with peers, songs by title, and bytes over HTTP.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { loadavg } from 'node:os';
import { Api } from '../test/lab/api.ts';
import type { Host, Lab } from '../test/lab/lab.ts';
import { musicFolder, wav } from '../test/lab/music.ts';
import { meet } from '../test/lab/network.ts';
import { type Peer, startPeer } from '../test/lab/peers.ts';
import { until } from '../test/lab/until.ts';

const PATIENCE_MS = 120_000;
const HTTP_HOST = '127.0.0.1:7700';
/** Of Linux, on every machine that one meets. */
const TICKS_PER_SECOND = 100;

/** A row for RESULTS.md. @param reached undefined where there is no goal */
export function row(name: string, { what, goal, measured, reached }: { readonly what: string; readonly goal?: string; readonly measured: string; readonly reached?: boolean }): void {
  const verdict = reached === false ? '**not reached**: ' : '';
  console.log(`| ${what} | ${goal ?? ''} | ${verdict}${measured} | \`node build/bench/exchange.js ${name}\` |`);
}

/** What a process has taken so far, of all its threads. */
export function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Beside each table: figures of a machine with other work are for nobody. */
export const load = (): string => `load average ${(loadavg()[0] as number).toFixed(1)}`;

/** A WAV file of `bytes` of sound in the music folders of these hosts. @returns the file */
export function giveSong(hosts: readonly Host[], title: string, bytes: number): Buffer {
  const file = wav({ title, artist: 'Measured', album: 'Bench' }, title, bytes);
  for (const host of hosts) {
    mkdirSync(musicFolder(host), { recursive: true });
    writeFileSync(join(musicFolder(host), `${title}.wav`), file);
  }
  return file;
}

export interface Node {
  readonly host: Host;
  readonly peer: Peer;
  readonly api: Api;
}

/** Of TCP in the hosts, as on machines that one meets: by loss. BBR, where the kernel has it for its default, finds a round trip of 9 us on
 *  a wire between namespaces, and paces by it. To be called before anything is connected. */
export async function goByLoss(lab: Lab): Promise<void> {
  for (const host of lab.hosts) await host.run('sysctl', ['-qw', 'net.ipv4.tcp_congestion_control=reno']);
}

/** Starts a peer on each of the hosts, and waits until all know `songs` songs with the number of holders that each has to have. */
export async function startNodes(lab: Lab, options: { readonly songs: number; readonly holders: number; readonly args?: readonly string[] }): Promise<Node[]> {
  const apis = await Promise.all(lab.hosts.map((host) => Api.open(host)));
  const peers = await Promise.all(lab.hosts.map((host) => startPeer(host, { folders: [musicFolder(host)], args: options.args ?? [] })));
  await meet(peers, PATIENCE_MS);
  await until(
    `everybody knows ${options.songs} songs`,
    PATIENCE_MS,
    () => Promise.all(apis.map(async (api) => (await api.catalog()).filter(({ providers }) => providers.length >= options.holders).length)),
    (counts) => counts.every((count) => count === options.songs),
  );
  return lab.hosts.map((host, i) => ({ host, peer: peers[i] as Peer, api: apis[i] as Api }));
}

export async function idsByTitle({ api }: Node): Promise<ReadonlyMap<string, string>> {
  return new Map((await api.catalog()).map(({ title, id }) => [title, id]));
}

export interface Drained {
  readonly bytes: number;
  readonly ms: number;
  readonly firstByteMs: number;
}

/** Takes a whole song as fast as it comes. */
export function drain({ api }: Node, song: string): Promise<Drained> {
  const beganAt = performance.now();
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: api.socket, path: `/api/songs/${song}/audio`, headers: { host: HTTP_HOST }, agent: false }, (answer) => {
      let bytes = 0;
      let firstByteMs = 0;
      answer.on('data', (part: Buffer) => {
        firstByteMs ||= performance.now() - beganAt;
        bytes += part.byteLength;
      });
      answer.on('error', reject);
      answer.on('end', () => {
        if (answer.statusCode !== 200 || bytes !== Number(answer.headers['content-length'])) reject(new Error(`${song}: ${answer.statusCode}, ${bytes} bytes`));
        else resolve({ bytes, ms: performance.now() - beganAt, firstByteMs });
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}
