// What goes along when a network gets another key. It is written down with the change (settings.ts), done before the next session is opened,
// and struck off when that one is open: a kill between any two, or a disk that fails, leaves nobody's pins behind.
import type { Move } from '../storage/network-cache.ts';

export interface MovesOptions {
  /** As written down. */
  readonly moves: readonly Move[];
  /** The network that is being opened, by the hash of its key. */
  readonly here: string;
  /** @returns whether all of it is there now; done a second time it finds nothing to move */
  readonly move: (move: Move) => Promise<boolean>;
}

/** The oldest first, and none behind one that fails: what was moved into a network may go on from there. Nothing goes away from `here`: who
 *  has come back to a network finds there what never left it, and what had left it comes by a later move. @returns what is still to be moved */
export async function takeAlong({ moves, here, move }: MovesOptions): Promise<readonly Move[]> {
  const left = moves.filter(({ from }) => from !== here);
  while (left[0] && (await move(left[0]))) left.shift();
  return left;
}
