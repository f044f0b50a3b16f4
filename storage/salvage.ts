// What is left after commits were lost in the middle of others is made honest again. Heads then claim operations that are gone, and
// nobody would ever send those again: whoever compares vectors sees nothing missing. So no head is believed any more.
//
// What the owner of the disk wrote, and what a person wrote on any machine, may be nowhere else by now. It is kept, as the
// operations of a new epoch of its origin with their own Lamport times: their places in the order stay, so whoever holds a later
// write or deletion of a register still wins with it, here as well. All else says what somebody's disk holds; it is dropped, and
// comes back from the others, or from that disk, like anything that was never heard of. (docs/decisions/0012-salvage.md)
//
// Some hundred rows are a commit. Where it stands is written with each, so a crash costs nothing but time.
import { checker } from '../lib/check.ts';
import { decode, encode } from '../lib/codec.ts';
import { DIGEST_BYTES, foldWinner } from '../lib/digest.ts';
import { PeerError } from '../lib/errors.ts';
import { type EpochId, idToBytes, type PeerId } from '../lib/ids.ts';
import { isUserData } from '../lib/kinds.ts';
import type { Operation } from '../lib/operation.ts';
import type { CommitLog, Missing } from './commit-log.ts';
import type { Batch, Section } from './database.ts';
import { WHOLE } from './event-log.ts';
import { decodeCount, decodeOperation, encodeOperation, logRow, type OperationSections, registerOf, registerRow, vectorOf, vectorRow } from './operation-rows.ts';

/** What a person is told: `store-salvaged` in the log. */
export interface Salvaged {
  readonly missing: Missing;
  /** Operations that were kept. */
  readonly kept: number;
  /** Operations that have to come back from others. */
  readonly dropped: number;
}

/** Where a salvage stands, in the row `salvage` of the meta section until it is done. */
interface Progress {
  readonly missing: Missing;
  /** The new epoch of every origin: an epoch only has to differ from the others of its origin. */
  readonly epoch: EpochId;
  /** The register that was looked at last; null while vectors and log are still being cleared. */
  readonly after: string | null;
  /** Of what was kept so far. */
  readonly digest: Uint8Array;
  readonly kept: number;
  readonly dropped: number;
}

export interface SalvageOptions {
  readonly sections: OperationSections;
  readonly commits: CommitLog;
  readonly missing: Missing;
  readonly self: PeerId;
  /** Taken unless a salvage is under way already. */
  readonly epoch: EpochId;
}

/** Of one commit: some 10 ms of work, and one sync. */
const ROWS_PER_COMMIT = 512;
const PROGRESS_BYTES_MAX = 1_024;
const check = checker('BAD_OPERATION');

/** @returns where a salvage stood when the process ended */
export async function unfinished({ meta }: OperationSections): Promise<Progress | undefined> {
  const row = await meta.get('salvage');
  if (!row) return undefined;
  const [first, commits, epoch, after, digest, kept, dropped] = check.list(decode(row, { bytesMax: PROGRESS_BYTES_MAX, code: 'BAD_OPERATION' }), 7);
  return {
    missing: { first: check.count(first), commits: check.count(commits) },
    epoch: check.epoch(epoch),
    after: after === null ? null : String(after),
    digest: check.bytes(digest, { exactly: DIGEST_BYTES }),
    kept: check.count(kept),
    dropped: check.count(dropped),
  };
}

const encodeProgress = ({ missing, epoch, after, digest, kept, dropped }: Progress): Buffer =>
  encode([missing.first, missing.commits, idToBytes(epoch), after, digest, kept, dropped]);

/** The event log is built anew by the next load. What was half merged is dropped with its heads, or kept with everything else.
 *  Afterwards vectors, log, registers and digest belong together again; the Lamport time is the latest commit's, which is not
 *  before anything that is left. */
export async function salvage({ sections, commits, missing, self, epoch }: SalvageOptions): Promise<Salvaged> {
  const { registers, log, vectors, stamps, meta } = sections;
  const commit = (batch: Batch, progress: Progress): Promise<void> => commits.commit(batch.put(`${meta.prefix}salvage`, encodeProgress(progress)));

  const begun = await unfinished(sections);
  // one that lost commits itself is begun again: its epoch was never shown to anybody
  let progress = begun && sameMissing(begun.missing, missing) ? begun : { missing, epoch, after: null, digest: new Uint8Array(DIGEST_BYTES), kept: 0, dropped: 0 };
  commits.settle();
  await commit(commits.begin(), progress);

  if (progress.after === null) {
    for (const section of [vectors, log]) {
      for await (const rows of inParts(section, '')) {
        const batch = commits.begin();
        for (const [row] of rows) batch.del(section.prefix + row);
        await commit(batch, progress);
      }
    }
  }

  const heads = new Map<PeerId, number>();
  for await (const [row, bytes] of vectors.iterator()) heads.set(vectorOf(row).origin, decodeCount(bytes));
  for await (const rows of inParts(registers, progress.after ?? '')) {
    const batch = commits.begin();
    const digest = Uint8Array.from(progress.digest);
    const moved = new Set<PeerId>();
    let kept = 0;
    for (const [row, bytes] of rows) {
      const operation = readable(row, bytes);
      if (!operation || (operation.origin !== self && !isUserData(operation.key))) {
        batch.del(registers.prefix + row);
        continue;
      }
      const again = { ...operation, epoch: progress.epoch, seq: (heads.get(operation.origin) ?? 0) + 1 };
      heads.set(again.origin, again.seq);
      moved.add(again.origin);
      batch.put(registers.prefix + registerRow(again), encodeOperation(again));
      batch.put(log.prefix + logRow(again), Buffer.from(again.key));
      foldWinner(digest, again);
      kept += 1;
    }
    for (const origin of moved) batch.put(vectors.prefix + vectorRow({ origin, epoch: progress.epoch }), encode(heads.get(origin)));
    const [after] = rows.at(-1) as Row;
    progress = { ...progress, after, digest, kept: progress.kept + kept, dropped: progress.dropped + rows.length - kept };
    await commit(batch, progress);
  }

  await commits.commit(commits.begin().put(`${meta.prefix}digest`, progress.digest).del(`${meta.prefix}salvage`).del(`${meta.prefix}merging`).del(stamps.prefix + WHOLE));
  return { missing, kept: progress.kept, dropped: progress.dropped };
}

type Row = [row: string, bytes: Uint8Array];

const sameMissing = (a: Missing, b: Missing): boolean => a.first === b.first && a.commits === b.commits;

/** @returns undefined for a register that a damaged disk changed */
function readable(row: string, bytes: Uint8Array): Operation | undefined {
  try {
    return decodeOperation(registerOf(row), bytes);
  } catch (error) {
    if (error instanceof PeerError) return undefined;
    throw error;
  }
}

/** The rows of a section as they are at first, whatever is written meanwhile. */
async function* inParts(section: Section, after: string): AsyncGenerator<Row[]> {
  const rows = section.iterator({ gt: after });
  try {
    for (let some = await rows.nextv(ROWS_PER_COMMIT); some.length > 0; some = await rows.nextv(ROWS_PER_COMMIT)) yield some;
  } finally {
    await rows.close();
  }
}
