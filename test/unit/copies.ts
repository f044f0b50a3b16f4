// Copies without a network: who fetches what, what may be dropped, when songs are looked at, what is fetched in which order.
import fc from 'fast-check';
import t from 'tap';
import { type FileId, type PayloadId, type PeerId, randomId, type SongId } from '../../lib/ids.ts';
import { COPIES_MAX, COPIES_QUEUED_MAX, HEALS_QUEUED_MAX, PLACED_SONGS_MAX, PLACED_TARGETS_MAX, SERVICE_MESSAGE_BYTES_MAX } from '../../lib/limits.ts';
import { BACKOFF_MS, BACKOFF_MS_MAX, BUSY_MS, Copier, type CopierEffect, type CopierInput, type Job, REFUSED_MS, REST_MS_MAX, TRIES } from '../../peer/copies/copier.ts';
import { type Holders, keptWithout, worthOf } from '../../peer/copies/judge.ts';
import { Mending } from '../../peer/copies/mending.ts';
import { compareLacking, type Lacking, pageOf, place, type Target } from '../../peer/copies/placement.ts';
import { createRounds, LATE_MS, LATER_MS, LATER_MS_MAX, QUIET_MS, REST_FACTOR, REST_MS_MIN, type RoundsInput, SOON_MS, step } from '../../peer/copies/rounds.ts';
import { pack } from '../../peer/services/messages.ts';

const MB = 1_000_000;
const DAY_MS = 86_400_000;

// --- placement

const target: fc.Arbitrary<Target> = fc.record({
  roomBytes: fc.oneof(fc.constant(0), fc.nat(50 * MB), fc.nat(10_000 * MB)),
  uptimeMs: fc.nat(30 * DAY_MS),
  slots: fc.nat(40),
});
const world = fc.array(target, { maxLength: 8 }).chain((targets) =>
  fc.record({
    targets: fc.constant(targets),
    wanted: fc.integer({ min: 1, max: 8 }),
    songs: fc.array(
      fc.record<Lacking>({
        bytes: fc.integer({ min: 1, max: 30 * MB }),
        plays: fc.nat(20),
        machines: fc.nat(8),
        leaving: fc.boolean(),
        except: targets.length === 0 ? fc.constant([]) : fc.uniqueArray(fc.nat(targets.length - 1)),
      }),
      { maxLength: 60 },
    ),
  }),
);

t.test('nobody is asked for more than it has room and slots for, for what it holds, or for more machines than wanted', async () => {
  fc.assert(
    fc.property(world, ({ targets, songs, wanted }) => {
      const placed = place({ targets, songs, wanted });
      for (const [i, { roomBytes, slots }] of targets.entries()) {
        const mine = placed.filter(({ target }) => target === i).map(({ song }) => songs[song] as Lacking);
        if (mine.filter(({ leaving }) => !leaving).length > slots || mine.reduce((sum, { bytes }) => sum + bytes, 0) > roomBytes || mine.some(({ except }) => except.includes(i))) return false;
      }
      return songs.every(({ machines }, i) => {
        const targetsOf = placed.filter(({ song }) => song === i).map(({ target }) => target);
        return new Set(targetsOf).size === targetsOf.length && (targetsOf.length === 0 || machines + targetsOf.length <= wanted);
      });
    }),
  );
});

t.test('what only leaving machines hold goes first, then the most played; and a song waits for none that is less urgent', async () => {
  fc.assert(
    fc.property(world, ({ targets, songs, wanted }) => {
      const placed = place({ targets, songs, wanted });
      const order = placed.map(({ song }) => songs[song] as Lacking);
      if (!order.every((song, i) => i === 0 || compareLacking(order[i - 1] as Lacking, song) <= 0)) return false;
      // whatever got less than it lacks could go nowhere, even with all that less urgent ones were given
      return songs.every((song, i) => {
        const mine = placed.filter((one) => one.song === i);
        if (song.machines + mine.length >= wanted) return true;
        return targets.every(({ roomBytes, slots }, at) => {
          if (song.except.includes(at) || mine.some((one) => one.target === at)) return true;
          const before = placed.filter((one) => one.target === at && compareLacking(songs[one.song] as Lacking, song) <= 0);
          const taken = before.reduce((sum, one) => sum + (songs[one.song] as Lacking).bytes, 0);
          const free = slots - before.filter((one) => !(songs[one.song] as Lacking).leaving).length;
          return (free <= 0 && !song.leaving) || roomBytes - taken < song.bytes;
        });
      });
    }),
  );
});

