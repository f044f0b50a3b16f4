// The songs of a catalog as operations of peers that are gone, and a data folder that holds them: what a newcomer has to fetch.
import { hash } from 'node:crypto';
import { contentId, type EpochId, type FileId, hex, type NetworkId, type PeerId, type SongId } from '../lib/ids.ts';
import { networkHash, openNetwork } from '../lib/network-key.ts';
import type { Operation } from '../lib/operation.ts';
import { encodeHolding, holdingKey } from '../lib/song.ts';
import { EMPTY_VECTOR } from '../lib/vector.ts';
import { DIGEST_BYTES } from '../lib/digest.ts';
import { Replica } from '../peer/replication/replica.ts';
import { openDatabase } from '../storage/database.ts';
import { OperationStore } from '../storage/operation-store.ts';
import { replicaOptions } from '../test/fixtures/replica.ts';
import type { Row } from './catalog-rows.ts';

export interface ForeignLog {
  readonly origin: PeerId;
  readonly epoch: EpochId;
  /** In order of their seq, 1, 2, 3, … */
  readonly operations: readonly Operation[];
}

const OPERATIONS_PER_DELTA = 2_048;
const PAYLOAD_BYTES = 4_000_000;

function operationOf(row: Row, place: Pick<Operation, 'origin' | 'epoch' | 'seq'>): Operation {
  const [title, artist, album, albumArtist, track, disc] = row;
  const name = `${place.origin}/${place.seq}`;
  const song = contentId<SongId>(`song/${name}`);
  const value = encodeHolding({
    song,
    file: contentId<FileId>(`file/${name}`),
    payload: contentId(`song/${name}`),
    tags: { title: title || 'unknown', artist, album, albumArtist, track, disc, year: 2005, genre: ['Electronic'] },
    durationMs: 245_000,
    codec: 'mp3',
    suffix: 'mp3',
    bitrate: 128_000,
    prefixBytes: 4_096,
    payloadBytes: PAYLOAD_BYTES,
    suffixBytes: 128,
    prefixHash: hash('sha256', `prefix/${name}`, 'buffer'),
    suffixHash: hash('sha256', `suffix/${name}`, 'buffer'),
  });
  return { ...place, lamport: place.seq, key: holdingKey(song, contentId<FileId>(`file/${name}`)), value };
}

/** @param origins how many peers have the songs, each an equal share */
export function foreignLogs(rows: readonly Row[], origins: number): ForeignLog[] {
  const share = Math.ceil(rows.length / origins);
  return Array.from({ length: origins }, (_, i) => {
    const origin = contentId<PeerId>(`origin/${i}`);
    const epoch = contentId(`epoch/${i}`).slice(0, 16) as EpochId;
    return { origin, epoch, operations: rows.slice(i * share, (i + 1) * share).map((row, j) => operationOf(row, { origin, epoch, seq: j + 1 })) };
  });
}

/** Puts them into the database of a peer that does not run, as members of the open network of this name. */
export async function writeForeignLogs(dataFolder: string, { network, id, logs }: { readonly network: string; readonly id: NetworkId; readonly logs: readonly ForeignLog[] }): Promise<void> {
  const database = await openDatabase(dataFolder);
  const store = new OperationStore(database, hex(networkHash(openNetwork(network))));
  await store.load();
  await store.commit({ puts: [], superseded: [], heads: [], digest: new Uint8Array(DIGEST_BYTES), lamport: 0, network: id });
  const replica = await Replica.open(replicaOptions(contentId<PeerId>('writer'), store));
  for (const { origin, epoch, operations } of logs) {
    for (let i = 0; i < operations.length; i += OPERATIONS_PER_DELTA) {
      const some = operations.slice(i, i + OPERATIONS_PER_DELTA);
      const base = i === 0 ? EMPTY_VECTOR : new Map([[epoch, i]]);
      await replica.apply({ origin, base, vector: new Map([[epoch, i + some.length]]), operations: some }, null);
    }
  }
  await replica.close();
  await database.close();
}
