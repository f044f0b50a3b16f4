// The driver of coordination: what the pure machine does not see.
import t, { type Test } from 'tap';
import { type BootId, idToBytes, type PeerId } from '../../lib/ids.ts';
import { seededRandom } from '../../lib/random.ts';
import { systemClock } from '../../lib/time.ts';
import { Duties, type DutiesOptions } from '../../peer/coordination/duties.ts';
import { rolesShown } from '../../peer/coordination/shown.ts';
import type { ServiceContext } from '../../peer/services/service.ts';
import type { ClaimStore } from '../../storage/claim-store.ts';
import { NO_PULSE } from '../sim/pulse.ts';

const [ME, HOLDER, COORDINATOR, INSANE] = ['1', 'a', 'c', 'e'].map((letter) => letter.repeat(32)) as [PeerId, PeerId, PeerId, PeerId];

/** It runs, and may hold nothing. */
function started(t: Test, options: Partial<DutiesOptions> = {}): Duties {
  const duties = new Duties({
    self: ME,
    bootId: '9'.repeat(32) as BootId,
    random: seededRandom(1),
    clock: systemClock,
    claims: { save: async () => {} } as unknown as ClaimStore,
    stored: { term: 0, coordinator: null },
    roles: [],
    context: () => ({}) as ServiceContext,
    isSynced: () => true,
    links: () => 1,
    lives: () => true,
    ask: async () => null,
    carryOut: () => {},
    tell: () => {},
    onRole: () => {},
    onChange: () => {},
    onService: () => {},
    trouble: (what) => (error) => t.fail(`${what}: ${error}`),
    ...options,
  });
  duties.start();
  t.teardown(() => duties.stop());
  return duties;
}

t.test('a role that no machine may hold is shown with what to look at', async (t) => {
  const shown = await rolesShown(started(t), { nameOf: () => '', gatewayName: undefined });
  t.same(Object.fromEntries(shown.map(({ role, why }) => [role, why])), {
    gateway: 'no machine may hold it (--http, --roles)',
    users: 'no machine may hold it (--roles)',
    music: 'no machine may hold it (--roles)',
    recommendations: 'no machine may hold it (--roles)',
  });
});

t.test('the insane term of a bystander does not make callers forget the greatest token that they have seen', { timeout: 20_000 }, async (t) => {
  let number = 5;
  const news: string[] = [];
  const duties = started(t, { ask: async () => ['value', 1, idToBytes(COORDINATOR), number], tell: ({ kind }) => void news.push(kind) });
  let pulses = 0;
  const hear = (from: PeerId, coordinator: PeerId, term: number, held: boolean): void =>
    duties.feed({ kind: 'pulse', from, bootId: from as string as BootId, pulse: { ...NO_PULSE, number: (pulses += 1), coordinator, term, claims: held ? [{ role: 'users', number: 5 }] : [] } });
  hear(COORDINATOR, COORDINATOR, 1, false);
  hear(HOLDER, COORDINATOR, 1, true);
  t.equal(await duties.call('users', 'read', null), 'value');
  number = 3;
  hear(INSANE, INSANE, 2 ** 40, false);
  t.ok(news.includes('insaneTerm'));
  await t.rejects(duties.call('users', 'read', null), { code: 'ROLE_UNAVAILABLE' });
});
