// A machine that left politely and has come back may hold what it held: bars that end with a process. The rest of the coordinator's
// side is in the transcripts and the simulator.
import t from 'tap';
import type { Pulse } from '../../lib/coordination-messages.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import type { Role } from '../../lib/roles.ts';
import { Claims } from '../../peer/coordination/claims.ts';
import { type GrantEffect, Grants, type HeardPulse, type Offerer } from '../../peer/coordination/grants.ts';

const [SELF, ONE, TWO] = ['c', 'a', 'b'].map((letter) => letter.repeat(32)) as [PeerId, PeerId, PeerId];
const bootOf = (letter: string): BootId => letter.repeat(32) as BootId;

/** A coordinator without roles of its own, and two that may be gateway. */
function world() {
  const claims = new Claims();
  const offers = new Map<PeerId, Offerer>([[SELF, { roles: [], load: 0, stability: 0, ready: false }]]);
  const pulses = new Map<PeerId, HeardPulse>();
  const grants = new Grants({ self: SELF, term: 1, claims, offers, pulses, now: 0 });
  let number = 0;
  const hear = (peer: PeerId, bootId: BootId, now: number, held?: { readonly role: Role; readonly number: number }): GrantEffect[] => {
    number += 1;
    const pulse: Pulse = { number, coordinator: SELF, term: 1, ageMs: 0, rank: 0, lone: false, asks: false, claims: held ? [held] : [], renewals: [] };
    pulses.set(peer, { bootId, pulse, heardAt: now });
    offers.set(peer, { roles: ['gateway'], load: 0, stability: 0, ready: false });
    claims.hear(peer, pulse, now);
    return grants.heard(peer, now);
  };
  const leave = (peer: PeerId, held: number, now: number): GrantEffect[] => {
    const effects = grants.released(peer, { kind: 'release', role: 'gateway', term: 1, number: held, why: 'leaving' }, now);
    pulses.delete(peer);
    offers.delete(peer);
    claims.ended(peer, 'left');
    return [...effects, ...grants.gone(peer, 'left', now + 60)];
  };
  const granted = (effects: readonly GrantEffect[]): [PeerId, number] | undefined =>
    effects.flatMap((effect): [PeerId, number][] => (effect.kind === 'granted' ? [[effect.to, effect.number]] : []))[0];
  return { grants, hear, leave, granted };
}

t.test('each of two machines is restarted after the other: whoever is back gets the role at once', async (t) => {
  const { grants, hear, leave, granted } = world();
  t.same(granted(hear(ONE, bootOf('1'), 0)), [ONE, 1]);
  hear(TWO, bootOf('2'), 100);
  hear(ONE, bootOf('1'), 200, { role: 'gateway', number: 1 });
  t.same(granted(leave(ONE, 1, 1_000)), [TWO, 2], 'it passes when its holder leaves');
  t.equal(granted(grants.expired(1_100)), undefined);
  hear(ONE, bootOf('3'), 3_000);
  t.same(granted(leave(TWO, 2, 4_000)), [ONE, 3], 'and back again, seconds later');
});

t.test('but not while it is still about to leave', async (t) => {
  const { grants, hear, granted } = world();
  t.same(granted(hear(ONE, bootOf('1'), 0)), [ONE, 1]);
  const effects = grants.released(ONE, { kind: 'release', role: 'gateway', term: 1, number: 1, why: 'leaving' }, 500);
  t.equal(granted(effects), undefined);
  t.equal(granted(hear(ONE, bootOf('1'), 600)), undefined, 'a beat of before says that it may');
  t.same(granted(hear(TWO, bootOf('2'), 700)), [TWO, 2]);
});

t.test('whose lease ran out when its coordinator fell silent has its role again, though another fell silent with it long before', async (t) => {
  const claims = new Claims();
  const pulseOf = (number: number, ...held: readonly number[]): Pulse => ({ number, coordinator: ONE, term: 1, ageMs: 0, rank: 1, lone: false, asks: false, claims: held.map((grant) => ({ role: 'gateway', number: grant })), renewals: [] });
  claims.hear(SELF, pulseOf(1, 1), 0);
  claims.hear(TWO, pulseOf(1, 2), 60_000);
  claims.hear(TWO, pulseOf(2), 70_000);
  const pulses = new Map([ONE, TWO].map((peer): [PeerId, HeardPulse] => [peer, { bootId: bootOf('1'), pulse: pulseOf(2), heardAt: 70_000 }]));
  const offers = new Map([ONE, TWO].map((peer): [PeerId, Offerer] => [peer, { roles: ['gateway'], load: peer === TWO ? 1 : 0, stability: 0, ready: true }]));
  const grants = new Grants({ self: ONE, term: 2, claims, offers, pulses, now: 70_100 });
  t.match(grants.start(70_100).filter(({ kind }) => kind === 'granted'), [{ role: 'gateway', from: TWO, to: TWO, why: 'expired' }]);
});
