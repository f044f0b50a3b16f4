// The event log on real databases, its rules for `settled` in small worlds, and what it says of an event.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { encode } from '../../lib/codec.ts';
import { sha256 } from '../../lib/content.ts';
import {
  COORDINATION_SLOTS,
  decodeElection,
  decodeHandover,
  type ElectionRecord,
  electionKey,
  encodeElection,
  encodeHandover,
  type HandoverRecord,
  handoverKey,
  parseElectionKey,
  parseHandoverKey,
  slotOf,
} from '../../lib/coordination-events.ts';
import { type EpochId, idToBytes, type PeerId, randomId, type SongId } from '../../lib/ids.ts';
import { isEvent, isUserData } from '../../lib/kinds.ts';
import { LAMPORT_LEAP_MAX, LAMPORT_MAX } from '../../lib/lamport.ts';
import { TERM_MAX } from '../../lib/limits.ts';
import { encodeRating, encodeStar, starKey } from '../../lib/marks.ts';
import { compareStamps, type Operation, type Stamp } from '../../lib/operation.ts';
import { encodePlay } from '../../lib/play.ts';
import { encodeSession } from '../../lib/playback-session.ts';
import { encodeItem, encodePlaylist } from '../../lib/playlist.ts';
import { type Position, positionsBetween } from '../../lib/position.ts';
import { encodeProfile, profileNamed } from '../../lib/profile.ts';
import { integerBetween, seededRandom } from '../../lib/random.ts';
import { stampFromText, stampToText } from '../../lib/stamp-text.ts';
import { describeEvent } from '../../peer/describe-event.ts';
import { Replica } from '../../peer/replication/replica.ts';
import { Settled, type SettledBeat } from '../../peer/replication/settled.ts';
import { pullAll, replicaOptions } from '../fixtures/replica.ts';
import { openDatabase } from '../../storage/database.ts';
import { OperationStore } from '../../storage/operation-store.ts';

const ALL = 1_000_000;
const VALUE = new Uint8Array(1);

interface Disk {
  readonly self: PeerId;
  replica: Replica;
  store: OperationStore;
  restart(): Promise<void>;
}

async function peer(t: Test): Promise<Disk> {
  const self = randomId<PeerId>();
  const folder = await mkdtemp(join(tmpdir(), 'events-'));
  let database = await openDatabase(folder);
  const open = async (): Promise<void> => {
    disk.store = new OperationStore(database, 'home');
    disk.replica = await Replica.open(replicaOptions(self, disk.store));
  };
  const disk = {
    self,
    async restart() {
      await disk.replica.close();
      await database.close();
      database = await openDatabase(folder);
      await open();
    },
  } as Disk;
  await open();
  t.teardown(async () => {
    await disk.replica.close();
    await database.close();
    await rm(folder, { recursive: true });
  });
  return disk;
}

const write = (disk: Disk, ...keys: string[]): Promise<readonly Operation[]> => disk.replica.write(keys.map((key) => ({ key, value: VALUE })));

/** What the log has to be: the winners that people made, by stamp. */
async function winners({ store }: Disk): Promise<Operation[]> {
  const all: Operation[] = [];
  for await (const some of store.registers('')) all.push(...some.filter(({ key }) => isEvent(key)));
  return all.sort(compareStamps);
}

const rowsOf = async ({ store }: Disk): Promise<[string, string][]> =>
  (await store.eventLog.rows.iterator().all()).map(([row, key]) => [row, Buffer.from(key).toString()]);

const keysOf = (events: readonly Operation[]): string[] => events.map(({ key }) => key);

t.test('texts of stamps sort as stamps do, and lead back to them', async (t) => {
  const stamp = fc.record({
    lamport: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.maxSafeNat().map((n) => (n % (LAMPORT_MAX - 1)) + 1)),
    origin: fc.constantFrom('0a'.repeat(16) as PeerId, 'f0'.repeat(16) as PeerId),
    epoch: fc.constantFrom('00'.repeat(8) as EpochId, 'ff'.repeat(8) as EpochId),
    seq: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.maxSafeNat()),
  });
  fc.assert(
    fc.property(stamp, stamp, (a, b) => {
      const [one, two] = [stampToText(a), stampToText(b)];
      t.same(stampFromText(one), a);
      return Math.sign(compareStamps(a, b)) === (one < two ? -1 : one > two ? 1 : 0);
    }),
    { numRuns: 500 },
  );
  for (const text of ['', 'x', '0'.repeat(70), 'z'.repeat(11) + '0'.repeat(59), `${'0'.repeat(10)}1${'g'.repeat(48)}${'0'.repeat(11)}`]) {
    t.throws(() => stampFromText(text), { code: 'BAD_USAGE' }, text);
  }
});

