// Who can be asked for the music that is wanted right now. The catalog says who holds it, the links say who of them can be
// reached; this joins the two for as long as somebody listens, and tells the readers when either changes.
import type { FileId, PayloadId, PeerId, SongId } from '../../lib/ids.ts';
import type { Song } from '../../storage/song-view.ts';
import type { ChunkLink, Providers } from './provider-link.ts';

/** Of each payload and each file of a song: who has all of it. */
type Holders = ReadonlyMap<PayloadId | FileId, ReadonlySet<PeerId>>;

interface Wanted {
  users: number;
  song: Song;
  holders: Holders;
  /** Of the reads of the catalog that have ended, the one that began last. */
  read: number;
}

export interface SourcesOptions {
  readonly self: PeerId;
  /** How to ask a peer for music, if it can be asked. */
  readonly linkTo: (peer: PeerId) => ChunkLink | undefined;
  /** What the catalog says of it now: the same object for as long as it says the same. */
  readonly songOf: (id: SongId) => Promise<Song | undefined>;
}

export class Sources implements Providers {
  readonly #options: SourcesOptions;
  /** Songs that somebody listens to. */
  readonly #wanted = new Map<SongId, Wanted>();
  #reads = 0;
  readonly #watchers = new Map<PayloadId | FileId, Set<() => void>>();

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

  watch(id: PayloadId | FileId, changed: () => void): () => void {
    const watchers = this.#watchers.get(id) ?? new Set();
    this.#watchers.set(id, watchers.add(changed));
    return () => {
      if (watchers.delete(changed) && watchers.size === 0 && this.#watchers.get(id) === watchers) this.#watchers.delete(id);
    };
  }

  /** This peer itself, or one that can be asked. */
  reaches(peer: PeerId): boolean {
    return peer === this.#options.self || this.#options.linkTo(peer) !== undefined;
  }

  /** Connections came or went. */
  changed(): void {
    this.#tell(this.#watchers.keys());
  }

  /** Follows what the catalog says of a song's holders, until the returned function is called. @param song as it was read, perhaps a while ago */
  want(song: Song): () => void {
    const wanted = this.#wanted.get(song.id) ?? { users: 0, song, holders: holdersOf(song), read: 0 };
    wanted.users += 1;
    if (wanted.users === 1) {
      this.#wanted.set(song.id, wanted);
      // what cannot be read now is read when the catalog changes
      void this.#read(song.id).catch(() => {});
    }
    return () => {
      wanted.users -= 1;
      if (wanted.users === 0) this.#wanted.delete(song.id);
    };
  }

  /** The catalog has changed: who appears while a song plays may have to play it to its end. */
  async refresh(): Promise<void> {
    const failed = (await Promise.allSettled([...this.#wanted.keys()].map((id) => this.#read(id)))).find(({ status }) => status === 'rejected');
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
  }

  /** Most changes are of other songs: only who watches something of this one is told. */
  async #read(id: SongId): Promise<void> {
    const read = ++this.#reads;
    const song = await this.#options.songOf(id);
    const wanted = this.#wanted.get(id);
    // one that began earlier and ends later has old news
    if (song === undefined || wanted === undefined || read < wanted.read) return;
    wanted.read = read;
    if (wanted.song === song) return;
    const before = wanted.holders;
    wanted.song = song;
    wanted.holders = holdersOf(song);
    this.#tell(new Set([...before.keys(), ...wanted.holders.keys()]));
  }

  #tell(ids: Iterable<PayloadId | FileId>): void {
    // who is told may watch something else from then on
    for (const id of [...ids]) for (const changed of [...(this.#watchers.get(id) ?? [])]) changed();
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
