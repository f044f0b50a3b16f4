// The ground of the simulator: virtual time, network, disks, shrinking and exhaustive search, with a toy peer and its bugs. What
// the real peers do on it is for the campaigns of `npm run sim`.
import { readFileSync } from 'node:fs';
import t from 'tap';
import type { EpochId, PeerId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import { seededRandom } from '../../lib/random.ts';
import { campaign, explainFailure, type Failure, type Repertoire, shrinkFailure } from '../sim/campaign.ts';
import { chance, momentary } from '../sim/chance.ts';
import { Disk, type DiskBatch, DiskImage, randomKey, type DiskModel } from '../sim/disk.ts';
import { explore, type Model } from '../sim/exhaustive.ts';
import { drawScenario, FAMILY_NAMES } from '../sim/families.ts';
import { CALM, Network, type NetworkModel, WIRED } from '../sim/network.ts';
import type { Host, SimEnv, SimInput, SimPeer } from '../sim/peer.ts';
import type { Fault, Scenario } from '../sim/scenario.ts';
import { Scheduler, Timers } from '../sim/scheduler.ts';
import { fewest } from '../sim/shrink.ts';
import { type ToyBug, toySubject } from '../sim/toy.ts';
import { hostName } from '../sim/trace.ts';
import { type Invariant, simulate, type Subject, THROWS } from '../sim/world.ts';

// --- time

t.test('what is due first happens first, and what is due at one instant in the order in which it was asked for', async (t) => {
  const scheduler = new Scheduler();
  const random = seededRandom(1);
  const planned: { readonly at: number; readonly number: number }[] = [];
  const happened: typeof planned = [];
  for (let number = 0; number < 5_000; number++) {
    const plan = { at: Math.floor(random() * 100), number };
    planned.push(plan);
    const happening = scheduler.at(plan.at, () => happened.push(plan));
    if (number % 3 === 0) scheduler.cancel(happening);
  }
  scheduler.runTo(100);
  t.same(happened, planned.filter(({ number }) => number % 3 !== 0).sort((a, b) => a.at - b.at || a.number - b.number));
  t.equal(scheduler.now, 100);
});

t.test('many that are cancelled leave room, and disturb no order', async (t) => {
  const scheduler = new Scheduler();
  const happened: number[] = [];
  const happenings = Array.from({ length: 10_000 }, (_, i) => scheduler.at(10_000 - i, () => happened.push(10_000 - i)));
  for (const [i, happening] of happenings.entries()) if (i % 100 !== 99) scheduler.cancel(happening);
  scheduler.runTo(10_000);
  t.same(happened, Array.from({ length: 100 }, (_, i) => 100 * i + 1));
});

t.test('a timer armed again moves, and none fires after its boot has ended', async (t) => {
  const scheduler = new Scheduler();
  const fired: string[] = [];
  const timers = new Timers(scheduler, (name) => fired.push(`${name} ${scheduler.now}`));
  timers.arm('beat', 10);
  timers.arm('beat', 30);
  timers.arm('sync', 20);
  timers.arm('late', 50);
  scheduler.runTo(40);
  t.same(fired, ['sync 20', 'beat 30']);
  timers.stop();
  scheduler.runTo(100);
  t.equal(fired.length, 2);
});

t.test('generators of one seed with other names have nothing in common, and the same name draws the same', async (t) => {
  const draw = (seed: number, name: string): number[] => Array.from({ length: 5 }, chance(seed, name));
  t.same(draw(7, 'a'), draw(7, 'a'));
  const firsts = new Set<number>();
  for (let seed = 0; seed < 50; seed++) for (let to = 0; to < 50; to++) firsts.add(chance(seed, `datagrams/0/${to}`)());
  t.equal(firsts.size, 2_500);
});

t.test('momentary chance is even, and follows from the time alone', async (t) => {
  const clock = { now: 0 };
  const random = momentary(1, 'x', () => clock.now);
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 20_000; i++) {
    clock.now = i * 0.25;
    for (let nth = 0; nth < 5; nth++) {
      const place = Math.floor(random() * 10);
      counts[place] = (counts[place] as number) + 1;
    }
  }
  for (const count of counts) t.ok(Math.abs(count - 10_000) < 400, String(counts));
  const draw = (earlier: number): number[] => {
    const other = momentary(1, 'x', () => clock.now);
    clock.now = 1;
    for (let i = 0; i < earlier; i++) other();
    clock.now = 2;
    return [other(), other()];
  };
  t.same(draw(0), draw(7));
  t.not(...(draw(0) as [number, number]));
});

