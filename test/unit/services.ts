// Services of roles: the supervisor in virtual time, then the host with real threads and services that do all a service must not.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { PeerError } from '../../lib/errors.ts';
import type { PeerId } from '../../lib/ids.ts';
import { SERVICE_CALLS_MAX, SERVICE_MESSAGE_BYTES_MAX } from '../../lib/limits.ts';
import { type FencingToken, type Role, ROLES } from '../../lib/roles.ts';
import { ServiceHost, type ServiceHostOptions } from '../../peer/services/host.ts';
import { type Programs, PROGRAMS } from '../../peer/services/programs.ts';
import type { Health } from '../../peer/services/service.ts';
import { createSupervisor, step, SUPERVISION_TIMES, type SupervisorEffect, type SupervisorInput } from '../../peer/services/supervisor.ts';

// --- the supervisor

type Untimed = SupervisorInput extends infer Input ? (Input extends SupervisorInput ? Omit<Input, 'now'> : never) : never;
const HEALTHY: Health = { healthy: true };
const UNWELL: Health = { healthy: false, why: 'its disk is full' };

/** One supervisor with its timer; what its threads do is up to `live`. */
class World {
  readonly state = createSupervisor();
  readonly log: string[] = [];
  readonly effects: { readonly at: number; readonly effect: SupervisorEffect }[] = [];
  now = 0;
  lookAt: number | undefined;
  readonly #inputs: Untimed[] = [];
  readonly #live: (effect: SupervisorEffect, world: World) => void;

  constructor(live: (effect: SupervisorEffect, world: World) => void = () => undefined) {
    this.#live = live;
  }

