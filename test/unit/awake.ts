// The clock of leases counts sleep, which the monotonic clock does not.
import t from 'tap';
import { awakeClock } from '../../lib/awake.ts';

/** A machine: its monotonic clock stands still while it sleeps, the time since its boot does not. */
function machine() {
  const time = { monotonic: 1_000, sinceBoot: 500_000 };
  const clock = awakeClock({ now: () => time.monotonic, wall: () => 0 as never }, () => Math.floor(time.sinceBoot / 10) * 10);
  const pass = (ms: number, { asleep = false } = {}): number => {
    if (!asleep) time.monotonic += ms;
    time.sinceBoot += ms;
    return clock.now();
  };
  return { clock, pass, time };
}

t.test('what a machine slept counts, once', async (t) => {
  const { pass } = machine();
  t.equal(pass(1_000), 2_000);
  t.equal(pass(2_500, { asleep: true }), 4_500);
  t.equal(pass(100), 4_600);
  t.equal(pass(1_000, { asleep: true }), 5_600);
});

t.test('awake it goes as the monotonic clock does, though the other is told in hundredths only', async (t) => {
  const { pass } = machine();
  let expected = 1_000;
  for (let i = 0; i < 1_000; i += 1) t.equal(pass(7), (expected += 7));
});

t.test('it never goes back', async (t) => {
  const { clock, pass, time } = machine();
  const before = pass(3_000, { asleep: true });
  time.sinceBoot -= 10_000;
  t.equal(clock.now(), before);
});
