// Which name on the LAN the gateway of this network uses: `spotify-peer.local`, or the next numbered one where somebody else
// has that. A pure machine: names heard go in, what to ask, claim and release comes out; gateway-name.ts carries it out.
//
// Two things are kept apart by the address that a name is claimed for. One of our own network is our predecessor or successor:
// a name changes hands between members at once, because whoever types it must not wait for a probe. Any other is foreign, a
// network of the same name or a machine that is called so, and RFC 6762 tells how to part: whoever comes second takes another
// name (8.1), and of two who came at once the one whose address is greater stays (8.2). There is no probing before a claim as
// in 8.1, since every peer listens from its start on and knows what is taken before it can become gateway. So a conflict is
// found out after the claim (9): the holder announces again and asks who else answers to that name; if somebody does and goes
// on to, it withdraws. It goes through the numbers upwards only, so it renames itself at most NUMBER_MAX times, for ever
// contested or not.
//
// A name that comes free later is not taken back while the role is held: people have typed, bookmarked and shown the other one
// by then, and one that moves is worth less than one with a number. The next holder looks anew.
import { DEFAULT_NETWORK_NAME } from '../lib/network-key.ts';
import { LAN_NAME_CLAIMS_MAX } from '../lib/limits.ts';
import type { Millis } from '../lib/time.ts';

const BASE = 'spotify-peer';
/** Networks of one name, or machines called so, on one LAN; who finds all taken goes without. */
const NUMBER_MAX = 9;
/** Of these it is known who has them, because they are asked for; more would be questions about names that nobody has. */
const NUMBERS_ASKED = 4;

/** A holder that dies cannot say goodbye. Resolvers follow its successor within a second; this bounds how long one that missed that, or has
 *  no successor, leads people astray. The price is a question every ten seconds by whoever uses the name. */
export const NAME_TTL_MS: Millis = 10_000;

/** What was heard counts so long. Names are asked for every minute, and two of three answers may be lost. */
export const CLAIM_KEPT_MS: Millis = 180_000;
/** Claims of one name within this are one: an announcement arrives by two interfaces, and a defence follows a claim. Also the
 *  time in which a peer that has just come shows that it is a member. */
const CLAIMS_APART_MS: Millis = 800;
/** Between the questions of a holder that has heard a foreign claim, a little more than CLAIMS_APART_MS. */
const CONFLICT_ASK_MS: Millis = 1_000;
const CONFLICT_ASKS = 5;
/** Claims after which a holder withdraws. Of two alike the one with the smaller address does it first, and the other one is
 *  alone by the time that it would; it waits because its defence may be lost. Then it goes too: the other will not. */
const CLAIMS_TO_YIELD = { smaller: 2, greater: 4 } as const;
/** So long the name of a role that ended is kept for a successor, who is to be heard first: without a gap. */
const LEAVE_MS: Millis = 2_000;

/** The names that a network's gateway may have, best first. */
export const lanNames = (network: string): readonly string[] => {
  const label = network === DEFAULT_NETWORK_NAME ? BASE : `${BASE}-${network}`;
  return Array.from({ length: NUMBER_MAX }, (_, i) => `${label}${i === 0 ? '' : `-${i + 1}`}.local`);
};

/** An A record of a response. */
export interface Announced {
  readonly name: string;
  readonly address: string;
  /** 0 is a goodbye. */
  readonly ttlMs: Millis;
}

export type Whose = 'mine' | 'ours' | 'foreign';

export type Timer = 'conflict' | 'leave';

export type Input =
  /** @param mine the address of this machine on the link where it was heard, if known */
  | { readonly kind: 'heard'; readonly records: readonly Announced[]; readonly mine: string | undefined; readonly now: Millis }
  | { readonly kind: 'hold'; readonly now: Millis }
  | { readonly kind: 'drop'; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: Timer; readonly now: Millis };

export type Effect =
  | { readonly kind: 'ask'; readonly names: readonly string[] }
  /** @param replaces addresses of members that had it, and may have died with it */
  | { readonly kind: 'claim'; readonly name: string; readonly replaces: readonly string[] }
  /** Once more, at once, to whoever has just claimed the same. */
  | { readonly kind: 'announce' }
  /** Once, and nobody else's goodbye with it: somebody has said ours. */
  | { readonly kind: 'rescue' }
  /** With a goodbye for the own addresses. */
  | { readonly kind: 'release' }
  | { readonly kind: 'named'; readonly named: Named }
  | { readonly kind: 'arm'; readonly timer: Timer; readonly ms: Millis };