t.test('of three songs with room for one each time, what leaves is first, then what is played most, then what is on fewest machines', async (t) => {
  const lacking = (some: Partial<Lacking>): Lacking => ({ bytes: 10, plays: 0, machines: 1, leaving: false, except: [], ...some });
  const songs = [lacking({ machines: 2 }), lacking({}), lacking({ plays: 3 }), lacking({ leaving: true, machines: 0 })];
  const order = place({ songs, wanted: 3, targets: Array.from({ length: 4 }, () => ({ roomBytes: 1_000, uptimeMs: 0, slots: 99 })) }).map(({ song }) => song);
  t.same([...new Set(order)], [3, 2, 1, 0]);
  const [only] = place({ songs, wanted: 1, targets: [{ roomBytes: 15, uptimeMs: 0, slots: 1 }] });
  t.equal(only?.song, 3);
});

t.test('music is spread by room and uptime: nobody gets more than its share and one song', async () => {
  const roomy = fc.record({ roomBytes: fc.integer({ min: 5_000 * MB, max: 50_000 * MB }), uptimeMs: fc.nat(30 * DAY_MS), slots: fc.constant(1_000) });
  const free = fc.array(fc.integer({ min: 1, max: 20 * MB }), { minLength: 1, maxLength: 80 });
  fc.assert(
    fc.property(fc.array(roomy, { minLength: 2, maxLength: 6 }), free, (targets, sizes) => {
      const songs = sizes.map((bytes) => ({ bytes, plays: 0, machines: 1, leaving: false, except: [] }));
      const placed = place({ targets, songs, wanted: 2 });
      const given = targets.map((_, i) => placed.filter((one) => one.target === i).reduce((sum, one) => sum + (sizes[one.song] as number), 0));
      // as the code weighs them, said once more: room times (1 + doublings of the minutes of uptime, up to 14)
      const weights = targets.map(({ roomBytes, uptimeMs }) => roomBytes * (1 + Math.min(14, Math.log2(1 + uptimeMs / 60_000))));
      const largest = Math.max(...sizes);
      return given.every((mine, i) => given.every((others, j) => mine / (weights[i] as number) <= (others + largest) / (weights[j] as number) + 1e-9));
    }),
  );
  const songs = Array.from({ length: 300 }, () => ({ bytes: 5 * MB, plays: 0, machines: 1, leaving: false, except: [] }));
  const placed = place({ songs, wanted: 2, targets: [{ roomBytes: 10_000 * MB, uptimeMs: 0, slots: 400 }, { roomBytes: 20_000 * MB, uptimeMs: 0, slots: 400 }] });
  t.equal(placed.filter(({ target }) => target === 1).length, 200, 'twice the room, twice the songs');
});

t.test('the same machines and songs are placed the same again', async () => {
  fc.assert(fc.property(world, (given) => JSON.stringify(place(given)) === JSON.stringify(place(given))));
});

t.test('a page of songs fits a call to the service, with the answer, however many machines could not take them', async (t) => {
  const targets = Array.from({ length: PLACED_TARGETS_MAX }, () => [2 ** 45, 2 ** 40, COPIES_QUEUED_MAX]);
  for (const exceptions of [0, 4, 16, PLACED_TARGETS_MAX]) {
    const lacking = { bytes: 2 ** 40, plays: 100_000, machines: 1, leaving: true, except: Array.from({ length: exceptions }, (_, i) => i) };
    const page = pageOf(Array.from({ length: 2 * PLACED_SONGS_MAX }, () => lacking));
    const call = pack([COPIES_MAX, targets, page.map(({ bytes, plays, machines, leaving, except }) => [bytes, plays, machines, leaving, [...except]])]);
    t.ok(page.length > 0 && call.byteLength <= SERVICE_MESSAGE_BYTES_MAX, `${page.length} songs: ${call.byteLength} bytes`);
    const answer = page.flatMap((_, song) => Array.from({ length: COPIES_MAX }, (_, i) => [song, 200 + i]));
    t.ok(pack(answer).byteLength <= SERVICE_MESSAGE_BYTES_MAX, `${pack(answer).byteLength} bytes`);
  }
});

