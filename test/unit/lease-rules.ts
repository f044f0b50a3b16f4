// Rules of leases for datagrams that come late, twice, or to the wrong process. Each is asked of the machine that keeps it, for neither
// the transcripts nor the simulator notice soon when one is gone.
import t from 'tap';
import type { GrantMessage, Pulse } from '../../lib/coordination-messages.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import { seededRandom } from '../../lib/random.ts';
import { ROLES } from '../../lib/roles.ts';
import { Claims } from '../../peer/coordination/claims.ts';
import { Coordination } from '../../peer/coordination/coordination.ts';
import { type GrantEffect, Grants, type HeardPulse, type Offerer } from '../../peer/coordination/grants.ts';
import { LEASE_MS, Leases } from '../../peer/coordination/leases.ts';
import { NO_PULSE } from '../sim/pulse.ts';

const [HOLDER, OTHER, STRANGER, COORDINATOR] = ['a', 'b', 'c', 'e'].map((letter) => letter.repeat(32)) as [PeerId, PeerId, PeerId, PeerId];
const [BOOT, BEFORE] = ['1', '2'].map((letter) => letter.repeat(32)) as [BootId, BootId];
const grant = (number: number, echo: number, boot = BOOT): GrantMessage => ({ kind: 'grant', role: 'music', term: 1, number, boot, echo });

t.test('a grant that is overtaken by the end of its own lease brings nothing back, and a later one does', async (t) => {
  const leases = new Leases(HOLDER);
  leases.sent(1, 0);
  leases.granted(COORDINATOR, grant(1, 1), 10);
  leases.revoked(COORDINATOR, 'music', 1, 20);
  leases.granted(COORDINATOR, grant(1, 1), 30);
  t.equal(leases.held.size, 0);
  leases.granted(COORDINATOR, grant(2, 1), 40);
  t.equal(leases.held.get('music')?.token.number, 2);
});

t.test('a renewal that echoes what this process never sent extends nothing', async (t) => {
  const leases = new Leases(HOLDER);
  leases.sent(1, 0);
  leases.granted(COORDINATOR, grant(1, 1), 10);
  leases.renewed(COORDINATOR, 1, [{ number: 1, echo: 7 }], 1_000);
  t.equal(leases.held.get('music')?.until, LEASE_MS);
});

t.test('a grant for the process before is not taken, though the pulse that it echoes has been sent here too', async (t) => {
  const peer = new Coordination({ self: HOLDER, bootId: BOOT, random: seededRandom(1), stored: { term: 0, coordinator: null } });
  peer.step({ kind: 'able', offer: { roles: [...ROLES], load: 0, stability: 0 }, ready: true, now: 0 });
  peer.step({ kind: 'started', now: 0 });
  peer.step({ kind: 'alive', peer: COORDINATOR, now: 0 });
  const { number } = peer.pulse(10);
  peer.step({ kind: 'message', from: COORDINATOR, message: grant(1, number, BEFORE), now: 20 });
  t.equal(peer.coordinator, COORDINATOR, 'it is heard as COORDINATOR');
  t.equal(peer.held.size, 0);
  peer.step({ kind: 'message', from: COORDINATOR, message: grant(1, number), now: 30 });
  t.ok(peer.holds('music', 30));
});

function granting() {
  const offers = new Map([[HOLDER, 0], [OTHER, 9]].map(([peer, load]): [PeerId, Offerer] => [peer as PeerId, { roles: ['music'], load: load as number, stability: 0, ready: true }]));
  const pulses = new Map<PeerId, HeardPulse>();
  const grants = new Grants({ self: COORDINATOR, term: 1, claims: new Claims(), offers, pulses, now: 0 });
  const hear = (peer: PeerId, now: number, pulse: Partial<Pulse> = {}): GrantEffect[] => {
    pulses.set(peer, { bootId: BOOT, pulse: { ...NO_PULSE, number: now + 1, coordinator: COORDINATOR, term: 1, ...pulse }, heardAt: now });
    return grants.heard(peer, now);
  };
  const granted = (effects: readonly GrantEffect[]) => effects.flatMap((effect) => (effect.kind === 'granted' ? [[effect.to, effect.number]] : []));
  return { grants, offers, hear, granted };
}

t.test('a release of an earlier grant does not end the one that followed it', async (t) => {
  const { grants, hear, granted } = granting();
  t.same(granted(hear(HOLDER, 0)), [[HOLDER, 1]]);
  const release = { kind: 'release', role: 'music', term: 1, number: 1, why: 'expired' } as const;
  t.same(granted(grants.released(HOLDER, release, 100)), [[HOLDER, 2]], 'nobody else is there');
  hear(OTHER, 150);
  t.same(granted(grants.released(HOLDER, release, 160)), [], 'said again: it may have taken up the second by now');
  t.equal(grants.holders.get('music'), HOLDER);
});

t.test('a coordinator that has just come adopts a holder of whom it knows no more than that it holds, and one that may not hold it is revoked', async (t) => {
  const { hear, granted } = granting();
  const claims = [{ role: 'music', number: 0 }] as const;
  const effects = hear(STRANGER, 0, { claims });
  t.same(effects.map((effect) => (effect.kind === 'send' ? `${effect.message.kind} to ${effect.to}` : effect.kind)), [`grant to ${STRANGER}`]);
  t.same(granted(hear(HOLDER, 100)), [], 'nobody else gets it');
  const unable = granting();
  unable.offers.set(STRANGER, { roles: ['users'], load: 0, stability: 0, ready: true });
  t.match(unable.hear(STRANGER, 0, { claims }), [{ kind: 'send', to: STRANGER, message: { kind: 'revoke', role: 'music' } }]);
});

