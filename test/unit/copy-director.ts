// The holder of the role `music` with machines that are made up: whom it asks for what, and by which token.
import t, { type Test } from 'tap';
import { PeerError } from '../../lib/errors.ts';
import { idToBytes, type PayloadId, type PeerId, randomId, type SongId } from '../../lib/ids.ts';
import type { FencingToken } from '../../lib/roles.ts';
import { systemClock } from '../../lib/time.ts';
import { Director } from '../../peer/copies/director.ts';
import { COPIES_QUEUED_MAX, PLACED_SONGS_MAX, TERM_MAX } from '../../lib/limits.ts';
import { encodeMessage } from '../../lib/messages.ts';
import { PAYLOAD_BYTES_MAX } from '../../lib/seal.ts';
import { COPY_METHOD, copyParams, type CopyRequest, decodeRoom, encodeRefused, encodeRoom, parseCopyParams, type Refused, type Room, ROOM_METHOD } from '../../peer/copies/messages.ts';
import { SOON_MS as ROUND_MS } from '../../peer/copies/rounds.ts';
import { service } from '../../peer/services/music.ts';
import { mergeSong, type Song } from '../../storage/song-view.ts';
import { describeFile } from '../fixtures/description.ts';
import { until } from '../lab/until.ts';

const [SELF, ANN, BEN, CAT] = ['0', 'a', 'b', 'c'].map((digit) => digit.repeat(32)) as [PeerId, PeerId, PeerId, PeerId];
const SOON_MS = 10_000;
const MB = 1_000_000;

// each of them waits for its rounds, and none for another
t.jobs = 8;

interface Machine {
  room: Room;
  /** What it was asked to fetch. */
  readonly asked: CopyRequest[];
  refuses: boolean;
  /** So many times it does not answer, or has not heard of the songs yet. */
  fails: number;
  forgets: number;
  speaksOf: boolean;
  /** It never says what room it has. */
  deaf: boolean;
}

interface World {
  readonly machines: Map<PeerId, Machine>;
  readonly songs: Map<SongId, Song>;
  readonly director: Director;
  readonly leaving: Set<PeerId>;
  readonly plays: Map<SongId, number>;
  /** Gone for less than the grace. */
  readonly away: Set<PeerId>;
  token: FencingToken | undefined;
  wanted: number;
  rounds: number;
  /** A song that these machines have files of. */
  song(...owners: readonly PeerId[]): Song;
  large(bytes: number, ...owners: readonly PeerId[]): Song;
  /** Songs that a machine was asked for, in order. */
  given(peer: PeerId): SongId[];
}

/** As a machine says it that nobody leaves. */
const roomOf = (some: Partial<Room> = {}): Room => ({ roomBytes: 100 * MB, uptimeMs: 60_000, payloads: [], busy: false, slots: COPIES_QUEUED_MAX, scanning: false, log: undefined, missing: false, ...some });

const machine = (roomBytes: number = 100 * MB): Machine => ({ room: roomOf({ roomBytes }), asked: [], refuses: false, fails: 0, forgets: 0, speaksOf: true, deaf: false });

function world(t: Test, others: readonly PeerId[] = [ANN, BEN, CAT]): World {
  const machines = new Map([SELF, ...others].map((peer) => [peer, machine()]));
  const take = (peer: PeerId, request: CopyRequest): Refused => {
    const it = machines.get(peer) as Machine;
    it.asked.push(request);
    if (it.fails-- > 0) throw new PeerError('TIMED_OUT', 'nothing was heard');
    const places = request.songs.map((_, place) => place);
    if (it.forgets-- > 0) return { unknown: places, refused: [] };
    if (it.refuses) return { unknown: [], refused: places };
    const payloads = request.songs.map(({ song }) => (songs.get(song) as Song).files[0].description.payload);
    it.room = { ...it.room, payloads: [...it.room.payloads, ...payloads] };
    return { unknown: [], refused: [] };
  };
  const songs = new Map<SongId, Song>();
  const director = new Director({
    self: SELF,
    clock: systemClock,
    catalog: {
      settled: async () => undefined,
      async *walk() {
        it.rounds += 1;
        yield [...songs.values()];
      },
    },
    machines: {
      counts: (peer) => !it.leaving.has(peer) && (machines.has(peer) || it.away.has(peer)),
      leaves: (peer) => it.leaving.has(peer),
      lives: (peer) => machines.has(peer),
    },
    living: () => others.filter((peer) => machines.has(peer)),
    wanted: () => it.wanted,
    plays: () => it.plays,
    room: () => (machines.get(SELF) as Machine).room,
    copy: async (request) => take(SELF, request),
    ask: async (peer, method, params) => {
      const asked = machines.get(peer) as Machine;
      if (!asked.speaksOf) throw new PeerError('UNSUPPORTED', `there is no method ${method}`);
      if (asked.deaf) throw new PeerError('TIMED_OUT', 'nothing was heard');
      if (method === ROOM_METHOD) return encodeRoom(asked.room);
      t.equal(method, COPY_METHOD);
      return encodeRefused(take(peer, parseCopyParams(params)));
    },
    place: async (params) => service.handle('place', params),
    token: () => it.token,
    trouble: (error) => t.fail(String(error)),
  });
  const it: World = {
    machines,
    songs,
    director,
    leaving: new Set(),
    plays: new Map(),
    away: new Set(),
    token: { term: 3, coordinator: ANN, number: 7 },
    wanted: 2,
    rounds: 0,
    song: (...owners) => it.large(100, ...owners),
    large(bytes, ...owners) {
      const description = { ...describeFile(), payloadBytes: bytes - 20 };
      const song = mergeSong(description.song, owners.map((origin) => ({ origin, description })), { self: SELF, copies: new Map() }) as Song;
      songs.set(song.id, song);
      return song;
    },
    given: (peer) => (machines.get(peer) as Machine).asked.flatMap((request) => request.songs.map(({ song }) => song)),
  };
  t.teardown(() => director.stop());
  return it;
}

