// What somebody listened to, and what each of their devices is playing, as changes of this machine's own registers.
import { type DeviceId, type PlayId, randomHalfId, type SongId } from '../../lib/ids.ts';
import { encodePlay, playKey, type PlayRecord } from '../../lib/play.ts';
import { encodeSession, type PlaybackSession, sessionKey } from '../../lib/playback-session.ts';
import { type NamedProfile, profilePart } from '../../lib/profile.ts';
import type { Acknowledgement } from '../replication/acknowledgement.ts';
import type { Writer } from './writer.ts';

export class Listening {
  readonly #writer: Writer;

  constructor(writer: Writer) {
    this.#writer = writer;
  }

  /** A song that has just been heard may be gone already: it is counted all the same. */
  async played(who: NamedProfile, song: SongId, { at = this.#writer.wall(), listenedMs }: Pick<PlayRecord, 'listenedMs'> & Partial<PlayRecord>): Promise<Acknowledgement> {
    await this.#writer.data.settled();
    const key = playKey({ profile: who.profile, song }, randomHalfId<PlayId>());
    return this.#writer.write([...this.#writer.introduce(who), { key, value: encodePlay({ at, listenedMs }) }]);
  }

  save(who: NamedProfile, device: DeviceId, said: Omit<PlaybackSession, 'at' | 'rest'>): Promise<Acknowledgement> {
    return this.#writer.inTurn(`sessions of ${profilePart(who.profile)}`, async () => {
      const last = (await this.#writer.data.sessions(who.profile)).get(device);
      const value = encodeSession({ ...said, at: this.#writer.wall(), rest: last?.rest ?? [] });
      return this.#writer.write([...this.#writer.introduce(who), { key: sessionKey({ profile: who.profile, device }), value }]);
    });
  }
}
