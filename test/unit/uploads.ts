// Whose chunk goes out next: turns among peers, urgencies, slots, and lines that take nothing.
import fc from 'fast-check';
import t from 'tap';
import type { PeerId } from '../../lib/ids.ts';
import { UPLOADS_AT_ONCE } from '../../lib/limits.ts';
import type { Urgency } from '../../peer/chunks/provider-link.ts';
import { systemAlarms } from '../../peer/chunks/alarms.ts';
import { UploadGate } from '../../peer/chunks/upload-gate.ts';
import { STUCK_MS, Uploads } from '../../peer/chunks/uploads.ts';

const peer = (n: number): PeerId => String(n).padStart(32, '0') as PeerId;

/** Uploads that end when the test says so. */
class Desk {
  readonly uploads = new Uploads();
  readonly started: number[] = [];
  readonly peerOf = new Map<number, number>();
  readonly open = new Set<number>();
  now = 0;
  #id = 0;

  ask(n: number, urgency: Urgency = 'soon'): number {
    const id = ++this.#id;
    this.peerOf.set(id, n);
    this.#begin(this.uploads.ask({ id, peer: peer(n), urgency }, this.now));
    return id;
  }

  done(id: number): void {
    this.open.delete(id);
    this.#begin(this.uploads.done(id, this.now));
  }

  cancel(id: number): void {
    this.open.delete(id);
    this.#begin(this.uploads.cancelled(id, this.now));
  }

  look(): void {
    this.#begin(this.uploads.look(this.now));
  }

  #begin(ids: readonly number[]): void {
    for (const id of ids) {
      this.started.push(id);
      this.open.add(id);
    }
  }
}

t.test('whoever asks for much waits as long as who asks for little', async (t) => {
  const desk = new Desk();
  for (let i = 0; i < 100; i++) desk.ask(1);
  const mine = desk.ask(2);
  t.equal(desk.open.size, UPLOADS_AT_ONCE, 'no more at once');
  desk.done(desk.started[0] as number);
  t.ok(desk.started.includes(mine), 'the next turn is the other one’s');
});

t.test('each of several has its share of what is sent, whatever they ask for', async (t) => {
  const desk = new Desk();
  for (let i = 0; i < 400; i++) desk.ask(1);
  for (const n of [2, 3, 4]) for (let i = 0; i < 100; i++) desk.ask(n);
  for (let i = 0; i < 200; i++) desk.done(desk.started[i] as number);
  const sent = [1, 2, 3, 4].map((n) => desk.started.slice(UPLOADS_AT_ONCE, 200).filter((id) => desk.peerOf.get(id) === n).length);
  t.ok(Math.max(...sent) - Math.min(...sent) <= UPLOADS_AT_ONCE, `${sent}`);
});

t.test('listeners come before those who read ahead, and copies wait for both', async (t) => {
  const desk = new Desk();
  for (let i = 0; i < UPLOADS_AT_ONCE; i++) desk.ask(1, 'later');
  const copy = desk.ask(2, 'background');
  const later = desk.ask(3, 'later');
  const soon = desk.ask(4, 'soon');
  desk.done(desk.started[0] as number);
  t.equal(desk.started.at(-1), soon);
  desk.done(desk.started[1] as number);
  t.equal(desk.started.at(-1), later);
  for (const id of [...desk.open]) {
    t.notOk(desk.open.has(copy), 'not while anything else is on its way');
    desk.done(id);
  }
  t.ok(desk.open.has(copy));
});

t.test('a line that takes nothing holds up nobody else, and has one chunk at a time', async (t) => {
  const desk = new Desk();
  for (let i = 0; i < 2 * UPLOADS_AT_ONCE; i++) desk.ask(1);
  t.equal(desk.open.size, UPLOADS_AT_ONCE);
  const copy = desk.ask(2, 'background');
  const other = desk.ask(3);
  t.notOk(desk.open.has(other), 'all slots are taken');
  t.equal(desk.uploads.lookAt(desk.now), STUCK_MS);
  desk.now = STUCK_MS;
  desk.look();
  t.ok(desk.open.has(other));
  desk.done(other);
  t.ok(desk.open.has(copy), 'what is stuck is not listened to');
  desk.done(copy);
  const before = desk.started.length;
  for (const id of desk.started.slice(0, UPLOADS_AT_ONCE - 1)) desk.done(id);
  t.equal(desk.started.length, before, 'fifteen are through, and the sixteenth is not');
  desk.done(desk.started[UPLOADS_AT_ONCE - 1] as number);
  t.equal(desk.started.length, before + 1, 'one at a time');
  desk.now += STUCK_MS;
  desk.done(desk.started.at(-1) as number);
  t.equal(desk.started.length, before + 2, 'again too late');
  desk.now += STUCK_MS - 1;
  desk.done(desk.started.at(-1) as number);
  t.equal(desk.started.length, before + 2 + UPLOADS_AT_ONCE - 2, 'one that got through in time is trusted again');
});

