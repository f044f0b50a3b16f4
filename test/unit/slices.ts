// Requests over datagrams: the pure receiver in virtual time over a line that loses, delays and queues; the exchange over a
// line that loses; and the choice between the two ways.
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { decode, encode } from '../../lib/codec.ts';
import { PeerError } from '../../lib/errors.ts';
import { type PeerId, randomId } from '../../lib/ids.ts';
import { ANSWERS_KEPT_MAX, CHUNK_BYTES, DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX, SLICE_BYTES, SLICES_IN_FLIGHT_MAX, SLICES_PER_FETCH_MAX } from '../../lib/limits.ts';
import { decodeMessage, encodeMessage } from '../../lib/messages.ts';
import { type Random, seededRandom } from '../../lib/random.ts';
import { PAYLOAD_BYTES_MAX } from '../../lib/seal.ts';
import { SLICES_MAX, type Slice } from '../../lib/slice-messages.ts';
import { systemClock } from '../../lib/time.ts';
import { Paths } from '../../peer/paths.ts';
import { framesIn, SliceExchange, type SliceMessage } from '../../peer/slices/exchange.ts';
import { Receiver, type ReceiverEffect, type ReceiverInput, sliceAt } from '../../peer/slices/receiver.ts';
import type { Connection, Handler } from '../../peer/stream/connection.ts';

// --- the receiver in a world of its own

interface Line {
  readonly seed: number;
  /** Of datagrams, each way. */
  readonly loss: number;
  /** One way. */
  readonly delayMs: number;
  /** Of the way back. */
  readonly bytesPerMs: number;
  /** Beyond it nothing passes at all. */
  readonly deadAfterMs?: number;
}

interface Outcome {
  readonly tookMs: number;
  readonly fetches: number;
  readonly slicesSent: number;
  readonly slicesNeeded: number;
  readonly inFlightMax: number;
  /** The longest time that a slice waited for its turn on the line. */
  readonly queuedMsMax: number;
  readonly exact: boolean;
}

/** Fetches answers, `atOnce` of them side by side, until all are here or `limitMs` are over. */
function transfer(answers: readonly Buffer[], atOnce: number, line: Line, limitMs = 120_000): Outcome {
  const receiver = new Receiver();
  const random = seededRandom(line.seed);
  const queue: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  let order = 0;
  let now = 0;
  const at = (when: number, run: () => void): void => void queue.push({ at: when, order: order++, run });
  const passes = (): boolean => random() >= line.loss && now < (line.deadAfterMs ?? Number.POSITIVE_INFINITY);
  const lineFreeAt = { value: 0 };
  const done = new Set<number>();
  let alarm = 0;
  let next = 0;
  let [fetches, slicesSent, inFlightMax, queuedMsMax, exact] = [0, 0, 0, 0, true];

  const serve = (id: number, serial: number, slices: readonly number[]): void => {
    for (const index of slices) {
      const slice = sliceAt(answers[id] as Buffer, index);
      if (!slice) continue;
      slicesSent += 1;
      const startsAt = Math.max(now, lineFreeAt.value);
      queuedMsMax = Math.max(queuedMsMax, startsAt - now);
      lineFreeAt.value = startsAt + (slice.bytes.byteLength + 82) / line.bytesPerMs;
      if (!passes()) continue;
      at(lineFreeAt.value + line.delayMs, () => {
        step({ kind: 'arrived', slice: { kind: 'slice', id, edition: 7, serial, index, ...slice }, now });
      });
    }
  };
  const carryOut = (effect: ReceiverEffect): void => {
    switch (effect.kind) {
      case 'fetch':
        fetches += 1;
        if (effect.slices.length > SLICES_PER_FETCH_MAX) exact = false;
        if (passes()) at(now + line.delayMs, () => serve(effect.id, effect.serial, effect.slices));
        return;
      case 'complete':
        exact &&= (answers[effect.id] as Buffer).equals(effect.bytes);
        done.add(effect.id);
        if (next < answers.length) step({ kind: 'wanted', id: next++, now });
        return;
      case 'changed':
        exact = false;
        return;
      case 'arm': {
        const mine = ++alarm;
        at(now + effect.ms, () => mine === alarm && step({ kind: 'expired', timer: 'overdue', now }));
      }
    }
  };
  const step = (input: ReceiverInput): void => {
    for (const effect of receiver.step(input)) carryOut(effect);
    inFlightMax = Math.max(inFlightMax, receiver.inFlight);
  };
  while (next < Math.min(atOnce, answers.length)) step({ kind: 'wanted', id: next++, now });
  while (queue.length > 0 && done.size < answers.length) {
    queue.sort((a, b) => a.at - b.at || a.order - b.order);
    const event = queue.shift() as (typeof queue)[number];
    if (event.at > limitMs) break;
    now = event.at;
    event.run();
  }
  const slicesNeeded = answers.reduce((sum, answer) => sum + Math.max(1, Math.ceil(answer.byteLength / SLICE_BYTES)), 0);
  return { tookMs: done.size === answers.length ? now : Number.POSITIVE_INFINITY, fetches, slicesSent, slicesNeeded, inFlightMax, queuedMsMax, exact };
}

