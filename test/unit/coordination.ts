// Claims about elections, leases and roles, in virtual time. What takes several peers is played in a room of them
// (test/sim/coordination-room.ts), what one machine decides by itself is asked of that machine.
import fc from 'fast-check';
import t from 'tap';
import { decode, encode } from '../../lib/codec.ts';
import { type CoordinationMessage, type Pulse, RELEASE_REASONS } from '../../lib/coordination-messages.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import { DATAGRAM_BYTES_MAX, TERM_MAX } from '../../lib/limits.ts';
import { decodeMessage, encodeMessage } from '../../lib/messages.ts';
import { compareTokens, type FencingToken, ROLES, type Role } from '../../lib/roles.ts';
import { type Candidate, chooseHandOver, chooseHolder } from '../../peer/coordination/assignment.ts';
import { Claims } from '../../peer/coordination/claims.ts';
import { Grants, type GrantEffect, type HeardPulse, type Offerer } from '../../peer/coordination/grants.ts';
import { LEASE_MS, Leases } from '../../peer/coordination/leases.ts';
import { Room, type RoomEvent } from '../sim/coordination-room.ts';
import { NO_PULSE } from '../sim/pulse.ts';

// a room of two hundred, and hours of virtual time
t.setTimeout(180_000);

const FIVE = ['a', 'b', 'c', 'd', 'e'];
/** All are ready, and nothing happens any more. */
const SETTLED_MS = 70_000;
const CLOCKS_APART_MS = 300;
const BOOT = 'a/1' as BootId;

interface Played {
  readonly room: Room;
  readonly events: RoomEvent[];
}

function play(names: readonly string[], { prepare = () => {}, until = SETTLED_MS, seed = 1 }: { readonly prepare?: (room: Room) => void; readonly until?: number; readonly seed?: number } = {}): Played {
  const events: RoomEvent[] = [];
  const room = new Room({ seed, observe: (event) => events.push(event) });
  for (const name of names) room.machine(name);
  prepare(room);
  room.start(...names);
  room.run(until);
  return { room, events };
}

interface Told {
  readonly at: number;
  readonly who: string;
}

const effects = <Kind extends string>({ events }: Played, kind: Kind) =>
  events.flatMap((event) => (event.kind === 'effect' && event.effect.kind === kind ? [{ at: event.at, who: event.who, ...(event.effect as Extract<typeof event.effect, { kind: Kind }>) }] : []));

const handOvers = (played: Played, role: Role) =>
  effects(played, 'tell').flatMap(({ at, who, news }) => (news.kind === 'handOver' && news.role === role ? [{ at, who, from: news.from as string | null, to: news.to as string, why: news.why }] : []));

const follows = (played: Played): (Told & { readonly coordinator: string | null; readonly term: number; readonly reason: string })[] =>
  effects(played, 'tell').flatMap(({ at, who, news }) => (news.kind === 'coordinator' ? [{ at, who, coordinator: news.coordinator, term: news.term, reason: news.reason }] : []));

const said = ({ events }: Played, ...kinds: string[]) => events.flatMap((event) => (event.kind === 'said' && kinds.includes(event.message.kind) ? [event] : []));

const after = <T extends { readonly at: number }>(list: readonly T[], at: number): T[] => list.filter((one) => one.at > at);

const views = ({ room }: Played): string[] => [...new Set(room.running.map(({ coordination }) => `${coordination.coordinator} ${coordination.term}`))];

const coordinators = ({ room }: Played): (string | null)[] => [...new Set(room.running.map(({ coordination }) => coordination.coordinator))];

const only = <T>(list: readonly T[]): T => {
  if (list.length !== 1) throw new Error(`${list.length} instead of one`);
  return list[0] as T;
};

// --- roles and leases

t.test('a lone peer holds all roles within two seconds', async (t) => {
  const { room } = play(['a'], { until: 2_000 });
  t.same(ROLES.map((role) => room.holders(role)), ROLES.map(() => ['a']));
});

