import { readFile, statfs } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { text as readAll } from 'node:stream/consumers';
import { hostName } from '../../discovery/instance.ts';
import { PeerError } from '../../lib/errors.ts';
import { parseNetworkName } from '../../lib/network-key.ts';
import type { Log } from '../../lib/log.ts';
import { parseHttpAddress } from '../../peer/http/listen.ts';
import { Peer, type PeerOptions } from '../../peer/peer.ts';
import { parseGroup, parsePeer, parsePort } from '../addresses.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { musicFolder } from '../music-folder.ts';
import { version } from '../program.ts';
import { parseRoles } from '../roles.ts';
import { parseSize } from '../sizes.ts';
import { preferSize } from '../small-heap.ts';
import { type Console, jsonConsole, peopleConsole } from '../start-console.ts';

export interface StartOptions extends DataOptions {
  readonly name?: string;
  readonly network?: string;
  readonly networkKey?: string;
  readonly port?: string;
  readonly http?: string;
  readonly group: string;
  readonly interface: readonly string[];
  readonly join: readonly string[];
  readonly advertise: readonly string[];
  readonly roles?: string;
  readonly cache?: string;
  readonly json?: boolean;
}

/** How long a polite end may take before the process ends anyway. */
const STOP_MS = 6_000;

export async function start(folders: readonly string[], options: StartOptions): Promise<void> {
  const given = folders.length > 0 ? folders.map((folder) => resolve(folder)) : [await musicFolder()].filter((folder) => folder !== undefined);
  const parsed = await parse(options);
  const console: Console = options.json ? jsonConsole() : await peopleConsole({ folders: given });
  const log: Log = (event, facts) => console.log(event, facts);
  const peer = await Peer.start({ ...parsed, folders: given, version, log });
  console.ready(peer, hostName(peer.id));
  preferSize();
  await new Promise<void>((stopped) => {
    let stopping = false;
    const stop = (): void => {
      if (stopping) process.exit(130);
      stopping = true;
      console.stopping();
      setTimeout(() => process.exit(0), STOP_MS).unref();
      peer.stop().then(stopped, (error) => {
        console.log('trouble', { what: 'could not stop cleanly', why: String(error) });
        stopped();
      });
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  });
  process.exit(0);
}

async function parse(options: StartOptions): Promise<Omit<PeerOptions, 'folders' | 'version' | 'log'>> {
  const data = dataFolder(options);
  return {
    data,
    name: options.name,
    network: options.network === undefined ? undefined : parseNetworkName(options.network),
    networkKey: await networkKey(options.networkKey),
    port: options.port === undefined ? undefined : parsePort(options.port),
    http: options.http === undefined ? undefined : parseHttpAddress(options.http),
    group: parseGroup(options.group),
    interfaces: options.interface,
    join: options.join.map(parsePeer),
    advertise: options.advertise.map(parsePeer),
    roles: options.roles === undefined ? undefined : parseRoles(options.roles),
    cacheBytes: options.cache === undefined ? undefined : parseSize(options.cache, await freeBytes(data)),
  };
}

async function networkKey(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return process.env.SPOTIFY_PEER_NETWORK_KEY || undefined;
  try {
    return (file === '-' ? await fromStdin() : await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw new PeerError('BAD_USAGE', `cannot read the network's key from ${file}`, { cause });
  }
}

/** All of it from a pipe, one line from a person. */
async function fromStdin(): Promise<string> {
  if (!process.stdin.isTTY) return readAll(process.stdin);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const line = await terminal.question('code of the network: ');
  terminal.close();
  return line;
}

/** Of the disk that the data folder is on, or will be. */
async function freeBytes(folder: string): Promise<number> {
  for (let at = folder; ; at = resolve(at, '..')) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch (cause) {
      if (at === resolve(at, '..')) throw new PeerError('DATA_FOLDER_UNUSABLE', `cannot look at the disk of ${folder}`, { cause });
    }
  }
}
