// What people make: that values survive the way into a key and back, that every peer merges the same registers into the same view,
// and that the index kept step by step is the one built at once.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { encode } from '../../lib/codec.ts';
import { type DeviceId, type ItemId, type PeerId, type PlayId, type PlaylistId, randomHalfId, randomId, type SongId } from '../../lib/ids.ts';
import { KEY_BYTES_MAX, PLAYLIST_ITEMS_MAX, POSITION_CHARACTERS_MAX, PROFILE_CHARACTERS_MAX, QUEUE_SONGS_MAX, VALUE_BYTES_MAX } from '../../lib/limits.ts';
import { decodeRating, decodeStar, encodeRating, encodeStar, parseRatingKey, parseStarKey, type Rating, ratingKey, starKey } from '../../lib/marks.ts';
import type { Operation } from '../../lib/operation.ts';
import { decodePlay, encodePlay, parsePlayKey, playKey } from '../../lib/play.ts';
import { decodeSession, encodeSession, parseSessionKey, sessionKey } from '../../lib/playback-session.ts';
import { decodeItem, decodePlaylist, encodeItem, encodePlaylist, itemKey, parseItemKey, parsePlaylistKey, playlistKey } from '../../lib/playlist.ts';
import { isPosition, type Position, positionsBetween } from '../../lib/position.ts';
import { decodeProfile, encodeProfile, parseProfileKey, type Profile, profileKey, profileNamed } from '../../lib/profile.ts';
import { comparable } from '../../lib/typed-names.ts';
import type { Change } from '../../peer/replication/transaction.ts';
import { place } from '../../peer/user-data/placing.ts';
import { People } from '../../peer/user-data/people.ts';
import { OperationStore } from '../../storage/operation-store.ts';
import { mergeItem, mergePlaylist, mergePlays, mergeProfile, mergeRating, mergeSession, mergeStar } from '../../storage/views/merge.ts';
import { shownNames } from '../../storage/views/playlist-names.ts';
import { UserData } from '../../storage/views/user-data.ts';
import { operationOf, Registers, type Written } from '../fixtures/registers.ts';
import { openReplica } from '../fixtures/replica.ts';

const peerId = (digit: string): PeerId => digit.repeat(32) as PeerId;
const songId = (digit: string): SongId => digit.repeat(32) as SongId;
const itemId = (digit: string): ItemId => digit.repeat(16) as ItemId;
const playlistId = (digit: string): PlaylistId => digit.repeat(32) as PlaylistId;
const position = (text: string): Position => text as Position;
const [ANN, BEN, CAT] = [peerId('a'), peerId('b'), peerId('c')] as const;
const [ONE, TWO, THREE] = [songId('1'), songId('2'), songId('3')] as const;
const { profile: NORA, name: NORA_NAME } = profileNamed('Nora');
const DEVICE = 'd'.repeat(32) as DeviceId;

// --- names and keys

/** What people make, over a replica that nobody hears; every song is known. */
async function openPeople(t: Test) {
  const { store, replica } = await openReplica(t, OperationStore);
  const people = new People({
    store,
    catalog: { song: async (id) => ({ id }) as never },
    write: async (changes) => {
      await replica.write(changes);
      return 'local only';
    },
    lamport: () => replica.clock.time,
    wall: () => 1e12,
    onError: (error) => t.fail(String(error)),
    onChange: () => undefined,
  });
  replica.listen({ changed: (changes) => people.data.refresh(changes.map(({ after }) => after)), dropped: () => people.data.load() });
  people.data.load();
  return { store, replica, people };
}

t.test('what was deleted stays deleted when its deleter comes back with an old disk and edits it', async (t) => {
  const { store, replica, people } = await openPeople(t);
  const who = profileNamed('nora');
  const [kept, deleted] = [await people.playlists.create(who, { name: 'kept', songs: [ONE, TWO] }), await people.playlists.create(who, { name: 'deleted', songs: [ONE] })];
  const [gone, moved] = kept.items as [ItemId, ItemId];
  const of = async (key: string): Promise<Operation> => (await store.held([{ origin: replica.self, key }]))[0] as Operation;
  const before = [await of(playlistKey(deleted.id)), await of(itemKey(kept.id, gone))];
  await people.playlists.delete(deleted.id);
  await people.playlists.remove(kept.id, [gone]);
  // what the old disk still shows is edited: the tombstones lie in the registers that the edits overwrite
  await replica.write(before.map(({ key, value }) => ({ key, value })));
  await people.data.settled();
  t.same([...people.data.playlists()].map(({ name }) => name), ['kept']);
  t.same(people.data.items(kept.id).map(({ id }) => id), [moved]);
  const fresh = openData(store, t);
  fresh.load();
  await fresh.settled();
  t.same([...fresh.playlists()].map(({ name }) => name), ['kept']);
  t.same(fresh.items(kept.id).map(({ id }) => id), [moved], 'and when all is read anew');
});

