// Which bytes of a file are its song: per container, what a retag changes, and what is hashed, byte by byte.
import { createHash } from 'node:crypto';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { payloadIdOf } from '../../lib/content.ts';
import { codeOf } from '../../lib/errors.ts';
import { contentId, type FileId, idToBytes } from '../../lib/ids.ts';
import { CHUNK_BYTES, DURATION_MS_MAX, VALUE_BYTES_MAX } from '../../lib/limits.ts';
import { integerBetween, seededRandom } from '../../lib/random.ts';
import { encodeHolding, sizeOf } from '../../lib/song.ts';
import { bufferSource } from '../../storage/scanner/byte-source.ts';
import { findLayout } from '../../storage/scanner/layout.ts';
import { OGG_HEADER_BYTES, parseOggPage } from '../../storage/scanner/layout-ogg.ts';
import { type ScannedFile, scanFile } from '../../storage/scanner/scan-file.ts';
import { apev2, flac, type FixtureTags, id3v1, id3v2, m4a, mp3, ogg, oggFlac, opus, wav } from '../fixtures/audio.ts';

const folder = t.testdir({});
let files = 0;
async function scan(bytes: Buffer, name = `${(files += 1)}.mp3`): Promise<ScannedFile> {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return scanFile(path);
}

const sha = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();
const manifestOf = (payload: Buffer): Buffer =>
  Buffer.concat(Array.from({ length: Math.ceil(payload.byteLength / CHUNK_BYTES) }, (_, i) => sha(payload.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES))));

const A: FixtureTags = { title: 'First', artist: 'Somebody', album: 'Something', albumArtist: 'Everybody', track: 3, year: 1999, genre: 'Jazz' };
const B: FixtureTags = { title: 'A second title that is a good deal longer than the first', artist: 'Ünother', album: '夜の歌', track: 4, year: 2001, genre: 'Rock' };

const CONTAINERS = {
  mp3: { make: mp3, codec: 'mp3', suffix: 'mp3', durationMs: [1000, 1080] },
  flac: { make: flac, codec: 'flac', suffix: 'flac', durationMs: [1000, 1000] },
  m4a: { make: m4a, codec: 'aac', suffix: 'm4a', durationMs: [1000, 1030] },
  wav: { make: wav, codec: 'wav', suffix: 'wav', durationMs: [1000, 1000] },
  ogg: { make: ogg, codec: 'vorbis', suffix: 'ogg', durationMs: [1000, 1000] },
  opus: { make: opus, codec: 'opus', suffix: 'opus', durationMs: [1000, 1000] },
  'FLAC in Ogg': { make: oggFlac, codec: 'flac', suffix: 'oga', durationMs: [900, 1010] },
} as const;

for (const [name, { make, codec, suffix, durationMs }] of Object.entries(CONTAINERS)) {
  t.test(`${name}: a retagged file is another file of the same song`, async (t) => {
    const a = (await scan(await make({ tags: A }))).description;
    const b = (await scan(await make({ tags: B }))).description;
    const other = (await scan(await make({ tags: A, frequency: 880 }))).description;
    t.equal(a.song, b.song);
    t.not(a.file, b.file);
    t.not(a.song, other.song, 'other audio is another song');
    t.match(a.tags, { title: 'First', artist: 'Somebody', album: 'Something', track: 3, year: 1999, genre: ['Jazz'] });
    t.match(b.tags, { title: B.title, artist: B.artist, album: B.album, track: 4, year: 2001, genre: ['Rock'] });
    t.match(a, { codec, suffix });
    t.ok(a.durationMs >= durationMs[0] && a.durationMs <= durationMs[1], `plays ${a.durationMs} ms`);
    t.ok(a.bitrate > 8_000 && a.bitrate < 1_500_000, `${a.bitrate} bit/s`);
  });

  t.test(`${name}: prefix, payload and suffix are the file, and each is hashed as it is`, async (t) => {
    const bytes = await make({ tags: A, seconds: 5 });
    const { description, manifest } = await scan(bytes);
    const end = description.prefixBytes + description.payloadBytes;
    t.equal(sizeOf(description), bytes.byteLength);
    t.ok(description.prefixBytes > 0);
    t.same(Buffer.from(description.prefixHash), sha(bytes.subarray(0, description.prefixBytes)));
    t.same(Buffer.from(manifest), manifestOf(bytes.subarray(description.prefixBytes, end)));
    t.same(Buffer.from(description.suffixHash), sha(bytes.subarray(end)));
    t.equal(description.payload, payloadIdOf(manifest));
    t.equal(description.file, contentId<FileId>('file', description.prefixHash, idToBytes(description.payload), description.suffixHash));
    if (description.suffix !== 'ogg' && description.suffix !== 'opus' && description.suffix !== 'oga') t.equal(description.song as string, description.payload as string);
  });
}

