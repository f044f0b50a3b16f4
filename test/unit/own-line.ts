// What is thought of the own line, by what comes through it.
import t from 'tap';
import { CHUNK_BYTES } from '../../lib/limits.ts';
import { OwnLine } from '../../peer/chunks/own-line.ts';

/** One that has just brought so many bytes a millisecond, and has nothing on its way. */
function known(rate: number): { readonly line: OwnLine; readonly now: number } {
  const line = new OwnLine();
  line.asked(10 * rate, 0, 0);
  line.arrived(10 * rate, 10);
  return { line, now: 10 };
}

t.test('nothing is known before something has come, and then all that is on its way takes its time', async (t) => {
  const line = new OwnLine();
  line.asked(1_000, 0, 0);
  t.equal(line.waitMs(50), 0);
  t.ok(line.arrived(1_000, 100), 'told');
  t.equal(line.rate, 10);
  t.notOk(line.arrived(0, 200), 'told once');
  line.asked(500, 0, 200);
  t.equal(line.waitMs(200), 50);
  t.equal(line.waitMs(230), 20);
  t.equal(line.waitMs(300), 0);
});

t.test('the time in which nothing is expected says nothing of it, nor do arrivals within one tick', async (t) => {
  const line = new OwnLine();
  for (let n = 0; n < 4; n++) {
    line.asked(100, 0, n * 1_000);
    t.equal(line.arrived(100, n * 1_000 + 2), n === 2);
  }
  t.equal(line.rate, 50);
});

t.test('it is as fast as it was at its best within five to ten seconds', async (t) => {
  const { line } = known(1_000);
  const waits = (now: number): number => {
    line.asked(1_000, 0, now);
    const ms = line.waitMs(now);
    line.arrived(1_000, now + 100);
    return ms;
  };
  for (let now = 1_000; now < 5_000; now += 1_000) t.equal(waits(now), 1);
  for (let now = 5_000; now < 9_000; now += 1_000) t.equal(waits(now), 1, `${now}`);
  for (let now = 9_000; now < 11_000; now += 1_000) waits(now);
  t.equal(waits(12_000), 100);
});

t.test('what has not come is on its way, however fast the line is thought to be', async (t) => {
  const { line, now } = known(1_000);
  line.asked(5_000, 0, now);
  t.equal(line.waitMs(now + 100), 0);
  line.asked(1_000, 5_000, now + 100);
  t.equal(line.waitMs(now + 100), 6);
});

t.test('there is room for what it brings in two seconds, for three chunks on any line, and what is called off takes its own', async (t) => {
  const { line, now } = known(1_000);
  line.asked(1_900_000, 0, now);
  t.ok(line.hasRoomFor(100_000, now));
  t.notOk(line.hasRoomFor(100_001, now));
  line.refused(50_000, now);
  t.ok(line.hasRoomFor(150_000, now));
  t.ok(line.hasRoomFor(160_000, now + 10), 'as time passes');
  const slow = known(1);
  slow.line.asked(2 * CHUNK_BYTES, 0, slow.now);
  t.ok(slow.line.hasRoomFor(CHUNK_BYTES, slow.now));
  t.notOk(slow.line.hasRoomFor(CHUNK_BYTES + 1, slow.now));
});
