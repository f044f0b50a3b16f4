// The planner in virtual time, against providers that are slow, silent, gone, false or have only some of it; peers that fetch from
// each other are in shared-song.ts.
import fc from 'fast-check';
import t from 'tap';
import { HASH_BYTES } from '../../lib/content.ts';
import type { PeerId } from '../../lib/ids.ts';
import { CHUNK_BYTES, CHUNKS_IN_FLIGHT_MAX, READ_AHEAD_CHUNKS, RECEIVERS_MAX, REQUEST_TIMEOUT_MS } from '../../lib/limits.ts';
import { integerBetween, seededRandom } from '../../lib/random.ts';
import { PROVIDERS_WAIT_MS, STALL_MS } from '../../peer/chunks/patience.ts';
import { Planner, type PlannerEffect, type PlannerInput } from '../../peer/chunks/planner.ts';
import { MANIFEST, NO_HURRY, WHENEVER } from '../../peer/chunks/wanted.ts';
import { ProviderPace } from '../../peer/chunks/provider-pace.ts';
import { ProviderTable } from '../../peer/chunks/provider-table.ts';
import { Turns } from '../../peer/chunks/turns.ts';

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
  /** Chunks that came once more. */
  readonly again: number;
  /** What a provider was asked for though it had refused it. */
  readonly insisted: number;
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
  const planner = new Planner({ self: peerId(99), paceOf, random: seededRandom(chunks), chunks });
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
  const refused = new Set<string>();
  let [again, insisted] = [0, 0];
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
      if (refused.has(`${provider}/${item}`)) insisted++;
      if (isGone(behaviour)) at(now + 1, () => live.delete(request) && step({ kind: 'failed', request, code: 'CONNECTION_LOST', now }));
      else if (behaviour.lacks?.(item) === true) {
        at(now + behaviour.roundTrip, () => {
          if (!live.delete(request)) return;
          refused.add(`${provider}/${item}`);
          step({ kind: 'failed', request, code: 'CHUNK_UNAVAILABLE', now });
        });
      } else {
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
    // one of two that came before the manifest did
    else if (!unverified.some(({ item }) => item === asked.item)) unverified.push(asked);
  };
  const judge = ({ item, provider }: { item: number; provider: number }): void => {
    if (behaviours[provider]?.lies?.(item) === true) {
      step({ kind: 'wrong', item, from: peerId(provider), now });
      return;
    }
    if (verifiedAt.has(item)) again++;
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
  return { verifiedAt, again, insisted, gaveUpAt, askedOf, inFlightMax };
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

t.test('a liar is asked for nothing more, and a holder of a part for nothing that it has refused', async (t) => {
  const liar: Behaviour = { rate: 100_000, roundTrip: 1, lies: (item) => item >= 0 };
  const partial: Behaviour = { rate: 100_000, roundTrip: 1, lacks: (item) => item >= 0 && item % 2 === 0 };
  const outcome = simulate(100, [liar, partial, WIFI]);
  t.ok(whole(outcome, 100));
  t.ok((outcome.askedOf.get(peerId(0)) as number) <= 6, `${outcome.askedOf.get(peerId(0))} requests`);
  t.equal(outcome.insisted, 0);
  t.ok((outcome.askedOf.get(peerId(1)) as number) > 50, `${outcome.askedOf.get(peerId(1))} requests to the one with a part`);
  const liarOnly = simulate(10, [liar]);
  t.notOk(whole(liarOnly, 10));
  t.ok((liarOnly.gaveUpAt as number) < PROVIDERS_WAIT_MS + 1_000);
});

/** A planner that wants one chunk, for a talk of a few sentences. */
function talk(peers: readonly PeerId[]): { planner: Planner; asks: (effects: readonly PlannerEffect[]) => PeerId[] } {
  const planner = new Planner({ self: peerId(99), paceOf: () => new ProviderPace(), random: seededRandom(1), chunks: 100 });
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
      if (outcome.again > 0) throw new Error(`seed ${seed}: ${outcome.again} chunks came again`);
      // Hedges of late chunks may come on top of the window.
      if (outcome.inFlightMax > 2 * CHUNKS_IN_FLIGHT_MAX + 2) throw new Error(`seed ${seed}: ${outcome.inFlightMax} in flight`);
    }),
    { numRuns: 400, verbose: 1 },
  );
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

t.test('of chunks that are as rare, each receiver takes first those that are its turn, as far as others have shown that they fetch too', async (t) => {
  const [whole, other] = [peerId(1), peerId(2)];
  const items = Array.from({ length: 60 }, (_, item) => item + 20);
  const firsts = (shows: boolean): number[] =>
    Array.from({ length: 20 }, (_, seed) => {
      const planner = new Planner({ self: peerId(99), paceOf: () => new ProviderPace(), random: seededRandom(seed), chunks: 100 });
      planner.step({ kind: 'providers', peers: [whole], now: 0 });
      planner.step(want(0, 0, 0));
      planner.step({ kind: 'surveyed', peer: whole, survey: { holds: 'all', receivers: [other] }, now: 0 });
      planner.step(shows ? { kind: 'surveyed', peer: other, survey: { holds: bitmap(), receivers: [] }, now: 0 } : { kind: 'unsurveyed', peer: other, code: 'TIMED_OUT', now: 0 });
      // full of what is needed at once
      planner.step(want(1, 0, 0));
      for (const item of items) planner.step(want(item, WHENEVER, 0));
      return asked(planner.step({ kind: 'received', request: 1, now: 20 }))[0]?.[1] as number;
    });
  const turns = new Turns(peerId(99));
  turns.among([other]);
  t.same(firsts(true).filter((item) => turns.of(item) > 0), []);
  t.ok(new Set(firsts(true)).size > 5, 'one of them by chance');
  t.ok(firsts(false).some((item) => turns.of(item) > 0), 'who is only named may not be there');
});