t.test('MP3: the payload begins with the first frame and ends where the stacked tags begin', async (t) => {
  const audio = await mp3();
  const front = id3v2(A);
  const lyricsBody = Buffer.from('LYRICSBEGININD0000200LYR00003abc');
  const lyrics = Buffer.concat([lyricsBody, Buffer.from(`${String(lyricsBody.byteLength).padStart(6, '0')}LYRICS200`)]);
  const footer = Buffer.concat([Buffer.from('ID3\x04\0\x10\0\0\0\x05', 'latin1'), Buffer.alloc(5), Buffer.from('3DI\x04\0\x10\0\0\0\x05', 'latin1')]);
  const suffixes = {
    'ID3v1': id3v1(A),
    'APEv2': apev2(A),
    'APEv2 and ID3v1': Buffer.concat([apev2(A), id3v1(A)]),
    'Lyrics3 and ID3v1': Buffer.concat([lyrics, id3v1(A)]),
    'ID3v2 with a footer, APEv2 and ID3v1': Buffer.concat([footer, apev2(A), id3v1(A)]),
    nothing: Buffer.alloc(0),
  };
  for (const [name, suffix] of Object.entries(suffixes)) {
    for (const prefix of [Buffer.alloc(0), front, Buffer.concat([front, id3v2(B)]), Buffer.concat([front, Buffer.alloc(300)])]) {
      const layout = findLayout(bufferSource(Buffer.concat([prefix, audio, suffix])));
      t.strictSame(layout?.payload, { start: prefix.byteLength, end: prefix.byteLength + audio.byteLength }, `${prefix.byteLength} bytes in front, ${name} behind`);
    }
  }
});

t.test('FLAC: ID3v2 in front and ID3v1 behind are no audio', async (t) => {
  const bare = flac({ tags: A });
  const layout = findLayout(bufferSource(bare));
  const dressed = findLayout(bufferSource(Buffer.concat([id3v2(B), bare, id3v1(B)])));
  const front = id3v2(B).byteLength;
  t.equal(bare.subarray(layout?.payload.start).readUInt16BE(), 0xfff8, 'the payload begins with a frame');
  t.strictSame(dressed?.payload, { start: (layout?.payload.start ?? 0) + front, end: bare.byteLength + front });
});

t.test('M4A: the payload is the body of the one mdat, with 64-bit and open sizes too', async (t) => {
  const bytes = m4a({ tags: A });
  const at = bytes.indexOf('mdat') - 4;
  const body = bytes.subarray(at + 8);
  t.strictSame(findLayout(bufferSource(bytes))?.payload, { start: at + 8, end: bytes.byteLength });

  const long = Buffer.concat([bytes.subarray(0, at), Buffer.from([0, 0, 0, 1]), Buffer.from('mdat'), Buffer.alloc(8), body, Buffer.from([0, 0, 0, 8]), Buffer.from('free')]);
  long.writeBigUInt64BE(BigInt(body.byteLength + 16), at + 8);
  t.strictSame(findLayout(bufferSource(long))?.payload, { start: at + 16, end: at + 16 + body.byteLength });

  const open = Buffer.from(bytes);
  open.writeUInt32BE(0, at);
  t.strictSame(findLayout(bufferSource(open))?.payload, { start: at + 8, end: bytes.byteLength });

  const cut = bytes.subarray(0, bytes.byteLength - 100);
  t.strictSame(findLayout(bufferSource(cut))?.payload, { start: at + 8, end: cut.byteLength });

  const two = Buffer.concat([bytes, bytes.subarray(at)]);
  t.strictSame(findLayout(bufferSource(two))?.payload, { start: 0, end: two.byteLength }, 'two are one payload as a whole');
});