t.test('a machine that gets four roles at once by pulses that it has forgotten asks once, and has each again once', async (t) => {
  const leases = new Leases(HOLDER);
  leases.sent(1, 0);
  const asks = ROLES.flatMap((role, i) => leases.granted(COORDINATOR, { ...grant(i + 1, 1), role }, 1_400)).filter(({ kind }) => kind === 'ask');
  t.equal(asks.length, 1);
  leases.sent(2, 1_400);
  const taken = ROLES.flatMap((role, i) => leases.granted(COORDINATOR, { ...grant(i + 1, 2), role }, 1_402)).map(({ kind }) => kind);
  t.equal(taken.filter((kind) => kind === 'hold').length, ROLES.length);
  const again = ROLES.flatMap((role, i) => leases.granted(COORDINATOR, { ...grant(i + 1, 2), role }, 1_403)).map(({ kind }) => kind);
  t.notOk(again.includes('ask'), 'an ask is on its way');
});

t.test('nothing is renewed for a holder that follows somebody else, nor for one whose claim was heard a lease ago', async (t) => {
  const { grants, hear } = granting();
  hear(HOLDER, 0);
  const claims = [{ role: 'music', number: 1 }] as const;
  hear(HOLDER, 100, { claims });
  t.same(grants.renewals('others', 110), [{ number: 1, echo: 101 }]);
  hear(HOLDER, 200, { claims, coordinator: OTHER });
  t.same(grants.renewals('others', 210), []);
  hear(HOLDER, 300, { claims });
  t.same(grants.renewals('others', 300 + LEASE_MS), []);
});

for (const [how, lets] of [['says so by a release', 'lets go too'], ['pulses without it', 'lets go too'], ['says so by a release', 'is silent'], ['pulses without it', 'is silent'], ['left', 'is silent'], ['died', 'is silent']] as const) {
  t.test(`a role that two held on two sides of a cut is free when both have let go of it, or their leases are over: one ${how}, the other ${lets}`, async (t) => {
    const held = (coordinator: PeerId): Pulse => ({ ...NO_PULSE, number: 1, coordinator, term: 3, claims: [{ role: 'music', number: 1 }] });
    const claims = new Claims();
    const [greater, smaller] = ['d', 'c'].map((letter) => letter.repeat(32)) as [PeerId, PeerId];
    claims.hear(OTHER, held(smaller), 950);
    claims.hear(HOLDER, held(greater), 900);
    const pulses = new Map<PeerId, HeardPulse>([
      [HOLDER, { bootId: BOOT, pulse: held(greater), heardAt: 900 }],
      [OTHER, { bootId: BOOT, pulse: held(smaller), heardAt: 950 }],
      [COORDINATOR, { bootId: BOOT, pulse: { ...NO_PULSE, number: 1, coordinator: COORDINATOR, term: 4 }, heardAt: 1_000 }],
    ]);
    const offers = new Map([COORDINATOR, HOLDER, OTHER].map((peer): [PeerId, Offerer] => [peer, { roles: ['music'], load: peer === COORDINATOR ? 0 : 5, stability: 0, ready: true }]));
    const grants = new Grants({ self: COORDINATOR, term: 4, claims, offers, pulses, now: 1_000 });
    const granted = (effects: readonly GrantEffect[]): string[] => effects.flatMap((effect) => (effect.kind === 'granted' && effect.role === 'music' ? [effect.to] : []));
    t.same(granted(grants.start(1_000)), []);
    const ends = (): readonly GrantEffect[] => {
      if (how === 'says so by a release') {
        claims.hear(HOLDER, { ...NO_PULSE, number: 2, coordinator: COORDINATOR, term: 4 }, 1_010);
        return grants.released(HOLDER, { kind: 'release', role: 'music', term: 3, number: 0, why: 'superseded' }, 1_010);
      }
      if (how === 'pulses without it') {
        const pulse = { ...NO_PULSE, number: 2, coordinator: COORDINATOR, term: 4 };
        pulses.set(HOLDER, { bootId: BOOT, pulse, heardAt: 1_010 });
        claims.hear(HOLDER, pulse, 1_010);
        return grants.heard(HOLDER, 1_010);
      }
      offers.delete(HOLDER);
      pulses.delete(HOLDER);
      claims.ended(HOLDER, how);
      return grants.gone(HOLDER, how, 1_010);
    };
    t.same(granted(ends()), []);
    if (lets === 'lets go too') {
      const pulse = { ...NO_PULSE, number: 2, coordinator: COORDINATOR, term: 4 };
      pulses.set(OTHER, { bootId: BOOT, pulse, heardAt: 1_020 });
      claims.hear(OTHER, pulse, 1_020);
      t.equal(granted(grants.heard(OTHER, 1_020)).length, 1, 'at once');
      return;
    }
    t.same(granted(grants.expired(950 + LEASE_MS + 299)), [], 'the other may hold it');
    t.equal(granted(grants.expired(950 + LEASE_MS + 300)).length, 1);
  });
}
