// Which name the gateway has: what is claimed, kept, given up and taken over, by one machine and by several that share a LAN.
import { EventEmitter } from 'node:events';
import fc from 'fast-check';
import type { MulticastDNS, ResponseOutgoingPacket } from 'multicast-dns';
import t from 'tap';
import { ANNOUNCE_AFTER_MS, HostName } from '../../discovery/host-name.ts';
import { CLAIM_KEPT_MS, compareAddresses, createState, type Effect, type Input, lanNames, NAME_TTL_MS, type Named, nameHeard, namesToAsk, type State, step, type Timer } from '../../discovery/lan-name.ts';
import { LAN_NAME_CLAIMS_MAX } from '../../lib/limits.ts';
import { seededRandom } from '../../lib/random.ts';

const [FIRST, SECOND, THIRD] = lanNames('home') as [string, string, string];
const [ME, MEMBER, STRANGER, SMALLER] = ['10.0.0.5', '10.0.0.6', '10.0.0.7', '10.0.0.2'];

// --- one machine

const create = (): State => createState({ network: 'home', whose: (address) => (address === ME ? 'mine' : address === MEMBER ? 'ours' : 'foreign') });
const hears = (state: State, now: number, name: string, address: string, ttlMs = NAME_TTL_MS): Effect[] => step(state, { kind: 'heard', records: [{ name, address, ttlMs }], mine: ME, now });
const hold = (state: State, now: number): Effect[] => step(state, { kind: 'hold', now });
const kinds = (effects: readonly Effect[]): string[] => effects.map((effect) => effect.kind);
const claimed = (effects: readonly Effect[]): string | undefined => effects.flatMap((effect) => (effect.kind === 'claim' ? [effect.name] : []))[0];
const named = (effects: readonly Effect[]): Named | undefined => effects.flatMap((effect) => (effect.kind === 'named' ? [effect.named] : []))[0];

t.test('a network called home has the plain name, every other one its own, and all have numbered ones', async (t) => {
  t.same(lanNames('home').slice(0, 3), ['spotify-peer.local', 'spotify-peer-2.local', 'spotify-peer-3.local']);
  t.same(lanNames('kids').slice(0, 2), ['spotify-peer-kids.local', 'spotify-peer-kids-2.local']);
  for (const name of lanNames('n'.repeat(32))) t.ok(name.length - '.local'.length <= 63, 'one label of DNS');
});

t.test('a free name and a name that a member has are claimed at once', async (t) => {
  const alone = create();
  const effects = hold(alone, 0);
  t.same(kinds(effects), ['claim', 'named']);
  t.same(named(effects), { name: FIRST, before: undefined });
  t.same(hold(alone, 1), [], 'once');
  const successor = create();
  hears(successor, 0, FIRST, MEMBER);
  t.equal(claimed(hold(successor, 10)), FIRST);
});

t.test('a claim names the members that resolvers may still have for the name, and nobody else', async (t) => {
  const state = create();
  hears(state, 0, FIRST, MEMBER);
  hears(state, 0, SECOND, STRANGER);
  hears(state, 0, FIRST, ME);
  const replaced = (now: number): unknown => hold({ ...state }, now).find(({ kind }) => kind === 'claim');
  t.same(replaced(CLAIM_KEPT_MS), { kind: 'claim', name: FIRST, replaces: [MEMBER] });
  t.same(replaced(CLAIM_KEPT_MS + 1), { kind: 'claim', name: FIRST, replaces: [] });
});

