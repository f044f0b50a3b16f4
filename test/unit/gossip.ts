// Gossip as a machine: no clock, no socket, no disk. Each test feeds inputs and reads effects.
import t from 'tap';
import type { EpochId, PeerId } from '../../lib/ids.ts';
import type { ReplicaBeat } from '../../lib/messages.ts';
import type { Operation } from '../../lib/operation.ts';
import { seededRandom } from '../../lib/random.ts';
import { type Effect, type Held, initial, type Input, type State, step } from '../../peer/replication/gossip.ts';

const A = 'a'.repeat(32) as PeerId;
const B = 'b'.repeat(32) as PeerId;
const EPOCH = 'e'.repeat(16) as EpochId;

const operation = (seq: number, origin = A, bytes = 10): Operation => ({ origin, epoch: EPOCH, seq, lamport: seq, key: `k${seq}`, value: Buffer.alloc(bytes) });
const root = (n: number): Uint8Array => Buffer.alloc(8, n);
const beat = (fields: Partial<ReplicaBeat> = {}): ReplicaBeat => ({
  kind: 'beat', port: 1, periodMs: 1_000, lamport: 1, root: root(0), head: null, heard: [], asks: false, network: null, user: false, ...fields,
});

/** A machine whose replica takes in at once whatever it is told to append. */
function machine(seed = 1): { state: State; heads: Map<string, number>; root: { value: Uint8Array }; feed: (input: Input) => Effect[] } {
  const heads = new Map<string, number>();
  const held = { value: root(0) };
  const replica: Held = { head: (origin, epoch) => heads.get(`${origin}${epoch}`) ?? 0, root: () => held.value };
  const state = initial(replica, seededRandom(seed));
  const feed = (input: Input): Effect[] => {
    const effects = step(state, input);
    return effects.flatMap((effect) => {
      if (effect.kind !== 'append') return [effect];
      for (const { origin, epoch, seq } of effect.operations) heads.set(`${origin}${epoch}`, seq);
      return [effect, ...feed({ kind: 'moved', origins: [...new Set(effect.operations.map((one) => one.origin))], now: input.now })];
    });
  };
  return { state, heads, root: held, feed };
}

const appended = (effects: readonly Effect[]): number[] => effects.flatMap((effect) => (effect.kind === 'append' ? effect.operations.map(({ seq }) => seq) : []));
const sent = (effects: readonly Effect[]): number => effects.filter(({ kind }) => kind === 'multicast').length;

t.test('writes within 20 ms share one datagram, which is said three times in all', async (t) => {
  const { feed } = machine();
  t.same(feed({ kind: 'wrote', operations: [operation(1)], now: 0 }), [{ kind: 'arm', timer: 'flush', ms: 20 }]);
  t.same(feed({ kind: 'wrote', operations: [operation(2)], now: 5 }), [], 'the timer already runs');
  const first = feed({ kind: 'expired', timer: 'flush', now: 20 });
  t.same(first, [{ kind: 'multicast', operations: [operation(1), operation(2)] }, { kind: 'arm', timer: 'repeat', ms: 60 }]);
  const second = feed({ kind: 'expired', timer: 'repeat', now: 80 });
  t.equal(sent(second), 1);
  t.match(second.at(-1), { kind: 'arm', timer: 'repeat', ms: 180 });
  t.same(feed({ kind: 'expired', timer: 'repeat', now: 260 }), [{ kind: 'multicast', operations: [operation(1), operation(2)] }]);
  t.same(feed({ kind: 'expired', timer: 'repeat', now: 999 }), [], 'and then no more');
});

const kinds = (effects: readonly Effect[]): string[] => effects.map(({ kind }) => kind);

t.test('what would take more than ten datagrams a second is not multicast at all', async (t) => {
  const { feed } = machine();
  const many = Array.from({ length: 40 }, (_, i) => operation(i + 1, A, 1_000));
  feed({ kind: 'wrote', operations: many, now: 0 });
  t.same(kinds(feed({ kind: 'expired', timer: 'flush', now: 20 })), ['announce', 'arm'], 'a beat says it instead');
  feed({ kind: 'wrote', operations: many, now: 21 });
  t.same(feed({ kind: 'expired', timer: 'flush', now: 41 }), [], 'once in a while');
  feed({ kind: 'wrote', operations: many.slice(0, 10), now: 30 });
  t.equal(sent(feed({ kind: 'expired', timer: 'flush', now: 50 })), 10, 'ten are');
  feed({ kind: 'wrote', operations: [operation(99)], now: 500 });
  t.same(feed({ kind: 'expired', timer: 'flush', now: 520 }), [{ kind: 'announce' }], 'an eleventh in the same second is not');
  feed({ kind: 'wrote', operations: [operation(100)], now: 1_060 });
  t.equal(sent(feed({ kind: 'expired', timer: 'flush', now: 1_080 })), 1, 'in the next second it is');
});

