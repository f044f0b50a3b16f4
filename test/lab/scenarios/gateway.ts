// The gateway's page by its name, http://spotify-peer.local:7700/healthz, on a host that has Avahi and no peer: there from the first
// machine on, back soon after the gateway has died or was cut off, and without a single failure when it leaves politely.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { extname, join } from 'node:path';
import t, { type Test } from 'tap';
import { Api } from '../api.ts';
import { avahiMissing, startAvahi } from '../avahi.ts';
import { NamePoll, type Opened } from '../by-name.ts';
import { effort, isLong } from '../effort.ts';
import { type Host, Lab } from '../lab.ts';
import { type Peer, programMissing, startPeer } from '../peers.ts';
import { until } from '../until.ts';

const ASK_NAME = join(import.meta.dirname, `../ask-name${extname(import.meta.filename)}`);
const NAME = 'spotify-peer.local';
const ROUNDS = effort({ short: 1, long: 10 });
/** Of two addresses Avahi gives the one or the other first: a name has to pass both ways between two machines. */
const KILLS = effort({ short: 2, long: 10 });
const PATIENCE_MS = 15_000;
const TEST_MS = effort({ short: 120_000, long: 600_000 });
/** What Avahi was told to forget it keeps for a second (RFC 6762, 10.2); then some polls to see that it has. */
const AFTER_MS = 1_500;

const SLEEP_MS = 10_000;

/** After the death of a process, which its streams tell at once. */
const KILLED_MS = 2_000;
/** After a silent death: four beats of 300 ms and the verdict on a suspect with few others about, 900 ms, or the lease and what clocks
 *  may be apart, 1.8 s; an election when it coordinated too; and the second for which Avahi keeps an address that was replaced. */
const CUT_MS = 4_000;

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

interface Served {
  readonly peer: Peer;
  readonly api: Api;
}