t.test('a lease runs from when the echoed beat was sent: a renewal that waited extends nothing', async (t) => {
  const self = 'a' as PeerId;
  const coordinator = 'e' as PeerId;
  const leases = new Leases(self);
  leases.sent(1, 0);
  leases.granted(coordinator, { kind: 'grant', role: 'music', term: 1, number: 1, boot: BOOT, echo: 1 }, 100);
  t.equal(leases.held.get('music')?.until, LEASE_MS, 'not from when the grant came');
  leases.sent(2, 200);
  leases.sent(3, 900);
  leases.renewed(coordinator, 1, [{ number: 1, echo: 2 }], 1_400);
  t.equal(leases.held.get('music')?.until, 200 + LEASE_MS, 'not from when the renewal came');
  leases.renewed(coordinator, 1, [{ number: 1, echo: 3 }], 1_690);
  leases.renewed(coordinator, 1, [{ number: 1, echo: 2 }], 1_695);
  t.equal(leases.held.get('music')?.until, 900 + LEASE_MS, 'and one that was overtaken shortens nothing');
  t.ok(leases.holds('music', 900 + LEASE_MS - 1));
  t.notOk(leases.holds('music', 900 + LEASE_MS));
  leases.sent(4, 2_000);
  leases.renewed(coordinator, 1, [{ number: 1, echo: 4 }], 900 + LEASE_MS);
  t.notOk(leases.holds('music', 900 + LEASE_MS), 'nothing brings back a lease that has run out');
});

t.test('a grant or a renewal for what this process never sent counts for nothing', async (t) => {
  const leases = new Leases('a' as PeerId);
  leases.sent(1, 0);
  leases.granted('e' as PeerId, { kind: 'grant', role: 'music', term: 1, number: 1, boot: BOOT, echo: 7 }, 10);
  t.equal(leases.held.size, 0);
});

t.test('of a grant that echoes what was sent too long ago little is left: it is asked for anew, and not taken up to be let go of', async (t) => {
  const granted = (now: number): { readonly kinds: readonly string[]; readonly held: number } => {
    const leases = new Leases('a' as PeerId);
    leases.sent(1, 0);
    if (now > LEASE_MS) leases.sent(2, now); // forgets the first
    const effects = leases.granted('e' as PeerId, { kind: 'grant', role: 'music', term: 1, number: 1, boot: BOOT, echo: 1 }, now);
    return { kinds: effects.map(({ kind }) => kind), held: leases.held.size };
  };
  t.match(granted(LEASE_MS - 500), { kinds: ['hold', 'speak'], held: 1 });
  for (const now of [LEASE_MS - 499, LEASE_MS, LEASE_MS + 1, 10_000]) t.same(granted(now), { kinds: ['ask'], held: 0 }, `${now} ms old`);
});

t.test('who asks has the grant again at once, echoing what asked', async (t) => {
  const played = play(FIVE);
  const { room } = played;
  room.machine('d').roles = ['gateway'];
  for (const name of ['a', 'b', 'c', 'e']) room.machine(name).roles = ROLES.filter((role) => role !== 'gateway');
  room.lose('grant', 'e', 'd');
  room.run(SETTLED_MS + 3_000);
  t.same(room.holders('gateway'), []);
  const grants = (): readonly { readonly at: number; readonly echo: number }[] =>
    said(played, 'grant').flatMap(({ at, message }) => (message.kind === 'grant' && message.role === 'gateway' ? [{ at, echo: message.echo }] : []));
  const before = grants();
  room.heal();
  const pulse = { ...room.coordination('d').pulse(room.now), asks: true };
  const { bootId } = room.machine('d').process as { readonly bootId: BootId };
  room.tell('e', { kind: 'pulse', from: 'd' as PeerId, bootId, pulse });
  t.same(grants().slice(before.length), [{ at: room.now, echo: pulse.number }]);
});

for (const coordinatorHearsOfIt of ['by its own membership', 'at once, without proof'] as const) {
  t.test(`the role of a holder that fell silent is granted to another only ${CLOCKS_APART_MS} ms after its lease has run out: found ${coordinatorHearsOfIt}`, async (t) => {
    for (let seed = 1; seed <= 5; seed++) {
      const played = play(FIVE, { seed });
      const { room } = played;
      const holder = only(room.holders('gateway'));
      const until = room.coordination(holder).held.get('gateway')?.until as number;
      room.silence(holder);
      if (coordinatorHearsOfIt === 'at once, without proof') {
        room.run(SETTLED_MS + 20);
        room.tell('e', { kind: 'gone', peer: holder as PeerId, why: 'silent' });
      }
      room.run(SETTLED_MS + 5_000);
      const held = only(after(effects(played, 'hold'), SETTLED_MS).filter(({ role }) => role === 'gateway'));
      t.not(held.who, holder);
      t.ok(held.at >= until + CLOCKS_APART_MS, `seed ${seed}: ${held.at} and not before ${until + CLOCKS_APART_MS}`);
      t.ok(held.at <= until + 1_500, `seed ${seed}: and not much later: ${held.at}`);
    }
  });
}

