// Copies as the web address serves them.
import { PeerError } from '../../lib/errors.ts';
import type { PeerId, SongId } from '../../lib/ids.ts';
import type { Catalog } from '../../storage/catalog.ts';
import type { ApiCopies } from '../http/api-copies.ts';
import type { LeavingJson, PinJson, PinnedJson, SafeJson, SettingJson } from '../http/copy-schemas.ts';
import type { StatusJson } from '../http/schemas.ts';
import type { Copies } from './copies.ts';
import type { Counted } from './survey.ts';

/** The part of a session that is needed here. */
export interface CopySession {
  readonly music: { readonly copies: Copies };
  readonly catalog: Pick<Catalog, 'settled' | 'song'>;
}

export interface CopiesApiOptions {
  /** Waits for one that still starts. */
  readonly session: () => Promise<CopySession>;
  /** Was this machine ever here? */
  readonly knows: (peer: PeerId) => Promise<boolean>;
  /** Are the music folders of this machine still being read? Until then not all that it has is known. */
  readonly scanning: () => boolean;
  /** Empty where it is not known. */
  readonly nameOf: (peer: PeerId) => string;
  readonly onChange: () => void;
}

export class CopiesApi implements ApiCopies {
  readonly #options: CopiesApiOptions;

  constructor(options: CopiesApiOptions) {
    this.#options = options;
  }

  /** @param counting whether to count where something has changed; else the last count is told. @returns null before the first one is over */
  async counted({ counting }: { readonly counting: boolean }): Promise<NonNullable<StatusJson['copies']> | null> {
    const { music: { copies } } = await this.#options.session();
    if (counting) {
      const counted = await copies.counted();
      return counted ? toJson(copies.wanted, counted) : null;
    }
    const last = copies.lastCounted;
    return last ? { ...toJson(copies.wanted, last), ageMs: Math.round(last.ageMs) } : null;
  }

  async safe(peer?: PeerId): Promise<SafeJson> {
    const { session, knows } = this.#options;
    const { music: { copies } } = await session();
    if (peer !== undefined && !(await knows(peer))) throw new PeerError('NOT_FOUND', 'no machine of that id was ever here');
    const missing = await copies.foldersMissing();
    const counted = { ...toJson(copies.wanted, await copies.countedNow()), scanning: this.#options.scanning(), foldersMissing: this.#named(missing) };
    if (peer === undefined) return { ...counted, vanishing: null };
    const { total, bytes, songs } = await copies.vanishingWith(peer, new Set(missing));
    return { ...counted, vanishing: { total, bytes, songs: [...songs], scanning: (await copies.isScanning(peer)) ?? null } };
  }

  async pins(): Promise<readonly PinJson[]> {
    const { music: { copies }, catalog } = await this.#options.session();
    const pins: PinJson[] = [];
    for (const [songId, payload] of copies.pins.all) {
      const song = await catalog.song(songId);
      const { title = '', artist = '' } = song?.files[0].description.tags ?? {};
      pins.push({ songId, title, artist, state: copies.pins.stateOf(song, payload), reason: copies.pins.reasonOf(song, payload) ?? null });
    }
    return pins.sort((a, b) => a.title.localeCompare(b.title) || (a.songId < b.songId ? -1 : 1));
  }

  async pin(id: SongId, pinned: boolean): Promise<PinnedJson> {
    const { music: { copies }, catalog } = await this.#options.session();
    const song = await catalog.song(id);
    if (!pinned) {
      if (!(await copies.pins.unpin(id))) throw new PeerError('NOT_FOUND', 'this song is not pinned here');
      return { pinned: false, state: null };
    }
    if (!song) throw new PeerError('NOT_FOUND', 'there is no such song');
    const state = await copies.pins.pin(song);
    return { pinned: copies.pins.all.has(id), state };
  }

  async leaving(): Promise<LeavingJson> {
    const { music: { copies } } = await this.#options.session();
    const { only: { total, bytes, songs }, foldersMissing, ...facts } = await copies.leaving();
    return { ...facts, foldersMissing: this.#named(foldersMissing), total, bytes, songs: [...songs], scanning: this.#options.scanning() };
  }

  #named(peers: readonly PeerId[]): LeavingJson['foldersMissing'] {
    return peers.map((id) => ({ id, name: this.#options.nameOf(id) }));
  }

  async setLeaving(leaving: boolean): Promise<LeavingJson> {
    const { music: { copies }, catalog } = await this.#options.session();
    await copies.setLeaving(leaving);
    await catalog.settled();
    return this.leaving();
  }

  async setCopies(machines: number): Promise<SettingJson> {
    const { music: { copies } } = await this.#options.session();
    const acknowledged = await copies.setWanted(machines);
    this.#options.onChange();
    return { copies: machines, acknowledged };
  }
}

const toJson = (wanted: number, { songs, toDo, missing }: Counted): NonNullable<StatusJson['copies']> => ({
  wanted,
  songs: Object.fromEntries([...songs].sort(([a], [b]) => a - b).map(([machines, count]) => [String(machines), count])),
  toDo,
  missing,
});
