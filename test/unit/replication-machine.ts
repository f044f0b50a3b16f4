// Replication as one machine, with a disk that answers at once: who mints, what clones do, and how often the disk is compared.
import t from 'tap';
import type { EpochId, NetworkId, PeerId } from '../../lib/ids.ts';
import type { ReplicaBeat } from '../../lib/messages.ts';
import { seededRandom } from '../../lib/random.ts';
import { Replication, type ReplicationEffect, type ReplicationInput, type ReplicationTimer } from '../../peer/replication/replication.ts';
import { MemoryOperations } from '../sim/memory-operations.ts';

const [ANN, ME, ZOE] = ['a', 'm', 'f'].map((digit) => (digit === 'm' ? 'b' : digit).repeat(32)) as [PeerId, PeerId, PeerId];
const HOME = '1'.repeat(32) as NetworkId;
const beat = (parts: Partial<ReplicaBeat> = {}): ReplicaBeat => ({ kind: 'beat', port: 1, periodMs: 1_000, lamport: 1, root: new Uint8Array(8), head: null, heard: [], asks: false, network: null, user: false, ...parts });

function peer({ network = null as NetworkId | null } = {}) {
  const store = new MemoryOperations();
  if (network) store.commit({ puts: [], superseded: [], heads: [], digest: new Uint8Array(32), lamport: 0, network });
  const machine = new Replication({ self: ME, stored: store.load(), random: seededRandom(1), newEpoch: () => 'e'.repeat(16) as EpochId, newNetwork: () => HOME });
  const feed = (input: ReplicationInput): ReplicationEffect[] =>
    machine.step(input).flatMap((effect): ReplicationEffect[] => {
      const { now } = input;
      if (effect.kind === 'read') return feed({ kind: 'disk', input: { kind: 'read', held: store.held(effect.registers), piece: null }, now });
      if (effect.kind !== 'commit') return [effect];
      store.commit(effect.batch);
      return feed({ kind: 'disk', input: { kind: 'committed' }, now });
    });
  return { machine, store, feed };
}

const kinds = (effects: readonly ReplicationEffect[]): string[] => effects.map(({ kind }) => kind);
const armed = (effects: readonly ReplicationEffect[], timer: ReplicationTimer): number | undefined =>
  effects.flatMap((effect) => (effect.kind === 'arm' && effect.timer === timer ? [effect.ms] : []))[0];

t.test('of peers that start together the smallest mints the id, and the others wait for it', async (t) => {
  const alone = peer();
  t.equal(armed(alone.feed({ kind: 'started', now: 0 }), 'mint'), 1_500);
  alone.feed({ kind: 'expired', timer: 'mint', now: 1_500 });
  t.equal(alone.machine.ledger.network, HOME);
  const smallest = peer();
  smallest.feed({ kind: 'beat', from: ZOE, beat: beat(), now: 1_000 });
  smallest.feed({ kind: 'expired', timer: 'mint', now: 1_500 });
  t.equal(smallest.machine.ledger.network, HOME);
  const other = peer();
  other.feed({ kind: 'beat', from: ANN, beat: beat(), now: 1_000 });
  t.equal(armed(other.feed({ kind: 'expired', timer: 'mint', now: 1_500 }), 'mint'), 1_500);
  t.equal(other.machine.ledger.network, null);
  other.feed({ kind: 'expired', timer: 'mint', now: 3_000 });
  t.equal(other.machine.ledger.network, HOME, 'one that was not heard again is waited for no longer');
});

t.test('who has a clone writes nothing that mirrors its disk until it is alone, and then compares the whole', async (t) => {
  const { feed, store } = peer({ network: HOME });
  const own = (id: number, now: number): ReplicationEffect[] => feed({ kind: 'write', id, changes: [{ key: `holding/${id}`, value: null }], user: false, now });
  const settling = feed({ kind: 'cloned', yields: false, now: 0 });
  t.equal(armed(settling, 'settle'), 12_000);
  t.match(own(1, 10), [{ kind: 'refused', task: 1, error: { code: 'CLONE' } }]);
  feed({ kind: 'write', id: 2, changes: [{ key: 'star/a', value: null }], user: true, now: 20 });
  feed({ kind: 'expired', timer: 'gate', now: 300 });
  t.same(store.registers('').map(({ key }) => key), ['star/a'], 'what a person writes goes on');
  t.ok(armed(feed({ kind: 'expired', timer: 'settle', now: 12_000 }), 'reconcile') !== undefined);
  t.ok(kinds(own(3, 12_010)).includes('done'));
  t.ok(kinds(peer({ network: HOME }).feed({ kind: 'cloned', yields: true, now: 0 })).includes('rekey'));
});

t.test('what comes back is compared with the disk soon, and at most once in ten seconds', async (t) => {
  const { feed } = peer({ network: HOME });
  const back = (seq: number, now: number): ReplicationEffect[] =>
    feed({ kind: 'task', task: { kind: 'append', id: 0, operations: [{ origin: ME, epoch: '0'.repeat(16) as EpochId, seq, lamport: seq, key: `holding/${seq}`, value: null }] }, now });
  t.equal(armed(back(1, 0), 'reconcile'), 200);
  t.equal(armed(back(2, 50), 'reconcile'), undefined, 'once for both');
  t.same(kinds(feed({ kind: 'expired', timer: 'reconcile', now: 200 })), ['reconcile', 'tell']);
  t.equal(armed(back(3, 1_200), 'reconcile'), 9_000);
});

t.test('hearsay of what people made ends with who said it, and is not passed on', async (t) => {
  const { machine, feed } = peer({ network: HOME });
  feed({ kind: 'beat', from: ANN, beat: beat({ network: HOME, user: true }), now: 0 });
  t.same([machine.user, machine.ledger.user], [true, false], 'beats say what is held');
  const other = '2'.repeat(32) as NetworkId;
  t.equal(machine.meeting({ network: other, user: true }), 'apart');
  feed({ kind: 'gone', peer: ANN, now: 1_000 });
  t.equal(machine.user, false);
  t.equal(machine.meeting({ network: other, user: true }), 'adopt');
});