t.test('what two keyboards type for one name is one profile', async (t) => {
  const typed = ['Zoë', 'zoë', '  ZOE\u0308 ', 'zoe\u0308'];
  t.equal(new Set(typed.map((text) => profileNamed(text).profile)).size, 1);
  t.equal(profileNamed('Big\t  Anna').name, 'Big Anna');
  t.not(profileNamed('anna').profile, profileNamed('ann').profile);
  for (const text of ['', ' \t ', 'a\0b', 'a\x1b[2J', '\ud800', '\uffff', 'x'.repeat(PROFILE_CHARACTERS_MAX + 1), 'x'.repeat(1e6), 'İ'.repeat(PROFILE_CHARACTERS_MAX)]) {
    t.throws(() => profileNamed(text), { code: 'BAD_USAGE' }, JSON.stringify(text.slice(0, 40)));
  }
});

const anyText = fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.string({ unit: fc.constantFrom('a', 'B', ' ', '/', '%', '2', 'f', 'é', 'İ', '🎵'), maxLength: 20 }));
const anyName = anyText.filter((text) => {
  try {
    return profileNamed(text).profile.length > 0;
  } catch {
    return false;
  }
});

t.test('every profile has one form in keys, which is read back, parts no key and fits', async (t) => {
  fc.assert(
    fc.property(anyName, (text) => {
      const { profile } = profileNamed(text);
      const again = profileNamed(profile);
      const key = profileKey(profile);
      return again.profile === profile && again.name === profile && parseProfileKey(key) === profile && key.split('/').length === 2 && !key.includes('\0');
    }),
    { numRuns: 3_000, seed: 7 },
  );
  for (const sign of ['x', '/', '%', '雨', 'ￆ', '🎵', '\u{10fffd}']) {
    const { profile } = profileNamed(sign.repeat(PROFILE_CHARACTERS_MAX / sign.length));
    for (const key of [playKey({ profile, song: ONE }, randomHalfId<PlayId>()), ratingKey({ profile, song: ONE }), sessionKey({ profile, device: DEVICE })]) {
      t.ok(Buffer.byteLength(key) <= KEY_BYTES_MAX, `${JSON.stringify(sign)}: ${Buffer.byteLength(key)} bytes`);
    }
  }
  for (const key of ['profile/Anna', 'profile/an%6ea', 'profile/%2f', 'profile/%', 'profile/a%20b', 'profile/', 'profile/a/b', 'profile/🎵', `profile/${'x'.repeat(33)}`]) {
    t.equal(parseProfileKey(key), undefined, `${key} is no key of ours`);
  }
});

t.test('keys are read back, and others of their kind are not', async (t) => {
  const [playlist, item, play] = [randomId<PlaylistId>(), randomHalfId<ItemId>(), randomHalfId<PlayId>()];
  t.equal(parsePlaylistKey(playlistKey(playlist)), playlist);
  t.same(parseItemKey(itemKey(playlist, item)), { playlist, item });
  t.same(parseStarKey(starKey({ profile: NORA, song: ONE })), { profile: NORA, song: ONE });
  t.same(parseRatingKey(ratingKey({ profile: NORA, song: ONE })), { profile: NORA, song: ONE });
  t.same(parsePlayKey(playKey({ profile: NORA, song: ONE }, play)), { profile: NORA, song: ONE, play });
  t.same(parseSessionKey(sessionKey({ profile: NORA, device: DEVICE })), { profile: NORA, device: DEVICE });
  for (const parse of [parsePlaylistKey, parseItemKey, parseStarKey, parseRatingKey, parsePlayKey, parseSessionKey]) {
    for (const key of ['', 'star', `star/nora/album/${ONE}`, `star/nora/song/${ONE}/x`, 'playlist/x', `playlist/${ONE}/x`, `item/${ONE}`, `item/${ONE}/${ONE}`, `play/nora/${ONE}`, `session/nora/x`]) {
      t.equal(parse(key), undefined, `${parse.name} ${key}`);
    }
  }
});

