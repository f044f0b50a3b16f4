// The five rules of Lamport's clock, one test each.
import t from 'tap';
import { isLamport, LAMPORT_LEAP_MAX, LAMPORT_MAX, LamportClock } from '../../lib/lamport.ts';
import { compareStamps, type Stamp } from '../../lib/operation.ts';
import type { EpochId, PeerId } from '../../lib/ids.ts';

t.test('Lamport rule 1: a clock starts at zero', async (t) => {
  t.equal(new LamportClock().time, 0);
});

t.test('Lamport rule 2: a clock ticks on an internal event', async (t) => {
  const clock = new LamportClock();
  t.equal(clock.increment(), 1);
  t.equal(clock.increment(), 2);
  t.equal(clock.time, 2);
});

t.test('Lamport rule 3: the time is attached to a message, and lies after what its sender knew', async (t) => {
  const sender = new LamportClock(7);
  const attached = sender.increment();
  t.equal(attached, 8);
  const receiver = new LamportClock();
  receiver.witness(attached);
  t.ok(receiver.increment() > attached, 'what the receiver does next is later than the message');
});

t.test('Lamport rule 4: on receipt a clock becomes max(own, attached) + 1', async (t) => {
  const behind = new LamportClock(3);
  behind.witness(10);
  t.equal(behind.time, 11);
  const ahead = new LamportClock(10);
  ahead.witness(3);
  t.equal(ahead.time, 11);
  const equal = new LamportClock(5);
  equal.witness(5);
  t.equal(equal.time, 6);
});

t.test('Lamport rule 5: times order events, and ties have one order everywhere', async (t) => {
  const stamp = (lamport: number, origin: string, epoch = '0', seq = 1): Stamp => ({ lamport, origin: origin as PeerId, epoch: epoch as EpochId, seq });
  const events = [stamp(2, 'b', '1', 2), stamp(1, 'z'), stamp(2, 'a'), stamp(2, 'b', '1', 1), stamp(2, 'b', '0', 9)];
  const order = [stamp(1, 'z'), stamp(2, 'a'), stamp(2, 'b', '0', 9), stamp(2, 'b', '1', 1), stamp(2, 'b', '1', 2)];
  t.strictSame([...events].sort(compareStamps), order);
  t.strictSame([...events].reverse().sort(compareStamps), order);
});

t.test('a time from another origin that leaps more than 2^40 ahead is not attached; an own one is', async (t) => {
  const clock = new LamportClock(5);
  t.notOk(clock.witness(6 + LAMPORT_LEAP_MAX));
  t.equal(clock.time, 5);
  t.ok(clock.witness(6 + LAMPORT_LEAP_MAX, { own: true }));
  t.equal(clock.time, 7 + LAMPORT_LEAP_MAX);
});

t.test('hearing how far others are is no event: it moves the clock to their time and never beyond', async (t) => {
  const clock = new LamportClock(5);
  for (let beats = 0; beats < 3; beats++) clock.catchUp(9);
  t.equal(clock.time, 9);
  clock.catchUp(3);
  t.equal(clock.time, 9);
  clock.catchUp(10 + LAMPORT_LEAP_MAX);
  t.equal(clock.time, 9, 'a leap is not believed');
  t.equal(clock.increment(), 10);
});

t.test('only times strictly between 0 and 2^52 are valid', async (t) => {
  for (const bad of [0, -1, 1.5, LAMPORT_MAX, Number.NaN, Number.POSITIVE_INFINITY, '1', null]) t.notOk(isLamport(bad), String(bad));
  for (const good of [1, LAMPORT_MAX - 1]) t.ok(isLamport(good), String(good));
});