t.test('a change that is too large to be said again is announced as often instead', async (t) => {
  const { feed } = machine();
  feed({ kind: 'wrote', operations: [1, 2, 3].map((seq) => operation(seq, A, 1_000)), now: 0 });
  t.same(kinds(feed({ kind: 'expired', timer: 'flush', now: 20 })), ['multicast', 'multicast', 'multicast', 'arm']);
  t.same(kinds(feed({ kind: 'expired', timer: 'repeat', now: 80 })), ['announce', 'arm']);
  t.same(kinds(feed({ kind: 'expired', timer: 'repeat', now: 260 })), ['announce']);
});

t.test('a change that comes while another is still to be said again does not take its turns', async (t) => {
  const { feed } = machine();
  feed({ kind: 'wrote', operations: [operation(1)], now: 0 });
  feed({ kind: 'expired', timer: 'flush', now: 20 });
  feed({ kind: 'wrote', operations: [operation(2)], now: 30 });
  t.same(feed({ kind: 'expired', timer: 'flush', now: 50 }), [{ kind: 'multicast', operations: [operation(2)] }], 'the timer already runs');
  const both = { kind: 'multicast' as const, operations: [operation(1), operation(2)] };
  t.same(feed({ kind: 'expired', timer: 'repeat', now: 80 }), [both, { kind: 'arm', timer: 'repeat', ms: 180 }]);
  t.same(feed({ kind: 'expired', timer: 'repeat', now: 260 }), [both]);
});

t.test('operations are applied in order, whatever the order in which they come, and each once', async (t) => {
  const { state, feed } = machine();
  t.same(appended(feed({ kind: 'received', operations: [operation(3), operation(2)], now: 0 })), []);
  t.same(appended(feed({ kind: 'received', operations: [operation(3)], now: 1 })), []);
  t.same(appended(feed({ kind: 'received', operations: [operation(1)], now: 2 })), [1, 2, 3]);
  t.same(appended(feed({ kind: 'received', operations: [operation(2)], now: 3 })), []);
  t.equal(state.waitingCount, 0, 'nothing is left waiting');
});

t.test('a sync that jumps over what waits lets it go', async (t) => {
  const { state, heads, feed } = machine();
  feed({ kind: 'received', operations: [operation(5), operation(8)], now: 0 });
  heads.set(`${A}${EPOCH}`, 7);
  t.same(appended(feed({ kind: 'moved', origins: [A], now: 1 })), [8]);
  t.equal(state.waitingCount, 0);
});

t.test('no more than the bound waits beyond gaps', async (t) => {
  const { state, feed } = machine();
  for (let i = 0; i < 6_000; i++) feed({ kind: 'received', operations: [operation(i + 2)], now: 0 });
  t.equal(state.waitingCount, 4_096);
  t.equal(appended(feed({ kind: 'received', operations: [operation(1)], now: 1 })).length, 4_097, 'but the one that they wait for is let in');
  t.equal(state.waitingCount, 0);
});

t.test('what waits for a peer that is gone waits no longer', async (t) => {
  const { state, feed } = machine();
  feed({ kind: 'received', operations: [operation(5)], now: 0 });
  feed({ kind: 'gone', peer: A, now: 1 });
  t.equal(state.waitingCount, 0);
  t.equal(state.waiting.size, 0);
});

t.test('a newcomer is synced with within 20 ms, one sync at a time', async (t) => {
  const { feed } = machine();
  const [armed] = feed({ kind: 'joined', peer: A, now: 0 });
  t.match(armed, { kind: 'arm', timer: 'sync' });
  t.ok(armed?.kind === 'arm' && armed.ms <= 20);
  t.same(feed({ kind: 'joined', peer: B, now: 1 }), []);
  t.same(feed({ kind: 'expired', timer: 'sync', now: 20 }), [{ kind: 'sync', peer: A, origin: null }]);
  t.match(feed({ kind: 'synced', peer: A, now: 90 }), [{ kind: 'arm', timer: 'sync' }]);
  t.same(feed({ kind: 'expired', timer: 'sync', now: 110 }), [{ kind: 'sync', peer: B, origin: null }]);
});

t.test('a beat with a longer own log is answered by a pull of that origin, unless it has come meanwhile', async (t) => {
  const { heads, feed } = machine();
  const longer = beat({ head: { epoch: EPOCH, seq: 3 }, root: root(1) });
  t.match(feed({ kind: 'beat', from: A, beat: longer, now: 0 }), [{ kind: 'arm', timer: 'sync' }]);
  t.same(feed({ kind: 'expired', timer: 'sync', now: 300 }), [{ kind: 'sync', peer: A, origin: A }]);
  feed({ kind: 'synced', peer: A, now: 310 });
  feed({ kind: 'beat', from: A, beat: longer, now: 320 });
  heads.set(`${A}${EPOCH}`, 3);
  t.same(feed({ kind: 'expired', timer: 'sync', now: 700 }), []);
});