// --- network

interface Heard {
  readonly at: number;
  readonly host: Host;
  readonly input: SimInput;
}

function lan({ hosts = 3, model = CALM, captures = false }: { readonly hosts?: number; readonly model?: NetworkModel; readonly captures?: boolean } = {}) {
  const scheduler = new Scheduler();
  const heard: Heard[] = [];
  const up = new Set(Array.from({ length: hosts }, (_, host) => host));
  const deliver = (host: Host, input: SimInput): void => void heard.push({ at: scheduler.now, host, input });
  const network = new Network({ scheduler, seed: 1, hosts, model, deliver, isUp: (host) => up.has(host), captures, trace: null, show: String });
  const contentsAt = (host: Host): unknown[] =>
    heard.flatMap(({ host: at, input }) => (at === host && (input.kind === 'datagram' || input.kind === 'streamFrame') ? [input.content] : []));
  const kindsAt = (host: Host): string[] => heard.filter((one) => one.host === host).map(({ input }) => input.kind);
  return { scheduler, network, heard, up, contentsAt, kindsAt };
}

t.test('what is multicast reaches all others, what is unicast one', async (t) => {
  const { scheduler, network, contentsAt } = lan();
  network.datagrams.multicast(0, 'all', 10);
  network.datagrams.unicast(0, 2, 'one', 10);
  scheduler.runTo(100);
  t.same([contentsAt(0), contentsAt(1), [...contentsAt(2)].sort()], [[], ['all'], ['all', 'one']]);
});

t.test('a datagram too large for any wire is a bug of ours', async (t) => {
  const { network } = lan();
  network.datagrams.multicast(0, 'fits', 1_232);
  t.throws(() => network.datagrams.multicast(0, 'does not', 1_233), { code: 'ERR_ASSERTION' });
});

t.test('loss, repetition and overtaking are as frequent as the model says', async (t) => {
  const { scheduler, network, contentsAt } = lan({ model: { ...CALM, loss: 0.3, duplicates: 0.1, late: 0.05, lateMs: 500 } });
  for (let i = 0; i < 10_000; i++) scheduler.at(i * 10, () => network.datagrams.unicast(0, 1, i, 10));
  scheduler.runTo(200_000);
  const arrived = contentsAt(1) as number[];
  const share = new Set(arrived).size / 10_000;
  t.ok(Math.abs(share - 0.7) < 0.02, `${share} arrived`);
  const twice = arrived.length / new Set(arrived).size - 1;
  t.ok(Math.abs(twice - 0.1) < 0.02, `${twice} of these twice`);
  t.ok(arrived.some((number, i) => number < (arrived[i - 1] ?? 0) - 5), 'some were overtaken by many');
});

t.test('losses in bursts come together, at each receiver for itself', async (t) => {
  const { scheduler, network, contentsAt } = lan({ model: { ...CALM, bursts: { everyMs: 5_000, ms: 500, loss: 1 } } });
  for (let i = 0; i < 10_000; i++) scheduler.at(i * 10, () => network.datagrams.multicast(0, i, 10));
  scheduler.runTo(200_000);
  const missing = (host: Host): number[] => {
    const arrived = new Set(contentsAt(host));
    return Array.from({ length: 10_000 }, (_, i) => i).filter((i) => !arrived.has(i));
  };
  const [one, two] = [missing(1), missing(2)];
  t.ok(one.length > 400 && one.length < 2_000, `${one.length} lost of 10,000`);
  const together = one.filter((i, place) => one[place - 1] === i - 1).length;
  t.ok(together > one.length * 0.9, 'most beside another');
  t.not(JSON.stringify(one), JSON.stringify(two));
});

t.test('over a way that is cut nothing comes, the other way all does, and both when every cut has healed', async (t) => {
  const { scheduler, network, contentsAt } = lan();
  const healWay = network.cut([{ from: 0, to: 1 }]);
  const healAround = network.cut(network.paths.around([0, 2]));
  network.datagrams.unicast(1, 0, 'around', 10);
  network.datagrams.unicast(0, 2, 'inside', 10);
  healAround();
  network.datagrams.unicast(0, 1, 'lost', 10);
  network.datagrams.unicast(1, 0, 'back', 10);
  healWay();
  healWay();
  network.datagrams.unicast(0, 1, 'healed', 10);
  scheduler.runTo(100);
  t.same([contentsAt(0), contentsAt(1), contentsAt(2)], [['back'], ['healed'], ['inside']]);
});

