import fc from 'fast-check';
import t from 'tap';
import { contentId, type FileId, type PayloadId, type SongId } from '../../lib/ids.ts';
import type { FileDescription } from '../../lib/song.ts';
import { audioOf } from '../../peer/music/audio.ts';
import { ExchangeStats, FIRST_BYTE_BOUNDS_MS } from '../../peer/chunks/exchange-stats.ts';
import { GoingOn } from '../../peer/music/going-on.ts';
import { PLAYER_START_MS, PlayMeter } from '../../peer/music/play-meter.ts';
import { ManualAlarms } from '../fixtures/manual-alarms.ts';

/** One part of a play: how long the player waits for it, how much sound it is, how long the player takes to take it. */
interface Part {
  readonly waitMs: number;
  readonly soundMs: number;
  readonly takeMs: number;
}

interface Heard {
  readonly firstMs: number | undefined;
  readonly stalls: readonly number[];
}

const BYTES_PER_MS = 40;

/** @param leaves the player has gone before it had everything */
function hear(parts: readonly Part[], { bytesPerMs = BYTES_PER_MS, leaves = false, bytes }: { readonly bytesPerMs?: number; readonly leaves?: boolean; readonly bytes?: number } = {}): Heard {
  let now = 5_000;
  let firstMs: number | undefined;
  const stalls: number[] = [];
  const counts = { firstByte: (ms: number) => void (firstMs = ms), stalled: (ms: number) => void stalls.push(ms) };
  const sound = parts.reduce((sum, { soundMs }) => sum + soundMs * BYTES_PER_MS, 0);
  const meter = new PlayMeter({ bytes: bytes ?? sound, bytesPerMs }, { askedAt: now, counts });
  for (const [i, { waitMs, soundMs, takeMs }] of parts.entries()) {
    now += waitMs;
    if (leaves && i === parts.length - 1) break;
    meter.given(soundMs * BYTES_PER_MS, now);
    now += takeMs;
    meter.waits(now);
  }
  meter.ended(now);
  return { firstMs, stalls };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
const ms = (max: number, min = 0): fc.Arbitrary<number> => fc.integer({ min, max });
const partsOf = (part: { waitMs: fc.Arbitrary<number>; soundMs: fc.Arbitrary<number>; takeMs: fc.Arbitrary<number> }): fc.Arbitrary<Part[]> => fc.array(fc.record(part), { minLength: 1, maxLength: 40 });

t.test('the silence in sum is the longest that a part was behind what had been given before it', async (t) => {
  let stalled = 0;
  fc.assert(
    fc.property(partsOf({ waitMs: ms(400), soundMs: ms(300, 1), takeMs: fc.constant(0) }), (parts) => {
      const { firstMs, stalls } = hear(parts);
      // a player that never stopped would need part k when all sound before it is over; it is late by the most that any is
      let late = 0;
      let waited = 0;
      let given = PLAYER_START_MS;
      for (const [k, { waitMs, soundMs }] of parts.entries()) {
        if (k > 0) waited += waitMs;
        late = Math.max(late, waited - given);
        given += soundMs;
      }
      stalled += Math.sign(late);
      return firstMs === parts[0]?.waitMs && sum(stalls) === late && stalls.every((each) => each > 0);
    }),
    { numRuns: 2_000, seed: 7 },
  );
  t.ok(stalled > 500 && stalled < 1_900, 'some of these stall, and some do not');
});

t.test('a reader that is always ahead never stalls', async () => {
  fc.assert(
    fc.property(partsOf({ waitMs: ms(100), soundMs: ms(300, 1), takeMs: ms(100) }), (shares) => {
      // waiting and taking are shares of what the player still has
      let ahead = PLAYER_START_MS;
      const parts = shares.map(({ waitMs, soundMs, takeMs }, k) => {
        const wait = k === 0 ? waitMs : (ahead * waitMs) / 100;
        ahead += soundMs - (k === 0 ? 0 : wait);
        const take = (ahead * takeMs) / 101;
        ahead -= take;
        return { waitMs: wait, soundMs, takeMs: take };
      });
      return hear(parts).stalls.length === 0;
    }),
    { numRuns: 2_000, seed: 8 },
  );
});

t.test('however long a player takes its time, that is no stall', async () => {
  fc.assert(
    fc.property(partsOf({ waitMs: ms(100), soundMs: ms(300, 1), takeMs: ms(1_000_000) }), (shares) => {
      // it is given the next part before it can have played the one that it has just taken
      const parts = shares.map((part, k) => ({ ...part, waitMs: ((shares[k - 1]?.soundMs ?? 100) * part.waitMs) / 100 }));
      return hear(parts).stalls.length === 0;
    }),
    { numRuns: 2_000, seed: 9 },
  );
});

t.test('what a player plays while it takes its time is gone when it waits', async (t) => {
  const parts = [{ waitMs: 30, soundMs: 1_600, takeMs: 0 }, { waitMs: 2, soundMs: 1_600, takeMs: 1_200 }, { waitMs: 5_000, soundMs: 1_600, takeMs: 0 }];
  t.same(hear(parts), { firstMs: 30, stalls: [5_000 - (PLAYER_START_MS + 3_200 - 2 - 1_200)] });
  const paused = parts.map((part, i) => (i === 1 ? { ...part, takeMs: 3_600_000 } : part));
  t.same(hear(paused).stalls, [5_000 - 1_600], 'of one that was paused, the part that it took last is left');
});

t.test('a song begins with its first sound, and ends with its last', async (t) => {
  const cover = { waitMs: 7, soundMs: 0, takeMs: 2_000 };
  t.same(hear([cover, { waitMs: 40, soundMs: 500, takeMs: 0 }]), { firstMs: 47, stalls: [] }, 'what a player takes its time for before it is not waiting');
  t.same(hear([cover, { waitMs: 40, soundMs: 0, takeMs: 0 }]), { firstMs: 7, stalls: [] }, 'of a range without sound, the first bytes count');
  t.same(hear([cover], { leaves: true }), { firstMs: undefined, stalls: [] }, 'who leaves before it has not played');
  const tail = [{ waitMs: 1, soundMs: 50, takeMs: 0 }, { waitMs: 9_000, soundMs: 0, takeMs: 0 }];
  t.same(hear(tail).stalls, [], 'tags behind the last sound keep nobody waiting');
  t.same(hear(tail, { bytes: 51 * BYTES_PER_MS }).stalls, [9_000 - 50 - PLAYER_START_MS], 'when there is more sound they do');
});

t.test('who leaves in silence has waited until then', async (t) => {
  const parts = [{ waitMs: 1, soundMs: 50, takeMs: 0 }, { waitMs: 9_000, soundMs: 50, takeMs: 0 }];
  t.same(hear(parts, { leaves: true }).stalls, [9_000 - 50 - PLAYER_START_MS]);
});

t.test('where nothing says how fast a song plays, nothing stalls', async (t) => {
  t.same(hear([{ waitMs: 1, soundMs: 50, takeMs: 0 }, { waitMs: 1e9, soundMs: 50, takeMs: 5 }], { bytesPerMs: 0 }), { firstMs: 1, stalls: [] });
});

t.test('the times to the first byte are those of the last thousand plays, the histogram is of all', async (t) => {
  t.same(new ExchangeStats().recentFirstByteMs, { p50: null, p99: null });
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 20_000, noNaN: true }), { minLength: 1, maxLength: 2_500, size: 'max' }), (times) => {
      const stats = new ExchangeStats();
      for (const time of times) stats.firstByte(time);
      const recent = times.slice(-1_000).sort((a, b) => a - b);
      const { p50, p99 } = stats.recentFirstByteMs;
      // nearest rank: the least that so many are no greater than
      const isRank = (value: number | null, share: number): boolean =>
        value !== null && recent.filter((time) => time <= value).length >= share * recent.length && recent.filter((time) => time < value).length < share * recent.length;
      const { counts, count, sumMs } = stats.firstByteTimes;
      const within = FIRST_BYTE_BOUNDS_MS.map((bound) => times.filter((time) => time <= bound).length);
      return isRank(p50, 0.5) && isRank(p99, 0.99) && count === times.length && Math.abs(sumMs - sum(times)) < 1e-3 && within.every((wanted, i) => sum(counts.slice(0, i + 1)) === wanted);
    }),
    { numRuns: 60, seed: 10, endOnFailure: true },
  );
});