const chunks = (count: number): Buffer[] => Array.from({ length: count }, () => randomBytes(CHUNK_BYTES));
const FAST = { delayMs: 0.3, bytesPerMs: 12_500 };

t.test('3 MB arrive within 5 s when each way loses 36% of its datagrams, whatever the chance', async (t) => {
  const song = chunks(46);
  for (let seed = 1; seed <= 10; seed++) {
    const { tookMs, exact, inFlightMax } = transfer(song, 4, { seed, loss: 0.36, ...FAST });
    t.ok(tookMs < 5_000, `seed ${seed}: ${Math.round(tookMs)} ms`);
    t.ok(exact);
    t.ok(inFlightMax <= SLICES_IN_FLIGHT_MAX);
  }
});

t.test('a small answer arrives within 2 s at that loss, in 99 of 100 cases', async (t) => {
  const times = Array.from({ length: 300 }, (_, seed) => transfer([randomBytes(400)], 1, { seed, loss: 0.36, ...FAST }).tookMs).sort((a, b) => a - b);
  t.ok((times[296] as number) < 2_000, `p99 ${times[296]}, median ${times[150]}`);
});

t.test('answers of any length are exact over any line, or not there', async (t) => {
  const property = fc.property(
    fc.array(fc.integer({ min: 0, max: FRAME_BYTES_MAX }), { minLength: 1, maxLength: 4 }),
    fc.record({ seed: fc.nat(), loss: fc.double({ min: 0, max: 0.6, noNaN: true }), delayMs: fc.double({ min: 0.1, max: 150, noNaN: true }), bytesPerMs: fc.integer({ min: 125, max: 12_500 }) }),
    (lengths, line) => {
      const { tookMs, exact, inFlightMax } = transfer(lengths.map((length) => randomBytes(length)), 2, line);
      return exact && tookMs < 120_000 && inFlightMax <= SLICES_IN_FLIGHT_MAX;
    },
  );
  fc.assert(property, { numRuns: 60 });
  t.pass();
});

t.test('over a line that loses nothing hardly a slice is sent twice, and no long queue stands', async (t) => {
  for (const [name, line] of Object.entries({
    LAN: { delayMs: 0.3, bytesPerMs: 12_500 },
    'Wi-Fi': { delayMs: 5, bytesPerMs: 2_500 },
    'another country': { delayMs: 80, bytesPerMs: 1_250 },
  })) {
    const { slicesSent, slicesNeeded, queuedMsMax, exact } = transfer(chunks(30), 4, { seed: 1, loss: 0, ...line });
    t.ok(exact && slicesSent <= 1.05 * slicesNeeded, `${name}: ${slicesSent} sent of ${slicesNeeded}`);
    t.ok(queuedMsMax < 120, `${name}: waited ${Math.round(queuedMsMax)} ms`);
  }
});

t.test('a peer that has fallen silent is asked ever more seldom, once a second in the end', async (t) => {
  const { fetches } = transfer(chunks(8), 8, { seed: 1, loss: 0, deadAfterMs: 20, ...FAST }, 30_000);
  t.ok(fetches < 150, `${fetches} fetches in 30 s`);
});

const slice = (fields: Partial<Slice> = {}): Slice => ({ kind: 'slice', id: 1, edition: 1, serial: 0, count: 2, index: 0, bytes: Buffer.alloc(SLICE_BYTES), ...fields });

t.test('slices of two answers are not put together', async (t) => {
  const receiver = new Receiver();
  receiver.step({ kind: 'wanted', id: 1, now: 0 });
  receiver.step({ kind: 'arrived', slice: slice(), now: 1 });
  t.match(receiver.step({ kind: 'arrived', slice: slice({ edition: 2, index: 1, bytes: Buffer.alloc(3) }), now: 2 }), [{ kind: 'changed', id: 1 }]);
  t.equal(receiver.inFlight, 0);
});

