// Time is an argument everywhere below the drivers; this names its unit and its source.

/** Milliseconds: a duration, or a reading of a clock that only ever grows within one process. */
export type Millis = number;

/** Time of day, milliseconds since 1970. For people only: no protocol decision may rest on it. */
export type WallClock = number;

export interface Clock {
  /** Monotonic. */
  now(): Millis;
  wall(): WallClock;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
};