  /** As the driver does it: what an effect leads to waits until the step is carried out. */
  feed(input: Untimed): void {
    this.#inputs.push(input);
    if (this.#inputs.length > 1) return;
    for (let next = this.#inputs[0]; next !== undefined; this.#inputs.shift(), next = this.#inputs[0]) {
      for (const effect of step(this.state, { ...next, now: this.now } as SupervisorInput)) {
        this.effects.push({ at: this.now, effect });
        if (effect.kind === 'arm') this.lookAt = this.now + effect.ms;
        else this.log.push(`${this.now} ${effect.kind}${'thread' in effect ? ` ${effect.thread}` : ''}${'why' in effect ? `: ${effect.why}` : ''}`);
        this.#live(effect, this);
      }
    }
  }

  /** @param late by how much the event loop delays the timers */
  run(until: number, late = 0): void {
    while (this.lookAt !== undefined && this.lookAt + late <= until) {
      this.now = this.lookAt + late;
      this.lookAt = undefined;
      this.feed({ kind: 'expired', timer: 'look' });
    }
    this.now = until;
  }

  count(kind: SupervisorEffect['kind']): number {
    return this.effects.filter(({ effect }) => effect.kind === kind).length;
  }
}

/** Threads that start at once and answer `health`, or nothing. */
const answering = (health: Health | undefined) => (effect: SupervisorEffect, world: World): void => {
  if (effect.kind === 'spawn') world.feed({ kind: 'ready', thread: effect.thread });
  if (effect.kind === 'ask' && health !== undefined) world.feed({ kind: 'answered', thread: effect.thread, health });
};

t.test('a service that nobody needs has no thread, and one that answers keeps its own', async (t) => {
  const world = new World(answering(HEALTHY));
  world.run(60_000);
  t.same(world.log, []);
  world.feed({ kind: 'wanted' });
  world.feed({ kind: 'wanted' });
  world.run(3_600_000);
  t.equal(world.count('spawn'), 1);
  t.equal(world.count('terminate'), 0);
  t.ok(world.count('ask') > 3_000);
});

t.test('a service that hangs is started anew twice, and then given up with the reason', async (t) => {
  const world = new World(answering(undefined));
  world.feed({ kind: 'wanted' });
  world.run(60_000);
  t.same(world.log, [
    '0 spawn 1',
    '1000 ask 1',
    '3000 terminate 1: did not answer for 2 s',
    '3000 failed: did not answer for 2 s',
    '3000 spawn 2',
    '4000 ask 2',
    '6000 terminate 2: did not answer for 2 s',
    '6000 failed: did not answer for 2 s',
    '6000 spawn 3',
    '7000 ask 3',
    '9000 terminate 3: did not answer for 2 s',
    '9000 failed: did not answer for 2 s',
    '9000 gave-up: did not answer for 2 s, three times',
  ]);
});

t.test('failures of different kinds count together, and the reason names each', async (t) => {
  const world = new World();
  world.feed({ kind: 'wanted' });
  world.feed({ kind: 'died', thread: 1, why: 'ran out of memory' });
  world.run(5_000);
  world.feed({ kind: 'died', thread: 3, why: 'ran out of memory' });
  t.equal(world.log.at(-1), '5000 gave-up: ran out of memory, twice; did not start within 5 s');
});

t.test('failures of long ago are forgotten', async (t) => {
  const world = new World(answering(HEALTHY));
  world.feed({ kind: 'wanted' });
  for (let thread = 1; thread <= 10; thread += 1) {
    world.run(world.now + SUPERVISION_TIMES.forgetMs / 2);
    world.feed({ kind: 'died', thread, why: 'threw' });
  }
  t.equal(world.count('gave-up'), 0);
  t.equal(world.count('spawn'), 11);
});

t.test('a service that is unwell for a moment goes on, and one that stays so is a failure', async (t) => {
  let health: Health = UNWELL as Health;
  const world = new World((effect, world) => answering(health)(effect, world));
  world.feed({ kind: 'wanted' });
  world.run(2_500);
  health = HEALTHY;
  world.run(3_500);
  health = UNWELL;
  world.run(5_500);
  t.equal(world.count('failed'), 0);
  world.run(6_000);
  t.equal(world.log.filter((line) => line.includes('failed')).join(), '6000 failed: its disk is full');
});

t.test('a new thread is not to blame for how the one before was', async (t) => {
  const world = new World(answering(UNWELL));
  world.feed({ kind: 'wanted' });
  world.run(60_000);
  t.same(world.log.filter((line) => line.includes('failed')), [3_000, 6_000, 9_000].map((at) => `${at} failed: its disk is full`));
});

t.test('what is heard of a thread that is gone counts for nothing', async (t) => {
  const world = new World();
  world.feed({ kind: 'wanted' });
  world.feed({ kind: 'died', thread: 1, why: 'threw' });
  world.feed({ kind: 'died', thread: 1, why: 'ended by itself' });
  world.feed({ kind: 'ready', thread: 1 });
  t.equal(world.state.phase, 'starting');
  t.equal(world.count('failed'), 1);
  world.feed({ kind: 'ready', thread: 2 });
  world.run(1_000);
  world.feed({ kind: 'answered', thread: 1, health: HEALTHY });
  t.equal(world.state.phase, 'asked');
});

t.test('an event loop of ours that stood still is no failure of the service', async (t) => {
  const world = new World(answering(undefined));
  world.feed({ kind: 'wanted' });
  world.run(2_900);
  // the timer of 3000 fires at 3400, before the answer that lies in the queue
  world.now = 3_400;
  world.feed({ kind: 'expired', timer: 'look' });
  world.feed({ kind: 'answered', thread: 1, health: HEALTHY });
  t.equal(world.count('failed'), 0);
  t.equal(world.state.phase, 'well');
  const silent = new World(answering(undefined));
  silent.feed({ kind: 'wanted' });
  silent.run(2_900);
  silent.now = 3_400;
  silent.feed({ kind: 'expired', timer: 'look' });
  silent.run(5_400);
  t.equal(silent.count('failed'), 1, 'it is asked for longer, not for ever');
});

t.test('whatever happens: one thread at a time, no more than three failures in five minutes, silence always has an end', async () => {
  const event = fc.oneof(
    fc.record({ kind: fc.constant('wanted' as const) }),
    fc.record({ kind: fc.constant('ready' as const), age: fc.nat(2) }),
    fc.record({ kind: fc.constant('answered' as const), age: fc.nat(2), health: fc.constantFrom(HEALTHY, UNWELL) }),
    fc.record({ kind: fc.constant('died' as const), age: fc.nat(2), why: fc.constantFrom('threw', 'ended by itself') }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(event, fc.oneof(fc.nat(3_000), fc.nat(200_000)), fc.nat(400))), (events) => {
      const world = new World();
      for (const [what, after, late] of events) {
        world.run(world.now + after, late);
        // of this thread, or of one that is gone
        const { age, ...input } = { age: 0, ...what };
        world.feed({ ...input, thread: world.state.thread - age } as Untimed);
      }
      let alive: number | undefined;
      let last = 0;
      for (const { effect } of world.effects) {
        if (effect.kind === 'spawn') {
          if (alive !== undefined || effect.thread !== last + 1) return false;
          alive = last = effect.thread;
        } else if (effect.kind === 'terminate') {
          if (effect.thread !== alive) return false;
          alive = undefined;
        } else if (effect.kind === 'ask' && effect.thread !== alive) return false;
      }
      const failures = world.effects.filter(({ effect }) => effect.kind === 'failed').map(({ at }) => at);
      const gaveUp = world.effects.findIndex(({ effect }) => effect.kind === 'gave-up');
      const third = failures.findIndex((at, i) => i >= 2 && at - (failures[i - 2] as number) < SUPERVISION_TIMES.forgetMs);
      if (gaveUp >= 0 ? gaveUp !== world.effects.length - 1 || third !== failures.length - 1 : third >= 0) return false;
      // Left alone from here on, a thread that says nothing is ended.
      const before = world.count('terminate');
      world.run(world.now + 10_000);
      return alive === undefined || world.count('terminate') > before;
    }),
    { numRuns: 1_000 },
  );
});