t.setTimeout(TEST_MS);
t.test('three hosts with peers, and one with Avahi only', { skip: skip || avahiMissing() || programMissing(), timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'gateway', hosts: 4 });
  t.teardown(() => lab.close());
  const observer = lab.host(4);
  await startAvahi(observer);
  const served: Served[] = [];

  const start = async (host: Host): Promise<Served> => {
    const one = { peer: await startPeer(host, { folders: [] }), api: served[host.number - 1]?.api ?? (await Api.open(host)) };
    served[host.number - 1] = one;
    return one;
  };
  const rolesOf = async ({ api }: Served) => {
    const { coordinator, roles, members } = await api.status();
    return { coordinator: coordinator?.id, gateway: roles.gateway, alive: members.filter(({ state }) => state === 'alive').map(({ id }) => id) };
  };
  /** All of these see each other, and say the same of who does what. */
  const agreed = async (peers: readonly Served[]): Promise<{ readonly coordinator: Served; readonly gateway: Served }> => {
    const ids = peers.map(({ peer }) => peer.id);
    const { value } = await until('all agree on who does what', PATIENCE_MS, () => Promise.all(peers.map(rolesOf)), (views) =>
      views.every(({ coordinator, gateway, alive }) => coordinator === views[0]?.coordinator && gateway === views[0]?.gateway && [coordinator, gateway].every((id) => ids.includes(id ?? '')) && alive.length === peers.length - 1),
    );
    const of = (id: string | null | undefined): Served => peers.find(({ peer }) => peer.id === id) as Served;
    return { coordinator: of(value[0]?.coordinator), gateway: of(value[0]?.gateway) };
  };
  /** When the page came again that somebody opened after `since`, from another machine than before. */
  const cameBack = async (poll: NamePoll, since: number, before: Host): Promise<number> => {
    const { value } = await until('the page comes from another machine', PATIENCE_MS, () => poll.since(since).find(({ address, page }) => page !== null && address !== before.address), (one) => one !== undefined);
    return (value as Opened).to - since;
  };
  /** Whoever holds the name has answered for it a moment ago: a record of less than a second is spared by a cache-flush (RFC 6762, 10.2). */
  const nameAnswered = (): Promise<string> => observer.run(process.execPath, [ASK_NAME, NAME]);
  const claimNoFailure = (t: Test, poll: NamePoll, since: number, what: string): void => {
    const all = poll.since(since);
    const spanMs = (all.at(-1)?.from ?? 0) - since;
    t.ok(all.length > spanMs / 100, `${what}: it was asked all the time, ${all.length} times in ${spanMs} ms`);
    const failures = all.filter(({ page }) => page === null);
    t.same(failures.map(({ from, to, address, why }) => `${address} from ${from - since} to ${to - since} ms: ${why}`), [], `${what}: none failed`);
  };

  const first = await start(lab.host(1));
  const readyAt = performance.now();
  await t.test('alone, the first machine holds every role within two seconds, and its page opens by name', async (t) => {
    const { value } = await until('it holds all roles', PATIENCE_MS, () => first.api.status(), ({ roles }) => Object.values(roles).every((holder) => holder === first.peer.id));
    const ms = Math.round(performance.now() - readyAt);
    t.comment(`all of ${Object.keys(value.roles)} after ${ms} ms`);
    t.ok(ms < 2_000);
    const { stdout } = await observer.exec('avahi-resolve', ['-4', '-n', NAME]);
    t.equal(stdout.trim(), `${NAME}\t${first.peer.host.address}`);
  });
  await Promise.all([start(lab.host(2)), start(lab.host(3))]);

  await t.test('a machine that leaves politely causes no gap, be it gateway, or coordinator and gateway in one', { timeout: TEST_MS }, async (t) => {
    const poll = new NamePoll(observer, NAME, 'nss');
    await until('the page opens', PATIENCE_MS, () => poll.since(0).at(-1), (one) => typeof one?.page === 'string');
    const stops: number[] = [];
    for (let round = 0; round < 2 * ROUNDS; round += 1) {
      const { coordinator, gateway } = await agreed(served);
      const what = coordinator === gateway ? 'the coordinator and gateway' : 'the gateway';
      if (round === 0) t.equal(coordinator, gateway, 'whoever was first coordinates, and is gateway');
      const stoppedAt = Date.now();
      const { code } = await gateway.peer.process.kill('SIGTERM');
      t.equal(code, 0);
      const stopMs = Date.now() - stoppedAt;
      stops.push(stopMs);
      const backMs = await cameBack(poll, stoppedAt, gateway.peer.host);
      await sleep(AFTER_MS);
      claimNoFailure(t, poll, stoppedAt, `${what} leaves`);
      const startedAt = Date.now();
      await start(gateway.peer.host);
      await agreed(served);
      claimNoFailure(t, poll, startedAt, 'and is back');
      t.comment(`${what} on ${gateway.peer.host.name}: ended after ${stopMs} ms, led elsewhere ${backMs} ms after the signal, longest page ${Math.max(...poll.since(stoppedAt).map(({ from, to }) => to - from))} ms`);
    }
    t.ok(Math.max(...stops) < 2_500, `it takes ${stops} ms to stop`);
    await poll.stop();
  });

  await t.test('the page is back within two seconds after the gateway was killed', { timeout: TEST_MS }, async (t) => {
    const poll = new NamePoll(observer, NAME, 'avahi-resolve');
    const all: number[] = [];
    for (let round = 0; round < KILLS; round += 1) {
      const { coordinator, gateway } = await agreed(served);
      await nameAnswered();
      const killedAt = Date.now();
      await gateway.peer.process.kill('SIGKILL');
      const ms = await cameBack(poll, killedAt, gateway.peer.host);
      all.push(ms);
      t.comment(`${gateway.peer.host.name}, ${coordinator === gateway ? 'coordinator too' : 'gateway only'}: ${ms} ms`);
      await sleep(AFTER_MS);
      claimNoFailure(t, poll, killedAt + ms, 'and stays');
      await start(gateway.peer.host);
    }
    t.ok(Math.max(...all) < KILLED_MS, `${all} ms`);
    await poll.stop();
  });

  await t.test('and soon after its cable was cut; who comes back takes nothing', { timeout: TEST_MS }, async (t) => {
    const poll = new NamePoll(observer, NAME, 'avahi-resolve');
    const all: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const { coordinator, gateway } = await agreed(served);
      const { host } = gateway.peer;
      const cutAt = Date.now();
      await lab.cable(host, 'down');
      const ms = await cameBack(poll, cutAt, host);
      all.push(ms);
      t.comment(`${host.name}, ${coordinator === gateway ? 'coordinator too' : 'gateway only'}: ${ms} ms`);
      const others = served.filter((one) => one !== gateway);
      const { gateway: next } = await agreed(others);
      const pluggedAt = Date.now();
      await lab.cable(host, 'up');
      const healed = await agreed(served);
      t.comment(`all agreed ${Date.now() - pluggedAt} ms after the cable was in again`);
      t.not(healed.gateway.peer.host.name, host.name, 'who comes back is not gateway');
      const { ms: alone } = await until('the name leads there alone', PATIENCE_MS, () => poll.since(Date.now() - 500), (last) =>
        last.length > 0 && last.every(({ address, page }) => page !== null && address === healed.gateway.peer.host.address),
      );
      t.comment(`${next === healed.gateway ? '' : 'the gateway moved on, '}the name led there alone ${alone} ms later`);
      claimNoFailure(t, poll, cutAt + ms, `the cable was in again after ${pluggedAt - cutAt - ms} ms`);
    }
    t.ok(Math.max(...all) < CUT_MS, `${all} ms`);
    await poll.stop();
  });

  // ten seconds each, and the simulator has sleep in every schedule
  if (isLong) await t.test('who is suspended for ten seconds follows the coordinator of now, and is gateway no more', { timeout: TEST_MS }, async (t) => {
    const poll = new NamePoll(observer, NAME, 'nss');
    for (const which of ['coordinator', 'gateway', 'coordinator', 'gateway'] as const) {
      const { [which]: sleeper } = await agreed(served);
      const others = served.filter((one) => one !== sleeper);
      const stoppedAt = Date.now();
      process.kill(-sleeper.peer.process.pid, 'SIGSTOP');
      const meanwhile = await agreed(others);
      const agreedMs = Date.now() - stoppedAt;
      await sleep(SLEEP_MS - agreedMs);
      const wokenAt = Date.now();
      process.kill(-sleeper.peer.process.pid, 'SIGCONT');
      t.same(await agreed(served), meanwhile, 'whoever took over keeps it');
      const backMs = Date.now() - wokenAt;
      await sleep(AFTER_MS);
      claimNoFailure(t, poll, wokenAt, 'once it is awake');
      t.same(poll.since(Date.now() - 250).filter(({ address }) => address !== meanwhile.gateway.peer.host.address), [], 'the name leads elsewhere');
      t.comment(`the ${which}, ${sleeper.peer.host.name}: the others agreed after ${agreedMs} ms, all again ${backMs} ms after it woke`);
    }
    await poll.stop();
  });

  await t.test('who is alone again stops at once', { timeout: TEST_MS }, async (t) => {
    const { gateway } = await agreed(served);
    await Promise.all(served.filter((one) => one !== gateway).map(({ peer }) => peer.process.kill('SIGKILL')));
    await agreed([gateway]);
    const stoppedAt = Date.now();
    t.same(await gateway.peer.process.kill('SIGTERM'), { code: 0, signal: null });
    const ms = Date.now() - stoppedAt;
    t.ok(ms < 1_000, `after ${ms} ms`);
  });
});
