// A coordinator that hears nobody any more while streams of others still live: it lets its roles go, and takes them up when it
// turns out to be alone. In between it does not hand them to itself again and again, with a line in the log each time.
import t from 'tap';
import type { BootId, PeerId } from '../../lib/ids.ts';
import type { Offer } from '../../lib/messages.ts';
import { seededRandom } from '../../lib/random.ts';
import { ROLES } from '../../lib/roles.ts';
import { Coordination, type CoordinationEffect, type CoordinationInput } from '../../peer/coordination/coordination.ts';

const [SELF, OTHER] = ['b', 'a'].map((letter) => letter.repeat(32)) as [PeerId, PeerId];
const OFFER: Offer = { roles: [...ROLES], load: 0, stability: 0 };
const STEP_MS = 100;

type Untimed<T> = T extends { readonly now: number } ? Omit<T, 'now'> : never;

t.test('a coordinator that is deaf lets go once, and holds again once it is alone', async (t) => {
  const peer = new Coordination({ self: SELF, bootId: '1'.repeat(32) as BootId, random: seededRandom(1), stored: { term: 0, coordinator: null } });
  let now = 0;
  const seen: { readonly at: number; readonly effect: CoordinationEffect }[] = [];
  const feed = (input: Untimed<CoordinationInput>): void => {
    for (const effect of peer.step({ ...input, now } as CoordinationInput)) {
      seen.push({ at: now, effect });
      if (effect.kind === 'persist') feed({ kind: 'persisted', claim: effect.claim, ok: true });
    }
  };
  /** With every timer, and a pulse as often as who coordinates sends one. */
  const run = (until: number): void => {
    for (; now < until; now += STEP_MS) {
      for (const timer of ['election', 'grants', 'lease', 'tick'] as const) feed({ kind: 'expired', timer });
      if (now % 300 === 0) peer.pulse(now);
    }
  };
  const count = (kind: 'hold' | 'drop', since: number): number => seen.filter(({ at, effect }) => effect.kind === kind && at >= since).length;

  feed({ kind: 'able', offer: OFFER, ready: false });
  feed({ kind: 'started' });
  run(2_000);
  t.same([...peer.held.keys()], ROLES);
  feed({ kind: 'alive', peer: OTHER });
  feed({ kind: 'linked', links: 1 });
  const silentAt = now;
  run(2_900);
  t.equal(count('drop', silentAt), 0, 'it may hear them again');
  run(9_000);
  t.ok(peer.isLone);
  t.equal(count('drop', silentAt), ROLES.length, 'each role goes once');
  t.equal(count('hold', silentAt), 0, 'and is not taken up again');
  feed({ kind: 'gone', peer: OTHER, why: 'silent' });
  feed({ kind: 'linked', links: 0 });
  feed({ kind: 'able', offer: OFFER, ready: false });
  run(9_300);
  t.same([...peer.held.keys()], ROLES, 'the streams are gone too: it is alone');
  t.equal(count('hold', silentAt), ROLES.length);
});