t.test('whatever was written where, and by whichever way it came, all peers have one log, and it is that of the winners', async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  t.comment(`seed ${seed} (SEED=${seed} replays it)`);
  const keys = ['star/anna/song/1', 'star/ben/song/1', 'play/anna/1/a', 'holding/1/2', 'copy/1', 'here', 'forget/1', 'unknown', 'stars-of-a-newer-version/1'];
  const action = fc.oneof(
    fc.record({ kind: fc.constant('write' as const), who: fc.nat(2), keys: fc.array(fc.constantFrom(...keys), { minLength: 1, maxLength: 3 }), deleted: fc.boolean() }),
    fc.record({ kind: fc.constant('pull' as const), who: fc.nat(2), from: fc.nat(2) }),
    fc.record({ kind: fc.constant('restart' as const), who: fc.nat(2) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 12, maxLength: 25 }), async (actions) => {
      await t.test('a history', async (t) => {
        const peers = [await peer(t), await peer(t), await peer(t)] as const;
        for (const one of actions) {
          const who = peers[one.who] as Disk;
          if (one.kind === 'write') await who.replica.write(one.keys.map((key) => ({ key, value: one.deleted ? null : VALUE })));
          else if (one.kind === 'pull') await pullAll(who.replica, (peers[one.from] as Disk).replica);
          else await who.restart();
          t.same(await who.store.eventLog.after(null, ALL), await winners(who));
        }
        for (let round = 0; round < 2; round++) for (const to of peers) for (const from of peers) if (to !== from) await pullAll(to.replica, from.replica);
        const [log, ...others] = await Promise.all(peers.map(({ store }) => store.eventLog.after(null, ALL)));
        for (const other of others) t.same(other, log);
        // the index that grew is the one that a rebuild makes
        const grown = await rowsOf(peers[0]);
        await peers[0].store.eventLog.rebuild();
        t.same(await rowsOf(peers[0]), grown);
      });
    }),
    { numRuns: 12, seed },
  );
});

t.test('a log is read in pages from any event on, or from its end', async (t) => {
  const a = await peer(t);
  await write(a, ...Array.from({ length: 1_300 }, (_, i) => `play/anna/song/${i}`), 'holding/1/2');
  const all = await a.store.eventLog.after(null, ALL);
  t.equal(all.length, 1_300);
  const paged: Operation[] = [];
  for (let page = await a.store.eventLog.after(null, 333); page.length > 0; page = await a.store.eventLog.after(paged.at(-1) as Stamp, 333)) paged.push(...page);
  t.same(paged, all);
  t.same(await a.store.eventLog.last(700), all.slice(-700));
  t.same(await a.store.eventLog.last(5_000), all);
  t.same(await a.store.eventLog.after(all.at(-1) as Stamp, 10), []);
});

t.test('what is superseded is gone from the log, and a deletion is an event', async (t) => {
  const a = await peer(t);
  await write(a, 'star/anna/song/1', 'star/anna/song/2');
  await a.replica.write([{ key: 'star/anna/song/1', value: null }]);
  const log = await a.store.eventLog.after(null, ALL);
  t.same(keysOf(log), ['star/anna/song/2', 'star/anna/song/1']);
  t.equal(log[1]?.value, null);
  t.equal((await rowsOf(a)).length, 3, 'two rows and the mark');
});

t.test('a database without the index, or with half of one, has the whole log after its next start', async (t) => {
  const [a, b] = [await peer(t), await peer(t)];
  await write(a, 'star/anna/song/1', 'holding/1/2', 'star', 'star-of-david/1', 'forget/1', 'here', 'hold/1');
  await write(b, 'star/anna/song/1', 'copy/1');
  await pullAll(a.replica, b.replica);
  const log = await a.store.eventLog.after(null, ALL);
  t.equal(log.length, 6);
  const rows = await rowsOf(a);
  await a.store.eventLog.rows.clear();
  await a.restart();
  t.same(await rowsOf(a), rows);
  // a rebuild that ended in the middle, over rows of a state long gone
  await a.store.eventLog.rows.clear();
  await a.store.eventLog.rows.put(stampToText({ ...(log[0] as Operation), lamport: 9_999 }), Buffer.from('star/anna/song/1'));
  await a.restart();
  t.same(await rowsOf(a), rows);
});

