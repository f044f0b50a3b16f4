// What every program in bench/coordination.ts does: lose somebody, and go on without.
import { setTimeout as pause } from 'node:timers/promises';

export const LOOK_EVERY_MS = 4;
/** A round that lasts longer counts as endless. */
export const PATIENCE_MS = 30_000;

/** Notes that what was lost in this way was replaced so many milliseconds later; Infinity says that it never was. */
export type Record = (way: string, ms: number) => void;

export interface Contender {
  readonly name: string;
  /** One loss of each kind, each healed afterwards. @throws what keeps it from going on */
  round(record: Record): Promise<void>;
  close(): Promise<void>;
}

/** Looks again and again. @returns what `look` found, or undefined when that took longer than patience allows */
export async function soon<T>(look: () => Promise<T | undefined> | T | undefined, withinMs = PATIENCE_MS): Promise<T | undefined> {
  for (const end = performance.now() + withinMs; performance.now() < end; await pause(LOOK_EVERY_MS)) {
    const found = await look();
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Like `soon`, where there is no going on without. */
export async function surely<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const found = await soon(look);
  if (found === undefined) throw new Error(`${what}: not within ${PATIENCE_MS} ms`);
  return found;
}