t.test('values are read back with what a newer version added, and junk is refused', async (t) => {
  const rest = [{ mood: 'blue' }, 7];
  const playlist = { profile: NORA, name: 'Mix', born: 5, createdAt: 1e12, rest };
  const item = { song: ONE, position: position('a0'), addedAt: 1e12, rest };
  const session = { queue: [ONE, TWO], index: 1, positionMs: 5_000, playing: true, at: 1e12, rest };
  t.same(decodePlaylist(encodePlaylist(playlist)), playlist);
  t.same(decodeItem(encodeItem(item)), item);
  t.same(decodeSession(encodeSession(session)), session);
  t.same(decodeStar(encodeStar({ at: 1e12, rest })), { at: 1e12, rest });
  t.same(decodeRating(encodeRating({ rating: 4, rest })), { rating: 4, rest });
  t.same(decodePlay(encodePlay({ at: 1e12, listenedMs: 3 })), { at: 1e12, listenedMs: 3 });
  t.equal(decodeProfile(NORA, encodeProfile('NORA')), 'NORA');
  const longest = { ...session, queue: Array.from({ length: QUEUE_SONGS_MAX }, () => ONE), rest: [] };
  t.ok(encodeSession(longest).byteLength < VALUE_BYTES_MAX - 1_024, 'the longest queue leaves room');
  const bad = { code: 'BAD_OPERATION' };
  t.throws(() => decodeProfile(NORA, encodeProfile('Anna')), bad, 'nobody is shown under another name');
  t.throws(() => decodeProfile(NORA, encodeProfile(' nora')), bad);
  for (const wrong of [{ profile: 'Nora' as Profile }, { name: '' }, { name: ' x' }, { name: 'x'.repeat(200) }, { born: -1 }, { createdAt: Number.NaN }]) t.throws(() => decodePlaylist(encodePlaylist({ ...playlist, ...wrong })), bad);
  for (const wrong of ['', 'a', '!', 'a0!', 'a00', 'b0', `A${'0'.repeat(26)}`, 'a0'.padEnd(POSITION_CHARACTERS_MAX + 1, '1'), 'é0']) t.throws(() => decodeItem(encodeItem({ ...item, position: position(wrong) })), bad, wrong.slice(0, 30));
  for (const wrong of [{ index: 2 }, { index: -1 }, { playing: 1 as never }, { queue: Array.from({ length: QUEUE_SONGS_MAX + 1 }, () => ONE) }]) t.throws(() => decodeSession(encodeSession({ ...session, ...wrong })), bad);
  for (const rating of [0, 6, 2.5]) t.throws(() => decodeRating(encodeRating({ rating: rating as Rating, rest: [] })), bad);
  for (const read of [decodePlaylist, decodeItem, decodeSession, decodeStar, decodeRating, decodePlay]) {
    for (const junk of [Buffer.from([0xff]), encode(null), encode([]), encode({ a: 1 }), Buffer.alloc(VALUE_BYTES_MAX + 1)]) t.throws(() => read(junk), bad);
  }
});

// --- positions

t.test('wherever something is put, it stands there, also between equals', async () => {
  fc.assert(
    fc.property(fc.array(fc.record({ at: fc.nat(30), count: fc.integer({ min: 1, max: 4 }), twin: fc.boolean() }), { maxLength: 40 }), (steps) => {
      let items: { id: ItemId; position: Position }[] = [];
      for (const { at, count, twin } of steps) {
        const ids = Array.from({ length: count }, () => randomHalfId<ItemId>());
        const { positions, moved } = place(items, at, { count });
        const placed = items.map((item) => ({ ...item, position: moved.get(item.id) ?? item.position }));
        const wanted = [...items.slice(0, at).map(({ id }) => id), ...ids, ...items.slice(at).map(({ id }) => id)];
        items = [...placed, ...ids.map((id, i) => ({ id, position: positions[i] as Position }))].sort((a, b) => (a.position < b.position || (a.position === b.position && a.id < b.id) ? -1 : 1));
        if (items.map(({ id }) => id).join() !== wanted.join() || !items.every((item) => isPosition(item.position))) return false;
        // somebody else put one at the same place at the same time
        if (twin && items.length > 0) {
          const { position } = items[Math.min(at, items.length - 1)] as (typeof items)[number];
          items = [...items, { id: randomHalfId<ItemId>(), position }].sort((a, b) => (a.position < b.position || (a.position === b.position && a.id < b.id) ? -1 : 1));
        }
      }
      return true;
    }),
    { numRuns: 500, seed: 3 },
  );
});

t.test('a gap that is used again and again moves nobody for a long time, and then everybody gets a fresh position', async (t) => {
  let items = positionsBetween(null, null, 3)?.map((position, i) => ({ id: itemId(String(i)), position })) ?? [];
  let rounds = 0;
  let moved = 0;
  while (moved === 0 && rounds < 5_000) {
    const placing = place(items, 1, { count: 1 });
    moved = placing.moved.size;
    const [first, ...others] = items.map((item) => ({ ...item, position: placing.moved.get(item.id) ?? item.position }));
    items = [first, { id: (rounds + 16).toString(16).padStart(16, '0'), position: placing.positions[0] }, ...others].slice(0, 3) as typeof items;
    rounds += 1;
  }
  t.ok(rounds > 300, `${rounds} inserts`);
  t.ok(items.every(({ position }) => position.length < 8), 'short again');
  t.same(items.map(({ position }) => position), items.map(({ position }) => position).sort(), 'and in order');
  t.equal(new Set(items.map(({ position }) => position)).size, 3);
  const twins = ['a0', 'a1', 'a1', 'a1', 'a2'].map((text, i) => ({ id: itemId(String(i)), position: position(text) }));
  t.same([...place(twins, 2, { count: 1 }).moved.keys()], [itemId('2'), itemId('3')], 'between equals only those behind the gap move');
  t.equal(positionsBetween(position('a1'), position('a1'), 1), undefined);
  t.equal(positionsBetween(position('a2'), position('a1'), 1), undefined);
  t.ok(isPosition('a0') && isPosition('Zz') && isPosition('b00') && isPosition(`z${'z'.repeat(26)}`));
  const ends = [{ id: itemId('1'), position: position(`A${'0'.repeat(25)}1`) }, { id: itemId('2'), position: position(`z${'z'.repeat(26)}`) }];
  for (const at of [0, 1, 2]) t.ok(place(ends, at, { count: 2 }).positions.every(isPosition), 'also beyond the smallest and the greatest');
});