t.test('everything ever sent can be sent again', async (t) => {
  const { scheduler, network, contentsAt } = lan({ captures: true });
  network.datagrams.unicast(0, 1, 'old', 10);
  scheduler.runTo(1_000);
  network.datagrams.replay(2, 3, seededRandom(1));
  scheduler.runTo(2_000);
  t.same(contentsAt(2), ['old', 'old', 'old']);
});

t.test('on a wire a burst that nobody paces overflows its receivers, and a paced one does not', async (t) => {
  const burst = lan({ model: WIRED });
  for (let i = 0; i < 20_000; i++) burst.network.datagrams.multicast(0, i, 1_232);
  burst.scheduler.runTo(10_000);
  const arrived = burst.contentsAt(1).length;
  t.ok(arrived > 910 && arrived < 20_000 / 2, `${arrived} of 20,000`);
  const paced = lan({ model: WIRED });
  for (let i = 0; i < 5_000; i++) paced.scheduler.at(i, () => paced.network.datagrams.multicast(0, i, 1_232));
  paced.scheduler.runTo(10_000);
  t.equal(paced.contentsAt(1).length, 5_000);
});

t.test('a stream brings everything in order, and its end after all that was said', async (t) => {
  const { scheduler, network, contentsAt, kindsAt } = lan({ model: { ...CALM, mostMs: 50 } });
  const stream = network.streams.open(0, 1);
  scheduler.runTo(200);
  t.same([kindsAt(0), kindsAt(1)], [['streamOpened'], ['streamOpened']]);
  for (let i = 0; i < 100; i++) network.streams.write(0, stream, i, 10);
  network.streams.write(1, stream, 'back', 10);
  network.streams.close(0, stream);
  scheduler.runTo(1_000);
  t.same(contentsAt(1), Array.from({ length: 100 }, (_, i) => i));
  t.equal(kindsAt(1).at(-1), 'streamClosed');
  t.same(contentsAt(0), [], 'who has closed it hears no more');
});

t.test('a cut stream delivers nothing after, and both ends hear that it is closed', async (t) => {
  const { scheduler, network, contentsAt, kindsAt } = lan();
  const stream = network.streams.open(0, 1);
  scheduler.runTo(100);
  network.streams.write(0, stream, 'on its way', 10);
  network.streams.cut((one, other) => one === 0 || other === 0);
  network.streams.write(0, stream, 'after', 10);
  scheduler.runTo(30_000);
  t.same([contentsAt(0), contentsAt(1)], [[], []]);
  t.same([kindsAt(0), kindsAt(1)], [['streamOpened', 'streamClosed'], ['streamOpened', 'streamClosed']]);
});

t.test('a stream stands still where it is held back, and goes on in order', async (t) => {
  const { scheduler, network, contentsAt } = lan();
  const stream = network.streams.open(0, 1);
  scheduler.runTo(100);
  const letGo = network.streams.holdBack([{ from: 0, to: 1 }]);
  network.streams.write(0, stream, 'first', 10);
  network.streams.write(1, stream, 'back', 10);
  scheduler.runTo(5_000);
  t.same([contentsAt(0), contentsAt(1)], [['back'], []]);
  network.streams.write(0, stream, 'second', 10);
  letGo();
  scheduler.runTo(6_000);
  t.same(contentsAt(1), ['first', 'second']);
});

t.test('a stream outlives a short cut of its way and not a long one, either way', async (t) => {
  for (const way of [{ from: 0, to: 1 }, { from: 1, to: 0 }]) {
    for (const [ms, survives] of [[10_000, true], [25_000, false]] as const) {
      const { scheduler, network, contentsAt, kindsAt } = lan();
      const stream = network.streams.open(0, 1);
      scheduler.runTo(100);
      const heal = network.cut([way]);
      network.streams.write(0, stream, 'held', 10);
      scheduler.runTo(100 + ms);
      t.same(contentsAt(1), []);
      heal();
      scheduler.runTo(40_000);
      t.same(contentsAt(1), survives ? ['held'] : []);
      t.equal(kindsAt(0).includes('streamClosed'), !survives);
    }
  }
});