// --- the host, with real threads

const fixture = (name: string): URL => new URL(`../fixtures/services/${name}${extname(import.meta.url)}`, import.meta.url);
const token = (number: number): FencingToken => ({ term: 1, coordinator: 'c'.repeat(32) as PeerId, number });
/** Asked more often than in real life; who does not answer or start has as long as there, on a machine that runs other tests. */
const SHORT = { ...SUPERVISION_TIMES, askEveryMs: 50 };
/** For who never answers, never starts, or is unwell for so long. */
const IMPATIENT = { ...SHORT, silentMs: 700, startMs: 700 };

interface Hosted {
  readonly host: ServiceHost;
  readonly failed: string[];
  /** Resolves with the reason when a role is given up. */
  readonly gaveUp: (role: Role) => Promise<string>;
  /** Resolves when a service has failed so many times. */
  readonly failures: (count: number) => Promise<void>;
}

function hostWith(t: Test, programs: Partial<Programs>, options: Partial<ServiceHostOptions> = {}): Hosted {
  const failed: string[] = [];
  const reasons = new Map<Role, string>();
  const waiting = new Set<() => void>();
  const until = <T>(read: () => T | undefined): Promise<T> =>
    new Promise((resolve) => {
      const look = (): void => {
        const value = read();
        if (value === undefined) return;
        waiting.delete(look);
        resolve(value);
      };
      waiting.add(look);
      look();
    });
  const host = new ServiceHost({
    programs: { gateway: fixture('on-demand'), users: fixture('on-demand'), music: fixture('on-demand'), recommendations: fixture('on-demand'), ...programs },
    context: () => ({ httpPort: 1, httpUrl: 'http://127.0.0.1:1' }),
    times: SHORT,
    onFailed: (_role, reason) => {
      failed.push(reason);
      for (const look of [...waiting]) look();
    },
    onGaveUp: (role, reason) => {
      reasons.set(role, reason);
      for (const look of [...waiting]) look();
    },
    ...options,
  });
  t.teardown(() => host.close());
  return { host, failed, gaveUp: (role) => until(() => reasons.get(role)), failures: async (count) => void (await until(() => (failed.length >= count ? true : undefined))) };
}

const codeOf = (call: Promise<unknown>): Promise<string> => call.then(
  () => 'answered',
  (error: unknown) => (error instanceof PeerError ? error.code : String(error)),
);

t.test('an answer carries the token of the grant in force, and the service is told of it without a restart', async (t) => {
  const { host } = hostWith(t, {});
  host.start('users', token(1));
  t.same(await host.call('users', 'echo', { name: 'Ana', bytes: Buffer.from('x') }), { value: { name: 'Ana', bytes: Buffer.from('x') }, token: token(1) });
  t.equal((await host.call('users', 'count', null)).value, 1);
  host.start('users', token(3));
  host.start('users', token(2));
  t.same(await host.call('users', 'token numbers', null), { value: [1, 3], token: token(3) }, 'late news of an older one changes nothing');
  host.start('users', token(4));
  t.same(await host.call('users', 'count', null), { value: 2, token: token(4) }, 'a grant of a role that is held renews it');
  const slow = host.call('users', 'token numbers', null);
  host.start('users', token(5));
  t.same((await slow).token, token(5), 'of two grants in a row the later one');
});