const look = async (it: World): Promise<void> => {
  const { rounds } = it;
  it.director.held();
  it.director.changed();
  await until('songs were looked at', SOON_MS, () => it.rounds, (now) => now > rounds);
  // what a round asks for it asks for at once
  await new Promise((resolve) => setTimeout(resolve, 50));
};

const allGiven = (it: World): SongId[] => [...it.machines.keys()].flatMap((peer) => it.given(peer));

t.test('what one machine has is given to one other, by the token of the role, and what two have to nobody', { buffered: true }, async (t) => {
  const it = world(t);
  const [lone, safe, gone] = [it.song(ANN), it.song(BEN, CAT), it.song(randomId<PeerId>())];
  await look(it);
  t.same(allGiven(it), [lone.id]);
  t.same(it.given(ANN), [], 'not to whom it is from');
  const [request] = [...it.machines.values()].flatMap(({ asked }) => asked);
  t.same(request?.token, it.token);
  t.equal(request?.songs[0]?.file, lone.files[0].description.file);
  t.ok(safe && gone, 'what nobody has who is here cannot be copied');
});

t.test('what is under way already is not asked for again, by the next holder neither', { buffered: true }, async (t) => {
  const it = world(t);
  it.song(ANN);
  await look(it);
  t.equal(allGiven(it).length, 1);
  const next = world(t);
  for (const [peer, { room }] of it.machines) (next.machines.get(peer) as Machine).room = room;
  for (const [id, song] of it.songs) next.songs.set(id, song);
  await look(next);
  t.same(allGiven(next), []);
});

t.test('a machine that is gone for a moment still counts, and one that leaves does not; what it alone has goes first', { buffered: true }, async (t) => {
  const it = world(t, [ANN, BEN]);
  const away = randomId<PeerId>();
  it.away.add(away);
  const [restarts, played, last] = [it.song(ANN, away), it.song(ANN), it.song(BEN)];
  it.plays.set(played.id, 100);
  it.leaving.add(BEN);
  await look(it);
  t.notOk(allGiven(it).includes(restarts.id));
  t.same(it.given(SELF), [last.id, played.id], 'in this order');
  t.same(it.given(BEN), [], 'and nothing to whoever leaves');
});

t.test('a machine without room, of an older version, or that refused is passed over for another', { buffered: true }, async (t) => {
  const it = world(t);
  (it.machines.get(SELF) as Machine).room = roomOf({ roomBytes: 10 });
  (it.machines.get(BEN) as Machine).speaksOf = false;
  (it.machines.get(CAT) as Machine).refuses = true;
  const song = it.song(ANN);
  await look(it);
  t.same(it.given(CAT), [song.id]);
  (it.machines.get(SELF) as Machine).room = roomOf({ roomBytes: 100 * MB });
  await look(it);
  t.same([it.given(CAT), it.given(SELF), it.given(BEN)], [[song.id], [song.id], []]);
});

t.test('songs that nobody has room for keep no others waiting, and what leaves waits for no place in a queue', { buffered: true }, async (t) => {
  const it = world(t, [ANN, BEN]);
  (it.machines.get(SELF) as Machine).room = roomOf({ roomBytes: 90 * MB });
  (it.machines.get(BEN) as Machine).room = roomOf({ roomBytes: 0 });
  for (let i = 0; i < PLACED_SONGS_MAX + 100; i++) it.plays.set(it.large(100 * MB, ANN).id, 100);
  const small = it.song(ANN);
  await look(it);
  t.same(allGiven(it), [small.id]);
  const full = world(t, [ANN]);
  (full.machines.get(SELF) as Machine).room = roomOf({ roomBytes: 90 * MB, slots: 0 });
  const [, last] = [full.song(CAT), full.song(ANN)];
  full.leaving.add(ANN);
  await look(full);
  t.same(allGiven(full), [last.id]);
});