t.test('a coordinator whose stream does not tell it that a holder has ended is told by others, and hands its role on', async (t) => {
  const roleless = (room: Room): void => {
    for (const name of FIVE.slice(0, 3)) room.machine(name).roles = [];
  };
  const played = play(FIVE, { prepare: roleless });
  const { room } = played;
  const holder = only(room.holders('gateway').filter((name) => name !== 'e'));
  t.equal(holder, 'd');
  room.lose('closed', 'd', 'e');
  room.kill('d');
  room.run(SETTLED_MS + 80);
  t.same(after(said(played, 'died'), SETTLED_MS).map(({ who, to }) => `${who} to ${to}`), ['a to e', 'b to e', 'c to e']);
  t.same(room.holders('gateway'), ['e']);
});

t.test('of a death the coordinator is told by three of many, and of one that held nothing by nobody', async (t) => {
  const names = Array.from({ length: 20 }, (_, i) => `p${String(i).padStart(3, '0')}`);
  const played = play(names);
  const { room } = played;
  const held = new Set(ROLES.flatMap((role) => room.holders(role)));
  room.kill(names.find((name) => !held.has(name)) as string);
  room.run(SETTLED_MS + 500);
  t.same(after(said(played, 'died'), SETTLED_MS), []);
  room.kill([...held].find((name) => name !== 'p019') as string);
  room.run(SETTLED_MS + 1_000);
  const tellers = after(said(played, 'died'), SETTLED_MS).map(({ who }) => who);
  t.ok(tellers.length >= 1 && tellers.length <= 3, tellers.join());
});

t.test('a holder that is said to have ended, and lives behind a firewall that refuses connections, keeps its role', async (t) => {
  const played = play(FIVE);
  const { room } = played;
  const holder = only(room.holders('gateway'));
  const { bootId } = room.machine(holder).process as { readonly bootId: BootId };
  const teller = only(FIVE.filter((name) => name !== holder && name !== 'e').slice(0, 1));
  const died = (boot: BootId): void => room.tell('e', { kind: 'message', from: teller as PeerId, message: { kind: 'died', peer: holder as PeerId, boot } });
  const doubts = (): number => after(effects(played, 'doubt'), SETTLED_MS).length;
  room.reject(holder);
  room.run(SETTLED_MS + 1);
  died('another' as BootId);
  t.equal(doubts(), 0, 'of an earlier process nothing is to be asked');
  died(bootId);
  t.equal(doubts(), 1);
  room.run(SETTLED_MS + 3_000);
  t.same(room.holders('gateway'), [holder]);
  t.same(after(said(played, 'died', 'grant'), SETTLED_MS), []);
});

t.test('the role of a holder whose process is known to have ended is held by another within 10 ms', async (t) => {
  const played = play(FIVE);
  const holder = only(played.room.holders('gateway'));
  played.room.kill(holder);
  played.room.run(SETTLED_MS + 10);
  t.equal(played.room.holders('gateway').length, 1);
});

t.test('a polite peer hands its roles over before it goes, and holds none of them when another does', async (t) => {
  const played = play(FIVE);
  const { room } = played;
  const holder = only(room.holders('gateway'));
  room.stop(holder);
  room.run(SETTLED_MS + 50);
  const dropped = only(after(effects(played, 'drop'), SETTLED_MS - 1).filter(({ role }) => role === 'gateway'));
  const held = only(after(effects(played, 'hold'), SETTLED_MS - 1).filter(({ role }) => role === 'gateway'));
  t.ok(dropped.at <= held.at);
  t.not(held.who, holder);
});

t.test('a holder whose claims its coordinator does not hear is revoked after 4 s and barred for 30 s', async (t) => {
  const played = play(FIVE);
  const { room } = played;
  const holder = only(room.holders('gateway'));
  room.cut(holder, 'e');
  room.run(SETTLED_MS + 12_000);
  const revoked = said(played, 'revoke').find(({ at, to }) => at > SETTLED_MS && to === holder) as { readonly at: number };
  // its last claim was heard up to a pulse before the way was cut
  t.ok(revoked.at > SETTLED_MS + 3_650 && revoked.at < SETTLED_MS + 4_150, `${revoked.at - SETTLED_MS} ms after it was last heard`);
  room.heal();
  const failing = (now: number): void => {
    room.run(now);
    const other = only(room.holders('gateway'));
    t.not(other, holder, `at ${now}`);
    room.fail(other, 'gateway');
    room.run(now + 50);
  };
  // the one of least load is the barred one
  failing(90_000);
  failing(revoked.at + 29_000);
  t.not(only(room.holders('gateway')), holder);
  room.run(revoked.at + 31_000);
  room.fail(only(room.holders('gateway')), 'gateway');
  room.run(room.now + 50);
  t.same(room.holders('gateway'), [holder], 'and gets it when the bar is over');
});