t.test('what a service throws is the answer to its caller, and its bugs tell nothing', async (t) => {
  const { host, failed } = hostWith(t, {});
  host.start('users', token(1));
  await t.rejects(host.call('users', 'refuse', null), { code: 'EXISTS', message: 'somebody has that name' });
  await t.rejects(host.call('users', 'no such method', null), { code: 'UNSUPPORTED' });
  for (const method of ['throw', 'throw nothing', 'reject', 'answer a function']) {
    await t.rejects(host.call('users', method, null), { code: 'INTERNAL', message: 'the users service failed' }, method);
  }
  await t.rejects(host.call('users', 'answer at length', null), { code: 'TOO_LARGE' });
  await t.rejects(host.call('users', 'echo', 'x'.repeat(SERVICE_MESSAGE_BYTES_MAX)), { code: 'TOO_LARGE' });
  t.equal((await host.call('users', 'count', null)).value, 1, 'and it lives');
  t.same(failed, []);
});

t.test('calls under way are bounded', async (t) => {
  const { host } = hostWith(t, {});
  host.start('users', token(1));
  const calls = Array.from({ length: SERVICE_CALLS_MAX }, () => codeOf(host.call('users', 'never answer', null)));
  t.equal(await codeOf(host.call('users', 'echo', null)), 'BUSY');
  await host.stop('users');
  t.same(new Set(await Promise.all(calls)), new Set(['ROLE_UNAVAILABLE']));
});

t.test('an endless loop delays no beat and no other service; its calls may be repeated; then the role is given up with the reason', async (t) => {
  // roles.ts has the real times, in a whole peer
  const { host, failed, gaveUp, failures } = hostWith(t, {}, { times: { ...SUPERVISION_TIMES, askEveryMs: 300, silentMs: 1_000 } });
  for (const role of ['users', 'music'] as const) host.start(role, token(1));
  await Promise.all([host.call('users', 'echo', null), host.call('music', 'echo', null)]);
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  let others = 0;
  let slowestMs = 0;
  for (let failure = 1; failure <= 3; failure += 1) {
    const looping = [host.call('users', 'loop', null), host.call('users', 'echo', null)].map(codeOf);
    const over = failures(failure).then(() => true as const);
    for (;;) {
      const askedAt = performance.now();
      await host.call('music', 'echo', others);
      slowestMs = Math.max(slowestMs, performance.now() - askedAt);
      others += 1;
      if (await Promise.race([over, new Promise<false>((resolve) => setTimeout(resolve, 20, false))])) break;
    }
    t.same(await Promise.all(looping), ['ROLE_UNAVAILABLE', 'ROLE_UNAVAILABLE']);
    if (failure < 3) t.same((await host.call('users', 'count', null)).value, 1, 'it was started anew');
  }
  t.equal(await gaveUp('users'), 'users: did not answer for 1 s, three times');
  t.same(failed, Array(3).fill('users: did not answer for 1 s'));
  delay.disable();
  const [p90, most] = [delay.percentile(90) / 1e6, delay.max / 1e6];
  t.comment(`event loop: p90 ${p90.toFixed(1)} ms, at most ${most.toFixed(1)} ms; ${others} calls of another service, the slowest ${slowestMs.toFixed(0)} ms`);
  t.ok(p90 < 50, `the event loop goes on (${p90})`);
  // Two cores run other tests too: a loop on the main thread would show as seconds.
  t.ok(most < 500, `and never stands still (${most})`);
  t.ok(slowestMs < 1_000 && others > 50, 'the other service answers all the while');
  t.same([...host.running], ['music']);
  t.equal(await codeOf(host.call('users', 'echo', null)), 'ROLE_UNAVAILABLE');
  t.match(await host.health('users'), { healthy: false });
});

