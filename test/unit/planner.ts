// The planner in virtual time: against providers that are slow, silent, gone, false or have only some of it; then receivers
// that serve each other.
import fc from 'fast-check';
import t from 'tap';
import { HASH_BYTES } from '../../lib/content.ts';
import type { PeerId } from '../../lib/ids.ts';
import { CHUNK_BYTES, CHUNKS_IN_FLIGHT_MAX, READ_AHEAD_CHUNKS } from '../../lib/limits.ts';
import { integerBetween, seededRandom } from '../../lib/random.ts';
import { MANIFEST, Planner, type PlannerEffect, type PlannerInput, PROVIDERS_WAIT_MS, WHENEVER } from '../../peer/chunks/planner.ts';
import { ProviderPace } from '../../peer/chunks/provider-pace.ts';
import { exchange, type PeerPlan, type RoomPlan } from '../fixtures/exchange-room.ts';

const peerId = (n: number): PeerId => String(n).padStart(32, '0') as PeerId;

interface Behaviour {
  /** Bytes a millisecond, and both ways of the wire in milliseconds. */
  readonly rate: number;
  readonly roundTrip: number;
  /** From when to when it is silent: it takes questions and never answers them. */
  readonly silent?: readonly [number, number];
  /** From when to when it is gone: the connection is lost, and it is not in the list. */
  readonly gone?: readonly [number, number];
  readonly lies?: (item: number) => boolean;
  readonly lacks?: (item: number) => boolean;
}

interface Outcome {
  readonly verifiedAt: Map<number, number>;
  readonly gaveUpAt: number | undefined;
  readonly askedOf: Map<PeerId, number>;
  readonly inFlightMax: number;
}

