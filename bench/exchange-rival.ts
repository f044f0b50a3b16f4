// WebTorrent for bench/exchange-transfer.ts: fetched by this file and not by `npm install`, because 40 MB of it are for one measurement.
// Its WebRTC is a native add-on that does not install everywhere and is not what is measured, so a loader leaves it out; uint8-util is
// held where WebTorrent 2.8 still finds what it imports.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { register } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const VERSION = '2.8.5';
const PACKAGE = { private: true, type: 'module', dependencies: { webtorrent: VERSION }, overrides: { 'uint8-util': '2.2.5' } };
const FETCH_MS = 300_000;

/** What this measurement uses of it. */
export interface Torrent {
  readonly torrentFile: Uint8Array;
  addPeer(address: string): boolean;
  on(event: 'done' | 'error', listener: (error?: Error) => void): void;
  on(event: 'download', listener: (bytes: number) => void): void;
}

export interface TorrentClient {
  readonly torrentPort: number;
  on(event: 'error', listener: (error: Error) => void): void;
  on(event: 'listening', listener: () => void): void;
  seed(path: string, options: object, onSeed: (torrent: Torrent) => void): void;
  add(torrentFile: Uint8Array, options: object, onReady: (torrent: Torrent) => void): void;
}

export const RIVAL = `WebTorrent ${VERSION}`;

/** @returns the folder it is in @throws Error when it cannot be fetched */
export function fetchRival(): string {
  const caches = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const folder = join(caches, 'spotify-peer-bench', `webtorrent-${VERSION}`);
  if (existsSync(folder)) return folder;
  const aside = `${folder}.${process.pid}`;
  mkdirSync(aside, { recursive: true });
  writeFileSync(join(aside, 'package.json'), JSON.stringify(PACKAGE));
  const { status, stderr } = spawnSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: aside, encoding: 'utf8', timeout: FETCH_MS });
  if (status !== 0) {
    rmSync(aside, { recursive: true });
    throw new Error(`${RIVAL} could not be fetched: ${stderr}`);
  }
  renameSync(aside, folder);
  return folder;
}

const STUB = `data:text/javascript,${['PeerConnection', 'RtcpReceivingSession', 'Video', 'Audio', 'DataChannel', 'cleanup'].map((name) => `export class ${name} {}`).join(';')};export default {}`;
const LOADER = `export const resolve = (name, context, next) => name.startsWith('node-datachannel') ? { url: ${JSON.stringify(STUB)}, shortCircuit: true } : next(name, context);`;

/** A client that knows only whom it is told of: no tracker, no DHT, TCP. */
export async function openRival(folder: string): Promise<TorrentClient> {
  register(`data:text/javascript,${encodeURIComponent(LOADER)}`);
  const { default: WebTorrent } = (await import(pathToFileURL(join(folder, 'node_modules/webtorrent/index.js')).href)) as { default: new (options: object) => TorrentClient };
  return new WebTorrent({ dht: false, tracker: false, lsd: false, utp: false, natUpnp: false, natPmp: false });
}
