// Which file of a song is read. Files of one song differ in what surrounds its sound, so the bytes that a player gets piece by piece
// must all be of one of them, also when the machine that has it leaves in the middle. Therefore the choice is remembered: who goes
// on gets the file that it began with, or none; who begins gets that one too while it can be had, else another.
import { LRUCache } from 'lru-cache';
import { PeerError } from '../../lib/errors.ts';
import type { FileId, SongId } from '../../lib/ids.ts';
import { CHOSEN_FILES_MAX } from '../../lib/limits.ts';
import type { FileDescription } from '../../lib/song.ts';
import type { Millis } from '../../lib/time.ts';
import type { Song } from '../../storage/song-view.ts';
import { type Alarms, systemAlarms } from '../chunks/alarms.ts';
import type { FileReader } from '../chunks/file-reader.ts';
import type { Sources } from '../chunks/sources.ts';

export interface Wish {
  readonly file?: FileId | undefined;
  /** The exact bytes of the file, and not the form to play. */
  readonly original: boolean;
  /** A part behind the beginning is wanted: whoever asks for it has what precedes it. */
  readonly goesOn?: boolean | undefined;
  /** Aborts when nobody waits any more. */
  readonly signal?: AbortSignal | undefined;
}

export interface ChosenFilesOptions {
  readonly sources: Pick<Sources, 'reaches'>;
  readonly files: Pick<FileReader, 'holdsEdges' | 'bringStart'>;
  readonly alarms?: Alarms;
}

/** A machine that has the first file may be gone without anybody knowing it yet: then another file is tried beside it. */
const HEAD_START_MS: Millis = 200;
/** Tried for one player. */
const TRIED_MAX = 3;

export class ChosenFiles {
  readonly #options: ChosenFilesOptions;
  readonly #chosen = new LRUCache<string, FileDescription>({ max: CHOSEN_FILES_MAX });

  constructor(options: ChosenFilesOptions) {
    this.#options = options;
  }

  /** The file asked for, else the one chosen before, else the first; but one that somebody reachable has is better than the first.
   *  @throws PeerError NOT_FOUND when the song has no such file */
  of(song: Song, { file: id, original, goesOn = false }: Wish): FileDescription {
    if (id !== undefined) {
      const named = song.files.find(({ description }) => description.file === id);
      if (!named) throw new PeerError('NOT_FOUND', 'this song has no such file');
      return named.description;
    }
    const key = keyOf(song.id, original);
    const before = this.#chosen.get(key);
    // whoever begins to take the original is promised the file whose tags are shown
    if (before && (goesOn || (!original && this.#canPlay(song, before)))) return before;
    const { description } = song.files.find(({ providers }) => providers.some((peer) => this.#options.sources.reaches(peer))) ?? song.files[0];
    this.#chosen.set(key, description);
    return description;
  }

  /** As `of`, for whoever begins: nothing plays before what precedes the sound is here, so of several files it is the one of which
   *  that comes first. */
  async begin(song: Song, wish: Wish): Promise<FileDescription> {
    const first = this.of(song, wish);
    if (wish.file !== undefined || wish.original || wish.goesOn) return first;
    const others = song.files.filter(({ description, providers }) => description.file !== first.file && providers.some((peer) => this.#options.sources.reaches(peer)));
    if (others.length === 0) return first;
    const soonest = await this.#soonest([first, ...others.map(({ description }) => description)].slice(0, TRIED_MAX), wish.signal);
    if (soonest === undefined) return first;
    this.#chosen.set(keyOf(song.id, wish.original), soonest);
    return soonest;
  }

  /** One after the other, the next when one has failed or takes long; then the others are called off. @returns undefined when none can be had */
  #soonest(files: readonly FileDescription[], gone?: AbortSignal): Promise<FileDescription | undefined> {
    const { files: reader, alarms = systemAlarms } = this.#options;
    return new Promise((resolve) => {
      const left = [...files];
      const over = new AbortController();
      const stop = gone === undefined ? over.signal : AbortSignal.any([over.signal, gone]);
      let running = 0;
      let callOff = (): void => {};
      const tryNext = (): void => {
        callOff();
        const file = left.shift();
        if (file === undefined) {
          if (running === 0) resolve(undefined);
          return;
        }
        running++;
        if (left.length > 0) callOff = alarms.after(HEAD_START_MS, tryNext);
        void reader.bringStart(file, stop).then((isHere) => {
          running--;
          if (over.signal.aborted) return;
          if (!isHere) return tryNext();
          callOff();
          resolve(file);
          over.abort();
        });
      };
      tryNext();
    });
  }

  /** Is it one of the song's still, and all that a player needs of it here or with somebody who can be reached? */
  #canPlay({ files, copies }: Song, chosen: FileDescription): boolean {
    const { sources, files: reader } = this.#options;
    const listed = files.find(({ description }) => description.file === chosen.file);
    if (!listed) return false;
    if (listed.providers.some((peer) => sources.reaches(peer))) return true;
    if (!reader.holdsEdges(chosen)) return false;
    const sameSound = files.filter(({ description }) => description.payload === chosen.payload).flatMap(({ providers }) => providers);
    return [...sameSound, ...(copies.get(chosen.payload) ?? []).map(({ peer }) => peer)].some((peer) => sources.reaches(peer));
  }
}

const keyOf = (song: SongId, original: boolean): string => (original ? `${song} original` : song);