t.test('who has gone, or has all of it by now, has no turn any more, and makes nothing less rare', async (t) => {
  const [whole, one, two] = [peerId(1), peerId(2), peerId(3)];
  const table = new ProviderTable({ self: peerId(99), paceOf: () => new ProviderPace(), chunks: 100, liars: [] });
  const known = (): [number, number[]] => {
    const { partial, turns } = table.sharing ?? { partial: [], turns: new Turns(peerId(99)) };
    const items = Array.from({ length: 100 }, (_, item) => item);
    return [Math.max(...items.map((item) => turns.of(item))), items.flatMap((item) => Array.from({ length: partial[item] ?? 0 }, () => item))];
  };
  table.list([whole], 0);
  table.learn(whole, { holds: 'all', receivers: [one, two] }, 0);
  t.same(known(), [0, []]);
  table.learn(one, { holds: bitmap(5), receivers: [] }, 1);
  table.learn(two, { holds: bitmap(5, 99), receivers: [] }, 1);
  t.same(known(), [2, [5, 5, 99]]);
  table.learn(one, { holds: bitmap(6), receivers: [] }, 2);
  t.same(known(), [2, [5, 6, 99]]);
  table.remove(two);
  t.same(known(), [1, [6]]);
  table.learn(one, { holds: 'all', receivers: [] }, 3);
  t.same(known(), [0, []]);
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
  pace.asked(100 * CHUNK_BYTES, 'soon', 0);
  const planner = new Planner({ self: peerId(99), paceOf: () => pace, random: seededRandom(1), chunks: 100 });
  planner.step({ kind: 'providers', peers: [only], now: 0 });
  t.strictSame(asked(planner.step(want(0, 0, 0))), [[only, 0]]);
  t.strictSame(asked(planner.step(want(1, 0, 0))), []);
});

/** One that has all and goes, and one that fetches too and has some of it. */
function receiverAlone(...items: number[]): { readonly planner: Planner; readonly part: PeerId; readonly begun: readonly PlannerEffect[] } {
  const [whole, part] = [peerId(1), peerId(2)];
  const { planner } = talk([whole]);
  for (const item of [0, 1, 2]) planner.step(want(item, 1_000_000, 0));
  planner.step({ kind: 'surveyed', peer: whole, survey: { holds: 'all', receivers: [part] }, now: 1 });
  planner.step({ kind: 'surveyed', peer: part, survey: { holds: bitmap(...items), receivers: [] }, now: 2 });
  return { planner, part, begun: planner.step({ kind: 'providers', peers: [], now: 3 }).filter(({ kind }) => kind === 'ask') };
}

const kinds = (effects: readonly PlannerEffect[]): string[] => effects.map(({ kind }) => kind);

t.test('whoever fetched, and says nothing for five seconds though it is asked, is forgotten', async (t) => {
  const { planner } = receiverAlone(2);
  t.ok(kinds(planner.step({ kind: 'expired', now: 110 })).includes('survey'));
  t.notOk(kinds(planner.step({ kind: 'expired', now: 5_109 })).includes('cancel'));
  t.ok(kinds(planner.step({ kind: 'expired', now: 5_110 })).includes('cancel'), 'what it was asked for is not waited for');
  t.strictSame(asked(planner.step(want(2, 0, 5_111))), []);
});

t.test('a receiver that answers or gives is not forgotten, though nobody else speaks of it', async (t) => {
  const { planner: answering, part } = receiverAlone(50);
  for (let now = 110; now < 20_000; now += 110) {
    answering.step({ kind: 'expired', now });
    answering.step({ kind: 'surveyed', peer: part, survey: { holds: bitmap(50), receivers: [] }, now: now + 1 });
  }
  t.strictSame(asked(answering.step(want(50, 20_000, 20_000))), [[part, 50]]);

  const items = Array.from({ length: 99 }, (_, item) => item);
  const { planner: giving, begun } = receiverAlone(...items);
  const live: { readonly request: number; readonly item: number }[] = [];
  let given = 0;
  const note = (effects: readonly PlannerEffect[]): void => {
    for (const effect of effects) {
      if (effect.kind === 'ask') live.push(effect);
      if (effect.kind === 'cancel') t.fail('it was giving');
    }
  };
  note(begun);
  // nobody has this one: the hunger for it never ends
  note(giving.step(want(99, 1_000_000, 3)));
  for (let now = 100, next = 3; now < 20_000; now += 250) {
    note(giving.step(want(next++, now + 3_000, now)));
    for (const { request, item } of live.splice(0)) {
      note(giving.step({ kind: 'received', request, now }));
      note(giving.step({ kind: 'verified', item, storing: false, now }));
      given++;
    }
    note(giving.step({ kind: 'expired', now: now + 1 }));
  }
  t.ok(given > 70, `${given}`);
});

t.test('a receiver that was asked for nothing for long is still known when the others have gone', async (t) => {
  const [whole, part] = [peerId(1), peerId(2)];
  const { planner } = talk([whole]);
  for (const item of [0, 1, 2]) planner.step(want(item, 0, 0));
  planner.step({ kind: 'surveyed', peer: whole, survey: { holds: 'all', receivers: [part] }, now: 1 });
  planner.step({ kind: 'surveyed', peer: part, survey: { holds: bitmap(3, 4), receivers: [] }, now: 2 });
  for (const item of [0, 1, 2]) planner.step({ kind: 'verified', item, storing: false, now: 30 });
  planner.step({ kind: 'expired', now: 20_000 });
  planner.step({ kind: 'providers', peers: [], now: 20_001 });
  t.strictSame(asked(planner.step(want(3, 20_001, 20_001))), [[part, 3]]);
});

