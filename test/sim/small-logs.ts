// The small worlds `deltas` and `epochs`: three peers that write, hear single operations, pull, crash, and come back with less than
// they had, in every order. What merges is the real ledger, what is asked for the real pull.
//
// Two things are simpler here than on a network, and allow more than it can do: an operation that was written can be heard by
// anybody at any later time, and again (so datagrams are lost, late, repeated and reordered); and a delta that was answered can
// be applied at any later time, and again (so streams are cut, and answers outlive the process that asked).
import type { PeerId, SongId } from '../../lib/ids.ts';
import { encodeStar, starKey } from '../../lib/marks.ts';
import type { Operation } from '../../lib/operation.ts';
import type { Profile } from '../../lib/profile.ts';
import { covers, EMPTY_VECTOR, headOf } from '../../lib/vector.ts';
import type { Change, Delta } from '../../peer/replication/transaction.ts';
import type { Model } from './exhaustive.ts';
import { MemoryOperations } from './memory-operations.ts';
import { claimsTooMuch, endsWrong, type Exchange, goesBack, NOTHING_WRITTEN, writtenToo, type Written } from './small-claims.ts';
import { SmallMemory } from './small-memory.ts';
import { type DeltaQuestion, deltaText, nameOf, operationText, smallEpoch, smallId, SmallPeer, vectorText } from './small-peer.ts';

/** Bugs that the search has to find. */
export type LogBug =
  /** A stream that was cut is taken for a whole one. */
  | 'a delta is cut'
  /** A delta is applied whatever is held. */
  | 'the base is not checked'
  /** The vector is told after the operations were read. */
  | 'the vector is told late'
  /** An operation that comes alone moves the head, whatever lies between. */
  | 'a gap is skipped'
  /** A start begins with a Lamport time of zero. */
  | 'the clock starts anew'
  /** A start goes on with the epoch that it finds. */
  | 'an epoch goes on'
  /** Each epoch has a delta of its own, though operations supersede across epochs. */
  | 'a delta of one epoch'
  /** What a peer wrote itself it does not take from others. */
  | 'own operations are refused';

type Fault = 'crash' | 'backUp' | 'restore' | 'wipe' | 'clone' | 'leave';

const NO_FAULTS: Readonly<Record<Fault, number>> = { crash: 0, backUp: 0, restore: 0, wipe: 0, clone: 0, leave: 0 };

/** How much of everything may happen. */
export interface LogPlan {
  readonly steps: number;
  /** The seats that write; the others only hold. */
  readonly writers: readonly number[];
  readonly writes: number;
  readonly what: readonly (keyof typeof WRITES)[];
  readonly pulls: number;
  /** Does a pull take three steps, with anything between them, or one? */
  readonly pullsAreSplit: boolean;
  /** Does an epoch sort before or after those that there were? Both are tried if so. */
  readonly epochsSortBothWays: boolean;
  readonly faults: Readonly<Partial<Record<Fault, number>>>;
}

interface Seat {
  readonly peer: SmallPeer;
  /** The peer that would start from it. */
  readonly backup: SmallPeer | null;
}

interface Asked extends DeltaQuestion {
  readonly seat: number;
  readonly from: number;
}

interface Answered {
  readonly seat: number;
  readonly from: number;
  readonly delta: Delta;
  /** Of the delta, among all that were ever answered. */
  readonly number: number;
}

interface WrittenHere extends Written {
  readonly number: number;
}

export interface LogWorld {
  /** null: left for good. */
  readonly seats: readonly (Seat | null)[];
  readonly written: WrittenHere;
  readonly asked: readonly Asked[];
  readonly answered: readonly Answered[];
  readonly left: Readonly<Record<Fault | 'writes' | 'pulls' | 'steps', number>>;
  readonly wrong: string | null;
}

type Write = { readonly name: string; readonly changes: readonly Change[] };

export type LogAction =
  | { readonly kind: 'write'; readonly seat: number; readonly what: Write; readonly isBelow: boolean }
  | { readonly kind: 'hear'; readonly seat: number; readonly operation: Operation }
  | { readonly kind: 'ask'; readonly asked: Asked }
  | { readonly kind: 'answer'; readonly asked: Asked }
  | { readonly kind: 'apply'; readonly answered: Answered }
  | { readonly kind: 'pull'; readonly seat: number; readonly from: number }
  | { readonly kind: Exclude<Fault, 'clone'>; readonly seat: number }
  | { readonly kind: 'clone'; readonly seat: number; readonly to: number };