t.test('whom a claim replaces is said goodbye for in each announcement, and in no answer', { timeout: 5_000 }, async (t) => {
  const mdns = new EventEmitter();
  const sent: string[][] = [];
  const respond = ({ answers }: ResponseOutgoingPacket, _: unknown, done: () => void): void => {
    sent.push(answers.map((record) => (record.type === 'A' ? `${record.data} ${record.ttl}${record.flush === true ? ' flush' : ''}` : record.type)));
    done();
  };
  const own = { name: 'eth0', address: ME, netmask: '255.255.255.0', loopback: false };
  const host = new HostName({ mdns: Object.assign(mdns, { respond }) as unknown as MulticastDNS, port: 5353, interfaces: [own] });
  t.teardown(() => host.release());
  host.claim({ name: FIRST, replaces: [MEMBER] });
  t.same(sent, [[`${ME} 10 flush`, `${MEMBER} 0`]]);
  mdns.emit('query', { questions: [{ name: FIRST, type: 'A' }] });
  t.same(sent[1], [`${ME} 10 flush`]);
  host.announce(1);
  t.same(sent[2], sent[0], 'the first may have been lost');
  host.setInterfaces([{ name: 'eth0', address: MEMBER, netmask: '255.255.255.0', loopback: false }], { announces: true });
  t.same(sent[3], [`${MEMBER} 10 flush`], 'but for an address that is our own by now');
  host.setInterfaces([own], { announces: false });
  host.announce(ANNOUNCE_AFTER_MS.length - 1);
  host.announce();
  t.same(sent[5], [`${ME} 10 flush`], 'and when all rounds are over');
  await host.release();
  t.same(sent[6], [`${ME} 0 flush`], 'what a successor has announced stands');
  host.claim({ name: SECOND, replaces: [] });
  t.same(sent[7], [`${ME} 10 flush`]);
});

t.test('a holder that somebody said goodbye for says that it is there, and one that leaves does not', async (t) => {
  const state = create();
  hold(state, 0);
  t.same(hears(state, 10, FIRST, ME, 0), [{ kind: 'rescue' }]);
  t.same(hears(state, 20, FIRST, MEMBER, 0), []);
  step(state, { kind: 'drop', now: 30 });
  t.same(hears(state, 40, FIRST, ME, 0), []);
});

t.test('a name that somebody else has is left to them, and the log is told whom', async (t) => {
  const state = create();
  hears(state, 0, FIRST, STRANGER);
  t.same(named(hold(state, 1_500)), { name: SECOND, before: undefined, foreigner: STRANGER });
  const third = create();
  hears(third, 0, FIRST, STRANGER);
  hears(third, 0, SECOND, SMALLER);
  t.equal(claimed(hold(third, 1_500)), THIRD);
});

t.test('a successor takes the numbered name of its predecessor while the plain one is foreign, and the plain one when that is free', async (t) => {
  const state = create();
  hears(state, 0, FIRST, STRANGER);
  hears(state, 0, SECOND, MEMBER);
  t.equal(nameHeard(state, 0), SECOND);
  t.equal(claimed(hold(state, 60_000)), SECOND);
  const later = create();
  hears(later, 0, FIRST, STRANGER);
  t.equal(claimed(hold(later, CLAIM_KEPT_MS + 1)), FIRST, 'nobody answered to it for minutes');
  const freed = create();
  hears(freed, 0, FIRST, STRANGER);
  hears(freed, 5, FIRST, STRANGER, 0);
  t.equal(claimed(hold(freed, 10)), FIRST, 'it said goodbye');
});

t.test('a holder keeps a numbered name when the plain one comes free', async (t) => {
  const state = create();
  hears(state, 0, FIRST, STRANGER);
  hold(state, 1_500);
  t.same(hears(state, 2_000, FIRST, STRANGER, 0), []);
  t.same(hold(state, 3_000), []);
  t.equal(state.held, SECOND);
});

t.test('a foreign claim is answered once, asked after, and outlived when it is not repeated', async (t) => {
  const state = create();
  hold(state, 0);
  t.same(hears(state, 10_000, FIRST, STRANGER), [{ kind: 'announce' }, { kind: 'arm', timer: 'conflict', ms: 1_000 }]);
  t.same(hears(state, 10_100, FIRST, STRANGER), [], 'the same claim by another interface');
  let effects: Effect[] = [];
  for (let now = 11_000; now < 30_000 && (now === 11_000 || effects.length > 0); now += 1_000) {
    effects = step(state, { kind: 'expired', timer: 'conflict', now });
    if (effects.length > 0) t.same(effects[0], { kind: 'ask', names: [FIRST] });
  }
  t.same(effects, [], 'it asks no more');
  t.equal(state.held, FIRST);
  const successor = create();
  hears(successor, 10_000, FIRST, STRANGER);
  for (const now of [11_000, 16_000]) hears(successor, now, FIRST, MEMBER);
  t.equal(claimed(hold(successor, 20_000)), FIRST, 'and who heard it takes the name over, not a number');
});

