// Which machines count, and how songs are counted on them.
import { mock } from 'node:test';
import t from 'tap';
import { type PeerId, randomId } from '../../lib/ids.ts';
import { VANISHING_SONGS_MAX } from '../../lib/limits.ts';
import { GRACE_MS, Machines } from '../../peer/copies/machines.ts';
import { Survey } from '../../peer/copies/survey.ts';
import { mergeSong, type Song } from '../../storage/song-view.ts';
import { describeFile } from '../fixtures/description.ts';

const [SELF, ANN, BEN] = ['0', 'a', 'b'].map((digit) => digit.repeat(32)) as [PeerId, PeerId, PeerId];

t.test('a machine that is gone counts for a moment, and not when it leaves; to be trusted it has to be here', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const here = new Set([ANN, BEN]);
  const leaving = new Set<PeerId>();
  let over = 0;
  const machines = new Machines({ self: SELF, lives: (peer) => here.has(peer), leaves: (peer) => leaving.has(peer), onOver: () => (over += 1) });
  const shown = (peer: PeerId): string => (['lives', 'stays', 'counts'] as const).filter((how) => machines[how](peer)).join();
  t.same([SELF, ANN].map(shown), ['lives,stays,counts', 'lives,stays,counts']);
  here.delete(ANN);
  machines.went(ANN);
  t.equal(shown(ANN), 'counts');
  mock.timers.tick(GRACE_MS - 1);
  t.equal(shown(ANN), 'counts');
  mock.timers.tick(1);
  t.same([shown(ANN), over], ['', 1]);
  here.delete(BEN);
  machines.went(BEN);
  mock.timers.tick(GRACE_MS - 1);
  here.add(BEN);
  machines.came(BEN);
  mock.timers.tick(GRACE_MS);
  t.same([shown(BEN), over], ['lives,stays,counts', 1], 'one that came back in time was never gone');
  leaving.add(BEN).add(SELF);
  t.same([BEN, SELF].map(shown), ['lives', 'lives']);
  here.delete(BEN);
  machines.went(BEN);
  t.equal(shown(BEN), '', 'who said that it leaves has no grace');
  t.equal(shown(randomId<PeerId>()), '');
  machines.stop();
});

t.test('who is known and was not heard yet counts for a moment after the start, as after a power cut', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const leaving = new Set([BEN]);
  let over = 0;
  const machines = new Machines({ self: SELF, lives: () => false, leaves: (peer) => leaving.has(peer), onOver: () => (over += 1), graceMs: 1_000 });
  machines.start();
  t.same([ANN, BEN].map(machines.counts), [true, false]);
  t.notOk(machines.stays(ANN), 'it is not trusted to be there');
  mock.timers.tick(999);
  t.same([machines.counts(ANN), over], [true, 0]);
  mock.timers.tick(1);
  t.same([machines.counts(ANN), over], [false, 1]);
});

function surveyOf(songs: readonly Song[], walkMs = 0, gate: () => Promise<void> = async () => undefined) {
  let now = 0;
  let walks = 0;
  const survey = new Survey({
    catalog: {
      async *walk() {
        walks += 1;
        await gate();
        now += walkMs;
        yield songs;
      },
    },
    machines: { lives: () => true, stays: () => true },
    wanted: () => 2,
    staying: () => 3,
    clock: { now: () => now, wall: () => 0 },
  });
  return { survey, pass: (ms: number) => (now += ms), walks: () => walks };
}

const songOf = (title: string, ...owners: readonly PeerId[]): Song => {
  const description = describeFile({ title });
  return mergeSong(description.song, owners.map((origin) => ({ origin, description })), { self: SELF, copies: new Map() }) as Song;
};

t.test('songs are counted again when something has changed, and a large catalog at most a twentieth of the time', async (t) => {
  const quick = surveyOf([songOf('x', ANN), songOf('y', ANN, BEN)]);
  t.same(await quick.survey.latest(), { songs: new Map([[1, 1], [2, 1]]), toDo: 1, missing: 0 });
  await quick.survey.latest();
  t.equal(quick.walks(), 1, 'nothing has changed');
  quick.survey.changed();
  await quick.survey.latest();
  t.equal(quick.walks(), 2);
  const slow = surveyOf([songOf('x', ANN)], 2_000);
  await slow.survey.latest();
  for (let i = 0; i < 399; i++) {
    slow.pass(100);
    slow.survey.changed();
    await slow.survey.latest();
  }
  t.equal(slow.walks(), 1);
  slow.pass(100);
  await slow.survey.latest();
  t.equal(slow.walks(), 2);
});

t.test('nothing is said to be safe that was not counted; who only looks in does not wait', async (t) => {
  let open = (): void => undefined;
  let gate = new Promise<void>((resolve) => (open = resolve));
  const songs = [songOf('x', ANN)];
  const { survey, walks } = surveyOf(songs, 2_000, () => gate);
  // its own timers keep no process alive
  const alive = setInterval(() => undefined, 1_000);
  t.teardown(() => clearInterval(alive));
  t.equal(survey.last, undefined);
  t.equal(await survey.latest(), undefined, 'the first count is not over');
  const asked = survey.fresh();
  songs.push(songOf('y', ANN, BEN));
  open();
  const both = { songs: new Map([[1, 1], [2, 1]]), toDo: 1, missing: 0 };
  t.same(await asked, both);
  t.same([await survey.latest(), survey.last, await survey.fresh()], [both, both, both]);
  const before = walks();
  gate = new Promise<void>((resolve) => (open = resolve));
  songs.pop();
  survey.changed();
  t.same([await survey.latest(), survey.last], [both, both], 'the last count, at most a twentieth of the time counted anew');
  t.equal(walks(), before);
  const now = survey.fresh();
  open();
  t.same(await now, { songs: new Map([[1, 1]]), toDo: 1, missing: 0 }, 'but who decides by it waits');
});

t.test('a list of what would vanish is bounded and in order of titles, its sum is not', async (t) => {
  const songs = Array.from({ length: VANISHING_SONGS_MAX + 5 }, (_, i) => songOf(`song ${String(i).padStart(5, '0')}`, ANN));
  const { survey } = surveyOf([...songs].reverse());
  const vanishing = await survey.only(ANN, () => false);
  t.same([vanishing.total, vanishing.songs.length, vanishing.bytes, vanishing.smallestBytes], [songs.length, VANISHING_SONGS_MAX, 100 * songs.length, 100]);
  t.same(vanishing.songs.slice(0, 2).map(({ title }) => title), ['song 00000', 'song 00001']);
});