t.test('a machine on which nobody listens refuses, and one that cannot be reached says nothing for three seconds', async (t) => {
  const { scheduler, network, heard, up } = lan();
  up.delete(1);
  network.streams.open(0, 1);
  scheduler.runTo(100);
  t.match(heard.at(-1)?.input, { kind: 'streamClosed', refused: true });
  up.add(1);
  network.streams.refuse(1, true);
  network.streams.open(0, 1);
  scheduler.runTo(200);
  t.match(heard.splice(0).map(({ input }) => input), [{ kind: 'streamClosed', refused: true }, { kind: 'streamClosed', refused: true }]);
  network.streams.refuse(1, false);
  network.streams.open(0, 1);
  scheduler.runTo(300);
  t.same(heard.splice(0).map(({ input }) => input.kind), ['streamOpened', 'streamOpened']);
  network.cut([{ from: 2, to: 0 }]);
  network.streams.open(0, 2);
  scheduler.runTo(3_200);
  t.equal(heard.length, 0);
  scheduler.runTo(4_000);
  t.match(heard.at(-1)?.input, { kind: 'streamClosed', refused: false });
});

t.test('a process that is gone hears nothing of its streams, and the other side hears that it is gone', async (t) => {
  for (let tries = 0; tries < 20; tries++) {
    const { scheduler, network, kindsAt } = lan();
    for (let i = 0; i < tries; i++) network.streams.open(2, 2);
    const stream = network.streams.open(0, 1);
    scheduler.runTo(100);
    network.streams.write(1, stream, 'to the dead', 10);
    network.streams.down(0);
    scheduler.runTo(200);
    t.same([kindsAt(0), kindsAt(1).at(-1)], [['streamOpened'], 'streamClosed']);
  }
});

// --- disks

const SYNCED: DiskModel = { leastMs: 5, mostMs: 10, syncless: false };
const piece = (name: string): DiskBatch => ({ aside: { name, pieces: [[tombstone(name)]] } });
const A = 'a'.repeat(32) as PeerId;

const tombstone = (key: string): Operation => ({ origin: A, epoch: '1'.repeat(16) as EpochId, seq: 1, lamport: 1, key, value: null });

/** A batch of both kinds, which only a whole one shows in both places. */
const twofold = (name: string): DiskBatch => ({
  ...piece(name),
  operations: { network: 'home', batch: { puts: [tombstone(name)], superseded: [], heads: [], digest: new Uint8Array(32), lamport: 1 } },
});

const lies = (image: DiskImage, name: string): boolean => {
  try {
    return image.piece(name, 0).length > 0;
  } catch {
    return false;
  }
};

function disk(seed: number, model = SYNCED) {
  const scheduler = new Scheduler();
  const made = new Disk({ scheduler, random: seededRandom(seed), model });
  const done: string[] = [];
  const commit = (name: string): void => made.commit(twofold(name), (error) => done.push(error === null ? name : `${name}: ${error.code}`));
  const names = (): string[] => ['a', 'b', 'c', 'd', 'e', 'f'].filter((name) => lies(made.view, name));
  return { scheduler, disk: made, done, commit, names };
}

t.test('a batch is on the disk when its writer is told, and not before', async (t) => {
  const { scheduler, commit, names, done } = disk(1);
  commit('a');
  scheduler.runTo(4);
  t.same([names(), done], [[], []]);
  scheduler.runTo(20);
  t.same([names(), done], [['a'], ['a']]);
});

t.test('a crash in the middle of a commit leaves it whole or absent, and nothing after one that is absent', async (t) => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const { scheduler, disk: made, commit, names, done } = disk(seed);
    for (const name of ['a', 'b', 'c']) commit(name);
    scheduler.runTo(10.01);
    made.crash();
    scheduler.runTo(100);
    const kept = names();
    t.same(made.view.operations('home').registers('').map(({ key }) => key), kept, 'both parts or none');
    t.equal(done.length, 1, 'the writers of the others are gone');
    seen.add(kept.join(''));
  }
  t.same([...seen].sort(), ['a', 'ab', 'abc'], 'each of these happens, and nothing else');
});

t.test('without syncs a crash loses any of the last batches, though their writers were told, and none from long ago', async (t) => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 100; seed++) {
    const { scheduler, disk: made, commit, names, done } = disk(seed, { ...SYNCED, syncless: true });
    commit('a');
    scheduler.runTo(2_000);
    for (const name of ['b', 'c']) commit(name);
    scheduler.runTo(2_100);
    t.equal(done.length, 3);
    made.crash();
    seen.add(names().join(''));
  }
  t.same([...seen].sort(), ['a', 'ab', 'abc', 'ac']);
});