for (const [name, why] of [
  ['throws-in-start', 'has no table'],
  ['loops-in-health', 'did not answer for 0.7 s'],
  ['throws-in-health', 'has lost its mind'],
  ['unwell', 'its disk is full'],
] as const) {
  t.test(`a service that ${name.replaceAll('-', ' ').replace('unwell', 'stays unwell')} is given up for that`, async (t) => {
    const { host, gaveUp } = hostWith(t, { gateway: fixture(name) }, { times: name.startsWith('throws') ? SHORT : IMPATIENT });
    host.start('gateway', token(1));
    host.start('users', token(1));
    t.equal(await gaveUp('gateway'), `gateway: ${why}, three times`);
    t.equal((await host.call('users', 'echo', 1)).value, 1, 'the other lives');
  });
}

t.test('a service that loops in start, and one whose program is missing, are given up too, and their calls are refused', async (t) => {
  const [looping, missing] = [hostWith(t, { users: fixture('loops-in-start') }, { times: IMPATIENT }), hostWith(t, { music: fixture('not-there') })];
  looping.host.start('users', token(1));
  missing.host.start('music', token(1));
  const calls = [codeOf(looping.host.call('users', 'echo', 1)), codeOf(missing.host.call('music', 'echo', 1))];
  t.same(await Promise.all(calls), ['ROLE_UNAVAILABLE', 'ROLE_UNAVAILABLE']);
  t.equal(await looping.gaveUp('users'), 'users: did not start within 0.7 s, three times');
  t.match(await missing.gaveUp('music'), /^music: Cannot find module .*, three times$/);
});

for (const [method, why] of [
  ['fill a list', 'ran out of memory'],
  ['fill a map', 'ran out of memory'],
  ['fill a text', 'ran out of memory'],
  ['exit', 'ended by itself'],
  ['throw later', 'too late'],
  ['block', 'did not answer for 2 s'],
] as const) {
  t.test(`a service that comes to ${method} ends alone, and is started anew`, async (t) => {
    // A heap is full sooner than that, also on a machine that runs other tests.
    const { host, failed } = hostWith(t, {}, { times: { ...SHORT, silentMs: method === 'block' ? SHORT.silentMs : 5_000 } });
    for (const role of ['users', 'music'] as const) host.start(role, token(1));
    await host.call('music', 'count', null);
    t.equal(await codeOf(host.call('users', method, null)), 'ROLE_UNAVAILABLE');
    t.same(failed, [`users: ${why}`]);
    t.equal((await host.call('users', 'count', null)).value, 1);
    t.equal((await host.call('music', 'count', null)).value, 2);
  });
}

t.test('buffers that pile up end the service when it is asked for its health', async (t) => {
  const { host, failed, failures } = hostWith(t, {});
  host.start('users', token(1));
  await codeOf(host.call('users', 'fill buffers', null));
  await failures(1);
  t.match(failed, [/^users: keeps \d+ MiB of buffers$/]);
});

t.test('a service that posts garbage without end is ended at the first piece', async (t) => {
  for (const garbage of [null, 'nonsense', 7, { kind: 'answer' }, { kind: 'answer', id: 'x', value: 'y' }, { kind: 'refusal', id: 1 }]) {
    const { host, failed } = hostWith(t, {});
    host.start('users', token(1));
    t.equal(await codeOf(host.call('users', 'post', garbage)), 'ROLE_UNAVAILABLE');
    t.same(failed, ['users: said what is no answer'], JSON.stringify(garbage));
    await host.close();
  }
  const { host, failed } = hostWith(t, {});
  host.start('users', token(1));
  t.equal(await codeOf(host.call('users', 'post an answer', { id: 1 })), 'ROLE_UNAVAILABLE', 'an answer that cannot be read answers nobody');
  t.same(failed, ['users: said what cannot be read']);
});

t.test('stopping is bounded, also where the service hangs or never comes to its end', async (t) => {
  const { host, failed } = hostWith(t, { music: fixture('never-stops') }, { times: SUPERVISION_TIMES });
  for (const role of ROLES) host.start(role, token(1));
  for (const role of ['users', 'music'] as const) await host.call(role, 'echo', null);
  const looping = codeOf(host.call('users', 'loop', null));
  const at = performance.now();
  const stopped = Promise.all(ROLES.map((role) => host.stop(role)));
  t.equal(host.running.size, 0, 'nothing is served from that moment on');
  t.equal(await looping, 'ROLE_UNAVAILABLE');
  t.ok(performance.now() - at < 250, 'who waits is told at once');
  await stopped;
  t.ok(performance.now() - at < 1_500, `${performance.now() - at} ms`);
  t.same(failed, [], 'and none of that is a failure');
  await host.stop('users');
});

