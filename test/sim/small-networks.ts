// The small world `networks`: three peers that mint networks, meet others of the same name, give way or stay apart, and are united by
// people, in every order. The decision is the real `meet`, the entering the real ledger's; of replication.ts only what a peer
// remembers of its network by hearsay is said here again.
//
// A beat that was sent can be heard by the others at any later time, and again; and so can a delta that was answered be applied.
import type { NetworkId } from '../../lib/ids.ts';
import { isUserData, kindOf, uniteKey } from '../../lib/kinds.ts';
import type { Operation } from '../../lib/operation.ts';
import type { Delta } from '../../peer/replication/transaction.ts';
import { meet, type Meeting, type NetworkView } from '../../peer/replication/networks.ts';
import { TRUE } from '../../peer/replication/replication.ts';
import type { Model } from './exhaustive.ts';
import { claimsTooMuch, endsWrong, NOTHING_WRITTEN, writtenToo, type Written } from './small-claims.ts';
import { deltaText, nameOf, operationText, smallEpoch, smallId, SmallPeer } from './small-peer.ts';
import { SmallMemory } from './small-memory.ts';

export type NetworkBug =
  /** Of two networks without user data each gives way to the other. */
  | 'both give way'
  /** Who enters a network forgets that it was said to have user data. */
  | 'hearsay is forgotten'
  /** What was asked for in one network is merged into another. */
  | 'the network is not checked'
  /** What people made in two networks is merged without a word of theirs. */
  | 'nobody is asked';

export interface NetworkPlan {
  readonly steps: number;
  readonly userWrites: number;
  readonly ownedWrites: number;
  readonly unions: number;
  readonly answers: number;
  readonly crashes: number;
}

interface Seat {
  readonly peer: SmallPeer;
  readonly hearsay: boolean;
  /** Networks that this process has entered or minted, and whether they were said to have user data. */
  readonly entered: readonly string[];
}

interface Said extends NetworkView {
  readonly from: number;
}

interface Answered {
  readonly seat: number;
  readonly network: NetworkId | null;
  readonly delta: Delta;
}

export interface NetworkWorld {
  readonly seats: readonly Seat[];
  readonly written: Written;
  /** In which network people wrote what they wrote. */
  readonly homes: ReadonlyMap<string, NetworkId | null>;
  readonly unions: readonly (readonly [NetworkId, NetworkId])[];
  readonly said: readonly Said[];
  readonly answered: readonly Answered[];
  readonly left: Readonly<Record<keyof NetworkPlan, number>>;
  readonly wrong: string | null;
}

export type NetworkAction =
  | { readonly kind: 'mint' | 'user' | 'owned' | 'crash'; readonly seat: number }
  | { readonly kind: 'hear'; readonly seat: number; readonly said: Said }
  | { readonly kind: 'unite'; readonly seat: number; readonly network: NetworkId }
  | { readonly kind: 'answer'; readonly seat: number; readonly from: number }
  | { readonly kind: 'apply'; readonly answered: Answered };

/** Not in the order of the seats, so that whoever gives way is not always the later one. */
const MINTS = [2, 1, 3].map((number) => smallId<NetworkId>(number));
/** As many as one peer can go through for good reasons: each of three, once before it has user data and once after. */
const ROUNDS_MAX = 8;

const isOne = (a: SmallPeer, b: SmallPeer): boolean => [...a.ledger.networks].some((network) => b.ledger.networks.has(network));
const saidBy = ({ peer, hearsay }: Seat, from: number): Said => ({ from, id: peer.ledger.network, user: peer.ledger.user || hearsay });
const viewText = ({ id, user }: NetworkView): string => `${id === null ? '-' : nameOf(id)}${user ? '+' : ''}`;

