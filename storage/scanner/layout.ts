// Where the audio of a file lies. A file is prefix + payload + suffix: tags live in the prefix and suffix, so that files
// which differ in tags alone share their payload, and a cover in front of the music delays nothing. The content decides what
// a file is; its name says nothing. What is not understood is one payload as a whole: always right, only less shared.
import { PREFIX_BYTES_MAX } from '../../lib/limits.ts';
import type { ByteSource } from './byte-source.ts';
import { findFlacFrames } from './layout-flac.ts';
import { findMdat } from './layout-mp4.ts';
import { findOggPages } from './layout-ogg.ts';
import { findRiffData } from './layout-riff.ts';
import { leadingTags, trailingTags } from './layout-tags.ts';
import { findFrames } from './mpeg-frames.ts';

export type Container = 'mp3' | 'aac' | 'flac' | 'mp4' | 'wav' | 'aiff' | 'ogg' | 'asf' | 'ape' | 'wavpack' | 'musepack';

export interface Layout {
  readonly container: Container;
  readonly payload: Range;
  /** Whether audio was recognised; without it (an MP3 that ends within its tags) only a title makes it a song. */
  readonly audio: boolean;
}

export interface Range {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

const wholeFile = (source: ByteSource): Range => ({ start: 0, end: source.size });

const startsWith = (bytes: Buffer, signature: string, at = 0): boolean =>
  bytes.byteLength >= at + signature.length && bytes.toString('latin1', at, at + signature.length) === signature;

const ASF_HEADER = Buffer.from('3026b2758e66cf11a6d900aa0062ce6c', 'hex');
/** An MP4 should begin with `ftyp`; QuickTime's ancestors begin with any of these. */
const MP4_FIRST_BOXES = ['ftyp', 'moov', 'mdat', 'free', 'skip', 'wide', 'pnot'];

function findPayload(source: ByteSource): Layout | undefined {
  const front = leadingTags(source);
  const head = source.read(front.end, 32);
  /** For formats that know no tags but what taggers hang on both ends. */
  const betweenTags = (): Range => ({ start: front.end, end: trailingTags(source, front.end) });

  if (startsWith(head, 'fLaC')) {
    const start = findFlacFrames(source, front.end);
    return { container: 'flac', audio: true, payload: start === undefined ? wholeFile(source) : { start, end: trailingTags(source, start) } };
  }
  if (startsWith(head, 'OggS')) return { container: 'ogg', audio: true, payload: findOggPages(source, front.end) ?? wholeFile(source) };
  if (startsWith(head, 'RIFF') || startsWith(head, 'RF64') || startsWith(head, 'BW64')) {
    return startsWith(head, 'WAVE', 8) ? { container: 'wav', audio: true, payload: findRiffData(source, front.end) ?? wholeFile(source) } : undefined;
  }
  if (startsWith(head, 'FORM') && (startsWith(head, 'AIFF', 8) || startsWith(head, 'AIFC', 8))) {
    return { container: 'aiff', audio: true, payload: findRiffData(source, front.end) ?? wholeFile(source) };
  }
  if (MP4_FIRST_BOXES.some((name) => startsWith(head, name, 4))) {
    return { container: 'mp4', audio: true, payload: findMdat(source) ?? wholeFile(source) };
  }
  if (head.subarray(0, 16).equals(ASF_HEADER)) return { container: 'asf', audio: true, payload: wholeFile(source) };
  if (startsWith(head, 'MAC ')) return { container: 'ape', audio: true, payload: betweenTags() };
  if (startsWith(head, 'wvpk')) return { container: 'wavpack', audio: true, payload: betweenTags() };
  if (startsWith(head, 'MPCK') || startsWith(head, 'MP+')) return { container: 'musepack', audio: true, payload: betweenTags() };

  const end = trailingTags(source, front.end);
  const frames = findFrames(source, { start: front.end, end });
  if (frames !== undefined) return { container: frames.kind, audio: true, payload: { start: frames.start, end } };
  return front.end > 0 ? { container: 'mp3', audio: false, payload: wholeFile(source) } : undefined;
}

/** @returns undefined when nothing in the file's head is audio that we know */
export function findLayout(source: ByteSource): Layout | undefined {
  const layout = findPayload(source);
  if (layout === undefined) return undefined;
  const { start, end } = layout.payload;
  // An empty payload would make one song of all files without any; tags beyond the bound cannot be fetched beside it.
  const usable = start >= 0 && start < end && end <= source.size && start <= PREFIX_BYTES_MAX && source.size - end <= PREFIX_BYTES_MAX;
  return usable ? layout : { ...layout, payload: wholeFile(source) };
}
