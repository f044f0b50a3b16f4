// The real program on a lab's hosts: started and told by its command line, and asked over HTTP, as the command line does itself.
import { existsSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { StatusJson } from '../../peer/http/schemas.ts';
import { Api, type Audio, type Song } from './api.ts';
import type { Host } from './lab.ts';
import type { Result } from './machine.ts';
import type { Json, Running } from './running.ts';

const PROGRAM = join(import.meta.dirname, `../../bin/spotify-peer${extname(import.meta.filename)}`);
const READY_MS = 20_000;
const COMMAND_MS = 20_000;

export interface Peer {
  readonly host: Host;
  readonly data: string;
  readonly id: string;
  readonly name: string;
  readonly port: number;
  readonly http: string;
  readonly process: Running;
}

/** Why no peer can be started: the reason for a skip, as long as the program is not built; false when it can. */
export const programMissing = (): false | string => (existsSync(PROGRAM) ? false : `${PROGRAM} is not built`);

/** For whoever says himself who has what: nobody sees to copies. */
export const NO_COPIES = ['--roles', 'gateway,users,recommendations'] as const;

/** The host's data folder, unless a test wants another. */
export const dataOf = (host: Host): string => join(host.directory, 'data');

export interface StartOptions {
  readonly folders: readonly string[];
  readonly args?: readonly string[];
  readonly data?: string;
  readonly name?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Another than ours, which somebody has changed. */
  readonly program?: string;
}

/** Starts a peer and waits until it serves. Rejects with the end of its log when it does not. */
export async function startPeer(host: Host, options: StartOptions): Promise<Peer> {
  const { folders, args = [], data = dataOf(host), name = host.name, program = PROGRAM } = options;
  const argv = [program, 'start', ...folders, '--data', data, '--name', name, '--json', ...args];
  const process = host.spawn(globalThis.process.execPath, argv, { name: 'peer', ...(options.env !== undefined && { env: options.env }) });
  const ready = (await process.event('ready', READY_MS)) as Json & { peer: string; name: string; port: number; http: string };
  return { host, data, id: ready.peer, name: ready.name, port: ready.port, http: ready.http, process };
}

/** Runs a command beside a peer, on its host. */
export const command = (peer: Peer, argv: readonly string[], timeoutMs = COMMAND_MS): Promise<Result> =>
  peer.host.exec(process.execPath, [PROGRAM, ...argv, '--data', peer.data], { timeoutMs });

const apiOf = async (peer: Peer): Promise<Api> =>
  (await Api.open(peer.host, Number(new URL(peer.http).port))).asOwner(readFileSync(join(peer.data, 'token'), 'utf8').trim());

export const status = async (peer: Peer): Promise<StatusJson> => (await apiOf(peer)).status();

/** @param words none for everything */
export const search = async (peer: Peer, words: readonly string[] = []): Promise<Song[]> => (await apiOf(peer)).search(words.join(' '));

/** The original file of a song; cut where it was. @param options.file of several files of the song, which */
export const fetchOriginal = async (peer: Peer, songId: string, options: PlayOptions = {}): Promise<Audio> =>
  (await apiOf(peer)).audio(songId, { original: true, ...options });

export interface PlayOptions {
  readonly file?: string;
  readonly timeoutMs?: number;
}

const playArguments = (songId: string, output: string, file: string | undefined): string[] => [
  'play',
  songId,
  '--output',
  output,
  ...(file === undefined ? [] : ['--file', file]),
];

/** Writes a song to a file. @param options.file of several files of the song, which */
export async function play(peer: Peer, songId: string, output: string, options: PlayOptions = {}): Promise<void> {
  const { code, signal, stderr } = await command(peer, playArguments(songId, output, options.file), options.timeoutMs);
  if (code !== 0) throw new Error(`${peer.host.name}: play ${songId} ended with ${signal ?? code}: ${stderr}\nits peer said:\n${peer.process.tail()}`);
}

/** The same, in the background. */
export const startPlay = (peer: Peer, songId: string, output: string, options: Pick<PlayOptions, 'file'> = {}): Running =>
  peer.host.spawn(process.execPath, [PROGRAM, ...playArguments(songId, output, options.file), '--data', peer.data], { name: 'play' });