t.test('a foreign claim that is repeated makes a holder withdraw to the next number and say so; the greater address waits longer', async (t) => {
  for (const [rival, repetitions] of [[STRANGER, 1], [SMALLER, 3]] as const) {
    const state = create();
    hold(state, 0);
    for (let i = 0; i < repetitions; i += 1) t.equal(kinds(hears(state, 1_000 * (i + 1), FIRST, rival))[0], 'announce');
    const effects = hears(state, 1_000 * (repetitions + 1), FIRST, rival);
    t.same(kinds(effects), ['release', 'claim', 'named']);
    t.same(named(effects), { name: SECOND, before: FIRST, foreigner: rival });
  }
});

t.test('an address that turns out to be a member is no rival any more', async (t) => {
  const members = new Set<string>();
  const state = createState({ network: 'home', whose: (address) => (address === ME ? 'mine' : members.has(address) ? 'ours' : 'foreign') });
  hold(state, 0);
  hears(state, 1_000, FIRST, STRANGER);
  members.add(STRANGER);
  for (let now = 2_000; now < 20_000; now += 1_000) t.same(hears(state, now, FIRST, STRANGER), []);
});

t.test('where every name is taken there is none, and the role goes on', async (t) => {
  const state = create();
  for (const name of lanNames('home')) hears(state, 0, name, STRANGER);
  t.same(hold(state, 10), [{ kind: 'named', named: { name: undefined, before: undefined, foreigner: STRANGER } }]);
  t.same(step(state, { kind: 'drop', now: 20 }), []);
  t.equal(nameHeard(state, 20), undefined);
});

t.test('an endless rival ends in no name after nine, not in an endless dispute', async (t) => {
  const state = create();
  hold(state, 0);
  let changes = 0;
  for (let now = 1_000; now < 600_000; now += 1_000) {
    if (state.held === undefined) continue;
    if (named(hears(state, now, state.held, STRANGER)) !== undefined) changes += 1;
  }
  t.equal(changes, 9);
  t.equal(state.held, undefined);
});

t.test('a role that ended leaves its name when the successor is heard, or after a while, or not when it is held again', async (t) => {
  const withSuccessor = create();
  hold(withSuccessor, 0);
  t.same(step(withSuccessor, { kind: 'drop', now: 1_000 }), [{ kind: 'arm', timer: 'leave', ms: 2_000 }]);
  t.same(hears(withSuccessor, 1_050, FIRST, ME), [], 'itself is no successor');
  t.same(hears(withSuccessor, 1_100, FIRST, MEMBER), [{ kind: 'release' }, { kind: 'named', named: { name: undefined, before: FIRST } }]);
  t.same(step(withSuccessor, { kind: 'expired', timer: 'leave', now: 3_000 }), []);
  t.equal(nameHeard(withSuccessor, 3_000), FIRST, "the successor's");

  const alone = create();
  hold(alone, 0);
  step(alone, { kind: 'drop', now: 1_000 });
  t.same(kinds(step(alone, { kind: 'expired', timer: 'leave', now: 3_000 })), ['release', 'named']);

  const again = create();
  hold(again, 0);
  step(again, { kind: 'drop', now: 1_000 });
  t.same(hold(again, 1_500), [{ kind: 'announce' }]);
  t.same(step(again, { kind: 'expired', timer: 'leave', now: 3_000 }), []);
  t.equal(again.held, FIRST);
});

t.test('a role that ends when its successor has been heard leaves the name at once', async (t) => {
  const state = create();
  hold(state, 0);
  hears(state, 10_000, FIRST, MEMBER);
  t.same(kinds(step(state, { kind: 'drop', now: 10_300 })), ['release', 'named']);
  const later = create();
  hears(later, 0, FIRST, MEMBER);
  hold(later, 1_000);
  t.same(kinds(step(later, { kind: 'drop', now: 10_000 })), ['arm'], 'a predecessor of long ago is none');
});

t.test('made-up claims are bounded, and none for other names are kept', async (t) => {
  const state = create();
  for (let i = 0; i < 1_000; i += 1) hears(state, i, FIRST, `10.1.${i >> 8}.${i & 255}`);
  hears(state, 0, 'printer.local', STRANGER);
  t.equal(state.claims.get(FIRST)?.size, LAN_NAME_CLAIMS_MAX);
  t.equal(state.claims.size, lanNames('home').length);
});

t.test('addresses are compared byte by byte', async (t) => {
  t.ok(compareAddresses('10.0.0.9', '10.0.0.10') < 0);
  t.ok(compareAddresses('192.168.1.1', '10.200.200.200') > 0);
  t.equal(compareAddresses('10.0.0.1', '10.0.0.1'), 0);
});

