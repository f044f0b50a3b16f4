// The holder of the role `music` sees to it that every song is on as many machines as the network wants. In each round it goes
// through the registers for songs that lack copies, asks every machine what it has room for and what it is fetching, has the
// service decide who fetches what (placement.ts, in its thread), and asks for it. It keeps nothing that the next holder would
// need: copies that are there are registers, and copies under way are known where they are made. The requests carry the fencing
// token, and a machine refuses a smaller one than it has seen, so a holder that has slept asks for nothing.
import { LRUCache } from 'lru-cache';
import type { FileId, PayloadId, PeerId, SongId } from '../../lib/ids.ts';
import { PLACED_SONGS_MAX, PLACED_TARGETS_MAX } from '../../lib/limits.ts';
import { checker } from '../../lib/check.ts';
import { codeOf } from '../../lib/errors.ts';
import type { FencingToken } from '../../lib/roles.ts';
import { sizeOf } from '../../lib/song.ts';
import type { Clock, Millis } from '../../lib/time.ts';
import type { Catalog } from '../../storage/catalog.ts';
import { machinesOf, type Song } from '../../storage/song-view.ts';
import { Driver } from '../runtime.ts';
import type { Machines } from './machines.ts';
import { COPY_METHOD, copyParams, type CopyRequest, decodeRefused, decodeRoom, encodeRoom, type Refused, type Room, ROOM_METHOD } from './messages.ts';
import { compareLacking, type Lacking, pageOf } from './placement.ts';
import { createRounds, type Left, type Rounds, type RoundsEffect, type RoundsInput, step } from './rounds.ts';

/** A machine that did not take a song is not asked for it again for so long. */
const REFUSED_MS: Millis = 300_000;
const REFUSED_MAX = 8_192;
/** Asked for at once: where streams stand still, a request is one datagram. */
export const SONGS_PER_REQUEST = 24;
const check = checker('BAD_MESSAGE');

export interface DirectorOptions {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly catalog: Pick<Catalog, 'settled' | 'walk'>;
  readonly machines: Pick<Machines, 'counts' | 'leaves' | 'lives'>;
  /** Others of this network that are here. */
  readonly living: () => Iterable<PeerId>;
  /** Machines for each song. */
  readonly wanted: () => number;
  readonly plays: () => ReadonlyMap<SongId, number>;
  /** Of this machine, as others tell theirs. */
  readonly room: () => Room;
  /** This machine fetches too. */
  readonly copy: (request: CopyRequest) => Promise<Refused>;
  readonly ask: (peer: PeerId, method: string, params: unknown) => Promise<unknown>;
  /** A call to the service of the role. */
  readonly place: (params: unknown) => Promise<unknown>;
  /** By what the role is held now; undefined when it is not. */
  readonly token: () => FencingToken | undefined;
  readonly trouble: (error: unknown) => void;
}

interface Asked extends Room {
  readonly peer: PeerId;
}

interface Candidate extends Lacking {
  readonly song: SongId;
  readonly file: FileId;
}

