// Can the music folders be read at this moment? A mount that sends no events is looked at once an hour, and a machine that is about to be
// switched off relies on the answer. One such look runs at a time, whoever asks: one that hangs holds one thread of the pool and no more.
import type { Clock, Millis } from '../../lib/time.ts';

/** Half of what whoever asks waits for (peer/copies/departure.ts). What takes longer cannot be played either. */
const ANSWER_MS: Millis = 1_000;
/** Since it began. */
const VALID_MS: Millis = 3_000;

export interface RootLookOptions {
  /** Never rejects. @returns whether a folder is missing; undefined where something there is not what it was, of which a full look is to be made */
  readonly look: () => Promise<boolean | undefined>;
  /** It ended, and not all is there as it was. */
  readonly onDifferent: () => void;
  readonly clock: Clock;
  /** ANSWER_MS; tests are quicker. */
  readonly answerMs?: Millis | undefined;
}

export class RootLook {
  readonly #options: RootLookOptions;
  #running: Promise<boolean | undefined> | undefined;
  #last: { readonly missing: boolean | undefined; readonly begun: Millis } | undefined;

  constructor(options: RootLookOptions) {
    this.#options = options;
  }

  /** @returns as `look` of a few seconds ago at most; true where that takes too long */
  async latest(): Promise<boolean | undefined> {
    const { clock, answerMs = ANSWER_MS } = this.#options;
    if (this.#last && clock.now() - this.#last.begun < VALID_MS) return this.#last.missing;
    this.#running ??= this.#look();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<true>((resolve) => (timer = setTimeout(() => resolve(true), answerMs)));
    return Promise.race([this.#running, late]).finally(() => clearTimeout(timer));
  }

  async #look(): Promise<boolean | undefined> {
    const { look, onDifferent, clock } = this.#options;
    const begun = clock.now();
    const missing = await look();
    this.#running = undefined;
    this.#last = { missing, begun };
    if (missing !== false) onDifferent();
    return missing;
  }
}