t.test('what comes twice, unasked or too late changes nothing', async (t) => {
  const receiver = new Receiver();
  t.same(receiver.step({ kind: 'arrived', slice: slice(), now: 0 }), []);
  receiver.step({ kind: 'wanted', id: 1, now: 0 });
  receiver.step({ kind: 'arrived', slice: slice(), now: 1 });
  const { inFlight, arrived } = receiver;
  receiver.step({ kind: 'arrived', slice: slice(), now: 2 });
  t.same([receiver.inFlight, receiver.arrived], [inFlight, arrived]);
  receiver.step({ kind: 'unwanted', id: 1, now: 3 });
  t.equal(receiver.inFlight, 0, 'what is no longer wanted makes room');
  t.same(receiver.step({ kind: 'arrived', slice: slice({ index: 1 }), now: 4 }), []);
  t.same(receiver.step({ kind: 'expired', timer: 'overdue', now: 900 }), []);
});

// --- messages

t.test('the largest slice fits a datagram, and fetches say which slices they want', async (t) => {
  const largest = encodeMessage(slice({ id: 2 ** 32 - 1, edition: 2 ** 32 - 1, serial: 255, count: SLICES_MAX, index: SLICES_MAX - 1 }));
  t.ok(largest.byteLength <= PAYLOAD_BYTES_MAX, `${largest.byteLength} of ${PAYLOAD_BYTES_MAX}`);
  t.ok(DATAGRAM_BYTES_MAX > PAYLOAD_BYTES_MAX);
  const property = fc.property(fc.uniqueArray(fc.integer({ min: 0, max: SLICES_MAX - 1 }), { minLength: 1, maxLength: SLICES_PER_FETCH_MAX }), (numbers) => {
    const slices = numbers.sort((a, b) => a - b);
    const message = { kind: 'fetch' as const, id: 5, serial: 255, method: 'chunk', params: [1], slices };
    t.same(decodeMessage(encodeMessage(message)), message);
  });
  fc.assert(property, { numRuns: 50 });
});

t.test('fetches, slices and refusals that make no sense are refused', async (t) => {
  const bitmap = (bytes: number, value = 1): Buffer => Buffer.alloc(bytes, value);
  const malformed: unknown[][] = [
    [8, 1, 0, 'chunk', [], bitmap(30)],
    [8, 1, 0, 'chunk', [], bitmap(1, 0)],
    [8, 1, 0, 'chunk', [], bitmap(3, 0xff)],
    [8, 1, 0, 'chunk', []],
    [8, 2 ** 33, 0, 'chunk', [], bitmap(1)],
    [8, 1, 0, 'c'.repeat(65), [], bitmap(1)],
    [9, 1, 1, 0, 0, 0, bitmap(1)],
    [9, 1, 1, 0, 1, 1, bitmap(1)],
    [9, 1, 1, 0, 2, 0, bitmap(1)],
    [9, 1, 1, 0, SLICES_MAX + 1, 0, bitmap(SLICE_BYTES)],
    [9, 1, 1, 0, 1, 0, bitmap(SLICE_BYTES + 1)],
    [9, 1, 1, 0, 1, 0, 'text'],
    [8, 1, 256, 'chunk', [], bitmap(1)],
    [9, 1, 1, 256, 1, 0, bitmap(1)],
    [10, 1, 'not a code', ''],
    [10, 1, 'NOT_FOUND', 'x'.repeat(513)],
  ];
  for (const tuple of malformed) t.throws(() => decodeMessage(encode(tuple)), { code: 'BAD_MESSAGE' }, JSON.stringify(tuple).slice(0, 60));
});

// --- the exchange

const A = randomId<PeerId>();
const B = randomId<PeerId>();
const address = (peer: PeerId): { host: string; port: number } => ({ host: peer, port: 1 });

/** Two peers on a line that loses; what passes is encoded and decoded as on the wire. */
function pair(handlers: ReadonlyMap<string, Handler>, { loss = 0, seed = 1 } = {}): { asker: SliceExchange; answerer: SliceExchange; line: { loss: number } } {
  const random: Random = seededRandom(seed);
  const line = { loss };
  const exchange = (self: PeerId, other: () => SliceExchange, own: ReadonlyMap<string, Handler>): SliceExchange =>
    new SliceExchange({
      handlers: own,
      send: (message) => {
        if (random() < line.loss) return;
        setImmediate(() => other().receive(self, decodeMessage(encodeMessage(message)) as SliceMessage, address(self)));
      },
      addressOf: address,
      clock: systemClock,
      report: (error) => t.fail(String(error)),
    });
  const answerer: SliceExchange = exchange(B, () => asker, handlers);
  const asker: SliceExchange = exchange(A, () => answerer, new Map());
  t.teardown(() => {
    asker.stop();
    answerer.stop();
  });
  return { asker, answerer, line };
}