t.test('where many have the whole song, four of them are asked who fetches it too', async (t) => {
  const { planner } = talk([1, 2, 3, 4, 5, 6].map(peerId));
  const surveyed = [0, 1, 2].flatMap((item) => planner.step(want(item, 0, 0))).flatMap((effect) => (effect.kind === 'survey' ? [effect.peer] : []));
  t.strictSame(surveyed, [1, 2, 3, 4].map(peerId));
});

t.test('names that were never asked keep their place', async (t) => {
  const [liar, honest] = [peerId(1), peerId(2)];
  const { planner } = talk([liar, honest]);
  const names = (first: number): PeerId[] => Array.from({ length: RECEIVERS_MAX }, (_, i) => peerId(first + i));
  planner.step({ kind: 'surveyed', peer: honest, survey: { holds: 'all', receivers: names(100) }, now: 0 });
  planner.step({ kind: 'surveyed', peer: liar, survey: { holds: 'all', receivers: names(200) }, now: 0 });
  const effects = [0, 1, 2, 3].flatMap((item) => planner.step(want(item, 0, 200)));
  const surveyed = effects.flatMap((effect) => (effect.kind === 'survey' ? [Number(effect.peer)] : []));
  t.equal(surveyed.filter((n) => n >= 100 && n < 200).length, RECEIVERS_MAX - 2);
  t.equal(surveyed.filter((n) => n >= 200).length, 0);
});

t.test('who was only named and said nothing is not forgotten once the catalog says that he has it', async (t) => {
  const [whole, named] = [peerId(1), peerId(2)];
  const { planner } = talk([whole]);
  for (let item = 0; item < 2; item++) planner.step(want(item, 1_000_000, 0));
  planner.step(want(2, 1_000_000, 0));
  t.ok(planner.step({ kind: 'surveyed', peer: whole, survey: { holds: 'all', receivers: [named] }, now: 1 }).some((effect) => effect.kind === 'survey' && effect.peer === named));
  planner.step({ kind: 'unwanted', item: 2, now: 2 });
  planner.step({ kind: 'providers', peers: [whole, named], now: 100 });
  planner.step({ kind: 'expired', now: 7_000 });
  planner.step({ kind: 'unwanted', item: 0, now: 7_001 });
  planner.step({ kind: 'unwanted', item: 1, now: 7_001 });
  const asks = [3, 4].flatMap((item) => asked(planner.step(want(item, 7_002, 7_002))));
  t.ok(asks.some(([peer]) => peer === named), `${asks}`);
});

t.test('who has given something rests no longer than after a first failure', async (t) => {
  const { planner } = talk([peerId(1)]);
  planner.step(want(0, 0, 0));
  planner.step({ kind: 'failed', request: 1, code: 'CONNECTION_LOST', now: 0 });
  t.equal(wait(planner, 1, 1_000).now, 100);
  planner.step({ kind: 'failed', request: 2, code: 'CONNECTION_LOST', now: 100 });
  t.equal(wait(planner, 101, 1_000).now, 300);
  planner.step({ kind: 'received', request: 3, now: 310 });
  planner.step({ kind: 'verified', item: 0, storing: false, now: 310 });
  planner.step(want(1, 400, 400));
  planner.step({ kind: 'failed', request: 4, code: 'CONNECTION_LOST', now: 400 });
  t.equal(wait(planner, 401, 2_000).now, 500);
});

t.test('what failed long before its reader came to it is not given up as soon as he does', async (t) => {
  const { planner } = talk([peerId(1)]);
  planner.step(want(0, NO_HURRY, 0));
  planner.step({ kind: 'failed', request: 1, code: 'CONNECTION_LOST', now: 10 });
  let now = 0;
  for (let item = 1; now < 60_000; item++) {
    planner.step({ kind: 'expired', now: (now += 1_000) });
    planner.step(want(item, NO_HURRY + item, now));
    planner.step({ kind: 'verified', item, storing: false, now });
  }
  planner.step({ kind: 'awaited', item: 0, now });
  t.equal(givenUpAt(planner, 0, now, 200_000), now + STALL_MS);
});

