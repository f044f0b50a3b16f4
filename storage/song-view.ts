// A song as people see it: the merge of every peer's `holding` and `copy` registers. A pure function of the winners, so that
// the same registers show the same song everywhere, but that one's own file is preferred.
import type { FileId, PayloadId, PeerId, SongId } from '../lib/ids.ts';
import { type FileDescription, sizeOf } from '../lib/song.ts';

export interface Holding {
  readonly origin: PeerId;
  readonly description: FileDescription;
  /** Somebody told the network that its origin will not return: it holds nothing, and what it said of the file is still true. */
  readonly forgotten?: true;
}

/** Somebody has cached the whole of a payload, and what surrounds it in these files. */
export interface Copy {
  readonly peer: PeerId;
  readonly files: readonly FileId[];
}

export interface SongFile {
  readonly description: FileDescription;
  /** Who has this very file on its disk. */
  readonly owners: readonly PeerId[];
  /** Who has all of its bytes, those that copied it included. */
  readonly providers: readonly PeerId[];
}

export interface Song {
  readonly id: SongId;
  /** The file whose tags are shown and which `--output` writes comes first. */
  readonly files: readonly [SongFile, ...SongFile[]];
  /** Who has all of the audio, by a file or by a cached copy. */
  readonly providers: readonly PeerId[];
  /** Who has a file of it on its disk. */
  readonly owners: readonly PeerId[];
  /** Who has copied one of its files whole: they can play it and give the file when all owners are gone. */
  readonly copiers: readonly PeerId[];
  /** Who has cached the whole of a payload. */
  readonly copies: ReadonlyMap<PayloadId, readonly Copy[]>;
}

/** @param copies of each payload of the song
 *  @returns undefined when nobody holds a file of it: without a description there is nothing to show */
export function mergeSong(
  id: SongId,
  holdings: readonly Holding[],
  { self, copies }: { readonly self: PeerId; readonly copies: ReadonlyMap<PayloadId, readonly Copy[]> },
): Song | undefined {
  const byFile = new Map<FileId, { description: FileDescription; owners: PeerId[] }>();
  for (const { origin, description, forgotten } of holdings) {
    const file = byFile.get(description.file) ?? { description, owners: [] };
    byFile.set(description.file, file);
    if (!forgotten) file.owners.push(origin);
  }
  const files: SongFile[] = [];
  const copiers = new Set<PeerId>();
  for (const { description, owners } of byFile.values()) {
    const providers = new Set(owners);
    for (const { peer, files: whole } of copies.get(description.payload) ?? []) {
      if (!whole.includes(description.file)) continue;
      providers.add(peer);
      copiers.add(peer);
    }
    if (providers.size > 0) files.push({ description, owners, providers: [...providers] });
  }
  const mine = (file: SongFile): number => Number(file.owners.includes(self));
  // mine, else the one with most owners, else the smallest id: copies are made by machines, and say nothing of whose tags are best
  const [first, ...rest] = files.sort(
    (a, b) => mine(b) - mine(a) || b.owners.length - a.owners.length || (a.description.file < b.description.file ? -1 : 1),
  );
  if (!first) return undefined;
  const owners = new Set([first, ...rest].flatMap((file) => file.owners));
  const providers = new Set(owners);
  for (const some of copies.values()) for (const { peer } of some) providers.add(peer);
  return { id, files: [first, ...rest], providers: [...providers], owners: [...owners], copiers: [...copiers], copies };
}

/** Machines that hold the song so that all of it plays, each once. */
export function machinesOf({ owners, copiers }: Pick<Song, 'owners' | 'copiers'>): ReadonlySet<PeerId> {
  return new Set([...owners, ...copiers]);
}

/** One song of `search --json`.
 *  @param lives is this machine here? */
export function toSongJson(song: Song, lives: (peer: PeerId) => boolean) {
  const { id, files, providers } = song;
  const { description } = files[0];
  const { durationMs, codec, bitrate, tags } = description;
  let machines = 0;
  for (const peer of machinesOf(song)) if (lives(peer)) machines += 1;
  return {
    id: id as string,
    ...tags,
    genre: [...tags.genre],
    durationMs,
    codec,
    bitrate,
    sizeBytes: sizeOf(description),
    machines,
    providers: [...providers] as string[],
    files: files.map((file) => ({ id: file.description.file as string, sizeBytes: sizeOf(file.description), providers: [...file.providers] as string[] })),
  };
}