// --- the judge

const peers = ['a', 'b', 'c', 'd', 'e'].map((digit) => digit.repeat(32) as PeerId);
const judged = fc.record({
  owners: fc.subarray(peers),
  copiers: fc.subarray(peers),
  /** Complete without what surrounds it. */
  bare: fc.subarray(peers),
  stay: fc.subarray(peers),
  leave: fc.subarray(peers),
  wanted: fc.integer({ min: 1, max: 8 }),
  drops: fc.subarray(peers),
});

t.test('when all machines see the same, no song loses its last copy, whoever drops what it may in one moment', async () => {
  fc.assert(
    fc.property(judged, ({ owners, copiers, bare, stay, leave, wanted, drops }) => {
      const lives = (peer: PeerId): boolean => stay.includes(peer);
      const stays = (peer: PeerId): boolean => lives(peer) && !leave.includes(peer);
      const droppers = drops.filter((self) => {
        if (!lives(self) || !(copiers.includes(self) || bare.includes(self))) return false;
        return worthOf({ self, complete: true, owners, copiers, stays, wanted }) !== 'last';
      });
      const holdsAfter = (peer: PeerId): boolean => owners.includes(peer) || (copiers.includes(peer) && !droppers.includes(peer));
      const holders = (counts: (peer: PeerId) => boolean): PeerId[] => peers.filter((peer) => counts(peer) && (owners.includes(peer) || copiers.includes(peer)));
      // of those who stay one keeps it; where none does, those that leave keep theirs; where nobody has it whole, the bare sound stays
      if (holders(stays).length > 0) return holders(stays).some(holdsAfter);
      if (holders(lives).length > 0) return holders(lives).some(holdsAfter);
      return peers.filter((peer) => lives(peer) && bare.includes(peer)).every((peer) => !droppers.includes(peer));
    }),
    { numRuns: 2_000 },
  );
});

t.test('who leaves is heard of by one machine after the other, and no song loses its last copy, also when who was told that it may go is gone', async (t) => {
  const views = fc.tuple(...peers.map(() => fc.subarray(peers)));
  let gone = 0;
  fc.assert(
    fc.property(judged, views, ({ owners, copiers, bare, stay, leave, wanted, drops }, heard) => {
      const lives = (peer: PeerId): boolean => stay.includes(peer);
      const knows = (self: PeerId, leaver: PeerId): boolean => (self === leaver ? leave : (heard[peers.indexOf(self)] as PeerId[])).includes(leaver) && leave.includes(leaver);
      const staysFor = (self: PeerId) => (peer: PeerId): boolean => lives(peer) && !knows(self, peer);
      const droppers = drops.filter((self) => {
        if (!lives(self) || !(copiers.includes(self) || bare.includes(self))) return false;
        return worthOf({ self, complete: true, owners, copiers, stays: staysFor(self), wanted }) !== 'last';
      });
      const holders = peers.filter((peer) => lives(peer) && (owners.includes(peer) || copiers.includes(peer)));
      const off = holders.filter((self) => {
        const confirms = (peer: PeerId): boolean => knows(peer, self) && !leave.includes(peer);
        return leave.includes(self) && keptWithout(self, { owners, copiers, stays: staysFor(self), confirms }) === 'yes';
      });
      gone += off.length;
      return holders.length === 0 || holders.some((peer) => !off.includes(peer) && (owners.includes(peer) || !droppers.includes(peer)));
    }),
    { numRuns: 2_000 },
  );
  t.ok(gone > 50, `${gone} were switched off`);
  const [a, b, c] = peers as [PeerId, PeerId, PeerId];
  const kept = (owners: readonly PeerId[], copiers: readonly PeerId[], confirming: readonly PeerId[]) => keptWithout(a, { owners, copiers, stays: () => true, confirms: (peer) => confirming.includes(peer) });
  t.same([kept([a], [], []), kept([a, b], [c], [c]), kept([a, b], [c], [b]), kept([a], [c, b], [c]), kept([a], [c, b], [b])], ['no', 'unconfirmed', 'yes', 'unconfirmed', 'yes']);
});