/** Runs a planner over `chunks` chunks against simulated providers; a consumer wants 32 ahead and takes at once. */
function simulate(chunks: number, behaviours: readonly Behaviour[]): Outcome {
  const paces = new Map<PeerId, ProviderPace>();
  const paceOf = (peer: PeerId): ProviderPace => {
    const pace = paces.get(peer) ?? new ProviderPace();
    paces.set(peer, pace);
    return pace;
  };
  const planner = new Planner({ paceOf, random: seededRandom(chunks), chunks });
  const bytesOf = (item: number): number => (item === MANIFEST ? chunks * HASH_BYTES : CHUNK_BYTES);
  const queue: { at: number; order: number; run: () => void }[] = [];
  let now = 0;
  let order = 0;
  const at = (when: number, run: () => void): void => void queue.push({ at: Math.max(now, when), order: order++, run });
  const busyUntil = behaviours.map(() => 0);
  const live = new Map<number, { provider: number; item: number }>();
  const askedOf = new Map<PeerId, number>();
  const verifiedAt = new Map<number, number>();
  const unverified: { item: number; provider: number }[] = [];
  let inFlightMax = 0;
  let alarm = 0;
  let gaveUpAt: number | undefined;
  let wanted = 0;
  let head = 0;

  const isGone = (b: Behaviour): boolean => b.gone !== undefined && now >= b.gone[0] && now < b.gone[1];
  const list = (): PeerId[] => behaviours.flatMap((b, i) => (isGone(b) ? [] : [peerId(i)]));

  const step = (input: PlannerInput): void => {
    for (const effect of planner.step(input)) carryOut(effect);
  };
  const carryOut = (effect: PlannerEffect): void => {
    if (effect.kind === 'ask') {
      const provider = Number(effect.peer);
      const behaviour = behaviours[provider] as Behaviour;
      const { request, item } = effect;
      askedOf.set(effect.peer, (askedOf.get(effect.peer) ?? 0) + 1);
      live.set(request, { provider, item });
      inFlightMax = Math.max(inFlightMax, live.size);
      if (isGone(behaviour)) at(now + 1, () => live.delete(request) && step({ kind: 'failed', request, code: 'CONNECTION_LOST', now }));
      else if (behaviour.lacks?.(item) === true) at(now + behaviour.roundTrip, () => live.delete(request) && step({ kind: 'failed', request, code: 'CHUNK_UNAVAILABLE', now }));
      else {
        const done = Math.max(now + behaviour.roundTrip / 2, busyUntil[provider] as number) + bytesOf(item) / behaviour.rate;
        busyUntil[provider] = done;
        const [from, to] = behaviour.silent ?? [0, 0];
        if (done < from || done >= to) at(done + behaviour.roundTrip / 2, () => receive(request));
      }
    } else if (effect.kind === 'survey') at(now + 1, () => step({ kind: 'unsurveyed', peer: effect.peer, code: 'UNSUPPORTED', now }));
    else if (effect.kind === 'cancel') live.delete(effect.request);
    else if (effect.kind === 'arm') {
      const mine = ++alarm;
      at(effect.at, () => mine === alarm && step({ kind: 'expired', now }));
    } else gaveUpAt = now;
  };
  const receive = (request: number): void => {
    const asked = live.get(request);
    if (asked === undefined) return;
    live.delete(request);
    step({ kind: 'received', request, now });
    if (asked.item === MANIFEST) {
      judge(asked);
      if (verifiedAt.has(MANIFEST)) for (const waiting of unverified.splice(0)) judge(waiting);
    } else if (verifiedAt.has(MANIFEST)) judge(asked);
    else unverified.push(asked);
  };
  const judge = ({ item, provider }: { item: number; provider: number }): void => {
    if (behaviours[provider]?.lies?.(item) === true) {
      step({ kind: 'wrong', item, from: peerId(provider), now });
      return;
    }
    if (verifiedAt.has(item)) {
      // A second copy can only be one that had already arrived before the manifest did.
      return;
    }
    verifiedAt.set(item, now);
    step({ kind: 'verified', item, storing: false, now });
    while (verifiedAt.has(head)) head++;
    want();
  };
  const want = (): void => {
    for (; wanted < Math.min(chunks, head + READ_AHEAD_CHUNKS); wanted++) step({ kind: 'wanted', item: wanted, bytes: CHUNK_BYTES, due: now, now });
  };

  for (const [i, { gone }] of behaviours.entries()) {
    if (gone === undefined) continue;
    at(gone[0], () => {
      step({ kind: 'providers', peers: list(), now });
      busyUntil[i] = 0;
    });
    at(gone[1], () => step({ kind: 'providers', peers: list(), now }));
  }
  step({ kind: 'providers', peers: list(), now });
  step({ kind: 'wanted', item: MANIFEST, bytes: bytesOf(MANIFEST), due: now, now });
  want();
  for (let turns = 0; queue.length > 0 && verifiedAt.size < chunks + 1 && gaveUpAt === undefined; turns++) {
    if (turns > 100_000) throw new Error('it never ends');
    let next = 0;
    for (let i = 1; i < queue.length; i++) {
      const [a, b] = [queue[i] as (typeof queue)[0], queue[next] as (typeof queue)[0]];
      if (a.at < b.at || (a.at === b.at && a.order < b.order)) next = i;
    }
    const event = queue.splice(next, 1)[0] as (typeof queue)[0];
    now = event.at;
    event.run();
  }
  return { verifiedAt, gaveUpAt, askedOf, inFlightMax };
}

const whole = (outcome: Outcome, chunks: number): boolean => outcome.verifiedAt.size === chunks + 1;
const endOf = (outcome: Outcome): number => Math.max(...outcome.verifiedAt.values());
const WIFI: Behaviour = { rate: 2_500, roundTrip: 20 };

t.test('the first chunk at 20 Mbit/s and 20 ms costs one round trip and its own transmission', async (t) => {
  const outcome = simulate(64, [WIFI]);
  const first = outcome.verifiedAt.get(0) as number;
  t.ok(first < 20 + 26.3 + 1.5, `${first} ms`);
  const ideal = (64 * CHUNK_BYTES) / WIFI.rate + 20;
  t.ok(endOf(outcome) < ideal * 1.05, `the line is busy: ${Math.round(endOf(outcome))} of ${Math.round(ideal)} ms`);
  t.ok(outcome.inFlightMax <= 7, `a jump would wait behind ${outcome.inFlightMax} chunks at most`);
});

