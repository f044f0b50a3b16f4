// Music for the hosts of a lab: files made up on the spot, so that something runs everywhere, and the collection beside the
// repository where there is one. What a test compares with is read from these files and never from the program.
import { createCipheriv, createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Host } from './lab.ts';

export interface Track {
  readonly title: string;
  readonly artist: string;
  readonly album: string;
}

const SAMPLE_RATE = 22_050;
const SAMPLE_BYTES = 2;
const FILLED_SOUND_BYTES = 64;

const chunk = (id: string, body: Buffer): Buffer => {
  const head = Buffer.alloc(8);
  head.write(id, 'latin1');
  head.writeUInt32LE(body.byteLength, 4);
  return Buffer.concat([head, body, Buffer.alloc(body.byteLength % 2)]);
};

/** Noise that no other seed has, and that does not compress. */
function noise(seed: string, bytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
}

/** A WAV file with RIFF INFO tags in front of its sound. @param soundSeed the same one is the same recording, whatever the tags */
export function wav(track: Track, soundSeed: string, soundBytes: number): Buffer {
  const format = Buffer.alloc(16);
  format.writeUInt16LE(1, 0); // PCM
  format.writeUInt16LE(1, 2); // mono
  format.writeUInt32LE(SAMPLE_RATE, 4);
  format.writeUInt32LE(SAMPLE_RATE * SAMPLE_BYTES, 8);
  format.writeUInt16LE(SAMPLE_BYTES, 12);
  format.writeUInt16LE(SAMPLE_BYTES * 8, 14);
  const info = [['INAM', track.title], ['IART', track.artist], ['IPRD', track.album]] as const;
  const tags = info.map(([id, text]) => chunk(id, Buffer.from(`${text}\0`, 'latin1')));
  const list = chunk('LIST', Buffer.concat([Buffer.from('INFO'), ...tags]));
  return chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), chunk('fmt ', format), list, chunk('data', noise(soundSeed, soundBytes))]));
}

/** The sound of a WAV file: what its `data` chunk has. */
export function soundOf(file: Buffer): Buffer {
  for (let at = 12; at + 8 <= file.byteLength; ) {
    const bytes = file.readUInt32LE(at + 4);
    if (file.toString('latin1', at, at + 4) === 'data') return file.subarray(at + 8, at + 8 + bytes);
    at += 8 + bytes + (bytes % 2);
  }
  throw new Error('no sound in it');
}

export const musicFolder = (host: Host, name = 'Music'): string => {
  const folder = join(host.directory, name);
  mkdirSync(folder, { recursive: true });
  return folder;
};

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** A file that some host has, by which what others play is judged. */
export interface Original {
  readonly name: string;
  readonly sha256: string;
  /** False where a peer may leave it out of its catalog. */
  readonly playable: boolean;
  /** Undefined where the program may show what it likes. */
  readonly track?: Track;
}

/** Gives each host `each` songs of its own, of `soundBytes`, in its folder called `folder`. */
export function generate(hosts: readonly Host[], options: { readonly each: number; readonly soundBytes: number; readonly folder?: string }): Original[] {
  const { each, soundBytes, folder } = options;
  return hosts.flatMap((host) =>
    Array.from({ length: each }, (_, index) => {
      const track = { title: `Song ${index + 1} of ${host.name}`, artist: `The ${host.name} Ensemble`, album: 'Namespaces' };
      const file = wav(track, `${host.name}/${index}/${soundBytes}`, soundBytes);
      const name = `${host.name}-${index + 1}.wav`;
      writeFileSync(join(musicFolder(host, folder), name), file);
      return { name, sha256: sha256(file), playable: true, track };
    }),
  );
}

function repositoryRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

const shared = (folder: string): string => join(process.env['SPOTIFY_PEER_SHARED'] ?? join(repositoryRoot(), '../shared'), folder);

const collection = (): string => shared('music');

/** So many tracks as people have them, from a catalog of free music where it lies beside the repository, else made up. */
export function tracks(count: number): Track[] {
  const file = join(shared('catalogs'), 'freemusi_tracks.csv');
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(1, count + 1) : [];
  return Array.from({ length: count }, (_, index) => {
    const fields = [...(lines[index] ?? '').matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)];
    const [title, artist, album] = fields.map(([, field = '']) => field.replace(/^"|"$/g, '').replaceAll('""', '"'));
    return { title: title || `Song ${index + 1}`, artist: artist || `Artist ${index % 97}`, album: album || `Album ${index % 499}` };
  });
}

/** Gives each host `each` songs of nearly no sound: a catalog as large as wanted, which the program reads from its disk as ever. */
export function fill(hosts: readonly Host[], each: number): void {
  for (const [index, track] of tracks(hosts.length * each).entries()) {
    const host = hosts[index % hosts.length] as Host;
    writeFileSync(join(musicFolder(host), `${index + 1}.wav`), wav(track, `filled/${index}`, FILLED_SOUND_BYTES));
  }
}

/** Why the collection cannot be used, in the form of tap's `skip` option; false where it is there. */
export const collectionMissing = (): false | string =>
  existsSync(join(collection(), 'index.json')) ? false : `no music collection at ${collection()}`;

/** Deals the collection out to the hosts: each file to one of them. */
export function deal(hosts: readonly Host[]): Original[] {
  const { files } = JSON.parse(readFileSync(join(collection(), 'index.json'), 'utf8')) as {
    readonly files: readonly { readonly file: string; readonly sha256: string; readonly playable: boolean }[];
  };
  return files.map(({ file, sha256, playable }, index) => {
    const host = hosts[index % hosts.length] as Host;
    copyFileSync(join(collection(), file), join(musicFolder(host), basename(file)));
    return { name: file, sha256, playable };
  });
}