/** For the log: that the gateway here has a name, another name, or none. */
export interface Named {
  /** undefined: the role ended, or all names are taken. */
  readonly name: string | undefined;
  readonly before: string | undefined;
  /** Who has the name that it would have otherwise; an address that is no member's. */
  readonly foreigner?: string;
}

interface Conflict {
  heard: number;
  lastCountedAt: Millis;
  asked: number;
}

export interface State {
  readonly names: readonly string[];
  /** Members' addresses change, so it is asked whenever it matters. Members known to be dead are ours too: a dead gateway's
   *  name is there to be taken. */
  readonly whose: (address: string) => Whose;
  /** By name and address, when it was last heard. */
  readonly claims: ReadonlyMap<string, Map<string, Millis>>;
  held: string | undefined;
  /** The role has ended, and `held` waits for its successor. */
  leaving: boolean;
  conflict: Conflict | undefined;
}

export function createState(options: { readonly network: string; readonly whose: (address: string) => Whose }): State {
  const names = lanNames(options.network);
  return { names, whose: options.whose, claims: new Map(names.map((name) => [name, new Map()])), held: undefined, leaving: false, conflict: undefined };
}

/** To be asked for at the start, when interfaces change, and every minute. */
export const namesToAsk = ({ names, held }: State): readonly string[] => names.filter((name, i) => i < NUMBERS_ASKED || name === held);

/** The name that our network's gateway has, here or as heard; undefined when none was heard of lately. */
export function nameHeard(state: State, now: Millis): string | undefined {
  if (state.held !== undefined && !state.leaving) return state.held;
  let best: { readonly name: string; readonly at: Millis } | undefined;
  for (const [name, claims] of state.claims) {
    for (const [address, at] of claims) {
      if (now - at <= CLAIM_KEPT_MS && state.whose(address) !== 'foreign' && at > (best?.at ?? Number.NEGATIVE_INFINITY)) best = { name, at };
    }
  }
  return best?.name;
}

export function step(state: State, input: Input): Effect[] {
  switch (input.kind) {
    case 'heard':
      return heard(state, input);
    case 'hold':
      return hold(state, input.now);
    case 'drop':
      return drop(state, input.now);
    case 'expired':
      return input.timer === 'leave' ? left(state) : askAgain(state);
  }
}

function hold(state: State, now: Millis): Effect[] {
  if (state.held !== undefined) {
    const effects: Effect[] = state.leaving ? [{ kind: 'announce' }] : [];
    state.leaving = false;
    return effects;
  }
  return take(state, 0, now);
}

/** Claims the first name from `from` on that nobody foreign has. */
function take(state: State, from: number, now: Millis): Effect[] {
  const before = state.held;
  const index = state.names.findIndex((name, i) => i >= from && foreigner(state, name, now) === undefined);
  const wanted = before ?? (state.names[0] as string);
  const other = foreigner(state, wanted, now);
  state.held = state.names[index];
  state.conflict = undefined;
  return [
    ...(before === undefined ? [] : [{ kind: 'release' } as const]),
    ...(state.held === undefined ? [] : [{ kind: 'claim', name: state.held, replaces: predecessors(state, state.held, now) } as const]),
    { kind: 'named', named: { name: state.held, before, ...(other !== undefined && { foreigner: other }) } },
  ];
}

function drop(state: State, now: Millis): Effect[] {
  if (state.held === undefined || state.leaving) return [];
  state.leaving = true;
  state.conflict = undefined;
  // who comes back into its network hears the successor first, and loses the role then
  const claims = [...(state.claims.get(state.held) ?? [])];
  if (claims.some(([address, at]) => state.whose(address) === 'ours' && now - at <= LEAVE_MS)) return left(state);
  return [{ kind: 'arm', timer: 'leave', ms: LEAVE_MS }];
}