t.test('as many copies as are wanted are kept before others, and what lies in a music folder too is kept for nothing', async (t) => {
  const [a, b, c, d] = peers as [PeerId, PeerId, PeerId, PeerId];
  const worth = (self: PeerId, holders: Holders, { wanted = 2, complete = true, stays = () => true }: { wanted?: number; complete?: boolean; stays?: (peer: PeerId) => boolean } = {}) =>
    worthOf({ self, ...holders, complete, stays, wanted });
  t.same([b, c, d].map((self) => worth(self, { owners: [a], copiers: [b, c, d] })), ['wanted', 'free', 'free']);
  t.same([b, c, d].map((self) => worth(self, { owners: [a], copiers: [b, c, d] }, { wanted: 3 })), ['wanted', 'wanted', 'free']);
  t.same([b, c, d].map((self) => worth(self, { owners: [], copiers: [b, c, d] })), ['last', 'wanted', 'free'], 'without an owner the first copy is the last to go');
  t.same([b, c].map((self) => worth(self, { owners: [a], copiers: [b, c] }, { stays: (peer) => peer !== a })), ['last', 'wanted'], 'as when the owner is gone, or leaves');
  t.equal(worth(a, { owners: [a], copiers: [a] }), 'free');
  t.equal(worth(b, { owners: [a], copiers: [] }, { complete: false }), 'free', 'a part of what others have');
  t.equal(worth(b, { owners: [], copiers: [] }, { complete: false }), 'wanted', 'a part of what nobody has');
  t.equal(worth(b, { owners: [], copiers: [] }), 'last', 'all of the sound, where nobody has the file');
  t.equal(worth(b, { owners: [a], copiers: [b] }, { wanted: 1 }), 'free', 'no copies are wanted');
});

// --- rounds

type Untimed<Input> = Input extends { readonly now: number } ? Omit<Input, 'now'> : never;

class RoundsWorld {
  readonly state = createRounds();
  readonly looks: number[] = [];
  now = 1_000;
  #armedAt: number | undefined;

  feed(input: Untimed<RoundsInput>): void {
    for (const effect of step(this.state, { ...input, now: this.now } as RoundsInput)) {
      if (effect.kind === 'look') this.looks.push(this.now);
      else this.#armedAt = this.now + effect.ms;
    }
  }

  run(ms: number): void {
    const until = this.now + ms;
    while (this.#armedAt !== undefined && this.#armedAt <= until) {
      this.now = this.#armedAt;
      this.#armedAt = undefined;
      this.feed({ kind: 'expired', timer: 'look' });
    }
    this.now = until;
  }
}

t.test('who holds the role looks at once when things have come to rest, and never while nothing changes', async (t) => {
  const world = new RoundsWorld();
  world.feed({ kind: 'changed' });
  world.run(60_000);
  t.same(world.looks, [], 'whoever does not hold it does nothing');
  world.feed({ kind: 'held' });
  world.run(QUIET_MS);
  t.same(world.looks, [61_000 + QUIET_MS]);
  world.feed({ kind: 'looked', tookMs: 5, left: 'nothing' });
  world.run(3_600_000);
  t.equal(world.looks.length, 1);
  const at = world.now;
  world.feed({ kind: 'changed' });
  world.run(10_000);
  t.same(world.looks.slice(1), [at + QUIET_MS]);
});

t.test('a burst that does not end is looked at within two seconds all the same', async (t) => {
  const world = new RoundsWorld();
  world.feed({ kind: 'held' });
  for (let i = 0; i < 50 && world.looks.length === 0; i++) {
    world.run(100);
    world.feed({ kind: 'changed' });
  }
  t.same(world.looks, [1_000 + LATE_MS]);
  t.ok(LATE_MS < 2_000);
});

