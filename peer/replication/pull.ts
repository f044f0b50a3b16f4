// Anti-entropy as a coroutine: what to ask a peer for, one question after the other, and what follows from each answer. It
// asks for hashes of every origin, then for vectors of those that differ, then for deltas of those where the other side
// holds more (Demers et al., 1987; Scuttlebutt's per-origin vectors: van Renesse et al., 2008). Each side pulls for itself;
// who finds that it holds more says so, and the other comes to pull.
//
// Pure: whoever runs it carries the questions over a stream, over datagrams, or through a simulated network.
import type { PeerId } from '../../lib/ids.ts';
import { covers, headOf, type Vector } from '../../lib/vector.ts';

/** Origins in one question for vectors, and pairs of (origin, hash) in one frame of some 36 KB. */
export const ORIGINS_PER_QUESTION = 1_000;

export type Question =
  /** 16 bytes of every origin that the other side knows; nothing where its root is ours. */
  | { readonly kind: 'hashes' }
  /** The other side's vectors of these, in this order. */
  | { readonly kind: 'vectors'; readonly origins: readonly PeerId[] }
  /** Fetch the delta of this origin beyond `base`, and have it applied. */
  | { readonly kind: 'delta'; readonly origin: PeerId; readonly base: Vector }
  /** Say that we hold what they do not; nothing is answered. */
  | { readonly kind: 'behind' };

export type Answer =
  /** null: roots are equal. */
  | { readonly kind: 'hashes'; readonly hashes: ReadonlyMap<PeerId, Uint8Array> | null }
  | { readonly kind: 'vectors'; readonly vectors: readonly Vector[] }
  /** How many operations came. */
  | { readonly kind: 'delta'; readonly operations: number }
  | { readonly kind: 'behind' };

/** What a pull needs to know of this side: committed state, as of whenever it looks. */
export interface Holdings {
  readonly hashes: ReadonlyMap<PeerId, Uint8Array>;
  vector(origin: PeerId): Vector;
}

/** @param origin pull this one alone; null compares everything
 *  @returns how many operations came */
export function* pull(ours: Holdings, origin: PeerId | null): Generator<Question, number, Answer> {
  if (origin) return operationsOf(yield { kind: 'delta', origin, base: ours.vector(origin) });
  const theirs = hashesOf(yield { kind: 'hashes' });
  if (!theirs) return 0;
  const differing = differingOrigins(ours.hashes, theirs);
  const missing: { readonly origin: PeerId; readonly operations: number }[] = [];
  let holdsMore = false;
  for (let i = 0; i < differing.length; i += ORIGINS_PER_QUESTION) {
    const origins = differing.slice(i, i + ORIGINS_PER_QUESTION);
    const vectors = vectorsOf(yield { kind: 'vectors', origins });
    for (const [j, there] of vectors.entries()) {
      const differs = origins[j] as PeerId;
      const here = ours.vector(differs);
      if (!covers(here, there)) missing.push({ origin: differs, operations: distance(here, there) });
      if (!covers(there, here)) holdsMore = true;
    }
  }
  if (holdsMore) yield { kind: 'behind' };
  // what people wrote comes before what scanners found
  missing.sort((a, b) => a.operations - b.operations);
  let pulled = 0;
  for (const { origin: behind } of missing) pulled += operationsOf(yield { kind: 'delta', origin: behind, base: ours.vector(behind) });
  return pulled;
}

function differingOrigins(ours: ReadonlyMap<PeerId, Uint8Array>, theirs: ReadonlyMap<PeerId, Uint8Array>): PeerId[] {
  const differing: PeerId[] = [];
  for (const [origin, hash] of theirs) {
    const own = ours.get(origin);
    if (!own || Buffer.compare(own, hash) !== 0) differing.push(origin);
  }
  for (const origin of ours.keys()) if (!theirs.has(origin)) differing.push(origin);
  return differing;
}

const distance = (ours: Vector, theirs: Vector): number => {
  let operations = 0;
  for (const [epoch, head] of theirs) operations += Math.max(0, head - headOf(ours, epoch));
  return operations;
};

const mismatch = (): never => {
  throw new Error('an answer to another question');
};
const hashesOf = (answer: Answer): ReadonlyMap<PeerId, Uint8Array> | null => (answer.kind === 'hashes' ? answer.hashes : mismatch());
const vectorsOf = (answer: Answer): readonly Vector[] => (answer.kind === 'vectors' ? answer.vectors : mismatch());
const operationsOf = (answer: Answer): number => (answer.kind === 'delta' ? answer.operations : mismatch());
