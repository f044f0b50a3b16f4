// Every schedule of a small world: breadth-first over all that can happen next, so that what is found is the shortest way to a
// wrong state, as in explicit-state model checkers (Holzmann's SPIN, Lamport's TLC). Chance finds what needs many events; this
// finds what needs few, and says when there is nothing to find.
//
// States are told apart by a 53-bit hash of their fingerprints, as in SPIN's hash compaction: of a million states two share a hash
// in one run of 18,000, and one of them would then not be looked at.
import { mix } from './chance.ts';

export interface Model<World, Action> {
  readonly initial: World;
  /** What can happen next, in the same order every time. */
  actions(world: World): readonly Action[];
  /** Leaves `world` as it is. */
  apply(world: World, action: Action): World;
  /** Equal for worlds that will do the same. */
  fingerprint(world: World): string;
  /** What is wrong with it, or null. `isFinal`: nothing more can happen. */
  check(world: World, isFinal: boolean): string | null;
  show(action: Action): string;
}

export interface Counterexample<World> {
  readonly message: string;
  /** From the initial world to the wrong one. */
  readonly actions: readonly string[];
  readonly world: World;
}

export interface Exploration<World> {
  readonly states: number;
  readonly transitions: number;
  /** Actions on the longest of the shortest ways. */
  readonly depth: number;
  readonly counterexample: Counterexample<World> | null;
  /** Were all states seen? */
  readonly isComplete: boolean;
}

export function explore<World, Action>(model: Model<World, Action>, { statesMax }: { readonly statesMax: number }): Exploration<World> {
  const seen = new HashSet();
  // how each state was reached: from which, by which of its actions
  const parents: number[] = [-1];
  const choices: number[] = [-1];
  let frontier: World[] = [model.initial];
  let firstOfFrontier = 0;
  let transitions = 0;
  seen.add(hash53(model.fingerprint(model.initial)));

  const found = (state: number, world: World, message: string): Counterexample<World> => ({ message, actions: wayTo(model, parents, choices, state), world });
  const result = (depth: number, counterexample: Counterexample<World> | null, isComplete: boolean): Exploration<World> => ({
    states: parents.length,
    transitions,
    depth,
    counterexample,
    isComplete,
  });

  for (let depth = 0; ; depth++) {
    const next: World[] = [];
    for (const [place, world] of frontier.entries()) {
      const state = firstOfFrontier + place;
      const actions = model.actions(world);
      const wrong = model.check(world, actions.length === 0);
      if (wrong !== null) return result(depth, found(state, world, wrong), false);
      for (const [choice, action] of actions.entries()) {
        transitions += 1;
        const after = model.apply(world, action);
        if (!seen.add(hash53(model.fingerprint(after)))) continue;
        if (parents.length >= statesMax) return result(depth, null, false);
        parents.push(state);
        choices.push(choice);
        next.push(after);
      }
    }
    if (next.length === 0) return result(depth, null, true);
    firstOfFrontier += frontier.length;
    frontier = next;
  }
}

/** The actions that lead to a state, by doing again what was chosen. */
function wayTo<World, Action>(model: Model<World, Action>, parents: readonly number[], choices: readonly number[], state: number): string[] {
  const chosen: number[] = [];
  for (let at = state; at > 0; at = parents[at] as number) chosen.unshift(choices[at] as number);
  const shown: string[] = [];
  let world = model.initial;
  for (const choice of chosen) {
    const action = model.actions(world)[choice] as Action;
    shown.push(model.show(action));
    world = model.apply(world, action);
  }
  return shown;
}

/** Two FNV-1a side by side, each ended by `mix`, since FNV alone leaves the traces of the last letters in few bits. */
function hash53(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x9e3779b9;
  for (let i = 0; i < text.length; i++) {
    const letter = text.charCodeAt(i);
    low = Math.imul(low ^ letter, 0x01000193);
    high = Math.imul(high ^ letter, 0x5bd1e995);
  }
  return (mix(high) >>> 11) * 0x1_0000_0000 + mix(low);
}

/** A set of numbers below 2^53 that grows beyond the 16 million entries of a Set: open addressing, 16 bytes a number or less. */
class HashSet {
  #places = new Float64Array(1 << 16);
  #size = 0;

  /** @returns whether it is new */
  add(hash: number): boolean {
    // zero marks an empty place
    const entry = hash + 1;
    if (this.#size * 2 > this.#places.length) this.#grow();
    if (!insert(this.#places, entry)) return false;
    this.#size += 1;
    return true;
  }

  #grow(): void {
    const larger = new Float64Array(this.#places.length * 2);
    for (const entry of this.#places) if (entry !== 0) insert(larger, entry);
    this.#places = larger;
  }
}

function insert(places: Float64Array, entry: number): boolean {
  const mask = places.length - 1;
  for (let place = (entry >>> 0) & mask; ; place = (place + 1) & mask) {
    if (places[place] === entry) return false;
    if (places[place] !== 0) continue;
    places[place] = entry;
    return true;
  }
}
