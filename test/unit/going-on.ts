// What lies behind a piece of a song that a player took.
import t from 'tap';
import type { FileId } from '../../lib/ids.ts';
import { GOING_ON_MAX } from '../../lib/limits.ts';
import { GoingOn, GOES_ON_MS } from '../../peer/music/going-on.ts';
import { ManualAlarms } from '../fixtures/manual-alarms.ts';

const file = (n: number): FileId => String(n).padStart(32, '0') as FileId;

interface Bringing {
  readonly file: FileId;
  readonly at: () => number;
  readonly signal: AbortSignal;
  readonly ends: () => void;
  readonly fails: (error: Error) => void;
}

function room(): { readonly clock: ManualAlarms; readonly brought: Bringing[]; readonly errors: unknown[]; readonly goingOn: GoingOn; readonly take: (n: number, start: number, end: number, listens?: boolean) => void } {
  const clock = new ManualAlarms();
  const [brought, errors]: [Bringing[], unknown[]] = [[], []];
  const goingOn = new GoingOn({ alarms: clock, onError: (error) => errors.push(error) });
  const take = (n: number, start: number, end: number, listens = true): void => {
    const plays = goingOn.began(file(n), start, listens);
    goingOn.took(file(n), end, plays ? (at, signal) => new Promise((ends, fails) => brought.push({ file: file(n), at, signal, ends, fails })) : undefined);
  };
  return { clock, brought, errors, goingOn, take };
}

const aborted = (brought: readonly Bringing[]): boolean[] => brought.map(({ signal }) => signal.aborted);

t.test('what lies behind a piece is brought for half a minute, and on from each piece that follows', async (t) => {
  const { clock, brought, take } = room();
  take(1, 0, 100);
  t.equal(brought[0]?.at(), 100);
  await clock.pass(GOES_ON_MS - 1);
  take(1, 100, 250);
  t.equal(brought[0]?.at(), 250);
  await clock.pass(GOES_ON_MS - 1);
  t.strictSame(aborted(brought), [false], 'by one and the same');
  await clock.pass(1);
  t.strictSame(aborted(brought), [true]);
  t.equal(clock.alarms, 0);
});

t.test('who jumps has it brought from there, and who only looks changes nothing', (t) => {
  const { brought, goingOn, take } = room();
  take(1, 0, 100);
  take(1, 900, 901, false);
  take(1, 100, 110, false);
  t.strictSame(aborted(brought), [false]);
  t.equal(brought[0]?.at(), 110, 'nor for who goes on with a short piece');
  goingOn.began(file(1), 500, true);
  t.strictSame(aborted(brought), [true], 'at once: what is there has the line');
  take(1, 500, 600);
  t.equal(brought[1]?.at(), 600);
  t.end();
});

t.test('a short piece is only looked at, unless it goes on from one before', (t) => {
  const { brought, take } = room();
  take(1, 0, 10, false);
  take(1, 50, 60, false);
  t.equal(brought.length, 0);
  take(1, 60, 70, false);
  t.equal(brought[0]?.at(), 70);
  t.end();
});

t.test('nobody brings the whole library on: of many songs those that were taken last', (t) => {
  const { brought, clock, goingOn, take } = room();
  for (let n = 0; n < GOING_ON_MAX; n++) take(n, 0, 100);
  take(0, 100, 200);
  take(GOING_ON_MAX, 0, 100);
  t.strictSame(aborted(brought), brought.map((_, n) => n === 1), 'the second was taken first');
  goingOn.stop();
  t.ok(aborted(brought).every(Boolean));
  take(7, 0, 100);
  t.equal(brought.length, GOING_ON_MAX + 1, 'nothing after the end');
  t.equal(clock.alarms, 0);
  t.end();
});

t.test('when all is here, or cannot be had, that is over; the next piece tries anew', async (t) => {
  const { brought, clock, errors, take } = room();
  take(1, 0, 100);
  brought[0]?.ends();
  await new Promise(setImmediate);
  t.equal(clock.alarms, 0);
  take(1, 100, 200);
  brought[1]?.fails(new Error('gone'));
  await new Promise(setImmediate);
  t.match(errors, [{ message: 'gone' }]);
  take(1, 200, 300);
  t.equal(brought.length, 3);
});