t.test('a new coordinator adopts those who hold roles: nobody drops one, and the tokens grow', async (t) => {
  const played = play(FIVE);
  const { room } = played;
  const before = new Map(ROLES.map((role) => [role, room.coordination(only(room.holders(role))).held.get(role)?.token as FencingToken]));
  const holders = ROLES.map((role) => room.holders(role));
  room.kill('e');
  room.run(SETTLED_MS + 5_000);
  t.same(ROLES.map((role) => room.holders(role)), holders);
  t.same(after(effects(played, 'drop'), SETTLED_MS), []);
  for (const role of ROLES) {
    const token = room.coordination(only(room.holders(role))).held.get(role)?.token as FencingToken;
    t.equal(token.coordinator, 'd');
    t.ok(compareTokens(token, before.get(role) as FencingToken) > 0, role);
  }
});

t.test('a peer that may not hold a role answers a grant with unable', async (t) => {
  const played = play(FIVE, {
    prepare: (room) => {
      room.machine('a').roles = ['music'];
    },
  });
  played.room.tell('a', { kind: 'message', from: 'e' as PeerId, message: { kind: 'grant', role: 'gateway', term: 1, number: 99, boot: 'a/1' as BootId, echo: 1 } });
  const { to, message } = said(played, 'release').at(-1) as Extract<RoomEvent, { kind: 'said' }>;
  t.same([to, message], ['e', { kind: 'release', role: 'gateway', term: 1, number: 99, why: 'unable' }]);
  t.notOk(played.room.coordination('a').held.has('gateway'));
});

/** A coordinator's grants, of peers that are named and have just been heard. */
function grantsOf(names: readonly string[], { loads = {} }: { readonly loads?: Readonly<Record<string, number>> } = {}) {
  const self = names.at(-1) as PeerId;
  const offers = new Map<PeerId, Offerer>(names.map((name) => [name as PeerId, { roles: ROLES, load: loads[name] ?? 0, stability: 0, ready: true }]));
  const pulses = new Map<PeerId, HeardPulse>();
  let number = 0;
  const heard = (name: string, now: number, pulse: Partial<Pulse> = {}): void => {
    number += 1;
    pulses.set(name as PeerId, { bootId: `${name}/1` as BootId, pulse: { ...NO_PULSE, number, coordinator: self, term: 1, ...pulse }, heardAt: now });
  };
  for (const name of names) heard(name, 0);
  const grants = new Grants({ self, term: 1, claims: new Claims(), offers, pulses, now: 0 });
  return { grants, offers, pulses, heard };
}

const grantedTo = (effects: readonly GrantEffect[], role: Role): string[] => effects.flatMap((effect) => (effect.kind === 'granted' && effect.role === role ? [effect.to] : []));

for (const { why, barredMs } of [{ why: 'unable', barredMs: 30_000 }, { why: 'failed', barredMs: 600_000 }] as const) {
  t.test(`who answered ${why} is not asked again for ${barredMs / 1_000} s, though it is the best there is`, async (t) => {
    const { grants } = grantsOf(['a', 'b']);
    const [holder = ''] = grantedTo(grants.start(0), 'gateway');
    const other = holder === 'a' ? 'b' : 'a';
    const number = 1;
    t.same(grantedTo(grants.released(holder as PeerId, { kind: 'release', role: 'gateway', term: 1, number, why }, 100), 'gateway'), [other]);
    const at = 100 + barredMs;
    t.same(grantedTo(grants.gone(other as PeerId, 'died', at - 1), 'gateway').filter((to) => to === holder), [], 'not before');
  });
}