t.test('looking takes at most a twentieth of the time, however much changes', async (t) => {
  const world = new RoundsWorld();
  world.feed({ kind: 'held' });
  let looked = 0;
  for (let i = 0; i < 6_000; i++) {
    world.run(100);
    world.feed({ kind: 'changed' });
    if (world.looks.length === looked) continue;
    looked = world.looks.length;
    world.run(2_000);
    world.feed({ kind: 'looked', tookMs: 2_000, left: 'soon' });
  }
  const apart = world.looks.slice(1).map((at, i) => at - (world.looks[i] as number));
  t.ok(looked > 10);
  t.ok(apart.every((ms) => ms >= 2_000 + REST_FACTOR * 2_000), String(apart));
});

t.test('while songs are on their way there is a next look soon, and a later one when nobody has room', async (t) => {
  const world = new RoundsWorld();
  world.feed({ kind: 'held' });
  world.run(QUIET_MS);
  const [first] = world.looks as [number];
  world.feed({ kind: 'looked', tookMs: 1, left: 'soon' });
  world.run(SOON_MS);
  world.feed({ kind: 'looked', tookMs: 1, left: 'later' });
  world.run(LATER_MS);
  t.same(world.looks, [first, first + SOON_MS, first + SOON_MS + LATER_MS]);
  t.ok(REST_MS_MIN <= SOON_MS);
  world.feed({ kind: 'dropped' });
  world.feed({ kind: 'looked', tookMs: 1, left: 'soon' });
  world.run(60_000);
  t.equal(world.looks.length, 3, 'and none when the role has gone');
});

t.test('what nobody can take, or nobody answers for, is looked at ever later, until something changes', async (t) => {
  const world = new RoundsWorld();
  world.feed({ kind: 'held' });
  world.run(QUIET_MS);
  for (let i = 0; i < 6; i++) {
    world.feed({ kind: 'looked', tookMs: 1, left: 'later' });
    world.run(LATER_MS_MAX);
  }
  const apart = (): number[] => world.looks.slice(1).map((at, i) => at - (world.looks[i] as number));
  t.equal(apart()[0], LATER_MS);
  world.feed({ kind: 'looked', tookMs: 1, left: 'later' });
  const before = world.looks.length;
  world.run(LATER_MS_MAX - 1);
  t.equal(world.looks.length, before);
  world.feed({ kind: 'changed' });
  world.run(LATE_MS);
  t.equal(world.looks.length, before + 1);
  world.feed({ kind: 'looked', tookMs: 1, left: 'later' });
  world.run(LATER_MS);
  t.equal(world.looks.length, before + 2);
});

// --- the copier

const job = (why: Job['why'] = 'copy'): Job => ({ payload: randomId<PayloadId>(), song: randomId<SongId>(), file: randomId<FileId>(), why, bytes: 1_000 });

class CopierWorld {
  readonly copier = new Copier();
  readonly fetched: Job[] = [];
  readonly gaveUp: Job[] = [];
  calledOff = 0;
  seeks = 0;
  now = 1_000;
  #armedAt: number | undefined;

  feed(input: Untimed<CopierInput>): CopierEffect[] {
    const effects = this.copier.step({ ...input, now: this.now } as CopierInput);
    for (const effect of effects) {
      if (effect.kind === 'fetch') this.fetched.push(effect.job);
      if (effect.kind === 'gaveUp') this.gaveUp.push(effect.job);
      if (effect.kind === 'callOff') this.calledOff += 1;
      if (effect.kind === 'seek') this.seeks += 1;
      if (effect.kind === 'arm') this.#armedAt = this.now + effect.ms;
    }
    return effects;
  }

  want(...jobs: readonly Job[]): void {
    for (const one of jobs) this.feed({ kind: 'wanted', job: one });
  }

  run(ms: number): void {
    const until = this.now + ms;
    while (this.#armedAt !== undefined && this.#armedAt <= until) {
      this.now = this.#armedAt;
      this.#armedAt = undefined;
      this.feed({ kind: 'expired', timer: 'next' });
    }
    this.now = until;
  }