// --- merging

const SOME_POSITIONS = ['a0', 'a1', 'a1V', 'Zz'];
const NAMES = ['mix', 'Mix', 'mix-2', 'rain'];
const PROFILES = ['nora', 'anna/b'].map((name) => profileNamed(name).profile);

/** Any write that a peer of this version, of a newer one, or a hostile one may make. */
const anyWrite: fc.Arbitrary<Omit<Written, 'lamport'>> = fc
  .record({
    origin: fc.constantFrom(ANN, BEN, CAT),
    kind: fc.constantFrom('profile', 'playlist', 'item', 'star', 'rating', 'play', 'session', 'other'),
    what: fc.constantFrom('value', 'value', 'value', 'tombstone', 'junk'),
    profile: fc.constantFrom(...PROFILES),
    digit: fc.constantFrom('1', '2'),
    other: fc.constantFrom('1', '2'),
    name: fc.constantFrom(...NAMES),
    place: fc.constantFrom(...SOME_POSITIONS),
    number: fc.integer({ min: 1, max: 5 }),
    rest: fc.constantFrom([], ['new']),
  })
  .map(({ origin, kind, what, profile, digit, other, name, place, number, rest }) => {
    const song = songId(digit);
    const [key, value] = {
      profile: [profileKey(profile), encodeProfile(number > 2 ? profile : profile.toUpperCase())],
      playlist: [playlistKey(playlistId(digit)), encodePlaylist({ profile, name, born: number, createdAt: number, rest })],
      item: [itemKey(playlistId(digit), itemId(other)), encodeItem({ song: songId(String(number)), position: position(place), addedAt: number, rest })],
      star: [starKey({ profile, song }), encodeStar({ at: number, rest })],
      rating: [ratingKey({ profile, song }), encodeRating({ rating: number as Rating, rest })],
      play: [playKey({ profile, song }, other.repeat(16) as PlayId), encodePlay({ at: number, listenedMs: number })],
      session: [sessionKey({ profile, device: DEVICE }), encodeSession({ queue: [song], index: 0, positionMs: number, playing: true, at: number, rest })],
      other: [`star/${profile}/album/${song}`, encode(number)],
    }[kind] as [string, Uint8Array];
    return { origin, key, value: what === 'tombstone' ? null : what === 'junk' ? encode(['?', number]) : value };
  });

/** Everything that is shown. */
async function seen(data: UserData): Promise<unknown> {
  await data.settled();
  const playlists = data.playlists();
  return {
    profiles: data.profiles,
    playlists,
    items: playlists.map(({ id }) => data.items(id)),
    of: await Promise.all(PROFILES.map(async (profile) => [data.playlists(profile), data.stars(profile), data.ratings(profile), data.plays(profile), [...(await data.sessions(profile))]])),
  };
}

const openData = (store: Pick<OperationStore, 'registers'>, t: Test): UserData => new UserData({ store, onError: (error) => t.fail(String(error)), onChange: () => undefined });

const loaded = async (store: Registers, t: Test): Promise<unknown> => {
  const data = openData(store, t);
  data.load();
  return seen(data);
};

const stamped = (writes: readonly Omit<Written, 'lamport'>[]): Operation[] => writes.map((write, i) => operationOf({ ...write, lamport: i + 1 }));

t.test('the index that follows every change is the one that is built from the registers at once', async (t) => {
  let shown = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ writes: fc.array(anyWrite, { minLength: 1, maxLength: 6 }), then: fc.constantFrom('go on', 'wait', 'load') }), { maxLength: 12 }),
      fc.integer({ min: 1, max: 5 }),
      fc.gen(),
      async (steps, rowsAtOnce, gen) => {
        const store = new Registers({ rowsAtOnce });
        const data = openData(store, t);
        data.load();
        const operations = stamped(steps.flatMap(({ writes }) => writes));
        // what came late is applied late
        const mixed = gen(fc.shuffledSubarray, operations, { minLength: operations.length });
        for (const { writes, then } of steps) {
          data.refresh(store.apply(mixed.splice(0, writes.length)));
          if (then === 'load') data.load();
          if (then === 'wait') await data.settled();
        }
        const step = await seen(data);
        shown += data.playlists().length;
        assert.deepEqual(step, await loaded(store, t));
      },
    ),
    { numRuns: 400, seed: 11 },
  );
  t.ok(shown > 100, `${shown} playlists were shown in all, so this was no comparison of nothings`);
});