export function networkModel(plan: NetworkPlan, bug: NetworkBug | null): Model<NetworkWorld, NetworkAction> {
  const memory = new SmallMemory();
  const settled = new Set<string>();

  const deltas = new WeakMap<Delta, number>();
  function numberOf(delta: Delta): number {
    const known = deltas.get(delta) ?? memory.numberOf(deltaText(delta));
    deltas.set(delta, known);
    return known;
  }

  function meeting({ peer, hearsay }: Seat, said: NetworkView): Meeting {
    const { ledger } = peer;
    const user = ledger.user || hearsay;
    const decided = meet({ id: ledger.network, united: ledger.networks, user }, said);
    return bug === 'both give way' && decided === 'wait' && said.id !== null && !user && !said.user ? 'adopt' : decided;
  }

  /** A beat arrives, as in replication.ts. */
  function hears(seat: Seat, said: NetworkView): Seat {
    const decided = meeting(seat, said);
    if (decided === 'one') return said.user && !seat.hearsay ? { ...seat, hearsay: true } : seat;
    if (decided !== 'take' && decided !== 'adopt') return seat;
    const peer = memory.find(seat.peer, `enter ${said.id}`, () => {
      const turned = seat.peer.run({ kind: 'enter', id: 1, network: said.id as NetworkId });
      return turned.outcome && memory.same(turned.peer);
    });
    if (!peer) return seat;
    return { peer, hearsay: said.user && bug !== 'hearsay is forgotten', entered: [...seat.entered, viewText(said)] };
  }

  const changes = (seat: Seat, said: NetworkView): boolean => {
    const decided = meeting(seat, said);
    return decided === 'take' || decided === 'adopt' || (decided === 'one' && said.user && !seat.hearsay);
  };

  const pulls = (asker: SmallPeer, other: SmallPeer): readonly Delta[] =>
    isOne(asker, other) || (bug === 'nobody is asked' && asker.ledger.network !== null && other.ledger.network !== null)
      ? memory.find(asker, `ask ${memory.number(other)}`, () => asker.questionsTo(other).map((question) => other.answer(question)))
      : [];
  const applied = (peer: SmallPeer, { network, delta }: Pick<Answered, 'network' | 'delta'>): SmallPeer =>
    memory.find(peer, `apply ${numberOf(delta)} ${network}`, () => memory.same(peer.apply(delta, bug === 'the network is not checked' ? null : network)));

  /** Who goes from one network to another and back has lost its way, unless people wrote something there meanwhile. */
  const wanders = ({ peer, entered }: Seat): string | null =>
    new Set(entered).size < entered.length ? `${nameOf(peer.self)} enters a network a second time: ${entered.join(' ')}` : null;
  /** Nobody loses what people made, whatever network it enters. */
  const loses = (before: SmallPeer, after: SmallPeer): string | null => {
    const lost = before.winners.find(({ origin, key }) => isUserData(key) && !after.held(origin, key));
    return lost ? `${nameOf(after.self)} has lost ${operationText(lost)}` : null;
  };
  const becomes = (world: NetworkWorld, at: number, after: Seat): NetworkWorld => ({
    ...world,
    seats: world.seats.map((seat, i) => (i === at ? after : seat)),
    wrong: world.wrong ?? loses((world.seats[at] as Seat).peer, after.peer) ?? wanders(after),
  });

  function write(world: NetworkWorld, at: number, keys: readonly string[]): NetworkWorld {
    const seat = world.seats[at] as Seat;
    const { self, ledger } = seat.peer;
    const epochs = new Set(world.written.operations.filter(({ origin }) => origin === self).map(({ epoch }) => epoch)).size;
    const { after, operations } = memory.find(seat.peer, `write ${keys.join()} ${epochs}`, () => {
      const changes = keys.map((key) => ({ key, value: TRUE }));
      const { peer, outcome } = seat.peer.run({ kind: 'write', id: 1, changes }, () => smallEpoch(epochs, { isBelow: false }));
      if (outcome?.kind !== 'wrote') throw new Error('a write is not refused');
      return { after: memory.same(peer), operations: outcome.operations };
    });
    const written = writtenToo(world.written, operations);
    if (typeof written === 'string') return { ...world, wrong: written };
    const homes = new Map(world.homes);
    for (const operation of operations) homes.set(operationText(operation), ledger.network);
    return { ...becomes(world, at, { ...seat, peer: after }), written, homes };
  }

  function actions({ seats, said, answered, left }: NetworkWorld): NetworkAction[] {
    if (left.steps === 0) return [];
    const all: NetworkAction[] = [];
    for (const [at, seat] of seats.entries()) {
      const { ledger } = seat.peer;
      if (ledger.network === null) all.push({ kind: 'mint', seat: at });
      if (left.userWrites > 0) all.push({ kind: 'user', seat: at });
      if (left.ownedWrites > 0) all.push({ kind: 'owned', seat: at });
      if (left.crashes > 0) all.push({ kind: 'crash', seat: at });
      for (const one of said) {
        if (one.from === at) continue;
        if (changes(seat, one)) all.push({ kind: 'hear', seat: at, said: one });
        const isOther = one.id !== null && ledger.network !== null && !ledger.networks.has(one.id);
        if (left.unions > 0 && isOther) all.push({ kind: 'unite', seat: at, network: one.id as NetworkId });
      }
      for (const [from, other] of seats.entries()) {
        if (from !== at && left.answers > 0 && pulls(seat.peer, other.peer).length > 0) all.push({ kind: 'answer', seat: at, from });
      }
    }
    for (const one of answered) {
      const { peer } = seats[one.seat] as Seat;
      if (applied(peer, one) !== peer) all.push({ kind: 'apply', answered: one });
    }
    return all;
  }

  /** What everybody's beats say from now on stays in the air. */
  function saying(world: NetworkWorld): NetworkWorld {
    const said = [...world.said];
    for (const [from, seat] of world.seats.entries()) {
      const now = saidBy(seat, from);
      if (now.id !== null && !said.some((one) => one.from === from && one.id === now.id && one.user === now.user)) said.push(now);
    }
    return said.length > world.said.length ? { ...world, said } : world;
  }

  function happen(world: NetworkWorld, action: NetworkAction): NetworkWorld {
    const spend = (what: keyof NetworkPlan): NetworkWorld => ({ ...world, left: { ...world.left, [what]: world.left[what] - 1 } });
    switch (action.kind) {
      case 'mint':
        return becomes(world, action.seat, hears(world.seats[action.seat] as Seat, { id: MINTS[action.seat] as NetworkId, user: false }));
      case 'user':
        return write(spend('userWrites'), action.seat, ['star/x']);
      case 'owned':
        return write(spend('ownedWrites'), action.seat, ['holding/x']);
      case 'unite': {
        const { network } = (world.seats[action.seat] as Seat).peer.ledger;
        const united = { ...spend('unions'), unions: [...world.unions, [network, action.network] as [NetworkId, NetworkId]] };
        return write(united, action.seat, [network as NetworkId, action.network].map(uniteKey));
      }
      case 'hear':
        return becomes(world, action.seat, hears(world.seats[action.seat] as Seat, action.said));
      case 'answer': {
        const { peer } = world.seats[action.seat] as Seat;
        const deltas = pulls(peer, (world.seats[action.from] as Seat).peer);
        const now = deltas.map((delta) => ({ seat: action.seat, network: peer.ledger.network, delta }));
        return { ...spend('answers'), answered: [...world.answered, ...now] };
      }
      case 'apply': {
        const seat = world.seats[action.answered.seat] as Seat;
        return becomes(world, action.answered.seat, { ...seat, peer: applied(seat.peer, action.answered) });
      }
      case 'crash': {
        const { peer } = world.seats[action.seat] as Seat;
        const { network } = peer.ledger;
        const entered = network === null ? [] : [viewText({ id: network, user: false })];
        return becomes(spend('crashes'), action.seat, { peer: memory.same(SmallPeer.start(peer.self, peer.store)), hearsay: false, entered });
      }
    }
  }

  /** All networks that people have declared one with this. */
  function unitedWith(network: NetworkId | null, unions: NetworkWorld['unions']): ReadonlySet<NetworkId | null> {
    const all = new Set([network]);
    for (let size = 0; size < all.size; ) {
      size = all.size;
      for (const [a, b] of unions) if (all.has(a) || all.has(b)) all.add(a).add(b);
    }
    return all;
  }

  /** What a person made in one network is in another only where a person has said so. */
  function strays({ seats, homes, unions }: NetworkWorld): string | null {
    for (const { peer } of seats) {
      const here = unitedWith(peer.ledger.network, unions);
      for (const operation of peer.winners) {
        const home = homes.get(operationText(operation)) ?? null;
        if (isUserData(operation.key) && home !== null && !here.has(home)) {
          const where = [...here].map((one) => (one ? nameOf(one) : 'none')).join();
          return `${nameOf(peer.self)} is in ${where} and has ${operationText(operation)}, made in ${nameOf(home)}`;
        }
      }
    }
    return null;
  }

  /** All hear the beats that all send, and pull, until nothing changes. Who beats at once with another has not heard it yet. */
  function end(before: readonly Seat[]): string | null {
    let seats = before;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const was = seats;
      const said = was.map(saidBy);
      const homeless = was.every(({ peer }) => peer.ledger.network === null);
      seats = was.map((seat, at) => {
        if (homeless && at === 0) return hears(seat, { id: MINTS[0] as NetworkId, user: false });
        return said.reduce((listening, one) => (one.from === at ? listening : hears(listening, one)), seat);
      });
      seats = seats.map((seat) => {
        let { peer } = seat;
        for (const other of seats) {
          if (other !== seat) for (const delta of pulls(peer, other.peer)) peer = applied(peer, { network: peer.ledger.network, delta });
        }
        return peer === seat.peer ? seat : { ...seat, peer };
      });
      if (seats.every((seat, at) => seat === was[at])) return endsApart(before, seats);
    }
    return `meetings do not come to an end: ${seats.map(({ peer, entered }) => `${nameOf(peer.self)} went to ${entered.join(' ')}`).join(', ')}`;
  }

  function endsApart(before: readonly Seat[], seats: readonly Seat[]): string | null {
    for (const [at, seat] of seats.entries()) {
      const lost = loses((before[at] as Seat).peer, seat.peer);
      if (lost !== null) return lost;
    }
    const networks = new Set(seats.map(({ peer }) => peer.ledger.network));
    for (const network of networks) {
      const peers = seats.map(({ peer }) => peer).filter(({ ledger }) => ledger.network === network);
      if (networks.size > 1 && !peers.some(({ ledger }) => ledger.user)) return `${network ? nameOf(network) : 'no network'} is apart and has nothing that people made`;
      const wrong = endsWrong(peers);
      if (wrong !== null) return wrong;
      for (const { self, ledger } of peers) {
        const apart = [...ledger.networks].find((one) => one !== network && networks.has(one));
        if (apart) return `${nameOf(apart)} is apart, and ${nameOf(self)} was united with it`;
      }
    }
    return null;
  }

  const seatText = ({ peer, hearsay }: Seat): string => `${memory.number(peer)}${hearsay ? '+' : ''}`;

  function check(world: NetworkWorld): string | null {
    if (world.wrong !== null) return world.wrong;
    for (const { peer } of world.seats) {
      const wrong = claimsTooMuch(peer, world.written);
      if (wrong !== null) return wrong;
    }
    const stray = strays(world);
    if (stray !== null) return stray;
    const name = world.seats.map(seatText).join();
    if (settled.has(name)) return null;
    settled.add(name);
    return end(world.seats);
  }

  const empty = (number: number): Seat => ({ peer: memory.same(SmallPeer.empty(smallId(number))), hearsay: false, entered: [] });
  return {
    initial: { seats: [1, 2, 3].map(empty), written: NOTHING_WRITTEN, homes: new Map(), unions: [], said: [], answered: [], left: plan, wrong: null },
    actions,
    apply: (world, action) => {
      const after = happen(world, action);
      return saying({ ...after, left: { ...after.left, steps: after.left.steps - 1 } });
    },
    // without the steps that are left: the search comes to a world first with the most of them
    fingerprint: ({ seats, homes, unions, said, answered, left, wrong }) =>
      [
        seats.map((seat) => `${seatText(seat)} ${[...seat.entered].sort().join(' ')}`).join(),
        memory.numberOf([...homes].map(([operation, home]) => `${operation} ${home ? nameOf(home) : '-'}`).sort().join()),
        unions.map(([a, b]) => [a, b].map(nameOf).sort().join('')).sort().join(),
        said.map((one) => `${one.from}${viewText(one)}`).sort().join(),
        answered.map(({ seat, network, delta }) => `${seat}${network && nameOf(network)}${numberOf(delta)}`).sort().join(),
        Object.entries(left).map(([what, count]) => (what === 'steps' ? '' : count)).join(),
        wrong ?? '',
      ].join(';'),
    check,
    show,
  };
}

const seatName = (seat: number): string => `host ${seat + 1}`;
const summary = (operations: readonly Operation[]): string => operations.map(({ origin, key }) => `${nameOf(origin)}'s ${kindOf(key)}`).join(', ');

function show(action: NetworkAction): string {
  switch (action.kind) {
    case 'mint':
      return `${seatName(action.seat)} mints network ${nameOf(MINTS[action.seat] as NetworkId)}`;
    case 'user':
      return `${seatName(action.seat)}'s person stars x`;
    case 'owned':
      return `${seatName(action.seat)} finds a song`;
    case 'crash':
      return `${seatName(action.seat)} crashes and starts`;
    case 'unite':
      return `${seatName(action.seat)}'s person unites its network with ${nameOf(action.network)}`;
    case 'hear':
      return `${seatName(action.seat)} hears a beat of ${seatName(action.said.from)}: network ${viewText(action.said)}`;
    case 'answer':
      return `${seatName(action.from)} answers all that ${seatName(action.seat)} asks it for`;
    case 'apply':
      return `${seatName(action.answered.seat)} gets an answer: ${summary(action.answered.delta.operations)}`;
  }
}