t.test('bytes, values and streams are answered alike over a line that loses a third each way, and carried out once', async (t) => {
  const chunk = randomBytes(CHUNK_BYTES);
  const frames = [Buffer.from('one'), randomBytes(5_000), Buffer.alloc(0)];
  let carriedOut = 0;
  const { asker } = pair(
    new Map<string, Handler>([
      ['bytes', async (params, { peer }) => {
        t.same([params, peer], [[1, 'x'], A]);
        carriedOut += 1;
        return { kind: 'bytes', bytes: chunk };
      }],
      ['value', () => ({ kind: 'value', value: { a: 1 } })],
      ['stream', () => ({ kind: 'stream', frames: (async function* () { yield* frames; })() })],
    ]),
    { loss: 0.36 },
  );
  const [bytes, value, stream] = await Promise.all([asker.request(B, 'bytes', [1, 'x']), asker.request(B, 'value', []), asker.request(B, 'stream', [])]);
  t.ok(chunk.equals(bytes));
  t.same(decode(value, { bytesMax: 100, code: 'BAD_MESSAGE' }), { a: 1 });
  t.same([...framesIn(stream)], frames);
  t.equal(carriedOut, 1);
  t.throws(() => [...framesIn(stream.subarray(0, 5))], { code: 'BAD_FRAME' });
});

t.test('refusals carry their code, also for what does not fit and for methods that nobody has', async (t) => {
  const { asker } = pair(
    new Map<string, Handler>([
      ['missing', () => { throw new PeerError('NOT_FOUND', 'not here'); }],
      ['large', () => ({ kind: 'bytes', bytes: Buffer.alloc(FRAME_BYTES_MAX + 1) })],
      ['endless', () => ({ kind: 'stream', frames: (async function* () { for (;;) yield Buffer.alloc(10_000); })() })],
    ]),
    { loss: 0.3 },
  );
  await t.rejects(asker.request(B, 'missing', []), { code: 'NOT_FOUND', message: 'not here' });
  await t.rejects(asker.request(B, 'large', []), { code: 'TOO_LARGE' });
  await t.rejects(asker.request(B, 'endless', []), { code: 'TOO_LARGE' });
  await t.rejects(asker.request(B, 'none', []), { code: 'UNSUPPORTED' });
});

t.test('a question that does not fit a datagram is refused, and nothing is sent', async (t) => {
  const sent: SliceMessage[] = [];
  const asker = new SliceExchange({ handlers: new Map(), send: (message) => (encodeMessage(message).byteLength > PAYLOAD_BYTES_MAX ? t.fail('it does not fit') : void sent.push(message)), addressOf: address, clock: systemClock, report: () => {} });
  t.teardown(() => asker.stop());
  await t.rejects(asker.request(B, 'x', [new Uint8Array(PAYLOAD_BYTES_MAX)]), { code: 'TOO_LARGE' });
  t.same(sent, []);
  asker.request(B, 'x', [new Uint8Array(PAYLOAD_BYTES_MAX - 100)]).catch(() => undefined);
  t.equal(sent.length, 1);
});

t.test('who waits for a silent peer is let go by time, by abort and by the end', async (t) => {
  const { asker } = pair(new Map(), { loss: 1 });
  await t.rejects(asker.request(B, 'x', [], { timeoutMs: 30 }), { code: 'TIMED_OUT' });
  const controller = new AbortController();
  const aborted = asker.request(B, 'x', [], { signal: controller.signal });
  controller.abort();
  await t.rejects(aborted, { code: 'CANCELLED' });
  await t.rejects(asker.request(B, 'x', [], { signal: controller.signal }), { code: 'CANCELLED' });
  const stopped = asker.request(B, 'x', []);
  asker.stop();
  await t.rejects(stopped, { code: 'CLOSED' });
});

