// Songs of a real catalog as rows: words as people use them, which made-up ones are not.
import { readFileSync } from 'node:fs';

export type Row = readonly [title: string, artist: string, album: string, albumArtist: string, track: number, disc: number];

/** @param path a CSV file with a head that names these columns */
export function readCatalog(path: string): Row[] {
  const fields: string[][] = [];
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue;
    const cells = line.match(/("([^"]|"")*"|[^,]*)(,|$)/g) ?? [];
    fields.push(cells.map((cell) => cell.replace(/,$/, '').replace(/^"(.*)"$/s, '$1').replaceAll('""', '"')));
  }
  const header = fields.shift() as string[];
  const column = (name: string): number => header.indexOf(name);
  const [title, artist, album, albumArtist, track, disc] = ['title', 'artist', 'album', 'albumartist', 'track', 'disc'].map(column) as [
    number, number, number, number, number, number,
  ];
  return fields.map((row) => [
    row[title] ?? '', row[artist] ?? '', row[album] ?? '', row[albumArtist] ?? '', Number(row[track]) || 0, Number(row[disc]) || 0,
  ]);
}

/** Where the catalogs lie that are too large for the repository. */
export const CATALOG = `${process.env['SPOTIFY_PEER_SHARED'] ?? '../shared'}/catalogs/freemusi_x5_107k.csv`;