t.test('where all is dropped for another network, so is the log, and the next one begins', async (t) => {
  const a = await peer(t);
  await write(a, 'forget/1', 'star/anna/song/1');
  await a.store.commit({ puts: [], superseded: [], heads: [], digest: new Uint8Array(32), lamport: 2, drop: true });
  t.same(await a.store.eventLog.after(null, ALL), []);
  await write(a, 'star/ben/song/1');
  t.same(keysOf(await a.store.eventLog.after(null, ALL)), ['star/ben/song/1']);
  t.equal((await rowsOf(a)).length, 2, 'a row and the mark, and nothing of the old log');
  await a.restart();
  t.same(keysOf(await a.store.eventLog.after(null, ALL)), ['star/ben/song/1']);
});

// --- settled

const [ANNA, BEN] = ['bb', 'cc'].map((byte) => byte.repeat(16)) as [PeerId, PeerId];
const EPOCH = '00'.repeat(8) as EpochId;
const [HERE, ELSEWHERE] = [Buffer.alloc(8, 1), Buffer.alloc(8, 2)];

function look(): { readonly settled: Settled; readonly world: { head: number; time: number; root: Buffer } } {
  const world = { head: 0, time: 100, root: HERE };
  return { settled: new Settled({ head: () => world.head, root: () => world.root, time: () => world.time }), world };
}

const beat = (lamport: number, seq = 0, root = HERE): SettledBeat => ({ lamport, head: seq === 0 ? null : { epoch: EPOCH, seq }, root });

t.test('alone, everything up to the own time is settled', async (t) => {
  t.equal(look().settled.time, 100);
});

t.test('a member that has come has passed nothing until it beats, and one that is gone holds nothing up', async (t) => {
  const { settled } = look();
  settled.came(ANNA);
  t.equal(settled.time, 0);
  settled.beat(ANNA, beat(70));
  t.equal(settled.time, 70);
  settled.came(BEN);
  t.equal(settled.time, 0, 'the time goes back when somebody comes');
  settled.beat(BEN, beat(80));
  t.equal(settled.time, 70, 'the slowest counts');
  settled.gone(ANNA);
  t.equal(settled.time, 80);
  settled.came(BEN);
  t.equal(settled.time, 0, 'who restarts begins anew');
  settled.beat(BEN, beat(85));
  t.equal(settled.time, 85);
  settled.dropped();
  t.equal(settled.time, 0, 'when all that was held is dropped, everybody begins anew');
  settled.gone(BEN);
  settled.beat(BEN, beat(90, 0, ELSEWHERE));
  t.equal(settled.time, 0, 'who beats is here');
});

t.test('a beat counts when the end of the log that it names is here', async (t) => {
  const { settled, world } = look();
  settled.came(ANNA);
  settled.beat(ANNA, beat(50));
  settled.beat(ANNA, beat(60, 5));
  t.equal(settled.time, 50);
  world.head = 4;
  settled.moved();
  t.equal(settled.time, 50);
  world.head = 5;
  settled.moved();
  t.equal(settled.time, 60);
  settled.beat(ANNA, beat(40, 1));
  t.equal(settled.time, 60, 'an older beat takes nothing back');
});

t.test('a log that grows faster than it comes still passes', async (t) => {
  const { settled, world } = look();
  settled.came(ANNA);
  for (let seq = 1; seq <= 30; seq++) {
    settled.beat(ANNA, beat(seq, seq));
    world.head = seq - 2;
    settled.moved();
  }
  t.ok(settled.time >= 15, `${settled.time} of 30`);
});

t.test('what a member held before it came is waited for: its whole state was equal once, or was pulled', async (t) => {
  const { settled, world } = look();
  settled.came(ANNA);
  settled.beat(ANNA, beat(90, 0, ELSEWHERE));
  t.equal(settled.time, 0);
  world.root = ELSEWHERE;
  settled.moved();
  t.equal(settled.time, 90);
  settled.came(BEN);
  settled.beat(BEN, beat(95, 0, HERE));
  t.equal(settled.time, 0);
  settled.pulling(BEN)();
  t.equal(settled.time, 90);
  const pulled = settled.pulling(BEN);
  settled.came(BEN);
  settled.beat(BEN, beat(95, 0, HERE));
  pulled();
  t.equal(settled.time, 0, 'a pull from its last start says nothing of this one');
});