t.test('after a write that failed all fail until the process starts anew, and the failed one may be there then', async (t) => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 40; seed++) {
    const { scheduler, disk: made, commit, names, done } = disk(seed);
    made.fill();
    commit('a');
    scheduler.runTo(50);
    made.makeRoom();
    commit('b');
    scheduler.runTo(100);
    t.same(done, ['a: DISK_FULL', 'b: DISK_FULL']);
    t.same(names(), []);
    made.crash();
    commit('c');
    scheduler.runTo(200);
    t.equal(done.at(-1), 'c');
    seen.add(names().join(''));
  }
  t.same([...seen].sort(), ['ac', 'c']);
});

t.test('a lost tail is the last batches, a restored backup what was there then, and a wiped disk nothing', async (t) => {
  const { scheduler, disk: made, commit, names } = disk(1);
  const write = (name: string): void => {
    commit(name);
    scheduler.runTo(scheduler.now + 20);
  };
  for (const name of ['a', 'b', 'c']) write(name);
  const backup = made.copy();
  for (const name of ['d', 'e']) write(name);
  made.loseTail(1);
  t.same(names(), ['a', 'b', 'c', 'd']);
  const before = made.view.identity;
  made.restore(backup);
  t.same(names(), ['a', 'b', 'c']);
  write('f');
  t.notOk(lies(backup, 'f'), 'the backup stays what it was');
  made.loseTail(16);
  t.same(names(), ['a', 'b', 'c'], 'what was restored is no tail');
  made.wipe({ keepsIdentity: true });
  t.same([names(), made.view.identity === before], [[], true]);
  made.wipe({ keepsIdentity: false });
  t.not(made.view.identity, before);
  const image = new DiskImage(randomKey(seededRandom(1)));
  t.equal(image.copy().identity, image.identity);
});

// --- whole runs

const QUIET: Scenario = { name: 'test', peers: 3, seconds: 3, network: CALM, disk: SYNCED, faults: [], workload: [] };

t.test('one seed gives one trace, twice, and another seed another', async (t) => {
  for (const name of FAMILY_NAMES) {
    const hashOf = (seed: number): number | undefined => simulate(toySubject(), drawScenario(5, name), { seed, traceLines: 10 }).trace?.hash;
    t.equal(hashOf(5), hashOf(5), name);
    t.not(hashOf(5), hashOf(6), name);
  }
});

t.test('scenarios are data: printed and read again they are the same run', async (t) => {
  for (const name of FAMILY_NAMES) {
    const scenario = drawScenario(11, name);
    const again = JSON.parse(JSON.stringify(scenario)) as Scenario;
    t.same(again, scenario, name);
    t.equal(simulate(toySubject(), again, { seed: 11, traceLines: 1 }).trace?.hash, simulate(toySubject(), scenario, { seed: 11, traceLines: 1 }).trace?.hash);
  }
});

t.test('the families draw every kind of fault, on hosts that exist and before the end', async (t) => {
  const kinds = new Set<string>();
  for (let seed = 0; seed < 500; seed++) {
    const { faults, peers, seconds } = drawScenario(seed);
    for (const fault of faults) {
      kinds.add(fault.kind);
      if (fault.kind === 'partition') t.ok(fault.side.length < peers);
      if (fault.at > seconds * 1_000) t.fail(JSON.stringify(fault));
    }
  }
  const machines: Fault['kind'][] = ['backup', 'clockJump', 'clone', 'crash', 'fullDisk', 'late', 'loseTail', 'pause', 'restore', 'stop', 'wipe'];
  const lines: Fault['kind'][] = ['cutStreams', 'holdBack', 'lossBurst', 'oneWay', 'partition', 'refuseStreams', 'replay'];
  t.same([...kinds].sort(), [...machines, ...lines].sort());
});

/** Writes down what it gets. */
function recorder(): { readonly subject: Subject<SimPeer>; readonly inputs: Heard[]; readonly envs: SimEnv[] } {
  const inputs: Heard[] = [];
  const envs: SimEnv[] = [];
  const make = (env: SimEnv): SimPeer => {
    envs.push(env);
    return {
      input: (input) => {
        inputs.push({ at: env.now(), host: env.host, input });
        if (input.kind === 'started' || input.kind === 'expired') env.arm('tick', 100);
      },
    };
  };
  return { subject: { make, invariants: () => [], healMs: 1_000, stableMs: 0, quietMs: 1_000, show: String }, inputs, envs };
}

