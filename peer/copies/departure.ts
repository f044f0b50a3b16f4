// What is left to be done before this machine can be switched off. Nothing counts as being elsewhere because a register says so: the machine that
// is relied on has to have answered just now, to be able to read its music folders, to know that this one leaves, and to have said all that
// it dropped before it knew. Until then it may take this machine for the one that keeps the song, and drop its own copy for another.
import type { PeerId } from '../../lib/ids.ts';
import type { Millis } from '../../lib/time.ts';
import type { Catalog } from '../../storage/catalog.ts';
import { keptWithout } from './judge.ts';
import type { Machines } from './machines.ts';
import { decodeRoom, type Room, ROOM_METHOD } from './messages.ts';
import type { Survey, Vanishing } from './survey.ts';

/** Who asks waits for a person's next look; a machine that takes longer counts for the one after it. */
export const ANSWER_MS: Millis = 2_000;

export interface Leaving {
  readonly leaving: boolean;
  /** Songs that are nowhere else, of those that are to stay. */
  readonly only: Vanishing;
  /** Songs that others have, of whom those that are relied on have not confirmed it. */
  readonly unconfirmed: number;
  /** Machines that stay; of these those that did not answer, those that play for so long that they take nothing, and those that hold all that was written here. */
  readonly others: number;
  readonly silent: number;
  readonly busy: number;
  /** Of those that stay: a music folder of theirs is missing, and they confirm nothing. */
  readonly foldersMissing: readonly PeerId[];
  readonly inSync: number;
  /** Changes that people made here since the start, and that no other machine confirmed in time. */
  readonly localOnly: number;
  /** Songs that others are fetching, from wherever. */
  readonly underWay: number;
  /** Does any of them take more? */
  readonly room: boolean;
}

export interface DepartureOptions {
  readonly self: PeerId;
  readonly catalog: Pick<Catalog, 'settled'>;
  readonly machines: Pick<Machines, 'stays'>;
  readonly survey: Pick<Survey, 'only'>;
  /** Others of this network that are here. */
  readonly living: () => Iterable<PeerId>;
  readonly ask: (peer: PeerId, method: string, params: unknown) => Promise<unknown>;
  /** The hash of all that a machine has written, as far as it is here. */
  readonly logHash: (peer: PeerId) => Uint8Array | undefined;
  /** Does it hold all that is written here? */
  readonly isInSync: (peer: PeerId) => boolean;
  readonly localOnly: () => number;
  readonly answerMs?: Millis | undefined;
}

export async function lookAtDeparture(options: DepartureOptions): Promise<Omit<Leaving, 'leaving'>> {
  const { self, catalog, machines, survey, living, logHash, isInSync, localOnly } = options;
  const others = [...living()].filter(machines.stays);
  const rooms = new Map<PeerId, Room>();
  await Promise.all(
    others.map(async (peer) => {
      const room = await roomOf(peer, options);
      if (room) rooms.set(peer, room);
    }),
  );
  await catalog.settled();
  const confirms = (peer: PeerId): boolean => {
    const log = rooms.get(peer)?.log;
    const here = logHash(peer);
    return log !== undefined && here !== undefined && Buffer.compare(log, here) === 0;
  };
  let unconfirmed = 0;
  const only = await survey.only(self, (song) => {
    const kept = keptWithout(self, { ...song, stays: machines.stays, confirms });
    if (kept === 'unconfirmed') unconfirmed += 1;
    return kept !== 'no';
  });
  const answers = [...rooms.values()];
  return {
    only,
    unconfirmed,
    others: others.length,
    silent: others.length - rooms.size,
    busy: answers.filter(({ busy }) => busy).length,
    foldersMissing: [...rooms].filter(([, { missing }]) => missing).map(([peer]) => peer),
    inSync: [...rooms.keys()].filter((peer) => isInSync(peer)).length,
    localOnly: localOnly(),
    underWay: answers.reduce((sum, { payloads }) => sum + payloads.length, 0),
    room: only.total === 0 || answers.some(({ roomBytes }) => roomBytes >= only.smallestBytes),
  };
}

/** @returns undefined where nothing that counts came in time */
export async function roomOf(peer: PeerId, { ask, answerMs = ANSWER_MS }: Pick<DepartureOptions, 'answerMs' | 'ask'>): Promise<Room | undefined> {
  const answer = ask(peer, ROOM_METHOD, []).then(decodeRoom).catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), answerMs)));
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