t.test('the role of a service that failed goes to another peer, and not back for ten minutes', async (t) => {
  const played = play(FIVE);
  const { room } = played;
  const holder = only(room.holders('gateway'));
  room.fail(holder, 'gateway');
  room.run(SETTLED_MS + 20);
  t.not(only(room.holders('gateway')), holder);
  for (let now = 170_000; now < SETTLED_MS + 590_000; now += 150_000) {
    room.run(now);
    const other = only(room.holders('gateway'));
    room.fail(other, 'gateway');
    room.run(now + 100);
  }
  t.same(after(handOvers(played, 'gateway'), SETTLED_MS).filter(({ to, at }) => to === holder && at < SETTLED_MS + 600_000), []);
  room.run(SETTLED_MS + 605_000);
  t.same(room.holders('gateway'), [holder], 'it is tried again when its time is over, here because all others have failed');
});

t.test('where loads differ by two, one role passes in ten minutes, and is dropped before another holds it', async (t) => {
  const played = play(['a', 'b', 'c'], { until: 5_000 });
  const { room } = played;
  t.equal(ROLES.filter((role) => room.holders(role).includes('a')).length, 2);
  room.machine('a').load = 10;
  room.run(1_300_000);
  const balanced = ROLES.flatMap((role) => handOvers(played, role).filter(({ why }) => why === 'balance' || why === 'revoked').map((handOver) => ({ ...handOver, role })));
  t.equal(balanced.length, 2);
  const [first, second] = balanced.sort((one, other) => one.at - other.at) as [(typeof balanced)[0], (typeof balanced)[0]];
  t.same([first.from, second.from], ['a', 'a']);
  t.ok(first.at >= 600_000, `${first.at}`);
  t.ok(second.at - first.at >= 600_000, `${second.at - first.at}`);
  for (const { role, to } of balanced) {
    const dropped = effects(played, 'drop').find((drop) => drop.role === role) as Told;
    const held = effects(played, 'hold').filter((hold) => hold.role === role && hold.who === to).at(-1) as Told;
    t.ok(dropped.at <= held.at, role);
  }
});

t.test('where loads differ by one, no role passes', async (t) => {
  const played = play(FIVE, { until: 5_000 });
  played.room.machine('a').load = 1;
  played.room.run(1_300_000);
  t.same(ROLES.map((role) => handOvers(played, role).length), ROLES.map(() => 1));
});

t.test('where its service failed a role is refused, whoever coordinates and whatever of the word for it was lost', async (t) => {
  const played = play(FIVE);
  const { room } = played;
  room.lose('release', 'a', 'e');
  room.fail('a', 'gateway');
  room.run(SETTLED_MS + 2_000);
  room.heal();
  room.kill('e');
  room.run(SETTLED_MS + 4_000);
  room.kill(only(room.holders('gateway')));
  room.run(SETTLED_MS + 6_000);
  t.same(after(effects(played, 'hold'), SETTLED_MS).filter(({ who, role }) => who === 'a' && role === 'gateway'), []);
  t.equal(room.holders('gateway').length, 1);
});

t.test('a peer that beats rarely takes a role at once: a grant that echoes an old beat is answered by a new one', async (t) => {
  const names = Array.from({ length: 200 }, (_, i) => `p${String(i).padStart(3, '0')}`);
  const played = play(names, { until: 25_000 });
  const { room } = played;
  for (let now = 25_000; now < 29_000; now += 2_000) {
    room.run(now);
    room.kill(only(room.holders('gateway')));
    room.run(now + 250);
    t.equal(room.holders('gateway').length, 1, `at ${now}`);
  }
});

t.test('who says that it hears nobody is granted nothing', async (t) => {
  const { grants, heard } = grantsOf(['a', 'b']);
  const [holder = ''] = grantedTo(grants.start(0), 'gateway');
  t.equal(holder, 'a');
  heard('a', 100, { lone: true });
  t.same(grantedTo(grants.released('a' as PeerId, { kind: 'release', role: 'gateway', term: 1, number: 1, why: 'expired' }, 100), 'gateway'), ['b']);
});

t.test('a coordinator that hears no datagram while its streams live lets go of its roles once, and takes none', async (t) => {
  const played = play(FIVE, {
    prepare: (room) => {
      for (const name of ['a', 'b', 'c', 'd']) room.machine(name).roles = ['users'];
    },
  });
  const { room } = played;
  t.same(room.holders('gateway'), ['e']);
  room.machine('e').links = 4;
  for (const name of ['a', 'b', 'c', 'd']) room.cut(name, 'e');
  room.run(SETTLED_MS + 8_000);
  t.equal(room.coordination('e').isLone, true);
  const dropped = after(effects(played, 'drop'), SETTLED_MS).filter(({ who, role }) => who === 'e' && role === 'gateway');
  t.equal(dropped.length, 1);
  t.same(room.holders('gateway'), []);
});