t.test('peers that got the same operations, in whatever order, show the same', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyWrite, { maxLength: 40 }), fc.gen(), async (writes, gen) => {
      const operations = stamped(writes);
      const [one, other] = [new Registers(), new Registers({ rowsAtOnce: 3 })];
      one.apply(operations);
      other.apply(gen(fc.shuffledSubarray, operations, { minLength: operations.length }));
      assert.deepEqual(await loaded(one, t), await loaded(other, t));
    }),
    { numRuns: 300, seed: 12 },
  );
});

t.test('a merge does not mind in which order the winners lie', async () => {
  fc.assert(
    fc.property(fc.array(anyWrite, { minLength: 1, maxLength: 20 }), fc.gen(), (writes, gen) => {
      const store = new Registers();
      const operations = stamped(writes);
      store.apply(operations);
      for (const key of new Set(operations.map((operation) => operation.key))) {
        const winners = store.winners(key);
        const mixed = gen(fc.shuffledSubarray, [...winners], { minLength: winners.length });
        for (const merge of [mergePlaylist, mergeItem, mergeStar, mergeRating, mergeSession, (all: readonly Operation[]) => mergeProfile(NORA, all), (all: readonly Operation[]) => mergePlays([all])]) {
          assert.deepEqual(merge(winners), merge(mixed));
        }
      }
    }),
    { numRuns: 300, seed: 13 },
  );
});

t.test('a newer unstar hides an older star of another machine, and an older one does not', async (t) => {
  const at = (origin: PeerId, lamport: number, value: Uint8Array | null): Operation => operationOf({ origin, lamport, key: starKey({ profile: NORA, song: ONE }), value });
  const star = encodeStar({ at: 1, rest: [] });
  t.equal(mergeStar([at(ANN, 5, star), at(BEN, 6, null)]), undefined);
  t.equal(mergeStar([at(ANN, 7, star), at(BEN, 6, null)])?.lamport, 7);
  t.equal(mergeStar([at(ANN, 6, star), at(BEN, 6, null)]), undefined, 'at one time, by the origin');
  t.equal(mergeStar([at(BEN, 6, star), at(ANN, 6, null)])?.lamport, 6);
  t.equal(mergeStar([at(ANN, 5, star), at(BEN, 6, encode(['?']))])?.lamport, 5, 'what cannot be read says nothing');
});

t.test('a playlist or an item that anybody deleted is gone, however new the others are', async (t) => {
  const value = encodePlaylist({ profile: NORA, name: 'Mix', born: 1, createdAt: 1, rest: [] });
  const item = encodeItem({ song: ONE, position: position('a0'), addedAt: 1, rest: [] });
  const of = (origin: PeerId, lamport: number, some: Uint8Array | null): Operation => operationOf({ origin, lamport, key: 'x', value: some });
  t.equal(mergePlaylist([of(ANN, 9, value), of(BEN, 2, null)]), undefined);
  const older = encodePlaylist({ profile: NORA, name: 'Older', born: 0, createdAt: 1, rest: [] });
  t.match(mergePlaylist([of(ANN, 9, value), of(BEN, 2, older)]), { name: 'Mix', born: 0 }, 'the last name, and the first birth that is known');
  t.equal(mergeItem([of(ANN, 9, item), of(BEN, 2, null)]), undefined);
  t.equal(mergeItem([of(ANN, 2, item), of(BEN, 9, encodeItem({ song: ONE, position: position('a5'), addedAt: 1, rest: [] }))])?.position, 'a5', 'the last move counts');
  t.equal(mergePlays([[of(ANN, 1, encodePlay({ at: 5, listenedMs: 1 }))], [of(BEN, 1, encodePlay({ at: 9, listenedMs: 1 }))], [of(CAT, 1, null)]])?.plays, 2);
});

t.test('of playlists with one name the first-born keeps it, and no shown name is that of another', async (t) => {
  const playlist = fc.record({ name: fc.constantFrom('a', 'A', 'a-2', 'a-3', 'a-2-2', 'b'), born: fc.integer({ min: 1, max: 4 }) });
  fc.assert(
    fc.property(fc.array(playlist, { maxLength: 12 }), (some) => {
      const all = some.map((one, i) => ({ ...one, id: playlistId((i % 16).toString(16)) }));
      const shown = shownNames(all);
      const reversed = shownNames([...all].reverse());
      if (new Set([...shown.values()].map(comparable)).size !== all.length) return false;
      return all.every(({ id, name, born }) => {
        const isFirst = !all.some((other) => comparable(other.name) === comparable(name) && (other.born < born || (other.born === born && other.id < id)));
        return shown.get(id) === reversed.get(id) && (shown.get(id) === name) === isFirst;
      });
    }),
    { numRuns: 2_000, seed: 4 },
  );
  const named = (names: readonly string[]): (string | undefined)[] => {
    const all = names.map((name, i) => ({ name, born: i, id: playlistId(String(i)) }));
    const shown = shownNames(all);
    return all.map(({ id }) => shown.get(id));
  };
  t.same(named(['mix', 'Mix', 'MIX', 'rain']), ['mix', 'Mix-2', 'MIX-3', 'rain']);
  t.same(named(['mix', 'mix', 'mix-2']), ['mix', 'mix-3', 'mix-2'], 'a real name is never taken');
});

