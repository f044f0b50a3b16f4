// What the commands of people write through. A command reads what is shown, decides, and writes one batch; two commands about one
// thing take turns, or one that saw a playlist before its deletion would write it again afterwards, and it would return.
import type { SongId } from '../../lib/ids.ts';
import type { Lamport } from '../../lib/lamport.ts';
import { PeerError } from '../../lib/errors.ts';
import { encodeProfile, type NamedProfile, profileKey } from '../../lib/profile.ts';
import type { WallClock } from '../../lib/time.ts';
import type { UserData } from '../../storage/views/user-data.ts';
import type { Acknowledgement } from '../replication/acknowledgement.ts';
import type { Change } from '../replication/transaction.ts';

export interface WriterOptions {
  readonly data: UserData;
  /** All of them as one batch, which is on the disk here when it resolves. */
  readonly write: (changes: readonly Change[]) => Promise<Acknowledgement>;
  readonly knowsSong: (song: SongId) => Promise<boolean>;
  /** The time of the latest event. */
  readonly lamport: () => Lamport;
  /** For what people read. */
  readonly wall: () => WallClock;
}

export class Writer {
  readonly data: UserData;
  readonly write: WriterOptions['write'];
  readonly lamport: () => Lamport;
  readonly wall: () => WallClock;
  readonly #knowsSong: WriterOptions['knowsSong'];
  /** The last turn of each thing that somebody works on. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor({ data, write, knowsSong, lamport, wall }: WriterOptions) {
    this.data = data;
    this.write = write;
    this.lamport = lamport;
    this.wall = wall;
    this.#knowsSong = knowsSong;
  }

  /** Runs `command` when those before it about the same thing are done, and what they wrote is shown. */
  async inTurn<T>(thing: string, command: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(thing);
    const turn = (async () => {
      await before?.catch(() => undefined); // told to whoever gave that command
      await this.data.settled();
      return command();
    })();
    this.#turns.set(thing, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(thing) === turn) this.#turns.delete(thing);
    }
  }

  /** What makes a profile that is used for the first time. */
  introduce({ profile, name }: NamedProfile): readonly Change[] {
    return this.data.hasProfile(profile) ? [] : [{ key: profileKey(profile), value: encodeProfile(name) }];
  }

  /** A typing error is told before it is in everybody's playlist. @throws PeerError NOT_FOUND */
  async checkSongs(songs: readonly SongId[]): Promise<void> {
    for (const song of songs) {
      if (!(await this.#knowsSong(song))) throw new PeerError('NOT_FOUND', `no machine here has a song ${song}`);
    }
  }
}
