// Every schedule of small worlds: the quick part, and that each world's search finds the bugs that it is for. The whole search is
// `npm run sim -- --exhaustive`.
import t from 'tap';
import type { NetworkId } from '../../lib/ids.ts';
import { uniteKey } from '../../lib/kinds.ts';
import { TRUE } from '../../peer/replication/replication.ts';
import { endsWrong } from '../sim/small-claims.ts';
import { smallEpoch, smallId, SmallPeer } from '../sim/small-peer.ts';
import { explain, SMALL_WORLDS } from '../sim/small-worlds.ts';

// some seconds on a machine that has time
t.setTimeout(120_000);

const epoch = smallEpoch(0, { isBelow: false });

for (const world of SMALL_WORLDS) {
  t.test(`no schedule of the small world '${world.name}' goes wrong, as far as there is time`, async (t) => {
    const { states, depth, counterexample, isComplete } = world.search('quick');
    t.comment(`${states} states, ${depth} steps`);
    t.equal(counterexample && explain(counterexample), null);
    t.ok(isComplete);
    t.ok(states > 1_000, `${states} states`);
  });

  for (const bug of world.bugs) {
    t.test(`the search of '${world.name}' finds that ${bug.name}`, async (t) => {
      const { states, counterexample } = bug.search();
      t.ok(counterexample, `${states} states`);
      if (counterexample) t.comment(`\n${explain(counterexample)}\n${states} states`);
      t.ok((counterexample?.actions.length ?? 0) >= 1);
    });
  }
}

t.test('who gives way to another network takes no union along', async (t) => {
  const [home, other, next] = [2, 3, 1].map((number) => smallId<NetworkId>(number)) as [NetworkId, NetworkId, NetworkId];
  const run = (peer: SmallPeer, task: Parameters<SmallPeer['run']>[0]): SmallPeer => peer.run(task, () => epoch).peer;
  const minted = run(SmallPeer.empty(smallId(1)), { kind: 'enter', id: 1, network: home });
  const united = run(minted, { kind: 'write', id: 1, changes: [home, other].map((id) => ({ key: uniteKey(id), value: TRUE })) });
  t.same([...united.ledger.networks].sort(), [home, other]);
  const moved = run(united, { kind: 'enter', id: 1, network: next });
  t.same([...moved.ledger.networks], [next], 'nothing bridges it to networks that its members have not heard of');
  t.same(moved.winners, []);
});

t.test('peers that cannot agree are told from those that can', async (t) => {
  const write = (number: number): SmallPeer =>
    SmallPeer.empty(smallId(number)).run({ kind: 'write', id: 1, changes: [{ key: 'star/x', value: TRUE }] }, () => epoch).peer;
  const peers = [write(1), write(2)];
  t.equal(endsWrong(peers), null);
  t.match(endsWrong(peers, (asker) => asker.run({ kind: 'append', id: 1, operations: [] }).peer), /do not come to an end/);
  t.match(endsWrong(peers, (asker) => asker), /in the end A has .* of what somebody held/);
});