t.test('a time that leaps settles nothing, of a beat or of an event', async (t) => {
  const { settled, world } = look();
  settled.came(ANNA);
  settled.beat(ANNA, beat(50));
  settled.beat(ANNA, beat(100 + LAMPORT_LEAP_MAX + 1));
  t.equal(settled.time, 50);
  settled.beat(ANNA, beat(LAMPORT_MAX - 1));
  t.equal(settled.time, 50);
  settled.beat(ANNA, beat(100 + LAMPORT_LEAP_MAX));
  t.equal(settled.time, world.time, 'and never more than the own time');
});

/** Peers that write, say so in the order of their logs, beat, and pull, all delayed and lost at random; a write takes its time
 *  before it is on the disk. Nothing may arrive that belongs before what was settled. */
function wrongIn(seed: number): string | undefined {
  const random = seededRandom(seed);
  const draw = (below: number): number => integerBetween(random, 0, below - 1);
  const count = 3;
  interface Model {
    readonly id: PeerId;
    clock: number;
    /** Lamport times of its log, by seq; the last ones may be on their way to the disk. */
    log: number[];
    committed: number;
    before: number | undefined;
    readonly heads: Map<PeerId, number>;
    readonly settled: Settled;
    /** The greatest time that was ever said to be settled. */
    said: number;
  }
  const peers: Model[] = Array.from({ length: count }, (_, i) => {
    const id = String(i).repeat(32) as PeerId;
    const heads = new Map<PeerId, number>();
    const model: Model = {
      id,
      clock: 0,
      log: [],
      committed: 0,
      before: undefined,
      heads,
      said: 0,
      settled: new Settled({ head: (origin) => heads.get(origin) ?? 0, root: () => rootOf(model), time: () => model.before ?? model.clock }),
    };
    return model;
  });
  const rootOf = ({ heads }: Model): Buffer => sha256(Buffer.from(JSON.stringify(peers.map(({ id }) => heads.get(id) ?? 0)))).subarray(0, 8);
  for (const one of peers) for (const other of peers) if (one !== other) one.settled.came(other.id);
  const flying: (() => string | undefined)[] = [];
  const take = (to: Model, from: Model, seq: number): string | undefined => {
    if (seq !== (to.heads.get(from.id) ?? 0) + 1) return undefined;
    const lamport = from.log[seq - 1] as number;
    to.heads.set(from.id, seq);
    to.clock = Math.max(to.clock, lamport) + 1;
    to.settled.moved();
    return lamport <= to.said ? `${from.id[0]}:${seq} of ${lamport} came to ${to.id[0]} when ${to.said} was settled` : undefined;
  };
  for (let i = 0; i < 400; i++) {
    const one = peers[draw(count)] as Model;
    const other = peers.filter((model) => model !== one)[draw(count - 1)] as Model;
    let wrong: string | undefined;
    switch (draw(6)) {
      case 0: // a batch is on its way to the disk
        if (one.before !== undefined) break;
        one.before = one.clock;
        for (let n = draw(3); n >= 0; n--) one.log.push((one.clock += 1));
        break;
      case 1: {
        if (one.before === undefined) break;
        one.before = undefined;
        const first = one.committed + 1;
        one.committed = one.log.length;
        one.heads.set(one.id, one.committed);
        one.settled.moved();
        for (const to of peers) if (to !== one) for (let seq = first; seq <= one.committed; seq++) if (draw(3) > 0) flying.push(() => take(to, one, seq));
        break;
      }
      case 2: {
        const said: SettledBeat = { lamport: one.before ?? one.clock, head: one.committed > 0 ? { epoch: EPOCH, seq: one.committed } : null, root: rootOf(one) };
        for (const to of peers) {
          if (to === one || draw(4) === 0) continue;
          flying.push(() => {
            to.clock = Math.max(to.clock, said.lamport);
            to.settled.beat(one.id, said);
            return undefined;
          });
        }
        break;
      }
      case 3: // a pull of everything
        for (const from of peers) for (let seq = (one.heads.get(from.id) ?? 0) + 1; from !== one && seq <= (other.heads.get(from.id) ?? 0); seq++) wrong ??= take(one, from, seq);
        one.settled.pulling(other.id)();
        break;
      default: {
        const [deliver] = flying.splice(draw(flying.length || 1), 1);
        wrong = deliver?.();
      }
    }
    if (wrong) return wrong;
    for (const model of peers) model.said = Math.max(model.said, model.settled.time);
  }
  return peers.some(({ said }) => said > 0) ? undefined : 'nothing was ever settled';
}