const profile = 'p' as Profile;
const X = starKey({ profile, song: '1'.repeat(32) as SongId });
const Y = starKey({ profile, song: '2'.repeat(32) as SongId });
const STAR = encodeStar({ at: 1, rest: [] });
const WRITES = {
  star: { name: 'stars x', changes: [{ key: X, value: STAR }] },
  unstar: { name: 'takes the star from x', changes: [{ key: X, value: null }] },
  both: { name: 'stars x and y', changes: [{ key: X, value: STAR }, { key: Y, value: STAR }] },
} satisfies Record<string, Write>;

export function logModel(plan: LogPlan, bug: LogBug | null): Model<LogWorld, LogAction> {
  const memory = new SmallMemory();
  /** Sets of operations, each once. */
  const writings = new Map<number, WrittenHere>();
  /** Peers of which it is known what becomes of them. */
  const settled = new Set<string>();
  const left = { ...NO_FAULTS, ...plan.faults, writes: plan.writes, pulls: plan.pulls, steps: plan.steps };

  const start = (self: PeerId, store: MemoryOperations): SmallPeer =>
    memory.same(bug === 'the clock starts anew' ? SmallPeer.start(self, store, 0) : SmallPeer.start(self, store));

  function answer(other: SmallPeer, { origin, base }: DeltaQuestion): Delta {
    if (bug !== 'a delta of one epoch') return other.answer({ origin, base });
    const epoch = [...other.ledger.vector(origin)].filter(([one, head]) => head > headOf(base, one)).sort()[0];
    const vector = epoch ? new Map([epoch]) : EMPTY_VECTOR;
    return { origin, base, vector, operations: other.store.beyond(origin, base, vector) };
  }

  function merge(peer: SmallPeer, delta: Delta, other: SmallPeer | undefined): SmallPeer {
    if (bug === 'own operations are refused' && delta.origin === peer.self) return peer;
    if (bug === 'a delta is cut') return peer.apply({ ...delta, operations: delta.operations.slice(0, Math.max(1, delta.operations.length - 1)) });
    if (bug === 'the base is not checked') return peer.apply({ ...delta, base: EMPTY_VECTOR });
    if (bug === 'the vector is told late' && other) return peer.apply({ ...delta, vector: other.ledger.vector(delta.origin) });
    return peer.apply(delta);
  }

  const applied = (peer: SmallPeer, delta: Delta, other: SmallPeer | undefined): SmallPeer => {
    const late = bug === 'the vector is told late' && other ? vectorText(other.ledger.vector(delta.origin)) : '';
    return memory.find(peer, `apply ${memory.numberOf(deltaText(delta))}${late}`, () => memory.same(merge(peer, delta, other)));
  };
  const pulled: Exchange = (asker, other, question) => applied(asker, answer(other, question), other);
  const questions = (peer: SmallPeer, other: SmallPeer): readonly DeltaQuestion[] =>
    memory.find(peer, `ask ${memory.number(other)}`, () => peer.questionsTo(other));

  const peerAt = (world: LogWorld, seat: number): SmallPeer => (world.seats[seat] as Seat).peer;
  const spend = (world: LogWorld, what: keyof LogWorld['left']): LogWorld => ({ ...world, left: { ...world.left, [what]: world.left[what] - 1 } });
  const seated = (world: LogWorld, at: number, held: Seat | null): LogWorld => ({ ...world, seats: world.seats.map((seat, i) => (i === at ? held : seat)) });
  /** The same process goes on with `peer`. */
  const becomes = (world: LogWorld, at: number, peer: SmallPeer): LogWorld => {
    const seat = world.seats[at] as Seat;
    const wrong = memory.find(seat.peer, `became ${memory.number(peer)}`, () => goesBack(seat.peer, peer));
    return { ...seated(world, at, { ...seat, peer }), wrong: world.wrong ?? wrong };
  };
  const boots = (world: LogWorld, at: number, self: PeerId, store: MemoryOperations): LogWorld =>
    seated(world, at, { backup: world.seats[at]?.backup ?? null, peer: start(self, store) });

  const epochsOf = ({ written }: LogWorld, of: PeerId): number => new Set(written.operations.filter(({ origin }) => origin === of).map(({ epoch }) => epoch)).size;

  function writing(world: LogWorld, operations: readonly Operation[]): WrittenHere | string {
    const text = [...world.written.operations, ...operations].map(operationText).sort().join();
    const number = memory.numberOf(text);
    const known = writings.get(number);
    if (known) return known;
    const written = writtenToo(world.written, operations);
    if (typeof written === 'string') return written;
    writings.set(number, { ...written, number });
    return { ...written, number };
  }

  function write(world: LogWorld, { seat, what, isBelow }: Extract<LogAction, { kind: 'write' }>): LogWorld {
    const peer = peerAt(world, seat);
    const { self } = peer;
    const epochs = epochsOf(world, self);
    const { after, operations } = memory.find(peer, `${what.name} ${epochs} ${isBelow}`, () => {
      const turned = peer.run({ kind: 'write', id: 1, changes: what.changes }, () => {
        const found = bug === 'an epoch goes on' ? [...peer.ledger.vector(self).keys()].at(-1) : undefined;
        return found ?? smallEpoch(epochs, { isBelow });
      });
      if (turned.outcome?.kind !== 'wrote') throw new Error('a write is not refused');
      return { after: memory.same(turned.peer), operations: turned.outcome.operations };
    });
    const changed = becomes(world, seat, after);
    const written = writing(world, operations);
    if (typeof written === 'string') return { ...changed, wrong: written };
    const hidden = operations.find(({ key, seq }) => after.held(self, key)?.seq !== seq);
    return { ...changed, written, wrong: changed.wrong ?? (hidden ? `${nameOf(self)} does not see what it wrote: ${operationText(hidden)}` : null) };
  }

  function hear(world: LogWorld, seat: number, operation: Operation): LogWorld {
    const peer = peerAt(world, seat);
    const { origin, epoch, seq } = operation;
    const after = memory.find(peer, `hear ${operationText(operation)}`, () =>
      memory.same(
        bug === 'a gap is skipped'
          ? peer.apply({ origin, base: EMPTY_VECTOR, vector: new Map([[epoch, seq]]), operations: [operation] })
          : peer.run({ kind: 'append', id: 1, operations: [operation] }).peer,
      ),
    );
    return becomes(world, seat, after);
  }

  /** What is held is dropped before it comes to the ledger (gossip.ts); what lies beyond a gap is for the ledger to leave. */
  const isNews = ({ ledger }: SmallPeer, { origin, epoch, seq }: Operation): boolean => seq > headOf(ledger.vector(origin), epoch);
  /** Of a delta that says nothing new only the clock would learn. */
  const saysMore = (peer: SmallPeer, { origin, vector }: Delta): boolean => !covers(peer.ledger.vector(origin), vector);

  function actions(world: LogWorld): LogAction[] {
    if (world.left.steps === 0) return [];
    const all: LogAction[] = [];
    for (const seat of world.seats.keys()) all.push(...atSeat(world, seat));
    for (const asked of world.asked) if (world.seats[asked.seat] && world.seats[asked.from]) all.push({ kind: 'answer', asked });
    for (const answered of world.answered) {
      const peer = world.seats[answered.seat]?.peer;
      if (peer && saysMore(peer, answered.delta)) all.push({ kind: 'apply', answered });
    }
    return all;
  }

  function* atSeat(world: LogWorld, seat: number): Generator<LogAction> {
    const { left, seats, written } = world;
    const held = seats[seat];
    if (!held) return;
    const { peer, backup } = held;
    if (left.writes > 0 && plan.writers.includes(seat)) {
      const opens = plan.epochsSortBothWays && peer.epoch === null && epochsOf(world, peer.self) > 0;
      for (const what of plan.what) for (const isBelow of opens ? [false, true] : [false]) yield { kind: 'write', seat, what: WRITES[what], isBelow };
    }
    for (const operation of written.operations) if (isNews(peer, operation)) yield { kind: 'hear', seat, operation };
    for (const [from, other] of seats.entries()) {
      if (!other || from === seat) continue;
      const asks = left.pulls > 0 ? questions(peer, other.peer) : [];
      if (!plan.pullsAreSplit && asks.length > 0) yield { kind: 'pull', seat, from };
      if (plan.pullsAreSplit) for (const { origin, base } of asks) yield { kind: 'ask', asked: { seat, from, origin, base } };
      if (left.clone > 0) yield { kind: 'clone', seat, to: from };
    }
    if (left.crash > 0) yield { kind: 'crash', seat };
    if (left.backUp > 0) yield { kind: 'backUp', seat };
    if (left.restore > 0 && backup) yield { kind: 'restore', seat };
    if (left.wipe > 0) yield { kind: 'wipe', seat };
    if (left.leave > 0 && seats.every((other) => other !== null)) yield { kind: 'leave', seat };
  }

  function apply(before: LogWorld, action: LogAction): LogWorld {
    const world = spend(before, 'steps');
    switch (action.kind) {
      case 'write':
        return write(spend(world, 'writes'), action);
      case 'hear':
        return hear(world, action.seat, action.operation);
      case 'ask':
        return { ...spend(world, 'pulls'), asked: [...world.asked, action.asked] };
      case 'answer': {
        const { seat, from } = action.asked;
        const delta = answer(peerAt(world, from), action.asked);
        const answered = { seat, from, delta, number: memory.numberOf(deltaText(delta)) };
        return { ...world, asked: world.asked.filter((asked) => asked !== action.asked), answered: [...world.answered, answered] };
      }
      case 'apply': {
        const { seat, from, delta } = action.answered;
        return becomes(world, seat, applied(peerAt(world, seat), delta, world.seats[from]?.peer));
      }
      case 'pull': {
        const other = peerAt(world, action.from);
        let peer = peerAt(world, action.seat);
        for (const { origin } of questions(peer, other)) peer = pulled(peer, other, { origin, base: peer.ledger.vector(origin) });
        return becomes(spend(world, 'pulls'), action.seat, peer);
      }
      case 'crash': {
        const { self, store } = peerAt(world, action.seat);
        return boots(spend(world, 'crash'), action.seat, self, store);
      }
      case 'backUp': {
        const peer = peerAt(world, action.seat);
        return seated(spend(world, 'backUp'), action.seat, { peer, backup: start(peer.self, peer.store) });
      }
      case 'restore': {
        const { self, store } = (world.seats[action.seat] as Seat).backup as SmallPeer;
        return boots(spend(world, 'restore'), action.seat, self, store);
      }
      case 'wipe':
        return boots(spend(world, 'wipe'), action.seat, peerAt(world, action.seat).self, new MemoryOperations());
      case 'leave':
        return seated(spend(world, 'leave'), action.seat, null);
      case 'clone': {
        const { self, store } = peerAt(world, action.seat);
        return boots(spend(world, 'clone'), action.to, self, store);
      }
    }
  }

  function check({ wrong, seats, written }: LogWorld): string | null {
    if (wrong !== null) return wrong;
    const peers = seats.flatMap((seat) => (seat ? [seat.peer] : []));
    for (const peer of peers) {
      const tooMuch = memory.find(peer, `claims ${written.number}`, () => claimsTooMuch(peer, written));
      if (tooMuch !== null) return tooMuch;
    }
    const name = peers.map((peer) => memory.number(peer)).join();
    if (settled.has(name)) return null;
    settled.add(name);
    return endsWrong(peers, pulled);
  }

  const seats = [1, 2, 3].map((number) => ({ peer: start(smallId(number), new MemoryOperations()), backup: null }));
  return {
    initial: { seats, written: { ...NOTHING_WRITTEN, number: -1 }, asked: [], answered: [], left, wrong: null },
    actions,
    apply,
    // without the steps that are left: the search comes to a world first with the most of them
    fingerprint: ({ seats, written, asked, answered, left, wrong }) =>
      [
        seats.map((seat) => (seat ? `${memory.number(seat.peer)} ${seat.backup ? memory.number(seat.backup) : ''}` : '')).join(),
        written.number,
        asked.map(({ seat, from, origin, base }) => `${seat}${from}${nameOf(origin)}${vectorText(base)}`).sort().join(),
        answered.map(({ seat, from, number }) => `${seat}${bug === 'the vector is told late' ? from : ''} ${number}`).sort().join(),
        `${left.writes}${left.pulls}${left.crash}${left.backUp}${left.restore}${left.wipe}${left.clone}${left.leave}`,
        wrong ?? '',
      ].join(';'),
    check,
    show,
  };
}