t.test('the pipeline grows until a fast line with a long round trip is full', async (t) => {
  const line: Behaviour = { rate: 50_000, roundTrip: 15 };
  const outcome = simulate(800, [line]);
  const ideal = (800 * CHUNK_BYTES) / line.rate + 15;
  t.ok(endOf(outcome) < ideal * 1.25, `${Math.round(endOf(outcome))} of ${Math.round(ideal)} ms`);
  t.ok(outcome.inFlightMax <= CHUNKS_IN_FLIGHT_MAX + 2);
});

t.test('two providers together are faster than each, in proportion to what they can', async (t) => {
  const fast: Behaviour = { rate: 10_000, roundTrip: 5 };
  const outcome = simulate(400, [WIFI, fast]);
  const alone = endOf(simulate(400, [fast]));
  t.ok(endOf(outcome) < alone * 0.9, `${Math.round(endOf(outcome))} ms instead of ${Math.round(alone)}`);
  t.ok((outcome.askedOf.get(peerId(1)) ?? 0) > 2 * (outcome.askedOf.get(peerId(0)) ?? 0));
});

t.test('a provider that falls silent costs a pause of less than half a second', async (t) => {
  const fast: Behaviour = { rate: 10_000, roundTrip: 5 };
  const outcome = simulate(200, [{ ...fast, silent: [300, 1e9] }, WIFI]);
  t.ok(whole(outcome, 200));
  const times = [...outcome.verifiedAt.values()].sort((a, b) => a - b);
  const pause = Math.max(...times.map((time, i) => time - (times[i - 1] ?? 0)));
  t.ok(pause < 500, `${Math.round(pause)} ms`);
});

t.test('nobody left is waited for as long as said, then given up', async (t) => {
  const outcome = simulate(50, [{ ...WIFI, gone: [200, 1e9] }]);
  t.ok((outcome.gaveUpAt as number) >= 200 + PROVIDERS_WAIT_MS - 1 && (outcome.gaveUpAt as number) < 200 + PROVIDERS_WAIT_MS + 500, `${outcome.gaveUpAt}`);
  t.ok(whole(simulate(50, [{ ...WIFI, gone: [200, 4_000] }]), 50), 'and one that returns in time goes on');
  t.equal(simulate(5, []).gaveUpAt, PROVIDERS_WAIT_MS);
});

t.test('a liar is asked for nothing more, and a partial holder only for what it has', async (t) => {
  const liar: Behaviour = { rate: 100_000, roundTrip: 1, lies: (item) => item >= 0 };
  const partial: Behaviour = { rate: 100_000, roundTrip: 1, lacks: (item) => item >= 0 && item % 2 === 0 };
  const outcome = simulate(100, [liar, partial, WIFI]);
  t.ok(whole(outcome, 100));
  t.ok((outcome.askedOf.get(peerId(0)) as number) <= 6, `${outcome.askedOf.get(peerId(0))} requests`);
  const liarOnly = simulate(10, [liar]);
  t.notOk(whole(liarOnly, 10));
  t.ok((liarOnly.gaveUpAt as number) < PROVIDERS_WAIT_MS + 1_000);
});

/** A planner that wants one chunk, for a talk of a few sentences. */
function talk(peers: readonly PeerId[]): { planner: Planner; asks: (effects: readonly PlannerEffect[]) => PeerId[] } {
  const planner = new Planner({ paceOf: () => new ProviderPace(), random: seededRandom(1), chunks: 100 });
  planner.step({ kind: 'providers', peers, now: 0 });
  return { planner, asks: (effects) => effects.flatMap((effect) => (effect.kind === 'ask' ? [effect.peer] : [])) };
}

t.test('a liar that leaves and comes back is still a liar', async (t) => {
  const [liar, other] = [peerId(1), peerId(2)];
  const { planner, asks } = talk([liar]);
  t.strictSame(asks(planner.step({ kind: 'wanted', item: 0, bytes: CHUNK_BYTES, due: 1, now: 1 })), [liar]);
  planner.step({ kind: 'received', request: 1, now: 30 });
  t.strictSame(asks(planner.step({ kind: 'wrong', item: 0, from: liar, now: 31 })), []);
  t.strictSame(asks(planner.step({ kind: 'providers', peers: [], now: 32 })), []);
  t.strictSame(asks(planner.step({ kind: 'providers', peers: [liar], now: 33 })), []);
  t.strictSame(asks(planner.step({ kind: 'providers', peers: [liar, other], now: 34 })), [other]);
});