t.test('slices and refusals count only from the peer that was asked', async (t) => {
  const sent: SliceMessage[] = [];
  const asker = new SliceExchange({ handlers: new Map(), send: (message) => void sent.push(message), addressOf: address, clock: systemClock, report: () => {} });
  t.teardown(() => asker.stop());
  const answer = asker.request(B, 'x', []);
  const { id } = sent[0] as SliceMessage;
  const stranger = randomId<PeerId>();
  asker.receive(stranger, { kind: 'refusal', id, code: 'NOT_FOUND', message: '' }, address(stranger));
  asker.receive(stranger, slice({ id, count: 1, bytes: Buffer.from('false') }), address(stranger));
  asker.receive(B, slice({ id, count: 1, bytes: Buffer.from('true') }), address(B));
  t.equal(Buffer.from(await answer).toString(), 'true');
});

t.test('an answer that was forgotten is made anew, and an asker in the middle of it is told', async (t) => {
  let made = 0;
  const { answerer } = pair(new Map<string, Handler>([['x', async () => ({ kind: 'bytes', bytes: Buffer.alloc(2 * SLICE_BYTES, ++made) })]]));
  const fetch = (id: number): void => answerer.receive(A, { kind: 'fetch', id, serial: 0, method: 'x', params: [], slices: [0] }, address(A));
  fetch(1);
  fetch(1);
  await new Promise((resolve) => setImmediate(resolve));
  fetch(1);
  t.equal(made, 1);
  for (let id = 2; id <= ANSWERS_KEPT_MAX + 1; id++) fetch(id);
  fetch(1);
  t.equal(made, ANSWERS_KEPT_MAX + 2);
});

// --- two ways

/** A connection of which a test says what comes over it. */
class FakeConnection {
  bytesIn = 0;
  rttMs = 1;
  asked = 0;
  closed: PeerError | undefined;
  readonly purpose: 'bulk' | 'control' = 'bulk';
  /** Does its other end answer a probe? */
  lives = false;
  probes = 0;
  answer: (signal: AbortSignal) => Promise<Uint8Array> = () => new Promise(() => {});

  probe(): void {
    this.probes += 1;
    if (this.lives) setImmediate(() => (this.bytesIn += 9));
  }

  requestBytes(_method: string, _params: unknown, { signal }: { signal: AbortSignal }): Promise<Uint8Array> {
    this.asked += 1;
    return this.answer(signal);
  }

  close(reason: PeerError): void {
    this.closed = reason;
  }
}

function twoWays(options: { readonly loss?: number; readonly connected?: boolean; readonly lives?: boolean } = {}) {
  const { loss = 0, connected = true, lives = true } = options;
  const connection = new FakeConnection();
  let byDatagrams = 0;
  const { asker } = pair(
    new Map<string, Handler>([['chunk', () => {
      byDatagrams += 1;
      return { kind: 'bytes', bytes: Buffer.from('by datagrams') };
    }]]),
    { loss },
  );
  let now = 0;
  const line = { connected, looks: 0 };
  const link = (): Connection | undefined => {
    line.looks += 1;
    return line.connected ? (connection as unknown as Connection) : undefined;
  };
  const paths = new Paths({ slices: asker, bulkTo: link, controlTo: link, lives: () => lives, now: () => now });
  const ask = async (timeoutMs = 3_000): Promise<string> => {
    const chunk = await paths.chunkLink(B)?.requestBytes('chunk', [], { timeoutMs });
    return chunk ? Buffer.from(chunk).toString() : 'nobody';
  };
  return { paths, connection, line, ask, datagrams: () => byDatagrams, pass: (ms: number) => void (now += ms) };
}

t.test('as long as anything comes over the stream, datagrams are not used', async (t) => {
  const { connection, ask, datagrams } = twoWays();
  connection.answer = async () => {
    for (let i = 0; i < 10; i++) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      connection.bytesIn += 100;
    }
    return Buffer.from('by stream');
  };
  t.equal(await ask(), 'by stream', 'slowly');
  t.equal(datagrams(), 0);
});

t.test('a stream whose other end lives is waited for, when what was asked only waits for its turn', async (t) => {
  const { connection, ask, datagrams } = twoWays();
  connection.lives = true;
  connection.answer = async () => {
    await new Promise((resolve) => setTimeout(resolve, 900));
    return Buffer.from('by stream');
  };
  t.equal(await ask(), 'by stream');
  t.equal(datagrams(), 0);
  t.ok(connection.probes >= 2, `${connection.probes} probes`);
});

