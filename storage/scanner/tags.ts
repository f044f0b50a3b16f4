// A file's tags as everybody will see them, read by music-metadata. The tags come from strangers: every text is cleaned and cut,
// every number checked, and a parser that throws half-way still yields what it had read.
import { basename, extname } from 'node:path';
import type { IAudioMetadata, IFormat, IOptions } from 'music-metadata';
import { GENRE_CHARACTERS_MAX, TAG_CHARACTERS_MAX, TAG_READ_BYTES_MAX, TAG_VALUES_MAX } from '../../lib/limits.ts';
import type { Tags } from '../../lib/song.ts';
import type { ByteSource } from './byte-source.ts';
import type { Container } from './layout.ts';

/** By content; music-metadata would otherwise guess, and gives up on frames that are out of line. */
const MIME_TYPES: Record<Container, string> = {
  mp3: 'audio/mpeg',
  aac: 'audio/mpeg',
  flac: 'audio/flac',
  mp4: 'audio/mp4',
  wav: 'audio/wav',
  aiff: 'audio/aiff',
  ogg: 'audio/ogg',
  asf: 'audio/ms-asf',
  ape: 'audio/ape',
  wavpack: 'audio/wavpack',
  musepack: 'audio/musepack',
};

/** The part of a Blob that music-metadata reads through, over a file from byte `start` on. */
function blobOf(source: ByteSource, { start, type }: { readonly start: number; readonly type: string }): Blob {
  const size = source.size - start;
  const blob = {
    size,
    type,
    slice: (from = 0, to = size) => ({
      arrayBuffer: async (): Promise<ArrayBuffer> => {
        if (to - from > TAG_READ_BYTES_MAX) throw new RangeError('a tag that is larger than any picture');
        return Uint8Array.from(source.read(start + from, to - from)).buffer;
      },
    }),
  };
  return blob as unknown as Blob;
}

export interface RawTags {
  readonly format: Partial<IFormat>;
  readonly common: Partial<IAudioMetadata['common']>;
  readonly native: IAudioMetadata['native'];
}

/** Never throws: a file whose tags cannot be read has none. */
export async function readTags(source: ByteSource, { container, start }: { readonly container: Container; readonly start: number }): Promise<RawTags> {
  // Loaded when the first file comes: a peer that scans nothing does not pay for it.
  const { parseBlob } = await import('music-metadata');
  let partial: RawTags = { format: {}, common: {}, native: {} };
  const options: IOptions = {
    skipCovers: true,
    duration: false,
    observer: ({ metadata }) => {
      partial = metadata as unknown as RawTags;
    },
  };
  try {
    return await parseBlob(blobOf(source, { start, type: MIME_TYPES[container] }), options);
  } catch {
    return partial;
  }
}

const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g;

function cleanText(value: unknown, charactersMax = TAG_CHARACTERS_MAX): string {
  if (typeof value !== 'string') return '';
  // Cut first, so that a text of megabytes costs nothing; the cut may halve a surrogate pair.
  return value.slice(0, charactersMax).replace(/\p{Surrogate}/gu, '').replace(CONTROL, ' ').trim();
}

const cleanNumber = (value: unknown, max: number): number =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= max ? value : 0;

/** ID3v2 before 2.4 separates several names by '/', which is why 'AC/DC' would come out as two. */
const SLASHED = new Set(['ID3v2.2', 'ID3v2.3']);

/** Tags that know no encoding, and are read as Latin-1; what was UTF-8 before is UTF-8 in truth, since Latin-1 text hardly ever is. */
const WITHOUT_ENCODING = new Set(['ID3v1', 'exif']);
const utf8 = new TextDecoder('utf-8', { fatal: true });

function decodeAgain(type: string, text: string): string {
  if (!WITHOUT_ENCODING.has(type) || !/^[\u0000-\u00ff]*[\u0080-\u00ff][\u0000-\u00ff]*$/.test(text)) return text;
  try {
    return utf8.decode(Buffer.from(text, 'latin1'));
  } catch {
    return text;
  }
}

/**
 * All values of the native tag that `value` came from, in the file's order. music-metadata keeps the last of repeated tags and
 * its own join of names; what a person wrote first is what is meant.
 */
function nativeValues(raw: RawTags, value: string | undefined): { readonly values: readonly string[]; readonly joint: string } {
  if (value === undefined) return { values: [], joint: '' };
  for (const [type, tags] of Object.entries(raw.native)) {
    const source = tags.find((tag) => tag.value === value);
    if (source === undefined) continue;
    const values = tags.filter((tag) => tag.id === source.id && typeof tag.value === 'string').map((tag) => decodeAgain(type, tag.value as string));
    return { values, joint: SLASHED.has(type) ? '/' : ', ' };
  }
  return { values: [value], joint: ', ' };
}

function names(raw: RawTags, value: string | undefined): string {
  const { values, joint } = nativeValues(raw, value);
  const distinct = new Set(values.slice(0, TAG_VALUES_MAX).map((name) => cleanText(name)));
  distinct.delete('');
  return cleanText([...distinct].join(joint));
}

const firstOf = (raw: RawTags, value: string | undefined): string => cleanText(nativeValues(raw, value).values[0]) || cleanText(value);

/** What a file without a title is called. */
export const titleFromPath = (path: string): string => {
  const name = basename(path, extname(path));
  return cleanText(name) || 'Untitled';
};

/** Whether the tags say of what they are tags: enough to list a file whose audio is cut off. */
export const saySomething = ({ common }: RawTags): boolean => [common.title, common.artist, common.album].some((text) => cleanText(text) !== '');

export function tagsOf(raw: RawTags, path: string): Tags {
  const { common } = raw;
  const genre = (common.genre ?? []).slice(0, TAG_VALUES_MAX).map((name) => cleanText(name, GENRE_CHARACTERS_MAX));
  return {
    title: firstOf(raw, common.title) || titleFromPath(path),
    artist: names(raw, common.artist),
    album: firstOf(raw, common.album),
    albumArtist: names(raw, common.albumartist),
    track: cleanNumber(common.track?.no, 9_999),
    disc: cleanNumber(common.disk?.no, 999),
    year: cleanNumber(common.year, 9_999),
    genre: [...new Set(genre)].filter((name) => name !== ''),
  };
}
