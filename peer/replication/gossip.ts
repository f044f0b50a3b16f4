// Gossip, pure: when to multicast what was written here, what to do with what arrives, and when to pull.
//
// New operations are spread eagerly, while they are few; whoever misses one, for loss or because there were many, learns from
// the next beat that heads or roots differ, and pulls a delta. Eager spreading makes it quick, anti-entropy makes it certain
// (Demers et al., "Epidemic Algorithms for Replicated Database Maintenance", 1987).
import type { EpochId, PeerId } from '../../lib/ids.ts';
import { GAP_OPERATIONS_MAX, MULTICAST_PER_SECOND_MAX } from '../../lib/limits.ts';
import type { ReplicaBeat } from '../../lib/messages.ts';
import type { Operation } from '../../lib/operation.ts';
import { integerBetween, type Random } from '../../lib/random.ts';
import type { Millis } from '../../lib/time.ts';
import { packOperations } from './packing.ts';

/** What the machine may know of the replica: committed heads. */
export interface Held {
  head(origin: PeerId, epoch: EpochId): number;
  root(): Uint8Array;
}

export type Input =
  /** Own operations are on disk. */
  | { readonly kind: 'wrote'; readonly operations: readonly Operation[]; readonly now: Millis }
  /** Operations came by multicast. */
  | { readonly kind: 'received'; readonly operations: readonly Operation[]; readonly now: Millis }
  /** Vectors of these origins moved, whatever the reason. */
  | { readonly kind: 'moved'; readonly origins: readonly PeerId[]; readonly now: Millis }
  | { readonly kind: 'beat'; readonly from: PeerId; readonly beat: ReplicaBeat; readonly now: Millis }
  /** A member is newly alive: its state and ours have surely grown apart. */
  | { readonly kind: 'joined'; readonly peer: PeerId; readonly now: Millis }
  /** A peer that we can reach says that it holds more than we do. */
  | { readonly kind: 'behind'; readonly peer: PeerId; readonly now: Millis }
  /** A peer has written more than it sends along: its own log is worth asking for at once. */
  | { readonly kind: 'announced'; readonly peer: PeerId; readonly now: Millis }
  /** Another network has begun: what others said in the one before has no place in it. */
  | { readonly kind: 'entered'; readonly now: Millis }
  | { readonly kind: 'gone'; readonly peer: PeerId; readonly now: Millis }
  | { readonly kind: 'synced'; readonly peer: PeerId; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: Timer; readonly now: Millis };

export type Timer = 'flush' | 'repeat' | 'sync';

export type Effect =
  | { readonly kind: 'multicast'; readonly operations: readonly Operation[] }
  /** Beat now: the own log has grown by more than is multicast. */
  | { readonly kind: 'announce' }
  /** Apply these, in this order. */
  | { readonly kind: 'append'; readonly operations: readonly Operation[] }
  /** Pull from `peer` whatever it holds more; `origin` alone where only that is known to differ. End with `synced`. */
  | { readonly kind: 'sync'; readonly peer: PeerId; readonly origin: PeerId | null }
  | { readonly kind: 'arm'; readonly timer: Timer; readonly ms: Millis };

/** Writes within this time share datagrams; a person does not notice it. */
export const COALESCE_MS = 20;
/** A small change is said again, and of a larger one how far the own log goes, because a loss would go unnoticed until the next
 *  beat, which in a network of 200 comes after ten seconds. */
const REPEAT_AFTER_MS = [60, 180] as const;
const REPEAT_DATAGRAMS_MAX = 2;
/** Pauses before an anti-entropy run, so that two hundred peers that notice one change do not all ask one peer. */
const SYNC_PAUSE_MS: Pause = { least: 20, most: 200 };
/** Of that pause, what each member that is there adds, which is what answering it costs: where there are two, nobody else will
 *  ask. */
const PAUSE_PER_MEMBER_MS: Millis = 1;
/** A scan that finds a thousand songs a second is told by few beats. Less than between two of REPEAT_AFTER_MS. */
const ANNOUNCE_EVERY_MS: Millis = 150;
/** While vectors move here, roots differ all the time and mean nothing. A scan moves them several times a second. */
const STILL_MS: Millis = 500;
/** In a busy network they never stand still: what has differed for so long counts all the same. */
const DIFFERS_MS: Millis = 10_000;
/** A newcomer's first sync waits no longer than its connection takes. */
const JOIN_PAUSE_MS: Pause = { least: 0, most: 20 };
const NO_PAUSE_MS: Pause = { least: 0, most: 0 };

interface Pause {
  readonly least: Millis;
  readonly most: Millis;
}

interface Wanted {
  readonly origin: PeerId | null;
  readonly since: Millis;
}

