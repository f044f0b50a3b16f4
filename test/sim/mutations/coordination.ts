// Broken coordination: elections, leases, grants.
import type { Mutation } from '../mutation.ts';
import { CLAIM_CUT_SHORT, TWO_STRANGERS } from './coordination-scenarios.ts';

const ELECTION = 'peer/coordination/election.js';
const GRANTS = 'peer/coordination/grants.js';
const LEASES = 'peer/coordination/leases.js';
const COORDINATION = 'peer/coordination/coordination.js';
const BEATS = 'discovery/beats.js';
const MEMBERSHIP = 'discovery/membership.js';

/** Most are found by the first few. */
const SEEDS = 20;

type Hunt = Omit<Mutation, 'subject' | 'seeds'> & { readonly seeds?: number };

const MUTATIONS: readonly Hunt[] = [
  {
    name: 'no-witness',
    why: 'A candidate that has not heard of somebody higher is not told so by those who have, and claims.',
    patches: [{ file: ELECTION, find: 'this.#witness = { candidate: from, higher: highest };', replace: 'return [];' }],
    scenario: TWO_STRANGERS,
  },
  {
    name: 'lease-outlived',
    why: 'A holder that was paused goes on to hold what ran out meanwhile.',
    patches: [
      { file: LEASES, find: 'filter(([, { until }]) => until <= now).flatMap(', replace: 'filter(() => false).flatMap(' },
      { file: LEASES, find: 'if (this.#held.size === 0)', replace: 'if (this.#held.size === 0 || [...this.#held.values()].some(({ until }) => until <= now))' },
      { file: COORDINATION, find: 'const ended = slept ? this.#slept(now) :', replace: 'const ended = slept ? [] :' },
    ],
    family: 'elect-pauses',
  },
  {
    name: 'lease-from-receipt',
    seeds: 400,
    why: 'A lease is counted from when its renewal came instead of from when the beat was sent that it answers: one that waited in a queue makes it last longer than its coordinator believes.',
    patches: [
      { file: LEASES, find: 'Math.max(until, sentAt + LEASE_MS)', replace: 'Math.max(until, now + LEASE_MS)' },
      { file: LEASES, find: 'const until = (this.#sent.get(echo) ?? Number.NEGATIVE_INFINITY) + LEASE_MS;', replace: 'const until = now + LEASE_MS;' },
    ],
    family: 'elect-queues',
  },
  {
    name: 'refusal-believed',
    seeds: 60,
    why: 'A machine that refuses connections is taken for dead without being asked, though a stream to it is open: it may have a firewall since a moment ago.',
    patches: [{ file: MEMBERSHIP, find: "if (member.state === 'alive')\n        return suspect(state, member, 'doubted', now);\n    beginRound(member, now);\n    return question(state, member, now);", replace: "return [change(member, { to: 'dead', reason: 'refused', now })];" }],
    family: 'elect-firewalls',
  },
  {
    name: 'regrant-at-once',
    seeds: 60,
    why: 'The role of a holder that is only silent is granted to another before its lease can have run out.',
    patches: [
      { file: GRANTS, find: 'freeAt: proven ? now : slot.heldUntil + CLOCKS_APART_MS', replace: 'freeAt: now' },
      { file: GRANTS, find: 'freeAt: Math.max(slot.heldUntil, now) + CLOCKS_APART_MS', replace: 'freeAt: now' },
      { file: GRANTS, find: 'return { freeAt, former: claimant,', replace: 'return { freeAt: now, former: claimant,' },
    ],
  },
  {
    name: 'term-unpersisted',
    why: 'A term is announced before it is on the disk: after a crash in between the same peer claims it again.',
    patches: [
      {
        file: ELECTION,
        find: "return [{ kind: 'persist', claim: { term, coordinator: this.self } }];",
        replace: `const claim = { term, coordinator: this.self };
        return [{ kind: 'persist', claim }, ...this.#persisted({ claim, ok: true, now: this.#tickDueAt })];`,
      },
    ],
    scenario: CLAIM_CUT_SHORT,
  },
  {
    name: 'deaf-followed',
    why: 'A coordinator that says it hears nobody is followed all the same.',
    patches: [{ file: ELECTION, find: 'if (coordinator === from && pulse.lone)', replace: 'if (coordinator === undefined)' }],
    family: 'elect-deaf',
  },
  {
    name: 'deafness-unsaid',
    why: 'A coordinator that hears nobody does not say so.',
    patches: [{ file: ELECTION, find: 'this.#lone = true;', replace: '' }],
    family: 'elect-deaf',
  },
  {
    name: 'pre-emption',
    why: 'A higher peer that comes back takes over from a coordinator that lives, as in the paper.',
    patches: [
      {
        file: ELECTION,
        find: 'if (view.coordinator === this.self) {',
        replace: 'if (view.coordinator < this.self && this.#ready) return this.#claimNow();\n        if (view.coordinator === this.self) {',
      },
    ],
  },
  {
    name: 'silence-of-names',
    why: 'Who does not name us is taken for dead instead of asked.',
    patches: [
      {
        file: BEATS,
        find: "return [{ kind: 'probe', peer: member.peer, address: member.address, attempt: 1 }];",
        replace: "member.state = 'suspect';\n    return [{ kind: 'changed', peer: member.peer, from: 'alive', to: 'suspect', reason: 'silent' }];",
      },
    ],
    trace: { file: 'membership', claim: 'is never suspect, whomever it names' },
  },
  {
    name: 'greater-yields',
    why: 'Of two coordinators that hear each other none gives way.',
    patches: [{ file: ELECTION, find: 'const greater = view === null ||', replace: 'const greater = view === null || view.coordinator === undefined &&' }],
  },
  {
    name: 'hearsay-of-no-age',
    why: 'What others say of a coordinator is taken for heard now: two peers that tell each other keep a dead one alive.',
    patches: [
      { file: ELECTION, find: 'return Math.max(0, now - this.#view.earAt);', replace: 'return 0;' },
    ],
    family: 'elect-partitions',
  },
  {
    name: 'overtaken-counts',
    why: 'A pulse that was overtaken counts as if it were the latest.',
    patches: [
      { file: ELECTION, find: 'if (rival.bootId === bootId && pulse.number <= rival.number)', replace: 'if (rival.bootId === undefined)' },
      { file: COORDINATION, find: 'const isLate = before?.bootId === bootId && pulse.number <= before.pulse.number;', replace: 'const isLate = false;' },
    ],
    family: 'elect-queues',
  },
  {
    name: 'takeover-adopts-nobody',
    seeds: 60,
    why: 'A new coordinator has the holders let go, and grants anew: a takeover moves the music.',
    patches: [{ file: GRANTS, find: 'if (!slot && follows && claim.number === 0 &&', replace: 'if (!slot && !follows && claim.number === 0 &&' }],
  },
];

export const COORDINATION_MUTATIONS: readonly Mutation[] = MUTATIONS.map((mutation) => ({ seeds: SEEDS, ...mutation, subject: 'coordination' }));
