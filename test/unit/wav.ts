import { parseBuffer } from 'music-metadata';
import t from 'tap';
import { DEMO_TUNES, SAMPLE_TUNE, type Tune, wavOf } from '../../lib/wav.ts';

const whole = (tune: Tune): Buffer => {
  const wav = wavOf(tune);
  return Buffer.concat([...wav.read(0, wav.bytes)]);
};

t.test('a tag reader finds title, artist, album, track and length', async (t) => {
  const { common, format } = await parseBuffer(whole(SAMPLE_TUNE), { mimeType: 'audio/wav', size: wavOf(SAMPLE_TUNE).bytes });
  t.equal(common.title, SAMPLE_TUNE.title);
  t.equal(common.artist, SAMPLE_TUNE.artist);
  t.equal(common.album, SAMPLE_TUNE.album);
  t.equal(common.track.no, SAMPLE_TUNE.track);
  t.equal(format.sampleRate, 22_050);
  t.equal(format.numberOfChannels, 1);
  t.equal(Math.round(format.duration ?? 0), SAMPLE_TUNE.seconds);
});

t.test('the first 64 KiB are enough to read the tags', async (t) => {
  const wav = wavOf(DEMO_TUNES[3] as Tune);
  const { common } = await parseBuffer(Buffer.concat([...wav.read(0, 65_536)]), { mimeType: 'audio/wav', size: wav.bytes });
  t.equal(common.title, DEMO_TUNES[3]?.title);
});

t.test('it is as long as it says, and its RIFF sizes agree', async (t) => {
  const bytes = whole(SAMPLE_TUNE);
  t.equal(bytes.length, wavOf(SAMPLE_TUNE).bytes);
  t.equal(bytes.readUInt32LE(4), bytes.length - 8);
  const data = bytes.indexOf('data');
  t.equal(bytes.readUInt32LE(data + 4), bytes.length - data - 8);
});

t.test('any range is the same bytes as of the whole', async (t) => {
  const tune = { ...SAMPLE_TUNE, seconds: 3 };
  const bytes = whole(tune);
  const { read } = wavOf(tune);
  for (const [start, end] of [[0, 1], [0, 44], [10, 200], [43, 45], [201, 32_971], [32_767, 98_305], [65_001, bytes.length], [bytes.length - 1, bytes.length], [5, 5]] as const) {
    t.ok(Buffer.concat([...read(start, end)]).equals(bytes.subarray(start, end)), `[${start}, ${end})`);
  }
});

t.test('one seed is one tune, another seed another', async (t) => {
  const tune = { ...SAMPLE_TUNE, seconds: 2 };
  t.ok(whole(tune).equals(whole(tune)));
  t.notOk(whole(tune).equals(whole({ ...tune, seed: 8 })));
});

t.test('it sounds: neither silence nor clipped', async (t) => {
  const bytes = whole(SAMPLE_TUNE);
  const from = bytes.indexOf('data') + 8;
  const samples = new Int16Array(bytes.buffer.slice(bytes.byteOffset + from, bytes.byteOffset + bytes.length));
  const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  t.ok(peak > 8_000 && peak < 32_000, `peak ${peak}`);
  const power = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
  t.ok(power > 1_000, `rms ${power}`);
  t.ok(Math.abs(samples.at(-1) ?? 1) < 100, 'it fades out');
});

t.test('the dozen songs of the demo differ in title and music', async (t) => {
  t.equal(DEMO_TUNES.length, 12);
  t.equal(new Set(DEMO_TUNES.map(({ title }) => title)).size, 12);
  t.equal(new Set(DEMO_TUNES.map(({ seed }) => seed)).size, 12);
  t.ok(DEMO_TUNES.every(({ title, artist, album }) => /^[\x20-\xff]+$/.test(title + artist + album)), 'RIFF can say their names');
});