export interface State {
  readonly held: Held;
  readonly random: Random;
  /** Written and not yet sent. */
  outbox: Operation[];
  /** Sent, to be said again after REPEAT_AFTER_MS[round]; null where they are too many for that. */
  repeat: { operations: readonly Operation[] | null; round: number } | null;
  /** Datagrams that may still go out before `second` is over. */
  second: { readonly startedAt: Millis; left: number };
  /** Operations beyond a gap, by origin, then `epoch seq`. */
  readonly waiting: Map<PeerId, Map<string, Operation>>;
  waitingCount: number;
  movedAt: Millis;
  /** Since when roots of beats differ without a pull of everything; null: they do not. */
  differsSince: Millis | null;
  announcedAt: Millis;
  /** The latest beat of each living member. */
  readonly beats: Map<PeerId, ReplicaBeat>;
  /** When the latest beat of each came. */
  readonly beatAt: Map<PeerId, Millis>;
  /** Whom to sync with, and of what origin; null for all. */
  readonly wanted: Map<PeerId, Wanted>;
  syncing: PeerId | null;
  syncArmed: boolean;
}

export const initial = (held: Held, random: Random): State => ({
  held,
  random,
  outbox: [],
  repeat: null,
  second: { startedAt: Number.NEGATIVE_INFINITY, left: 0 },
  waiting: new Map(),
  waitingCount: 0,
  movedAt: Number.NEGATIVE_INFINITY,
  differsSince: null,
  announcedAt: Number.NEGATIVE_INFINITY,
  beats: new Map(),
  beatAt: new Map(),
  wanted: new Map(),
  syncing: null,
  syncArmed: false,
});

export function step(state: State, input: Input): Effect[] {
  switch (input.kind) {
    case 'wrote': {
      const arm = state.outbox.length === 0 && input.operations.length > 0;
      state.outbox.push(...input.operations);
      return arm ? [{ kind: 'arm', timer: 'flush', ms: COALESCE_MS }] : [];
    }
    case 'received':
      return receive(state, input.operations);
    case 'moved':
      state.movedAt = input.now;
      return input.origins.flatMap((origin) => drain(state, origin));
    case 'beat':
      return compare(state, input.from, input.beat, input.now);
    case 'joined':
      return want(state, input.peer, { origin: null, since: input.now }, JOIN_PAUSE_MS);
    case 'behind':
      return want(state, input.peer, { origin: null, since: input.now }, SYNC_PAUSE_MS);
    case 'announced':
      return want(state, input.peer, { origin: input.peer, since: input.now }, JOIN_PAUSE_MS);
    case 'entered':
      state.outbox = [];
      state.repeat = null;
      state.waiting.clear();
      state.waitingCount = 0;
      state.beats.clear();
      state.beatAt.clear();
      return [];
    case 'gone':
      state.wanted.delete(input.peer);
      state.beats.delete(input.peer);
      state.beatAt.delete(input.peer);
      // what its gaps wait for comes by a sync now, if at all
      state.waitingCount -= state.waiting.get(input.peer)?.size ?? 0;
      state.waiting.delete(input.peer);
      return [];
    case 'synced':
      state.syncing = null;
      return state.wanted.size > 0 ? arm(state, NO_PAUSE_MS) : [];
    case 'expired':
      switch (input.timer) {
        case 'flush':
          return flush(state, input.now);
        case 'repeat':
          return repeat(state, input.now);
        case 'sync':
          state.syncArmed = false;
          return startSync(state);
      }
  }
}

function flush(state: State, now: Millis): Effect[] {
  const operations = state.outbox;
  state.outbox = [];
  const datagrams = packOperations(operations);
  const isSent = spend(state, datagrams.length, now);
  // too many to be heard: a beat tells the head, and peers pull
  const effects = isSent ? datagrams.map(multicast) : announce(state, now);
  return [...effects, ...repeatLater(state, isSent ? operations : null)];
}

const multicast = (operations: readonly Operation[]): Effect => ({ kind: 'multicast', operations });

function announce(state: State, now: Millis): Effect[] {
  if (now - state.announcedAt < ANNOUNCE_EVERY_MS) return [];
  state.announcedAt = now;
  return [{ kind: 'announce' }];
}

/** What waits to be said again is said again together, from the first round on. */
function repeatLater(state: State, operations: readonly Operation[] | null): Effect[] {
  const waiting = state.repeat;
  const all = operations && waiting ? waiting.operations && [...waiting.operations, ...operations] : operations;
  state.repeat = { operations: all && packOperations(all).length <= REPEAT_DATAGRAMS_MAX ? all : null, round: 0 };
  return waiting ? [] : [{ kind: 'arm', timer: 'repeat', ms: REPEAT_AFTER_MS[0] }];
}

function repeat(state: State, now: Millis): Effect[] {
  if (!state.repeat) return [];
  const { operations, round } = state.repeat;
  const next = REPEAT_AFTER_MS[round + 1];
  if (next === undefined) state.repeat = null;
  else state.repeat.round += 1;
  const datagrams = operations && packOperations(operations);
  const effects = datagrams && spend(state, datagrams.length, now) ? datagrams.map(multicast) : announce(state, now);
  return next === undefined ? effects : [...effects, { kind: 'arm', timer: 'repeat', ms: next }];
}

