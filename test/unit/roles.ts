// Roles on whole peers with services that go wrong: two peers in this process, on the loopback interface. What an endless loop in a
// service must not do is to delay the beats of its machine, or what else it serves.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { extname } from 'node:path';
import t, { type Test } from 'tap';
import { groupAddress } from '../../discovery/group.ts';
import { codeOf } from '../../lib/errors.ts';
import { generateIdentity } from '../../lib/identity.ts';
import { type BootId, idFromBytes, type PeerId, randomId } from '../../lib/ids.ts';
import { Keyring } from '../../lib/keyring.ts';
import { openNetwork } from '../../lib/network-key.ts';
import type { Role } from '../../lib/roles.ts';
import type { Peer } from '../../peer/peer.ts';
import { type Programs, PROGRAMS } from '../../peer/services/programs.ts';
import { Streams } from '../../peer/stream/streams.ts';
import { GROUP, home, networkOf, SOON_MS, startPeerOf } from '../fixtures/whole-peer.ts';
import { until } from '../lab/until.ts';

/** A coordinator, and who holds a role. */
const BEAT_MS = 300;
const ROLES_HERE: readonly Role[] = ['users', 'music', 'recommendations'];

t.setTimeout(60_000);

const LOOPS = new URL(`../fixtures/services/loops-when-asked${extname(import.meta.url)}`, import.meta.url);
const programs: Programs = { ...PROGRAMS, users: LOOPS, music: LOOPS };