const candidate = fc.record({
  roles: fc.subarray([...ROLES]),
  load: fc.integer({ min: 0, max: 3 }),
  stability: fc.integer({ min: 0, max: 3 }),
  ready: fc.boolean(),
});
const someCandidates = fc.array(candidate, { minLength: 1, maxLength: 7 }).map((list): Candidate[] => list.map((one, i) => ({ ...one, peer: `p${i}` as PeerId })));

t.test('who gets a role does not depend on the order in which candidates are known', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        someCandidates.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }), fc.array(fc.nat(all.length - 1), { minLength: ROLES.length, maxLength: ROLES.length }))),
        ([all, shuffled, held]) => {
          const holders = new Map(ROLES.map((role, i) => [role, `p${held[i]}` as PeerId]));
          const [one, other] = [chooseHandOver(holders, all), chooseHandOver(holders, shuffled)];
          return ROLES.every((role) => chooseHolder(role, all) === chooseHolder(role, shuffled)) && JSON.stringify(one) === JSON.stringify(other);
        },
      ),
      { numRuns: 500 },
    ),
  );
});

t.test('a role goes to one that may hold it, to a ready one if there is one, and of those to one of least load', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(someCandidates, fc.constantFrom(...ROLES), (all, role) => {
        const able = all.filter(({ roles }) => roles.includes(role));
        const chosen = all.find(({ peer }) => peer === chooseHolder(role, all));
        if (!chosen) return able.length === 0;
        const best = able.filter(({ ready }) => ready === able.some((one) => one.ready));
        return best.includes(chosen) && best.every(({ load }) => load >= chosen.load);
      }),
      { numRuns: 500 },
    ),
  );
});

// --- elections

t.test('a coordinator whose term is below one that a follower knows claims anew above it, and stays', async (t) => {
  const played = play(FIVE);
  const { room } = played;
  room.kill('b');
  room.store('b', { term: 9, coordinator: 'b' as PeerId });
  room.run(SETTLED_MS + 1_000);
  room.start('b');
  room.run(SETTLED_MS + 6_000);
  t.same(views(played), ['e 10']);
  t.ok(said(played, 'promised').length >= 1);
  t.same(after(follows(played), SETTLED_MS).filter(({ coordinator }) => coordinator !== 'e'), []);
  t.same(after(effects(played, 'drop'), SETTLED_MS), []);
  t.same(ROLES.map((role) => room.holders(role).map((name) => room.coordination(name).held.get(role)?.token.term)), ROLES.map(() => [10]));
});

t.test('a term that cannot be is followed by nobody, and its owner comes back', async (t) => {
  const played = play(['a', 'b', 'c'], { prepare: (room) => room.store('c', { term: 2 ** 40, coordinator: 'c' as PeerId }), until: 15_000 });
  t.ok(effects(played, 'tell').some(({ news }) => news.kind === 'insaneTerm'));
  t.same(follows(played).filter(({ who, coordinator, term }) => who !== 'c' && coordinator === 'c' && term > 2 ** 32), []);
  const [view, ...others] = views(played);
  t.same(others, []);
  t.ok(Number(view?.split(' ')[1]) < 100, `${view}`);
  t.same(ROLES.map((role) => played.room.holders(role).length), ROLES.map(() => 1));
});

t.test('a peer whose disk cannot keep a term never coordinates, and others do', async (t) => {
  const played = play(FIVE, {
    prepare: (room) => {
      room.machine('e').diskFails = true;
    },
  });
  t.same(follows(played).filter(({ coordinator }) => coordinator === 'e'), []);
  t.same(coordinators(played), ['d']);
  played.room.kill('d');
  played.room.run(SETTLED_MS + 5_000);
  t.same(coordinators(played), ['c']);
  t.same(follows(played).filter(({ coordinator }) => coordinator === 'e'), []);
});

t.test('a claim that was never announced, for it is not on the disk, is not held against another coordinator', async (t) => {
  const played = play(FIVE, {
    prepare: (room) => {
      room.machine('e').diskFails = true;
    },
    until: 5_000,
  });
  t.same(views(played), ['d 1']);
  t.same(said(played, 'promised'), []);
});