// --- several machines on a LAN that loses packets

interface Plan {
  readonly address: string;
  readonly network: string;
  readonly startMs: number;
}

/** Each becomes gateway 1.5 s after its start and asks as gateway-name.ts does; every packet is lost for each receiver by itself. */
class Lan {
  readonly machines: Machine[];
  now = 0;
  #queue: { readonly at: number; readonly run: () => void }[] = [];
  readonly #isLost: () => boolean;

  constructor(plans: readonly Plan[], { seed, lossPercent, goodFromMs }: { readonly seed: number; readonly lossPercent: number; readonly goodFromMs: number }) {
    const random = seededRandom(seed);
    this.#isLost = () => this.now < goodFromMs && random() * 100 < lossPercent;
    this.machines = plans.map((plan) => new Machine(this, plan));
  }

  in(ms: number, run: () => void): void {
    this.#queue.push({ at: this.now + ms, run });
  }

  run(untilMs: number): void {
    for (;;) {
      const next = this.#queue.reduce((best, event) => (event.at < best.at ? event : best), { at: Number.POSITIVE_INFINITY, run: () => {} });
      if (next.at > untilMs) return;
      this.#queue = this.#queue.filter((event) => event !== next);
      this.now = next.at;
      next.run();
    }
  }

  toEach(from: Machine, deliver: (to: Machine) => void): void {
    for (const to of this.machines) if (to === from || !this.#isLost()) this.in(to === from ? 0 : 1, () => deliver(to));
  }
}

class Machine {
  readonly state: State;
  readonly names: Named[] = [];
  namedAt = 0;
  readonly #lan: Lan;
  readonly #plan: Plan;
  #host: string | undefined;
  readonly #timers = new Map<Timer | 'announce', object>();
  #replaces: readonly string[] = [];

