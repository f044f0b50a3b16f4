// Plays an address with a program that the listener has. It runs in our terminal, so that its keys and its progress are
// the listener's; we wait, and end with it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { PeerError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import { findProgram, installLine, type System, thisSystem } from './programs.ts';
import { printable } from './text.ts';

export type PlayerName = 'mpv' | 'ffplay' | 'mpg123';

/** In this order: mpv knows every format and shows progress best, mpg123 knows MP3 only. */
export const PLAYERS: readonly PlayerName[] = ['mpv', 'ffplay', 'mpg123'];

export interface Player {
  readonly name: PlayerName;
  readonly program: string;
}

/** @param asked what `--player` says
 *  @throws PeerError BAD_USAGE, NO_PLAYER with the line that installs one */
export async function choosePlayer({ asked, codec }: { readonly asked?: string | undefined; readonly codec: string }, system: System = thisSystem): Promise<Player> {
  if (asked !== undefined && !PLAYERS.includes(asked as PlayerName)) throw new PeerError('BAD_USAGE', `--player knows ${PLAYERS.join(', ')}`);
  if (asked === 'mpg123' && codec !== 'mp3') throw new PeerError('NO_PLAYER', `mpg123 plays MP3 only, and this song is ${codec}; choose mpv or ffplay`);
  for (const name of asked === undefined ? PLAYERS : [asked as PlayerName]) {
    if (name === 'mpg123' && codec !== 'mp3') continue;
    const program = await findProgram(name, system);
    if (program !== undefined) return { name, program };
  }
  const line = await installLine(system);
  const missing = asked === undefined ? 'no player found' : `${asked} is not installed`;
  throw new PeerError('NO_PLAYER', `${missing}; ${line === undefined ? 'install mpv, ffplay (ffmpeg) or mpg123' : `install one with: ${line}`}, or open the web page, or write the song with --output`);
}

/** @param title shown by the player; never taken for an option */
export function playerArguments(name: PlayerName, { url, title }: { readonly url: string; readonly title: string }): readonly string[] {
  switch (name) {
    case 'mpv':
      return ['--no-video', '--no-ytdl', `--force-media-title=${printable(title)}`, '--', url];
    case 'ffplay':
      return ['-nodisp', '-autoexit', '-hide_banner', '-loglevel', 'error', '-stats', '-i', url];
    case 'mpg123':
      return ['--verbose', url];
  }
}

/** By then a signal to both of us has reached us too. */
const SIGNAL_MS: Millis = 50;

/** Plays to the end.
 *  @returns what our process should exit with: 0 played or quit by key, 130 after Ctrl-C
 *  @throws PeerError NO_PLAYER when it cannot run, SONG_UNAVAILABLE when it says that it failed */
export async function play(player: Player, song: { readonly url: string; readonly title: string }): Promise<number> {
  let child: ChildProcess | undefined;
  let stoppedBy: NodeJS.Signals | undefined;
  // A terminal sends Ctrl-C to both of us. We stay until the player has put the terminal back in order.
  let stop = (): void => {};
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  const interrupted = (signal: NodeJS.Signals): void => {
    stoppedBy ??= signal;
    stop();
  };
  const terminated = (signal: NodeJS.Signals): void => {
    interrupted(signal);
    child?.kill(signal);
  };
  // Before the player exists: a signal that comes while it starts must not leave it behind.
  process.on('SIGINT', interrupted);
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, terminated);
  try {
    child = spawn(player.program, playerArguments(player.name, song), { stdio: 'inherit' });
    const [code] = (await once(child, 'exit')) as [number | null];
    // Ctrl-C may have ended the player before we hear of it ourselves
    if (code !== 0) await Promise.race([stopped, pause(SIGNAL_MS)]);
    if (stoppedBy !== undefined) return 128 + constants.signals[stoppedBy];
    if (code !== 0) throw new PeerError('SONG_UNAVAILABLE', `${player.name} could not play this (it ended with ${code ?? 'a signal'})`);
    return 0;
  } catch (cause) {
    if (cause instanceof PeerError) throw cause;
    throw new PeerError('NO_PLAYER', `${player.program} does not run`, { cause });
  } finally {
    process.off('SIGINT', interrupted);
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.off(signal, terminated);
  }
}