t.test('receivers that do not exist crowd out none that does', async (t) => {
  const [liar, honest, real] = [peerId(1), peerId(2), peerId(3)];
  const { planner } = talk([liar, honest]);
  for (let item = 0; item < 8; item++) planner.step(want(item, 0, 0));
  const madeUp = Array.from({ length: RECEIVERS_MAX }, (_, i) => peerId(100 + i));
  const surveyed: PeerId[] = [];
  const note = (effects: readonly PlannerEffect[]): void => {
    for (const effect of effects) if (effect.kind === 'survey') surveyed.push(effect.peer);
  };
  note(planner.step({ kind: 'surveyed', peer: liar, survey: { holds: 'all', receivers: madeUp }, now: 1 }));
  t.ok(surveyed.length >= RECEIVERS_MAX - 2, `${surveyed.length}`);
  for (const peer of surveyed.splice(0)) planner.step({ kind: 'unsurveyed', peer, code: 'CONNECTION_LOST', now: 2 });
  note(planner.step({ kind: 'surveyed', peer: honest, survey: { holds: 'all', receivers: [real] }, now: 3 }));
  t.ok(surveyed.includes(real));
  planner.step({ kind: 'surveyed', peer: real, survey: { holds: bitmap(7), receivers: [] }, now: 4 });
  planner.step({ kind: 'surveyed', peer: liar, survey: { holds: 'all', receivers: madeUp.map((_, i) => peerId(200 + i)) }, now: 5 });
  t.ok(asked(planner.step({ kind: 'providers', peers: [], now: 6 })).some(([peer]) => peer === real), 'and it stays');
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

/** When an item is given up, if nothing but alarms happens. */
function givenUpAt(planner: Planner, item: number, from: number, until: number): number | undefined {
  for (let now = from; now < until; now += 10) {
    for (const effect of planner.step({ kind: 'expired', now })) if (effect.kind === 'give-up' && effect.item === item) return now;
  }
  return undefined;
}

t.test('what its only holder refuses is given up after a few seconds, however often the list of providers is told anew', async (t) => {
  const { planner } = talk([peerId(1)]);
  const requests: number[] = [];
  let asks = 0;
  const note = (effects: readonly PlannerEffect[], now: number): boolean => {
    for (const effect of effects) {
      if (effect.kind === 'give-up') return true;
      if (effect.kind !== 'ask') continue;
      asks++;
      requests.push(effect.request);
    }
    for (const request of requests.splice(0)) if (note(planner.step({ kind: 'failed', request, code: 'FILE_CHANGED', now }), now)) return true;
    return false;
  };
  note(planner.step(want(0, 0, 0)), 0);
  note(planner.step({ kind: 'awaited', item: 0, now: 0 }), 0);
  let now = 0;
  while (now < 60_000) {
    now += 100;
    const input = now % 2_000 === 0 ? ({ kind: 'providers', peers: [peerId(1)], now } as const) : ({ kind: 'expired', now } as const);
    if (note(planner.step(input), now)) break;
  }
  t.ok(now <= 2_000 + PROVIDERS_WAIT_MS + 100, `${now} ms`);
  t.equal(asks, 2);
});

t.test('nobody waits for a quarter of an hour and more for what has gone, whatever the catalog says of the length of a song', async (t) => {
  const { planner } = talk([]);
  planner.step(want(0, 100 * 3_600_000, 0));
  let now = 0;
  for (; now < 4_000_000; now += 1_000) if (planner.step({ kind: 'expired', now }).some(({ kind }) => kind === 'give-up')) break;
  t.ok(now >= 900_000 && now <= 906_000, `${now} ms`);
});

t.test('a listener who comes has his own patience, however long the cache has waited', async (t) => {
  const { planner } = talk([]);
  planner.step(want(0, WHENEVER, 0));
  t.notOk(kinds(planner.step({ kind: 'expired', now: 4_900 })).some((kind) => kind === 'stop-filling' || kind === 'give-up'));
  planner.step(want(1, 4_950, 4_950));
  t.equal(givenUpAt(planner, 1, 4_950, 20_000), 4_950 + PROVIDERS_WAIT_MS);
});

t.test('a listener who comes to what another waits for has his own patience too', async (t) => {
  const { planner } = talk([]);
  planner.step(want(0, 0, 0));
  planner.step({ kind: 'expired', now: 4_000 });
  planner.step(want(0, 24_000, 4_000));
  t.equal(givenUpAt(planner, 0, 4_000, 60_000), 24_000 + PROVIDERS_WAIT_MS);
});

t.test('a holder that comes back ends the five seconds for which nobody had it, and they begin anew when it goes again', async (t) => {
  const holder = peerId(1);
  for (const [goesAt, endsAt] of [[undefined, STALL_MS], [8_000, 8_000 + PROVIDERS_WAIT_MS]] as const) {
    const { planner } = talk([]);
    planner.step(want(0, 0, 0));
    planner.step({ kind: 'providers', peers: [holder], now: 4_000 });
    if (goesAt !== undefined) planner.step({ kind: 'providers', peers: [], now: goesAt });
    t.equal(givenUpAt(planner, 0, goesAt ?? 4_000, 60_000), endsAt);
  }
});

t.test('the more music a player has in hand, the longer it waits: until that is played, and then as long as any', async (t) => {
  for (const inHand of [0, 12_000, 28_000, 60_000, 300_000]) {
    const nobody = talk([]).planner;
    nobody.step(want(0, inHand, 0));
    t.equal(givenUpAt(nobody, 0, 0, 400_000), inHand + PROVIDERS_WAIT_MS, 'with nobody to ask');
    const silent = talk([peerId(1)]).planner;
    silent.step(want(0, inHand, 0));
    t.equal(givenUpAt(silent, 0, 0, 400_000), inHand + STALL_MS, 'with a provider that lives and says nothing');
  }
});

t.test('whoever writes a file has no music in hand, and does not wait for the end of time', async (t) => {
  const nobody = talk([]).planner;
  nobody.step(want(5, NO_HURRY + 5, 0));
  t.equal(givenUpAt(nobody, 5, 0, 10_000), PROVIDERS_WAIT_MS);
  const silent = talk([peerId(1)]).planner;
  silent.step(want(5, NO_HURRY + 5, 0));
  silent.step(want(6, NO_HURRY + 6, 29_000));
  t.equal(givenUpAt(silent, 5, 29_000, 40_000), STALL_MS);
  t.equal(givenUpAt(silent, 6, STALL_MS, 80_000), 29_000 + STALL_MS, 'each from when it came');
});

t.test('what nobody can give is given up by itself, while all else comes', async (t) => {
  const only = peerId(1);
  const { planner } = talk([only]);
  const live = new Map<number, number>();
  const lost: [number, number][] = [];
  const note = (effects: readonly PlannerEffect[], now: number): void => {
    for (const effect of effects) {
      if (effect.kind === 'ask') live.set(effect.request, effect.item);
      if (effect.kind === 'give-up') lost.push([effect.item, now]);
    }
  };
  for (let item = 0; item < 16; item++) note(planner.step(want(item, 0, 0)), 0);
  const verified: number[] = [];
  for (let now = 10, next = 16; now < 12_000; now += 10) {
    const [request, item] = [...live][0] ?? [];
    if (request !== undefined && item !== undefined) {
      live.delete(request);
      if (item === 7) note(planner.step({ kind: 'failed', request, code: 'FILE_CHANGED', now }), now);
      else {
        note(planner.step({ kind: 'received', request, now }), now);
        note(planner.step({ kind: 'verified', item, storing: false, now }), now);
        verified.push(item);
        note(planner.step(want(next, now, now)), now);
        next++;
      }
    }
    note(planner.step({ kind: 'expired', now }), now);
  }
  t.equal(lost.length, 1);
  t.equal(lost[0]?.[0], 7);
  t.ok((lost[0]?.[1] as number) < PROVIDERS_WAIT_MS + 200, `${lost}`);
  t.ok(verified.length > 1_000, `${verified.length}`);
});

t.test('what its only holder never gives is given up too, though it gives all else', async (t) => {
  const only = peerId(1);
  const { planner } = talk([only]);
  const live: [number, number][] = [];
  let lostAt: number | undefined;
  const note = (effects: readonly PlannerEffect[], now: number): void => {
    for (const effect of effects) {
      if (effect.kind === 'ask' && effect.item !== 0) live.push([effect.request, effect.item]);
      if (effect.kind === 'give-up') lostAt ??= now;
    }
  };
  note(planner.step(want(0, 0, 0)), 0);
  note(planner.step({ kind: 'awaited', item: 0, now: 0 }), 0);
  note(planner.step(want(1, 0, 0)), 0);
  for (let now = 100, next = 2; now < 60_000 && lostAt === undefined; now += 100) {
    for (const [request, item] of live.splice(0)) {
      note(planner.step({ kind: 'received', request, now }), now);
      note(planner.step({ kind: 'verified', item, storing: false, now }), now);
      note(planner.step(want(next++, now, now)), now);
    }
    note(planner.step({ kind: 'expired', now }), now);
  }
  t.ok(lostAt !== undefined && lostAt <= 10_000 + STALL_MS + 100, `${lostAt}`);
});

t.test('a copy that waits says nothing of its provider’s line, neither then nor when it comes, and is asked of nobody else', async (t) => {
  const pace = new ProviderPace();
  let now = 0;
  for (let i = 0; i < 50; i++) {
    pace.asked(CHUNK_BYTES, 'soon', now);
    pace.arrived(CHUNK_BYTES, 'soon', 6, (now += 6));
  }
  const { rate } = pace;
  const planner = new Planner({ self: peerId(99), paceOf: () => pace, random: seededRandom(1), chunks: 100 });
  planner.background = true;
  planner.step({ kind: 'providers', peers: [peerId(1), peerId(2)], now });
  for (let item = 0; item < 10; item++) {
    const [ask] = planner.step(want(item, WHENEVER, now)).filter((effect) => effect.kind === 'ask');
    t.equal(ask?.urgency, 'background');
    const waited = wait(planner, now + 1, now + 3_000);
    t.strictSame(waited.asks, []);
    now = waited.now;
    planner.step({ kind: 'received', request: item + 1, now });
    planner.step({ kind: 'verified', item, storing: false, now });
  }
  t.equal(pace.rate, rate);
  t.notOk(pace.isDoubtful(now));
});

t.test('a listener’s chunk shows the line as it is, whatever copies wait beside it', async (t) => {
  const pace = new ProviderPace();
  pace.asked(CHUNK_BYTES, 'background', 0);
  let now = 3_000;
  for (let i = 0; i < 30; i++) {
    pace.asked(CHUNK_BYTES, 'soon', now);
    pace.arrived(CHUNK_BYTES, 'soon', 10, (now += 10));
  }
  t.ok(Math.abs(pace.rate - CHUNK_BYTES / 10) < 50, `${pace.rate}`);
  t.ok(pace.expectedMs(CHUNK_BYTES, 'soon', now) < 21, 'and does not wait for them');
  t.ok(pace.expectedMs(CHUNK_BYTES, 'background', now) > 29, 'as another copy would');
});

t.test('what was asked for a copy, or for later, is asked for anew when it is needed sooner and has not come', async (t) => {
  const urgencies = (effects: readonly PlannerEffect[]): string[] => effects.flatMap((effect) => (effect.kind === 'ask' ? [effect.urgency] : effect.kind === 'cancel' ? ['cancel'] : []));
  for (const peers of [[peerId(1)], [peerId(1), peerId(2)]]) {
    const { planner } = talk(peers);
    planner.background = true;
    t.strictSame(urgencies(planner.step(want(0, WHENEVER, 0))), ['background']);
    planner.background = false;
    t.strictSame(urgencies(planner.step(want(0, 1_000, 1_000))), ['cancel', 'soon']);
  }
  const { planner } = talk([peerId(1)]);
  planner.background = true;
  planner.step(want(0, WHENEVER, 0));
  planner.background = false;
  t.strictSame(urgencies(planner.step(want(0, 1, 1))), [], 'it may be on its way');
  const { asks, now } = wait(planner, 2, 10_000);
  t.strictSame(asks, [[peerId(1), 0]]);
  t.ok(now < 150, `${now} ms`);

  const later = talk([peerId(1)]).planner;
  t.strictSame(urgencies(later.step(want(0, 6_000, 0))), ['later']);
  const raised = wait(later, 1, 9_000);
  t.strictSame([raised.asks, raised.now], [[[peerId(1), 0]], 3_000], 'time passes, and it is needed soon');
  const sooner = talk([peerId(1)]).planner;
  sooner.step(want(0, 1_000_000, 0));
  t.strictSame(urgencies(sooner.step(want(0, 2_000, 1_000))), ['cancel', 'soon'], 'another reader needs it sooner');
});

t.test('what a player has come to goes before what is rarer', async (t) => {
  const next = (comes: boolean): number | undefined => {
    const { planner } = talk([peerId(1)]);
    planner.step({ kind: 'surveyed', peer: peerId(1), survey: { holds: 'all', receivers: [peerId(2)] }, now: 0 });
    planner.step({ kind: 'surveyed', peer: peerId(2), survey: { holds: bitmap(5), receivers: [] }, now: 0 });
    for (let item = 20; item < 30; item++) planner.step(want(item, WHENEVER, 0));
    planner.step(want(5, 100_000, 0));
    if (comes) planner.step({ kind: 'awaited', item: 5, now: 1 });
    return asked(planner.step({ kind: 'received', request: 1, now: 20 }))[0]?.[1];
  };
  t.equal(next(true), 5);
  t.not(next(false), 5);
});

t.test('what a listener waits for at a provider with much to do is asked of one that has little, before it is late', async (t) => {
  const overtaken = ({ otherBytes = 0, waits = true, due = 100_000 }): { readonly asks: [PeerId, number][]; readonly now: number } => {
    const paces = new Map([1, 2].map((n) => [peerId(n), new ProviderPace()]));
    const planner = new Planner({ self: peerId(99), paceOf: (peer) => paces.get(peer) as ProviderPace, random: seededRandom(1), chunks: 100 });
    planner.step({ kind: 'providers', peers: [peerId(1)], now: 0 });
    // 400 ms of other songs: it is doubted after 900
    paces.get(peerId(1))?.asked(1_000_000, 'soon', 0);
    planner.step(want(0, due, 0));
    paces.get(peerId(2))?.asked(otherBytes, 'soon', 0);
    planner.step({ kind: 'providers', peers: [peerId(1), peerId(2)], now: 1 });
    if (waits) planner.step({ kind: 'awaited', item: 0, now: 1 });
    return wait(planner, 2, 850);
  };
  t.strictSame(overtaken({}), { asks: [[peerId(2), 0]], now: 50 });
  t.strictSame(overtaken({ waits: false }).asks, [], 'not while its listener has other music');
  t.strictSame(overtaken({ due: NO_HURRY }).asks, [], 'nor for a file that is written');
  t.strictSame(overtaken({ otherBytes: 500_000 }).asks, [], 'nor where it would hardly come earlier');

});

t.test('what was overtaken once is not overtaken again', async (t) => {
  const paces = new Map([1, 2, 3].map((n) => [peerId(n), new ProviderPace()]));
  const planner = new Planner({ self: peerId(99), paceOf: (peer) => paces.get(peer) as ProviderPace, random: seededRandom(1), chunks: 100 });
  planner.step({ kind: 'providers', peers: [peerId(1)], now: 0 });
  paces.get(peerId(1))?.asked(1_000_000, 'soon', 0);
  planner.step(want(0, 100_000, 0));
  planner.step({ kind: 'providers', peers: [peerId(1), peerId(2), peerId(3)], now: 1 });
  planner.step({ kind: 'awaited', item: 0, now: 1 });
  t.equal(wait(planner, 2, 100).now, 50);
  t.strictSame(wait(planner, 51, 140).asks, []);
});

t.test('who is outrun by the second one that was asked is not the first to be asked next, though he was not late yet', async (t) => {
  const [slow, quick] = [peerId(1), peerId(2)];
  const { planner, asks } = talk([slow, quick]);
  t.strictSame(asks(planner.step(want(9, 0, 0))), [slow]);
  planner.step({ kind: 'received', request: 1, now: 20 });
  planner.step({ kind: 'verified', item: 9, storing: false, now: 20 });
  t.strictSame(asks(planner.step(want(0, 20, 20))), [slow]);
  const { now, asks: second } = wait(planner, 21, 150);
  t.strictSame(second, [[quick, 0]]);
  planner.step({ kind: 'received', request: 3, now: now + 25 });
  planner.step({ kind: 'verified', item: 0, storing: false, now: now + 25 });
  t.ok(now + 25 < 20 + 150, `${now}`);
  t.strictSame(asks(planner.step(want(1, now + 26, now + 26))), [quick]);
});

t.test('what a player has come to goes before what is read ahead, whenever it is due; what a file is written from does not', async (t) => {
  const urgencies = (effects: readonly PlannerEffect[]): string[] => effects.flatMap((effect) => (effect.kind === 'ask' ? [`${Number(effect.peer)} ${effect.urgency}`] : effect.kind === 'cancel' ? ['cancel'] : []));
  const come = (peers: readonly PeerId[], due: number): { readonly first: string[]; readonly then: string[]; readonly ms: number } => {
    const { planner } = talk(peers);
    const first = urgencies(planner.step(want(0, due, 0)));
    const then = urgencies(planner.step({ kind: 'awaited', item: 0, now: 1 }));
    let now = 1;
    while (then.length === 0 && now < 1_000) then.push(...urgencies(planner.step({ kind: 'expired', now: ++now })));
    return { first, then, ms: now };
  };
  const [alone, both] = [come([peerId(1)], 100_000), come([peerId(1), peerId(2)], 100_000)];
  t.strictSame([alone.first, alone.then], [['1 later'], ['cancel', '1 soon']]);
  t.ok(alone.ms > 50 && alone.ms < 150, `not while it may be on its way: ${alone.ms}`);
  t.strictSame([both.first, both.then, both.ms], [['1 later'], ['2 soon'], alone.ms], 'nor is it called off where another can bring it');
  t.strictSame(come([peerId(1)], NO_HURRY + 5), { first: ['1 later'], then: [], ms: 1_000 });

  const { planner } = talk([peerId(1)]);
  planner.step(want(0, 100_000, 0));
  planner.step({ kind: 'failed', request: 1, code: 'CONNECTION_LOST', now: 1 });
  planner.step({ kind: 'awaited', item: 0, now: 2 });
  t.strictSame(urgencies(planner.step({ kind: 'expired', now: 500 })), ['1 soon'], 'also where nobody is asked for it');
});

t.test('copies that wait keep no listener’s chunk from being asked for', async (t) => {
  const { planner } = talk([peerId(1)]);
  planner.background = true;
  for (const item of [0, 1, 2]) planner.step(want(item, WHENEVER, 0));
  planner.background = false;
  t.strictSame(asked(planner.step(want(50, 10, 10)))[0], [peerId(1), 50]);
});

t.test('each piece of a long manifest has its own time', async (t) => {
  const { planner } = talk([peerId(1)]);
  planner.step({ kind: 'wanted', item: MANIFEST, bytes: 16 * 1024 * 1024, due: 0, now: 0 });
  const cancelled = (now: number): boolean => kinds(planner.step({ kind: 'expired', now })).includes('cancel');
  for (let now = 9_000; now < 90_000; now += 9_000) {
    t.notOk(cancelled(now), `${now} ms`);
    planner.step({ kind: 'progressed', request: 1, now });
  }
  t.notOk(cancelled(90_999));
  t.ok(cancelled(91_000));
});

t.test('a receiver that refused a chunk is asked again when it says later that it has come, and once only', async (t) => {
  const { planner, part } = receiverAlone(2);
  const refuse = (request: number, now: number): unknown => asked(planner.step({ kind: 'failed', request, code: 'CHUNK_UNAVAILABLE', now }));
  const survey = (now: number): [PeerId, number][] => {
    planner.step({ kind: 'expired', now });
    return asked(planner.step({ kind: 'surveyed', peer: part, survey: { holds: bitmap(2), receivers: [] }, now: now + 1 }));
  };
  t.strictSame(refuse(3, 10), []);
  t.strictSame(asked(planner.step({ kind: 'surveyed', peer: part, survey: { holds: bitmap(2), receivers: [] }, now: 11 })), [], 'it may have said so before');
  t.strictSame(survey(120), [[part, 2]]);
  t.strictSame(refuse(4, 130), []);
  t.strictSame(survey(240), [], 'it says so of what it cannot give');
  planner.step({ kind: 'expired', now: 360 });
  planner.step({ kind: 'surveyed', peer: part, survey: { holds: bitmap(), receivers: [] }, now: 361 });
  t.strictSame(survey(480), [[part, 2]], 'until it has said that it had it not');
});

t.test('a receiver that had nothing is asked again when it says that it has some', async (t) => {
  const { planner, part } = receiverAlone(2);
  t.strictSame(asked(planner.step({ kind: 'failed', request: 3, code: 'NOT_FOUND', now: 10 })), []);
  t.strictSame(wait(planner, 11, 3_000).asks, [], 'not for having rested');
  t.strictSame(asked(planner.step({ kind: 'surveyed', peer: part, survey: { holds: bitmap(2), receivers: [] }, now: 3_001 })), [[part, 2]]);
});

t.test('what is late and not needed soon has a budget, unless its provider gives nothing at all', async (t) => {
  const [slow, other] = [peerId(1), peerId(2)];
  const paces = new Map<PeerId, ProviderPace>();
  const paceOf = (peer: PeerId): ProviderPace => {
    const pace = paces.get(peer) ?? new ProviderPace();
    paces.set(peer, pace);
    return pace;
  };
  const planner = new Planner({ self: peerId(99), paceOf, random: seededRandom(1), chunks: 100 });
  planner.step({ kind: 'providers', peers: [slow], now: 0 });
  const requests: number[] = [];
  const hedged: number[] = [];
  const note = (effects: readonly PlannerEffect[]): void => {
    for (const effect of effects) if (effect.kind === 'ask') (effect.hedge ? hedged : requests).push(effect.hedge ? effect.item : effect.request);
  };
  // as wide a window and as fast a line as eight requests at once need
  for (let i = 0; i < 20; i++) {
    note(planner.step(want(50 + i, 1_000_000, i * 6)));
    planner.step({ kind: 'received', request: requests.pop() as number, now: (i + 1) * 6 });
    planner.step({ kind: 'verified', item: 50 + i, storing: false, now: (i + 1) * 6 });
  }
  for (let item = 0; item < 8; item++) note(planner.step(want(item, 1_000_000 + item, 200)));
  t.equal(requests.length, 8);
  note(planner.step({ kind: 'providers', peers: [slow, other], now: 201 }));
  for (let now = 202; now < 590; now++) note(planner.step({ kind: 'expired', now }));
  t.equal(hedged.length, 2, 'some');
  note(planner.step({ kind: 'awaited', item: 7, now: 590 }));
  t.strictSame(hedged.splice(0).slice(2), [7], 'and one that is needed now');
  for (let now = 591; now < 700; now++) note(planner.step({ kind: 'expired', now }));
  t.equal(hedged.length, 5, 'all');
});

/** A planner that is woken when it asks for it, and not otherwise. */
class Sleeper {
  readonly planner: Planner;
  readonly asks: { readonly item: number; readonly peer: PeerId; readonly urgency: string; readonly at: number }[] = [];
  readonly paces = new Map<PeerId, ProviderPace>();
  #alarm = Number.POSITIVE_INFINITY;

  constructor(...peers: readonly PeerId[]) {
    const paceOf = (peer: PeerId): ProviderPace => {
      const pace = new ProviderPace();
      this.paces.set(peer, pace);
      return pace;
    };
    this.planner = new Planner({ self: peerId(99), paceOf, random: seededRandom(1), chunks: 100 });
    this.step({ kind: 'providers', peers, now: 0 });
  }

  step(input: PlannerInput): void {
    for (const effect of this.planner.step(input)) {
      if (effect.kind === 'arm') this.#alarm = effect.at;
      if (effect.kind === 'ask') this.asks.push({ ...effect, at: input.now });
    }
  }

  sleep(until: number): void {
    for (let wakes = 0; this.#alarm <= until; wakes++) {
      if (wakes > 1_000) throw new Error('it never sleeps');
      const now = this.#alarm;
      this.#alarm = Number.POSITIVE_INFINITY;
      this.step({ kind: 'expired', now });
    }
  }
}

t.test('it asks to be woken whenever it has something to do', async (t) => {
  const [one, two] = [peerId(1), peerId(2)];
  const later = new Sleeper(one);
  later.step(want(0, 6_000, 0));
  later.sleep(4_000);
  t.match(later.asks, [{ urgency: 'later', at: 0 }, { urgency: 'soon', at: 3_000 }], 'when a chunk is needed soon');

  const late = new Sleeper(one, two);
  for (let item = 0; item < 4; item++) late.step(want(item, 1_000_000 + item, 0));
  late.sleep(3_000);
  const hedgedAt = late.asks.slice(-2).map(({ at }) => Math.round(at));
  t.ok((hedgedAt[0] as number) < 300 && (hedgedAt[1] as number) < 300, `when a chunk is late: ${hedgedAt}`);

  const dry = new Sleeper(one, two);
  dry.step(want(0, 1_000_000, 0));
  dry.step({ kind: 'awaited', item: 0, now: 1 });
  dry.sleep(120);
  t.equal(dry.asks.length, 2, 'when a reader waits');

  const overtaken = new Sleeper(one);
  overtaken.paces.get(one)?.asked(1_000_000, 'soon', 0);
  overtaken.step(want(0, 1_000_000, 0));
  overtaken.step({ kind: 'providers', peers: [one, two], now: 1 });
  overtaken.step({ kind: 'awaited', item: 0, now: 1 });
  overtaken.sleep(60);
  t.match(overtaken.asks, [{ peer: one, at: 0 }, { peer: two, at: 50 }], 'when another would be so much faster');

  const steady = new Sleeper(one, two);
  steady.step(want(0, 1_000_000, 0));
  steady.step(want(1, 10, 10));
  steady.sleep(120);
  t.equal(steady.asks.length, 3, 'when one is in a hurry among others that are not');

  const busy = new Sleeper(one, two);
  busy.step(want(0, 1_000_000, 0));
  busy.step({ kind: 'stored', now: 1_000 });
  busy.sleep(1_001);
  t.equal(busy.asks.length, 2, 'when it is woken late, and something else comes first');
});

t.test('when the budget of hedges is spent, silence is noticed all the same, sooner where a listener would run dry, and later where it has just given something', async (t) => {
  const [one, two] = [peerId(1), peerId(2)];
  const hedged = (due: number, until: number, givesAt?: number): number => {
    const sleeper = new Sleeper(one);
    for (let item = 0, request = 0; item < 12; item++) {
      sleeper.step(want(50 + item, 1_000_000, item * 5));
      sleeper.step({ kind: 'received', request: ++request, now: item * 5 + 4 });
      sleeper.step({ kind: 'verified', item: 50 + item, storing: false, now: item * 5 + 4 });
    }
    for (let item = 0; item < 4; item++) sleeper.step(want(item, due, 100));
    const before = sleeper.asks.length;
    sleeper.step({ kind: 'providers', peers: [one, two], now: 101 });
    if (givesAt !== undefined) {
      sleeper.sleep(givesAt);
      sleeper.step({ kind: 'received', request: 13, now: givesAt });
      sleeper.step({ kind: 'verified', item: 0, storing: false, now: givesAt });
    }
    sleeper.sleep(until);
    return new Set(sleeper.asks.slice(before).map(({ item }) => item)).size;
  };
  t.equal(hedged(1_000_000, 1_000), 2);
  t.equal(hedged(1_000_000, 1_800), 4);
  t.equal(hedged(800, 450), 2);
  t.equal(hedged(800, 600), 4);
  t.equal(hedged(1_000_000, 2_500, 1_000), 2);
  t.equal(hedged(1_000_000, 3_100, 1_000), 4);
});

t.test('a late chunk is not asked of a liar as well, though a liar is better than nobody', async (t) => {
  const [slow, liar] = [peerId(1), peerId(2)];
  const paces = new Map([slow, liar].map((peer) => [peer, new ProviderPace()]));
  paces.get(liar)?.lied(0);
  const planner = new Planner({ self: peerId(99), paceOf: (peer) => paces.get(peer) as ProviderPace, random: seededRandom(1), chunks: 100 });
  planner.step({ kind: 'providers', peers: [liar, slow], now: 0 });
  t.strictSame(asked(planner.step(want(0, 0, 0))), [[slow, 0]]);
  t.strictSame(wait(planner, 1, 20_000), { asks: [[liar, 0]], now: REQUEST_TIMEOUT_MS });
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
