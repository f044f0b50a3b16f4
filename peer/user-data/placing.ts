// Gives positions to what is put into a playlist. Mostly nothing else moves. Where two machines had put items at one place their
// positions are equal, and nothing fits in between: those behind the gap are moved with it. And where a gap was used so
// often that positions become long, every item gets a fresh one.
import assert from 'node:assert/strict';
import type { ItemId } from '../../lib/ids.ts';
import { type Position, positionsBetween } from '../../lib/position.ts';

export interface Placed {
  readonly id: ItemId;
  readonly position: Position;
}

export interface Placing {
  /** Of the new ones. */
  readonly positions: readonly Position[];
  /** Others that have to move for it. */
  readonly moved: ReadonlyMap<ItemId, Position>;
}

/** @param items in order
 *  @param gap so many items stand before the new ones; more than there are is the end */
export function place(items: readonly Placed[], gap: number, { count }: { readonly count: number }): Placing {
  const at = Math.min(gap, items.length);
  const before = items[at - 1]?.position ?? null;
  let end = at;
  while (before !== null && items[end]?.position === before) end += 1;
  const equals = items.slice(at, end);
  const local = positionsBetween(before, items[end]?.position ?? null, count + equals.length);
  if (local) return { positions: local.slice(0, count), moved: new Map(equals.map(({ id }, i) => [id, local[count + i] as Position])) };

  const fresh = positionsBetween(null, null, items.length + count);
  assert(fresh, 'there is room for every item between the two ends');
  const moved = new Map<ItemId, Position>();
  for (const [i, { id, position }] of items.entries()) {
    const wanted = fresh[i < at ? i : i + count] as Position;
    if (wanted !== position) moved.set(id, wanted);
  }
  return { positions: fresh.slice(at, at + count), moved };
}