t.test('a partial holder is asked again when the providers have changed', async (t) => {
  const holder = peerId(1);
  const { planner, asks } = talk([holder]);
  planner.step({ kind: 'wanted', item: 0, bytes: CHUNK_BYTES, due: 0, now: 0 });
  t.strictSame(asks(planner.step({ kind: 'failed', request: 1, code: 'CHUNK_UNAVAILABLE', now: 10 })), []);
  t.strictSame(asks(planner.step({ kind: 'providers', peers: [holder], now: 500 })), [holder]);
});

t.test('one that lost its connection is asked again after a rest that grows, and every hunger has its own patience', async (t) => {
  const only = peerId(1);
  const { planner, asks } = talk([only]);
  let now = 0;
  let alarm = 0;
  const step = (input: PlannerInput): PeerId[] => {
    const effects = planner.step(input);
    for (const effect of effects) if (effect.kind === 'arm') alarm = effect.at;
    return asks(effects);
  };
  t.strictSame(step({ kind: 'wanted', item: 0, bytes: CHUNK_BYTES, due: now, now }), [only]);
  for (const [request, rest] of [100, 200, 400, 800, 1600, 2000, 2000].entries()) {
    const failedAt = now;
    let asked = step({ kind: 'failed', request: request + 1, code: 'CONNECTION_LOST', now });
    for (let rings = 0; asked.length === 0 && rings < 10; rings++) asked = step({ kind: 'expired', now: (now = alarm) });
    t.strictSame(asked, [only]);
    t.equal(now - failedAt, rest);
  }
  t.ok(now > PROVIDERS_WAIT_MS, 'longer than the wait for a provider, because there was one');
});

t.test('whatever providers do, every chunk is verified once as long as one honest holder stays', async () => {
  const random = (seed: number) => {
    const next = seededRandom(seed);
    const between = (low: number, high: number): number => integerBetween(next, low, high);
    const span = (): [number, number] => {
      const from = between(0, 3_000);
      return [from, from + between(1, 8_000)];
    };
    const behaviour = (): Behaviour => {
      const base: Behaviour = { rate: 10 ** (2 + 3 * next()), roundTrip: between(0, 60) };
      const n = between(2, 5);
      return [
        base,
        { ...base, gone: span() },
        { ...base, silent: span() },
        { ...base, lies: () => true },
        { ...base, lies: (item: number) => item % n === 0 },
        { ...base, lacks: (item: number) => item % n !== 1 },
        { ...base, gone: span(), lies: (item: number) => item === MANIFEST },
      ][between(0, 6)] as Behaviour;
    };
    const honest: Behaviour = { rate: between(300, 5_000), roundTrip: between(0, 60) };
    return { chunks: between(1, 80), behaviours: [...Array.from({ length: between(0, 5) }, behaviour), honest] };
  };
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const { chunks, behaviours } = random(seed);
      const outcome = simulate(chunks, behaviours);
      if (outcome.gaveUpAt !== undefined || !whole(outcome, chunks)) throw new Error(`seed ${seed}: ${outcome.verifiedAt.size} of ${chunks + 1}, gave up at ${outcome.gaveUpAt}`);
      // Hedges of late chunks may come on top of the window.
      if (outcome.inFlightMax > 2 * CHUNKS_IN_FLIGHT_MAX + 2) throw new Error(`seed ${seed}: ${outcome.inFlightMax} in flight`);
    }),
    { numRuns: 400, verbose: 1 },
  );
});


// --- receivers that serve each other

/** Bytes a millisecond. */
const MBIT = 125;
const FAST = 1_000 * MBIT;
const CAPPED = 100 * MBIT;
/** 8 MB. */
const CHUNKS = 128;