function left(state: State): Effect[] {
  if (!state.leaving) return [];
  const before = state.held;
  state.held = undefined;
  state.leaving = false;
  return [{ kind: 'release' }, { kind: 'named', named: { name: undefined, before } }];
}

function heard(state: State, { records, mine, now }: Extract<Input, { kind: 'heard' }>): Effect[] {
  for (const { name, address, ttlMs } of records) {
    const claims = state.claims.get(name);
    claims?.delete(address); // the map is in the order of hearing
    if (ttlMs > 0) claims?.set(address, now);
    if (claims !== undefined && claims.size > LAN_NAME_CLAIMS_MAX) claims.delete(claims.keys().next().value as string);
  }
  const claims = records.filter(({ name, address, ttlMs }) => name === state.held && ttlMs > 0 && state.whose(address) !== 'mine');
  if (claims.length > 0 && state.leaving) return left(state);
  const rival = claims.find(({ address }) => state.whose(address) === 'foreign');
  if (rival !== undefined) return contested(state, { isSmaller: mine !== undefined && compareAddresses(mine, rival.address) < 0, now });
  if (state.held !== undefined && foreigner(state, state.held, now) === undefined) state.conflict = undefined; // it said goodbye
  // a member that took us for dead (RFC 6762, 10.1)
  const isBuried = !state.leaving && records.some(({ name, address, ttlMs }) => name === state.held && ttlMs === 0 && state.whose(address) === 'mine');
  return isBuried ? [{ kind: 'rescue' }] : [];
}

function contested(state: State, { isSmaller, now }: { readonly isSmaller: boolean; readonly now: Millis }): Effect[] {
  const isNew = state.conflict === undefined;
  state.conflict ??= { heard: 0, lastCountedAt: Number.NEGATIVE_INFINITY, asked: 0 };
  if (now - state.conflict.lastCountedAt < CLAIMS_APART_MS) return [];
  state.conflict.heard += 1;
  state.conflict.lastCountedAt = now;
  if (state.conflict.heard >= CLAIMS_TO_YIELD[isSmaller ? 'smaller' : 'greater']) return take(state, state.names.indexOf(state.held as string) + 1, now);
  return [{ kind: 'announce' }, ...(isNew ? [{ kind: 'arm', timer: 'conflict', ms: CONFLICT_ASK_MS } as const] : [])];
}

/** Whoever means its claim answers. Who does not within all questions has given way, or was a stray. */
function askAgain(state: State): Effect[] {
  const { conflict, held } = state;
  if (conflict === undefined || held === undefined) return [];
  conflict.asked += 1;
  if (conflict.asked > CONFLICT_ASKS) {
    state.conflict = undefined;
    return [];
  }
  return [
    { kind: 'ask', names: [held] },
    { kind: 'arm', timer: 'conflict', ms: CONFLICT_ASK_MS },
  ];
}

/** The address of somebody foreign who has that name, as far as heard. A claim that was contested by one of us, and not repeated
 *  since, is over: its goodbye may have been lost. */
function foreigner(state: State, name: string, now: Millis): string | undefined {
  const claims = [...(state.claims.get(name) ?? [])];
  const oursAt = Math.max(...claims.map(([address, at]) => (state.whose(address) === 'foreign' ? Number.NEGATIVE_INFINITY : at)));
  const since = Math.max(now - CLAIM_KEPT_MS, oursAt - CONFLICT_ASKS * CONFLICT_ASK_MS);
  return claims.find(([address, at]) => at >= since && state.whose(address) === 'foreign')?.[0];
}

/** The addresses of members that resolvers may have for that name. When they heard of it last is not known here. */
const predecessors = (state: State, name: string, now: Millis): readonly string[] =>
  [...(state.claims.get(name) ?? [])].filter(([address, at]) => now - at <= CLAIM_KEPT_MS && state.whose(address) === 'ours').map(([address]) => address);

/** As RFC 6762, 8.2 compares the data of A records: byte by byte. */
export function compareAddresses(a: string, b: string): number {
  const [left, right] = [a, b].map((address) => address.split('.').map(Number)) as [number[], number[]];
  for (const [i, byte] of left.entries()) if (byte !== right[i]) return byte - (right[i] ?? 0);
  return 0;
}