t.test('nothing comes that belongs before what is settled, whatever is late, lost or on its way to the disk', async (t) => {
  const wrong = Array.from({ length: 300 }, (_, seed) => ({ seed, what: wrongIn(seed) })).filter(({ what }) => what !== undefined);
  t.same(wrong, []);
});

t.test('while own writes are on their way to the disk, the committed time stays before them', async (t) => {
  const a = await peer(t);
  await write(a, 'star/anna/song/1');
  const before = a.replica.clock.time;
  t.equal(a.replica.committedTime, before);
  const { commit } = a.store;
  let during: { clock: number; committed: number; seq: number | undefined } | undefined;
  a.store.commit = (batch) => {
    during = { clock: a.replica.clock.time, committed: a.replica.committedTime, seq: a.replica.head?.seq };
    return commit.call(a.store, batch);
  };
  await write(a, 'star/anna/song/2');
  t.same(during, { clock: before + 1, committed: before, seq: 1 });
  t.equal(a.replica.committedTime, before + 1);
});

// --- elections and hand-overs

t.test('elections and hand-overs are events that a program may drop, in a ring of registers that does not grow', async (t) => {
  const a = await peer(t);
  const [first, later] = [0, 1].map((round) => Array.from({ length: COORDINATION_SLOTS }, (_, i) => electionKey(slotOf(round * COORDINATION_SLOTS + i)))) as [string[], string[]];
  t.same(later, first);
  t.equal(new Set(first).size, COORDINATION_SLOTS);
  for (const key of [...first, ...later.slice(0, 5)]) await write(a, key);
  const log = keysOf(await a.store.eventLog.after(null, ALL));
  t.same(log, [...first.slice(5), ...first.slice(0, 5)], 'the latest of each slot, in the order in which they were written');
  for (const key of [electionKey(0), handoverKey(0)]) t.ok(isEvent(key) && !isUserData(key), key);
  for (const key of ['elections/00', 'handovers/00', 'handed/00']) t.ok(isUserData(key), `${key} is a kind that only newer versions know`);
});

t.test('what a coordinator writes is read as it was written, and whatever else is there is refused', async (t) => {
  const [a, b] = ['aa'.repeat(16), 'bb'.repeat(16)] as [PeerId, PeerId];
  const election: ElectionRecord = { coordinator: a, before: b, term: TERM_MAX, reason: 'stepped-down', at: 1_000 };
  const handover: HandoverRecord = { role: 'recommendations', from: b, to: a, token: { term: 7, coordinator: a, number: 3 }, why: 'balance', at: 2_000 };
  t.same(decodeElection(encodeElection(election)), election);
  t.same(decodeElection(encodeElection({ ...election, before: null })), { ...election, before: null });
  t.same(decodeHandover(encodeHandover(handover)), handover);
  t.same(decodeHandover(encodeHandover({ ...handover, from: null })), { ...handover, from: null });
  for (const key of [electionKey(0), electionKey(9), electionKey(63)]) t.equal(electionKey(parseElectionKey(key) as number), key);
  t.equal(parseElectionKey(handoverKey(1)), undefined);
  t.equal(parseHandoverKey(electionKey(1)), undefined);
  const id = idToBytes(a);
  for (const bad of [[id, null, 7, 'died'], [id.subarray(1), null, 7, 'died', 1], [id, 0, 7, 'died', 1], [id, null, TERM_MAX + 1, 'died', 1], [id, null, -1, 'died', 1], [id, null, 7, 'di\ned', 1], [id, null, 7, '', 1], [id, null, 7, 'a'.repeat(33), 1], [id, null, 7, 'died', 'now']]) {
    t.throws(() => decodeElection(encode(bad)), { code: 'BAD_OPERATION' });
  }
  const token = [7, id, 3];
  t.equal(decodeElection(encode([id, null, 7, 'of-a-newer-version', 1, 'more'])).reason, 'of-a-newer-version');
  for (const bad of [['leader', null, id, token, 'first', 1], ['users', null, id, [7, id], 'first', 1], ['users', null, id, [7, id, 0], 'first', 1], ['users', null, null, token, 'first', 1], ['users', null, id, token, 7, 1], ['users', null, id, token, 'first']]) {
    t.throws(() => decodeHandover(encode(bad)), { code: 'BAD_OPERATION' });
  }
});

