// A song as people see it: the merge of every peer's `holding` and `copy` registers. A pure function of the winners, so that
// the same registers show the same song everywhere, but that one's own file is preferred.
import type { FileId, PayloadId, PeerId, SongId } from '../lib/ids.ts';
import { type FileDescription, sizeOf } from '../lib/song.ts';

export interface Holding {
  readonly origin: PeerId;
  readonly description: FileDescription;
}

export interface SongFile {
  readonly description: FileDescription;
  /** Who has this very file. */
  readonly providers: readonly PeerId[];
}

export interface Song {
  readonly id: SongId;
  /** The file whose tags are shown and which `--output` writes comes first. */
  readonly files: readonly [SongFile, ...SongFile[]];
  /** Who has all of the audio, by a file or by a cached copy. */
  readonly providers: readonly PeerId[];
  /** Who has cached the whole of a payload. */
  readonly copies: ReadonlyMap<PayloadId, readonly PeerId[]>;
}

/** @param copies peers that cached the whole of a payload, for each payload of the song
 *  @returns undefined when nobody holds a file of it: without a description there is nothing to show */
export function mergeSong(
  id: SongId,
  holdings: readonly Holding[],
  { self, copies }: { readonly self: PeerId; readonly copies: ReadonlyMap<PayloadId, readonly PeerId[]> },
): Song | undefined {
  const byFile = new Map<FileId, { description: FileDescription; providers: PeerId[] }>();
  for (const { origin, description } of holdings) {
    const file = byFile.get(description.file);
    if (file) file.providers.push(origin);
    else byFile.set(description.file, { description, providers: [origin] });
  }
  const mine = (file: SongFile): number => Number(file.providers.includes(self));
  // mine, else the one with most holders, else the smallest id
  const [first, ...rest] = [...byFile.values()].sort(
    (a, b) => mine(b) - mine(a) || b.providers.length - a.providers.length || (a.description.file < b.description.file ? -1 : 1),
  );
  if (!first) return undefined;
  const providers = new Set(holdings.map(({ origin }) => origin));
  for (const peers of copies.values()) for (const peer of peers) providers.add(peer);
  return { id, files: [first, ...rest], providers: [...providers], copies };
}

/** One song of `search --json`. */
export function toSongJson({ id, files, providers }: Song) {
  const { description } = files[0];
  const { durationMs, codec, bitrate, tags } = description;
  return {
    id: id as string,
    ...tags,
    genre: [...tags.genre],
    durationMs,
    codec,
    bitrate,
    sizeBytes: sizeOf(description),
    providers: [...providers] as string[],
    files: files.map((file) => ({ id: file.description.file as string, sizeBytes: sizeOf(file.description), providers: [...file.providers] as string[] })),
  };
}