t.test('a role that comes back while its service is being stopped is served by a new thread', async (t) => {
  const { host } = hostWith(t, { users: fixture('never-stops') });
  host.start('users', token(1));
  await host.call('users', 'count', null);
  const stopped = host.stop('users');
  const at = performance.now();
  host.start('users', token(2));
  await stopped;
  t.ok(performance.now() - at < 400, 'the politeness of the old one has an end then');
  t.same(await host.call('users', 'count', null), { value: 1, token: token(2) });
  t.same([...host.running], ['users']);
});

t.test('a close leaves no thread and no timer, whatever the services are at', async (t) => {
  const { host } = hostWith(t, { music: fixture('loops-in-start'), recommendations: fixture('never-stops') });
  for (const role of ROLES) host.start(role, token(1));
  await host.call('users', 'echo', null);
  const calls = [codeOf(host.call('users', 'loop', null)), codeOf(host.call('music', 'echo', null)), codeOf(host.call('recommendations', 'never answer', null))];
  void host.stop('recommendations');
  await host.close();
  t.same(await Promise.all(calls), Array(3).fill('ROLE_UNAVAILABLE'));
  t.notOk(process.getActiveResourcesInfo().some((name) => name === 'MessagePort' || name === 'Worker'), process.getActiveResourcesInfo().join());
  host.start('users', token(2));
  t.equal(host.running.size, 0, 'and nothing starts any more');
});

t.test('a service has no thread before its first call, and is then served at once', async (t) => {
  const { host } = hostWith(t, { users: fixture('throws-in-start') });
  host.start('users', token(1));
  t.same(await host.health('users'), { healthy: true });
  t.equal(await codeOf(host.call('users', 'echo', 1)), 'ROLE_UNAVAILABLE', 'the first call starts it');
});

t.test('the gateway is well while the web address of this machine answers, and given up when it does not', async (t) => {
  let status = 200;
  const server = createServer((request, response) => response.writeHead(request.url === '/healthz' ? status : 404).end('ok\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { host, gaveUp, failures } = hostWith(t, PROGRAMS, { context: () => ({ httpPort: port, httpUrl: `http://127.0.0.1:${port}` }), times: IMPATIENT });
  host.start('gateway', token(1));
  t.same(await host.call('gateway', 'port', null), { value: port, token: token(1) });
  t.same(await host.health('gateway'), { healthy: true });
  status = 500;
  await failures(1);
  server.close();
  t.match(await gaveUp('gateway'), /^gateway: the web address of this machine answers with 500(, twice)?; the web address of this machine fails \(.*ECONNREFUSED.*\)(, twice)?$/);
});

t.test('the gateway is well too where its page is served at one address only', async (t) => {
  const server = createServer((_request, response) => response.end('ok\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.2', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { host } = hostWith(t, PROGRAMS, { context: () => ({ httpPort: port, httpUrl: `http://127.0.0.2:${port}` }) });
  host.start('gateway', token(1));
  t.same(await host.call('gateway', 'port', null), { value: port, token: token(1) });
  t.same(await host.health('gateway'), { healthy: true });
});

t.test('the roles that wait for their services are held, and refuse what they are asked', async (t) => {
  const { host } = hostWith(t, PROGRAMS);
  for (const role of ['users', 'recommendations'] as const) {
    host.start(role, token(1));
    t.equal(await codeOf(host.call(role, 'anything', null)), 'UNSUPPORTED');
    t.same(await host.health(role), { healthy: true });
  }
});

t.test('who sees to music says in its thread which machine fetches which song, and refuses what is no question of that', async (t) => {
  const { host } = hostWith(t, PROGRAMS);
  host.start('music', token(1));
  t.same((await host.call('music', 'place', [2, [[100, 60_000, 1], [1_000, 60_000, 8]], [[500, 0, 1, false, []], [50, 9, 1, false, [1]]]])).value, [[1, 0], [0, 1]]);
  t.equal(await codeOf(host.call('music', 'place', [2])), 'BAD_MESSAGE');
  t.equal(await codeOf(host.call('music', 'anything', null)), 'UNSUPPORTED');
});