t.test('WAV: the payload is the body of data, as far as the file reaches', async (t) => {
  const bytes = wav({ tags: A });
  const at = bytes.indexOf('data');
  const size = bytes.readUInt32LE(at + 4);
  t.strictSame(findLayout(bufferSource(bytes))?.payload, { start: at + 8, end: at + 8 + size });
  for (const lie of [0, 0xffff_ffff, 0x7fff_ffff]) {
    const lying = Buffer.from(bytes);
    lying.writeUInt32LE(lie, at + 4);
    t.strictSame(findLayout(bufferSource(lying))?.payload, { start: at + 8, end: bytes.byteLength }, `size ${lie}`);
  }
});

t.test('Ogg: the song is the bodies of the pages after the headers, whatever their numbers', async (t) => {
  for (const [name, make, headers] of [['vorbis', ogg, 3], ['opus', opus, 2], ['flac', oggFlac, 2]] as const) {
    const bytes = await make({ tags: { ...A, title: 'long '.repeat(20_000) }, seconds: 12 });
    const bodies: Buffer[] = [];
    let packets = 0;
    let start = -1;
    for (let at = 0; at < bytes.byteLength; ) {
      const page = parseOggPage(bytes.subarray(at, at + OGG_HEADER_BYTES + 255));
      if (page === undefined) throw new Error('no page');
      if (packets >= headers) {
        if (start < 0) start = at;
        bodies.push(bytes.subarray(at + page.headerBytes, at + page.headerBytes + page.bodyBytes));
      }
      packets += page.packetsEnded;
      at += page.headerBytes + page.bodyBytes;
    }
    const { description, manifest } = await scan(bytes, `${name}.ogg`);
    t.equal(description.prefixBytes, start, `${name}: the comment packet spans pages, which are prefix`);
    t.equal(description.song, contentId('song-ogg', manifestOf(Buffer.concat(bodies))));
    t.equal(description.payload, payloadIdOf(manifestOf(bytes.subarray(start))));
    t.equal(Buffer.from(manifest).toString('hex'), manifestOf(bytes.subarray(start)).toString('hex'));
  }
});

t.test('the content decides: a FLAC named .mp3 is FLAC, a text named .mp3 is nothing', async (t) => {
  t.match((await scan(flac({ tags: A }), 'x.mp3')).description, { codec: 'flac', suffix: 'flac' });
  await t.rejects(scan(Buffer.from('This is a text. '.repeat(500)), 'y.mp3'), { code: 'NOT_AUDIO' });
  await t.rejects(scan(Buffer.alloc(0), 'z.mp3'), { code: 'BAD_FILE', message: 'is empty' });
  await t.rejects(scan(id3v2({ ...A, cover: Buffer.alloc(5_000) }).subarray(0, 15), 'w.mp3'), { code: 'BAD_FILE', message: 'is cut off within its tags' });
  await t.rejects(scanFile(join(folder, 'nowhere.mp3')), { code: 'NOT_FOUND' });
  mkdirSync(join(folder, 'folder.mp3'));
  await t.rejects(scanFile(join(folder, 'folder.mp3')), { code: 'NOT_AUDIO' });
});

t.test('without a title a file is called by its name', async (t) => {
  t.equal((await scan(await mp3(), '01 - Some Song.v2.mp3')).description.tags.title, '01 - Some Song.v2');
  t.equal((await scan(await mp3({ tags: { artist: 'x' } }), 'Ω.mp3')).description.tags.title, 'Ω');
});

