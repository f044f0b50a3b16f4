// A machine whose firewall rejects connections from others, and that serves over those that it dials itself: that its port refuses
// is no sign that it has died, whoever wonders.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Api } from '../api.ts';
import { type Host, Lab } from '../lab.ts';
import { meet } from '../network.ts';
import { type Peer, programMissing, startPeer } from '../peers.ts';
import { until } from '../until.ts';

const TEST_MS = 90_000;
const PATIENCE_MS = 15_000;
/** In this time what follows a wrong verdict is over: the verdict, an election, grants. */
const AFTER_MS = 3_000;
/** A bystander that sleeps for longer than a second knows of no coordinator when it wakes. */
const SLEEP_MS = 1_600;

const REJECT = 'table inet firewall { chain in { type filter hook input priority 0; tcp dport 17784 tcp flags & (syn | ack) == syn reject with tcp reset; }; }\n';

t.setTimeout(TEST_MS);
t.test('three hosts, of which one rejects all connections to its port', { skip: skip || programMissing(), timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'firewall', hosts: 3 });
  t.teardown(() => lab.close());
  const [walled, ...others] = lab.hosts as [Host, Host, Host];
  await walled.run('nft', ['-f', '-'], REJECT);
  const apis = await Promise.all(lab.hosts.map((host) => Api.open(host)));
  const seen = async () => {
    const { coordinator, roles, members } = await (apis[1] as Api).status();
    return { coordinator: coordinator?.id, term: coordinator?.term, users: roles.users, music: roles.music, members: members.map(({ id, state }) => `${id} ${state}`).sort() };
  };

  const first = await startPeer(walled, { folders: [] });
  await until('it coordinates', PATIENCE_MS, () => (apis[0] as Api).status(), ({ coordinator }) => coordinator?.id === first.id);
  const [second, third] = (await Promise.all(others.map((host) => startPeer(host, { folders: [], args: ['--roles', 'none'] })))) as [Peer, Peer];
  await meet([first, second, third], PATIENCE_MS);
  const { value: before } = await until('all is settled', PATIENCE_MS, seen, ({ coordinator, users, music, members }) => [coordinator, users, music].every((id) => id === first.id) && members.every((one) => one.endsWith('alive')));
  await sleep(AFTER_MS); // time to find out who can be called back

  const newsOf = (peer: Peer, from: number): string[] => peer.process.lines().slice(from).filter((line) => /"event":"(?:coordinator|handover|role)"/.test(line) || (/"event":"member"/.test(line) && line.includes(first.id)));

  await t.test('a bystander that slept knows of no coordinator, and nobody takes that for its end', async (t) => {
    const marks = [first, second, third].map((peer) => peer.process.lines().length);
    process.kill(-third.process.pid, 'SIGSTOP');
    await sleep(SLEEP_MS);
    process.kill(-third.process.pid, 'SIGCONT');
    await sleep(AFTER_MS);
    t.ok(third.process.lines().slice(marks[2]).some((line) => line.includes('"event":"slept"')), 'it noticed that it had slept');
    t.same(await seen(), before);
    t.same([first, second].map((peer, i) => newsOf(peer, marks[i] as number)), [[], []], 'nor for a moment');
  });

  await t.test('one whose stream to it breaks goes on with it', async (t) => {
    const mark = second.process.lines().length;
    const { stdout } = await others[1].exec('ss', ['-K', 'dst', walled.address]);
    t.ok(stdout.includes(walled.address), 'there was a stream');
    await sleep(AFTER_MS);
    t.same(await seen(), before);
    t.same(newsOf(second, mark), [], 'nor for a moment');
  });
});