// --- commands

interface World {
  readonly store: Registers;
  readonly people: People;
  readonly written: Change[][];
  /** How often it was told that something is shown otherwise. */
  changes(): number;
  /** Somebody else's write, at a Lamport time after everything before. */
  says(origin: PeerId, key: string, value: Uint8Array | null): void;
  songs(id: PlaylistId): Promise<SongId[]>;
}

function world(t: Test): World {
  const store = new Registers();
  const written: Change[][] = [];
  let lamport = 0;
  let changes = 0;
  const apply = (origin: PeerId, some: readonly Change[]): void => people.data.refresh(store.apply(some.map((change) => operationOf({ origin, lamport: ++lamport, ...change }))));
  const people = new People({
    store,
    catalog: { song: async (id) => ([ONE, TWO, THREE].includes(id) ? ({ id } as never) : undefined) },
    write: async (some) => {
      written.push([...some]);
      await Promise.resolve();
      apply(ANN, some);
      return 'replicated';
    },
    lamport: () => lamport,
    wall: () => 1e12,
    onError: (error) => t.fail(String(error)),
    onChange: () => void (changes += 1),
  });
  people.data.load();
  return {
    store,
    people,
    written,
    changes: () => changes,
    says: (origin, key, value) => apply(origin, [{ key, value }]),
    songs: async (id) => {
      await people.data.settled();
      return people.data.items(id).map(({ song }) => song);
    },
  };
}

const nora = profileNamed(NORA_NAME);

t.test('a playlist is made, filled, ordered and emptied, each command as one batch', async (t) => {
  const { people, written, says, songs } = world(t);
  const { id, acknowledged } = await people.playlists.create(nora, { name: ' Road  trip ', songs: [ONE] });
  t.equal(acknowledged, 'replicated');
  t.equal(written.length, 1);
  t.same(written[0]?.map(({ key }) => key.split('/', 1)[0]), ['profile', 'playlist', 'item'], 'the profile with it');
  const { items: [two, three] } = await people.playlists.add(id, { songs: [TWO, THREE] });
  await people.playlists.add(id, { songs: [THREE], at: 0 });
  t.same(await songs(id), [THREE, ONE, TWO, THREE]);
  await people.playlists.move(id, { item: three as ItemId, to: 1 });
  t.same(await songs(id), [THREE, THREE, ONE, TWO]);
  await people.playlists.remove(id, [two as ItemId, two as ItemId, itemId('f')]);
  t.same(await songs(id), [THREE, THREE, ONE]);
  await t.rejects(people.playlists.remove(id, [two as ItemId]), { code: 'NOT_FOUND' });
  await t.rejects(people.playlists.move(id, { item: two as ItemId, to: 0 }), { code: 'NOT_FOUND' });
  await t.rejects(people.playlists.add(id, { songs: [songId('f')] }), { code: 'NOT_FOUND' }, 'no song of that id');
  await t.rejects(people.playlists.create(nora, { name: 'ROAD TRIP', songs: [] }), { code: 'EXISTS' });
  await t.rejects(people.playlists.create(nora, { name: ' ', songs: [] }), { code: 'BAD_USAGE' });
  const { id: other } = await people.playlists.create(profileNamed('Anna'), { name: 'Road trip', songs: [] });
  await t.rejects(people.playlists.rename(other, ''), { code: 'BAD_USAGE' });
  await people.playlists.rename(other, 'ROAD TRIP');
  await people.data.settled();
  t.same(people.data.playlists().map(({ shownName, owner, songs }) => [shownName, owner, songs]), [['ROAD TRIP', 'Anna', 0], ['Road trip', 'Nora', 3]]);
  await people.playlists.delete(id);
  await people.data.settled();
  t.equal(people.data.playlist(id), undefined);
  t.same(people.data.items(id), [], 'nor is anything of it held');
  says(BEN, itemKey(id, itemId('9')), encodeItem({ song: ONE, position: position('a0'), addedAt: 1, rest: [] }));
  t.same(await songs(id), [], 'not even what comes later');
  await t.rejects(people.playlists.add(id, { songs: [ONE] }), { code: 'NOT_FOUND' });
});

t.test('a playlist that is deleted while others work on it does not return', async (t) => {
  const { people } = world(t);
  const { id } = await people.playlists.create(nora, { name: 'Mix', songs: [ONE] });
  const [deleted, renamed, added] = await Promise.allSettled([people.playlists.delete(id), people.playlists.rename(id, 'Mix again'), people.playlists.add(id, { songs: [TWO] })]);
  t.same([deleted, renamed, added].map(({ status }) => status), ['fulfilled', 'rejected', 'rejected']);
  t.equal(people.data.playlist(id), undefined);
});