t.test('a 3 MB cover in front is no part of the song, and its tags are read', async (t) => {
  const plain = await scan(await mp3({ tags: A }));
  const covered = await scan(await mp3({ tags: { ...A, cover: Buffer.alloc(3 << 20, 7) } }));
  t.equal(covered.description.song, plain.description.song);
  t.equal(covered.description.tags.title, 'First');
  t.ok(covered.description.prefixBytes > 3 << 20);
});

t.test('texts without measure are cut, and what is published still fits', async (t) => {
  const long = '夜\0'.repeat(5_000);
  const { description } = await scan(flac({ tags: { title: long, artist: long, album: long, albumArtist: long, genre: long } }));
  t.ok(encodeHolding(description).byteLength <= VALUE_BYTES_MAX);
  t.notMatch(JSON.stringify(description.tags), /\\u0000/);
});

t.test('a file that changes while it is read is refused', async (t) => {
  const path = join(folder, 'growing.mp3');
  const bytes = await mp3({ seconds: 20 });
  writeFileSync(path, bytes);
  await t.rejects(
    scanFile(path, () => truncateSync(path, 1_000)),
    { code: 'FILE_CHANGED' },
  );
});

t.test('2.5 GB of nothing is refused by its head', async (t) => {
  for (const name of ['sparse.mp3', 'sparse.wav', 'sparse.m4a']) {
    const path = join(folder, name);
    writeFileSync(path, '');
    truncateSync(path, 2_500_000_000);
    let read = 0;
    await t.rejects(
      scanFile(path, (bytes) => {
        read += bytes;
      }),
      { code: 'NOT_AUDIO' },
    );
    t.equal(read, 0, 'nothing was read to be hashed');
  }
});

t.test('damaged, cut and random files are songs or refused, and never more', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  t.comment(`SEED=${seed}`);
  const random = seededRandom(seed);
  const originals = await Promise.all([
    ...Object.values(CONTAINERS).map(({ make }) => make({ tags: A, seconds: 0.2 })),
    mp3({ tags: A, seconds: 0.2 }).then((bytes) => Buffer.concat([bytes, apev2(A), id3v1(A)])),
  ]);
  let songs = 0;
  for (let i = 0; i < 400; i++) {
    const original = originals[i % originals.length] as Buffer;
    const bytes = Buffer.from(i % 11 === 0 ? Buffer.alloc(integerBetween(random, 0, 4_000)) : original.subarray(0, i % 3 === 0 ? integerBetween(random, 0, original.byteLength) : undefined));
    // Most damage in the head, where the sizes are.
    for (let n = integerBetween(random, 1, 12); n > 0 && bytes.byteLength > 0; n--) {
      const reach = n % 2 === 0 ? bytes.byteLength : Math.min(bytes.byteLength, 400);
      bytes[integerBetween(random, 0, reach - 1)] = n % 3 === 0 ? 0xff : integerBetween(random, 0, 255);
    }
    try {
      const { description } = await scan(bytes, 'fuzz.mp3');
      songs += 1;
      if (sizeOf(description) !== bytes.byteLength || description.payloadBytes <= 0 || encodeHolding(description).byteLength > VALUE_BYTES_MAX) t.fail(`SEED=${seed}, file ${i}`);
      for (const value of [description.durationMs, description.bitrate, description.tags.track]) if (!Number.isSafeInteger(value) || value < 0 || value > DURATION_MS_MAX) t.fail(`SEED=${seed}, file ${i}: ${value}`);
    } catch (error) {
      if (!['BAD_FILE', 'NOT_AUDIO'].includes(codeOf(error) ?? '')) t.fail(`SEED=${seed}, file ${i}: ${(error as Error).stack}`);
    }
  }
  t.ok(songs > 50 && songs < 400, `${songs} of 400 still are songs`);
});