interface Told {
  readonly event: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

async function start(t: Test, name: string): Promise<{ readonly peer: Peer; readonly told: Told[] }> {
  const told: Told[] = [];
  return { peer: await startPeerOf(t, await home(t), { name, programs, log: (event, facts) => told.push({ event, facts }) }), told };
}

/** Someone of the network who calls services. A call of its own connection each time, since nobody keeps one to a member that does not beat. */
function caller(t: Test) {
  const streams = new Streams({
    self: { identity: generateIdentity(), bootId: randomId<BootId>(), describe: () => ({ name: 'caller', port: 0, httpPort: 0 }) },
    keys: new Keyring(openNetwork(networkOf(t)), { wall: () => Date.now() }),
    handlers: new Map(),
    report: (error) => t.fail(String(error)),
  });
  t.teardown(() => streams.close());
  return async (peer: Peer, role: Role, method: string): Promise<{ readonly value: unknown; readonly coordinator: PeerId }> => {
    const connection = await streams.dial({ host: '127.0.0.1', port: peer.port }, { purpose: 'bulk' });
    try {
      const [value, , coordinator] = (await connection.request('role', [role, method, null])) as [unknown, number, Uint8Array];
      return { value, coordinator: idFromBytes<PeerId>(coordinator) };
    } finally {
      connection.close();
    }
  };
}

/** When each beat of `from` came, as a socket in the group hears it. */
async function hearBeats(t: Test): Promise<{ readonly at: number; readonly port: number }[]> {
  const heard: { readonly at: number; readonly port: number }[] = [];
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  t.teardown(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  socket.on('message', (_, { port }) => heard.push({ at: performance.now(), port }));
  socket.bind(GROUP.port, groupAddress(GROUP.host, 'members'));
  await once(socket, 'listening');
  socket.addMembership(groupAddress(GROUP.host, 'members'), '127.0.0.1');
  return heard;
}

const gaps = (times: readonly number[]): number[] => times.slice(1).map((at, i) => at - (times[i] as number)).sort((a, b) => a - b);
const median = (sorted: readonly number[]): number => sorted[sorted.length >> 1] as number;

t.test('an endless loop in a service delays no beat; the service is restarted, then its role moves with the reason', async (t) => {
  const heard = await hearBeats(t);
  const readyAt = performance.now();
  const { peer: a, told } = await start(t, 'a');
  const { ms } = await until('alone, it holds all that it may', SOON_MS, () => a.status(), ({ roles }) => ROLES_HERE.every((role) => roles[role] === a.id));
  t.comment(`alone, it held ${ROLES_HERE} ${ms} ms after it was ready`);
  // only this one has said anything yet
  const ports = new Set(heard.map(({ port }) => port));
  const { peer: b, told: toldB } = await start(t, 'b');
  await until('they know each other', SOON_MS, () => Promise.all([a, b].map((peer) => peer.status())), (both) =>
    both.every(({ members, coordinator }) => members.some(({ state }) => state === 'alive') && coordinator?.id === a.id));
  const call = caller(t);
  t.match(await call(a, 'users', 'work'), { value: 'done', coordinator: a.id });

  const loopingFrom = performance.now();
  const beatsOfA = (from: number, to: number): number[] => heard.filter(({ at, port }) => ports.has(port) && at >= from && at < to).map(({ at }) => at);
  const failures = (): Told[] => told.filter(({ event, facts }) => event === 'service' && facts['role'] === 'users');
  const served: number[] = [];
  let looping = true;
  const others = (async () => {
    while (looping) {
      const from = performance.now();
      await call(a, 'music', 'work');
      served.push(performance.now() - from);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  })();
  for (let round = 1; round <= 3; round += 1) {
    await t.rejects(call(a, 'users', 'loop'), { code: 'ROLE_UNAVAILABLE' }, 'who called is told to ask again');
    await until(`failure ${round}`, SOON_MS, failures, (all) => all.length >= round);
    if (round < 3) t.equal((await call(a, 'users', 'work')).value, 'done', 'restarted, it works again');
  }
  const { ms: movedMs } = await until('the role is held by the other', SOON_MS, () => Promise.all([a, b].map((peer) => peer.status())), (both) => both.every(({ roles }) => roles.users === b.id));
  const loopedUntil = performance.now();
  looping = false;
  await t.resolves(others, 'another role of this machine goes on being served');

  const reason = 'users: did not answer for 2 s';
  t.match(failures().map(({ facts }) => [facts['reason'], facts['gaveUp']]), [[reason, false], [reason, false], [reason, false], [`${reason}, three times`, true]]);
  t.match(told.filter(({ event, facts }) => event === 'handover' && facts['from'] === a.id), [{ facts: { role: 'users', from: a.id, to: b.id, why: 'failed', names: { from: 'a', to: 'b' } } }], 'the coordinator says why it moved');
  t.match(await call(b, 'users', 'work'), { value: 'done', coordinator: a.id }, 'and there it works');
  t.equal(codeOf(await call(a, 'users', 'work').catch((error: unknown) => error)), 'ROLE_UNAVAILABLE', 'not here any more');
  t.comment(`looped for ${Math.round(loopedUntil - loopingFrom)} ms; the role had moved ${movedMs} ms after the third failure`);

  const [quiet, loud] = [gaps(beatsOfA(readyAt, loopingFrom)), gaps(beatsOfA(loopingFrom, loopedUntil))];
  t.comment(`between beats: ${Math.round(median(quiet))} ms (median) to ${Math.round(quiet.at(-1) as number)} ms before, ${Math.round(median(loud))} to ${Math.round(loud.at(-1) as number)} ms during ${loud.length} of them`);
  t.ok(loud.length > (loopedUntil - loopingFrom) / (2 * BEAT_MS), 'as many as ever');
  t.ok(median(loud) < 1.2 * BEAT_MS, 'as often as ever');
  t.same(toldB.filter(({ event, facts }) => event === 'member' && facts['peer'] === a.id && facts['state'] !== 'alive'), [], 'the other never missed one so long that it suspected anything');
  served.sort((x, y) => x - y);
  t.comment(`the other role was served ${served.length} times meanwhile, in ${Math.round(median(served))} ms (median) to ${Math.round(served.at(-1) as number)} ms`);
  t.ok(median(served) < 200);
});