const seatName = (seat: number): string => `host ${seat + 1}`;

function show(action: LogAction): string {
  switch (action.kind) {
    case 'write':
      return `${seatName(action.seat)} ${action.what.name}${action.isBelow ? ', in an epoch that sorts before' : ''}`;
    case 'hear':
      return `${seatName(action.seat)} hears ${operationText(action.operation)}`;
    case 'ask':
      return `${seatName(action.asked.seat)} asks ${seatName(action.asked.from)} for ${nameOf(action.asked.origin)} beyond ${vectorText(action.asked.base)}`;
    case 'answer':
      return `${seatName(action.asked.from)} answers ${seatName(action.asked.seat)}`;
    case 'apply': {
      const { seat, delta } = action.answered;
      const operations = delta.operations.map(operationText).join(', ') || 'no operations';
      return `${seatName(seat)} gets the answer: ${nameOf(delta.origin)} up to ${vectorText(delta.vector)}, ${operations}`;
    }
    case 'pull':
      return `${seatName(action.seat)} pulls from ${seatName(action.from)}`;
    case 'clone':
      return `${seatName(action.seat)}'s disk is copied onto ${seatName(action.to)}, which starts`;
    case 'crash':
      return `${seatName(action.seat)} crashes and starts`;
    case 'backUp':
      return `${seatName(action.seat)} is backed up`;
    case 'restore':
      return `${seatName(action.seat)} starts from its backup`;
    case 'wipe':
      return `${seatName(action.seat)} starts with an empty disk`;
    case 'leave':
      return `${seatName(action.seat)} leaves for good`;
  }
}