const id = <T extends string>(text: string): T => contentId<T>('test', text);
const FILE: FileDescription = {
  song: id<SongId>('song'), file: id<FileId>('file'), payload: id<PayloadId>('payload'),
  tags: { title: 'T', artist: '', album: '', albumArtist: '', track: 0, disc: 0, year: 0, genre: [] },
  durationMs: 1_000, codec: 'flac', suffix: 'flac', bitrate: 320_000, prefixBytes: 100, payloadBytes: 40_000, suffixBytes: 10,
  prefixHash: new Uint8Array(32), suffixHash: new Uint8Array(32),
};

/** What the figures say after a read of parts that come at these times. */
async function played(parts: readonly (readonly [bytes: number, afterMs: number])[], { original = false, fails = false, leaves = false, file = FILE, end = Number.POSITIVE_INFINITY, start = 0, told = [] as string[], goingOn = new GoingOn({ alarms: new ManualAlarms(), onError: (error) => told.push(String(error)) }) } = {}): Promise<ExchangeStats> {
  const stats = new ExchangeStats();
  let now = 1_000;
  const gone = new AbortController();
  const files = {
    bringEdges: async () => void told.push('edges'),
    bringOn: async (_: unknown, { at }: { readonly at: () => number }) => void told.push(`on from ${at()}`),
    async *open() {
      for (const [bytes, afterMs] of parts) {
        now += afterMs;
        yield new Uint8Array(bytes);
      }
      if (leaves) gone.abort();
      if (fails || leaves) {
        now += 10_000;
        throw new Error('nobody has it any more');
      }
    },
  };
  const song = { id: file.song, files: [{ description: file, providers: [], owners: [] }] as const, providers: [], owners: [], copiers: [], copies: new Map() };
  const source = await audioOf(song, { original, askedAt: now - 3 }, { files, chosen: { begin: async () => file }, sources: { want: () => (told.push('want'), () => told.push('release')) }, goingOn, prefetch: { began: () => (told.push('begun'), { left: () => told.push('left'), over: () => told.push('over') }) }, guard: { touch: () => {} }, stats, now: () => now });
  try {
    for await (const _ of source.read(start, Math.min(end, source.bytes), gone.signal)) now += 20;
  } catch {
    // counted
  }
  return stats;
}

