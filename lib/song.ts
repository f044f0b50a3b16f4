// What the catalog knows of music. A file is prefix + payload + suffix; a song is a payload, whatever tags surround it.
// A peer that has a file owns the register `holding/<song>/<file>` with the file's description; a peer that has cached
// a whole payload owns `copy/<payload>` with the files that it can give whole. Everybody merges the same registers into the same
// songs.
import { checker } from './check.ts';
import { decode, encode } from './codec.ts';
import { HASH_BYTES } from './content.ts';
import { type FileId, idToBytes, isId, type PayloadId, type SongId } from './ids.ts';
import { COPY_FILES_MAX, DURATION_MS_MAX, TAG_CHARACTERS_MAX, TAG_VALUES_MAX, VALUE_BYTES_MAX } from './limits.ts';
import type { Value } from './operation.ts';

export interface Tags {
  /** Never empty: the file's name without its extension when there is no title. */
  readonly title: string;
  /** As shown, several artists joined by ', '; empty when unknown. */
  readonly artist: string;
  readonly album: string;
  readonly albumArtist: string;
  /** 0 when unknown, as are disc and year. */
  readonly track: number;
  readonly disc: number;
  readonly year: number;
  readonly genre: readonly string[];
}

/** One tagged file, as its holder describes it to everybody. */
export interface FileDescription {
  readonly song: SongId;
  readonly file: FileId;
  readonly payload: PayloadId;
  readonly tags: Tags;
  readonly durationMs: number;
  /** 'mp3', 'flac', 'aac', 'alac', 'vorbis', 'opus', 'wav', … */
  readonly codec: string;
  /** 'mp3', 'flac', 'm4a', 'ogg', 'opus', 'wav', …: the file's usual extension, by its content and not its name. */
  readonly suffix: string;
  /** Bits per second. */
  readonly bitrate: number;
  readonly prefixBytes: number;
  readonly payloadBytes: number;
  readonly suffixBytes: number;
  /** SHA-256 of the bytes before and after the payload, 32 bytes each. */
  readonly prefixHash: Uint8Array;
  readonly suffixHash: Uint8Array;
}

export const sizeOf = (file: Pick<FileDescription, 'prefixBytes' | 'payloadBytes' | 'suffixBytes'>): number =>
  file.prefixBytes + file.payloadBytes + file.suffixBytes;

export const holdingKey = (song: SongId, file: FileId): string => `holding/${song}/${file}`;
export const copyKey = (payload: PayloadId): string => `copy/${payload}`;

/** The song and file that a `holding` register speaks of, or undefined for other keys. */
export function parseHoldingKey(key: string): { readonly song: SongId; readonly file: FileId } | undefined {
  const [kind, song, file, rest] = key.split('/');
  if (kind !== 'holding' || !isId(song) || !isId(file) || rest !== undefined) return undefined;
  return { song: song as SongId, file: file as FileId };
}

/** The payload that a `copy` register speaks of, or undefined for other keys. */
export function parseCopyKey(key: string): PayloadId | undefined {
  const [kind, payload, rest] = key.split('/');
  return kind === 'copy' && isId(payload) && rest === undefined ? (payload as PayloadId) : undefined;
}

export const encodeHolding = (file: FileDescription): Value =>
  encode([
    idToBytes(file.payload),
    [file.tags.title, file.tags.artist, file.tags.album, file.tags.albumArtist, file.tags.track, file.tags.disc, file.tags.year, file.tags.genre],
    [file.durationMs, file.codec, file.suffix, file.bitrate],
    [file.prefixBytes, file.payloadBytes, file.suffixBytes],
    file.prefixHash,
    file.suffixHash,
  ]);

const check = checker('BAD_OPERATION');
const tag = (value: unknown): string => check.text(value, TAG_CHARACTERS_MAX);

/** @throws PeerError BAD_OPERATION */
export function decodeHolding(key: { readonly song: SongId; readonly file: FileId }, value: Value): FileDescription {
  const [payload, tags, sound, sizes, prefixHash, suffixHash] = check.list(decode(value, { bytesMax: VALUE_BYTES_MAX, code: 'BAD_OPERATION' }), 6);
  const [title, artist, album, albumArtist, track, disc, year, genre] = check.list(tags, 8);
  const [durationMs, codec, suffix, bitrate] = check.list(sound, 4);
  const [prefixBytes, payloadBytes, suffixBytes] = check.list(sizes, 3);
  return {
    song: key.song,
    file: key.file,
    payload: check.id<PayloadId>(payload),
    tags: {
      title: tag(title),
      artist: tag(artist),
      album: tag(album),
      albumArtist: tag(albumArtist),
      track: check.count(track),
      disc: check.count(disc),
      year: check.count(year),
      genre: check.list(genre, 0).slice(0, TAG_VALUES_MAX).map(tag),
    },
    durationMs: Math.min(DURATION_MS_MAX, check.count(durationMs)),
    codec: tag(codec),
    suffix: tag(suffix),
    bitrate: check.count(bitrate),
    prefixBytes: check.count(prefixBytes),
    payloadBytes: check.count(payloadBytes),
    suffixBytes: check.count(suffixBytes),
    prefixHash: check.bytes(prefixHash, { exactly: HASH_BYTES }),
    suffixHash: check.bytes(suffixHash, { exactly: HASH_BYTES }),
  };
}

/** @param files those whose prefix and suffix are here too */
export const encodeCopy = (files: readonly FileId[]): Value => encode([files.slice(0, COPY_FILES_MAX).map(idToBytes)]);

/** The files that a copy can give whole; none of a form that is not known: versions of before said `true`. */
export function decodeCopy(value: Value): readonly FileId[] {
  try {
    const [files] = check.list(decode(value, { bytesMax: VALUE_BYTES_MAX, code: 'BAD_OPERATION' }), 1);
    return check.list(files).slice(0, COPY_FILES_MAX).map((file) => check.id<FileId>(file));
  } catch {
    return [];
  }
}
