// Music out of numbers: short tunes for `demo`, for the sample that a house without music hears, and for tests. Each is
// a WAV file (RIFF, mono, 16 bits) with its tags, computed when it is read and kept nowhere. Additive synthesis: a
// progression of four chords, an arpeggio over it, and a melody that walks a pentatonic scale.
import { integerBetween, type Random, seededRandom } from './random.ts';

export interface Tune {
  /** The same seed is the same music. */
  readonly seed: number;
  readonly seconds: number;
  /** Tags, in Latin-1: RIFF's INFO knows no other characters. */
  readonly title: string;
  readonly artist: string;
  readonly album: string;
  readonly track: number;
}

export interface Wav {
  readonly bytes: number;
  /** Exactly the bytes [start, end) in parts of at most 32 KiB, computed as they are taken. */
  read(start: number, end: number): Generator<Uint8Array, void, void>;
}

const SAMPLE_RATE = 22_050;
const SAMPLE_BYTES = 2;
/** Always computed as a whole and from its own beginning, so that a sample is the same in whatever range it is read. */
const BLOCK_SAMPLES = 16_384;
const FADE_SECONDS = 1.5;
const ATTACK_SECONDS = 0.012;

/** Semitones of chords in a major key: the tonic, its relative minor, subdominant, dominant and supertonic. */
const PROGRESSIONS: readonly (readonly (readonly number[])[])[] = [
  [[0, 4, 7], [9, 12, 16], [5, 9, 12], [7, 11, 14]],
  [[9, 12, 16], [5, 9, 12], [0, 4, 7], [7, 11, 14]],
  [[0, 4, 7], [7, 11, 14], [9, 12, 16], [5, 9, 12]],
  [[2, 5, 9], [7, 11, 14], [0, 4, 7], [9, 12, 16]],
];
const PENTATONIC: readonly number[] = [0, 2, 4, 7, 9, 12, 14, 16, 19, 21];
/** Strengths of the overtones: a soft mallet. */
const OVERTONES: readonly number[] = [1, 0.32, 0.1, 0.04];

interface Note {
  readonly at: number;
  readonly hertz: number;
  readonly strength: number;
  /** Seconds in which it falls to 1/e. */
  readonly decay: number;
}

/** Seconds after which a note is below what 16 bits can say. */
const ringing = (note: Note): number => note.decay * 7;

const hertzOf = (midi: number): number => 440 * 2 ** ((midi - 69) / 12);

function compose({ seed, seconds }: Tune): readonly Note[] {
  const random: Random = seededRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[integerBetween(random, 0, list.length - 1)] as T;
  const key = integerBetween(random, 45, 56);
  const eighth = 30 / integerBetween(random, 84, 116);
  const progression = pick(PROGRESSIONS);
  const pattern = pick([[0, 1, 2, 1], [0, 2, 1, 2], [2, 1, 0, 1], [0, 1, 2, 0]]);
  const notes: Note[] = [];
  let step = integerBetween(random, 2, 6);
  for (let beat = 0; beat * eighth < seconds - FADE_SECONDS; beat++) {
    const at = beat * eighth;
    const chord = progression[Math.floor(beat / 8) % progression.length] as readonly number[];
    if (beat % 8 === 0) notes.push({ at, hertz: hertzOf(key - 12 + (chord[0] as number)), strength: 0.3, decay: 1.1 });
    notes.push({ at, hertz: hertzOf(key + 12 + (chord[pattern[beat % 4] as number] as number)), strength: 0.12, decay: 0.45 });
    // The melody comes in with the second chord and leaves gaps to breathe.
    if (beat >= 8 && random() < (beat % 2 === 0 ? 0.62 : 0.22)) {
      step = Math.min(PENTATONIC.length - 1, Math.max(0, step + integerBetween(random, -2, 2)));
      notes.push({ at, hertz: hertzOf(key + 24 + (PENTATONIC[step] as number)), strength: 0.2, decay: 0.7 });
    }
  }
  return notes;
}

function addNote(mix: Float64Array, blockStart: number, note: Note): void {
  const first = Math.max(blockStart, Math.round(note.at * SAMPLE_RATE));
  const last = Math.min(blockStart + mix.length, Math.round((note.at + ringing(note)) * SAMPLE_RATE));
  const fall = Math.exp(-1 / (note.decay * SAMPLE_RATE));
  let level = note.strength * Math.exp(-(first / SAMPLE_RATE - note.at) / note.decay);
  for (let sample = first; sample < last; sample++) {
    const time = sample / SAMPLE_RATE - note.at;
    const turn = 2 * Math.PI * note.hertz * time;
    let tone = 0;
    for (let overtone = 0; overtone < OVERTONES.length; overtone++) tone += (OVERTONES[overtone] as number) * Math.sin(turn * (overtone + 1));
    const index = sample - blockStart;
    mix[index] = (mix[index] as number) + level * Math.min(1, time / ATTACK_SECONDS) * tone;
    level *= fall;
  }
}