t.test('a read of the form to play is measured: search and first sound, the silence between, and how it ends', async (t) => {
  const good = await played([[100, 5], [20_000, 6], [20_000, 900], [10, 900]]);
  t.same([good.plays, good.recentFirstByteMs.p50, good.stalls, good.stalledMs, good.failures], [1, 14, 1, 320, 0], '500 ms of sound and 100 at the start, less 20 of taking, for 900 ms');
  const cut = await played([[100, 5], [20_000, 6]], { fails: true });
  t.same([cut.plays, cut.failures, cut.stalls], [1, 1, 1]);
  const nothing = await played([], { fails: true });
  t.same([nothing.plays, nothing.failures], [0, 1]);
  const left = await played([[100, 5], [20_000, 6]], { leaves: true });
  t.same([left.plays, left.failures], [1, 0], 'who left was not failed');
  const unknown = await played([[100, 5], [20_000, 6], [20_000, 900]], { file: { ...FILE, durationMs: 0 } });
  t.same([unknown.stalls, unknown.stalledMs], [1, 320], 'without a duration the bitrate says as much');
});

t.test('a download of the original is no play', async (t) => {
  const stats = await played([[100, 5], [20_000, 9_000]], { original: true, fails: true });
  t.same([stats.plays, stats.stalls, stats.failures], [0, 0, 0]);
});

t.test('who plays has begun, and then has left or has got all; who only looks, or downloads, has done neither; what surrounds the sound is brought in good time', async (t) => {
  const parts = [[100, 5], [20_000, 6]] as const;
  const told = async (options: Parameters<typeof played>[1]): Promise<string[]> => {
    const words: string[] = [];
    await played(parts, { ...options, told: words });
    const [wants, releases] = ['want', 'release'].map((what) => words.filter((word) => word === what).length);
    t.equal(wants, releases, 'who has it is followed no longer');
    return words.filter((word) => word !== 'want' && word !== 'release');
  };
  t.strictSame(await told({}), ['begun', 'edges', 'over']);
  t.strictSame(await told({ leaves: true }), ['begun', 'edges', 'left']);
  t.strictSame(await told({ end: 200, leaves: true }), ['edges'], 'a look at the file says nothing of the player that plays');
  t.strictSame(await told({ original: true, leaves: true }), []);
});

t.test('what lies behind a piece that was taken is brought on, of a song that plays and has more', async (t) => {
  const told = async (parts: Parameters<typeof played>[0], options: Parameters<typeof played>[1]): Promise<string[]> => {
    const words: string[] = [];
    await played(parts, { ...options, told: words });
    await new Promise(setImmediate);
    const [wants, releases] = ['want', 'release'].map((what) => words.filter((word) => word === what).length);
    t.equal(wants, releases, 'who has it is followed no longer');
    return words.filter((word) => word.startsWith('on'));
  };
  const long = { ...FILE, durationMs: 8_000 };
  const piece = [[100, 5], [30_000, 6]] as const;
  t.strictSame(await told(piece, { file: long, end: 30_100 }), ['on from 30100'], 'six seconds of eight');
  t.strictSame(await told([[100, 5], [10_000, 6]], { file: long, end: 10_100 }), [], 'two of them are a look');
  t.strictSame(await told([[100, 5], [20_000, 6]], { file: long, end: 30_100 }), [], 'not all of it was taken');
  t.strictSame(await told(piece, { file: long, end: 30_100, leaves: true }), []);
  t.strictSame(await told(piece, { file: long, end: 30_100, original: true }), []);
  t.strictSame(await told([[100, 5], [40_000, 6], [10, 1]], { file: long }), [], 'there is no more');
  const goingOn = new GoingOn({ alarms: new ManualAlarms(), onError: (error) => t.fail(String(error)) });
  const framed = { ...long, suffix: 'mp3' };
  t.strictSame(await told([[30_000, 6]], { file: framed, end: 30_000, goingOn }), ['on from 30100'], 'by its place in the file, also where a player is spared what precedes the sound');
  t.ok(goingOn.began(framed.file, 30_100, false));
});