t.test('ten receivers of one capped provider have the song in little more than twice the time of one, for they give each other what they have', async (t) => {
  const provider = { whole: true, rate: CAPPED };
  const lastOf = (receivers: number, seed: number): number => {
    const { fetched, sent } = exchange({ seed, chunks: CHUNKS, roundTrip: 1, peers: [provider, ...Array.from({ length: receivers }, () => ({ rate: FAST, fetchesAt: 0 }))] });
    t.ok((sent[0] as number) < 2.5 * CHUNKS, `the provider sent ${sent[0]} of ${CHUNKS} chunks`);
    return Math.max(...fetched.slice(1).map(({ doneAt = Number.POSITIVE_INFINITY }) => doneAt));
  };
  const alone = lastOf(1, 1);
  for (let seed = 1; seed <= 5; seed++) {
    const all = lastOf(10, seed);
    t.ok(all < 2.2 * alone, `${Math.round(all)} ms, and ${Math.round(alone)} alone`);
  }
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

// --- sentences

const asked = (effects: readonly PlannerEffect[]): [PeerId, number][] => effects.flatMap((effect) => (effect.kind === 'ask' ? [[effect.peer, effect.item]] : []));
const want = (item: number, due: number, now: number): PlannerInput => ({ kind: 'wanted', item, bytes: CHUNK_BYTES, due, now });
const bitmap = (...items: number[]): Uint8Array => {
  const bits = new Uint8Array(13);
  for (const item of items) bits[item >> 3]! |= 1 << (item & 7);
  return bits;
};

/** Lets time pass until the planner asks for something, or `until`. */
function wait(planner: Planner, from: number, until: number): { readonly asks: [PeerId, number][]; readonly now: number } {
  for (let now = from; now < until; now++) {
    const asks = asked(planner.step({ kind: 'expired', now }));
    if (asks.length > 0) return { asks, now };
  }
  return { asks: [], now: until };
}

t.test('a listener who would run dry is not kept waiting for a slow answer, one who has time is', async (t) => {
  const hedgedAt = (due: number): number => {
    const { planner } = talk([peerId(1), peerId(2)]);
    planner.step(want(0, due, 0));
    return wait(planner, 1, 10_000).now;
  };
  const soon = hedgedAt(0);
  t.ok(soon < 100, `${soon} ms`);
  const later = hedgedAt(1_000_000);
  t.ok(later >= 130, `${later} ms`);
  const { planner } = talk([peerId(1), peerId(2)]);
  planner.step(want(0, 1_000_000, 0));
  planner.step({ kind: 'awaited', item: 0, now: 0 });
  const { now } = wait(planner, 1, 10_000);
  t.ok(now < 100, `${now} ms for a reader that takes nothing before it`);
});

t.test('who lets a chunk wait is asked for no other while somebody else is there', async (t) => {
  const [slow, other] = [peerId(1), peerId(2)];
  const { planner, asks } = talk([slow, other]);
  t.strictSame(asks([0, 1].flatMap((item) => planner.step(want(item, 1_000_000, 0)))), [slow, other]);
  planner.step({ kind: 'received', request: 2, now: 30 });
  planner.step({ kind: 'verified', item: 1, storing: false, now: 30 });
  const { asks: hedge, now } = wait(planner, 31, 10_000);
  t.strictSame(hedge, [[other, 0]]);
  planner.step({ kind: 'received', request: 3, now: now + 30 });
  planner.step({ kind: 'verified', item: 0, storing: false, now: now + 30 });
  t.strictSame(asks([2, 3].flatMap((item) => planner.step(want(item, 1_000_000, now + 31)))), [other, other]);
  t.strictSame(asks(planner.step({ kind: 'providers', peers: [slow], now: now + 32 })), [slow, slow], 'but when nobody else is');
});

t.test('what fewest hold is asked for first, once others fetch the same', async (t) => {
  const [whole, one, two] = [peerId(1), peerId(2), peerId(3)];
  const { planner } = talk([whole]);
  planner.step(want(99, 0, 0)); // something to be hungry for
  planner.step(want(98, 0, 0));
  planner.step({ kind: 'surveyed', peer: whole, survey: { holds: 'all', receivers: [one, two] }, now: 1 });
  planner.step({ kind: 'surveyed', peer: one, survey: { holds: bitmap(10, 11), receivers: [] }, now: 2 });
  planner.step({ kind: 'surveyed', peer: two, survey: { holds: bitmap(10), receivers: [] }, now: 2 });
  // the window is full: none of these is asked for yet
  t.strictSame(asked([10, 11, 12].flatMap((item) => planner.step(want(item, WHENEVER, 3)))), []);
  const order: number[] = [];
  for (let request = 1; order.length < 3 && request < 20; request++) {
    order.push(...asked(planner.step({ kind: 'received', request, now: 10 + request })).map(([, item]) => item));
    for (const item of [99, 98]) order.push(...asked(planner.step({ kind: 'verified', item, storing: false, now: 10 + request })).map(([, item]) => item));
  }
  t.strictSame(order, [12, 11, 10]);
});

t.test('a partial holder is asked for what it has, also when it says so for the first time', async (t) => {
  const [whole, part] = [peerId(1), peerId(2)];
  const { planner, asks } = talk([whole]);
  for (const item of [0, 1, 2]) planner.step(want(item, 0, 0));
  t.strictSame(asks(planner.step({ kind: 'surveyed', peer: whole, survey: { holds: 'all', receivers: [part] }, now: 1 })), [], 'of what it has, nothing is known');
  t.strictSame(asked(planner.step({ kind: 'failed', request: 1, code: 'CONNECTION_LOST', now: 2 })), []);
  t.strictSame(asked(planner.step({ kind: 'surveyed', peer: part, survey: { holds: bitmap(0, 7), receivers: [] }, now: 3 })), [[part, 0]]);
});

t.test('other songs may fill the line to a provider: one chunk at a time is asked for all the same', async (t) => {
  const only = peerId(1);
  const pace = new ProviderPace();
  pace.asked(100 * CHUNK_BYTES, 0);
  const planner = new Planner({ paceOf: () => pace, random: seededRandom(1), chunks: 100 });
  planner.step({ kind: 'providers', peers: [only], now: 0 });
  t.strictSame(asked(planner.step(want(0, 0, 0))), [[only, 0]]);
  t.strictSame(asked(planner.step(want(1, 0, 0))), []);
});

t.test('whoever fetched, and is spoken of no more, is forgotten', async (t) => {
  const [whole, part] = [peerId(1), peerId(2)];
  const { planner } = talk([whole]);
  for (const item of [0, 1, 2]) planner.step(want(item, 1_000_000, 0));
  planner.step({ kind: 'surveyed', peer: whole, survey: { holds: 'all', receivers: [part] }, now: 1 });
  planner.step({ kind: 'surveyed', peer: part, survey: { holds: bitmap(2), receivers: [] }, now: 2 });
  planner.step({ kind: 'providers', peers: [], now: 3 });
  planner.step({ kind: 'expired', now: 5_002 });
  t.strictSame(asked(planner.step(want(2, 0, 5_003))), []);
});

t.test('what no listener waits for waits for the disk, and is given up without giving up the rest', async (t) => {
  const only = peerId(1);
  const { planner, asks } = talk([only]);
  t.strictSame(asks([0, 1].flatMap((item) => planner.step(want(item, WHENEVER, 0)))), [only, only]);
  planner.step(want(2, WHENEVER, 0));
  t.strictSame(asks(planner.step({ kind: 'received', request: 1, now: 10 })), [only]);
  planner.step(want(3, WHENEVER, 10));
  // three may be under way now: two on their way here, and one to the disk
  t.strictSame(asks(planner.step({ kind: 'verified', item: 0, storing: true, now: 10 })), []);
  t.strictSame(asks(planner.step({ kind: 'stored', now: 11 })), [only]);
  let now = 11;
  let effects = planner.step({ kind: 'providers', peers: [], now });
  for (let rings = 0; !effects.some(({ kind }) => kind === 'stop-filling'); rings++) {
    t.ok(rings < 10);
    for (const effect of effects) if (effect.kind === 'arm') now = effect.at;
    effects = planner.step({ kind: 'expired', now });
  }
  t.equal(now, 11 + PROVIDERS_WAIT_MS);
  planner.step({ kind: 'providers', peers: [only], now });
  t.strictSame(asks(planner.step(want(5, now, now))), [only], 'a listener is served as ever');
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

t.test('a chunk that its holder cannot read is asked of another, and the holder for all others', async (t) => {
  const [one, two] = [peerId(1), peerId(2)];
  const { planner, asks } = talk([one]);
  t.strictSame(asks([0, 1].flatMap((item) => planner.step(want(item, 0, 0)))), [one, one]);
  planner.step({ kind: 'providers', peers: [one, two], now: 1 });
  t.strictSame(asked(planner.step({ kind: 'failed', request: 1, code: 'FILE_CHANGED', now: 2 })), [[two, 0]]);
  planner.step({ kind: 'providers', peers: [one], now: 3 });
  planner.step({ kind: 'failed', request: 2, code: 'NOT_FOUND', now: 4 });
  t.strictSame(asked(planner.step({ kind: 'providers', peers: [one], now: 5 })), [], 'it rests');
  t.same(new Set(wait(planner, 6, 5_000).asks.map(([peer]) => peer)), new Set([one]), 'and may have it again');
});

t.test('a listener who comes has his own patience, however long the cache has waited', async (t) => {
  const { planner } = talk([]);
  planner.step(want(0, WHENEVER, 0));
  const before = planner.step({ kind: 'expired', now: 4_900 });
  t.notOk(before.some(({ kind }) => kind === 'stop-filling' || kind === 'give-up'));
  planner.step(want(1, 4_950, 4_950));
  t.notOk(planner.step({ kind: 'expired', now: 5_100 }).some(({ kind }) => kind === 'give-up'));
  t.ok(planner.step({ kind: 'expired', now: 4_950 + PROVIDERS_WAIT_MS }).some(({ kind }) => kind === 'give-up'));
});

t.test('a player that has music for a while is not given up before it has played that', async (t) => {
  const { planner } = talk([]);
  planner.step(want(0, 12_000, 0));
  t.notOk(planner.step({ kind: 'expired', now: 12_000 + PROVIDERS_WAIT_MS - 1 }).some(({ kind }) => kind === 'give-up'));
  t.ok(planner.step({ kind: 'expired', now: 12_000 + PROVIDERS_WAIT_MS }).some(({ kind }) => kind === 'give-up'));
});

t.test('a copy that waits says nothing of its provider’s line, and is asked of nobody else', async (t) => {
  const pace = new ProviderPace();
  const planner = new Planner({ paceOf: () => pace, random: seededRandom(1), chunks: 100 });
  planner.background = true;
  planner.step({ kind: 'providers', peers: [peerId(1), peerId(2)], now: 0 });
  t.equal(asked(planner.step(want(0, WHENEVER, 0))).length, 1);
  const { rate } = pace;
  t.strictSame(wait(planner, 1, 4_000).asks, []);
  t.equal(pace.rate, rate);
  t.notOk(pace.isDoubtful(4_000));
});

t.test('a third is asked when two are late', async (t) => {
  const { planner } = talk([peerId(1), peerId(2), peerId(3)]);
  planner.step(want(0, 0, 0));
  const first = wait(planner, 1, 5_000);
  const second = wait(planner, first.now + 1, 5_000);
  t.equal(new Set([...first.asks, ...second.asks].map(([peer]) => peer)).size, 2);
  t.ok(second.now < 1_000, `${second.now} ms`);
  t.strictSame(wait(planner, second.now + 1, 5_000).asks, [], 'and no fourth');
});

t.test('what is wanted sooner than before is asked for sooner', async (t) => {
  const { planner } = talk([peerId(1)]);
  for (const item of [0, 1, 2, 3]) planner.step(want(item, 1_000_000 + item, 0));
  planner.step(want(3, 0, 1));
  t.strictSame(asked(planner.step({ kind: 'received', request: 1, now: 30 })), [[peerId(1), 3]]);
});