function render(notes: readonly Note[], blockStart: number, samples: number): Buffer {
  const mix = new Float64Array(Math.min(BLOCK_SAMPLES, samples - blockStart));
  const [from, to] = [blockStart / SAMPLE_RATE, (blockStart + mix.length) / SAMPLE_RATE];
  for (const note of notes) if (note.at < to && note.at + ringing(note) > from) addNote(mix, blockStart, note);
  const bytes = Buffer.allocUnsafe(mix.length * SAMPLE_BYTES);
  const fade = FADE_SECONDS * SAMPLE_RATE;
  mix.forEach((value, index) => {
    const soft = Math.tanh(value * Math.min(1, (samples - blockStart - index) / fade));
    bytes.writeInt16LE(Math.round(soft * 32_000), index * SAMPLE_BYTES);
  });
  return bytes;
}

const chunk = (id: string, body: Buffer): Buffer => {
  const head = Buffer.alloc(8);
  head.write(id, 0, 'latin1');
  head.writeUInt32LE(body.length, 4);
  return Buffer.concat([head, body, Buffer.alloc(body.length % 2)]);
};

function header(tune: Tune, dataBytes: number): Buffer {
  const format = Buffer.alloc(16);
  format.writeUInt16LE(1, 0); // PCM
  format.writeUInt16LE(1, 2); // mono
  format.writeUInt32LE(SAMPLE_RATE, 4);
  format.writeUInt32LE(SAMPLE_RATE * SAMPLE_BYTES, 8);
  format.writeUInt16LE(SAMPLE_BYTES, 12);
  format.writeUInt16LE(SAMPLE_BYTES * 8, 14);
  const info = [['INAM', tune.title], ['IART', tune.artist], ['IPRD', tune.album], ['ITRK', String(tune.track)]] as const;
  const tags = Buffer.concat(info.map(([id, text]) => chunk(id, Buffer.from(`${text}\0`, 'latin1'))));
  // Tags stand before the sound, where a reader of the file's first bytes finds them.
  const front = Buffer.concat([Buffer.from('WAVE'), chunk('fmt ', format), chunk('LIST', Buffer.concat([Buffer.from('INFO'), tags]))]);
  const sizes = Buffer.alloc(16);
  sizes.write('RIFF', 0);
  sizes.writeUInt32LE(front.length + 8 + dataBytes, 4);
  sizes.write('data', 8);
  sizes.writeUInt32LE(dataBytes, 12);
  return Buffer.concat([sizes.subarray(0, 8), front, sizes.subarray(8)]);
}

export function wavOf(tune: Tune): Wav {
  const samples = Math.round(tune.seconds * SAMPLE_RATE);
  const front = header(tune, samples * SAMPLE_BYTES);
  const bytes = front.length + samples * SAMPLE_BYTES;
  const blockBytes = BLOCK_SAMPLES * SAMPLE_BYTES;
  function* read(start: number, end: number): Generator<Uint8Array, void, void> {
    let at = start;
    if (at < Math.min(end, front.length)) {
      const part = front.subarray(at, Math.min(end, front.length));
      yield part;
      at += part.length;
    }
    if (at >= end) return;
    const notes = compose(tune);
    while (at < Math.min(end, bytes)) {
      const block = Math.floor((at - front.length) / blockBytes);
      const blockAt = front.length + block * blockBytes;
      const part = render(notes, block * BLOCK_SAMPLES, samples).subarray(at - blockAt, end - blockAt);
      yield part;
      at += part.length;
    }
  }
  return { bytes, read };
}

const NAMES: readonly (readonly [artist: string, album: string, titles: readonly string[]])[] = [
  ['The Paper Lanterns', 'Kitchen Window', ['Steam on the Glass', 'First Bus Home', 'Two Spoons', 'Rain at Half Past Six']],
  ['Marta Quill', 'Slow Cartography', ['Contour Lines', 'A River Without a Name', 'North by Candlelight', 'The Last Blank Page']],
  ['Harbour Clocks', 'Small Machines', ['Brass and Breath', 'Escapement', 'Winding Down', 'Tomorrow, Early']],
];

/** A dozen songs by three artists who do not exist. */
export const DEMO_TUNES: readonly Tune[] = NAMES.flatMap(([artist, album, titles], shelf) =>
  titles.map((title, index) => ({ seed: 100 * (shelf + 1) + index, seconds: 24, title, artist, album, track: index + 1 })),
);

export const SAMPLE_TUNE: Tune = {
  seed: 7,
  seconds: 20,
  title: 'Hello, House',
  artist: 'spotify-peer (generated)',
  album: 'Sample',
  track: 1,
};