t.test('two edits at once of one playlist both count', async (t) => {
  const { people, songs } = world(t);
  const { id } = await people.playlists.create(nora, { name: 'Mix', songs: [] });
  await Promise.all([ONE, TWO, THREE].map((song) => people.playlists.add(id, { songs: [song] })));
  t.same(await songs(id), [ONE, TWO, THREE], 'one after the other');
  const made = await Promise.allSettled([people.playlists.create(nora, { name: 'New', songs: [] }), people.playlists.create(nora, { name: 'new', songs: [] })]);
  t.same(made.map(({ status }) => status), ['fulfilled', 'rejected']);
});

t.test('taking out what one saw as the third leaves what became the third meanwhile', async (t) => {
  const { people, says, songs } = world(t);
  const { id, items } = await people.playlists.create(nora, { name: 'Mix', songs: [ONE, TWO, THREE, ONE] });
  says(BEN, itemKey(id, items[0] as ItemId), null);
  await people.playlists.remove(id, [items[2] as ItemId]);
  t.same(await songs(id), [TWO, ONE]);
});

t.test('who moves, renames, stars or rates keeps what a newer version wrote beside it', async (t) => {
  const { people, store, says } = world(t);
  const id = playlistId('7');
  const rest = ['from the future', 2];
  says(BEN, playlistKey(id), encodePlaylist({ profile: NORA, name: 'Mix', born: 1, createdAt: 5, rest }));
  says(BEN, itemKey(id, itemId('1')), encodeItem({ song: ONE, position: position('a0'), addedAt: 5, rest }));
  says(BEN, itemKey(id, itemId('2')), encodeItem({ song: TWO, position: position('a0'), addedAt: 5, rest }));
  says(BEN, starKey({ profile: NORA, song: ONE }), encodeStar({ at: 5, rest }));
  says(BEN, ratingKey({ profile: NORA, song: ONE }), encodeRating({ rating: 1, rest }));
  says(BEN, sessionKey({ profile: NORA, device: DEVICE }), encodeSession({ queue: [], index: 0, positionMs: 0, playing: false, at: 5, rest }));
  await people.playlists.rename(id, 'Other');
  await people.playlists.move(id, { item: itemId('1'), to: 1 });
  await people.playlists.add(id, { songs: [THREE], at: 1 });
  await people.marks.star(nora, [ONE]);
  await people.marks.rate(nora, ONE, 5);
  await people.listening.save(nora, DEVICE, { queue: [TWO], index: 0, positionMs: 1, playing: true });
  const mine = (key: string): Uint8Array => store.winners(key).find(({ origin }) => origin === ANN)?.value as Uint8Array;
  t.same(decodePlaylist(mine(playlistKey(id))), { profile: NORA, name: 'Other', born: 1, createdAt: 5, rest });
  t.match(decodeItem(mine(itemKey(id, itemId('1')))), { song: ONE, addedAt: 5, rest });
  t.same(decodeStar(mine(starKey({ profile: NORA, song: ONE }))), { at: 5, rest }, 'a star keeps its date too');
  t.same(decodeRating(mine(ratingKey({ profile: NORA, song: ONE }))), { rating: 5, rest });
  t.match(decodeSession(mine(sessionKey({ profile: NORA, device: DEVICE }))), { queue: [TWO], playing: true, rest });
  await people.data.settled();
  t.same(people.data.items(id).map(({ song }) => song), [TWO, THREE, ONE]);
});

t.test('of a name that two sides of a partition gave, the older playlist keeps it through every edit', async (t) => {
  const { people, says } = world(t);
  const { id: mine } = await people.playlists.create(nora, { name: 'Mix', songs: [] });
  const theirs = playlistId('0');
  says(BEN, playlistKey(theirs), encodePlaylist({ profile: NORA, name: 'mix', born: 50, createdAt: 1, rest: [] }));
  const names = async (): Promise<(string | undefined)[]> => {
    await people.data.settled();
    return [mine, theirs].map((id) => people.data.playlist(id)?.shownName);
  };
  t.same(await names(), ['Mix', 'mix-2']);
  await people.playlists.rename(mine, 'Mox');
  t.same(await names(), ['Mox', 'mix']);
  await people.playlists.rename(theirs, 'mix');
  await t.rejects(people.playlists.rename(mine, 'MIX'), { code: 'EXISTS' });
  says(CAT, playlistKey(mine), encodePlaylist({ profile: NORA, name: 'mix', born: people.data.playlist(mine)?.born as number, createdAt: 1, rest: [] }));
  t.same(await names(), ['mix', 'mix-2'], 'later written, earlier born');
  await people.playlists.delete(mine);
  t.same(await names(), [undefined, 'mix']);
});