t.test('a paused process gets nothing, and then all of it at once and in order', async (t) => {
  const { subject, inputs } = recorder();
  const faults: Fault[] = [{ kind: 'pause', at: 1_000, host: 0, forMs: 500 }];
  const workload: Scenario['workload'] = [1, 2].map((i) => ({ kind: 'write', at: 1_000 + 100 * i, host: 0, key: `k${i}`, value: '' }));
  simulate(subject, { ...QUIET, peers: 1, seconds: 2, faults, workload }, { seed: 1 });
  const during = inputs.filter(({ at }) => at > 1_000 && at < 1_500);
  t.same(during, []);
  const after = inputs.filter(({ at }) => at === 1_500).map(({ input }) => (input.kind === 'command' && input.command.kind === 'write' ? input.command.key : input.kind));
  t.same([...after].sort(), ['expired', 'k1', 'k2'], 'one tick, because nobody armed the next');
  t.ok(after.indexOf('k1') < after.indexOf('k2'));
});

t.test('a crash ends timers and batches of its boot, and the next boot starts with what is on the disk', async (t) => {
  const { subject, inputs, envs } = recorder();
  simulate(subject, { ...QUIET, peers: 1, seconds: 2, faults: [{ kind: 'crash', at: 1_000, host: 0, restartMs: 300 }] }, { seed: 1 });
  t.same(inputs.filter(({ at }) => at > 1_000 && at < 1_300), []);
  t.same(inputs.filter(({ at }) => at >= 1_300 && at < 1_450).map(({ at, input }) => `${input.kind} ${at}`), ['started 1300', 'expired 1400']);
  const quick = recorder();
  simulate(quick.subject, { ...QUIET, peers: 1, seconds: 2, faults: [{ kind: 'crash', at: 1_000, host: 0, restartMs: 10 }] }, { seed: 1 });
  t.same(quick.inputs.filter(({ at }) => at > 1_000 && at < 1_150).map(({ at, input }) => `${input.kind} ${at}`), ['started 1010', 'expired 1110']);
  t.equal(envs.length, 2);
  t.equal(envs[0]?.identity, envs[1]?.identity);
  t.not(envs[0]?.random(), envs[1]?.random());
});

t.test('a clone has the identity of its original and a disk of its own; a wiped machine has neither', async (t) => {
  const { subject, envs } = recorder();
  const faults: Fault[] = [
    { kind: 'clone', at: 1_000, host: 0, forMs: null },
    { kind: 'wipe', at: 1_500, host: 1, keepsIdentity: false, restartMs: 0 },
  ];
  simulate(subject, { ...QUIET, peers: 2, seconds: 2, faults }, { seed: 1 });
  const of = (host: Host): SimEnv[] => envs.filter((env) => env.host === host);
  t.equal(of(2)[0]?.identity, of(0)[0]?.identity);
  t.not(of(2)[0]?.disk, of(0)[0]?.disk);
  t.not(of(1)[1]?.identity, of(1)[0]?.identity);
});

t.test('who is gone for good stays away when everything heals, and all others are there', async (t) => {
  const { subject, inputs } = recorder();
  const faults: Fault[] = [
    { kind: 'crash', at: 1_000, host: 0, restartMs: null },
    { kind: 'crash', at: 1_000, host: 1, restartMs: 1e9 },
    { kind: 'late', at: 1e9, host: 2 },
    { kind: 'pause', at: 1_000, host: 3, forMs: 1e9 },
  ];
  const tooLate: Fault = { kind: 'crash', at: 2_500, host: 3, restartMs: null };
  simulate(subject, { ...QUIET, peers: 4, seconds: 2, faults: [...faults, tooLate] }, { seed: 1 });
  t.same([...new Set(inputs.filter(({ at }) => at > 2_600).map(({ host }) => host))].sort(), [1, 2, 3]);
  t.same(inputs.filter(({ at, host }) => host === 2 && at < 2_000), [], 'and who is late is not there before');
});

