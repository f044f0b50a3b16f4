// Who can be asked for the music that is wanted right now. The catalog says who holds it, the links say who of them can be
// reached; this joins the two for as long as somebody listens, and tells the readers when either changes.
import type { FileId, PayloadId, PeerId } from '../lib/ids.ts';
import type { Song } from '../storage/song-view.ts';
import type { ChunkLink, Providers } from './chunks/provider-link.ts';

interface Wanted {
  users: number;
  holders: ReadonlySet<PeerId>;
}

export interface SourcesOptions {
  readonly self: PeerId;
  /** How to ask a peer for music, if it can be asked. */
  readonly linkTo: (peer: PeerId) => ChunkLink | undefined;
}

export class Sources implements Providers {
  readonly #options: SourcesOptions;
  readonly #wanted = new Map<PayloadId | FileId, Wanted>();
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

  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }

  /** This peer itself, or one that can be asked. */
  reaches(peer: PeerId): boolean {
    return peer === this.#options.self || this.#options.linkTo(peer) !== undefined;
  }

  /** Connections came or went, or holders did. */
  changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /** Takes what the catalog says of a song's holders, until the returned function is called. */
  want(song: Song): () => void {
    const holders = holdersOf(song);
    for (const [id, peers] of holders) {
      const wanted = this.#wanted.get(id) ?? { users: 0, holders: peers };
      wanted.users += 1;
      wanted.holders = peers;
      this.#wanted.set(id, wanted);
    }
    return () => {
      for (const id of holders.keys()) {
        const wanted = this.#wanted.get(id);
        if (wanted && --wanted.users === 0) this.#wanted.delete(id);
      }
    };
  }

  #linksOf(id: PayloadId | FileId): readonly ChunkLink[] {
    const links: ChunkLink[] = [];
    for (const peer of this.#wanted.get(id)?.holders ?? []) {
      const link = peer === this.#options.self ? undefined : this.#options.linkTo(peer);
      if (link) links.push(link);
    }
    return links;
  }
}

/** Of each payload and each file of a song: who has all of it. */
function holdersOf({ files, copies }: Song): Map<PayloadId | FileId, Set<PeerId>> {
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
  for (const [payload, peers] of copies) add(payload, peers);
  return holders;
}
