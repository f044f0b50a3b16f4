// What the holder of the role `music` and the machines say to each other about copies. Nothing of it is kept by the holder: what is
// under way each machine knows itself, and the next holder asks as this one did.
//
//     room   []                                           [room bytes, uptime ms, [payload, …], busy, slots, scanning, log, missing]: what is being
//                                                             fetched, or waits for it; busy: music is read there for so long that nothing is
//                                                             taken; log: null, but where the asker leaves, that is known there, and no music folder is missing
//     copy   [term, coordinator, number, [[song, file], …]]   [[place, …], [place, …]]: of those in the list that are not known
//                                                             yet or have no place in the queue, and of those that are not taken
//
// Ids are 16 bytes.
import { checker } from '../../lib/check.ts';
import { type FileId, idToBytes, type PayloadId, type PeerId, type SongId } from '../../lib/ids.ts';
import { COPIES_QUEUED_MAX } from '../../lib/limits.ts';
import type { FencingToken } from '../../lib/roles.ts';
import { VECTOR_HASH_BYTES } from '../../lib/vector.ts';

export const ROOM_METHOD = 'room';
export const COPY_METHOD = 'copy';

/** Told by one machine: its copies, and what people pinned there. */
export const JOBS_TOLD_MAX = 1_024;

export interface Room {
  /** That may be taken without dropping anything that is wanted. */
  readonly roomBytes: number;
  readonly uptimeMs: number;
  readonly payloads: readonly PayloadId[];
  /** Music is read there for so long that it takes nothing now. */
  readonly busy: boolean;
  /** Songs that it still takes into its queue. */
  readonly slots: number;
  /** Are its music folders still being read? Undefined where it does not say. */
  readonly scanning: boolean | undefined;
  /** Is one of its music folders missing, as of a disk that was unplugged? It still says to have what is there. Undefined where it does not say. */
  readonly missing: boolean | undefined;
  /** The hash of all that it has written: it stays, can read its music folders, knows that the asker leaves, and has said what it dropped before it knew. */
  readonly log: Uint8Array | undefined;
}

export interface CopyRequest {
  readonly token: FencingToken;
  readonly songs: readonly { readonly song: SongId; readonly file: FileId }[];
}

const checkAnswer = checker('BAD_FRAME');
const checkParams = checker('BAD_MESSAGE');

export const encodeRoom = ({ roomBytes, uptimeMs, payloads, busy, slots, scanning, log, missing }: Room): unknown => [
  Math.floor(roomBytes),
  Math.floor(uptimeMs),
  payloads.slice(0, JOBS_TOLD_MAX).map(idToBytes),
  busy,
  slots,
  scanning ?? null,
  log ?? null,
  missing ?? null,
];

/** What versions of before do not say is as they mean it. @throws PeerError BAD_FRAME */
export function decodeRoom(answer: unknown): Room {
  const [roomBytes, uptimeMs, payloads, busy, slots, scanning, log, missing] = checkAnswer.list(answer, 3);
  const told = checkAnswer.list(payloads).slice(0, JOBS_TOLD_MAX);
  return {
    roomBytes: checkAnswer.count(roomBytes),
    uptimeMs: checkAnswer.count(uptimeMs),
    payloads: told.map((payload) => checkAnswer.id<PayloadId>(payload)),
    busy: busy === true,
    slots: Math.min(COPIES_QUEUED_MAX, slots === undefined ? Math.max(0, COPIES_QUEUED_MAX - told.length) : checkAnswer.count(slots)),
    scanning: typeof scanning === 'boolean' ? scanning : undefined,
    log: log == null ? undefined : checkAnswer.bytes(log, { exactly: VECTOR_HASH_BYTES }),
    missing: typeof missing === 'boolean' ? missing : undefined,
  };
}

export const copyParams = ({ token: { term, coordinator, number }, songs }: CopyRequest): unknown => [
  term,
  idToBytes(coordinator),
  number,
  songs.map(({ song, file }) => [idToBytes(song), idToBytes(file)]),
];

/** @throws PeerError BAD_MESSAGE */
export function parseCopyParams(params: unknown): CopyRequest {
  const [term, coordinator, number, songs] = checkParams.list(params, 4);
  return {
    token: { term: checkParams.count(term), coordinator: checkParams.id<PeerId>(coordinator), number: checkParams.count(number) },
    songs: checkParams
      .list(songs)
      .slice(0, COPIES_QUEUED_MAX)
      .map((pair) => {
        const [song, file] = checkParams.list(pair, 2);
        return { song: checkParams.id<SongId>(song), file: checkParams.id<FileId>(file) };
      }),
  };
}

/** Of the songs that were asked for, by their places. */
export interface Refused {
  /** Their registers have not come yet, or the queue is full: to be asked for again. */
  readonly unknown: readonly number[];
  /** There is no room, or it was tried in vain. */
  readonly refused: readonly number[];
}

export const encodeRefused = ({ unknown, refused }: Refused): unknown => [unknown, refused];

/** @throws PeerError BAD_FRAME */
export function decodeRefused(answer: unknown): Refused {
  const places = (list: unknown): number[] => checkAnswer.list(list).slice(0, COPIES_QUEUED_MAX).map((place) => checkAnswer.count(place));
  const [unknown, refused] = checkAnswer.list(answer, 2);
  return { unknown: places(unknown), refused: places(refused) };
}