t.test('clocks on the wall are apart, drift and jump, and the monotonic one is the same for all', async (t) => {
  const { subject, envs } = recorder();
  const seen: number[][] = [];
  const scenario: Scenario = { ...QUIET, peers: 3, seconds: 2, faults: [{ kind: 'clockJump', at: 1_000, host: 0, byMs: -5_000 }] };
  const look: Invariant<SimPeer> = {
    name: 'look',
    stepped: () => {
      seen.push([...envs].sort((a, b) => a.host - b.host).map((env) => env.wall() - env.now()));
      return null;
    },
  };
  const looking: Subject<SimPeer> = { ...subject, invariants: () => [look] };
  simulate(looking, scenario, { seed: 1 });
  const full = seen.filter(({ length }) => length === 3) as [number, number, number][];
  const [first, last] = [full[0], full.at(-1)] as [[number, number, number], [number, number, number]];
  t.ok(Math.abs(first[0] - first[1]) > 1_000 && Math.abs(first[1] - first[2]) > 1_000);
  t.ok(Math.abs(last[0] - first[0] + 5_000) < 10, 'jumped');
  t.not(last[1], first[1], 'drifted');
  t.ok(Math.abs(last[1] - first[1]) < 1);
});

// --- finding bugs

const toyRepertoire = (bug?: ToyBug): Repertoire => ({ play: (scenario, options) => simulate(toySubject(bug), scenario, options), families: FAMILY_NAMES, written: [], draw: drawScenario });

const findBug = (bug: ToyBug, seeds: number, family?: string): Failure => {
  const failure = campaign({ repertoires: [toyRepertoire(bug)], seeds: Array.from({ length: seeds }, (_, seed) => seed), ...(family !== undefined && { family }) });
  if (failure === null) throw new Error(`'${bug}' was not found in ${seeds} seeds`);
  return failure;
};

t.test('a peer without bugs passes every family', async (t) => {
  const failure = campaign({ repertoires: [toyRepertoire()], seeds: Array.from({ length: 220 }, (_, seed) => seed) });
  t.equal(failure, null);
});

t.test('the shrinker finds the one fault that matters: whoever orders by the time of day is undone by a clock that jumps', async (t) => {
  const failure = findBug('wall clock', 200, 'leaps');
  t.equal(failure.violation.invariant, 'what was acknowledged is kept');
  const smallest = shrinkFailure(failure);
  t.same(smallest.faults.map(({ kind }) => kind), ['clockJump']);
  t.equal(smallest.workload.length, 2, 'a write before it and one after it, to one key');
  t.equal(new Set(smallest.workload.map((step) => (step.kind === 'write' || step.kind === 'delete' ? step.key : ''))).size, 1);
  t.equal(smallest.peers, 1);
  t.ok(smallest.seconds <= failure.scenario.seconds);
  const again = simulate(toySubject('wall clock'), JSON.parse(JSON.stringify(smallest)) as Scenario, { seed: failure.seed });
  t.equal(again.violation?.invariant, failure.violation.invariant, 'played again from its text');
});

t.test('who acknowledges before the sync is found by a crash in between', async (t) => {
  const failure = findBug('early acknowledgement', 2_000, 'crashes');
  t.equal(failure.violation.invariant, 'what was acknowledged is kept');
  const smallest = shrinkFailure(failure);
  t.equal(smallest.faults.length, 1);
  t.equal(smallest.workload.length, 1);
});

t.test('peers that stay apart, and peers that throw, are violations', async (t) => {
  t.equal(findBug('one exchange', 200).violation.invariant, 'all hold the same');
  const { violation } = findBug('throws', 50);
  t.equal(violation.invariant, THROWS);
  t.match(violation.message, /a stream was closed/);
});

t.test('a failure is told with all that it takes to play it again', async (t) => {
  const folder = t.testdir();
  const failure = findBug('wall clock', 200, 'leaps');
  const text = explainFailure(failure, folder);
  t.match(text, `seed ${failure.seed}, scenario leaps: VIOLATION of 'what was acknowledged is kept'`);
  const path = `${folder}/failure-${failure.seed}.json`;
  t.match(text, `npm run sim -- --seed ${failure.seed} --replay ${path}`);
  const smallest = JSON.parse(readFileSync(path, 'utf8')) as Scenario;
  t.equal(simulate(toySubject('wall clock'), smallest, { seed: failure.seed }).violation?.invariant, failure.violation.invariant);
  t.match(readFileSync(`${folder}/failure-${failure.seed}.txt`, 'utf8'), /VIOLATION/);
});

t.test('nothing happens after a violation', async (t) => {
  const { subject, inputs } = recorder();
  const picky: Invariant<SimPeer> = { name: 'no second input', stepped: () => (inputs.length > 1 ? 'a second' : null) };
  const { violation } = simulate({ ...subject, invariants: () => [picky] }, QUIET, { seed: 1 });
  t.match(violation, { invariant: 'no second input', message: 'a second' });
  t.equal(inputs.length, 2);
});

