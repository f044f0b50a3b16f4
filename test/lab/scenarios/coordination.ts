// Somebody has to do what only one may do, whatever happens to whoever did it. Five hosts; the coordinator or the holder of a role is
// killed, frozen or cut off, in random order, again and again: each time the living soon agree on a coordinator and on who holds
// what, and the roles answer; and when the lost one is back, all five do.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ROLES, type Role } from '../../../lib/roles.ts';
import type { RoleJson, StatusJson } from '../../../peer/http/schemas.ts';
import { Api } from '../api.ts';
import { effort, oneOf, seeded } from '../effort.ts';
import { type Host, Lab } from '../lab.ts';
import { meet } from '../network.ts';
import { type Peer, programMissing, startPeer } from '../peers.ts';

const ROUNDS = effort({ short: 5, long: 200 });
const TEST_MS = effort({ short: 120_000, long: 3_600_000 });
const PATIENCE_MS = 20_000;
const LOOK_EVERY_MS = 10;
/** In a few rounds each of the three ways comes up. */
const WAYS = ['kill -9', 'SIGSTOP', 'cable'] as const;
type Way = (typeof WAYS)[number];
/** The quickest verdict on a holder that is silent: four periods of 300 ms. */
const SILENCE_MS = 1_200;
/** Longer than a lease, and than a holder may stay unconfirmed. */
const FROZEN_MS = effort({ short: 3_000, long: 5_000 });

interface View {
  readonly coordinator: string;
  readonly term: number;
  readonly roles: Readonly<Record<Role, string>>;
}

const viewOf = ({ coordinator, roles }: StatusJson): View | string => {
  if (coordinator === null) return 'no coordinator';
  const vacant = ROLES.filter((role) => roles[role] === null);
  return vacant.length > 0 ? `nobody holds ${vacant.join(', ')}` : { coordinator: coordinator.id, term: coordinator.term, roles: roles as View['roles'] };
};

const percentile = (sorted: readonly number[], share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;

t.setTimeout(TEST_MS);
t.test('five hosts whose coordinator and holders are lost', { skip: skip || programMissing(), timeout: TEST_MS }, async (t: Test) => {
  const random = seeded(t);
  const lab = await Lab.create({ name: 'coordination', hosts: 5 });
  t.teardown(() => lab.close());
  const start = (host: Host): Promise<Peer> => startPeer(host, { folders: [] });
  const apis = await Promise.all(lab.hosts.map((host) => Api.open(host)));
  const peers = await Promise.all(lab.hosts.map(start));
  await meet(peers, PATIENCE_MS);

  /** Looks until all of these say the same, and name nobody else. @returns milliseconds */
  const agree = async (living: readonly Api[], what: string): Promise<{ readonly view: View; readonly ms: number }> => {
    const ids = living.map((api) => (peers[api.host.number - 1] as Peer).id);
    const began = performance.now();
    for (let seen = ''; ; await sleep(LOOK_EVERY_MS)) {
      const views = await Promise.all(living.map(async (api) => viewOf(await api.status())));
      const [first] = views as [View | string];
      const same = views.every((view) => JSON.stringify(view) === JSON.stringify(first));
      if (same && typeof first !== 'string' && [first.coordinator, ...Object.values(first.roles)].every((id) => ids.includes(id))) {
        return { view: first, ms: performance.now() - began };
      }
      seen = JSON.stringify(views);
      if (performance.now() - began > PATIENCE_MS) throw new Error(`${what}: not after ${PATIENCE_MS} ms: ${seen}`);
    }
  };

  const { view: first, ms } = await agree(apis, 'five that have just met');
  t.comment(`five agree ${Math.round(ms)} ms after they have met`);
  const recovered = new Map<string, number[]>();
  const healed: number[] = [];
  let view = first;
  for (let round = 1; round <= ROUNDS; round++) {
    const [way, role] = [WAYS[(round - 1 + Math.floor(random() * 2)) % WAYS.length] as Way, oneOf(random, ['coordinator', ...ROLES] as const)];
    const id = role === 'coordinator' ? view.coordinator : view.roles[role];
    const victim = lab.hosts[peers.findIndex((peer) => peer.id === id)] as Host;
    const peer = peers[victim.number - 1] as Peer;
    const living = apis.filter(({ host }) => host !== victim);
    const about = `round ${round}, ${way} on ${victim.name} (${role})`;

    const lost = lose(way, { lab, host: victim, peer });
    const agreed = await agree(living, about);
    await lost;
    const health = await Promise.all(living.map((api) => api.get<RoleJson[]>('/api/roles')));
    t.same(health.flat().filter(({ healthy }) => !healthy), [], `${about}: every role answers, from everywhere`);
    const name = `${way}, ${id === view.coordinator ? 'coordinator' : 'holder'}`;
    recovered.set(name, [...(recovered.get(name) ?? []), agreed.ms]);

    if (way === 'SIGSTOP') await sleep(Math.max(0, FROZEN_MS - agreed.ms));
    await giveBack(way, { lab, host: victim, peer });
    if (way === 'kill -9') peers[victim.number - 1] = await start(victim);
    const back = await agree(apis, `${about}, back again`);
    healed.push(back.ms);
    t.ok(back.view.term >= view.term, `${about}: terms grow`);
    if (way !== 'cable') t.equal(back.view.coordinator, agreed.view.coordinator, `${about}: who returns accepts the living coordinator`);
    view = back.view;
  }
  for (const [name, times] of [...recovered].sort()) {
    times.sort((a, b) => a - b);
    t.comment(`${name}: agreed and served again after p50 ${Math.round(percentile(times, 0.5))}, p90 ${Math.round(percentile(times, 0.9))}, p99 ${Math.round(percentile(times, 0.99))}, worst ${Math.round(times.at(-1) as number)} ms (n ${times.length})`);
  }
  const ended = [...recovered].flatMap(([name, times]) => (name.startsWith('kill -9') ? times : [])).sort((a, b) => a - b);
  t.ok(ended.length === 0 || percentile(ended, 0.5) < SILENCE_MS, `what ended is replaced before silence could tell: ${ended.map(Math.round)} ms`);
  healed.sort((a, b) => a - b);
  t.comment(`all five agree after p50 ${Math.round(percentile(healed, 0.5))}, worst ${Math.round(healed.at(-1) as number)} ms once the lost one is back (n ${healed.length})`);
});

interface Victim {
  readonly lab: Lab;
  readonly host: Host;
  readonly peer: Peer;
}

/** Begins at once. */
async function lose(way: Way, { lab, host, peer }: Victim): Promise<void> {
  if (way === 'cable') return lab.cable(host, 'down');
  if (way === 'SIGSTOP') process.kill(peer.process.pid, 'SIGSTOP');
  else await peer.process.kill('SIGKILL');
}

async function giveBack(way: Way, { lab, host, peer }: Victim): Promise<void> {
  if (way === 'cable') await lab.cable(host, 'up');
  if (way === 'SIGSTOP') process.kill(peer.process.pid, 'SIGCONT');
}