  get fetching(): PayloadId {
    return (this.fetched.at(-1) as Job).payload;
  }

  done(tookMs = 0): void {
    this.feed({ kind: 'fetched', payload: this.fetching, tookMs });
  }
}

t.test('pins come before own copies that are broken, and these before copies for others; one at a time', async (t) => {
  const world = new CopierWorld();
  const [first, copy, heal, pin] = [job(), job(), job('heal'), job('pin')];
  world.want(first, copy, heal, pin);
  t.same(world.fetched, [first]);
  for (let i = 0; i < 3; i++) {
    world.done();
    world.run(1);
  }
  t.same(world.fetched, [first, pin, heal, copy]);
});

t.test('as much rest follows a song as it took, but not before a pin', async (t) => {
  const world = new CopierWorld();
  const [one, two, pin] = [job(), job(), job('pin')];
  world.want(one, two);
  world.now += 4_000;
  world.done(4_000);
  world.run(3_999);
  t.same(world.fetched, [one]);
  world.run(1);
  t.same(world.fetched, [one, two]);
  world.done(3_600_000);
  world.want(pin);
  t.same(world.fetched, [one, two, pin]);
  world.done(3_600_000);
  world.want(job());
  world.run(REST_MS_MAX);
  t.equal(world.fetched.length, 4, 'and not for ever');
});

t.test('nothing is fetched while music is read for somebody; what was called off goes on afterwards and has not failed', async (t) => {
  const world = new CopierWorld();
  const one = job();
  world.want(one, job());
  for (let i = 0; i < TRIES + 2; i++) {
    world.feed({ kind: 'playing', playing: true });
    t.equal(world.calledOff, i + 1);
    world.feed({ kind: 'stopped', payload: one.payload });
    world.run(BUSY_MS - 1);
    t.equal(world.fetched.length, i + 1);
    world.feed({ kind: 'playing', playing: false });
  }
  t.ok(world.fetched.every(({ payload }) => payload === one.payload));
  t.same(world.gaveUp, []);
});

t.test('where music is read on and on nothing is taken, and what waited is left to others; pins wait on', async (t) => {
  const world = new CopierWorld();
  const [one, pin] = [job(), job('pin')];
  world.feed({ kind: 'playing', playing: true });
  world.want(one, pin);
  world.run(BUSY_MS - 1);
  t.ok(world.copier.takes(randomId<PayloadId>(), 'copy', world.now));
  world.run(1);
  t.notOk(world.copier.takes(randomId<PayloadId>(), 'copy', world.now));
  world.feed({ kind: 'playing', playing: true });
  t.ok(world.copier.isBusy(world.now), 'since when it began');
  world.feed({ kind: 'playing', playing: false });
  t.same(world.copier.jobs, [pin]);
  world.want(one);
  t.same(world.copier.jobs, [pin, one]);
  world.feed({ kind: 'playing', playing: true });
  world.run(BUSY_MS - 1);
  world.feed({ kind: 'playing', playing: false });
  t.equal(world.copier.jobs.length, 2, 'what played for a song or so has kept it waiting');
});

t.test('what fails is tried again ever later, given up in the end, and not taken again for a while', async (t) => {
  const world = new CopierWorld();
  const bad = job();
  const times: number[] = [];
  world.want(bad);
  for (let i = 0; i < TRIES; i++) {
    times.push(world.now);
    t.equal(world.fetched.length, i + 1);
    world.feed({ kind: 'failed', payload: bad.payload, final: false, tookMs: 0 });
    world.run(BACKOFF_MS * 2 ** i);
  }
  t.same(times.slice(1).map((at, i) => at - (times[i] as number)), [BACKOFF_MS, 2 * BACKOFF_MS, 4 * BACKOFF_MS]);
  t.same(world.gaveUp, [bad]);
  t.notOk(world.copier.takes(bad.payload, 'copy', world.now));
  world.want(bad);
  t.equal(world.fetched.length, TRIES);
  world.run(REFUSED_MS);
  t.ok(world.copier.takes(bad.payload, 'copy', world.now));
  const heal = job('heal');
  world.want(heal);
  world.feed({ kind: 'failed', payload: heal.payload, final: true, tookMs: 0 });
  t.same(world.gaveUp, [bad, heal], 'one that can never succeed at once');
  world.want(heal);
  t.equal(world.fetching, heal.payload, 'but it may be wanted again');
});

