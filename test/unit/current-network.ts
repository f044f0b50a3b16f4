// Changes of network that fail at any of their steps, with sessions that are only names.
import t from 'tap';
import { type Network, openNetwork } from '../../lib/network-key.ts';
import { CurrentNetwork, RETRY_MAX_MS } from '../../peer/current-network.ts';
import type { Session } from '../../peer/session.ts';
import type { Settings } from '../../peer/settings.ts';
import { until } from '../lab/until.ts';

type Step = 'open' | 'stop' | 'reconcile';

/** `failing` takes steps, each of which then fails once. */
function machine({ onSave = (): void => undefined, retryMs = RETRY_MAX_MS } = {}) {
  const failing: string[] = [];
  const troubles: string[] = [];
  const saved: string[] = [];
  const moved: string[] = [];
  const left: string[] = [];
  const openNow: string[] = [];
  const step = (what: Step, name: string): void => {
    const at = failing.indexOf(`${what} ${name}`);
    if (at < 0) return;
    failing.splice(at, 1);
    throw new Error(`${what} ${name} failed`);
  };
  const open = async ({ name }: Network, from?: Network): Promise<Session> => {
    if (from) left.push(from.name);
    step('open', name);
    openNow.push(name);
    const session = {
      name,
      stop: async () => {
        openNow.splice(openNow.indexOf(name), 1);
        step('stop', name);
      },
      music: { library: { reconcile: async () => step('reconcile', name) } },
    };
    return session as unknown as Session;
  };
  const save = async ({ name }: Network, from?: Network) => (saved.push(name), from && moved.push(`${from.name} to ${name}`), onSave());
  const settings = { saveNetwork: save, saveReturn: save, renewIdentity: async () => undefined } as unknown as Settings;
  const current = new CurrentNetwork(openNetwork('a'), {
    settings,
    open,
    onLeft: () => undefined,
    retryMs,
    onChange: () => undefined,
    log: (event, facts) => event === 'trouble' && troubles.push(String(facts?.['why'])),
  });
  return { current, failing, troubles, saved, moved, left, openNow };
}

const along = { along: true };

for (const step of ['open', 'reconcile'] as const) {
  t.test(`a change that fails at ${step} says so, and everything is as before`, async (t) => {
    const { current, failing, saved, moved, left, openNow } = machine();
    await current.start();
    failing.push(`${step} b`);
    const change = current.change(openNetwork('b'), along);
    const meanwhile = Promise.resolve().then(() => current.session());
    await t.rejects(change, { message: `${step} b failed` });
    t.ok(await meanwhile, 'whoever asks meanwhile waits');
    t.same([openNow, saved, current.key.name], [['a'], ['b', 'a'], 'a']);
    t.same([moved, left], [['a to b', 'b to a'], ['a', 'b']], 'what goes along comes back');
    await current.change(openNetwork('b'), along);
    t.same([openNow, current.key.name], [['b'], 'b'], 'and another try is free to succeed');
    moved.length = 0;
    failing.push(`${step} c`);
    await t.rejects(current.change(openNetwork('c'), { along: false }));
    t.same([openNow, moved], [['b'], []], "what is left for others' network stays where it is, on the way back too");
  });
}

t.test('what fails while a network is left keeps nobody out of the next', async (t) => {
  const { current, failing, troubles, openNow } = machine();
  await current.start();
  failing.push('stop a');
  await current.change(openNetwork('b'), along);
  t.same([openNow, troubles], [['b'], ['stop a failed']]);
});

t.test('where there is no way back either the first failure is told, and whoever asks next has it opened again', async (t) => {
  const { current, failing, troubles, openNow } = machine();
  await current.start();
  failing.push('open b', 'open a');
  await t.rejects(current.change(openNetwork('b'), along), { code: 'CLOSED', cause: { message: 'open b failed' } });
  t.same([openNow, troubles, current.key.name], [[], ['open a failed'], 'a']);
  failing.push('open a');
  await t.rejects(current.session(), { message: 'open a failed' });
  const [one, two] = await Promise.all([current.session(), current.session()]);
  t.equal(one, two);
  t.same(openNow, ['a'], 'once, for all who ask');
  t.equal(await current.settle(), one);
});

t.test('a machine that is in no network tries again of itself, after longer and longer, and not when it stops', async (t) => {
  const retryMs = 20;
  const it = machine({ retryMs });
  const { current, failing, troubles, openNow } = it;
  await current.start();
  failing.push('open b', 'open a', 'open a', 'open a');
  const startedAt = performance.now();
  await t.rejects(current.change(openNetwork('b'), along), { code: 'CLOSED' });
  await until('it is in its network', 5_000, () => openNow, ([name]) => name === 'a');
  // the way there and the way back failed, and only the latter is waited for
  t.ok(performance.now() - startedAt >= (2 + 4 + 8) * retryMs, 'each time twice as long');
  t.same(troubles, ['open a failed', 'open a failed', 'open a failed'], 'and says why');
  failing.push('open a', 'open a', 'open a');
  await t.rejects(current.renewIdentity());
  await current.settle();
  await new Promise((resolve) => setTimeout(resolve, 5 * retryMs));
  t.same([openNow, failing, troubles.length], [[], ['open a'], 3]);
});

t.test('a way back on which nothing can be compared is a way back', async (t) => {
  const { current, failing, troubles, openNow } = machine();
  await current.start();
  failing.push('reconcile b', 'reconcile a');
  await t.rejects(current.change(openNetwork('b'), along), { message: 'reconcile b failed' });
  t.same([openNow, troubles], [['a'], ['reconcile a failed']]);
});

t.test('a new identity is tried twice, and again when somebody asks', async (t) => {
  const { current, failing, openNow } = machine();
  await current.start();
  failing.push('open a');
  await current.renewIdentity();
  t.same(openNow, ['a']);
  failing.push('open a', 'open a');
  await t.rejects(current.renewIdentity(), { message: 'open a failed' });
  t.same(openNow, []);
  t.ok(await current.session());
  t.same(openNow, ['a']);
});

t.test('who stops opens nothing any more', async (t) => {
  let settled: Promise<unknown> | undefined;
  const { current, failing, troubles, openNow } = machine({ onSave: () => void (settled ??= current.settle()), retryMs: 1 });
  await current.start();
  failing.push('open b', 'open a');
  await t.rejects(current.change(openNetwork('b'), along), { cause: { message: 'open b failed' } });
  t.equal(await settled, undefined);
  await t.rejects(current.session(), { message: 'open a failed' });
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.same([openNow, troubles], [[], ['open a failed']]);
});
