// What people write: when it waits, whom it asks, and what its writer is told. And the side that is asked.
import t from 'tap';
import type { EpochId, PeerId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import { Keeper } from '../../peer/replication/keeper.ts';
import { UserWrites, type UserWritesEffect } from '../../peer/replication/user-writes.ts';

const [ANN, BEN, CLEO] = ['a', 'b', 'c'].map((digit) => digit.repeat(32)) as [PeerId, PeerId, PeerId];
const EPOCH = 'e'.repeat(16) as EpochId;
const operations: Operation[] = [{ origin: ANN, epoch: EPOCH, seq: 1, lamport: 1, key: 'star/x', value: null }];
const changes = [{ key: 'star/x', value: null }];
const asked = (effects: readonly UserWritesEffect[]): PeerId[] => effects.flatMap((effect) => (effect.kind === 'ask' ? [effect.peer] : []));
const told = (effects: readonly UserWritesEffect[]): string[] => effects.flatMap((effect) => (effect.kind === 'acknowledge' ? [`${effect.id} ${effect.how}`] : []));

/** One whose gate is open, and which has written. */
function written(peers: readonly PeerId[]): { readonly writes: UserWrites; readonly effects: readonly UserWritesEffect[] } {
  const writes = new UserWrites();
  writes.step({ kind: 'attached' });
  writes.step({ kind: 'write', id: 7, changes, now: 0 });
  return { writes, effects: writes.step({ kind: 'wrote', id: 7, operations, peers, now: 1 }) };
}

t.test('the first write of a start waits for a living peer\'s time, and for a second at most', async (t) => {
  const heard = new UserWrites();
  t.same(heard.step({ kind: 'started', now: 0 }), [{ kind: 'arm', timer: 'gate', ms: 1_000 }]);
  t.same(heard.step({ kind: 'write', id: 1, changes, now: 5 }), []);
  t.same(heard.step({ kind: 'attached' }), [{ kind: 'commit', id: 1, changes }]);
  t.same(heard.step({ kind: 'write', id: 2, changes, now: 6 }), [{ kind: 'commit', id: 2, changes }], 'later ones do not wait');
  const alone = new UserWrites();
  alone.step({ kind: 'started', now: 0 });
  alone.step({ kind: 'write', id: 1, changes, now: 5 });
  t.same(alone.step({ kind: 'expired', timer: 'gate' }), [{ kind: 'commit', id: 1, changes }]);
});

t.test('two peers are asked, and the first that has it on its disk is enough', async (t) => {
  const { writes, effects } = written([ANN, BEN, CLEO]);
  t.same(asked(effects), [ANN, BEN]);
  t.match(effects.at(-1), { kind: 'arm', timer: 'acknowledge/7', ms: 300 });
  t.same(told(writes.step({ kind: 'answered', id: 7, peer: BEN, held: true })), ['7 replicated']);
  t.same(writes.step({ kind: 'answered', id: 7, peer: ANN, held: true }), [], 'told once');
  t.same(writes.step({ kind: 'expired', timer: 'acknowledge/7' }), []);
  t.equal(writes.localOnly, 0);
});

t.test('who does not have it is replaced by the next, and when nobody is left the write is local only', async (t) => {
  const { writes } = written([ANN, BEN, CLEO]);
  t.same(asked(writes.step({ kind: 'answered', id: 7, peer: ANN, held: false })), [CLEO]);
  t.same(told(writes.step({ kind: 'answered', id: 7, peer: BEN, held: false })), []);
  t.same(told(writes.step({ kind: 'answered', id: 7, peer: CLEO, held: false })), ['7 local only']);
  t.equal(writes.localOnly, 1);
});

t.test('a write is local only at once where nobody is, and after 300 ms where nobody answers', async (t) => {
  t.same(told(written([]).effects), ['7 local only']);
  const { writes } = written([ANN]);
  t.same(told(writes.step({ kind: 'expired', timer: 'acknowledge/7' })), ['7 local only']);
  t.same(writes.step({ kind: 'answered', id: 7, peer: ANN, held: true }), [], 'what comes later changes nothing');
});

t.test('who is asked answers when its committed head claims it, and gives up before the asker does', async (t) => {
  let head = 0;
  const keeper = new Keeper(() => head);
  t.same(keeper.step({ kind: 'asked', id: 1, origin: ANN, epoch: EPOCH, seq: 3 }), [{ kind: 'arm', timer: 'keep/1', ms: 250 }]);
  head = 2;
  t.same(keeper.step({ kind: 'moved', origin: ANN }), []);
  head = 3;
  t.same(keeper.step({ kind: 'moved', origin: BEN }), []);
  t.same(keeper.step({ kind: 'moved', origin: ANN }), [{ kind: 'answer', id: 1, held: true }]);
  t.same(keeper.step({ kind: 'expired', timer: 'keep/1' }), []);
  t.same(keeper.step({ kind: 'asked', id: 2, origin: ANN, epoch: EPOCH, seq: 3 }), [{ kind: 'answer', id: 2, held: true }], 'at once when it is there');
  keeper.step({ kind: 'asked', id: 3, origin: ANN, epoch: EPOCH, seq: 9 });
  t.same(keeper.step({ kind: 'expired', timer: 'keep/3' }), [{ kind: 'answer', id: 3, held: false }]);
});