/** Takes `datagrams` from this second's budget, or refuses them all. */
function spend(state: State, datagrams: number, now: Millis): boolean {
  if (now - state.second.startedAt >= 1_000) state.second = { startedAt: now, left: MULTICAST_PER_SECOND_MAX };
  if (datagrams > state.second.left) return false;
  state.second.left -= datagrams;
  return true;
}

const place = ({ epoch, seq }: Pick<Operation, 'epoch' | 'seq'>): string => `${epoch}${seq}`;

function receive(state: State, operations: readonly Operation[]): Effect[] {
  const origins = new Set<PeerId>();
  for (const operation of operations) {
    const { origin, epoch, seq } = operation;
    const next = state.held.head(origin, epoch) + 1;
    // the next one of its epoch waits for nothing, so it has a place even when all are taken
    if (seq < next || (seq > next && state.waitingCount >= GAP_OPERATIONS_MAX)) continue;
    const waiting = state.waiting.get(origin) ?? new Map<string, Operation>();
    if (waiting.has(place(operation))) continue;
    state.waiting.set(origin, waiting.set(place(operation), operation));
    state.waitingCount += 1;
    origins.add(origin);
  }
  return [...origins].flatMap((origin) => drain(state, origin));
}

/** Lets go what has become the next of its epoch, and what is held by now. */
function drain(state: State, origin: PeerId): Effect[] {
  const waiting = state.waiting.get(origin);
  if (!waiting) return [];
  const ready: Operation[] = [];
  for (const epoch of new Set([...waiting.values()].map((operation) => operation.epoch))) {
    const head = state.held.head(origin, epoch);
    for (const operation of waiting.values()) if (operation.epoch === epoch && operation.seq <= head) forget(state, waiting, operation);
    for (let seq = head + 1; ; seq++) {
      const operation = waiting.get(place({ epoch, seq }));
      if (!operation) break;
      forget(state, waiting, operation);
      ready.push(operation);
    }
  }
  if (waiting.size === 0) state.waiting.delete(origin);
  return ready.length > 0 ? [{ kind: 'append', operations: ready }] : [];
}

function forget(state: State, waiting: Map<string, Operation>, operation: Operation): void {
  if (waiting.delete(place(operation))) state.waitingCount -= 1;
}

function compare(state: State, from: PeerId, beat: ReplicaBeat, now: Millis): Effect[] {
  state.beats.set(from, beat);
  state.beatAt.set(from, now);
  if (logIsLonger(state, from, beat)) return want(state, from, { origin: from, since: now }, SYNC_PAUSE_MS);
  if (sameRoot(state, beat)) {
    state.differsSince = null;
    return [];
  }
  state.differsSince ??= now;
  if (now - state.movedAt < STILL_MS && now - state.differsSince < DIFFERS_MS) return [];
  // any one peer will do: what it lacks too, the next beats will tell
  for (const { origin } of state.wanted.values()) if (origin === null) return [];
  state.differsSince = null;
  return want(state, from, { origin: null, since: now }, SYNC_PAUSE_MS);
}

/** Its own log went on without us: that one origin is worth asking for at once. */
const logIsLonger = (state: State, from: PeerId, { head }: ReplicaBeat): boolean => head !== null && head.seq > state.held.head(from, head.epoch);

const sameRoot = (state: State, { root }: ReplicaBeat): boolean =>
  Buffer.compare(root, state.held.root().subarray(0, root.byteLength)) === 0;

function want(state: State, peer: PeerId, { origin, since }: Wanted, pause: Pause): Effect[] {
  // everything is more than one origin, and the latest reason counts
  const known = state.wanted.get(peer);
  state.wanted.set(peer, { origin: known?.origin === null ? null : origin, since });
  return arm(state, pause);
}

function arm(state: State, pause: Pause): Effect[] {
  if (state.syncArmed || state.syncing) return [];
  state.syncArmed = true;
  const { least } = pause;
  const most = Math.min(pause.most, least + PAUSE_PER_MEMBER_MS * state.beats.size);
  return [{ kind: 'arm', timer: 'sync', ms: integerBetween(state.random, least, most) }];
}

/** In any order: those who heard the same beats shall not go from one peer to the next together. */
function startSync(state: State): Effect[] {
  if (state.syncing) return [];
  while (state.wanted.size > 0) {
    const wanted = [...state.wanted];
    const [peer, { origin, since }] = wanted[integerBetween(state.random, 0, wanted.length - 1)] as [PeerId, Wanted];
    state.wanted.delete(peer);
    // what was missing may have come by another way meanwhile; a beat of before the reason says nothing of it
    const beat = state.beats.get(peer);
    if (beat && (state.beatAt.get(peer) ?? since) >= since && (origin ? !logIsLonger(state, peer, beat) : sameRoot(state, beat))) continue;
    state.syncing = peer;
    return [{ kind: 'sync', peer, origin }];
  }
  return [];
}