t.test('a pin is never given up, tried again ever later up to a bound, and at once when somebody has come who has it', async (t) => {
  const world = new CopierWorld();
  const pin = job('pin');
  const times: number[] = [];
  world.want(pin);
  for (let i = 0; i < 12; i++) {
    times.push(world.now);
    t.equal(world.fetched.length, i + 1);
    world.feed({ kind: 'failed', payload: pin.payload, final: i === 3, tookMs: 0 });
    t.ok(world.copier.waits(pin.payload));
    world.run(BACKOFF_MS_MAX);
  }
  t.same(world.gaveUp, []);
  t.equal((times[11] as number) - (times[10] as number), BACKOFF_MS_MAX);
  world.feed({ kind: 'failed', payload: pin.payload, final: false, tookMs: 0 });
  t.equal(world.fetched.length, 13);
  world.feed({ kind: 'failed', payload: pin.payload, final: false, tookMs: 0 });
  world.want(pin);
  t.equal(world.fetched.length, 14);
  t.notOk(world.copier.waits(pin.payload));
});

t.test('what somebody leaves with comes before what is broken here, however long the queue of copies is', async (t) => {
  const world = new CopierWorld();
  const copies = Array.from({ length: COPIES_QUEUED_MAX }, () => job());
  const [leaving, heal] = [job('leaving'), job('heal')];
  const waits = { ...(copies[200] as Job), why: 'leaving' } as const;
  world.want(...copies, heal, leaving);
  t.notOk(world.copier.takes(randomId<PayloadId>(), 'copy', world.now));
  world.want(waits);
  t.ok(world.copier.takes(randomId<PayloadId>(), 'leaving', world.now));
  for (let i = 0; i < 3; i++) {
    world.done();
    world.run(1);
  }
  t.same(world.fetched, [copies[0], leaving, waits, heal]);
  world.want(...Array.from({ length: COPIES_QUEUED_MAX + 10 }, () => job('leaving')));
  t.ok(world.copier.isFull('leaving'), 'and it is bounded');
});

t.test('what is unwanted while music has called it off is not fetched again', async (t) => {
  const world = new CopierWorld();
  const pin = job('pin');
  world.want(pin);
  world.feed({ kind: 'playing', playing: true });
  world.feed({ kind: 'unwanted', payload: pin.payload });
  t.equal(world.calledOff, 1);
  world.feed({ kind: 'stopped', payload: pin.payload });
  world.feed({ kind: 'playing', playing: false });
  world.run(BACKOFF_MS_MAX);
  t.same([world.fetched, world.copier.jobs], [[pin], []]);
  world.want(pin);
  world.feed({ kind: 'unwanted', payload: pin.payload });
  world.feed({ kind: 'failed', payload: pin.payload, final: false, tookMs: 0 });
  world.run(BACKOFF_MS_MAX);
  t.same([world.fetched, world.copier.jobs], [[pin, pin], []], 'nor when it fails as it is called off');
});

t.test('while one fails others are fetched', async (t) => {
  const world = new CopierWorld();
  const [bad, good] = [job(), job()];
  world.want(bad, good);
  world.feed({ kind: 'failed', payload: bad.payload, final: false, tookMs: 0 });
  world.run(1);
  t.equal(world.fetching, good.payload);
});

t.test('the queue is bounded, each song is in it once, and what a person wants replaces what a machine wanted', async (t) => {
  const world = new CopierWorld();
  const jobs = Array.from({ length: COPIES_QUEUED_MAX + 10 }, () => job());
  world.want(...jobs, ...jobs);
  t.equal(world.copier.jobs.length, COPIES_QUEUED_MAX);
  t.notOk(world.copier.takes(job().payload, 'copy', world.now));
  world.want(...Array.from({ length: HEALS_QUEUED_MAX + 10 }, () => job('heal')));
  t.equal(world.copier.jobs.length, COPIES_QUEUED_MAX + HEALS_QUEUED_MAX);
  const [, second] = jobs as [Job, Job];
  world.want({ ...second, why: 'pin' });
  world.done();
  world.run(1);
  t.equal(world.fetching, second.payload);
});

