// What is playing and what follows. What a listener added stands before the rest of the list that playing began from.
// No page and no sound in here, so it can be read and tried by itself.

/** @typedef {{ song: object, added: boolean, order: number }} Entry */

export class Queue extends EventTarget {
  /** @type {Entry[]} */
  entries = [];
  index = -1;
  shuffled = false;
  #order = 0;

  get current() {
    return this.entries[this.index]?.song;
  }

  /** What is played next, as things stand. */
  get upcoming() {
    return this.entries[this.index + 1]?.song;
  }

  get hasNext() {
    return this.index + 1 < this.entries.length;
  }

  get hasPrevious() {
    return this.index > 0;
  }

  /** Plays `song` now, then what was added before. @param {object} song */
  start(song) {
    const added = this.entries.slice(this.index + 1).filter((entry) => entry.added);
    this.entries = [this.#entry(song, false), ...added];
    this.index = 0;
    this.#changed(true);
  }

  /** What follows after all that. @param {object[]} songs */
  extend(songs) {
    const rest = songs.map((song) => this.#entry(song, false));
    this.entries.push(...(this.shuffled ? shuffle(rest) : rest));
    this.#changed(false);
  }

  /** After the songs that were added before it. @param {object} song */
  add(song) {
    let at = this.index + 1;
    while (this.entries[at]?.added) at += 1;
    this.entries.splice(at, 0, this.#entry(song, true));
    this.#changed(false);
  }

  /** @param {number} at */
  remove(at) {
    if (at === this.index) return;
    this.entries.splice(at, 1);
    if (at < this.index) this.index -= 1;
    this.#changed(false);
  }

  /** @param {number} at */
  jump(at) {
    if (this.entries[at] === undefined) return;
    this.index = at;
    this.#changed(true);
  }

  next() {
    if (this.hasNext) this.jump(this.index + 1);
  }

  previous() {
    if (this.hasPrevious) this.jump(this.index - 1);
  }

  /** Forgets what follows and what was. */
  clear() {
    this.entries = this.entries.slice(this.index, this.index + 1);
    this.index = this.entries.length - 1;
    this.#changed(false);
  }

  /** Shuffles what follows, or puts it back in order; what was added stays in front. @param {boolean} on */
  setShuffled(on) {
    this.shuffled = on;
    const following = this.entries.splice(this.index + 1);
    const rest = following.filter((entry) => !entry.added);
    this.entries.push(...following.filter((entry) => entry.added), ...(on ? shuffle(rest) : rest.sort((a, b) => a.order - b.order)));
    this.#changed(false);
  }

  #entry(song, added) {
    return { song, added, order: this.#order++ };
  }

  #changed(song) {
    this.dispatchEvent(new CustomEvent('change', { detail: { song } }));
  }
}

/** Fisher and Yates. @template T @param {T[]} list @returns {T[]} */
export function shuffle(list) {
  const mixed = [...list];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [mixed[i], mixed[j]] = [mixed[j], mixed[i]];
  }
  return mixed;
}