for (const count of [5, 20, 50]) {
  for (const how of ['proven', 'silent'] as const) {
    t.test(`when the coordinator of ${count} dies, ${how}, the highest that is left takes over, and few messages are said`, async (t) => {
      const names = Array.from({ length: count }, (_, i) => `p${String(i).padStart(3, '0')}`);
      const played = play(names);
      const { room } = played;
      const last = names.at(-1) as string;
      if (how === 'proven') room.kill(last);
      else room.silence(last);
      room.run(SETTLED_MS + 5_000);
      t.same(views(played), [`${names.at(-2)} 2`]);
      const messages = after(said(played, 'election', 'answer', 'coordinator'), SETTLED_MS);
      t.ok(messages.length <= 12 + 4 * count, `${messages.length}`);
      const starters = new Set(messages.filter(({ message }) => message.kind === 'election').map(({ who }) => who));
      t.ok(starters.size <= 3, [...starters].join());
    });
  }
}

t.test('where the next three cannot claim, they alone start elections at first, and few messages are said until somebody else does', async (t) => {
  const names = Array.from({ length: 20 }, (_, i) => `p${String(i).padStart(3, '0')}`);
  const played = play(names);
  const { room } = played;
  for (const name of names.slice(-4, -1)) room.machine(name).diskFails = true;
  room.silence('p019');
  room.run(SETTLED_MS + 8_000);
  t.same(coordinators(played).length, 1);
  const messages = after(said(played, 'election', 'answer', 'coordinator'), SETTLED_MS);
  const elections = messages.filter(({ message }) => message.kind === 'election');
  const first = elections[0] as Told;
  t.same(new Set(elections.filter(({ at }) => at < first.at + 600).map(({ who }) => who)), new Set(['p018', 'p017', 'p016']));
  t.ok(messages.length <= 12 + 4 * 20, `${messages.length}`);
});

t.test('after a sleep of more than a second all that was held is dropped at the first input, and before anything else', async (t) => {
  for (const name of ['a', 'e']) {
    const played = play(FIVE);
    const { room, events } = played;
    if (name === 'e') for (const other of ['a', 'b', 'c', 'd']) room.machine(other).roles = ['users'];
    room.run(SETTLED_MS + 5_000);
    const { held } = room.coordination(name);
    const roles = [...held.keys()];
    t.ok(roles.length > 0, name);
    const wakesAt = room.now + 2_500;
    room.sleep(name, 2_500);
    room.run(wakesAt + 100);
    const first = events.filter((event) => event.kind === 'effect' && event.who === name && event.at >= wakesAt) as Extract<RoomEvent, { kind: 'effect' }>[];
    t.equal(first[0]?.effect.kind, 'slept', name);
    const { input } = first[0] as (typeof first)[0];
    const dropped = first.filter((event) => event.input === input && event.effect.kind === 'drop').map(({ effect }) => (effect as { readonly role: Role }).role);
    t.same(dropped.sort(), roles.sort(), name);
    if (name === 'e') t.ok(follows(played).some(({ at, who, reason }) => at >= wakesAt && who === 'e' && reason === 'slept'));
  }
});

t.test('a pause that is shorter than a lease costs nobody a role', async (t) => {
  const played = play(FIVE);
  played.room.sleep('a', 500);
  played.room.run(SETTLED_MS + 5_000);
  t.same(after(effects(played, 'drop'), SETTLED_MS), []);
});

// --- order and words

const token = fc.record({ term: fc.nat(3), coordinator: fc.constantFrom('a', 'b', 'c').map((id) => id as PeerId), number: fc.nat(3) });

t.test('the order of tokens is total: later terms before greater ids before later grants', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(token, token, token, (a, b, c) => {
        const sign = (x: FencingToken, y: FencingToken): number => Math.sign(compareTokens(x, y));
        const isSame = JSON.stringify(a) === JSON.stringify(b);
        return sign(a, b) === -sign(b, a) + 0 && (sign(a, b) === 0) === isSame && !(sign(a, b) <= 0 && sign(b, c) <= 0 && sign(a, c) > 0);
      }),
      { numRuns: 2_000 },
    ),
  );
  const of = (term: number, coordinator: string, number: number): FencingToken => ({ term, coordinator: coordinator as PeerId, number });
  t.ok(compareTokens(of(2, 'a', 1), of(1, 'b', 9)) > 0);
  t.ok(compareTokens(of(1, 'b', 1), of(1, 'a', 9)) > 0);
  t.ok(compareTokens(of(1, 'a', 2), of(1, 'a', 1)) > 0);
});