t.test('a line that took nothing is remembered while its peer asks for nothing, and what is called off proves nothing of it', async (t) => {
  const desk = new Desk();
  const first = desk.ask(1);
  desk.now = STUCK_MS;
  desk.done(first);
  t.equal(desk.open.size, 0);
  for (let i = 0; i < 4; i++) desk.ask(1);
  t.equal(desk.open.size, 1);
  desk.cancel([...desk.open][0] as number);
  t.equal(desk.open.size, 1);
  desk.now++;
  desk.done([...desk.open][0] as number);
  t.equal(desk.open.size, 2);
  const other = new Desk();
  const hung = other.ask(1);
  other.now = STUCK_MS;
  other.cancel(hung);
  other.ask(1);
  other.ask(1);
  t.equal(other.open.size, 1, 'unless it was under way for too long');
});

t.test('who leaves is not waited for', async (t) => {
  const desk = new Desk();
  const ids = Array.from({ length: UPLOADS_AT_ONCE + 1 }, () => desk.ask(1));
  const waiting = ids.at(-1) as number;
  desk.done(waiting);
  for (const id of ids.slice(0, UPLOADS_AT_ONCE)) desk.done(id);
  t.notOk(desk.started.includes(waiting));
  t.equal(desk.uploads.lookAt(0), undefined, 'nothing is left');
});

t.test('whatever is asked, cancelled and sent: no more than the slots at once, everybody gets through, nothing starts twice', () => {
  const urgency = fc.constantFrom<Urgency>('soon', 'later', 'background');
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('ask' as const), peer: fc.integer({ min: 0, max: 5 }), urgency }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('done' as const), which: fc.nat(50) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), which: fc.nat(50) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 2 * STUCK_MS }) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const desk = new Desk();
      const asked = new Set<number>();
      let stuck = false;
      for (const step of steps) {
        const waiting = [...asked].filter((id) => !desk.started.includes(id));
        if (step.kind === 'ask') asked.add(desk.ask(step.peer, step.urgency));
        else if (step.kind === 'done' && desk.open.size > 0) desk.done([...desk.open][step.which % desk.open.size] as number);
        else if (step.kind === 'cancel' && waiting.length > 0) {
          const id = waiting[step.which % waiting.length] as number;
          asked.delete(id);
          desk.cancel(id);
        } else if (step.kind === 'wait') {
          desk.now += step.ms;
          stuck ||= desk.open.size > 0;
          desk.look();
        }
        if (!stuck && desk.open.size > UPLOADS_AT_ONCE) throw new Error(`${desk.open.size} at once`);
      }
      for (let turns = 0; desk.open.size > 0; turns++) {
        if (turns > 1_000) throw new Error('it never ends');
        desk.done([...desk.open][0] as number);
      }
      const started = new Set(desk.started);
      if (started.size !== desk.started.length) throw new Error('one was started twice');
      for (const id of asked) if (!started.has(id)) throw new Error(`${id} never had its turn`);
    }),
    { numRuns: 300 },
  );
  return Promise.resolve();
});

t.test('a place is given back when nobody waits any more, also while the disk has not answered', async (t) => {
  const gate = new UploadGate(systemAlarms);
  const gone = Array.from({ length: UPLOADS_AT_ONCE }, () => new AbortController());
  await Promise.all(gone.map((controller) => gate.enter(peer(1), 'soon', controller.signal)));
  let through = false;
  const waiting = gate.enter(peer(1), 'soon', new AbortController().signal).then(() => (through = true));
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(through, false, 'all places are taken');
  gone[0]?.abort();
  await waiting;
  const late = new AbortController();
  const refused = gate.enter(peer(1), 'soon', late.signal);
  late.abort();
  await t.rejects(refused, { code: 'CANCELLED' });
});