t.test('stars and ratings are those of one profile, and go again', async (t) => {
  const { people } = world(t);
  const anna = profileNamed('Anna');
  await people.marks.star(nora, [ONE, TWO, ONE]);
  await people.marks.star(anna, [THREE]);
  await people.marks.rate(nora, ONE, 3);
  await people.marks.rate(nora, TWO, 5);
  await people.data.settled();
  t.same(people.data.stars(NORA).map(({ song }) => song), [TWO, ONE], 'the last one first');
  t.same(people.data.ratings(NORA).map(({ song, rating }) => [song, rating]), [[TWO, 5], [ONE, 3]]);
  await people.marks.unstar(nora, [TWO, songId('f')]);
  await people.marks.rate(nora, TWO, null);
  await t.rejects(people.marks.star(nora, [songId('f')]), { code: 'NOT_FOUND' });
  await t.rejects(people.marks.rate(nora, songId('f'), 1), { code: 'NOT_FOUND' });
  await people.data.settled();
  t.same(people.data.stars(NORA).map(({ song }) => song), [ONE]);
  t.same(people.data.stars(anna.profile).map(({ song }) => song), [THREE]);
  t.same(people.data.ratings(NORA).map(({ song }) => song), [ONE]);
  t.same(people.data.profiles, [{ profile: 'anna', name: 'Anna' }, { profile: 'nora', name: 'Nora' }]);
});

t.test('every play counts once, on whichever machine, and a session is what its device said last', async (t) => {
  const { people, says, changes } = world(t);
  for (let i = 1; i <= 5; i++) await people.listening.played(nora, ONE, { listenedMs: 1_000, at: i });
  says(BEN, playKey({ profile: NORA, song: ONE }, randomHalfId<PlayId>()), encodePlay({ at: 77, listenedMs: 5 }));
  await people.listening.played(nora, songId('f'), { listenedMs: 1_000 });
  await people.data.settled();
  t.same(people.data.plays(NORA), [{ song: ONE, plays: 6, lastAt: 77 }, { song: songId('f'), plays: 1, lastAt: 1e12 }]);
  await people.listening.save(nora, DEVICE, { queue: [ONE, TWO], index: 0, positionMs: 5, playing: false });
  t.same(await people.data.nextOf(ONE), [], 'nothing plays');
  await people.listening.save(nora, DEVICE, { queue: [ONE, TWO], index: 0, positionMs: 5, playing: true });
  t.same(await people.data.nextOf(ONE), [TWO]);
  await people.listening.save(nora, DEVICE, { queue: [ONE, TWO], index: 1, positionMs: 5, playing: true });
  t.same([await people.data.nextOf(ONE), await people.data.nextOf(TWO)], [[], []], 'at the end of a queue nothing comes next');
  const before = changes();
  says(BEN, sessionKey({ profile: NORA, device: DEVICE }), encodeSession({ queue: [THREE], index: 0, positionMs: 9, playing: false, at: 1, rest: [] }));
  await people.data.settled();
  t.equal(changes(), before + 1, 'pages hear of it');
  t.match([...(await people.data.sessions(NORA))], [[DEVICE, { queue: [THREE], positionMs: 9, playing: false }]]);
});

t.test('a playlist has a bound, and many changes at once are read in one go', async (t) => {
  const { people, store, songs } = world(t);
  const { id } = await people.playlists.create(nora, { name: 'Long', songs: [] });
  const positions = positionsBetween(null, null, PLAYLIST_ITEMS_MAX) as readonly Position[];
  const items = positions.map((position, i) => operationOf({ origin: BEN, lamport: 100 + i, key: itemKey(id, i.toString(16).padStart(16, '0') as ItemId), value: encodeItem({ song: ONE, position, addedAt: 1, rest: [] }) }));
  const { readings } = store;
  people.data.refresh(store.apply(items));
  t.equal((await songs(id)).length, PLAYLIST_ITEMS_MAX);
  t.ok(store.readings - readings < 20, `${store.readings - readings} readings`);
  await t.rejects(people.playlists.add(id, { songs: [ONE] }), { code: 'TOO_LARGE' });
});

// --- over a real database

t.test('what was made is there again from the disk, key by key', async (t) => {
  const { store, people } = await openPeople(t);
  for (const name of ['nora', 'Anna/B', '🎵 雨', '%2f']) {
    const who = profileNamed(name);
    const { id, items } = await people.playlists.create(who, { name, songs: [ONE, TWO, THREE] });
    await people.playlists.move(id, { item: items[2] as ItemId, to: 0 });
    await people.marks.star(who, [ONE, TWO]);
    await people.marks.unstar(who, [ONE]);
    await people.marks.rate(who, TWO, 4);
    await people.listening.played(who, THREE, { listenedMs: 1 });
    await people.listening.save(who, DEVICE, { queue: [ONE], index: 0, positionMs: 1, playing: true });
  }
  const fresh = openData(store, t);
  fresh.load();
  await fresh.settled();
  t.equal(fresh.playlists().length, 4);
  t.equal(fresh.profiles.length, 4);
  for (const { profile } of fresh.profiles) {
    const [playlist] = fresh.playlists(profile);
    t.same(fresh.items(playlist?.id as PlaylistId).map(({ song }) => song), [THREE, ONE, TWO]);
    t.same([fresh.stars(profile).length, fresh.ratings(profile).length, fresh.plays(profile).length, (await fresh.sessions(profile)).size], [1, 1, 1, 1], profile);
  }
  t.strictSame(await seen(fresh), await seen(people.data));
});