export class Director {
  readonly #options: DirectorOptions;
  readonly #driver: Driver<Rounds, 'look', RoundsInput, RoundsEffect>;
  readonly #refused: LRUCache<string, true>;
  /** Through the registers. */
  #walking: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(options: DirectorOptions) {
    this.#options = options;
    this.#refused = new LRUCache({ max: REFUSED_MAX, ttl: REFUSED_MS, perf: options.clock });
    this.#driver = new Driver(
      { state: createRounds(), step },
      { clock: options.clock, carryOut: () => void this.#run(), expired: (timer) => ({ kind: 'expired', timer }) },
    );
  }

  held(): void {
    this.#driver.feed({ kind: 'held' });
  }

  dropped(): void {
    this.#driver.feed({ kind: 'dropped' });
  }

  /** Songs, copies, machines or the setting are others than before. Plays only decide what goes first. */
  changed(): void {
    this.#driver.feed({ kind: 'changed' });
  }

  /** Resolves when nothing is read any more; what machines were asked for nobody waits for. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#driver.stop();
    await this.#walking;
  }

  async #run(): Promise<void> {
    let left: Left = 'later';
    let walkedMs: Millis = 0;
    try {
      ({ left, walkedMs } = await this.#look());
    } catch (error) {
      // the role may have passed on in the middle
      if (this.#options.token()) this.#options.trouble(error);
    }
    this.#driver.feed({ kind: 'looked', tookMs: walkedMs, left });
  }

  async #look(): Promise<{ readonly left: Left; readonly walkedMs: Millis }> {
    const { catalog, clock } = this.#options;
    const idle = { left: 'nothing', walkedMs: 0 } as const;
    if (!this.#options.token() || this.#options.living()[Symbol.iterator]().next().done) return idle;
    const { targets, silent } = await this.#rooms();
    if (targets.length === 0) return silent ? { left: 'later', walkedMs: 0 } : idle;
    await catalog.settled();
    const startedAt = clock.now();
    if (this.#stopped) return idle;
    const walk = this.#lacking(targets);
    this.#walking = walk.catch(() => undefined);
    const { candidates, blocked, underWay } = await walk;
    if (this.#stopped) return idle;
    const walkedMs = clock.now() - startedAt;
    if (candidates.length === 0) return { left: underWay ? 'soon' : blocked || silent ? 'later' : 'nothing', walkedMs };
    const goesOn = await this.#give(pageOf(candidates), targets);
    return { left: goesOn || underWay || silent ? 'soon' : 'later', walkedMs };
  }

  /** Who can be asked to fetch; one of a version without copies is none. `silent`: somebody did not answer, and may the next time. */
  async #rooms(): Promise<{ readonly targets: readonly Asked[]; readonly silent: boolean }> {
    const { self, machines, living, ask, room } = this.#options;
    const others = [...living()].filter((peer) => !machines.leaves(peer)).slice(0, PLACED_TARGETS_MAX - 1);
    let silent = false;
    const asked = others.map(async (peer): Promise<Asked | undefined> => {
      try {
        return { peer, ...decodeRoom(await ask(peer, ROOM_METHOD, [])) };
      } catch (error) {
        silent ||= codeOf(error) !== 'UNSUPPORTED';
        return undefined;
      }
    });
    // read back as the others' are, so that this machine is no special case
    const own = machines.leaves(self) ? [] : [{ peer: self, ...decodeRoom(encodeRoom(room())) }];
    const targets = [...own, ...(await Promise.all(asked)).filter((target) => target !== undefined)];
    return { targets, silent };
  }

  /** Songs that some target could fetch and that are on too few machines, the most urgent first. `blocked`: others lack copies too, and
   *  nobody has room for them now: they are no candidates, because a page full of them would keep all others waiting. */
  async #lacking(targets: readonly Asked[]): Promise<{ readonly candidates: readonly Candidate[]; readonly blocked: boolean; readonly underWay: boolean }> {
    const { catalog } = this.#options;
    const plays = this.#options.plays();
    const places = new Map(targets.map(({ peer }, place) => [peer, place]));
    const fetching = new Map<PayloadId, number[]>();
    for (const [place, { payloads }] of targets.entries()) for (const payload of payloads) fetching.set(payload, [...(fetching.get(payload) ?? []), place]);
    let candidates: Candidate[] = [];
    let blocked = false;
    const cut = (): Candidate[] => candidates.sort(compareLacking).slice(0, PLACED_SONGS_MAX);
    for await (const songs of catalog.walk()) {
      if (this.#stopped) break;
      for (const song of songs) {
        const candidate = this.#candidate(song, { plays, places, fetching, targets });
        if (candidate === 'blocked') blocked = true;
        else if (candidate) candidates.push(candidate);
      }
      if (candidates.length >= 2 * PLACED_SONGS_MAX) candidates = cut();
    }
    return { candidates: cut(), blocked, underWay: fetching.size > 0 };
  }

  #candidate(
    song: Song,
    { plays, places, fetching, targets }: {
      readonly plays: ReadonlyMap<SongId, number>;
      readonly places: ReadonlyMap<PeerId, number>;
      readonly fetching: ReadonlyMap<PayloadId, readonly number[]>;
      readonly targets: readonly Asked[];
    },
  ): Candidate | 'blocked' | undefined {
    const { machines, wanted } = this.#options;
    const holders = machinesOf(song);
    const counted = [...holders].filter((peer) => machines.counts(peer));
    const reach = Math.max(1, wanted());
    if (counted.length >= reach) return undefined;
    const file = song.files.find(({ providers }) => providers.some((peer) => machines.lives(peer)));
    if (!file) return undefined;
    const { description } = file;
    const except = new Set<number>();
    for (const peer of holders) {
      const place = places.get(peer);
      if (place !== undefined) except.add(place);
    }
    let count = counted.length;
    for (const { description: { payload } } of song.files) {
      for (const place of fetching.get(payload) ?? []) {
        if (!except.has(place)) count += 1;
        except.add(place);
      }
    }
    if (count >= reach) return undefined;
    if (except.size >= targets.length) return undefined;
    const leaving = counted.length === 0;
    const bytes = sizeOf(description);
    for (const [place, target] of targets.entries()) {
      const takes = target.roomBytes >= bytes && (leaving || target.slots > 0);
      if (!takes || this.#refused.has(`${target.peer}${song.id}`)) except.add(place);
    }
    if (except.size >= targets.length) return 'blocked';
    return { song: song.id, file: description.file, bytes, plays: plays.get(song.id) ?? 0, machines: count, leaving, except: [...except] };
  }

  /** @returns whether any was taken, or may be the next time */
  async #give(candidates: readonly Candidate[], targets: readonly Asked[]): Promise<boolean> {
    const { wanted, place } = this.#options;
    const placed = check.list(
      await place([
        Math.max(1, wanted()),
        targets.map((target) => [target.roomBytes, target.uptimeMs, target.slots]),
        candidates.map(({ bytes, plays, machines, leaving, except }) => [bytes, plays, machines, leaving, except]),
      ]),
    );
    const given = new Map<Asked, Candidate[]>();
    for (const pair of placed) {
      const [song, target] = check.list(pair, 2) as [number, number];
      const [candidate, asked] = [candidates[song], targets[target]];
      if (candidate && asked) given.set(asked, [...(given.get(asked) ?? []), candidate]);
    }
    return (await Promise.all([...given].map(([target, songs]) => this.#ask(target.peer, songs)))).includes(true);
  }

  async #ask(peer: PeerId, songs: readonly Candidate[]): Promise<boolean> {
    const { self, ask, copy } = this.#options;
    const token = this.#options.token();
    if (!token) return false;
    let goesOn = false;
    try {
      for (let i = 0; i < songs.length; i += SONGS_PER_REQUEST) {
        const some = songs.slice(i, i + SONGS_PER_REQUEST);
        const request: CopyRequest = { token, songs: some.map(({ song, file }) => ({ song, file })) };
        const { refused } = peer === self ? await copy(request) : decodeRefused(await ask(peer, COPY_METHOD, copyParams(request)));
        for (const place of refused) if (some[place]) this.#refused.set(`${peer}${some[place].song}`, true);
        goesOn ||= refused.length < some.length;
      }
    } catch {
      // the next round asks again, whoever holds the role then
      return true;
    }
    return goesOn;
  }
}
