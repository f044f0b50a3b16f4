// Peers that fetch one song from each other, in virtual time: when they have it, what it costs its holders, and who falls silent.
import fc from 'fast-check';
import t from 'tap';
import { CHUNK_BYTES } from '../../lib/limits.ts';
import { integerBetween, seededRandom } from '../../lib/random.ts';
import { exchange, type PeerPlan, type RoomPlan } from '../fixtures/exchange-room.ts';

/** Bytes a millisecond. */
const MBIT = 125;
const FAST = 1_000 * MBIT;
const CAPPED = 100 * MBIT;
/** 8 MB. */
const CHUNKS = 128;

t.test('ten receivers of one capped provider have the song in less than twice the time of one, players a little later, for they give each other what they have', async (t) => {
  const provider = { whole: true, rate: CAPPED };
  const inTimesOfOne = (receiver: PeerPlan, bound: number): void => {
    const lastOf = (receivers: number, seed: number): number => {
      const { fetched, sent } = exchange({ seed, chunks: CHUNKS, roundTrip: 1, peers: [provider, ...Array.from({ length: receivers }, () => receiver)] });
      t.ok((sent[0] as number) < bound * CHUNKS, `the provider sent ${sent[0]} of ${CHUNKS} chunks`);
      return Math.max(...fetched.slice(1).map(({ doneAt = Number.POSITIVE_INFINITY }) => doneAt));
    };
    const alone = lastOf(1, 1);
    for (let seed = 1; seed <= 5; seed++) {
      const all = lastOf(10, seed);
      t.ok(all < bound * alone, `${Math.round(all)} ms, and ${Math.round(alone)} alone`);
    }
  };
  inTimesOfOne({ rate: FAST, fetchesAt: 0 }, 1.7);
  // players stand before the same chunk
  inTimesOfOne({ rate: FAST, fetchesAt: 0, bitrate: 40, greedy: true }, 2.15);
});

t.test('all receivers end with the whole song, whoever freezes, dies or lies, as long as one honest holder stays', () => {
  const roomOf = (seed: number): RoomPlan => {
    const random = seededRandom(seed);
    const between = (low: number, high: number): number => integerBetween(random, low, high);
    const fault = (): Partial<PeerPlan> => {
      const from = between(0, 3_000);
      return [{}, { frozen: [from, from + between(1, 6_000)] as const }, { diesAt: from }, { lies: true }][between(0, 3)] as Partial<PeerPlan>;
    };
    const line = (): number => between(5, 1_000) * MBIT;
    const honest: PeerPlan = { whole: true, rate: between(20, 100) * MBIT };
    const holders = Array.from({ length: between(0, 3) }, (): PeerPlan => ({ whole: true, rate: line(), ...fault() }));
    const receivers = Array.from({ length: between(1, 6) }, (): PeerPlan => ({ rate: line(), fetchesAt: between(0, 2_000), ...fault() }));
    return { seed, chunks: between(1, 60), roundTrip: between(0, 30), peers: [honest, ...holders, ...receivers] };
  };
  fc.assert(
    fc.property(fc.integer({ min: 0 }), (seed) => {
      const plan = roomOf(seed);
      for (const [i, { doneAt, gaveUp }] of exchange(plan).fetched.entries()) {
        const { fetchesAt, diesAt } = plan.peers[i] as PeerPlan;
        if (fetchesAt !== undefined && diesAt === undefined && doneAt === undefined) throw new Error(`seed ${seed}: peer ${i} ${gaveUp ? 'gave up' : 'is not through'}`);
      }
    }),
    { numRuns: 100, verbose: 1 },
  );
  return Promise.resolve();
});

t.test('when the only whole holder dies, receivers that hold the song between them end with all of it', async (t) => {
  let [late, told] = [0, 0];
  for (let seed = 1; seed <= 6; seed++) {
    // Their lines are so slow that the rest takes them longer than anybody is remembered who says nothing.
    const receivers: PeerPlan[] = [0, 1].map(() => ({ rate: 2 * MBIT, fetchesAt: 0 }));
    for (let diesAt = 600; ; diesAt += 100) {
      const { fetched, left } = exchange({ seed, chunks: CHUNKS, roundTrip: 2, peers: [{ whole: true, rate: CAPPED, diesAt }, ...receivers] });
      if (left < CHUNKS) continue;
      told++;
      for (const { doneAt = Number.POSITIVE_INFINITY } of fetched.slice(1)) {
        t.ok(doneAt < 60_000, `seed ${seed}, dead at ${diesAt} ms: ${doneAt} ms`);
        if (doneAt > diesAt + 5_500) late++;
      }
      break;
    }
  }
  t.ok(late > told, `${late} of ${2 * told} took longer than that`);
});