// --- what is said of an event

t.test('an event is told by the parts of its key and by its value, and what is not understood by its key alone', async (t) => {
  const id = '0f'.repeat(16);
  const half = '1122334455667788';
  const song = id as SongId;
  const facts = (key: string, value: Uint8Array | null = VALUE) => describeEvent({ key, value });
  t.same(facts(`forget/${id}`), { kind: 'forget', key: `forget/${id}`, peer: id, at: null });
  const profile = profileNamed('AC/DC 50% 🎵').profile;
  const key = starKey({ profile, song });
  t.same(facts(key, encodeStar({ at: 1_000, rest: [] })), { kind: 'star', key, profile: 'ac/dc 50% 🎵', song: id, at: '1970-01-01T00:00:01.000Z' });
  t.same(facts(key, null), { kind: 'star', key, profile: 'ac/dc 50% 🎵', song: id, at: null, deleted: true });
  t.same(facts(key), { kind: 'star', key, profile: 'ac/dc 50% 🎵', song: id, at: null }, 'a value of a newer version');
  t.equal(facts(key, encodeStar({ at: Number.MAX_SAFE_INTEGER, rest: [] })).at, null, 'a time that no calendar has');
  t.match(facts(`rating/anna/song/${id}`, encodeRating({ rating: 4, rest: [] })), { rating: 4, at: null });
  t.match(facts('profile/anna', encodeProfile('Anna')), { profile: 'anna', profileName: 'Anna' });
  const anna = profileNamed('Anna').profile;
  t.match(facts(`playlist/${id}`, encodePlaylist({ profile: anna, name: 'Road trip', born: 7, createdAt: 2_000, rest: [] })), { playlist: id, profile: 'anna', playlistName: 'Road trip', born: 7, at: '1970-01-01T00:00:02.000Z' });
  const [position] = positionsBetween(null, null, 1) as [Position];
  t.match(facts(`item/${id}/${half}`, encodeItem({ song, position, addedAt: 3_000, rest: [] })), { playlist: id, item: half, song: id, position, at: '1970-01-01T00:00:03.000Z' });
  t.match(facts(`play/anna/${id}/${half}`, encodePlay({ at: 4_000, listenedMs: 61_000 })), { profile: 'anna', song: id, play: half, listenedMs: 61_000, at: '1970-01-01T00:00:04.000Z' });
  const session = { queue: [song], index: 0, positionMs: 5, playing: true, at: 5_000, rest: [] };
  t.match(facts(`session/anna/${id}`, encodeSession(session)), { profile: 'anna', device: id, song: id, songs: 1, positionMs: 5, playing: true, at: '1970-01-01T00:00:05.000Z' });
  t.match(facts(`session/anna/${id}`, encodeSession({ ...session, queue: [] })), { song: null, songs: 0 });
  const [from, to] = ['aa'.repeat(16), 'bb'.repeat(16)] as [PeerId, PeerId];
  const election = { coordinator: to, before: from, term: 7, reason: 'silent', at: 6_000 };
  t.same(facts('election/07', encodeElection(election)), { ...election, kind: 'election', key: 'election/07', slot: 7, at: '1970-01-01T00:00:06.000Z' });
  const handover = { role: 'users', from: null, to, token: { term: 7, coordinator: to, number: 3 }, why: 'first', at: 7_000 } as const;
  t.same(facts('handover/63', encodeHandover(handover)), { ...handover, kind: 'handover', key: 'handover/63', slot: 63, token: '7.bbbbbbbb.3', at: '1970-01-01T00:00:07.000Z' });
  const strange = ['mood/of/anna', 'star', `star/anna/album/${id}`, `star/anna/song/${id}/more`, `star/nora%20b/song/${id}`, 'profile/%zz', 'forget/me', `item/${id}/1122`, 'election', 'election/64', 'election/7', 'election/007', 'election/07/1', 'election/-1', 'handover/x7', '__proto__/x', 'constructor'];
  for (const key of strange) t.same(facts(key), { kind: key.split('/')[0], key, at: null }, key);
});
