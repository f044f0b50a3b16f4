// What it means that some peers are one network: they see each other, find the same songs, and play each other's. The same
// question is asked under each fault, with its own patience.
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Song } from './api.ts';
import type { Host } from './lab.ts';
import { musicFolder, type Original, sha256, type Track } from './music.ts';
import { fetchOriginal, NO_COPIES, type Peer, search, startPeer, status } from './peers.ts';
import { until } from './until.ts';

/** As many at once as a machine with two cores can bear beside its peers. */
const PLAYS_AT_ONCE = 3;

/** Starts a peer on each host, with its music folder and fresh data. Copies, which would move it about meanwhile, are looked at by copies.ts. */
export const startAll = (
  hosts: readonly Host[],
  data: string,
  options: { readonly folder?: string; readonly argsOf?: (host: Host) => readonly string[] } = {},
): Promise<Peer[]> =>
  Promise.all(
    hosts.map((host) =>
      startPeer(host, { folders: [musicFolder(host, options.folder)], data: join(host.directory, data), args: [...NO_COPIES, ...(options.argsOf?.(host) ?? [])] }),
    ),
  );

export const killAll = (peers: readonly Peer[]): Promise<unknown> => Promise.all(peers.map(({ process }) => process.kill('SIGKILL')));

/** Waits until each peer sees every other alive. @returns milliseconds */
export async function meet(peers: readonly Peer[], withinMs: number): Promise<number> {
  const everybody = peers.map(({ id }) => id);
  const { ms } = await until(
    `each of ${peers.length} peers sees all others alive`,
    withinMs,
    () =>
      Promise.all(
        peers.map(async (peer) => {
          const alive = await aliveIds(peer);
          const missing = everybody.filter((id) => id !== peer.id && !alive.includes(id));
          return { peer: peer.name, missing, strangers: alive.filter((id) => !everybody.includes(id)) };
        }),
      ),
    (views) => views.every(({ missing, strangers }) => missing.length === 0 && strangers.length === 0),
  );
  return ms;
}

const aliveIds = async (peer: Peer): Promise<string[]> =>
  (await status(peer)).members.filter(({ state }) => state === 'alive').map(({ id }) => id);

/** A search result without what may differ from peer to peer: whose tags are shown, and the order of holders. */
const gist = (songs: readonly Song[]): string[] =>
  songs
    .map(({ id, files }) => `${id} ${files.map((file) => `${file.id}@${[...file.providers].sort()}`).sort()}`)
    .sort();

/** Waits until all peers have read their folders and find the same songs, at least `files` files of them. While one still reads,
 *  all may well agree on what there is without its music. @returns the songs */
export async function agree(peers: readonly Peer[], files: number, withinMs: number): Promise<{ readonly songs: Song[]; readonly ms: number }> {
  const { value, ms } = await until(
    `all peers find the same songs, of at least ${files} files`,
    withinMs,
    () =>
      Promise.all(
        peers.map(async (peer) => {
          const { scanning } = (await status(peer)).catalog;
          return { peer: peer.name, scanning, songs: await search(peer) };
        }),
      ),
    (results) => {
      const [first, ...others] = results.map(({ songs }) => gist(songs));
      const isRead = results.every(({ scanning }) => !scanning);
      return isRead && countFiles(results[0]?.songs ?? []) >= files && others.every((other) => JSON.stringify(other) === JSON.stringify(first));
    },
  );
  return { songs: value[0]?.songs ?? [], ms };
}

export const countFiles = (songs: readonly Song[]): number => songs.reduce((sum, { files }) => sum + files.length, 0);

export interface Played {
  readonly song: Song;
  readonly on: Peer;
  readonly ms: number;
  /** What went wrong; undefined when it is byte for byte an original. */
  readonly failure?: string;
  /** SHA-256 of what came. */
  readonly sha256?: string;
}

/** Plays each file of each song on a peer that lacks the song, and compares it with the originals. */
export async function playAll(peers: readonly Peer[], songs: readonly Song[], originals: readonly Original[], timeoutMs: number): Promise<Played[]> {
  const known = new Set(originals.map(({ sha256 }) => sha256));
  const played: Played[] = [];
  const tasks = songs.flatMap((song) => song.files.map((file) => ({ song, file: file.id })));
  const worker = async (): Promise<void> => {
    for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) {
      const { song, file } = task;
      const others = peers.filter(({ id }) => !song.files.some(({ providers }) => providers.includes(id)));
      const on = others[played.length % others.length];
      if (on === undefined) continue; // everybody has it
      const start = performance.now();
      const since = (): number => Math.round(performance.now() - start);
      try {
        const { status, complete, bytes } = await fetchOriginal(on, song.id, { file, timeoutMs });
        if (!complete) throw new Error(`${on.name} gave ${status}, and ${bytes.byteLength} bytes; it said:\n${on.process.tail()}`);
        const hash = sha256(bytes);
        played.push({ song, on, ms: since(), sha256: hash, ...(!known.has(hash) && { failure: `${song.title}: not the bytes of any original` }) });
      } catch (error) {
        played.push({ song, on, ms: since(), failure: `${song.title}: ${(error as Error).message}` });
      }
    }
  };
  await Promise.all(Array.from({ length: PLAYS_AT_ONCE }, worker));
  return played;
}

/** What each of `originals` has to become: found everywhere under its tags, and played exactly where it is not. */
export async function claimWhole(
  t: Test,
  peers: readonly Peer[],
  originals: readonly Original[],
  { withinMs, playMs }: { readonly withinMs: number; readonly playMs: number },
): Promise<void> {
  const start = performance.now();
  const passed = (): number => Math.round(performance.now() - start);
  t.comment(`met after ${await meet(peers, withinMs)} ms`);
  const { songs } = await agree(peers, originals.filter(({ playable }) => playable).length, Math.max(0, withinMs - passed()));
  t.comment(`found the same after ${passed()} ms`);
  for (const { name, track } of originals) {
    if (track !== undefined) t.ok(songs.some((song) => isOf(song, track)), `the catalog shows the tags of ${name}`);
  }
  const played = await playAll(peers, songs, originals, playMs);
  const times = played.map(({ ms }) => ms).sort((a, b) => a - b);
  t.comment(`played ${played.length} files after ${passed()} ms, each in ${times[times.length >> 1]} ms (median) to ${times.at(-1)} ms`);
  const outputs = new Set(played.map(({ sha256 }) => sha256));
  t.same(played.flatMap(({ failure }) => failure ?? []), [], 'every file plays exactly on a host that lacks it');
  t.same(originals.filter(({ playable, sha256 }) => playable && !outputs.has(sha256)).map(({ name }) => name), [], 'and none was left out');
}

const isOf = (song: Song, track: Track): boolean => song.title === track.title && song.artist === track.artist && song.album === track.album;