t.test('a player with two good holders never stalls when one of them freezes or dies in the middle', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0 }), (seed) => {
      const random = seededRandom(seed);
      const between = (low: number, high: number): number => integerBetween(random, low, high);
      const from = between(0, 4_000);
      const fault: Partial<PeerPlan> = [{ frozen: [from, from + between(300, 60_000)] as const }, { diesAt: from }][between(0, 1)] as Partial<PeerPlan>;
      const rate = (): number => between(10, 1_000) * MBIT;
      const peers: PeerPlan[] = [{ whole: true, rate: rate(), ...fault }, { whole: true, rate: rate() }, { rate: rate(), fetchesAt: between(0, 1_000), bitrate: between(128, 1_411) / 8 }];
      const [, , { stalledMs, doneAt } = { stalledMs: 0, doneAt: undefined }] = exchange({ seed, chunks: between(2, 60), roundTrip: between(0, 20), peers }).fetched;
      if (doneAt === undefined || stalledMs > 0) throw new Error(`seed ${seed}: ${stalledMs} ms stalled, done at ${doneAt}`);
    }),
    { numRuns: 200, verbose: 1 },
  );
  return Promise.resolve();
});

t.test('on lines that are slow for all, little is asked for twice, and nobody stalls for it', async (t) => {
  for (let seed = 1; seed <= 3; seed++) {
    const holders: PeerPlan[] = [0, 1].map(() => ({ whole: true, rate: 5 * MBIT }));
    const players = Array.from({ length: 8 }, (): PeerPlan => ({ rate: 5 * MBIT, fetchesAt: 0, bitrate: 40 }));
    const { asks, hedges, fetched } = exchange({ seed, chunks: 40, roundTrip: 5, peers: [...holders, ...players] });
    t.ok(hedges < 0.2 * asks, `${hedges} of ${asks}`);
    for (const { stalledMs } of fetched) t.equal(stalledMs, 0);
  }
});

t.test('over an own line of 5 Mbit/s a song plays from eight holders as well as from one, though some of it comes twice', async (t) => {
  for (const holders of [1, 2, 8]) {
    const whole = Array.from({ length: holders }, (): PeerPlan => ({ whole: true, rate: 20 * MBIT }));
    const { fetched } = exchange({ seed: 1, chunks: 60, roundTrip: 5, peers: [...whole, { rate: FAST, receives: 5 * MBIT, fetchesAt: 0, bitrate: 40, greedy: true }] });
    const { doneAt = Number.POSITIVE_INFINITY, stalledMs } = fetched[holders] as (typeof fetched)[number];
    t.ok(doneAt < 1.6 * ((60 * CHUNK_BYTES) / (5 * MBIT)) && stalledMs === 0, `${holders}: ${Math.round(doneAt)} ms, stalled ${stalledMs} ms`);
  }
});

t.test('a slow holder beside a fast one costs nothing, whether the player takes all it can get or not', async (t) => {
  for (const [fast, slow] of [[1_250, 60], [600, 60], [300, 20]] as const) {
    for (const greedy of [true, false]) {
      const { fetched, asks, hedges } = exchange({ seed: 1, chunks: 400, roundTrip: 5, peers: [{ whole: true, rate: fast }, { whole: true, rate: slow }, { rate: FAST, fetchesAt: 0, bitrate: 40, greedy }] });
      const { doneAt = Number.POSITIVE_INFINITY, stalledMs } = fetched[2] as (typeof fetched)[number];
      t.ok(doneAt < 1.01 * ((400 * CHUNK_BYTES) / fast) + 500 && stalledMs === 0, `${fast} and ${slow}: ${Math.round(doneAt)} ms, stalled ${stalledMs} ms`);
      t.ok(hedges < 0.12 * asks, `${hedges} of ${asks}`);
    }
  }
});

t.test('three capped providers bring nearly what their lines bring together, also after two of them stood still for a moment', async (t) => {
  const ideal = (4 * CHUNKS * CHUNK_BYTES) / (3 * CAPPED);
  const timeOf = (...frozen: (readonly [number, number])[]): number => {
    const providers = [0, 1, 2].map((i): PeerPlan => ({ whole: true, rate: CAPPED, ...(frozen[i] && { frozen: frozen[i] }) }));
    return exchange({ seed: 1, chunks: 4 * CHUNKS, roundTrip: 2, peers: [...providers, { rate: FAST, fetchesAt: 0 }] }).fetched.at(-1)?.doneAt ?? Number.POSITIVE_INFINITY;
  };
  const quiet = timeOf();
  t.ok(quiet < 1.15 * ideal, `${Math.round(quiet)} of ${Math.round(ideal)} ms`);
  const hiccup = timeOf([200, 500], [250, 550]);
  t.ok(hiccup < ideal + 600, `${Math.round(hiccup)} of ${Math.round(ideal)} ms`);
});