t.test('a machine that does not answer is no reason to look on and on, where nothing lacks', { buffered: true }, async (t) => {
  const it = world(t, [ANN]);
  it.song(SELF, ANN);
  (it.machines.get(ANN) as Machine).deaf = true;
  await look(it);
  const { rounds } = it;
  await new Promise((resolve) => setTimeout(resolve, ROUND_MS + 500));
  t.equal(it.rounds, rounds);
});

t.test('who did not answer, or had not heard of a song yet, is asked again soon', { buffered: true }, async (t) => {
  const askAgain = async (what: 'fails' | 'forgets'): Promise<void> => {
    const it = world(t, [ANN]);
    it.song(SELF);
    (it.machines.get(ANN) as Machine)[what] = 1;
    await look(it);
    await until('it is asked again', SOON_MS, () => it.given(ANN).length, (times) => times === 2);
    t.equal((it.machines.get(ANN) as Machine).room.payloads.length, 1, what);
  };
  await Promise.all([askAgain('fails'), askAgain('forgets')]);
});

t.test('as many machines fetch a song as are wanted, and for one none does', { buffered: true }, async (t) => {
  const it = world(t);
  it.wanted = 3;
  const song = it.song(ANN);
  await look(it);
  t.same(allGiven(it), [song.id, song.id]);
  const none = world(t);
  none.wanted = 1;
  none.song(ANN);
  await look(none);
  t.same(allGiven(none), []);
  none.leaving.add(ANN);
  await look(none);
  t.equal(allGiven(none).length, 1, 'but what leaves is fetched once');
});

t.test('many songs are asked for in questions that fit a datagram', { buffered: true }, async (t) => {
  const it = world(t, [ANN]);
  const songs = Array.from({ length: 60 }, () => it.song(SELF));
  await look(it);
  t.equal(it.given(ANN).length, songs.length);
  for (const request of (it.machines.get(ANN) as Machine).asked) {
    const params = copyParams({ ...request, token: { term: TERM_MAX, coordinator: ANN, number: 2 ** 31 } });
    t.ok(encodeMessage({ kind: 'fetch', id: 2 ** 32 - 1, serial: 255, method: COPY_METHOD, params, slices: [228] }).byteLength <= PAYLOAD_BYTES_MAX);
  }
});

t.test('without the role nobody is asked for anything', { buffered: true }, async (t) => {
  const it = world(t);
  it.song(ANN);
  it.token = undefined;
  it.director.held();
  await new Promise((resolve) => setTimeout(resolve, 700));
  t.equal(it.rounds, 0);
  it.director.dropped();
  it.token = { term: 3, coordinator: ANN, number: 8 };
  it.director.changed();
  await new Promise((resolve) => setTimeout(resolve, 1_700));
  t.equal(it.rounds, 0);
});

t.test('the service refuses what is no page of songs', { buffered: true }, async (t) => {
  for (const params of [null, [], [2, [[1, 2]], []], [2, [], [[1, 2, 3]]], ['2', [], []]]) t.throws(() => service.handle('place', params), { code: 'BAD_MESSAGE' });
  t.throws(() => service.handle('move', null), { code: 'UNSUPPORTED' });
  t.same(service.handle('place', [2, [[100, 1, 1]], [[50, 0, 1, false, []]]]), [[0, 0]]);
});

t.test('what machines say to each other about copies is what the other reads, and nothing else is read', { buffered: true }, async (t) => {
  const token = { term: 5, coordinator: BEN, number: 9 };
  t.throws(() => parseCopyParams([5, idToBytes(BEN), 9]), { code: 'BAD_MESSAGE' });
  t.throws(() => parseCopyParams([5, idToBytes(BEN), 9, [[new Uint8Array(3), new Uint8Array(16)]]]), { code: 'BAD_MESSAGE' });
  t.same(parseCopyParams([5, idToBytes(BEN), 9, [], 'newer']), { token, songs: [] });
  const payloads = Array.from({ length: 2_000 }, () => randomId<PayloadId>());
  const [, , told] = encodeRoom(roomOf({ uptimeMs: 1.5, payloads })) as [number, number, unknown[]];
  t.equal(told.length, 1_024);
  const log = new Uint8Array(16).fill(7);
  for (const room of [roomOf(), roomOf({ busy: true, slots: 3, scanning: true, log, missing: true }), roomOf({ missing: undefined })]) t.same(decodeRoom(encodeRoom(room)), room);
  const waiting = payloads.slice(0, 3);
  t.same(
    decodeRoom([1, 1, waiting.map(idToBytes)]),
    { roomBytes: 1, uptimeMs: 1, payloads: waiting, busy: false, slots: COPIES_QUEUED_MAX - 3, scanning: undefined, log: undefined, missing: undefined },
    'what versions of before do not say is as they mean it',
  );
  for (const wrong of [[1, 1, [], false, -1], [1, 1, [], false, 1, true, new Uint8Array(15)]]) t.throws(() => decodeRoom(wrong), { code: 'BAD_FRAME' });
});