t.test('a violation ends the trace, which says who did what and when', async (t) => {
  const failure = findBug('wall clock', 200, 'leaps');
  const { trace } = simulate(toySubject('wall clock'), failure.scenario, { seed: failure.seed, traceLines: 5 });
  t.equal(trace?.tail.length, 5);
  t.match(trace?.tail.at(-1), /^ *\d+\.\d{3} +VIOLATION of 'what was acknowledged is kept'/);
  t.match(String(trace), /^… \d+ lines before these\n/);
  t.same([0, 25, 26, 701, 702].map(hostName), ['A', 'Z', 'AA', 'ZZ', 'AAA']);
});

t.test('of a list the fewest are found that fail together', async (t) => {
  const list = Array.from({ length: 40 }, (_, i) => i);
  const tried: number[] = [];
  const left = fewest(list, (fewer) => {
    tried.push(fewer.length);
    return [3, 17, 30].every((one) => fewer.includes(one));
  });
  t.same(left, [3, 17, 30]);
  t.ok(tried.length < 80, `${tried.length} tries`);
  t.same(fewest(list, () => true), []);
  t.same(fewest(list, () => false), list);
});

// --- every schedule

/** Two-phase commit, in which the coordinator may decide before all have voted, if `isBroken`. */
interface Votes {
  readonly votes: readonly ('none' | 'yes' | 'no')[];
  readonly decision: 'none' | 'commit' | 'abort';
  readonly followed: readonly ('none' | 'commit' | 'abort')[];
}

function twoPhases(participants: number, isBroken: boolean): Model<Votes, string> {
  const replaced = <T>(list: readonly T[], place: number, by: T): T[] => list.map((one, i) => (i === place ? by : one));
  return {
    initial: { votes: Array(participants).fill('none'), decision: 'none', followed: Array(participants).fill('none') },
    actions: ({ votes, decision, followed }) => [
      ...votes.flatMap((vote, i) => (vote === 'none' ? [`yes ${i}`, `no ${i}`] : [])),
      ...(decision === 'none' && (isBroken ? votes[0] === 'yes' : votes.every((vote) => vote === 'yes')) ? ['commit'] : []),
      ...(decision === 'none' && votes.includes('no') ? ['abort'] : []),
      ...followed.flatMap((done, i) => (done === 'none' && decision !== 'none' ? [`follow ${i}`] : [])),
    ],
    apply: (world, action) => {
      const [verb, place] = action.split(' ') as [string, string?];
      if (verb === 'commit' || verb === 'abort') return { ...world, decision: verb };
      if (verb === 'follow') return { ...world, followed: replaced(world.followed, Number(place), world.decision) };
      return { ...world, votes: replaced(world.votes, Number(place), verb as 'yes' | 'no') };
    },
    fingerprint: (world) => JSON.stringify(world),
    check: ({ votes, followed }, isFinal) => {
      const wrong = votes.findIndex((vote, i) => vote === 'no' && followed[i] === 'commit');
      if (wrong >= 0) return `${wrong} said no and has to commit`;
      return isFinal && followed.includes('none') ? 'somebody waits for ever' : null;
    },
    show: (action) => action,
  };
}

t.test('the search of all schedules finds nothing in two-phase commit, after as many states as there are', async (t) => {
  for (const participants of [1, 2, 3, 4]) {
    const { states, counterexample, isComplete } = explore(twoPhases(participants, false), { statesMax: 1e6 });
    t.equal(counterexample, null);
    t.ok(isComplete);
    // undecided: any votes; commit: all yes; abort: any votes with a no; decided ones followed by any of them
    const followings = 2 ** participants;
    t.equal(states, 3 ** participants + followings + (3 ** participants - 2 ** participants) * followings);
  }
});

t.test('a coordinator that decides too early is found by the shortest way', async (t) => {
  const { counterexample } = explore(twoPhases(3, true), { statesMax: 1e6 });
  t.match(counterexample?.message, /said no and has to commit/);
  t.equal(counterexample?.actions.length, 4);
  t.same([...(counterexample?.actions ?? [])].sort().map((action) => action.split(' ')[0]), ['commit', 'follow', 'no', 'yes']);
});

t.test('a search that is too large says that it is not complete', async (t) => {
  const counting: Model<number, number> = { initial: 0, actions: () => [1], apply: (world, by) => world + by, fingerprint: String, check: () => null, show: String };
  t.match(explore(counting, { statesMax: 200_000 }), { states: 200_000, counterexample: null, isComplete: false });
});
