// Stars and ratings, as changes of this machine's own registers. A tombstone is written also for what is starred on another machine
// only: it is newer, and so it counts.
import type { SongId } from '../../lib/ids.ts';
import { encodeRating, encodeStar, type Rating, ratingKey, starKey } from '../../lib/marks.ts';
import { type NamedProfile, profilePart } from '../../lib/profile.ts';
import type { Acknowledgement } from '../replication/acknowledgement.ts';
import type { Writer } from './writer.ts';

export class Marks {
  readonly #writer: Writer;

  constructor(writer: Writer) {
    this.#writer = writer;
  }

  /** A star that is there already keeps its date, and is said again.
   *  @throws PeerError NOT_FOUND for songs that nobody has */
  star(who: NamedProfile, songs: readonly SongId[]): Promise<Acknowledgement> {
    return this.#inTurn(who, async () => {
      await this.#writer.checkSongs(songs);
      const at = this.#writer.wall();
      const stars = [...new Set(songs)].map((song) => ({
        key: starKey({ profile: who.profile, song }),
        value: encodeStar(this.#writer.data.star(who.profile, song) ?? { at, rest: [] }),
      }));
      return this.#writer.write([...this.#writer.introduce(who), ...stars]);
    });
  }

  unstar(who: NamedProfile, songs: readonly SongId[]): Promise<Acknowledgement> {
    return this.#inTurn(who, () => this.#writer.write([...new Set(songs)].map((song) => ({ key: starKey({ profile: who.profile, song }), value: null }))));
  }

  /** @param rating null takes it back
   *  @throws PeerError NOT_FOUND for a song that nobody has */
  rate(who: NamedProfile, song: SongId, rating: Rating | null): Promise<Acknowledgement> {
    return this.#inTurn(who, async () => {
      if (rating === null) return this.#writer.write([{ key: ratingKey({ profile: who.profile, song }), value: null }]);
      await this.#writer.checkSongs([song]);
      const value = encodeRating({ rating, rest: this.#writer.data.ratingRest(who.profile, song) });
      return this.#writer.write([...this.#writer.introduce(who), { key: ratingKey({ profile: who.profile, song }), value }]);
    });
  }

  #inTurn<T>({ profile }: NamedProfile, command: () => Promise<T>): Promise<T> {
    return this.#writer.inTurn(`marks of ${profilePart(profile)}`, command);
  }
}
