// What has to hold in every state of a small world, and of what becomes of it once all that are left pull from each other: the
// invariants of DESIGN and of docs/CONSISTENCY.md, in the words of small peers.
import { digestOf } from '../../lib/digest.ts';
import { hex } from '../../lib/ids.ts';
import { parseStarKey } from '../../lib/marks.ts';
import { compareStamps, type Operation } from '../../lib/operation.ts';
import { covers } from '../../lib/vector.ts';
import { mergeStar } from '../../storage/views/merge.ts';
import { Oracle, Winners } from './oracle.ts';
import { type DeltaQuestion, nameOf, operationText, SmallPeer } from './small-peer.ts';

/** Everything that was written in a world, and what is wrong with that. */
export interface Written {
  readonly operations: readonly Operation[];
  readonly oracle: Oracle;
}

export const NOTHING_WRITTEN: Written = { operations: [], oracle: new Oracle() };

/** @returns with what was written now, or what is wrong: one place in a log with two contents */
export function writtenToo(written: Written, operations: readonly Operation[]): Written | string {
  const oracle = new Oracle();
  for (const operation of [...written.operations, ...operations]) {
    const twice = oracle.see(operation);
    if (twice !== null) return `one place in a log has two contents: ${twice}`;
  }
  return { operations: [...written.operations, ...operations], oracle };
}

/** Heads claim only what is held. */
export function claimsTooMuch(peer: SmallPeer, { oracle }: Written): string | null {
  for (const [origin, vector] of peer.ledger.vectors) {
    const missing = oracle.missing(origin, vector, (of, key) => peer.held(of, key));
    if (missing !== null) return `${nameOf(peer.self)} lacks what it claims: ${missing}`;
  }
  return null;
}

/** While a process lives, neither its heads nor its winners go back. */
export function goesBack(before: SmallPeer, after: SmallPeer): string | null {
  if (before === after) return null;
  for (const [origin, vector] of before.ledger.vectors) {
    if (!covers(after.ledger.vector(origin), vector)) return `${nameOf(after.self)}'s head of ${nameOf(origin)} has fallen`;
  }
  for (const held of before.winners) {
    const now = after.held(held.origin, held.key);
    if (!now || compareStamps(now, held) < 0) return `${nameOf(after.self)} held ${operationText(held)} and has ${now ? operationText(now) : 'nothing'} now`;
  }
  return null;
}

/** How `asker` comes to have what `other` answers. */
export type Exchange = (asker: SmallPeer, other: SmallPeer, question: DeltaQuestion) => SmallPeer;

export const exchange: Exchange = (asker, other, question) => asker.apply(other.answer(question));

/** Rounds in which all pull from all. Whatever one of three knows is everywhere after two, and the third finds nothing. */
const ROUNDS_MAX = 6;

/** Everybody pulls from everybody until nothing changes. @returns null when that does not end */
export function settle(peers: readonly SmallPeer[], by: Exchange = exchange): readonly SmallPeer[] | null {
  const settled = [...peers];
  for (let round = 0; round < ROUNDS_MAX; round++) {
    let changed = false;
    for (const [i, from] of settled.entries()) {
      for (const [j, other] of settled.entries()) {
        if (i === j) continue;
        // one question after the other, as a pull asks them
        for (const { origin } of (settled[i] as SmallPeer).questionsTo(other)) {
          const asker = settled[i] as SmallPeer;
          settled[i] = by(asker, other, { origin, base: asker.ledger.vector(origin) });
        }
      }
      changed ||= settled[i] !== from;
    }
    if (!changed) return settled;
  }
  return null;
}

/** Quiet and connected means identical state, nothing lost that anybody held, and the views that it predicts. */
export function endsWrong(before: readonly SmallPeer[], by: Exchange = exchange): string | null {
  const after = settle(before, by);
  if (!after) return 'pulls do not come to an end';
  const expected = new Winners();
  for (const { winners } of before) for (const winner of winners) expected.add(winner);
  const wanted = [...expected].map(operationText).sort().join(', ');
  const [first] = after;
  for (const [i, peer] of after.entries()) {
    const name = nameOf(peer.self);
    const back = goesBack(before[i] as SmallPeer, peer);
    if (back !== null) return back;
    const got = peer.winners.map(operationText).sort().join(', ');
    if (got !== wanted) return `in the end ${name} has ${got || 'nothing'} of what somebody held: ${wanted}`;
    if (hex(peer.ledger.digest) !== hex(digestOf(peer.winners))) return `${name}'s digest is not that of its winners`;
    if (hex(peer.ledger.digest) !== hex((first as SmallPeer).ledger.digest)) return 'equal winners have different digests';
    if (hex(peer.ledger.root) !== hex((first as SmallPeer).ledger.root)) return 'in the end vectors differ';
  }
  return first ? wrongStars(first, [...expected]) : null;
}

/** A song has a star if the newest word of all machines says so, whoever said it. */
function wrongStars(peer: SmallPeer, expected: readonly Operation[]): string | null {
  for (const key of new Set(expected.map((operation) => operation.key))) {
    if (!parseStarKey(key)) continue;
    const newest = expected.filter((operation) => operation.key === key).sort(compareStamps).at(-1) as Operation;
    const shown = mergeStar(peer.winners.filter((operation) => operation.key === key)) !== undefined;
    if (shown !== (newest.value !== null)) return `${key} ${shown ? 'has a star' : 'has none'}, and the newest word is ${operationText(newest)}`;
  }
  return null;
}
