// The small worlds that are searched whole, each with the bugs that its search has to find: `npm run sim -- --exhaustive` and
// test/unit/small-worlds.ts. Several small worlds instead of a large one, because states multiply and what goes wrong needs few
// things at once. Whatever is said here of a search holds up to its number of steps, and of no more writes, pulls and faults than
// its plan allows.
import { type Counterexample, explore, type Model } from './exhaustive.ts';
import { logModel, type LogPlan } from './small-logs.ts';
import { networkModel, type NetworkPlan } from './small-networks.ts';
import { pieceModel, type PiecePlan } from './small-pieces.ts';

export interface Search {
  readonly states: number;
  readonly transitions: number;
  /** Actions of the longest schedule. */
  readonly depth: number;
  readonly counterexample: Pick<Counterexample<unknown>, 'message' | 'actions'> | null;
  /** Were all states seen? */
  readonly isComplete: boolean;
}

export interface SmallWorld {
  readonly name: string;
  /** What can happen in it. */
  readonly about: string;
  /** What is quick enough for every test run, or all that there is time for. */
  search(size: 'quick' | 'whole'): Search;
  /** Each is searched in the smallest world that shows it. */
  readonly bugs: readonly { readonly name: string; search(): Search }[];
}

/** Of the whole searches the largest has a million; several times that means that a model grew by mistake. */
const STATES_MAX = 4_000_000;

interface Described<Plan, Bug extends string> {
  readonly name: string;
  readonly about: string;
  readonly quick: Plan;
  readonly whole: Plan;
  readonly bugs: readonly { readonly name: Bug; readonly plan: Plan }[];
}

type ModelOf<Plan, Bug, World, Action> = (plan: Plan, bug: Bug | null) => Model<World, Action>;

function smallWorld<Plan, Bug extends string, World, Action>(model: ModelOf<Plan, Bug, World, Action>, { name, about, bugs, ...plans }: Described<Plan, Bug>): SmallWorld {
  const search = (plan: Plan, bug: Bug | null): Search => explore(model(plan, bug), { statesMax: STATES_MAX });
  return { name, about, search: (size) => search(plans[size], null), bugs: bugs.map((bug) => ({ name: bug.name, search: () => search(bug.plan, bug.name) })) };
}

const deltas: LogPlan = {
  steps: 7,
  writers: [0, 1],
  writes: 3,
  what: ['star', 'unstar', 'both'],
  pulls: 2,
  pullsAreSplit: true,
  epochsSortBothWays: false,
  faults: { crash: 1, wipe: 1 },
};
/** One writes, another asks once. */
const oneDelta: LogPlan = { ...deltas, steps: 6, writers: [0], writes: 2, what: ['star', 'both'], pulls: 1, faults: { wipe: 1 } };
const epochs: LogPlan = {
  steps: 6,
  writers: [0, 2],
  writes: 3,
  what: ['unstar', 'both'],
  pulls: 2,
  pullsAreSplit: false,
  epochsSortBothWays: true,
  faults: { wipe: 1, backUp: 1, restore: 1, clone: 1, leave: 1 },
};
const networks: NetworkPlan = { steps: 8, userWrites: 2, ownedWrites: 1, unions: 1, answers: 2, crashes: 1 };
const pieces: PiecePlan = { steps: 7, writes: 1, ownWrites: 2, fetches: 2, asks: 2, crashes: 2, leaves: 1 };

export const SMALL_WORLDS: readonly SmallWorld[] = [
  smallWorld(logModel, {
    name: 'deltas',
    about: 'two of three peers star one or two songs or take a star back; all hear single operations or pull in three steps, crash, and lose a disk',
    quick: { ...deltas, steps: 4 },
    whole: deltas,
    bugs: [
      { name: 'a delta is cut', plan: oneDelta },
      { name: 'the base is not checked', plan: oneDelta },
      { name: 'the vector is told late', plan: oneDelta },
      { name: 'a gap is skipped', plan: oneDelta },
      { name: 'the clock starts anew', plan: { ...deltas, steps: 4 } },
    ],
  }),
  smallWorld(logModel, {
    name: 'epochs',
    about: 'two of three peers write, all hear and pull; disks are lost, copied onto other hosts, and put back to what they were; one leaves for good',
    quick: { ...epochs, steps: 4 },
    whole: epochs,
    bugs: [
      { name: 'an epoch goes on', plan: epochs },
      { name: 'a delta of one epoch', plan: epochs },
      { name: 'own operations are refused', plan: epochs },
    ],
  }),
  smallWorld(networkModel, {
    name: 'networks',
    about: 'three peers mint networks, find songs, star, hear beats of any age, give way, are united by people, pull in two steps, and crash',
    quick: { ...networks, steps: 5 },
    whole: networks,
    bugs: [
      { name: 'both give way', plan: networks },
      { name: 'hearsay is forgotten', plan: networks },
      { name: 'the network is not checked', plan: { ...networks, userWrites: 1, ownedWrites: 0, unions: 0, answers: 1, crashes: 0 } },
      { name: 'nobody is asked', plan: networks },
    ],
  }),
  smallWorld(pieceModel, {
    name: 'pieces',
    about: 'a delta is merged in pieces, with crashes before and after each commit, writes, single operations and questions of another peer between them',
    quick: { ...pieces, steps: 5, ownWrites: 1, fetches: 1 },
    whole: pieces,
    bugs: [
      { name: 'half of it is served', plan: pieces },
      { name: 'heads move first', plan: pieces },
      { name: 'half a merge is forgotten', plan: pieces },
      { name: 'the head is outside the batch', plan: pieces },
    ],
  }),
];

/** As a person reads it: one action a line, ids by their first digit. */
export function explain({ message, actions }: NonNullable<Search['counterexample']>): string {
  const lines = [...actions.map((action, i) => `${String(i + 1).padStart(3)}  ${action}`), `  =>  ${message}`];
  return lines.map((line) => line.replace(/([0-9a-f])\1{15,}/g, '$1')).join('\n');
}