t.test('what nobody wants any more is called off, and wanted again it is fetched', async (t) => {
  const world = new CopierWorld();
  const [pin, other] = [job('pin'), job()];
  world.want(pin, other);
  world.feed({ kind: 'unwanted', payload: other.payload });
  world.feed({ kind: 'unwanted', payload: pin.payload });
  t.equal(world.calledOff, 1);
  world.feed({ kind: 'stopped', payload: pin.payload });
  t.same(world.copier.jobs, []);
  world.want(pin);
  world.feed({ kind: 'unwanted', payload: pin.payload });
  world.want(pin);
  world.feed({ kind: 'stopped', payload: pin.payload });
  t.equal(world.fetched.length, 3);
});

t.test('own copies that are broken and had no place in the queue are sought again when it is empty, and once', async (t) => {
  const world = new CopierWorld();
  world.want(...Array.from({ length: HEALS_QUEUED_MAX + 3 }, () => job('heal')));
  for (let i = 0; i < HEALS_QUEUED_MAX; i++) {
    t.equal(world.seeks, 0);
    world.done();
    world.run(1);
  }
  t.equal(world.seeks, 1);
  world.want(job('heal'));
  world.done();
  t.equal(world.seeks, 1);
});

t.test('where nothing can be written a song is given up, and taken again at once when there is room', async (t) => {
  const world = new CopierWorld();
  const one = job();
  world.want(one);
  for (let i = 0; i < TRIES; i++) {
    world.feed({ kind: 'failed', payload: one.payload, final: false, blameless: true, tookMs: 0 });
    world.run(BACKOFF_MS * 2 ** i);
  }
  t.same(world.gaveUp, [one]);
  t.ok(world.copier.takes(one.payload, 'copy', world.now));
});

t.test('pins and what waits until music ends take no place of copies', async (t) => {
  const world = new CopierWorld();
  world.feed({ kind: 'playing', playing: true });
  const [copy, pin] = [job(), job('pin')];
  world.want(copy, pin, job('heal'), job('leaving'));
  t.equal(world.copier.slots, COPIES_QUEUED_MAX - 1);
  t.ok(world.copier.waitsForMusic(pin.payload));
  world.feed({ kind: 'playing', playing: false });
  t.notOk(world.copier.waitsForMusic(pin.payload));
});

t.test('of what is missing pins are sought first, then what lacks its edges alone; what was given up is left out when the rest is sought', async (t) => {
  const [part, bare, pinned, whole] = Array.from({ length: 4 }, () => randomId<PayloadId>()) as [PayloadId, PayloadId, PayloadId, PayloadId];
  const sought: string[] = [];
  const name = (payload: PayloadId): string => ['part', 'bare', 'pinned', 'whole'][[part, bare, pinned, whole].indexOf(payload)] as string;
  const mending = new Mending({
    cache: { complete: (payload) => payload === bare || payload === whole, filesOf: (payload) => (payload === bare ? [] : [randomId<FileId>()]), has: () => true, payloads: () => [part, bare, pinned, whole] },
    catalog: { song: async (id) => ({ id }) as never },
    copying: { refuses: (payload) => payload === bare, want: ({ payload }) => sought.push(name(payload)) },
    keeping: { find: async (payload) => payload as string as SongId },
    pins: { has: (payload) => payload === pinned, seek: async () => void sought.push('pins'), seekPayload: async (payload) => void sought.push(name(payload)) },
    trouble: (error) => t.fail(String(error)),
  });
  mending.seek(() => true);
  await new Promise(setImmediate);
  t.same(sought.splice(0), ['pins', 'bare', 'part', 'pinned']);
  mending.seekLeft();
  await new Promise(setImmediate);
  t.same(sought, ['pins', 'part', 'pinned']);
});
