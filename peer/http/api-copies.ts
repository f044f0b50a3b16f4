// What the HTTP server needs of copies; peer/copies/copies-api.ts provides it.
import type { PeerId, SongId } from '../../lib/ids.ts';
import type { LeavingJson, PinJson, PinnedJson, SafeJson, SettingJson } from './copy-schemas.ts';

export interface ApiCopies {
  /** @param peer whose songs are asked about that nobody else has. Throws NOT_FOUND. */
  safe(peer?: PeerId): Promise<SafeJson>;
  /** By title. */
  pins(): Promise<readonly PinJson[]>;
  /** Throws NOT_FOUND, TOO_LARGE. */
  pin(song: SongId, pinned: boolean): Promise<PinnedJson>;
  leaving(): Promise<LeavingJson>;
  setLeaving(leaving: boolean): Promise<LeavingJson>;
  /** Machines that each song is to be on. */
  setCopies(copies: number): Promise<SettingJson>;
}
