// What goes along when a network gets another key. It is written down with the change (settings.ts) and done before the next session is
// opened, at each opening until it is done: a kill between the two, or a disk that fails, leaves nobody's pins behind.
import type { Move } from '../storage/network-cache.ts';

export interface MovesOptions {
  /** As written down. */
  readonly moves: readonly Move[];
  /** Of the change that is being made; a full disk may have kept it from being written down. */
  readonly latest: Move | undefined;
  /** @returns whether all of it is there now; done a second time it finds nothing to move */
  readonly move: (move: Move) => Promise<boolean>;
  readonly save: (moves: readonly Move[]) => Promise<void>;
}

/** The oldest first, and none behind one that fails: what was moved into a network may go on from there. */
export async function takeAlong({ moves, latest, move, save }: MovesOptions): Promise<void> {
  const last = moves.at(-1);
  const isWritten = latest?.from === last?.from && latest?.to === last?.to;
  const left = latest && !isWritten ? [...moves, latest] : [...moves];
  while (left[0] && (await move(left[0]))) left.shift();
  // else it is all done once more
  if (moves.length > 0 && left[0] !== moves[0]) await save(left).catch(() => undefined);
}
