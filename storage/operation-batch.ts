// What replication asks of whatever keeps its operations: the store on disk (operation-store.ts) and its twin in the
// simulator's memory carry out the same.
import type { EpochId, NetworkId, PeerId } from '../lib/ids.ts';
import type { Lamport } from '../lib/lamport.ts';
import type { Operation } from '../lib/operation.ts';
import type { Vector } from '../lib/vector.ts';

export interface RegisterId {
  readonly origin: PeerId;
  readonly key: string;
}

/** A large delta that lies aside, of which the first `done` pieces are merged. Its heads move with the last piece. */
export interface Merging {
  /** What it is called where it lies. */
  readonly aside: string;
  readonly origin: PeerId;
  readonly vector: Vector;
  readonly pieces: number;
  readonly done: number;
}

/** What one commit changes, whole or not at all. */
export interface OperationBatch {
  readonly puts: readonly Operation[];
  /** Log rows of operations that `puts` supersede. */
  readonly superseded: readonly Operation[];
  readonly heads: readonly { readonly origin: PeerId; readonly epoch: EpochId; readonly head: number }[];
  readonly digest: Uint8Array;
  readonly lamport: Lamport;
  /** Where the merging of a large delta stands; null when it is through, and what lay aside goes. Absent: as before. */
  readonly merging?: Merging | null;
  /** The network's id, once it is known or changes. */
  readonly network?: NetworkId;
  /** Everything that is held goes first. */
  readonly drop?: boolean;
}

export interface StoredState {
  readonly vectors: ReadonlyMap<PeerId, Vector>;
  readonly digest: Uint8Array | null;
  readonly lamport: Lamport;
  readonly network: NetworkId | null;
  /** Ids that a person has declared to be one network. */
  readonly united: readonly NetworkId[];
  /** Is any register held that a person made? */
  readonly user: boolean;
  readonly merging: Merging | null;
}
