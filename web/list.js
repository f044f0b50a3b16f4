// The list of songs. A hundred thousand of them scroll as well as ten: there are rows only for what is on the screen, and
// songs are asked for by the page when they come near it.
import { search } from './api.js';
import { byId, clock, element, hue, icon, setIcon } from './dom.js';

const ROW_PIXELS = 56;
const PAGE_SONGS = 100;
/** Rows beyond the screen's edges, so that a quick hand does not see them appear. */
const MARGIN_ROWS = 12;
/** Browsers draw nothing beyond some 17 million pixels of height. */
const ROWS_MAX = 250_000;
/** Songs that follow the one that was clicked. */
const FOLLOWING_MAX = 200;

export class SongList extends EventTarget {
  words = '';
  total = 0;
  /** Whether any answer has come yet. */
  shown = false;
  /** @type {(id: string) => string} */
  nameOfPeer = () => '';
  #box = byId('list');
  /** @type {Map<number, object[]>} */
  #pages = new Map();
  #asked = new Set();
  /** @type {Map<number, HTMLElement>} */
  #rows = new Map();
  #active = 0;
  #playing;
  #round = new AbortController();
  #drawing = false;

  constructor() {
    super();
    for (const event of ['scroll', 'resize']) window.addEventListener(event, () => this.#drawSoon(), { passive: true });
    this.#box.addEventListener('click', (event) => this.#clicked(event));
    this.#box.addEventListener('dblclick', (event) => this.#act('play', event));
    this.#box.addEventListener('keydown', (event) => this.#key(event));
    this.#box.addEventListener('focusin', (event) => {
      const at = this.#indexOf(event.target);
      if (at !== undefined) this.#activate(at, false);
    });
  }

  /** Shows what matches; keeps what it shows until the answer is there. @param {string} words @param {{ keep?: boolean }} [options] keep: the same words again, because the catalog changed */
  async show(words, { keep = false } = {}) {
    this.#round.abort();
    this.#round = new AbortController();
    const { signal } = this.#round;
    const first = keep ? this.#firstPage() : 0;
    const answer = await search(words, { limit: PAGE_SONGS, offset: first * PAGE_SONGS, signal });
    if (signal.aborted) return;
    this.shown = true;
    this.words = words;
    this.total = Math.min(ROWS_MAX, answer.total ?? first * PAGE_SONGS + answer.songs.length);
    this.#pages = new Map([[first, answer.songs]]);
    this.#asked = new Set([first]);
    if (!keep) {
      this.#active = 0;
      window.scrollTo({ top: 0 });
    }
    this.#box.style.height = `${this.total * ROW_PIXELS}px`;
    this.#box.setAttribute('aria-rowcount', String(this.total));
    for (const row of this.#rows.values()) row.remove();
    this.#rows.clear();
    this.#draw();
    this.dispatchEvent(new Event('shown'));
  }

  /** @param {object | undefined} song @param {boolean} paused */
  setPlaying(song, paused) {
    this.#playing = song && { id: song.id, paused };
    for (const [at, row] of this.#rows) this.#mark(row, this.songAt(at));
  }

  /** @param {number} at */
  songAt(at) {
    return this.#pages.get(Math.floor(at / PAGE_SONGS))?.[at % PAGE_SONGS];
  }

  /** The songs after one, as the list has them. @param {number} at */
  async following(at) {
    const songs = [];
    for (let next = at + 1; next < Math.min(this.total, at + 1 + FOLLOWING_MAX); next++) {
      if (this.songAt(next) === undefined) await this.#load(Math.floor(next / PAGE_SONGS));
      const song = this.songAt(next);
      if (song === undefined) break;
      songs.push(song);
    }
    return songs;
  }

  /** Some songs from anywhere in the list. @param {number} count */
  async sample(count) {
    if (this.total <= count) return (await search(this.words, { limit: count, offset: 0 })).songs;
    const parts = 10;
    const limit = Math.ceil(count / parts);
    const offsets = Array.from({ length: parts }, (_, part) => Math.floor(((part + Math.random()) * (this.total - limit)) / parts));
    const songs = (await Promise.all(offsets.map((offset) => search(this.words, { limit, offset })))).flatMap((answer) => answer.songs);
    return [...new Map(songs.map((song) => [song.id, song])).values()];
  }

  focus() {
    this.#activate(this.#active, true);
  }

  #firstPage() {
    return Math.floor(Math.max(0, window.scrollY - this.#box.offsetTop) / ROW_PIXELS / PAGE_SONGS);
  }

  #drawSoon() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #draw() {
    const top = this.#box.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / ROW_PIXELS) - MARGIN_ROWS);
    const last = Math.min(this.total - 1, Math.ceil((window.innerHeight - top) / ROW_PIXELS) + MARGIN_ROWS);
    for (const [at, row] of this.#rows) {
      // The focused row stays, wherever it is: removing it would lose the reader's place.
      if ((at < first || at > last) && !row.contains(document.activeElement)) {
        row.remove();
        this.#rows.delete(at);
      }
    }
    for (let at = first; at <= last; at++) if (!this.#rows.has(at)) this.#addRow(at);
    for (let page = Math.floor(first / PAGE_SONGS); page * PAGE_SONGS <= last; page++) void this.#load(page);
  }

  async #load(page) {
    if (this.#asked.has(page)) return;
    this.#asked.add(page);
    const { signal } = this.#round;
    try {
      const { songs } = await search(this.words, { limit: PAGE_SONGS, offset: page * PAGE_SONGS, signal });
      if (signal.aborted) return;
      this.#pages.set(page, songs);
      for (const [at, row] of this.#rows) if (Math.floor(at / PAGE_SONGS) === page) this.#fill(row, at);
    } catch {
      // Asked again when it is scrolled to.
      if (!signal.aborted) this.#asked.delete(page);
    }
  }

  #addRow(at) {
    const row = element('div', { role: 'row', className: 'song', tabIndex: at === this.#active ? 0 : -1, 'aria-rowindex': at + 1 });
    row.style.transform = `translateY(${at * ROW_PIXELS}px)`;
    row.dataset.at = String(at);
    this.#fill(row, at);
    this.#rows.set(at, row);
    // In the order of the list, also for who listens to the page.
    let after = at + 1;
    while (after < at + 4 && !this.#rows.has(after)) after += 1;
    this.#box.insertBefore(row, this.#rows.get(after) ?? null);
  }

  #fill(row, at) {
    const song = this.songAt(at);
    row.classList.toggle('waiting', song === undefined);
    if (song === undefined) {
      row.replaceChildren(element('span', { className: 'cover' }), element('span', { className: 'names', role: 'gridcell' }));
      return;
    }
    const cover = element('button', { type: 'button', className: 'cover', tabIndex: -1, 'aria-label': `Play ${song.title}` }, icon('play'));
    cover.dataset.act = 'play';
    cover.style.setProperty('--hue', String(hue(song)));
    const add = element('button', { type: 'button', className: 'act', tabIndex: -1, 'aria-label': `Add ${song.title} to the queue`, title: 'Add to queue' }, icon('add'));
    add.dataset.act = 'add';
    const holders = song.providers.map((id) => this.nameOfPeer(id));
    const on = holders.length > 2 ? `${holders.length} peers` : holders.join(', ');
    row.replaceChildren(
      element('span', { role: 'gridcell', className: 'cell' }, cover),
      element('span', { role: 'gridcell', className: 'names' }, element('strong', { title: song.title }, song.title), element('span', {}, song.artist || 'Unknown artist')),
      element('span', { role: 'gridcell', className: 'album' }, song.album),
      element('span', { role: 'gridcell', className: 'on', title: holders.join(', ') }, on),
      element('span', { role: 'gridcell', className: 'time' }, song.durationMs > 0 ? clock(song.durationMs / 1000) : ''),
      element('span', { role: 'gridcell', className: 'cell' }, add),
    );
    this.#mark(row, song);
  }

  #mark(row, song) {
    const current = song !== undefined && song.id === this.#playing?.id;
    row.classList.toggle('current', current);
    if (current) row.setAttribute('aria-current', 'true');
    else row.removeAttribute('aria-current');
    const cover = row.querySelector('button.cover');
    if (cover) setIcon(cover, current && !this.#playing.paused ? 'pause' : 'play');
  }

  #indexOf(target) {
    const at = target.closest?.('.song')?.dataset.at;
    return at === undefined ? undefined : Number(at);
  }

  #clicked(event) {
    const act = event.target.closest('[data-act]')?.dataset.act;
    if (act !== undefined) this.#act(act, event);
    // A phone has no double click: there, touching a row plays it.
    else if (matchMedia('(pointer: coarse)').matches) this.#act('play', event);
    else this.#indexOf(event.target) !== undefined && this.#activate(this.#indexOf(event.target), true);
  }

  #act(kind, event) {
    const at = this.#indexOf(event.target);
    const song = at === undefined ? undefined : this.songAt(at);
    if (song !== undefined) this.dispatchEvent(new CustomEvent(kind, { detail: { song, at } }));
  }

  #activate(at, focus) {
    const next = Math.min(Math.max(0, at), this.total - 1);
    this.#rows.get(this.#active)?.setAttribute('tabindex', '-1');
    this.#active = next;
    if (focus && !this.#rows.has(next) && next >= 0) this.#addRow(next);
    const row = this.#rows.get(next);
    if (row === undefined) return;
    row.tabIndex = 0;
    if (!focus) return;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: 'nearest' });
  }

  #key(event) {
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    if (event.key in moves) {
      event.preventDefault();
      if (event.key === 'ArrowUp' && this.#active === 0) byId('search').focus();
      else this.#activate(event.key === 'End' ? this.total - 1 : event.key === 'Home' ? 0 : this.#active + moves[event.key], true);
    } else if (event.key === 'Enter' && event.target.classList.contains('song')) this.#act('play', event);
    else if (event.key === 'q') this.#act('add', event);
  }
}
