// Who can be asked for the music that is wanted right now. The catalog says who holds it, the links say who of them can be
// reached; this joins the two for as long as somebody listens, and tells the readers when either changes.
import type { FileId, PayloadId, PeerId, SongId } from '../../lib/ids.ts';
import type { Song } from '../../storage/song-view.ts';
import type { ChunkLink, Providers } from './provider-link.ts';

/** Of each payload and each file of a song: who has all of it. */
type Holders = ReadonlyMap<PayloadId | FileId, ReadonlySet<PeerId>>;

interface Wanted {
  users: number;
  holders: Holders;
}

export interface SourcesOptions {
  readonly self: PeerId;
  /** How to ask a peer for music, if it can be asked. */
  readonly linkTo: (peer: PeerId) => ChunkLink | undefined;
}

export class Sources implements Providers {
  readonly #options: SourcesOptions;
  /** Songs that somebody listens to. */
  readonly #wanted = new Map<SongId, Wanted>();
  readonly #watchers = new Set<() => void>();

  constructor(options: SourcesOptions) {
    this.#options = options;
  }

  ofPayload(payload: PayloadId): readonly ChunkLink[] {
    return this.#linksOf(payload);
  }

  ofFile(file: FileId): readonly ChunkLink[] {
    return this.#linksOf(file);
  }

  linkTo(peer: PeerId): ChunkLink | undefined {
    return peer === this.#options.self ? undefined : this.#options.linkTo(peer);
  }

  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }

  /** This peer itself, or one that can be asked. */
  reaches(peer: PeerId): boolean {
    return peer === this.#options.self || this.#options.linkTo(peer) !== undefined;
  }

  /** Connections came or went. */
  changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /** Takes what the catalog says of a song's holders, until the returned function is called. */
  want(song: Song): () => void {
    const wanted = this.#wanted.get(song.id) ?? { users: 0, holders: new Map() };
    wanted.users += 1;
    wanted.holders = holdersOf(song);
    this.#wanted.set(song.id, wanted);
    return () => {
      wanted.users -= 1;
      if (wanted.users === 0) this.#wanted.delete(song.id);
    };
  }

  get wanted(): Iterable<SongId> {
    return this.#wanted.keys();
  }

  /** The catalog says something else of a song that is wanted. */
  update(song: Song): void {
    const wanted = this.#wanted.get(song.id);
    if (!wanted) return;
    wanted.holders = holdersOf(song);
    this.changed();
  }

  #linksOf(id: PayloadId | FileId): readonly ChunkLink[] {
    const links: ChunkLink[] = [];
    for (const { holders } of this.#wanted.values()) {
      for (const peer of holders.get(id) ?? []) {
        const link = this.linkTo(peer);
        if (link && !links.some((known) => known.peer === peer)) links.push(link);
      }
    }
    return links;
  }
}

function holdersOf({ files, copies }: Song): Holders {
  const holders = new Map<PayloadId | FileId, Set<PeerId>>();
  const add = (id: PayloadId | FileId, peers: readonly PeerId[]): void => {
    const known = holders.get(id) ?? new Set();
    for (const peer of peers) known.add(peer);
    holders.set(id, known);
  };
  for (const { description, providers } of files) {
    add(description.file, providers);
    add(description.payload, providers);
  }
  for (const [payload, some] of copies) add(payload, some.map(({ peer }) => peer));
  return holders;
}