  constructor(lan: Lan, plan: Plan) {
    this.#lan = lan;
    this.#plan = plan;
    const { address, network, startMs } = plan;
    const whose = (other: string) => (other === address ? 'mine' : lan.machines.some((machine) => machine.#plan.address === other && machine.#plan.network === network) ? 'ours' : 'foreign');
    this.state = createState({ network: 'home', whose });
    for (const ms of [0, 250, 600]) lan.in(startMs + ms, () => this.#ask(namesToAsk(this.state)));
    lan.in(startMs + 1_500, () => this.#step({ kind: 'hold', now: lan.now }));
    const regularly = (): void => {
      this.#ask(namesToAsk(this.state));
      lan.in(60_000, regularly);
    };
    lan.in(startMs + 60_000, regularly);
  }

  drop(): void {
    this.#step({ kind: 'drop', now: this.#lan.now });
  }

  #step(input: Input): void {
    for (const effect of step(this.state, input)) {
      if (effect.kind === 'ask') this.#ask(effect.names);
      if (effect.kind === 'claim') {
        this.#host = effect.name;
        this.#replaces = effect.replaces;
      }
      if (effect.kind === 'claim' || effect.kind === 'announce') this.#announce(0);
      if (effect.kind === 'rescue') this.#respond(NAME_TTL_MS);
      if (effect.kind === 'release') {
        this.#respond(0);
        this.#host = undefined;
        this.#timers.delete('announce');
      }
      if (effect.kind === 'named') {
        this.names.push(effect.named);
        this.namedAt = this.#lan.now;
      }
      if (effect.kind === 'arm') {
        const { timer } = effect;
        this.#in(timer, effect.ms, () => this.#step({ kind: 'expired', timer, now: this.#lan.now }));
      }
    }
  }

  #announce(round: number): void {
    this.#respond(NAME_TTL_MS, this.#replaces);
    const [now, next] = [ANNOUNCE_AFTER_MS[round] as number, ANNOUNCE_AFTER_MS[round + 1]];
    if (next !== undefined) this.#in('announce', next - now, () => this.#announce(round + 1));
  }

  #in(timer: Timer | 'announce', ms: number, run: () => void): void {
    const token = {};
    this.#timers.set(timer, token);
    this.#lan.in(ms, () => this.#timers.get(timer) === token && run());
  }

  #respond(ttlMs: number, goodbyes: readonly string[] = []): void {
    const name = this.#host as string;
    const records = [{ name, address: this.#plan.address, ttlMs }, ...goodbyes.map((address) => ({ name, address, ttlMs: 0 }))];
    this.#lan.toEach(this, (to) => to.#step({ kind: 'heard', records, mine: to.#plan.address, now: this.#lan.now }));
  }

  #ask(names: readonly string[]): void {
    this.#lan.toEach(this, (to) => to.#host !== undefined && names.includes(to.#host) && to.#respond(NAME_TTL_MS));
  }
}

const addresses = fc.uniqueArray(fc.integer({ min: 1, max: 254 }).map((last) => `10.0.0.${last}`), { minLength: 2, maxLength: 4 });
const weather = fc.record({ seed: fc.integer(), lossPercent: fc.integer({ min: 0, max: 80 }), goodFromMs: fc.integer({ min: 0, max: 40_000 }) });

t.test('networks of one name that claim it at any moments, over any loss, end with a name each, and soon leave it at that', async (t) => {
  fc.assert(
    fc.property(addresses, fc.array(fc.integer({ min: 0, max: 4_000 }), { minLength: 4, maxLength: 4 }), weather, (all, starts, conditions) => {
      const lan = new Lan(all.map((address, i) => ({ address, network: `home of ${address}`, startMs: starts[i] as number })), conditions);
      lan.run(240_000);
      const held = lan.machines.map(({ state }) => state.held);
      if (held.includes(undefined) || new Set(held).size < held.length) throw new Error(`they have ${held}`);
      // Those who still share a name when the last packet was lost find out by the next regular question.
      for (const { namedAt, names } of lan.machines) {
        if (namedAt > conditions.goodFromMs + 80_000) throw new Error(`a name changed at ${namedAt}`);
        if (names.length > 6) throw new Error(`${names.length} names`);
      }
      lan.run(1_000_000);
      const later = lan.machines.map(({ state }) => state.held);
      if (String(later) !== String(held)) throw new Error(`${held} became ${later}`);
    }),
    { numRuns: 300 },
  );
  t.pass();
});

t.test('of two networks that claim one name at once on a good LAN, the greater address keeps it and the smaller has gone within two seconds', async (t) => {
  fc.assert(
    fc.property(addresses, (all) => {
      const plans = all.slice(0, 2).map((address) => ({ address, network: `home of ${address}`, startMs: 0 }));
      const lan = new Lan(plans, { seed: 1, lossPercent: 0, goodFromMs: 0 });
      lan.run(10_000);
      const [smaller, greater] = [...lan.machines].sort((a, b) => compareAddresses(plans[lan.machines.indexOf(a)]?.address ?? '', plans[lan.machines.indexOf(b)]?.address ?? '')) as [Machine, Machine];
      if (greater.state.held !== FIRST || smaller.state.held !== SECOND) throw new Error(`${greater.state.held} and ${smaller.state.held}`);
      if (greater.names.length !== 1 || smaller.names.length !== 2 || smaller.namedAt > 3_600) throw new Error('it took longer');
    }),
    { numRuns: 100 },
  );
  t.pass();
});

t.test('a second network that starts later takes a number without troubling the first, unless every answer is lost', async (t) => {
  const plans = [{ address: '10.0.0.1', network: 'first', startMs: 0 }, { address: '10.0.0.2', network: 'second', startMs: 20_000 }];
  const lan = new Lan(plans, { seed: 1, lossPercent: 0, goodFromMs: 0 });
  lan.run(120_000);
  t.same(lan.machines.map(({ names }) => names.map(({ name }) => name)), [[FIRST], [SECOND]]);
});

t.test('a name passes between members without any dispute, whatever is lost', async (t) => {
  fc.assert(
    fc.property(weather, (conditions) => {
      const plans = [{ address: '10.0.0.1', network: 'one', startMs: 0 }, { address: '10.0.0.2', network: 'one', startMs: 5_000 }];
      const lan = new Lan(plans, conditions);
      lan.run(6_500);
      (lan.machines[0] as Machine).drop();
      lan.run(300_000);
      const [first, second] = lan.machines.map(({ names }) => names.map(({ name }) => name));
      if (String(first) !== `${FIRST},` || String(second) !== FIRST) throw new Error(`${first} and ${second}`);
      if (lan.machines.some(({ state }) => nameHeard(state, lan.now) !== FIRST)) throw new Error('not heard');
    }),
  );
  t.pass();
});