const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('hex') as PeerId);
const term = fc.oneof(fc.nat(100), fc.integer({ min: 0, max: TERM_MAX }));
const rank = fc.constantFrom(0 as const, 1 as const, 2 as const);
const role = fc.constantFrom(...ROLES);
const count = fc.nat(2 ** 30);
const pulse: fc.Arbitrary<Pulse> = fc.record({
  number: count.map((number) => number + 1),
  coordinator: fc.option(id, { nil: null }),
  term,
  ageMs: fc.nat(0xffff).map((steps) => steps * 10),
  rank,
  lone: fc.boolean(),
  asks: fc.boolean(),
  claims: fc.array(fc.record({ role, number: count }), { maxLength: 16 }),
  renewals: fc.array(fc.record({ number: count, echo: count }), { maxLength: 16 }),
});
const kind = <Kind extends CoordinationMessage['kind']>(of: Kind) => fc.constant(of);
const message: fc.Arbitrary<CoordinationMessage> = fc.oneof(
  fc.record({ kind: kind('pulse'), pulse }),
  fc.record({ kind: kind('election'), rank, term }),
  fc.record({ kind: kind('answer'), candidate: id, higher: id }),
  fc.record({ kind: kind('coordinator'), term }),
  fc.record({ kind: kind('suspect'), coordinator: id, term }),
  fc.record({ kind: kind('promised'), term }),
  fc.record({ kind: kind('grant'), role, term, number: count.map((number) => number + 1), boot: id.map((text) => text as string as BootId), echo: count }),
  fc.record({ kind: kind('revoke'), role, term }),
  fc.record({ kind: kind('release'), role, term, number: count, why: fc.constantFrom(...RELEASE_REASONS) }),
  fc.record({ kind: kind('relay'), peer: id }),
  fc.record({ kind: kind('relayed'), peer: id, boot: id.map((text) => text as string as BootId) }),
  fc.record({ kind: kind('died'), peer: id, boot: id.map((text) => text as string as BootId) }),
);

t.test('what coordination says reads back as it was said', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(message, (said) => {
        const read = decodeMessage(encodeMessage(said));
        return t.same(read, said);
      }),
      { numRuns: 1_000 },
    ),
  );
});

const tupleOf = (said: CoordinationMessage): unknown[] => decode(encodeMessage(said), { bytesMax: DATAGRAM_BYTES_MAX, code: 'BAD_MESSAGE' }) as unknown[];
const isRejected = (tuple: unknown[]): boolean => {
  try {
    decodeMessage(encode(tuple));
    return false;
  } catch (error) {
    return (error as { readonly code?: unknown }).code === 'BAD_MESSAGE';
  }
};

t.test('a message with anything else in the place of a number, an id or a list, or that ends too early, is rejected', async (t) => {
  const senseless = fc.constantFrom<unknown>('a text', -1, 1.5, true, { a: 1 }, new Uint8Array(3), [[]], ['x', 1]);
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(message, fc.nat(), senseless, (said, place, garbage) => {
        const tuple = tupleOf(said);
        const at = 1 + (place % (tuple.length - 1));
        return isRejected(tuple.with(at, garbage)) && isRejected(tuple.slice(0, at));
      }),
      { numRuns: 2_000 },
    ),
  );
});

t.test('a term above what can be counted is rejected, and a role of a version to come is passed over', async (t) => {
  t.ok(isRejected(tupleOf({ kind: 'coordinator', term: 1 }).with(1, TERM_MAX + 1)));
  t.equal(decodeMessage(encode(tupleOf({ kind: 'revoke', role: 'music', term: 1 }).with(1, 15))), undefined);
  const later = tupleOf({ kind: 'pulse', pulse: { ...NO_PULSE, claims: [{ role: 'music', number: 3 }] } }).with(6, [15, 1, ROLES.indexOf('music'), 3]);
  t.match(decodeMessage(encode(later)), { pulse: { claims: [{ role: 'music', number: 3 }] } });
});

t.test('no bytes make the reader do anything but read or reject', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(message, fc.nat(), fc.nat(255), (said, place, byte) => {
        const bytes = Uint8Array.from(encodeMessage(said));
        bytes[place % bytes.length] = byte;
        try {
          decodeMessage(bytes);
        } catch (error) {
          return (error as { readonly code?: unknown }).code === 'BAD_MESSAGE';
        }
        return true;
      }),
      { numRuns: 3_000 },
    ),
  );
});

