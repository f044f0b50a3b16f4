// What peers show of what people made, and when they show the same. A digest says that the same operations won; the views are
// looked at beside it, because a wrong index shows wrong things under a right digest.
import type { Test } from 'tap';
import type { Api } from './api.ts';
import { until } from './until.ts';

export interface View {
  /** By id, with the items in order. */
  readonly playlists: readonly {
    readonly id: string;
    readonly name: string;
    readonly owner: string;
    readonly items: readonly { readonly id: string; readonly song: string }[];
  }[];
  /** Songs by profile, the last one first. */
  readonly stars: { readonly [profile: string]: readonly string[] };
}

export async function viewOf(api: Api, profiles: readonly string[]): Promise<View> {
  const playlists = await Promise.all((await api.playlists()).map(({ id }) => api.playlist(id)));
  return {
    playlists: playlists
      .map(({ id, name, owner, items }) => ({ id, name, owner, items: items.map(({ id, songId }) => ({ id, song: songId })) }))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
    stars: Object.fromEntries(await Promise.all(profiles.map(async (profile) => [profile, await api.stars(profile)] as const))),
  };
}

/** Waits until all digests are equal. @returns milliseconds */
export async function sameDigest(peers: readonly Api[], withinMs: number): Promise<number> {
  const { ms } = await until(
    `${peers.length} peers have one digest`,
    withinMs,
    async () => Object.fromEntries(await Promise.all(peers.map(async (peer) => [peer.host.name, await peer.digest().catch(String)] as const))),
    (digests) => new Set(Object.values(digests)).size === 1,
  );
  return ms;
}

/** Claims that all peers show the same: what people made, and the log of it. @returns what */
export async function claimSameView(t: Test, peers: readonly [Api, ...Api[]], profiles: readonly string[]): Promise<View> {
  const [first, ...others] = peers;
  // views follow the operations by a moment
  const [view, log] = [await viewOf(first, profiles), gist(await first.log())];
  for (const other of others) {
    t.same(await viewOf(other, profiles), view, `${other.host.name} shows what ${first.host.name} shows`);
    t.same(gist(await other.log()), log, `and has the same log of ${log.length} events`);
  }
  return view;
}

/** Whether an event is settled, and how its origin is called, depends on who looks. */
const gist = (events: Awaited<ReturnType<Api['log']>>): string[] =>
  events.map(({ lamport, origin, epoch, seq, key, deleted }) => [lamport, origin, epoch, seq, key, deleted === true].join(' '));
