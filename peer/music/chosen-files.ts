// Which file of a song is read. Files of one song differ in what surrounds its sound, so the bytes that a player gets piece by piece
// must all be of one of them, also when the machine that has it leaves in the middle. Therefore the choice is remembered: who goes
// on gets the file that it began with, or none; who begins gets that one too while it can be had, else another.
import { LRUCache } from 'lru-cache';
import { PeerError } from '../../lib/errors.ts';
import type { FileId, SongId } from '../../lib/ids.ts';
import { CHOSEN_FILES_MAX } from '../../lib/limits.ts';
import type { FileDescription } from '../../lib/song.ts';
import type { Song } from '../../storage/song-view.ts';
import type { FileReader } from '../chunks/file-reader.ts';
import type { Sources } from '../chunks/sources.ts';

export interface Wish {
  readonly file?: FileId | undefined;
  /** The exact bytes of the file, and not the form to play. */
  readonly original: boolean;
  /** A part behind the beginning is wanted: whoever asks for it has what precedes it. */
  readonly goesOn?: boolean | undefined;
}

export interface ChosenFilesOptions {
  readonly sources: Pick<Sources, 'reaches'>;
  readonly files: Pick<FileReader, 'holdsEdges'>;
}

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