t.test('differing roots count only when the own vectors were still for half a second', async (t) => {
  const { feed } = machine();
  feed({ kind: 'moved', origins: [], now: 0 });
  t.same(feed({ kind: 'beat', from: A, beat: beat({ root: root(1) }), now: 499 }), []);
  t.match(feed({ kind: 'beat', from: A, beat: beat({ root: root(1) }), now: 500 }), [{ kind: 'arm', timer: 'sync' }]);
  t.same(feed({ kind: 'beat', from: B, beat: beat({ root: root(1) }), now: 501 }), [], 'any one peer will do');
  t.same(feed({ kind: 'expired', timer: 'sync', now: 700 }), [{ kind: 'sync', peer: A, origin: null }]);
});

t.test('peers that heard the same beats do not pull from the same writers one after the other', async (t) => {
  const peers = Array.from({ length: 10 }, (_, i) => String(i).repeat(32) as PeerId);
  const pulls = (seed: number): PeerId[] => {
    const { feed } = machine(seed);
    for (const peer of peers) feed({ kind: 'beat', from: peer, beat: beat({ head: { epoch: EPOCH, seq: 1 } }), now: 0 });
    return peers.map(() => {
      const [sync] = feed({ kind: 'expired', timer: 'sync', now: 100 });
      const peer = sync?.kind === 'sync' ? sync.peer : t.fail('each is pulled from');
      feed({ kind: 'synced', peer: peer as PeerId, now: 100 });
      return peer as PeerId;
    });
  };
  t.same([...pulls(1)].sort(), peers);
  t.not(String(pulls(1)), String(pulls(2)));
});

t.test('equal roots cause nothing, for as long as they are equal', async (t) => {
  const { feed } = machine();
  for (let now = 0; now < 60_000; now += 1_000) t.same(feed({ kind: 'beat', from: A, beat: beat(), now }), []);
});

t.test('nobody is synced with who has gone', async (t) => {
  const { feed } = machine();
  feed({ kind: 'joined', peer: A, now: 0 });
  feed({ kind: 'gone', peer: A, now: 5 });
  t.same(feed({ kind: 'expired', timer: 'sync', now: 20 }), []);
});

t.test('what a peer said before it went counts no longer when it is back', async (t) => {
  const { state, feed } = machine();
  feed({ kind: 'beat', from: A, beat: beat(), now: 0 });
  feed({ kind: 'gone', peer: A, now: 10 });
  t.equal(state.beats.size, 0);
  feed({ kind: 'joined', peer: A, now: 5_000 });
  // its root was ours before it went; what it wrote meanwhile, nobody here has heard
  t.same(feed({ kind: 'expired', timer: 'sync', now: 5_020 }), [{ kind: 'sync', peer: A, origin: null }]);
});

t.test('while one sync runs no timer starts another, and what was wanted meanwhile comes after it', async (t) => {
  const { feed } = machine();
  feed({ kind: 'joined', peer: A, now: 0 });
  t.same(feed({ kind: 'expired', timer: 'sync', now: 20 }), [{ kind: 'sync', peer: A, origin: null }]);
  t.same(feed({ kind: 'behind', peer: B, now: 30 }), [], 'nothing is armed');
  t.same(feed({ kind: 'expired', timer: 'sync', now: 40 }), [], 'nothing is started');
  t.match(feed({ kind: 'synced', peer: A, now: 50 }), [{ kind: 'arm', timer: 'sync' }]);
  t.same(feed({ kind: 'expired', timer: 'sync', now: 70 }), [{ kind: 'sync', peer: B, origin: null }], 'and is not forgotten');
});

t.test('a beat of before the reason to pull says nothing about it', async (t) => {
  for (const kind of ['announced', 'behind', 'joined'] as const) {
    const { feed } = machine();
    feed({ kind: 'beat', from: A, beat: beat(), now: 0 }); // roots are equal
    feed({ kind, peer: A, now: 100 });
    t.match(feed({ kind: 'expired', timer: 'sync', now: 500 }), [{ kind: 'sync', peer: A, origin: kind === 'announced' ? A : null }], kind);
    feed({ kind: 'synced', peer: A, now: 510 });
    feed({ kind, peer: A, now: 600 });
    feed({ kind: 'beat', from: A, beat: beat(), now: 700 });
    t.same(feed({ kind: 'expired', timer: 'sync', now: 1_000 }), [], `${kind}, but it has come meanwhile`);
  }
});

t.test('in a network that never stands still a difference that lasts counts after ten seconds', async (t) => {
  const { feed } = machine();
  let armedAt = 0;
  for (let now = 1_000; now < 30_000 && armedAt === 0; now += 300) {
    feed({ kind: 'moved', origins: [], now });
    if (feed({ kind: 'beat', from: A, beat: beat({ root: root(1) }), now: now + 1 }).length > 0) armedAt = now;
  }
  t.ok(armedAt >= 11_000 && armedAt < 12_000, `after ${armedAt - 1_000} ms`);
});