t.test('a stream that stands still is helped by datagrams, which then go first for five seconds', async (t) => {
  const { connection, ask, pass } = twoWays();
  let calledOff = 0;
  connection.answer = (signal) => new Promise(() => signal.addEventListener('abort', () => (calledOff += 1)));
  t.equal(await ask(), 'by datagrams');
  t.same([connection.asked, calledOff], [1, 1], 'the stream was asked first, and is called off');
  pass(4_999);
  t.equal(await ask(), 'by datagrams');
  t.equal(connection.asked, 1, 'not asked');
  pass(2);
  connection.answer = async () => Buffer.from('by stream');
  t.equal(await ask(), 'by stream');
});

t.test('datagrams go first for twice as long each time, up to a minute, as long as the stream stands still, and for five seconds again once it has answered', async (t) => {
  const { connection, ask, pass } = twoWays();
  const standsStill = connection.answer;
  const goFirstFor = async (ms: number): Promise<void> => {
    const { asked } = connection;
    t.equal(await ask(), 'by datagrams');
    pass(ms - 1);
    t.equal(await ask(), 'by datagrams');
    t.equal(connection.asked, asked + 1, `for ${ms} ms`);
    pass(1);
  };
  for (const seconds of [5, 10, 20, 40, 60, 60]) await goFirstFor(1_000 * seconds);
  connection.answer = async () => Buffer.from('by stream');
  t.equal(await ask(), 'by stream');
  connection.answer = standsStill;
  await goFirstFor(5_000);
  await goFirstFor(10_000);
});

t.test('a bulk connection that goes on standing still is closed, one over which something came is not', async (t) => {
  const { connection, ask, pass } = twoWays();
  await ask();
  connection.bytesIn += 1;
  pass(2_500);
  await ask();
  t.equal(connection.closed, undefined);
  pass(5_000);
  await ask(); // stands still again
  pass(2_500);
  await ask();
  t.match(connection.closed, { code: 'TIMED_OUT' });
});

t.test('a lost connection is no answer, a refusal is', async (t) => {
  const { connection, ask, datagrams } = twoWays();
  connection.answer = () => Promise.reject(new PeerError('CONNECTION_LOST', 'broke'));
  t.equal(await ask(), 'by datagrams');
  connection.answer = () => Promise.reject(new PeerError('NOT_FOUND', 'not here'));
  await t.rejects(ask(), { code: 'NOT_FOUND' });
  t.equal(datagrams(), 1);
});

t.test('where no datagram passes the stream is asked in the end, and one failure is the answer when both fail', async (t) => {
  const { connection, ask } = twoWays({ loss: 1 });
  connection.answer = (signal) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(Buffer.from('late')), 600);
      signal.addEventListener('abort', () => (clearTimeout(timer), reject(new PeerError('CANCELLED', 'called off'))));
    });
  t.equal(await ask(), 'late');
  t.equal(await ask(), 'late', 'datagrams went first and were silent');
  connection.answer = () => Promise.reject(new PeerError('CONNECTION_LOST', 'broke'));
  await t.rejects(ask(100), { code: 'CONNECTION_LOST' }, 'that of the last way');
});

t.test('a member that lives is asked without a connection; who neither lives nor is connected is no provider', async (t) => {
  t.equal(await twoWays({ connected: false }).ask(), 'by datagrams');
  t.equal(await twoWays({ connected: false, lives: false }).ask(), 'nobody');
});

t.test('a connection that is made while datagrams are in vain is used', async (t) => {
  const { paths, connection, line, ask } = twoWays({ connected: false, loss: 1 });
  connection.answer = async () => Buffer.from('by stream');
  const asking = ask();
  const { looks } = line;
  while (line.looks === looks) await new Promise((resolve) => setTimeout(resolve, 10));
  line.connected = true;
  paths.opened();
  await new Promise(setImmediate);
  t.equal(connection.asked, 1, 'at once');
  t.equal(await asking, 'by stream');
  paths.opened();
  t.equal(connection.asked, 1);
});

t.test('a sync goes by datagrams where the stream stands still', async (t) => {
  const { paths, connection } = twoWays();
  const work = async (link: { readonly requestStream: unknown }): Promise<string> => (link === (connection as unknown) ? new Promise(() => {}) : 'by datagrams');
  t.equal(await paths.sync(B, work), 'by datagrams');
});

t.test('a sync with a peer that says nothing at all ends, so that another can be asked', async (t) => {
  const { paths } = twoWays({ loss: 1 });
  await t.rejects(paths.sync(B, () => new Promise(() => {})), { code: 'TIMED_OUT' });
});
